//! What the state machine takes in, and what it asks for.
use std::time::Duration;

use super::phase::Cause;

/// What happened. `epoch` is the number of the [`Action::Begin`] that it comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The service is wanted. Without meaning where it is already started, or parked.
    Start,
    /// It is instantiated and has answered its health check; a worker has entered `run`.
    Started {
        epoch: u64,
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
    /// A ready service is judged unhealthy: its checks failed [`crate::health::FAILURES`] times in a
    /// row.
    HealthFailed {
        epoch: u64,
        cause: Cause,
    },
    /// The timer of this [`Action::ArmTimer`] is due.
    TimerFired {
        token: u64,
    },
    /// The service is no longer wanted; what is under way may end until then.
    StopRequested {
        deadline: Duration,
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
    },
    /// The drain's deadline has passed.
    Cut,
    Stopped {
        cause: Cause,
    },
}
