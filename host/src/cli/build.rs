//! `skep build`: runs the build of each service that has changed since its component was made.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Args;
use futures::StreamExt;
use serde::Serialize;
use skep_core::name::ServiceName;

use super::building;
use super::files::Files;
use super::project::Project;
use super::serving::on_threads;
use super::{Exit, report};
use crate::artifact::Digest;

/// In the state directory: by command, of what it made its components last.
const RECORD: &str = "built.json";

/// Run the `build` of each service, if anything has changed since
///
/// What counts are the command, the files below `build.watch`, and the component. Services of one command
/// are built by running it once; different commands run side by side, one for each core.
#[derive(Args, Clone, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Build {
    /// Only these services; all that have a `build` unless named
    services: Vec<String>,
    /// The manifest
    #[arg(long, default_value = "skep.toml")]
    manifest: PathBuf,
    /// Build also what has not changed
    #[arg(long)]
    force: bool,
    /// Print what was built as JSON
    #[arg(long)]
    json: bool,
}

/// A command and what it makes.
struct Job<'a> {
    command: &'a str,
    /// The service and its component.
    makes: Vec<(&'a ServiceName, &'a Path)>,
    /// The command and the sources as they were before it ran.
    sources: Digest,
}

/// What came of a service's build.
#[derive(Debug, Serialize)]
struct Row<'a> {
    service: &'a str,
    component: &'a Path,
    /// `built`, `unchanged` or `failed`
    outcome: &'static str,
    seconds: f64,
    /// Of the component, if it is there.
    bytes: Option<u64>,
}

/// Runs the command.
pub fn run(arguments: &Build) -> ExitCode {
    on_threads(Some(1), build(arguments))
}

async fn build(arguments: &Build) -> Exit {
    let project = match Project::read(&arguments.manifest) {
        Ok(project) => project,
        Err(error) => return report::deploy_error(&error, true),
    };
    let jobs = match jobs(&project, &arguments.services) {
        Ok(jobs) => jobs,
        Err(exit) => return exit,
    };
    let mut record = Record::read(&project.state);
    let (due, fresh): (Vec<_>, Vec<_>) = jobs
        .into_iter()
        .partition(|job| arguments.force || !record.has(job));
    let mut rows: Vec<Row<'_>> = fresh
        .iter()
        .flat_map(|job| job.rows("unchanged", Duration::ZERO))
        .collect();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let builds = due.into_iter().map(|job| job.run(&project.directory));
    let mut builds = futures::stream::iter(builds).buffer_unordered(cores);
    while let Some((job, took, made)) = builds.next().await {
        if made {
            record.note(&job);
        }
        if made && !arguments.json {
            show(&job, took);
        }
        rows.extend(job.rows(if made { "built" } else { "failed" }, took));
    }
    if let Err(error) = record.write(&project.state) {
        let path = project.state.join(RECORD);
        let _ = writeln!(
            std::io::stderr(),
            "warning: {}: {error}; the next `skep build` builds everything",
            path.display()
        );
    }
    tell(arguments, &rows);
    match rows.iter().any(|row| row.outcome == "failed") {
        true => Exit::Failed,
        false => Exit::Ok,
    }
}

/// What is to be looked at, each command once.
fn jobs<'a>(project: &'a Project, named: &[String]) -> Result<Vec<Job<'a>>, Exit> {
    for name in named {
        let known = project.services().find(|(it, _)| it.as_str() == name);
        let why = match known {
            None => "the manifest has no such service",
            Some((_, made)) if made.command.is_none() => "it has no `build`",
            Some(_) => continue,
        };
        let _ = writeln!(std::io::stderr(), "error: `{name}`: {why}");
        return Err(Exit::Usage);
    }
    let (files, whole) = Files::look(project, &Files::default(), |_| {});
    if let Err(too_many) = whole {
        let _ = writeln!(
            std::io::stderr(),
            "warning: there are too many files below {}; a change of some will not be seen",
            too_many.0.display()
        );
    }
    let mut jobs: BTreeMap<&str, Job<'a>> = BTreeMap::new();
    for (name, made) in project.services() {
        let Some(command) = made.command.as_deref() else {
            continue;
        };
        let job = jobs.entry(command).or_insert_with(|| Job {
            command,
            makes: Vec::new(),
            sources: files.digest(|file| project.is_source_of(command, file)),
        });
        job.makes.push((name, &made.component));
    }
    let wanted = |job: &Job<'_>| {
        let mut names = job.makes.iter().map(|(name, _)| name.as_str());
        named.is_empty() || names.any(|name| named.iter().any(|it| it == name))
    };
    Ok(jobs.into_values().filter(wanted).collect())
}

