//! Suite `calls`: what a call of one service by another costs, beside the same call within one store,
//! and between two processes, over HTTP and over gRPC.

mod check;
mod composed;

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use crate::http::Connection;
use crate::plan::Bench;
use crate::process::{own_cpu, stop_if_interrupted};
use crate::remote::{Call, Client, Protocol};
use crate::report::{Goal, Table, cell};
use crate::results::{Key, Metric, Results};
use crate::subject::{AXUM, REUSE, SKEP_REUSE, Server, native, start};

pub(super) const NAME: &str = "calls";

const CPU_NS: Metric = Metric {
    name: "cpu_per_call",
    unit: "ns",
};
const WALL_NS: Metric = Metric {
    name: "wall_per_call",
    unit: "ns",
};

/// What is called, as the component `caller` names it; what that is; the aim, in nanoseconds of CPU
/// time. The aim of the last but one is 4 GB/s.
const CASES: [(&str, &str, f64); 7] = [
    ("u32", "u32 → u32", 1_500.0),
    ("string-100", "a string of 100 bytes, both ways", 2_000.0),
    ("bytes-16k", "list<u8> of 16 KiB", 4_000.0),
    ("bytes-1m", "list<u8> of 1 MiB", 262_144.0),
    ("points-100", "a list of 100 flat records", 3_000.0),
    (
        "items-100",
        "a list of 100 records with two strings",
        20_000.0,
    ),
    ("method", "a method of a resource", 3_000.0),
];

/// The same two components as one.
const COMPOSED: &str = "composed";

/// Between two processes: the subject, the native server that answers, what it is.
const REMOTE: [(&str, &str, Protocol, &str); 2] = [
    ("http", "http-calls", Protocol::Http, "HTTP/1.1"),
    ("grpc", "grpc-calls", Protocol::Grpc, "gRPC"),
];

/// A call is to take no more time than these percent of the same call between two processes: it is
/// thirty times faster.
const PERCENT_OF_REMOTE: f64 = 100.0 / 30.0;

/// Calls of the first request, from whose time the number of the others follows.
const FIRST: u64 = 50;

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let hundred = check::Application::new()?;
    for round in 0..bench.rounds {
        stop_if_interrupted()?;
        eprintln!("  round {} of {}", round + 1, bench.rounds);
        if bench.subject(SKEP_REUSE).is_some() {
            for subject in [SKEP_REUSE, COMPOSED] {
                let server = match subject {
                    COMPOSED => start_composed(bench)?,
                    _ => start_two(bench)?,
                };
                for (case, ..) in CASES {
                    let key = Key::new(NAME, subject, case);
                    if let Err(error) = one_case(bench, &server, &key, round, results) {
                        stop_if_interrupted()?;
                        results.note(NAME, format!("{subject}, {case}: {error:#}"));
                    }
                }
            }
            if let Err(error) = hundred.measure(bench, round, results) {
                stop_if_interrupted()?;
                results.note(NAME, format!("check: {error:#}"));
            }
        }
        if bench.subject(AXUM).is_some() {
            for (subject, kind, protocol, _) in REMOTE {
                if let Err(error) =
                    between_processes(bench, subject, kind, protocol, round, results)
                {
                    stop_if_interrupted()?;
                    results.note(NAME, format!("{subject}: {error:#}"));
                }
            }
        }
    }
    Ok(())
}

/// Has the caller make as many calls as fit into the time, in one request.
fn one_case(
    bench: &Bench,
    server: &Server,
    key: &Key,
    round: usize,
    results: &mut Results,
) -> Result<()> {
    let mut connection = Connection::to(server.address)?;
    let mut calls = |count: u64| -> Result<(Duration, Duration)> {
        let before = server.process.usage().cpu;
        let began = Instant::now();
        let answer = connection.get(&format!("/{}/{count}", key.case))?;
        let took = began.elapsed();
        ensure!(
            answer.status == 200,
            "answered with status {}",
            answer.status
        );
        Ok((took, server.process.usage().cpu.saturating_sub(before)))
    };
    // The first ones make the instances.
    calls(FIRST)?;
    let (took, _) = calls(FIRST)?;
    let wanted = bench.seconds as f64 / took.as_secs_f64().max(1e-6) * FIRST as f64;
    let count = (wanted as u64).max(FIRST);
    let (took, cpu) = calls(count)?;
    for (metric, time) in [(CPU_NS, cpu), (WALL_NS, took)] {
        let each = time.as_secs_f64() * 1e9 / count as f64;
        results.record(key, metric, round, each);
    }
    Ok(())
}

/// One call after the other, over one connection. The CPU time is that of both processes.
fn between_processes(
    bench: &Bench,
    subject: &str,
    kind: &str,
    protocol: Protocol,
    round: usize,
    results: &mut Results,
) -> Result<()> {
    let server = start(bench.server_cores, "/", &|address| native(kind, address))?;
    let mut client = Client::to(protocol, server.address)?;
    let time = Duration::from_secs(bench.seconds);
    for call in Call::ALL {
        client.call(call, |count| count < FIRST)?;
        let (server_before, own_before) = (server.process.usage().cpu, own_cpu());
        let began = Instant::now();
        let count = client.call(call, |_| began.elapsed() < time)?;
        let took = began.elapsed();
        let cpu = server.process.usage().cpu.saturating_sub(server_before)
            + own_cpu().saturating_sub(own_before);
        let key = Key::new(NAME, subject, call.case());
        for (metric, time) in [(CPU_NS, cpu), (WALL_NS, took)] {
            let each = time.as_secs_f64() * 1e9 / count.max(1) as f64;
            results.record(&key, metric, round, each);
        }
    }
    Ok(())
}

