//! A body on its way from the guest that writes it to the connection that sends it: a bounded queue
//! under one lock, which both ends may use from any thread.
//!
//! The end is said once: finished, finished with trailers, or broken. A body that is let go without
//! being finished is broken, so that nobody takes a part of it for the whole.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use parking_lot::Mutex;
use wasmtime_wasi_http::Error as HttpError;
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_io::streams::StreamError;

use crate::instance::memory::MemoryLimitReached;
use crate::memory::Refusal;
use crate::memory::buffers::{Buffers, COUNTED_PIECE};

/// Bytes that wait for the connection; then the guest does. Each request under way may have them.
const BYTES: usize = 128 << 10;

/// Pieces that wait: a guest that writes single bytes shall not make a million of them.
const PIECES: usize = 32;

/// Which kind of message the body belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Message {
    Request,
    Response,
}

impl Message {
    fn wrong_size(self, written: u64) -> ErrorCode {
        match self {
            Message::Request => ErrorCode::HttpRequestBodySize(Some(written)),
            Message::Response => ErrorCode::HttpResponseBodySize(Some(written)),
        }
    }
}

struct Pipe {
    message: Message,
    /// What the headers declare.
    declared: Option<u64>,
    /// Where what waits is counted.
    buffers: Arc<Buffers>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// The oldest piece that waits; most bodies have one, and need no queue.
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    /// Bytes of both.
    waiting: usize,
    written: u64,
    stream: Stream,
    end: End,
    /// The connection wants no more.
    unwanted: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stream {
    /// The guest has not asked for it.
    #[default]
    Within,
    Open,
    Dropped,
}

#[derive(Default)]
enum End {
    #[default]
    Open,
    Finished,
    Trailers(Box<HeaderMap>),
    Broken,
}

impl State {
    fn room(&self) -> usize {
        if self.more.len() + 1 >= PIECES {
            return 0;
        }
        BYTES.saturating_sub(self.waiting)
    }

    fn push(&mut self, piece: Bytes) {
        self.waiting += piece.len();
        if self.first.is_none() {
            self.first = Some(piece);
        } else {
            self.more.push_back(piece);
        }
    }

    fn pop(&mut self) -> Option<Bytes> {
        let piece = self.first.take()?;
        self.first = self.more.pop_front();
        self.waiting -= piece.len();
        Some(piece)
    }

    fn end(&mut self, end: End) -> Option<Waker> {
        self.end = end;
        self.reader.take()
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn remember(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) if waker.will_wake(cx.waker()) => {}
        _ => *slot = Some(cx.waker().clone()),
    }
}

/// The guest's hold on the body: `outgoing-body`. Dropped unfinished, it breaks the body.
pub(super) struct Inlet {
    pipe: Arc<Pipe>,
    finished: bool,
}

/// The guest's stream into it. It lives within the inlet's life.
pub(super) struct Writer {
    pipe: Arc<Pipe>,
}

/// The connection's end.
pub(crate) struct Outlet {
    pipe: Option<Arc<Pipe>>,
}

/// A body of as many bytes as its message's headers declare, if they do.
pub(super) fn pipe(
    message: Message,
    declared: Option<u64>,
    buffers: Arc<Buffers>,
) -> (Inlet, Outlet) {
    let pipe = Arc::new(Pipe {
        message,
        declared,
        buffers,
        state: Mutex::default(),
    });
    let outlet = Outlet {
        pipe: Some(pipe.clone()),
    };
    let finished = false;
    (Inlet { pipe, finished }, outlet)
}

impl Inlet {
    /// The stream, once.
    pub(super) fn stream(&self) -> Option<Writer> {
        let mut state = self.pipe.state.lock();
        (state.stream == Stream::Within).then(|| {
            state.stream = Stream::Open;
            Writer {
                pipe: self.pipe.clone(),
            }
        })
    }

    /// Whether the guest still has the stream; it must drop that first.
    pub(super) fn has_stream(&self) -> bool {
        self.pipe.state.lock().stream == Stream::Open
    }

