//! A load generator that never sleeps.
//!
//! Established generators wait for answers in `epoll_wait`. Then each answer of a server has to
//! wake them on the other core, and the interrupt for that is the server's CPU time: on a virtual
//! machine 5 µs and more, which is as much as a native server's whole request. A server that is
//! fast enough to keep the generator busy is spared it. This one asks again and again whether
//! there is something to read, so that all subjects are measured without it. It runs as a
//! process of its own, on the load's core, and reports as a line of JSON.
//!
//! It speaks as much HTTP/1.1 as the cases need and counts everything it does not expect as an
//! error.

use std::io::{self, ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::case::Case;
use crate::load::Load;

/// A request that takes longer is an error, and its connection is made anew.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How often connections are looked at for that.
const TIMEOUT_CHECK: Duration = Duration::from_millis(100);
/// A server that sends a longer head is not one of ours.
const HEAD_BYTES_MAX: usize = 16 * 1024;
/// As much as one read takes.
const READ_BYTES: usize = 256 * 1024;

/// Loads `server` for `time`.
pub(crate) fn run(server: SocketAddr, case: &Case, time: Duration) -> Result<Load> {
    let requests: Vec<Vec<u8>> = case
        .paths
        .iter()
        .map(|path| request(server, case, path))
        .collect();
    ensure!(!requests.is_empty(), "a case without a path");
    let mut generator = Generator {
        server,
        case,
        requests,
        turn: 0,
        poll: Poll::new().context("making an epoll set")?,
        connections: Vec::new(),
        buffer: vec![0; READ_BYTES],
        latencies: Vec::with_capacity(1 << 20),
        errors: 0,
    };
    for index in 0..case.connections {
        let connection = generator
            .connect(index)
            .with_context(|| format!("connecting to {server}"))?;
        generator.connections.push(connection);
    }
    let seconds = generator.load(time)?;
    Ok(generator.report(seconds))
}

fn request(server: SocketAddr, case: &Case, path: &str) -> Vec<u8> {
    let method = &case.method;
    let mut request = format!("{method} {path} HTTP/1.1\r\nhost: {server}\r\n").into_bytes();
    if case.body > 0 {
        request.extend_from_slice(format!("content-length: {}\r\n", case.body).as_bytes());
    }
    request.extend_from_slice(b"\r\n");
    request.resize(request.len() + case.body, b'x');
    request
}

struct Generator<'a> {
    server: SocketAddr,
    case: &'a Case,
    /// One for each path, taken in turn.
    requests: Vec<Vec<u8>>,
    turn: usize,
    poll: Poll,
    connections: Vec<Connection>,
    buffer: Vec<u8>,
    /// Nanoseconds from the first byte sent to the last byte received.
    latencies: Vec<u64>,
    errors: u64,
}

struct Connection {
    stream: TcpStream,
    state: State,
}

enum State {
    /// Asks again at this time.
    Resting(Instant),
    Asking {
        since: Instant,
        request: usize,
        sent: usize,
        answer: Answer,
    },
}

/// What made a connection unusable.
struct Broken;

