//! Looks at the memory some times a second, and says when there is too little for new requests:
//! before the kernel would have to kill somebody, which would be us.
//!
//! Called by the thread that keeps the clock (`engine::Ticker`), never by one that serves.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use skep_core::pressure::{Gauge, Reading, Thresholds};
use skep_core::status::MemoryPressure;

use super::HostMemory;
use super::machine::Machine;

/// Between two looks. Memory fills at some GiB per second at worst: the reserve must outlast this.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Of the machine's memory, kept free where the manifest does not say how much.
const RESERVE_SHARE: u64 = 16;

/// At most this is kept free, in bytes: a large machine needs no more than a small one to shed in
/// time, and on somebody's desk it may be nearly full for reasons of its own.
const RESERVE_MAX: u64 = 256 << 20;

/// Of the machine's memory, for all guests together where the manifest does not say how much: the
/// system, the host and the page cache have the rest.
const GUESTS_SHARE: u64 = 2;

/// What was seen at the last look, in bytes, for people.
#[derive(Debug, Default)]
pub struct Seen {
    available: AtomicU64,
}

impl Seen {
    /// What the machine or the control group had left.
    pub fn available(&self) -> u64 {
        self.available.load(Ordering::Relaxed)
    }
}

/// See the module.
#[derive(Debug)]
pub struct Watch {
    machine: Machine,
    memory: Arc<HostMemory>,
    gauge: Gauge,
    seen: Arc<Seen>,
    next_ms: u64,
}

impl Watch {
    /// The memory of this machine, with an account for its guests and a watch that keeps an eye on
    /// both. `guests` and `reserve` are what the manifest says, in bytes.
    pub fn new(guests: Option<u64>, reserve: Option<u64>) -> (Arc<HostMemory>, Watch) {
        let machine = Machine::find();
        let total = machine.total();
        let memory = HostMemory::new(guests.unwrap_or(total / GUESTS_SHARE));
        let thresholds = Thresholds {
            guests: memory.limit(),
            reserve: reserve.unwrap_or((total / RESERVE_SHARE).min(RESERVE_MAX)),
        };
        let watch = Watch {
            machine,
            memory: memory.clone(),
            gauge: Gauge::new(thresholds),
            seen: Arc::default(),
            next_ms: 0,
        };
        (memory, watch)
    }

    /// What it saw last.
    pub fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }

    /// Called at each tick of the clock, with its time; looks when it is time for that.
    pub fn tick(&mut self, now_ms: u64) {
        if now_ms < self.next_ms {
            return;
        }
        let pause = u64::try_from(LOOK_EVERY.as_millis()).unwrap_or(u64::MAX);
        self.next_ms = now_ms.saturating_add(pause);
        self.look();
    }

    fn look(&mut self) {
        let available = self.machine.available();
        let resident = self.machine.resident().unwrap_or(0);
        let reading = Reading {
            guests: self.memory.held(),
            available,
        };
        let available = available.unwrap_or(0);
        self.seen.available.store(available, Ordering::Relaxed);
        let Some(pressure) = self.gauge.read(reading) else {
            return;
        };
        self.memory.set_pressure(pressure);
        let (guests, limit) = (reading.guests, self.memory.limit());
        match pressure {
            MemoryPressure::None => tracing::info!(
                guests,
                resident,
                available,
                "memory: there is enough again; all services take new requests"
            ),
            MemoryPressure::Guests => tracing::warn!(
                guests,
                limit,
                resident,
                available,
                "memory: guests hold nearly all of `host.memory`; services that hold more than their \
                 share of it get no new requests until they hold less"
            ),
            MemoryPressure::Machine => tracing::warn!(
                guests,
                resident,
                available,
                "memory: less is free than `host.memory-reserve`; new requests are answered 503 until \
                 there is more"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::ServiceMemory;

    #[test]
    fn a_look_finds_the_machine_out_of_memory() {
        // More than any machine has must stay free: there is less, in truth.
        let (memory, mut watch) = Watch::new(None, Some(1 << 60));
        let service = ServiceMemory::new(u64::MAX, memory.clone());
        assert!(service.has_room(), "nobody has looked yet");
        watch.tick(1);
        assert!(!service.has_room());
        assert_eq!(memory.pressure(), MemoryPressure::Machine);
        let seen = watch.seen();
        assert!(seen.available() > 0);
        let total = Machine::find().total();
        assert!(memory.limit() <= total / 2 && memory.limit() > 0);
    }

    #[test]
    fn it_looks_now_and_then_only() {
        let (memory, mut watch) = Watch::new(Some(1000), Some(0));
        let service = ServiceMemory::new(u64::MAX, memory.clone());
        watch.tick(1);
        service.take(950).unwrap();
        watch.tick(2);
        assert_eq!(memory.pressure(), MemoryPressure::None);
        watch.tick(102);
        assert_eq!(memory.pressure(), MemoryPressure::Guests);
        service.give(950);
        watch.tick(203);
        assert_eq!(memory.pressure(), MemoryPressure::None);
    }
}
