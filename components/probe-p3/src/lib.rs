//! Does, by path, whatever the host must withstand from wasi:http 0.3, above all many requests
//! awaiting in one instance. Paths mean the same as in `probe` where both have them.
mod bodies;
mod harm;

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use wasip3::clocks::monotonic_clock;
use wasip3::http::types::{ErrorCode, Method, Request, Response, Scheme};
use wasip3::spawn_local;

/// Requests that this instance has counted.
static COUNT: AtomicU64 = AtomicU64::new(0);
/// Requests inside `/sleep` now, and the most that ever were.
static INSIDE: AtomicU64 = AtomicU64::new(0);
static PEAK: AtomicU64 = AtomicU64::new(0);

struct Probe;
wasip3::http::service::export!(Probe);

impl wasip3::exports::http::handler::Guest for Probe {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let path = path.split('?').next().unwrap_or_default();
        let mut segments = path.split('/').skip(1);
        let name = segments.next().unwrap_or_default();
        let numbers: Vec<u64> = segments
            .map(|segment| segment.parse().unwrap_or(0))
            .collect();
        let n = numbers.first().copied().unwrap_or(0);
        let m = numbers.get(1).copied().unwrap_or(0);
        match name {
            "" => Ok(bodies::text(200, "probe-p3\n")),
            "healthz" => Ok(bodies::text(200, "well\n")),

            "headers" => Ok(bodies::text(200, &report(&request))),
            "count" => {
                let count = COUNT.fetch_add(1, Ordering::Relaxed) + 1;
                Ok(bodies::text(200, &format!("{count}\n")))
            }
            "peak" => Ok(bodies::text(
                200,
                &format!("{}\n", PEAK.load(Ordering::Relaxed)),
            )),
            "status" => Ok(bodies::text(u16::try_from(n).unwrap_or(500), "")),
            "log" => {
                for line in 0..n {
                    println!("stdout line {line}");
                    eprintln!("stderr line {line}");
                }
                Ok(bodies::text(200, "logged\n"))
            }

            "echo" => Ok(bodies::echo(request)),
            "pipe" => Ok(bodies::pipe(request)),
            "body" => Ok(bodies::send(Some(n))),
            "endless" => Ok(bodies::send(None)),
            "count-body" => Ok(bodies::count(request).await),
            "trickle" => Ok(bodies::trickle(n, m)),
            "trailers" => Ok(bodies::trailers()),
            "body-error" => Ok(bodies::body_error()),
            "unfinished" => Ok(bodies::unfinished()),
            "error" => Err(ErrorCode::InternalError(Some(
                "the guest's own words".to_string(),
            ))),

            "sleep" => {
                let inside = INSIDE.fetch_add(1, Ordering::Relaxed) + 1;
                PEAK.fetch_max(inside, Ordering::Relaxed);
                pause(n).await;
                INSIDE.fetch_sub(1, Ordering::Relaxed);
                Ok(bodies::text(200, "slept\n"))
            }
            // Answers at once and goes on working for n ms after the response is done.
            "linger" => {
                spawn_local(async move {
                    pause(n).await;
                    println!("lingered {n} ms");
                });
                Ok(bodies::text(200, "lingering\n"))
            }
            "hang" => {
                pause(u64::from(u32::MAX)).await;
                Ok(bodies::text(200, "unreachable in practice\n"))
            }

            "trap" => core::arch::wasm32::unreachable(),
            "panic" => panic!("on purpose: /panic was asked for"),
            "spin" => loop {
                black_box(n);
            },
            "spin-for" => {
                let end = monotonic_clock::now() + n * 1_000_000;
                while monotonic_clock::now() < end {
                    black_box(n);
                }
                Ok(bodies::text(200, "spun\n"))
            }
            "grow-forever" => loop {
                std::mem::forget(black_box(vec![1u8; 1024 * 1024]));
            },

            // Held for the instance's life.
            "fields" => Ok(bodies::text(200, &harm::fields(n, m))),
            "streams" => Ok(bodies::text(200, &harm::streams(n))),
            "say" => Err(ErrorCode::InternalError(Some("w".repeat(n as usize)))),

            other => Ok(bodies::text(404, &format!("probe-p3 has no /{other}\n"))),
        }
    }
}

fn report(request: &Request) -> String {
    let method = match request.get_method() {
        Method::Other(name) => name,
        known => format!("{known:?}")
            .trim_start_matches("Method::")
            .to_uppercase(),
    };
    let scheme = match request.get_scheme() {
        Some(Scheme::Http) => "http".to_string(),
        Some(Scheme::Https) => "https".to_string(),
        Some(Scheme::Other(name)) => name,
        None => "-".to_string(),
    };
    let mut lines = format!(
        "method: {method}\npath: {}\nscheme: {scheme}\nauthority: {}\n",
        request.get_path_with_query().unwrap_or_default(),
        request.get_authority().unwrap_or_default(),
    );
    for (name, value) in request.get_headers().copy_all() {
        lines.push_str(&format!(
            "header {name}: {}\n",
            String::from_utf8_lossy(&value)
        ));
    }
    lines
}

pub(crate) async fn pause(milliseconds: u64) {
    monotonic_clock::wait_for(milliseconds * 1_000_000).await;
}
