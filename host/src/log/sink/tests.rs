use std::io::{BufRead, BufReader, Read};
use std::sync::atomic::AtomicBool;

use super::super::testing::{Captured, PATIENCE, until};
use super::*;

fn push(sink: &Sink, text: &str) {
    sink.line(|out, _| out.push_str(text));
}

#[test]
fn lines_of_many_threads_arrive_whole_and_in_order() {
    const THREADS: usize = 8;
    const LINES: usize = 2_000;
    let (sink, captured) = Captured::sink(Style::Json);
    std::thread::scope(|scope| {
        for thread in 0..THREADS {
            let sink = sink.clone();
            scope.spawn(move || {
                (0..LINES).for_each(|line| {
                    push(
                        &sink,
                        &format!("{thread} {line} {}", "x".repeat(line % 300)),
                    )
                })
            });
        }
    });
    let lines = captured.lines(&sink);
    assert_eq!(lines.len(), THREADS * LINES);
    let mut next = [0; THREADS];
    for line in lines {
        let mut parts = line.split(' ');
        let thread: usize = parts.next().unwrap().parse().unwrap();
        let number: usize = parts.next().unwrap().parse().unwrap();
        assert_eq!(number, next[thread]);
        assert_eq!(parts.next().unwrap().len(), number % 300);
        next[thread] += 1;
    }
}

#[test]
fn a_burst_is_written_in_few_batches() {
    let (sink, captured) = Captured::sink(Style::Json);
    (0..1_000).for_each(|line| push(&sink, &line.to_string()));
    assert_eq!(captured.lines(&sink).len(), 1_000);
    assert!(
        *captured.writes.lock() < 20,
        "{} writes",
        captured.writes.lock()
    );
}

/// Promise: nobody waits for a reader that does not read; memory is bounded; nothing is dropped
/// in silence.
#[test]
fn a_pipe_that_nobody_reads_blocks_no_one() {
    const LINES: u64 = 200_000;
    let (mut reader, writer) = io::pipe().unwrap();
    let sink = Sink::to_writer(Box::new(writer), Style::Plain).unwrap();
    let filler = "x".repeat(90);
    let longest = Mutex::new(Duration::ZERO);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for line in 0..LINES / 4 {
                    let start = Instant::now();
                    push(&sink, &format!("{line:09} {filler}"));
                    let took = start.elapsed();
                    let mut longest = longest.lock();
                    *longest = took.max(*longest);
                }
            });
        }
    });
    // A whole scheduling period of a busy machine, but no wait for the reader, who never comes.
    assert!(
        *longest.lock() < Duration::from_secs(2),
        "a line took {:?}",
        longest.lock()
    );
    let totals = sink.totals();
    assert_eq!(totals.lines + totals.dropped_lines, LINES);
    assert!(
        totals.bytes <= 2 * PENDING_LIMIT as u64 + (64 << 10),
        "{totals:?}"
    );
    assert!(totals.dropped_lines > 0);
    assert!(sink.handle.shared.state.lock().pending.capacity() <= 2 * PENDING_LIMIT);
    assert!(!sink.flush(Duration::from_millis(50)));

    // The reader comes after all: it gets every line that was accepted, and learns of the others.
    let reading = std::thread::spawn(move || {
        let mut text = String::new();
        reader.read_to_string(&mut text).unwrap();
        text
    });
    assert!(sink.flush(PATIENCE));
    drop(sink);
    let text = reading.join().unwrap();
    let (reports, lines): (Vec<&str>, Vec<&str>) =
        text.lines().partition(|line| line.contains(" WARN "));
    assert_eq!(lines.len() as u64, totals.lines);
    assert!(lines.iter().all(|line| line.len() == 100));
    let reported: u64 = reports
        .iter()
        .map(|line| {
            line.split(' ')
                .find_map(|word| word.parse::<u64>().ok())
                .unwrap()
        })
        .sum();
    assert_eq!(reported, totals.dropped_lines);
}

#[test]
fn a_closed_pipe_is_survived() {
    let (reader, writer) = io::pipe().unwrap();
    let sink = Sink::to_writer(Box::new(writer), Style::Json).unwrap();
    let mut reader = BufReader::new(reader);
    push(&sink, "first");
    let mut line = String::new();
    reader.read_line(&mut line).unwrap();
    assert_eq!(line, "first\n");
    drop(reader);
    for _ in 0..3 {
        push(&sink, "nobody reads this");
        assert!(sink.flush(PATIENCE));
    }
    assert_eq!(sink.totals().lost_lines, 3);
}

