//! What the log's tests share: a destination in memory, and waiting for a level.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::{Sink, Style};

/// Longest wait for something that should happen at once; the machine may be busy.
pub(super) const PATIENCE: Duration = Duration::from_secs(20);

/// A destination that remembers.
#[derive(Clone, Default)]
pub(super) struct Captured {
    bytes: Arc<Mutex<Vec<u8>>>,
    pub(super) writes: Arc<Mutex<usize>>,
}

impl Captured {
    pub(super) fn sink(style: Style) -> (Sink, Captured) {
        let captured = Captured::default();
        let sink = Sink::to_writer(Box::new(captured.clone()), style).unwrap();
        (sink, captured)
    }

    pub(super) fn text(&self) -> String {
        String::from_utf8(self.bytes.lock().clone()).unwrap()
    }

    /// The lines written once all queued so far are.
    pub(super) fn lines(&self, sink: &Sink) -> Vec<String> {
        assert!(sink.flush(PATIENCE));
        self.text().lines().map(str::to_owned).collect()
    }

    /// As [`Captured::lines`], each parsed.
    pub(super) fn json(&self, sink: &Sink) -> Vec<serde_json::Value> {
        self.lines(sink)
            .iter()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }
}

impl Write for Captured {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.bytes.lock().extend_from_slice(bytes);
        *self.writes.lock() += 1;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Waits until `condition` holds.
pub(super) fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "still not: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
