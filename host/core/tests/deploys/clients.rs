//! Requests, which begin and end at any time, keep their generation, and come to services through doors.

use std::sync::Arc;

use super::life::{Hands, Request};
use super::parts::{Kind, Latch, Phase, Revision};
use super::promises::Promise;

/// So many at a time.
const REQUESTS: usize = 6;

/// So often a call may be sent on from one revision to the next.
const HOPS: usize = 50;

/// What becomes of a call.
enum Call {
    /// It is inside.
    Inside(Arc<Revision>),
    /// The door is shut for now.
    Waits,
    /// It is answered at once: with an error, mostly.
    Over,
}

impl Hands {
    /// Something happens to some request.
    pub(crate) fn clients(&self, ending: bool) {
        let begins = !ending && self.chance(3);
        let mut host = self.memory();
        if begins && host.requests.len() < REQUESTS {
            let Some(shown) = &host.shown else {
                return;
            };
            let trial = shown.trial.as_ref().map(|(trial, _)| trial.clone());
            let generation = match trial.filter(|_| self.chance(2)) {
                Some(trial) => trial,
                None => shown.stable.clone(),
            };
            self.world().counts.requests += 1;
            host.requests.push(Request {
                generation,
                inside: None,
                wants: None,
            });
            return;
        }
        if host.requests.is_empty() {
            return;
        }
        let at = self.below(host.requests.len() as u64) as usize;
        let mut request = host.requests.swap_remove(at);
        if let Some(inside) = request.inside.take() {
            if !inside.is_cut() && !ending && self.chance(2) {
                request.inside = Some(inside);
                host.requests.push(request);
                return;
            }
            let mut now = inside.now();
            now.inside -= 1;
            if now.cut {
                // It has been ended with what it was inside of.
                return;
            }
            drop(now);
            drop(host);
            self.changes_state(&inside);
            host = self.memory();
        }
        if request.wants.is_none() && (ending || self.chance(3)) {
            return;
        }
        let wanted = match request.wants.take() {
            Some(wanted) => wanted,
            None => {
                let members = &request.generation.members;
                let at = self.below(members.len().max(1) as u64) as usize;
                let Some(member) = members.values().nth(at) else {
                    return;
                };
                member.clone()
            }
        };
        drop(host);
        let generation = request.generation.number;
        self.world()
            .say(|| format!("a request of generation {generation} calls {wanted}"));
        match self.calls(&wanted) {
            Call::Inside(revision) => request.inside = Some(revision),
            Call::Waits => {
                self.world().counts.waited += 1;
                request.wants = Some(wanted);
            }
            Call::Over => {}
        }
        self.memory().requests.push(request);
    }

    fn calls(&self, wanted: &Arc<Revision>) -> Call {
        let mut revision = wanted.clone();
        let mut cut = false;
        for _ in 0..HOPS {
            let mut now = revision.now();
            cut |= now.cut;
            match now.latch.clone() {
                Latch::Paused => return Call::Waits,
                Latch::Moved(to) => {
                    drop(now);
                    revision = to;
                    continue;
                }
                Latch::None => {}
            }
            if revision.component.kind == Kind::Worker || now.phase == Phase::Failed {
                return Call::Over;
            }
            let (phase, handed_over) = (now.phase, now.handed_over);
            let whole = phase == Phase::Up && !handed_over;
            if !whole {
                drop(now);
                self.world().expect(Promise::Lives, cut || handed_over, || {
                    format!("a request for {wanted} comes to {revision}, which is {phase:?}")
                });
                self.world().expect(Promise::NobodyWaits, !handed_over, || {
                    format!("{revision} has handed over its state, and its door is open")
                });
                return Call::Over;
            }
            now.inside += 1;
            drop(now);
            self.changes_state(&revision);
            return Call::Inside(revision);
        }
        let how = format!("a call of {wanted} is sent on and on");
        self.world().report(Promise::NobodyWaits, how);
        Call::Over
    }

    /// As each call does when it begins, and when it ends.
    fn changes_state(&self, revision: &Revision) {
        if revision.component.kind == Kind::Plain {
            return;
        }
        let mut host = self.memory();
        let mut now = revision.now();
        let known = host.calls.entry(now.memory.history).or_default();
        let (has, calls) = (now.memory.calls, *known);
        *known += 1;
        now.memory.calls += 1;
        let history = now.memory.history;
        drop((host, now));
        self.world()
            .say(|| format!("{revision}: {history} has {calls} changes"));
        self.world().expect(Promise::OneState, has == calls, || {
            format!("{revision} knows {has} changes of {calls}")
        });
    }
}
