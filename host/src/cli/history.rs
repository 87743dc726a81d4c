//! `skep history` and `skep events`: what served, and what happened.

use std::io::Write;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use clap::Args;
use skep_core::generation::Reason;
use skep_core::name::ServiceName;

use super::host_options::HostOptions;
use super::{Exit, report};
use crate::control::{ControlError, Endpoint, Past, Refused, client};
use crate::journal::Recorded;
use crate::log::rfc3339;

/// List the generations that served, the newest first
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct History {
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// At most so many
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Print them as JSON
    #[arg(long)]
    json: bool,
}

/// Show what happened: deploys, refusals, trials, crashes, services that were given up
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Events {
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// At most so many of the past
    #[arg(short = 'n', long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Go on with what happens next, until interrupted
    #[arg(short, long)]
    follow: bool,
    /// Print each as a line of JSON
    #[arg(long)]
    json: bool,
}

/// For how long one question waits for events.
const WAIT: Duration = Duration::from_secs(30);

/// Events of one answer while following.
const BATCH: usize = 100;

/// Runs `skep history`.
pub fn history(arguments: &History) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    // One more, to compare the last with.
    let asked = client::history(&host, usize::from(arguments.limit) + 1);
    let all = match answered(asked) {
        Ok(all) => all,
        Err(exit) => return exit,
    };
    let shown = all.len().min(usize::from(arguments.limit));
    let mut out = std::io::stdout().lock();
    let written = match arguments.json {
        true => report::json(&mut out, &all[..shown]),
        false => (0..shown).try_for_each(|at| generation(&mut out, &all[at], all.get(at + 1))),
    };
    written.map_or(Exit::Failed, |()| Exit::Ok)
}

fn generation(out: &mut impl Write, this: &Past, before: Option<&Past>) -> std::io::Result<()> {
    let number = this.generation;
    let active = if this.active { "  serves" } else { "" };
    writeln!(
        out,
        "{number:>5}  {}  {}{active}",
        time(this.made_ms),
        why(&this.reason)
    )?;
    let earlier = |name| before.and_then(|before| before.services.get(name));
    for (name, now) in &this.services {
        match earlier(name) {
            Some(then) if then == now => {}
            Some(then) => writeln!(
                out,
                "       {name}: revision {} → {}, {}",
                then.revision, now.revision, now.component
            )?,
            // Without the one before, nothing is known to be new.
            None if before.is_none() => writeln!(out, "       {name}: revision {}", now.revision)?,
            None => writeln!(
                out,
                "       {name}: new, revision {}, {}",
                now.revision, now.component
            )?,
        }
    }
    let gone = before.iter().flat_map(|before| before.services.keys());
    for name in gone.filter(|name| !this.services.contains_key(*name)) {
        writeln!(out, "       {name}: removed")?;
    }
    Ok(())
}

fn why(reason: &Reason) -> String {
    match reason {
        Reason::Start => "start".to_owned(),
        Reason::Apply => "apply".to_owned(),
        Reason::Deploy { service } => format!("deploy of {service}"),
        Reason::DeployTogether { services } => {
            let names: Vec<&str> = services.iter().map(ServiceName::as_str).collect();
            format!("deploy of {}", names.join(", "))
        }
        Reason::Rollback { service, because } => format!("rollback of {service}: {because}"),
        Reason::Restore {
            generation,
            because,
        } => format!("back to generation {generation}: {because}"),
    }
}

/// Runs `skep events`.
pub fn events(arguments: &Events) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    let latest = client::events(&host, None, arguments.limit.into(), Duration::ZERO);
    let mut seen = match answered(latest) {
        Ok(latest) => match show(&latest, arguments.json) {
            Ok(last) => last.unwrap_or(0),
            Err(_) => return Exit::Failed,
        },
        Err(exit) => return exit,
    };
    if !arguments.follow {
        return Exit::Ok;
    }
    loop {
        match follow(&host, seen, arguments.json) {
            Ok(last) => seen = last,
            Err(exit) => return exit,
        }
    }
}

fn follow(host: &Endpoint, seen: u64, json: bool) -> Result<u64, Exit> {
    let next = answered(client::events(host, Some(seen), BATCH, WAIT))?;
    let last = show(&next, json).map_err(|_| Exit::Failed)?;
    Ok(last.unwrap_or(seen))
}

/// Prints events, and answers the number of the last.
fn show(events: &[Recorded], json: bool) -> std::io::Result<Option<u64>> {
    let mut out = std::io::stdout().lock();
    for recorded in events {
        if json {
            serde_json::to_writer(&mut out, recorded)?;
            writeln!(out)?;
            continue;
        }
        let event = &recorded.event;
        // A guest may have had a word in it.
        let text = event.text.replace(char::is_control, " ");
        writeln!(out, "{}  {:11}  {text}", time(event.time_ms), event.kind)?;
    }
    out.flush()?;
    Ok(events.last().map(|last| last.sequence))
}

fn answered<T>(asked: Result<Result<T, Refused>, ControlError>) -> Result<T, Exit> {
    match asked {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(refused)) => {
            let _ = writeln!(std::io::stderr(), "error: {}", refused.detail);
            Err(Exit::Failed)
        }
        Err(error) => {
            report::failure(&error);
            Err(Exit::Failed)
        }
    }
}

fn time(ms: u64) -> impl std::fmt::Display {
    rfc3339(SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
}
