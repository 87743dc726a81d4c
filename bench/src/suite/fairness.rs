//! Suite `fairness`: what the clients of one service notice of guests that compute in another.
//!
//! A victim asks for a short answer, undisturbed and then beside so many requests that compute,
//! against the same running server: one `skep run` with a service for each, and one `wasmtime
//! serve` whose only component does both.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

use crate::case::Case;
use crate::http;
use crate::load::Load;
use crate::measure;
use crate::plan::Bench;
use crate::process::{Cores, stop_if_interrupted};
use crate::report::{Goal, Table, cell};
use crate::results::{ERRORS, Key, Metric, P50, P99, RATE, Results, Series};
use crate::subject::{SKEP_FRESH, Server, WASMTIME, start, wasmtime};

pub(super) const NAME: &str = "fairness";
/// Requests under way that compute.
const HOGS: [usize; 4] = [0, 2, 16, 64];
/// What each computes: some ten milliseconds.
const HOG_PATH: &str = "/compute/10";
/// Until the hogs are at work, all of them.
const GATHER: Duration = Duration::from_millis(1500);
const CONNECTIONS: usize = 32;
/// Between an answer and the victim's next request, where it does not ask as fast as it can.
const PAUSE: Duration = Duration::from_millis(10);
const WINDOWS: usize = 3;
/// After this long a hog is not answered any more.
const HOG_TIMEOUT: Duration = Duration::from_secs(60);

const P50_RATIO: Metric = Metric {
    name: "latency_p50_ratio",
    unit: "x",
};
const P99_RATIO: Metric = Metric {
    name: "latency_p99_ratio",
    unit: "x",
};
const RATE_RATIO: Metric = Metric {
    name: "requests_lost_ratio",
    unit: "x",
};
const HOG_RATE: Metric = Metric {
    name: "hogs_per_second",
    unit: "1/s",
};
const CORE: Metric = Metric {
    name: "core_used",
    unit: "share",
};

/// How the victim asks.
#[derive(Clone, Copy)]
enum Pace {
    Paced,
    Full,
}

impl Pace {
    const ALL: [Self; 2] = [Self::Paced, Self::Full];

    fn name(self, hogs: usize) -> String {
        match self {
            Self::Paced => format!("paced-{hogs}-hogs"),
            Self::Full => format!("full-{hogs}-hogs"),
        }
    }

    fn case(self) -> Case {
        let pause = match self {
            Self::Paced => PAUSE,
            Self::Full => Duration::ZERO,
        };
        Case {
            pause,
            ..Case::hello(CONNECTIONS)
        }
    }
}

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let component = bench.programs.component("probe.wasm")?;
    for round in 0..bench.rounds {
        for subject in [WASMTIME, SKEP_FRESH] {
            if bench.subject(subject).is_none() {
                continue;
            }
            stop_if_interrupted()?;
            eprintln!("  round {} of {}: {subject}", round + 1, bench.rounds);
            if let Err(error) = one_subject(bench, subject, &component, round, results) {
                stop_if_interrupted()?;
                results.note(NAME, format!("{subject}: {error:#}"));
            }
        }
    }
    Ok(())
}

fn one_subject(
    bench: &Bench,
    subject: &str,
    component: &PathBuf,
    round: usize,
    results: &mut Results,
) -> Result<()> {
    let server = launch(bench, subject, component)?;
    for pace in Pace::ALL {
        let case = pace.case();
        measure::windows(bench, &server, &case, bench.warm_up_seconds, 1)?;
        let mut calm: Option<Load> = None;
        for hogs in HOGS {
            let key = Key::new(NAME, subject, pace.name(hogs));
            let load = beside(bench, &server, &case, hogs, &key, round, results)?;
            measure::record_load(results, &key, round, &load);
            let calm = calm.get_or_insert_with(|| load.clone());
            let rate = |load: &Load| load.requests as f64 / load.seconds.max(1e-9);
            // Where nothing was answered, everything was lost.
            let ratio = |with: f64, without: f64| match load.requests {
                0 => f64::INFINITY,
                _ => with / without.max(1e-6),
            };
            for (metric, value) in [
                (P50_RATIO, ratio(load.p50_ms, calm.p50_ms)),
                (P99_RATIO, ratio(load.p99_ms, calm.p99_ms)),
                (RATE_RATIO, ratio(rate(calm), rate(&load))),
            ] {
                results.record(&key, metric, round, value);
            }
        }
    }
    Ok(())
}

/// The victim's figures beside so many hogs, whose own figures are recorded.
fn beside(
    bench: &Bench,
    server: &Server,
    case: &Case,
    hogs: usize,
    key: &Key,
    round: usize,
    results: &mut Results,
) -> Result<Load> {
    let (over, answered) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..hogs {
            scope.spawn(|| hog(server.address, &over, &answered));
        }
        if hogs > 0 {
            thread::sleep(GATHER);
        }
        let (began, cpu) = (Instant::now(), server.process.usage().cpu);
        let before = answered.load(Ordering::Relaxed);
        let load = measure::windows(bench, server, case, bench.seconds, WINDOWS);
        let time = began.elapsed().as_secs_f64();
        let answered = answered.load(Ordering::Relaxed) - before;
        let cpu = server.process.usage().cpu.saturating_sub(cpu);
        over.store(true, Ordering::Relaxed);
        results.record(key, HOG_RATE, round, answered as f64 / time);
        results.record(key, CORE, round, cpu.as_secs_f64() / time);
        load
    })
}

