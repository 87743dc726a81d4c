//! A trial: what is new serves a share of the requests, until it is promoted, aborted or found bad.

use http::HeaderValue;

use super::fixture::{Connection, Host, eventually, get};
use super::{application, numbers, versioned, versions};

/// Puts version 2 of a service on trial.
fn try_out(host: &Host, service: &str, mode: char, arguments: &[&str]) -> super::Output {
    let file = host.file(service, 2, mode);
    let mut all = vec![service, file.to_str().unwrap()];
    all.extend(arguments);
    // The options come before the manifest.
    host.command("deploy", &all)
}

/// How many of so many requests saw version 2 of the leaf. None sees both.
pub(super) async fn on_trial(host: &Host, requests: usize) -> usize {
    let mut connection = Connection::http1(host).await;
    let mut tried = 0;
    for _ in 0..requests {
        match numbers(connection.ask(get("/versions")).await)[..] {
            [1, 1, 1, 1] => {}
            [1, 1, 2, 2] => tried += 1,
            ref mixed => panic!("{mixed:?}"),
        }
    }
    tried
}

/// What a client sees whose requests have this field.
async fn seen(connection: &mut Connection, name: &'static str, value: &str) -> u32 {
    let mut request = get("/versions");
    let value = HeaderValue::from_str(value).unwrap();
    request.headers_mut().insert(name, value);
    numbers(connection.ask(request).await)[3]
}

#[tokio::test]
async fn what_is_on_trial_serves_its_share_and_then_all_or_none() {
    let host = application().start().await;
    let said = try_out(&host, "leaf", '0', &["--canary", "20%"]).expect(0);
    said.prints(&[
        "leaf: revision 1 → 2",
        "on trial with 20%",
        "generation 1 serves the others",
    ]);
    let tried = on_trial(&host, 1000).await;
    // Seven standard deviations of a draw.
    assert!((110..290).contains(&tried), "{tried} of 1000");
    let row = host.row("leaf");
    assert_eq!(row["candidate"]["revision"], 2, "{row}");
    assert_eq!(row["candidate"]["share"], "20%", "{row}");
    host.command("ps", &[])
        .expect(0)
        .prints(&["revision 2 is on trial with 20%"]);
    // Nothing else changes meanwhile.
    let other = host.deploy("front", 2, '0').expect(1);
    other.says(&["revision 2 of `leaf` is on trial", "skep promote"]);
    host.command("promote", &["--to", "60%"])
        .expect(0)
        .prints(&["60%"]);
    let tried = on_trial(&host, 1000).await;
    assert!((490..710).contains(&tried), "{tried} of 1000");
    let promoted = host.command("promote", &[]).expect(0);
    promoted.prints(&["leaf: revision 1 → 2", "generation 2 serves"]);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    assert_eq!(on_trial(&host, 100).await, 100);
    host.command("promote", &[])
        .expect(1)
        .says(&["nothing is on trial"]);
    // It is acknowledged.
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
}

#[tokio::test]
async fn what_is_aborted_or_was_on_trial_when_the_host_died_serves_no_more() {
    let host = application().start().await;
    try_out(&host, "leaf", '0', &["--canary", "50%"]).expect(0);
    assert!(on_trial(&host, 100).await > 0);
    let aborted = host.command("abort", &[]).expect(0);
    aborted.prints(&[
        "leaf: revision 2 is not on trial any more",
        "generation 1 serves all",
    ]);
    assert_eq!(on_trial(&host, 100).await, 0);
    host.command("abort", &[])
        .expect(1)
        .says(&["nothing is on trial"]);
    // The number of a revision is never given twice.
    let said = try_out(&host, "leaf", '0', &["--canary", "50%", "--json"]).expect(0);
    let tried: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(tried["services"][0]["to"], 3, "{tried}");
    assert_eq!(tried["share"], "50%", "{tried}");
    let host = host.killed_and_started().await;
    assert_eq!(on_trial(&host, 100).await, 0);
    assert!(host.row("leaf")["candidate"].is_null());
}

