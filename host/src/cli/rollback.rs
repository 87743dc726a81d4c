//! `skep rollback`: goes back to an earlier revision of a service.

use std::path::PathBuf;

use clap::Args;
use skep_core::name::ServiceName;

use super::host_options::HostOptions;
use super::progress::Progress;
use super::{Exit, change};
use crate::control::{Rollback, client};

/// Go back to an earlier revision of a service of the running host
///
/// It is checked and proved as a deploy is. The revision before the present one is kept warm, so
/// that going back to it takes no start.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Arguments {
    /// The service
    #[arg(value_parser = |text: &str| ServiceName::parse(text).map_err(|e| e.to_string()))]
    service: ServiceName,
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// The revision; absent: the one before
    #[arg(long)]
    to: Option<u32>,
    /// Even if what the service keeps in memory is lost, because it cannot be handed over
    #[arg(long, short)]
    yes: bool,
    /// Only if this generation serves; `skep ps --json` says which
    #[arg(long, value_name = "GENERATION")]
    if_generation: Option<u64>,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    let asked = Rollback {
        revision: arguments.to,
        lose_state: arguments.yes,
    };
    let progress = Progress::start("rolling back", arguments.json);
    let (service, expected) = (&arguments.service, arguments.if_generation);
    let told = |step| progress.tell(step);
    let changed = client::rollback(&host, service, &asked, expected, &told);
    drop(progress);
    change::show(changed, arguments.json, change::changed)
}
