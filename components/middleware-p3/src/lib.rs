//! Passes requests on to another service's handler, and marks what comes back.
wit_bindgen::generate!({
    path: "../../wit/wasi-0.3",
    inline: "
        package fixture:middleware;
        world middleware {
            import wasi:http/handler@0.3.0;
            export wasi:http/handler@0.3.0;
        }
    ",
    world: "fixture:middleware/middleware",
    generate_all,
});

use exports::wasi::http::handler::Guest;
use wasi::http::handler;
use wasi::http::types::{ErrorCode, Fields, Request, Response};

struct Middleware;
export!(Middleware);

impl Guest for Middleware {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let passed = match handler::handle(request).await {
            Ok(passed) => passed,
            Err(code) => return Ok(refusal(&code)),
        };
        let status = passed.get_status_code();
        let headers = passed.get_headers().clone();
        let _ = headers.append("x-passed", b"through");
        let (body, trailers) = Response::consume_body(passed, wit_future::new(|| Ok(())).1);
        let (response, _) = Response::new(headers, Some(body), trailers);
        let _ = response.set_status_code(status);
        Ok(response)
    }
}

/// Says in a header what the other service could not.
fn refusal(code: &ErrorCode) -> Response {
    let headers = Fields::new();
    let _ = headers.append("x-refused", format!("{code:?}").as_bytes());
    let (response, _) = Response::new(headers, None, wit_future::new(|| Ok(None)).1);
    let _ = response.set_status_code(503);
    response
}
