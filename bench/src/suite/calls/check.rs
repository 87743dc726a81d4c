//! How long `skep check` takes for an application of a hundred services, each of which calls some of
//! the others: every end of every link is compared, type by type.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use tempfile::TempDir;
use wit_component::{ComponentEncoder, StringEncoding, dummy_module, embed_component_metadata};
use wit_parser::{ManglingAndAbi, Resolve};

use super::NAME;
use crate::plan::Bench;
use crate::process::run;
use crate::report::{Goal, Table, figure};
use crate::results::{Key, Metric, Results};
use crate::subject::{SKEP_REUSE, skep};

const SERVICES: usize = 100;
/// Services that each calls, or one less where the same is drawn twice.
const CALLS: usize = 4;
/// Runs that are measured in a round.
const RUNS: usize = 5;
const LIMIT: Duration = Duration::from_secs(120);

const WALL_MS: Metric = Metric {
    name: "check",
    unit: "ms",
};

/// A case's name, what it is, its arguments, its aim in milliseconds.
const CASES: [(&str, &str, &[&str], Option<f64>); 2] = [
    (
        "check-100",
        "with their code, compiled before",
        &[],
        Some(200.0),
    ),
    (
        "check-100-contracts",
        "contracts alone (`--no-compile`)",
        &["--no-compile"],
        None,
    ),
];

/// The hundred services, in a directory of their own.
pub(super) struct Application(TempDir);

impl Application {
    pub(super) fn new() -> Result<Application> {
        let files = tempfile::Builder::new().prefix("skep-bench").tempdir()?;
        let interfaces: String = (0..SERVICES).map(interface).collect();
        // The same links each time.
        let mut random = fastrand::Rng::with_seed(7);
        let mut manifest = "name = \"hundred\"\n".to_owned();
        for n in 0..SERVICES {
            let mut callees: Vec<_> = (0..CALLS).map(|_| random.usize(..SERVICES)).collect();
            callees.sort_unstable();
            callees.dedup();
            let callees = callees.iter().filter(|callee| **callee != n);
            let imports: String = callees.map(|n| format!("import i{n};\n")).collect();
            let wit = format!(
                "package bench:hundred@1.0.0;\n{interfaces}\nworld it {{ {imports} export i{n}; }}"
            );
            let component = component(&wit).with_context(|| format!("making service {n}"))?;
            fs::write(files.path().join(format!("s{n}.wasm")), component)?;
            let _ = write!(manifest, "[service.s{n}]\ncomponent = \"s{n}.wasm\"\n");
        }
        fs::write(files.path().join("skep.toml"), manifest)?;
        Ok(Application(files))
    }

    pub(super) fn measure(&self, bench: &Bench, round: usize, results: &mut Results) -> Result<()> {
        for (case, _, arguments, _) in CASES {
            // The first run compiles, and has the files read from the disk.
            check(bench, self.0.path(), arguments)?;
            for _ in 0..RUNS {
                let began = Instant::now();
                check(bench, self.0.path(), arguments)?;
                let took = began.elapsed().as_secs_f64() * 1e3;
                results.record(&Key::new(NAME, SKEP_REUSE, case), WALL_MS, round, took);
            }
        }
        Ok(())
    }
}

fn check(bench: &Bench, directory: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = skep(&bench.programs)?;
    command.arg("check").args(arguments).current_dir(directory);
    run(command, LIMIT).map(|_| ())
}

/// The interface of service `n`: some types of each kind, not two alike.
fn interface(n: usize) -> String {
    format!(
        "interface i{n} {{
             record item {{ id: u{}, name: string, tags: list<tuple<string, option<f64>>> }}
             variant error {{ unknown(u32), because(string), unavailable, number{n} }}
             flags options {{ a, b, c{n} }}
             resource cursor {{ constructor(of: string); next: func() -> option<item>; }}
             find: func(id: u32, options: options) -> result<list<item>, error>;
             store: func(items: list<item>) -> result<_, error>;
         }}\n",
        [8, 16, 32, 64][n % 4]
    )
}

/// A component of the world `it`, with no code behind it that does anything.
fn component(wit: &str) -> Result<Vec<u8>> {
    let mut resolve = Resolve::default();
    let package = resolve.push_str("it.wit", wit)?;
    let world = resolve.select_world(&[package], Some("it"))?;
    let mut module = dummy_module(&resolve, world, ManglingAndAbi::Standard32);
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    ComponentEncoder::default().module(&module)?.encode()
}

pub(super) fn table(results: &Results) -> Table {
    let row = |(case, what, ..): (&str, &str, &[&str], Option<f64>)| {
        let series = results.get(&Key::new(NAME, SKEP_REUSE, case), WALL_MS)?;
        Some(vec![
            what.to_owned(),
            figure(series.median()),
            format!("{}–{}", figure(series.min()), figure(series.max())),
        ])
    };
    Table {
        title: "A hundred services, checked".into(),
        header: vec!["what is checked", "ms", "lowest–highest"],
        rows: CASES.into_iter().filter_map(row).collect(),
    }
}

pub(super) fn goals(results: &Results) -> impl Iterator<Item = Goal> {
    CASES.into_iter().filter_map(|(case, _, _, at_most)| {
        Some(Goal {
            text: format!("`skep check` of {SERVICES} services that call each other"),
            measured: results.median(&Key::new(NAME, SKEP_REUSE, case), WALL_MS),
            at_most: at_most?,
            unit: "ms",
        })
    })
}
