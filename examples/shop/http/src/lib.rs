//! HTTP as the shop's services see it: a whole request comes in, a whole response goes out. The
//! services stay free of WASI, and their logic can be tested without a host.
mod form;
mod problem;
mod request;
mod response;
mod server;

pub use form::Form;
pub use problem::Problem;
pub use request::{Method, Request};
pub use response::Response;
pub use server::handle;

#[doc(hidden)]
pub use wasip2;

/// Makes the crate a component that answers HTTP requests with `$answer`, a
/// `fn(&Request) -> Response`.
#[macro_export]
macro_rules! serve {
    ($answer:path) => {
        struct Handler;

        impl $crate::wasip2::exports::http::incoming_handler::Guest for Handler {
            fn handle(
                request: $crate::wasip2::http::types::IncomingRequest,
                out: $crate::wasip2::http::types::ResponseOutparam,
            ) {
                $crate::handle(request, out, $answer);
            }
        }

        $crate::wasip2::http::proxy::export!(Handler);
    };
}
