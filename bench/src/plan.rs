//! From the command line to a finished run: options, what has to be built and fetched, the
//! suites in order, the report.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::machine::Machine;
use crate::process::{self, Cores, all_cores, catch_signals, stop_if_interrupted};
use crate::report;
use crate::results::Results;
use crate::subject::{self, Programs, Subject};
use crate::suite::Suite;
use crate::tools::{Tools, Wanted};

/// What the command line says.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// What to measure; everything when none is named.
    suites: Vec<Suite>,
    /// Also writes the results as a JSON array of {suite, subject, case, metric, unit, value}.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Where the tables go, beside stdout; each suite replaces its own section.
    /// [default: docs/performance.md, nothing with --quick or --only]
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// How often each subject is measured, in turn with the others.
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// How long each case loads a subject in a round.
    #[arg(long, default_value_t = 2)]
    seconds: u64,
    /// Connections of the ordinary cases.
    #[arg(long, default_value_t = 32)]
    connections: usize,
    /// One short round: to see that all works, not to judge by.
    #[arg(long)]
    quick: bool,
    /// Measures these subjects only, by their names in the tables: `axum,skep,skep-reuse`.
    #[arg(long, value_delimiter = ',', value_name = "SUBJECT")]
    only: Vec<String>,
    /// The core of the server; the load gets another one.
    #[arg(long)]
    server_core: Option<usize>,
    #[arg(long)]
    load_core: Option<usize>,
    /// A host that is built already [default: builds what is shipped, `cargo build --profile dist -p
    /// skep`].
    #[arg(long, value_name = "FILE")]
    skep: Option<PathBuf>,
    /// The component that Skep and `wasmtime serve` run; it answers /, /blob and /echo
    /// [default: builds components/hello].
    #[arg(long, value_name = "FILE")]
    component: Option<PathBuf>,
    /// A `wasmtime` CLI to compare with [default: fetches a prebuilt one].
    #[arg(long, value_name = "FILE")]
    wasmtime: Option<PathBuf>,
    /// Compiles the `wasmtime` CLI of the release that Skep embeds; takes many minutes.
    #[arg(long)]
    wasmtime_from_source: bool,
}

/// What every suite works with.
pub(crate) struct Bench {
    pub(crate) tools: Tools,
    pub(crate) programs: Programs,
    pub(crate) subjects: Vec<Subject>,
    pub(crate) rounds: usize,
    pub(crate) seconds: u64,
    /// Before each measurement: caches, pools and connections are as in a server that has run.
    pub(crate) warm_up_seconds: u64,
    pub(crate) connections: usize,
    pub(crate) quick: bool,
    pub(crate) server_core: usize,
    pub(crate) server_cores: Cores,
    pub(crate) load_cores: Cores,
    pub(crate) machine: Machine,
}

impl Bench {
    pub(crate) fn subject(&self, name: &str) -> Option<&Subject> {
        self.subjects.iter().find(|subject| subject.name == name)
    }
}

/// Does all that the options ask for.
pub(crate) fn run(options: Options) -> Result<()> {
    catch_signals();
    process::raise_file_limit();
    let mut suites = options.suites.clone();
    if suites.is_empty() {
        suites = Suite::ALL.to_vec();
    }
    suites.dedup();
    let bench = prepare(&options, &suites)?;
    let mut results = Results::default();
    for suite in &suites {
        eprintln!("suite {}: {}", suite.name(), suite.question());
        suite.run(&bench, &mut results)?;
        stop_if_interrupted()?;
        println!("{}", report::section(&bench, &results, *suite));
    }
    if let Some(file) = &options.json {
        let mut text = serde_json::to_string_pretty(&results.rows())?;
        text.push('\n');
        fs::write(file, text).with_context(|| format!("writing {}", file.display()))?;
    }
    let judged = !options.quick && options.only.is_empty();
    let default = || judged.then(|| repository().join("docs/performance.md"));
    if let Some(file) = options.report.clone().or_else(default) {
        report::write(&file, &bench, &results, &suites)?;
        eprintln!("written to {}", file.display());
    }
    Ok(())
}

