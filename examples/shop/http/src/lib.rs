//! HTTP as the shop's services see it: a whole request comes in, a whole response goes out. The
//! services stay free of WASI, and their logic can be tested without a host.
mod client;
mod form;
mod json;
mod request;
mod response;
mod server;

pub use client::{CallError, Client};
pub use form::{Form, encoded};
pub use json::Problem;
pub use request::{Method, Request};
pub use response::Response;
pub use server::handle;

#[doc(hidden)]
pub use wasip2;

/// Random bytes as lower-case hexadecimal: what ids and session tokens are made of.
pub fn random_token() -> String {
    let bytes = wasip2::random::random::get_random_bytes(16);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Makes the crate a component that answers HTTP requests with `$answer`, a
/// `fn(&Request) -> Response`.
#[macro_export]
macro_rules! serve {
    ($answer:path) => {
        struct Service;

        impl $crate::wasip2::exports::http::incoming_handler::Guest for Service {
            fn handle(
                request: $crate::wasip2::http::types::IncomingRequest,
                out: $crate::wasip2::http::types::ResponseOutparam,
            ) {
                $crate::handle(request, out, $answer);
            }
        }

        $crate::wasip2::http::proxy::export!(Service);
    };
}
