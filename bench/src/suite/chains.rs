//! Suite `chains`: requests that lead through two and three services, many at once; and what others
//! notice where one call in a hundred crashes its callee.

use std::net::SocketAddr;

use anyhow::{Context, Result};

use crate::case::Case;
use crate::measure;
use crate::plan::Bench;
use crate::process::stop_if_interrupted;
use crate::report::{Goal, Table, cell};
use crate::results::{CPU, ERRORS, Key, P50, P99, RATE, Results};
use crate::subject::{REUSE, SKEP_REUSE, Server, start};

pub(super) const NAME: &str = "chains";

/// Requests under way at a time.
const CONNECTIONS: usize = 64;

/// One call in so many crashes its callee.
const CRASHING: usize = 100;

/// A case's name; what it is, for a reader; the path of most requests; that of one in a hundred.
const CASES: [(&str, &str, &str, Option<&str>); 4] = [
    ("none", "A alone", "/own", None),
    ("two", "A → B", "/stringly/nothing", None),
    ("three", "A → B → C", "/through/nothing", None),
    (
        "two-crashing",
        "A → B, one call in a hundred crashes B",
        "/stringly/nothing",
        Some("/stringly/trap"),
    ),
];

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    if bench.subject(SKEP_REUSE).is_none() {
        return Ok(());
    }
    for round in 0..bench.rounds {
        eprintln!("  round {} of {}", round + 1, bench.rounds);
        let server = start_three(bench)?;
        for (name, what, most, few) in CASES {
            stop_if_interrupted()?;
            let case = case(name, what, most, few);
            let key = Key::new(NAME, SKEP_REUSE, name);
            measure::check(&server, &case)?;
            if let Err(error) = measure::measure(bench, &server, &case, &key, round, results) {
                stop_if_interrupted()?;
                results.note(NAME, format!("{name}: {error:#}"));
            }
        }
    }
    Ok(())
}

/// A call that crashes its callee is answered like the others: its function's result can say so.
fn case(name: &str, what: &str, most: &str, few: Option<&str>) -> Case {
    let mut paths = vec![most.to_owned(); few.map_or(1, |_| CRASHING - 1)];
    paths.extend(few.map(str::to_owned));
    Case {
        name: name.into(),
        what: what.into(),
        paths,
        ..Case::hello(CONNECTIONS)
    }
}

fn start_three(bench: &Bench) -> Result<Server> {
    let mut services = String::new();
    for (name, file, routes) in [
        ("a", "everything-caller.wasm", "routes = [\"/{*rest}\"]\n"),
        ("b", "everything-provider.wasm", ""),
        ("c", "everything-relay.wasm", ""),
    ] {
        let component = bench.programs.component(file)?;
        services += &format!(
            "[service.{name}]\ncomponent = {component:?}\n{routes}\
             instances = {{ warm = 1, reuse = {REUSE} }}\n"
        );
    }
    let launch = |address: SocketAddr| {
        let http = format!("name = \"bench\"\n[http]\nlisten = \"{address}\"\n");
        bench.programs.application(&(http + &services))
    };
    start(bench.server_cores, "/own", &launch).context("starting skep with three services")
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "Three services in one process, instances kept: A handles requests and calls B, by itself or \
         through a service between them. {CONNECTIONS} requests at a time, {} rounds of {} s. Where \
         one call in {CRASHING} crashes B, the function's result says so to A, which answers 200 all \
         the same: the percentiles are of all requests, those that crashed something among them.",
        bench.rounds, bench.seconds
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let row = |(name, what, ..): (&str, &str, &str, Option<&str>)| {
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
        ])
    };
    vec![Table {
        title: "Through several services".into(),
        header: vec!["request", "req/s", "p50 ms", "p99 ms", "CPU µs", "errors"],
        rows: CASES.into_iter().filter_map(row).collect(),
    }]
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let key = |case| Key::new(NAME, SKEP_REUSE, case);
    vec![Goal {
        text: "p99 where one call in a hundred crashes its callee, beside none".into(),
        measured: results.ratio(&key("two-crashing"), &key("two"), P99),
        at_most: 2.0,
        unit: "×",
    }]
}