fn prepare(options: &Options, suites: &[Suite]) -> Result<Bench> {
    ensure!(
        options.rounds > 0 && options.seconds > 0,
        "--rounds and --seconds start at 1"
    );
    let wants =
        |name: &str| options.only.is_empty() || options.only.iter().any(|only| only == name);
    let wants_wasmtime = wants(subject::WASMTIME) || wants(subject::WASMTIME_REUSE);
    let wants_skep = wants(subject::SKEP_FRESH) || wants(subject::SKEP_REUSE);
    let tools = Tools::find(&Wanted {
        nginx: wants(subject::NGINX),
        slowhttptest: suites.contains(&Suite::Slow),
        wasmtime: wants_wasmtime,
        wasmtime_path: options.wasmtime.as_deref(),
        wasmtime_from_source: options.wasmtime_from_source,
    })?;
    let programs = programs(options, wants_skep, wants_skep || wants_wasmtime)?;
    let mut subjects = subject::all(&tools, &programs);
    for name in &options.only {
        if !subjects.iter().any(|subject| subject.name == name) {
            let known: Vec<&str> = subjects.iter().map(|subject| subject.name).collect();
            bail!(
                "--only: there is no subject `{name}` here; known: {}",
                known.join(", ")
            );
        }
    }
    subjects.retain(|subject| wants(subject.name));
    let (server_core, server_cores, load_cores) = split_cores(options)?;
    let machine = Machine::look();
    load_cores.enter()?;
    Ok(Bench {
        tools,
        programs,
        subjects,
        rounds: if options.quick { 1 } else { options.rounds },
        seconds: if options.quick { 1 } else { options.seconds },
        warm_up_seconds: 1,
        connections: options.connections,
        quick: options.quick,
        server_core,
        server_cores,
        load_cores,
        machine,
    })
}

/// The first core for the server and the second for the load, where there are two.
fn split_cores(options: &Options) -> Result<(usize, Cores, Cores)> {
    let cores = all_cores();
    let first = cores
        .first()
        .copied()
        .context("there is no core to run on")?;
    let server = options.server_core.unwrap_or(first);
    let other = cores.iter().copied().find(|core| *core != server);
    let load = options.load_core.or(other);
    for core in [Some(server), load].into_iter().flatten() {
        ensure!(
            cores.contains(&core),
            "there is no core {core}; there are {cores:?}"
        );
    }
    let Some(load) = load else {
        eprintln!("only one core: server and load share it, and only CPU times mean something");
        return Ok((server, Cores::All, Cores::All));
    };
    Ok((server, Cores::One(server), Cores::One(load)))
}

/// Builds what is not given, as a user would.
fn programs(options: &Options, skep: bool, component: bool) -> Result<Programs> {
    let target = target_directory()?;
    if skep && options.skep.is_none() {
        cargo(
            &["build", "--profile", "dist", "-p", "skep"],
            "the host that is measured",
        )?;
    }
    if component && options.component.is_none() {
        cargo(
            &["xtask", "guests"],
            "the component that Skep and wasmtime serve",
        )?;
    }
    let programs = Programs {
        skep: absolute(
            options
                .skep
                .clone()
                .unwrap_or_else(|| target.join("dist/skep")),
        )?,
        component: absolute(
            options
                .component
                .clone()
                .unwrap_or_else(|| target.join("guests/hello.wasm")),
        )?,
    };
    ensure!(
        !skep || programs.skep.is_file(),
        "there is no {}",
        programs.skep.display()
    );
    ensure!(
        !component || programs.component.is_file(),
        "there is no {}; `cargo xtask guests` makes it",
        programs.component.display()
    );
    Ok(programs)
}

fn cargo(arguments: &[&str], what: &str) -> Result<()> {
    eprintln!("cargo {} ({what})", arguments.join(" "));
    let program = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    // On all cores, with its progress visible.
    let status = Command::new(program)
        .args(arguments)
        .current_dir(repository())
        .status()
        .context("starting cargo")?;
    stop_if_interrupted()?;
    ensure!(status.success(), "`cargo {}` failed", arguments.join(" "));
    Ok(())
}

/// The bench lies at `TARGET/release/skep-bench`.
fn target_directory() -> Result<PathBuf> {
    let own = env::current_exe().context("finding the bench's own file")?;
    let target = own
        .parent()
        .and_then(Path::parent)
        .context("the bench lies in no target folder")?;
    Ok(target.to_owned())
}

/// Cargo says where the bench's sources are; without cargo it is started in the repository.
pub(crate) fn repository() -> PathBuf {
    let sources = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from);
    let parent = sources.and_then(|sources| Some(sources.parent()?.to_owned()));
    parent.unwrap_or_else(|| PathBuf::from("."))
}

fn absolute(path: PathBuf) -> Result<PathBuf> {
    std::path::absolute(&path).with_context(|| format!("finding {}", path.display()))
}
