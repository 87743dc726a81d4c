//! Suite `http`: every subject under every case, in rounds A B C … A B C ….

use std::fmt::Write as _;

use anyhow::Result;

use crate::case::Case;
use crate::measure;
use crate::plan::Bench;
use crate::process::{Cores, stop_if_interrupted};
use crate::report::{Goal, Table, cell, figure};
use crate::results::{
    CPU, ERRORS, Key, OTHERS, P50, P99, RATE, RSS, RSS_IDLE, RSS_PEAK, Results, Series,
};
use crate::subject::{AXUM, SKEP_FRESH, SKEP_REUSE, Subject, WASMTIME, WASMTIME_REUSE};

pub(super) const NAME: &str = "http";
/// The case of figures that belong to a subject and to no load.
const IDLE: &str = "idle";

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let cases = Case::all(bench.connections);
    let mut failed: Vec<Key> = Vec::new();
    for round in 0..bench.rounds {
        for subject in &bench.subjects {
            stop_if_interrupted()?;
            let idle = Key::new(NAME, subject.name, IDLE);
            if failed.contains(&idle) {
                continue;
            }
            eprintln!(
                "  round {} of {}: {}",
                round + 1,
                bench.rounds,
                subject.name
            );
            if let Err(error) = one_subject(bench, subject, &cases, round, &mut failed, results) {
                stop_if_interrupted()?;
                results.note(NAME, format!("{} is left out: {error:#}", subject.name));
                failed.push(idle);
            }
        }
    }
    Ok(())
}

fn one_subject(
    bench: &Bench,
    subject: &Subject,
    cases: &[Case],
    round: usize,
    failed: &mut Vec<Key>,
    results: &mut Results,
) -> Result<()> {
    let server = subject.start(bench.server_cores)?;
    let usage = server.process.usage();
    results.record(
        &Key::new(NAME, subject.name, IDLE),
        RSS_IDLE,
        round,
        measure::mib(usage.resident),
    );
    for case in cases.iter().filter(|case| subject.can(case)) {
        let key = Key::new(NAME, subject.name, &case.name);
        if failed.contains(&key) {
            continue;
        }
        let measured = measure::check(&server, case)
            .and_then(|()| measure::measure(bench, &server, case, &key, round, results));
        if let Err(error) = measured {
            stop_if_interrupted()?;
            results.note(NAME, format!("{}, {}: {error:#}", subject.name, case.name));
            failed.push(key);
        }
    }
    Ok(())
}

pub(super) fn method(bench: &Bench) -> String {
    let pinned = match (bench.server_cores, bench.load_cores) {
        (Cores::One(server), Cores::One(load)) => {
            format!("The server runs on core {server}, the load generator on core {load}")
        }
        _ => "Server and load generator share all cores".into(),
    };
    let mut text = format!(
        "{pinned}; one server runs at a time. Each of {} rounds starts every subject afresh, warms \
         each case up for {} s and measures it for {} s. Load: full speed from the bench's own \
         generator, which never sleeps, so that no subject pays for waking it (on a virtual \
         machine that interrupt costs as much as a native server's whole request); one case from \
         wrk, which does sleep unless the server is faster than itself, as does h2load for \
         HTTP/2. *CPU* is user and system time of the server's process tree divided by requests; \
         *÷ wasmtime* compares with the subject named in the list; *others* is the share of the \
         server's core that went to other processes. Skep writes its access log to a pipe, as \
         under a container runtime; the others write none. Subjects:\n\n",
        bench.rounds, bench.warm_up_seconds, bench.seconds
    );
    for subject in &bench.subjects {
        let rival = subject
            .rival
            .map(|rival| format!(" (÷ {rival})"))
            .unwrap_or_default();
        let _ = writeln!(text, "- **{}**: {}{rival}", subject.name, subject.what);
    }
    text
}

pub(super) fn tables(bench: &Bench, results: &Results) -> Vec<Table> {
    let cases = Case::all(bench.connections);
    let mut tables: Vec<Table> = cases
        .iter()
        .map(|case| table(bench, results, case))
        .collect();
    tables.retain(|table| !table.rows.is_empty());
    tables
}

fn table(bench: &Bench, results: &Results, case: &Case) -> Table {
    let header = vec![
        "subject",
        "req/s",
        "p50 ms",
        "p99 ms",
        "CPU µs/req",
        "÷ axum",
        "÷ wasmtime",
        "RSS MiB",
        "peak MiB",
        "errors",
        "others %",
    ];
    let rows = bench.subjects.iter().filter_map(|subject| {
        let key = Key::new(NAME, subject.name, &case.name);
        let cpu = results.get(&key, CPU)?;
        let median = |metric| cell(results.median(&key, metric));
        let against = |other: &str| results.ratio(&key, &Key::new(NAME, other, &case.name), CPU);
        let others = results.median(&key, OTHERS).unwrap_or_default() * 100.0;
        Some(vec![
            subject.name.to_owned(),
            median(RATE),
            median(P50),
            median(P99),
            range(cpu),
            cell(against(AXUM)),
            cell(subject.rival.and_then(against)),
            median(RSS),
            median(RSS_PEAK),
            format!("{}", results.get(&key, ERRORS).map_or(0.0, Series::sum)),
            format!("{others:.0}"),
        ])
    });
    Table {
        title: format!("{}: {}", case.name, case.what),
        header,
        rows: rows.collect(),
    }
}

/// The median and, in parentheses, lowest and highest.
fn range(series: &Series) -> String {
    let figures = [series.median(), series.min(), series.max()].map(figure);
    format!("{} ({}–{})", figures[0], figures[1], figures[2])
}

pub(super) fn goals(bench: &Bench, results: &Results) -> Vec<Goal> {
    let cases = Case::all(bench.connections);
    let ratio = |case: usize, of: &str, to: &str, metric| {
        let name = cases.get(case).map_or("", |case| &case.name);
        results.ratio(&Key::new(NAME, of, name), &Key::new(NAME, to, name), metric)
    };
    let goal = |text: &str, measured, at_most| Goal {
        text: text.to_owned(),
        measured,
        at_most,
        unit: "×",
    };
    vec![
        goal(
            "CPU of a request, fresh instances ÷ `wasmtime serve` with its pooling allocator",
            ratio(0, SKEP_FRESH, WASMTIME, CPU),
            0.55,
        ),
        goal(
            "CPU of a request, reused instances ÷ `wasmtime serve` reusing",
            ratio(0, SKEP_REUSE, WASMTIME_REUSE, CPU),
            0.75,
        ),
        goal(
            "CPU of a request, reused instances ÷ native axum",
            ratio(0, SKEP_REUSE, AXUM, CPU),
            2.0,
        ),
        goal(
            "p99 at 256 connections, fresh instances ÷ `wasmtime serve`",
            ratio(1, SKEP_FRESH, WASMTIME, P99),
            1.0,
        ),
        goal(
            "p99 at 256 connections, reused instances ÷ `wasmtime serve` reusing",
            ratio(1, SKEP_REUSE, WASMTIME_REUSE, P99),
            1.0,
        ),
    ]
}
