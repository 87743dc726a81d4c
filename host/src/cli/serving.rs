//! A host in this process, from its threads to its end; shared by the commands that serve.

use std::io::Write;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::log_options::LogOptions;
use super::names::{Answering, Names};
use super::{Exit, check, report, take_over};
use crate::control::Remote;
use crate::deploy::{Application, Resumption, Running};
use crate::host::{Host, Options, StartError};
use crate::log::Sink;
use crate::takeover::Predecessor;

/// How long the last log lines may take to be written.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Threads for what blocks: guests' files, name look-ups, builds. What comes beyond waits for one;
/// each may keep a MiB of its allocator's.
const BLOCKING_THREADS: usize = 64;

/// Opens the log for what is done, and sees to its last lines.
pub(super) fn logged(log: &LogOptions, done: impl FnOnce(&Sink) -> ExitCode) -> ExitCode {
    let sink = match log.open() {
        Ok(sink) => sink,
        Err(error) => {
            report::failure(&error);
            return Exit::Failed.into();
        }
    };
    let exit = done(&sink);
    sink.flush(FLUSH_PATIENCE);
    exit
}

/// Does it on threads of its own, as many as said, or one per core.
pub(super) fn on_threads(threads: Option<usize>, done: impl Future<Output = Exit>) -> ExitCode {
    raise_descriptor_limit();
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime
        .enable_all()
        .thread_name("skep-serve")
        .max_blocking_threads(BLOCKING_THREADS);
    if let Some(threads) = threads {
        runtime.worker_threads(threads);
    }
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(source) => {
            report::failure(&StartError::System {
                what: "threads to serve on",
                source,
            });
            return Exit::Failed.into();
        }
    };
    let exit = runtime.block_on(done);
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit.into()
}

/// What asks this process to stop.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on nothing but this hears them.
    ///
    /// # Errors
    /// If the system refuses; that has been said.
    pub(super) fn hear() -> Result<Signals, Exit> {
        let signals = signal(SignalKind::terminate()).and_then(|terminate| {
            let interrupt = signal(SignalKind::interrupt())?;
            Ok(Signals {
                terminate,
                interrupt,
            })
        });
        signals.map_err(|source| {
            report::failure(&StartError::System {
                what: "signal handlers",
                source,
            });
            Exit::Failed
        })
    }

    /// The next one.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// What is to serve, and what it begins with.
pub(super) struct Start {
    pub(super) application: Application,
    /// None: no user has written the manifest.
    pub(super) resumption: Option<Resumption>,
    /// Instead of the manifest's addresses.
    pub(super) listen: Option<Vec<SocketAddr>>,
    /// Whose place it takes.
    pub(super) predecessor: Option<Predecessor>,
}

/// A host that serves, and can be found by the other commands if it has a manifest.
pub(super) struct Serving {
    host: Host,
    answering: Option<Answering>,
    control_url: Option<String>,
}

impl Serving {
    /// Starts it.
    ///
    /// # Errors
    /// With what to exit; why has been said.
    pub(super) async fn start(start: Start, sink: &Sink) -> Result<Serving, Exit> {
        let Start {
            application,
            resumption,
            listen,
            mut predecessor,
        } = start;
        let source = application.source.clone();
        let names = resumption.is_some().then(|| Names::of(&application));
        let left = predecessor.as_mut().map(Predecessor::take_sockets);
        let mut left = left.unwrap_or_default();
        let remote = Remote::prepare(&application, &mut left).map_err(|error| failed(&error))?;
        let control_url = remote.as_ref().and_then(Remote::url);
        let options = Options {
            listen,
            cache: check::cache(&application),
            left,
        };
        let started = Host::start(application, resumption, options, sink.clone()).await;
        let ready = started.map_err(|error| match error {
            StartError::Mistakes(found) => {
                if names.is_some() {
                    report::mistakes(&source, &found, &[]);
                } else {
                    report::plain(&found, &[]);
                }
                Exit::Mistakes
            }
            error => failed(&error),
        })?;
        let (host, succession) = match predecessor {
            None => (ready.serve().await, None),
            Some(predecessor) => {
                let taken = take_over::take_place(predecessor, ready).await;
                let (host, succession) = taken.map_err(|error| failed(&error))?;
                (host, Some(succession))
            }
        };
        let answering = names.map(|names| names.answer(remote, &host, succession));
        Ok(Serving {
            host,
            answering,
            control_url,
        })
    }

    /// Prints where it listens: whoever reads this may begin.
    pub(super) fn announce(&self) {
        for url in self.host.urls() {
            let _ = writeln!(std::io::stderr(), "{url}");
        }
        if let Some(url) = &self.control_url {
            let _ = writeln!(std::io::stderr(), "control API: {url}");
        }
    }

    /// The application as it runs, and the way to change it.
    pub(super) fn running(&self) -> &Arc<Running> {
        self.host.running()
    }

    /// Nobody takes its place: who asks is told so.
    pub(super) fn stay(&mut self) {
        if let Some(answering) = &mut self.answering {
            answering.stay();
        }
    }

    /// Waits for a reason to end, and ends in good order; at once if there is a signal meanwhile.
    pub(super) async fn until_its_end(mut self, signals: &mut Signals) -> Exit {
        let taken = async {
            match &mut self.answering {
                Some(answering) => answering.taken().await,
                None => std::future::pending().await,
            }
        };
        let successor = tokio::select! {
            () = signals.next() => return self.stop(signals).await,
            successor = taken => successor,
        };
        if let Some(answering) = &mut self.answering {
            answering.leave();
        }
        let ending = async {
            tracing::info!(
                process = successor.process(),
                "another host serves in this one's place: what is under way comes to its end"
            );
            self.host.leave().await;
            successor.settled().await;
        };
        tokio::select! {
            () = ending => Exit::Ok,
            () = signals.next() => Exit::Interrupted,
        }
    }

    /// Stops it in good order, or at once when another signal comes.
    pub(super) async fn stop(mut self, signals: &mut Signals) -> Exit {
        if let Some(answering) = &mut self.answering {
            answering.end();
        }
        tracing::info!(
            "stopping: what is under way comes to its end; a second signal stops at once"
        );
        tokio::select! {
            () = self.host.drain() => Exit::Ok,
            () = signals.next() => Exit::Interrupted,
        }
    }
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Exit {
    report::failure(error);
    Exit::Failed
}

/// Each connection takes a file descriptor, and shells give a process few: take all that we may.
fn raise_descriptor_limit() {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: `limit` is a valid rlimit that outlives both calls, which keep no pointer to it.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}
