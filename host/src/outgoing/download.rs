//! The response body on its way in: at the guest's pace, under the service's limits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep};
use wasmtime_wasi_http::Error;

use super::exchange::Guard;
use super::{OutgoingPolicy, fault, headers};
use crate::memory::buffers::Buffers;

/// The response body that a guest reads. Dropped before its end, it cuts the exchange.
pub(super) struct Download {
    incoming: Incoming,
    /// None once the response is over.
    guard: Option<Guard>,
    pause: Pause,
    left: u64,
    limit: u64,
    trailers: usize,
    buffers: Arc<Buffers>,
}

/// Empty frames skipped in one go: a peer may send as many as it likes.
const EMPTY_FRAMES: usize = 32;

impl Download {
    pub(super) fn new(
        incoming: Incoming,
        guard: Guard,
        pause: Duration,
        policy: &OutgoingPolicy,
    ) -> Result<Self, Error> {
        let limits = &policy.limits;
        let limit = limits.response_body;
        if incoming.size_hint().lower() > limit {
            return Err(Error::HttpResponseBodySize(Some(limit)));
        }
        let mut download = Self {
            incoming,
            guard: Some(guard),
            pause: Pause::new(pause),
            left: limit,
            limit,
            trailers: limits.response_headers,
            buffers: policy.buffers.clone(),
        };
        download.finish_at_end();
        Ok(download)
    }

    /// Gives the connection back as soon as the last piece is here: guests seldom read on.
    fn finish_at_end(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(guard) = self.guard.take()
        {
            guard.finish();
        }
    }

    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self
            .left
            .checked_sub(length)
            .ok_or(Error::HttpResponseBodySize(Some(self.limit)))?;
        match frame.into_trailers() {
            Ok(mut trailers) => {
                let size = headers::size(&trailers);
                if size > self.trailers {
                    let size = u32::try_from(size).ok();
                    return Err(Error::HttpResponseTrailerSectionSize(size));
                }
                headers::strip_hop_by_hop(&mut trailers);
                Ok(Frame::trailers(trailers))
            }
            Err(data) => Ok(data.map_data(|data| self.buffers.keep_noted(data))),
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        for _ in 0..EMPTY_FRAMES {
            if self.guard.is_none() {
                return Poll::Ready(None);
            }
            let outcome = match Pin::new(&mut self.incoming).poll_frame(context) {
                Poll::Pending if self.pause.is_too_long(context) => {
                    Some(Err(Error::ConnectionReadTimeout))
                }
                Poll::Pending => return Poll::Pending,
                Poll::Ready(None) => None,
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(Bytes::is_empty) => {
                    continue;
                }
                Poll::Ready(Some(Ok(frame))) => Some(self.take(frame)),
                Poll::Ready(Some(Err(error))) => Some(Err(fault::of_body(&error, self.trailers))),
            };
            self.pause.is_over();
            match &outcome {
                // A dropped guard cuts.
                Some(Err(_)) => drop(self.guard.take()),
                Some(Ok(_)) => self.finish_at_end(),
                None => {
                    if let Some(guard) = self.guard.take() {
                        guard.finish();
                    }
                }
            }
            return Poll::Ready(outcome);
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        self.guard.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        if self.guard.is_none() {
            SizeHint::with_exact(0)
        } else {
            self.incoming.size_hint()
        }
    }
}

/// Measures how long the guest has waited for the peer. While the guest does not ask, nobody
/// waits: a slow guest is not the peer's fault.
struct Pause {
    limit: Duration,
    /// Kept from pause to pause: a timer is registered only when the guest waits.
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Pause {
    fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            waiting: false,
        }
    }

    fn is_too_long(&mut self, context: &mut Context<'_>) -> bool {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(context).is_ready()
    }

    fn is_over(&mut self) {
        self.waiting = false;
    }
}
