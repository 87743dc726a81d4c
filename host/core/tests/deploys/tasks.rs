//! Tasks that go on in whatever order chance says, and time that is nothing but waiting for one's turn.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use skep_core::change::Tasks;

use super::life::Hands;
use super::simulated::Random;

/// A task, and whether somebody has cancelled it.
struct Task {
    future: Pin<Box<dyn Future<Output = ()> + Send>>,
    cancelled: Arc<AtomicBool>,
}

/// What was begun and has not come to its end.
#[derive(Default)]
pub(crate) struct Executor {
    tasks: Vec<Task>,
    begun: Arc<Begun>,
}

/// Where new tasks come from.
#[derive(Default)]
pub(crate) struct Begun {
    tasks: Mutex<VecDeque<Task>>,
    now: AtomicU64,
}

/// Cancels its task when it is dropped.
pub(crate) struct Own(Arc<AtomicBool>);

impl Drop for Own {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Begun {
    pub(crate) fn spawn(&self, future: impl Future<Output = ()> + Send + 'static) -> Own {
        let cancelled: Arc<AtomicBool> = Arc::default();
        self.tasks.lock().unwrap().push_back(Task {
            future: Box::pin(future),
            cancelled: cancelled.clone(),
        });
        Own(cancelled)
    }
}

impl Own {
    /// The task goes on whatever becomes of this.
    pub(crate) fn detach(self) {
        std::mem::forget(self);
    }
}

impl Executor {
    pub(crate) fn begun(&self) -> Arc<Begun> {
        self.begun.clone()
    }

    /// Whether nothing is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.left() == 0
    }

    /// How much is under way.
    pub(crate) fn left(&self) -> usize {
        self.tasks.len() + self.begun.tasks.lock().unwrap().len()
    }

    /// One task goes one step. False if there is none.
    pub(crate) fn step(&mut self, random: &mut Random) -> bool {
        self.tasks
            .extend(self.begun.tasks.lock().unwrap().drain(..));
        if self.tasks.is_empty() {
            return false;
        }
        self.begun.now.fetch_add(1, Ordering::Relaxed);
        let at = random.below(self.tasks.len() as u64) as usize;
        let task = &mut self.tasks[at];
        let over = task.cancelled.load(Ordering::Relaxed)
            || task
                .future
                .as_mut()
                .poll(&mut Context::from_waker(Waker::noop()))
                .is_ready();
        if over {
            drop(self.tasks.swap_remove(at));
        }
        true
    }
}

/// Takes so many turns of its task.
pub(crate) struct Turns(pub u64);

impl Future for Turns {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<()> {
        match self.0 {
            0 => Poll::Ready(()),
            _ => {
                self.0 -= 1;
                Poll::Pending
            }
        }
    }
}

impl Tasks for Hands {
    type Sleep = Turns;
    type Task = Own;

    fn now(&self) -> Duration {
        Duration::from_millis(self.begun().now.load(Ordering::Relaxed))
    }

    fn sleep(&self, _: Duration) -> Turns {
        Turns(1 + self.below(4))
    }

    async fn within<T: Send>(
        &self,
        _: Duration,
        task: impl Future<Output = T> + Send,
    ) -> Option<T> {
        let mut task = pin!(task);
        poll_fn(|context| match task.as_mut().poll(context) {
            Poll::Ready(done) => Poll::Ready(Some(done)),
            Poll::Pending if self.below(12) == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        })
        .await
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.begun().spawn(task).detach();
    }

    fn own(&self, task: impl Future<Output = ()> + Send + 'static) -> Own {
        self.begun().spawn(task)
    }

    async fn to_its_end<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        let done = Arc::new(Mutex::new(None));
        let result = done.clone();
        self.spawn(async move {
            let ended = task.await;
            *result.lock().unwrap() = Some(ended);
        });
        poll_fn(|_| match done.lock().unwrap().take() {
            Some(done) => Poll::Ready(Some(done)),
            None => Poll::Pending,
        })
        .await
    }
}
