//! Suite `swaps`: what clients notice while services are replaced again and again, and how soon a
//! deployed component answers.

mod heavy;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail, ensure};

use crate::case::Case;
use crate::control::Control;
use crate::http::Connection;
use crate::measure;
use crate::plan::Bench;
use crate::process::stop_if_interrupted;
use crate::report::{Goal, Table, cell};
use crate::results::{CPU, ERRORS, Key, Metric, P50, P99, RATE, RSS, Results};
use crate::subject::{REUSE, SKEP_REUSE, Server, start};

pub(super) const NAME: &str = "swaps";

/// Requests under way at a time.
const CONNECTIONS: usize = 32;

/// Versions of the service that is replaced: so many, that none is still kept warm when it comes
/// again, and all have been compiled.
const VERSIONS: u32 = 4;

/// Between two deploys under load.
const BETWEEN: Duration = Duration::from_millis(100);

/// Deploys in a round whose first answer is waited for.
const DEPLOYS: usize = 20;
const DEPLOYS_QUICK: usize = 5;

const SWAPS: Metric = Metric {
    name: "swaps",
    unit: "",
};
const TO_ANSWER: Metric = Metric {
    name: "deploy_to_answer_p50",
    unit: "ms",
};
const TO_ANSWER_P99: Metric = Metric {
    name: "deploy_to_answer_max",
    unit: "ms",
};

const STEADY: (&str, &str) = ("steady", "nothing is replaced");
const SWAPPING: (&str, &str) = ("swapping", "a callee is replaced ten times a second");
const COMPILING: (&str, &str) = (
    "compiling",
    "another service gets components of 5 MB that have to be compiled",
);
const ALONE: &str = "alone";

/// Bytes of a component that takes long to compile.
const HEAVY: usize = 5_000_000;

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    if bench.subject(SKEP_REUSE).is_none() {
        return Ok(());
    }
    let files = tempfile::Builder::new().prefix("skep-swaps").tempdir()?;
    let parts = Parts::write(bench, files.path())?;
    for round in 0..bench.rounds {
        eprintln!("  round {} of {}", round + 1, bench.rounds);
        let server = parts.start(bench)?;
        one_round(bench, &parts, &server, round, results)?;
    }
    Ok(())
}

fn one_round(
    bench: &Bench,
    parts: &Parts,
    server: &Server,
    round: usize,
    results: &mut Results,
) -> Result<()> {
    // Each is compiled once before anything is measured.
    for version in 2..2 + VERSIONS {
        parts.deploy(&bench.programs.skep, version)?;
    }
    for (name, what) in [STEADY, SWAPPING, COMPILING] {
        stop_if_interrupted()?;
        let case = Case {
            name: name.into(),
            what: what.into(),
            paths: vec!["/versions".to_owned()],
            ..Case::hello(CONNECTIONS)
        };
        let key = Key::new(NAME, SKEP_REUSE, name);
        let stop = AtomicBool::new(name == STEADY.0);
        let measured = std::thread::scope(|scope| {
            let swapping = scope.spawn(|| match name == COMPILING.0 {
                true => parts.compile_until(&stop, round),
                false => parts.deploy_until(&stop),
            });
            let measured = measure::measure(bench, server, &case, &key, round, results);
            stop.store(true, Ordering::Relaxed);
            let swaps = swapping.join();
            measured.map(|()| swaps)
        });
        match measured? {
            Ok(Ok(swaps)) => results.record(&key, SWAPS, round, swaps as f64),
            Ok(Err(error)) => return Err(error),
            Err(_) => bail!("the thread that deploys has panicked"),
        }
    }
    let deploys = if bench.quick { DEPLOYS_QUICK } else { DEPLOYS };
    let mut times = Vec::new();
    for number in 0..deploys {
        let version = 2 + u32::try_from(number)? % VERSIONS;
        times.push(parts.until_answer(&bench.programs.skep, server, version)?);
    }
    times.sort_by(f64::total_cmp);
    let key = Key::new(NAME, SKEP_REUSE, ALONE);
    results.record(&key, TO_ANSWER, round, times[times.len() / 2]);
    results.record(&key, TO_ANSWER_P99, round, times[times.len() - 1]);
    Ok(())
}

