//! A client for single requests: to see when a server first answers, and whether its answer is
//! the right one before it is measured.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};

/// How long one request may take before it counts as not answered.
const TIMEOUT: Duration = Duration::from_secs(10);

/// What came back.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) body: Vec<u8>,
}

/// Sends one request on a connection of its own and reads the whole answer.
pub(crate) fn ask(server: SocketAddr, method: &str, path: &str, body: usize) -> Result<Answer> {
    ask_within(TIMEOUT, server, method, path, body)
}

/// The same with patience of the caller's own.
pub(crate) fn ask_within(
    patience: Duration,
    server: SocketAddr,
    method: &str,
    path: &str,
    body: usize,
) -> Result<Answer> {
    let mut stream = TcpStream::connect_timeout(&server, patience)?;
    stream.set_read_timeout(Some(patience))?;
    stream.set_write_timeout(Some(patience))?;
    let head = format!(
        "{method} {path} HTTP/1.1\r\nhost: {server}\r\ncontent-length: {body}\r\nconnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes())?;
    let mut received = Vec::new();
    thread::scope(|scope| {
        if body > 0 {
            let mut sending = &stream;
            // Sent while the answer is read: an echo would otherwise stop at full buffers.
            scope.spawn(move || sending.write_all(&vec![b'x'; body]));
        }
        (&stream).read_to_end(&mut received)
    })
    .with_context(|| format!("reading the answer to {method} {path}"))?;
    parse(&received).with_context(|| format!("reading the answer to {method} {path}"))
}

/// A connection that stays open for one request after the other.
#[derive(Debug)]
pub(crate) struct Connection {
    server: SocketAddr,
    stream: TcpStream,
}

impl Connection {
    pub(crate) fn to(server: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect_timeout(&server, TIMEOUT)?;
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.set_write_timeout(Some(TIMEOUT))?;
        stream.set_nodelay(true)?;
        Ok(Self { server, stream })
    }

    /// Asks for `path` and reads the whole answer. After an error the connection is of no use.
    pub(crate) fn get(&mut self, path: &str) -> Result<Answer> {
        let head = format!("GET {path} HTTP/1.1\r\nhost: {}\r\n\r\n", self.server);
        self.stream.write_all(head.as_bytes())?;
        let mut received = Vec::new();
        let mut piece = [0; 4096];
        while !is_whole(&received) {
            let count = self.stream.read(&mut piece)?;
            if count == 0 {
                bail!("the connection closed within the answer to {path}");
            }
            received.extend_from_slice(&piece[..count]);
        }
        parse(&received).with_context(|| format!("reading the answer to {path}"))
    }
}

/// Whether an answer has come to its end, as its own head says.
fn is_whole(received: &[u8]) -> bool {
    let Some(end) = head_end(received) else {
        return false;
    };
    let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
    let length = head.lines().find_map(|line| {
        let value = line.strip_prefix("content-length:")?;
        value.trim().parse::<usize>().ok()
    });
    match length {
        Some(length) => received.len() >= end + 4 + length,
        None => received.ends_with(b"\r\n0\r\n\r\n"),
    }
}

fn head_end(received: &[u8]) -> Option<usize> {
    received.windows(4).position(|window| window == b"\r\n\r\n")
}

fn parse(received: &[u8]) -> Result<Answer> {
    let end = head_end(received).context("the connection closed before the head was complete")?;
    let head = String::from_utf8_lossy(&received[..end]).to_ascii_lowercase();
    let status = head
        .split_whitespace()
        .nth(1)
        .and_then(|word| word.parse().ok());
    let status = status.with_context(|| format!("no status in {head:?}"))?;
    let body = &received[end + 4..];
    let chunked = head.lines().any(|line| {
        line.strip_prefix("transfer-encoding:")
            .is_some_and(|value| value.contains("chunked"))
    });
    let body = if chunked {
        join_chunks(body)?
    } else {
        body.to_vec()
    };
    Ok(Answer { status, body })
}

fn join_chunks(mut rest: &[u8]) -> Result<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let line = rest
            .iter()
            .position(|byte| *byte == b'\n')
            .context("chunk without a size")?;
        let size = String::from_utf8_lossy(&rest[..line]);
        let size = size.split(';').next().unwrap_or_default().trim();
        let size = usize::from_str_radix(size, 16).context("chunk size")?;
        rest = &rest[line + 1..];
        if size == 0 {
            return Ok(body);
        }
        let Some(chunk) = rest.get(..size) else {
            bail!("the connection closed within a chunk");
        };
        body.extend_from_slice(chunk);
        rest = rest.get(size + 2..).unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_read_with_and_without_chunks() {
        for (received, status, body) in [
            ("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi", 200, "hi"),
            ("HTTP/1.1 404 Not Found\r\n\r\n", 404, ""),
            (
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nA;x=y\r\n0123456789\r\n0\r\n\r\n",
                200,
                "hi0123456789",
            ),
        ] {
            let expected = Answer {
                status,
                body: body.into(),
            };
            assert_eq!(parse(received.as_bytes()).expect("an answer"), expected);
        }
    }

    #[test]
    fn an_answer_is_whole_when_its_head_says_so() {
        for (received, whole) in [
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", true),
            ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nh", false),
            ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", false),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
                true,
            ),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n",
                false,
            ),
        ] {
            assert_eq!(is_whole(received.as_bytes()), whole, "{received:?}");
        }
    }

    #[test]
    fn a_cut_answer_is_an_error() {
        for received in [
            "",
            "HTTP/1.1 200 OK\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhi",
        ] {
            assert!(parse(received.as_bytes()).is_err(), "{received:?}");
        }
    }
}
