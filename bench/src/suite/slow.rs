//! Suite `slow`: what other clients notice of ten thousand idle connections and of a thousand
//! that send their headers or bodies slowly.
//!
//! A victim asks at a moderate pace, undisturbed and then under each attack, against the same
//! running server.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::case::Case;
use crate::load::Load;
use crate::measure;
use crate::plan::Bench;
use crate::process::{Process, stop_if_interrupted};
use crate::report::{Goal, Table, cell, figure};
use crate::results::{ERRORS, Key, Metric, P50, P99, RATE, Results, Series};
use crate::subject::{AXUM, NGINX, SKEP_FRESH, Server, Subject, WASMTIME};
use crate::tools::Tool;

pub(super) const NAME: &str = "slow";
const IDLE_CONNECTIONS: usize = 10_000;
const SLOW_SENDERS: usize = 1_000;
/// How long slow senders may take to connect before the victim is looked at.
const GATHER: Duration = Duration::from_secs(3);
/// How long a server may take to give memory back after an attack.
const RECOVER: Duration = Duration::from_secs(2);
/// The victim's pace: 32 connections with about this pause use a small part of a core.
const VICTIM_CONNECTIONS: usize = 32;
const WINDOWS: usize = 3;
/// Six thousand answers at the victim's pace: enough for a 99th percentile.
const WINDOW_SECONDS_AT_MOST: u64 = 2;
const VICTIM_PAUSE: Duration = Duration::from_millis(10);
/// More rounds would take long and say no more.
const ROUNDS_AT_MOST: usize = 2;
/// After so many connections in vain the server is taken not to accept any more.
const REFUSALS_AT_MOST: usize = 10;
const CONNECT_TIMEOUT: Duration = Duration::from_millis(500);

/// The others would only repeat these.
const SUBJECTS: [&str; 4] = [AXUM, NGINX, WASMTIME, SKEP_FRESH];
const UNDISTURBED: &str = "undisturbed";
const ATTACKS: [Attack; 3] = [Attack::Idle, Attack::SlowHeaders, Attack::SlowBody];
const P99_RATIO: Metric = Metric {
    name: "latency_p99_ratio",
    unit: "x",
};
const GROWTH: Metric = Metric {
    name: "rss_growth",
    unit: "MiB",
};
const LEFT: Metric = Metric {
    name: "rss_growth_left",
    unit: "MiB",
};
const HELD: Metric = Metric {
    name: "connections_held",
    unit: "connections",
};

#[derive(Clone, Copy, PartialEq, Eq)]
enum Attack {
    Idle,
    SlowHeaders,
    SlowBody,
}

impl Attack {
    fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle-10000",
            Self::SlowHeaders => "slow-headers-1000",
            Self::SlowBody => "slow-body-1000",
        }
    }
}

pub(super) fn run(bench: &Bench, results: &mut Results) -> Result<()> {
    let rounds = bench.rounds.min(ROUNDS_AT_MOST);
    for round in 0..rounds {
        for subject in SUBJECTS.iter().filter_map(|name| bench.subject(name)) {
            stop_if_interrupted()?;
            eprintln!("  round {} of {rounds}: {}", round + 1, subject.name);
            if let Err(error) = one_subject(bench, subject, round, results) {
                stop_if_interrupted()?;
                results.note(NAME, format!("{}: {error:#}", subject.name));
            }
        }
    }
    Ok(())
}

