//! Lets requests with a key through to another service's handler.
wit_bindgen::generate!({
    path: "../../wit/wasi-0.2",
    inline: "
        package fixture:middleware;
        world middleware {
            import wasi:http/incoming-handler@0.2.12;
            export wasi:http/incoming-handler@0.2.12;
        }
    ",
    world: "fixture:middleware/middleware",
    generate_all,
});

use exports::wasi::http::incoming_handler::Guest;
use wasi::http::incoming_handler;
use wasi::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};

struct Middleware;
export!(Middleware);

impl Guest for Middleware {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        if request.headers().get("x-key") == [b"open"] {
            return incoming_handler::handle(request, out);
        }
        let response = OutgoingResponse::new(Fields::new());
        let _ = response.set_status_code(401);
        let body = response.body();
        ResponseOutparam::set(out, Ok(response));
        if let Ok(body) = body {
            let _ = OutgoingBody::finish(body, None);
        }
    }
}
