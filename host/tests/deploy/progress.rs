//! Whoever waits for a change is told of its steps as they begin.

use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::fd::{FromRawFd as _, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;

use serde_json::{Value, json};

use super::fixture::{Host, PATIENCE, Plan, service, skep};
use super::{application, chain, front, marked, versioned, versioned_service};

/// The lines of an answer, as they come.
struct Lines(BufReader<UnixStream>);

impl Lines {
    fn of(host: &Host, request: &str, kind: &str, body: &[u8]) -> Lines {
        let mut stream = UnixStream::connect(host.directory().join(".skep/control.sock")).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let length = body.len();
        let fields =
            format!("accept: text/html, application/x-ndjson;q=0.9\r\ncontent-type: {kind}");
        write!(
            stream,
            "POST {request} HTTP/1.0\r\nhost: x\r\n{fields}\r\ncontent-length: {length}\r\n\r\n"
        )
        .unwrap();
        stream.write_all(body).unwrap();
        let mut answer = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(answer.read_line(&mut head).unwrap() > 0, "{head}");
        }
        assert!(head.starts_with("HTTP/1.0 200 "), "{head}");
        assert!(
            head.contains("content-type: application/x-ndjson"),
            "{head}"
        );
        Lines(answer)
    }

    fn deploy(host: &Host, service: &str, component: &[u8]) -> Lines {
        let request = format!("/v1/services/{service}/deploy");
        Lines::of(host, &request, "application/wasm", component)
    }

    fn next(&mut self) -> Option<Value> {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        (!line.is_empty()).then(|| serde_json::from_str(&line).unwrap())
    }

    /// The steps, and the last line.
    fn rest(mut self) -> (Vec<Value>, Value) {
        let mut lines: Vec<Value> = std::iter::from_fn(|| self.next()).collect();
        let last = lines.pop().unwrap();
        (lines, last)
    }
}

/// Every version of its front takes a second and a half to be well.
fn slow() -> Plan {
    let front = front().health("path = \"/wait/1500\", timeout = \"30s\"");
    chain(
        front,
        versioned_service("middle"),
        versioned_service("leaf"),
    )
}

fn build(service: &str) -> Value {
    json!({ "step": "build", "service": service, "done": 0, "of": 1 })
}

fn prove(service: &str, revision: u32) -> Value {
    json!({ "step": "prove", "service": service, "revision": revision })
}

fn step(name: &str) -> Value {
    json!({ "step": name })
}

#[tokio::test]
async fn each_step_of_a_deploy_an_apply_and_a_rollback_is_told() {
    let host = application().start().await;
    let (steps, last) = Lines::deploy(&host, "leaf", &versioned("leaf", 2, '0')).rest();
    let ends = [step("write-down"), step("switch")];
    let new = [step("check"), build("leaf"), prove("leaf", 2)];
    assert_eq!(steps, [&new[..], &ends].concat());
    assert_eq!(
        (&last["generation"], &last["services"][0]["to"]),
        (&2.into(), &2.into())
    );

    for (name, version) in [("front", 3), ("middle", 3)] {
        let file = host.directory().join(format!("{name}.wasm"));
        std::fs::write(file, versioned(name, version, '0')).unwrap();
    }
    let asked = json!({ "manifest": host.manifest() }).to_string();
    let applied = Lines::of(&host, "/v1/apply", "application/json", asked.as_bytes());
    let (steps, last) = applied.rest();
    assert_eq!(last["generation"], 3, "{last}");
    // What the leaf was before stands by. The others are built side by side, in any order.
    let mut built: Vec<&str> = steps[1..3]
        .iter()
        .map(|step| step["service"].as_str().unwrap())
        .collect();
    built.sort_unstable();
    assert_eq!(built, ["front", "middle"]);
    let counts = |step: &Value| step["done"].as_u64() < step["of"].as_u64() && step["of"] == 2;
    assert!(steps[1..3].iter().all(counts), "{steps:?}");
    let proved: Vec<&Value> = steps[3..5].iter().map(|step| &step["step"]).collect();
    assert_eq!(proved, ["prove"; 2]);
    assert_eq!(steps[5..], ends);

    // What stands by is neither built nor started.
    let rolled_back = Lines::of(
        &host,
        "/v1/services/leaf/rollback",
        "application/json",
        b"{}",
    );
    let (steps, last) = rolled_back.rest();
    assert_eq!(steps, [&[step("check")], &ends[..]].concat());
    assert_eq!(last["generation"], 4, "{last}");
    // Who does not ask is not told.
    host.deploy("leaf", 7, '0').expect(0);
}

