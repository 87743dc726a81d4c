//! The control API as its clients meet it: its document, its refusals, and who is let in.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail and then shows the log, and its tasks end with its runtime"
)]

#[path = "../host/fixture/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the fixture serves other tests too"
)]
mod fixture;

mod commands;
mod document;
mod over_tcp;
mod problems;
mod remote;
mod schemathesis;

use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;

use fixture::{Host, PATIENCE, service};

/// An answer of the control API.
struct Answer {
    status: u16,
    head: String,
    body: String,
}

impl Answer {
    /// What a whole HTTP/1.0 exchange gave.
    fn of(mut stream: impl std::io::Read + std::io::Write, request: &str) -> Answer {
        // A host that does not want all of it answers, and closes.
        let _ = stream.write_all(request.as_bytes());
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8(bytes).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| {
            panic!("no answer to {request:?}: {text:?}");
        });
        Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap()
    }

    /// It is a problem document with this status.
    #[track_caller]
    fn problem(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{}\n{}", self.head, self.body);
        assert!(
            self.head.contains("content-type: application/problem+json"),
            "{}",
            self.head
        );
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        assert!(problem["title"].is_string(), "{problem}");
        problem["detail"].as_str().unwrap().to_owned()
    }
}

/// Asks over the Unix socket; `fields` with their line breaks.
fn ask(host: &Host, request: &str, fields: &str, body: &str) -> Answer {
    let stream = UnixStream::connect(host.directory().join(".skep/control.sock")).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let text = format!(
        "{request} HTTP/1.0\r\nhost: localhost\r\ncontent-length: {length}\r\n{fields}\r\n{body}"
    );
    Answer::of(stream, &text)
}

/// Asks over TCP, with these fields and no others.
fn ask_remotely(address: SocketAddr, request: &str, fields: &str) -> Answer {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    Answer::of(stream, &format!("{request} HTTP/1.0\r\n{fields}\r\n"))
}

/// A host with a shop in it that also listens on TCP, and where.
async fn remote() -> (Host, SocketAddr) {
    let plan = Host::with(service("cart").component("probe").everywhere())
        .and(service("catalog").component("callee"));
    let host = plan.controlled().start().await;
    let url = host.control_url().await;
    let address = url.strip_prefix("http://").unwrap().parse().unwrap();
    (host, address)
}
