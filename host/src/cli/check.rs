//! `skep check`: everything that can be known of an application without starting it.

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{Exit, report};
use crate::artifact::{CacheSettings, CompileIn};
use crate::deploy::{self, Runs};
use crate::host::{self, StartError};
use crate::log::{Destination, LogFormat, Sink};

/// Check a manifest and its components; starts nothing
///
/// Finds every mistake at once: in the manifest itself, in components that cannot be read, in
/// imports that nobody provides or that are not granted, in links whose two ends differ, in routes
/// that contradict each other.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Check {
    /// The manifest
    #[arg(default_value = "skep.toml")]
    manifest: PathBuf,
    /// Do not compile the components (quicker, but finds no mistakes in their code)
    #[arg(long)]
    no_compile: bool,
    /// Take warnings for mistakes
    #[arg(long)]
    strict: bool,
    /// Print the findings as JSON
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(arguments: &Check) -> Exit {
    let application = match deploy::read(&arguments.manifest) {
        Ok(application) => application,
        Err(deploy::DeployError::Mistakes {
            source_text,
            mistakes,
            warnings,
        }) if arguments.json => {
            return json(&source_text, &mistakes, &warnings, arguments.strict);
        }
        Err(error) => return report::deploy_error(&error, true),
    };
    let mut mistakes = Vec::new();
    if !arguments.no_compile {
        let sink = match Sink::open(&Destination::Stderr, LogFormat::Auto) {
            Ok(sink) => sink,
            Err(error) => {
                report::failure(&error);
                return Exit::Failed;
            }
        };
        match host::try_build(&application, cache(&application), &sink) {
            Ok(()) => {}
            Err(StartError::Mistakes(found)) => mistakes = found,
            Err(error) => {
                report::failure(&error);
                return Exit::Failed;
            }
        }
    }
    let (source, warnings) = (&application.source, &application.warnings);
    if arguments.json {
        return json(source, &mistakes, warnings, arguments.strict);
    }
    report::mistakes(source, &mistakes, warnings);
    if !mistakes.is_empty() || (arguments.strict && !warnings.is_empty()) {
        report::summary(mistakes.len(), warnings.len());
        return Exit::Mistakes;
    }
    let workers = application
        .parts
        .values()
        .filter(|part| part.role == Runs::Worker)
        .count();
    let _ = writeln!(
        std::io::stdout(),
        "{} is fine: {} services ({workers} of them workers), {} routes, {} links, {} warnings",
        arguments.manifest.display(),
        application.parts.len(),
        application.manifest.routes.len(),
        application.links.iter().count(),
        warnings.len(),
    );
    Exit::Ok
}

/// Where the application's compiled code is kept.
pub(super) fn cache(application: &deploy::Application) -> CacheSettings {
    let written = application.manifest.host.cache.as_ref();
    let directory = written.map(|cache| deploy::resolve(&application.source, &cache.value));
    CacheSettings {
        directory,
        ..CacheSettings::new(CompileIn::own_executable())
    }
}

fn json(
    source: &deploy::Source,
    mistakes: &[skep_core::manifest::Mistake],
    warnings: &[skep_core::manifest::Mistake],
    strict: bool,
) -> Exit {
    let row = |severity: &str, mistake: &skep_core::manifest::Mistake| {
        let (line, column) = place(&source.text, mistake.span.start);
        serde_json::json!({
            "severity": severity,
            "code": mistake.code,
            "file": source.path,
            "line": line,
            "column": column,
            "text": source.text.get(mistake.span.clone()).unwrap_or_default(),
            "message": mistake.message,
            "help": mistake.help,
        })
    };
    let rows: Vec<_> = mistakes
        .iter()
        .map(|mistake| row("error", mistake))
        .chain(warnings.iter().map(|warning| row("warning", warning)))
        .collect();
    let _ = writeln!(std::io::stdout(), "{}", serde_json::Value::from(rows));
    let wrong = !mistakes.is_empty() || (strict && !warnings.is_empty());
    if wrong { Exit::Mistakes } else { Exit::Ok }
}

/// Line and column, counted from 1, in characters.
fn place(text: &str, offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
    let start = before.rfind('\n').map_or(0, |newline| newline + 1);
    (line, before[start..].chars().count() + 1)
}
