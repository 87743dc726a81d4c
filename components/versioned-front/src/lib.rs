//! Says which revisions of itself and of what it calls served a request:
//!
//! - `/versions`: front, middle, the leaf that the middle asked, and the leaf that it asked itself
//! - `/stream/N/MS`: the same N times, a line each, with so many milliseconds between them
//! - `/large/N`: N KiB of its own version's last digit
//! - `/hold`: takes a ticket of the leaf's, and keeps it; `/held` says whose it is
//! - `/wait/MS`: the versions before and after so long
//! - `/healthz`
wit_bindgen::generate!({ path: "../versioned-leaf/wit", world: "front" });

use std::cell::RefCell;

use answer::{Sending, Target, text};
use fixture::versions::leaf::{self, Ticket};
use fixture::versions::middle;
use versioned::Mood;
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Front;
wasip2::http::proxy::export!(Front);

thread_local! {
    static HELD: RefCell<Option<Ticket>> = const { RefCell::new(None) };
}

impl wasip2::exports::http::incoming_handler::Guest for Front {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let n = target.number(1);
        if let Mood::Wrong = versioned::behave() {
            return text(out, 500, "wrong\n");
        }
        match target.segment(0) {
            "versions" => text(out, 200, &versions()),
            "stream" => {
                let mut sending = Sending::start(out, 200, &[]);
                for _ in 0..n {
                    if !sending.write(versions().as_bytes()) {
                        return;
                    }
                    pause(target.number(2));
                }
                let _ = sending.finish(None);
            }
            "large" => {
                let mut sending = Sending::start(out, 200, &[]);
                let digit = b'0' + (versioned::version() % 10) as u8;
                let piece = vec![digit; 1024];
                for _ in 0..n {
                    if !sending.write_unflushed(&piece) {
                        return;
                    }
                }
                let _ = sending.finish(None);
            }
            "hold" => {
                let ticket = Ticket::new();
                let version = ticket.version();
                HELD.set(Some(ticket));
                text(out, 200, &format!("{version}\n"));
            }
            "held" => HELD.with_borrow(|held| match held {
                Some(ticket) => text(out, 200, &format!("{}\n", ticket.version())),
                None => text(out, 404, "none\n"),
            }),
            "wait" => {
                let before = versions();
                pause(n);
                text(out, 200, &format!("{before}{}", versions()));
            }
            _ => text(out, 200, &format!("{}\n", versioned::version())),
        }
    }
}

/// `1 1 1 1\n`
fn versions() -> String {
    let (middle, below) = middle::versions();
    let own = versioned::version();
    format!("{own} {middle} {below} {}\n", leaf::version())
}

fn pause(milliseconds: u64) {
    monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
}