impl Generator<'_> {
    fn connect(&self, index: usize) -> io::Result<Connection> {
        // A server that does not accept leaves it pending; then nothing is answered, and that is
        // the result.
        let mut stream = TcpStream::connect(self.server)?;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(&mut stream, Token(index), interest)?;
        Ok(Connection {
            stream,
            state: State::Resting(Instant::now()),
        })
    }

    /// Runs until the time is over; gives how long that was, in seconds.
    fn load(&mut self, time: Duration) -> Result<f64> {
        let begin = Instant::now();
        let mut events = Events::with_capacity(self.case.connections.max(1));
        let mut checked = begin;
        for index in 0..self.connections.len() {
            // Out of step from the start, where they pause.
            self.rest(index, begin);
        }
        self.wake_rested(begin);
        loop {
            let now = Instant::now();
            if now - begin >= time {
                return Ok((now - begin).as_secs_f64());
            }
            if !self.case.pause.is_zero() {
                self.wake_rested(now);
            }
            if now - checked >= TIMEOUT_CHECK {
                checked = now;
                self.give_up_on_late(now);
            }
            let wait = if self.case.pause.is_zero() {
                Duration::ZERO
            } else {
                self.until_rested()
            };
            match self.poll.poll(&mut events, Some(wait)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => {
                    return Err(error).context("waiting for answers");
                }
                _ => {}
            }
            for event in &events {
                self.advance(event.token().0);
            }
        }
    }

    /// Without a pause a connection asks again at once.
    fn rest(&mut self, index: usize, now: Instant) {
        // A spread of ± half keeps the connections from asking in step.
        let part = fastrand::f64() + 0.5;
        self.connections[index].state = State::Resting(now + self.case.pause.mul_f64(part));
    }

    fn wake_rested(&mut self, now: Instant) {
        for index in 0..self.connections.len() {
            if matches!(self.connections[index].state, State::Resting(until) if until <= now) {
                self.ask(index);
            }
        }
    }

    fn until_rested(&self) -> Duration {
        let rests = self
            .connections
            .iter()
            .filter_map(|connection| match connection.state {
                State::Resting(until) => Some(until),
                State::Asking { .. } => None,
            });
        let next = rests
            .min()
            .map(|until| until.saturating_duration_since(Instant::now()));
        next.unwrap_or(TIMEOUT_CHECK).min(TIMEOUT_CHECK)
    }

    fn ask(&mut self, index: usize) {
        self.turn = (self.turn + 1) % self.requests.len();
        let answer = Answer::default();
        self.connections[index].state = State::Asking {
            since: Instant::now(),
            request: self.turn,
            sent: 0,
            answer,
        };
        self.send(index);
    }

    fn advance(&mut self, index: usize) {
        if !self.send(index) {
            return;
        }
        let Connection { stream, state } = &mut self.connections[index];
        let State::Asking { since, answer, .. } = state else {
            return;
        };
        match receive(stream, answer, &mut self.buffer) {
            Ok(false) => {}
            Ok(true) => {
                let (since, right) = (*since, answer.is_right(self.case.answer));
                self.answered(index, since, right);
            }
            Err(Broken) => self.renew(index),
        }
    }

    fn answered(&mut self, index: usize, since: Instant, right: bool) {
        let now = Instant::now();
        self.latencies
            .push(u64::try_from((now - since).as_nanos()).unwrap_or(u64::MAX));
        self.errors += u64::from(!right);
        if self.case.pause.is_zero() {
            self.ask(index);
        } else {
            self.rest(index, now);
        }
    }

    /// Sends what the socket takes. False if the connection had to be given up.
    fn send(&mut self, index: usize) -> bool {
        let Connection { stream, state } = &mut self.connections[index];
        let State::Asking { request, sent, .. } = state else {
            return true;
        };
        while let Some(rest) = self.requests[*request]
            .get(*sent..)
            .filter(|rest| !rest.is_empty())
        {
            match stream.write(rest) {
                Ok(count) => *sent += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                Err(_) => {
                    self.renew(index);
                    return false;
                }
            }
        }
        true
    }

    /// A broken connection is an error and is made anew; if even that fails, it rests a while.
    fn renew(&mut self, index: usize) {
        self.errors += 1;
        match self.connect(index) {
            Ok(connection) => {
                self.connections[index] = connection;
                self.ask_later(index);
            }
            Err(_) => self.ask_later(index),
        }
    }

    /// Not at once: a server that refuses must not be asked in an endless loop within one turn.
    fn ask_later(&mut self, index: usize) {
        self.connections[index].state = State::Resting(Instant::now() + TIMEOUT_CHECK);
    }

    fn give_up_on_late(&mut self, now: Instant) {
        self.wake_rested(now);
        for index in 0..self.connections.len() {
            if let State::Asking { since, .. } = self.connections[index].state
                && now.saturating_duration_since(since) > TIMEOUT
            {
                self.renew(index);
            }
        }
    }

    fn report(mut self, seconds: f64) -> Load {
        self.latencies.sort_unstable();
        let percentile = |part: usize| {
            let index = self.latencies.len().saturating_mul(part) / 100;
            let latency = self.latencies.get(index).or(self.latencies.last());
            latency.map_or(0.0, |nanos| *nanos as f64 / 1e6)
        };
        Load {
            requests: self.latencies.len() as u64,
            seconds,
            p50_ms: percentile(50),
            p99_ms: percentile(99),
            max_ms: percentile(100),
            errors: self.errors,
        }
    }
}

/// Reads what is there. True if the answer is whole.
fn receive(stream: &mut TcpStream, answer: &mut Answer, buffer: &mut [u8]) -> Result<bool, Broken> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Err(Broken),
            Ok(count) => {
                if answer.take(&buffer[..count])? {
                    return Ok(true);
                }
            }
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(_) => return Err(Broken),
        }
    }
}

/// An answer as far as it has been received.
#[derive(Default)]
struct Answer {
    head: Vec<u8>,
    status: u16,
    body: usize,
    part: Part,
}

/// What comes next.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Part {
    #[default]
    Head,
    /// So many bytes of a body whose length was said.
    Rest(usize),
    /// A chunk's size, of which this is read.
    Size(usize),
    /// The rest of the line after a chunk's size.
    SizeEnd(usize),
    /// So many bytes of a chunk, with its line end.
    Chunk(usize),
    /// Trailers; whether the line so far is empty.
    Trailers(bool),
    Whole,
}

impl Answer {
    fn is_right(&self, at_least: usize) -> bool {
        (200..300).contains(&self.status) && self.body >= at_least
    }

    /// Takes received bytes; true when the answer is whole. Bytes beyond that are an error:
    /// nothing more was asked for.
    fn take(&mut self, mut bytes: &[u8]) -> Result<bool, Broken> {
        while !bytes.is_empty() {
            if self.part == Part::Whole {
                return Err(Broken);
            }
            let used = self.step(bytes)?;
            bytes = bytes.get(used..).unwrap_or_default();
        }
        Ok(self.part == Part::Whole)
    }

