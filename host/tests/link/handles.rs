//! Resources of one service in the hands of others.

use super::{all, ask, caller, host, provider, relay, says};

#[tokio::test]
async fn handles_do_all_that_they_do_within_one_component() {
    let host = host().await;
    // Methods, constructors, statics; borrowed, owned, in lists, records, options, results.
    says(
        ask(&host, "/handles").await,
        "[3, 6, 60, 4, 106, 10, 106, 11, 1, 0] \"label: 6\" \"it is 10\"",
    );
    host.until("provider", "no instance kept", |row| row["instances"] == 0)
        .await;
    host.assert_no_panic();
}

#[tokio::test]
async fn handles_go_through_a_third_service() {
    let host = host().await;
    says(ask(&host, "/relayed").await, "3 1003 51 1");
}

#[tokio::test]
async fn a_handle_on_an_instance_that_is_gone_is_stale() {
    let host = host().await;
    ask(&host, "/stale").await.expect_problem(502);
    let line = host.access("/stale").await;
    assert_eq!(line["outcome"], "callee-failed", "{line}");
    // One that outlives its request, in an instance that is reused.
    let caller = caller().instances("reuse = 100, max = 1");
    let host = all(caller, provider(), relay()).start().await;
    says(ask(&host, "/kept/make").await, "made");
    says(ask(&host, "/kept/use").await, "2");
    says(ask(&host, "/kept/use").await, "3");
    host.restart("provider");
    host.until("provider", "a restart", |row| row["restarts"] == 1)
        .await;
    host.phase("provider", "ready").await;
    ask(&host, "/kept/use/stale").await.expect_problem(502);
    let line = host.access("/kept/use/stale").await;
    assert_eq!(line["outcome"], "stale-handle", "{line}");
    assert!(line["error"].as_str().unwrap().contains("stale"), "{line}");
    let row = host.row("caller");
    assert_eq!(row["crashes"], 0, "{row}");
}

#[tokio::test]
async fn handles_are_dropped_with_their_holder() {
    let host = host().await;
    says(ask(&host, "/gather/10").await, "10");
    host.until("provider", "no instance kept", |row| {
        row["instances"] == 0 && row["in_flight"] == 0
    })
    .await;
}

#[tokio::test]
async fn as_many_handles_as_the_limit_allows_and_no_more() {
    let provider = provider().limits("handles = 20");
    let host = all(caller(), provider, relay()).start().await;
    says(ask(&host, "/gather/20").await, "20");
    ask(&host, "/gather/21").await.expect_problem(502);
    says(ask(&host, "/gather/20").await, "20");
}

#[tokio::test]
async fn as_many_instances_are_kept_as_there_may_be_and_no_more() {
    let provider = provider().instances("max = 1").limits("deadline = \"1h\"");
    let caller = caller().limits("deadline = \"1h\"");
    let host = all(caller, provider, relay()).start().await;
    // The one that the start has made is used up.
    says(ask(&host, "/hold/0").await, "2");
    host.until("provider", "no instance", |row| row["instances"] == 0)
        .await;
    let first = ask(&host, "/hold/2000");
    let second = async {
        host.until("provider", "an instance kept", |row| row["instances"] == 1)
            .await;
        ask(&host, "/hold/0/second").await
    };
    let (first, second) = futures::join!(first, second);
    says(first, "2");
    second.expect_problem(503);
    let line = host.access("/hold/0/second").await;
    assert!(line["error"].as_str().unwrap().contains("kept"), "{line}");
    says(ask(&host, "/hold/0").await, "2");
}

#[tokio::test]
async fn handles_of_two_instances_do_not_go_into_one_call() {
    let host = host().await;
    says(ask(&host, "/two").await, "2 3");
}
