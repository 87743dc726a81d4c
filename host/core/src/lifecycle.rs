//! The life of one service as a pure state machine: the host's supervisor feeds it events and the
//! time, and does what it answers.
//!
//! ```text
//!             Start             Started         readiness
//!  Stopped ──────────▶ Starting ───────▶ Ready ◀────────▶ Unready
//!     ▲                 ▲    │ StartFailed │ too many crashes, │
//!     │ Drained,        │    ▼             ▼ health failed,    ▼ a worker failed
//!  Draining ◀─ any  BackingOff ◀──────────┴───────────────────┤
//!               StopRequested, RestartRequested               ▼ again and again: Parked
//! ```
//!
//! Rules that the simulation (`tests/simulation.rs`) checks after every event:
//!
//! - A crash of an HTTP service loses an instance, not the service: it stays ready until there are
//!   more than `max` counted crashes `within` the window. A crash after [`FORGIVEN_AFTER`] good
//!   answers says something about one request and does not count.
//! - More than `max` failures without a healthy period between them park the service; only
//!   `RestartRequested` and `StopRequested` lead out.
//! - Requests are admitted exactly while an HTTP service is ready; its readiness checks take it out of
//!   that and back without a start.
//! - At most one `Begin` is outstanding; results, timers and drains carry the number that they answer,
//!   and stale ones are dropped and counted.
//! - `StopRequested` ends in `Stopped`, at the latest when its deadline has passed, unless somebody
//!   asks for another start meanwhile.
use std::time::Duration;

use crate::restart::{Backoff, Intensity, RestartPolicy, RestartWhen};

mod enter;
pub mod event;
pub mod phase;

pub use event::{Action, Event, Report};
pub use phase::{Cause, CauseKind, Phase, Then};

/// Good answers since the previous crash after which a crash is forgiven: it says something about one
/// request, not about the service.
pub const FORGIVEN_AFTER: u64 = 10;
/// A start that takes longer has failed, whatever the host's own time-outs say.
pub const START_TIMEOUT: Duration = Duration::from_secs(60);

/// What kind of service this is; the host finds it out from the component's exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Kind {
    /// Handles requests; its instances come and go while it is ready.
    Http,
    /// Answers calls of other services, in the same way.
    Provider,
    /// Runs until it ends (`wasi:cli/run`).
    Worker,
}

/// What a service's life depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub kind: Kind,
    pub restart: RestartPolicy,
    /// See [`START_TIMEOUT`].
    pub start_timeout: Duration,
}

impl Settings {
    pub fn new(kind: Kind, restart: RestartPolicy) -> Self {
        Self {
            kind,
            restart,
            start_timeout: START_TIMEOUT,
        }
    }
}

/// The state machine of one service.
#[derive(Debug, Clone)]
pub struct Lifecycle {
    settings: Settings,
    phase: Phase,
    /// The latest time seen: a clock that goes back does not move it.
    now: Duration,
    /// The number of the latest `Begin`.
    epoch: u64,
    /// The number of the latest timer or drain.
    token: u64,
    /// The timer that this phase waits for.
    timer: Option<u64>,
    /// The drain that this phase waits for.
    drain: Option<u64>,
    /// Counted crashes of an HTTP service.
    intensity: Intensity,
    backoff: Backoff,
    /// Failures without a healthy period between them.
    strikes: u32,
    /// Since when nothing has failed; only of meaning while ready.
    quiet_since: Duration,
    /// Failures of the service, ever.
    failures: u64,
    stale: u64,
}

impl Lifecycle {
    /// A service that has not been started. The same seed gives the same waits.
    pub fn new(settings: Settings, seed: u64) -> Self {
        let restart = &settings.restart;
        Self {
            intensity: Intensity::new(restart.max, restart.within),
            backoff: Backoff::new(restart.backoff, seed),
            phase: Phase::Stopped {
                since: Duration::ZERO,
                cause: Cause::new(CauseKind::NotStarted, "not started yet"),
            },
            now: Duration::ZERO,
            epoch: 0,
            token: 0,
            timer: None,
            drain: None,
            strikes: 0,
            quiet_since: Duration::ZERO,
            failures: 0,
            stale: 0,
            settings,
        }
    }

    /// Where the service stands.
    pub fn phase(&self) -> &Phase {
        &self.phase
    }

    /// The number of the latest `Begin`; events that come from something it began carry it.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Events that came too late or twice and were dropped.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// Failures without a healthy period between them.
    pub fn strikes(&self) -> u32 {
        self.strikes
    }

    /// Failures of the service (not of one of its instances), ever.
    pub fn failures(&self) -> u64 {
        self.failures
    }

    /// Whether this timer, fired at `now`, would end a back-off with a start.
    pub fn would_begin(&self, now: Duration, token: u64) -> bool {
        let due = |until: Duration| self.now.max(now) >= until;
        self.timer == Some(token)
            && matches!(self.phase, Phase::BackingOff { until, .. } if due(until))
    }