/// The services' components, each version in a file of its own.
struct Parts {
    directory: PathBuf,
    /// That of the service that no request comes to.
    aside: Vec<u8>,
}

impl Parts {
    fn write(bench: &Bench, directory: &Path) -> Result<Parts> {
        for (name, versions) in [("front", 1), ("middle", 1), ("leaf", 2 + VERSIONS)] {
            let built = bench
                .programs
                .component(&format!("versioned-{name}.wasm"))?;
            let built = std::fs::read(built).context("reading a component")?;
            for version in 1..=versions {
                let file = directory.join(format!("{name}-{version}.wasm"));
                std::fs::write(file, marked(&built, version)?)?;
            }
        }
        let aside = std::fs::read(bench.programs.component("hello.wasm")?)?;
        std::fs::write(directory.join("aside-1.wasm"), &aside)?;
        Ok(Parts {
            directory: directory.to_owned(),
            aside,
        })
    }

    fn start(&self, bench: &Bench) -> Result<Server> {
        let launch = |address: SocketAddr| {
            let mut text = format!("name = \"bench\"\n[http]\nlisten = \"{address}\"\n");
            for (name, more) in [
                ("front", "routes = [\"/{*rest}\"]\n"),
                ("middle", ""),
                ("leaf", ""),
                ("aside", "routes = [\"/aside\"]\n"),
            ] {
                let component = self.directory.join(format!("{name}-1.wasm"));
                text += &format!(
                    "[service.{name}]\ncomponent = {component:?}\n{more}probation = {{ for = \"0s\" }}\n\
                     instances = {{ warm = 1, reuse = {REUSE} }}\n"
                );
            }
            // Beside the components, so that deploys find it.
            std::fs::write(self.manifest(), &text)?;
            let state = self.directory.join(".skep");
            if state.exists() {
                std::fs::remove_dir_all(state)?;
            }
            bench.programs.run(&self.manifest())
        };
        start(bench.server_cores, "/versions", &launch).context("starting skep with three services")
    }

    fn manifest(&self) -> PathBuf {
        self.directory.join("skep.toml")
    }

    fn deploy(&self, skep: &Path, version: u32) -> Result<()> {
        let said = Command::new(skep)
            .args(["deploy", "leaf"])
            .arg(self.directory.join(format!("leaf-{version}.wasm")))
            .arg(self.manifest())
            .stdin(Stdio::null())
            .output()
            .context("running skep deploy")?;
        let error = String::from_utf8_lossy(&said.stderr);
        ensure!(said.status.success(), "a deploy was refused: {error}");
        Ok(())
    }

    fn deploy_until(&self, stop: &AtomicBool) -> Result<usize> {
        let control = Control::of(&self.manifest());
        let file = |version| self.directory.join(format!("leaf-{version}.wasm"));
        let versions = (2..2 + VERSIONS).map(|version| std::fs::read(file(version)));
        let versions: Vec<Vec<u8>> = versions.collect::<std::io::Result<_>>()?;
        let mut swaps = 0;
        for version in versions.iter().cycle() {
            if stop.load(Ordering::Relaxed) {
                break;
            }
            control.deploy("leaf", version)?;
            swaps += 1;
            std::thread::sleep(BETWEEN);
        }
        Ok(swaps)
    }

    /// Each is another one, so that none has been compiled before.
    fn compile_until(&self, stop: &AtomicBool, round: usize) -> Result<usize> {
        let control = Control::of(&self.manifest());
        let now = SystemTime::now().duration_since(UNIX_EPOCH)?;
        let mut seed = u64::from(now.subsec_nanos()) + ((round as u64) << 32);
        let mut compiled = 0;
        while !stop.load(Ordering::Relaxed) {
            let component = heavy::heavy(&self.aside, HEAVY, seed);
            control.deploy("aside", &component)?;
            seed += 1;
            compiled += 1;
        }
        Ok(compiled)
    }

