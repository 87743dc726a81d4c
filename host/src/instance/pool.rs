//! The idle instances of one revision that serve one request at a time.
//!
//! The last one put back is the first one taken: its memory is still in the processor's caches,
//! and those that are not needed grow old and are dropped.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

use super::live::Live;

/// How long instances are kept and how often they are used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reuse {
    /// Requests that one instance serves before it is dropped. 1: a fresh instance per request.
    pub requests: u64,
    /// Instances kept ready, also when idle.
    pub warm: usize,
    /// Milliseconds after which an idle instance beyond `warm` is dropped.
    pub idle_ms: u64,
}

struct Idle {
    live: Live,
    since_ms: u64,
}

/// A stack of idle instances.
pub struct Pool {
    reuse: Reuse,
    /// Instances up to this number belong to the time before a restart.
    outdated: AtomicU64,
    idle: Mutex<Vec<Idle>>,
}

impl Pool {
    pub(crate) fn new(reuse: Reuse) -> Pool {
        Pool {
            reuse,
            outdated: AtomicU64::new(0),
            idle: Mutex::default(),
        }
    }

    /// An idle instance, if there is one.
    pub(crate) fn take(&self) -> Option<Live> {
        self.idle.lock().pop().map(|idle| idle.live)
    }

    /// Keeps an instance whose request ended well, if it may serve another; else drops it.
    pub(crate) fn put(&self, mut live: Live, now_ms: u64) {
        live.rest();
        let current = live.instance() > self.outdated.load(Ordering::Relaxed);
        if current && live.served < self.reuse.requests {
            self.idle.lock().push(Idle {
                live,
                since_ms: now_ms,
            });
        }
    }

    /// A restart: instances up to the number `last` are not used again.
    pub(crate) fn renew(&self, last: u64) {
        self.outdated.store(last, Ordering::Relaxed);
        self.empty();
    }

    /// Memory is short: no instance is kept that is not at work.
    pub(crate) fn empty(&self) {
        let dropped = std::mem::take(&mut *self.idle.lock());
        drop(dropped);
    }

    /// How many instances are missing to the warm minimum.
    pub(crate) fn missing(&self) -> usize {
        self.reuse.warm.saturating_sub(self.idle.lock().len())
    }

    /// Idle instances now.
    pub(crate) fn idle(&self) -> usize {
        self.idle.lock().len()
    }

    /// Drops instances that have been idle for too long, down to the warm minimum; tells how many.
    pub(crate) fn sweep(&self, now_ms: u64) -> usize {
        let mut idle = self.idle.lock();
        let surplus = idle.len().saturating_sub(self.reuse.warm);
        // The oldest are at the bottom of the stack.
        let old = idle
            .iter()
            .take(surplus)
            .take_while(|idle| now_ms.saturating_sub(idle.since_ms) > self.reuse.idle_ms)
            .count();
        let dropped: Vec<_> = idle.drain(..old).collect();
        drop(idle);
        // Dropping a store gives pages back to the system: not under the lock.
        dropped.len()
    }
}