fn start_two(bench: &Bench) -> Result<Server> {
    let caller = bench.programs.component("caller.wasm")?;
    let callee = bench.programs.component("callee.wasm")?;
    let launch = |address: SocketAddr| {
        let text = format!(
            "name = \"bench\"\n[http]\nlisten = \"{address}\"\n\
             [service.caller]\ncomponent = {caller:?}\nroutes = [\"/{{*rest}}\"]\n\
             instances = {{ warm = 1, reuse = {REUSE} }}\n\
             limits = {{ cpu = \"300s\", deadline = \"300s\" }}\n\
             [service.callee]\ncomponent = {callee:?}\n\
             instances = {{ warm = 1, reuse = {REUSE} }}\n"
        );
        bench.programs.application(&text)
    };
    start(bench.server_cores, "/nothing/0", &launch).context("starting skep with two services")
}

/// Both in one component, as one service.
fn start_composed(bench: &Bench) -> Result<Server> {
    let caller = bench.programs.component("caller.wasm")?;
    let callee = bench.programs.component("callee.wasm")?;
    let composed = composed::compose(&caller, &callee).context("composing caller and callee")?;
    let launch = |address: SocketAddr| {
        let text = format!(
            "name = \"bench\"\n[http]\nlisten = \"{address}\"\n\
             [service.composed]\ncomponent = \"composed.wasm\"\nroutes = [\"/{{*rest}}\"]\n\
             instances = {{ warm = 1, reuse = {REUSE} }}\n\
             limits = {{ cpu = \"300s\", deadline = \"300s\" }}\n"
        );
        let launch = bench.programs.application(&text)?;
        let files = launch.files.as_ref().context("it has a directory")?;
        std::fs::write(files.path().join("composed.wasm"), &composed)?;
        Ok(launch)
    };
    start(bench.server_cores, "/nothing/0", &launch).context("starting skep with the composition")
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "Two services in one process, instances kept. A request makes one of them call the other as \
         often as fits into {} s; the CPU time of the whole process and the time by the clock, each \
         divided by the number of calls, are what a call costs: the caller's guest, the host, the \
         callee's guest. Medians of {} rounds. Beside it, the same two components composed into one, \
         which is one service: they share a store, a deadline and a life, and a call between them is \
         what wasmtime compiled. And the same calls from one native process to another over loopback, \
         one after the other over one connection: as JSON over HTTP/1.1 from hyper to axum, and as \
         protobuf over gRPC from tonic to tonic, each on a connection of hyper's. There bytes are the \
         body itself and not JSON, and the method is a request with an id in its path, or in its \
         message. The CPU time is that of both processes; the client has one thread and a core of its \
         own.\n\nThe hundred services have a contract each and no code that does anything; each calls up \
         to four others. Time from spawning `skep check` to its end, with its files in the page cache.",
        bench.seconds, bench.rounds
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let row = |what: String, key: &Key| {
        results.get(key, CPU_NS)?;
        let mut row = vec![
            what,
            cell(results.median(key, CPU_NS)),
            cell(results.median(key, WALL_NS)),
        ];
        let composed = Key::new(NAME, COMPOSED, key.case.as_str());
        row.push(cell(results.ratio(key, &composed, CPU_NS)));
        for (subject, ..) in REMOTE {
            let remote = Key::new(NAME, subject, key.case.as_str());
            for metric in [CPU_NS, WALL_NS] {
                row.push(cell(results.ratio(&remote, key, metric)));
            }
        }
        Some(row)
    };
    let calls = CASES
        .iter()
        .filter_map(|(case, what, _)| row((*what).to_owned(), &Key::new(NAME, SKEP_REUSE, *case)));
    let composed = CASES.iter().filter_map(|(case, what, _)| {
        row(
            format!("{what}, in one store"),
            &Key::new(NAME, COMPOSED, *case),
        )
    });
    let remote = REMOTE.iter().flat_map(|(subject, _, _, how)| {
        Call::ALL.into_iter().filter_map(move |call| {
            let what = CASES.iter().find(|(case, ..)| *case == call.case())?.1;
            let key = Key::new(NAME, *subject, call.case());
            row(format!("{what}, over {how}"), &key)
        })
    });
    let calls = Table {
        title: "A call".into(),
        header: vec![
            "call",
            "CPU ns",
            "wall ns",
            "its CPU ÷ one store's",
            "HTTP's CPU ÷ it",
            "HTTP's wall ÷ it",
            "gRPC's CPU ÷ it",
            "gRPC's wall ÷ it",
        ],
        rows: calls.chain(composed).chain(remote).collect(),
    };
    vec![calls, check::table(results)]
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let costs = CASES.iter().map(|(case, what, most)| Goal {
        text: format!("CPU of a call: {what}"),
        measured: results.median(&Key::new(NAME, SKEP_REUSE, *case), CPU_NS),
        at_most: *most,
        unit: "ns",
    });
    let (case, what, _) = CASES[0];
    let parts = REMOTE.iter().map(|(subject, _, _, how)| {
        let call = Key::new(NAME, SKEP_REUSE, case);
        let remote = Key::new(NAME, *subject, case);
        Goal {
            text: format!("wall time of a call ÷ the same over {how}: {what}"),
            measured: results
                .ratio(&call, &remote, WALL_NS)
                .map(|part| part * 100.0),
            at_most: PERCENT_OF_REMOTE,
            unit: "%",
        }
    });
    costs.chain(parts).chain(check::goals(results)).collect()
}
