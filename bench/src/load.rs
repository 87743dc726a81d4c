//! Puts a server under load: with our own [`client`](crate::client), with wrk or with h2load, and
//! reads what they report.

use std::fs;
use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use crate::case::{Case, Protocol};
use crate::process::{Cores, Process};
use crate::tools::Tools;

/// Begins the line in which the wrk script reports.
const SCRIPT_MARK: &str = "wrk-result ";
/// A request that takes longer is an error in the report.
const REQUEST_TIMEOUT_SECONDS: u64 = 10;
/// What a generator may take on top of its time: to connect, to end, to sort its latencies.
const GRACE: Duration = Duration::from_secs(30);

/// What came of a load.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Load {
    pub(crate) requests: u64,
    pub(crate) seconds: f64,
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    pub(crate) max_ms: f64,
    /// Refused or broken connections, time-outs, statuses of 400 and more, answers that are too
    /// short.
    pub(crate) errors: u64,
}

/// Loads `server` with `case` for `seconds`.
pub(crate) fn run(
    tools: &Tools,
    server: SocketAddr,
    case: &Case,
    seconds: u64,
    cores: Cores,
) -> Result<Load> {
    match case.protocol {
        Protocol::Http1 => own(server, case, seconds, cores),
        Protocol::Http1Wrk => wrk(tools, server, case, seconds, cores),
        Protocol::Http2 { streams } => h2load(tools, server, case, seconds, streams, cores),
    }
}

/// Our own generator, `client`, as a process: so it can be pinned like the others.
fn own(server: SocketAddr, case: &Case, seconds: u64, cores: Cores) -> Result<Load> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["load", "--server", &server.to_string()])
        .args(["--seconds", &seconds.to_string()])
        .arg(serde_json::to_string(case)?);
    let mut process = Process::spawn(command, cores)?;
    let status = process.wait(Duration::from_secs(seconds) + GRACE)?;
    let output = process.output();
    serde_json::from_str(&output)
        .with_context(|| format!("the load ended with {status}:\n{output}"))
}

fn wrk(tools: &Tools, server: SocketAddr, case: &Case, seconds: u64, cores: Cores) -> Result<Load> {
    let script = tempfile::Builder::new()
        .prefix("skep-bench")
        .suffix(".lua")
        .tempfile()?;
    fs::write(script.path(), WRK_SCRIPT).context("writing the wrk script")?;
    let path = case.paths.first().map_or("/", String::as_str);
    let mut command = tools.wrk.command();
    command
        .args([
            "--threads",
            "1",
            "--connections",
            &case.connections.to_string(),
        ])
        .args(["--duration", &format!("{seconds}s")])
        .args([
            "--timeout",
            &format!("{REQUEST_TIMEOUT_SECONDS}s"),
            "--script",
        ])
        .arg(script.path())
        .arg(format!("http://{server}{path}"));
    let mut process = Process::spawn(command, cores)?;
    let status = process.wait(Duration::from_secs(seconds) + GRACE)?;
    let output = process.output();
    read_wrk(&output, case).with_context(|| format!("wrk ended with {status}:\n{output}"))
}

/// Prints what came of the load as one line of JSON.
const WRK_SCRIPT: &str = r#"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    "\nwrk-result {\"requests\":%d,\"micros\":%d,\"bytes\":%d,\"p50\":%d,\"p99\":%d,\"max\":%d,"
    .. "\"connect\":%d,\"read\":%d,\"write\":%d,\"status\":%d,\"timeout\":%d}\n",
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
"#;

#[derive(Deserialize)]
struct WrkResult {
    requests: u64,
    micros: u64,
    bytes: u64,
    p50: u64,
    p99: u64,
    max: u64,
    connect: u64,
    read: u64,
    write: u64,
    status: u64,
    timeout: u64,
}

