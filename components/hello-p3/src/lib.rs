//! The benchmark's component on wasi:http 0.3: the same paths as `hello`.
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

const BLOB_BYTES: usize = 64 * 1024;

struct Hello;
wasip3::http::service::export!(Hello);

impl wasip3::exports::http::handler::Guest for Hello {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        match request.get_path_with_query().as_deref() {
            Some("/blob") => Ok(whole(b"65536", vec![b'x'; BLOB_BYTES])),
            Some("/echo") => Ok(echo(request)),
            _ => Ok(whole(b"16", b"hello from skep\n".to_vec())),
        }
    }
}

fn whole(length: &[u8], body: Vec<u8>) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (response, _sent) = Response::new(
        headers(Some(length)),
        Some(reader),
        wit_future::new(|| Ok(None)).1,
    );
    spawn_local(async move {
        // What is left over was not wanted: the client is gone.
        writer.write_all(body).await;
    });
    response
}

/// Hands the request's own stream back: the host may pass the bytes on without this guest.
fn echo(request: Request) -> Response {
    let (body, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
    Response::new(headers(None), Some(body), trailers).0
}

fn headers(length: Option<&[u8]>) -> Fields {
    let mut list = vec![("content-type".to_string(), b"text/plain".to_vec())];
    if let Some(length) = length {
        list.push(("content-length".to_string(), length.to_vec()));
    }
    Fields::from_list(&list).unwrap_or_else(|_| Fields::new())
}
