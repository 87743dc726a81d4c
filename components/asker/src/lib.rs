//! Asks the keeper for its count: `/ask/N/MS` so many times, with so many milliseconds between them.
wit_bindgen::generate!({ path: ["../../wit/handover", "../keeper/wit"], world: "fixture:counter/asker", generate_all });

use answer::{Target, text};
use fixture::counter::counter;
use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Asker;
wasip2::http::proxy::export!(Asker);

impl wasip2::exports::http::incoming_handler::Guest for Asker {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let mut all = String::new();
        for n in 0..target.number(1) {
            if n > 0 {
                monotonic_clock::subscribe_duration(target.number(2) * 1_000_000).block();
            }
            all += &format!("{}\n", counter::next());
        }
        text(out, 200, &all);
    }
}
