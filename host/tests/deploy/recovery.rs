//! What was acknowledged serves after whatever ended the host.

use std::path::PathBuf;
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

/// Each step of a deploy at which the host may be killed, and whether the deploy is done by then.
const STEPS: [(&str, bool); 14] = [
    ("durable::created", false),
    ("durable::written", false),
    ("durable::synced", false),
    ("durable::renamed", false),
    ("store::put", false),
    ("journal::begun", false),
    ("change::noted", false),
    ("change::built", false),
    ("change::proved", false),
    ("journal::committed", true),
    ("change::written-down", true),
    ("change::switched", true),
    ("journal::forgot", true),
    ("store::collect", true),
];

/// What is in the state directory beside the journal: whole components, and only those that a
/// generation names.
fn kept(host: &Host) -> Vec<String> {
    let kept = std::fs::read_dir(host.directory().join(".skep/components")).unwrap();
    let names = kept.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    names.collect()
}

/// A host in its place that ends at that step as soon as there is the file.
async fn to_be_killed_at(step: &str, host: Host) -> (Host, PathBuf) {
    let armed = host.directory().join("armed");
    let failpoint = format!("{step}:{}", armed.display());
    let variables = [("SKEP_FAILPOINT", failpoint.as_str())];
    (host.killed_and_started_with(&variables).await, armed)
}

#[tokio::test]
async fn killed_at_each_step_of_a_deploy_it_serves_the_old_or_the_new() {
    let mut host = application().start().await;
    let mut serves = 1;
    for (number, (step, done)) in (2..).zip(STEPS) {
        let armed;
        (host, armed) = to_be_killed_at(step, host).await;
        let whole = kept(&host).len();
        std::fs::write(&armed, "").unwrap();
        // What is collected is what nobody names: something has to lie about.
        let stray = host
            .directory()
            .join(".skep/components")
            .join(format!("{number:064x}.wasm"));
        if step == "store::collect" {
            std::fs::write(&stray, "stray").unwrap();
        }
        let said = host.deploy("leaf", number, '0');
        super::fixture::eventually("the host's end", async || {
            (!host.is_running()).then_some(())
        })
        .await;
        std::fs::remove_file(&armed).unwrap();
        host = host.killed_and_started().await;
        if done {
            serves = number;
        } else {
            assert_ne!(said.code, Some(0), "{step}: it was acknowledged");
            let said = "a deploy of `leaf` was under way";
            if step.starts_with("durable") || step == "store::put" {
                assert!(!host.log_text().contains(said), "{step}: nothing was noted");
            } else {
                host.message(said).await;
            }
        }
        assert_eq!(versions(&host).await[3], serves, "killed at {step}");
        let left = kept(&host);
        assert_eq!(left.len(), whole + usize::from(done), "{step}: {left:?}");
        assert!(
            left.iter().all(|name| !name.starts_with('.')),
            "{step}: {left:?}"
        );
    }
}

#[tokio::test]
async fn killed_in_the_midst_of_a_rollback_and_of_an_apply_it_serves_one_or_the_other() {
    let mut host = application().start().await;
    host.deploy("leaf", 2, '0').expect(0);
    for (step, leaf) in [("change::proved", 2), ("journal::committed", 1)] {
        let armed;
        (host, armed) = to_be_killed_at(step, host).await;
        std::fs::write(&armed, "").unwrap();
        host.command("rollback", &["leaf", "--to", "1"]);
        std::fs::remove_file(&armed).unwrap();
        host = host.killed_and_started().await;
        assert_eq!(
            versions(&host).await,
            [1, 1, leaf, leaf],
            "killed at {step}"
        );
    }
    for (step, version) in [("change::proved", 1), ("journal::committed", 3)] {
        let armed;
        (host, armed) = to_be_killed_at(step, host).await;
        let files = ["front", "middle", "leaf"].map(|name| {
            let file = host.directory().join(format!("{name}.wasm"));
            (name, std::fs::read(&file).unwrap(), file)
        });
        for (name, _, file) in &files {
            std::fs::write(file, versioned(name, 3, '0')).unwrap();
        }
        std::fs::write(&armed, "").unwrap();
        host.command("apply", &[]);
        std::fs::remove_file(&armed).unwrap();
        if version == 1 {
            // What was not applied is not to be taken from disk at the next start.
            for (_, bytes, file) in &files {
                std::fs::write(file, bytes).unwrap();
            }
        }
        host = host.killed_and_started().await;
        assert_eq!(versions(&host).await, [version; 4], "killed at {step}");
    }
}
