//! What one instance holds: asked by wasmtime before a linear memory or a table is made or grows,
//! and by host functions before they allocate for the guest (`memory::buffers`).
//!
//! A refusal makes `memory.grow` return -1 in the guest, or ends its call where the policy says so;
//! at instantiation it is told apart from a component that is broken.

use std::sync::Arc;

use skep_core::limits::MemoryPolicy;
use wasmtime::ResourceLimiter;

use crate::memory::buffers::{Buffers, Held, STEP};
use crate::memory::{Refusal, ServiceMemory};

/// Bytes that one table element costs the host.
const TABLE_ELEMENT: u64 = 8;

/// Bytes that an instance costs the host beside what it is seen to hold: its store, wasmtime's
/// structures, its entries in lists, the pages of its stack that host functions use.
const INSTANCE: u64 = 48 << 10;

/// What one instance may hold, in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MemoryLimits {
    /// Its linear memories and tables.
    pub memory: u64,
    /// What happens beyond that.
    pub policy: MemoryPolicy,
    /// Elements of one table.
    pub table_elements: usize,
    /// What the host holds for it.
    pub buffers: u64,
    /// The stack that its code may use: its pages are the host's once they have been touched.
    pub stack: u64,
}

/// The error that ends a call which wanted more memory than it may have.
#[derive(Debug, thiserror::Error)]
pub enum MemoryLimitReached {
    /// `limits.memory-policy` is `trap`.
    #[error("the guest wanted more memory than it may have: {0}")]
    Memory(Refusal),
    /// The host cannot be made to hold more.
    #[error("the host holds as much for the guest as `limits.buffers` allows: {0}")]
    Buffers(Refusal),
}

/// One instance's account: it gives back what it holds when the instance is dropped.
#[derive(Debug)]
pub struct InstanceMemory {
    service: Arc<ServiceMemory>,
    limits: MemoryLimits,
    /// Memories and tables.
    held: u64,
    buffers: Arc<Buffers>,
    _fixed: Held,
    /// The latest refusal.
    refused: Option<Refusal>,
}

impl InstanceMemory {
    /// An instance that may hold this much, out of what `service` has left.
    pub fn new(service: Arc<ServiceMemory>, limits: MemoryLimits) -> InstanceMemory {
        // How many instances there are is bounded otherwise; what they cost is not theirs to spend.
        let fixed = INSTANCE.saturating_add(limits.stack);
        let buffers = Buffers::new(service.clone(), limits.buffers.saturating_add(fixed));
        InstanceMemory {
            _fixed: buffers.note(fixed),
            service,
            limits,
            held: 0,
            buffers,
            refused: None,
        }
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        self.held
    }

    /// What the host holds for the instance. Whoever allocates for it asks here.
    pub fn buffers(&self) -> &Arc<Buffers> {
        &self.buffers
    }

    /// Why it was last told no, if it was, in the name of all: the instance's own limit does not
    /// count, which its component knows.
    pub(crate) fn refused_by_others(&self) -> Option<Refusal> {
        self.refused.filter(|refusal| *refusal != Refusal::Instance)
    }

    fn grow(&mut self, bytes: u64) -> wasmtime::Result<bool> {
        match self.take(bytes) {
            Ok(()) => Ok(true),
            Err(refusal) => {
                self.refused = Some(refusal);
                self.refuse(refusal)
            }
        }
    }

    fn take(&mut self, bytes: u64) -> Result<(), Refusal> {
        let fits = |sum: &u64| *sum <= self.limits.memory;
        let sum = self.held.checked_add(bytes).filter(fits);
        let sum = sum.ok_or(Refusal::Instance)?;
        let more = steps(sum) - steps(self.held);
        if more > 0 {
            self.service.take(more)?;
        }
        self.held = sum;
        Ok(())
    }

    fn refuse(&self, refusal: Refusal) -> wasmtime::Result<bool> {
        match self.limits.policy {
            MemoryPolicy::Fail => Ok(false),
            MemoryPolicy::Trap => Err(MemoryLimitReached::Memory(refusal).into()),
        }
    }
}

/// Memories come in pages of this size; tables, which are small, are charged by it too, so that a
/// few of them cost one look at the service's account.
fn steps(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(STEP).unwrap_or(u64::MAX)
}