fn one_subject(
    bench: &Bench,
    subject: &Subject,
    round: usize,
    results: &mut Results,
) -> Result<()> {
    let mut server = subject.start(bench.server_cores)?;
    victim(bench, &server)?;
    for attack in ATTACKS {
        let calm = victim(bench, &server)?;
        let key = Key::new(NAME, subject.name, UNDISTURBED);
        measure::record_load(results, &key, round, &calm);
        let before = server.process.usage().resident;
        server.process.reset_peak();

        let key = Key::new(NAME, subject.name, attack.name());
        let (load, held) = match attack {
            Attack::Idle => beside_idle(bench, &server)?,
            Attack::SlowHeaders => beside_slow(bench, &server, "-H")?,
            Attack::SlowBody => beside_slow(bench, &server, "-B")?,
        };
        let peak = server.process.usage().peak;
        thread::sleep(RECOVER);
        let after = server.process.usage().resident;
        measure::record_load(results, &key, round, &load);
        let starved = load.requests == 0;
        let ratio = if starved {
            f64::INFINITY
        } else {
            load.p99_ms / calm.p99_ms.max(1e-3)
        };
        results.record(&key, P99_RATIO, round, ratio);
        results.record(&key, HELD, round, held as f64);
        results.record(
            &key,
            GROWTH,
            round,
            measure::mib(peak.saturating_sub(before)),
        );
        results.record(
            &key,
            LEFT,
            round,
            measure::mib(after.saturating_sub(before)),
        );
        if !server.process.is_running() {
            bail!(
                "it ended under {}:\n{}",
                attack.name(),
                server.process.output()
            );
        }
    }
    Ok(())
}

fn window_seconds(bench: &Bench) -> u64 {
    bench.seconds.min(WINDOW_SECONDS_AT_MOST)
}

fn victim(bench: &Bench, server: &Server) -> Result<Load> {
    let case = Case {
        pause: VICTIM_PAUSE,
        ..Case::hello(VICTIM_CONNECTIONS)
    };
    measure::windows(bench, server, &case, window_seconds(bench), WINDOWS)
}

/// The victim beside idle connections that have each been answered once. Gives how many of
/// them were open all the time.
fn beside_idle(bench: &Bench, server: &Server) -> Result<(Load, usize)> {
    let mut connections = open_idle(server.address, IDLE_CONNECTIONS)?;
    let load = victim(bench, server)?;
    connections.retain_mut(is_open);
    Ok((load, connections.len()))
}

fn open_idle(server: SocketAddr, count: usize) -> Result<Vec<TcpStream>> {
    let mut connections = Vec::with_capacity(count);
    let mut refusals = 0;
    let request = format!("GET / HTTP/1.1\r\nhost: {server}\r\n\r\n");
    while connections.len() < count && refusals < REFUSALS_AT_MOST {
        stop_if_interrupted()?;
        match open_one(server, &request) {
            Ok(stream) => connections.push(stream),
            Err(_) => refusals += 1,
        }
    }
    Ok(connections)
}

fn open_one(server: SocketAddr, request: &str) -> Result<TcpStream> {
    let mut stream = TcpStream::connect_timeout(&server, CONNECT_TIMEOUT)?;
    stream.set_read_timeout(Some(CONNECT_TIMEOUT))?;
    stream.write_all(request.as_bytes())?;
    let mut head = [0; 1024];
    let count = stream.read(&mut head)?;
    if !head[..count].starts_with(b"HTTP/1.1 200") {
        bail!("not served");
    }
    // What is left of the answer is read by `is_open`.
    stream.set_nonblocking(true)?;
    Ok(stream)
}

/// Whether the server has not closed it.
fn is_open(stream: &mut TcpStream) -> bool {
    let mut rest = [0; 1024];
    loop {
        match stream.read(&mut rest) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == ErrorKind::WouldBlock,
        }
    }
}

/// The victim beside slowhttptest. Gives how many slow connections were open at most.
fn beside_slow(bench: &Bench, server: &Server, mode: &str) -> Result<(Load, usize)> {
    let tool = bench
        .tools
        .slowhttptest
        .as_ref()
        .context("slowhttptest is missing")?;
    let seconds = GATHER.as_secs() + WINDOWS as u64 * (window_seconds(bench) + 1) + 2;
    let mut attack = attack(tool, server.address, mode, seconds, bench)?;
    let begin = Instant::now();
    while begin.elapsed() < GATHER {
        stop_if_interrupted()?;
        thread::sleep(Duration::from_millis(50));
    }
    let load = victim(bench, server)?;
    attack.wait(Duration::from_secs(seconds + 30))?;
    Ok((load, connected(&attack.output())))
}

