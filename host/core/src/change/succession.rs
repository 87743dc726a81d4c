//! What becomes of what was replaced: it ends what it is at, and stands by or goes for good.

use std::collections::BTreeMap;
use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::Walk;
use super::effects::{Effects, Member};
use super::roster::{Members, Roster};
use crate::name::ServiceName;

/// Those whose time is over, and those whose time has come.
pub(super) struct Succession<E: Effects> {
    /// Those that serve no more, and whether they stay.
    retiring: Vec<(Arc<E::Member>, bool)>,
    /// New workers, which have not been started.
    workers: Vec<Arc<E::Member>>,
}

impl<E: Effects> Succession<E> {
    /// What comes after `before`; and those that are kept to come back to: what served until now, and, of
    /// services that have not changed, what served before that.
    pub(super) fn of(
        before: &Roster<E>,
        members: &Members<E::Member>,
        candidates: Vec<Arc<E::Member>>,
    ) -> (Members<E::Member>, Succession<E>) {
        let (mut standby, mut retiring) = (Members::new(), Vec::new());
        let gone = |(name, member): &(&ServiceName, &Arc<E::Member>)| {
            let now = members.get(*name);
            now.is_none_or(|now| !Arc::ptr_eq(now, member))
        };
        for (name, member) in before.members.iter().filter(gone) {
            let stays = members.contains_key(name) && !member.is_worker();
            if stays {
                standby.insert(name.clone(), member.clone());
            }
            retiring.push((member.clone(), stays));
        }
        for (name, member) in before.standby.iter().filter(gone) {
            if members.contains_key(name) && !standby.contains_key(name) {
                standby.insert(name.clone(), member.clone());
            } else {
                retiring.push((member.clone(), false));
            }
        }
        let workers = candidates.into_iter().filter(|c| c.is_worker()).collect();
        (standby, Succession { retiring, workers })
    }
}

impl<E: Effects> Walk<E> {
    /// From now on `roster` is what runs.
    pub(super) fn succeed(
        self: &Arc<Self>,
        roster: Roster<E>,
        succession: Succession<E>,
        patience: Duration,
    ) {
        let Succession { retiring, workers } = succession;
        {
            // A worker that ends meanwhile finds those that come after it in the one roster or the other.
            let mut ending = self.ending();
            self.runs(roster);
            for (member, _) in retiring.iter().filter(|(member, _)| member.is_worker()) {
                *ending.entry(member.service().clone()).or_default() += 1;
            }
            for worker in workers {
                if !ending.contains_key(worker.service()) {
                    self.effects.start(&worker);
                }
            }
        }
        for (member, stays) in retiring {
            self.retire(member, patience, stays);
        }
    }

    /// Lets a revision that was replaced end what it is at, and cuts what has not ended in time. It
    /// goes for good unless it stays to be come back to.
    fn retire(self: &Arc<Self>, member: Arc<E::Member>, patience: Duration, stays: bool) {
        let walk = self.clone();
        let earlier = self.joins_those_not_at_rest(&member);
        self.effects.spawn(async move {
            if !walk.rests(&earlier, &member, patience).await {
                walk.cut(&member).await;
            }
            walk.has_come_to_rest(&member);
            if stays {
                return;
            }
            let successor = walk.roster().members.get(member.service()).cloned();
            let why = match successor {
                Some(successor) => format!("replaced by revision {}", successor.number()),
                None => "replaced".to_owned(),
            };
            walk.effects.dismiss(member.clone(), why).await;
            if member.is_worker() {
                walk.worker_ended(member.service());
            }
        });
    }

    /// Those of its service that were replaced before it and have not come to rest yet.
    fn joins_those_not_at_rest(&self, member: &Arc<E::Member>) -> Vec<Arc<E::Member>> {
        let mut resting = self.resting();
        let resting = resting.entry(member.service().clone()).or_default();
        let earlier = resting.clone();
        resting.push(member.clone());
        earlier
    }

    /// Waits until it is at rest, and those before it are: what they have handed over is with it, and so
    /// is whoever still comes to them. False if that is not so in time.
    async fn rests(
        &self,
        earlier: &[Arc<E::Member>],
        member: &Arc<E::Member>,
        patience: Duration,
    ) -> bool {
        let (effects, began) = (&self.effects, self.effects.now());
        let mut rests = true;
        for one in earlier.iter().chain([member]) {
            let passed = effects.now().saturating_sub(began);
            let left = patience.saturating_sub(passed);
            rests &= effects.rests_within(one, left).await;
        }
        rests
    }

    /// Nobody needs to wait for it any more.
    fn has_come_to_rest(&self, member: &Arc<E::Member>) {
        let mut resting = self.resting();
        if let Some(of_service) = resting.get_mut(member.service()) {
            let at = of_service.iter().position(|one| Arc::ptr_eq(one, member));
            at.map(|at| of_service.remove(at));
            if of_service.is_empty() {
                resting.remove(member.service());
            }
        }
    }

    /// Ends what a replaced revision is still at, unless it serves again.
    async fn cut(&self, member: &Arc<E::Member>) {
        let turn = self.effects.turn().await;
        let trial = turn.trial.as_ref();
        if !self.roster().serves(member) && !trial.is_some_and(|trial| trial.has(member)) {
            self.effects.cut(member);
        }
    }

    /// The worker that serves begins once all before it have ended: there are never two.
    fn worker_ended(&self, service: &ServiceName) {
        let mut ending = self.ending();
        let left = ending.get(service).map_or(0, |ending| ending - 1);
        if left > 0 {
            ending.insert(service.clone(), left);
            return;
        }
        ending.remove(service);
        let roster = self.roster();
        if let Some(worker) = roster.members.get(service).filter(|m| m.is_worker()) {
            self.effects.start(worker);
        }
    }

    fn resting(&self) -> MutexGuard<'_, BTreeMap<ServiceName, Vec<Arc<E::Member>>>> {
        // Lists are whole at any time.
        self.resting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ending(&self) -> MutexGuard<'_, BTreeMap<ServiceName, u32>> {
        // Numbers are whole at any time.
        self.ending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Candidates that do not come to serve end what they are at, and go.
    pub(super) fn dismiss(
        self: &Arc<Self>,
        candidates: Vec<Arc<E::Member>>,
        patience: Duration,
        why: &'static str,
    ) {
        for candidate in candidates {
            let walk = self.clone();
            self.effects.spawn(async move {
                if !walk.effects.rests_within(&candidate, patience).await {
                    walk.effects.cut(&candidate);
                }
                walk.effects.dismiss(candidate, why.to_owned()).await;
            });
        }
    }
}
