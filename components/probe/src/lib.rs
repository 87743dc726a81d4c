//! Does, by path, whatever the host must withstand or pass on faithfully. The list of paths is
//! the `match` below; each is written so that a test reads like a sentence: `/sleep/20`.
mod bodies;
mod harm;
mod report;

use answer::{Sending, Target, text};
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{ErrorCode, IncomingRequest, ResponseOutparam};

struct Probe;
wasip2::http::proxy::export!(Probe);

impl wasip2::exports::http::incoming_handler::Guest for Probe {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let n = target.number(1);
        match target.segment(0) {
            "" => text(out, 200, "probe\n"),

            // What the guest sees.
            "headers" => text(out, 200, &report::request(&request)),
            "env" => text(out, 200, &report::environment()),
            "count" => text(out, 200, &report::count()),
            "memory" => text(out, 200, &report::memory()),
            "random" => text(out, 200, &report::random()),
            "time" => text(out, 200, &report::time()),
            "log" => text(out, 200, &report::log(n)),
            "log-long" => text(out, 200, &report::log_long(n)),
            "healthz" => report::health(out),

            // Bodies and heads.
            "status" => text(out, u16::try_from(n).unwrap_or(500), ""),
            "echo" => bodies::echo(&request, out),
            "body" => bodies::send(out, n),
            "trickle" => bodies::trickle(out, n, target.number(2)),
            "trailers" => bodies::trailers(out),
            "bad-trailers" => bodies::bad_trailers(out),
            "report" => bodies::report(&request, out),
            "echo-declared" => bodies::echo_declared(&request, out),
            "count-body" => bodies::count(&request, out),
            "read-slowly" => bodies::read_slowly(&request, out, n, target.number(2)),
            "drop-request-body" => bodies::drop_unread(&request, out),
            "big-header" => bodies::big_header(out, n),
            "many-headers" => bodies::many_headers(out, n),
            "bad-header" => text(out, 200, &bodies::bad_headers()),
            "content-length-lie" => bodies::lie_about_length(out, n, target.number(2)),
            "unfinished" => bodies::unfinished(out),
            "error" => ResponseOutparam::set(
                out,
                Err(ErrorCode::InternalError(Some(
                    "the guest's own words".to_string(),
                ))),
            ),

            // Waiting.
            "sleep" => {
                pause(n);
                text(out, 200, "slept\n");
            }
            "sleep-after-head" => {
                let mut sending = Sending::start(out, 200, &[]);
                sending.write(b"head\n");
                pause(n);
                let _ = sending.finish(None);
            }
            "hang" => pause(u64::from(u32::MAX)),
            "never" => drop(out),

            // Harm.
            "trap" => harm::trap(),
            "trap-after-head" => {
                let mut sending = Sending::start(out, 200, &[]);
                sending.write(b"head\n");
                harm::trap()
            }
            "panic" => panic!("on purpose: /panic was asked for"),
            "spin" => harm::spin(),
            "compute" => {
                harm::compute(n);
                text(out, 200, "computed\n");
            }
            "compute-and-write" => {
                let mut sending = Sending::start(out, 200, &[]);
                for _ in 0..n {
                    harm::compute(target.number(2));
                    sending.write(b"computed\n");
                }
                let _ = sending.finish(None);
            }
            "spin-for" => {
                harm::spin_for(n);
                text(out, 200, "spun\n");
            }
            "spin-after-head" => {
                let mut sending = Sending::start(out, 200, &[]);
                sending.write(b"head\n");
                harm::spin()
            }
            "grow" => text(out, 200, &harm::grow(n)),
            "grow-forever" => harm::grow_forever(),
            "recurse" => text(out, 200, &format!("{}\n", harm::recurse(1))),
            "fields" => text(out, 200, &harm::fields(n)),
            "handles" => text(out, 200, &harm::handles(n)),
            "pollables" => text(out, 200, &harm::pollables(n)),
            "set-twice" => harm::set_twice(out),
            "exit" => std::process::exit(i32::try_from(n).unwrap_or(1)),

            other => text(out, 404, &format!("probe has no /{other}\n")),
        }
    }
}

/// Waits in the host, which no epoch can interrupt.
fn pause(milliseconds: u64) {
    monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
}
