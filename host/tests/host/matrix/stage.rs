//! The stages of a service's life, and what holds when it fails there.

use super::bystander::{Bystander, beside};
use super::failure::Failure;
use crate::fixture::{Connection, Host, Plan, Reply, Service, eventually, get, service};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wasi {
    V02,
    V03,
}

impl Wasi {
    fn handler(self) -> &'static str {
        match self {
            Wasi::V02 => "failing",
            Wasi::V03 => "failing-p3",
        }
    }

    fn worker(self) -> &'static str {
        match self {
            Wasi::V02 => "failing-worker",
            Wasi::V03 => "failing-worker-p3",
        }
    }
}

/// Small enough to be reached soon. The deadline has to leave room for what does not fail, on a
/// machine that is busy with other tests.
const LIMITS: &str = "cpu = \"100ms\", memory = \"8MiB\", deadline = \"1500ms\"";

/// Two failures more than the first, in quick succession.
const QUICK: &str = "max = 2, within = \"10s\", backoff = \"20ms..60ms\"";

/// No number of failures is too many.
const PATIENT: &str = "max = 1000, within = \"1s\"";

/// The service that will fail. Its idle instances are soon gone.
fn failing(component: &str) -> Service {
    service("failing").component(component).limits(LIMITS)
}

fn handler(wasi: Wasi) -> Service {
    failing(wasi.handler())
        .everywhere()
        .instances("idle = \"200ms\"")
}

fn told(at: &str, failure: Failure) -> String {
    let how = failure.name();
    format!("environment = {{ FAIL_AT = {at:?}, FAIL = {how:?} }}")
}

async fn start(plan: Plan) -> (Host, Bystander) {
    let host = beside(plan).start().await;
    let bystander = Bystander::of(&host).await;
    (host, bystander)
}

/// What holds at the end of every cell.
async fn ends_well(host: &Host, failure: Failure, bystander: Bystander) {
    bystander.untouched(host).await;
    nothing_is_left(host).await;
    failure.is_the_only_panic(host);
}

async fn nothing_is_left(host: &Host) {
    eventually("all that the failure used to be given back", async || {
        let usage = &host.status()["host"];
        let tasks = &usage["tasks"];
        let at_rest =
            usage["stores"] == 0 && tasks["after-response"] == 0 && tasks["instance"] == 0;
        let pools = usage["pools"].as_array()?;
        let empty = pools.iter().all(|pool| {
            ["instances", "memories", "tables"]
                .iter()
                .all(|slot| pool[slot] == 0)
        });
        (at_rest && empty && !pools.is_empty()).then_some(())
    })
    .await;
}

/// The next request is answered, by the same service that failed.
async fn answers(host: &Host) {
    host.get("/").await.expect(200);
}

async fn is_parked(host: &Host, kind: &str) -> serde_json::Value {
    let row = host.phase("failing", "parked").await;
    assert_eq!(row["phase"]["cause"]["kind"], kind, "{row}");
    assert_eq!(row["restarts"], 2, "{row}");
    let line = host.message("parked").await;
    assert_eq!(line["service"], "failing", "{line}");
    row
}

/// No instance can be made at the start.
pub(super) async fn instantiate(wasi: Wasi, failure: Failure) {
    let plan = handler(wasi)
        .restart(QUICK)
        .grants(&told("instantiate", failure));
    let (host, bystander) = start(Host::with(plan)).await;
    let kind = match failure {
        Failure::Trap | Failure::Memory => "instantiation",
        other => other.kind(),
    };
    let row = is_parked(&host, kind).await;
    assert_eq!(row["crashes"], 0, "no instance was ever there to be lost");
    host.get("/").await.expect_problem(503);
    let line = host.access("/").await;
    assert_eq!(line["outcome"], "unavailable", "{line}");
    assert_eq!(line["service"], "failing", "{line}");
    ends_well(&host, failure, bystander).await;
}

