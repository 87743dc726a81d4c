//! Every task of the host starts here and says what happens when it is cancelled or panics.
//!
//! `tokio::spawn` is a lint error elsewhere: a task nobody waits for, whose panic nobody sees,
//! is how a server rots.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll};

use futures::FutureExt;
use tokio::task::JoinHandle;

/// What a task is for, and so what its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One client connection. Cancelled at the drain deadline; a panic costs that connection.
    Connection,
    /// What a guest still does after its response has been sent. Cancelled with its service.
    AfterResponse,
    /// A call of a WASI 0.3 instance by another service. Cancelled with its caller.
    Call,
    /// Destructors of resources that other services have let go of. Cancelled at the callee's
    /// deadline; a panic costs the instance that they are in.
    Destructors,
    /// A guest's outgoing request until its response is there, and the sending of its body. Cancelled
    /// when the guest lets go of the response.
    OutgoingRequest,
    /// One instance that serves several requests at once. Cancelled with its revision.
    Instance,
    /// A service's supervisor. Lives as long as its revision; a panic is reported as a bug.
    Supervisor,
    /// A copy of a request or a call, made by a candidate on trial. Cancelled with the trial, or when nobody
    /// waits for the original any more; a panic costs that copy.
    Shadow,
    /// A change of the application, and the end of what it replaced. Never cancelled.
    Deploy,
    /// An accept loop, the control server, house-keeping. Lives as long as the host.
    Server,
}

impl Kind {
    /// All kinds, each at its own place.
    const ALL: [Kind; 10] = [
        Kind::Connection,
        Kind::AfterResponse,
        Kind::Call,
        Kind::Destructors,
        Kind::OutgoingRequest,
        Kind::Instance,
        Kind::Supervisor,
        Kind::Shadow,
        Kind::Deploy,
        Kind::Server,
    ];

    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Connection => "connection",
            Kind::AfterResponse => "after-response",
            Kind::Call => "call",
            Kind::Destructors => "destructors",
            Kind::OutgoingRequest => "outgoing-request",
            Kind::Instance => "instance",
            Kind::Supervisor => "supervisor",
            Kind::Shadow => "shadow",
            Kind::Deploy => "deploy",
            Kind::Server => "server",
        }
    }
}

/// Tasks of each kind that have not ended.
static RUNNING: [AtomicU32; Kind::ALL.len()] = [const { AtomicU32::new(0) }; Kind::ALL.len()];

/// How many tasks of each kind there are.
pub fn running() -> impl Iterator<Item = (Kind, u32)> {
    let count = |kind: Kind| RUNNING[kind as usize].load(Ordering::Relaxed);
    Kind::ALL.into_iter().map(move |kind| (kind, count(kind)))
}

/// Counts a task for as long as it exists.
struct Counted(Kind);

impl Counted {
    fn new(kind: Kind) -> Counted {
        RUNNING[kind as usize].fetch_add(1, Ordering::Relaxed);
        Counted(kind)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        RUNNING[self.0 as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

/// Spawns `future` on the current runtime. A panic in it is reported with the task's kind; dropping
/// the handle does not cancel the task, `abort` does.
pub fn spawn<F>(kind: Kind, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let counted = Counted::new(kind);
    let guarded = async move {
        let _counted = counted;
        match AssertUnwindSafe(future).catch_unwind().await {
            Ok(output) => Some(output),
            Err(_) => {
                // The panic hook has printed where; this line says what it cost.
                tracing::error!(task = ?kind, "a task of the host panicked: this is a bug in Skep");
                None
            }
        }
    };
    #[expect(clippy::disallowed_methods, reason = "the one place that may")]
    tokio::spawn(guarded)
}

/// A task that ends with whoever waits for it. Its result is none if it panicked, which has been
/// reported.
pub struct Own<T>(JoinHandle<Option<T>>);

/// Spawns `future` as [`spawn`] does; dropping what is returned cancels it.
pub(crate) fn own<F>(kind: Kind, future: F) -> Own<F::Output>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Own(spawn(kind, future))
}

impl<T> Own<T> {
    /// Whether it has ended.
    pub(crate) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }
}

impl<T> Future for Own<T> {
    type Output = Option<T>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.0)
            .poll(cx)
            .map(|joined| joined.ok().flatten())
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does what blocks on a thread that may, and waits for it. A panic in it goes on here.
pub async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn running_after_responses() -> u32 {
        let mut all = running();
        all.find(|(kind, _)| *kind == Kind::AfterResponse)
            .unwrap()
            .1
    }

    #[tokio::test]
    async fn a_task_is_counted_until_it_has_ended_however_it_ends() {
        // Nothing else in this process starts tasks of this kind.
        let before = running_after_responses();
        let ends = spawn(Kind::AfterResponse, async {});
        let panics = spawn(Kind::AfterResponse, async { panic!("on purpose") });
        let is_aborted = spawn(Kind::AfterResponse, std::future::pending::<()>());
        assert_eq!(running_after_responses(), before + 3);
        ends.await.unwrap().unwrap();
        assert!(panics.await.unwrap().is_none());
        assert_eq!(running_after_responses(), before + 1);
        is_aborted.abort();
        is_aborted.await.unwrap_err();
        assert_eq!(running_after_responses(), before);
    }
}