    /// Nothing more will come.
    ///
    /// # Errors
    /// If what was written contradicts the declared length; the body is then broken.
    pub(super) fn finish(mut self, trailers: Option<HeaderMap>) -> Result<(), ErrorCode> {
        self.finished = true;
        let mut state = self.pipe.state.lock();
        let written = state.written;
        let wrong = self.pipe.declared.is_some_and(|length| length != written);
        let end = match trailers {
            _ if wrong => End::Broken,
            Some(trailers) => End::Trailers(Box::new(trailers)),
            None => End::Finished,
        };
        let waker = state.end(end);
        drop(state);
        wake(waker);
        if wrong {
            return Err(self.pipe.message.wrong_size(written));
        }
        Ok(())
    }
}

impl Drop for Inlet {
    fn drop(&mut self) {
        if !self.finished {
            let waker = self.pipe.state.lock().end(End::Broken);
            wake(waker);
        }
    }
}

impl Writer {
    /// How much may be written at once; 0 while the connection has enough.
    pub(super) fn room(&self) -> Result<usize, StreamError> {
        let state = self.pipe.state.lock();
        if state.unwanted {
            return Err(StreamError::Closed);
        }
        Ok(state.room())
    }

    /// Writes what there is room for.
    pub(super) fn write(&self, piece: Bytes) -> Result<(), StreamError> {
        match self.write_if_room(piece)? {
            None => Ok(()),
            Some(_) => Err(StreamError::trap("write exceeded budget")),
        }
    }

    /// Writes all of `piece` if there is room for it; else gives it back.
    pub(super) fn write_if_room(&self, piece: Bytes) -> Result<Option<Bytes>, StreamError> {
        let mut state = self.pipe.state.lock();
        if state.unwanted {
            return Err(StreamError::Closed);
        }
        if piece.len() > state.room() {
            return Ok(Some(piece));
        }
        // An empty piece would tell nobody anything and could be repeated for ever.
        if piece.is_empty() {
            return Ok(None);
        }
        state.written += piece.len() as u64;
        let written = state.written;
        if self.pipe.declared.is_some_and(|length| length < written) {
            let error = self.pipe.message.wrong_size(written);
            return Err(StreamError::LastOperationFailed(error.into()));
        }
        let piece = if state.waiting < COUNTED_PIECE {
            self.pipe.buffers.keep(piece)
        } else {
            // Small pieces pile up.
            self.pipe.buffers.keep_any(piece)
        };
        state.push(piece.map_err(|refusal| StreamError::Trap(refused(refusal)))?);
        let waker = state.reader.take();
        drop(state);
        wake(waker);
        Ok(None)
    }

    /// Whether the connection still wants anything.
    pub(super) fn flush(&self) -> Result<(), StreamError> {
        if self.pipe.state.lock().unwanted {
            return Err(StreamError::Closed);
        }
        Ok(())
    }

    /// What waits for room on the stream's behalf.
    pub(super) fn waiting(&self) -> RoomInPipe {
        RoomInPipe {
            pipe: self.pipe.clone(),
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.pipe.state.lock().stream = Stream::Dropped;
    }
}

/// Ready once there is room in a pipe, or nobody wants more.
pub(super) struct RoomInPipe {
    pipe: Arc<Pipe>,
}

impl RoomInPipe {
    pub(super) fn poll(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.pipe.state.lock();
        if state.unwanted || state.room() > 0 {
            return Poll::Ready(());
        }
        remember(&mut state.writer, cx);
        Poll::Pending
    }
}

impl Outlet {
    /// The body of a message that has none.
    pub(super) fn empty() -> Outlet {
        Outlet { pipe: None }
    }
}

impl Body for Outlet {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        let Some(pipe) = &self.pipe else {
            return Poll::Ready(None);
        };
        let mut state = pipe.state.lock();
        if let Some(piece) = state.pop() {
            let waker = state.writer.take();
            drop(state);
            wake(waker);
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        match &state.end {
            End::Open => {
                remember(&mut state.reader, cx);
                Poll::Pending
            }
            End::Finished => Poll::Ready(None),
            End::Broken => Poll::Ready(Some(Err(HttpError::HttpProtocolError))),
            End::Trailers(_) => {
                let End::Trailers(trailers) = std::mem::replace(&mut state.end, End::Finished)
                else {
                    return Poll::Ready(None);
                };
                Poll::Ready(Some(Ok(Frame::trailers(*trailers))))
            }
        }
    }
}

impl Drop for Outlet {
    fn drop(&mut self) {
        let Some(pipe) = &self.pipe else {
            return;
        };
        let mut state = pipe.state.lock();
        state.unwanted = true;
        let pieces = (state.first.take(), std::mem::take(&mut state.more));
        state.waiting = 0;
        let waker = state.writer.take();
        drop(state);
        drop(pieces);
        wake(waker);
    }
}

fn refused(refusal: Refusal) -> wasmtime::Error {
    MemoryLimitReached::Buffers(refusal).into()
}

#[cfg(test)]
mod tests;
