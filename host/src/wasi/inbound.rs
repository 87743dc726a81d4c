//! A body on its way to the guest: one piece at a time is taken from the connection, when the guest
//! reads, waits for, or wants the trailers of it.

use std::any::Any;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use bytes::Bytes;
use http::HeaderMap;
use http_body::Body;
use parking_lot::Mutex;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};
use wasmtime_wasi_io::streams::StreamError;

use super::codes;

/// A body, shared by the guest's `incoming-body`, its stream, and what waits for them. The lock
/// is there because a pollable outlives the call that made it; nobody ever waits for it.
#[derive(Clone)]
pub(super) struct Inbound {
    flow: Arc<Mutex<Flow>>,
}

struct Flow {
    /// `None` once it has ended.
    body: Option<WasiBody>,
    /// What the guest has not read of the latest piece.
    piece: Bytes,
    /// Why it ended early, until somebody is told.
    error: Option<HttpError>,
    trailers: Option<HeaderMap>,
    stream: Stream,
    /// What must live as long as the body is read.
    _worker: Option<Box<dyn Any + Send>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stream {
    Within,
    Open,
    Dropped,
}

impl Flow {
    /// Ready when there is something to read, or will never be.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        while let Some(body) = &mut self.body {
            if !self.piece.is_empty() {
                break;
            }
            match ready!(Pin::new(body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.piece = data,
                    Err(frame) => {
                        self.trailers = frame.into_trailers().ok();
                        self.body = None;
                    }
                },
                Some(Err(error)) => {
                    self.error = Some(error);
                    self.body = None;
                }
                None => self.body = None,
            }
        }
        Poll::Ready(())
    }
}

impl Inbound {
    /// `worker` is kept until the body is.
    pub(super) fn new(body: Option<WasiBody>, worker: Option<Box<dyn Any + Send>>) -> Inbound {
        let flow = Flow {
            body,
            piece: Bytes::new(),
            error: None,
            trailers: None,
            stream: Stream::Within,
            _worker: worker,
        };
        Inbound {
            flow: Arc::new(Mutex::new(flow)),
        }
    }

    /// Its stream, once.
    pub(super) fn stream(&self) -> Option<Reader> {
        let mut flow = self.flow.lock();
        (flow.stream == Stream::Within).then(|| {
            flow.stream = Stream::Open;
            Reader {
                inbound: self.clone(),
            }
        })
    }

    /// Whether the guest still has the stream; it must drop that first.
    pub(super) fn has_stream(&self) -> bool {
        self.flow.lock().stream == Stream::Open
    }

    /// Ready when a read would not come back empty.
    pub(super) fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.flow.lock().fill(cx)
    }

    /// Ready when the trailers are there or will never be. What was not read is thrown away.
    pub(super) fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut flow = self.flow.lock();
        loop {
            flow.piece = Bytes::new();
            ready!(flow.fill(cx));
            if flow.body.is_none() {
                return Poll::Ready(());
            }
        }
    }

    /// The trailers of a body that has ended, or why it ended early.
    pub(super) fn take_trailers(&self) -> Result<Option<HeaderMap>, HttpError> {
        let mut flow = self.flow.lock();
        match flow.error.take() {
            Some(error) => Err(error),
            None => Ok(flow.trailers.take()),
        }
    }
}

/// The guest's stream of a body.
pub(super) struct Reader {
    inbound: Inbound,
}

impl Reader {
    /// At most `len` bytes; none if none are there.
    pub(super) fn read(&self, len: usize) -> Result<Bytes, StreamError> {
        self.poll_read(len, &mut Context::from_waker(Waker::noop()))
            .unwrap_or_else(|| Ok(Bytes::new()))
    }

    /// The same, as what to wait for: `None` while nothing is there.
    fn poll_read(&self, len: usize, cx: &mut Context<'_>) -> Option<Result<Bytes, StreamError>> {
        let mut flow = self.inbound.flow.lock();
        if flow.fill(cx).is_pending() {
            return None;
        }
        if !flow.piece.is_empty() {
            let len = len.min(flow.piece.len());
            return Some(Ok(flow.piece.split_to(len)));
        }
        Some(Err(match flow.error.take() {
            Some(error) => StreamError::LastOperationFailed(codes::of(error).into()),
            None => StreamError::Closed,
        }))
    }

    /// What waits on the stream's behalf.
    pub(super) fn waiting(&self) -> Inbound {
        self.inbound.clone()
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.inbound.flow.lock().stream = Stream::Dropped;
    }
}

#[cfg(test)]
mod tests;
