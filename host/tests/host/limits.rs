//! Each limit of a service, hit by a guest that goes beyond it; and after each the host lives and
//! the next request is answered.

use std::time::Duration;

use crate::fixture::{Connection, Host, Reply, full, get, request, service};

/// A probe with these limits that no number of crashes backs off.
async fn limited(limits: &str) -> Host {
    Host::with(
        service("probe")
            .everywhere()
            .limits(limits)
            .restart("max = 1000, within = \"1s\""),
    )
    .start()
    .await
}

async fn well(host: &Host) {
    host.get("/").await.expect(200);
    host.at_rest("probe").await;
    host.assert_no_panic();
}

#[tokio::test]
async fn memory_of_one_instance() {
    let host = limited("memory = \"8MiB\"").await;
    let reply = host.get("/grow/20").await.expect(200);
    // The guest is told no and goes on.
    assert!(
        reply.text().starts_with("refused after "),
        "{}",
        reply.text()
    );
    host.get("/grow/2").await.expect(200);
    host.get("/grow-forever").await.expect_problem(502);
    well(&host).await;
    host.until("probe", "all given back", |row| row["memory_bytes"] == 0)
        .await;
}

#[tokio::test]
async fn memory_of_all_instances_of_a_service() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .instances("reuse = 100, idle = \"1h\"")
            .limits("memory = \"8MiB\", memory-total = \"12MiB\""),
    )
    .start()
    .await;
    assert_eq!(host.get("/grow/5").await.text(), "holding 5 MiB\n");
    // The instance that holds them is busy; the next request gets another.
    let mut busy = Connection::http1(&host).await;
    let first = tokio::spawn(async move { busy.ask(get("/sleep/1500")).await });
    host.until("probe", "busy", |row| row["in_flight"] == 1)
        .await;
    let reply = host.get("/grow/7").await.expect(200);
    assert!(
        reply.text().starts_with("refused after "),
        "{}",
        reply.text()
    );
    let held = host.row("probe")["memory_bytes"].as_u64().unwrap();
    assert!((6 << 20..=12 << 20).contains(&held), "{held}");
    first.await.unwrap().expect(200);
    well(&host).await;
}

#[tokio::test]
async fn cpu_time_of_a_call() {
    let host = limited("cpu = \"50ms\", deadline = \"20s\"").await;
    host.get("/spin").await.expect_problem(502);
    let line = host.access("/spin").await;
    let cpu = line["cpu_ms"].as_f64().unwrap();
    assert!((40.0..1000.0).contains(&cpu), "{line}");
    host.get("/spin-for/5").await.expect(200);
    well(&host).await;
}

#[tokio::test]
async fn waiting_is_not_charged() {
    let host = limited("cpu = \"20ms\", deadline = \"20s\"").await;
    host.get("/sleep/400").await.expect(200);
    assert_eq!(
        host.get("/trickle/6/60")
            .await
            .expect(200)
            .text()
            .lines()
            .count(),
        6
    );
    for path in ["/sleep/400", "/trickle/6/60"] {
        let line = host.access(path).await;
        assert!(line["cpu_ms"].as_f64().unwrap() < 20.0, "{line}");
        assert!(line["duration_ms"].as_f64().unwrap() >= 280.0, "{line}");
    }
}

#[tokio::test]
async fn cpu_time_of_a_shared_instance() {
    let host = Host::with(
        service("probe")
            .component("probe-p3")
            .everywhere()
            .limits("cpu = \"50ms\""),
    )
    .start()
    .await;
    host.get("/spin").await.expect_problem(502);
    well(&host).await;
}

#[tokio::test]
async fn a_guest_that_computes_does_not_silence_the_others() {
    let host = Host::with(
        service("hog")
            .component("probe")
            .routes(&["/spin"])
            .limits("cpu = \"4s\", deadline = \"30s\""),
    )
    .and(service("hello").routes(&["/"]))
    .start()
    .await;
    let mut hogs = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut connection = Connection::http1(&host).await;
        hogs.spawn(async move { connection.ask(get("/spin")).await });
    }
    host.until("hog", "four of them", |row| row["in_flight"] == 4)
        .await;
    let mut connection = Connection::http1(&host).await;
    for _ in 0..50 {
        connection.ask(get("/")).await.expect(200);
    }
    assert_eq!(
        host.row("hog")["in_flight"],
        4,
        "all that time they computed"
    );
    while let Some(reply) = hogs.join_next().await {
        reply.unwrap().expect_problem(502);
    }
}

