//! A crash, as its supervisor is told of it: what was lost, and what it was doing.

use std::sync::Arc;
use std::time::Duration;

use http::Method;
use http::uri::PathAndQuery;

use super::{Call, Function};
use crate::gateway::RequestId;
use crate::instance::Failure;

/// What an instance was doing for a request. Made for every request: a few reference counts.
#[derive(Clone, Debug)]
pub(crate) struct Doing {
    pub(crate) id: RequestId,
    pub(crate) work: Work,
}

/// The part of a request that an instance had.
#[derive(Clone, Debug)]
pub(crate) enum Work {
    /// It answered the request itself.
    Answer {
        method: Method,
        target: Option<PathAndQuery>,
        /// The route that led to the service, as the manifest writes it.
        route: Option<Arc<str>>,
    },
    /// Another service called a function of it.
    Call {
        caller: Arc<str>,
        function: Function,
    },
}

impl Doing {
    pub(crate) fn of(call: &Call) -> Doing {
        Doing {
            id: call.request_id.clone(),
            work: Work::Answer {
                method: call.request.method().clone(),
                target: call.request.uri().path_and_query().cloned(),
                route: call.route.clone(),
            },
        }
    }

    pub(super) fn call(id: RequestId, caller: Arc<str>, function: Function) -> Doing {
        let work = Work::Call { caller, function };
        Doing { id, work }
    }
}

/// What was lost in a crash.
#[derive(Clone, Debug, Default)]
pub(crate) struct Lost {
    /// The instance's number; 0 if there was none yet.
    pub(crate) instance: u64,
    /// The requests it was serving, [`DOING_TOLD`] at most.
    pub(crate) doing: Vec<Doing>,
    /// CPU time of the call, or of the instance.
    pub(crate) cpu: Duration,
}

/// Requests told of in an incident. A shared instance may have had thousands.
pub(crate) const DOING_TOLD: usize = 16;

/// What the supervisor is told of. Sent for crashes only, never for requests that went well.
#[derive(Debug)]
pub struct Incident {
    /// The revision whose instance failed.
    pub(crate) revision: u32,
    pub(crate) lost: Lost,
    /// How it failed.
    pub(crate) failure: Arc<Failure>,
    /// Good answers since the incident before.
    pub(crate) answered_since: u64,
}
