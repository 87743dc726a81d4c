//! Streams and futures between services: every kind of payload, in both directions, and what happens
//! when either end goes away.

use super::fixture::{Connection, Host, Service, get, service};
use super::{ask, says};

const LINKS: &str = "{ \"fixture:flows/flows\" = \"back\" }";

fn front() -> Service {
    let front = service("front").component("everything-flows");
    front.set("links", LINKS).everywhere()
}

fn back() -> Service {
    service("back").component("everything-flows")
}

async fn host() -> Host {
    Host::with(front()).and(back()).start().await
}

/// Nothing was lost, and nothing is left.
async fn assert_at_rest(host: &Host) {
    for service in ["front", "back"] {
        let row = host.at_rest(service).await;
        assert_eq!(row["crashes"], 0, "{row}");
    }
    host.assert_no_panic();
}

#[tokio::test]
async fn what_a_callee_writes_is_read_by_its_caller() {
    let host = host().await;
    says(ask(&host, "/bytes/0").await, "0");
    says(ask(&host, "/bytes/1000000").await, "1000000");
    let last = "Reading { ok: true, at: 1998, name: \"no. 1998\", value: Some(999.0) }";
    says(ask(&host, "/readings/1999").await, &format!("1999 {last}"));
    says(ask(&host, "/readings/0").await, "0 ");
    says(ask(&host, "/ticks/300").await, "300");
    says(ask(&host, "/later/30").await, "at last");
    says(ask(&host, "/tells/5000").await, "5000 Ok(())");
    assert_at_rest(&host).await;
}

#[tokio::test]
async fn what_a_caller_writes_is_read_by_its_callee() {
    let host = host().await;
    // Each byte once for every 256.
    says(ask(&host, "/count/256000").await, "256000 32640000");
    says(ask(&host, "/sum/1000").await, "499500");
    says(ask(&host, "/names/3").await, "n0 n1 n2");
    says(ask(&host, "/await/word").await, "word");
    assert_at_rest(&host).await;
}

#[tokio::test]
async fn streams_go_both_ways_at_once_and_onward() {
    let host = host().await;
    let heard = "[\"ONE\", \"TWO\", \"THREE\"] None";
    says(ask(&host, "/shout/one,two,three").await, heard);
    says(ask(&host, "/back/70000").await, "70000");
    says(ask(&host, "/onward/256000").await, "256000 32640000");
    assert_at_rest(&host).await;
}

#[tokio::test]
async fn what_a_callee_writes_goes_straight_to_the_client() {
    let host = host().await;
    let reply = ask(&host, "/proxy/300000").await.expect(200);
    assert_eq!(reply.body.len(), 300_000);
    let right = |(at, byte): (usize, &u8)| *byte == at as u8;
    assert!(reply.body.iter().enumerate().all(right));
    assert_at_rest(&host).await;
}

#[tokio::test]
async fn a_writer_is_held_up_by_its_reader_and_learns_when_it_goes() {
    let host = host().await;
    says(ask(&host, "/taste/50000").await, "enough");
    let line = host
        .logged("how much was written", |line| {
            let message = line["message"].as_str();
            message.is_some_and(|message| message.starts_with("written: "))
        })
        .await;
    let message = line["message"].as_str().unwrap();
    let written: usize = message["written: ".len()..].parse().unwrap();
    // What was read and what can be on its way.
    assert!((50_000..400_000).contains(&written), "{written}");
    assert_at_rest(&host).await;
}

#[tokio::test]
async fn a_caller_that_writes_learns_when_its_callee_reads_no_more() {
    let host = host().await;
    says(ask(&host, "/some/10").await, "45 Some(1)");
    says(ask(&host, "/ignored").await, "[1, 2, 3]");
    assert_at_rest(&host).await;
}

#[tokio::test]
async fn a_stream_that_is_cut_is_no_stream_that_has_ended() {
    let host = host().await;
    ask(&host, "/breaks/5000").await.expect_problem(502);
    let line = host.access("/breaks/5000").await;
    assert_eq!(line["outcome"], "callee-failed", "{line}");
    let error = line["error"].as_str().unwrap();
    assert!(error.contains("`back`"), "{error}");
    ask(&host, "/never").await.expect_problem(502);
    host.until("back", "two crashes", |row| row["crashes"] == 2)
        .await;
    let row = host.at_rest("front").await;
    assert_eq!(row["crashes"], 0, "{row}");
    host.assert_no_panic();
}

#[tokio::test]
async fn a_future_that_can_tell_of_a_failure_does() {
    let host = host().await;
    let lost = "service `back` did not answer fixture:flows/flows@1.0.0#";
    let reply = ask(&host, "/breaks-and-tells/5000").await.expect(200);
    let told = format!("5000 Err(\"{lost}breaks-and-tells");
    assert!(reply.text().starts_with(&told), "{}", reply.text());
    let reply = ask(&host, "/never-but-told").await.expect(200);
    let told = format!("Err(\"{lost}never-but-told");
    assert!(reply.text().starts_with(&told), "{}", reply.text());
    host.until("back", "two crashes", |row| row["crashes"] == 2)
        .await;
    let row = host.at_rest("front").await;
    assert_eq!(row["crashes"], 0, "{row}");
}

#[tokio::test]
async fn a_call_does_not_outlive_its_deadline_for_its_streams() {
    let back = back().limits("deadline = \"300ms\"");
    let front = front().limits("deadline = \"1h\"");
    let host = Host::with(front).and(back).start().await;
    // It reads for longer than that.
    ask(&host, "/taste/100000000").await.expect_problem(502);
    assert_at_rest(&host).await;
}

#[tokio::test]
async fn a_client_that_goes_away_ends_the_streams_of_its_request() {
    let limits = "deadline = \"1h\"";
    let plan = Host::with(front().limits(limits)).and(back().limits(limits));
    let host = plan.start().await;
    for path in ["/proxy-endless", "/taste/1000000000"] {
        let mut connection = Connection::http1(&host).await;
        let asking = tokio::spawn(async move {
            let reply = connection.send(get(path)).await;
            // The body is never read.
            std::future::pending::<()>().await;
            drop(reply);
        });
        host.until("back", "a call", |row| row["in_flight"] == 1)
            .await;
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        asking.abort();
        let _ = asking.await;
        assert_at_rest(&host).await;
    }
}
