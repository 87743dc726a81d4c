//! Who holds how much memory, and who may have more: an account for the host, one for each service,
//! one for what the host itself holds for an instance.
//!
//! Three kinds of bytes are counted, and they add up: linear memories and tables (wasmtime asks
//! before they grow, see `instance::memory`), [`buffers`] (whatever the host holds for a guest: a
//! piece of a body on its way, header fields, handles), and a fixed charge per instance for its
//! store and its stack. [`watch`] looks at the real thing too, the machine's and the process's
//! memory, and says when there is too little of it for new requests.

pub mod buffers;
pub mod machine;
pub mod watch;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use skep_core::status::MemoryPressure;

/// Who said no.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The instance has all that it may have.
    #[error("the instance holds all that its limits allow")]
    Instance,
    /// The service's instances have all that they may have together.
    #[error("the service's instances hold all of `limits.memory-total`")]
    Service,
    /// All guests have all that they may have together.
    #[error("all guests together hold all of `host.memory`")]
    Host,
}

/// A sum of bytes with a limit.
#[derive(Debug)]
struct Account {
    limit: u64,
    held: AtomicU64,
}

impl Account {
    fn new(limit: u64) -> Account {
        Account {
            limit,
            held: AtomicU64::new(0),
        }
    }

    fn held(&self) -> u64 {
        self.held.load(Ordering::Relaxed)
    }

