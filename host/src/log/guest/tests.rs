use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::Value;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, StreamError};

use super::super::testing::{Captured, PATIENCE, until};
use super::*;

const GENEROUS: GuestLogLimits = GuestLogLimits {
    bytes_per_second: 1 << 40,
    burst: 1 << 40,
    line: 8 << 10,
};

fn guest_log(style: Style, limits: GuestLogLimits) -> (Arc<GuestLog>, Sink, Captured) {
    let (sink, captured) = Captured::sink(style);
    (
        GuestLog::new(sink.clone(), "cart".into(), 3, limits, Secrets::default()),
        sink,
        captured,
    )
}

/// What the 0.2 host functions do with it.
fn write(stream: &mut dyn OutputStream, bytes: &[u8]) {
    for chunk in bytes.chunks(stream.check_write().unwrap()) {
        stream.write(Bytes::copy_from_slice(chunk)).unwrap();
    }
    stream.flush().unwrap();
}

fn messages(lines: &[Value]) -> Vec<&str> {
    lines
        .iter()
        .map(|line| line["message"].as_str().unwrap())
        .collect()
}

#[test]
fn lines_carry_where_they_come_from() {
    let (log, sink, captured) = guest_log(Style::Json, GENEROUS);
    let stdout = log.stream(17, Stream::Stdout);
    let stderr = log.stream(18, Stream::Stderr);
    assert!(!stdout.is_terminal());
    write(&mut *stdout.p2_stream(), b"hel");
    write(&mut *stderr.p2_stream(), b"oops\n");
    write(&mut *stdout.p2_stream(), b"lo\r\n\nworld\nunfinished");
    let lines = captured.json(&sink);
    assert_eq!(messages(&lines), ["oops", "hello", "", "world"]);
    assert_eq!(lines[0]["instance"], 18);
    assert_eq!(lines[0]["stream"], "stderr");
    let line = &lines[1];
    assert_eq!(
        (
            &line["kind"],
            &line["service"],
            &line["revision"],
            &line["instance"],
            &line["stream"]
        ),
        (
            &"guest".into(),
            &"cart".into(),
            &3.into(),
            &17.into(),
            &"stdout".into()
        ),
    );
    let rest: Vec<_> = drop_and_read(stdout, &sink, &captured).split_off(4);
    assert_eq!(messages(&rest), ["unfinished"]);
}

fn drop_and_read(stream: GuestStream, sink: &Sink, captured: &Captured) -> Vec<Value> {
    drop(stream);
    captured.json(sink)
}

#[test]
fn readable_lines_are_defused() {
    let (log, sink, captured) = guest_log(Style::Plain, GENEROUS);
    let stream = log.stream(17, Stream::Stderr);
    write(
        &mut *stream.p2_stream(),
        b"\x1b[2Jforged\r23:00 \xff\xfe\tend\n",
    );
    let line = captured.lines(&sink).remove(0);
    assert_eq!(
        &line[13..],
        "  INFO cart@3#17 stderr | \\x1b[2Jforged\\r23:00 \u{fffd}\u{fffd}\tend"
    );
}

#[test]
fn an_unfinished_line_is_shown_after_a_pause_and_its_end_is_not_an_empty_line() {
    let (log, sink, captured) = guest_log(Style::Json, GENEROUS);
    let stream = log.stream(1, Stream::Stdout);
    let mut handle = stream.p2_stream();
    write(&mut *handle, b"password: ");
    until("the prompt is shown", || captured.json(&sink).len() == 1);
    write(&mut *handle, b"\nnext\n");
    assert_eq!(messages(&captured.json(&sink)), ["password: ", "next"]);
    until("no more reminders", || {
        !log.reminded.load(Ordering::Acquire)
    });
    // And once more, now that reminders have stopped.
    write(&mut *handle, b"again");
    until("the second is shown", || captured.json(&sink).len() == 3);
}

#[test]
fn an_instance_that_writes_nothing_costs_nothing() {
    let (log, sink, captured) = guest_log(Style::Json, GENEROUS);
    for instance in 0..1000 {
        drop(log.stream(instance, Stream::Stdout));
    }
    assert_eq!(Arc::strong_count(&log), 1);
    assert!(!log.reminded.load(Ordering::Acquire));
    assert!(captured.lines(&sink).is_empty());
    assert!(
        size_of::<GuestStream>() <= 40,
        "{}",
        size_of::<GuestStream>()
    );
}

