//! How far a client lags behind with a request of its own, and how that request is let go.
//!
//! While a guest waits for its client, the request holds a place in a service that others may need.
//! So waiting adds to the client's lag, and what the client sends or takes makes up for it, at the
//! rate of its [`Pace`]. Who lags by more than its pace allows is let go. Who lags by much less is
//! let go as soon as other requests wait for the place: `service::admission` sees to that.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::time::Sleep;

/// What a client owes, from the manifest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pace {
    /// The furthest it may lag behind.
    pub most: Duration,
    /// Bytes that make up for a second. 0: any byte makes up for all.
    pub rate: u64,
}

/// The listener, which ends connections too, has a clock no finer than this.
const GRAIN: Duration = Duration::from_millis(20);

/// One client's account with one direction of one request.
#[derive(Debug)]
pub(crate) struct Lag {
    pace: Pace,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Since when it is the client's turn.
    since: Option<Instant>,
    /// How far it was behind when its turn began.
    behind: Duration,
    /// Any byte makes up for all: the answer has begun.
    easy: bool,
    let_go: bool,
    /// Of the task that waits for the client.
    waker: Option<Waker>,
}

impl State {
    fn behind(&self, now: Instant) -> Duration {
        let waits = self.since.map(|since| now.saturating_duration_since(since));
        self.behind.saturating_add(waits.unwrap_or_default())
    }
}

impl Lag {
    pub(crate) fn new(pace: Pace) -> Arc<Lag> {
        Arc::new(Lag {
            pace,
            state: Mutex::default(),
        })
    }

    /// It is the client's turn now, if it was not.
    pub(crate) fn wait(&self) {
        self.state.lock().since.get_or_insert_with(Instant::now);
    }

    /// The client has sent or taken this much; its turn is over.
    pub(crate) fn moved(&self, bytes: u64) {
        let mut state = self.state.lock();
        let behind = match state.since.take() {
            Some(since) => state.behind.saturating_add(since.elapsed()),
            None => state.behind,
        };
        let all = state.easy || self.pace.rate == 0;
        state.behind = match self.pace.rate {
            _ if bytes == 0 => behind,
            _ if all => Duration::ZERO,
            rate => behind.saturating_sub(Duration::from_secs_f64(bytes as f64 / rate as f64)),
        };
    }

    /// The request is over: nobody waits for its client any more.
    pub(crate) fn done(&self) {
        self.state.lock().since = None;
    }

    /// From now on any byte makes up for all: client and guest are talking to each other.
    pub(crate) fn ease(&self) {
        self.state.lock().easy = true;
    }

    /// How far the client is behind while the guest waits for it; `None` if it does not wait.
    pub(crate) fn held_up(&self, now: Instant) -> Option<Duration> {
        let state = self.state.lock();
        state.since.map(|_| state.behind(now))
    }

    /// Others need what this request holds: it ends, if it still waits for its client.
    pub(crate) fn let_go(&self) {
        let mut state = self.state.lock();
        if state.since.is_some() {
            state.let_go = true;
            if let Some(waker) = state.waker.take() {
                waker.wake();
            }
        }
    }

    /// Whether it was let go, or could be, for want of patience or of room.
    pub(crate) fn is_over(&self) -> bool {
        let state = self.state.lock();
        let behind = state.behind(Instant::now()).saturating_add(GRAIN);
        state.let_go || (state.since.is_some() && behind >= self.pace.most)
    }

    /// Ready when the client has been waited for long enough. `alarm` is the caller's own, to be used
    /// for this alone.
    pub(crate) fn poll_end(
        &self,
        cx: &mut Context<'_>,
        alarm: &mut Option<Pin<Box<Sleep>>>,
    ) -> Poll<()> {
        loop {
            let now = Instant::now();
            let due = {
                let mut state = self.state.lock();
                if state.let_go {
                    return Poll::Ready(());
                }
                let Some(since) = state.since else {
                    return Poll::Pending;
                };
                let due = since + self.pace.most.saturating_sub(state.behind);
                if due <= now {
                    state.let_go = true;
                    return Poll::Ready(());
                }
                state.waker = Some(cx.waker().clone());
                due
            };
            let sleep = alarm.get_or_insert_with(|| Box::pin(tokio::time::sleep_until(due.into())));
            if sleep.deadline() > due.into() {
                sleep.as_mut().reset(due.into());
            }
            if sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            // It rang for an earlier turn: the next round sets it for this one.
            *alarm = None;
        }
    }
}

