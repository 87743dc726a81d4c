//! What turns out bad after it was deployed is taken back by itself, and what is as good as before is not.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::fixture::Plan;
use super::fixture::{Connection, Host, get};
use super::{chain, front, versioned, versioned_service, versions};

/// With instances that live long enough to go bad.
fn application() -> Plan {
    let long = "reuse = 1000000";
    chain(
        front().instances(long),
        versioned_service("middle").instances(long),
        versioned_service("leaf").instances(long),
    )
}

/// Requests without a pause, until it is told to stop; counts those that were not answered well.
struct Load {
    stop: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    failed: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn begin(host: &Host) -> Load {
        let mut load = Load {
            stop: Arc::default(),
            asked: Arc::default(),
            failed: Arc::default(),
            tasks: Vec::new(),
        };
        for _ in 0..4 {
            let mut connection = Connection::http1(host).await;
            let (stop, asked) = (load.stop.clone(), load.asked.clone());
            let failed = load.failed.clone();
            load.tasks.push(tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    let reply = connection.ask(get("/versions")).await;
                    asked.fetch_add(1, Ordering::Relaxed);
                    if reply.status != 200 {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }));
        }
        load.answered(400).await;
        load
    }

    /// Waits for so many more answers.
    async fn answered(&self, more: usize) {
        let until = self.asked.load(Ordering::Relaxed) + more;
        super::fixture::eventually("answers", async || {
            (self.asked.load(Ordering::Relaxed) >= until).then_some(())
        })
        .await;
    }

    /// How many were asked and how many failed.
    async fn end(self) -> (usize, usize) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        (
            self.asked.load(Ordering::Relaxed),
            self.failed.load(Ordering::Relaxed),
        )
    }
}

/// Deploys a version of that mode under load, and waits until it has been taken back.
async fn is_taken_back(mode: char, service: &str, evidence: &str) {
    let host = application().start().await;
    let load = Load::begin(&host).await;
    host.deploy(service, 2, mode).expect(0);
    let line = host.message("taken back").await;
    assert_eq!(
        (&line["service"], &line["revision"]),
        (&service.into(), &2.into()),
        "{line}"
    );
    assert!(
        line["message"].as_str().unwrap().contains(evidence),
        "{line}"
    );
    let row = host
        .until(service, "the first revision", |row| row["revision"] == 1)
        .await;
    assert_eq!(row["restarts"], 0, "it was kept warm: {row}");
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
    assert_eq!(host.status()["generation"], 3);
    load.answered(100).await;
    let (asked, failed) = load.end().await;
    println!("mode {mode}: {failed} of {asked} requests failed until it was taken back");
    assert!(failed < asked / 2, "{failed} of {asked} failed");
    // What was taken back is not what serves after the next start.
    let host = host.killed_and_started().await;
    assert_eq!(host.row(service)["revision"], 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_crashes_at_once_is_taken_back() {
    is_taken_back('1', "leaf", "crashes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_crashes_after_a_thousand_requests_is_taken_back() {
    is_taken_back('2', "middle", "crashes").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_leaks_is_taken_back() {
    // If it reaches its limit first, that is a crash.
    is_taken_back('3', "leaf", "").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_has_become_slow_is_taken_back() {
    is_taken_back('4', "leaf", "longer").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_answers_one_in_ten_with_an_error_is_taken_back() {
    is_taken_back('5', "front", "failed").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_as_good_as_before_stays() {
    let probation = r#"{ for = "3s" }"#;
    let plan = chain(
        front().set("probation", probation),
        versioned_service("middle").set("probation", probation),
        versioned_service("leaf").set("probation", probation),
    );
    let host = plan.start().await;
    let load = Load::begin(&host).await;
    for service in ["leaf", "front"] {
        host.deploy(service, 2, '0').expect(0);
    }
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    assert_eq!(load.end().await.1, 0);
    assert_eq!(versions(&host).await, [2, 1, 2, 2]);
    assert!(
        !host.log_text().contains("taken back"),
        "{}",
        host.log_text()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_together_goes_together() {
    let host = application().start().await;
    let load = Load::begin(&host).await;
    let parts = [("front", '5'), ("middle", '0'), ("leaf", '0')];
    for (name, mode) in parts {
        let file = host.directory().join(format!("{name}.wasm"));
        std::fs::write(file, versioned(name, 2, mode)).unwrap();
    }
    host.command("apply", &[]).expect(0);
    let line = host.message("taken back").await;
    assert_eq!(line["service"], "front", "{line}");
    for (name, _) in parts {
        host.until(name, "the first revision", |row| row["revision"] == 1)
            .await;
    }
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
    load.end().await;
    // Nobody has changed anything on disk since it was applied: what was taken back stays so.
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
    assert_eq!(host.status()["generation"], 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_trial_of_another_does_not_keep_what_is_bad() {
    let host = application().start().await;
    // What is good is known from before.
    Load::begin(&host).await.end().await;
    host.deploy("front", 2, '5').expect(0);
    let file = host.file("leaf", 2, '0');
    let arguments = ["leaf", file.to_str().unwrap(), "--shadow"];
    host.command("deploy", &arguments).expect(0);
    // Only now does anybody notice.
    let load = Load::begin(&host).await;
    let line = host.message("taken back").await;
    assert_eq!(line["service"], "front", "{line}");
    host.until("front", "the first revision", |row| row["revision"] == 1)
        .await;
    assert!(host.row("leaf")["candidate"].is_null());
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
    load.end().await;
}
