//! The streams that guests hold: splits what they write into lines, never makes them wait.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

use super::{GuestLog, PARTIAL_PAUSE, Stream};

/// Bytes taken in one call. Bounds the time that one call keeps a thread: wasmtime gets to check
/// the guest's deadline between calls.
const WRITE_LIMIT: usize = 64 << 10;

/// One output stream of one instance, to give to wasmtime-wasi. Not a terminal.
pub struct GuestStream {
    log: Arc<GuestLog>,
    instance: u64,
    stream: Stream,
    /// Made when the guest first asks for the stream: most instances never do.
    line: OnceLock<Arc<Line>>,
}

/// The line being written. Shared by all handles that the guest has to the stream; when the last
/// one goes, the instance has ended, and what is unfinished is shown.
pub(super) struct Line {
    log: Arc<GuestLog>,
    pub(super) instance: u64,
    pub(super) stream: Stream,
    partial: Mutex<Partial>,
}

/// A line without an end so far.
#[derive(Default)]
struct Partial {
    /// At most the line limit.
    shown: Vec<u8>,
    /// Bytes beyond it.
    omitted: u64,
    /// A carriage return that may turn out to belong to the line's end.
    held_return: bool,
    written_at: Option<Instant>,
    watched: bool,
    /// Its beginning has been shown because the guest paused: a line end alone is not a line.
    begun: bool,
}

/// What wasmtime-wasi writes to.
struct Writer(Arc<Line>);

impl GuestStream {
    pub(super) fn new(log: Arc<GuestLog>, instance: u64, stream: Stream) -> GuestStream {
        GuestStream {
            log,
            instance,
            stream,
            line: OnceLock::new(),
        }
    }

    fn writer(&self) -> Writer {
        let line = self.line.get_or_init(|| {
            let log = Arc::clone(&self.log);
            Arc::new(Line::of(log, self.instance, self.stream))
        });
        Writer(Arc::clone(line))
    }
}

impl IsTerminal for GuestStream {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for GuestStream {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.writer())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.writer())
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Writer {
    async fn ready(&mut self) {}
}

impl OutputStream for Writer {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        if bytes.len() > WRITE_LIMIT {
            return Err(StreamError::trap(
                "write to stdout or stderr exceeds what check-write permits",
            ));
        }
        self.0.write(&bytes, Instant::now());
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_LIMIT)
    }
}

