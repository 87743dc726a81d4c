//! A trial: what is new serves a share of the requests, or gets copies of calls (`shadow`), until it is
//! promoted or aborted.
//!
//! A trial is not acknowledged: a host that starts again knows nothing of it. What serves is decided
//! request by request: whatever a request leads to goes by the same generation.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::effects::{Effects, Member, Shown, Told};
use super::probation::Watch;
use super::refusal::Refusal;
use super::roster::{Made, Prepared, Roster, ServiceChange, Switched, Turn, Wanted, differences};
use super::{Walk, handover};
use crate::probation::Evidence;
use crate::rollout::{Exposure, Share, Steps};
use crate::shadow::Report;

/// How large a trial is, how it grows, and who is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Canary<D> {
    /// Of all requests. A last step of all of them promotes what is on trial.
    pub steps: Steps,
    /// Between two steps.
    pub pause: Duration,
    pub draw: D,
}

/// A trial that has begun, or goes on with another share.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
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

/// What is on trial, as others see it.
pub struct OnShow<E: Effects> {
    pub candidates: Vec<Arc<E::Member>>,
    pub exposure: Exposure,
    /// While it gets copies.
    pub copies: Option<E::Copies>,
}

impl<E: Effects> Clone for OnShow<E> {
    fn clone(&self) -> Self {
        OnShow {
            candidates: self.candidates.clone(),
            exposure: self.exposure,
            copies: self.copies.clone(),
        }
    }
}

/// What is on trial.
pub struct OnTrial<E: Effects> {
    pub(super) made: Made<E>,
    pub(super) exposure: Exposure,
    pub(super) draw: E::Draw,
    pub(super) copies: Option<E::Copies>,
    /// What it grows by. It ends with the trial, or when somebody sets the share.
    pub(super) steps: Option<E::Task>,
}

impl<E: Effects> OnTrial<E> {
    /// Why nothing else can change.
    pub(super) fn in_the_way(&self) -> Refusal {
        let mut candidates = self.made.prepared.candidates.iter();
        match candidates.next() {
            Some(candidate) => Refusal::OnTrial {
                service: candidate.service().clone(),
                revision: candidate.number(),
            },
            None => Refusal::NothingNew,
        }
    }

    /// Whether its requests may come to it.
    pub(super) fn has(&self, member: &Arc<E::Member>) -> bool {
        let mut members = self.made.prepared.members.values();
        members.any(|one| Arc::ptr_eq(one, member))
    }

    fn tries(&self, candidate: &Arc<E::Member>) -> bool {
        let mut candidates = self.made.prepared.candidates.iter();
        candidates.any(|one| Arc::ptr_eq(one, candidate))
    }

    fn told(&self, before: &Roster<E>) -> Tried {
        Tried {
            generation: before.number(),
            exposure: self.exposure,
            services: differences(&before.members, &self.made.prepared.members),
            found: Vec::new(),
        }
    }
}

impl<E: Effects> Walk<E> {
    /// Builds and proves `wanted` as a change does, and lets it serve a share of the requests. It comes
    /// to its end even if nobody waits for it.
    ///
    /// # Errors
    /// Why it is not on trial.
    pub async fn try_out(
        self: &Arc<Self>,
        wanted: Wanted<E>,
        expected: Option<u64>,
        canary: Canary<E::Draw>,
    ) -> Result<Tried, E::Error> {
        let walk = self.clone();
        self.to_its_end(async move { walk.try_out_now(wanted, expected, canary).await })
            .await
    }

    async fn try_out_now(
        self: &Arc<Self>,
        mut wanted: Wanted<E>,
        expected: Option<u64>,
        canary: Canary<E::Draw>,
    ) -> Result<Tried, E::Error> {
        // Nothing is, as long as both are there; and where there can be but one, that is said.
        wanted.state_may_be_lost = true;
        let mut turn = self.effects.turn().await;
        let stateful = |before: &Roster<E>, prepared: &Prepared<E>| {
            let service = handover::stateful(before, prepared)?;
            Some(Refusal::OneState { service })
        };
        let (before, made) = self
            .candidates(&mut turn, wanted, expected, stateful)
            .await?;
        let trial = OnTrial {
            exposure: Exposure::Share(canary.steps.first()),
            steps: self.step_by_step(&canary.steps, canary.pause),
            draw: canary.draw,
            copies: None,
            made,
        };
        Ok(self.begin_trial(&mut turn, &before, trial).await)
    }

