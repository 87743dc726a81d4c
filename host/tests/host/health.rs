//! Start-up, readiness and liveness checks, and how many answers count.

use std::time::Duration;

use crate::fixture::{Host, Plan, service};

/// A service whose checks look for files that the test makes and removes.
fn looks_for_files(health: &str) -> Plan {
    let files = service("files")
        .everywhere()
        .health(health)
        .restart("max = 1000, backoff = \"20ms..60ms\"")
        .grants("directories = [{ host = \"data\", guest = \"/data\" }]");
    Host::with(files)
        .and(service("hello").routes(&["/hello"]))
        .file("data/", "")
}

const READY: &str =
    "readiness = { path = \"/read?path=/data/ready\", interval = \"100ms\", unhealthy-after = 2 }";

#[tokio::test]
async fn a_service_that_is_not_ready_is_closed_and_not_restarted() {
    let plan = looks_for_files(READY);
    let host = plan.start().await;
    let row = host.phase("files", "unready").await;
    let cause = row["phase"]["cause"]["message"].as_str().unwrap();
    assert!(cause.contains("403"), "{row}");
    let reply = host.get("/list?path=/data").await.expect_problem(503);
    assert_eq!(reply.header("retry-after"), "1");
    let ready = host.directory().join("data/ready");
    for _ in 0..2 {
        std::fs::write(&ready, "yes").unwrap();
        host.phase("files", "ready").await;
        host.get("/list?path=/data").await.expect(200);
        std::fs::remove_file(&ready).unwrap();
        host.phase("files", "unready").await;
        host.get("/list?path=/data").await.expect_problem(503);
    }
    let row = host.row("files");
    assert_eq!(
        (&row["restarts"], &row["crashes"]),
        (&0.into(), &0.into()),
        "{row}"
    );
    host.message("takes no requests for now").await;
    host.message("takes requests again").await;
    host.get("/hello").await.expect(200);
}

#[tokio::test]
async fn a_service_that_is_not_ready_can_be_restarted_and_held_for() {
    let plan = looks_for_files(READY);
    let mut host = plan.start().await;
    host.phase("files", "unready").await;
    assert!(host.restart("files").contains("202"));
    let restarted =
        |row: &serde_json::Value| row["restarts"] == 1 && row["phase"]["name"] == "unready";
    host.until("files", "a restart", restarted).await;
    host.terminate();
    assert_eq!(host.exit_code().await, Some(0));
}

#[tokio::test]
async fn a_liveness_failure_is_a_crash() {
    let health = "path = \"/list?path=/data\", liveness = { path = \"/read?path=/data/alive\", interval = \"100ms\", unhealthy-after = 3 }";
    let plan = looks_for_files(health).file("data/alive", "yes");
    let host = plan.start().await;
    assert_eq!(host.row("files")["phase"]["name"], "ready");
    let alive = host.directory().join("data/alive");
    std::fs::remove_file(&alive).unwrap();
    host.until("files", "a restart", |row| {
        row["restarts"].as_u64() > Some(0)
    })
    .await;
    std::fs::write(&alive, "yes").unwrap();
    let row = host.phase("files", "ready").await;
    assert!(row["crashes"].as_u64() > Some(0), "{row}");
    let crashes = host.crashes("files");
    let last = &crashes[0]["crashes"][0];
    assert_eq!(last["failure"], "health", "{last}");
    assert!(last["message"].as_str().unwrap().contains("403"), "{last}");
    let said = host.message("more in a row and it is not well").await;
    assert!(
        said["message"].as_str().unwrap().contains("2 more"),
        "{said}"
    );
    host.get("/list?path=/data").await.expect(200);
}

#[tokio::test]
async fn a_start_up_check_may_be_asked_more_than_once() {
    // The host waits for a service that is starting, so the file has to come meanwhile.
    let data = tempfile::tempdir().unwrap();
    let health = "path = \"/read?path=/data/up\", startup = { interval = \"100ms\", healthy-after = 2, unhealthy-after = 300 }";
    let directory = data.path().display();
    let files = service("files")
        .everywhere()
        .health(health)
        .grants(&format!(
            "directories = [{{ host = \"{directory}\", guest = \"/data\" }}]"
        ));
    let comes = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        std::fs::write(data.path().join("up"), "yes").unwrap();
    };
    let (host, ()) = tokio::join!(Host::with(files).start(), comes);
    let row = host.phase("files", "ready").await;
    assert_eq!(row["restarts"], 0, "the same start went on: {row}");
}

#[tokio::test]
async fn bad_checks_are_refused_in_their_places() {
    let plan = Host::with(
        service("hello").health("readiness = \"healthz\", liveness = { healthy-after = 0 }"),
    );
    plan.run("check", &[]).expect(3).says(&[
        "[bad-path]",
        "write \"/healthz\"",
        "`healthy-after` must be at least 1",
        "`liveness` has no `path`",
    ]);
}