impl AsyncWrite for Writer {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let taken = bytes.get(..WRITE_LIMIT).unwrap_or(bytes);
        self.0.write(taken, Instant::now());
        Poll::Ready(Ok(taken.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

impl Line {
    /// A line with nothing in it.
    pub(super) fn of(log: Arc<GuestLog>, instance: u64, stream: Stream) -> Line {
        Line {
            log,
            instance,
            stream,
            partial: Mutex::default(),
        }
    }

    /// Shows each line that ends in `bytes`, keeps what follows the last one.
    fn write(self: &Arc<Self>, bytes: &[u8], now: Instant) {
        let mut partial = self.partial.lock();
        let mut rest = bytes;
        while let Some((line, after)) = split_line(rest) {
            rest = after;
            if !self.finish(&mut partial, line, now) {
                // The bucket is empty and will not fill within this write: a flood of short
                // lines must not cost a look at each.
                rest = self.skip_lines(rest);
            }
        }
        if rest.is_empty() {
            return;
        }
        partial.push(rest, self.log.line_limit);
        partial.written_at = Some(now);
        if !partial.watched {
            partial.watched = self.log.watch(self);
        }
    }

    /// Shows the unfinished line continued by its `end`; tells whether the limit allowed it.
    fn finish(&self, partial: &mut Partial, end: &[u8], now: Instant) -> bool {
        let begun = std::mem::take(&mut partial.begun);
        if partial.is_empty() {
            if begun && end.is_empty() {
                return true;
            }
            let line = end.strip_suffix(b"\r").unwrap_or(end);
            let (shown, omitted) = cut_line(line, self.log.line_limit, 0);
            return self.log.emit(self.into(), shown, omitted, now);
        }
        partial.push(end, self.log.line_limit);
        self.show(partial, now)
    }

    fn show(&self, partial: &mut Partial, now: Instant) -> bool {
        let (shown, omitted) = cut_line(&partial.shown, self.log.line_limit, partial.omitted);
        let admitted = self.log.emit(self.into(), shown, omitted, now);
        partial.shown.clear();
        partial.omitted = 0;
        partial.held_return = false;
        admitted
    }

    /// Counts the whole lines in `bytes` as suppressed and returns what follows them.
    fn skip_lines<'b>(&self, bytes: &'b [u8]) -> &'b [u8] {
        let Some(last) = memchr::memrchr(b'\n', bytes) else {
            return bytes;
        };
        let (skipped, rest) = bytes.split_at(last + 1);
        let lines = memchr::memchr_iter(b'\n', skipped).count();
        self.log
            .suppress(lines as u64, (skipped.len() - lines) as u64);
        rest
    }

    /// Shows the unfinished line if its guest pauses or it is too long anyway; false when there
    /// is nothing left to watch.
    pub(super) fn still_unfinished(&self, now: Instant) -> bool {
        let mut partial = self.partial.lock();
        let fresh = partial
            .written_at
            .is_some_and(|at| now.saturating_duration_since(at) < PARTIAL_PAUSE);
        if !partial.is_empty() {
            if fresh && partial.omitted == 0 {
                return true;
            }
            self.show(&mut partial, now);
            partial.begun = true;
        }
        partial.watched = false;
        false
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut partial = std::mem::take(self.partial.get_mut());
        if !partial.is_empty() {
            self.show(&mut partial, Instant::now());
        }
    }
}

impl Partial {
    fn is_empty(&self) -> bool {
        self.shown.is_empty() && self.omitted == 0 && !self.held_return
    }

    fn push(&mut self, bytes: &[u8], limit: usize) {
        if bytes.is_empty() {
            return;
        }
        if std::mem::take(&mut self.held_return) {
            self.push_within(b"\r", limit);
        }
        let stripped = bytes.strip_suffix(b"\r");
        self.held_return = stripped.is_some();
        self.push_within(stripped.unwrap_or(bytes), limit);
    }

    fn push_within(&mut self, bytes: &[u8], limit: usize) {
        let room = limit.saturating_sub(self.shown.len()).min(bytes.len());
        let (fits, beyond) = bytes.split_at(room);
        self.shown.extend_from_slice(fits);
        self.omitted += beyond.len() as u64;
    }
}

/// The first line of `bytes` without its end, and what follows.
fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at(end);
    Some((line, rest.get(1..).unwrap_or_default()))
}

/// What to show of a line and how much is left out: at most `limit` bytes, no half character at
/// the cut. `omitted` bytes have been left out before.
pub(super) fn cut_line(line: &[u8], limit: usize, omitted: u64) -> (&[u8], u64) {
    let mut shown = line.get(..limit).unwrap_or(line);
    if shown.len() < line.len() || omitted > 0 {
        shown = without_half_character(shown);
    }
    (shown, omitted + (line.len() - shown.len()) as u64)
}

fn without_half_character(bytes: &[u8]) -> &[u8] {
    // A character has at most four bytes: what is broken before the last three was so before.
    for back in 1..=bytes.len().min(3) {
        let start = bytes.len() - back;
        let tail = bytes.get(start..).unwrap_or_default();
        let is_continuation = tail.first().is_some_and(|byte| byte & 0xc0 == 0x80);
        if is_continuation {
            continue;
        }
        let half = std::str::from_utf8(tail).is_err_and(|error| error.error_len().is_none());
        return if half {
            bytes.get(..start).unwrap_or_default()
        } else {
            bytes
        };
    }
    bytes
}
