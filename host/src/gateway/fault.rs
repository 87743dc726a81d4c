//! The one table from what went wrong to what the client is told: status, public text, label for
//! logs and metrics, and whose fault it is.
//!
//! Nothing that a guest says reaches the client through here; the log has the whole chain.

use std::time::Duration;

use http::StatusCode;

use super::body::BodyFault;
use crate::instance::Failure;
use crate::service::{CallKind, Refused, Shed};

/// Why a request is answered by the gateway instead of a guest.
#[derive(Debug)]
pub(crate) enum Fault {
    /// The request cannot be understood; with what is wrong with it.
    BadRequest(&'static str),
    /// No route fits.
    NotFound,
    /// Routes fit, but none for the method; with the methods that have one.
    MethodNotAllowed(String),
    /// What came is no HTTP/1 request; with hyper's reason.
    NotHttp(String),
    /// The request's target is longer than any is.
    TargetTooLong,
    /// The head did not come to its end in time.
    HeadLate,
    /// The head is larger than `http.limits` allow.
    HeadersTooLarge,
    /// The body is larger than `limits.request-body` allows.
    BodyTooLarge,
    /// The client paused for too long in its body.
    BodyTimeout,
    /// The client broke off its body.
    BodyBroken,
    /// The service did not answer.
    Service(Refused),
}

/// Whose fault a failed request is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blame {
    /// Who sent it.
    Client,
    /// The service's component.
    Guest,
    /// Another service, which that one called.
    Callee,
    /// Skep, or the machine's load.
    Host,
}

/// One row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) status: StatusCode,
    pub(crate) text: &'static str,
    pub(crate) label: &'static str,
    pub(crate) blame: Blame,
}

/// When a client may try again where nobody knows better.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Fault {
    /// Its row.
    pub(crate) fn row(&self) -> Row {
        use Blame::{Client, Guest, Host};
        let row = |status, text, label, blame| Row {
            status,
            text,
            label,
            blame,
        };
        match self {
            Fault::BadRequest(text) => row(StatusCode::BAD_REQUEST, text, "bad-request", Client),
            Fault::NotFound => row(
                StatusCode::NOT_FOUND,
                "No service is routed at this host and path.",
                "no-route",
                Client,
            ),
            Fault::MethodNotAllowed(_) => row(
                StatusCode::METHOD_NOT_ALLOWED,
                "This path does not take this method; the Allow header lists those it takes.",
                "method-not-allowed",
                Client,
            ),
            Fault::NotHttp(_) => row(
                StatusCode::BAD_REQUEST,
                "What was sent is not an HTTP/1 request.",
                "not-http",
                Client,
            ),
            Fault::TargetTooLong => row(
                StatusCode::URI_TOO_LONG,
                "The request's target is too long.",
                "target-too-long",
                Client,
            ),
            Fault::HeadLate => row(
                StatusCode::REQUEST_TIMEOUT,
                "The request's header did not arrive in time.",
                "header-timeout",
                Client,
            ),
            Fault::HeadersTooLarge => row(
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                "The request's header fields are too large or too many.",
                "headers-too-large",
                Client,
            ),
            Fault::BodyTooLarge => row(
                StatusCode::PAYLOAD_TOO_LARGE,
                "The request's body is larger than this service takes.",
                "body-too-large",
                Client,
            ),
            Fault::BodyTimeout => row(
                StatusCode::REQUEST_TIMEOUT,
                "The request's body did not arrive in time.",
                "body-timeout",
                Client,
            ),
            Fault::BodyBroken => row(
                StatusCode::BAD_REQUEST,
                "The request's body broke off.",
                "body-broken",
                Client,
            ),
            Fault::Service(Refused::Closed(_)) => row(
                StatusCode::SERVICE_UNAVAILABLE,
                "The service is not available at the moment.",
                "unavailable",
                Guest,
            ),
            Fault::Service(Refused::Shed(Shed::QueueFull)) => {
                row(StatusCode::SERVICE_UNAVAILABLE, BUSY, "queue-full", Host)
            }
            Fault::Service(Refused::Shed(Shed::QueueTimeout)) => {
                row(StatusCode::SERVICE_UNAVAILABLE, BUSY, "queue-timeout", Host)
            }
            Fault::Service(Refused::Shed(Shed::Memory)) => row(
                StatusCode::SERVICE_UNAVAILABLE,
                NO_MEMORY,
                "memory-pressure",
                Host,
            ),
            Fault::Service(Refused::Failed(failure)) => failed(failure),
        }
    }

    /// What the Retry-After header says, where one belongs.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Fault::Service(Refused::Closed(closed)) => closed.retry_after(),
            Fault::Service(Refused::Shed(_)) => Some(RETRY_AFTER),
            Fault::Service(Refused::Failed(failure)) => match &**failure {
                Failure::NoMemory(_) => Some(RETRY_AFTER),
                Failure::Callee(error) if error.kind() == CallKind::Unavailable => {
                    Some(error.retry_after().unwrap_or(RETRY_AFTER))
                }
                _ => None,
            },
            _ => None,
        }
    }

    /// If the client broke its own request, that is the cause, whatever the guest made of it.
    pub(crate) fn of_body(fault: BodyFault) -> Fault {
        match fault {
            BodyFault::TooLarge => Fault::BodyTooLarge,
            BodyFault::TimedOut => Fault::BodyTimeout,
            BodyFault::Broken => Fault::BodyBroken,
        }
    }

    /// The error with its causes, for the log.
    pub(crate) fn chain(&self) -> Option<String> {
        match self {
            Fault::NotHttp(reason) => Some(reason.clone()),
            Fault::Service(Refused::Closed(closed)) => Some(closed.reason.clone()),
            Fault::Service(Refused::Failed(failure)) => {
                Some(crate::log::chain(&**failure).to_string())
            }
            _ => None,
        }
    }
}

