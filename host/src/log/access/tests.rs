use std::time::Instant;

use proptest::prelude::*;

use super::*;
use crate::trace::{Span, Spent, Work};

fn record() -> AccessRecord<'static> {
    AccessRecord {
        time: SystemTime::UNIX_EPOCH + Duration::new(1_795_389_445, 123_456_000),
        request_id: "4f2a9c",
        client: "10.0.0.7".parse().unwrap(),
        method: "GET",
        host: "shop.example",
        path: "/cart/1",
        version: http::Version::HTTP_11,
        status: Some(200),
        request_bytes: 0,
        response_bytes: 512,
        duration: Duration::from_micros(1_234),
        service: Some(AccessService {
            name: "cart",
            revision: 3,
            instance: Some(17),
            cpu: Duration::from_micros(301),
            queue_wait: Duration::from_micros(2),
        }),
        outcome: "ok",
        error: None,
        traceparent: Some("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        span: None,
        calls: None,
    }
}

fn render(record: &AccessRecord<'_>, style: Style) -> String {
    let mut out = String::new();
    record.render(&mut out, style);
    out
}

#[test]
fn json_line() {
    let want = concat!(
        r#"{"time":"2026-11-22T23:17:25.123456Z","level":"info","kind":"request","id":"4f2a9c","client":"10.0.0.7","#,
        r#""method":"GET","host":"shop.example","path":"/cart/1","http":"1.1","status":200,"request_bytes":0,"#,
        r#""response_bytes":512,"duration_ms":1.234,"service":"cart","revision":3,"instance":17,"cpu_ms":0.301,"#,
        r#""queue_ms":0.002,"outcome":"ok","traceparent":"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}"#,
    );
    assert_eq!(render(&record(), Style::Json), want);
}

#[test]
fn readable_lines() {
    assert_eq!(
        render(&record(), Style::Plain),
        "23:17:25.123Z  INFO GET shop.example/cart/1 200 1.234ms 512B cart@3#17 from 10.0.0.7 id 4f2a9c",
    );
    let failed = AccessRecord {
        status: Some(502),
        outcome: "trap",
        error: Some("cart failed, caused by: the guest divided by zero"),
        client: "2001:db8::7".parse().unwrap(),
        ..record()
    };
    assert_eq!(
        render(&failed, Style::Plain),
        "23:17:25.123Z ERROR GET shop.example/cart/1 502 1.234ms 512B cart@3#17 from 2001:db8::7 id 4f2a9c \
         trap: cart failed, caused by: the guest divided by zero",
    );
    let gone = AccessRecord {
        status: None,
        outcome: "client-gone",
        service: None,
        response_bytes: 0,
        ..record()
    };
    assert_eq!(
        render(&gone, Style::Plain),
        "23:17:25.123Z  INFO GET shop.example/cart/1 --- 1.234ms 0B from 10.0.0.7 id 4f2a9c client-gone",
    );
    assert!(render(&gone, Style::Colour).contains("\x1b[2m---\x1b[0m"));
}

#[test]
fn clients_cannot_forge_lines_or_steer_the_terminal() {
    let nasty = "x\r\n23:17:25.123Z ERROR forged\x1b[2J\u{9b}31m\u{202e}\"}";
    let hostile = AccessRecord {
        request_id: nasty,
        method: nasty,
        host: nasty,
        path: nasty,
        error: Some(nasty),
        traceparent: Some(nasty),
        ..record()
    };
    for style in [Style::Json, Style::Plain] {
        let line = render(&hostile, style);
        assert!(
            !line.contains(|c: char| c.is_control() || c == '\u{202e}'),
            "{line:?}"
        );
    }
    let parsed: serde_json::Value = serde_json::from_str(&render(&hostile, Style::Json)).unwrap();
    for key in ["id", "method", "host", "path", "error", "traceparent"] {
        assert_eq!(parsed[key], nasty);
    }
}

fn calls(count: usize, function: &str) -> (Calls, Span) {
    let tracer = crate::trace::Tracer::default();
    let begun = tracer.request(&mut http::HeaderMap::new(), true).unwrap();
    let work = || Work::Call {
        caller: "cart".into(),
        interface: "shop:catalog/products@0.2.0".into(),
        function: function.into(),
    };
    for _ in 0..count {
        let (call, _) = begun.trace.call(&"catalog".into(), work).unwrap();
        call.end("ok", Spent::default(), None);
    }
    let mut calls = std::mem::take(&mut *begun.trace.calls().unwrap());
    for span in &mut calls.spans {
        span.duration = Duration::from_micros(34);
    }
    let first = calls.spans[0].clone();
    (calls, first)
}

