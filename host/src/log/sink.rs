//! Where all lines go: one buffer, one writer thread, because a request must never wait for a
//! terminal, a pipe or a disk.
//!
//! A producer renders its line into a thread-local scratch string and appends it under a short
//! lock. The writer is woken when the buffer stops being empty, waits `BATCH_PAUSE` for more,
//! swaps the buffer for an empty one and writes it with one system call, so a busy host pays one
//! wake-up per batch and an idle host none. If the destination is stuck the buffer fills up to
//! `PENDING_LIMIT`; from then on lines are dropped and counted, and a line says how many as soon
//! as lines can be written again. If the destination is gone (`EPIPE`) lines are discarded.
//!
//! The writer thread also runs the reminders of those who must say something later (`Remind`):
//! it is the only thread of the log, and it sleeps when there is nothing to do.

mod output;

use std::cell::Cell;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::thread::ThreadId;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use self::output::Output;
use super::{LogFormat, Style};

/// Bytes of lines that may wait for the writer. Some 15,000 access lines: a tenth of a second at
/// full load, and affordable on a small machine (twice, as the writer holds as much).
const PENDING_LIMIT: usize = 4 << 20;

/// Pending bytes at which the writer stops waiting for more.
const EAGER_AT: usize = 256 << 10;

/// How long the writer gathers lines before it writes them: short for a reader, long for a host.
const BATCH_PAUSE: Duration = Duration::from_millis(20);

/// Buffers are shrunk to this size once nothing has been written for [`SHRINK_AFTER`].
const KEPT_CAPACITY: usize = 64 << 10;
const SHRINK_AFTER: Duration = Duration::from_secs(1);

/// The scratch string of a thread is kept unless one line has grown it beyond this.
const KEPT_SCRATCH: usize = 16 << 10;

/// How often reminders run while anybody wants one.
const REMIND_EVERY: Duration = Duration::from_millis(250);

/// How long the drop of the last handle waits for the last lines.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// Nobody waits longer than this for a flush, whatever they ask for.
const LONGEST_FLUSH: Duration = Duration::from_secs(3600);

/// Where lines go.
#[derive(Clone, Debug)]
pub enum Destination {
    /// The process's standard error.
    Stderr,
    /// The process's standard output.
    Stdout,
    /// A file, created if it is missing and appended to if not. Safe to copy and truncate.
    File(PathBuf),
}

/// A handle to the log; cloning it costs a reference count. When the last one is dropped, what is
/// pending is still written. A process that ends while handles are left (a global tracing
/// subscriber keeps one for ever) calls [`Sink::flush`] first.
#[derive(Clone)]
pub struct Sink {
    handle: Arc<Handle>,
}

/// What has become of the lines so far, for metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SinkTotals {
    /// Lines accepted for writing.
    pub lines: u64,
    /// Bytes of these lines.
    pub bytes: u64,
    /// Lines dropped because the writer could not keep up.
    pub dropped_lines: u64,
    /// Lines lost because the destination refused them.
    pub lost_lines: u64,
}

