//! Why a call of another service's function came to nothing, in terms of what its caller can do
//! about it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use skep_core::duration::show;

use super::{Closed, Refused, Shed};
use crate::instance::Failure;

/// See the module. What it says may be read by the caller's guest: it names the service and the
/// function, and has no word of the callee's guest.
#[derive(Clone, Debug, thiserror::Error)]
#[error("service `{service}` did not answer {function}: {cause}")]
pub struct CallError {
    /// The service that was called.
    pub service: Arc<str>,
    /// Which of its functions.
    pub function: Function,
    /// Why.
    #[source]
    pub cause: CallCause,
}

/// A function, as the service that exports it names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its interface with the version.
    pub interface: Arc<str>,
    /// Its own name: `get`, `[method]counter.add`.
    pub name: Arc<str>,
}

impl fmt::Display for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{}", self.interface, self.name)
    }
}

/// What went wrong.
#[derive(Clone, Debug)]
pub enum CallCause {
    /// The service did not take the call, or failed.
    Refused(Refused),
    /// So many calls led to this one that it must be a circle.
    TooDeep,
    /// The revision that answers has no such function.
    NoFunction,
    /// The service runs a program and answers no calls.
    Worker,
    /// As many of its instances are kept for those who hold handles as may be.
    Kept,
    /// The instance that a handle is on is gone.
    Stale,
    /// The arguments have handles on several of its instances.
    TwoInstances,
    /// The instance that a handle is on is waiting for this very call.
    Awaited,
    /// The instance that was still writing a stream or a future of the call is gone.
    Cut,
    /// The policy of the link stands in the way.
    Restrained(Restraint),
}

/// What of `[link.CALLER.CALLEE]` keeps a call from its callee.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Restraint {
    /// `timeout`, which is so long.
    Timeout(Duration),
    /// `concurrency`: as many calls as may be are under way.
    Concurrency,
    /// `breaker`: the callee has failed too often.
    Breaker {
        /// When calls will be let through again, as far as that is known.
        after: Duration,
    },
}

/// What a caller makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallKind {
    /// The service is not there at the moment; what was asked has not been done.
    Unavailable,
    /// It took too long.
    Deadline,
    /// It failed while it was at it.
    Failed,
    /// A handle is on an instance that is gone.
    Stale,
    /// It could not be called at all, and never will be like this.
    Impossible,
}

impl CallError {
    /// The call that went wrong first: this one, or that by which its callee was failed. However
    /// long the chain was, two of its ends say enough.
    pub(crate) fn first(&self) -> &CallError {
        let mut first = self;
        while let CallCause::Refused(Refused::Failed(failure)) = &first.cause
            && let Failure::Callee(error) = &**failure
        {
            first = error;
        }
        first
    }

    /// When it is worth another attempt, if that is known.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match &self.first().cause {
            CallCause::Refused(Refused::Closed(closed)) => closed.retry_after(),
            CallCause::Restrained(Restraint::Breaker { after }) => {
                (!after.is_zero()).then_some(*after)
            }
            _ => None,
        }
    }

    /// What a caller makes of it. A service that was failed by another passes that on.
    pub fn kind(&self) -> CallKind {
        self.cause.kind()
    }
}

impl CallCause {
    /// Its name in traces and in the log's lists of calls.
    pub fn label(&self) -> &'static str {
        match self {
            CallCause::Refused(Refused::Closed(_)) => "unavailable",
            CallCause::Refused(Refused::Shed(shed)) => match shed {
                Shed::QueueFull => "queue-full",
                Shed::QueueTimeout => "queue-timeout",
                Shed::Memory => "memory-pressure",
            },
            CallCause::Refused(Refused::Failed(failure)) => failure.label(),
            CallCause::Restrained(Restraint::Timeout(_)) => "link-timeout",
            CallCause::Restrained(Restraint::Concurrency) => "link-concurrency",
            CallCause::Restrained(Restraint::Breaker { .. }) => "link-breaker",
            CallCause::Kept => "instances-kept",
            CallCause::Stale => "stale-handle",
            CallCause::Cut => "instance-lost",
            CallCause::TooDeep
            | CallCause::NoFunction
            | CallCause::Worker
            | CallCause::TwoInstances
            | CallCause::Awaited => "call-impossible",
        }
    }

    /// As [`CallError::kind`].
    pub fn kind(&self) -> CallKind {
        match self {
            CallCause::Refused(Refused::Closed(_) | Refused::Shed(_)) => CallKind::Unavailable,
            CallCause::Refused(Refused::Failed(failure)) => match &**failure {
                Failure::Callee(error) => error.kind(),
                Failure::Deadline | Failure::Replaced => CallKind::Deadline,
                Failure::Instantiate(_) | Failure::NoMemory(_) => CallKind::Unavailable,
                _ => CallKind::Failed,
            },
            CallCause::Kept => CallKind::Unavailable,
            CallCause::Restrained(Restraint::Timeout(_)) => CallKind::Deadline,
            CallCause::Restrained(_) => CallKind::Unavailable,
            CallCause::Stale => CallKind::Stale,
            CallCause::Cut => CallKind::Failed,
            CallCause::TooDeep
            | CallCause::NoFunction
            | CallCause::Worker
            | CallCause::TwoInstances
            | CallCause::Awaited => CallKind::Impossible,
        }
    }

    /// Whether the service may take the same call a moment later. Asked only of calls that have
    /// not begun.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            CallCause::Refused(Refused::Closed(closed)) => closed.coming,
            CallCause::Refused(Refused::Shed(_)) => true,
            CallCause::Refused(Refused::Failed(failure)) => {
                matches!(**failure, Failure::NoMemory(_))
            }
            CallCause::Kept => true,
            CallCause::TooDeep
            | CallCause::NoFunction
            | CallCause::Worker
            | CallCause::Stale
            | CallCause::TwoInstances
            | CallCause::Awaited
            | CallCause::Cut
            | CallCause::Restrained(_) => false,
        }
    }
}

