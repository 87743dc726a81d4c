//! Services that depend on one another: the order of their starts and stops, groups that fail and
//! come back together, callers who wait, and the time that each has to stop.

use std::time::{Duration, Instant};

use crate::fixture::{Connection, Host, Plan, eventually, get, service};

/// One crash is borne, the second backs the service off.
const FRAIL: &str = "max = 1, within = \"60s\", backoff = \"20ms..60ms\"";

/// Three services in a group, of which `b` can be made to fail, and one that is in none.
fn group(strategy: &str, more: &str) -> Plan {
    let member = |name: &str| {
        let path = format!("/{name}");
        service(name)
            .component("probe")
            .routes(&[&path])
            .restart(FRAIL)
    };
    let plan = Host::with(member("a"))
        .and(
            service("b")
                .component("probe")
                .routes(&["/b", "/trap"])
                .restart(FRAIL),
        )
        .and(member("c"))
        .and(service("hello").routes(&["/hello"]));
    plan.tables(&format!(
        "[group.back]\nservices = [\"a\", \"b\", \"c\"]\nstrategy = \"{strategy}\"\n{more}"
    ))
}

/// Makes `b` fail as a service.
async fn fail(host: &Host) {
    let before = host.row("b")["restarts"].as_u64();
    for _ in 0..2 {
        host.get("/trap").await.expect_problem(502);
    }
    host.until("b", "a failure", |row| {
        row["phase"]["name"] != "ready" || row["restarts"].as_u64() > before
    })
    .await;
}

fn restarts(host: &Host) -> [u64; 4] {
    ["a", "b", "c", "hello"].map(|name| host.row(name)["restarts"].as_u64().unwrap())
}

async fn all_are_ready(host: &Host, restarted: [u64; 4]) {
    eventually("all to be ready again", async || {
        let ready = |name: &&str| host.row(name)["phase"]["name"] == "ready";
        let ready = ["a", "b", "c", "hello"].iter().all(ready);
        (ready && restarts(host) == restarted).then_some(())
    })
    .await;
    host.get("/hello").await.expect(200);
    host.assert_no_panic();
}

/// The services that the log says this of, in its order.
fn told(host: &Host, text: &str) -> Vec<String> {
    let log = host.log().into_iter();
    let lines = log.filter(|line| line["message"].as_str().is_some_and(|m| m.contains(text)));
    lines
        .map(|line| line["service"].as_str().unwrap_or_default().to_owned())
        .collect()
}

/// The same, once there are so many: the log comes when it comes.
async fn told_times(host: &Host, text: &str, times: usize) -> Vec<String> {
    eventually(&format!("{text:?}, {times} times in the log"), async || {
        Some(told(host, text)).filter(|services| services.len() >= times)
    })
    .await
}

#[tokio::test]
async fn one_for_one_restarts_the_service_that_failed_alone() {
    let host = group("one-for-one", "").start().await;
    fail(&host).await;
    all_are_ready(&host, [0, 1, 0, 0]).await;
}

#[tokio::test]
async fn one_for_all_stops_the_others_backwards_and_starts_all_in_order() {
    let host = group("one-for-all", "").start().await;
    told_times(&host, "ready after", 4).await;
    fail(&host).await;
    all_are_ready(&host, [1, 1, 1, 0]).await;
    let ready = told_times(&host, "ready after", 7).await;
    assert_eq!(ready[4..], ["a", "b", "c"]);
    assert_eq!(told(&host, "stopped: restarts with its group"), ["c", "a"]);
    assert_eq!(told(&host, "others restart with it"), ["b"]);
}

#[tokio::test]
async fn rest_for_one_takes_along_those_listed_after() {
    let host = group("rest-for-one", "").start().await;
    fail(&host).await;
    all_are_ready(&host, [0, 1, 1, 0]).await;
    let stopped = told_times(&host, "stopped: restarts with its group", 1).await;
    assert_eq!(stopped, ["c"]);
}

