//! One measurement: a running server under one case.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::case::Case;
use crate::http;
use crate::load::{self, Load};
use crate::machine::CoreWatch;
use crate::plan::Bench;
use crate::results::{CPU, ERRORS, Key, OTHERS, P50, P99, RATE, RSS, RSS_PEAK, Results, median};
use crate::subject::Server;

const MIB: f64 = 1024.0 * 1024.0;

/// Bytes as MiB.
pub(crate) fn mib(bytes: u64) -> f64 {
    bytes as f64 / MIB
}

/// Warms the server up, loads it, and records every metric of the case.
pub(crate) fn measure(
    bench: &Bench,
    server: &Server,
    case: &Case,
    key: &Key,
    round: usize,
    results: &mut Results,
) -> Result<()> {
    let load = |seconds| {
        load::run(
            &bench.tools,
            server.address,
            case,
            seconds,
            bench.load_cores,
        )
    };
    load(bench.warm_up_seconds)?;
    server.process.reset_peak();
    let before = server.process.usage();
    let watch = CoreWatch::start(bench.server_core);
    let load = load(bench.seconds)?;
    let after = server.process.usage();
    ensure!(load.requests > 0, "nothing was answered under load");
    let cpu = after.cpu.saturating_sub(before.cpu);
    let requests = load.requests.max(1) as f64;
    for (metric, value) in [
        (RATE, load.requests as f64 / load.seconds.max(1e-9)),
        (P50, load.p50_ms),
        (P99, load.p99_ms),
        (CPU, micros(cpu) / requests),
        (RSS, mib(after.resident)),
        (RSS_PEAK, mib(after.peak)),
        (ERRORS, load.errors as f64),
        (OTHERS, watch.others(cpu)),
    ] {
        results.record(key, metric, round, value);
    }
    Ok(())
}

/// What a client saw over some windows, its latencies as medians over them: one moment in which
/// the machine was busy with something else must not be taken for what is measured.
pub(crate) fn windows(
    bench: &Bench,
    server: &Server,
    case: &Case,
    seconds: u64,
    count: usize,
) -> Result<Load> {
    let window = || {
        load::run(
            &bench.tools,
            server.address,
            case,
            seconds,
            bench.load_cores,
        )
    };
    let windows = (0..count)
        .map(|_| window())
        .collect::<Result<Vec<Load>>>()?;
    let middle = |of: fn(&Load) -> f64| median(windows.iter().map(of).collect());
    Ok(Load {
        requests: windows.iter().map(|load| load.requests).sum(),
        seconds: windows.iter().map(|load| load.seconds).sum(),
        p50_ms: middle(|load| load.p50_ms),
        p99_ms: middle(|load| load.p99_ms),
        max_ms: middle(|load| load.max_ms),
        errors: windows.iter().map(|load| load.errors).sum(),
    })
}

/// What a client saw: rate, latencies, errors.
pub(crate) fn record_load(results: &mut Results, key: &Key, round: usize, load: &Load) {
    results.record(
        key,
        RATE,
        round,
        load.requests as f64 / load.seconds.max(1e-9),
    );
    // Where nothing was answered, no answer took any time.
    let or_never = |time: f64| {
        if load.requests == 0 {
            f64::INFINITY
        } else {
            time
        }
    };
    results.record(key, P50, round, or_never(load.p50_ms));
    results.record(key, P99, round, or_never(load.p99_ms));
    results.record(key, ERRORS, round, load.errors as f64);
}

/// Asks once and looks at the answer: a fast wrong answer must not be measured.
pub(crate) fn check(server: &Server, case: &Case) -> Result<()> {
    for path in &case.paths {
        let answer = http::ask(server.address, &case.method, path, case.body)?;
        if answer.status != 200 || answer.body.len() < case.answer {
            bail!(
                "{} {path} was answered with status {} and {} bytes, wanted 200 and at least {}",
                case.method,
                answer.status,
                answer.body.len(),
                case.answer
            );
        }
    }
    Ok(())
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}