impl<'a> Job<'a> {
    fn names(&self) -> String {
        let names: Vec<&str> = self.makes.iter().map(|(name, _)| name.as_str()).collect();
        names.join(", ")
    }

    /// Runs the command; answers how long that took, and whether its components are there. Says so if not.
    async fn run(self, directory: &Path) -> (Self, Duration, bool) {
        let began = Instant::now();
        let colours = report::colours(&std::io::stderr());
        let outcome = building::build(self.command, directory, colours).await;
        let made = match outcome {
            Ok(_) => self.components_are_there(),
            Err(error) => {
                building::show(&self.names(), self.command, error);
                false
            }
        };
        (self, began.elapsed(), made)
    }

    fn components_are_there(&self) -> bool {
        let absent = |(_, component): &&(_, &Path)| !component.is_file();
        for (name, component) in self.makes.iter().filter(absent) {
            let _ = writeln!(
                std::io::stderr(),
                "error: the build of {name} ended well, but {} is not there; does `component` name what \
                 `{}` makes?",
                component.display(),
                self.command
            );
        }
        !self.makes.iter().any(|made| absent(&made))
    }

    fn rows(&self, outcome: &'static str, took: Duration) -> Vec<Row<'a>> {
        let row = |(name, component): &(&'a ServiceName, &'a Path)| Row {
            service: name.as_str(),
            component,
            outcome,
            seconds: took.as_secs_f64(),
            bytes: fs::metadata(component).ok().map(|it| it.len()),
        };
        self.makes.iter().map(row).collect()
    }

    /// Of what the components are made, and what they are; none if one is not there.
    fn digest(&self) -> Option<String> {
        let mut text = self.sources.to_string();
        for (_, component) in &self.makes {
            text += &Digest::of(&fs::read(component).ok()?).to_string();
        }
        Some(Digest::of(text.as_bytes()).to_string())
    }
}

/// What was made of what, from one `skep build` to the next.
#[derive(Debug, Default)]
struct Record(BTreeMap<String, String>);

impl Record {
    /// One that cannot be read is as good as none: everything is built.
    fn read(state: &Path) -> Record {
        let text = fs::read(state.join(RECORD)).unwrap_or_default();
        Record(serde_json::from_slice(&text).unwrap_or_default())
    }

    fn has(&self, job: &Job<'_>) -> bool {
        let made = job.digest();
        made.is_some() && self.0.get(job.command) == made.as_ref()
    }

    fn note(&mut self, job: &Job<'_>) {
        self.0
            .extend(job.digest().map(|made| (job.command.to_owned(), made)));
    }

    fn write(&self, state: &Path) -> std::io::Result<()> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(state)?;
        let partial = state.join(format!("{RECORD}.partial"));
        fs::write(&partial, serde_json::to_vec_pretty(&self.0)?)?;
        fs::rename(partial, state.join(RECORD))
    }
}

fn show(job: &Job<'_>, took: Duration) {
    let mut out = std::io::stdout().lock();
    for row in job.rows("built", took) {
        let bytes = row.bytes.unwrap_or_default();
        let _ = writeln!(
            out,
            "{}: {} in {:.1} s, {:.1} KiB",
            row.service,
            row.component.display(),
            row.seconds,
            bytes as f64 / 1024.0
        );
    }
}

fn tell(arguments: &Build, rows: &[Row<'_>]) {
    let mut out = std::io::stdout().lock();
    if arguments.json {
        let _ = report::json(&mut out, rows);
        return;
    }
    let unchanged = rows.iter().filter(|row| row.outcome == "unchanged");
    let names: Vec<&str> = unchanged.map(|row| row.service).collect();
    if !names.is_empty() {
        let _ = writeln!(out, "unchanged: {}", names.join(", "));
    }
    if rows.is_empty() {
        let _ = writeln!(out, "no service has a `build`");
    }
}