#[test]
fn one_endless_line_takes_bounded_memory() {
    const LIMIT: usize = 1000;
    const WRITES: usize = 1600;
    let (log, sink, captured) = guest_log(
        Style::Json,
        GuestLogLimits {
            line: LIMIT,
            ..GENEROUS
        },
    );
    let stream = log.stream(1, Stream::Stdout);
    let chunk = [b'x'; 64 << 10];
    let mut handle = stream.p2_stream();
    for _ in 0..WRITES {
        write(&mut *handle, &chunk);
        assert!(log.watched.lock().len() <= 1);
    }
    drop(handle);
    let lines = drop_and_read(stream, &sink, &captured);
    // Each reminder shows what there is, so that an endless line is seen before it ends.
    for message in messages(&lines) {
        let (shown, omitted) = message.split_once('…').unwrap();
        assert!(shown.len() <= LIMIT);
        assert!(omitted.starts_with('+') && omitted.ends_with(" bytes"));
    }
    let totals = log.totals();
    assert_eq!(
        totals.bytes + totals.cut_bytes,
        (WRITES * chunk.len()) as u64
    );
    assert_eq!(totals.lines, lines.len() as u64);
}

#[test]
fn long_lines_are_cut_between_characters() {
    let rows: [(&str, &str); 8] = [
        ("12345678", "12345678"),
        ("123456789", "12345678…+1 bytes"),
        ("1234567üü", "1234567…+4 bytes"),
        ("123456🐝", "123456…+4 bytes"),
        ("1234567\r", "1234567"),
        ("12345678\r", "12345678"),
        ("12345678\r9\r", "12345678…+2 bytes"),
        ("\r\r\r\r", "\r\r\r"),
    ];
    for split in 0..12 {
        for (text, want) in rows {
            let (log, sink, captured) = guest_log(
                Style::Json,
                GuestLogLimits {
                    line: 8,
                    ..GENEROUS
                },
            );
            let stream = log.stream(1, Stream::Stdout);
            let mut handle = stream.p2_stream();
            let bytes = format!("{text}\n").into_bytes();
            let (start, end) = bytes.split_at(split.min(bytes.len()));
            write(&mut *handle, start);
            write(&mut *handle, end);
            assert_eq!(
                messages(&captured.json(&sink)),
                [want],
                "{text:?} split at {split}"
            );
        }
    }
}

/// Promise: every line is shown or counted, and what is counted is reported, whatever is written
/// from wherever.
#[test]
fn a_flood_from_many_instances_is_limited_and_accounted_for() {
    const THREADS: u64 = 4;
    const LINES: u64 = 50_000;
    let limits = GuestLogLimits {
        bytes_per_second: 64 << 10,
        burst: 100 * (64 + 6),
        line: 100,
    };
    let (log, sink, captured) = guest_log(Style::Json, limits);
    let start = Instant::now();
    std::thread::scope(|scope| {
        for instance in 0..THREADS {
            let stream = log.stream(instance, Stream::Stdout);
            scope.spawn(move || {
                let mut handle = stream.p2_stream();
                for line in 0..LINES / 100 {
                    write(&mut *handle, format!("{line:06}\n").repeat(100).as_bytes());
                }
            });
        }
    });
    let seconds = start.elapsed().as_secs() + 1;
    let totals = log.totals();
    assert_eq!(totals.lines + totals.suppressed_lines, THREADS * LINES);
    assert_eq!(totals.suppressed_bytes, 6 * totals.suppressed_lines);
    assert!(
        totals.lines >= 100 && totals.lines <= 100 + seconds * (64 << 10) / 70,
        "{totals:?}"
    );

    drop(log);
    let (reports, shown): (Vec<Value>, Vec<Value>) = captured
        .json(&sink)
        .into_iter()
        .partition(|line| line["suppressed_lines"].is_u64());
    assert_eq!(shown.len() as u64, totals.lines);
    let reported: u64 = reports
        .iter()
        .map(|line| line["suppressed_lines"].as_u64().unwrap())
        .sum();
    assert_eq!(reported, totals.suppressed_lines);
    assert!(
        reports.len() as u64 <= seconds + 2,
        "{} reports in {seconds} s",
        reports.len()
    );
    assert!(reports[0]["message"].as_str().unwrap().contains("log-rate"));
}

#[test]
fn suppression_is_reported_while_the_guest_is_silent_and_alive() {
    let (log, sink, captured) = guest_log(
        Style::Json,
        GuestLogLimits {
            bytes_per_second: 0,
            burst: 70,
            line: 100,
        },
    );
    let stream = log.stream(1, Stream::Stdout);
    write(&mut *stream.p2_stream(), b"123456\nover\nthe\nlimit\n");
    until("reported", || captured.json(&sink).len() == 2);
    let lines = captured.json(&sink);
    assert_eq!(lines[0]["message"], "123456");
    assert_eq!(lines[1]["suppressed_lines"], 3);
    assert_eq!(lines[1]["suppressed_bytes"], 12);
}

