//! `skep ps`: how the services of the running host stand.

use std::io::Write;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use skep_core::lifecycle::Phase;
use skep_core::status::{Candidate, HostStatus, MemoryPressure, ServiceStatus};

use super::host_options::HostOptions;
use super::{Exit, report};
use crate::control::client;

/// List the services of the running host
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Ps {
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// Print the listing as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Ps) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    let status = match client::status(&host) {
        Ok(status) => status,
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let mut out = std::io::stdout().lock();
    let written = if arguments.json {
        report::json(&mut out, &status)
    } else {
        table(&mut out, &status)
    };
    if written.is_err() {
        Exit::Failed
    } else {
        Exit::Ok
    }
}

fn table(out: &mut impl Write, status: &HostStatus) -> std::io::Result<()> {
    let name = status
        .services
        .iter()
        .map(|row| row.service.as_str().len())
        .max()
        .unwrap_or(0);
    let name = name.max("SERVICE".len());
    writeln!(
        out,
        "{:name$}  {:11}  {:>8}  {:>3}  {:>4}  {:>9}  {:>7}  {:>10}  CAUSE",
        "SERVICE", "PHASE", "SINCE", "REV", "BUSY", "MEMORY", "CRASHES", "ANSWERED"
    )?;
    for row in &status.services {
        let since = Duration::from_millis(status.now_ms).saturating_sub(row.phase.since());
        writeln!(
            out,
            "{:name$}  {:11}  {:>8}  {:>3}  {:>4}  {:>7}KiB  {:>7}  {:>10}  {}",
            row.service.as_str(),
            row.phase.name(),
            short(since),
            row.revision,
            row.in_flight,
            row.memory_bytes / 1024,
            row.crashes,
            row.calls,
            cause(row),
        )?;
        if let Some(Candidate { revision, exposure }) = &row.candidate {
            writeln!(
                out,
                "{:name$}  revision {revision} is on trial with {exposure}",
                ""
            )?;
        }
    }
    match status.memory_pressure {
        MemoryPressure::None => Ok(()),
        MemoryPressure::Guests => writeln!(
            out,
            "guests hold {} of {} MiB: services with more than their share get no new requests",
            status.memory_bytes >> 20,
            status.memory_limit_bytes >> 20,
        ),
        MemoryPressure::Machine => writeln!(
            out,
            "the machine has {} MiB left, less than `host.memory-reserve`: there are no new requests",
            status.available_bytes >> 20,
        ),
    }
}

fn cause(row: &ServiceStatus) -> String {
    let cause = row
        .cause()
        .unwrap_or_default()
        .replace(char::is_control, " ");
    match &row.phase {
        Phase::BackingOff { attempt, .. } => format!("attempt {attempt}: {cause}"),
        _ => cause,
    }
}

fn short(duration: Duration) -> String {
    let seconds = duration.as_secs();
    match seconds {
        0..=59 => format!("{seconds}s"),
        60..=3599 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        _ => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