impl fmt::Display for CallCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CallCause::Refused(Refused::Closed(Closed { reason, .. })) => {
                write!(f, "it is not available ({reason})")
            }
            CallCause::Refused(Refused::Shed(shed)) => f.write_str(match shed {
                Shed::QueueFull => "it has more to do than it can take",
                Shed::QueueTimeout => "it had no room for the call in time",
                Shed::Memory => "there is no memory for more calls",
            }),
            CallCause::Refused(Refused::Failed(failure)) => match &**failure {
                Failure::Callee(error) => write!(f, "{error}"),
                failure => write!(f, "it {failure}"),
            },
            CallCause::TooDeep => f.write_str("too many services call each other for one request"),
            CallCause::NoFunction => f.write_str("the revision that answers has no such function"),
            CallCause::Worker => f.write_str("it is a worker, which answers no calls"),
            CallCause::Kept => f.write_str(
                "as many of its instances as it may have are kept for handles on their resources",
            ),
            CallCause::Stale => f.write_str(
                "the handle is stale: the instance that it was on has crashed or was replaced",
            ),
            CallCause::TwoInstances => {
                f.write_str("the arguments have handles on two of its instances")
            }
            CallCause::Awaited => {
                f.write_str("the instance that the handle is on is waiting for this call's caller")
            }
            CallCause::Cut => f.write_str(
                "its instance was lost before a stream or a future of the call had come to its end",
            ),
            CallCause::Restrained(restraint) => restraint.fmt(f),
        }
    }
}

impl fmt::Display for Restraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Restraint::Timeout(timeout) => {
                write!(
                    f,
                    "it took longer than the link's `timeout` of {}",
                    show(*timeout)
                )
            }
            Restraint::Concurrency => f.write_str(
                "as many calls as the link's `concurrency` allows are under way already",
            ),
            Restraint::Breaker { .. } => f.write_str(
                "it has failed so often that the link's `breaker` lets no call through for now",
            ),
        }
    }
}

impl std::error::Error for CallCause {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        let CallCause::Refused(Refused::Failed(failure)) = self else {
            return None;
        };
        match &**failure {
            Failure::Callee(error) => error.cause.source(),
            failure => failure.source(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(service: &str, cause: CallCause) -> CallError {
        CallError {
            service: service.into(),
            function: Function {
                interface: "a:b/c@1.0.0".into(),
                name: "get".into(),
            },
            cause,
        }
    }

    fn failed(failure: Failure) -> CallCause {
        CallCause::Refused(Refused::Failed(Arc::new(failure)))
    }

    #[test]
    fn an_error_names_the_service_the_function_and_the_cause() {
        let trap = Failure::Trap(Arc::new(wasmtime::Error::msg("own words of the guest")));
        let text = error("catalog", failed(trap)).to_string();
        assert_eq!(
            text,
            "service `catalog` did not answer a:b/c@1.0.0#get: it trapped"
        );
    }

    #[test]
    fn what_a_callee_was_failed_by_is_passed_on() {
        let inner = error("stock", failed(Failure::Deadline));
        let outer = error("catalog", failed(Failure::Callee(Box::new(inner))));
        assert_eq!(outer.kind(), CallKind::Deadline);
        assert_eq!(outer.first().service.as_ref(), "stock");
        let chain = crate::log::chain(&outer).to_string();
        assert_eq!(
            chain,
            "service `catalog` did not answer a:b/c@1.0.0#get: service `stock` did not answer \
             a:b/c@1.0.0#get: it did not answer within `limits.deadline`"
        );
    }

    #[test]
    fn what_is_over_or_cannot_be_is_not_tried_again() {
        let shed = CallCause::Refused(Refused::Shed(Shed::QueueFull));
        assert!(shed.may_pass());
        let closed = |coming| {
            CallCause::Refused(Refused::Closed(Closed {
                revision: 1,
                reason: "parked".to_owned(),
                coming,
                retry_at: None,
            }))
        };
        assert!(closed(true).may_pass());
        assert!(!closed(false).may_pass());
        assert!(!CallCause::TooDeep.may_pass());
        assert!(!failed(Failure::NoResponse).may_pass());
    }
}
