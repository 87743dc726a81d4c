//! Suite `restart`: from a request that crashes the only instance of a service to the next good
//! answer, on one connection, with the settings that a service has by default.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

use crate::http::Connection;
use crate::plan::Bench;
use crate::process::stop_if_interrupted;
use crate::report::{Goal, Table, cell};
use crate::results::{Key, Metric, Results};
use crate::subject::{REUSE, SKEP_FRESH, Server, start};

pub(super) const NAME: &str = "restart";

/// Crashes in a round; a 99th percentile needs some.
const CRASHES: usize = 300;
const CRASHES_QUICK: usize = 50;

/// Good answers between two crashes: after so many, a crash says something about one request and is
/// not held against the service.
const BETWEEN: usize = 10;

const UNDISTURBED: Metric = Metric {
    name: "undisturbed_p50",
    unit: "ms",
};
const FAILED: Metric = Metric {
    name: "failed_p50",
    unit: "ms",
};
const BACK: Metric = Metric {
    name: "crash_to_answer_p50",
    unit: "ms",
};
const BACK_P99: Metric = Metric {
    name: "crash_to_answer_p99",
    unit: "ms",
};

/// The components that crash, beside the one that is measured elsewhere, with what they are here.
const CASES: [(&str, &str, bool); 4] = [
    ("wasi-0.2", "probe.wasm", false),
    ("wasi-0.3", "probe-p3.wasm", false),
    ("wasi-0.2-backtrace", "probe.wasm", true),
    ("wasi-0.3-backtrace", "probe-p3.wasm", true),
];

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    if bench.subject(SKEP_FRESH).is_none() {
        return Ok(());
    }
    for round in 0..bench.rounds {
        for (case, component, backtrace) in CASES {
            stop_if_interrupted()?;
            eprintln!("  round {} of {}: {case}", round + 1, bench.rounds);
            if let Err(error) = one_case(bench, case, component, backtrace, round, results) {
                stop_if_interrupted()?;
                results.note(NAME, format!("{case}: {error:#}"));
            }
        }
    }
    Ok(())
}

fn one_case(
    bench: &Bench,
    case: &str,
    component: &str,
    backtrace: bool,
    round: usize,
    results: &mut Results,
) -> Result<()> {
    let component = bench.programs.component(component)?;
    let server = start_one(bench, &component, backtrace)?;
    let mut connection = Connection::to(server.address)?;
    let crashes = if bench.quick { CRASHES_QUICK } else { CRASHES };
    let (mut undisturbed, mut failed, mut back) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..crashes {
        for _ in 0..BETWEEN {
            undisturbed.push(timed(&mut connection, "/", 200)?);
        }
        let crashing = timed(&mut connection, "/trap", 502)?;
        failed.push(crashing);
        back.push(crashing + timed(&mut connection, "/", 200)?);
    }
    let key = Key::new(NAME, SKEP_FRESH, case);
    for (metric, times, share) in [
        (UNDISTURBED, &mut undisturbed, 0.5),
        (FAILED, &mut failed, 0.5),
        (BACK, &mut back.clone(), 0.5),
        (BACK_P99, &mut back, 0.99),
    ] {
        results.record(&key, metric, round, quantile(times, share));
    }
    Ok(())
}

/// Asks once, in milliseconds.
fn timed(connection: &mut Connection, path: &str, status: u16) -> Result<f64> {
    let begin = Instant::now();
    let answer = connection.get(path)?;
    let took = begin.elapsed().as_secs_f64() * 1e3;
    ensure!(
        answer.status == status,
        "{path} was answered with status {}, wanted {status}",
        answer.status
    );
    Ok(took)
}

fn quantile(times: &mut [f64], share: f64) -> f64 {
    times.sort_by(f64::total_cmp);
    let last = times.len().saturating_sub(1);
    times
        .get((last as f64 * share).round() as usize)
        .copied()
        .unwrap_or(f64::NAN)
}

fn start_one(bench: &Bench, component: &Path, backtrace: bool) -> Result<Server> {
    let launch = |address: SocketAddr| {
        let component = component.to_string_lossy();
        let text = format!(
            "name = \"bench\"\n[http]\nlisten = \"{address}\"\n[service.one]\n\
             component = {component:?}\nroutes = [\"/{{*rest}}\"]\n\
             instances = {{ max = 1, warm = 1, reuse = {REUSE} }}\n"
        );
        let mut launch = bench.programs.application(&text)?;
        launch.command.env_remove("RUST_BACKTRACE");
        if backtrace {
            launch.command.env("RUST_BACKTRACE", "1");
        }
        Ok(launch)
    };
    start(bench.server_cores, "/", &launch).context("starting skep with one service")
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "A service that may have one instance, kept for all requests, is asked over one connection: \
         {BETWEEN} good requests, one that traps, and the next good one at once. *Crash to answer* \
         is from sending the request that traps to the end of the next good answer: it holds that \
         request's own time, the report of the trap, the drop of the instance, a new one, and an \
         answer from it. {} crashes in each of {} rounds; medians of the rounds. The cases named \
         *backtrace* run with RUST_BACKTRACE=1, which must cost nothing.",
        if bench.quick { CRASHES_QUICK } else { CRASHES },
        bench.rounds
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let row = |(case, ..): (&str, &str, bool)| {
        let key = Key::new(NAME, SKEP_FRESH, case);
        results.get(&key, BACK)?;
        let median = |metric| cell(results.median(&key, metric));
        Some(vec![
            format!("{SKEP_FRESH}, {case}"),
            median(UNDISTURBED),
            median(FAILED),
            median(BACK),
            median(BACK_P99),
        ])
    };
    let header = vec![
        "subject, case",
        "good answer p50 ms",
        "failed answer p50 ms",
        "crash to answer p50 ms",
        "crash to answer p99 ms",
    ];
    vec![Table {
        title: "Crash to answer".into(),
        header,
        rows: CASES.into_iter().filter_map(row).collect(),
    }]
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let goal = |(case, ..): (&str, &str, bool)| Goal {
        text: format!("crash to the next good answer, {case}, p50"),
        measured: results.median(&Key::new(NAME, SKEP_FRESH, case), BACK),
        at_most: 1.0,
        unit: "ms",
    };
    CASES.map(goal).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_of_the_values_that_there_are() {
        let mut times: Vec<f64> = (1..=101).rev().map(f64::from).collect();
        assert_eq!(quantile(&mut times, 0.5), 51.0);
        assert_eq!(quantile(&mut times, 0.99), 100.0);
        assert_eq!(quantile(&mut [7.0], 0.99), 7.0);
        assert!(quantile(&mut [], 0.5).is_nan());
    }
}
