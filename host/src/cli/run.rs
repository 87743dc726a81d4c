//! `skep run`: serves an application until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use super::log_options::LogOptions;
use super::names::Names;
use super::serving::{self, Signals};
use super::{Exit, check, report, take_over};
use crate::control::Remote;
use crate::deploy::{self, Application, OpenError, Opened, Resumption};
use crate::handover::Predecessor;
use crate::host::{Host, Options, StartError};
use crate::log::Sink;
use clap::Args;

/// Run an application
///
/// Prints http://HOST:PORT on standard error, a line per address, once it accepts connections;
/// then logs to standard output. SIGTERM or Ctrl-C stops it in good order, a second one at once.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Run {
    /// The manifest
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    /// Listen here instead of where the manifest says; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// List in each request's line of the log the calls between services that it led to, as
    /// `http.log-calls` does
    #[arg(long)]
    log_calls: bool,
    /// Take the place of the host that runs with this manifest: its sockets without refusing anybody,
    /// and its state. It drains and ends when this one serves; if this one cannot, it goes on
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    log: LogOptions,
}

/// Runs the command.
pub fn run(arguments: &Run) -> ExitCode {
    logged(&arguments.log, |sink| resume(arguments, sink))
}

/// Opens the log for what is done, and sees to its last lines; shared with `skep serve`.
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

fn resume(arguments: &Run, sink: &Sink) -> ExitCode {
    let predecessor = arguments
        .take_over
        .then(|| take_over::predecessor(&arguments.manifest, sink));
    let predecessor = match predecessor.transpose() {
        Ok(predecessor) => predecessor,
        Err(exit) => return exit.into(),
    };
    let Opened {
        mut application,
        resumption,
    } = match deploy::open(&arguments.manifest) {
        Ok(opened) => opened,
        Err(OpenError::Deploy(error)) => return report::deploy_error(&error, true).into(),
        Err(error @ OpenError::Journal(_)) => {
            report::failure(&error);
            return Exit::Failed.into();
        }
    };
    failpoint!("run::opened");
    report::mistakes(&application.source, &[], &application.warnings);
    application.manifest.http.log_calls |= arguments.log_calls;
    let start = Start {
        application,
        resumption: Some(resumption),
        listen: (!arguments.listen.is_empty()).then(|| arguments.listen.clone()),
        predecessor,
    };
    serve(start, sink)
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

/// How long the last log lines may take to be written.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Serves an application until a signal; shared with `skep serve`.
pub(super) fn serve(start: Start, sink: &Sink) -> ExitCode {
    raise_descriptor_limit();
    let threads = start
        .application
        .manifest
        .host
        .threads
        .as_ref()
        .map(|threads| threads.value as usize);
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
    let exit = runtime.block_on(until_stopped(start, sink.clone()));
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit.into()
}

async fn until_stopped(start: Start, sink: Sink) -> Exit {
    let Start {
        application,
        resumption,
        listen,
        mut predecessor,
    } = start;
    let mut signals = match Signals::take() {
        Ok(signals) => signals,
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let source = application.source.clone();
    let names = resumption.is_some().then(|| Names::of(&application));
    let predecessors = predecessor.as_mut().map(Predecessor::take_sockets);
    let mut left = predecessors.unwrap_or_default();
    let remote = match Remote::prepare(&application, &mut left) {
        Ok(remote) => remote,
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let control_url = remote.as_ref().and_then(Remote::url);
    let options = Options {
        listen,
        cache: check::cache(&application),
        left,
    };
    let starting = Host::start(application, resumption, options, sink);
    let started = tokio::select! {
        started = starting => started,
        () = signals.next() => return Exit::Interrupted,
    };
    let ready = match started {
        Ok(ready) => ready,
        Err(StartError::Mistakes(found)) => {
            if names.is_some() {
                report::mistakes(&source, &found, &[]);
            } else {
                report::plain(&found, &[]);
            }
            return Exit::Mistakes;
        }
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let (host, succession) = match predecessor {
        None => (ready.serve().await, None),
        Some(predecessor) => match take_over::take_place(predecessor, ready).await {
            Ok((host, succession)) => (host, Some(succession)),
            Err(error) => {
                report::failure(&error);
                return Exit::Failed;
            }
        },
    };
    let answering = names.map(|names| names.answer(remote, &host, succession));
    for url in host.urls() {
        let _ = writeln!(std::io::stderr(), "{url}");
    }
    if let Some(url) = control_url {
        let _ = writeln!(std::io::stderr(), "control API: {url}");
    }
    serving::to_its_end(host, answering, signals).await
}

/// Threads for what blocks: guests' files, name look-ups, builds. What comes beyond waits for one;
/// each may keep a MiB of its allocator's.
const BLOCKING_THREADS: usize = 64;

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
