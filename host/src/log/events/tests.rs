use std::io;

use serde_json::Value;
use tracing::{debug, error, info, info_span, warn};

use super::super::testing::Captured;
use super::*;

#[derive(Debug, thiserror::Error)]
#[error("cannot start cart")]
struct StartError(#[source] ReadError);

#[derive(Debug, thiserror::Error)]
#[error("cannot read cart.wasm: {0}")]
struct ReadError(#[source] io::Error);

fn start_error() -> StartError {
    StartError(ReadError(io::Error::other("no such file")))
}

fn written(style: Style, filter: &str, events: impl FnOnce()) -> Vec<String> {
    let (sink, captured) = Captured::sink(style);
    tracing::subscriber::with_default(subscriber(sink.clone(), &filter.parse().unwrap()), events);
    captured.lines(&sink)
}

fn parsed(events: impl FnOnce()) -> Vec<Value> {
    written(Style::Json, "trace", events)
        .iter()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn json_events_have_typed_fields() {
    let lines = parsed(|| {
        info!(
            service = "cart",
            instances = 3_u32,
            ready = true,
            load = 0.5,
            delta = -1,
            "service is ready"
        );
        error!(error = &start_error() as &dyn Error, "cannot deploy");
        warn!(level = 1, infinite = f64::INFINITY, listen = %"[::1]:80", odd = ?Some("a\"b"));
    });
    let line = &lines[0];
    assert_eq!(line["level"], "info");
    assert_eq!(line["kind"], "event");
    assert_eq!(line["message"], "service is ready");
    assert_eq!(
        (
            &line["service"],
            &line["instances"],
            &line["ready"],
            &line["load"],
            &line["delta"]
        ),
        (
            &"cart".into(),
            &3.into(),
            &true.into(),
            &0.5.into(),
            &(-1).into()
        ),
    );
    assert_eq!(
        lines[1]["error"],
        "cannot start cart, caused by: cannot read cart.wasm: no such file"
    );
    let line = &lines[2];
    assert_eq!(
        (&line["level"], &line["field_level"]),
        (&"warn".into(), &1.into())
    );
    assert_eq!(
        (&line["infinite"], &line["listen"], &line["odd"]),
        (
            &"inf".into(),
            &"[::1]:80".into(),
            &"Some(\"a\\\"b\")".into()
        )
    );
}

#[test]
fn readable_events_are_time_level_message_fields() {
    let lines = written(Style::Plain, "info", || {
        info!(service = "cart", instances = 3, "service is ready");
        debug!("not shown");
        error!(error = &start_error() as &dyn Error, "cannot deploy");
    });
    let tails: Vec<&str> = lines.iter().map(|line| &line[13..]).collect();
    assert_eq!(
        tails,
        [
            "  INFO service is ready service=cart instances=3",
            " ERROR cannot deploy error=cannot start cart, caused by: cannot read cart.wasm: no such file",
        ],
    );
}

#[test]
fn foreign_text_in_an_event_cannot_pass_for_a_line() {
    let lines = written(Style::Plain, "info", || {
        info!(
            reason = "one\n23:00:00.000Z ERROR forged\x1b[2J",
            "two\nlines"
        );
    });
    assert_eq!(lines.len(), 3);
    assert!(lines[1].starts_with("    | lines reason=one"));
    assert_eq!(lines[2], "    | 23:00:00.000Z ERROR forged\\x1b[2J");
}

#[test]
fn spans_lend_their_fields() {
    let lines = parsed(|| {
        let outer = info_span!("deploy", service = "cart", revision = tracing::field::Empty);
        let _entered = outer.enter();
        outer.record("revision", 4);
        let _inner = info_span!("probe", attempt = 1).entered();
        info!("healthy");
    });
    assert_eq!(
        (
            &lines[0]["service"],
            &lines[0]["revision"],
            &lines[0]["attempt"]
        ),
        (&"cart".into(), &4.into(), &1.into())
    );
}

#[test]
fn huge_values_are_cut() {
    let huge = "ü".repeat(1 << 20);
    let lines = written(
        Style::Json,
        "info",
        || info!(text = huge.as_str(), shown = %huge, "{huge}"),
    );
    assert!(lines[0].len() < 4 * VALUE_SHOWN, "{}", lines[0].len());
    assert!(serde_json::from_str::<Value>(&lines[0]).is_ok());
}

#[test]
fn filters() {
    let shown = |filter: &str| {
        written(Style::Plain, filter, || {
            error!(target: "hyper::proto", "hyper error");
            warn!(target: "hyper::proto", "hyper warn");
            info!(target: "hyper::proto", "hyper info");
            error!(target: "skep::gateway", "skep error");
            info!(target: "skep_core", "skep info");
            debug!(target: "skep::gateway", "skep debug");
        })
        .iter()
        .map(|line| line[20..].to_owned())
        .collect::<Vec<_>>()
    };
    assert!(shown("off").is_empty());
    assert_eq!(shown("error"), ["hyper error", "skep error"]);
    assert_eq!(
        shown("INFO"),
        ["hyper error", "hyper warn", "skep error", "skep info"]
    );
    assert_eq!(
        shown("debug"),
        [
            "hyper error",
            "hyper warn",
            "skep error",
            "skep info",
            "skep debug"
        ]
    );
    assert_eq!(
        shown("error,hyper=info"),
        ["hyper error", "hyper warn", "hyper info", "skep error"]
    );
    assert_eq!(EventFilter::default(), " info ".parse().unwrap());
    for text in ["", "loud", "skep=loud", "info,,", "info,loud"] {
        let error = text.parse::<EventFilter>().unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with(&format!("`{text}` is not a log level: write error,")),
            "{error}"
        );
    }
}

#[test]
fn chains_do_not_repeat_themselves_and_end() {
    #[derive(Debug, thiserror::Error)]
    #[error("{}", self.text)]
    struct Loop {
        text: String,
        #[source]
        next: Option<Box<Loop>>,
    }
    let mut error = Loop {
        text: "0".to_owned(),
        next: None,
    };
    for depth in 1..1000 {
        error = Loop {
            text: format!("depth {depth} {}", "x".repeat(10_000)),
            next: Some(Box::new(error)),
        };
    }
    let text = chain(&error).to_string();
    assert!(
        text.len() <= CHAIN_DEPTH * (LINK_SHOWN + 16),
        "{}",
        text.len()
    );
    assert_eq!(
        chain(&start_error()).to_string(),
        "cannot start cart, caused by: cannot read cart.wasm: no such file"
    );
}

#[test]
fn panics_are_lines() {
    let (sink, captured) = Captured::sink(Style::Json);
    let before = std::panic::take_hook();
    log_panics(sink.clone());
    let outcome = std::thread::Builder::new()
        .name("request".to_owned())
        .spawn(|| panic!("a \"bug\""))
        .unwrap()
        .join();
    std::panic::set_hook(before);
    assert!(outcome.is_err());
    let lines = captured.lines(&sink);
    let line: Value =
        serde_json::from_str(lines.iter().find(|line| line.contains("bug\\\"")).unwrap()).unwrap();
    assert_eq!(
        (&line["level"], &line["panic"], &line["thread"]),
        (&"error".into(), &"a \"bug\"".into(), &"request".into())
    );
    assert!(
        line["location"]
            .as_str()
            .unwrap()
            .contains("events/tests.rs")
    );
}
