//! A host that is to take over and cannot leaves no trace: the one that runs goes on, and can change.

use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;

use super::super::fixture::{Host, Output, PATIENCE, eventually};
use super::super::{application, versioned, versions};
use super::generation;

/// The newcomer has gone, and nothing keeps the host from changing.
async fn goes_on(host: &Host, times: usize) {
    let back = "changes are taken again";
    eventually("the host to go on", async || {
        let log = host.log_text();
        (log.matches(back).count() == times).then_some(())
    })
    .await;
}

/// Each step of the new host at which it may end; the journal's are those of a start that has something
/// to write down.
const STEPS: [&str; 8] = [
    "takeover::asked",
    "run::opened",
    "store::put",
    "journal::written",
    "journal::durable",
    "journal::begun",
    "takeover::started",
    "takeover::may-serve",
];

#[tokio::test]
async fn a_newcomer_that_is_killed_at_any_step_leaves_the_old_host_as_it_was() {
    let host = application().start().await;
    let armed = host.directory().join("armed");
    std::fs::write(&armed, "").unwrap();
    for (round, step) in (0_u32..).zip(STEPS) {
        let (generations, leaf) = (u64::from(round) + 1, round + 1);
        // It has something to do.
        let file = host.directory().join("middle.wasm");
        std::fs::write(file, versioned("middle", 50 + round, '0')).unwrap();
        let mut newcomer = host.take_over();
        newcomer.env("SKEP_FAILPOINT", format!("{step}:{}", armed.display()));
        let said = Output::of(&mut newcomer);
        assert_eq!(said.code, None, "{step}: it was not killed: {said:?}");
        goes_on(&host, round as usize + 1).await;
        assert_eq!(versions(&host).await, [1, 1, leaf, leaf], "{step}");
        assert_eq!(generation(&host), generations, "{step}");
        host.deploy("leaf", leaf + 1, '0').expect(0);
        assert_eq!(versions(&host).await, [1, 1, leaf + 1, leaf + 1], "{step}");
        assert_eq!(generation(&host), generations + 1, "{step}");
    }
    // All of it was written down.
    let mut host = host;
    let next = host.taken_over().await;
    assert_eq!(host.exit_code().await, Some(0));
    assert_eq!(versions(&next).await, [1, 57, 9, 9]);
    assert_eq!(generation(&next), 10);
    next.command("rollback", &["leaf", "--to", "1"]).expect(0);
    assert_eq!(versions(&next).await, [1, 57, 1, 1]);
}

#[tokio::test]
async fn a_newcomer_with_mistakes_is_not_even_heard_of() {
    let host = application().start().await;
    let whole = std::fs::read_to_string(host.manifest()).unwrap();
    let mistaken = whole.replace("[service.leaf]", "[service.leaf]\nlimit = 1");
    std::fs::write(host.manifest(), mistaken).unwrap();
    Output::of(&mut host.take_over()).expect(3).says(&["limit"]);
    std::fs::write(host.manifest(), whole).unwrap();
    std::fs::write(host.directory().join("leaf.wasm"), "no component").unwrap();
    Output::of(&mut host.take_over())
        .expect(3)
        .says(&["leaf.wasm"]);
    assert!(
        !host.log_text().contains("take over"),
        "{}",
        host.log_text()
    );
    host.deploy("leaf", 2, '0').expect(0);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
}

#[tokio::test]
async fn a_newcomer_that_cannot_have_its_address_gives_all_back() {
    let host = application().start().await;
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut newcomer = host.take_over();
    newcomer.args(["--listen", &address]);
    Output::of(&mut newcomer)
        .expect(1)
        .says(&["cannot listen on", &address]);
    goes_on(&host, 1).await;
    host.deploy("leaf", 2, '0').expect(0);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
}

/// Somebody who talks to the host as a newcomer does.
struct Newcomer(UnixStream);

impl Newcomer {
    fn of(host: &Host) -> Newcomer {
        let socket = host.directory().join(".skep/takeover.sock");
        let stream = UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Newcomer(stream)
    }

    fn says(&mut self, line: &str) {
        writeln!(self.0, "{line}").unwrap();
    }

    /// The next line; empty when the host has hung up.
    fn hears(&mut self) -> String {
        let mut line = String::new();
        BufReader::new(&self.0).read_line(&mut line).unwrap();
        line
    }
}

const ASKS: &str = r#"{"take-over":{"protocol":1,"version":"0.0.0"}}"#;

#[tokio::test]
async fn one_newcomer_at_a_time_and_nothing_changes_meanwhile() {
    let host = application().start().await;
    let mut first = Newcomer::of(&host);
    first.says(ASKS);
    assert!(first.hears().starts_with(r#"{"left":"#));
    Output::of(&mut host.take_over()).expect(1).says(&[
        "does not give way",
        "another process is taking over already",
    ]);
    host.deploy("leaf", 2, '0')
        .expect(1)
        .says(&["being replaced by another"]);
    host.command("rollback", &["leaf"])
        .expect(1)
        .says(&["being replaced by another"]);
    assert_eq!(versions(&host).await, [1; 4]);
    drop(first);
    goes_on(&host, 1).await;
    host.deploy("leaf", 2, '0').expect(0);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
}

#[tokio::test]
async fn what_talks_otherwise_is_sent_away() {
    let host = application().start().await;
    let mode = std::fs::metadata(host.directory().join(".skep/takeover.sock")).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::mode(&mode.permissions());
    assert_eq!(mode & 0o777, 0o600);
    let mut stranger = Newcomer::of(&host);
    stranger.says("GET / HTTP/1.1");
    assert_eq!(stranger.hears(), "");
    let mut later = Newcomer::of(&host);
    later.says(r#"{"take-over":{"protocol":2,"version":"9.0.0"}}"#);
    let said = later.hears();
    assert!(said.contains("refused") && said.contains("9.0.0"), "{said}");
    // Out of turn: it has not said that it is ready.
    let mut hasty = Newcomer::of(&host);
    hasty.says(ASKS);
    assert!(hasty.hears().starts_with(r#"{"left":"#));
    hasty.says(r#""serving""#);
    let said = hasty.hears();
    assert!(
        said.contains("refused") && said.contains("out of turn"),
        "{said}"
    );
    goes_on(&host, 1).await;
    host.deploy("leaf", 2, '0').expect(0);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
}

#[tokio::test]
async fn what_is_on_trial_is_not_handed_over() {
    let mut host = application().start().await;
    let file = host.file("leaf", 2, '0');
    let file = file.to_str().unwrap();
    host.command("deploy", &["leaf", file, "--canary", "10%"])
        .expect(0);
    Output::of(&mut host.take_over())
        .expect(1)
        .says(&["revision 2 of `leaf` is on trial", "skep abort"]);
    // It is still on trial, and can be ended.
    host.command("abort", &[]).expect(0);
    let next = host.taken_over().await;
    assert_eq!(host.exit_code().await, Some(0));
    assert_eq!(versions(&next).await, [1; 4]);
}
