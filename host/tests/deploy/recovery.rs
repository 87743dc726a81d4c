//! What was acknowledged serves after whatever ended the host.

use std::time::Duration;

use super::fixture::{Host, Output, skep};
use super::{application, versioned, versions};

/// The leaf's revision, and the generation.
fn stands(host: &Host) -> (u64, u64) {
    let revision = host.row("leaf")["revision"].as_u64().unwrap();
    (revision, host.status()["generation"].as_u64().unwrap())
}

#[tokio::test]
async fn what_was_deployed_serves_after_the_host_was_killed() {
    let host = application().start().await;
    host.deploy("leaf", 2, '0').expect(0);
    host.deploy("middle", 3, '0').expect(0);
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 3, 2, 2]);
    assert_eq!(stands(&host), (2, 3));
    // And so does what one goes back to.
    host.command("rollback", &["leaf"]).expect(0);
    assert_eq!(stands(&host), (1, 4));
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 3, 1, 1]);
    assert_eq!(stands(&host), (1, 4));
    host.deploy("leaf", 5, '0').expect(0);
    assert_eq!(stands(&host), (3, 5), "no number is used again");
}

#[tokio::test]
async fn it_does_not_need_the_files_that_it_was_deployed_from() {
    let host = application().start().await;
    host.deploy("leaf", 2, '0').expect(0);
    for name in ["front.wasm", "middle.wasm", "leaf.wasm"] {
        std::fs::remove_file(host.directory().join(name)).unwrap();
    }
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    assert_eq!(stands(&host), (2, 2));
}

#[tokio::test]
async fn what_was_changed_on_disk_meanwhile_is_taken_and_nothing_else() {
    let host = application().start().await;
    host.deploy("leaf", 2, '0').expect(0);
    host.deploy("middle", 2, '0').expect(0);
    let built = host.directory().join("middle.wasm");
    std::fs::write(built, versioned("middle", 7, '0')).unwrap();
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    let more = "[service.leaf.limits]\nmemory = \"32MiB\"\n";
    std::fs::write(host.manifest(), format!("{manifest}{more}")).unwrap();
    let host = host.killed_and_started().await;
    // The middle was built anew; of the leaf only a limit is another.
    assert_eq!(versions(&host).await, [1, 7, 2, 2]);
    assert_eq!(stands(&host), (3, 4));
    let line = host.message("new settings: limits.memory").await;
    assert_eq!(line["service"], "leaf", "{line}");
    // It is written down like any other change.
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 7, 2, 2]);
    assert_eq!(stands(&host), (3, 4));
}

#[tokio::test]
async fn one_can_go_back_to_any_revision_that_is_kept() {
    let host = application().start().await;
    for version in 2..5 {
        host.deploy("leaf", version, '0').expect(0);
    }
    host.command("rollback", &["leaf", "--to", "2"]).expect(0);
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    assert_eq!(stands(&host), (2, 5));
    let host = host.killed_and_started().await;
    host.command("rollback", &["leaf", "--to", "1"]).expect(0);
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
    let said = host.command("rollback", &["leaf", "--to", "9"]);
    said.expect(1).says(&["`leaf` has no revision 9 any more"]);
}

#[tokio::test]
async fn one_directory_is_of_one_host() {
    let host = application().start().await;
    let mut second = skep();
    second
        .arg("run")
        .arg(host.manifest())
        .args(["--listen", "127.0.0.1:0"]);
    let id = host.id().to_string();
    Output::of(&mut second)
        .expect(1)
        .says(&["another skep", &id, "host.state"]);
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
}

/// Deploys until the host is gone; answers the last version that was acknowledged, and the one that
/// was under way.
async fn deploy_until_killed(host: Host, after: Duration) -> (Host, u32, u32) {
    let directory = host.directory().to_owned();
    let first = 10;
    let deployer = tokio::task::spawn_blocking(move || {
        let mut acknowledged = None;
        for version in first.. {
            let file = directory.join("next.wasm");
            std::fs::write(&file, versioned("leaf", version, '0')).unwrap();
            let mut deploy = skep();
            deploy
                .args(["deploy", "leaf"])
                .arg(file)
                .arg(directory.join("skep.toml"));
            if Output::of(&mut deploy).code != Some(0) {
                return (acknowledged, version);
            }
            acknowledged = Some(version);
        }
        unreachable!("the host is killed")
    });
    tokio::time::sleep(after).await;
    let before = versions(&host).await[3];
    host.signal(libc::SIGKILL);
    let (acknowledged, under_way) = deployer.await.unwrap();
    let host = host.killed_and_started().await;
    (host, acknowledged.unwrap_or(before), under_way)
}

#[tokio::test]
async fn killed_at_any_instant_it_serves_what_was_acknowledged() {
    let mut host = application().start().await;
    // Components are compiled before, so that a round takes no second.
    let times = std::env::var("SKEP_KILLS").map_or(8, |kills| kills.parse().unwrap());
    for round in 0..times {
        let after = Duration::from_millis(20 + (round * 37) % 200);
        let (started, acknowledged, under_way) = deploy_until_killed(host, after).await;
        let serves = versions(&started).await[3];
        assert!(
            serves == acknowledged || serves == under_way,
            "{serves} serves; {acknowledged} was acknowledged and {under_way} under way"
        );
        let kept = std::fs::read_dir(started.directory().join(".skep/components")).unwrap();
        let names: Vec<_> = kept.map(|entry| entry.unwrap().file_name()).collect();
        assert!(
            names
                .iter()
                .all(|name| !name.to_string_lossy().starts_with('.')),
            "something half-written is left: {names:?}"
        );
        host = started;
    }
}
