//! `skep deploy`: gives a service of the running host another component.

use std::path::PathBuf;

use clap::Args;
use skep_core::name::ServiceName;

use super::progress::Progress;
use super::{Exit, change, report};
use crate::artifact::Artifact;
use crate::control::client;
use crate::host;

/// Deploy another component for a service of the running host
///
/// The component is checked against all that calls it and all that it calls, compiled, started
/// beside what serves and asked whether it is well; only then do new requests go to it. What is
/// under way ends where it began. If anything is wrong with it, nothing changes.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Deploy {
    /// The service
    #[arg(value_parser = |text: &str| ServiceName::parse(text).map_err(|e| e.to_string()))]
    service: ServiceName,
    /// The component
    component: PathBuf,
    /// The manifest that the host was started with
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
pub fn run(arguments: &Deploy) -> Exit {
    // Whatever is no component is told of here, with the path as it was written.
    let bytes = Artifact::load(&arguments.component).and_then(|artifact| artifact.bytes());
    let bytes = match bytes {
        Ok(bytes) => bytes.to_vec(),
        Err(error) => {
            report::failure(&error);
            return Exit::Mistakes;
        }
    };
    let socket = host::control_socket_of(&arguments.manifest);
    let (service, expected) = (&arguments.service, arguments.if_generation);
    let progress = Progress::start("deploying: checking, building, proving");
    let changed = client::deploy(&socket, service, bytes, expected);
    drop(progress);
    change::show(changed, arguments.json)
}