fn read_wrk(output: &str, case: &Case) -> Result<Load> {
    let line = output
        .lines()
        .find_map(|line| line.strip_prefix(SCRIPT_MARK));
    let result: WrkResult = serde_json::from_str(line.context("wrk reported nothing")?)?;
    // wrk has no eye for bodies; their sum tells when answers were cut short.
    let whole = result.bytes / (case.answer as u64).max(1);
    let cut = result.requests.saturating_sub(whole);
    Ok(Load {
        requests: result.requests,
        seconds: result.micros as f64 / 1e6,
        p50_ms: result.p50 as f64 / 1e3,
        p99_ms: result.p99 as f64 / 1e3,
        max_ms: result.max as f64 / 1e3,
        errors: result.connect + result.read + result.write + result.status + result.timeout + cut,
    })
}

fn h2load(
    tools: &Tools,
    server: SocketAddr,
    case: &Case,
    seconds: u64,
    streams: usize,
    cores: Cores,
) -> Result<Load> {
    let tool = tools.h2load.as_ref().context("h2load is not installed")?;
    let log = tempfile::Builder::new()
        .prefix("skep-bench")
        .suffix(".tsv")
        .tempfile()?;
    let path = case.paths.first().map_or("/", String::as_str);
    let mut command = tool.command();
    command
        .args(["--threads", "1", "--clients", &case.connections.to_string()])
        .args(["--max-concurrent-streams", &streams.to_string()])
        .args(["--duration", &seconds.to_string()])
        .arg("--log-file")
        .arg(log.path())
        .arg(format!("http://{server}{path}"));
    let mut process = Process::spawn(command, cores)?;
    let status = process.wait(Duration::from_secs(seconds) + GRACE)?;
    let requests = fs::read_to_string(log.path()).context("reading h2load's log")?;
    read_h2load(&requests, seconds)
        .with_context(|| format!("h2load ended with {status}:\n{}", process.output()))
}

/// One line per request: start in µs since the epoch, status, duration in µs.
fn read_h2load(log: &str, seconds: u64) -> Result<Load> {
    let mut micros = Vec::new();
    let mut errors = 0;
    for line in log.lines() {
        let mut words = line.split_whitespace().skip(1);
        let status: i32 = words.next().context("line without a status")?.parse()?;
        let time: u64 = words.next().context("line without a duration")?.parse()?;
        if (200..300).contains(&status) {
            micros.push(time);
        } else {
            errors += 1;
        }
    }
    micros.sort_unstable();
    let percentile = |part: usize| {
        let index = micros.len().saturating_mul(part) / 100;
        micros
            .get(index)
            .or(micros.last())
            .map_or(0.0, |time| *time as f64 / 1e3)
    };
    anyhow::ensure!(!micros.is_empty() || errors > 0, "no request was answered");
    Ok(Load {
        requests: micros.len() as u64 + errors,
        seconds: seconds as f64,
        p50_ms: percentile(50),
        p99_ms: percentile(99),
        max_ms: percentile(100),
        errors,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrk_results_count_errors_and_cut_answers() {
        let line = |requests: u64, bytes: u64| {
            format!(
                "Running 1s test\n{SCRIPT_MARK}{{\"requests\":{requests},\"micros\":2000000,\"bytes\":{bytes},\
                 \"p50\":150,\"p99\":2500,\"max\":3000,\
                 \"connect\":1,\"read\":0,\"write\":0,\"status\":2,\"timeout\":0}}\n"
            )
        };
        let case = Case {
            answer: 100,
            ..Case::hello(1)
        };
        let load = read_wrk(&line(10, 1500), &case).expect("a result");
        assert_eq!((load.requests, load.seconds, load.errors), (10, 2.0, 3));
        assert_eq!((load.p50_ms, load.p99_ms, load.max_ms), (0.15, 2.5, 3.0));
        assert_eq!(
            read_wrk(&line(10, 800), &case).expect("a result").errors,
            3 + 2
        );
        assert!(read_wrk("unable to connect", &case).is_err());
    }

    #[test]
    fn h2load_percentiles_come_from_its_log() {
        let log: String = (1..=100)
            .map(|time| format!("170000\t200\t{time}000\n"))
            .collect();
        let load = read_h2load(&(log + "170000\t503\t9\n170000\t-1\t9\n"), 2).expect("a result");
        assert_eq!((load.requests, load.errors), (102, 2));
        assert_eq!(
            (load.p50_ms, load.p99_ms, load.max_ms),
            (51.0, 100.0, 100.0)
        );
        assert!(read_h2load("", 1).is_err());
    }
}