    /// Takes at least one byte; says how many.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        match self.part {
            Part::Head => self.take_head(bytes),
            Part::Rest(left) => {
                let used = left.min(bytes.len());
                self.body += used;
                self.part = if used == left {
                    Part::Whole
                } else {
                    Part::Rest(left - used)
                };
                Ok(used)
            }
            Part::Size(size) => {
                self.part = match (char::from(bytes[0]).to_digit(16), bytes[0]) {
                    (Some(digit), _) => {
                        let larger = size
                            .checked_mul(16)
                            .and_then(|size| size.checked_add(digit as usize));
                        Part::Size(larger.ok_or(Broken)?)
                    }
                    (None, b'\n') => after_size(size),
                    (None, b'\r' | b';' | b' ') => Part::SizeEnd(size),
                    _ => return Err(Broken),
                };
                Ok(1)
            }
            Part::SizeEnd(size) => {
                if bytes[0] == b'\n' {
                    self.part = after_size(size);
                }
                Ok(1)
            }
            Part::Chunk(left) => {
                let used = left.min(bytes.len());
                // The last two are the line end.
                self.body += used.min(left.saturating_sub(2));
                self.part = if used == left {
                    Part::Size(0)
                } else {
                    Part::Chunk(left - used)
                };
                Ok(used)
            }
            Part::Trailers(empty) => {
                self.part = match bytes[0] {
                    b'\n' if empty => Part::Whole,
                    b'\n' => Part::Trailers(true),
                    b'\r' => Part::Trailers(empty),
                    _ => Part::Trailers(false),
                };
                Ok(1)
            }
            Part::Whole => Err(Broken),
        }
    }

    fn take_head(&mut self, bytes: &[u8]) -> Result<usize, Broken> {
        let before = self.head.len();
        if before + bytes.len().min(HEAD_BYTES_MAX) > HEAD_BYTES_MAX {
            return Err(Broken);
        }
        let seen = before.saturating_sub(3);
        self.head
            .extend_from_slice(&bytes[..bytes.len().min(HEAD_BYTES_MAX)]);
        let end = self.head[seen..]
            .windows(4)
            .position(|window| window == b"\r\n\r\n");
        let Some(end) = end.map(|position| seen + position + 4) else {
            return Ok(bytes.len());
        };
        self.head.truncate(end);
        let (status, part) = read_head(&self.head).ok_or(Broken)?;
        self.status = status;
        self.part = part;
        Ok(end - before)
    }
}

fn after_size(size: usize) -> Part {
    if size == 0 {
        Part::Trailers(true)
    } else {
        Part::Chunk(size.saturating_add(2))
    }
}

/// Status, and how the body comes.
fn read_head(head: &[u8]) -> Option<(u16, Part)> {
    let head = std::str::from_utf8(head).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines
        .next()?
        .strip_prefix("HTTP/1.1 ")?
        .get(..3)?
        .parse()
        .ok()?;
    let mut part = None;
    for line in lines {
        let Some((name, value)) = line.split_once(':') else {
            continue;
        };
        if name.eq_ignore_ascii_case("content-length") {
            part = Some(match value.trim().parse().ok()? {
                0 => Part::Whole,
                length => Part::Rest(length),
            });
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            part = Some(Part::Size(0));
        }
    }
    // A body that ends with the connection cannot be told from one that was cut.
    Some((status, part?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWERS: [(&str, u16, usize); 4] = [
        ("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, 5),
        ("HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n", 503, 0),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
            200,
            15,
        ),
        (
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\ntrailer: yes\r\n\r\n",
            200,
            1,
        ),
    ];

    #[test]
    fn answers_are_understood_however_they_are_cut() {
        for (text, status, body) in ANSWERS {
            for size in 1..=text.len() {
                let mut answer = Answer::default();
                let mut pieces = text.as_bytes().chunks(size).peekable();
                while let Some(piece) = pieces.next() {
                    let whole = answer
                        .take(piece)
                        .unwrap_or_else(|Broken| panic!("{text:?} by {size}"));
                    assert_eq!(whole, pieces.peek().is_none(), "{text:?} by {size}");
                }
                assert_eq!(
                    (answer.status, answer.body),
                    (status, body),
                    "{text:?} by {size}"
                );
            }
        }
    }

    #[test]
    fn what_is_not_an_answer_is_an_error() {
        for text in [
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: x\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nabc",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nhello",
            "garbage\r\n\r\n",
        ] {
            assert!(Answer::default().take(text.as_bytes()).is_err(), "{text:?}");
        }
        let endless = vec![b'x'; HEAD_BYTES_MAX + 1];
        let mut answer = Answer::default();
        assert!(answer.take(&endless).is_err() || answer.take(&endless).is_err());
    }
}