fn attack(
    tool: &Tool,
    server: SocketAddr,
    mode: &str,
    seconds: u64,
    bench: &Bench,
) -> Result<Process> {
    let mut command = tool.command();
    let senders = SLOW_SENDERS.to_string();
    // All connect within a second and send a few bytes each second.
    command.args([
        mode, "-c", &senders, "-r", &senders, "-i", "1", "-x", "10", "-s", "1000000",
    ]);
    command.args(["-l", &seconds.to_string(), "-p", "3"]);
    command.args(["-u", &format!("http://{server}/echo")]);
    // It shares its core with the victim, whose own share must not be what is measured.
    Process::spawn_behind(command, bench.load_cores)
}

/// The highest count of open connections that slowhttptest printed.
fn connected(output: &str) -> usize {
    let counts = output.lines().filter(|line| line.contains("connected:"));
    // Colours come between the word and the number.
    let numbers = counts.filter_map(|line| line.rsplit(' ').next()?.trim().parse().ok());
    numbers.max().unwrap_or(0)
}

pub(super) fn method(bench: &Bench) -> String {
    format!(
        "A victim asks `/` over {VICTIM_CONNECTIONS} connections with pauses of about {} ms: \
         undisturbed, then beside {IDLE_CONNECTIONS} connections that have been answered once and \
         stay idle, then beside {SLOW_SENDERS} senders of slow headers, then beside \
         {SLOW_SENDERS} senders of slow bodies (slowhttptest -H and -B, some bytes each second). \
         The ratio is to the undisturbed figure just before. Growth is peak memory under attack \
         above memory before it; *left* is what remains {} s after. *Held* is how many idle \
         connections the server kept open, and how many slow ones it had open at most. Medians of \
         {} rounds with {WINDOWS} windows of {} s.",
        VICTIM_PAUSE.as_millis(),
        RECOVER.as_secs(),
        bench.rounds.min(ROUNDS_AT_MOST),
        window_seconds(bench)
    )
}

pub(super) fn tables(results: &Results) -> Vec<Table> {
    let cases = || std::iter::once(UNDISTURBED).chain(ATTACKS.map(Attack::name));
    let subjects = results.subjects(NAME);
    let rows = subjects
        .iter()
        .flat_map(|subject| cases().map(move |case| (*subject, case)));
    let rows = rows.filter_map(|(subject, case)| {
        let key = Key::new(NAME, subject, case);
        let p99 = results.get(&key, P99)?;
        let median = |metric| cell(results.median(&key, metric));
        Some(vec![
            format!("{subject}, {case}"),
            median(RATE),
            median(P50),
            figure(p99.median()),
            median(P99_RATIO),
            median(HELD),
            median(GROWTH),
            median(LEFT),
            format!("{}", results.get(&key, ERRORS).map_or(0.0, Series::sum)),
        ])
    });
    let header = vec![
        "subject, attack",
        "req/s",
        "p50 ms",
        "p99 ms",
        "÷ undisturbed",
        "held",
        "growth MiB",
        "left MiB",
        "errors",
    ];
    vec![Table {
        title: "The victim".into(),
        header,
        rows: rows.collect(),
    }]
}

pub(super) fn goals(results: &Results) -> Vec<Goal> {
    let goal = |attack: Attack| Goal {
        text: format!("p99 of others beside {}, ÷ undisturbed", attack.name()),
        measured: results.median(&Key::new(NAME, SKEP_FRESH, attack.name()), P99_RATIO),
        at_most: 2.0,
        unit: "×",
    };
    ATTACKS.map(goal).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_attack_is_counted_from_its_own_status() {
        let block = |count| {
            format!(
                "\x1b[1;32mpending:     \x1b[1;32m        1\nconnected:   \x1b[1;32m        {count}\n"
            )
        };
        assert_eq!(connected(&(block(7) + &block(1000) + &block(0))), 1000);
        assert_eq!(connected("Exit status: Connection refused"), 0);
    }
}