tokio::task_local! {
    /// What the task that sends an answer is watched by.
    static SENDING: Arc<Slot>;
}

/// Where a task that sends answers, one at a time, finds the lag of the present one.
#[derive(Debug, Default)]
struct Slot {
    is_set: AtomicBool,
    lag: Mutex<Option<Arc<Lag>>>,
}

/// Runs what sends answers, one at a time, until its end or until the client of an answer lags too
/// far behind; `None` in that case, and then all of it is dropped.
pub(crate) async fn sending<F: Future>(answers: F) -> Option<F::Output> {
    let slot = Arc::<Slot>::default();
    let mut answers = std::pin::pin!(SENDING.scope(slot.clone(), answers));
    let mut alarm = None;
    std::future::poll_fn(|cx| {
        if let Poll::Ready(output) = answers.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        if !slot.is_set.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        let lag = slot.lag.lock().clone();
        match lag {
            Some(lag) => lag.poll_end(cx, &mut alarm).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await
}

/// The task that runs this sends an answer whose client has this lag.
pub(crate) fn watch_answer(lag: &Arc<Lag>) {
    let _ = SENDING.try_with(|slot| {
        *slot.lag.lock() = Some(lag.clone());
        slot.is_set.store(true, Ordering::Relaxed);
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    const PACE: Pace = Pace {
        most: Duration::from_secs(10),
        rate: 100,
    };

    fn behind(lag: &Lag) -> f64 {
        let state = lag.state.lock();
        state.behind(Instant::now()).as_secs_f64()
    }

    fn waited(lag: &Lag, seconds: u64) {
        let since = Instant::now().checked_sub(Duration::from_secs(seconds));
        lag.state.lock().since = since;
    }

    #[test]
    fn bytes_make_up_for_waiting_at_the_rate() {
        let lag = Lag::new(PACE);
        waited(&lag, 5);
        lag.moved(200);
        assert!((2.9..3.5).contains(&behind(&lag)), "{}", behind(&lag));
        waited(&lag, 1);
        lag.moved(1);
        assert!((3.9..4.5).contains(&behind(&lag)), "{}", behind(&lag));
        // What is more than needed is no credit for later.
        lag.moved(1 << 20);
        waited(&lag, 4);
        assert!((3.9..4.5).contains(&behind(&lag)), "{}", behind(&lag));
    }

    #[test]
    fn any_byte_makes_up_for_all_once_the_answer_has_begun() {
        let lag = Lag::new(PACE);
        lag.ease();
        waited(&lag, 9);
        lag.moved(0);
        assert!(behind(&lag) > 8.0, "nothing is no byte");
        lag.moved(1);
        assert!(behind(&lag) < 0.5);
    }

    #[test]
    fn only_who_is_waited_for_is_over() {
        let lag = Lag::new(PACE);
        lag.let_go();
        assert!(!lag.is_over() && lag.held_up(Instant::now()).is_none());
        lag.wait();
        lag.let_go();
        assert!(lag.is_over());
    }

    #[tokio::test]
    async fn what_comes_after_an_answer_is_not_held_against_its_client() {
        let lag = Lag::new(Pace {
            most: Duration::from_millis(5),
            rate: 0,
        });
        let task = sending(async {
            watch_answer(&lag);
            lag.wait();
            lag.done();
            tokio::time::sleep(Duration::from_millis(20)).await;
            "still there"
        });
        assert_eq!(task.await, Some("still there"));
    }

    #[tokio::test]
    async fn a_task_whose_client_takes_nothing_ends() {
        let lag = Lag::new(Pace {
            most: Duration::from_millis(5),
            rate: 0,
        });
        let task = sending(async {
            watch_answer(&lag);
            lag.wait();
            std::future::pending::<()>().await;
        });
        assert_eq!(task.await, None);
        assert!(lag.is_over());
        assert_eq!(sending(async { 7 }).await, Some(7));
    }
}
