//! What the state machine takes in, and what it asks for.
use std::time::Duration;

use super::phase::Cause;

/// What happened. `epoch` is the number of the [`Action::Begin`] that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The service is wanted. Without meaning where it is already started, or parked.
    Start,
    /// It is instantiated and has answered its start-up check; a worker has entered `run`. With a
    /// cause it is not ready to take requests yet.
    Started {
        epoch: u64,
        unready: Option<Cause>,
    },
    StartFailed {
        epoch: u64,
        cause: Cause,
    },
    /// An instance (or the worker) was lost by its own fault.
    Crashed {
        epoch: u64,
        cause: Cause,
        /// Good answers of the service since its previous crash; 0 for a worker.
        answered_since: u64,
    },
    /// A worker has ended by itself.
    Exited {
        epoch: u64,
        ok: bool,
    },
    /// Its liveness checks failed as often in a row as makes it dead.
    HealthFailed {
        epoch: u64,
        cause: Cause,
    },
    /// Its readiness checks say that it can take no requests for now.
    ReadinessLost {
        epoch: u64,
        cause: Cause,
    },
    /// Its readiness checks say that it takes requests again.
    ReadinessBack {
        epoch: u64,
    },
    /// The timer of this [`Action::ArmTimer`] is due.
    TimerFired {
        token: u64,
    },
    /// The service is no longer wanted; what is under way may end until then.
    StopRequested {
        deadline: Duration,
        cause: Cause,
    },
    /// The service is given up; what is under way may end until then.
    ParkRequested {
        deadline: Duration,
        cause: Cause,
    },
    /// Somebody wants a new start, also of a parked service; what is under way may end until then.
    RestartRequested {
        deadline: Duration,
    },
    /// Nothing of the service runs any more, in answer to this [`Action::Drain`].
    Drained {
        token: u64,
    },
}

/// What the host is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// Instantiate and check the health, or run the worker; answer `Started` or `StartFailed`, for a
    /// worker later `Exited` or `Crashed`, with this number.
    Begin { epoch: u64, attempt: u32 },
    /// Give up the `Begin` of this number; its answers do not matter any more.
    Abandon { epoch: u64 },
    /// Admit requests.
    Open,
    /// Admit no more requests; those under way go on.
    Close,
    /// Answer `TimerFired` at this time. Each replaces the one before.
    ArmTimer { at: Duration, token: u64 },
    /// End what is under way, a `Begin` too, in good order until the deadline; then answer
    /// `Drained`.
    Drain { deadline: Duration, token: u64 },
    /// End at once whatever of the service still runs.
    Cut,
    /// Tell those who watch.
    Report(Report),
}

/// Something worth a line in the log or a count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    Ready {
        /// From the beginning of this start.
        took: Duration,
    },
    StartFailed {
        attempt: u32,
        cause: Cause,
    },
    Crashed {
        cause: Cause,
        /// False if it was forgiven.
        counted: bool,
        /// Counted crashes within the window.
        crashes: u32,
    },
    HealthFailed {
        cause: Cause,
    },
    ReadinessLost {
        cause: Cause,
    },
    ReadinessBack,
    BackingOff {
        delay: Duration,
        attempt: u32,
        cause: Cause,
    },
    Parked {
        cause: Cause,
        crashes: u32,
    },
    Draining {
        deadline: Duration,
        cause: Cause,
    },
    /// The drain's deadline has passed.
    Cut,
    Stopped {
        cause: Cause,
    },
}
