//! What a test's runner needs so as to be asked over HTTP: it exports nothing but `run`.
use wasip2::http::types::{Fields, OutgoingBody, OutgoingResponse, ResponseOutparam};

/// Makes `run` of the crate's own `Component` what answers requests: with `passed`, if it returns.
#[macro_export]
macro_rules! front {
    () => {
        struct Front;
        wasip2::http::proxy::export!(Front);

        impl wasip2::exports::http::incoming_handler::Guest for Front {
            fn handle(
                _: wasip2::http::types::IncomingRequest,
                out: wasip2::http::types::ResponseOutparam,
            ) {
                <crate::Component as crate::Guest>::run();
                $crate::passed(out);
            }
        }
    };
}

/// Answers. Errors of the stream are ignored: they mean that the client is gone.
pub fn passed(out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    let Ok(body) = body else { return };
    if let Ok(stream) = body.write() {
        let _ = stream.blocking_write_and_flush(b"passed");
    }
    let _ = OutgoingBody::finish(body, None);
}