    /// Builds and proves what is to be on trial, unless there is something against that.
    pub(super) async fn candidates(
        self: &Arc<Self>,
        turn: &mut Turn<E>,
        wanted: Wanted<E>,
        expected: Option<u64>,
        against: impl FnOnce(&Roster<E>, &Prepared<E>) -> Option<Refusal> + Send,
    ) -> Result<(Arc<Roster<E>>, Made<E>), E::Error> {
        let before = self.roster();
        if wanted.is_there(&before) {
            return Err(Refusal::NothingNew.into());
        }
        let made = self.make(turn, &before, wanted, expected).await?;
        let refused = match made.prepared.candidates.is_empty() {
            true => Some(Refusal::NothingNew),
            false => against(&before, &made.prepared),
        };
        match refused {
            None => Ok((before, made)),
            Some(refusal) => {
                let why = "it cannot be on trial";
                Err(self.give_up(&before, made, refusal.into(), why).await)
            }
        }
    }

    /// It is on trial from now on.
    pub(super) async fn begin_trial(
        self: &Arc<Self>,
        turn: &mut Turn<E>,
        before: &Roster<E>,
        trial: OnTrial<E>,
    ) -> Tried {
        turn.gives_number(&trial.made.prepared.generation);
        self.show(before, &trial);
        if trial.copies.is_none() {
            self.watch_trial(before, &trial);
        }
        let told = trial.told(before);
        self.effects.note_trial(&trial.made.entry, &told).await;
        turn.trial = Some(trial);
        told
    }

    fn watch_trial(self: &Arc<Self>, before: &Roster<E>, trial: &OnTrial<E>) {
        if let Some(watch) = Watch::of_trial(before, &trial.made.prepared) {
            watch.begin(self);
        }
    }

    /// The trial goes on with another share, and stays there. What got copies so far answers from now on.
    ///
    /// # Errors
    /// If nothing is on trial, what is cannot serve beside what does, or nothing may change.
    pub async fn set_share(self: &Arc<Self>, share: Share) -> Result<Tried, E::Error> {
        let walk = self.clone();
        self.to_its_end(async move {
            let mut turn = walk.effects.turn().await;
            walk.is_open()?;
            let trial = turn.trial.as_mut().ok_or(Refusal::NothingOnTrial)?;
            let before = walk.roster();
            if let Some(service) = handover::stateful(&before, &trial.made.prepared) {
                return Err(Refusal::OneState { service }.into());
            }
            trial.steps = None;
            let Some(copies) = trial.copies.take() else {
                return Ok(walk.grow(trial, share).await);
            };
            let found = walk.effects.end_copies(copies);
            let told = walk.grow(trial, share).await;
            walk.watch_trial(&before, trial);
            Ok(Tried { found, ..told })
        })
        .await
    }

    async fn grow(&self, trial: &mut OnTrial<E>, share: Share) -> Tried {
        trial.exposure = Exposure::Share(share);
        let before = self.roster();
        self.show(&before, trial);
        let told = trial.told(&before);
        self.effects.note_trial(&trial.made.entry, &told).await;
        told
    }

    /// Goes through the steps after the first, unless it is dropped before: with the trial whose steps
    /// they are.
    fn step_by_step(self: &Arc<Self>, steps: &Steps, pause: Duration) -> Option<E::Task> {
        let later = steps.later().to_vec();
        if later.is_empty() {
            return None;
        }
        let weak = Arc::downgrade(self);
        Some(self.effects.own(async move {
            for share in later {
                let Some(sleep) = weak.upgrade().map(|walk| walk.effects.sleep(pause)) else {
                    return;
                };
                sleep.await;
                let Some(walk) = weak.upgrade() else {
                    return;
                };
                let mut turn = walk.effects.turn().await;
                if share == Share::ALL {
                    return walk.finish(&mut turn).await;
                }
                let Some(trial) = turn.trial.as_mut().filter(|_| walk.is_open().is_ok()) else {
                    return;
                };
                walk.grow(trial, share).await;
            }
        }))
    }

