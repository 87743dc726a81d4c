//! How the calls of one service to another are treated: how long they may take, how often they are
//! tried, how many there may be, and when they are not even begun.
//!
//! What the manifest says is [`LinkPolicy`]; the machines that keep count are in
//! [`skep_core::link`]. This feeds them with the time and with how each attempt ended.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use skep_core::duration::show;
use skep_core::link::{Breaker, Change, LinkPolicy, Outcome, Permit, RetryBudget};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::Callee;
use crate::instance::cargo::Cargo;
use crate::service::{CallCause, CallError, CallKind, Invocation, Restraint, Unanswered};
use crate::trace::Spent;

/// The pause before the first retry; it grows fourfold with each.
const FIRST_PAUSE: Duration = Duration::from_millis(5);

/// See the module. One for each pair of services, whatever the interface.
pub(crate) struct Policy {
    said: LinkPolicy,
    caller: Arc<str>,
    callee: Callee,
    /// From which the machines count.
    epoch: Instant,
    places: Option<Semaphore>,
    counts: Mutex<Counts>,
}

struct Counts {
    budget: RetryBudget,
    breaker: Option<Breaker>,
}

impl Policy {
    pub(crate) fn new(said: LinkPolicy, caller: Arc<str>, callee: Callee) -> Policy {
        let counts = Counts {
            budget: RetryBudget::new(said.budget),
            breaker: said
                .breaker
                .map(|policy| Breaker::new(policy, fastrand::u64(..))),
        };
        Policy {
            caller,
            callee,
            epoch: Instant::now(),
            places: said.concurrency.map(|most| Semaphore::new(most as usize)),
            counts: Mutex::new(counts),
            said,
        }
    }

    /// Who answers.
    pub(super) fn callee(&self) -> &Callee {
        &self.callee
    }

    /// Whether a call of that function that may have begun may be made again.
    pub(super) fn is_idempotent(&self, function: &str) -> bool {
        self.said.is_idempotent(function)
    }

    /// Makes the call, and makes it again where that can help and is allowed. Dropping the future
    /// cancels the guest.
    ///
    /// # Errors
    /// If the callee was not there, or failed, or the link does not let the call through.
    pub(super) async fn call(&self, mut invocation: Invocation) -> Result<Cargo, CallError> {
        let mut now = Instant::now();
        let _place = match self.place() {
            Ok(place) => place,
            Err(cause) => {
                self.refuse(&invocation, &cause);
                return Err(self.callee.call_error(&invocation.function, cause));
            }
        };
        let patience = invocation.errand.deadline;
        let own = self.said.timeout.map(|timeout| now + timeout);
        let binding = own.filter(|own| patience.is_none_or(|patience| *own < patience));
        invocation.errand.deadline = binding.or(patience);
        self.counts.lock().budget.call(self.since_epoch(now));

        let mut pause = FIRST_PAUSE;
        let mut retries = 0;
        let cause = loop {
            let spare = match invocation.repeatable.is_some() {
                true => invocation.arguments.copy(),
                false => None,
            };
            let Unanswered { cause, unbegun } = match self.attempt(&mut invocation, now).await {
                Ok(results) => return Ok(results),
                Err(unanswered) => unanswered,
            };
            let again = match unbegun {
                Some(arguments) => cause.may_pass().then_some(arguments),
                None => spare.filter(|_| cause.kind() != CallKind::Stale),
            };
            let Some(arguments) = again else { break cause };
            now = Instant::now();
            let late = |deadline: Instant| deadline <= now + pause;
            if retries >= self.said.retries
                || invocation.errand.deadline.is_some_and(late)
                || !self.counts.lock().budget.retry(self.since_epoch(now))
            {
                break cause;
            }
            invocation.arguments = arguments;
            // Those who were turned away together do not come back together.
            Box::pin(tokio::time::sleep(pause.mul_f64(0.5 + fastrand::f64()))).await;
            now = Instant::now();
            pause *= 4;
            retries += 1;
        };
        let is_late = |own: Instant| cause.kind() == CallKind::Deadline && own <= Instant::now();
        let cause = match self.said.timeout {
            Some(timeout) if binding.is_some_and(is_late) => {
                CallCause::Restrained(Restraint::Timeout(timeout))
            }
            _ => cause,
        };
        Err(self.callee.call_error(&invocation.function, cause))
    }

