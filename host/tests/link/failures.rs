//! What a caller sees when its callee fails, and who is blamed.

use super::fixture::{Connection, Host, get};
use super::{all, ask, caller, host, provider, relay, says};

/// Neither lost an instance to a crash of its own nor was started again.
#[track_caller]
fn assert_unharmed(host: &Host, service: &str) {
    let row = host.row(service);
    assert_eq!(row["crashes"], 0, "{row}");
    assert_eq!(row["restarts"], 0, "{row}");
}

#[tokio::test]
async fn a_failure_is_told_in_the_error_type_where_it_fits() {
    let host = host().await;
    let failed = "service `provider` did not answer fixture:everything/harm@1.2.0#";
    let text = |function: &str| format!("{failed}{function}: it trapped");
    let stringly = format!("Err({:?})", text("stringly"));
    says(ask(&host, "/stringly/trap").await, &stringly);
    let variantly = format!("Err(Trouble::Unavailable({:?}))", text("variantly"));
    says(ask(&host, "/variantly/trap").await, &variantly);
    says(
        ask(&host, "/mutely/trap").await,
        "Err(MuteTrouble::Unavailable)",
    );
    let enumly = ask(&host, "/enumly/trap").await.expect(200);
    assert!(enumly.text().contains("unavailable"), "{}", enumly.text());
    says(ask(&host, "/stringly/nothing").await, "Ok(1)");
    assert_unharmed(&host, "caller");
    host.until("provider", "four crashes", |row| row["crashes"] == 4)
        .await;
}

#[tokio::test]
async fn a_failure_that_fits_nowhere_ends_the_request_and_the_callee_is_blamed() {
    let host = host().await;
    for path in ["/plain/trap", "/unfitly/trap", "/through/trap"] {
        ask(&host, path).await.expect_problem(502);
        let line = host.access(path).await;
        assert_eq!(line["outcome"], "callee-failed", "{line}");
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("`provider`"), "{error}");
        assert!(error.contains("it trapped"), "{error}");
    }
    assert_unharmed(&host, "caller");
    assert_unharmed(&host, "relay");
    host.until("provider", "three crashes", |row| row["crashes"] == 3)
        .await;
    let crashes = host.crashes("provider");
    let request = &crashes[0]["crashes"][0]["requests"][0];
    assert_eq!(request["method"], "call by caller", "{crashes}");
    assert_eq!(request["path"], "fixture:everything/harm@1.2.0#plain");
    // A trap of the caller's own is its own affair.
    ask(&host, "/own-trap").await.expect_problem(502);
    host.until("caller", "a crash", |row| row["crashes"] == 1)
        .await;
    host.assert_no_panic();
}

#[tokio::test]
async fn a_callee_that_computes_for_ever_is_ended_by_its_own_limit() {
    let provider = provider().limits("cpu = \"50ms\"");
    let host = all(caller(), provider, relay()).start().await;
    let reply = ask(&host, "/stringly/spin").await.expect(200);
    assert!(reply.text().contains("`limits.cpu`"), "{}", reply.text());
    assert_unharmed(&host, "caller");
}

#[tokio::test]
async fn what_a_callee_computes_is_not_charged_to_its_caller() {
    // The callee may compute for longer than the caller may altogether.
    let caller = caller().limits("cpu = \"30ms\"");
    let provider = provider().limits("cpu = \"300ms\"");
    let host = all(caller, provider, relay()).start().await;
    let reply = ask(&host, "/stringly/spin").await.expect(200);
    assert!(reply.text().contains("`limits.cpu`"), "{}", reply.text());
    assert_unharmed(&host, "caller");
}

#[tokio::test]
async fn a_callee_that_wants_too_much_memory_fails_alone() {
    let provider = provider().limits("memory = \"16MiB\"");
    let host = all(caller(), provider, relay()).start().await;
    ask(&host, "/plain/hoard").await.expect_problem(502);
    assert_unharmed(&host, "caller");
    says(ask(&host, "/plain/nothing").await, "1");
}

