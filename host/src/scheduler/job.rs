//! A computation in the second class: it is in the queue, on a thread, or waits to be woken.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering, fence};
use std::task::{Context, Poll, Wake, Waker};

use futures::task::AtomicWaker;
use parking_lot::Mutex;

use super::computation::{BoxFuture, Panicked, Return, poll_charged};
use super::{Class, Share};
use crate::instance::meter::{Meter, Polling};

/// What a thread of the scheduler's does with what it takes from the queue.
pub(super) trait Runnable: Send + Sync {
    /// One slice.
    fn run(self: Arc<Self>);
}

/// The guest waits; whoever wakes it queues the job.
const IDLE: u8 = 0;
/// In the queue.
const QUEUED: u8 = 1;
/// On a thread.
const RUNNING: u8 = 2;
/// On a thread, and woken since: it is queued again after the slice.
const WOKEN: u8 = 3;
/// Its owner takes it back; whoever wakes it wakes the owner.
const RETURNED: u8 = 4;
/// It has a result.
const DONE: u8 = 5;

pub(super) struct Job<T: Send + 'static> {
    share: Arc<Share>,
    meter: Arc<Meter>,
    back: Return,
    state: AtomicU8,
    /// Locked while the guest runs, so that a cancellation sees whether it does.
    work: Mutex<Work<T>>,
    owner: AtomicWaker,
    cancelled: AtomicBool,
}

enum Work<T> {
    Undone(BoxFuture<T>),
    Done(Result<T, Panicked>),
    Gone,
}

impl<T> Work<T> {
    fn take(&mut self) -> Work<T> {
        std::mem::replace(self, Work::Gone)
    }
}

/// How far a job has come.
pub(super) enum Progress<T> {
    Pending,
    /// It is its owner's again, to be polled at once.
    Returned(BoxFuture<T>),
    Done(Result<T, Panicked>),
}

impl<T: Send + 'static> Job<T> {
    /// Queues it.
    pub(super) fn begin(
        share: Arc<Share>,
        meter: Arc<Meter>,
        back: Return,
        future: BoxFuture<T>,
    ) -> Arc<Job<T>> {
        let job = Arc::new(Job {
            share,
            meter,
            back,
            state: AtomicU8::new(QUEUED),
            work: Mutex::new(Work::Undone(future)),
            owner: AtomicWaker::new(),
            cancelled: AtomicBool::new(false),
        });
        job.share.push(job.clone());
        job
    }

    /// How far it has come; the task is woken when that changes.
    pub(super) fn progress(&self, cx: &mut Context<'_>) -> Progress<T> {
        self.owner.register(cx.waker());
        match self.state.load(Ordering::Acquire) {
            RETURNED | DONE => match self.work.lock().take() {
                Work::Undone(future) => Progress::Returned(future),
                Work::Done(result) => Progress::Done(result),
                Work::Gone => Progress::Pending,
            },
            _ => Progress::Pending,
        }
    }

    /// Ends the guest: now if it does not run, else with its slice.
    pub(super) fn cancel(&self) {
        self.cancelled.store(true, Ordering::Relaxed);
        // Either the lock is free here, or the thread that has it sees the flag after it: see `run`.
        fence(Ordering::SeqCst);
        let taken = self.work.try_lock().map(|mut work| work.take());
        // Not under the lock: an instance is dropped.
        drop(taken);
    }

    fn end_if_cancelled(&self) {
        fence(Ordering::SeqCst);
        if self.cancelled.load(Ordering::Relaxed) {
            let taken = self.work.lock().take();
            drop(taken);
        }
    }

    /// The guest waits, or has given up its slice.
    fn pause(self: Arc<Self>) {
        let waits = !self.meter.take_yielded();
        if waits && self.back == Return::WhenItWaits && self.share.class() == Class::First {
            self.state.store(RETURNED, Ordering::Release);
            return;
        }
        let paused =
            self.state
                .compare_exchange(RUNNING, IDLE, Ordering::AcqRel, Ordering::Acquire);
        if paused.is_err() {
            self.state.store(QUEUED, Ordering::Release);
            let share = self.share.clone();
            share.push(self);
        }
    }
}

impl<T: Send + 'static> Runnable for Job<T> {
    fn run(self: Arc<Self>) {
        self.state.store(RUNNING, Ordering::Release);
        let waker = Waker::from(self.clone());
        let mut cx = Context::from_waker(&waker);
        let mut work = self.work.lock();
        let Work::Undone(future) = &mut *work else {
            return;
        };
        let polled = poll_charged(&self.meter, Polling::Second, future, &mut cx);
        let done = match polled {
            Poll::Ready(result) => Some(std::mem::replace(&mut *work, Work::Done(result))),
            Poll::Pending => None,
        };
        drop(work);
        if done.is_some() {
            self.state.store(DONE, Ordering::Release);
        } else {
            self.clone().pause();
        }
        self.owner.wake();
        self.end_if_cancelled();
        // What is left of the future, not under the lock.
        drop(done);
    }
}

impl<T: Send + 'static> Wake for Job<T> {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let next = |state| match state {
            IDLE => Some(QUEUED),
            RUNNING => Some(WOKEN),
            _ => None,
        };
        let woken = self
            .state
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, next);
        match woken {
            Ok(IDLE) => self.share.push(self.clone()),
            Err(RETURNED) => self.owner.wake(),
            _ => {}
        }
    }
}
