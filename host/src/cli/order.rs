//! `skep restart`, `skep stop` and `skep start`: orders to a service of the running host.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use skep_core::name::ServiceName;

use super::host_options::HostOptions;
use super::{Exit, report};
use crate::control::{Order, client};

/// Restart a service of the running host
///
/// Requests under way come to their end first, within the service's stop-timeout. This is also
/// the way out of parked.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Restart {
    #[command(flatten)]
    target: Target,
}

/// Stop a service of the running host
///
/// Requests under way come to their end first, within the service's stop-timeout; new ones are
/// answered 503. It stays down until it is started, restarted or deployed, or the host starts anew.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Stop {
    #[command(flatten)]
    target: Target,
}

/// Start a service of the running host that is stopped or parked
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Start {
    #[command(flatten)]
    target: Target,
}

#[derive(Args, Debug)]
struct Target {
    /// The service
    #[arg(value_parser = |text: &str| ServiceName::parse(text).map_err(|e| e.to_string()))]
    service: ServiceName,
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// Print what was ordered as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `skep restart`.
pub fn restart(arguments: &Restart) -> Exit {
    give(&arguments.target, Order::Restart)
}

/// Runs `skep stop`.
pub fn stop(arguments: &Stop) -> Exit {
    give(&arguments.target, Order::Stop)
}

/// Runs `skep start`.
pub fn start(arguments: &Start) -> Exit {
    give(&arguments.target, Order::Start)
}

fn give(target: &Target, order: Order) -> Exit {
    let Some(host) = target.at.endpoint(&target.manifest) else {
        return Exit::Failed;
    };
    let service = &target.service;
    let given = match client::order(&host, service, order) {
        Ok(Some(given)) => given,
        Ok(None) => return report::no_service(service),
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let mut out = std::io::stdout().lock();
    let written = if target.json {
        report::json(&mut out, &given)
    } else {
        let done = match order {
            Order::Restart => "restarted",
            Order::Stop => "stopped",
            Order::Start => "started",
        };
        writeln!(out, "{service} is being {done}")
    };
    written.map_or(Exit::Failed, |()| Exit::Ok)
}
