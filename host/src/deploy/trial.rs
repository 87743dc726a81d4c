//! A trial: what is new serves a share of the requests, or gets copies of calls (`shadow`), until it is
//! promoted or aborted.
//!
//! A trial is not acknowledged: a host that starts again knows nothing of it. What serves is decided
//! request by request, at the gateway: whatever a request leads to goes by the same generation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use skep_core::name::ServiceName;
use skep_core::rollout::{Exposure, Share, Steps};
use skep_core::shadow::Report;
use skep_core::status::Candidate;

use super::bench::{Bench, Prepared};
use super::change::{Changed, ServiceChange, differences, to_its_end};
use super::change_error::ChangeError;
use super::entry::Entry;
use super::handover;
use super::member::Member;
use super::probation::Watch;
use super::running::{Roster, Running, Wanted};
use super::shadow::{self, Shadowed};
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
    /// What it gets.
    #[serde(flatten)]
    pub exposure: Exposure,
    /// What is on trial.
    pub services: Vec<ServiceChange>,
    /// Of what got copies and gets none any more: what has been found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub found: Vec<Report>,
}

/// What is on trial.
pub(super) struct OnTrial {
    pub(super) prepared: Prepared,
    pub(super) entry: Entry,
    pub(super) exposure: Exposure,
    pub(super) sticky: Option<Sticky>,
    /// While it gets copies.
    pub(super) shadowed: Vec<Arc<Shadowed>>,
    /// What it grows by. It ends with the trial, or when somebody sets the share.
    pub(super) steps: Option<task::Own<()>>,
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
            exposure: self.exposure,
            services: differences(&before.members, &self.prepared.members),
            found: Vec::new(),
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
        // Nothing is, as long as both are there; and where there can be but one, that is said.
        wanted.state_may_be_lost = true;
        let running = self.clone();
        to_its_end(async move {
            let mut bench = running.bench.lock().await;
            let stateful = |before: &Roster, prepared: &Prepared| {
                let service = handover::stateful(before, prepared)?;
                Some(ChangeError::OneState { service })
            };
            let (before, prepared, entry) = running
                .candidates(&mut bench, wanted, expected, stateful)
                .await?;
            let Canary {
                steps,
                pause,
                sticky,
            } = canary;
            let trial = OnTrial {
                prepared,
                entry,
                exposure: Exposure::Share(steps.first()),
                sticky,
                shadowed: Vec::new(),
                steps: running.step_by_step(&steps, pause),
            };
            running.watch_trial(&before, &trial);
            Ok(running.begin(&mut bench, &before, trial).await)
        })
        .await
    }

    /// Builds and proves what is to be on trial, unless there is something against that.
    pub(super) async fn candidates(
        &self,
        bench: &mut Bench,
        wanted: Wanted,
        expected: Option<u64>,
        against: impl FnOnce(&Roster, &Prepared) -> Option<ChangeError>,
    ) -> Result<(Arc<Roster>, Prepared, Entry), ChangeError> {
        let before = self.roster();
        if wanted.is_there(&before) {
            return Err(ChangeError::NothingNew);
        }
        let (prepared, entry) = self.ready(bench, &before, wanted, expected).await?;
        let nothing = prepared.candidates.is_empty();
        let refused = match nothing {
            true => Some(ChangeError::NothingNew),
            false => against(&before, &prepared),
        };
        match refused {
            None => Ok((before, prepared, entry)),
            Some(error) => {
                let why = "it cannot be on trial";
                self.give_up(&before, prepared, entry, &error, why).await;
                Err(error)
            }
        }
    }

    /// It is on trial from now on.
    pub(super) async fn begin(&self, bench: &mut Bench, before: &Roster, trial: OnTrial) -> Tried {
        self.show(before, &trial);
        let told = trial.told(before);
        trial.entry.note(&told).await;
        bench.trial = Some(trial);
        told
    }

    fn watch_trial(self: &Arc<Self>, before: &Roster, trial: &OnTrial) {
        let watch = Watch::new(&trial.prepared.candidates, before, None);
        if let Some(watch) = watch {
            watch.begin(self);
        }
    }

    /// The trial goes on with another share, and stays there. What got copies so far answers from now on.
    ///
    /// # Errors
    /// If nothing is on trial, or what is cannot serve beside what does.
    pub async fn set_share(self: &Arc<Self>, share: Share) -> Result<Tried, ChangeError> {
        let mut bench = self.bench.lock().await;
        let trial = bench.trial.as_mut().ok_or(ChangeError::NothingOnTrial)?;
        let before = self.roster();
        if let Some(service) = handover::stateful(&before, &trial.prepared) {
            return Err(ChangeError::OneState { service });
        }
        trial.steps = None;
        let found = shadow::end(&mut trial.shadowed);
        let told = self.grow(trial, share).await;
        if !found.is_empty() {
            self.watch_trial(&before, trial);
        }
        Ok(Tried { found, ..told })
    }

    async fn grow(&self, trial: &mut OnTrial, share: Share) -> Tried {
        trial.exposure = Exposure::Share(share);
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
            prepared,
            mut entry,
            mut shadowed,
            ..
        } = trial;
        let found = shadow::end(&mut shadowed);
        if !found.is_empty() {
            entry.evidence = serde_json::json!({ "shadow": shadow::brief(&found) });
        }
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

    async fn end_trial(&self, mut trial: OnTrial, why: ChangeError) -> Tried {
        let before = self.roster();
        let told = trial.told(&before);
        let found = shadow::end(&mut trial.shadowed);
        self.serving.switch(before.generation.clone());
        self.roster.store(Arc::new(Roster {
            trial: None,
            ..(*before).clone()
        }));
        let over = "its trial is over";
        let OnTrial {
            prepared,
            mut entry,
            ..
        } = trial;
        if !found.is_empty() {
            entry.evidence = serde_json::json!({ "shadow": shadow::brief(&found) });
        }
        self.give_up(&before, prepared, entry, &why, over).await;
        Tried { found, ..told }
    }

    fn show(&self, before: &Roster, trial: &OnTrial) {
        let OnTrial {
            prepared, exposure, ..
        } = trial;
        self.roster.store(Arc::new(Roster {
            trial: Some(OnShow {
                candidates: prepared.candidates.clone(),
                exposure: *exposure,
                shadowed: trial.shadowed.clone(),
            }),
            ..before.clone()
        }));
        let share = match *exposure {
            Exposure::Share(share) => Some(share),
            Exposure::Shadow(_) => None,
        };
        let trial = share.map(|share| Trial {
            generation: prepared.generation.clone(),
            share,
            sticky: trial.sticky.clone(),
        });
        self.serving.show(before.generation.clone(), trial);
    }
}

/// What is on trial, as others see it.
#[derive(Clone)]
pub(crate) struct OnShow {
    pub(super) candidates: Vec<Arc<Member>>,
    exposure: Exposure,
    pub(super) shadowed: Vec<Arc<Shadowed>>,
}

impl OnShow {
    /// The candidate of that service, if it has one.
    pub(crate) fn candidate(&self, service: &ServiceName) -> Option<Candidate> {
        let mut candidates = self.candidates.iter();
        let candidate = candidates.find(|candidate| candidate.name() == service)?;
        Some(Candidate {
            revision: candidate.number(),
            exposure: self.exposure,
        })
    }
}