#[tokio::test]
async fn a_group_that_fails_too_often_is_parked_and_comes_back_with_any_of_its_services() {
    let host = group("one-for-one", "restart = { max = 0 }").start().await;
    fail(&host).await;
    for name in ["a", "b", "c"] {
        let row = host.phase(name, "parked").await;
        let cause = row["phase"]["cause"]["message"].as_str().unwrap();
        assert_eq!(
            cause.contains("with its group `back`"),
            name != "b",
            "{row}"
        );
    }
    let reply = host.get("/a").await.expect_problem(503);
    assert!(
        !reply.headers.contains_key("retry-after"),
        "nobody knows when: {reply:?}"
    );
    let line = host.message("the group is parked").await;
    assert_eq!(line["group"], "back");
    host.get("/hello").await.expect(200);
    assert!(host.restart("c").contains("202"));
    all_are_ready(&host, [1, 1, 1, 0]).await;
    host.get("/b").await;
}

#[tokio::test]
async fn a_group_that_escalates_to_a_restart_starts_anew_and_is_parked_in_the_end() {
    let restart =
        "restart = { max = 1, within = \"10m\", backoff = \"1s..1s\" }\nescalate = \"restart\"";
    let host = group("one-for-one", restart).start().await;
    fail(&host).await;
    host.until("b", "back after its own wait", |row| {
        row["phase"]["name"] == "ready" && row["restarts"] == 1
    })
    .await;
    fail(&host).await;
    let line = host.message("the group failed, and starts anew").await;
    assert_eq!(
        (&line["group"], &line["attempt"]),
        (&"back".into(), &1.into())
    );
    let reply = host.get("/a").await;
    if reply.status == 503 {
        assert_eq!(reply.header("retry-after"), "1");
    }
    all_are_ready(&host, [1, 2, 1, 0]).await;
    for _ in 0..2 {
        fail(&host).await;
        eventually("an end of that", async || {
            let name = host.row("b")["phase"]["name"].clone();
            (name == "ready" || name == "parked").then_some(())
        })
        .await;
    }
    for name in ["a", "b", "c"] {
        host.phase(name, "parked").await;
    }
}

#[tokio::test]
async fn a_worker_that_has_used_up_its_restarts_takes_its_group_along() {
    let worker = service("worker")
        .restart("max = 0, backoff = \"20ms..60ms\"")
        .grants("args = [\"fail\", \"1\", \"300\"]");
    let plan = Host::with(worker).and(service("hello").routes(&["/hello"]));
    let plan = plan.tables("[group.g]\nservices = [\"hello\", \"worker\"]\n");
    let host = plan.start().await;
    host.phase("worker", "parked").await;
    host.phase("hello", "parked").await;
    assert!(host.restart("hello").contains("202"));
    host.phase("hello", "ready").await;
}

#[tokio::test]
async fn services_start_after_what_they_come_after_and_stop_before_it() {
    let late = |name: &str, after: &str| service(name).component("hello").set("after", after);
    let mut host = Host::with(late("a", "[\"b\"]"))
        .and(late("b", "[\"c\"]"))
        .and(late("c", "[]"))
        .start()
        .await;
    for name in ["a", "b", "c"] {
        assert_eq!(host.row(name)["phase"]["name"], "ready");
    }
    assert_eq!(told_times(&host, "ready after", 3).await, ["c", "b", "a"]);
    host.terminate();
    assert_eq!(host.exit_code().await, Some(0));
    let stopped = told_times(&host, "stopped: stopped on request", 3).await;
    assert_eq!(stopped, ["a", "b", "c"]);
}

#[tokio::test]
async fn a_service_waits_for_one_that_backs_off_and_the_host_does_not() {
    let first = service("first")
        .component("files")
        .routes(&["/first"])
        .health("path = \"/read?path=/data/well\"")
        .restart("max = 1000, backoff = \"20ms..60ms\"")
        .grants("directories = [{ host = \"data\", guest = \"/data\" }]");
    let second = service("hello")
        .routes(&["/hello"])
        .set("after", "[\"first\"]");
    let host = Host::with(first)
        .and(second)
        .file("data/", "")
        .start()
        .await;
    host.until("first", "several tries", |row| {
        row["restarts"].as_u64() > Some(2)
    })
    .await;
    assert_eq!(host.row("hello")["restarts"], 0);
    let reply = host.get("/hello").await.expect_problem(503);
    assert_eq!(reply.header("retry-after"), "1");
    std::fs::write(host.directory().join("data/well"), "yes").unwrap();
    host.phase("hello", "ready").await;
    assert_eq!(host.row("first")["phase"]["name"], "ready");
    host.get("/hello").await.expect(200);
}