impl Drop for InstanceMemory {
    fn drop(&mut self) {
        self.service.give(steps(self.held));
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
        self.grow(desired.saturating_sub(current) as u64)
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
        if desired > self.limits.table_elements {
            return self.refuse(Refusal::Instance);
        }
        self.grow((desired.saturating_sub(current) as u64).saturating_mul(TABLE_ELEMENT))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::HostMemory;

    const PAGE: usize = 64 << 10;
    /// What each instance costs: the fixed charge in whole steps.
    const FIXED: u64 = STEP;

    fn limits(memory: usize) -> MemoryLimits {
        MemoryLimits {
            memory: memory as u64,
            policy: MemoryPolicy::Fail,
            table_elements: 1 << 20,
            buffers: 1 << 20,
            stack: 0,
        }
    }

    fn service(pages: usize) -> Arc<ServiceMemory> {
        ServiceMemory::new((pages * PAGE) as u64, HostMemory::new(u64::MAX))
    }

    #[test]
    fn an_instance_is_held_to_its_own_limit() {
        let mut one = InstanceMemory::new(service(100), limits(2 * PAGE));
        assert!(one.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!one.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap());
        assert_eq!(one.refused_by_others(), None, "its own limit");
    }

    #[test]
    fn a_policy_of_trapping_ends_the_call_instead() {
        let trap = MemoryLimits {
            policy: MemoryPolicy::Trap,
            table_elements: 10,
            ..limits(2 * PAGE)
        };
        let mut one = InstanceMemory::new(service(100), trap);
        assert!(one.memory_growing(0, 2 * PAGE, None).unwrap());
        let error = one.memory_growing(2 * PAGE, 3 * PAGE, None).unwrap_err();
        assert!(error.is::<MemoryLimitReached>(), "{error:#}");
        assert!(one.table_growing(0, 11, None).is_err());
        // What the guest's own maximum forbids is no affair of the host's.
        let within = Some(2 * PAGE);
        assert!(!one.memory_growing(2 * PAGE, 3 * PAGE, within).unwrap());
    }

    #[test]
    fn all_instances_share_the_limit_of_their_service_and_give_back() {
        let service = service(3 + 2);
        let mut one = InstanceMemory::new(service.clone(), limits(2 * PAGE));
        let mut two = InstanceMemory::new(service.clone(), limits(2 * PAGE));
        assert_eq!(service.buffers(), 2 * FIXED);
        assert!(one.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!two.memory_growing(0, 2 * PAGE, None).unwrap());
        assert_eq!(two.refused_by_others(), Some(Refusal::Service));
        assert!(two.memory_growing(0, PAGE, None).unwrap());
        drop(one);
        assert_eq!(service.held(), PAGE as u64 + FIXED);
        assert!(two.memory_growing(PAGE, 2 * PAGE, None).unwrap());
        drop(two);
        assert_eq!((service.held(), service.buffers()), (0, 0));
        assert_eq!(service.peak(), 3 * PAGE as u64 + 2 * FIXED);
    }

    #[test]
    fn all_services_share_the_limit_of_their_host() {
        let host = HostMemory::new(4 * PAGE as u64);
        let one = ServiceMemory::new(1 << 30, host.clone());
        let two = ServiceMemory::new(1 << 30, host);
        let mut first = InstanceMemory::new(one.clone(), limits(1 << 30));
        let mut second = InstanceMemory::new(two.clone(), limits(1 << 30));
        assert!(first.memory_growing(0, 2 * PAGE, None).unwrap());
        assert!(!second.memory_growing(0, PAGE, None).unwrap());
        assert_eq!(second.refused_by_others(), Some(Refusal::Host));
        assert_eq!(two.held(), FIXED, "what the host refused is not held");
        drop(first);
        assert!(second.memory_growing(0, PAGE, None).unwrap());
    }

    #[test]
    fn tables_count_by_the_element() {
        let service = service(10);
        let mut one = InstanceMemory::new(service.clone(), limits(1024));
        assert!(one.table_growing(0, 128, None).unwrap());
        assert!(!one.table_growing(128, 129, None).unwrap());
        assert_eq!(service.held(), STEP + FIXED, "in whole steps");
    }

    #[test]
    fn growth_beyond_the_guests_own_maximum_is_not_counted() {
        let service = service(100);
        let mut one = InstanceMemory::new(service.clone(), limits(1 << 30));
        assert!(!one.memory_growing(0, 2 * PAGE, Some(PAGE)).unwrap());
        assert_eq!(service.held(), FIXED);
    }

    #[test]
    fn buffers_have_a_limit_of_their_own_beside_what_the_instance_costs() {
        let service = service(100);
        let with_stack = MemoryLimits {
            stack: 3 * STEP,
            ..limits(PAGE)
        };
        let one = InstanceMemory::new(service.clone(), with_stack);
        let all = one.buffers().hold(1 << 20).unwrap();
        assert_eq!(one.buffers().hold(1).unwrap_err(), Refusal::Instance);
        drop(one);
        assert_eq!(all.bytes(), 1 << 20);
        assert!(service.held() >= 1 << 20, "held for as long as it is there");
        drop(all);
        assert_eq!(service.held(), 0);
    }
}
