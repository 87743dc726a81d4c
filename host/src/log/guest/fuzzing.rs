//! What holds of a guest's lines whatever it writes: for the fuzz target `log_lines`.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use wasmtime_wasi::cli::StdoutStream;

use super::stream::{Line, cut_line};
use super::{GuestLog, GuestLogLimits, Sink, Stream, Style};

/// Between two writes of a guest in the fuzzer's input.
const NEXT_WRITE: u8 = 0xff;

/// The first three bytes are the line limit, the rate and the burst, the rest what a guest writes.
pub fn check(input: &[u8]) {
    let [line, rate, burst, written @ ..] = input else {
        return;
    };
    let limits = GuestLogLimits {
        bytes_per_second: u64::from(*rate),
        burst: u64::from(*burst) * 64,
        line: usize::from(*line) + 1,
    };
    let log = GuestLog::new(
        sink(),
        "service".into(),
        1,
        limits,
        super::Secrets::default(),
    );
    let stream = log.stream(7, Stream::Stdout);
    let mut out = stream.p2_stream();
    for piece in written.split(|byte| *byte == NEXT_WRITE) {
        assert!(out.write(Bytes::copy_from_slice(piece)).is_ok());
        check_rendering(&log, piece);
    }
    drop((out, stream));
    let totals = log.totals();
    let accounted = totals.bytes + totals.suppressed_bytes + totals.cut_bytes;
    assert!(accounted <= written.len() as u64, "{totals:?}");
    assert!(
        totals.bytes <= totals.lines * limits.line as u64,
        "{totals:?}"
    );
}

/// A line of any bytes is one line of the log, and says what it leaves out.
fn check_rendering(log: &Arc<GuestLog>, bytes: &[u8]) {
    let (shown, omitted) = cut_line(bytes, log.line_limit, 0);
    assert!(shown.len() <= log.line_limit && bytes.starts_with(shown));
    assert_eq!(shown.len() as u64 + omitted, bytes.len() as u64);
    let origin = Line::of(log.clone(), 7, Stream::Stderr);
    for style in [Style::Json, Style::Plain] {
        let mut text = String::new();
        log.render(&mut text, style, (&origin).into(), shown, omitted);
        let unsafe_ =
            |c: char| (c.is_control() && c != '\t') || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!text.contains(unsafe_), "{text:?}");
        if style == Style::Json {
            let line: serde_json::Value = match serde_json::from_str(&text) {
                Ok(line) => line,
                Err(error) => panic!("{error}: {text}"),
            };
            assert_eq!(line["kind"], "guest", "{text}");
            if let Ok(shown) = std::str::from_utf8(shown)
                && omitted == 0
            {
                assert_eq!(line["message"], shown, "{text}");
            }
        }
    }
}

/// One for all: each has a thread.
fn sink() -> Sink {
    static SINK: OnceLock<Sink> = OnceLock::new();
    let open = || match Sink::to_writer(Box::new(std::io::sink()), Style::Json) {
        Ok(sink) => sink,
        Err(error) => panic!("{error}"),
    };
    SINK.get_or_init(open).clone()
}
