//! What is asked of a subject: one kind of request, and how many connections ask it.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What `/` answers, natively. The component's own text may differ; it is as short.
pub(crate) const HELLO: &[u8] = b"hello from skep\n";
/// 64 KiB: larger than any buffer of a server's first write, small enough to stay in cache.
pub(crate) const BLOB_BYTES: usize = 64 * 1024;
/// What `/blob` answers, natively.
pub(crate) static BLOB: [u8; BLOB_BYTES] = [b'x'; BLOB_BYTES];
/// 1 MiB: does not fit a socket's buffers, so the server has to stream it.
pub(crate) const ECHO_BYTES: usize = 1024 * 1024;
/// Enough to keep one core busy with echoes; more would only measure the kernel's buffers.
const ECHO_CONNECTIONS: usize = 8;
/// Many clients at once: here a server's fairness shows in the 99th percentile.
const CROWD_CONNECTIONS: usize = 256;
/// How many requests an HTTP/2 client has under way on one connection.
const H2_STREAMS: usize = 8;

/// One kind of request under one kind of load.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Case {
    /// Its name in tables and rows.
    pub(crate) name: String,
    /// What a reader should know about it.
    pub(crate) what: String,
    pub(crate) method: String,
    /// Asked in turn. More than one spreads the load over services.
    pub(crate) paths: Vec<String>,
    /// Bytes of request body.
    pub(crate) body: usize,
    /// The least bytes of body that a right answer has.
    pub(crate) answer: usize,
    pub(crate) connections: usize,
    pub(crate) protocol: Protocol,
    /// How long a connection waits between an answer and its next request; zero is full load.
    pub(crate) pause: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Protocol {
    /// From the bench's own generator, which never sleeps.
    Http1,
    /// From wrk: plain GETs only.
    Http1Wrk,
    /// From h2load, with prior knowledge, this many requests at once on each connection.
    Http2 { streams: usize },
}

impl Case {
    /// A small answer to a GET: what a request costs when nothing else does.
    pub(crate) fn hello(connections: usize) -> Self {
        Self {
            name: format!("hello-{connections}"),
            what: format!("GET / with a short answer, {connections} connections"),
            method: "GET".into(),
            paths: vec!["/".into()],
            body: 0,
            answer: 1,
            connections,
            protocol: Protocol::Http1,
            pause: Duration::ZERO,
        }
    }

    /// The cases of suite `http`.
    pub(crate) fn all(connections: usize) -> Vec<Self> {
        let hello = Self::hello(connections);
        let crowd = Self::hello(CROWD_CONNECTIONS);
        let blob = Self {
            name: "blob".into(),
            what: format!("GET /blob, a body of 64 KiB, {connections} connections"),
            paths: vec!["/blob".into()],
            answer: BLOB_BYTES,
            ..hello.clone()
        };
        let echo = Self {
            name: "echo".into(),
            what: format!("POST /echo, 1 MiB there and back, {ECHO_CONNECTIONS} connections"),
            method: "POST".into(),
            paths: vec!["/echo".into()],
            body: ECHO_BYTES,
            answer: ECHO_BYTES,
            connections: ECHO_CONNECTIONS,
            ..hello.clone()
        };
        let http2 = Self {
            name: "hello-h2".into(),
            what: format!(
                "GET / over HTTP/2, {connections} connections with {H2_STREAMS} streams each"
            ),
            protocol: Protocol::Http2 {
                streams: H2_STREAMS,
            },
            ..hello.clone()
        };
        let wrk = Self {
            name: format!("hello-{connections}-wrk"),
            what: format!(
                "the same as hello-{connections}, but from wrk, which servers have to wake"
            ),
            protocol: Protocol::Http1Wrk,
            ..hello.clone()
        };
        vec![hello, crowd, blob, echo, wrk, http2]
    }
}
