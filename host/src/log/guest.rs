//! Guests' stdout and stderr as lines of the log, without trust in what or how much they write.
//!
//! wasmtime-wasi's own adapter buffers in a task per stream and lets a guest wait for the host's
//! terminal. Here a write never waits: bytes are split into lines and queued in the sink at once.
//! Three limits hold: a line is cut at [`GuestLogLimits::line`], a service gets
//! [`GuestLogLimits::bytes_per_second`] shared by all its instances, and what exceeds it is
//! counted and reported once per second. Nothing is allocated for an instance that never writes.
//!
//! A line without an end is shown when the instance ends, or after a pause (`PARTIAL_PAUSE`).
//!
//! Lock order: a line's partial text, then the recent lines, the meter or the list of watched
//! lines, then the sink.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod meter;
mod recent;
mod secrets;
mod stream;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use wasmtime::component::{ComponentType, Lift};

use self::meter::{Meter, Suppressed};
use self::recent::Recent;
pub use self::recent::RecentLine;
pub use self::secrets::Secrets;
pub use self::stream::GuestStream;
use self::stream::Line;
use super::line::{JsonLine, Level, Paint, painted, readable_head};
use super::sink::Remind;
use super::{Sink, Style, text};

/// An unfinished line is shown if the guest has written nothing more for this long.
const PARTIAL_PAUSE: Duration = Duration::from_millis(250);

/// Unfinished lines of one service that are watched for a pause at a time. Beyond it they are
/// shown when they end or when their instance does.
const MAX_WATCHED: usize = 1024;

/// Where a guest wrote to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// `wasi:logging`.
    Log,
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How grave a guest says that something is, as `wasi:logging` has it.
#[derive(ComponentType, Lift, Clone, Copy, Debug, PartialEq, Eq)]
#[component(enum)]
#[repr(u8)]
pub enum Gravity {
    /// Every step.
    #[component(name = "trace")]
    Trace,
    /// What helps to find mistakes.
    #[component(name = "debug")]
    Debug,
    /// What somebody may want to know.
    #[component(name = "info")]
    Info,
    /// What somebody should look at.
    #[component(name = "warn")]
    Warn,
    /// What went wrong.
    #[component(name = "error")]
    Error,
    /// What went wrong so that nothing else works.
    #[component(name = "critical")]
    Critical,
}

impl Gravity {
    fn level(self) -> Level {
        match self {
            Gravity::Trace => Level::Trace,
            Gravity::Debug => Level::Debug,
            Gravity::Info => Level::Info,
            Gravity::Warn => Level::Warn,
            Gravity::Error | Gravity::Critical => Level::Error,
        }
    }
}

/// A line's sender and what it says of it.
#[derive(Clone, Copy)]
struct Origin<'a> {
    instance: u64,
    stream: Stream,
    level: Level,
    /// What part of the guest wrote it; may be empty.
    context: &'a [u8],
}

impl From<&Line> for Origin<'_> {
    fn from(line: &Line) -> Self {
        Origin {
            instance: line.instance,
            stream: line.stream,
            level: Level::Info,
            context: b"",
        }
    }
}

/// Bytes shown of a context: it is a name, and the line's limit is for the message.
const CONTEXT_BYTES: usize = 64;

/// What the guests of one service may write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GuestLogLimits {
    /// Bytes per second in the long run, for all instances and both streams. Each line costs its
    /// own bytes and 64 more for what the host writes around it, so empty lines are not free.
    /// 0 suppresses all but the burst.
    pub bytes_per_second: u64,
    /// Bytes that may come at once after a quiet time. 0 suppresses everything.
    pub burst: u64,
    /// Bytes of one line; the rest of a longer one is left out and counted. Bounds the memory of
    /// a stream.
    pub line: usize,
}

