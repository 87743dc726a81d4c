//! Hostile guests that nobody asks anything: workers. No deadline and no client ends what they do.

use std::time::Duration;

use serde_json::Value;

use crate::bystander::Clients;
use crate::fixture::{Host, Service, service};
use crate::logs::is_bounded;
use crate::toll::{Excess, Toll};

/// Requests of the bystander beside each round of the misdeed.
const SAMPLES: u32 = 60;

/// As for those that are asked; a worker that is started anew may be in another slot.
const LEFT_BEHIND: Excess = Excess {
    resident: 24 << 20,
    descriptors: 4,
    threads: 2,
    within: Duration::from_secs(20),
};

fn worker(how: &str, restart: &str) -> Service {
    service("hostile")
        .component("hostile-worker")
        .grants(&format!("args = [{how:?}]"))
        .limits("memory = \"32MiB\"")
        .restart(restart)
}

/// Lets it misbehave, twice: what one round leaves behind shows in the next. `phase` is where it
/// stands then, for good. Returns its row at the end.
async fn is_harmless(worker: Service, phase: &str) -> (Host, Value) {
    let bystander = service("bystander")
        .component("hello")
        .routes(&["/bystander"]);
    let host = Host::with(bystander).and(worker).start().await;
    host.phase("bystander", "ready").await;
    let clients = Clients::of(host.address());
    clients.disturb();
    clients.have_made(SAMPLES).await;
    host.phase("hostile", phase).await;
    let before = Toll::of(&host);

    host.restart("hostile");
    host.until("hostile", "a second round", |row| row["restarts"] != 0)
        .await;
    clients.disturb();
    clients.have_made(SAMPLES).await;
    host.phase("hostile", phase).await;
    before.is_reached_again(&host, LEFT_BEHIND).await;

    let failures = clients.stop().failures;
    assert!(failures.is_empty(), "the bystander failed: {failures:?}");
    let row = host.row("bystander");
    assert_eq!((&row["crashes"], &row["shed"]), (&0.into(), &0.into()));
    assert_eq!(
        (&row["restarts"], &row["phase"]["name"]),
        (&0.into(), &"ready".into())
    );
    host.assert_no_panic();
    let row = host.row("hostile");
    (host, row)
}

/// Its first failure is its last: each round has one.
const NEVER: &str = "when = \"never\"";

#[tokio::test]
async fn a_worker_that_computes_for_ever() {
    let (_host, row) = is_harmless(worker("spin", NEVER), "ready").await;
    assert_eq!(row["crashes"], 0, "{row}");
}

#[tokio::test]
async fn a_worker_that_writes_to_the_log_for_ever() {
    let (host, row) = is_harmless(worker("log", NEVER), "ready").await;
    assert_eq!(row["crashes"], 0, "{row}");
    is_bounded(&host, &[]);
}

#[tokio::test]
async fn a_worker_that_takes_no_for_an_answer_when_it_wants_memory() {
    let (_host, row) = is_harmless(worker("grow-and-stay", NEVER), "ready").await;
    let most = 34 << 20;
    assert!(row["memory_bytes"].as_u64() <= Some(most), "{row}");
    // The first is still being dropped when the second is made.
    assert!(row["memory_peak_bytes"].as_u64() <= Some(2 * most), "{row}");
}

#[tokio::test]
async fn workers_that_end_badly() {
    for (how, failure) in [("grow", "trap"), ("panic", "trap"), ("recurse", "trap")] {
        let (host, row) = is_harmless(worker(how, NEVER), "parked").await;
        assert_eq!(row["crashes"], 2, "{how}: {row}");
        let crashes = host.crashes("hostile");
        assert_eq!(
            crashes[0]["crashes"][1]["failure"], failure,
            "{how}: {crashes}"
        );
    }
}

#[tokio::test]
async fn a_worker_that_exits_a_thousand_times() {
    let restart = "max = 500, within = \"1h\", backoff = \"1ms..1ms\"";
    let (host, row) = is_harmless(worker("exit", restart), "parked").await;
    // In each round the last of 501 failures is one too many.
    assert_eq!(
        (&row["crashes"], &row["restarts"]),
        (&1002.into(), &1001.into())
    );
    let crashes = host.crashes("hostile");
    assert_eq!(crashes[0]["crashes"][15]["failure"], "exit", "{crashes}");
}
