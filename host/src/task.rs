//! Every task of the host starts here and says what happens when it is cancelled or panics.
//!
//! `tokio::spawn` is a lint error elsewhere: a task nobody waits for, whose panic nobody sees,
//! is how a server rots.

use std::future::Future;
use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use tokio::task::JoinHandle;

/// What a task is for, and so what its end means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// One client connection. Cancelled at the drain deadline; a panic costs that connection.
    Connection,
    /// What a guest still does after its response has been sent. Cancelled with its service.
    AfterResponse,
    /// One instance that serves several requests at once. Cancelled with its revision.
    Instance,
    /// A service's supervisor. Lives as long as the host; a panic is reported as a bug.
    Supervisor,
    /// An accept loop, the control server, house-keeping. Lives as long as the host.
    Server,
}

/// Spawns `future` on the current runtime. A panic in it is reported with the task's kind; dropping
/// the handle does not cancel the task, `abort` does.
pub fn spawn<F>(kind: Kind, future: F) -> JoinHandle<Option<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    let guarded = async move {
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