    /// Takes in what happened at `now` (since an arbitrary origin, the same for all calls) and
    /// answers what to do, in this order. A time before that of an earlier call counts as that time.
    pub fn step(&mut self, now: Duration, event: Event) -> Vec<Action> {
        self.now = self.now.max(now);
        let mut actions = Vec::new();
        let accepted = match event {
            Event::Start => self.start(&mut actions),
            Event::Started { epoch, unready } => {
                epoch == self.epoch && self.started(unready, &mut actions)
            }
            Event::StartFailed { epoch, cause } => {
                epoch == self.epoch && self.start_failed(cause, &mut actions)
            }
            Event::Crashed {
                epoch,
                cause,
                answered_since,
            } => epoch == self.epoch && self.crashed(cause, answered_since, &mut actions),
            Event::Exited { epoch, ok } => epoch == self.epoch && self.exited(ok, &mut actions),
            Event::HealthFailed { epoch, cause } => {
                epoch == self.epoch && self.health_failed(cause, &mut actions)
            }
            Event::ReadinessLost { epoch, cause } => {
                epoch == self.epoch && self.readiness_lost(cause, &mut actions)
            }
            Event::ReadinessBack { epoch } => {
                epoch == self.epoch && self.readiness_back(&mut actions)
            }
            Event::TimerFired { token } => {
                self.timer == Some(token) && self.timer_fired(&mut actions)
            }
            Event::StopRequested { deadline, cause } => self.stop(deadline, cause, &mut actions),
            Event::ParkRequested { deadline, cause } => {
                self.park_on_request(deadline, cause, &mut actions)
            }
            Event::RestartRequested { deadline } => self.restart(deadline, &mut actions),
            Event::Drained { token } => {
                self.drain == Some(token) && self.drained(false, &mut actions)
            }
        };
        self.stale += u64::from(!accepted);
        actions
    }

    // What happened. Each answers whether the event had a meaning in this phase.

    fn start(&mut self, actions: &mut Vec<Action>) -> bool {
        match &mut self.phase {
            Phase::Stopped { .. } => {
                self.forgive();
                self.begin(actions);
            }
            Phase::Draining { then, .. } => *then = Then::Starting,
            // Parked is left on purpose only, and the others have started.
            _ => {}
        }
        true
    }

    fn started(&mut self, unready: Option<Cause>, actions: &mut Vec<Action>) -> bool {
        let Phase::Starting { since, .. } = self.phase else {
            return false;
        };
        self.timer = None;
        self.intensity.clear();
        self.quiet_since = self.now;
        self.phase = Phase::Ready {
            since: self.now,
            crashes: 0,
        };
        actions.push(Action::Report(Report::Ready {
            took: self.now.saturating_sub(since),
        }));
        if self.settings.kind != Kind::Worker {
            match unready {
                Some(cause) => self.become_unready(cause, actions),
                None => actions.push(Action::Open),
            }
        }
        true
    }

    fn readiness_lost(&mut self, cause: Cause, actions: &mut Vec<Action>) -> bool {
        if !self.phase.is_ready() || self.settings.kind == Kind::Worker {
            return false;
        }
        self.close(actions);
        self.become_unready(cause, actions);
        true
    }

    fn readiness_back(&mut self, actions: &mut Vec<Action>) -> bool {
        let Phase::Unready { crashes, .. } = self.phase else {
            return false;
        };
        self.phase = Phase::Ready {
            since: self.now,
            crashes,
        };
        actions.push(Action::Report(Report::ReadinessBack));
        actions.push(Action::Open);
        true
    }

    fn start_failed(&mut self, cause: Cause, actions: &mut Vec<Action>) -> bool {
        let Phase::Starting { attempt, .. } = self.phase else {
            return false;
        };
        actions.push(Action::Report(Report::StartFailed {
            attempt,
            cause: cause.clone(),
        }));
        self.fail(cause, actions);
        true
    }

    fn crashed(&mut self, cause: Cause, answered_since: u64, actions: &mut Vec<Action>) -> bool {
        if self.settings.kind == Kind::Worker {
            return self.worker_failed(cause, actions);
        }
        let (Phase::Ready { crashes, .. } | Phase::Unready { crashes, .. }) = &mut self.phase
        else {
            return false;
        };
        if answered_since >= FORGIVEN_AFTER {
            actions.push(Action::Report(Report::Crashed {
                cause,
                counted: false,
                crashes: *crashes,
            }));
            return true;
        }
        let exceeded = self.intensity.record(self.now);
        *crashes = self.intensity.count(self.now);
        actions.push(Action::Report(Report::Crashed {
            cause: cause.clone(),
            counted: true,
            crashes: *crashes,
        }));
        self.end_quiet_period();
        if exceeded {
            self.fail(cause, actions);
        }
        true
    }

