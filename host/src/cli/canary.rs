//! `skep promote` and `skep abort`: what becomes of what is on trial.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use skep_core::rollout::Share;

use super::host_options::HostOptions;
use super::{Exit, change};
use crate::control::client;
use crate::deploy::Tried;

/// Let what is on trial serve all requests, or more of them
///
/// `skep deploy --canary` or `--shadow` puts something on trial.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Promote {
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// This share of the requests, instead of all; it stays there, whatever further shares there were
    #[arg(long, value_name = "SHARE")]
    to: Option<Share>,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

/// Take back what is on trial
///
/// What it has begun comes to its end.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Abort {
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// Print what was on trial as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `skep promote`.
pub fn promote(arguments: &Promote) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    match arguments.to {
        Some(share) => change::show(
            client::set_share(&host, share),
            arguments.json,
            change::tried,
        ),
        None => change::show(client::promote(&host), arguments.json, change::changed),
    }
}

/// Runs `skep abort`.
pub fn abort(arguments: &Abort) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    change::show(client::abort(&host), arguments.json, aborted)
}

fn aborted(out: &mut dyn Write, tried: &Tried) -> std::io::Result<()> {
    for change in &tried.services {
        if let Some(revision) = change.to {
            let service = &change.service;
            writeln!(
                out,
                "{service}: revision {revision} is not on trial any more"
            )?;
        }
    }
    let generation = tried.generation;
    writeln!(out, "generation {generation} serves all requests")?;
    change::found(out, tried)
}