    /// From the start of `skep deploy` to the first answer of what it deploys, in milliseconds.
    fn until_answer(&self, skep: &Path, server: &Server, version: u32) -> Result<f64> {
        let mut connection = Connection::to(server.address)?;
        let wanted = version.to_string();
        let began = Instant::now();
        std::thread::scope(|scope| {
            let deploying = scope.spawn(|| self.deploy(skep, version));
            let answered = loop {
                let answer = connection.get("/versions")?;
                let text = String::from_utf8_lossy(&answer.body).into_owned();
                if text.split_whitespace().last() == Some(&wanted) {
                    break began.elapsed();
                }
                if deploying.is_finished() && began.elapsed() > Duration::from_secs(10) {
                    bail!("version {version} does not answer");
                }
                // The host shares the machine with this.
                std::thread::sleep(Duration::from_micros(200));
            };
            match deploying.join() {
                Ok(deployed) => deployed.map(|()| answered.as_secs_f64() * 1e3),
                Err(_) => bail!("the thread that deploys has panicked"),
            }
        })
    }
}

/// The component with this version: see `components/versioned`.
fn marked(built: &[u8], version: u32) -> Result<Vec<u8>> {
    const MARK: &[u8] = b"SKEP-MARK:v";
    let mut places = built.windows(MARK.len());
    let at = places.position(|bytes| bytes == MARK);
    let at = at.context("the component has no mark")? + MARK.len();
    let mut marked = built.to_vec();
    marked[at..at + 8].copy_from_slice(format!("{version:08}").as_bytes());
    Ok(marked)
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "Three services in one process, instances kept: a request asks the first, which calls the other \
         two. {CONNECTIONS} requests at a time, {} rounds of {} s; in the second case the last of \
         them gets another component every {} ms, one of {VERSIONS} that have been compiled and are not kept \
         warm; in the third a fourth service gets components of {} MB, one after the other, none of which \
         has been compiled. Both are deployed by the control API, as if from another machine. *Deploy to \
         answer* is from the start of `skep deploy` to the end of the first \
         answer by what it deploys, without load, {} times in a round: it holds the start of a process, \
         and four waits for the disk.",
        bench.rounds,
        bench.seconds,
        BETWEEN.as_millis(),
        HEAVY / 1_000_000,
        if bench.quick { DEPLOYS_QUICK } else { DEPLOYS },
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let row = |(name, what): (&str, &str)| {
        let key = Key::new(NAME, SKEP_REUSE, name);
        results.get(&key, RATE)?;
        let median = |metric| cell(results.median(&key, metric));
        Some(vec![
            what.to_owned(),
            median(RATE),
            median(P50),
            median(P99),
            median(CPU),
            median(ERRORS),
            median(SWAPS),
            median(RSS),
        ])
    };
    let alone = Key::new(NAME, SKEP_REUSE, ALONE);
    let median = |metric| cell(results.median(&alone, metric));
    vec![
        Table {
            title: "Under load".into(),
            header: vec![
                "", "req/s", "p50 ms", "p99 ms", "CPU µs", "errors", "swaps", "RSS MiB",
            ],
            rows: [STEADY, SWAPPING, COMPILING]
                .into_iter()
                .filter_map(row)
                .collect(),
        },
        Table {
            title: "From a deploy to its first answer".into(),
            header: vec!["median ms", "longest ms"],
            rows: vec![vec![median(TO_ANSWER), median(TO_ANSWER_P99)]],
        },
    ]
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let key = |case| Key::new(NAME, SKEP_REUSE, case);
    vec![
        Goal {
            text: "p99 while a callee is replaced ten times a second, beside none".into(),
            measured: results.ratio(&key(SWAPPING.0), &key(STEADY.0), P99),
            at_most: 2.0,
            unit: "×",
        },
        Goal {
            text: "p99 while a component of 5 MB is compiled, beside none".into(),
            measured: results.ratio(&key(COMPILING.0), &key(STEADY.0), P99),
            at_most: 2.0,
            unit: "×",
        },
        Goal {
            text: "from `skep deploy` of a compiled component to its first answer".into(),
            measured: results.median(&key(ALONE), TO_ANSWER),
            at_most: 50.0,
            unit: "ms",
        },
        Goal {
            text: "requests that failed while a callee was replaced".into(),
            measured: results.median(&key(SWAPPING.0), ERRORS),
            at_most: 0.0,
            unit: "",
        },
    ]
}
