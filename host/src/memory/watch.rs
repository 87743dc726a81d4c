//! Looks at the memory some times a second, and says when there is too little for new requests:
//! before the kernel would have to kill somebody, which would be us.
//!
//! On a thread of its own: what it reads and gives back takes its time, which neither those who
//! serve have, nor the one that keeps the clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use skep_core::pressure::{Gauge, Reading, Thresholds};
use skep_core::status::MemoryPressure;

use super::machine::Machine;
use super::{HostMemory, give_back};

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
}

/// The thread that looks; it ends when this is dropped.
pub struct Watching {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Stop {
    asked: Mutex<bool>,
    changed: Condvar,
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
        };
        (memory, watch)
    }

    /// What it saw last.
    pub fn seen(&self) -> Arc<Seen> {
        self.seen.clone()
    }

    /// Begins to look.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start(mut self) -> std::io::Result<Watching> {
        let stop = Arc::<Stop>::default();
        let thread = std::thread::Builder::new()
            .name("skep-memory".into())
            .spawn({
                let stop = stop.clone();
                move || {
                    let mut asked = stop.asked.lock();
                    while !*asked {
                        stop.changed.wait_for(&mut asked, LOOK_EVERY);
                        self.look();
                        give_back(false);
                    }
                }
            })?;
        Ok(Watching {
            stop,
            thread: Some(thread),
        })
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

impl Drop for Watching {
    fn drop(&mut self) {
        *self.stop.asked.lock() = true;
        self.stop.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            // A look takes microseconds; a panic in it has been reported already.
            let _ = thread.join();
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
        watch.look();
        assert!(!service.has_room());
        assert_eq!(memory.pressure(), MemoryPressure::Machine);
        let seen = watch.seen();
        assert!(seen.available() > 0);
        let total = Machine::find().total();
        assert!(memory.limit() <= total / 2 && memory.limit() > 0);
    }

    #[test]
    fn the_thread_looks_until_it_is_dropped() {
        let (memory, watch) = Watch::new(Some(1000), Some(0));
        let service = ServiceMemory::new(u64::MAX, memory.clone());
        service.take(950).unwrap();
        let watching = watch.start().unwrap();
        while memory.pressure() != MemoryPressure::Guests {
            std::thread::sleep(LOOK_EVERY / 10);
        }
        service.give(950);
        while memory.pressure() != MemoryPressure::None {
            std::thread::sleep(LOOK_EVERY / 10);
        }
        drop(watching);
        service.take(950).unwrap();
        assert_eq!(memory.pressure(), MemoryPressure::None);
    }
}
