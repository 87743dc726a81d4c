//! One quiet line on the terminal while something takes its time.

use std::fmt::{self, Display};
use std::io::{IsTerminal, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::deploy::StepBegun;

/// What is done sooner needs no line.
const QUIET: Duration = Duration::from_millis(500);

/// Between two looks of the line.
const EVERY: Duration = Duration::from_secs(1);

/// Shows the line, from half a second on and only on a terminal, until it is dropped.
pub(super) struct Progress(Option<(Sender<StepBegun>, JoinHandle<()>)>);

impl Progress {
    /// `what` is under way. Who reads JSON sees no line.
    pub(super) fn start(what: &'static str, json: bool) -> Progress {
        if json || !std::io::stderr().is_terminal() {
            return Progress(None);
        }
        let (steps, begun) = channel();
        let thread = std::thread::Builder::new().name("skep-progress".into());
        // Without a thread there is no line.
        let thread = thread.spawn(move || show(what, &begun)).ok();
        Progress(thread.map(|thread| (steps, thread)))
    }

    /// This is being done now.
    pub(super) fn tell(&self, step: StepBegun) {
        if let Some((steps, _)) = &self.0 {
            let _ = steps.send(step);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some((steps, thread)) = self.0.take() {
            drop(steps);
            let _ = thread.join();
        }
    }
}

fn show(what: &str, begun: &Receiver<StepBegun>) {
    let began = Instant::now();
    let mut step = None;
    let mut look = began + QUIET;
    let mut shown = false;
    loop {
        match begun.recv_timeout(look.saturating_duration_since(Instant::now())) {
            Ok(next) => step = Some(next),
            Err(RecvTimeoutError::Timeout) => {
                look += EVERY;
                shown = true;
            }
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if shown {
            let line = Line {
                what,
                step: step.as_ref(),
                seconds: began.elapsed().as_secs(),
            };
            write(format_args!("\r\x1b[K{line}"));
        }
    }
    if shown {
        // Leaves nothing behind.
        write(format_args!("\r\x1b[K"));
    }
}

fn write(text: fmt::Arguments<'_>) {
    let mut stderr = std::io::stderr().lock();
    let _ = stderr.write_fmt(text).and_then(|()| stderr.flush());
}

/// `deploying: building cart, 1 of 3 are built … 4 s`
struct Line<'a> {
    what: &'a str,
    step: Option<&'a StepBegun>,
    seconds: u64,
}

impl Display for Line<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what)?;
        match self.step {
            None => Ok(()),
            Some(StepBegun::Check) => write!(f, ": checking"),
            Some(StepBegun::Build { service, of: 1, .. }) => write!(f, ": building {service}"),
            Some(StepBegun::Build { service, done, of }) => {
                write!(f, ": building {service}, {done} of {of} are built")
            }
            Some(StepBegun::Prove { service, .. }) => write!(f, ": proving {service}"),
            Some(StepBegun::HandOver { service }) => {
                write!(f, ": handing over the state of {service}")
            }
            Some(StepBegun::WriteDown) => write!(f, ": writing it down"),
            Some(StepBegun::Switch) => write!(f, ": switching"),
        }?;
        write!(f, " … {} s", self.seconds)
    }
}
