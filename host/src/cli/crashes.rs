//! `skep crashes`: what is known of the latest crashes of the running host's services.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use skep_core::name::ServiceName;
use skep_core::status::{CrashReport, Crashes as OfService};

use super::host_options::HostOptions;
use super::{Exit, report};
use crate::control::client;

/// Show the latest crashes of the running host's services
///
/// When, in which instance, for which requests, with the guest's stack, memory, CPU time, and the
/// last lines that it printed.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Crashes {
    /// Only this service's
    #[arg(value_parser = |text: &str| ServiceName::parse(text).map_err(|e| e.to_string()))]
    service: Option<ServiceName>,
    /// The manifest that the host was started with
    #[arg(long, default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Crashes) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    let found = match client::crashes(&host, arguments.service.as_ref()) {
        Ok(Some(found)) => found,
        // Of all services there are always some, if only none.
        Ok(None) => {
            return arguments
                .service
                .as_ref()
                .map_or(Exit::Failed, report::no_service);
        }
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let mut out = std::io::stdout().lock();
    let written = if arguments.json {
        report::json(&mut out, &found)
    } else {
        readable(&mut out, &found)
    };
    if written.is_err() {
        Exit::Failed
    } else {
        Exit::Ok
    }
}

fn readable(out: &mut impl Write, found: &[OfService]) -> std::io::Result<()> {
    let mut none = true;
    for of in found {
        for crash in &of.crashes {
            none = false;
            one(out, of.service.as_str(), crash)?;
        }
        let shown = of.crashes.len() as u64;
        if of.total > shown {
            let gone = of.total - shown;
            writeln!(out, "{}: {gone} older crashes are not kept\n", of.service)?;
        }
    }
    if none {
        writeln!(out, "no crashes")?;
    }
    Ok(())
}

fn one(out: &mut impl Write, service: &str, crash: &CrashReport) -> std::io::Result<()> {
    let instance = crash
        .instance
        .map_or_else(|| "-".to_owned(), |number| number.to_string());
    let trap = crash
        .trap
        .as_ref()
        .map_or_else(String::new, |trap| format!(" ({trap})"));
    writeln!(
        out,
        "{service} crash {} at {}: {}{trap}",
        crash.number, crash.time, crash.failure
    )?;
    writeln!(out, "  {}", plain(&crash.message))?;
    let memory = crash
        .memory_bytes
        .map_or_else(|| "-".to_owned(), |bytes| format!("{} KiB", bytes / 1024));
    let (ms, us) = (crash.cpu_us / 1000, crash.cpu_us % 1000);
    writeln!(
        out,
        "  revision {}, instance {instance}, memory {memory}, cpu {ms}.{us:03} ms",
        crash.revision
    )?;
    if let Some(path) = &crash.core_dump {
        writeln!(out, "  core dump {}", plain(path))?;
    }
    for request in &crash.requests {
        let route = request
            .route
            .as_ref()
            .map_or_else(String::new, |r| format!(", route {r}"));
        writeln!(
            out,
            "  request {}: {} {}{route}",
            plain(&request.id),
            plain(&request.method),
            plain(&request.path)
        )?;
    }
    for (number, frame) in crash.frames.iter().enumerate() {
        writeln!(out, "  {number:>3}: {}", plain(frame))?;
    }
    if crash.omitted_frames > 0 {
        writeln!(out, "       … and {} more", crash.omitted_frames)?;
    }
    for line in &crash.log {
        writeln!(out, "  {} | {}", line.stream, plain(&line.text))?;
    }
    writeln!(out)
}

/// What a guest or a client chose must not steer the terminal of who reads it.
fn plain(text: &str) -> String {
    text.replace(char::is_control, " ")
}
