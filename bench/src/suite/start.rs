//! Suite `start`: from spawning the process to the first answer, with a compiled cache that is
//! warm, as after any restart.

use std::time::Instant;

use anyhow::Result;

use super::services::{paths, start_services};
use crate::http;
use crate::plan::Bench;
use crate::process::{Cores, stop_if_interrupted};
use crate::report::{Goal, Table, cell, figure};
use crate::results::{Key, Metric, Results, Series};
use crate::subject::{AXUM, SKEP_FRESH, WASMTIME};

pub(super) const NAME: &str = "start";
const COUNTS: [usize; 3] = [1, 5, 100];
/// Starts per subject; a median of fewer jumps about.
const STARTS: usize = 10;
const FIRST: Metric = Metric {
    name: "first_answer",
    unit: "ms",
};
const ALL: Metric = Metric {
    name: "all_answered",
    unit: "ms",
};

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let starts = if bench.quick { 3 } else { STARTS };
    if bench.subject(SKEP_FRESH).is_some() {
        // Unmeasured: fills the compiled cache, and shows whether the host starts at all.
        if let Err(error) = start_services(&bench.programs, 1, None, Cores::All) {
            stop_if_interrupted()?;
            results.note(NAME, format!("{SKEP_FRESH} is left out: {error:#}"));
        } else {
            for round in 0..starts {
                for count in COUNTS {
                    skep_once(bench, count, round, results)?;
                }
                eprintln!("  start {} of {starts}: {SKEP_FRESH}", round + 1);
            }
        }
    }
    for name in [AXUM, WASMTIME] {
        let Some(subject) = bench.subject(name) else {
            continue;
        };
        // The first one is not counted: it warms caches up.
        for round in 0..=starts {
            let begin = Instant::now();
            if let Err(error) = subject.start(Cores::All) {
                stop_if_interrupted()?;
                results.note(NAME, format!("{name} is left out: {error:#}"));
                break;
            }
            if round > 0 {
                results.record(&Key::new(NAME, name, case(1)), FIRST, round, millis(begin));
            }
        }
        eprintln!("  {starts} starts: {name}");
    }
    Ok(())
}

fn skep_once(bench: &Bench, count: usize, round: usize, results: &mut Results) -> Result<()> {
    let key = Key::new(NAME, SKEP_FRESH, case(count));
    let begin = Instant::now();
    let server = start_services(&bench.programs, count, None, Cores::All)?;
    results.record(&key, FIRST, round, millis(begin));
    for path in paths(count) {
        // One that is still starting answers 503; it counts when it has answered 200.
        while http::ask(server.address, "GET", &path, 0).is_ok_and(|answer| answer.status != 200) {
            stop_if_interrupted()?;
        }
    }
    results.record(&key, ALL, round, millis(begin));
    Ok(())
}

fn case(count: usize) -> String {
    format!("services-{count}")
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "Time from spawning the process until the first service has answered 200, and until every \
         service has, asked one after the other; median of {} starts, with the files in the page \
         cache and the compiled cache warm, that of `wasmtime serve` too. Processes may use all cores.",
        if bench.quick { 3 } else { STARTS }
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let mut rows = Vec::new();
    for (subject, counts) in [
        (SKEP_FRESH, COUNTS.as_slice()),
        (AXUM, &[1]),
        (WASMTIME, &[1]),
    ] {
        for count in counts {
            let key = Key::new(NAME, subject, case(*count));
            if let Some(first) = results.get(&key, FIRST) {
                rows.push(vec![
                    subject.to_owned(),
                    count.to_string(),
                    figure(first.median()),
                    span(first),
                    cell(results.median(&key, ALL)),
                ]);
            }
        }
    }
    let header = vec![
        "subject",
        "services",
        "first answer ms",
        "lowest–highest",
        "all answered ms",
    ];
    vec![Table {
        title: "Start to answer".into(),
        header,
        rows,
    }]
}

fn span(series: &Series) -> String {
    format!("{}–{}", figure(series.min()), figure(series.max()))
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let goal = |count: usize, at_most| Goal {
        text: format!("first answer of {count} services, warm compiled cache"),
        measured: results.median(&Key::new(NAME, SKEP_FRESH, case(count)), FIRST),
        at_most,
        unit: "ms",
    };
    vec![goal(5, 60.0), goal(100, 400.0)]
}
