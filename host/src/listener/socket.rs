//! A client's socket as hyper sees it, which notes when bytes last moved.
//!
//! hyper arms a timer for each request's head. Noting a coarse time and looking at it now and then
//! does the same for a connection with thousands of requests, at the cost of a store.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::engine::CoarseClock;

/// What is known of a connection's traffic. Times are milliseconds of the coarse clock, plus 1 so
/// that 0 can mean "no".
#[derive(Debug)]
pub(super) struct Traffic {
    clock: CoarseClock,
    /// Requests whose answer is not finished.
    requests: AtomicU32,
    /// Requests so far.
    served: AtomicU64,
    /// When the first bytes came since the last request was over. 0: none have.
    head_since: AtomicU64,
    /// When the last request was over, or the connection began.
    idle_since: AtomicU64,
    /// Since when the client has taken none of the bytes that wait for it. 0: it takes them.
    stuck_since: AtomicU64,
    /// We wrote before the first request: HTTP/2, where the server speaks at once.
    spoke_first: AtomicBool,
}

/// Why a connection may be closed next, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waiting {
    /// For the rest of a request's head, since this time.
    Head(u64),
    /// For a request, since this time.
    Idle(u64),
    /// For the client to take its answer, since this time.
    Write(u64),
    /// For nothing that the client should do.
    Nothing,
}

impl Traffic {
    pub(super) fn new(clock: CoarseClock) -> Arc<Traffic> {
        let now = clock.now_ms() + 1;
        Arc::new(Traffic {
            clock,
            requests: AtomicU32::new(0),
            served: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(now),
            stuck_since: AtomicU64::new(0),
            spoke_first: AtomicBool::new(false),
        })
    }

    pub(super) fn now_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// A request's head is whole.
    pub(super) fn begin(self: &Arc<Traffic>) -> InRequest {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.served.fetch_add(1, Ordering::Relaxed);
        self.head_since.store(0, Ordering::Relaxed);
        InRequest(self.clone())
    }

    /// Requests so far.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// What the connection waits for now.
    pub(super) fn waiting(&self) -> Waiting {
        let since = |at: &AtomicU64| at.load(Ordering::Relaxed).checked_sub(1);
        if let Some(since) = since(&self.stuck_since) {
            return Waiting::Write(since);
        }
        if self.requests.load(Ordering::Relaxed) > 0 {
            return Waiting::Nothing;
        }
        match since(&self.head_since) {
            Some(since) => Waiting::Head(since),
            None => Waiting::Idle(since(&self.idle_since).unwrap_or(0)),
        }
    }

    fn note_read(&self, bytes: usize) {
        if bytes > 0
            && self.requests.load(Ordering::Relaxed) == 0
            && self.head_since.load(Ordering::Relaxed) == 0
        {
            self.head_since.store(self.now_ms() + 1, Ordering::Relaxed);
        }
    }

    /// Whether a plain HTTP/1 text can be sent now and be understood.
    pub(super) fn speaks_http1(&self) -> bool {
        !self.spoke_first.load(Ordering::Relaxed)
    }

    fn note_write(&self, written: bool) {
        if self.served() == 0 {
            self.spoke_first.store(true, Ordering::Relaxed);
        }
        if written {
            if self.stuck_since.load(Ordering::Relaxed) != 0 {
                self.stuck_since.store(0, Ordering::Relaxed);
            }
        } else if self.stuck_since.load(Ordering::Relaxed) == 0 {
            self.stuck_since.store(self.now_ms() + 1, Ordering::Relaxed);
        }
    }
}

/// Lives as long as a request and its answer.
pub(super) struct InRequest(Arc<Traffic>);

impl Drop for InRequest {
    fn drop(&mut self) {
        let traffic = &self.0;
        traffic
            .idle_since
            .store(traffic.now_ms() + 1, Ordering::Relaxed);
        traffic.requests.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A stream whose traffic is noted, and that can be taken back from hyper, which never returns
/// it, to say one last thing.
pub(super) struct Watched<S> {
    stream: Arc<Mutex<Option<S>>>,
    traffic: Arc<Traffic>,
}

/// The other handle to a watched stream.
pub(super) struct Reclaim<S>(Arc<Mutex<Option<S>>>);

impl<S> Reclaim<S> {
    /// Takes the stream away from whoever reads and writes it; they see it closed.
    pub(super) fn take(&self) -> Option<S> {
        self.0.lock().take()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    pub(super) fn new(stream: S, traffic: Arc<Traffic>) -> (Watched<S>, Reclaim<S>) {
        let stream = Arc::new(Mutex::new(Some(stream)));
        (
            Watched {
                stream: stream.clone(),
                traffic,
            },
            Reclaim(stream),
        )
    }

    fn with<T>(
        &self,
        use_: impl FnOnce(Pin<&mut S>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.stream.lock() {
            Some(stream) => use_(Pin::new(stream)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = self.with(|stream| stream.poll_read(cx, buffer));
        self.traffic.note_read(buffer.filled().len() - before);
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.with(|stream| stream.poll_write(cx, data));
        self.traffic.note_write(polled.is_ready());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.with(|stream| stream.poll_write_vectored(cx, data));
        self.traffic.note_write(polled.is_ready());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .lock()
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}