#[test]
fn many_unfinished_lines_are_all_shown_in_the_end() {
    const INSTANCES: u64 = 3 * MAX_WATCHED as u64;
    let (log, sink, captured) = guest_log(Style::Json, GENEROUS);
    let streams: Vec<_> = (0..INSTANCES)
        .map(|instance| {
            let stream = log.stream(instance, Stream::Stdout);
            write(&mut *stream.p2_stream(), b"unfinished");
            stream
        })
        .collect();
    assert!(log.watched.lock().len() <= MAX_WATCHED);
    drop(streams);
    assert_eq!(captured.json(&sink).len() as u64, INSTANCES);
}

#[test]
fn a_write_never_waits_and_is_bounded() {
    // The destination is stuck for good; the guest must not notice.
    let (_reader, writer) = std::io::pipe().unwrap();
    let sink = Sink::to_writer(Box::new(writer), Style::Json).unwrap();
    let log = GuestLog::new(sink, "cart".into(), 3, GENEROUS, Secrets::default());
    let stream = log.stream(1, Stream::Stdout);
    let mut handle = stream.p2_stream();
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..5_000 {
        let mut write = handle.blocking_write_and_flush(Bytes::from_static(&[b'\n'; 4096]));
        assert!(matches!(
            write.as_mut().poll(&mut context),
            Poll::Ready(Ok(()))
        ));
    }
    let too_much = handle.check_write().unwrap() + 1;
    assert!(matches!(
        handle.write(Bytes::from(vec![0; too_much])),
        Err(StreamError::Trap(_))
    ));

    let mut handle = std::pin::Pin::from(stream.async_stream());
    let taken = AsyncWrite::poll_write(handle.as_mut(), &mut context, &vec![b'\n'; 1 << 20]);
    assert!(matches!(taken, Poll::Ready(Ok(65_536))));
    assert!(matches!(
        handle.as_mut().poll_flush(&mut context),
        Poll::Ready(Ok(()))
    ));
}

#[test]
fn wasmtime_takes_it() {
    let (log, sink, captured) = guest_log(Style::Json, GENEROUS);
    let mut builder = wasmtime_wasi::WasiCtxBuilder::new();
    builder
        .stdout(log.stream(1, Stream::Stdout))
        .stderr(log.stream(1, Stream::Stderr));
    drop(builder.build());
    drop(log);
    assert!(sink.flush(PATIENCE));
    assert_eq!(captured.text(), "");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However the bytes are cut into writes, the lines are those of the whole.
    #[test]
    fn chunking_does_not_matter(
        bytes in proptest::collection::vec(prop_oneof![Just(b'\n'), Just(b'\r'), Just(0xc3), Just(0xbc), any::<u8>()], 0..300),
        cuts in proptest::collection::vec(0usize..300, 0..10),
    ) {
        const LIMIT: usize = 20;
        let (log, sink, captured) = guest_log(Style::Json, GuestLogLimits { line: LIMIT, ..GENEROUS });
        let whole = log.stream(1, Stream::Stdout);
        for chunk in bytes.split_inclusive(|&byte| byte == b'\n') {
            write(&mut *whole.p2_stream(), chunk);
        }
        drop(whole);
        let want = captured.json(&sink);
        prop_assert_eq!(want.len(), bytes.split_inclusive(|&byte| byte == b'\n').count());

        let parts = log.stream(1, Stream::Stdout);
        let mut handle = parts.p2_stream();
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        for pair in cuts.windows(2) {
            write(&mut *handle, &bytes[pair[0]..pair[1]]);
        }
        drop(handle);
        drop(parts);
        let got = captured.json(&sink);
        prop_assert_eq!(messages(&got[want.len()..]), messages(&want));
    }
}

/// Prints what a guest's line costs: `cargo test -p skep --release -- --nocapture cost`.
#[test]
fn cost_of_a_guest_line() {
    const LINES: u32 = 200_000;
    let sink = Sink::to_writer(Box::new(std::io::sink()), Style::Json).unwrap();
    for (name, limits) in [
        ("shown", GENEROUS),
        (
            "suppressed",
            GuestLogLimits {
                burst: 0,
                ..GENEROUS
            },
        ),
    ] {
        let log = GuestLog::new(sink.clone(), "cart".into(), 3, limits, Secrets::default());
        let stream = log.stream(1, Stream::Stdout);
        let mut handle = stream.p2_stream();
        let line = Bytes::from_static(b"added 3 of product 4711 to the cart of customer 42\n");
        let start = Instant::now();
        for _ in 0..LINES {
            handle.write(line.clone()).unwrap();
        }
        println!("a guest's line, {name}: {:?}", start.elapsed() / LINES);
    }
    let log = GuestLog::new(sink, "cart".into(), 3, GENEROUS, Secrets::default());
    let start = Instant::now();
    for instance in 0..LINES {
        drop(std::hint::black_box(
            log.stream(u64::from(instance), Stream::Stdout),
        ));
    }
    println!(
        "a stream that is never written to: {:?}",
        start.elapsed() / LINES
    );
}
