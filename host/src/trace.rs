//! What is done for a request, as spans: the request's own, and one for each call of a service's
//! function that it leads to, for each service's handler that it is passed on to, and for each request
//! that is sent out of the host, each the child of the one that made it.
//!
//! The context is W3C Trace Context's. It travels with the errand, from instance to instance, so that
//! guests need not know of it. Spans are recorded where somebody wants them: for the request's line of
//! the log, or for a listener ([`Tracer::listen`]). Where nobody does, a context that came with a
//! request is passed on as it came, and a request without one costs a look.

mod body;
mod context;
mod recorder;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

pub(crate) use self::body::Spanned;
pub use self::context::{Context, SpanId, TraceId};
pub(crate) use self::context::{TRACEPARENT, TRACESTATE};
pub use self::recorder::Tracer;
pub(crate) use self::recorder::{Begun, Calls, Open, Spent, Trace};

/// Something that was done, when it is over.
#[derive(Clone, Debug)]
pub struct Span {
    /// The trace, and the span's own id.
    pub context: Context,
    /// What it was done for; none if this begins the trace.
    pub parent: Option<SpanId>,
    /// When it began.
    pub began: SystemTime,
    /// How long it took, waiting included.
    pub duration: Duration,
    /// Who did it, or sent it; none if a request reached no service.
    pub service: Option<Arc<str>>,
    /// The service's revision; 0 if none was reached.
    pub revision: u32,
    /// What it was.
    pub work: Work,
    /// `ok`, or the label of what went wrong, as in the log; `cancelled` if nobody waited for the
    /// end, `unfinished` if there was none yet.
    pub outcome: &'static str,
    /// Waiting for room.
    pub queued: Duration,
    /// CPU time of the instance that did it, without what it called.
    pub cpu: Duration,
    /// Bytes of arguments and results; none where they crossed one by one.
    pub bytes: Option<Bytes>,
}

/// What a span is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// A client's request.
    Request {
        /// `GET`
        method: http::Method,
        /// The path, without the query.
        path: Arc<str>,
        /// The status answered, if one was.
        status: Option<u16>,
    },
    /// A request that one service passed on to another's handler.
    Passed {
        /// The service that passed it on.
        caller: Arc<str>,
        /// `GET`
        method: http::Method,
        /// The path, without the query.
        path: Arc<str>,
        /// The status answered, if one was.
        status: Option<u16>,
    },
    /// A request that a service sent out of the host.
    Sent {
        /// `GET`
        method: http::Method,
        /// Where to, without the query: `https://api.example.com/prices`.
        target: Arc<str>,
        /// The status answered, if one was.
        status: Option<u16>,
    },
    /// A call of a function.
    Call {
        /// The service that called, or the operator.
        caller: Arc<str>,
        /// The interface, with its version.
        interface: Arc<str>,
        /// The function.
        function: Arc<str>,
    },
}

/// What a call moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// To the callee.
    pub arguments: u64,
    /// Back to the caller.
    pub results: u64,
}

/// Bytes kept of a method, and of a path or a URI: guests choose them.
const METHOD_KEPT: usize = 32;
const PATH_KEPT: usize = 1024;

impl Work {
    /// A request that `caller` passes on.
    pub(crate) fn passed(caller: &Arc<str>, method: &http::Method, path: &str) -> Work {
        Work::Passed {
            caller: caller.clone(),
            method: kept_method(method),
            path: kept(path, PATH_KEPT).into(),
            status: None,
        }
    }

    /// A request that is sent to this target.
    pub(crate) fn sent(method: &http::Method, target: &str) -> Work {
        Work::Sent {
            method: kept_method(method),
            target: kept(target, PATH_KEPT).into(),
            status: None,
        }
    }

    /// The status of a request, if one was answered.
    pub fn status(&self) -> Option<u16> {
        match self {
            Work::Request { status, .. }
            | Work::Passed { status, .. }
            | Work::Sent { status, .. } => *status,
            Work::Call { .. } => None,
        }
    }
}

fn kept(text: &str, most: usize) -> &str {
    text.get(..text.floor_char_boundary(most)).unwrap_or(text)
}

fn kept_method(method: &http::Method) -> http::Method {
    match method.as_str() {
        long if long.len() > METHOD_KEPT => {
            http::Method::from_bytes(kept(long, METHOD_KEPT).as_bytes()).unwrap_or_default()
        }
        _ => method.clone(),
    }
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Work::Request { method, path, .. } | Work::Passed { method, path, .. } => {
                write!(f, "{method} {path}")
            }
            Work::Sent { method, target, .. } => write!(f, "{method} {target}"),
            Work::Call {
                interface,
                function,
                ..
            } => write!(f, "{interface}#{function}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_guest_makes_long_is_cut() {
        let method = http::Method::from_bytes(&[b'M'; 100_000]).unwrap();
        let target = format!("http://a/{}", "ä".repeat(30_000));
        let text = Work::sent(&method, &target).to_string();
        assert!(text.len() <= METHOD_KEPT + 1 + PATH_KEPT, "{}", text.len());
        assert!(text.starts_with("MMMM") && text.contains(" http://a/ää"));
        let passed = Work::passed(&"front".into(), &http::Method::GET, "/cart");
        assert_eq!(passed.to_string(), "GET /cart");
    }
}
