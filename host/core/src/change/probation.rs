//! What was deployed, or is on trial, is watched, and is taken back by itself when it is worse than what
//! served before it. [`crate::probation`] judges; here is what follows.

use std::sync::Arc;
use std::time::Duration;

use super::Walk;
use super::effects::{Effects, Member, Pair, Told};
use super::refusal::Refusal;
use super::roster::{Prepared, Roster, Wanted};
use crate::generation::Reason;
use crate::probation::Evidence;

/// Before it is tried again to take back what could not be, because another host is about to take over.
const AGAIN: Duration = Duration::from_millis(100);

/// What is watched, and what it is taken back to.
pub(super) struct Watch<E: Effects> {
    pairs: Vec<Pair<E::Member>>,
    /// None while it is on trial.
    back: Option<Back<E>>,
}

/// The way back from a change.
struct Back<E: Effects> {
    /// The generation that came with it.
    generation: u64,
    to: Arc<E::Application>,
    to_number: u64,
    /// Of one service: nothing else came with it.
    is_of_one: bool,
}

impl<E: Effects> Watch<E> {
    /// None if there is nothing to watch. Whoever goes back knows what to; it may well be slower.
    pub(super) fn of_change(
        before: &Roster<E>,
        prepared: &Prepared<E>,
        reason: &Reason,
    ) -> Option<Watch<E>> {
        if matches!(reason, Reason::Rollback { .. } | Reason::Restore { .. }) {
            return None;
        }
        let back = Back {
            generation: E::number(&prepared.generation),
            to: before.application.clone(),
            to_number: before.number(),
            is_of_one: matches!(reason, Reason::Deploy { .. }),
        };
        Watch::of(before, prepared, Some(back))
    }

    /// None if there is nothing to watch.
    pub(super) fn of_trial(before: &Roster<E>, prepared: &Prepared<E>) -> Option<Watch<E>> {
        Watch::of(before, prepared, None)
    }

    fn of(before: &Roster<E>, prepared: &Prepared<E>, back: Option<Back<E>>) -> Option<Watch<E>> {
        let pair = |candidate: &Arc<E::Member>| {
            let from = before.members.get(candidate.service())?;
            (!candidate.is_worker() && !from.is_worker()).then(|| Pair {
                from: from.clone(),
                to: candidate.clone(),
            })
        };
        let pairs: Vec<_> = prepared.candidates.iter().filter_map(pair).collect();
        (!pairs.is_empty()).then_some(Watch { pairs, back })
    }

    /// Until all have been found good, one is bad, or something else has taken their place.
    pub(super) fn begin(self, walk: &Arc<Walk<E>>) {
        let watched = walk.clone();
        walk.effects.spawn(async move {
            let (walk, Watch { pairs, back }) = (watched, self);
            let on_trial = back.is_none();
            let is_still_there = |member: &Arc<E::Member>| {
                let roster = walk.roster();
                match on_trial {
                    true => roster.tries(member),
                    false => roster.serves(member),
                }
            };
            let judged = walk.effects.judged(pairs, on_trial, is_still_there);
            let Some((member, evidence)) = judged.await else {
                return;
            };
            walk.effects.tell(Told::Bad {
                member: &member,
                evidence: &evidence,
            });
            let done = match &back {
                Some(back) => back.take_back(&walk, &member, &evidence).await,
                None => walk.abort_for(&member, &evidence).await.map(drop),
            };
            if let Err(error) = &done {
                walk.effects.tell(Told::NotTakenBack {
                    member: &member,
                    error,
                });
            }
        });
    }
}

impl<E: Effects> Back<E> {
    /// Tries until it is taken back, is not there any more, or cannot be.
    async fn take_back(
        &self,
        walk: &Arc<Walk<E>>,
        bad: &Arc<E::Member>,
        evidence: &Evidence,
    ) -> Result<(), E::Error> {
        loop {
            let roster = walk.roster();
            if !roster.serves(bad) {
                return Ok(());
            }
            let wanted = self.wanted(walk, &roster, bad, evidence)?;
            let Err(error) = walk.change(wanted, None).await else {
                return Ok(());
            };
            match E::refusal(&error) {
                // Somebody else has changed something meanwhile.
                Some(Refusal::Conflict { .. }) => {}
                // The other host may yet fail, and this one go on.
                Some(Refusal::BeingReplaced) => walk.effects.sleep(AGAIN).await,
                // What is on trial was put together with what is bad. It may be over by now.
                Some(Refusal::OnTrial { .. }) => drop(walk.end_trial_beside(bad).await),
                _ => return Err(error),
            }
        }
    }

    /// All that came with it goes with it; if something else has changed since, it alone.
    fn wanted(
        &self,
        walk: &Walk<E>,
        now: &Roster<E>,
        bad: &Arc<E::Member>,
        evidence: &Evidence,
    ) -> Result<Wanted<E>, E::Error> {
        let because = evidence.to_string();
        let is_last = now.number() == self.generation;
        let application = match is_last {
            true => self.to.clone(),
            false => walk
                .effects
                .alone(&now.application, &self.to, bad.service())?,
        };
        let reason = match is_last && !self.is_of_one {
            true => Reason::Restore {
                generation: self.to_number,
                because,
            },
            false => Reason::Rollback {
                service: bad.service().clone(),
                because,
            },
        };
        Ok(Wanted {
            evidence: serde_json::json!(evidence),
            state_may_be_lost: true,
            basis: Some(now.number()),
            ..Wanted::new(application, reason)
        })
    }
}
