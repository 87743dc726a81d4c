//! What served and what happened can be read later.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use serde_json::Value;

use super::fixture::{Connection, Host, eventually, get, guest};
use super::{application, asked_for, chain, front, skep, versioned_service};

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
async fn what_does_not_fit_is_told_with_its_first_mistake() {
    let host = application().start().await;
    let changed = guest("versioned-leaf-changed");
    let changed = changed.to_str().unwrap();
    host.command("deploy", &["leaf", changed]).expect(3);
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    // The command looks itself; what is told is what the host has seen.
    let socket = host.directory().join(".skep/control.sock");
    let asked = serde_json::json!({ "manifest": host.manifest() }).to_string();
    let apply = || asked_for(&socket, "/v1/apply", asked.as_bytes());
    let long = "x".repeat(10_000);
    let mistaken = format!("{manifest}[service.leaf.limits]\n{long} = 1\nmemry = 2\n");
    std::fs::write(host.manifest(), mistaken).unwrap();
    assert!(apply().starts_with("HTTP/1.0 422 "));
    let other = manifest.replace("[http]", "[http]\nlisten = \"127.0.0.1:1\"");
    std::fs::write(host.manifest(), other).unwrap();
    assert!(apply().starts_with("HTTP/1.0 422 "));
    let answer = asked_for(&socket, "/v1/services/leaf/deploy", b"no component");
    assert!(answer.starts_with("HTTP/1.0 422 "), "{answer}");
    // Who asks for what there is not, or is late, is told alone.
    host.command("deploy", &["nobody", changed]).expect(1);
    host.command("rollback", &["leaf", "--to", "7"]).expect(1);

    let events = events(&host);
    let refused: Vec<&Value> = events.iter().skip(1).collect();
    let texts: Vec<&str> = refused
        .iter()
        .map(|event| event["text"].as_str().unwrap())
        .collect();
    assert!(
        refused.iter().all(|event| event["kind"] == "refused"),
        "{texts:?}"
    );
    let begins = [
        "a deploy of `leaf` was refused at the check: ",
        "the manifest was refused at the check: ",
        "the manifest was refused at the check: http.listen cannot change while the host runs",
        "a deploy of `leaf` was refused at the check: ",
    ];
    assert_eq!(texts.len(), begins.len(), "{texts:?}");
    for (text, begins) in texts.iter().zip(begins) {
        assert!(text.starts_with(begins), "{text}");
        assert!(text.len() <= 4096, "it is as long as what was wrong");
    }
    assert!(
        texts[0].contains("fixture:versions/leaf@0.1.0"),
        "{}",
        texts[0]
    );
    let first = &refused[0]["evidence"]["first"]["message"];
    assert!(texts[0].contains(first.as_str().unwrap()), "{}", refused[0]);
    assert_eq!(refused[0]["service"], "leaf");
    assert!(
        texts[3].contains("the component that was sent"),
        "{}",
        texts[3]
    );
    host.command("events", &[]).expect(0).prints(&[" refused "]);
    assert_eq!(host.status()["generation"], 1);
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
