//! Asks a service that is up for its readiness and its liveness, and counts the answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::health::{HealthCheck, Tally};
use tokio::sync::mpsc;

use super::{Charge, Outcome};
use crate::{probe, task};

/// What a check is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// Whether it can take requests.
    Readiness,
    /// Whether it is alive.
    Liveness,
}

/// One check of a service, asked again and again while that is up.
pub(super) struct Watch {
    pub(super) purpose: Purpose,
    check: HealthCheck,
    tally: Tally,
    due: Instant,
    asking: Option<task::Own<()>>,
}

impl Watch {
    /// `well`: what the service is taken for until its answers say otherwise.
    pub(super) fn new(purpose: Purpose, check: &HealthCheck, well: bool) -> Watch {
        Watch {
            purpose,
            check: check.clone(),
            tally: Tally::new(check, well),
            due: Instant::now() + check.interval,
            asking: None,
        }
    }

    /// Asks if it is time to. The answer comes as an [`Outcome::Checked`].
    pub(super) fn ask(
        &mut self,
        charge: &Arc<Charge>,
        results: &mpsc::UnboundedSender<Outcome>,
        epoch: u64,
    ) {
        let busy = self
            .asking
            .as_ref()
            .is_some_and(|asking| !asking.is_finished());
        if busy || Instant::now() < self.due {
            return;
        }
        self.due = Instant::now() + self.check.interval;
        let (charge, results) = (charge.clone(), results.clone());
        let (check, purpose) = (self.check.clone(), self.purpose);
        let asking = task::own(task::Kind::Supervisor, async move {
            let asked = probe::probe(&charge.service, &charge.revision, &check).await;
            let answer = asked.map_err(|error| error.to_string());
            // The receiver lives as long as this task's handle.
            let _ = results.send(Outcome::Checked {
                epoch,
                purpose,
                answer,
            });
        });
        self.asking = Some(asking);
    }

    /// Counts an answer. `Some` if it turns what the service is taken for.
    pub(super) fn record(&mut self, good: bool) -> Option<bool> {
        self.tally.record(good)
    }

    /// Answers that are missing to turn that.
    pub(super) fn missing(&self) -> u32 {
        self.tally.missing()
    }

    /// The soonest that it can turn.
    pub(super) fn turns_in(&self) -> Duration {
        let more = self.tally.missing().saturating_sub(1);
        let next = self.due.saturating_duration_since(Instant::now());
        next.saturating_add(self.check.interval.saturating_mul(more))
    }
}
