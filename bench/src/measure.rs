//! One measurement: a running server under one case.

use std::time::Duration;

use anyhow::{Result, bail, ensure};

use crate::case::Case;
use crate::http;
use crate::load;
use crate::machine::CoreWatch;
use crate::plan::Bench;
use crate::results::{CPU, ERRORS, Key, OTHERS, P50, P99, RATE, RSS, RSS_PEAK, Results};
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
