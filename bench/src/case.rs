//! What is asked of a subject: one kind of request, and how many connections ask it.

use std::fmt::Write as _;
use std::time::Duration;

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
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// Its name in tables and rows.
    pub(crate) name: String,
    /// What a reader should know about it.
    pub(crate) what: String,
    pub(crate) method: &'static str,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    /// With prior knowledge, this many requests at once on each connection.
    Http2 {
        streams: usize,
    },
}

impl Case {
    /// A small answer to a GET: what a request costs when nothing else does.
    pub(crate) fn hello(connections: usize) -> Self {
        Self {
            name: format!("hello-{connections}"),
            what: format!("GET / with a short answer, {connections} connections"),
            method: "GET",
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
            method: "POST",
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
        vec![hello, crowd, blob, echo, http2]
    }

    /// The wrk script that makes these requests and prints what came of them as one line of
    /// JSON after [`SCRIPT_MARK`](crate::load::SCRIPT_MARK).
    pub(crate) fn script(&self) -> String {
        let mut script = format!("wrk.method = \"{}\"\n", self.method);
        if self.body > 0 {
            let _ = writeln!(script, "wrk.body = string.rep(\"x\", {})", self.body);
        }
        if self.paths.len() > 1 {
            let paths: Vec<String> = self.paths.iter().map(|p| format!("\"{p}\"")).collect();
            let _ = writeln!(script, "local paths = {{ {} }}", paths.join(", "));
            script.push_str(SPREAD);
        }
        if !self.pause.is_zero() {
            let pause = self.pause.as_millis();
            // A spread of ± half keeps the connections from asking in step.
            let _ = writeln!(
                script,
                "function delay() return math.random({}, {}) end",
                pause / 2,
                pause + pause / 2
            );
        }
        script.push_str(DONE);
        script
    }
}

/// Requests are formatted once, in `init`, so that the generator is not what is measured.
const SPREAD: &str = r#"
local requests, turn = {}, 0
function init(args)
  wrk.init(args)
  for i, path in ipairs(paths) do requests[i] = wrk.format(wrk.method, path) end
end
function request()
  turn = turn % #requests + 1
  return requests[turn]
end
"#;

const DONE: &str = r#"
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    "\nwrk-result {\"requests\":%d,\"micros\":%d,\"bytes\":%d,\"p50\":%d,\"p99\":%d,\"max\":%d,"
    .. "\"connect\":%d,\"read\":%d,\"write\":%d,\"status\":%d,\"timeout\":%d}\n",
    summary.requests, summary.duration, summary.bytes,
    latency:percentile(50), latency:percentile(99), latency.max,
    e.connect, e.read, e.write, e.status, e.timeout))
end
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_has_only_what_its_case_needs() {
        let plain = Case::hello(32).script();
        assert!(plain.starts_with("wrk.method = \"GET\""));
        assert!(
            !plain.contains("wrk.body") && !plain.contains("paths") && !plain.contains("delay")
        );

        let spread = Case {
            paths: vec!["/s0".into(), "/s1".into()],
            body: 3,
            pause: Duration::from_millis(10),
            ..Case::hello(1)
        }
        .script();
        assert!(spread.contains("local paths = { \"/s0\", \"/s1\" }"));
        assert!(spread.contains("string.rep(\"x\", 3)"));
        assert!(spread.contains("math.random(5, 15)"));
    }
}
