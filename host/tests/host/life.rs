//! The life of services: ready when healthy, back after a crash, parked when hopeless, and never
//! a burden on the others.

use crate::fixture::{Connection, Host, Plan, get, service};

/// Quick failures, so that tests need not wait long.
const QUICK: &str = "max = 2, within = \"10s\", backoff = \"20ms..60ms\"";

/// A service beside the one that fails.
fn with_bystander(plan: Plan) -> Plan {
    plan.and(service("hello").routes(&["/hello"]))
}

async fn bystander_is_well(host: &Host) {
    assert_eq!(
        host.get("/hello").await.expect(200).text(),
        "hello from skep\n"
    );
    let row = host.row("hello");
    assert_eq!(row["phase"]["name"], "ready");
    assert_eq!((&row["crashes"], &row["restarts"]), (&0.into(), &0.into()));
}

#[tokio::test]
async fn a_service_is_ready_once_its_health_check_went_well() {
    for (component, path) in [
        ("probe", "/healthz"),
        ("probe-p3", "/healthz"),
        ("probe", "/status/302"),
    ] {
        let host = Host::with(
            service("probe")
                .component(component)
                .everywhere()
                .set("health", &format!("{path:?}")),
        )
        .start()
        .await;
        assert_eq!(
            host.row("probe")["phase"]["name"],
            "ready",
            "{component} {path}"
        );
        host.get("/").await.expect(200);
    }
}

#[tokio::test]
async fn a_service_that_is_not_healthy_gets_no_requests() {
    for (how, cause) in [("fail", "500"), ("hang", "/healthz"), ("trap", "trap")] {
        let plan = Host::with(
            service("probe")
                .routes(&["/probe"])
                .health("path = \"/healthz\", timeout = \"200ms\"")
                .restart("max = 1000, backoff = \"20ms..60ms\"")
                .grants(&format!("environment = {{ PROBE_HEALTH = {how:?} }}")),
        );
        let host = with_bystander(plan).start().await;
        let row = host
            .until("probe", "a cause", |row| !row["phase"]["cause"].is_null())
            .await;
        let message = row["phase"]["cause"]["message"].as_str().unwrap();
        assert!(
            message.contains("health check") && message.contains(cause),
            "{how}: {message}"
        );
        let reply = host.get("/probe").await.expect_problem(503);
        assert!(reply.headers.contains_key("retry-after"));
        host.until("probe", "several tries", |row| {
            row["restarts"].as_u64() > Some(2)
        })
        .await;
        bystander_is_well(&host).await;
    }
}

#[tokio::test]
async fn a_service_that_becomes_unhealthy_is_restarted_and_comes_back() {
    let plan = Host::with(
        service("files")
            .everywhere()
            .health("path = \"/read?path=/data/well\", interval = \"100ms\"")
            .restart("max = 1000, backoff = \"20ms..60ms\"")
            .grants("directories = [{ host = \"data\", guest = \"/data\" }]"),
    );
    let host = plan.file("data/well", "yes").start().await;
    assert_eq!(host.row("files")["phase"]["name"], "ready");
    let well = host.directory().join("data/well");
    std::fs::remove_file(&well).unwrap();
    host.phase("files", "backing-off").await;
    host.message("not healthy").await;
    std::fs::write(&well, "yes").unwrap();
    host.phase("files", "ready").await;
    assert_eq!(
        host.get("/read?path=/data/well").await.expect(200).text(),
        "yes"
    );
}

#[tokio::test]
async fn a_crash_loses_one_instance_and_nothing_else() {
    let host = with_bystander(Host::with(service("probe").routes(&["/trap", "/"])))
        .start()
        .await;
    for _ in 0..3 {
        host.get("/trap").await.expect_problem(502);
        host.get("/").await.expect(200);
    }
    let row = host.row("probe");
    assert_eq!(row["phase"]["name"], "ready");
    assert_eq!((&row["crashes"], &row["restarts"]), (&3.into(), &0.into()));
    bystander_is_well(&host).await;
}

