//! `skep run`: serves an application until it is told to stop.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use skep_core::manifest::Manifest;

use super::log_options::LogOptions;
use super::serving::{Serving, Signals, Start, logged, on_threads};
use super::{Exit, report, take_over};
use crate::deploy::{self, Application, OpenError, Opened};
use crate::log::Sink;

/// Run an application
///
/// Prints http://HOST:PORT on standard error, a line per address, once it accepts connections;
/// then logs to standard output. SIGTERM or Ctrl-C stops it in good order, a second one at once.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Run {
    #[command(flatten)]
    what: What,
    /// Take the place of the host that runs with this manifest: its sockets without refusing anybody,
    /// and its state. It drains and ends when this one serves; if this one cannot, it goes on
    #[arg(long)]
    take_over: bool,
    #[command(flatten)]
    log: LogOptions,
}

/// What is run, and what the manifest does not say of it; shared with `skep dev`.
#[derive(Args, Debug)]
pub(super) struct What {
    /// The manifest
    #[arg(default_value = "skep.toml")]
    pub(super) manifest: PathBuf,
    /// Listen here instead of where the manifest says; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: Vec<SocketAddr>,
    /// List in each request's line of the log the calls between services that it led to, as
    /// `http.log-calls` does
    #[arg(long)]
    log_calls: bool,
}

impl What {
    /// Where to listen, if not where the manifest says.
    pub(super) fn listen(&self) -> Option<Vec<SocketAddr>> {
        (!self.listen.is_empty()).then(|| self.listen.clone())
    }

    /// Lets the options have their say in what was read.
    pub(super) fn adapt(&self, application: &mut Application) {
        application.manifest.http.log_calls |= self.log_calls;
    }

    /// The application with all that was written down of it. Blocking.
    ///
    /// # Errors
    /// With what to exit; why has been said.
    pub(super) fn open(&self) -> Result<Opened, Exit> {
        let mut opened = deploy::open(&self.manifest).map_err(|error| match error {
            OpenError::Deploy(error) => report::deploy_error(&error, true),
            OpenError::Journal(_) => {
                report::failure(&error);
                Exit::Failed
            }
        })?;
        let application = &mut opened.application;
        report::mistakes(&application.source, &[], &application.warnings);
        self.adapt(application);
        Ok(opened)
    }
}

/// Runs the command.
pub fn run(arguments: &Run) -> ExitCode {
    logged(&arguments.log, |sink| match resumed(arguments, sink) {
        Ok(start) => serve(start, sink),
        Err(exit) => exit.into(),
    })
}

fn resumed(arguments: &Run, sink: &Sink) -> Result<Start, Exit> {
    let what = &arguments.what;
    let predecessor = arguments
        .take_over
        .then(|| take_over::predecessor(&what.manifest, sink));
    let predecessor = predecessor.transpose()?;
    let opened = what.open()?;
    failpoint!("run::opened");
    Ok(Start {
        application: opened.application,
        resumption: Some(opened.resumption),
        listen: what.listen(),
        predecessor,
    })
}

/// Serves an application until a signal; shared with `skep serve`.
pub(super) fn serve(start: Start, sink: &Sink) -> ExitCode {
    let threads = threads(&start.application.manifest);
    on_threads(threads, async {
        let until = until_stopped(start, sink);
        until.await.unwrap_or_else(|exit| exit)
    })
}

/// How many threads serve, if the manifest says so.
pub(super) fn threads(manifest: &Manifest) -> Option<usize> {
    let threads = manifest.host.threads.as_ref();
    threads.map(|threads| threads.value as usize)
}

async fn until_stopped(start: Start, sink: &Sink) -> Result<Exit, Exit> {
    let mut signals = Signals::hear()?;
    let serving = tokio::select! {
        started = Serving::start(start, sink) => started?,
        () = signals.next() => return Err(Exit::Interrupted),
    };
    serving.announce();
    Ok(serving.until_its_end(&mut signals).await)
}
