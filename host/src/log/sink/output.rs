//! The sink's end: a destination that may be slow, full or gone, written to without ever losing
//! a line silently.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::super::line::{Level, notice};
use super::{Destination, Shared, SinkError};

/// How long the writer waits before it tries a full non-blocking destination again.
const RETRY_PAUSE: Duration = Duration::from_millis(10);

/// The destination, and what it has refused.
pub(super) struct Output {
    writer: Box<dyn Write + Send>,
    /// A write ended within a line: the next one must not continue it.
    torn: bool,
    /// Lines lost since the last report, and why.
    lost: Option<(u64, io::Error)>,
    /// Nobody will ever read this.
    gone: bool,
}

impl Output {
    pub(super) fn new(writer: Box<dyn Write + Send>) -> Output {
        Output {
            writer,
            torn: false,
            lost: None,
            gone: false,
        }
    }

    pub(super) fn write(&mut self, shared: &Shared, batch: &[u8]) {
        if self.gone {
            return self.lose(shared, batch, None);
        }
        if self.torn && self.write_all(b"\n").is_ok() {
            self.torn = false;
        }
        match self.write_all(batch) {
            Ok(()) => self.report_lost(shared),
            Err((written, error)) => {
                self.gone = error.kind() == io::ErrorKind::BrokenPipe;
                self.torn |= written > 0 && batch.get(written - 1) != Some(&b'\n');
                self.lose(
                    shared,
                    batch.get(written..).unwrap_or_default(),
                    Some(error),
                );
            }
        }
    }

    pub(super) fn report(&mut self, shared: &Shared, message: &str) {
        let mut line = String::new();
        notice(&mut line, shared.style, Level::Warn, message);
        line.push('\n');
        // A report is not worth a report.
        let _ = self.write_all(line.as_bytes());
    }

    fn report_lost(&mut self, shared: &Shared) {
        if let Some((lines, error)) = self.lost.take() {
            self.report(
                shared,
                &format!("{lines} log lines were lost here: they could not be written: {error}"),
            );
        }
    }

    fn lose(&mut self, shared: &Shared, rest: &[u8], error: Option<io::Error>) {
        let lines = memchr::memchr_iter(b'\n', rest).count() as u64;
        shared.lost_lines.fetch_add(lines, Ordering::Relaxed);
        if let Some(error) = error {
            let before = self.lost.take().map_or(0, |(lines, _)| lines);
            self.lost = Some((before + lines, error));
        }
    }

    /// As [`Write::write_all`], but patient with a non-blocking destination, and telling how much
    /// was written before an error.
    fn write_all(&mut self, mut bytes: &[u8]) -> Result<(), (usize, io::Error)> {
        let length = bytes.len();
        while !bytes.is_empty() {
            let written = length - bytes.len();
            match self.writer.write(bytes) {
                Ok(0) => return Err((written, io::ErrorKind::WriteZero.into())),
                Ok(count) => bytes = bytes.get(count..).unwrap_or_default(),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    std::thread::sleep(RETRY_PAUSE)
                }
                Err(error) => return Err((written, error)),
            }
        }
        self.writer.flush().map_err(|error| (length, error))
    }
}

impl Destination {
    /// All kinds as a plain file: unbuffered, and not behind the locks of `std::io::Stdout`.
    pub(super) fn open(&self) -> Result<File, SinkError> {
        match self {
            Destination::Stderr => duplicate("stderr", io::stderr().as_fd()),
            Destination::Stdout => duplicate("stdout", io::stdout().as_fd()),
            Destination::File(path) => OpenOptions::new()
                .append(true)
                .create(true)
                .open(path)
                .map_err(|source| SinkError::Open {
                    path: path.clone(),
                    source,
                }),
        }
    }
}

fn duplicate(name: &'static str, fd: BorrowedFd<'_>) -> Result<File, SinkError> {
    let owned = fd
        .try_clone_to_owned()
        .map_err(|source| SinkError::Closed { name, source })?;
    Ok(File::from(owned))
}
