//! What the host holds for a guest beside its memories, byte by byte, given back by being dropped.
//!
//! Whoever allocates for a guest asks [`Buffers::hold`] first, and keeps the [`Held`] beside the
//! bytes; or lets the bytes themselves carry it ([`Buffers::keep`]), so that they are counted for as
//! long as anybody has them, through channels and connections, whoever drops them last. An instance
//! has buffers of its own, held to `limits.buffers`; a revision has some for what belongs to no
//! instance yet, or no more.
//!
//! The service's account is asked in steps of [`STEP`] bytes, so that small buffers cost an
//! uncontended lock and nothing else.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{HostMemory, Refusal, ServiceMemory};

/// The service is charged for whole steps. A request that holds no more than this beside its
/// memories touches no counter that others touch.
pub const STEP: u64 = 64 << 10;

/// A piece of data smaller than this is not worth an allocation to count it. What can pile up in
/// smaller pieces is counted by whoever piles it up.
pub const COUNTED_PIECE: usize = 8 << 10;

/// See the module.
#[derive(Debug)]
pub struct Buffers {
    service: Arc<ServiceMemory>,
    limit: u64,
    held: Mutex<u64>,
}

impl Buffers {
    /// None held, at most `limit` bytes, out of what `service` has left.
    pub fn new(service: Arc<ServiceMemory>, limit: u64) -> Arc<Buffers> {
        Arc::new(Buffers {
            service,
            limit,
            held: Mutex::new(0),
        })
    }

    /// Buffers that are counted for nobody, without a limit.
    pub fn of_nobody() -> Arc<Buffers> {
        let nobody = ServiceMemory::new(u64::MAX, HostMemory::new(u64::MAX));
        Buffers::new(nobody, u64::MAX)
    }

    /// Bytes held now.
    pub fn held(&self) -> u64 {
        *self.held.lock()
    }

    /// Room for `bytes`, until the result is dropped.
    ///
    /// # Errors
    /// Who has no more.
    pub fn hold(self: &Arc<Self>, bytes: u64) -> Result<Held, Refusal> {
        self.take(bytes)?;
        Ok(Held {
            buffers: self.clone(),
            bytes,
        })
    }

    /// Counts bytes that are there already, whatever the limits: who has brought them is bounded
    /// otherwise.
    pub fn note(self: &Arc<Self>, bytes: u64) -> Held {
        let mut held = self.held.lock();
        let sum = held.saturating_add(bytes);
        self.service.note_buffer(steps(sum) - steps(*held));
        *held = sum;
        drop(held);
        Held {
            buffers: self.clone(),
            bytes,
        }
    }

    /// The same data, counted until nobody has any of it.
    ///
    /// # Errors
    /// Who has no more.
    pub fn keep(self: &Arc<Self>, data: Bytes) -> Result<Bytes, Refusal> {
        if data.len() < COUNTED_PIECE {
            return Ok(data);
        }
        self.keep_any(data)
    }

    /// The same, however small it is.
    ///
    /// # Errors
    /// Who has no more.
    pub fn keep_any(self: &Arc<Self>, data: Bytes) -> Result<Bytes, Refusal> {
        let held = self.hold(data.len() as u64)?;
        Ok(Bytes::from_owner(Kept { data, _held: held }))
    }

    /// As [`Self::keep`], for data that is there already.
    pub fn keep_noted(self: &Arc<Self>, data: Bytes) -> Bytes {
        if data.len() < COUNTED_PIECE {
            return data;
        }
        let held = self.note(data.len() as u64);
        Bytes::from_owner(Kept { data, _held: held })
    }

    fn take(&self, bytes: u64) -> Result<(), Refusal> {
        let mut held = self.held.lock();
        let sum = held
            .checked_add(bytes)
            .filter(|sum| *sum <= self.limit)
            .ok_or(Refusal::Instance)?;
        let more = steps(sum) - steps(*held);
        if more > 0 {
            self.service.take_buffer(more)?;
        }
        *held = sum;
        Ok(())
    }

