//! Fails as it is told, at the stage it is told. `FAIL_AT` and `FAIL` in the environment are for
//! the stages before there is a request (`instantiate`, `health`); for the others the path says it:
//! `/request/trap`, `/body/memory`, `/after/cpu`, and `/later/MS/deadline` fails so many ms later.
use answer::{Sending, Target, text};
use failure::Failure;
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

/// Long enough for the host to have sent what was written before.
const PAUSE_MS: u64 = 100;

struct Failing;
wasip2::http::proxy::export!(Failing);

/// Called when an instance is made, before anything else is called.
#[unsafe(export_name = "_initialize")]
extern "C" fn initialize() {
    failure::at_instantiation();
}

impl wasip2::exports::http::incoming_handler::Guest for Failing {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let failure = || Failure::named(target.segments.last()?);
        match (target.segment(0), failure()) {
            ("healthz", _) => match Failure::due_at("health") {
                Some(failure) => failure.happen(),
                None => text(out, 200, "well\n"),
            },
            ("request", Some(failure)) => failure.happen(),
            ("later", Some(failure)) => {
                pause(target.number(1));
                failure.happen()
            }
            ("body", Some(failure)) => {
                let mut sending = Sending::start(out, 200, &[]);
                sending.write(b"a piece\n");
                pause(PAUSE_MS);
                failure.happen()
            }
            ("after", Some(failure)) => {
                text(out, 200, "all of it\n");
                pause(PAUSE_MS);
                failure.happen()
            }
            _ => text(out, 200, "not told to fail\n"),
        }
    }
}

/// Waits in the host.
fn pause(milliseconds: u64) {
    monotonic_clock::subscribe_duration(milliseconds * 1_000_000).block();
}