/// A full disk that is emptied again.
struct Full {
    captured: Captured,
    full: Arc<AtomicBool>,
}

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.full.load(Ordering::SeqCst) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.captured.write(&bytes[..bytes.len().min(7)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn lines_that_a_full_disk_refuses_are_reported_later() {
    let (captured, full) = (Captured::default(), Arc::new(AtomicBool::new(false)));
    let writer = Full {
        captured: captured.clone(),
        full: Arc::clone(&full),
    };
    let sink = Sink::to_writer(Box::new(writer), Style::Plain).unwrap();
    push(&sink, "a line before, in short writes");
    assert!(sink.flush(PATIENCE));
    full.store(true, Ordering::SeqCst);
    push(&sink, "lost");
    push(&sink, "lost too");
    assert!(sink.flush(PATIENCE));
    full.store(false, Ordering::SeqCst);
    push(&sink, "after");
    let lines = captured.lines(&sink);
    assert_eq!(lines[..2], ["a line before, in short writes", "after"]);
    assert!(
        lines[2].contains("2 log lines were lost here: they could not be written: "),
        "{}",
        lines[2]
    );
    assert_eq!(sink.totals().lost_lines, 2);
}

/// Takes one byte, then asks to come back.
struct Reluctant {
    captured: Captured,
    willing: bool,
}

impl Write for Reluctant {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.willing = !self.willing;
        if self.willing {
            self.captured.write(&bytes[..1])
        } else {
            Err(io::ErrorKind::WouldBlock.into())
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_non_blocking_destination_gets_everything() {
    let captured = Captured::default();
    let sink = Sink::to_writer(
        Box::new(Reluctant {
            captured: captured.clone(),
            willing: false,
        }),
        Style::Json,
    )
    .unwrap();
    push(&sink, "patience");
    assert_eq!(captured.lines(&sink), ["patience"]);
}

#[test]
fn the_last_handle_writes_what_is_pending() {
    let (sink, captured) = Captured::sink(Style::Json);
    let other = sink.clone();
    push(&sink, "one");
    drop(sink);
    push(&other, "two");
    drop(other);
    assert_eq!(captured.text(), "one\ntwo\n");
}

#[test]
fn rendering_a_line_may_log() {
    let (sink, captured) = Captured::sink(Style::Json);
    sink.line(|out, _| {
        push(&sink, "inner");
        out.push_str("outer");
    });
    assert_eq!(captured.lines(&sink), ["inner", "outer"]);
}

#[test]
fn idle_buffers_shrink() {
    let (sink, captured) = Captured::sink(Style::Json);
    let big = "x".repeat(1 << 20);
    push(&sink, &big);
    push(&sink, &big);
    assert_eq!(captured.lines(&sink).len(), 2);
    until("shrunk", || {
        sink.handle.shared.state.lock().pending.capacity() <= KEPT_CAPACITY
    });
}

#[test]
fn files_are_appended_to_and_missing_directories_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("skep.log");
    for text in ["one", "two"] {
        let sink = Sink::open(&Destination::File(path.clone()), LogFormat::Auto).unwrap();
        assert_eq!(sink.style(), Style::Json);
        push(&sink, text);
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "one\ntwo\n");

    let missing = directory.path().join("no/such/skep.log");
    let error = Sink::open(&Destination::File(missing), LogFormat::Json)
        .err()
        .unwrap();
    assert!(error.to_string().contains("no/such/skep.log"), "{error}");
}

/// Prints what a line costs the request path: `cargo test -p skep --release -- --nocapture cost`.
#[test]
fn cost_of_a_line() {
    const ROUNDS: u32 = 50;
    const LINES: u32 = 5_000;
    let sink = Sink::to_writer(Box::new(io::sink()), Style::Json).unwrap();
    let line = "x".repeat(300);
    let mut spent = Duration::ZERO;
    for _ in 0..ROUNDS {
        let start = Instant::now();
        (0..LINES).for_each(|_| push(&sink, &line));
        spent += start.elapsed();
        assert!(sink.flush(PATIENCE));
    }
    let each = spent / (ROUNDS * LINES);
    println!("queueing a line of 300 bytes: {each:?}");
    assert_eq!(sink.totals().dropped_lines, 0);
    assert!(each < Duration::from_micros(20));
}