    fn give(&self, bytes: u64) {
        let mut held = self.held.lock();
        let left = *held - bytes;
        let less = steps(*held) - steps(left);
        if less > 0 {
            self.service.give_buffer(less);
        }
        *held = left;
    }
}

/// Bytes in whole steps.
fn steps(bytes: u64) -> u64 {
    bytes.checked_next_multiple_of(STEP).unwrap_or(u64::MAX)
}

/// Bytes that are held; given back when dropped.
#[derive(Debug)]
pub struct Held {
    buffers: Arc<Buffers>,
    bytes: u64,
}

impl Held {
    /// How many.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Holds `bytes` from now on instead. What is less is always granted.
    ///
    /// # Errors
    /// Who has no more; then nothing has changed.
    pub fn resize(&mut self, bytes: u64) -> Result<(), Refusal> {
        match bytes.checked_sub(self.bytes) {
            Some(more) => self.buffers.take(more)?,
            None => self.buffers.give(self.bytes - bytes),
        }
        self.bytes = bytes;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.buffers.give(self.bytes);
    }
}

/// Data with what it is counted by.
struct Kept {
    data: Bytes,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.data
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn service(limit: u64) -> Arc<ServiceMemory> {
        ServiceMemory::new(limit, HostMemory::new(u64::MAX))
    }

    #[test]
    fn small_buffers_are_charged_to_the_service_by_the_step() {
        let service = service(1 << 30);
        let buffers = Buffers::new(service.clone(), 1 << 20);
        let first = buffers.hold(1).unwrap();
        assert_eq!((buffers.held(), service.buffers()), (1, STEP));
        let second = buffers.hold(STEP - 1).unwrap();
        assert_eq!((buffers.held(), service.buffers()), (STEP, STEP));
        let third = buffers.hold(1).unwrap();
        assert_eq!(service.held(), 2 * STEP);
        drop((first, second, third));
        assert_eq!(
            (buffers.held(), service.held(), service.buffers()),
            (0, 0, 0)
        );
        assert_eq!(service.peak(), 2 * STEP);
    }

    #[test]
    fn each_limit_refuses_in_its_own_name() {
        let service = service(2 * STEP);
        let buffers = Buffers::new(service.clone(), 3 * STEP);
        assert_eq!(buffers.hold(4 * STEP).unwrap_err(), Refusal::Instance);
        assert_eq!(buffers.hold(3 * STEP).unwrap_err(), Refusal::Service);
        assert_eq!(buffers.hold(u64::MAX).unwrap_err(), Refusal::Instance);
        let mut held = buffers.hold(STEP).unwrap();
        assert_eq!(held.resize(3 * STEP).unwrap_err(), Refusal::Service);
        assert_eq!(held.bytes(), STEP, "nothing has changed");
        held.resize(2 * STEP).unwrap();
        held.resize(5).unwrap();
        assert_eq!(service.held(), STEP);
        // What is there already is counted all the same, and holds up what is asked for.
        let there = buffers.note(10 * STEP);
        assert_eq!(service.held(), 11 * STEP);
        assert!(buffers.hold(1).is_err());
        drop(there);
        assert!(buffers.hold(1).is_ok());
    }

    #[test]
    fn data_is_counted_until_nobody_has_any_of_it() {
        let service = service(1 << 30);
        let buffers = Buffers::new(service.clone(), 1 << 20);
        let data = buffers.keep(Bytes::from(vec![7; 100_000])).unwrap();
        let tail = data.slice(99_000..);
        assert_eq!(buffers.held(), 100_000);
        drop(data);
        assert_eq!(buffers.held(), 100_000, "a slice has it whole");
        assert_eq!(tail.len(), 1000);
        drop(tail);
        assert_eq!((buffers.held(), service.held()), (0, 0));
        let small = buffers
            .keep(Bytes::from(vec![7; COUNTED_PIECE - 1]))
            .unwrap();
        assert_eq!(buffers.held(), 0, "{} bytes are not worth it", small.len());
        assert!(buffers.keep(Bytes::from(vec![7; 2 << 20])).is_err());
    }

