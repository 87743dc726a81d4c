//! What has to be so at certain moments: when somebody gives the turn back, before somebody goes, when
//! all has come to rest, and when a host has started.

use std::collections::BTreeSet;
use std::sync::Arc;

use skep_core::change::Prepared;
use skep_core::generation::Reason;
use skep_core::name::ServiceName;
use skep_core::rollout::Exposure;

use super::life::{Before, Hands};
use super::parts::{Latch, Phase, Revision};
use super::promises::{Breach, Promise};

impl Hands {
    fn expect(&self, promise: Promise, kept: bool, how: impl FnOnce() -> String) {
        self.world().expect(promise, kept, how);
    }

    /// Nobody is in the midst of a change: all that is known of what serves must agree.
    pub(crate) fn at_the_turns_end(&self) {
        let Some(walk) = self.memory().walk.clone() else {
            return;
        };
        let roster = walk.roster();
        let number = roster.number();
        let (before, after) = (
            std::mem::take(&mut self.memory().turn.before),
            Before::of(&walk),
        );
        let same = before.number != number || before == after;
        self.expect(Promise::Refused, same, || {
            format!("generation {number} was {before:?} and is {after:?}")
        });
        let grown = before.number <= number;
        self.expect(Promise::Numbers, grown, || {
            format!("generation {number} comes after {}", before.number)
        });
        let host = self.memory();
        let Some(shown) = &host.shown else {
            return;
        };
        let same = shown.stable.number == number && Arc::ptr_eq(&shown.stable, &roster.generation);
        let trial = shown.trial.as_ref().map(|(_, share)| *share);
        let listed = roster.trial.as_ref();
        let (share, copies) = match listed.map(|listed| listed.exposure) {
            Some(Exposure::Share(share)) => (Some(share), None),
            Some(Exposure::Shadow(_)) => (None, listed.and_then(|listed| listed.copies)),
            None => (None, None),
        };
        let candidates = listed.iter().flat_map(|trial| &trial.candidates);
        let together: BTreeSet<u64> = roster
            .members
            .values()
            .chain(candidates)
            .map(|member| member.id)
            .collect();
        let arranged = host.arranged == together;
        let trial_placed = shown.trial.as_ref().map(|(trial, _)| trial.placed());
        let (open, left_open) = (host.open.clone(), host.left_open.clone());
        let (unwritten, lent, copied) = (host.unwritten, host.lent, host.copied);
        drop(host);
        self.expect(Promise::Refused, same, || {
            format!("generation {number} serves, and another is shown")
        });
        self.expect(Promise::Trial, trial == share, || {
            format!("{share:?} is on trial, and {trial:?} is shown")
        });
        self.expect(Promise::Trial, copied == copies, || {
            format!("{copies:?} is on trial, and {copied:?} gets copies")
        });
        self.expect(Promise::Refused, arranged, || {
            "others are supervised than those that serve".to_owned()
        });
        for member in roster.members.values() {
            let now = member.now();
            let open = matches!(now.latch, Latch::None) && !now.handed_over;
            let gone = matches!(now.phase, Phase::Stopping | Phase::Gone);
            drop(now);
            self.expect(Promise::Refused, open, || {
                format!("the door of {member}, which serves, is shut")
            });
            self.expect(Promise::Lives, !gone, || {
                format!("{member} serves and is gone")
            });
        }
        for member in roster.standby.values() {
            let gone = matches!(member.now().phase, Phase::Stopping | Phase::Gone);
            self.expect(Promise::NothingLeaks, !gone, || {
                format!("{member} stands by and is gone")
            });
        }
        let mut world = self.world();
        let active = world.disk.active;
        world.expect(Promise::Acknowledged, unwritten || active == number, || {
            format!("generation {number} serves, and {active} is written down")
        });
        let recorded = world.disk.generations.get(&active);
        let whole = active != number || recorded == Some(&roster.generation.placed());
        world.expect(Promise::NoMixture, whole, || {
            format!("generation {active} is not recorded as it serves")
        });
        let of_trial = usize::from(roster.trial.is_some());
        let known = open.len() == of_trial || unwritten;
        world.expect(Promise::Intents, known, || {
            format!("these are under way: {open:?}")
        });
        let all: BTreeSet<u64> = open.union(&left_open).copied().collect();
        let settled = world.disk.intents.is_subset(&all);
        let intents = world.disk.intents.clone();
        world.expect(Promise::Intents, settled || lent, || {
            format!("{intents:?} are open, and {all:?} are known")
        });
        let placed = world.disk.generations.values();
        let named = placed.chain(trial_placed.as_ref());
        let missing = named
            .flat_map(|placed| placed.values())
            .find(|(_, component)| !world.disk.store.contains(component));
        let missing = missing.copied();
        world.expect(Promise::Store, missing.is_none(), || {
            format!("{missing:?} is needed and is not in the store")
        });
    }