/// What became of a service's output, for metrics. `lines` and `suppressed_lines` add up to the
/// lines written by guests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GuestLogTotals {
    /// Lines queued in the sink.
    pub lines: u64,
    /// Bytes of these lines as shown.
    pub bytes: u64,
    /// Lines over the rate limit.
    pub suppressed_lines: u64,
    /// Bytes of these lines.
    pub suppressed_bytes: u64,
    /// Bytes left out of shown lines because of the line limit.
    pub cut_bytes: u64,
}

/// The log of one revision of one service; its instances share the rate limit.
pub struct GuestLog {
    /// For handing out references to itself.
    me: Weak<GuestLog>,
    sink: Sink,
    service: Arc<str>,
    revision: u32,
    line_limit: usize,
    secrets: Secrets,
    meter: Mutex<Meter>,
    /// For reports of crashes; also what the rate limit keeps from the log.
    recent: Mutex<Recent>,
    /// Unfinished lines to look after.
    watched: Mutex<Vec<Weak<Line>>>,
    /// Whether the sink has been asked for reminders.
    reminded: AtomicBool,
}

impl GuestLog {
    /// The log of `service`'s `revision`. Called once per revision.
    pub fn new(
        sink: Sink,
        service: Arc<str>,
        revision: u32,
        limits: GuestLogLimits,
        secrets: Secrets,
    ) -> Arc<GuestLog> {
        Arc::new_cyclic(|me| GuestLog {
            me: Weak::clone(me),
            sink,
            service,
            revision,
            line_limit: limits.line,
            secrets,
            meter: Mutex::new(Meter::new(
                limits.bytes_per_second,
                limits.burst,
                Instant::now(),
            )),
            recent: Mutex::default(),
            watched: Mutex::new(Vec::new()),
            reminded: AtomicBool::new(false),
        })
    }

    /// One output stream of one instance, for `WasiCtxBuilder::stdout` and `stderr`. Called twice
    /// per instance; costs a reference count. What is written to all streams obtained from it
    /// forms one sequence of lines.
    pub fn stream(self: &Arc<Self>, instance: u64, stream: Stream) -> GuestStream {
        GuestStream::new(Arc::clone(self), instance, stream)
    }

    /// The newest lines of an instance, `most` at most, oldest first. Called for crashes only.
    pub fn recent(&self, instance: u64, most: usize) -> Vec<RecentLine> {
        self.recent.lock().of(instance, most)
    }

    /// Counts since the log was created.
    pub fn totals(&self) -> GuestLogTotals {
        self.meter.lock().totals()
    }

    /// Shows what a guest says through `wasi:logging`, whatever its level, within the same limits as
    /// its output.
    pub fn say(&self, instance: u64, gravity: Gravity, context: &str, message: &str) {
        let (message, omitted) = stream::cut_line(message.as_bytes(), self.line_limit, 0);
        let context = self.secrets.masked(context.as_bytes());
        let origin = Origin {
            instance,
            stream: Stream::Log,
            level: gravity.level(),
            context: context.get(..CONTEXT_BYTES).unwrap_or(&context),
        };
        self.emit(origin, message, omitted, Instant::now());
    }

    /// Shows one line if the rate limit allows it; tells whether it did.
    fn emit(&self, origin: Origin<'_>, shown: &[u8], omitted: u64, now: Instant) -> bool {
        let shown = &*self.secrets.masked(shown);
        self.recent
            .lock()
            .note(origin.instance, origin.stream, shown);
        let admitted = self.meter.lock().admit(now, shown.len() as u64, omitted);
        if admitted {
            self.sink
                .line(|out, style| self.render(out, style, origin, shown, omitted));
        } else {
            self.want_reminder();
        }
        admitted
    }

    /// Counts lines that are not even looked at, because the one before them was suppressed.
    fn suppress(&self, lines: u64, bytes: u64) {
        self.meter.lock().suppress(lines, bytes);
        self.want_reminder();
    }

    /// Looks after an unfinished line from now on; false if there are too many.
    fn watch(&self, line: &Arc<Line>) -> bool {
        let mut watched = self.watched.lock();
        if watched.len() >= MAX_WATCHED {
            return false;
        }
        watched.push(Arc::downgrade(line));
        drop(watched);
        self.want_reminder();
        true
    }

