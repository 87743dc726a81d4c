//! A background service. Its environment says how it ends: `WORKER_END` is `ok`, `fail`, `exit`,
//! `panic`, `trap`, `spin` or (default) `never`; `WORKER_LINES` lines come first, one every
//! `WORKER_INTERVAL_MS`. Arguments `END LINES INTERVAL_MS`, where there are any, win.
use std::process::ExitCode;
use std::time::Duration;

fn main() -> ExitCode {
    let end = setting(1, "WORKER_END", "never");
    let lines: u64 = setting(2, "WORKER_LINES", "3").parse().unwrap_or(3);
    let interval: u64 = setting(3, "WORKER_INTERVAL_MS", "100")
        .parse()
        .unwrap_or(100);
    let interval = Duration::from_millis(interval);
    for line in 1..=lines {
        println!("worker: line {line}");
        std::thread::sleep(interval);
    }
    match end.as_str() {
        "ok" => ExitCode::SUCCESS,
        "fail" => ExitCode::FAILURE,
        "exit" => std::process::exit(3),
        "panic" => panic!("on purpose: the worker was told to panic"),
        "trap" => core::arch::wasm32::unreachable(),
        "spin" => loop {
            std::hint::black_box(());
        },
        _ => loop {
            std::thread::sleep(interval);
            println!("worker: still here");
        },
    }
}

fn setting(argument: usize, variable: &str, default: &str) -> String {
    let given = std::env::args().nth(argument);
    given
        .or_else(|| std::env::var(variable).ok())
        .unwrap_or_else(|| default.to_string())
}
