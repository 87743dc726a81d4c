//! What is known of a crash afterwards: `skep crashes` and the control API.

use serde_json::Value;

use crate::fixture::{Connection, Host, Output, get, service, skep};

/// Crashes enough not to be backed off.
const STURDY: &str = "max = 1000, within = \"10s\"";

async fn probe(component: &str) -> Host {
    let probe = service("probe")
        .component(component)
        .everywhere()
        .restart(STURDY);
    Host::with(probe).start().await
}

/// Waits until so many crashes are written down, and returns those that are kept.
async fn crashes(host: &Host, service: &str, total: u64) -> Vec<Value> {
    crate::fixture::eventually("the crashes", async || {
        let found = host.crashes(service);
        let of = &found[0];
        assert_eq!(of["service"], service);
        (of["total"] == total).then(|| of["crashes"].as_array().unwrap().clone())
    })
    .await
}

#[tokio::test]
async fn a_crash_is_kept_with_all_that_is_known_of_it() {
    let host = probe("probe").await;
    let reply = host.get("/panic?token=hush").await.expect_problem(502);
    let kept = crashes(&host, "probe", 1).await;
    let crash = &kept[0];
    assert_eq!(
        (&crash["number"], &crash["revision"]),
        (&1.into(), &1.into())
    );
    assert_eq!(crash["instance"], host.access("/panic").await["instance"]);
    assert_eq!(
        (&crash["failure"], &crash["trap"]),
        (&"trap".into(), &"unreachable".into())
    );
    let request = &crash["requests"][0];
    assert_eq!(request["id"], reply.header("x-request-id"));
    assert_eq!(
        (&request["method"], &request["path"]),
        (&"GET".into(), &"/panic".into())
    );
    assert_eq!(request["route"], "/{*rest}");
    let frames = crash["frames"].to_string();
    assert!(frames.contains("panic"), "{frames}");
    assert!(crash["memory_bytes"].as_u64() >= Some(64 << 10), "{crash}");
    assert!(crash["cpu_us"].as_u64() > Some(0), "{crash}");
    assert!(crash["time"].as_str().unwrap().ends_with('Z'));
    let log = crash["log"].as_array().unwrap();
    let printed = |line: &Value| line["text"].as_str().unwrap().contains("on purpose");
    assert!(
        log.iter()
            .any(|line| line["stream"] == "stderr" && printed(line)),
        "{crash}"
    );
    assert!(
        !crash.to_string().contains("hush"),
        "queries carry secrets: {crash}"
    );
}

#[tokio::test]
async fn a_crash_in_the_middle_of_a_body_is_kept_too() {
    let probe = service("probe")
        .everywhere()
        .restart(STURDY)
        .limits("cpu = \"100ms\"");
    let host = Host::with(probe).start().await;
    let reply = host.get("/spin-after-head").await.expect(200);
    assert!(!reply.whole);
    let kept = crashes(&host, "probe", 1).await;
    assert_eq!(kept[0]["failure"], "cpu-limit");
    assert_eq!(kept[0]["requests"][0]["path"], "/spin-after-head");
    assert!(kept[0]["memory_bytes"].as_u64() > Some(0));
    assert!(kept[0]["cpu_us"].as_u64() >= Some(100_000), "{}", kept[0]);
}

#[tokio::test]
async fn a_shared_instance_tells_of_all_the_requests_that_it_took_along() {
    let host = probe("probe-p3").await;
    let mut connection = Connection::http1(&host).await;
    let waiting = tokio::spawn(async move { connection.send(get("/sleep/20000")).await });
    host.until("probe", "in flight", |row| row["in_flight"] == 1)
        .await;
    host.get("/trap").await.expect_problem(502);
    let _ = waiting.await.unwrap();
    let kept = crashes(&host, "probe", 1).await;
    let requests = kept[0]["requests"].as_array().unwrap();
    let mut paths: Vec<_> = requests
        .iter()
        .map(|request| request["path"].as_str().unwrap())
        .collect();
    paths.sort_unstable();
    assert_eq!(paths, ["/sleep/20000", "/trap"], "{}", kept[0]);
    assert!(kept[0]["memory_bytes"].as_u64() > Some(0));
}

#[tokio::test]
async fn a_workers_crash_has_its_last_lines() {
    for (end, failure) in [("panic", "trap"), ("fail", "exit"), ("exit", "exit")] {
        let worker = service("worker")
            .restart("when = \"never\"")
            .grants(&format!("args = [{end:?}, \"2\", \"10\"]"));
        let host = Host::with(worker).start().await;
        host.phase("worker", "parked").await;
        let kept = crashes(&host, "worker", 1).await;
        let crash = &kept[0];
        assert_eq!(crash["failure"], failure, "{crash}");
        assert_eq!(crash["log"][1]["text"], "worker: line 2", "{crash}");
        assert_eq!(crash["requests"], serde_json::json!([]));
        assert!(crash["memory_bytes"].as_u64() > Some(0), "{end}: {crash}");
        assert_eq!(host.row("worker")["crashes"], 1);
    }
}

#[tokio::test]
async fn only_the_newest_crashes_are_kept() {
    let host = probe("probe").await;
    for _ in 0..20 {
        host.get("/trap").await.expect_problem(502);
    }
    let kept = crashes(&host, "probe", 20).await;
    let numbers: Vec<_> = kept
        .iter()
        .map(|crash| crash["number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (5..=20).collect::<Vec<_>>());
}

#[tokio::test]
async fn the_command_shows_crashes_to_people_and_machines() {
    let host = Host::with(service("probe").routes(&["/trap", "/"]).restart(STURDY))
        .and(service("hello").routes(&["/hello"]))
        .start()
        .await;
    let manifest = host.manifest();
    let run = |arguments: &[&str]| {
        let mut command = skep();
        command
            .arg("crashes")
            .args(arguments)
            .arg("--manifest")
            .arg(&manifest);
        Output::of(&mut command)
    };
    assert_eq!(run(&[]).expect(0).stdout.trim_end(), "no crashes");
    host.get("/trap").await.expect_problem(502);
    crashes(&host, "probe", 1).await;
    let shown = run(&["probe"]).expect(0).stdout;
    for text in [
        "probe crash 1 at ",
        "trap (unreachable)",
        "GET /trap, route /trap",
        "probe::harm::trap",
        "revision 1, instance ",
    ] {
        assert!(shown.contains(text), "no {text:?} in {shown}");
    }
    assert_eq!(run(&["hello"]).expect(0).stdout.trim_end(), "no crashes");
    let json: Value = serde_json::from_str(&run(&["--json"]).expect(0).stdout).unwrap();
    assert_eq!(json[1]["service"], "probe");
    assert_eq!(json[1]["total"], 1);
    run(&["nobody"]).expect(1).says(&["no service `nobody`"]);
}