#[tokio::test]
async fn a_callee_is_waited_for_until_its_own_deadline() {
    let provider = provider().limits("deadline = \"100ms\"");
    let host = all(caller(), provider, relay()).start().await;
    let reply = ask(&host, "/stringly/sleep").await.expect(200);
    assert!(
        reply.text().contains("`limits.deadline`"),
        "{}",
        reply.text()
    );
    ask(&host, "/plain/sleep").await.expect_problem(504);
    let line = host.access("/plain/sleep").await;
    assert_eq!(line["outcome"], "callee-deadline");
    for service in ["caller", "provider"] {
        assert_unharmed(&host, service);
    }
}

#[tokio::test]
async fn a_callee_has_no_longer_than_its_caller() {
    let caller = caller().limits("deadline = \"200ms\"");
    let provider = provider().limits("deadline = \"1h\"");
    let host = all(caller, provider, relay()).start().await;
    ask(&host, "/plain/sleep").await.expect_problem(504);
    ask(&host, "/through/sleep").await.expect_problem(504);
    for service in ["caller", "relay", "provider"] {
        host.at_rest(service).await;
        assert_unharmed(&host, service);
    }
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_all_that_was_called_for_it() {
    let host = all(
        caller().limits("deadline = \"1h\""),
        provider().limits("deadline = \"1h\""),
        relay().limits("deadline = \"1h\""),
    )
    .start()
    .await;
    let asking = {
        let mut connection = Connection::http1(&host).await;
        tokio::spawn(async move { connection.send(get("/through/sleep")).await.map(drop) })
    };
    host.until("provider", "a call", |row| row["in_flight"] == 1)
        .await;
    asking.abort();
    for service in ["caller", "relay", "provider"] {
        host.at_rest(service).await;
        assert_unharmed(&host, service);
    }
}

#[tokio::test]
async fn a_callee_that_is_full_turns_calls_away_after_a_few_tries() {
    let provider = provider().limits("concurrency = 1, queue = 0, deadline = \"1h\"");
    let caller = caller().limits("deadline = \"1h\"");
    let host = all(caller, provider, relay()).start().await;
    let mut first = Connection::http1(&host).await;
    let busy = tokio::spawn(async move { first.send(get("/plain/sleep")).await.map(drop) });
    host.until("provider", "a call", |row| row["in_flight"] == 1)
        .await;
    let reply = ask(&host, "/stringly/nothing").await.expect(200);
    assert!(reply.text().contains("more to do"), "{}", reply.text());
    let refused = ask(&host, "/plain/nothing").await;
    assert!(refused.headers.contains_key("retry-after"));
    refused.expect_problem(503);
    let line = host.access("/plain/nothing").await;
    assert_eq!(line["outcome"], "callee-unavailable");
    busy.abort();
    host.at_rest("provider").await;
    says(ask(&host, "/plain/nothing").await, "1");
    assert_unharmed(&host, "caller");
}

#[tokio::test]
async fn a_call_that_finds_no_room_at_first_is_tried_again() {
    let provider = provider().limits("concurrency = 1, queue = 0");
    let plan = all(caller(), provider, relay()).tables("[link.caller.provider]\nretries = 4");
    let host = plan.start().await;
    let mut first = Connection::http1(&host).await;
    let busy = tokio::spawn(async move { first.ask(get("/plain/nap")).await });
    host.until("provider", "a call", |row| row["in_flight"] == 1)
        .await;
    // The nap is shorter than all tries together by far.
    says(ask(&host, "/plain/nothing").await, "1");
    says(busy.await.unwrap(), "1");
}

#[tokio::test]
async fn a_callee_that_is_parked_is_unavailable_while_its_caller_lives_on() {
    let provider = provider().restart("max = 1, when = \"never\"");
    let host = all(caller(), provider, relay()).start().await;
    for _ in 0..2 {
        ask(&host, "/plain/trap").await.expect_problem(502);
    }
    host.phase("provider", "parked").await;
    ask(&host, "/plain/nothing").await.expect_problem(503);
    let reply = ask(&host, "/stringly/nothing").await.expect(200);
    assert!(reply.text().contains("not available"), "{}", reply.text());
    assert_unharmed(&host, "caller");
    host.restart("provider");
    host.phase("provider", "ready").await;
    says(ask(&host, "/plain/nothing").await, "1");
}