#[tokio::test]
async fn a_cycle_of_starts_is_refused() {
    let plan = Host::with(service("hello").set("after", "[\"probe\"]"))
        .and(service("probe").set("after", "[\"hello\"]"));
    plan.run("check", &[])
        .expect(3)
        .says(&["[start-cycle]", "wait for one another"]);
}

/// A service that fails at its second crash and then waits for so long.
fn waits(backoff: &str, more: &str) -> Plan {
    let restart = format!("max = 1, within = \"60s\", backoff = \"{backoff}..{backoff}\"{more}");
    Host::with(
        service("b")
            .component("probe")
            .routes(&["/trap", "/"])
            .restart(&restart),
    )
}

#[tokio::test]
async fn callers_may_be_held_until_the_service_is_back() {
    let host = waits("3s", ", hold = \"20s\"").start().await;
    fail(&host).await;
    host.phase("b", "backing-off").await;
    let (one, other) = tokio::join!(host.get("/"), host.get("/"));
    one.expect(200);
    other.expect(200);
    let line = host.access("/").await;
    assert!(
        line["queue_ms"].as_f64().unwrap() > 100.0,
        "the wait is in the log: {line}"
    );
    assert_eq!(host.row("b")["restarts"], 1);
}

#[tokio::test]
async fn callers_are_held_no_longer_than_the_manifest_says() {
    let host = waits("30s", ", hold = \"300ms\"").start().await;
    fail(&host).await;
    host.phase("b", "backing-off").await;
    let began = Instant::now();
    host.get("/").await.expect_problem(503);
    assert!(began.elapsed() >= Duration::from_millis(300));
}

#[tokio::test]
async fn a_parked_service_holds_nobody() {
    let plan = Host::with(
        service("b")
            .component("probe")
            .routes(&["/trap", "/"])
            .restart("max = 0, hold = \"60s\""),
    );
    let host = plan.start().await;
    host.get("/trap").await.expect_problem(502);
    host.phase("b", "parked").await;
    let reply = host.get("/").await.expect_problem(503);
    assert!(!reply.headers.contains_key("retry-after"));
}

#[tokio::test]
async fn retry_after_is_the_rest_of_the_wait_and_the_log_knows_the_revision() {
    let host = waits("6s", "").start().await;
    fail(&host).await;
    host.phase("b", "backing-off").await;
    let ask = async || {
        let reply = host.get("/").await;
        (reply.status == 503).then(|| reply.header("retry-after").parse::<u64>().unwrap())
    };
    let first = ask().await.unwrap();
    assert!((1..=6).contains(&first), "{first}");
    eventually("the rest of the wait", async || {
        ask().await.filter(|left| *left == 1)
    })
    .await;
    host.phase("b", "ready").await;
    host.get("/").await.expect(200);
    let line = host.access("/").await;
    assert_eq!(
        (&line["status"], &line["revision"]),
        (&503.into(), &1.into()),
        "{line}"
    );
}

#[tokio::test]
async fn a_service_may_have_longer_to_stop_than_the_host_gives_to_all() {
    for (stop_timeout, whole) in [(Some("\"20s\""), true), (None, false)] {
        let mut probe = service("probe")
            .routes(&["/sleep/4000"])
            .limits("deadline = \"20s\"");
        if let Some(stop_timeout) = stop_timeout {
            probe = probe.set("stop-timeout", stop_timeout);
        }
        let plan = Host::with(probe).http("drain-timeout = \"200ms\"");
        let mut host = plan.start().await;
        let mut connection = Connection::http1(&host).await;
        let under_way = tokio::spawn(async move { connection.send(get("/sleep/4000")).await });
        host.until("probe", "in flight", |row| row["in_flight"] == 1)
            .await;
        host.terminate();
        let answer = under_way.await.unwrap();
        assert_eq!(
            answer.is_ok_and(|answer| answer.status() == 200),
            whole,
            "{stop_timeout:?}"
        );
        assert_eq!(host.exit_code().await, Some(0));
    }
}
