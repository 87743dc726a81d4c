//! `skep inspect COMPONENT`: what a component is, whether Skep could run it, and what it would
//! need granted. Starts nothing and compiles nothing.

use std::io::{self, Write};
use std::path::PathBuf;

use serde::Serialize;

use crate::artifact::{
    Artifact, ArtifactError, Description, GrantNeeded, Item, ItemKind, Need, Role, required_grants,
};

/// What to inspect and how to say it.
#[derive(Clone, Debug, clap::Args)]
pub struct Inspect {
    /// The component, a `.wasm` file; with `--app` a manifest
    #[arg(value_name = "FILE")]
    pub component: PathBuf,

    /// Show the application of a manifest: its services, routes and links, as `skep graph` does
    #[arg(long, conflicts_with = "all")]
    pub app: bool,

    /// Print one JSON object instead
    #[arg(long)]
    pub json: bool,

    /// Print the definitions of the standard `wasi:` packages too
    #[arg(long)]
    pub all: bool,
}

/// What `--json` prints. Fields may be added, never changed.
#[derive(Debug, Serialize)]
struct Report<'a> {
    path: String,
    digest: String,
    /// Bytes.
    size: u64,
    runnable: bool,
    /// Why not, if it is not.
    reason: Option<String>,
    #[serde(flatten)]
    description: &'a Description,
    grants: Vec<GrantNeeded>,
    /// The world, or null if WIT cannot say it.
    wit: Option<String>,
}