    /// The new sum, if the limit allows it.
    fn take(&self, bytes: u64) -> Option<u64> {
        let fits = |held: u64| held.checked_add(bytes).filter(|sum| *sum <= self.limit);
        self.held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits)
            .ok()
            .map(|held| held + bytes)
    }

    /// Counts what is there already, whatever the limit. The new sum.
    fn note(&self, bytes: u64) -> u64 {
        self.held.fetch_add(bytes, Ordering::Relaxed) + bytes
    }

    fn give(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What all guests of the host hold together, in bytes, and may hold at most: `host.memory`.
#[derive(Debug)]
pub struct HostMemory {
    all: Account,
    services: AtomicU64,
    /// A [`MemoryPressure`], by its place below.
    pressure: AtomicU8,
}

const PRESSURES: [MemoryPressure; 3] = [
    MemoryPressure::None,
    MemoryPressure::Guests,
    MemoryPressure::Machine,
];

impl HostMemory {
    /// An empty account with a limit in bytes.
    pub fn new(limit: u64) -> Arc<HostMemory> {
        Arc::new(HostMemory {
            all: Account::new(limit),
            services: AtomicU64::new(0),
            pressure: AtomicU8::new(0),
        })
    }

    /// The limit.
    pub fn limit(&self) -> u64 {
        self.all.limit
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.all.held()
    }

    /// What the watch has found.
    pub fn pressure(&self) -> MemoryPressure {
        let found = usize::from(self.pressure.load(Ordering::Relaxed));
        PRESSURES.get(found).copied().unwrap_or_default()
    }

    fn set_pressure(&self, pressure: MemoryPressure) {
        let place = match pressure {
            MemoryPressure::None => 0,
            MemoryPressure::Guests => 1,
            MemoryPressure::Machine => 2,
        };
        self.pressure.store(place, Ordering::Relaxed);
    }

    /// What a service may hold while guests' memory is scarce without being turned away for it.
    fn share(&self) -> u64 {
        self.limit() / self.services.load(Ordering::Relaxed).max(1)
    }
}

/// What all instances of one service hold together, in bytes, and may hold at most.
#[derive(Debug)]
pub struct ServiceMemory {
    own: Account,
    /// Of `own`, what is not the guests' memories and tables.
    buffers: AtomicU64,
    peak: AtomicU64,
    host: Arc<HostMemory>,
}

impl ServiceMemory {
    /// An empty account with a limit in bytes, out of what the host has left.
    pub fn new(limit: u64, host: Arc<HostMemory>) -> Arc<ServiceMemory> {
        host.services.fetch_add(1, Ordering::Relaxed);
        Arc::new(ServiceMemory {
            own: Account::new(limit),
            buffers: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            host,
        })
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.own.held()
    }

    /// Of them, what the host holds for the guests.
    pub fn buffers(&self) -> u64 {
        self.buffers.load(Ordering::Relaxed)
    }

    /// The most that was ever held.
    pub fn peak(&self) -> u64 {
        self.peak.load(Ordering::Relaxed)
    }

    /// Whether there is memory for a new request. Asked for each: two loads.
    pub fn has_room(&self) -> bool {
        match self.host.pressure() {
            MemoryPressure::None => true,
            MemoryPressure::Guests => self.held() <= self.host.share(),
            MemoryPressure::Machine => false,
        }
    }

    /// Bytes for an instance's memories and tables.
    ///
    /// # Errors
    /// Who has no more.
    pub(crate) fn take(&self, bytes: u64) -> Result<(), Refusal> {
        let sum = self.own.take(bytes).ok_or(Refusal::Service)?;
        if self.host.all.take(bytes).is_none() {
            self.own.give(bytes);
            return Err(Refusal::Host);
        }
        self.note_peak(sum);
        Ok(())
    }

    fn note_peak(&self, sum: u64) {
        // Mostly it is not: a look costs less than a write that all cores must agree on.
        if sum > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(sum, Ordering::Relaxed);
        }
    }

    pub(crate) fn give(&self, bytes: u64) {
        self.own.give(bytes);
        self.host.all.give(bytes);
    }

    fn take_buffer(&self, bytes: u64) -> Result<(), Refusal> {
        self.take(bytes)?;
        self.buffers.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    fn note_buffer(&self, bytes: u64) {
        let sum = self.own.note(bytes);
        self.host.all.note(bytes);
        self.buffers.fetch_add(bytes, Ordering::Relaxed);
        self.note_peak(sum);
    }

    fn give_buffer(&self, bytes: u64) {
        self.buffers.fetch_sub(bytes, Ordering::Relaxed);
        self.give(bytes);
    }
}

impl Drop for ServiceMemory {
    fn drop(&mut self) {
        self.host.services.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Returns to the system what has been freed; of this thread's memory `all` that is free. The
/// allocator does so on the way of later calls, which an idle thread, or an idle host, does not make.
pub(crate) fn give_back(all: bool) {
    // SAFETY: no memory is involved that anybody has; any thread may call it at any time.
    unsafe { libmimalloc_sys::mi_collect(all) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_host_refuses_is_not_held_by_the_service() {
        let host = HostMemory::new(100);
        let (one, two) = (
            ServiceMemory::new(1000, host.clone()),
            ServiceMemory::new(50, host.clone()),
        );
        one.take(80).unwrap();
        assert_eq!(two.take(60), Err(Refusal::Service));
        assert_eq!(two.take(30), Err(Refusal::Host));
        assert_eq!((two.held(), two.peak(), host.held()), (0, 0, 80));
        one.give(80);
        two.take(50).unwrap();
        assert_eq!((two.held(), two.peak(), host.held()), (50, 50, 50));
        assert_eq!(one.peak(), 80);
    }

    #[test]
    fn a_sum_that_is_too_large_for_a_number_is_refused() {
        let service = ServiceMemory::new(u64::MAX, HostMemory::new(u64::MAX));
        service.take(2).unwrap();
        assert_eq!(service.take(u64::MAX - 1), Err(Refusal::Service));
        assert_eq!(service.held(), 2);
    }

    #[test]
    fn under_pressure_of_guests_only_a_glutton_has_no_room() {
        let host = HostMemory::new(100);
        let (glutton, modest) = (
            ServiceMemory::new(1000, host.clone()),
            ServiceMemory::new(1000, host.clone()),
        );
        glutton.take(60).unwrap();
        modest.take(35).unwrap();
        assert!(glutton.has_room() && modest.has_room());
        host.set_pressure(MemoryPressure::Guests);
        assert!(!glutton.has_room() && modest.has_room());
        host.set_pressure(MemoryPressure::Machine);
        assert!(!glutton.has_room() && !modest.has_room());
        // The share of the one that is left is all.
        drop(modest);
        host.set_pressure(MemoryPressure::Guests);
        assert!(glutton.has_room());
    }
}
