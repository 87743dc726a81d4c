//! Counts in memory, and hands its count over:
//!
//! - `/next`: its version, and one more than the last time
//! - `/next/MS`: the same after so many milliseconds
//!
//! In mode 6 it refuses a state, in mode 7 it traps when it gets one, and in mode 8 when it is to give one.
wit_bindgen::generate!({ path: ["../../wit/handover", "wit"], world: "fixture:counter/keeper", generate_all });

use std::sync::atomic::{AtomicU32, Ordering};

use answer::{Target, text};
use exports::fixture::counter::counter;
use exports::skep::handover::state;
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Keeper;
export!(Keeper);
wasip2::http::proxy::export!(Keeper);

static COUNT: AtomicU32 = AtomicU32::new(0);

fn next() -> u32 {
    COUNT.fetch_add(1, Ordering::Relaxed) + 1
}

impl wasip2::exports::http::incoming_handler::Guest for Keeper {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        versioned::behave();
        let milliseconds = target.number(1);
        if milliseconds > 0 {
            monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
        }
        match target.segment(0) {
            "next" => text(out, 200, &format!("{} {}\n", versioned::version(), next())),
            _ => text(out, 200, "well\n"),
        }
    }
}

impl counter::Guest for Keeper {
    fn next() -> u32 {
        next()
    }
}

impl state::Guest for Keeper {
    fn save() -> Vec<u8> {
        if versioned::mode() == b'8' {
            std::process::abort();
        }
        COUNT.load(Ordering::Relaxed).to_le_bytes().to_vec()
    }

    fn restore(state: Vec<u8>, from: state::Version) -> Result<(), String> {
        match versioned::mode() {
            b'6' => return Err(format!("what revision {} had is too old", from.revision)),
            b'7' => std::process::abort(),
            _ => {}
        }
        let bytes = state.try_into().map_err(|_| "it is no count".to_owned())?;
        COUNT.store(u32::from_le_bytes(bytes), Ordering::Relaxed);
        Ok(())
    }
}
