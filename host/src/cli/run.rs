//! `skep run`: serves an application until it is told to stop.

use std::io::Write;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::log_options::LogOptions;
use super::{Exit, check, report};
use crate::control::{Control, Remote};
use crate::deploy::{self, Application, OpenError, Opened, Resumption};
use crate::host::{self, Host, Options, StartError};
use crate::log::Sink;

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
    report::mistakes(&application.source, &[], &application.warnings);
    application.manifest.http.log_calls |= arguments.log_calls;
    let listen = (!arguments.listen.is_empty()).then(|| arguments.listen.clone());
    serve(application, Some(resumption), listen, sink)
}

/// How long the last log lines may take to be written.
const FLUSH_PATIENCE: Duration = Duration::from_secs(2);

/// Serves an application until a signal; shared with `skep serve`.
pub(super) fn serve(
    application: Application,
    resumption: Option<Resumption>,
    listen: Option<Vec<SocketAddr>>,
    sink: &Sink,
) -> ExitCode {
    raise_descriptor_limit();
    let threads = application
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
    let exit = runtime.block_on(until_stopped(application, resumption, listen, sink.clone()));
    runtime.shutdown_timeout(Duration::from_millis(100));
    exit.into()
}

async fn until_stopped(
    application: Application,
    resumption: Option<Resumption>,
    listen: Option<Vec<SocketAddr>>,
    sink: Sink,
) -> Exit {
    let signals = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)));
    let (mut terminate, mut interrupt) = match signals {
        Ok(signals) => signals,
        Err(source) => {
            report::failure(&StartError::System {
                what: "signal handlers",
                source,
            });
            return Exit::Failed;
        }
    };
    let source = application.source.clone();
    let written_by_user = resumption.is_some();
    let control = written_by_user.then(|| host::control_socket(&application));
    let remote = match Remote::prepare(&application) {
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
    };
    let starting = Host::start(application, resumption, options, sink);
    let started = tokio::select! {
        started = starting => started,
        _ = terminate.recv() => return Exit::Interrupted,
        _ = interrupt.recv() => return Exit::Interrupted,
    };
    let host = match started {
        Ok(host) => host,
        Err(StartError::Mistakes(found)) => {
            if written_by_user {
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
    let control = control.and_then(|socket| match Control::start(&socket, remote, &host) {
        Ok(control) => Some(control),
        Err(error) => {
            tracing::warn!(
                "{}: `skep ps` will not find this host",
                crate::log::chain(&error)
            );
            None
        }
    });
    for url in host.urls() {
        let _ = writeln!(std::io::stderr(), "{url}");
    }
    if let Some(url) = control_url {
        let _ = writeln!(std::io::stderr(), "control API: {url}");
    }
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    tracing::info!("stopping: what is under way comes to its end; a second signal stops at once");
    let exit = tokio::select! {
        () = host.drain() => Exit::Ok,
        _ = terminate.recv() => Exit::Interrupted,
        _ = interrupt.recv() => Exit::Interrupted,
    };
    drop(control);
    exit
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