/// The service has started well; then an instance cannot be made for a request.
pub(super) async fn instantiate_for_a_request(wasi: Wasi, failure: Failure) {
    let grants = format!(
        "environment = {{ FAIL_AT = \"instantiate\", FAIL = {:?}, FAIL_ONCE = \"/data/now\" }}, \
         directories = [{{ host = \"data\", guest = \"/data\" }}]",
        failure.name()
    );
    let plan = Host::with(
        failing(wasi.handler())
            .everywhere()
            .instances("reuse = 1")
            .restart(PATIENT)
            .grants(&grants),
    );
    let (host, bystander) = start(plan.file("data/", "")).await;
    answers(&host).await;
    let now = host.directory().join("data/now");
    std::fs::write(&now, "").unwrap();
    let (status, label) = match failure {
        Failure::Trap | Failure::Memory => (503, "instantiate"),
        other => (other.status(), other.label()),
    };
    host.get("/request").await.expect_problem(status);
    let line = host.access("/request").await;
    assert_eq!(line["outcome"], label, "{line}");
    let row = host
        .until("failing", "its crash", |row| {
            row["crashes"] == failure.crashes(1)
        })
        .await;
    assert_eq!(row["phase"]["name"], "ready", "{row}");
    std::fs::remove_file(&now).unwrap();
    answers(&host).await;
    ends_well(&host, failure, bystander).await;
}

/// The health check that a start waits for.
pub(super) async fn start_up_check(wasi: Wasi, failure: Failure) {
    let plan = handler(wasi)
        .restart(QUICK)
        .health("path = \"/healthz\", timeout = \"1s\"")
        .grants(&told("health", failure));
    let (host, bystander) = start(Host::with(plan)).await;
    let row = is_parked(&host, "health").await;
    let message = row["phase"]["cause"]["message"].as_str().unwrap();
    assert!(message.contains("health check"), "{message}");
    assert!(message.contains(failure.word()), "{message}");
    if failure != Failure::Deadline {
        failure.is_logged(&host, "instance lost").await;
    }
    host.until("failing", "three crashes", |row| {
        row["crashes"] == failure.crashes(3)
    })
    .await;
    host.get("/").await.expect_problem(503);
    ends_well(&host, failure, bystander).await;
}

/// A request, before its response.
pub(super) async fn request(wasi: Wasi, failure: Failure) {
    let (host, bystander) = start(Host::with(handler(wasi).restart(PATIENT))).await;
    let path = format!("/request/{}", failure.name());
    host.get(&path).await.expect_problem(failure.status());
    let line = host.access(&path).await;
    assert_eq!(line["outcome"], failure.label(), "{line}");
    assert_eq!(line["service"], "failing", "{line}");
    assert_eq!(line["status"], failure.status(), "{line}");
    failure.is_blamed_on_the_instance(&host, 1).await;
    answers(&host).await;
    ends_well(&host, failure, bystander).await;
}

/// The client has the response's head and a piece of its body.
pub(super) async fn streaming_response_body(wasi: Wasi, failure: Failure) {
    let (host, bystander) = start(Host::with(handler(wasi).restart(PATIENT))).await;
    let path = format!("/body/{}", failure.name());
    for (protocol, mut connection) in Connection::both(&host).await {
        let reply = connection.ask(get(&path)).await.expect(200);
        assert!(
            !reply.whole,
            "{protocol}: the client must see that it is cut"
        );
        assert_eq!(reply.text(), "a piece\n", "{protocol}");
    }
    let line = host.access(&path).await;
    assert_eq!(line["outcome"], failure.label(), "{line}");
    assert_eq!(line["service"], "failing", "{line}");
    assert_eq!(line["status"], 200, "it had been sent: {line}");
    failure.is_blamed_on_the_instance(&host, 2).await;
    answers(&host).await;
    ends_well(&host, failure, bystander).await;
}