#[tokio::test]
async fn a_service_that_keeps_crashing_is_backed_off_and_comes_back() {
    let plan = Host::with(
        service("probe")
            .routes(&["/trap", "/"])
            .restart("max = 2, within = \"10s\", backoff = \"2s..2s\""),
    );
    let host = with_bystander(plan).start().await;
    let mut last = 0;
    for _ in 0..20 {
        last = host.get("/trap").await.status.as_u16();
        if last == 503 {
            break;
        }
    }
    assert_eq!(last, 503, "it was never backed off");
    host.phase("probe", "backing-off").await;
    let reply = host.get("/").await.expect_problem(503);
    assert!(reply.header("retry-after").parse::<u64>().unwrap() <= 3);
    host.message("backing off").await;
    bystander_is_well(&host).await;
    host.phase("probe", "ready").await;
    host.get("/").await.expect(200);
    assert!(host.row("probe")["restarts"].as_u64().unwrap() >= 1);
}

/// An HTTP handler whose instances do this when they start.
fn starting_with(start: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "wasi:http/types@0.2.0" (instance $types
              (export "incoming-request" (type (sub resource)))
              (export "response-outparam" (type (sub resource)))))
            (alias export $types "incoming-request" (type $request))
            (alias export $types "response-outparam" (type $out))
            (core module $m
              (memory 1)
              (func (export "handle") (param i32 i32))
              (func $start {start})
              (start $start))
            (core instance $i (instantiate $m))
            (type $handle (func (param "request" (own $request)) (param "response-out" (own $out))))
            (func $handle (type $handle) (canon lift (core func $i "handle")))
            (instance $exported (export "handle" (func $handle)))
            (export "wasi:http/incoming-handler@0.2.0" (instance $exported)))"#
    );
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn a_service_that_cannot_start_is_parked_and_the_others_serve_on() {
    for start in [
        "unreachable",
        "(loop $forever (br $forever))",
        "(if (i32.eq (memory.grow (i32.const 1000)) (i32.const -1)) (then unreachable))",
    ] {
        let plan = Host::with(
            service("bad")
                .component("./bad.wasm")
                .routes(&["/bad"])
                .restart(QUICK)
                .limits("cpu = \"50ms\", memory = \"16MiB\""),
        );
        let plan = plan.bytes("bad.wasm", starting_with(start));
        let host = with_bystander(plan).start().await;
        let row = host.phase("bad", "parked").await;
        assert_eq!(
            (&row["phase"]["crashes"], &row["restarts"]),
            (&3.into(), &2.into()),
            "{row}"
        );
        assert!(
            row["phase"]["cause"]["message"].is_string(),
            "{start}: {row}"
        );
        host.get("/bad").await.expect_problem(503);
        host.message("parked").await;
        bystander_is_well(&host).await;
        host.assert_no_panic();
    }
}

#[tokio::test]
async fn a_service_that_crashes_at_its_first_call_is_backed_off() {
    for how in ["trap", "panic", "spin", "grow"] {
        let plan = Host::with(
            service("bad")
                .component("bad-start")
                .routes(&["/bad"])
                .restart("max = 2, within = \"10s\", backoff = \"20s..30s\"")
                .limits("cpu = \"50ms\", memory = \"16MiB\"")
                .grants(&format!("environment = {{ BAD_START = {how:?} }}")),
        );
        let host = with_bystander(plan).start().await;
        for _ in 0..3 {
            host.get("/bad").await;
        }
        host.phase("bad", "backing-off").await;
        bystander_is_well(&host).await;
        host.assert_no_panic();
    }
}

#[tokio::test]
async fn a_parked_service_is_started_again_by_hand() {
    let plan = Host::with(
        service("files")
            .everywhere()
            .restart(QUICK)
            .health("path = \"/read?path=/data/well\"")
            .grants("directories = [{ host = \"data\", guest = \"/data\" }]"),
    );
    let host = plan.file("data/", "").start().await;
    host.phase("files", "parked").await;
    std::fs::write(host.directory().join("data/well"), "yes").unwrap();
    assert!(host.restart("files").contains("202"));
    host.phase("files", "ready").await;
    host.get("/list?path=/data").await.expect(200);
    assert!(host.restart("nobody").contains("404"));
}

