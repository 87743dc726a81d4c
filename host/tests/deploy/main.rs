//! Changes of an application that runs, from outside: what is deployed serves, what was under way ends
//! where it began, and what does not fit changes nothing. The guests are those called `versioned` in
//! `components/`.

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

mod canary;
mod clients;
mod disk;
mod handover;
mod history;
mod load;
mod plans;
mod probation;
mod progress;
mod recovery;
mod refusals;
mod shadow;
mod swaps;
mod takeover;
mod versioned;

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use fixture::{Connection, Host, Output, PATIENCE, Plan, Reply, Service, get, service, skep};
use versioned::{marked, versioned};

/// Front, middle and leaf, all of version 1, each from a file of its own beside the manifest.
fn application() -> Plan {
    chain(
        front(),
        versioned_service("middle"),
        versioned_service("leaf"),
    )
}

fn chain(front: Service, middle: Service, leaf: Service) -> Plan {
    let plan = Host::with(front).and(middle).and(leaf);
    let parts = ["front", "middle", "leaf"];
    parts.into_iter().fold(plan, |plan, name| {
        plan.bytes(&format!("{name}.wasm"), versioned(name, 1, '0'))
    })
}

fn front() -> Service {
    versioned_service("front").everywhere()
}

fn versioned_service(name: &str) -> Service {
    service(name).component(&format!("./{name}.wasm"))
}

impl Host {
    /// Writes a version of a component, and has it deployed.
    fn deploy(&self, service: &str, version: u32, mode: char) -> Output {
        let file = self.file(service, version, mode);
        self.command("deploy", &[service, file.to_str().unwrap()])
    }

    fn file(&self, service: &str, version: u32, mode: char) -> PathBuf {
        let file = self.directory().join(format!("{service}-{version}-{mode}"));
        std::fs::write(&file, versioned(service, version, mode)).unwrap();
        file
    }

    /// Runs `skep COMMAND ARGUMENTS MANIFEST` to its end.
    fn command(&self, command: &str, arguments: &[&str]) -> Output {
        let mut skep = skep();
        skep.arg(command).args(arguments).arg(self.manifest());
        Output::of(&mut skep)
    }
}

/// What the host answers, over its control socket, to a request for a change.
fn asked_for(socket: &Path, request: &str, body: &[u8]) -> String {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let length = body.len();
    let kind = match request.ends_with("/deploy") {
        true => "content-type: application/wasm",
        false => "content-type: application/json",
    };
    write!(
        stream,
        "POST {request} HTTP/1.0\r\nhost: x\r\n{kind}\r\ncontent-length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

/// `/versions` and the like, as numbers.
#[track_caller]
fn numbers(reply: Reply) -> Vec<u32> {
    let reply = reply.expect(200);
    assert!(reply.whole, "{reply:?}");
    let words = reply.text().split_whitespace();
    words.map(|word| word.parse().unwrap()).collect()
}

async fn versions(host: &Host) -> Vec<u32> {
    let mut connection = Connection::http1(host).await;
    numbers(connection.ask(get("/versions")).await)
}