    fn exited(&mut self, ok: bool, actions: &mut Vec<Action>) -> bool {
        if self.settings.kind != Kind::Worker {
            return false;
        }
        if !ok {
            let cause = Cause::new(CauseKind::Exited, "the worker ended with an error");
            return self.worker_failed(cause, actions);
        }
        if !matches!(self.phase, Phase::Starting { .. } | Phase::Ready { .. }) {
            return false;
        }
        let cause = Cause::new(CauseKind::Finished, "the worker ended well");
        // A worker that ends well is healthy, however short its life.
        self.forgive();
        if self.settings.restart.when == RestartWhen::Always {
            let floor = self.settings.restart.backoff.floor();
            self.back_off(floor, cause, actions);
        } else {
            self.become_stopped(cause, actions);
        }
        true
    }

    fn worker_failed(&mut self, cause: Cause, actions: &mut Vec<Action>) -> bool {
        match self.phase {
            Phase::Ready { .. } => self.end_quiet_period(),
            // It may end before its start was told.
            Phase::Starting { .. } => {}
            _ => return false,
        }
        actions.push(Action::Report(Report::Crashed {
            cause: cause.clone(),
            counted: true,
            crashes: self.strikes.saturating_add(1),
        }));
        self.fail(cause, actions);
        true
    }

    fn health_failed(&mut self, cause: Cause, actions: &mut Vec<Action>) -> bool {
        if !self.phase.is_up() || self.settings.kind == Kind::Worker {
            return false;
        }
        self.end_quiet_period();
        actions.push(Action::Report(Report::HealthFailed {
            cause: cause.clone(),
        }));
        self.fail(cause, actions);
        true
    }

    fn timer_fired(&mut self, actions: &mut Vec<Action>) -> bool {
        match &self.phase {
            Phase::BackingOff { until, .. } if self.now < *until => {
                let until = *until;
                self.arm(until, actions);
            }
            Phase::BackingOff { .. } => self.begin(actions),
            Phase::Draining { deadline, .. } if self.now < *deadline => {
                let deadline = *deadline;
                self.arm(deadline, actions);
            }
            Phase::Draining { .. } => {
                actions.push(Action::Report(Report::Cut));
                actions.push(Action::Cut);
                return self.drained(true, actions);
            }
            Phase::Starting { since, .. } => {
                let due = since.saturating_add(self.settings.start_timeout);
                if self.now < due {
                    self.arm(due, actions);
                } else {
                    actions.push(Action::Abandon { epoch: self.epoch });
                    let cause = Cause::new(
                        CauseKind::StartTimeout,
                        format!(
                            "the start took longer than {}",
                            crate::duration::show(self.settings.start_timeout)
                        ),
                    );
                    return self.start_failed(cause, actions);
                }
            }
            Phase::Ready { .. }
            | Phase::Unready { .. }
            | Phase::Parked { .. }
            | Phase::Stopped { .. } => return false,
        }
        true
    }

    fn stop(&mut self, deadline: Duration, cause: Cause, actions: &mut Vec<Action>) -> bool {
        match &mut self.phase {
            Phase::Stopped { .. } => {}
            Phase::Draining { .. } => self.drain_on(deadline, Then::Stopped, cause, actions),
            _ => self.drain(deadline, Then::Stopped, cause, actions),
        }
        true
    }

    fn park_on_request(
        &mut self,
        deadline: Duration,
        cause: Cause,
        actions: &mut Vec<Action>,
    ) -> bool {
        match &mut self.phase {
            Phase::Parked { .. } => {}
            Phase::Stopped { .. } | Phase::BackingOff { .. } => self.park(cause, actions),
            Phase::Draining { .. } => self.drain_on(deadline, Then::Parked, cause, actions),
            _ => self.drain(deadline, Then::Parked, cause, actions),
        }
        true
    }

    fn restart(&mut self, deadline: Duration, actions: &mut Vec<Action>) -> bool {
        self.forgive();
        match &mut self.phase {
            Phase::Stopped { .. } | Phase::Parked { .. } | Phase::BackingOff { .. } => {
                self.begin(actions);
            }
            // The start that is under way is the restart.
            Phase::Starting { .. } => {}
            Phase::Ready { .. } | Phase::Unready { .. } => {
                let cause = Cause::new(CauseKind::Requested, "restarts on request");
                self.drain(deadline, Then::Starting, cause, actions);
            }
            Phase::Draining { then, .. } => *then = Then::Starting,
        }
        true
    }

    fn drained(&mut self, cut: bool, actions: &mut Vec<Action>) -> bool {
        let Phase::Draining { then, cause, .. } = &self.phase else {
            return false;
        };
        let mut cause = cause.clone();
        if cut {
            cause.kind = CauseKind::Cut;
            cause.message += "; what did not end in time was cut";
        }
        match then {
            Then::Starting => self.begin(actions),
            Then::Stopped => self.become_stopped(cause, actions),
            Then::Parked => self.park(cause, actions),
        }
        true
    }
}

#[cfg(test)]
mod tests;
