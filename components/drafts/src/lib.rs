//! What guests of other hosts import: `/config/KEY` asks each draft of `wasi:config`, in a line
//! each; `/log/LEVEL?context=…&message=…` writes to `wasi:logging`: `error` by the package without a
//! version, the others by the draft. `/tell/KEY` prints and logs the value of that key, and traps.
use answer::{Target, text};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

mod bindings {
    wit_bindgen::generate!({ world: "drafts", path: "wit", generate_all });
}
use bindings::wasi::config0_2_0_draft::{runtime, store};
use bindings::wasi::config0_2_0_draft_2024_09_27::store as store_2024;
use bindings::wasi::logging::logging as unversioned;
use bindings::wasi::logging0_1_0_draft::logging as draft;

struct Drafts;
wasip2::http::proxy::export!(Drafts);

impl wasip2::exports::http::incoming_handler::Guest for Drafts {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let word = target.segment(1);
        match target.segment(0) {
            "config" => {
                let values = [
                    format!("{:?}", store::get(word)),
                    format!("{:?}", runtime::get(word)),
                    format!("{:?}", store_2024::get(word)),
                    format!("{:?}", runtime::get_all().map(|all| all.len())),
                ];
                text(out, 200, &values.join("\n"));
            }
            "log" => {
                let (context, message) = (target.value("context"), target.value("message"));
                match word {
                    "trace" => draft::log(draft::Level::Trace, context, message),
                    "debug" => draft::log(draft::Level::Debug, context, message),
                    "warn" => draft::log(draft::Level::Warn, context, message),
                    "critical" => draft::log(draft::Level::Critical, context, message),
                    _ => unversioned::log(unversioned::Level::Error, context, message),
                }
                text(out, 200, "logged\n");
            }
            _ => {
                let value = store::get(word).ok().flatten().unwrap_or_default();
                println!("{word} is {value}.");
                draft::log(
                    draft::Level::Info,
                    &value,
                    &format!("{word}: {value}{value}"),
                );
                panic!("no use for {value}");
            }
        }
    }
}