#[tokio::test]
async fn a_restart_by_hand_lets_requests_come_to_their_end() {
    for component in ["probe", "probe-p3"] {
        let host = Host::with(service("probe").component(component).everywhere())
            .start()
            .await;
        let mut connection = Connection::http1(&host).await;
        let under_way = tokio::spawn(async move { connection.ask(get("/sleep/700")).await });
        host.until("probe", "in flight", |row| row["in_flight"] == 1)
            .await;
        host.restart("probe");
        under_way.await.unwrap().expect(200);
        host.until("probe", "restarted", |row| {
            row["phase"]["name"] == "ready" && row["restarts"] == 1
        })
        .await;
        for _ in 0..3 {
            host.get("/").await.expect(200);
        }
        assert_eq!(host.row("probe")["crashes"], 0, "{component}");
    }
}

#[tokio::test]
async fn with_restart_never_the_first_failure_parks() {
    let bad = service("bad")
        .component("./bad.wasm")
        .everywhere()
        .restart("when = \"never\"");
    let plan = Host::with(bad).bytes("bad.wasm", starting_with("unreachable"));
    let host = plan.start().await;
    assert_eq!(host.phase("bad", "parked").await["restarts"], 0);
}

/// A worker that ends like this, beside a service that must not mind.
fn worker(end: &str, restart: &str) -> Plan {
    let worker = service("worker")
        .restart(restart)
        .grants(&format!("args = [{end:?}, \"2\", \"10\"]"))
        .set("stop-timeout", "\"200ms\"");
    with_bystander(Host::with(worker))
}

#[tokio::test]
async fn a_worker_that_has_done_its_work_is_stopped() {
    let host = worker("ok", QUICK).start().await;
    let row = host.phase("worker", "stopped").await;
    assert_eq!(
        (&row["crashes"], &row["restarts"]),
        (&0.into(), &0.into()),
        "{row}"
    );
    let line = host.message("worker: line 2").await;
    assert_eq!(line["service"], "worker");
    bystander_is_well(&host).await;
}

#[tokio::test]
async fn a_worker_that_always_runs_is_started_again() {
    let host = worker("ok", "when = \"always\", backoff = \"20ms..60ms\"")
        .start()
        .await;
    host.until("worker", "several runs", |row| {
        row["restarts"].as_u64() > Some(2)
    })
    .await;
    bystander_is_well(&host).await;
}

#[tokio::test]
async fn a_worker_that_fails_is_started_again_and_parked_in_the_end() {
    for end in ["fail", "exit", "trap", "panic"] {
        let host = worker(end, QUICK).start().await;
        let row = host.phase("worker", "parked").await;
        assert_eq!(row["restarts"], 2, "{end}: {row}");
        bystander_is_well(&host).await;
        host.assert_no_panic();
    }
}

#[tokio::test]
async fn a_worker_that_computes_for_ever_does_not_silence_the_others() {
    let host = worker("spin", QUICK).start().await;
    host.message("worker: line 2").await;
    let mut connection = Connection::http1(&host).await;
    for _ in 0..100 {
        connection.ask(get("/hello")).await.expect(200);
    }
    assert_eq!(host.row("worker")["phase"]["name"], "ready");
    assert_eq!(host.stop().await, Some(0), "and it can be stopped");
}

#[tokio::test]
async fn a_worker_that_runs_is_ready_and_ends_with_the_host() {
    let host = worker("never", QUICK).start().await;
    host.message("worker: still here").await;
    assert_eq!(host.row("worker")["phase"]["name"], "ready");
    bystander_is_well(&host).await;
    assert_eq!(host.stop().await, Some(0));
}

#[tokio::test]
async fn a_stack_overflow_is_a_crash_like_any_other() {
    // Endless recursion that needs no memory of its own: the native stack is what runs out.
    let component = wat::parse_str(
        r#"(component
            (core module $m
              (func $deeper (export "run") (result i32)
                (i32.add (call $deeper) (i32.const 1))))
            (core instance $i (instantiate $m))
            (type $run (func (result (result))))
            (func $run (type $run) (canon lift (core func $i "run")))
            (instance $exported (export "run" (func $run)))
            (export "wasi:cli/run@0.2.6" (instance $exported)))"#,
    )
    .unwrap();
    let plan = with_bystander(Host::with(
        service("deep").component("./deep.wasm").restart(QUICK),
    ))
    .bytes("deep.wasm", component);
    let host = plan.start().await;
    let row = host.phase("deep", "parked").await;
    let text = host.log_text();
    assert!(text.contains("stack"), "{row}\n{text}");
    bystander_is_well(&host).await;
    host.assert_no_panic();
}