#[tokio::test]
async fn requests_at_the_same_time() {
    let host = limited("concurrency = 3").await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..12 {
        let mut connection = Connection::http1(&host).await;
        asked.spawn(async move { connection.ask(get("/sleep/150")).await });
    }
    let mut most = 0;
    while !asked.is_empty() {
        most = most.max(host.row("probe")["in_flight"].as_u64().unwrap());
        if let Ok(Some(reply)) =
            tokio::time::timeout(Duration::from_millis(5), asked.join_next()).await
        {
            reply.unwrap().expect(200);
        }
    }
    assert_eq!(most, 3);
    let waited = host
        .log()
        .iter()
        .filter(|line| line["queue_ms"].as_f64() > Some(50.0))
        .count();
    assert!(waited >= 6, "{waited} of 12 were said to have waited");
}

#[tokio::test]
async fn a_burst_beyond_the_queue_is_shed_and_the_rest_is_served() {
    let host = limited("concurrency = 2, queue = 3").await;
    let mut asked = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut connection = Connection::http1(&host).await;
        asked.spawn(async move { connection.ask(get("/sleep/600")).await.status.as_u16() });
    }
    let answers = asked.join_all().await;
    let count = |status| answers.iter().filter(|answer| **answer == status).count();
    assert!(count(200) >= 5, "{answers:?}");
    assert_eq!(count(200) + count(503), 20, "{answers:?}");
    assert_eq!(host.row("probe")["shed"], count(503));
    well(&host).await;
}

#[tokio::test]
async fn a_client_that_leaves_the_queue_leaves_room() {
    let host = limited("concurrency = 1, queue = 1").await;
    let mut busy = Connection::http1(&host).await;
    let first = tokio::spawn(async move { busy.ask(get("/sleep/1000")).await });
    host.until("probe", "busy", |row| row["in_flight"] == 1)
        .await;
    let mut impatient = Connection::http1(&host).await;
    tokio::select! {
        answer = impatient.ask(get("/")) => panic!("answered: {answer:?}"),
        _ = host.until("probe", "queued", |row| row["queued"] == 1) => {}
    }
    drop(impatient);
    host.until("probe", "nobody queued", |row| row["queued"] == 0)
        .await;
    host.get("/").await.expect(200);
    first.await.unwrap().expect(200);
}

#[tokio::test]
async fn bytes_of_a_requests_body() {
    let host = limited("request-body = \"64KiB\"").await;
    let body = |bytes| request("POST", "/count-body", full(vec![1; bytes]));
    assert_eq!(
        host.ask(body(64 << 10)).await.text(),
        "65536 bytes, whole\n"
    );
    host.ask(body((64 << 10) + 1)).await.expect_problem(413);
    well(&host).await;
}

#[tokio::test]
async fn no_request_body_at_all() {
    let host = limited("request-body = 0").await;
    host.ask(request("POST", "/count-body", full("")))
        .await
        .expect(200);
    host.ask(request("POST", "/count-body", full("x")))
        .await
        .expect_problem(413);
}

#[tokio::test]
async fn bytes_of_a_responses_body() {
    for component in ["probe", "probe-p3"] {
        let host = Host::with(
            service("probe")
                .component(component)
                .everywhere()
                .limits("response-body = \"1MiB\""),
        )
        .start()
        .await;
        assert_eq!(host.get("/body/1048576").await.body.len(), 1 << 20);
        for (protocol, mut connection) in Connection::both(&host).await {
            let response = connection.send(get("/body/2097152")).await.unwrap();
            let reply = Reply::of(response).await;
            assert!(
                !reply.whole,
                "{protocol}: the client must see that it is cut"
            );
            assert!(reply.body.len() <= 1 << 20, "{protocol}");
        }
        let line = host.access("/body/2097152").await;
        assert_eq!(line["outcome"], "response-too-large", "{line}");
        well(&host).await;
    }
}

/// What a limit ends with a trap or refuses, by path; either way the client gets an answer.
async fn refuses(limits: &str, within: &str, beyond: &str) {
    let host = limited(limits).await;
    let reply = host.get(within).await.expect(200);
    assert!(!reply.text().contains("refused"), "{}", reply.text());
    let reply = host.get(beyond).await;
    let told = reply.status == 200 && reply.text().contains("refused after");
    assert!(told || reply.status == 502, "{reply:?}");
    well(&host).await;
}

#[tokio::test]
async fn header_fields_of_a_guest() {
    refuses("headers = \"4KiB\"", "/fields/20", "/fields/1000").await;
    let host = limited("headers = \"4KiB\"").await;
    host.get("/big-header/1000").await.expect(200);
    host.get("/big-header/5000").await.expect_problem(502);
}

#[tokio::test]
async fn handles_of_an_instance() {
    refuses("handles = 100", "/handles/50", "/handles/1000").await;
    refuses("handles = 100", "/pollables/20", "/pollables/1000").await;
    // Two tables, one text.
    let host = limited("handles = 100").await;
    for path in ["/handles/1000", "/pollables/1000"] {
        host.get(path).await.expect_problem(502);
        let line = host.access(path).await;
        let error = line["error"].as_str().unwrap();
        assert!(error.contains("`limits.handles` (100)"), "{error}");
    }
}

