//! `skep deploy`: gives a service of the running host another component.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use skep_core::duration;
use skep_core::name::ServiceName;
use skep_core::rollout::{Share, Steps};

use super::host_options::HostOptions;
use super::progress::Progress;
use super::{Exit, change, report};
use crate::artifact::Artifact;
use crate::control::{Copies, Pause, Trial, client};
use crate::sticky::Sticky;

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
    #[command(flatten)]
    at: HostOptions,
    /// Let it serve this share of the requests first: `5%`. With several, `5%,25%,100%`, it goes on to
    /// the next after each pause, and serves all with the last. Whatever it does worse than what serves
    /// the others, it is taken back
    #[arg(long, value_name = "SHARES")]
    canary: Option<Steps>,
    /// Between two shares: `30s`, `5m`. Default: 60s
    #[arg(long, requires = "canary", value_parser = duration::parse)]
    pause: Option<Duration>,
    /// Decide by the client instead of by the request: `header:NAME` or `cookie:NAME`
    #[arg(long, requires = "canary")]
    sticky: Option<Sticky>,
    /// Let it answer copies of what the service is asked, all or that part of them, of which nobody notices:
    /// its answers are compared with those that were given, and dropped. `skep shadow` shows what has been
    /// found
    #[arg(
        long,
        value_name = "SHARE",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "100%",
        conflicts_with = "canary"
    )]
    shadow: Option<Share>,
    /// Copy PUT and DELETE requests, too: they may be made twice, but not in another order
    #[arg(long, requires = "shadow")]
    writes: bool,
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
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    let (service, expected) = (&arguments.service, arguments.if_generation);
    let progress = Progress::start("deploying", arguments.json);
    if let Some(share) = arguments.shadow {
        let copies = Copies {
            share,
            writes: arguments.writes,
            lose_state: arguments.yes,
        };
        let tried = client::shadow(&host, service, bytes, &copies, expected);
        drop(progress);
        return change::show(tried, arguments.json, change::tried);
    }
    let Some(steps) = &arguments.canary else {
        let told = |step| progress.tell(step);
        let changed = client::deploy(&host, service, bytes, arguments.yes, expected, &told);
        drop(progress);
        return change::show(changed, arguments.json, change::changed);
    };
    let trial = Trial {
        steps: steps.shares().to_vec(),
        pause: arguments.pause.map(Pause),
        sticky: arguments.sticky.clone(),
    };
    let tried = client::try_out(&host, service, bytes, &trial, expected);
    drop(progress);
    change::show(tried, arguments.json, change::tried)
}
