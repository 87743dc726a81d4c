//! `skep restart`: starts a service of the running host anew, also one that is parked.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use skep_core::name::ServiceName;

use super::{Exit, report};
use crate::{control, host};

/// Restart a service of the running host
///
/// Requests under way come to their end first, within the service's stop-timeout. This is also
/// the way out of parked.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Restart {
    /// The service
    #[arg(value_parser = |text: &str| ServiceName::parse(text).map_err(|e| e.to_string()))]
    service: ServiceName,
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
}

/// Runs the command.
pub fn run(arguments: &Restart) -> Exit {
    let socket = host::control_socket_of(&arguments.manifest);
    match control::restart(&socket, &arguments.service) {
        Ok(true) => {
            let _ = writeln!(
                std::io::stdout(),
                "{} is being restarted",
                arguments.service
            );
            Exit::Ok
        }
        Ok(false) => {
            let _ = writeln!(
                std::io::stderr(),
                "error: the host has no service `{}`; `skep ps` lists them",
                arguments.service
            );
            Exit::Failed
        }
        Err(error) => {
            report::failure(&error);
            Exit::Failed
        }
    }
}
