//! A client's socket as hyper sees it, which notes when bytes last moved.
//!
//! hyper arms a timer for each request's head. Noting a coarse time and looking at it now and then
//! does the same for a connection with thousands of requests, at the cost of a store.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

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
    /// Of these, taken back by the client before their answer had begun.
    taken_back: AtomicU64,
    /// When the first bytes came since the last request was over. 0: none have.
    head_since: AtomicU64,
    /// When the last request was over, or the connection began.
    idle_since: AtomicU64,
    /// Since when the client has taken none of the bytes that wait for it. 0: it takes them.
    stuck_since: AtomicU64,
    /// We wrote before the first request: HTTP/2, where the server speaks at once.
    spoke_first: AtomicBool,
    /// The client has closed its side.
    ended: AtomicBool,
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
            taken_back: AtomicU64::new(0),
            head_since: AtomicU64::new(0),
            idle_since: AtomicU64::new(now),
            stuck_since: AtomicU64::new(0),
            spoke_first: AtomicBool::new(false),
            ended: AtomicBool::new(false),
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

    /// While this lives, a request has no answer.
    pub(super) fn unanswered(self: &Arc<Traffic>) -> Unanswered {
        Unanswered {
            traffic: self.clone(),
            is_answered: false,
        }
    }

    /// Whether the client asks only to take back what it asked for, which costs it nothing and us the
    /// beginning of each call (CVE-2023-44487).
    pub(super) fn is_mocking(&self) -> bool {
        let taken_back = self.taken_back.load(Ordering::Relaxed);
        taken_back > TAKEN_BACK_MAX && taken_back > self.served() / 2
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
            // In HTTP/2 bytes between requests may be a ping or a window update just as well.
            Some(since) if self.speaks_http1() || self.served() == 0 => Waiting::Head(since),
            _ => Waiting::Idle(since(&self.idle_since).unwrap_or(0)),
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

    /// Whether the client has closed its side.
    pub(super) fn is_ended(&self) -> bool {
        self.ended.load(Ordering::Relaxed)
    }

    /// How long ago the head began that is being waited for.
    pub(super) fn head_for(&self) -> Duration {
        match self.head_since.load(Ordering::Relaxed).checked_sub(1) {
            Some(since) => Duration::from_millis(self.now_ms().saturating_sub(since)),
            None => Duration::ZERO,
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

/// Requests that a client may take back on one connection, if they are more than half of all: more than
/// somebody who changes their mind, or who types faster than suggestions come.
const TAKEN_BACK_MAX: u64 = 256;

/// See [`Traffic::unanswered`].
pub(super) struct Unanswered {
    traffic: Arc<Traffic>,
    is_answered: bool,
}

impl Unanswered {
    pub(super) fn answered(mut self) {
        self.is_answered = true;
    }
}

impl Drop for Unanswered {
    fn drop(&mut self) {
        if !self.is_answered {
            self.traffic.taken_back.fetch_add(1, Ordering::Relaxed);
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
///
/// hyper answers what is no HTTP/1 request by itself, with a bare head, and only then tells us. So
/// what looks like such an answer is held back until hyper has either told or gone on.
pub(super) struct Watched<S> {
    line: Arc<Mutex<Option<Line<S>>>>,
    traffic: Arc<Traffic>,
}

/// A stream with what is held back before it.
pub(super) struct Line<S> {
    pub(super) stream: S,
    /// Written by hyper, but not yet sent.
    pub(super) held: Vec<u8>,
}

impl<S: AsyncWrite + Unpin> Line<S> {
    /// Sends what is held back.
    fn poll_release(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.held.is_empty() {
            let sent = ready!(Pin::new(&mut self.stream).poll_write(cx, &self.held))?;
            if sent == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.drain(..sent);
        }
        Poll::Ready(Ok(()))
    }
}

/// The other handle to a watched stream.
pub(super) struct Reclaim<S>(Arc<Mutex<Option<Line<S>>>>);

impl<S: AsyncWrite + Unpin> Reclaim<S> {
    /// Takes the stream away from whoever reads and writes it; they see it closed.
    pub(super) fn take(&self) -> Option<Line<S>> {
        self.0.lock().take()
    }

    /// hyper goes on: what was held back was no refusal.
    pub(super) fn release(&self, cx: &mut Context<'_>) {
        if let Some(line) = &mut *self.0.lock()
            && !line.held.is_empty()
        {
            // An error is hyper's to find, at its next read or write.
            let _ = line.poll_release(cx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Watched<S> {
    pub(super) fn new(stream: S, traffic: Arc<Traffic>) -> (Watched<S>, Reclaim<S>) {
        let line = Line {
            stream,
            held: Vec::new(),
        };
        let line = Arc::new(Mutex::new(Some(line)));
        (
            Watched {
                line: line.clone(),
                traffic,
            },
            Reclaim(line),
        )
    }

    fn with<T>(
        &self,
        use_: impl FnOnce(&mut Line<S>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        match &mut *self.line.lock() {
            Some(line) => use_(line),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }

    /// Writes `data`, but holds back a refusal at its end. `None`: there is none, and nothing is
    /// held back: it can be written as usual.
    fn hold(
        line: &mut Line<S>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Option<Poll<io::Result<usize>>> {
        match line.poll_release(cx) {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Some(Poll::Ready(Err(error))),
            Poll::Pending => return Some(Poll::Pending),
        }
        let begin = refusal(data)?;
        if begin > 0 {
            return Some(Pin::new(&mut line.stream).poll_write(cx, &data[..begin]));
        }
        line.held.extend_from_slice(data);
        Some(Poll::Ready(Ok(data.len())))
    }
}

/// Where in `data` a refusal of hyper's own begins, if it ends with one: a head without a body and
/// without a request id, which all our answers have. The guess may be wrong, as a guest may write
/// such a text; then it is sent a moment later.
fn refusal(data: &[u8]) -> Option<usize> {
    const END: &[u8] = b" GMT\r\n\r\n";
    const LENGTH_MAX: usize = 192;
    if !data.ends_with(END) {
        return None;
    }
    let tail = data.len().saturating_sub(LENGTH_MAX);
    let begin = tail + memchr::memmem::rfind(&data[tail..], b"HTTP/1.")?;
    let head = &data[begin..];
    let has = |text: &[u8]| memchr::memmem::find(head, text).is_some();
    let status = head.get(8..12)?;
    let refused = [b" 400", b" 414", b" 431"].iter().any(|it| *it == status);
    (refused && has(b"\r\ncontent-length: 0\r\n") && !has(b"\r\nx-request-id:")).then_some(begin)
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = self.with(|line| Pin::new(&mut line.stream).poll_read(cx, buffer));
        let read = buffer.filled().len() - before;
        self.traffic.note_read(read);
        if read == 0 && buffer.remaining() > 0 && polled.is_ready() {
            self.traffic.ended.store(true, Ordering::Relaxed);
        }
        polled
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        let polled = self.with(|line| match Self::hold(line, cx, data) {
            Some(held) => held,
            None => Pin::new(&mut line.stream).poll_write(cx, data),
        });
        self.traffic.note_write(polled.is_ready());
        polled
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let polled = self.with(|line| {
            // hyper writes heads first, and what lies behind one belongs to it.
            let first = data.iter().find(|piece| !piece.is_empty());
            match first.and_then(|piece| Self::hold(line, cx, piece)) {
                Some(held) => held,
                None => Pin::new(&mut line.stream).poll_write_vectored(cx, data),
            }
        });
        self.traffic.note_write(polled.is_ready());
        polled
    }

    fn is_write_vectored(&self) -> bool {
        let line = self.line.lock();
        line.as_ref()
            .is_some_and(|line| line.stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|line| Pin::new(&mut line.stream).poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|line| {
            if line.held.is_empty() {
                Pin::new(&mut line.stream).poll_shutdown(cx)
            } else {
                // The connection's own task does it, when it knows what was held back.
                Poll::Ready(Ok(()))
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BARE: &str = "HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n\
                        content-length: 0\r\ndate: Mon, 23 Nov 2026 02:22:31 GMT\r\n\r\n";

    #[test]
    fn only_a_bare_refusal_at_the_end_is_held_back() {
        let found = |text: &str| refusal(text.as_bytes());
        assert_eq!(found(BARE), Some(0));
        for status in ["400 Bad Request", "414 URI Too Long"] {
            let other = BARE.replace("431 Request Header Fields Too Large", status);
            assert_eq!(found(&other), Some(0), "{status}");
        }
        let answer = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        assert_eq!(found(&format!("{answer}{BARE}")), Some(answer.len()));
        for not in [
            String::new(),
            "\r\n\r\n".into(),
            " GMT\r\n\r\n".into(),
            format!("{BARE}more"),
            BARE[..BARE.len() - 1].to_owned(),
            BARE.replace("431", "404"),
            BARE.replace("content-length: 0", "content-length: 1"),
            BARE.replace("date:", "x-request-id: 1\r\ndate:"),
            BARE.replace("HTTP/1.1", "HTTP/2"),
        ] {
            assert_eq!(found(&not), None, "{not:?}");
        }
    }

    #[tokio::test]
    async fn what_is_held_back_goes_out_first_unless_it_is_taken() {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};

        let (near, mut far) = tokio::io::duplex(4096);
        let traffic = Traffic::new(CoarseClock::default());
        let (mut watched, reclaim) = Watched::new(near, traffic);
        watched.write_all(BARE.as_bytes()).await.unwrap();
        watched.write_all(b"next").await.unwrap();
        let mut came = vec![0; BARE.len() + 4];
        far.read_exact(&mut came).await.unwrap();
        assert_eq!(came, format!("{BARE}next").as_bytes());

        watched
            .write_all(format!("before{BARE}").as_bytes())
            .await
            .unwrap();
        watched.shutdown().await.unwrap();
        let line = reclaim.take().unwrap();
        assert_eq!(line.held, BARE.as_bytes());
        drop(line);
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        assert_eq!(came, b"before", "and the end is not told before that");
    }
}
