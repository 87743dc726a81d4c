//! Suite `services`: one hundred services of the same component in one process, their memory
//! while idle and what a request costs when the load is spread over all of them.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::case::Case;
use crate::measure;
use crate::plan::Bench;
use crate::process::{Cores, stop_if_interrupted};
use crate::report::{Goal, Table, cell};
use crate::results::{
    CPU, ERRORS, Key, Metric, P50, P99, RATE, RSS, RSS_IDLE, RSS_PEAK, Results, Series,
};
use crate::subject::{AXUM, Programs, REUSE, SKEP_FRESH, SKEP_REUSE, Server, WASMTIME, start};

pub(super) const NAME: &str = "services";
const MANY: usize = 100;
/// After this long without a request a service counts as idle.
const IDLE_AFTER: Duration = Duration::from_secs(2);
const PER_SERVICE: Metric = Metric {
    name: "rss_per_additional_service",
    unit: "KiB",
};

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    for round in 0..bench.rounds {
        for (subject, reuse) in [(SKEP_FRESH, None), (SKEP_REUSE, Some(REUSE))] {
            if bench.subject(subject).is_none() {
                continue;
            }
            eprintln!("  round {} of {}: {subject}", round + 1, bench.rounds);
            if let Err(error) = one_policy(bench, subject, reuse, round, results) {
                stop_if_interrupted()?;
                results.note(NAME, format!("{subject} is left out: {error:#}"));
            }
        }
    }
    for subject in [AXUM, WASMTIME] {
        if let Err(error) = process_each(bench, subject, results) {
            stop_if_interrupted()?;
            results.note(NAME, format!("{subject} is left out: {error:#}"));
        }
    }
    Ok(())
}

fn one_policy(
    bench: &Bench,
    subject: &str,
    reuse: Option<u64>,
    round: usize,
    results: &mut Results,
) -> Result<()> {
    let mut idle = Vec::new();
    for count in [1, MANY] {
        let case = spread(bench.connections, count);
        let key = Key::new(NAME, subject, &case.name);
        let server = start_services(&bench.programs, count, reuse, bench.server_cores)?;
        measure::check(&server, &case)?;
        thread::sleep(IDLE_AFTER);
        let resident = server.process.usage().resident;
        results.record(&key, RSS_IDLE, round, measure::mib(resident));
        idle.push(resident);
        measure::measure(bench, &server, &case, &key, round, results)?;
        if let [one, many] = idle[..] {
            let each = many.saturating_sub(one) as f64 / 1024.0 / (MANY - 1) as f64;
            results.record(&key, PER_SERVICE, round, each);
        }
    }
    Ok(())
}

/// What one more process costs, where every service is a process: its private memory while a
/// second one shares what can be shared.
fn process_each(bench: &Bench, name: &str, results: &mut Results) -> Result<()> {
    let Some(subject) = bench.subject(name) else {
        return Ok(());
    };
    let _first = subject.start(bench.server_cores)?;
    let second = subject.start(bench.server_cores)?;
    let key = Key::new(NAME, name, "process-each");
    let private = second.process.private_bytes()? as f64 / 1024.0;
    results.record(&key, PER_SERVICE, 0, private);
    Ok(())
}

/// The load on `count` services, each asked in its turn.
fn spread(connections: usize, count: usize) -> Case {
    Case {
        name: format!("services-{count}"),
        what: format!("{count} services, {connections} connections, each service in its turn"),
        paths: paths(count),
        ..Case::hello(connections)
    }
}

pub(super) fn paths(count: usize) -> Vec<String> {
    (0..count).map(|index| format!("/s{index}")).collect()
}

/// Starts `skep run` on a manifest with `count` services and waits for the first one's answer.
pub(super) fn start_services(
    programs: &Programs,
    count: usize,
    reuse: Option<u64>,
    cores: Cores,
) -> Result<Server> {
    let launch = |address| programs.application(&manifest_text(programs, count, reuse, address));
    start(cores, "/s0", &launch).with_context(|| format!("starting skep with {count} services"))
}

