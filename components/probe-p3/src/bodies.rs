//! Streamed bodies of wasi:http 0.3: each is written by a task that outlives the handler's call.
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

const PIECE: usize = 64 * 1024;

pub(crate) fn text(status: u16, body: &str) -> Response {
    let body = body.as_bytes().to_vec();
    let (mut writer, reader) = wit_stream::new();
    let headers = Fields::from_list(&[("content-type".to_string(), b"text/plain".to_vec())]);
    let (response, _sent) = Response::new(
        headers.expect("a legal header"),
        Some(reader),
        wit_future::new(|| Ok(None)).1,
    );
    response.set_status_code(status).expect("a legal status");
    spawn_local(async move {
        writer.write_all(body).await;
    });
    response
}

/// Gives the request's stream and trailers back as they are.
pub(crate) fn echo(request: Request) -> Response {
    let (body, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
    Response::new(Fields::new(), Some(body), trailers).0
}

/// Echoes through the guest's memory, chunk by chunk, then passes the trailers on.
pub(crate) fn pipe(request: Request) -> Response {
    let (mut from, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
    let (mut to, reader) = wit_stream::new();
    spawn_local(async move {
        loop {
            let (result, chunk) = from.read(Vec::with_capacity(PIECE)).await;
            let ended = !matches!(result, wasip3::wit_bindgen::StreamResult::Complete(_));
            if !to.write_all(chunk).await.is_empty() || ended {
                return;
            }
        }
    });
    Response::new(Fields::new(), Some(reader), trailers).0
}

/// So many bytes, or bytes without end.
pub(crate) fn send(bytes: Option<u64>) -> Response {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        let mut left = bytes.unwrap_or(u64::MAX);
        while left > 0 {
            let now = left.min(PIECE as u64);
            if !writer.write_all(vec![b'b'; now as usize]).await.is_empty() {
                eprintln!("body: the client is gone");
                return;
            }
            left -= now;
        }
    });
    Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0
}

pub(crate) async fn count(request: Request) -> Response {
    let (mut from, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
    let mut bytes = 0;
    loop {
        let (result, chunk) = from.read(Vec::with_capacity(PIECE)).await;
        bytes += chunk.len();
        if !matches!(result, wasip3::wit_bindgen::StreamResult::Complete(_)) {
            break;
        }
    }
    let end = if trailers.await.is_ok() {
        "whole"
    } else {
        "cut short"
    };
    text(200, &format!("{bytes} bytes, {end}\n"))
}

pub(crate) fn trickle(chunks: u64, milliseconds: u64) -> Response {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        for chunk in 0..chunks {
            if chunk > 0 {
                crate::pause(milliseconds).await;
            }
            let line = format!("chunk {chunk}\n").into_bytes();
            if !writer.write_all(line).await.is_empty() {
                eprintln!("trickle: the client is gone after {chunk} chunks");
                return;
            }
        }
    });
    Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0
}

pub(crate) fn trailers() -> Response {
    finished_with(Ok(Some(
        Fields::from_list(&[("x-checksum".to_string(), b"42".to_vec())]).expect("a legal trailer"),
    )))
}

/// The body starts well and then fails, as the trailers' future says.
pub(crate) fn body_error() -> Response {
    finished_with(Err(ErrorCode::InternalError(Some(
        "the guest's own words".to_string(),
    ))))
}

fn finished_with(end: Result<Option<Fields>, ErrorCode>) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (ended, trailers) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        writer.write_all(b"body before the end\n".to_vec()).await;
        drop(writer);
        let _ = ended.write(end).await;
    });
    Response::new(Fields::new(), Some(reader), trailers).0
}

/// Declares more than it sends.
pub(crate) fn unfinished() -> Response {
    let (mut writer, reader) = wit_stream::new();
    let headers = Fields::from_list(&[("content-length".to_string(), b"100".to_vec())]);
    spawn_local(async move {
        writer.write_all(b"half a body".to_vec()).await;
    });
    let headers = headers.expect("a legal header");
    Response::new(headers, Some(reader), wit_future::new(|| Ok(None)).1).0
}
