//! A shadow: what is new gets copies of what a service is asked. Nobody notices, and what it answers is
//! compared with what was answered.

use std::time::Duration;

use serde_json::Value;

use super::canary::on_trial;
use super::fixture::{
    Connection, Host, Plan, empty, eventually, full, get, guest, request, service,
};
use super::{Output, application, chain, front, numbers, versioned_service, versions};

/// Has version 2 of a service answer copies.
fn shadow(host: &Host, service: &str, mode: char, arguments: &[&str]) -> Output {
    let file = host.file(service, 2, mode);
    let all = [&[service, file.to_str().unwrap()], arguments].concat();
    host.command("deploy", &all)
}

fn report(host: &Host, service: &str) -> Value {
    let said = host.command("shadow", &[service, "--json"]).expect(0);
    serde_json::from_str(&said.stdout).unwrap()
}

/// The report once so many copies have come to their end, one way or another.
async fn report_of(host: &Host, service: &str, copies: u64) -> Value {
    eventually("the report of all copies", async || {
        let report = report(host, service);
        let count = |name: &str| report["counts"][name].as_u64().unwrap();
        (count("compared") + count("not_compared") == copies).then_some(report)
    })
    .await
}

/// So many requests, all answered by version 1.
async fn ask(host: &Host, requests: usize) {
    let mut connection = Connection::http1(host).await;
    for _ in 0..requests {
        let answered = connection.ask(get("/versions")).await;
        assert_eq!(numbers(answered), [1, 1, 1, 1]);
    }
}

