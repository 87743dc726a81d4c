//! What one revision did, for whoever judges it: see `skep_core::probation`.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use skep_core::histogram::{AtomicHistogram, Histogram};

/// Of so many calls of other services one is timed: reading the clock costs as much as a small call
/// takes of the host.
const TIMED: u64 = 16;

/// See the module. All additions are relaxed.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    calls: AtomicU64,
    errors: AtomicU64,
    crashes: AtomicU64,
    latency: AtomicHistogram,
}

/// A reading of it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reading {
    pub(crate) calls: u64,
    pub(crate) errors: u64,
    pub(crate) crashes: u64,
    pub(crate) latency: Histogram,
}

impl Tally {
    /// A request has an answer, or has failed.
    pub(super) fn request(&self, took: Duration, failed: bool) {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.latency.record(took);
        self.failed(failed);
    }

    /// A call of another service has come to its end.
    pub(super) fn call(&self, began: Instant, failed: bool) {
        let before = self.calls.fetch_add(1, Ordering::Relaxed);
        if before.is_multiple_of(TIMED) {
            self.latency.record(began.elapsed());
        }
        self.failed(failed);
    }

    fn failed(&self, failed: bool) {
        if failed {
            self.errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// An instance was lost by its own fault.
    pub(super) fn crashed(&self) {
        self.crashes.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn read(&self) -> Reading {
        Reading {
            calls: self.calls.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            crashes: self.crashes.load(Ordering::Relaxed),
            latency: self.latency.read(),
        }
    }
}
