//! How `skep dev` begins, also where there is nothing to begin with.

use super::fixture::{Output, eventually};
use super::{Host, application, develop, lines, save, skep, versioned, versions};

#[tokio::test]
async fn what_cannot_be_built_yet_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let plan = application().file("leaf/make", "echo 'no leaf yet'; false");
    plan.write(directory.path());
    let path = directory.path().to_owned();
    let mend = async {
        let builds = || lines(&path.join(super::BUILDS));
        eventually("builds", async || (builds().len() == 3).then_some(())).await;
        save(&path.join("front/note"), "");
        eventually("front", async || (builds().len() == 4).then_some(())).await;
        save(&path.join("leaf/make"), "cp leaf/source leaf.wasm");
    };
    let (host, ()) = tokio::join!(develop(directory), mend);
    assert_eq!(versions(&host).await, "1 1 1 1");
    for text in [
        "no leaf yet",
        "the build of leaf failed: exit status: 1",
        "component of `leaf`",
        "nothing serves yet; waiting for a change",
    ] {
        host.said(text, 1).await;
    }
    host.save_version("leaf", 2);
    host.said("revision 2 serves", 1).await;
}

#[tokio::test]
async fn a_build_that_fails_at_the_start_leaves_the_component_that_is_there() {
    let plan = application().file("leaf/make", "false");
    let host = plan
        .bytes("leaf.wasm", versioned("leaf", 7, '0'))
        .develop()
        .await;
    host.said("the build of leaf failed", 1).await;
    assert_eq!(versions(&host).await, "1 1 7 7");
}

#[tokio::test]
async fn what_lies_on_disk_serves_whatever_was_deployed_from_elsewhere() {
    let host = application().develop().await;
    let elsewhere = host.directory().join("elsewhere");
    std::fs::write(&elsewhere, versioned("leaf", 5, '0')).unwrap();
    let mut deploy = skep();
    deploy
        .args(["deploy", "leaf"])
        .arg(elsewhere)
        .arg(host.manifest());
    Output::of(&mut deploy).expect(0);
    assert_eq!(versions(&host).await, "1 1 5 5");

    let host = host.killed_and_started_as("dev", &[]).await;
    host.said("leaf: revision 2 → 3", 1).await;
    assert_eq!(versions(&host).await, "1 1 1 1");
}

#[tokio::test]
async fn what_was_developed_is_what_runs() {
    let host = application().develop().await;
    host.save_version("leaf", 2);
    host.said("revision 2 serves", 1).await;
    let host: Host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, "1 1 2 2");
    assert_eq!(host.revision("leaf"), 2);
    // And what lies there then is taken for what somebody has put there.
    host.save("leaf.wasm", versioned("leaf", 1, '0'));
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, "1 1 1 1");
}

#[tokio::test]
async fn a_manifest_that_is_not_there_is_an_error() {
    let output = Output::of(skep().args(["dev", "/nowhere/skep.toml"]));
    output
        .expect(3)
        .says(&["cannot read the manifest /nowhere/skep.toml"]);
}
