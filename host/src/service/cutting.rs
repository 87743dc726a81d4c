//! How those inside a revision that was replaced learn that their time is over.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;
use tokio::time::Sleep;

use crate::instance::Failure;

/// See the module. A revision may serve again after a cut, which is for those who are inside then.
#[derive(Debug, Default)]
pub(crate) struct Cutting {
    cuts: AtomicU32,
    told: Arc<Notify>,
}

impl Cutting {
    /// What is under way ends now.
    pub(super) fn cut(&self) {
        self.cuts.fetch_add(1, Ordering::Release);
        self.told.notify_waiters();
    }

    /// Asked on entry: later cuts are for whoever has come in now.
    pub(super) fn count(&self) -> u32 {
        self.cuts.load(Ordering::Acquire)
    }

    /// Ends when there is a cut after so many.
    pub(super) async fn after(&self, count: u32) {
        let told = self.told.notified();
        if self.count() == count {
            told.await;
        }
    }
}

/// A deadline, which costs a timer only once somebody has to wait, and the revision's cut.
pub(crate) struct Alarm {
    at: Instant,
    entered: u32,
    armed: Option<Pin<Box<Armed>>>,
}

pin_project_lite::pin_project! {
    struct Armed {
        #[pin]
        sleep: Sleep,
        #[pin]
        cut: OwnedNotified,
    }
}

impl Alarm {
    /// `entered`: the [`Cutting::count`] on entry.
    pub(super) fn new(at: Instant, entered: u32) -> Alarm {
        Alarm {
            at,
            entered,
            armed: None,
        }
    }

    /// Ready when the time has come, or the cut; with what is to be said of that.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, cutting: &Cutting) -> Poll<Failure> {
        if self.armed.is_none() {
            let armed = Armed {
                sleep: tokio::time::sleep_until(self.at.into()),
                // Before the look at the count: what comes after the look is heard.
                cut: cutting.told.clone().notified_owned(),
            };
            let mut armed = Box::pin(armed);
            armed.as_mut().project().cut.as_mut().enable();
            self.armed = Some(armed);
            if cutting.count() != self.entered {
                return Poll::Ready(Failure::Replaced);
            }
        }
        let Some(armed) = &mut self.armed else {
            return Poll::Pending;
        };
        let armed = armed.as_mut().project();
        if armed.cut.poll(cx).is_ready() {
            return Poll::Ready(Failure::Replaced);
        }
        armed.sleep.poll(cx).map(|()| Failure::Deadline)
    }

    /// Another time.
    pub(super) fn set(&mut self, at: Instant) {
        self.at = at;
        if let Some(armed) = &mut self.armed {
            armed.as_mut().project().sleep.reset(at.into());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    async fn rings(alarm: &mut Alarm, cutting: &Cutting) -> Failure {
        std::future::poll_fn(|cx| alarm.poll(cx, cutting)).await
    }

    #[tokio::test]
    async fn those_inside_hear_of_a_cut_and_those_who_come_later_do_not() {
        let cutting = Cutting::default();
        let late = Instant::now() + Duration::from_secs(60);
        let mut before = Alarm::new(late, cutting.count());
        let mut waiting = Alarm::new(late, cutting.count());
        let waited = rings(&mut waiting, &cutting);
        let cut = async {
            tokio::task::yield_now().await;
            cutting.cut();
        };
        let (failure, ()) = tokio::join!(waited, cut);
        assert!(matches!(failure, Failure::Replaced));
        // It had not begun to wait yet.
        assert!(matches!(
            rings(&mut before, &cutting).await,
            Failure::Replaced
        ));

        let soon = Instant::now() + Duration::from_millis(5);
        let mut after = Alarm::new(soon, cutting.count());
        assert!(matches!(
            rings(&mut after, &cutting).await,
            Failure::Deadline
        ));
    }

    #[tokio::test]
    async fn a_call_hears_of_the_cuts_after_its_beginning() {
        let cutting = Cutting::default();
        let entered = cutting.count();
        cutting.cut();
        cutting.after(entered).await;
        let later = cutting.after(cutting.count());
        let waited = tokio::time::timeout(Duration::from_millis(5), later).await;
        assert!(waited.is_err());
    }
}