/// Has the server compute again and again.
fn hog(server: SocketAddr, over: &AtomicBool, answered: &AtomicU64) {
    while !over.load(Ordering::Relaxed) {
        match http::ask_within(HOG_TIMEOUT, server, "GET", HOG_PATH, 0) {
            Ok(answer) if answer.status == 200 => {
                answered.fetch_add(1, Ordering::Relaxed);
            }
            // Refused or overdue: what it has left is the others'.
            _ => thread::sleep(Duration::from_millis(100)),
        }
    }
}

fn launch(bench: &Bench, subject: &str, component: &PathBuf) -> Result<Server> {
    let launch = |address| {
        if subject == WASMTIME {
            let tool = bench.tools.wasmtime.as_ref();
            let tool = tool.context("wasmtime is missing")?;
            let flags = ["-Opooling-allocator=y".to_owned()];
            return Ok(wasmtime(tool, component, &flags, address)?.into());
        }
        let manifest = manifest_text(component, address);
        bench.programs.application(&manifest)
    };
    let cores: Cores = bench.server_cores;
    start(cores, "/", &launch).with_context(|| format!("starting {subject}"))
}

fn manifest_text(component: &PathBuf, address: SocketAddr) -> String {
    let service = |name: &str, route: &str, limits: &str| {
        format!("\n[service.{name}]\ncomponent = {component:?}\nroutes = [{route:?}]\n{limits}")
    };
    format!(
        "name = \"bench\"\n\n[http]\nlisten = \"{address}\"\n{}{}",
        service("victim", "/", ""),
        service(
            "hog",
            "/compute/{n}",
            "limits = { cpu = \"60s\", deadline = \"60s\" }\n"
        )
    )
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "A victim asks `/` over {CONNECTIONS} connections, once with pauses of about {} ms and \
         once as fast as it is answered, beside 0, 2, 16 and 64 connections that ask \
         `{HOG_PATH}` (some 10 ms of computing) again and again, each on a connection of its own. \
         Skep runs the component as two services, `wasmtime serve` as one; both are pinned to \
         one core. Ratios are to the figures without hogs in the same round: of latencies with ÷ \
         without, of requests without ÷ with. *Hogs/s* are their answers; *core* is how much of \
         the core the server used altogether. Medians of {} rounds with {WINDOWS} windows of {} s.",
        PAUSE.as_millis(),
        bench.rounds,
        bench.seconds
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let header = vec![
        "subject, hogs",
        "req/s",
        "p50 ms",
        "p99 ms",
        "p50 ÷ calm",
        "p99 ÷ calm",
        "calm req/s ÷",
        "hogs/s",
        "core",
        "errors",
    ];
    let row = |subject: &str, pace: Pace, hogs: usize| {
        let key = Key::new(NAME, subject, pace.name(hogs));
        results.get(&key, P99)?;
        let median = |metric| cell(results.median(&key, metric));
        Some(vec![
            format!("{subject}, {hogs}"),
            median(RATE),
            median(P50),
            median(P99),
            median(P50_RATIO),
            median(P99_RATIO),
            median(RATE_RATIO),
            median(HOG_RATE),
            median(CORE),
            format!("{}", results.get(&key, ERRORS).map_or(0.0, Series::sum)),
        ])
    };
    let table = |pace: Pace| {
        let rows = [SKEP_FRESH, WASMTIME]
            .iter()
            .flat_map(|subject| HOGS.map(|hogs| row(subject, pace, hogs)));
        Table {
            title: match pace {
                Pace::Paced => "A victim that asks now and then".into(),
                Pace::Full => "A victim that asks as fast as it is answered".into(),
            },
            header: header.clone(),
            rows: rows.flatten().collect(),
        }
    };
    Pace::ALL.map(table).into()
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let goal = |pace: Pace, hogs: usize| {
        let key = Key::new(NAME, SKEP_FRESH, pace.name(hogs));
        let of = |what: &str, metric, at_most| Goal {
            text: format!("{what}, {}", pace.name(hogs)),
            measured: results.median(&key, metric),
            at_most,
            unit: "×",
        };
        [
            of("victim's p50 ÷ undisturbed", P50_RATIO, 1.5),
            of("victim's p99 ÷ undisturbed", P99_RATIO, 3.0),
            of("undisturbed requests ÷ victim's", RATE_RATIO, 1.0 / 0.7),
        ]
    };
    Pace::ALL
        .into_iter()
        .flat_map(|pace| [16, 64].into_iter().flat_map(move |hogs| goal(pace, hogs)))
        .collect()
}