fn manifest_text(
    programs: &Programs,
    count: usize,
    reuse: Option<u64>,
    address: SocketAddr,
) -> String {
    let mut text = format!("name = \"bench\"\n\n[http]\nlisten = \"{address}\"\n");
    let component = programs.component.to_string_lossy();
    for (index, path) in paths(count).iter().enumerate() {
        let _ = write!(
            text,
            "\n[service.s{index}]\ncomponent = {component:?}\nroutes = [\"{path}\"]\n"
        );
        if let Some(reuse) = reuse {
            let _ = writeln!(text, "instances = {{ reuse = {reuse} }}");
        }
    }
    text
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "One manifest with 1 and one with {MANY} services of the same component, on routes /s0, \
         /s1, …; each has answered once and then rested {} s when its idle memory is read. Memory \
         per additional service is the difference divided by {}. For servers that need a process \
         for each service it is the private memory of one more process. Load as in suite `http`, \
         spread over all services; {} rounds.",
        IDLE_AFTER.as_secs(),
        MANY - 1,
        bench.rounds
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let mut load = Vec::new();
    let mut memory = Vec::new();
    for subject in [SKEP_FRESH, SKEP_REUSE] {
        let one = Key::new(NAME, subject, "services-1");
        for count in [1, MANY] {
            let key = Key::new(NAME, subject, format!("services-{count}"));
            if results.get(&key, CPU).is_none() {
                continue;
            }
            let median = |metric| cell(results.median(&key, metric));
            load.push(vec![
                format!("{subject}, {count}"),
                median(RATE),
                median(P50),
                median(P99),
                median(CPU),
                cell(results.ratio(&key, &one, CPU)),
                median(RSS_IDLE),
                median(RSS),
                median(RSS_PEAK),
                format!("{}", results.get(&key, ERRORS).map_or(0.0, Series::sum)),
            ]);
        }
    }
    let many = format!("services-{MANY}");
    for (name, subject, case) in [
        ("skep", SKEP_FRESH, many.as_str()),
        ("skep-reuse", SKEP_REUSE, many.as_str()),
        ("axum, a process each", AXUM, "process-each"),
        ("wasmtime serve, a process each", WASMTIME, "process-each"),
    ] {
        if let Some(value) = results.median(&Key::new(NAME, subject, case), PER_SERVICE) {
            memory.push(vec![name.to_owned(), cell(Some(value))]);
        }
    }
    let mut tables = vec![
        Table {
            title: "Load spread over services".into(),
            header: vec![
                "subject, services",
                "req/s",
                "p50 ms",
                "p99 ms",
                "CPU µs/req",
                "÷ one service",
                "idle MiB",
                "RSS MiB",
                "peak MiB",
                "errors",
            ],
            rows: load,
        },
        Table {
            title: "Memory of one more idle service".into(),
            header: vec!["subject", "KiB"],
            rows: memory,
        },
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let key = Key::new(NAME, SKEP_FRESH, format!("services-{MANY}"));
    vec![Goal {
        text: "memory of one more idle service".into(),
        measured: results.median(&key, PER_SERVICE),
        at_most: 300.0,
        unit: "KiB",
    }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_manifest_has_every_service_once() {
        let programs = Programs {
            skep: "skep".into(),
            component: "/c/hello.wasm".into(),
        };
        let address = SocketAddr::from(([127, 0, 0, 1], 8080));
        assert_eq!(
            manifest_text(&programs, 2, Some(7), address),
            "name = \"bench\"\n\n[http]\nlisten = \"127.0.0.1:8080\"\n\
             \n[service.s0]\ncomponent = \"/c/hello.wasm\"\nroutes = [\"/s0\"]\ninstances = { reuse = 7 }\n\
             \n[service.s1]\ncomponent = \"/c/hello.wasm\"\nroutes = [\"/s1\"]\ninstances = { reuse = 7 }\n"
        );
    }
}
