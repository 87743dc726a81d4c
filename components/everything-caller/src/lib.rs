//! Calls everything-provider and everything-relay, by path, and says what it saw.
mod handles;
mod values;

wit_bindgen::generate!({
    path: "../everything-provider/wit",
    world: "caller",
});

use answer::{Target, text};
use fixture::everything::{harm, relay};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Caller;
export!(Caller);
wasip2::http::proxy::export!(Caller);

impl exports::fixture::everything::back::Guest for Caller {
    fn bounce(n: u32) -> u32 {
        match n {
            0 => 0,
            n => 1 + relay::bounce(n - 1),
        }
    }
}

impl wasip2::exports::http::incoming_handler::Guest for Caller {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let what = target.segment(1);
        let said = match target.segment(0) {
            "values" => values::all(),
            "large" => values::large(target.number(1) as u32, target.number(2) as u32),
            "bytes" => values::bytes(target.number(1) as usize),
            "calls" => values::calls(target.number(1)),
            "handles" => handles::all(),
            "alive" => handles::alive(),
            "gather" => handles::gather(target.number(1) as u32),
            "two" => handles::two(),
            "stale" => handles::stale(),
            "hold" => handles::hold(target.number(1)),
            "relayed" => handles::relayed(),
            "kept" => handles::kept(what),
            "count" => harm::count().to_string(),
            "plain" => harm::plain(what).to_string(),
            "stringly" => format!("{:?}", harm::stringly(what)),
            "variantly" => format!("{:?}", harm::variantly(what)),
            "mutely" => format!("{:?}", harm::mutely(what)),
            "enumly" => format!("{:?}", harm::enumly(what)),
            "unfitly" => format!("{:?}", harm::unfitly(what)),
            "through" => relay::harm(what).to_string(),
            "bounce" => relay::bounce(target.number(1) as u32).to_string(),
            "own-trap" => panic!("the caller traps on purpose"),
            _ => "caller".to_string(),
        };
        text(out, 200, &said);
    }
}
