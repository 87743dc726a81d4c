//! Requests that guests send: by the thousand, to themselves, to nobody, without patience.

use std::net::{SocketAddr, TcpListener};

use crate::fixture::{Host, Reply};
use crate::member::{Member, hostile};

members! {
    // Each request of a chain is one deeper than the one that led to it; at the sixteenth the host
    // says no, so that the chain ends at all.
    requests_to_itself: to_itself("/ask-self?").answers_with(508, "508").and(is_ended_by_depth);
    // With a single place it waits for itself until its time is over.
    requests_to_itself_without_room: to_itself("/ask-self?")
        .limits("cpu = \"100ms\", deadline = \"500ms\", memory = \"32MiB\", concurrency = 1")
        .answers_with(504, "504")
        .answers_with(503, "503")
        .fails(503, "queue-timeout", "")
        .misses_its_deadline();
    requests_by_the_thousand: to_silence("/ask-many?n=1000&").impatient().misses_its_deadline().traps("").answers("ConnectionLimitReached");
    requests_to_where_nothing_is_granted: hostile("/ask-denied/500")
        .answers("HttpRequestDenied")
        .and(is_mentioned_a_few_times);
    an_upload_without_end: to_silence("/ask-upload?").impatient().misses_its_deadline().computes_too_long();
    timeouts_of_no_length_and_of_all: to_silence("/ask-impatient?").impatient().misses_its_deadline();
    timeouts_to_nobody: asking("/ask-impatient?", free_address()).answers("most: ErrorCode::ConnectionRefused");
}

/// Asks the host that it runs in.
fn to_itself(path: &str) -> Member {
    let address = free_address();
    asking(path, address).plan(|plan| plan.argument("--listen").argument(&address.to_string()))
}

/// Asks a server that takes connections and then never says a word: the backlog of a listener that
/// nobody accepts from.
fn to_silence(path: &str) -> Member {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    asking(path, address).and(move |_, _| {
        let _ = &listener;
    })
}

fn asking(path: &str, address: SocketAddr) -> Member {
    hostile(&format!("{path}to={address}")).grants(&format!("http = [\"http://{address}\"]"))
}

/// An address that nobody listens at, as of now.
fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// The deepest request that may be sent is the sixteenth; with the first, which the test sent, there
/// are seventeen for each that was asked.
fn is_ended_by_depth(host: &Host, replies: &[Reply]) {
    const CHAIN: usize = 17;
    let log = host.log();
    let asked = log.iter().filter(|line| line["path"] == "/ask-self");
    assert_eq!(asked.count(), CHAIN * replies.len());
    let failed = log.iter().filter(|line| line["status"] == 508);
    assert_eq!(failed.count(), CHAIN * replies.len());
}

/// A guest chooses what it asks for; the log has a few of it.
fn is_mentioned_a_few_times(host: &Host, _: &[Reply]) {
    const MOST: usize = 40;
    let log = host.log();
    let told = |line: &&serde_json::Value| line.to_string().contains("was refused");
    let told = log.iter().filter(told).count();
    assert!((1..=MOST).contains(&told), "{told} lines");
}