    /// The same for what can be made only once, and has no longer than that.
    ///
    /// # Errors
    /// Those of the attempt, or if the link does not let it through.
    pub(super) async fn once<T>(
        &self,
        patience: Option<Instant>,
        attempt: impl AsyncFnOnce(Option<Instant>) -> Result<T, CallCause>,
    ) -> Result<T, CallCause> {
        let now = Instant::now();
        let _place = self.place()?;
        let own = self.said.timeout.map(|timeout| now + timeout);
        let deadline = own.into_iter().chain(patience).min();
        self.counts.lock().budget.call(self.since_epoch(now));
        let trial = self.admit(now)?;
        let answered = attempt(deadline).await;
        if let Some(mut trial) = trial {
            trial.outcome = match &answered {
                Ok(_) => Outcome::Answered,
                Err(cause) => outcome(cause.kind()),
            };
        }
        answered
    }

    /// One of so many calls at the same time.
    fn place(&self) -> Result<Option<SemaphorePermit<'_>>, CallCause> {
        let place = self.places.as_ref().map(Semaphore::try_acquire).transpose();
        place.map_err(|_| CallCause::Restrained(Restraint::Concurrency))
    }

    async fn attempt(
        &self,
        invocation: &mut Invocation,
        now: Instant,
    ) -> Result<Cargo, Unanswered> {
        let mut trial = match self.admit(now) {
            Ok(trial) => trial,
            Err(cause) => {
                self.refuse(invocation, &cause);
                return Err(Unanswered::refused(cause));
            }
        };
        let bound_to = invocation.bound_to().map(Ok);
        let answered = match bound_to.unwrap_or_else(|| self.callee.of(&invocation.errand)) {
            Ok(callee) => callee.invoke(invocation, now).await,
            Err(cause) => Err(Unanswered::refused(cause)),
        };
        if let Some(trial) = &mut trial {
            trial.outcome = match &answered {
                Ok(_) => Outcome::Answered,
                Err(unanswered) => outcome(unanswered.cause.kind()),
            };
        }
        answered
    }

    /// Leaves a span of a call that is not made.
    fn refuse(&self, invocation: &Invocation, cause: &CallCause) {
        if let Some((span, _)) = invocation.span(self.callee.name()) {
            span.end(cause.label(), Spent::default(), None);
        }
    }

    fn admit(&self, now: Instant) -> Result<Option<Trial<'_>>, CallCause> {
        if self.said.breaker.is_none() {
            return Ok(None);
        }
        let mut counts = self.counts.lock();
        let Some(breaker) = &mut counts.breaker else {
            return Ok(None);
        };
        match breaker.admit(self.since_epoch(now)) {
            Ok(permit) => Ok(Some(Trial {
                policy: self,
                permit: Some(permit),
                outcome: Outcome::Unknown,
            })),
            Err(refusal) => Err(CallCause::Restrained(Restraint::Breaker {
                after: refusal.after,
            })),
        }
    }

    fn ended(&self, permit: Permit, outcome: Outcome) {
        let now = self.since_epoch(Instant::now());
        let mut counts = self.counts.lock();
        let breaker = counts.breaker.as_mut();
        let change = breaker.and_then(|breaker| breaker.ended(permit, outcome, now));
        drop(counts);
        let (caller, callee) = (&self.caller, self.callee.name());
        match change {
            Some(Change::Opened { rest }) => tracing::warn!(
                %caller,
                %callee,
                "calls fail at once for {}: the callee has failed too often",
                show(rest)
            ),
            Some(Change::Closed) => {
                tracing::info!(%caller, %callee, "calls are let through again");
            }
            None => {}
        }
    }

    fn since_epoch(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.epoch)
    }
}

/// What an attempt says of the callee.
fn outcome(kind: CallKind) -> Outcome {
    match kind {
        // Also if it was its caller who had little time left: a callee that hangs would never be
        // found out otherwise.
        CallKind::Unavailable | CallKind::Deadline | CallKind::Failed => Outcome::Failed,
        CallKind::Stale | CallKind::Impossible => Outcome::Unknown,
    }
}

/// An attempt that the breaker has let through; it hears how that ended, also if nobody waits for
/// the end.
struct Trial<'a> {
    policy: &'a Policy,
    permit: Option<Permit>,
    outcome: Outcome,
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        if let Some(permit) = self.permit.take() {
            self.policy.ended(permit, self.outcome);
        }
    }
}
