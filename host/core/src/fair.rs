//! Who computes next: a queue that gives each service its share of the threads that take from it,
//! however much work the others have queued.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng: "Start-time Fair Queuing", 1996) of slices whose
//! length is known only afterwards: each service has a virtual time, which advances by what it used,
//! divided by its weight; the service that is furthest behind is next. One that was idle begins
//! where the others are: it saves nothing up, and owes nothing. Within a service, work takes turns.
use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::cpu::Budget;

/// A service in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ShareId(u64);

/// What there is to do.
#[derive(Debug, PartialEq, Eq)]
pub enum Next<T> {
    /// This, for this service, which is charged afterwards: [`FairQueue::charge`].
    Run(ShareId, T),
    /// Nothing before so much time has passed: who has work has used up its share.
    Wait(Duration),
    /// Nothing at all.
    Idle,
}

/// See the module.
#[derive(Debug)]
pub struct FairQueue<T> {
    shares: BTreeMap<ShareId, Share<T>>,
    /// The virtual time of the latest slice: where those begin that were idle.
    virtual_time: u128,
    last: u64,
}

#[derive(Debug)]
struct Share<T> {
    weight: u32,
    /// The service's share of a core, if it is limited.
    budget: Option<Arc<Budget>>,
    virtual_time: u128,
    waiting: VecDeque<T>,
    /// Slices that have been taken and not yet charged.
    running: u32,
}

impl<T> Default for FairQueue<T> {
    fn default() -> Self {
        Self {
            shares: BTreeMap::new(),
            virtual_time: 0,
            last: 0,
        }
    }
}

impl<T> FairQueue<T> {
    /// A service of this weight, which waits while `budget` is used up.
    pub fn join(&mut self, weight: u32, budget: Option<Arc<Budget>>) -> ShareId {
        self.last += 1;
        let id = ShareId(self.last);
        let share = Share {
            weight: weight.max(1),
            budget,
            virtual_time: self.virtual_time,
            waiting: VecDeque::new(),
            running: 0,
        };
        self.shares.insert(id, share);
        id
    }

    /// The service has gone; what it had queued is returned.
    pub fn leave(&mut self, id: ShareId) -> VecDeque<T> {
        self.shares
            .remove(&id)
            .map(|share| share.waiting)
            .unwrap_or_default()
    }

    /// Queues work behind the service's other work. Gives it back if the service has left.
    ///
    /// # Errors
    /// The work.
    pub fn push(&mut self, id: ShareId, work: T) -> Result<(), T> {
        let Some(share) = self.shares.get_mut(&id) else {
            return Err(work);
        };
        if share.waiting.is_empty() && share.running == 0 {
            share.virtual_time = share.virtual_time.max(self.virtual_time);
        }
        share.waiting.push_back(work);
        Ok(())
    }

    /// Takes the next slice.
    pub fn next(&mut self, now: Duration) -> Next<T> {
        let mut soonest: Option<Duration> = None;
        let mut furthest_behind: Option<(u128, ShareId)> = None;
        for (id, share) in &self.shares {
            if share.waiting.is_empty() {
                continue;
            }
            if let Some(wait) = share.budget.as_ref().and_then(|budget| budget.wait(now)) {
                soonest = Some(soonest.map_or(wait, |soonest| soonest.min(wait)));
                continue;
            }
            if furthest_behind.is_none_or(|(least, _)| share.virtual_time < least) {
                furthest_behind = Some((share.virtual_time, *id));
            }
        }
        let Some((virtual_time, id)) = furthest_behind else {
            return soonest.map_or(Next::Idle, Next::Wait);
        };
        let taken = self.shares.get_mut(&id).and_then(|share| {
            let work = share.waiting.pop_front()?;
            share.running += 1;
            Some(work)
        });
        self.virtual_time = self.virtual_time.max(virtual_time);
        match taken {
            Some(work) => Next::Run(id, work),
            // It was found in this very table, with work.
            None => Next::Idle,
        }
    }

    /// A slice that [`Self::next`] gave out has ended and used so much CPU time.
    pub fn charge(&mut self, id: ShareId, used: Duration, now: Duration) {
        let Some(share) = self.shares.get_mut(&id) else {
            return;
        };
        if let Some(budget) = &share.budget {
            budget.charge(now, used);
        }
        share.running = share.running.saturating_sub(1);
        // Not less than something: who gives up its slice at once must not be next for ever.
        let used = used.as_nanos().max(1_000);
        share.virtual_time += used * u128::from(crate::cpu::WEIGHT_MAX) / u128::from(share.weight);
    }

    /// Work that waits, of all services.
    pub fn waiting(&self) -> usize {
        self.shares.values().map(|share| share.waiting.len()).sum()
    }
}

#[cfg(test)]
mod tests;
