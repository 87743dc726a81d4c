//! `skep apply`: makes what the manifest says what runs.

use std::path::PathBuf;

use clap::Args;

use super::{Exit, change, report};
use crate::control::{self, Apply};
use crate::{deploy, host};

/// Apply the manifest to the running host, whole or not at all
///
/// Services are added, replaced and removed, and routes, links, limits and grants changed, by one
/// switch: no request sees a part of it. What is new is proved first, as a deploy is.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Arguments {
    /// The manifest
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    /// Only if this generation serves; `skep ps --json` says which
    #[arg(long, value_name = "GENERATION")]
    if_generation: Option<u64>,
    /// Print what came of it as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    // Mistakes are told of here, with the path as it was written.
    let application = match deploy::read(&arguments.manifest) {
        Ok(application) => application,
        Err(error) => return report::deploy_error(&error, true),
    };
    report::mistakes(&application.source, &[], &application.warnings);
    let socket = host::control_socket(&application);
    let manifest = match std::path::absolute(&arguments.manifest) {
        Ok(manifest) => manifest,
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let changed = control::apply_manifest(&socket, &Apply { manifest }, arguments.if_generation);
    change::show(changed, arguments.json)
}
