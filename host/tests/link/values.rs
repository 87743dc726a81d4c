//! What crosses.

use super::{all, ask, caller, host, provider, relay, says};

#[tokio::test]
async fn every_kind_of_value_crosses_both_ways() {
    let host = host().await;
    says(ask(&host, "/values").await, "all as sent");
    host.assert_no_panic();
}

#[tokio::test]
async fn large_values_cross() {
    let host = host().await;
    says(ask(&host, "/large/1000/100").await, "100000");
    says(ask(&host, "/large/2/100000").await, "200000");
    says(ask(&host, "/bytes/100000").await, "100000");
}

#[tokio::test]
async fn each_call_is_counted_and_on_an_instance_of_its_own_unless_told_otherwise() {
    let host = host().await;
    says(ask(&host, "/calls/100").await, "4950");
    says(ask(&host, "/count").await, "1");
    says(ask(&host, "/count").await, "1");
    let row = host.at_rest("provider").await;
    assert_eq!(row["calls"], 102);
    assert_eq!(row["kind"], "provider");
}

#[tokio::test]
async fn an_instance_that_is_reused_answers_one_call_after_the_other() {
    let provider = provider().instances("reuse = 3");
    let host = all(caller(), provider, relay()).start().await;
    for count in ["1", "2", "3", "1"] {
        says(ask(&host, "/count").await, count);
    }
}