#[tokio::test]
async fn a_step_is_told_when_it_begins() {
    let host = slow().start().await;
    let mut lines = Lines::deploy(&host, "front", &versioned("front", 2, '0'));
    while lines.next().unwrap() != prove("front", 2) {}
    assert_eq!(host.status()["generation"], 1, "it is being proved");
    let (steps, last) = lines.rest();
    assert_eq!(steps, [step("write-down"), step("switch")]);
    assert_eq!(last["generation"], 2);
}

#[tokio::test]
async fn a_state_that_is_handed_over_is_told() {
    let one = "max = 1, warm = 1, reuse = 1000000000, idle = \"24h\"";
    let keeper = service("keeper").component("./keeper.wasm").instances(one);
    let host = Host::with(keeper.routes(&["/next"]))
        .bytes("keeper.wasm", marked("keeper", 1, '0'))
        .start()
        .await;
    let (steps, last) = Lines::deploy(&host, "keeper", &marked("keeper", 2, '0')).rest();
    let handed = json!({ "step": "hand-over", "service": "keeper" });
    assert_eq!(steps[3..], [handed, step("write-down"), step("switch")]);
    assert_eq!(last["generation"], 2);
}

#[tokio::test]
async fn what_comes_to_nothing_ends_with_the_problem() {
    let host = application().start().await;
    let other = versioned("middle", 1, '0');
    let (steps, last) = Lines::deploy(&host, "leaf", &other).rest();
    assert_eq!(steps, [step("check")]);
    assert_eq!(
        (&last["status"], &last["step"]),
        (&422.into(), &"check".into()),
        "{last}"
    );
    assert!(last["mistakes"][0]["message"].is_string(), "{last}");
    let (_, last) = Lines::deploy(&host, "nobody", &other).rest();
    assert_eq!(
        (&last["status"], &last["step"]),
        (&404.into(), &"read".into()),
        "{last}"
    );
}

/// What a command shows on a terminal that is its standard error.
fn on_a_terminal(host: &Host, arguments: &[&str]) -> (Option<i32>, String) {
    let (mut ours, mut theirs) = (-1, -1);
    let none = std::ptr::null_mut();
    // SAFETY: both numbers outlive the call, and null asks for the defaults of the rest.
    let made = unsafe { libc::openpty(&mut ours, &mut theirs, none, none.cast(), none.cast()) };
    assert_eq!(made, 0);
    // SAFETY: openpty has made both, and nobody else has them.
    let (ours, theirs) = unsafe { (OwnedFd::from_raw_fd(ours), OwnedFd::from_raw_fd(theirs)) };
    let mut command = skep();
    command
        .args(arguments)
        .arg(host.manifest())
        .stderr(Stdio::from(theirs));
    let mut child = command.spawn().unwrap();
    // Its own end of the terminal closes here.
    drop(command);
    let mut shown = Vec::new();
    // That the other end has closed is an error of a terminal's.
    let _ = File::from(ours).read_to_end(&mut shown);
    (
        child.wait().unwrap().code(),
        String::from_utf8(shown).unwrap(),
    )
}

#[tokio::test]
async fn a_terminal_shows_the_step_and_nothing_of_it_is_left() {
    let host = slow().start().await;
    let file = |version| {
        host.file("front", version, '0')
            .to_str()
            .unwrap()
            .to_owned()
    };
    let (code, shown) = on_a_terminal(&host, &["deploy", "front", &file(2)]);
    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("deploying: proving front … "), "{shown:?}");
    assert!(shown.ends_with("\r\u{1b}[K"), "{shown:?}");
    // JSON is for programs, and what is no terminal for files.
    let (code, shown) = on_a_terminal(&host, &["deploy", "front", &file(3), "--json"]);
    assert_eq!((code, shown.as_str()), (Some(0), ""));
    let said = host.deploy("front", 4, '0').expect(0);
    assert_eq!(said.stderr, "");
}
