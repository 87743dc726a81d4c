//! Shows what `wasi:config/store` gives: `/config` all pairs, `/config/KEY` one value.
use answer::{Target, text};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({ world: "configured", path: "wit", generate_all });
}
use bindings::wasi::config::store;

struct Configured;
wasip2::http::proxy::export!(Configured);

impl wasip2::exports::http::incoming_handler::Guest for Configured {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        match (target.segment(0), target.segment(1)) {
            ("config", "") => match store::get_all() {
                Ok(pairs) => {
                    let lines = pairs.iter().map(|(key, value)| format!("{key}={value}\n"));
                    text(out, 200, &lines.collect::<String>());
                }
                Err(error) => text(out, 502, &format!("{error:?}\n")),
            },
            ("config", key) => match store::get(key) {
                Ok(Some(value)) => text(out, 200, &format!("{value}\n")),
                Ok(None) => text(out, 404, &format!("no value for {key}\n")),
                Err(error) => text(out, 502, &format!("{error:?}\n")),
            },
            _ => text(out, 200, "configured\n"),
        }
    }
}
