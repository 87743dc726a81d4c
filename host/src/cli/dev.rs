//! `skep dev`: serves an application and keeps it as it lies on disk.
//!
//! A round follows each change: what was touched is built (`building`), and what came of it is deployed
//! as `skep deploy` would, or the manifest applied as by `skep apply` (`round`). `project` knows what the
//! manifest asks for, `watching` waits for the next change. All of it is one task, so that there is one
//! build and one deploy at a time; what changes meanwhile leads to another round.

mod round;
mod watching;

use std::fmt::Display;
use std::io::Write;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use self::round::{Built, Rounds};
use self::watching::Watching;
use super::log_options::LogOptions;
use super::project::Project;
use super::run::{self, What};
use super::serving::{Serving, Signals, Start, logged, on_threads};
use super::{Exit, report};
use crate::deploy::{self, Application, DeployError};
use crate::log::Sink;

/// Run an application and keep it as its sources are
///
/// Runs the `build` of each service that has one, and serves as `skep run` does. When something below a
/// service's `watch` paths changes, that service is built anew and deployed without losing a request; a
/// service without `build` is deployed when its component changes. Changes of the manifest are applied.
/// What a compiler says is shown if it fails, and what served before serves on. No revision is taken back
/// by itself.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Dev {
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    log: LogOptions,
}

/// Runs the command.
pub fn run(arguments: &Dev) -> ExitCode {
    let what = &arguments.what;
    let manifest = deploy::read_manifest(&what.manifest);
    let threads = manifest.ok().and_then(|(it, _)| run::threads(&it));
    logged(&arguments.log, |sink| {
        on_threads(threads, until_stopped(what, sink))
    })
}

async fn until_stopped(what: &What, sink: &Sink) -> Exit {
    let mut signals = match Signals::hear() {
        Ok(signals) => signals,
        Err(exit) => return exit,
    };
    let mut serving = None;
    // A build that is under way ends with the future that waits for it.
    let ended = tokio::select! {
        exit = develop(what, sink, &mut serving) => Some(exit),
        () = signals.next() => None,
    };
    let stopped = match serving {
        Some(serving) => serving.stop(&mut signals).await,
        None => Exit::Interrupted,
    };
    ended.unwrap_or(stopped)
}

/// Goes on for ever, unless nothing can be done at all.
async fn develop(what: &What, sink: &Sink, serving: &mut Option<Serving>) -> Exit {
    let mut watching = match Watching::start() {
        Ok(watching) => watching,
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let mut project = Project::unread(&what.manifest);
    let mut touched = project.manifest_alone();
    let mut rounds = Rounds::new(what);
    loop {
        if touched.manifest {
            match Project::read(&what.manifest) {
                Ok(read) => {
                    touched.services.extend(read.made_otherwise_than(&project));
                    project = read;
                    for warning in project.warnings() {
                        say(format_args!("warning: {warning}"));
                    }
                }
                Err(error @ DeployError::Unreadable { .. }) if serving.is_none() => {
                    return report::deploy_error(&error, true);
                }
                // Until it is put right the last one without mistakes holds.
                Err(error) => {
                    report::deploy_error(&error, true);
                    touched.manifest = false;
                }
            }
        }
        watching.look_at(&project);
        if !touched.is_empty() {
            let built = round::build(&project, &touched, serving.is_some()).await;
            match serving {
                Some(serving) => {
                    let running = serving.running();
                    rounds.change(running, &project, &touched, &built).await;
                }
                None => match start(what, sink, &built).await {
                    // What was deployed from elsewhere goes: here the files have the say.
                    Ok(started) => {
                        let started = serving.insert(started);
                        rounds.apply(started.running()).await;
                        started.announce();
                    }
                    Err(Exit::Mistakes) => {}
                    Err(exit) => return exit,
                },
            }
        }
        if serving.is_none() {
            say("nothing serves yet; waiting for a change");
        }
        touched = project.touched(&watching.changed(&project).await);
    }
}

/// Starts what was served last, but for what has been changed on disk since.
async fn start(what: &What, sink: &Sink, built: &Built) -> Result<Serving, Exit> {
    built.tell();
    let mut opened = what.open()?;
    leave_alone(&mut opened.application);
    let start = Start {
        application: opened.application,
        resumption: Some(opened.resumption),
        listen: what.listen(),
        predecessor: None,
    };
    let mut serving = Serving::start(start, sink).await?;
    // What is under development ends with its developer.
    serving.stay();
    Ok(serving)
}

/// In development a revision that misbehaves is looked at and mended: one that went away by itself
/// would be taken for the one that was saved.
fn leave_alone(application: &mut Application) {
    for service in application.manifest.services.values_mut() {
        service.probation.length = Duration::ZERO;
    }
}

fn say(line: impl Display) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