#[tokio::test]
async fn a_client_stays_where_it_is() {
    for (sticky, name) in [("header:x-user", "x-user"), ("cookie:session", "cookie")] {
        let host = application().start().await;
        try_out(&host, "leaf", '0', &["--canary", "50%", "--sticky", sticky]).expect(0);
        let mut connection = Connection::http1(&host).await;
        let mut all = [0, 0];
        let mut first = Vec::new();
        for round in 0..3 {
            for user in 0..40 {
                let value = match name {
                    "cookie" => format!("theme=dark; session=user-{user}"),
                    _ => format!("user-{user}"),
                };
                let version = seen(&mut connection, name, &value).await;
                match round {
                    0 => {
                        all[version as usize - 1] += 1;
                        first.push(version);
                    }
                    _ => assert_eq!(version, first[user], "{sticky}, user {user}"),
                }
            }
        }
        assert!(all[0] > 4 && all[1] > 4, "{sticky}: {all:?}");
        // Whoever was in goes on to be when more come in.
        host.command("promote", &["--to", "75%"]).expect(0);
        for (user, version) in first
            .iter()
            .enumerate()
            .filter(|(_, version)| **version == 2)
        {
            let value = match name {
                "cookie" => format!("session=user-{user}"),
                _ => format!("user-{user}"),
            };
            assert_eq!(seen(&mut connection, name, &value).await, *version);
        }
    }
}

#[tokio::test]
async fn step_by_step_it_comes_to_serve_all() {
    let host = application().start().await;
    let steps = ["--canary", "5%,50%,100%", "--pause", "300ms"];
    try_out(&host, "leaf", '0', &steps)
        .expect(0)
        .prints(&["on trial with 5%"]);
    eventually("the second step", async || {
        (host.row("leaf")["candidate"]["share"] == "50%").then_some(())
    })
    .await;
    eventually("the last step", async || {
        (host.status()["generation"] == 2).then_some(())
    })
    .await;
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    let said = host.command("events", &[]).expect(0);
    said.prints(&[
        "on trial with 5%",
        "on trial with 50%",
        "generation 2 serves",
    ]);
    // Whoever sets a share, or ends the trial, is not overtaken by a step.
    let file = host.file("leaf", 3, '0');
    let steps = [&["leaf", file.to_str().unwrap()][..], &steps].concat();
    host.command("deploy", &steps).expect(0);
    host.command("promote", &["--to", "6%"]).expect(0);
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(host.row("leaf")["candidate"]["share"], "6%");
    host.command("abort", &[]).expect(0);
    host.command("deploy", &steps).expect(0);
    host.command("abort", &[]).expect(0);
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    assert_eq!(host.status()["generation"], 2);
}

#[tokio::test]
async fn what_is_bad_on_trial_is_taken_back_and_costs_its_share_at_most() {
    let host = application().start().await;
    try_out(&host, "leaf", '1', &["--canary", "10%"]).expect(0);
    let mut connection = Connection::http1(&host).await;
    let (mut asked, mut failed) = (0_u32, 0_u32);
    while host.row("leaf")["candidate"]["revision"] == 2 {
        for _ in 0..20 {
            asked += 1;
            failed += u32::from(connection.ask(get("/versions")).await.status != 200);
        }
        assert!(asked < 100_000, "it is never taken back");
    }
    println!("{failed} of {asked} requests failed until it was taken back");
    assert!(failed > 0 && failed * 4 < asked, "{failed} of {asked}");
    assert_eq!(on_trial(&host, 200).await, 0);
    assert_eq!(host.status()["generation"], 1);
    let said = host.command("events", &[]).expect(0);
    said.prints(&["was on trial and is bad", "crashes"]);
}

#[tokio::test]
async fn what_cannot_be_tried_is_refused() {
    let host = application().start().await;
    let usage = |arguments: &[&str]| try_out(&host, "leaf", '0', arguments).expect(2);
    usage(&["--canary", "0%"]).says(&["is no share"]);
    usage(&["--canary", "5%,5%"]).says(&["larger than the one before"]);
    usage(&["--canary", "5%", "--sticky", "ip"]).says(&["header:NAME"]);
    usage(&["--pause", "5s"]).says(&["--canary"]);
    let broken = host.directory().join("broken.wasm");
    std::fs::write(&broken, versioned("leaf-changed", 2, '0')).unwrap();
    let arguments = ["leaf", broken.to_str().unwrap(), "--canary", "5%"];
    host.command("deploy", &arguments).expect(3);
    assert!(host.row("leaf")["candidate"].is_null());
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
}
