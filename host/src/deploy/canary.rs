//! A trial: what is new serves a share of the requests, until it is promoted or aborted.
//!
//! A trial is not acknowledged: a host that starts again knows nothing of it. What serves is decided
//! request by request, at the gateway: whatever a request leads to goes by the same generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use skep_core::name::ServiceName;
use skep_core::rollout::{Share, Steps};

use super::bench::{Bench, Prepared};
use super::change::{Changed, ServiceChange, differences, to_its_end};
use super::change_error::ChangeError;
use super::entry::Entry;
use super::handover;
use super::member::Member;
use super::probation::Watch;
use super::running::{Roster, Running, Wanted};
use crate::generation::Trial;
use crate::sticky::Sticky;
use crate::task;

/// How large a trial is, how it grows, and who is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary {
    /// Of all requests. A last step of all of them promotes what is on trial.
    pub steps: Steps,
    /// Between two steps.
    pub pause: Duration,
    /// What makes the requests of one client go the same way. Requests without it are drawn.
    pub sticky: Option<Sticky>,
}

/// A trial that has begun, or goes on with another share.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Tried {
    /// The generation that serves all others.
    pub generation: u64,
    /// Of all requests: `5%`.
    #[schema(value_type = String)]
    pub share: Share,
    /// What is on trial.
    pub services: Vec<ServiceChange>,
}

/// What is on trial.
pub(super) struct OnTrial {
    prepared: Prepared,
    entry: Entry,
    share: Share,
    sticky: Option<Sticky>,
    /// What it grows by. It ends with the trial, or when somebody sets the share.
    steps: Option<task::Own<()>>,
}

impl OnTrial {
    /// Why nothing else can change.
    pub(super) fn in_the_way(&self) -> ChangeError {
        let mut candidates = self.prepared.candidates.iter();
        match candidates.next() {
            Some(candidate) => ChangeError::OnTrial {
                service: candidate.name().clone(),
                revision: candidate.number(),
            },
            None => ChangeError::NothingNew,
        }
    }

    fn told(&self, before: &Roster) -> Tried {
        Tried {
            generation: before.generation.number(),
            share: self.share,
            services: differences(&before.members, &self.prepared.members),
        }
    }
}

impl Running {
    /// Builds and proves `wanted` as a change does, and lets it serve a share of the requests. It comes
    /// to its end even if nobody waits for it.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing is on trial.
    pub async fn try_out(
        self: &Arc<Self>,
        mut wanted: Wanted,
        expected: Option<u64>,
        canary: Canary,
    ) -> Result<Tried, ChangeError> {
        let running = self.clone();
        // Nothing is, as long as both are there; and where there can be but one, that is said.
        wanted.state_may_be_lost = true;
        to_its_end(async move {
            let mut bench = running.bench.lock().await;
            let before = running.roster();
            if wanted.is_there(&before) {
                return Err(ChangeError::NothingNew);
            }
            let prepared = running.ready(&mut bench, &before, wanted, expected);
            let (prepared, entry) = prepared.await?;
            let refused = match handover::stateful(&before, &prepared) {
                Some(service) => Some(ChangeError::OneState { service }),
                None => prepared
                    .candidates
                    .is_empty()
                    .then_some(ChangeError::NothingNew),
            };
            if let Some(error) = refused {
                let why = "it cannot be on trial";
                running.give_up(&before, prepared, entry, &error, why).await;
                return Err(error);
            }
            let Canary {
                steps,
                pause,
                sticky,
            } = canary;
            let trial = OnTrial {
                prepared,
                entry,
                share: steps.first(),
                sticky,
                steps: running.step_by_step(&steps, pause),
            };
            running.show(&before, &trial);
            let told = trial.told(&before);
            trial.entry.note(&told).await;
            let watch = Watch::new(&trial.prepared.candidates, &before, None);
            bench.trial = Some(trial);
            if let Some(watch) = watch {
                watch.begin(&running);
            }
            Ok(told)
        })
        .await
    }

    /// The trial goes on with another share, and stays there.
    ///
    /// # Errors
    /// If nothing is on trial.
    pub async fn set_share(&self, share: Share) -> Result<Tried, ChangeError> {
        let mut bench = self.bench.lock().await;
        let trial = bench.trial.as_mut().ok_or(ChangeError::NothingOnTrial)?;
        trial.steps = None;
        Ok(self.grow(trial, share).await)
    }

    async fn grow(&self, trial: &mut OnTrial, share: Share) -> Tried {
        trial.share = share;
        let before = self.roster();
        self.show(&before, trial);
        let told = trial.told(&before);
        trial.entry.note(&told).await;
        told
    }

