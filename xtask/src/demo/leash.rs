//! Children that end when xtask does, however that ends: by itself, by Ctrl-C or by any other signal.
//!
//! Between xtask and each of them stands another xtask, in a process group of its own, which Ctrl-C does
//! not reach. It waits for the end of its standard input, which comes when xtask lets go or is gone,
//! and then tells the child to stop.
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use std::{env, thread};

use crate::Result;

/// The hidden command of the xtask in between.
pub(crate) const LEASH: &str = "leash";

/// What a child has between the signal and being killed: more than a host needs to drain.
const GRACE: Duration = Duration::from_secs(45);
const POLL: Duration = Duration::from_millis(20);

/// How a child is told to stop.
#[derive(Clone, Copy)]
pub(super) enum Signal {
    Interrupt,
    Terminate,
}

impl Signal {
    fn name(self) -> &'static str {
        match self {
            Signal::Interrupt => "INT",
            Signal::Terminate => "TERM",
        }
    }
}

/// A child that runs. Dropped, it is told to stop and waited for.
pub(super) struct Leashed {
    name: &'static str,
    /// None once it has been waited for.
    leash: Option<Child>,
}

impl Leashed {
    /// `name` stands in messages.
    pub(super) fn start(
        name: &'static str,
        signal: Signal,
        program: &Path,
        arguments: &[&str],
        stdout: Stdio,
        stderr: Stdio,
    ) -> Result<Leashed> {
        let this = env::current_exe().map_err(|error| format!("finding xtask itself: {error}"))?;
        let leash = Command::new(this)
            .args([LEASH, signal.name()])
            .arg(program)
            .args(arguments)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(stdout)
            .stderr(stderr)
            .spawn()
            .map_err(|error| format!("starting {name}: {error}"))?;
        Ok(Leashed {
            name,
            leash: Some(leash),
        })
    }

    /// Whether it has not ended by itself.
    pub(super) fn runs(&mut self) -> bool {
        let leash = self.leash.as_mut();
        leash.is_some_and(|leash| matches!(leash.try_wait(), Ok(None)))
    }

    /// Tells it to stop, waits for its end, and returns what it wrote to a piped standard output.
    /// An error if it did not end in good order.
    pub(super) fn end(mut self) -> Result<Vec<u8>> {
        let ended = self
            .wait()
            .unwrap_or_else(|| Err(io::ErrorKind::NotFound.into()));
        let name = self.name;
        match ended {
            Ok(output) if output.status.success() => Ok(output.stdout),
            Ok(output) => Err(format!("{name} failed ({})", output.status)),
            Err(error) => Err(format!("waiting for {name}: {error}")),
        }
    }

    /// Waiting closes the leash's standard input first, which is what it waits for.
    fn wait(&mut self) -> Option<io::Result<Output>> {
        self.leash.take().map(Child::wait_with_output)
    }
}

impl Drop for Leashed {
    fn drop(&mut self) {
        let _ = self.wait();
    }
}

/// The command itself: runs a program until that ends or standard input does.
pub(crate) fn leash(args: &[String]) -> Result {
    let [signal, program, arguments @ ..] = args else {
        return Err(format!("usage: {LEASH} SIGNAL PROGRAM [ARGS...]"));
    };
    let failed = |error: io::Error| format!("{program}: {error}");
    let mut child = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .spawn()
        .map_err(failed)?;
    let (held, let_go) = mpsc::channel::<()>();
    thread::spawn(move || {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(held);
    });
    while let Err(RecvTimeoutError::Timeout) = let_go.recv_timeout(POLL) {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return of_status(program, status);
        }
    }
    // It has not been waited for, so the number is still its own.
    Command::new("sh")
        .args(["-c", &format!("kill -s {signal} {}", child.id())])
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("sending SIG{signal} to {program}: {error}"))?;
    let told = Instant::now();
    while told.elapsed() < GRACE {
        if let Some(status) = child.try_wait().map_err(failed)? {
            return of_status(program, status);
        }
        thread::sleep(POLL);
    }
    child.kill().map_err(failed)?;
    Err(format!("{program} did not stop within {GRACE:?}: killed"))
}

fn of_status(program: &str, status: ExitStatus) -> Result {
    match status.success() {
        true => Ok(()),
        false => Err(format!("{program} ended with {status}")),
    }
}
