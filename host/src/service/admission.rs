//! Room in a service: so many requests at once, so many waiting, and the rest is turned away.
//!
//! A request that its own client holds up keeps its place only while nobody waits for it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::lag::Lag;
use crate::outgoing::MAX_DEPTH;

/// How far a client may lag behind while others wait for its request's place: longer than lost packets
/// take to be sent again, shorter than most who wait are patient.
const YIELDS_AFTER: Duration = Duration::from_secs(2);

/// How often those who wait look for such clients.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// How often calls beyond the room are looked for while it is emptied.
const EMPTIED_EVERY: Duration = Duration::from_millis(1);

/// Why a request found no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shed {
    /// The queue is full too.
    QueueFull,
    /// It waited in the queue for as long as it may.
    QueueTimeout,
    /// There is too little memory for new requests: see `memory::watch`.
    Memory,
}

/// The door-keeper of one revision.
#[derive(Debug)]
pub struct Admission {
    room: Arc<Semaphore>,
    size: usize,
    /// Places beyond `size` for calls that must not wait: see [`Admission::enter_mutual`].
    beyond: Arc<Semaphore>,
    queue: usize,
    waiting: AtomicUsize,
    clients: Mutex<Clients>,
}

/// Clients that may hold a place up.
#[derive(Debug)]
struct Clients {
    lags: Vec<Weak<Lag>>,
    /// When they were looked at last.
    looked: Instant,
}

impl Admission {
    /// Room for `size` requests at once and `queue` more that wait.
    pub fn new(size: usize, queue: usize) -> Admission {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(size));
        Admission {
            room,
            size,
            beyond: Arc::new(Semaphore::new(places_beyond(size))),
            queue,
            waiting: AtomicUsize::new(0),
            clients: Mutex::new(Clients {
                lags: Vec::new(),
                looked: Instant::now(),
            }),
        }
    }

    /// Requests inside.
    pub fn in_flight(&self) -> usize {
        let beyond = places_beyond(self.size).saturating_sub(self.beyond.available_permits());
        self.size.saturating_sub(self.room.available_permits()) + beyond
    }

    /// Requests in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Room at once, if there is any.
    pub(crate) fn try_enter(&self) -> Option<OwnedSemaphorePermit> {
        self.room.clone().try_acquire_owned().ok()
    }

    /// Waits for room, at most until `deadline`. Returns it with the time waited; it is given back
    /// when dropped.
    pub(crate) async fn enter(
        &self,
        deadline: Instant,
    ) -> Result<(OwnedSemaphorePermit, Duration), Shed> {
        if let Some(permit) = self.try_enter() {
            return Ok((permit, Duration::ZERO));
        }
        let Some(_place) = Place::take(&self.waiting, self.queue) else {
            return Err(Shed::QueueFull);
        };
        let began = Instant::now();
        let mut room = std::pin::pin!(self.room.clone().acquire_owned());
        loop {
            let look = deadline.min(Instant::now() + LOOK_EVERY);
            match tokio::time::timeout_at(look.into(), room.as_mut()).await {
                Ok(Ok(permit)) => return Ok((permit, began.elapsed())),
                Err(_) if Instant::now() < deadline => self.relieve(),
                // Nobody closes the semaphore; waiting in vain is the nearest truth.
                Ok(Err(_)) | Err(_) => return Err(Shed::QueueTimeout),
            }
        }
    }

    /// All the room, once those have left who are inside or wait already.
    pub(crate) async fn emptied(&self) -> Vec<OwnedSemaphorePermit> {
        let mut places = Vec::new();
        // It is no more than a semaphore takes.
        let size = u32::try_from(self.size).unwrap_or(u32::MAX);
        // Nobody closes the semaphore.
        places.extend(self.room.clone().acquire_many_owned(size).await);
        while self.beyond.available_permits() < places_beyond(self.size) {
            tokio::time::sleep(EMPTIED_EVERY).await;
        }
        places
    }

    /// Room for a call by a service that this one calls itself, at some remove. Those inside may be
    /// waiting for the caller, or for what waits for it, so that waiting here could be for ever:
    /// such a call has room at once, beyond the usual if need be, or none.
    pub(crate) fn enter_mutual(&self) -> Result<OwnedSemaphorePermit, Shed> {
        let room = self.room.clone().try_acquire_owned();
        room.or_else(|_| self.beyond.clone().try_acquire_owned())
            .map_err(|_| Shed::QueueFull)
    }

    /// A place for an instance that nobody has asked for, if with those at work and so many idle ones
    /// there are fewer than there may be.
    pub(crate) fn enter_unasked(
        &self,
        idle: impl FnOnce() -> usize,
    ) -> Option<OwnedSemaphorePermit> {
        let place = self.room.clone().try_acquire_owned().ok()?;
        // Counted once nobody can take the last place any more.
        (self.in_flight() + idle() <= self.size).then_some(place)
    }

    /// A request inside waits for its client now and then; this is how far that lags behind.
    pub(crate) fn watch(&self, lag: &Arc<Lag>) {
        let lags = &mut self.clients.lock().lags;
        if lags.len() == lags.capacity() {
            // Before it grows: it holds those of the requests that are inside, and as many again.
            lags.retain(|lag| lag.strong_count() > 0);
        }
        lags.push(Arc::downgrade(lag));
    }

    /// Lets go of those inside whose clients lag behind most, as many as others wait.
    fn relieve(&self) {
        let now = Instant::now();
        let mut clients = self.clients.lock();
        // All who wait come here; one of them is enough.
        if now.saturating_duration_since(clients.looked) < LOOK_EVERY / 2 {
            return;
        }
        clients.looked = now;
        let mut late = Vec::new();
        clients.lags.retain(|lag| {
            let Some(lag) = lag.upgrade() else {
                return false;
            };
            if let Some(behind) = lag.held_up(now).filter(|behind| *behind > YIELDS_AFTER) {
                late.push((behind, lag));
            }
            true
        });
        late.sort_by_key(|(behind, _)| std::cmp::Reverse(*behind));
        for (_, lag) in late.iter().take(self.waiting()) {
            lag.let_go();
        }
    }
}