    /// The last step.
    async fn finish(self: &Arc<Self>, turn: &mut Turn<E>) {
        // It is this task, which is not to end with the trial, but when all is done.
        let _own = turn.trial.as_mut().and_then(|trial| trial.steps.take());
        let told = self.promote_now(turn).await;
        self.effects.tell(match &told {
            Ok(switched) => Told::Promoted {
                generation: switched.generation,
            },
            Err(error) => Told::NotPromoted { error },
        });
    }

    /// What is on trial serves all requests from now on.
    ///
    /// # Errors
    /// Why it does not. Then the trial is over, unless nothing may change now.
    pub async fn promote(self: &Arc<Self>) -> Result<Switched, E::Error> {
        let walk = self.clone();
        self.to_its_end(async move {
            let mut turn = walk.effects.turn().await;
            walk.promote_now(&mut turn).await
        })
        .await
    }

    async fn promote_now(self: &Arc<Self>, turn: &mut Turn<E>) -> Result<Switched, E::Error> {
        let began = self.effects.now();
        let before = self.roster();
        self.is_open()?;
        let mut trial = turn.trial.take().ok_or(Refusal::NothingOnTrial)?;
        self.end_copies(&mut trial);
        self.commit(turn, &before, trial.made, began).await
    }

    /// What is on trial goes; what it has begun comes to its end.
    ///
    /// # Errors
    /// If nothing is on trial, or nothing may change.
    pub async fn abort(self: &Arc<Self>) -> Result<Tried, E::Error> {
        self.end_trial_if(|_| true, Refusal::Aborted).await
    }

    /// The same for a candidate that has been found bad, unless it is not on trial any more.
    pub(super) async fn abort_for(
        self: &Arc<Self>,
        candidate: &Arc<E::Member>,
        evidence: &Evidence,
    ) -> Result<Tried, E::Error> {
        let bad = Refusal::Bad {
            service: candidate.service().clone(),
            revision: candidate.number(),
            evidence: evidence.to_string(),
        };
        let candidate = candidate.clone();
        let is_it = move |trial: &OnTrial<E>| trial.tries(&candidate);
        self.end_trial_if(is_it, bad).await
    }

    /// The same where what serves all others has been found bad.
    pub(super) async fn end_trial_beside(
        self: &Arc<Self>,
        bad: &Arc<E::Member>,
    ) -> Result<Tried, E::Error> {
        let beside = Refusal::Beside {
            service: bad.service().clone(),
            revision: bad.number(),
        };
        self.end_trial_if(|_| true, beside).await
    }

    async fn end_trial_if(
        self: &Arc<Self>,
        is_it: impl FnOnce(&OnTrial<E>) -> bool + Send + 'static,
        why: Refusal,
    ) -> Result<Tried, E::Error> {
        let walk = self.clone();
        self.to_its_end(async move {
            let mut turn = walk.effects.turn().await;
            walk.is_open()?;
            let trial = turn.trial.take_if(|trial| is_it(trial));
            let trial = trial.ok_or(Refusal::NothingOnTrial)?;
            Ok(walk.end_trial(trial, why).await)
        })
        .await
    }

    async fn end_trial(self: &Arc<Self>, mut trial: OnTrial<E>, why: Refusal) -> Tried {
        let before = self.roster();
        let told = trial.told(&before);
        let found = self.end_copies(&mut trial);
        let over = "its trial is over";
        self.give_up(&before, trial.made, why.into(), over).await;
        Tried { found, ..told }
    }

    /// What got copies gets none any more, and what they have shown is written down with it.
    fn end_copies(&self, trial: &mut OnTrial<E>) -> Vec<Report> {
        let found = trial.copies.take();
        let found = found.map_or_else(Vec::new, |copies| self.effects.end_copies(copies));
        if !found.is_empty() {
            E::found(&mut trial.made.entry, &found);
        }
        found
    }

    fn show(&self, before: &Roster<E>, trial: &OnTrial<E>) {
        let prepared = &trial.made.prepared;
        self.runs(Roster {
            trial: Some(OnShow {
                candidates: prepared.candidates.clone(),
                exposure: trial.exposure,
                copies: trial.copies.clone(),
            }),
            ..before.clone()
        });
        let shown = match trial.exposure {
            Exposure::Share(share) => Some(Shown {
                generation: &prepared.generation,
                share,
                draw: &trial.draw,
            }),
            Exposure::Shadow(_) => None,
        };
        self.effects.show(&before.generation, shown);
    }
}
