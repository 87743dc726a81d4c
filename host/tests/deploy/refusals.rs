//! What does not fit, does not start or comes too late changes nothing.

use super::fixture::{guest, skep};
use super::{Output, application, front, versioned, versions};
use crate::fixture::{Host, service};

/// It says so, and what served serves on.
async fn refused(host: &Host, said: Output, code: i32, texts: &[&str]) {
    said.expect(code)
        .says(texts)
        .says(&["What served before serves on"]);
    assert_eq!(versions(host).await, [1, 1, 1, 1]);
    assert_eq!(host.status()["generation"], 1);
}

#[tokio::test]
async fn a_contract_that_its_callers_do_not_fit_is_refused() {
    let host = application().start().await;
    let changed = guest("versioned-leaf-changed");
    let said = host.command("deploy", &["leaf", changed.to_str().unwrap()]);
    refused(
        &host,
        said,
        3,
        &[
            "refused at the check",
            "leaf: `version` of fixture:versions/leaf@0.1.0 has a new parameter `limit: u32`, used by \
             front r1, middle r1",
        ],
    )
    .await;
    // Nor one that has no such interface at all.
    let other = guest("versioned-middle");
    let said = host.command("deploy", &["leaf", other.to_str().unwrap()]);
    let gone =
        "leaf: does not export fixture:versions/leaf@0.1.0 any more, used by front r1, middle r1";
    refused(&host, said, 3, &[gone]).await;
}

#[tokio::test]
async fn what_wants_a_grant_that_it_has_not_is_refused() {
    let host = application().start().await;
    let fetcher = guest("fetcher");
    let said = host.command("deploy", &["front", fetcher.to_str().unwrap()]);
    let wants = "front: now wants wasi:http/outgoing-handler@";
    refused(&host, said, 3, &[wants, "grants"]).await;
}

#[tokio::test]
async fn what_does_not_become_ready_is_refused() {
    let front = front()
        .health(r#"path = "/healthz""#)
        .restart(r#"backoff = "10s..10s""#);
    let host = super::chain(
        front,
        super::versioned_service("middle"),
        super::versioned_service("leaf"),
    );
    let host = host.start().await;
    let said = host.deploy("front", 2, '1');
    refused(
        &host,
        said,
        5,
        &[
            "refused at its start",
            "revision 2 of `front`",
            "health check",
        ],
    )
    .await;
    // It is not tried again and again, and nothing of it stays.
    host.message("its deploy has been refused").await;
    let row = host.row("front");
    assert_eq!(row["revision"], 1, "{row}");
    assert_eq!(row["phase"]["name"], "ready", "{row}");
    host.deploy("front", 3, '0').expect(0);
    assert_eq!(versions(&host).await, [3, 1, 1, 1]);
}

#[tokio::test]
async fn what_is_no_component_and_services_that_are_not_there_are_told() {
    let host = application().start().await;
    let manifest = host.manifest();
    let said = host.command("deploy", &["leaf", manifest.to_str().unwrap()]);
    said.expect(3).says(&["not WebAssembly", "skep.toml"]);
    let leaf = host.file("leaf", 2, '0');
    let said = host.command("deploy", &["cart", leaf.to_str().unwrap()]);
    said.expect(1).says(&["there is no service `cart`"]);
    let said = host.command("rollback", &["leaf"]);
    said.expect(1).says(&["leaf", "no earlier revision"]);
    assert_eq!(host.status()["generation"], 1);
}

#[tokio::test]
async fn of_two_operators_the_second_is_told() {
    let host = application().start().await;
    let leaf = host.file("leaf", 2, '0');
    let leaf = leaf.to_str().unwrap();
    host.command("deploy", &["leaf", leaf, "--if-generation", "1"])
        .expect(0);
    let middle = host.file("middle", 2, '0');
    let said = host.command(
        "deploy",
        &["middle", middle.to_str().unwrap(), "--if-generation", "1"],
    );
    said.expect(6).says(&["generation 2 serves, and not 1"]);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
}

#[tokio::test]
async fn what_only_a_new_start_can_change_is_refused() {
    let host = application().start().await;
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    let other = manifest.replace("[http]", "[http]\nlisten = \"127.0.0.1:1\"");
    std::fs::write(host.manifest(), other).unwrap();
    let said = host.command("apply", &[]);
    refused(&host, said, 3, &["http.listen", "start it anew"]).await;
}

#[tokio::test]
async fn a_manifest_with_mistakes_changes_nothing() {
    let host = application().start().await;
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    std::fs::write(
        host.manifest(),
        format!("{manifest}\n[service.leaf.limit]\n"),
    )
    .unwrap();
    let said = host.command("apply", &[]).expect(3);
    said.says(&["skep.toml", "limit"]);
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
}

#[tokio::test]
async fn without_a_host_a_deploy_says_so() {
    let plan = Host::with(service("probe").everywhere());
    let directory = tempfile::tempdir().unwrap();
    let manifest = plan.write(directory.path());
    let component = directory.path().join("c.wasm");
    std::fs::write(&component, versioned("leaf", 1, '0')).unwrap();
    let mut command = skep();
    command
        .arg("deploy")
        .arg("probe")
        .arg(component)
        .arg(manifest);
    Output::of(&mut command)
        .expect(1)
        .says(&["no host answers"]);
}

#[tokio::test]
async fn a_host_that_is_to_stop_does_not_wait_for_what_is_being_proved() {
    let mut host = application()
        .http("drain-timeout = \"500ms\"")
        .start()
        .await;
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    let health = "[service.front.health]\npath = \"/wait/60000\"\ntimeout = \"30s\"\n";
    std::fs::write(host.manifest(), format!("{manifest}{health}")).unwrap();
    let mut apply = skep();
    apply.arg("apply").arg(host.manifest());
    let applied = tokio::task::spawn_blocking(move || Output::of(&mut apply));
    // Time for its candidate to be asked for its health, which takes half a minute.
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    host.terminate();
    let ended = tokio::time::timeout(std::time::Duration::from_secs(15), host.exit_code());
    assert_eq!(ended.await, Ok(Some(0)), "it waits");
    assert_ne!(applied.await.unwrap().code, Some(0), "it was acknowledged");
    std::fs::write(host.manifest(), &manifest).unwrap();
    let host = host.killed_and_started().await;
    assert_eq!(host.row("front")["revision"], 1);
}
