//! `skep shadow`: how a component that gets copies of what a service is asked answers them.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use skep_core::name::ServiceName;
use skep_core::shadow::{Counts, Found, Report, Took, What};

use super::host_options::HostOptions;
use super::{Exit, report};
use crate::control::client;

/// Show how what gets copies of a service's calls answers them
///
/// `skep deploy --shadow` puts something there; `skep promote` lets it serve, `skep abort` ends it.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Shadow {
    /// The service
    #[arg(value_parser = |text: &str| ServiceName::parse(text).map_err(|e| e.to_string()))]
    service: ServiceName,
    /// The manifest that the host was started with
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `skep shadow`.
pub fn run(arguments: &Shadow) -> Exit {
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    let service = &arguments.service;
    let found = match client::shadow_report(&host, service) {
        Ok(Some(found)) => found,
        Ok(None) => {
            let mut stderr = std::io::stderr().lock();
            let _ = writeln!(
                stderr,
                "error: nothing gets copies of what `{service}` is asked; `skep deploy --shadow` sees to that"
            );
            return Exit::Failed;
        }
        Err(error) => {
            report::failure(&error);
            return Exit::Failed;
        }
    };
    let mut out = std::io::stdout().lock();
    let written = match arguments.json {
        true => report::json(&mut out, &found),
        false => show(&mut out, &found),
    };
    written.map_or(Exit::Failed, |()| Exit::Ok)
}

/// A report for people.
pub(super) fn show(out: &mut dyn Write, report: &Report) -> std::io::Result<()> {
    let Report {
        service,
        active,
        candidate,
        share,
        counts,
        ..
    } = report;
    writeln!(
        out,
        "{service}: revision {candidate} gets copies of {share} of what revision {active} is asked"
    )?;
    let Counts {
        compared,
        same,
        different,
        not_compared,
        not_idempotent,
        not_to_be_had,
        busy,
    } = *counts;
    writeln!(
        out,
        "{compared} compared: {same} answered alike, {different} differently"
    )?;
    for (count, what) in [
        (
            not_compared,
            "copied and not compared: turned away, or the client went before the end",
        ),
        (
            not_idempotent,
            "not copied: they may not be made twice (`idempotent` in [link.CALLER.CALLEE], --writes)",
        ),
        (
            not_to_be_had,
            "not copied: their bodies were not whole, or they have handles or streams",
        ),
        (
            busy,
            "not copied: too many copies were under way (a smaller share has fewer)",
        ),
    ] {
        if count > 0 {
            writeln!(out, "{count} {what}")?;
        }
    }
    if let (Some(active), Some(candidate)) = (report.active_took, report.candidate_took) {
        let ms = |Took { p50_ms, p99_ms }| format!("p50 {p50_ms:.1} ms, p99 {p99_ms:.1} ms");
        let (active, candidate) = (ms(active), ms(candidate));
        writeln!(out, "took: {active}; the candidate {candidate}")?;
    }
    for found in &report.differences {
        writeln!(out)?;
        difference(out, found)?;
    }
    if report.others > 0 {
        writeln!(out, "\n{} differences of yet other kinds", report.others)?;
    }
    Ok(())
}

fn difference(out: &mut dyn Write, found: &Found) -> std::io::Result<()> {
    let Found {
        place,
        what,
        count,
        example,
    } = found;
    let what = match what {
        What::Status { active, candidate } => format!("status {active}, the candidate {candidate}"),
        What::Field { name } => format!("field {name}"),
        What::Body { at: Some(at) } => format!("body at {at}"),
        What::Body { at: None } => "body".to_owned(),
        What::Results => "results".to_owned(),
        What::Failure {
            active: None,
            candidate: Some(why),
        } => format!("the candidate fails: {why}"),
        What::Failure {
            active: Some(why),
            candidate: None,
        } => format!("only the active fails: {why}"),
        What::Failure { .. } => "both fail, each in its way".to_owned(),
        What::Others => "yet other ways".to_owned(),
    };
    writeln!(out, "{count} × {place}: {what}")?;
    if let Some(request) = &example.request {
        writeln!(out, "    request    {request}")?;
    }
    writeln!(out, "    active     {}", example.active)?;
    writeln!(out, "    candidate  {}", example.candidate)
}