#[tokio::test]
async fn bytes_in_one_call_to_the_host() {
    let limits = "hostcall-fuel = \"64KiB\", headers = \"1MiB\"";
    let host = limited(limits).await;
    host.get("/big-header/5000").await.expect(200);
    host.get("/big-header/200000").await.expect_problem(502);
    well(&host).await;
}

#[tokio::test]
async fn the_stack() {
    // The guest's own stack lies in its memory; `life` has a case for the native one.
    let host = limited("cpu = \"5s\"").await;
    host.get("/recurse").await.expect_problem(502);
    well(&host).await;
}

#[tokio::test]
async fn elements_of_tables() {
    let host = Host::with(
        service("probe")
            .routes(&["/probe"])
            .limits("table-elements = 1"),
    )
    .and(service("hello").routes(&["/"]))
    .start()
    .await;
    let row = host
        .until("probe", "not ready", |row| row["phase"]["name"] != "ready")
        .await;
    assert!(row["phase"]["cause"]["message"].is_string(), "{row}");
    host.get("/probe").await.expect_problem(503);
    host.get("/").await.expect(200);
}

fn guest_lines(host: &Host) -> Vec<String> {
    let of_guest = |line: &serde_json::Value| line["service"] == "probe" && line["kind"] == "guest";
    host.log()
        .iter()
        .filter(|line| of_guest(line))
        .map(ToString::to_string)
        .collect()
}

#[tokio::test]
async fn lines_of_log_per_second() {
    let host = limited("log-rate = \"4KiB\"").await;
    host.get("/log/2000").await.expect(200);
    // What is left out is counted and said.
    host.logged("a count of what was left out", |line| {
        line["service"] == "probe" && line.to_string().contains("suppress")
    })
    .await;
    let shown = guest_lines(&host).len();
    assert!((10..400).contains(&shown), "{shown} of 4000 lines");
    well(&host).await;
}

#[tokio::test]
async fn bytes_of_a_line_of_log() {
    let host = limited("log-line = \"1KiB\"").await;
    host.get("/log-long/100000").await.expect(200);
    let line = host
        .logged("the line, cut", |line| {
            line.to_string().contains("llllllll")
        })
        .await
        .to_string();
    let shown = line.matches('l').count();
    assert!((900..1200).contains(&shown), "{shown} bytes are shown");
    well(&host).await;
}

#[tokio::test]
async fn guests_lines_say_where_they_are_from() {
    let host = limited("").await;
    host.get("/log/1").await.expect(200);
    for stream in ["stdout", "stderr"] {
        let text = format!("{stream} line 0");
        let line = host
            .logged(&text, |line| line.to_string().contains(&text))
            .await;
        assert_eq!(line["service"], "probe", "{line}");
        assert_eq!(line["revision"], 1, "{line}");
        assert!(line["instance"].as_u64().unwrap() > 0, "{line}");
        assert_eq!(line["stream"], stream, "{line}");
    }
}

#[tokio::test]
async fn connections_at_the_same_time() {
    let host = Host::with(service("hello").everywhere())
        .http("limits = { connections = 4 }")
        .start()
        .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        let mut connection = Connection::http1(&host).await;
        connection.ask(get("/")).await.expect(200);
        held.push(connection);
    }
    // The fifth waits in the kernel's queue until one of the four has gone.
    let mut fifth = Connection::http1(&host).await;
    tokio::select! {
        answer = fifth.ask(get("/")) => panic!("answered: {answer:?}"),
        () = tokio::time::sleep(Duration::from_millis(200)) => {}
    }
    drop(fifth);
    let mut fifth = Connection::http1(&host).await;
    held.pop();
    fifth.ask(get("/")).await.expect(200);
    assert!(host.status()["connections"].as_u64().unwrap() <= 4);
}

#[tokio::test]
async fn a_client_that_does_not_take_its_answer_is_closed() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .limits("response-body = \"64MiB\", deadline = \"30s\""),
    )
    .http("limits = { write-timeout = \"300ms\" }")
    .start()
    .await;
    let mut connection = Connection::http1(&host).await;
    let _unread = connection.send(get("/body/50000000")).await.unwrap();
    host.at_rest("probe").await;
    host.get("/").await.expect(200);
}

#[tokio::test]
async fn the_stack_is_as_large_as_the_manifest_says() {
    for stack in ["64KiB", "1MiB"] {
        let host = Host::with(service("probe").everywhere())
            .tables(&format!("[host]\nstack = {stack:?}"))
            .start()
            .await;
        host.get("/").await.expect(200);
        host.get("/recurse").await.expect_problem(502);
        host.get("/").await.expect(200);
    }
}