#[tokio::test]
async fn copies_of_requests_are_answered_compared_and_dropped() {
    let host = application().start().await;
    shadow(&host, "front", '0', &["--shadow"])
        .expect(0)
        .prints(&[
            "front: revision 1 → 2",
            "on trial with copies of 100% of the calls",
            "generation 1 serves all requests",
        ]);
    assert_eq!(host.row("front")["candidate"]["shadow"], "100%");
    host.command("ps", &[])
        .expect(0)
        .prints(&["revision 2 is on trial with copies of 100% of the calls"]);
    ask(&host, 50).await;
    let mut connection = Connection::http1(&host).await;
    for method in ["POST", "PUT", "DELETE", "PATCH"] {
        let asked = request(method, "/versions", empty());
        assert_eq!(numbers(connection.ask(asked).await), [1, 1, 1, 1]);
    }
    let head = connection.ask(request("HEAD", "/versions", empty())).await;
    head.expect(200);
    let report = report_of(&host, "front", 51).await;
    let counts = &report["counts"];
    assert_eq!(counts["compared"], 51, "{report}");
    assert_eq!(counts["different"], 50, "{report}");
    assert_eq!(counts["not_idempotent"], 4, "{report}");
    let [body] = &report["differences"].as_array().unwrap()[..] else {
        panic!("{report}");
    };
    assert_eq!(body["what"], "body", "{report}");
    assert_eq!(body["count"], 50, "{report}");
    assert!(
        body["place"].as_str().unwrap().starts_with("GET /"),
        "{report}"
    );
    // The leaf's version comes by way of the others, which are not tried.
    assert_eq!(body["example"]["active"], "1 1 1 1\\n", "{report}");
    assert_eq!(body["example"]["candidate"], "2 1 1 1\\n", "{report}");
    let request = body["example"]["request"].as_str().unwrap();
    host.logged("the request of the example", |line| line["id"] == request)
        .await;
    let said = host.command("shadow", &["front"]).expect(0);
    said.prints(&[
        "revision 2 gets copies of 100% of what revision 1 is asked",
        "51 compared: 1 answered alike, 50 differently",
        "4 not copied: they may not be made twice",
        "50 × GET /",
        "2 1 1 1",
    ]);
    // Nothing else changes meanwhile.
    let other = host.deploy("leaf", 2, '0').expect(1);
    other.says(&["revision 2 of `front` is on trial", "skep abort"]);
    host.command("abort", &[]).expect(0).prints(&[
        "front: revision 2 is not on trial any more",
        "51 compared: 1 answered alike, 50 differently",
    ]);
    let gone = host.command("shadow", &["front"]).expect(1);
    gone.says(&["nothing gets copies of what `front` is asked"]);
    ask(&host, 5).await;
    host.command("events", &[])
        .expect(0)
        .prints(&["on trial with copies of 100% of the calls", "aborted"]);
    let events = host.command("events", &["--json"]).expect(0).stdout;
    assert!(events.contains(r#""different":50"#), "{events}");
}

#[tokio::test]
async fn what_answers_alike_is_found_to_and_is_promoted() {
    let host = application().start().await;
    let file = host.file("front", 1, '3');
    let arguments = ["front", file.to_str().unwrap(), "--shadow=50%"];
    host.command("deploy", &arguments).expect(0);
    ask(&host, 400).await;
    let report = eventually("a report of half of them", async || {
        let report = report(&host, "front");
        (report["counts"]["compared"].as_u64()? > 120).then_some(report)
    })
    .await;
    assert_eq!(report["counts"]["different"], 0, "{report}");
    // Ten standard deviations.
    assert!(
        report["counts"]["compared"].as_u64().unwrap() < 300,
        "{report}"
    );
    assert!(report["active_took"]["p99_ms"].is_number(), "{report}");
    assert!(report["candidate_took"]["p99_ms"].is_number(), "{report}");
    host.command("promote", &[])
        .expect(0)
        .prints(&["front: revision 1 → 2", "generation 2 serves"]);
    ask(&host, 5).await;
    assert_eq!(host.row("front")["revision"], 2);
    // It gets no copies of what it is asked itself.
    host.command("shadow", &["front"]).expect(1);
    let host = host.killed_and_started().await;
    assert_eq!(host.row("front")["revision"], 2);
}

/// With calls of the leaf's by the middle that may be made again, and others by the front that may not.
fn idempotent() -> Plan {
    application().tables("[link.middle.leaf]\nidempotent = [\"version\"]")
}

#[tokio::test]
async fn calls_are_copied_that_may_be_made_twice() {
    let host = idempotent().start().await;
    shadow(&host, "leaf", '0', &["--shadow"]).expect(0);
    ask(&host, 30).await;
    let mut connection = Connection::http1(&host).await;
    // Handles are on one revision's resources.
    connection.ask(get("/hold")).await.expect(200);
    let report = report_of(&host, "leaf", 30).await;
    let counts = &report["counts"];
    assert_eq!(counts["different"], 30, "{report}");
    assert!(counts["not_idempotent"].as_u64().unwrap() >= 30, "{report}");
    let [results] = &report["differences"].as_array().unwrap()[..] else {
        panic!("{report}");
    };
    assert_eq!(results["what"], "results", "{report}");
    let place = results["place"].as_str().unwrap();
    assert!(
        place.starts_with("fixture:versions/leaf") && place.ends_with("#version"),
        "{place}"
    );
    assert_eq!(results["example"]["active"], "1", "{report}");
    assert_eq!(results["example"]["candidate"], "2", "{report}");
    assert!(results["example"]["request"].is_string(), "{report}");
    host.command("abort", &[]).expect(0);
}

#[tokio::test]
async fn nobody_notices_what_fails_and_it_is_told() {
    for (service, mode, failing) in [("front", '1', "trap"), ("leaf", '1', "trap")] {
        let host = idempotent().start().await;
        shadow(&host, service, mode, &["--shadow"]).expect(0);
        ask(&host, 60).await;
        let report = report_of(&host, service, 60).await;
        let differences = report["differences"].as_array().unwrap();
        let trap = differences.iter().find(|one| one["candidate"] == failing);
        let trap = trap.unwrap_or_else(|| panic!("{report}"));
        assert_eq!(trap["what"], "failure", "{report}");
        // After some crashes it backs off, and is not there.
        assert_eq!(report["counts"]["different"], 60, "{report}");
        assert_eq!(host.row(service)["phase"]["name"], "ready");
        // Nobody takes back what nobody sees.
        assert_eq!(host.row(service)["candidate"]["revision"], 2);
        let said = host.command("shadow", &[service]).expect(0);
        said.prints(&["the candidate fails: trap"]);
        host.command("abort", &[]).expect(0);
        ask(&host, 5).await;
    }
}

#[tokio::test]
async fn a_wrong_status_and_a_slow_answer_are_told() {
    // One in ten of an instance's answers is wrong.
    let front = front().instances("reuse = 1000");
    let [middle, leaf] = ["middle", "leaf"].map(versioned_service);
    let host = chain(front, middle, leaf).start().await;
    shadow(&host, "front", '5', &["--shadow"]).expect(0);
    ask(&host, 60).await;
    let report = report_of(&host, "front", 60).await;
    let differences = report["differences"].as_array().unwrap();
    let wrong = differences
        .iter()
        .find(|one| one["what"] == "status")
        .unwrap();
    assert_eq!(wrong["active"], 200, "{report}");
    assert_eq!(wrong["candidate"], 500, "{report}");
    host.command("shadow", &["front"])
        .expect(0)
        .prints(&["status 200, the candidate 500"]);
    host.command("abort", &[]).expect(0);

    shadow(&host, "front", '4', &["--shadow"]).expect(0);
    ask(&host, 10).await;
    let report = report_of(&host, "front", 10).await;
    let p50 = |took: &str| report[took]["p50_ms"].as_f64().unwrap();
    assert!(p50("candidate_took") >= 50.0, "{report}");
    assert!(p50("active_took") < p50("candidate_took"), "{report}");
}

#[tokio::test]
async fn a_slow_candidate_holds_nobody_up() {
    let host = application().start().await;
    shadow(&host, "front", '4', &["--shadow"]).expect(0);
    // 50 ms of computing for each copy, which come much faster.
    let mut all = Vec::new();
    for _ in 0..8 {
        let mut connection = Connection::http1(&host).await;
        all.push(async move {
            for _ in 0..100 {
                let answered = connection.ask(get("/versions")).await;
                assert_eq!(numbers(answered), [1, 1, 1, 1]);
            }
        });
    }
    futures::future::join_all(all).await;
    let report = report(&host, "front");
    let busy = report["counts"]["busy"].as_u64().unwrap();
    assert!(busy > 100, "{report}");
    host.command("abort", &[]).expect(0);
    host.command("shadow", &["front"]).expect(1);
}

#[tokio::test]
async fn requests_that_write_are_copied_on_request_with_their_bodies() {
    let host = application().start().await;
    shadow(&host, "front", '0', &["--shadow", "--writes"]).expect(0);
    let mut connection = Connection::http1(&host).await;
    for body in [empty(), full("a body"), full(vec![b'x'; 40_000])] {
        let answered = connection.ask(request("PUT", "/versions", body)).await;
        assert_eq!(numbers(answered), [1, 1, 1, 1]);
    }
    // Who does not read it all has the connection closed.
    let mut other = Connection::http1(&host).await;
    let large = request("PUT", "/versions", full(vec![b'x'; 400_000]));
    assert_eq!(numbers(other.ask(large).await), [1, 1, 1, 1]);
    let asked = request("DELETE", "/versions", empty());
    connection.ask(asked).await.expect(200);
    let asked = request("POST", "/versions", empty());
    connection.ask(asked).await.expect(200);
    let report = report_of(&host, "front", 4).await;
    let counts = &report["counts"];
    assert_eq!(counts["different"], 4, "{report}");
    assert_eq!(counts["not_to_be_had"], 1, "{report}");
    assert_eq!(counts["not_idempotent"], 1, "{report}");
}

#[tokio::test]
async fn bodies_are_compared_to_their_ends_unless_nobody_waits_for_them() {
    let host = application().start().await;
    shadow(&host, "front", '0', &["--shadow"]).expect(0);
    let mut connection = Connection::http1(&host).await;
    let large = connection.ask(get("/large/300")).await.expect(200);
    assert_eq!(large.body.len(), 300 << 10);
    let streamed = connection.ask(get("/stream/5/10")).await.expect(200);
    assert!(streamed.whole, "{streamed:?}");
    let report = report_of(&host, "front", 2).await;
    assert_eq!(report["counts"]["different"], 2, "{report}");
    // A hundred seconds, of which the client waits for none.
    let gone = host.wire("GET /stream/1000/100 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    let _ = tokio::time::timeout(Duration::from_millis(300), gone).await;
    let report = report_of(&host, "front", 3).await;
    assert_eq!(report["counts"]["not_compared"], 1, "{report}");
    // Nor does the end of the trial wait.
    let mut endless = Connection::http1(&host).await;
    let _body = endless.send(get("/stream/1000/100")).await;
    host.command("abort", &[]).expect(0);
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
}

#[tokio::test]
async fn a_shadow_can_go_on_as_a_canary() {
    let host = application().start().await;
    shadow(&host, "leaf", '0', &["--shadow"]).expect(0);
    assert_eq!(on_trial(&host, 50).await, 0);
    let said = host.command("promote", &["--to", "50%"]).expect(0);
    said.prints(&["on trial with 50% of the requests", "0 compared"]);
    assert_eq!(host.row("leaf")["candidate"]["share"], "50%");
    assert!(on_trial(&host, 100).await > 10);
    host.command("shadow", &["leaf"]).expect(1);
    host.command("abort", &[]).expect(0);
    assert_eq!(on_trial(&host, 50).await, 0);
    // A host that starts again knows nothing of one.
    shadow(&host, "leaf", '0', &["--shadow"]).expect(0);
    let host = host.killed_and_started().await;
    assert!(host.row("leaf")["candidate"].is_null());
    host.command("shadow", &["leaf"]).expect(1);
}

#[tokio::test]
async fn what_cannot_be_a_shadow_is_refused() {
    let job = service("job").component("./job.wasm");
    let job_now = std::fs::read(guest("worker")).unwrap();
    // A custom section more.
    let job_then = [&job_now[..], &[0, 2, 1, b'x']].concat();
    let host = Host::with(versioned_service("leaf"))
        .and(job)
        .bytes("leaf.wasm", super::versioned("leaf", 1, '0'))
        .bytes("job.wasm", job_now)
        .start()
        .await;
    let usage = |arguments: &[&str]| shadow(&host, "leaf", '0', arguments).expect(2);
    usage(&["--shadow=0%"]).says(&["is no share"]);
    usage(&["--shadow", "--canary", "5%"]).says(&["--canary"]);
    usage(&["--writes"]).says(&["--shadow"]);
    let broken = host.directory().join("broken.wasm");
    std::fs::write(&broken, job_then).unwrap();
    let arguments = ["job", broken.to_str().unwrap(), "--shadow"];
    let worker = host.command("deploy", &arguments).expect(1);
    worker.says(&["`job` is a worker"]);
    assert!(host.row("job")["candidate"].is_null());
    let file = host.file("leaf", 1, '0');
    let arguments = ["leaf", file.to_str().unwrap(), "--shadow"];
    let same = host.command("deploy", &arguments).expect(1);
    same.says(&["what is asked for is what serves"]);
}