    fn want_reminder(&self) {
        if !self.reminded.swap(true, Ordering::AcqRel) {
            self.sink.remind(Weak::clone(&self.me) as Weak<dyn Remind>);
        }
    }

    fn render(
        &self,
        out: &mut String,
        style: Style,
        origin: Origin<'_>,
        shown: &[u8],
        omitted: u64,
    ) {
        let now = SystemTime::now();
        match style {
            Style::Json => {
                let mut line = JsonLine::open(out, now, origin.level, "guest");
                line.text("service", &self.service);
                line.number("revision", self.revision);
                line.number("instance", origin.instance);
                line.text("stream", origin.stream.name());
                if !origin.context.is_empty() {
                    line.bytes("context", origin.context, 0);
                }
                line.bytes("message", shown, omitted);
                line.close();
            }
            Style::Plain | Style::Colour => {
                readable_head(out, style, now, origin.level);
                painted(out, style, Paint::Cyan, |out| {
                    out.push_str(&self.service);
                    out.push('@');
                    text::number(out, self.revision);
                    out.push('#');
                    text::number(out, origin.instance);
                });
                out.push(' ');
                painted(out, style, Paint::Dim, |out| {
                    out.push_str(origin.stream.name());
                    if !origin.context.is_empty() {
                        out.push(' ');
                        text::lossy(out, origin.context, text::plain);
                    }
                    out.push_str(" | ");
                });
                text::lossy(out, shown, text::plain);
                text::omitted(out, omitted);
            }
        }
    }

    fn report(&self, suppressed: Suppressed) {
        let Suppressed { lines, bytes } = suppressed;
        let message = format!(
            "{lines} lines ({bytes} bytes) of this service were suppressed: it writes faster than its log-rate allows"
        );
        self.sink.line(|out, style| {
            let now = SystemTime::now();
            match style {
                Style::Json => {
                    let mut line = JsonLine::open(out, now, Level::Warn, "guest");
                    line.text("service", &self.service);
                    line.number("revision", self.revision);
                    line.number("suppressed_lines", lines);
                    line.number("suppressed_bytes", bytes);
                    line.text("message", &message);
                    line.close();
                }
                Style::Plain | Style::Colour => {
                    readable_head(out, style, now, Level::Warn);
                    painted(out, style, Paint::Cyan, |out| {
                        out.push_str(&self.service);
                        out.push('@');
                        text::number(out, self.revision);
                    });
                    out.push(' ');
                    out.push_str(&message);
                }
            }
        });
    }

    /// Shows unfinished lines whose guest pauses; the others stay watched.
    fn show_stale(&self, now: Instant) {
        let mut watched = std::mem::take(&mut *self.watched.lock());
        watched.retain(|line| {
            line.upgrade()
                .is_some_and(|line| line.still_unfinished(now))
        });
        self.watched.lock().append(&mut watched);
    }

    fn is_content(&self) -> bool {
        self.watched.lock().is_empty() && !self.meter.lock().has_unreported()
    }
}

impl Remind for GuestLog {
    fn remind(&self, now: Instant) -> bool {
        self.show_stale(now);
        let due = self.meter.lock().take_report(now);
        if let Some(suppressed) = due {
            self.report(suppressed);
        }
        if !self.is_content() {
            return true;
        }
        // Whoever comes between the question and the store sees that a reminder is wanted already
        // and does not ask for one: so the question is asked once more.
        self.reminded.store(false, Ordering::Release);
        !self.is_content() && !self.reminded.swap(true, Ordering::AcqRel)
    }
}

/// What was suppressed last is reported even if the revision goes away before the second is over.
impl Drop for GuestLog {
    fn drop(&mut self) {
        if let Some(suppressed) = self.meter.get_mut().take_all() {
            self.report(suppressed);
        }
    }
}

impl Stream {
    /// As in the log.
    pub fn name(self) -> &'static str {
        match self {
            Stream::Log => "log",
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

#[cfg(test)]
mod tests;
