//! Services that call each other in a circle: caller, relay, caller…

use super::{all, ask, caller, host, provider, relay, says};

#[tokio::test]
async fn a_circle_comes_to_its_end_even_where_there_is_one_place() {
    let one = "concurrency = 1, queue = 0";
    let host = all(
        caller().limits(one).instances("max = 1"),
        provider(),
        relay().limits(one).instances("max = 1"),
    )
    .start()
    .await;
    says(ask(&host, "/bounce/1").await, "1");
    says(ask(&host, "/bounce/10").await, "10");
    for service in ["caller", "relay"] {
        let row = host.at_rest(service).await;
        assert_eq!(row["crashes"], 0, "{row}");
    }
}

#[tokio::test]
async fn circles_of_many_requests_at_once_do_not_wait_for_each_other() {
    let one = "concurrency = 1";
    let host = all(caller().limits(one), provider(), relay().limits(one))
        .start()
        .await;
    let asked = (0..8).map(|_| ask(&host, "/bounce/5"));
    for reply in futures::future::join_all(asked).await {
        says(reply, "5");
    }
}

#[tokio::test]
async fn a_circle_without_end_ends_at_the_depth_limit() {
    let host = host().await;
    ask(&host, "/bounce/1000").await.expect_problem(502);
    let line = host.access("/bounce/1000").await;
    assert_eq!(line["outcome"], "call-impossible", "{line}");
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("too many services"), "{error}");
    for service in ["caller", "relay"] {
        let row = host.at_rest(service).await;
        assert_eq!(row["crashes"], 0, "{row}");
    }
}
