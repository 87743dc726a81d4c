//! Something that runs a guest, in the first class or in the second, as seen by who wants its result.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake};
use std::time::Duration;

use super::Share;
use super::job::{Job, Progress};
use crate::instance::meter::{Meter, Polling};

/// CPU time in the first class, in however short pieces, after which a call goes on in the second.
const FIRST_CLASS: Duration = Duration::from_millis(2);

/// Where a guest computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Class {
    /// On the thread of who wants the result.
    First,
    /// On a thread of the scheduler's, by turns.
    Second,
}

/// Whether a computation that has gone to the second class comes back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Return {
    /// It has had its first class.
    Never,
    /// It serves many, one of whom computed for long: it comes back as soon as it waits.
    WhenItWaits,
}

pub(super) type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Host code that the guest called panicked; the message.
#[derive(Debug)]
pub(crate) struct Panicked(pub(crate) String);

/// A future that runs a guest. Each poll is charged to its meter and its service; a panic in it is
/// its result. Dropping it ends the guest, at once or with its slice.
pub(crate) struct Computation<T: Send + 'static> {
    share: Arc<Share>,
    meter: Arc<Meter>,
    back: Return,
    stage: Stage<T>,
}

enum Stage<T: Send + 'static> {
    /// In this class from its first poll on.
    Begins(Class, BoxFuture<T>),
    First(BoxFuture<T>),
    Second(Arc<Job<T>>),
    Over,
}

impl<T: Send + 'static> Computation<T> {
    fn new(
        share: &Arc<Share>,
        meter: &Arc<Meter>,
        back: Return,
        class: Class,
        future: BoxFuture<T>,
    ) -> Computation<T> {
        Computation {
            share: share.clone(),
            meter: meter.clone(),
            back,
            stage: Stage::Begins(class, future),
        }
    }

    /// One call.
    pub(crate) fn call(
        share: &Arc<Share>,
        meter: &Arc<Meter>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Computation<T> {
        let class = share.class();
        Computation::new(share, meter, Return::Never, class, Box::pin(future))
    }

    /// An instance that serves several calls.
    pub(crate) fn of_many(
        share: &Arc<Share>,
        meter: &Arc<Meter>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Computation<T> {
        let class = share.class();
        Computation::new(share, meter, Return::WhenItWaits, class, Box::pin(future))
    }

    /// Something that nobody waits for.
    pub(crate) fn background(
        share: &Arc<Share>,
        meter: &Arc<Meter>,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Computation<T> {
        Computation::new(share, meter, Return::Never, Class::Second, Box::pin(future))
    }

    /// Whether it is in the second class: polling it then runs nothing.
    pub(crate) fn runs_elsewhere(&self) -> bool {
        matches!(self.stage, Stage::Second(_))
    }

    /// What the future looks at has changed, and it has no waker there: it is polled again even if it
    /// waits in the second class. In the first, its owner polls it.
    pub(crate) fn nudge(&self) {
        if let Stage::Second(job) = &self.stage {
            job.wake_by_ref();
        }
    }

    /// Its result, once. In the second class the task is also woken when a slice has ended: the
    /// guest may have left something for it.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, Panicked>> {
        loop {
            match std::mem::replace(&mut self.stage, Stage::Over) {
                Stage::Begins(Class::First, future) => self.stage = Stage::First(future),
                Stage::Begins(Class::Second, future) => self.demote(future),
                Stage::First(mut future) => {
                    let polled = self.poll_first(&mut future, cx);
                    if polled.is_ready() {
                        return polled;
                    }
                    if !self.has_had_its_first_class() {
                        self.stage = Stage::First(future);
                        return Poll::Pending;
                    }
                    self.demote(future);
                }
                Stage::Second(job) => match job.progress(cx) {
                    Progress::Pending => {
                        self.stage = Stage::Second(job);
                        return Poll::Pending;
                    }
                    Progress::Returned(future) => self.stage = Stage::First(future),
                    Progress::Done(result) => return Poll::Ready(result),
                },
                Stage::Over => return Poll::Pending,
            }
        }
    }

    fn poll_first(
        &self,
        future: &mut BoxFuture<T>,
        cx: &mut Context<'_>,
    ) -> Poll<Result<T, Panicked>> {
        let before = self.meter.used();
        let polled = poll_charged(&self.meter, Polling::First, future, cx);
        let used = self.meter.used().saturating_sub(before);
        self.share.charge_first(before, used);
        polled
    }

    fn has_had_its_first_class(&self) -> bool {
        let yielded = self.meter.take_yielded();
        yielded || (self.back == Return::Never && self.meter.used() > FIRST_CLASS)
    }

    fn demote(&mut self, future: BoxFuture<T>) {
        let (share, meter) = (self.share.clone(), self.meter.clone());
        let job = Job::begin(share, meter, self.back, future);
        self.stage = Stage::Second(job);
    }
}

impl<T: Send + 'static> Future for Computation<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Computation::poll(&mut self, cx)
    }
}

impl<T: Send + 'static> Drop for Computation<T> {
    fn drop(&mut self) {
        if let Stage::Second(job) = &self.stage {
            job.cancel();
        }
    }
}

/// One poll, charged; a panic is a result.
pub(super) fn poll_charged<T>(
    meter: &Meter,
    polling: Polling,
    future: &mut BoxFuture<T>,
    cx: &mut Context<'_>,
) -> Poll<Result<T, Panicked>> {
    let poll = || std::panic::catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx)));
    match meter.charge(polling, poll) {
        Ok(Poll::Pending) => Poll::Pending,
        Ok(Poll::Ready(output)) => Poll::Ready(Ok(output)),
        Err(panic) => Poll::Ready(Err(Panicked(panic_message(&*panic)))),
    }
}

/// The message of a caught panic.
fn panic_message(panic: &(dyn std::any::Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
