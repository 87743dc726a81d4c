//! Makes outgoing requests on WASI 0.3: `/fetch?url=URL&first-byte-ms=N` answers `status: N`, an
//! empty line and the body, or 502 with the error code as WASI names it; `/pipe?url=URL` hands
//! the response's stream on as it is; `/post?url=URL` sends the incoming request's body along.
//! The URL stands last and unescaped.
use wasip3::http::client;
use wasip3::http::types::{ErrorCode, Fields, Method, Request, RequestOptions, Response, Scheme};
use wasip3::wit_bindgen::StreamResult;
use wasip3::{spawn_local, wit_future, wit_stream};

const PIECE: usize = 64 * 1024;

struct Fetcher;
wasip3::http::service::export!(Fetcher);

impl wasip3::exports::http::handler::Guest for Fetcher {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let target = request.get_path_with_query().unwrap_or_default();
        let Some((path, query)) = target.split_once('?') else {
            return Ok(text(200, "fetcher-p3\n".to_string()));
        };
        let Some((settings, url)) = query.split_once("url=") else {
            return Ok(text(400, "there is no url\n".to_string()));
        };
        let body = (path == "/post").then_some(request);
        let answer = match outgoing(url, settings, body) {
            Ok(request) => client::send(request).await,
            Err(mistake) => return Ok(text(400, format!("error: {mistake}\n"))),
        };
        match answer {
            Ok(response) if path == "/pipe" => Ok(pipe(response)),
            Ok(response) => Ok(whole(response).await),
            Err(code) => Ok(text(502, format!("error: {code:?}\n"))),
        }
    }
}

fn outgoing(url: &str, settings: &str, body: Option<Request>) -> Result<Request, String> {
    let (scheme, rest) = url.split_once("://").ok_or("the URL has no scheme")?;
    let (authority, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let options = RequestOptions::new();
    if let Some(milliseconds) = settings.strip_prefix("first-byte-ms=") {
        let milliseconds = milliseconds.trim_end_matches('&').parse().unwrap_or(0u64);
        options
            .set_first_byte_timeout(Some(milliseconds * 1_000_000))
            .map_err(|error| format!("{error:?}"))?;
    }
    let has_body = body.is_some();
    let (contents, trailers) = match body {
        Some(request) => {
            let (body, trailers) = Request::consume_body(request, wit_future::new(|| Ok(())).1);
            (Some(body), trailers)
        }
        None => (None, wit_future::new(|| Ok(None)).1),
    };
    let (request, _sent) = Request::new(Fields::new(), contents, trailers, Some(options));
    let scheme = match scheme {
        "http" => Scheme::Http,
        "https" => Scheme::Https,
        other => Scheme::Other(other.to_string()),
    };
    let method = if has_body { Method::Post } else { Method::Get };
    request
        .set_method(&method)
        .and_then(|()| request.set_scheme(Some(&scheme)))
        .and_then(|()| request.set_authority(Some(authority)))
        .and_then(|()| request.set_path_with_query(Some(path)))
        .map_err(|()| format!("the host refuses {url:?}"))?;
    Ok(request)
}

async fn whole(response: Response) -> Response {
    let mut answer = format!("status: {}\n\n", response.get_status_code()).into_bytes();
    let (mut body, trailers) = Response::consume_body(response, wit_future::new(|| Ok(())).1);
    loop {
        let (result, mut chunk) = body.read(Vec::with_capacity(PIECE)).await;
        answer.append(&mut chunk);
        if !matches!(result, StreamResult::Complete(_)) {
            break;
        }
    }
    match trailers.await {
        Ok(_) => text(200, String::from_utf8_lossy(&answer).into_owned()),
        Err(code) => text(502, format!("error: in the body: {code:?}\n")),
    }
}

fn pipe(response: Response) -> Response {
    let status = response.get_status_code();
    let (body, trailers) = Response::consume_body(response, wit_future::new(|| Ok(())).1);
    let piped = Response::new(Fields::new(), Some(body), trailers).0;
    piped
        .set_status_code(status)
        .expect("a status that came is legal");
    piped
}

fn text(status: u16, body: String) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let response = Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0;
    response.set_status_code(status).expect("a legal status");
    spawn_local(async move {
        writer.write_all(body.into_bytes()).await;
    });
    response
}
