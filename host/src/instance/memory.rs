//! Counts the memory of a service's instances and refuses what exceeds its limits.
//!
//! wasmtime asks before a linear memory or a table is made or grows; a refusal makes `memory.grow`
//! return -1 in the guest, and an instantiation fail.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use wasmtime::ResourceLimiter;

/// Bytes that one table element costs the host.
const TABLE_ELEMENT: u64 = 8;

/// A sum of bytes with a limit.
#[derive(Debug)]
struct Account {
    limit: u64,
    held: AtomicU64,
}

impl Account {
    fn take(&self, bytes: u64) -> bool {
        let taken = self
            .held
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |held| {
                held.checked_add(bytes).filter(|sum| *sum <= self.limit)
            });
        taken.is_ok()
    }

    fn give(&self, bytes: u64) {
        self.held.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What all guests of the host hold together, in bytes, and may hold at most: `host.memory`.
#[derive(Debug)]
pub struct HostMemory(Account);

impl HostMemory {
    /// An empty account with a limit in bytes.
    pub fn new(limit: u64) -> Arc<HostMemory> {
        Arc::new(HostMemory(Account {
            limit,
            held: AtomicU64::new(0),
        }))
    }

    /// The limit.
    pub fn limit(&self) -> u64 {
        self.0.limit
    }
}

/// What all instances of one service hold together, in bytes, and may hold at most.
#[derive(Debug)]
pub struct ServiceMemory {
    own: Account,
    host: Arc<HostMemory>,
}

impl ServiceMemory {
    /// An empty account with a limit in bytes, out of what the host has left.
    pub fn new(limit: u64, host: Arc<HostMemory>) -> Arc<ServiceMemory> {
        Arc::new(ServiceMemory {
            own: Account {
                limit,
                held: AtomicU64::new(0),
            },
            host,
        })
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.own.held.load(Ordering::Relaxed)
    }

    fn take(&self, bytes: u64) -> bool {
        if !self.own.take(bytes) {
            return false;
        }
        if self.host.0.take(bytes) {
            return true;
        }
        self.own.give(bytes);
        false
    }

    fn give(&self, bytes: u64) {
        self.own.give(bytes);
        self.host.0.give(bytes);
    }
}

/// One instance's account: it gives back what it holds when the instance is dropped.
#[derive(Debug)]
pub struct InstanceMemory {
    service: Arc<ServiceMemory>,
    limit: u64,
    table_elements: usize,
    held: u64,
}

impl InstanceMemory {
    /// An instance that may hold `limit` bytes, out of what `service` has left, and tables of
    /// `table_elements` each.
    pub fn new(service: Arc<ServiceMemory>, limit: u64, table_elements: usize) -> InstanceMemory {
        InstanceMemory {
            service,
            limit,
            table_elements,
            held: 0,
        }
    }

    fn grow(&mut self, bytes: u64) -> bool {
        let fits = self
            .held
            .checked_add(bytes)
            .is_some_and(|sum| sum <= self.limit);
        let taken = fits && self.service.take(bytes);
        if taken {
            self.held += bytes;
        }
        taken
    }
}

impl Drop for InstanceMemory {
    fn drop(&mut self) {
        self.service.give(self.held);
    }
}

impl ResourceLimiter for InstanceMemory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        if maximum.is_some_and(|maximum| desired > maximum) {
            return Ok(false);
        }
        if desired > self.table_elements {
            return Ok(false);
        }
        Ok(self.grow((desired.saturating_sub(current) as u64).saturating_mul(TABLE_ELEMENT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: usize = 64 << 10;

    #[test]
    fn an_instance_is_held_to_its_own_limit() {
        let service = ServiceMemory::new(100 * PAGE as u64, HostMemory::new(u64::MAX));
        let mut one = InstanceMemory::new(service, 2 * PAGE as u64, 1 << 20);
        assert!(one.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!one.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap());
    }

    #[test]
    fn all_instances_share_the_limit_of_their_service_and_give_back() {
        let service = ServiceMemory::new(3 * PAGE as u64, HostMemory::new(u64::MAX));
        let mut one = InstanceMemory::new(service.clone(), 2 * PAGE as u64, 1 << 20);
        let mut two = InstanceMemory::new(service.clone(), 2 * PAGE as u64, 1 << 20);
        assert!(one.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!two.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(two.memory_growing(0, PAGE, None).unwrap());
        drop(one);
        assert_eq!(service.held(), PAGE as u64);
        assert!(two.memory_growing(PAGE, 2 * PAGE, None).unwrap());
        drop(two);
        assert_eq!(service.held(), 0);
    }

    #[test]
    fn all_services_share_the_limit_of_their_host() {
        let host = HostMemory::new(2 * PAGE as u64);
        let one = ServiceMemory::new(1 << 30, host.clone());
        let two = ServiceMemory::new(1 << 30, host);
        let mut first = InstanceMemory::new(one.clone(), 1 << 30, 1 << 20);
        let mut second = InstanceMemory::new(two.clone(), 1 << 30, 1 << 20);
        assert!(first.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!second.memory_growing(0, PAGE, None).unwrap());
        assert_eq!(
            two.held(),
            0,
            "what the host refused is not held by the service"
        );
        drop(first);
        assert!(second.memory_growing(0, PAGE, None).unwrap());
    }

    #[test]
    fn tables_count_by_the_element() {
        let service = ServiceMemory::new(1024, HostMemory::new(u64::MAX));
        let mut one = InstanceMemory::new(service, 1024, 1 << 20);
        assert!(one.table_growing(0, 128, None).unwrap());
        assert!(!one.table_growing(128, 129, None).unwrap());
    }

    #[test]
    fn growth_beyond_the_guests_own_maximum_is_not_counted() {
        let service = ServiceMemory::new(1 << 30, HostMemory::new(u64::MAX));
        let mut one = InstanceMemory::new(service.clone(), 1 << 30, 1 << 20);
        assert!(!one.memory_growing(0, 2 * PAGE, Some(PAGE)).unwrap());
        assert_eq!(service.held(), 0);
    }
}