    /// Before it goes for good.
    pub(crate) fn may_go(&self, member: &Revision) {
        let host = self.memory();
        let arranged = host.arranged.contains(&member.id);
        let mut requests = host.requests.iter();
        let needed = requests.any(|request| request.generation.has(member));
        let needed = needed && !member.is_cut() && !skep_core::change::Member::is_worker(member);
        drop(host);
        let phase = member.now().phase;
        self.expect(Promise::NothingLeaks, !arranged, || {
            format!("{member} goes and is supervised with others")
        });
        self.expect(Promise::Lives, !needed, || {
            format!("{member} goes, and a request may still come to it")
        });
        let there = !matches!(phase, Phase::Stopping | Phase::Gone);
        self.expect(Promise::NothingLeaks, there, || {
            format!("{member} goes twice")
        });
    }

    /// Whether a change is what its reason says.
    pub(crate) fn keeps_to(&self, reason: &Reason, prepared: &Prepared<Hands>) {
        let host = self.memory();
        let Some(shown) = &host.shown else {
            return;
        };
        let before = shown.stable.app.clone();
        drop(host);
        let after = &prepared.application;
        let only = |services: &[ServiceName]| {
            let others = |app: &super::parts::App| {
                let mut others = app.services.clone();
                others.retain(|name, _| !services.contains(name));
                others
            };
            others(&before) == others(after)
        };
        let kept = match reason {
            Reason::Start | Reason::Apply => true,
            Reason::Deploy { service } | Reason::Rollback { service, .. } => {
                only(std::slice::from_ref(service))
            }
            Reason::DeployTogether { services } => only(services),
            Reason::Restore { generation, .. } => {
                let world = self.world();
                let back = world.past.shown.get(generation);
                back.is_some_and(|back| {
                    let components = back.iter().map(|(name, (_, c))| (name, c));
                    components.eq(after.services.iter())
                })
            }
        };
        self.expect(Promise::Reason, kept, || {
            format!("{reason:?} makes {before:?} to {after:?}")
        });
    }

    /// What somebody was told serves is what serves after whatever ends the host.
    pub(crate) fn is_acknowledged(&self, generation: u64) {
        let mut world = self.world();
        let active = world.disk.active;
        world.past.acknowledged = world.past.acknowledged.max(generation);
        world.expect(Promise::Acknowledged, active >= generation, || {
            format!("generation {generation} is acknowledged, and {active} is written down")
        });
    }

    /// Nothing is under way any more.
    pub(crate) fn at_rest(&self) {
        let Some(walk) = self.memory().walk.clone() else {
            return;
        };
        let roster = walk.roster();
        let host = self.memory();
        let belongs = |revision: &&Arc<Revision>| {
            let all = roster.members.values().chain(roster.standby.values());
            all.into_iter().any(|member| member.id == revision.id)
        };
        let leaked = host.revisions.values().find(|r| !belongs(r)).cloned();
        let paused = |revision: &&Arc<Revision>| matches!(revision.now().latch, Latch::Paused);
        let paused = host.revisions.values().find(paused).cloned();
        let waiting = host.requests.len();
        let (open, left_open) = (host.open.clone(), host.left_open.clone());
        drop(host);
        self.expect(Promise::NothingLeaks, leaked.is_none(), || {
            format!("{} is left", leaked.unwrap())
        });
        self.expect(Promise::NobodyWaits, paused.is_none(), || {
            format!("the door of {} is shut for good", paused.unwrap())
        });
        self.expect(Promise::NobodyWaits, waiting == 0, || {
            format!("{waiting} requests wait")
        });
        for member in roster.members.values() {
            let phase = member.now().phase;
            let idle = skep_core::change::Member::is_worker(&**member) && phase != Phase::Up;
            self.expect(Promise::OneWorker, !idle, || {
                format!("{member} serves and is not at work: {phase:?}")
            });
        }
        let settled = open.is_empty() && self.world().disk.intents.is_subset(&left_open);
        self.expect(Promise::Intents, settled, || {
            format!("{open:?} are under way")
        });
        self.world().counts.at_rest += 1;
    }

    /// What is left of the store once nobody is at anything.
    pub(crate) fn collect(&self) {
        let pins = match self.breaks(Breach::CollectsTooMuch) {
            true => Default::default(),
            false => self.memory().pins.clone(),
        };
        let mut world = self.world();
        if !world.disk.lent {
            world.disk.tidy(&pins);
        }
    }

    /// What was begun by whoever had the journal before has come to nothing.
    pub(crate) async fn undo_unfinished(&self) {
        if self.breaks(Breach::RecoversNothing) {
            return;
        }
        let intents = self.world().disk.intents.clone();
        for intent in intents {
            self.takes_its_time().await;
            match self.fails(30) {
                true => drop(self.memory().left_open.insert(intent)),
                false => drop(self.world().disk.intents.remove(&intent)),
            }
        }
    }
}

impl Revision {
    pub(crate) fn is_cut(&self) -> bool {
        self.now().cut
    }
}