/// Could not be inspected.
#[derive(Debug, thiserror::Error)]
pub enum InspectError {
    /// It is not a component.
    #[error(transparent)]
    Artifact(#[from] ArtifactError),
    /// What was found cannot be printed.
    #[error("cannot print what was found: {0}")]
    Print(#[from] io::Error),
}

/// Prints to `out`. Blocking: reads and checks the whole file.
///
/// # Errors
/// If the file is no valid component. That it is one which Skep cannot run is no error.
pub fn run(inspect: &Inspect, out: &mut impl Write) -> Result<(), InspectError> {
    let artifact = Artifact::load(&inspect.component)?;
    artifact.validate()?;
    let grants = required_grants(artifact.description());
    let refusal = refusal(artifact.description(), &grants);
    let wit = artifact.wit(inspect.all);
    if inspect.json {
        let report = Report {
            path: artifact.path().display().to_string(),
            digest: artifact.digest().to_string(),
            size: artifact.size(),
            runnable: refusal.is_none(),
            reason: refusal,
            description: artifact.description(),
            grants,
            wit: wit.ok(),
        };
        serde_json::to_writer_pretty(&mut *out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        print(&artifact, &grants, refusal.as_deref(), &wit, out)?;
    }
    out.flush()?;
    Ok(())
}

/// Why Skep could not run it; absent if it could, given the grants.
fn refusal(description: &Description, grants: &[GrantNeeded]) -> Option<String> {
    if let Some(unreleased) = unreleased_handler(description) {
        return Some(format!(
            "it exports {unreleased}, a version that Skep does not run; rebuild it against a \
             released one: wasi:http/incoming-handler@0.2.x, wasi:http/handler@0.3.x or \
             wasi:cli/run@0.2.x"
        ));
    }
    let calls = |item: &Item| item.kind == ItemKind::Interface && !item.functions.is_empty();
    if description.role == Role::Library && !description.exports.iter().any(calls) {
        return Some("it exports nothing that could be called".to_owned());
    }
    let missing: Vec<_> = grants
        .iter()
        .filter(|grant| matches!(grant.need, Need::Missing { .. }) && !grant.may_be_linked())
        .map(|grant| grant.import.as_str())
        .collect();
    if missing.is_empty() {
        None
    } else {
        Some(format!("nothing provides {}", missing.join(", ")))
    }
}

/// An export that would make it a handler or a worker, were it of another version.
fn unreleased_handler(description: &Description) -> Option<&str> {
    const STARTED: [&str; 3] = [
        "wasi:http/incoming-handler",
        "wasi:http/handler",
        "wasi:cli/run",
    ];
    if description.role != Role::Library {
        return None;
    }
    STARTED
        .iter()
        .find_map(|interface| description.export(interface))
        .map(|item| item.name.as_str())
}

fn print(
    artifact: &Artifact,
    grants: &[GrantNeeded],
    refusal: Option<&str>,
    wit: &Result<String, String>,
    out: &mut impl Write,
) -> io::Result<()> {
    let description = artifact.description();
    writeln!(out, "component  {}", artifact.path().display())?;
    if let Some(name) = &description.name {
        writeln!(out, "name       {}", printable(name))?;
    }
    writeln!(out, "digest     sha256:{}", artifact.digest())?;
    print_sizes(description, out)?;
    print_producers(description, out)?;
    writeln!(out, "role       {}", description.role.text())?;
    writeln!(out, "runs       {}", verdict(description, grants, refusal))?;

    writeln!(out, "\nimports")?;
    print_imports(grants, out)?;
    writeln!(out, "\nexports")?;
    print_exports(&description.exports, out)?;
    let examples = examples(grants);
    if !examples.is_empty() {
        writeln!(out, "\nin skep.toml, under its [service.NAME]")?;
        for (example, required) in examples {
            let why = if required {
                "needed"
            } else {
                "if it is to have any"
            };
            writeln!(out, "  {example}   # {why}")?;
        }
    }
    match wit {
        Ok(wit) => {
            writeln!(out, "\nworld")?;
            for line in wit.lines() {
                // No trailing blanks on empty lines.
                writeln!(out, "{}", format!("  {}", printable(line)).trim_end())?;
            }
        }
        Err(why) => writeln!(out, "\nworld  cannot be said in WIT: {}", printable(why))?,
    }
    Ok(())
}

fn verdict(description: &Description, grants: &[GrantNeeded], refusal: Option<&str>) -> String {
    if let Some(reason) = refusal {
        return format!("no: {}", printable(reason));
    }
    let mut required: Vec<_> = grants
        .iter()
        .filter_map(|grant| match grant.need {
            Need::Required { grant, .. } => Some(grant),
            _ => None,
        })
        .collect();
    required.dedup();
    let linked: Vec<_> = grants
        .iter()
        .filter(|grant| grant.may_be_linked())
        .map(|grant| grant.import.as_str())
        .collect();
    let mut verdict = "yes".to_owned();
    if description.role == Role::Library {
        verdict += ", when other services call it";
    }
    if !required.is_empty() {
        verdict += &format!(", once granted: {}", required.join(", "));
    }
    if !linked.is_empty() {
        let linked = printable(&linked.join(", "));
        verdict += &format!(", beside a service that exports {linked}");
    }
    verdict
}

fn print_sizes(description: &Description, out: &mut impl Write) -> io::Result<()> {
    let sizes = &description.sizes;
    let bytes = counted(sizes.component_bytes, "byte");
    let component = match human(sizes.component_bytes) {
        rounded if rounded == bytes => bytes,
        rounded => format!("{rounded} ({bytes})"),
    };
    let modules = counted(u64::from(sizes.core_modules), "core module");
    let functions = counted(u64::from(sizes.functions), "function");
    writeln!(out, "size       {component}, {modules} with {functions}")?;
    writeln!(
        out,
        "memory     {} at least per instance; {}",
        human(sizes.memory_min_bytes),
        counted(sizes.table_min_elements, "table element"),
    )
}

fn print_producers(description: &Description, out: &mut impl Write) -> io::Result<()> {
    let mut label = "made by";
    for producer in &description.producers {
        let text = format!("{} {}", producer.name, producer.version);
        let field = &producer.field;
        writeln!(
            out,
            "{label:<10} {} ({})",
            printable(text.trim()),
            printable(field)
        )?;
        label = "";
    }
    Ok(())
}

fn print_imports(grants: &[GrantNeeded], out: &mut impl Write) -> io::Result<()> {
    if grants.is_empty() {
        return writeln!(out, "  none");
    }
    let width = width(grants.iter().map(|grant| grant.import.as_str()));
    for grant in grants {
        let need = match &grant.need {
            Need::Given => "given".to_owned(),
            Need::Optional { grant, .. } => format!("optional: {grant}"),
            Need::Required { grant, .. } => format!("needs grant: {grant}"),
            Need::Denied => "denied".to_owned(),
            Need::Missing { .. } if grant.may_be_linked() => "from another service".to_owned(),
            Need::Missing { nearest } if nearest.is_empty() => "MISSING".to_owned(),
            Need::Missing { nearest } => format!("MISSING; there is {}", nearest.join(" and ")),
        };
        let note = if grant.note.is_empty() || grant.may_be_linked() {
            String::new()
        } else {
            format!(" ({})", grant.note)
        };
        writeln!(out, "  {:width$}  {need}{note}", printable(&grant.import))?;
    }
    Ok(())
}

fn print_exports(exports: &[Item], out: &mut impl Write) -> io::Result<()> {
    if exports.is_empty() {
        return writeln!(out, "  none");
    }
    let width = width(exports.iter().map(|item| item.name.as_str()));
    for item in exports {
        let functions = printable(&item.functions.join(", "));
        let line = format!("  {:width$}  {functions}", printable(&item.name));
        writeln!(out, "{}", line.trim_end())?;
    }
    Ok(())
}

/// Lines for the manifest, once each, those that are needed first.
fn examples(grants: &[GrantNeeded]) -> Vec<(&'static str, bool)> {
    let of = |wanted: bool| {
        grants.iter().filter_map(move |grant| match grant.need {
            Need::Required { example, .. } if wanted => Some((example, true)),
            Need::Optional { example, .. } if !wanted => Some((example, false)),
            _ => None,
        })
    };
    let mut examples = Vec::new();
    for example in of(true).chain(of(false)) {
        if !examples.contains(&example) {
            examples.push(example);
        }
    }
    examples
}

/// Columns for names; a very long one may stick out rather than push all others away.
const WIDEST_NAME: usize = 48;

fn width<'a>(names: impl Iterator<Item = &'a str>) -> usize {
    names
        .map(str::len)
        .max()
        .unwrap_or_default()
        .min(WIDEST_NAME)
}

/// A component's texts are a stranger's: no control character of theirs reaches the terminal.
fn printable(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}

fn counted(count: u64, noun: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {noun}{plural}")
}

/// Bytes as people say them, with at most one decimal: integers alone, so that it is the same
/// everywhere.
fn human(bytes: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    let Some((unit, size)) = UNITS.iter().find(|(_, size)| bytes >= *size) else {
        return counted(bytes, "byte");
    };
    let tenths = bytes / (size / 10).max(1);
    match (tenths / 10, tenths % 10) {
        (whole, 0) => format!("{whole} {unit}"),
        (whole, tenth) => format!("{whole}.{tenth} {unit}"),
    }
}
