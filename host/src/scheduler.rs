//! Who computes when: short calls at once, long ones behind them, and among the long ones each
//! service its share.
//!
//! A guest's call begins in the *first class*: it is polled by the task that wants its answer, on a
//! serving thread, which costs nothing. One that computes through a tick of the engine's epoch
//! moves to the *second class*: threads of their own, of low priority, which take slices of a tick
//! from a [fair queue](skep_core::fair). So a computing guest takes no serving thread from anybody
//! for longer than a tick or two, and a hundred calls of one service get no more than one of another.
//!
//! A service whose calls use the first class up ([`COURTESY`]) or that has used its `cpu-share`
//! begins its next calls in the second class.
//!
//! Before it: `instance` makes a [`Computation`] of whatever runs a guest. After it: `meter` counts.

mod computation;
mod job;
mod threads;

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use skep_core::cpu::{Budget, CpuShare};
use skep_core::fair::{FairQueue, Next, ShareId};

pub(crate) use self::computation::{Class, Computation, Panicked};
use self::job::Runnable;
pub use self::threads::Threads;
pub(crate) use self::threads::give_way;

/// What a call may use of the first class without anybody counting: hundreds of host calls, and far
/// less than others notice.
const UNNOTICED: Duration = Duration::from_micros(100);

/// What a service's calls may use of the first class beyond that, in per cent of a core: enough that
/// a call that is long now and then begins at once, too little for one in a hundred of the others to notice.
const COURTESY: u32 = 2;

/// How much of it at once.
const COURTESY_BURST: Duration = Duration::from_millis(20);

/// How much of its `cpu-share` a service may use at once: ten slices.
const SHARE_BURST: Duration = Duration::from_millis(10);

/// The queue of the second class. Its [`Threads`] take from it.
pub struct Scheduler {
    origin: Instant,
    queue: Mutex<Queue>,
    /// There is work, or the end has come.
    changed: Condvar,
}

struct Queue {
    fair: FairQueue<Arc<dyn Runnable>>,
    over: bool,
}

/// What a thread of the second class gets.
enum Taken {
    Job(ShareId, Arc<dyn Runnable>),
    /// Nothing to do for a while.
    Nothing,
    /// The end has come.
    End,
}

impl Scheduler {
    /// An empty queue that nobody takes from yet.
    pub fn new() -> Arc<Scheduler> {
        Arc::new(Scheduler {
            origin: Instant::now(),
            queue: Mutex::new(Queue {
                fair: FairQueue::default(),
                over: false,
            }),
            changed: Condvar::new(),
        })
    }

    /// A service's place in it.
    pub fn share(self: &Arc<Scheduler>, weight: u32, share: Option<CpuShare>) -> Arc<Share> {
        let budget = share.map(|share| Arc::new(Budget::new(share.percent(), SHARE_BURST)));
        let id = self.queue.lock().fair.join(weight, budget.clone());
        Arc::new(Share {
            scheduler: self.clone(),
            id,
            budget,
            courtesy: Budget::new(COURTESY, COURTESY_BURST),
        })
    }

    /// Slices that wait for a thread, of all services.
    pub fn waiting(&self) -> usize {
        self.queue.lock().fair.waiting()
    }

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    /// Waits for a slice; not much longer than `patience`, if it has an end.
    fn take(&self, patience: Option<Duration>) -> Taken {
        let mut queue = self.queue.lock();
        while !queue.over {
            match (queue.fair.next(self.now()), patience) {
                (Next::Run(id, work), _) => return Taken::Job(id, work),
                (Next::Wait(wait), _) => {
                    self.changed.wait_for(&mut queue, wait);
                }
                (Next::Idle, None) => self.changed.wait(&mut queue),
                (Next::Idle, Some(patience)) => {
                    if self.changed.wait_for(&mut queue, patience).timed_out() {
                        return Taken::Nothing;
                    }
                }
            }
        }
        Taken::End
    }

    /// Nothing runs any more, and what is queued is dropped.
    fn end(&self) {
        let left = {
            let mut queue = self.queue.lock();
            queue.over = true;
            std::mem::take(&mut queue.fair)
        };
        self.changed.notify_all();
        drop(left);
    }
}

/// A service in the scheduler.
pub struct Share {
    scheduler: Arc<Scheduler>,
    id: ShareId,
    /// What the manifest's `cpu-share` allows.
    budget: Option<Arc<Budget>>,
    /// What its calls may use of the first class.
    courtesy: Budget,
}

impl Share {
    /// The class in which its next call begins.
    fn class(&self) -> Class {
        let spent =
            |budget: &Budget| !budget.is_fresh() && budget.wait(self.scheduler.now()).is_some();
        if spent(&self.courtesy) || self.budget.as_deref().is_some_and(spent) {
            Class::Second
        } else {
            Class::First
        }
    }

    /// A poll in the first class has used so much, after `before` that its call had used already.
    fn charge_first(&self, before: Duration, used: Duration) {
        let noticed = (before + used).saturating_sub(UNNOTICED.max(before));
        if self.budget.is_none() && noticed.is_zero() {
            return;
        }
        let now = self.scheduler.now();
        if let Some(budget) = &self.budget {
            budget.charge(now, used);
        }
        if !noticed.is_zero() {
            self.courtesy.charge(now, noticed);
        }
    }

    fn push(&self, job: Arc<dyn Runnable>) {
        // A share leaves only after its last job, so that nothing is refused before the end.
        let refused = self.scheduler.queue.lock().fair.push(self.id, job);
        self.scheduler.changed.notify_one();
        drop(refused);
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let left = self.scheduler.queue.lock().fair.leave(self.id);
        // Not under the lock: a job that is dropped drops an instance.
        drop(left);
    }
}

impl std::fmt::Debug for Share {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Share").field(&self.id).finish()
    }
}

#[cfg(test)]
mod tests;