const NO_MEMORY: &str = "The server has no memory for more requests at the moment.";

const BUSY: &str = "The service has more requests than it can take at the moment.";

fn failed(failure: &Failure) -> Row {
    let (status, text) = match failure {
        Failure::Deadline => (
            StatusCode::GATEWAY_TIMEOUT,
            "The service did not answer in time.",
        ),
        Failure::Replaced => (
            StatusCode::GATEWAY_TIMEOUT,
            "The service was replaced before it had answered.",
        ),
        Failure::Instantiate(_) => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The service could not be started.",
        ),
        Failure::NoMemory(_) => (StatusCode::SERVICE_UNAVAILABLE, NO_MEMORY),
        Failure::Callee(error) => match error.kind() {
            CallKind::Unavailable => (
                StatusCode::SERVICE_UNAVAILABLE,
                "A service that is needed for this is not available at the moment.",
            ),
            CallKind::Deadline => (
                StatusCode::GATEWAY_TIMEOUT,
                "A service that is needed for this did not answer in time.",
            ),
            CallKind::Failed | CallKind::Stale | CallKind::Impossible => (
                StatusCode::BAD_GATEWAY,
                "A service that is needed for this failed.",
            ),
        },
        Failure::HostPanic { .. } => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The server failed to handle the request.",
        ),
        Failure::Trap(_)
        | Failure::CpuLimit(_)
        | Failure::MemoryLimit(_)
        | Failure::NoResponse
        | Failure::UnfinishedBody
        | Failure::ErrorCode { .. } => (
            StatusCode::BAD_GATEWAY,
            "The service failed to answer the request.",
        ),
    };
    let blame = match failure {
        Failure::HostPanic { .. } | Failure::NoMemory(_) => Blame::Host,
        Failure::Callee(_) => Blame::Callee,
        _ => Blame::Guest,
    };
    Row {
        status,
        text,
        label: failure.label(),
        blame,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_guests_words_never_reach_the_client() {
        let secret = "secret of the guest";
        let failures = [
            Failure::Trap(wasmtime::Error::msg(secret).into()),
            Failure::CpuLimit(wasmtime::Error::msg(secret).into()),
            Failure::MemoryLimit(wasmtime::Error::msg(secret).into()),
            Failure::Instantiate(wasmtime::Error::msg(secret).into()),
            Failure::ErrorCode {
                code: secret.to_owned(),
            },
            Failure::HostPanic {
                message: secret.to_owned(),
            },
        ];
        for failure in failures {
            let fault = Fault::Service(Refused::Failed(Arc::new(failure)));
            assert!(!fault.row().text.contains(secret));
            assert!(
                fault.chain().unwrap().contains(secret),
                "but the log has them"
            );
        }
    }

    #[test]
    fn what_may_be_tried_again_says_when() {
        assert!(
            Fault::Service(Refused::Shed(Shed::QueueFull))
                .retry_after()
                .is_some()
        );
        let full = Failure::NoMemory(crate::memory::Refusal::Host);
        let full = Fault::Service(Refused::Failed(Arc::new(full)));
        assert!(full.retry_after().is_some());
        assert_eq!(full.row().blame, Blame::Host);
        assert!(Fault::NotFound.retry_after().is_none());
    }
}
