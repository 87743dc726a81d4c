//! What served and what happened can be read later.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::fixture::{Connection, Host, eventually, get};
use super::{application, chain, front, skep, versioned_service};

fn events(host: &Host) -> Vec<Value> {
    let said = host.command("events", &["--json", "-n", "1000"]).expect(0);
    let lines = said.stdout.lines();
    lines
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[tokio::test]
async fn generations_are_listed_with_what_led_to_them() {
    let front = front()
        .health(r#"path = "/healthz""#)
        .restart(r#"backoff = "10s..10s""#);
    let plan = chain(
        front,
        versioned_service("middle"),
        versioned_service("leaf"),
    );
    let host = plan.start().await;
    host.deploy("leaf", 2, '0').expect(0);
    host.deploy("front", 2, '1').expect(5);
    host.command("rollback", &["leaf"]).expect(0);
    let said = host.command("history", &[]).expect(0);
    said.prints(&[
        "    3  ",
        "rollback of leaf: asked for  serves",
        "leaf: revision 2 → 1",
        "deploy of leaf",
        "leaf: revision 1 → 2",
        "    1  ",
        "start",
    ]);
    let said = host.command("history", &["--json", "-n", "2"]).expect(0);
    let all: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(all.as_array().unwrap().len(), 2, "{all}");
    assert_eq!(all[0]["generation"], 3, "{all}");
    assert_eq!(all[0]["active"], true, "{all}");
    assert_eq!(all[1]["services"]["leaf"]["revision"], 2, "{all}");
    let kinds: Vec<String> = events(&host)
        .iter()
        .map(|event| event["kind"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(kinds, ["started", "deployed", "refused", "rolled-back"]);
    // It outlives the host.
    let host = host.killed_and_started().await;
    host.command("history", &[])
        .expect(0)
        .prints(&["rollback of leaf"]);
}

#[tokio::test]
async fn whoever_follows_is_told_of_what_happens() {
    let host = application().start().await;
    let mut command = skep();
    command
        .args(["events", "--follow", "--json"])
        .arg(host.manifest());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (told, hear) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        for line in lines.map_while(Result::ok) {
            let event: Value = serde_json::from_str(&line).unwrap();
            if told.send(event).is_err() {
                return;
            }
        }
    });
    let next = || hear.recv_timeout(super::fixture::PATIENCE).unwrap();
    assert_eq!(next()["kind"], "started");
    for version in 2..5 {
        host.deploy("leaf", version, '0').expect(0);
        let event = next();
        assert_eq!(event["kind"], "deployed", "{event}");
        assert_eq!(event["revision"], version, "{event}");
        assert_eq!(event["sequence"], version, "{event}");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
}

#[tokio::test]
async fn crashes_and_services_that_are_given_up_are_told_and_evidence_is_kept() {
    let restart = "max = 1, backoff = \"10ms..10ms\"";
    let plan = chain(
        front(),
        versioned_service("middle"),
        versioned_service("leaf")
            .set("probation", r#"{ for = "0s" }"#)
            .restart(restart),
    );
    let host = plan.start().await;
    host.deploy("leaf", 2, '1').expect(0);
    let mut connection = Connection::http1(&host).await;
    let found = eventually("a service that was given up", async || {
        connection.ask(get("/versions")).await;
        let events = events(&host);
        events
            .iter()
            .any(|event| event["kind"] == "parked")
            .then_some(events)
    })
    .await;
    let of = |kind: &str| found.iter().find(|event| event["kind"] == kind).unwrap();
    assert_eq!(of("crashed")["service"], "leaf");
    assert!(of("crashed")["evidence"]["crashes"].as_u64().unwrap() > 0);
    assert_eq!(of("parked")["revision"], 2);
    assert!(
        of("parked")["text"]
            .as_str()
            .unwrap()
            .contains("skep restart leaf")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_taken_back_says_why_in_figures() {
    let host = application().start().await;
    host.deploy("leaf", 2, '1').expect(0);
    let mut connection = Connection::http1(&host).await;
    let taken_back = eventually("a rollback", async || {
        connection.ask(get("/versions")).await;
        events(&host)
            .into_iter()
            .find(|event| event["kind"] == "rolled-back")
    })
    .await;
    assert_eq!(taken_back["service"], "leaf", "{taken_back}");
    assert!(taken_back["evidence"]["found"].is_object(), "{taken_back}");
    host.command("history", &[])
        .expect(0)
        .prints(&["rollback of leaf: ", "crashes"]);
}
