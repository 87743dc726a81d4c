//! `skep doctor`: which languages services can be written in on this machine, and what is missing.

use std::io::Write;

use clap::Args;

use super::{Exit, report};
use crate::language::Language;
use crate::language::tools::{self, Diagnosis};

/// Say in which languages services can be built here, and what to install for the others
///
/// Runs the tools to hear their versions, and installs nothing.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Doctor {
    /// Only these languages; it is then an error if one cannot be built
    #[arg(value_enum)]
    languages: Vec<Language>,
    /// Print it as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Doctor) -> Exit {
    let languages = match &*arguments.languages {
        [] => &Language::ALL[..],
        named => named,
    };
    let found: Vec<Diagnosis> = languages.iter().copied().map(tools::diagnose).collect();
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let _ = report::json(&mut out, &found);
    } else {
        for diagnosis in &found {
            let _ = show(&mut out, diagnosis);
        }
    }
    let asked = !arguments.languages.is_empty();
    match asked && found.iter().any(|diagnosis| !diagnosis.ready) {
        true => Exit::Failed,
        false => Exit::Ok,
    }
}

fn show(out: &mut impl Write, diagnosis: &Diagnosis) -> std::io::Result<()> {
    let ready = if diagnosis.ready {
        "ready"
    } else {
        "not ready"
    };
    writeln!(out, "{}: {ready}", diagnosis.language.title())?;
    for tool in &diagnosis.tools {
        let (name, does, wanted) = (&tool.name, &tool.does, &tool.wanted);
        match (&tool.remedy, &tool.found) {
            (Some(remedy), Some(found)) => {
                writeln!(
                    out,
                    "  ✗ {name} {does}: {found} is there, {wanted} is wanted"
                )?;
                writeln!(out, "    {remedy}")?;
            }
            (Some(remedy), None) => {
                writeln!(out, "  ✗ {name} {does}: missing")?;
                writeln!(out, "    {remedy}")?;
            }
            (None, Some(found)) => writeln!(out, "  ✓ {name} {found}")?,
            (None, None) => writeln!(out, "  ✓ {name} {wanted} comes with `npm install`")?,
        }
    }
    Ok(())
}
