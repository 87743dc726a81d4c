//! Whether a service takes requests, and waiting until it does.

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use super::admission::Place;
use super::{Revision, Service};

/// Whether a service takes requests.
#[derive(Clone)]
pub enum Door {
    /// This revision answers.
    Open(Arc<Revision>),
    /// Nobody does.
    Closed(Closed),
    /// What this one has in memory is with that one now: it answers instead.
    Moved(Arc<Service>),
}

/// Why a service takes no requests.
#[derive(Clone, Debug)]
pub struct Closed {
    /// The revision that would answer.
    pub revision: u32,
    /// In plain words, for the log: "starting", "backing off after 3 crashes"…
    pub reason: String,
    /// Whether it is on its way to be open again, without anybody's doing.
    pub coming: bool,
    /// When that will be tried; none if nobody knows.
    pub retry_at: Option<Instant>,
}

/// What a Retry-After says where a service is coming and nobody knows when.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl Closed {
    /// When it is worth trying again; none if somebody has to do something first.
    pub fn retry_after(&self) -> Option<Duration> {
        let left = |at: Instant| at.saturating_duration_since(Instant::now());
        self.coming.then(|| self.retry_at.map_or(RETRY_AFTER, left))
    }
}

/// How long callers wait before a closed door, and how many of them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hold {
    /// `restart.hold`
    pub patience: Duration,
    /// `limits.queue`
    pub places: usize,
}

/// The door with those who wait before it.
pub(super) struct Entrance {
    door: ArcSwap<Door>,
    /// While the door is latched: what it would be otherwise.
    latched: Mutex<Option<Arc<Door>>>,
    /// Told of every change, for those who wait.
    changed: watch::Sender<()>,
    hold: Hold,
    held: AtomicUsize,
}

impl Entrance {
    pub(super) fn new(hold: Hold) -> Entrance {
        let closed = Closed {
            revision: 0,
            reason: "not started yet".to_owned(),
            coming: true,
            retry_at: None,
        };
        Entrance {
            door: ArcSwap::from_pointee(Door::Closed(closed)),
            latched: Mutex::new(None),
            changed: watch::Sender::new(()),
            hold,
            held: AtomicUsize::new(0),
        }
    }

    pub(super) fn set(&self, door: Door) {
        let mut latched = self.latched.lock();
        match &mut *latched {
            Some(behind) => *behind = Arc::new(door),
            None => self.door.store(Arc::new(door)),
        }
        drop(latched);
        self.changed.send_replace(());
    }

    /// The door is this, whatever else is set, until it is unlatched.
    pub(super) fn latch(&self, door: Door) {
        let mut latched = self.latched.lock();
        let before = self.door.swap(Arc::new(door));
        latched.get_or_insert(before);
        drop(latched);
        self.changed.send_replace(());
    }

    /// The door is what was set last.
    pub(super) fn unlatch(&self) {
        let mut latched = self.latched.lock();
        if let Some(behind) = latched.take() {
            self.door.store(behind);
        }
        drop(latched);
        self.changed.send_replace(());
    }

    pub(super) fn load(&self) -> arc_swap::Guard<Arc<Door>> {
        self.door.load()
    }

    /// Waits while the service is on its way, for as long as callers may be held; tells how long.
    /// The usual case, an open door, costs one look.
    pub(super) async fn hold(&self) -> Duration {
        if self.hold.patience.is_zero() || !self.is_coming() {
            return Duration::ZERO;
        }
        let Some(_place) = Place::take(&self.held, self.hold.places) else {
            return Duration::ZERO;
        };
        let began = Instant::now();
        let mut changed = self.changed.subscribe();
        let opened = async {
            // A change between the look and the wait is seen by the wait.
            while self.is_coming() && changed.changed().await.is_ok() {}
        };
        let _ = tokio::time::timeout(self.hold.patience, opened).await;
        began.elapsed()
    }

    /// Whether it is closed and will be open again without anybody's doing.
    pub(super) fn is_coming(&self) -> bool {
        matches!(&**self.door.load(), Door::Closed(closed) if closed.coming)
    }

    /// Whether it is latched shut: somebody else will answer, or this one again, in a moment.
    pub(super) fn is_paused(&self) -> bool {
        let shut = matches!(&**self.door.load(), Door::Closed(_));
        shut && self.latched.lock().is_some()
    }

    /// Callers that wait now.
    pub(super) fn held(&self) -> usize {
        self.held.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn closed(coming: bool, retry_at: Option<Instant>) -> Closed {
        Closed {
            revision: 1,
            reason: "backing off".to_owned(),
            coming,
            retry_at,
        }
    }

    fn entrance(patience: Duration, places: usize) -> Arc<Entrance> {
        Arc::new(Entrance::new(Hold { patience, places }))
    }

    const LONG: Duration = Duration::from_secs(30);

    #[test]
    fn the_time_to_try_again_runs_down_and_is_said_only_where_somebody_is_coming() {
        let soon = Instant::now() + Duration::from_secs(10);
        let left = closed(true, Some(soon)).retry_after().unwrap();
        assert!(left <= Duration::from_secs(10) && left > Duration::from_secs(5));
        let past = closed(true, Some(Instant::now())).retry_after();
        assert_eq!(past, Some(Duration::ZERO));
        assert_eq!(closed(true, None).retry_after(), Some(RETRY_AFTER));
        assert_eq!(closed(false, Some(soon)).retry_after(), None);
    }

    #[tokio::test]
    async fn who_waits_goes_on_when_the_door_changes_for_good() {
        let entrance = entrance(LONG, 8);
        let waiting = entrance.hold();
        let change = async {
            while entrance.held() == 0 {
                tokio::task::yield_now().await;
            }
            entrance.set(Door::Closed(closed(true, None)));
            tokio::task::yield_now().await;
            assert_eq!(entrance.held(), 1, "it is still coming");
            entrance.set(Door::Closed(closed(false, None)));
        };
        let (held, ()) = tokio::join!(waiting, change);
        assert!(held < LONG);
        assert_eq!(entrance.held(), 0);
    }

    #[tokio::test]
    async fn nobody_waits_without_patience_or_place_or_hope() {
        assert_eq!(entrance(Duration::ZERO, 8).hold().await, Duration::ZERO);
        assert_eq!(entrance(LONG, 0).hold().await, Duration::ZERO);
        let parked = entrance(LONG, 8);
        parked.set(Door::Closed(closed(false, None)));
        assert_eq!(parked.hold().await, Duration::ZERO);
    }

    #[tokio::test]
    async fn what_is_set_behind_a_latched_door_shows_when_it_is_unlatched() {
        let entrance = entrance(LONG, 8);
        let is = |reason: &str| match &**entrance.load() {
            Door::Closed(closed) => assert_eq!(closed.reason, reason),
            Door::Open(_) | Door::Moved(_) => panic!("it is open"),
        };
        let closed = |reason: &str| {
            Door::Closed(Closed {
                reason: reason.to_owned(),
                ..closed(true, None)
            })
        };
        entrance.latch(closed("handed over"));
        entrance.set(closed("unwell"));
        is("handed over");
        entrance.latch(closed("still"));
        is("still");
        entrance.unlatch();
        is("unwell");
        entrance.set(closed("well"));
        is("well");
    }

    #[tokio::test]
    async fn patience_has_an_end() {
        let entrance = entrance(Duration::from_millis(20), 8);
        assert!(entrance.hold().await >= Duration::from_millis(20));
    }
}