/// Places beyond so many: even where there is but one, a chain of calls comes to its end.
pub(crate) fn places_beyond(size: usize) -> usize {
    size.max(MAX_DEPTH as usize)
}

/// A place in the queue, left when dropped: also when the client gives up.
pub(super) struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    pub(super) fn take(waiting: &AtomicUsize, places: usize) -> Option<Place<'_>> {
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < places).then(|| waiting + 1)
        });
        // Not made where it was not taken: it gives back when it is dropped.
        taken.is_ok().then(|| Place(waiting))
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_ms(ms: u64) -> Instant {
        Instant::now() + Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn what_fits_enters_at_once_and_the_rest_waits_its_turn() {
        let admission = Arc::new(Admission::new(1, 1));
        let (first, waited) = admission.enter(in_ms(1000)).await.unwrap();
        assert_eq!(waited, Duration::ZERO);
        assert_eq!(admission.in_flight(), 1);
        let second = tokio::time::timeout(Duration::from_secs(5), async {
            let enter = admission.enter(in_ms(5000));
            let leave = async {
                while admission.waiting() == 0 {
                    tokio::task::yield_now().await;
                }
                drop(first);
            };
            tokio::join!(enter, leave).0
        });
        let (_second, waited) = second.await.unwrap().unwrap();
        assert!(waited > Duration::ZERO);
        assert_eq!(admission.waiting(), 0);
    }

    #[test]
    fn whoever_finds_no_place_in_the_queue_takes_none_away() {
        let waiting = AtomicUsize::new(0);
        assert!(Place::take(&waiting, 0).is_none());
        let place = Place::take(&waiting, 1);
        assert!(Place::take(&waiting, 1).is_none());
        assert_eq!(waiting.load(Ordering::Relaxed), 1);
        drop(place);
        assert_eq!(waiting.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn calls_in_a_circle_have_room_at_once_or_none() {
        let admission = Admission::new(1, 8);
        let first = admission.enter(in_ms(1000)).await.unwrap();
        let chain: Vec<_> = (0..MAX_DEPTH)
            .map(|_| admission.enter_mutual().unwrap())
            .collect();
        assert_eq!(admission.in_flight(), 1 + chain.len());
        assert_eq!(admission.enter_mutual().unwrap_err(), Shed::QueueFull);
        drop((first, chain));
        assert_eq!(admission.in_flight(), 0);
    }

    #[tokio::test]
    async fn a_full_queue_sheds_and_a_slow_one_times_out() {
        let admission = Admission::new(1, 1);
        let (_inside, _) = admission.enter(in_ms(1000)).await.unwrap();
        let (late, full) = tokio::join!(admission.enter(in_ms(50)), admission.enter(in_ms(50)));
        let sheds = [late.unwrap_err(), full.unwrap_err()];
        assert!(sheds.contains(&Shed::QueueFull) && sheds.contains(&Shed::QueueTimeout));
    }
}
