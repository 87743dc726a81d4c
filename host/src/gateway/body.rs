//! A request's body on its way to the guest: bounded in size and in the client's lag.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use tokio::time::Sleep;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use crate::lag::{Lag, Pace};
use crate::memory::buffers::{Buffers, COUNTED_PIECE};

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
    /// The client lagged behind: `http.limits.body-timeout`, or others wanted its place.
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
pub(crate) struct IncomingBody(From);

enum From {
    /// There is no body.
    Nobody,
    Client(Box<Open>),
    /// Another service passes it on.
    Service(Passed),
}

/// A body that another service passes on, whose client's pace was seen to where it came in.
struct Passed {
    body: WasiBody,
    limit: u64,
    read: u64,
}

struct Open {
    incoming: Incoming,
    limit: u64,
    lag: Arc<Lag>,
    /// Set while the guest waits for the client.
    alarm: Option<Pin<Box<Sleep>>>,
    report: Arc<BodyReport>,
    /// What was read before the guest was called: one piece of data, then perhaps trailers.
    ahead: Option<Bytes>,
    ahead_trailers: Option<HeaderMap>,
    /// Where what was read ahead is counted.
    lobby: Option<Arc<Buffers>>,
    over: bool,
}

/// Bytes of a body that are read before its request is admitted: see [`IncomingBody::gather`].
/// Each open connection may hold this much.
const GATHERED: u64 = 64 << 10;

impl IncomingBody {
    /// A request without a body.
    pub(crate) fn empty() -> IncomingBody {
        IncomingBody(From::Nobody)
    }

    /// A body of at most `limit` bytes, from another service.
    pub(crate) fn passed_on(body: WasiBody, limit: u64) -> IncomingBody {
        if body.is_end_stream() {
            return IncomingBody::empty();
        }
        let read = 0;
        IncomingBody(From::Service(Passed { body, limit, read }))
    }

    /// The same once more; none if it is not whole yet, or has trailers.
    pub(crate) fn copy(&self) -> Option<IncomingBody> {
        let data = match &self.0 {
            From::Nobody => return Some(IncomingBody::empty()),
            From::Client(open) => {
                let whole = open.over || open.incoming.is_end_stream();
                let plain = whole && open.ahead_trailers.is_none() && open.report.fault().is_none();
                plain.then(|| open.ahead.clone().unwrap_or_default())?
            }
            From::Service(passed) => {
                return passed.body.is_end_stream().then(IncomingBody::empty);
            }
        };
        let limit = data.len() as u64;
        let body = Full::new(data).map_err(|never| match never {});
        Some(IncomingBody::passed_on(body.boxed_unsync(), limit))
    }

    /// A body of at most `limit` bytes, from a client that keeps this pace.
    pub(crate) fn new(
        incoming: Incoming,
        limit: u64,
        pace: Pace,
        lobby: Option<Arc<Buffers>>,
    ) -> (IncomingBody, Arc<BodyReport>) {
        let report = Arc::new(BodyReport::default());
        let open = Open {
            incoming,
            limit,
            lag: Lag::new(pace),
            alarm: None,
            report: report.clone(),
            ahead: None,
            ahead_trailers: None,
            lobby,
            over: false,
        };
        (IncomingBody(From::Client(Box::new(open))), report)
    }

    /// The client's lag with a body that has not come to its end.
    pub(crate) fn lag(&self) -> Option<&Arc<Lag>> {
        let From::Client(open) = &self.0 else {
            return None;
        };
        let here = open.over || open.incoming.is_end_stream();
        (!here).then_some(&open.lag)
    }

    /// Waits until a body of `declared` bytes is here, or its first [`GATHERED`] bytes are. A client
    /// that sends slowly thus keeps its own connection waiting and nobody's place in a service.
    /// A body of unknown length is not waited for: its client may be waiting for the answer.
    ///
    /// # Errors
    /// What the client did wrong meanwhile.
    pub(crate) async fn gather(&mut self, declared: Option<u64>) -> Result<(), BodyFault> {
        let (From::Client(open), Some(declared)) = (&mut self.0, declared) else {
            return Ok(());
        };
        let wanted = declared.min(GATHERED);
        let counted = wanted >= COUNTED_PIECE as u64;
        let lobby = open.lobby.take().filter(|_| counted);
        let coming = lobby.as_ref().map(|lobby| lobby.note(wanted));
        let mut gathered = BytesMut::new();
        while open.report.read() < wanted {
            match std::future::poll_fn(|cx| open.poll(cx)).await {
                Some(Ok(frame)) => open.set_aside(frame, &mut gathered),
                Some(Err(_)) => return Err(open.report.fault().unwrap_or(BodyFault::Broken)),
                None => break,
            }
        }
        if !gathered.is_empty() {
            open.ahead = Some(gathered.freeze());
        }
        if let Some(lobby) = lobby
            && let Some(data) = open.ahead.take()
        {
            open.ahead = Some(lobby.keep_noted(data));
        }
        drop(coming);
        Ok(())
    }
}

impl Open {
    /// Keeps a frame for the guest. A single piece stays as it is; more are copied into one, as
    /// each may be a byte that holds on to a whole read buffer.
    fn set_aside(&mut self, frame: Frame<Bytes>, gathered: &mut BytesMut) {
        match frame.into_data() {
            Ok(data) if gathered.is_empty() && self.ahead.is_none() => self.ahead = Some(data),
            Ok(data) => {
                if let Some(first) = self.ahead.take() {
                    gathered.extend_from_slice(&first);
                }
                gathered.extend_from_slice(&data);
            }
            Err(frame) => self.ahead_trailers = frame.into_trailers().ok(),
        }
    }

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
            self.lag.wait();
            ready!(self.lag.poll_end(cx, &mut self.alarm));
            return self.end(TIMED_OUT, HttpError::ConnectionReadTimeout);
        };
        if self.alarm.take().is_some() {
            let frame = polled.as_ref().and_then(|frame| frame.as_ref().ok());
            let data = frame.and_then(Frame::data_ref);
            self.lag.moved(data.map_or(0, Bytes::len) as u64);
        }
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
        let open = match &mut self.0 {
            From::Nobody => return Poll::Ready(None),
            From::Client(open) => open,
            From::Service(passed) => return passed.poll(cx),
        };
        if let Some(data) = open.ahead.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        if let Some(trailers) = open.ahead_trailers.take() {
            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
        }
        open.poll(cx)
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            From::Nobody => true,
            From::Client(open) => {
                open.ahead.is_none() && (open.over || open.incoming.is_end_stream())
            }
            From::Service(passed) => passed.body.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            From::Nobody => SizeHint::with_exact(0),
            From::Client(open) if open.ahead.is_none() => open.incoming.size_hint(),
            From::Client(_) => SizeHint::default(),
            From::Service(passed) => passed.body.size_hint(),
        }
    }
}

impl Passed {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let polled = ready!(Pin::new(&mut self.body).poll_frame(cx));
        if let Some(Ok(frame)) = &polled {
            self.read += frame.data_ref().map_or(0, Bytes::len) as u64;
            if self.read > self.limit {
                let error = HttpError::HttpRequestBodySize(Some(self.limit));
                return Poll::Ready(Some(Err(error)));
            }
        }
        Poll::Ready(polled)
    }
}
