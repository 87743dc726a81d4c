//! One quiet line on the terminal while something takes its time.

use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// What is done sooner needs no line.
const QUIET: Duration = Duration::from_millis(500);

/// Between two looks of the line.
const EVERY: Duration = Duration::from_secs(1);

/// Shows the line, from half a second on and only on a terminal, until it is dropped.
pub(super) struct Progress(Option<(Sender<()>, JoinHandle<()>)>);

impl Progress {
    /// `what` is under way.
    pub(super) fn start(what: &'static str) -> Progress {
        if !std::io::stderr().is_terminal() {
            return Progress(None);
        }
        let (end, ended) = channel::<()>();
        let line = move || {
            let began = Instant::now();
            let mut patience = QUIET;
            let mut shown = false;
            while ended.recv_timeout(patience) == Err(std::sync::mpsc::RecvTimeoutError::Timeout) {
                let seconds = began.elapsed().as_secs();
                let mut stderr = std::io::stderr().lock();
                let _ = write!(stderr, "\r{what} … {seconds} s").and_then(|()| stderr.flush());
                (patience, shown) = (EVERY, true);
            }
            if shown {
                // Leaves nothing behind.
                let mut stderr = std::io::stderr().lock();
                let _ = write!(stderr, "\r\x1b[K").and_then(|()| stderr.flush());
            }
        };
        let thread = std::thread::Builder::new().name("skep-progress".into());
        // Without a thread there is no line.
        let thread = thread.spawn(line).ok();
        Progress(thread.map(|thread| (end, thread)))
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((end, thread)) = self.0.take() {
            drop(end);
            let _ = thread.join();
        }
    }
}
