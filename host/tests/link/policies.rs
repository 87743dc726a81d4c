//! `[link.CALLER.CALLEE]`: time, retries, concurrency and the breaker, each as a caller meets it.

use std::time::Duration;

use super::fixture::{Connection, Host, Reply, get};
use super::{all, ask, caller, host, provider, relay, says};

/// The three services, with a policy for the calls of the caller to the provider.
async fn with(policy: &str) -> Host {
    let table = format!("[link.caller.provider]\n{policy}");
    let plan = all(caller(), provider(), relay());
    plan.tables(&table).start().await
}

/// The caller's guest is told a text in which this stands.
#[track_caller]
fn is_told(reply: Reply, part: &str) {
    let reply = reply.expect(200);
    assert!(reply.text().contains(part), "{}", reply.text());
}

/// Keeps the provider busy until it is aborted.
async fn busy(host: &Host) -> tokio::task::JoinHandle<()> {
    let mut connection = Connection::http1(host).await;
    let busy = tokio::spawn(async move {
        let _ = connection.send(get("/plain/sleep")).await;
    });
    host.until("provider", "a call", |row| row["in_flight"] == 1)
        .await;
    busy
}

#[tokio::test]
async fn a_call_has_no_longer_than_its_link_allows() {
    let host = with("timeout = \"100ms\"").await;
    let told = ask(&host, "/stringly/sleep").await;
    is_told(told, "the link's `timeout` of 100ms");
    ask(&host, "/plain/sleep").await.expect_problem(504);
    let line = host.access("/plain/sleep").await;
    assert_eq!(line["outcome"], "callee-deadline", "{line}");
    host.at_rest("provider").await;
    let row = host.row("provider");
    assert_eq!(row["crashes"], 0, "{row}");
    says(ask(&host, "/stringly/nap").await, "Ok(1)");
}

#[tokio::test]
async fn the_policy_is_of_that_pair_alone() {
    let host = with("timeout = \"10ms\"").await;
    // The relay calls the provider too, and has no policy.
    says(ask(&host, "/through/nap").await, "1");
    ask(&host, "/plain/nap").await.expect_problem(504);
}

#[tokio::test]
async fn what_began_is_repeated_only_if_that_does_no_harm() {
    let host = with("retries = 3\nidempotent = [\"stringly\"]").await;
    ask(&host, "/plain/trap").await.expect_problem(502);
    host.until("provider", "one crash", |row| row["crashes"] == 1)
        .await;
    // Four attempts.
    let told = ask(&host, "/stringly/trap").await;
    is_told(told, "it trapped");
    host.until("provider", "five crashes", |row| row["crashes"] == 5)
        .await;
}

#[tokio::test]
async fn unless_told_otherwise_nothing_that_began_is_repeated() {
    let host = host().await;
    ask(&host, "/stringly/trap").await.expect(200);
    ask(&host, "/plain/trap").await.expect_problem(502);
    host.until("provider", "two crashes", |row| row["crashes"] == 2)
        .await;
}

#[tokio::test]
async fn a_budget_of_nothing_allows_no_retry() {
    let budget = "retry-budget = { percent = 0, per-second = 0 }";
    let host = with(&format!("idempotent = [\"stringly\"]\n{budget}")).await;
    ask(&host, "/stringly/trap").await.expect(200);
    host.until("provider", "one crash", |row| row["crashes"] == 1)
        .await;
}

#[tokio::test]
async fn one_call_more_than_the_link_allows_fails_at_once() {
    let host = with("concurrency = 1").await;
    let busy = busy(&host).await;
    let told = ask(&host, "/stringly/nothing").await;
    is_told(told, "the link's `concurrency`");
    let refused = ask(&host, "/plain/nothing").await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.expect_problem(503);
    // Others have room there.
    says(ask(&host, "/through/nothing").await, "1");
    busy.abort();
    host.at_rest("provider").await;
    ask(&host, "/plain/nothing").await.expect(200);
}

#[tokio::test]
async fn a_callee_that_fails_and_fails_is_left_in_peace_and_asked_again() {
    let host = with("breaker = { failures = 3, within = \"1m\", open = \"300ms..5s\" }").await;
    for _ in 0..3 {
        ask(&host, "/plain/trap").await.expect_problem(502);
    }
    let row = host
        .until("provider", "three crashes", |row| row["crashes"] == 3)
        .await;
    let told = ask(&host, "/stringly/nothing").await;
    is_told(told, "`breaker`");
    let refused = ask(&host, "/plain/nothing").await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.expect_problem(503);
    let now = host.row("provider");
    assert_eq!(now["calls"], row["calls"], "nobody has asked it");
    // Others may: the breaker is the link's.
    says(ask(&host, "/through/nothing").await, "1");
    // After its rest one call sees that all is well.
    let mut answered = false;
    for _ in 0..100 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        answered = ask(&host, "/plain/nothing").await.status == 200;
        if answered {
            break;
        }
    }
    assert!(answered, "the breaker never lets a call through again");
    ask(&host, "/plain/nothing").await.expect(200);
    host.message("calls fail at once for").await;
    host.message("calls are let through again").await;
}

#[tokio::test]
async fn a_caller_that_goes_away_leaves_the_breaker_as_it_was() {
    let host = with("breaker = { failures = 1, open = \"1h..1h\" }").await;
    let busy = busy(&host).await;
    busy.abort();
    host.at_rest("provider").await;
    says(ask(&host, "/plain/nothing").await, "1");
}