    #[derive(Clone, Debug)]
    enum Step {
        Hold(usize, u64),
        Note(usize, u64),
        Resize(usize, u64),
        Keep(usize, usize),
        Drop(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        let bytes = 0..3 * STEP;
        prop_oneof![
            (0..2_usize, bytes.clone()).prop_map(|(who, bytes)| Step::Hold(who, bytes)),
            (0..2_usize, bytes.clone()).prop_map(|(who, bytes)| Step::Note(who, bytes)),
            (any::<usize>(), bytes).prop_map(|(which, bytes)| Step::Resize(which, bytes)),
            (0..2_usize, 0..200_000_usize).prop_map(|(who, bytes)| Step::Keep(who, bytes)),
            any::<usize>().prop_map(Step::Drop),
        ]
    }

    proptest! {
        /// Whatever is taken, noted, resized and given back in whatever order: the sums are those of
        /// what is alive, and at the end nothing is left.
        #[test]
        fn the_sums_are_those_of_what_is_alive(steps in prop::collection::vec(step(), 0..60)) {
            let host = HostMemory::new(20 * STEP);
            let service = ServiceMemory::new(10 * STEP, host.clone());
            let all = [
                Buffers::new(service.clone(), 6 * STEP),
                Buffers::new(service.clone(), u64::MAX),
            ];
            let mut alive: Vec<(usize, Held)> = Vec::new();
            let mut data: Vec<(usize, Bytes)> = Vec::new();
            for step in steps {
                match step {
                    Step::Hold(who, bytes) => {
                        alive.extend(all[who].hold(bytes).ok().map(|held| (who, held)));
                    }
                    Step::Note(who, bytes) => alive.push((who, all[who].note(bytes))),
                    Step::Resize(which, bytes) if !alive.is_empty() => {
                        let which = which % alive.len();
                        let less = bytes <= alive[which].1.bytes();
                        let resized = alive[which].1.resize(bytes);
                        prop_assert!(resized.is_ok() || !less);
                    }
                    Step::Keep(who, bytes) => {
                        data.extend(all[who].keep(Bytes::from(vec![0; bytes])).ok().map(|d| (who, d)));
                    }
                    Step::Drop(which) if !alive.is_empty() => {
                        alive.swap_remove(which % alive.len());
                    }
                    Step::Drop(_) => { data.pop(); }
                    Step::Resize(..) => {}
                }
                let counted = |data: &Bytes| if data.len() < COUNTED_PIECE { 0 } else { data.len() as u64 };
                let mut whole = 0;
                for (who, buffers) in all.iter().enumerate() {
                    let held: u64 = alive.iter().filter(|(w, _)| *w == who).map(|(_, held)| held.bytes()).sum();
                    let kept: u64 = data.iter().filter(|(w, _)| *w == who).map(|(_, data)| counted(data)).sum();
                    prop_assert_eq!(buffers.held(), held + kept);
                    whole += super::steps(held + kept);
                }
                prop_assert_eq!(service.buffers(), whole);
                prop_assert_eq!(service.held(), whole);
                prop_assert_eq!(host.held(), whole);
                prop_assert!(service.peak() >= whole);
            }
            drop((alive, data));
            prop_assert_eq!((service.held(), service.buffers(), host.held()), (0, 0, 0));
        }
    }

    #[test]
    fn threads_that_hold_and_give_back_leave_nothing() {
        let service = service(100 * STEP);
        let buffers = Buffers::new(service.clone(), 50 * STEP);
        std::thread::scope(|scope| {
            for thread in 0..4_u64 {
                let buffers = &buffers;
                scope.spawn(move || {
                    for turn in 0..5000_u64 {
                        let held = buffers.hold((turn * 7919 + thread) % (20 * STEP));
                        let noted = buffers.note(turn % 100);
                        drop(held);
                        drop(noted);
                    }
                });
            }
        });
        assert_eq!(
            (buffers.held(), service.held(), service.buffers()),
            (0, 0, 0)
        );
        assert!(service.peak() <= 100 * STEP + 4 * STEP);
    }
}
