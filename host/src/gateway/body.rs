//! A request's body on its way to the guest: bounded in size and in the client's pauses.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::Sleep;
use wasmtime_wasi_http::Error as HttpError;

/// What became of a request's body, for the gateway, which no longer has it.
#[derive(Debug, Default)]
pub(crate) struct BodyReport {
    read: AtomicU64,
    end: AtomicU8,
}

/// How the client broke its body off, if it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BodyFault {
    /// It is larger than `limits.request-body`.
    TooLarge,
    /// The client paused for longer than `http.limits.body-timeout`.
    TimedOut,
    /// The connection or the framing broke.
    Broken,
}

// 0: it is fine so far.
const TOO_LARGE: u8 = 1;
const TIMED_OUT: u8 = 2;
const BROKEN: u8 = 3;

impl BodyReport {
    /// Bytes read by the guest.
    pub(crate) fn read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }

    /// What the client did wrong.
    pub(crate) fn fault(&self) -> Option<BodyFault> {
        match self.end.load(Ordering::Relaxed) {
            TOO_LARGE => Some(BodyFault::TooLarge),
            TIMED_OUT => Some(BodyFault::TimedOut),
            BROKEN => Some(BodyFault::Broken),
            _ => None,
        }
    }
}

/// The body of a request, as `instance` gives it to a guest.
pub(crate) struct IncomingBody {
    /// `None`: there is no body.
    open: Option<Box<Open>>,
}

struct Open {
    incoming: Incoming,
    limit: u64,
    pause: Duration,
    /// Set while the guest waits for the client.
    alarm: Option<Pin<Box<Sleep>>>,
    report: Arc<BodyReport>,
    over: bool,
}

impl IncomingBody {
    /// A request without a body.
    pub(crate) fn empty() -> IncomingBody {
        IncomingBody { open: None }
    }

    /// A body of at most `limit` bytes, from a client that pauses for at most `pause`.
    pub(crate) fn new(
        incoming: Incoming,
        limit: u64,
        pause: Duration,
    ) -> (IncomingBody, Arc<BodyReport>) {
        let report = Arc::new(BodyReport::default());
        let open = Open {
            incoming,
            limit,
            pause,
            alarm: None,
            report: report.clone(),
            over: false,
        };
        (
            IncomingBody {
                open: Some(Box::new(open)),
            },
            report,
        )
    }
}

impl Open {
    fn end(&mut self, how: u8, error: HttpError) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.over = true;
        self.report.end.store(how, Ordering::Relaxed);
        Poll::Ready(Some(Err(error)))
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        if self.over {
            return Poll::Ready(None);
        }
        let Poll::Ready(polled) = Pin::new(&mut self.incoming).poll_frame(cx) else {
            let wake = Instant::now() + self.pause;
            let alarm = self
                .alarm
                .get_or_insert_with(|| Box::pin(tokio::time::sleep_until(wake.into())));
            ready!(alarm.as_mut().poll(cx));
            return self.end(TIMED_OUT, HttpError::ConnectionReadTimeout);
        };
        self.alarm = None;
        match polled {
            None => {
                self.over = true;
                Poll::Ready(None)
            }
            Some(Err(error)) => self.end(BROKEN, HttpError::Hyper(error)),
            Some(Ok(frame)) => {
                let length = frame.data_ref().map_or(0, Bytes::len) as u64;
                let read = self.report.read.fetch_add(length, Ordering::Relaxed) + length;
                if read > self.limit {
                    return self.end(TOO_LARGE, HttpError::HttpRequestBodySize(Some(self.limit)));
                }
                Poll::Ready(Some(Ok(frame)))
            }
        }
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match &mut self.open {
            Some(open) => open.poll(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.open
            .as_ref()
            .is_none_or(|open| open.over || open.incoming.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.open
            .as_ref()
            .map_or(SizeHint::with_exact(0), |open| open.incoming.size_hint())
    }
}
