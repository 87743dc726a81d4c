//! Misbehaves by path, where the way through the host is another one than for WASI 0.2: in an
//! instance that several requests share, and whose streams, futures and tasks are wasmtime's.
mod bodies;
mod files;
mod flood;

use std::hint::black_box;

use wasip3::clocks::monotonic_clock::{wait_for, wait_until};
use wasip3::http::types::{ErrorCode, Request, Response};
use wasip3::spawn_local;
use wasip3::wit_bindgen::{backpressure_inc, yield_async, yield_blocking};

struct Hostile;
wasip3::http::service::export!(Hostile);

impl wasip3::exports::http::handler::Guest for Hostile {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let mut segments = path.split('/').skip(1);
        let name = segments.next().unwrap_or_default();
        let n = segments.next().and_then(|n| n.parse().ok()).unwrap_or(0);
        match name {
            "" | "well" => Ok(bodies::text("well\n")),

            // Computing and memory.
            "trap" => core::arch::wasm32::unreachable(),
            "panic" => panic!("{}", "no! ".repeat(n as usize / 4)),
            "exit" => std::process::exit(i32::try_from(n).unwrap_or(1)),
            "spin" => spin(),
            "recurse" => Ok(bodies::text(&recurse(1).to_string())),
            "grow" => loop {
                std::mem::forget(black_box(vec![1u8; 1024 * 1024]));
            },

            // After the response.
            "trap-later" => {
                spawn_local(async {
                    wait_for(1_000_000).await;
                    core::arch::wasm32::unreachable()
                });
                Ok(bodies::held("so far, so good\n"))
            }
            "spin-later" => {
                spawn_local(async {
                    wait_for(1_000_000).await;
                    spin()
                });
                Ok(bodies::held("so far, so good\n"))
            }

            // Waiting.
            "sleep" => {
                wait_for(u64::MAX).await;
                Ok(bodies::text("slept\n"))
            }
            "timers" => {
                wait_for(0).await;
                wait_until(0).await;
                for late in [u64::MAX, i64::MAX as u64] {
                    spawn_local(wait_for(late));
                    spawn_local(wait_until(late));
                }
                Ok(bodies::text("waited\n"))
            }
            "sleep-zero" => loop {
                wait_for(1).await;
            },

            // Gives way to others for ever, and so never comes to an end.
            "yield" => loop {
                yield_async().await;
            },
            "yield-blocking" => loop {
                yield_blocking();
            },
            // Takes no further request, but lives.
            "backpressure" => {
                backpressure_inc();
                Ok(bodies::text("that was the last one\n"))
            }
            "backpressure-for-ever" => loop {
                backpressure_inc();
            },

            // More of everything than the host should hold.
            "streams" => Ok(bodies::text(&flood::streams(n))),
            "futures" => Ok(bodies::text(&flood::futures(n))),
            "tasks" => Ok(bodies::text(&flood::tasks(n))),
            "fields" => Ok(bodies::text(&flood::fields(n))),
            "handles" => Ok(bodies::text(&flood::handles(n))),
            "waits" => Ok(bodies::text(&flood::waits(n).await)),
            "random" => Ok(bodies::text(&flood::random(n))),
            "log-lines" => flood::log_lines(),

            // Files.
            "open" => Ok(bodies::text(&files::open(n).await)),
            "fifo" => Ok(bodies::text(&files::fifo().await)),
            "list" => Ok(bodies::text(&files::list(n))),

            // Answers.
            "never" => {
                std::future::pending::<()>().await;
                Ok(bodies::text("never\n"))
            }
            "half-then-hang" => Ok(bodies::held("half a body")),
            "endless" => Ok(bodies::endless(4096)),
            "one-piece" => Ok(bodies::one_piece(n)),
            "empty-writes" => Ok(bodies::empty_writes()),
            "length" => Ok(bodies::short_of_its_length()),
            "over-length" => Ok(bodies::longer_than_its_length()),
            "body-error" => Ok(bodies::body_error(n)),
            "forbidden-trailers" => Ok(bodies::forbidden_trailers()),
            "no-trailers-ever" => Ok(bodies::no_trailers_ever()),
            "head" => Ok(bodies::head(n)),
            "unread" => {
                std::mem::forget(request);
                Ok(bodies::text("I do not read\n"))
            }
            "unread-for-ever" => {
                wait_for(u64::MAX).await;
                drop(request);
                Ok(bodies::text("never\n"))
            }
            "error" => Err(ErrorCode::InternalError(Some(
                "own words ".repeat(n as usize / 10),
            ))),

            other => Ok(bodies::text(&format!("hostile-p3 has no /{other}\n"))),
        }
    }
}

fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "the stack overflow is the point")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + frame[3]
}
