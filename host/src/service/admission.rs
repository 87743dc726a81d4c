//! Room in a service: so many requests at once, so many waiting, and the rest is turned away.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

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
    queue: usize,
    waiting: AtomicUsize,
}

impl Admission {
    /// Room for `size` requests at once and `queue` more that wait.
    pub fn new(size: usize, queue: usize) -> Admission {
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(size));
        Admission {
            room,
            size,
            queue,
            waiting: AtomicUsize::new(0),
        }
    }

    /// Requests inside.
    pub fn in_flight(&self) -> usize {
        self.size.saturating_sub(self.room.available_permits())
    }

    /// Requests in the queue.
    pub fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for room, at most until `deadline`. Returns it with the time waited; it is given back
    /// when dropped.
    pub(crate) async fn enter(
        &self,
        deadline: Instant,
    ) -> Result<(OwnedSemaphorePermit, Duration), Shed> {
        if let Ok(permit) = self.room.clone().try_acquire_owned() {
            return Ok((permit, Duration::ZERO));
        }
        let Some(_place) = Place::take(&self.waiting, self.queue) else {
            return Err(Shed::QueueFull);
        };
        let began = Instant::now();
        let room = self.room.clone().acquire_owned();
        match tokio::time::timeout_at(deadline.into(), room).await {
            Ok(Ok(permit)) => Ok((permit, began.elapsed())),
            // Nobody closes the semaphore; waiting in vain is the nearest truth.
            Ok(Err(_)) | Err(_) => Err(Shed::QueueTimeout),
        }
    }
}

/// A place in the queue, left when dropped: also when the client gives up.
struct Place<'a>(&'a AtomicUsize);

impl Place<'_> {
    fn take(waiting: &AtomicUsize, places: usize) -> Option<Place<'_>> {
        let taken = waiting.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |waiting| {
            (waiting < places).then_some(waiting + 1)
        });
        taken.is_ok().then_some(Place(waiting))
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

    #[tokio::test]
    async fn a_full_queue_sheds_and_a_slow_one_times_out() {
        let admission = Admission::new(1, 1);
        let (_inside, _) = admission.enter(in_ms(1000)).await.unwrap();
        let (late, full) = tokio::join!(admission.enter(in_ms(50)), admission.enter(in_ms(50)));
        let sheds = [late.unwrap_err(), full.unwrap_err()];
        assert!(sheds.contains(&Shed::QueueFull) && sheds.contains(&Shed::QueueTimeout));
    }
}
