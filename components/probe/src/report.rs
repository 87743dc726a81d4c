//! What the guest can see and say: requests, environment, clocks, random numbers, its log.
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime};

use answer::text;
use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam, Scheme};

/// Requests that this instance has counted: more than one shows that it is reused.
static COUNT: AtomicU64 = AtomicU64::new(0);

pub(crate) fn request(request: &IncomingRequest) -> String {
    let mut lines = String::new();
    let method = match request.method() {
        Method::Other(name) => name,
        known => format!("{known:?}")
            .trim_start_matches("Method::")
            .to_uppercase(),
    };
    let scheme = match request.scheme() {
        Some(Scheme::Http) => "http".to_string(),
        Some(Scheme::Https) => "https".to_string(),
        Some(Scheme::Other(name)) => name,
        None => "-".to_string(),
    };
    let _ = writeln!(lines, "method: {method}");
    let _ = writeln!(
        lines,
        "path: {}",
        request.path_with_query().unwrap_or_default()
    );
    let _ = writeln!(lines, "scheme: {scheme}");
    let _ = writeln!(
        lines,
        "authority: {}",
        request.authority().unwrap_or_default()
    );
    for (name, value) in request.headers().entries() {
        let _ = writeln!(lines, "header {name}: {}", String::from_utf8_lossy(&value));
    }
    lines
}

pub(crate) fn environment() -> String {
    std::env::vars()
        .map(|(name, value)| format!("{name}={value}\n"))
        .collect()
}

pub(crate) fn count() -> String {
    format!("{}\n", COUNT.fetch_add(1, Ordering::Relaxed) + 1)
}

/// Size of the linear memory in bytes.
pub(crate) fn memory() -> String {
    format!("{}\n", core::arch::wasm32::memory_size(0) * 64 * 1024)
}

pub(crate) fn random() -> String {
    format!("{}\n", wasip2::random::random::get_random_u64())
}

/// Wall clock in ms since 1970, and the monotonic clock's step in ns.
pub(crate) fn time() -> String {
    let start = Instant::now();
    let wall = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    format!(
        "{}\n{}\n",
        wall.map_or(0, |since| since.as_millis()),
        start.elapsed().as_nanos()
    )
}

pub(crate) fn log(lines: u64) -> String {
    for line in 0..lines {
        println!("stdout line {line}");
        eprintln!("stderr line {line}");
    }
    format!("logged {lines} lines twice\n")
}

/// One line of `bytes` bytes on standard output, written in pieces, ended at the very end.
pub(crate) fn log_long(bytes: u64) -> String {
    use std::io::Write;
    let piece = [b'l'; 4096];
    let mut left = bytes as usize;
    let mut out = std::io::stdout();
    while left > 0 {
        let now = left.min(piece.len());
        let _ = out.write_all(&piece[..now]);
        left -= now;
    }
    let _ = out.write_all(b"\n");
    let _ = out.flush();
    format!("logged a line of {bytes} bytes\n")
}

/// The environment's `PROBE_HEALTH` picks what a health check meets.
pub(crate) fn health(out: ResponseOutparam) {
    match std::env::var("PROBE_HEALTH").as_deref() {
        Ok("fail") => text(out, 500, "not well, on purpose\n"),
        Ok("hang") => crate::pause(u64::from(u32::MAX)),
        Ok("trap") => crate::harm::trap(),
        _ => text(out, 200, "well\n"),
    }
}