#[test]
fn calls_are_listed() {
    let (calls, first) = calls(66, "find");
    let record = AccessRecord {
        span: Some(first.context),
        calls: Some(&calls),
        ..record()
    };
    let parsed: serde_json::Value = serde_json::from_str(&render(&record, Style::Json)).unwrap();
    assert_eq!(parsed["trace"], first.context.trace.to_string());
    assert_eq!(parsed["span"], first.context.span.to_string());
    assert_eq!(parsed["calls_omitted"], 2);
    let call = serde_json::json!({
        "service": "catalog",
        "revision": 0,
        "function": "shop:catalog/products@0.2.0#find",
        "outcome": "ok",
        "duration_ms": 0.034,
        "queue_ms": 0.0,
        "cpu_ms": 0.0,
        "span": first.context.span.to_string(),
        "parent": first.parent.unwrap().to_string(),
    });
    assert_eq!(parsed["calls"][0], call);
    let line = render(&record, Style::Plain);
    let call = "catalog shop:catalog/products@0.2.0#find ok 0.034ms";
    assert!(line.contains(&format!(" calls {call}, {call}, ")), "{line}");
    assert!(line.ends_with(&format!("{call} and 2 more")), "{line}");
}

#[test]
fn the_names_of_functions_are_cut_and_cannot_forge_a_line() {
    let nasty = format!("get\"}}\n{}", "x".repeat(1 << 20));
    let (calls, _) = calls(1, &nasty);
    let record = AccessRecord {
        calls: Some(&calls),
        ..record()
    };
    for style in [Style::Json, Style::Plain] {
        let line = render(&record, style);
        assert!(line.len() < 8 << 10, "{}", line.len());
        assert_eq!(line.lines().count(), 1, "{line}");
    }
    let parsed: serde_json::Value = serde_json::from_str(&render(&record, Style::Json)).unwrap();
    let function = parsed["calls"][0]["function"].as_str().unwrap();
    assert!(
        function.starts_with("shop:catalog/products@0.2.0#get\"}\nxx"),
        "{function}"
    );
}

#[test]
fn endless_fields_are_cut() {
    let endless = "ü".repeat(1 << 20);
    let hostile = AccessRecord {
        request_id: &endless,
        method: &endless,
        host: &endless,
        path: &endless,
        error: Some(&endless),
        traceparent: Some(&endless),
        ..record()
    };
    for style in [Style::Json, Style::Plain] {
        let line = render(&hostile, style);
        assert!(line.len() < 8 << 10, "{}", line.len());
        assert!(line.contains("…+2096128 bytes"), "{line}");
    }
}

proptest! {
    #[test]
    fn any_record_parses_back(
        path in any::<String>(), host in any::<String>(), error in any::<Option<String>>(),
        status in any::<Option<u16>>(), bytes in any::<u64>(), micros in any::<u64>(), client in any::<IpAddr>(),
    ) {
        let written = AccessRecord {
            path: &path, host: &host, error: error.as_deref(), status, client,
            request_bytes: bytes, duration: Duration::from_micros(micros), ..record()
        };
        let parsed: serde_json::Value = serde_json::from_str(&render(&written, Style::Json)).unwrap();
        prop_assert_eq!(parsed["path"].as_str(), Some(path.as_str()));
        prop_assert_eq!(parsed["host"].as_str(), Some(host.as_str()));
        prop_assert_eq!(parsed["error"].as_str(), error.as_deref());
        prop_assert_eq!(parsed["status"].as_u64(), status.map(u64::from));
        prop_assert_eq!(parsed["request_bytes"].as_u64(), Some(bytes));
        let client = client.to_string();
        prop_assert_eq!(parsed["client"].as_str(), Some(client.as_str()));
        prop_assert_eq!(render(&written, Style::Plain).lines().count(), 1);
    }
}

/// Prints what an access line costs: `cargo test -p skep --release -- --nocapture cost`.
#[test]
fn cost_of_an_access_line() {
    const LINES: u32 = 200_000;
    let sink = Sink::to_writer(Box::new(std::io::sink()), Style::Json).unwrap();
    let record = record();
    let mut out = String::new();
    for style in [Style::Json, Style::Plain] {
        let start = Instant::now();
        for _ in 0..LINES {
            out.clear();
            std::hint::black_box(&record).render(&mut out, style);
        }
        println!(
            "rendering an access line ({style:?}, {} bytes): {:?}",
            out.len(),
            start.elapsed() / LINES
        );
    }
    let start = Instant::now();
    for _ in 0..LINES {
        std::hint::black_box(&record).log(&sink);
    }
    println!("rendering and queueing it: {:?}", start.elapsed() / LINES);
}