/// Why the log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum SinkError {
    /// The file cannot be opened for appending.
    #[error("cannot open log file {path}: check that its directory exists and may be written to", path = .path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// Standard output or standard error is closed.
    #[error("cannot use {name} for the log: it is closed")]
    Closed {
        /// "stdout" or "stderr".
        name: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// No thread for the writer.
    #[error("cannot start the log's writer thread")]
    Thread(#[source] io::Error),
}

/// Somebody who has something to say later: a partial line, a count of suppressed lines. Called
/// on the writer thread about every 250 ms (late while the destination is stuck) until it
/// returns false, or is dropped.
pub(super) trait Remind: Send + Sync {
    fn remind(&self, now: Instant) -> bool;
}

impl Sink {
    /// Opens the destination and starts the writer thread.
    ///
    /// # Errors
    /// If the destination cannot be opened or the thread cannot be started.
    pub fn open(destination: &Destination, format: LogFormat) -> Result<Sink, SinkError> {
        let file = destination.open()?;
        let style = Style::choose(format, &file);
        Sink::to_writer(Box::new(file), style)
    }

    /// Writes lines of `style` to anything, from the sink's own thread. `writer` may block; it
    /// gets whole batches of lines.
    ///
    /// # Errors
    /// If the thread cannot be started.
    pub fn to_writer(writer: Box<dyn Write + Send>, style: Style) -> Result<Sink, SinkError> {
        let shared = Arc::new(Shared::new(style));
        let for_thread = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("skep-log".to_owned())
            .spawn(move || write_batches(&for_thread, Output::new(writer)))
            .map_err(SinkError::Thread)?;
        Ok(Sink {
            handle: Arc::new(Handle { shared }),
        })
    }

    /// What lines must look like.
    pub fn style(&self) -> Style {
        self.handle.shared.style
    }

    /// Renders one line, without its line break, and queues it. Never waits for the destination.
    /// Called several times per request.
    pub fn line(&self, render: impl FnOnce(&mut String, Style)) {
        let mut line = SCRATCH.try_with(Cell::take).unwrap_or_default();
        line.clear();
        render(&mut line, self.style());
        line.push('\n');
        self.handle.shared.append(line.as_bytes());
        if line.capacity() <= KEPT_SCRATCH {
            // A thread on its way out has no scratch any more; the line is simply dropped.
            let _ = SCRATCH.try_with(|scratch| scratch.set(line));
        }
    }

    /// Waits until all lines queued so far are written, at most for `timeout`. Returns whether
    /// they are; lines that a broken destination refused count as written. Blocks the thread:
    /// for start and end of the process and for tests.
    pub fn flush(&self, timeout: Duration) -> bool {
        self.handle.shared.flush(timeout)
    }

    /// Counts since the sink was opened.
    pub fn totals(&self) -> SinkTotals {
        let shared = &self.handle.shared;
        let state = shared.state.lock();
        SinkTotals {
            lost_lines: shared.lost_lines.load(Ordering::Relaxed),
            ..state.totals
        }
    }

    /// Has `reminder` called from now on until it is content.
    pub(super) fn remind(&self, reminder: Weak<dyn Remind>) {
        self.handle.shared.add_reminder(reminder);
    }
}

thread_local! {
    /// One line's worth of memory per thread. Taken while in use, so that rendering may log.
    static SCRATCH: Cell<String> = const { Cell::new(String::new()) };
}

/// Exists to notice when the last [`Sink`] goes: the writer thread shares the rest.
struct Handle {
    shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

struct Shared {
    style: Style,
    state: Mutex<State>,
    /// The writer waits here for lines, or for a reason not to wait for more.
    work: Condvar,
    /// Those who flush wait here.
    progress: Condvar,
    writer: OnceLock<ThreadId>,
    lost_lines: AtomicU64,
}

#[derive(Default)]
struct State {
    pending: Vec<u8>,
    totals: SinkTotals,
    dropped_since_report: u64,
    /// Of `totals.bytes`, how many have been written or given up.
    settled: u64,
    /// Somebody flushes: write now.
    hurry: bool,
    closed: bool,
    reminders: Vec<Weak<dyn Remind>>,
    remind_at: Option<Instant>,
}

/// What the writer does next.
enum Task {
    Write { dropped: u64 },
    Remind(Vec<Weak<dyn Remind>>),
    Stop,
}

impl Shared {
    fn new(style: Style) -> Shared {
        Shared {
            style,
            state: Mutex::new(State::default()),
            work: Condvar::new(),
            progress: Condvar::new(),
            writer: OnceLock::new(),
            lost_lines: AtomicU64::new(0),
        }
    }

    fn append(&self, line: &[u8]) {
        let mut state = self.state.lock();
        let before = state.pending.len();
        let after = before + line.len();
        if after > PENDING_LIMIT {
            state.totals.dropped_lines += 1;
            state.dropped_since_report += 1;
            return;
        }
        state.pending.extend_from_slice(line);
        state.totals.lines += 1;
        state.totals.bytes += line.len() as u64;
        drop(state);
        if before == 0 || (before < EAGER_AT && after >= EAGER_AT) {
            self.work.notify_one();
        }
    }

    fn add_reminder(&self, reminder: Weak<dyn Remind>) {
        let mut state = self.state.lock();
        state.reminders.push(reminder);
        if state.remind_at.is_none() {
            state.remind_at = Some(Instant::now() + REMIND_EVERY);
            drop(state);
            self.work.notify_one();
        }
    }

    fn flush(&self, timeout: Duration) -> bool {
        if self.on_writer_thread() {
            return false;
        }
        let deadline = Instant::now() + timeout.min(LONGEST_FLUSH);
        let mut state = self.state.lock();
        let target = state.totals.bytes;
        if state.settled < target {
            state.hurry = true;
            self.work.notify_one();
        }
        while state.settled < target {
            if self.progress.wait_until(&mut state, deadline).timed_out() {
                return state.settled >= target;
            }
        }
        true
    }

    fn close(&self) {
        self.state.lock().closed = true;
        self.work.notify_one();
        self.flush(CLOSE_TIMEOUT);
    }

    /// The last handle may be dropped by a reminder, that is by the writer itself, and a panic may
    /// be reported there: neither may wait for the writer.
    fn on_writer_thread(&self) -> bool {
        self.writer.get() == Some(&std::thread::current().id())
    }

    /// Waits for something to do. If it is to write, `batch` (empty) becomes what is pending.
    fn next_task(&self, batch: &mut Vec<u8>) -> Task {
        let mut state = self.state.lock();
        let mut shrink_at = Some(Instant::now() + SHRINK_AFTER);
        loop {
            if state.remind_at.is_some_and(|at| at <= Instant::now()) {
                state.remind_at = None;
                return Task::Remind(std::mem::take(&mut state.reminders));
            }
            if !state.pending.is_empty() {
                self.gather(&mut state);
                std::mem::swap(&mut state.pending, batch);
                state.hurry = false;
                return Task::Write {
                    dropped: std::mem::take(&mut state.dropped_since_report),
                };
            }
            if state.closed {
                return Task::Stop;
            }
            if shrink_at.is_some_and(|at| at <= Instant::now()) {
                state.pending.shrink_to(KEPT_CAPACITY);
                batch.shrink_to(KEPT_CAPACITY);
                shrink_at = None;
            }
            match state.remind_at.into_iter().chain(shrink_at).min() {
                Some(deadline) => {
                    self.work.wait_until(&mut state, deadline);
                }
                None => self.work.wait(&mut state),
            }
        }
    }

    /// Lets lines gather for a moment.
    fn gather(&self, state: &mut parking_lot::MutexGuard<'_, State>) {
        let deadline = Instant::now() + BATCH_PAUSE;
        while !state.hurry && !state.closed && state.pending.len() < EAGER_AT {
            if self.work.wait_until(state, deadline).timed_out() {
                return;
            }
        }
    }

    fn settle(&self, bytes: usize) {
        self.state.lock().settled += bytes as u64;
        self.progress.notify_all();
    }

    fn run_reminders(&self, mut reminders: Vec<Weak<dyn Remind>>) {
        let now = Instant::now();
        reminders.retain(|reminder| {
            reminder
                .upgrade()
                .is_some_and(|reminder| reminder.remind(now))
        });
        if reminders.is_empty() {
            return;
        }
        let mut state = self.state.lock();
        state.reminders.append(&mut reminders);
        state.remind_at = Some(now + REMIND_EVERY);
    }
}

/// The writer thread.
fn write_batches(shared: &Shared, mut output: Output) {
    // Set once, here.
    let _ = shared.writer.set(std::thread::current().id());
    let mut batch = Vec::new();
    loop {
        match shared.next_task(&mut batch) {
            Task::Write { dropped } => {
                let settled = batch.len();
                output.write(shared, &batch);
                if dropped > 0 {
                    output.report(shared, &format!(
                        "{dropped} log lines were dropped here: they came faster than the log's reader takes them"
                    ));
                }
                batch.clear();
                shared.settle(settled);
            }
            Task::Remind(reminders) => shared.run_reminders(reminders),
            Task::Stop => return,
        }
    }
}

#[cfg(test)]
mod tests;
