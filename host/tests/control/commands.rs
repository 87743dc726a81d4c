//! The commands that give orders, as people use them.

use super::fixture::{Host, Output, service, skep};

fn run(host: &Host, arguments: &[&str]) -> Output {
    Output::of(skep().args(arguments).arg(host.manifest()))
}

#[tokio::test]
async fn a_service_is_stopped_and_started_and_the_others_serve_on() {
    let host = Host::with(service("probe").routes(&["/count"]))
        .and(service("other").component("hello").everywhere())
        .start()
        .await;
    host.get("/count").await.expect(200);
    let said = run(&host, &["stop", "probe"]).expect(0);
    assert!(
        said.stdout.contains("probe is being stopped"),
        "{}",
        said.stdout
    );
    let row = host.phase("probe", "stopped").await;
    assert_eq!(
        row["phase"]["cause"]["message"], "stopped by the operator",
        "{row}"
    );
    host.get("/count").await.expect(503);
    host.get("/").await.expect(200);

    let said = run(&host, &["start", "probe", "--json"]).expect(0);
    let given: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(
        given,
        serde_json::json!({ "service": "probe", "order": "start" })
    );
    host.phase("probe", "ready").await;
    host.get("/count").await.expect(200);
    // Nothing happens to one that runs.
    run(&host, &["start", "probe"]).expect(0);
    host.get("/count").await.expect(200);
    assert_eq!(host.row("probe")["restarts"], 1);
    run(&host, &["stop", "nobody"]).expect(1).says(&["nobody"]);
}
