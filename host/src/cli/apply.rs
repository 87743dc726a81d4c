//! `skep apply`: makes what the manifest says what runs.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use skep_core::plan::{Plan, Tone};

use super::host_options::HostOptions;
use super::progress::Progress;
use super::{Exit, change, report};
use crate::control::{Apply, client};
use crate::deploy;
use crate::deploy::Changed;

/// Apply the manifest to the running host, whole or not at all
///
/// Shows what will change and, on a terminal, asks. Services are added, replaced and removed, and
/// routes, links, limits and grants changed, by one switch: no request sees a part of it. What is new
/// is proved first, as a deploy is. If somebody else changes something after the plan was shown,
/// nothing is done.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Arguments {
    /// The manifest; with --host, as that host finds it on its own machine
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    #[command(flatten)]
    at: HostOptions,
    /// Show what would change, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask, and go on even if what a service keeps in memory is lost, because it cannot be handed over
    #[arg(long, short)]
    yes: bool,
    /// Only if this generation serves; `skep ps --json` says which. Default: the one that the plan was
    /// made for
    #[arg(long, value_name = "GENERATION")]
    if_generation: Option<u64>,
    /// Print what came of it as JSON; with --dry-run the plan
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> Exit {
    let manifest = match &arguments.at {
        // It is the other machine's file.
        at if at.is_remote() => arguments.manifest.clone(),
        _ => match read(&arguments.manifest) {
            Ok(manifest) => manifest,
            Err(exit) => return exit,
        },
    };
    let Some(host) = arguments.at.endpoint(&arguments.manifest) else {
        return Exit::Failed;
    };
    let asked = Apply {
        manifest,
        lose_state: arguments.yes,
    };
    let planned = match client::plan(&host, &asked) {
        Ok(Ok(planned)) => planned,
        Ok(Err(refused)) => return change::show(Ok(Err(refused)), arguments.json, change::changed),
        Err(error) => return change::show(Err(error), arguments.json, change::changed),
    };
    let mut out = std::io::stdout().lock();
    let shown = match (arguments.json, arguments.dry_run) {
        (true, true) => report::json(&mut out, &planned),
        (true, false) => Ok(()),
        (false, _) => show(&mut out, &planned.plan, report::colours(&std::io::stdout())),
    };
    drop(out);
    if shown.is_err() {
        return Exit::Failed;
    }
    if arguments.dry_run {
        return Exit::Ok;
    }
    let expected = arguments.if_generation.unwrap_or(planned.generation);
    if planned.plan.is_empty() && expected == planned.generation {
        let nothing = Changed {
            generation: planned.generation,
            services: Vec::new(),
            contract: Vec::new(),
            took_ms: 0,
        };
        return match arguments.json {
            true => change::show(Ok(Ok(nothing)), true, change::changed),
            false => Exit::Ok,
        };
    }
    if !arguments.yes && !agreed() {
        let _ = writeln!(std::io::stderr(), "nothing was changed");
        return Exit::Failed;
    }
    let progress = Progress::start("applying", arguments.json);
    let told = |step| progress.tell(step);
    let changed = client::apply(&host, &asked, Some(expected), &told);
    drop(progress);
    change::show(changed, arguments.json, change::changed)
}

/// Its mistakes are told of here, with the path as it was written. Answers that for the host, which may have
/// another working directory.
fn read(manifest: &Path) -> Result<PathBuf, Exit> {
    let application = deploy::read(manifest).map_err(|error| report::deploy_error(&error, true))?;
    report::mistakes(&application.source, &[], &application.warnings);
    std::path::absolute(manifest).map_err(|error| {
        report::failure(&error);
        Exit::Failed
    })
}

/// Shows what will change; shared with `skep dev`.
pub(super) fn show(out: &mut impl Write, plan: &Plan, colours: bool) -> std::io::Result<()> {
    for line in plan.lines() {
        let colour = match line.tone {
            _ if !colours => "",
            Tone::Add => "\x1b[32m",
            Tone::Change => "\x1b[33m",
            Tone::Remove => "\x1b[31m",
            Tone::Plain => "",
        };
        let end = if colour.is_empty() { "" } else { "\x1b[0m" };
        writeln!(out, "{colour}{}{end}", line.text)?;
    }
    Ok(())
}

/// Asks whoever is there; where nobody is, what was ordered is meant.
fn agreed() -> bool {
    let (stdin, mut stderr) = (std::io::stdin(), std::io::stderr());
    if !stdin.is_terminal() || !stderr.is_terminal() {
        return true;
    }
    let mut answer = String::new();
    let asked = write!(stderr, "Apply this? [y/N] ").and_then(|()| stderr.flush());
    let read = asked.and_then(|()| stdin.lock().read_line(&mut answer));
    read.is_ok() && matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes")
}