    /// Goes through the steps after the first, unless it is dropped before: with the trial whose steps
    /// they are.
    fn step_by_step(self: &Arc<Self>, steps: &Steps, pause: Duration) -> Option<task::Own<()>> {
        let later = steps.later().to_vec();
        if later.is_empty() {
            return None;
        }
        let running = Arc::downgrade(self);
        Some(task::own(task::Kind::Deploy, async move {
            for share in later {
                tokio::time::sleep(pause).await;
                let Some(running) = running.upgrade() else {
                    return;
                };
                let mut bench = running.bench.lock().await;
                if share == Share::ALL {
                    return running.finish(&mut bench).await;
                }
                let Some(trial) = &mut bench.trial else {
                    return;
                };
                running.grow(trial, share).await;
            }
        }))
    }

    /// The last step.
    async fn finish(self: &Arc<Self>, bench: &mut Bench) {
        // It is this task, which is not to end with the trial, but when all is done.
        let _own = bench.trial.as_mut().and_then(|trial| trial.steps.take());
        match self.promote_now(bench).await {
            Ok(changed) => tracing::info!(
                generation = changed.generation,
                "what was on trial serves all requests"
            ),
            Err(error) => tracing::error!(
                "what was on trial cannot serve all requests: {}",
                crate::log::chain(&error)
            ),
        }
    }

    /// What is on trial serves all requests from now on.
    ///
    /// # Errors
    /// See [`ChangeError`]; then the trial is over.
    pub async fn promote(self: &Arc<Self>) -> Result<Changed, ChangeError> {
        let running = self.clone();
        to_its_end(async move {
            let mut bench = running.bench.lock().await;
            running.promote_now(&mut bench).await
        })
        .await
    }

    async fn promote_now(self: &Arc<Self>, bench: &mut Bench) -> Result<Changed, ChangeError> {
        let began = Instant::now();
        let before = self.roster();
        self.may_change(&before, None)?;
        let trial = bench.trial.take().ok_or(ChangeError::NothingOnTrial)?;
        let OnTrial {
            prepared, entry, ..
        } = trial;
        self.commit(bench, &before, prepared, entry, began).await
    }

    /// What is on trial goes; what it has begun comes to its end.
    ///
    /// # Errors
    /// If nothing is on trial.
    pub async fn abort(&self) -> Result<Tried, ChangeError> {
        let mut bench = self.bench.lock().await;
        let trial = bench.trial.take().ok_or(ChangeError::NothingOnTrial)?;
        Ok(self.end_trial(trial, ChangeError::Aborted).await)
    }

    /// The same for a candidate that has been found bad, unless it is not on trial any more.
    pub(super) async fn abort_for(
        &self,
        candidate: &Arc<Member>,
        because: &str,
    ) -> Result<Tried, ChangeError> {
        let mut bench = self.bench.lock().await;
        let is_of = |trial: &mut OnTrial| {
            let mut candidates = trial.prepared.candidates.iter();
            candidates.any(|one| Arc::ptr_eq(one, candidate))
        };
        let trial = bench.trial.take_if(is_of);
        let trial = trial.ok_or(ChangeError::NothingOnTrial)?;
        let bad = ChangeError::Bad {
            service: candidate.name().clone(),
            revision: candidate.number(),
            evidence: because.to_owned(),
        };
        Ok(self.end_trial(trial, bad).await)
    }

    async fn end_trial(&self, trial: OnTrial, why: ChangeError) -> Tried {
        let before = self.roster();
        let told = trial.told(&before);
        self.serving.switch(before.generation.clone());
        self.roster.store(Arc::new(Roster {
            trial: None,
            ..(*before).clone()
        }));
        let over = "its trial is over";
        let OnTrial {
            prepared, entry, ..
        } = trial;
        self.give_up(&before, prepared, entry, &why, over).await;
        told
    }

    fn show(&self, before: &Roster, trial: &OnTrial) {
        let (share, sticky) = (trial.share, trial.sticky.clone());
        let candidates = trial.prepared.candidates.clone();
        self.roster.store(Arc::new(Roster {
            trial: Some((candidates, share)),
            ..before.clone()
        }));
        let generation = trial.prepared.generation.clone();
        let trial = Trial {
            generation,
            share,
            sticky,
        };
        self.serving.show(before.generation.clone(), Some(trial));
    }
}

/// The service and its candidate that are on trial.
pub(crate) fn candidate(roster: &Roster, service: &ServiceName) -> Option<(u32, Share)> {
    let (candidates, share) = roster.trial.as_ref()?;
    let mut candidates = candidates.iter();
    let candidate = candidates.find(|candidate| candidate.name() == service)?;
    Some((candidate.number(), *share))
}
