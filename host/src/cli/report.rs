//! Shows people what is wrong: mistakes below the lines they are in, errors with their causes.

use std::io::{IsTerminal, Write};

use ariadne::{Config, IndexType, Label, Report, ReportKind};
use serde::Serialize;
use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;

use super::Exit;
use crate::deploy::{DeployError, Source};

/// Writes mistakes and warnings to standard error, each with file, line, column and the text.
pub fn mistakes(source: &Source, mistakes: &[Mistake], warnings: &[Mistake]) {
    let colour = colours(&std::io::stderr());
    let mut out = std::io::stderr().lock();
    for mistake in mistakes {
        draw(&mut out, source, mistake, ReportKind::Error, colour);
    }
    for warning in warnings {
        draw(&mut out, source, warning, ReportKind::Warning, colour);
    }
}

/// Whether whoever reads this sees colours.
pub fn colours(to: &impl IsTerminal) -> bool {
    let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    to.is_terminal() && !dumb && std::env::var_os("NO_COLOR").is_none()
}

fn draw(
    out: &mut impl Write,
    source: &Source,
    mistake: &Mistake,
    kind: ReportKind<'static>,
    colour: bool,
) {
    let file = source.path.display().to_string();
    let config = Config::default()
        .with_color(colour)
        .with_index_type(IndexType::Byte);
    // A place at the very end of the text has nothing to underline; show the last line.
    let end = mistake.span.end.min(source.text.len());
    let span = mistake.span.start.min(end)..end;
    let mut report = Report::build(kind, (&*file, span.clone()))
        .with_config(config)
        .with_code(&*mistake.code)
        .with_message(&mistake.message);
    // A label without a text would not be drawn at all.
    let text = if mistake.label.is_empty() {
        "here"
    } else {
        &mistake.label
    };
    report = report.with_label(Label::new((&*file, span)).with_message(text));
    if let Some(help) = &mistake.help {
        report = report.with_help(help);
    }
    let drawn = report
        .finish()
        .write((&*file, ariadne::Source::from(&source.text)), &mut *out);
    if drawn.is_err() {
        // Standard error is closed: there is nobody to tell.
    }
}

/// One line per mistake, for texts that nobody wrote (`skep serve` makes its own manifest).
pub fn plain(mistakes: &[Mistake], warnings: &[Mistake]) {
    let mut out = std::io::stderr().lock();
    for (kind, list) in [("error", mistakes), ("warning", warnings)] {
        for mistake in list {
            let _ = writeln!(out, "{kind}: {}", mistake.message);
            if let Some(help) = &mistake.help {
                let _ = writeln!(out, "  help: {help}");
            }
        }
    }
}

/// Shows why a manifest is not run, and says with what code to exit.
pub fn deploy_error(error: &DeployError, written_by_user: bool) -> Exit {
    match error {
        DeployError::Mistakes {
            source_text,
            mistakes: found,
            warnings,
        } => {
            if written_by_user {
                mistakes(source_text, found, warnings);
                summary(found.len(), warnings.len());
            } else {
                plain(found, warnings);
            }
            Exit::Mistakes
        }
        DeployError::Unreadable { .. }
        | DeployError::Component(_)
        | DeployError::NoService(_)
        | DeployError::NoRevision { .. } => {
            failure(error);
            Exit::Mistakes
        }
    }
}

/// `2 mistakes, 1 warning`
pub fn summary(mistakes: usize, warnings: usize) {
    let plural = |n: usize, one: &str| match n {
        1 => format!("1 {one}"),
        n => format!("{n} {one}s"),
    };
    let (mistakes, warnings) = (plural(mistakes, "mistake"), plural(warnings, "warning"));
    let _ = writeln!(std::io::stderr(), "{mistakes}, {warnings}");
}

/// Says that the host has no such service, and with what code to exit.
pub fn no_service(service: &ServiceName) -> Exit {
    let _ = writeln!(
        std::io::stderr(),
        "error: the host has no service `{service}`; `skep ps` lists them"
    );
    Exit::Failed
}

/// Writes what was asked for as JSON that people can read too.
///
/// # Errors
/// If it cannot be written.
pub fn json(out: &mut impl Write, value: &(impl Serialize + ?Sized)) -> std::io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, value)?;
    writeln!(out)
}

/// `error: what, caused by: why`
pub fn failure(error: &(dyn std::error::Error + 'static)) {
    let _ = writeln!(std::io::stderr(), "error: {}", crate::log::chain(error));
}