/// The client has the whole response; the guest is still at work.
pub(super) async fn after_the_response(wasi: Wasi, failure: Failure) {
    let (host, bystander) = start(Host::with(handler(wasi).restart(PATIENT))).await;
    let path = format!("/after/{}", failure.name());
    let reply = host.get(&path).await.expect(200);
    assert!(reply.whole);
    assert_eq!(reply.text(), "all of it\n");
    let line = host.access(&path).await;
    assert_eq!(
        line["outcome"], "ok",
        "the client got what it asked for: {line}"
    );
    failure.is_blamed_on_the_instance(&host, 1).await;
    if (wasi, failure) == (Wasi::V02, Failure::Deadline) {
        let line = host.message("still running when its deadline passed").await;
        assert_eq!(line["service"], "failing", "{line}");
    }
    answers(&host).await;
    ends_well(&host, failure, bystander).await;
}

/// A program in the background. It may compute and wait for as long as it likes.
pub(super) async fn worker(wasi: Wasi, failure: Failure) {
    let plan = failing(wasi.worker())
        .restart(QUICK)
        .set("stop-timeout", "\"200ms\"")
        .grants(&told("worker", failure));
    let (host, bystander) = start(Host::with(plan)).await;
    host.message("failing-worker: running").await;
    if matches!(failure, Failure::Cpu | Failure::Deadline) {
        // Longer than either limit, which are for calls.
        tokio::time::sleep(std::time::Duration::from_secs(2)).await;
        let row = host.row("failing");
        assert_eq!(row["phase"]["name"], "ready", "{row}");
        assert_eq!((&row["crashes"], &row["restarts"]), (&0.into(), &0.into()));
        // It can be restarted and stopped all the same.
        assert!(host.restart("failing").contains("202"));
        host.until("failing", "restarted", |row| {
            row["phase"]["name"] == "ready" && row["restarts"] == 1
        })
        .await;
        bystander.untouched(&host).await;
        failure.is_the_only_panic(&host);
        assert_eq!(host.stop().await, Some(0));
    } else {
        let row = is_parked(&host, failure.kind()).await;
        assert_eq!(row["crashes"], 3, "{row}");
        failure.is_logged(&host, "worker lost").await;
        ends_well(&host, failure, bystander).await;
    }
}

/// A request that is under way when its service is restarted, and one when the host is stopped.
pub(super) async fn drain(wasi: Wasi, failure: Failure) {
    let (mut host, bystander) = start(Host::with(handler(wasi).restart(PATIENT))).await;
    let path = format!("/later/500/{}", failure.name());

    let under_way = ask(&host, &path).await;
    assert!(host.restart("failing").contains("202"));
    host.phase("failing", "draining").await;
    under_way.await.unwrap().expect_problem(failure.status());
    let row = host
        .until("failing", "restarted", |row| {
            row["phase"]["name"] == "ready" && row["restarts"] == 1
        })
        .await;
    assert_eq!(
        row["phase"]["crashes"], 0,
        "what is new has not crashed: {row}"
    );
    host.until("failing", "its crash", |row| {
        row["crashes"] == failure.crashes(1)
    })
    .await;
    let line = host.access(&path).await;
    assert_eq!(line["outcome"], failure.label(), "{line}");
    answers(&host).await;
    bystander.untouched(&host).await;
    nothing_is_left(&host).await;

    let under_way = ask(&host, &path).await;
    host.terminate();
    under_way.await.unwrap().expect_problem(failure.status());
    assert_eq!(host.exit_code().await, Some(0));
    let log = host.log_text();
    assert!(!log.contains("drain deadline"), "{log}");
    failure.is_the_only_panic(&host);
}

/// A request that the service is at work on when this returns.
async fn ask(host: &Host, path: &str) -> tokio::task::JoinHandle<Reply> {
    let mut connection = Connection::http1(host).await;
    let request = get(path);
    let asked = tokio::spawn(async move { connection.ask(request).await });
    host.until("failing", "in flight", |row| row["in_flight"] == 1)
        .await;
    asked
}
