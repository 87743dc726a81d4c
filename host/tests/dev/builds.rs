//! What is changed is built and serves.

use super::fixture::eventually;
use super::{Host, application, application_with, made, service, versioned, versions};

#[tokio::test]
async fn of_a_pattern_only_what_fits_it_is_built() {
    let build = "{ command = \"echo leaf >> builds; cp leaf/source leaf.wasm\", \
        watch = [\"leaf/**/*.rs\", \"*.lock\"] }";
    let leaf = service("leaf").component("./leaf.wasm").set("build", build);
    let host = application_with(leaf).develop().await;
    // What does not fit, and then what does: the first has led to nothing.
    host.save("leaf/notes.txt", "not watched");
    host.save_version("leaf", 2);
    host.save("leaf/deep/down/lib.rs", "one");
    host.said("revision 2 serves", 1).await;
    host.save_version("leaf", 3);
    host.save("some.lock", "two");
    host.said("revision 3 serves", 1).await;
    assert_eq!(versions(&host).await, "1 1 3 3");
    let built = host.built();
    let leaf = built.iter().filter(|service| *service == "leaf");
    assert_eq!(leaf.count(), 3, "{built:?}");
}

#[tokio::test]
async fn only_what_was_touched_is_built_and_swapped() {
    let host = application().develop().await;
    assert_eq!(versions(&host).await, "1 1 1 1");
    assert_eq!(host.built(), ["front", "leaf", "middle"]);

    host.save_version("leaf", 2);
    let said = host.said("leaf built in", 2).await;
    assert!(
        said[1].contains(" s, revision 2 serves after 0."),
        "{said:?}"
    );
    assert_eq!(versions(&host).await, "1 1 2 2");
    assert_eq!(host.built()[3..], ["leaf"]);
    for (service, revision) in [("front", 1), ("middle", 1), ("leaf", 2)] {
        let row = host.row(service);
        assert_eq!(
            (&row["revision"], &row["restarts"]),
            (&revision.into(), &0.into()),
            "{row}"
        );
    }
    assert_eq!(host.status()["generation"], 2);
}

#[tokio::test]
async fn a_build_that_fails_is_shown_and_what_served_serves_on() {
    let host = application().develop().await;
    host.save("leaf/make", "echo 'leaf.c:7: no such thing'; false");
    host.said("the build of leaf failed: exit status: 1", 1)
        .await;
    let stderr = host.stderr();
    let at = |text: &str| stderr.iter().position(|line| line == text);
    assert!(at("leaf.c:7: no such thing").is_some(), "{stderr:?}");
    assert!(at("What served before serves on.").is_some(), "{stderr:?}");
    assert_eq!(versions(&host).await, "1 1 1 1");
    assert_eq!(host.status()["generation"], 1);

    // What a build says that does not fail is of no interest.
    host.save("leaf/source", versioned("leaf", 2, '0'));
    host.save(
        "leaf/make",
        "echo 'compiling leaf'; cp leaf/source leaf.wasm",
    );
    host.said("revision 2 serves", 1).await;
    assert_eq!(versions(&host).await, "1 1 2 2");
    assert!(!host.stderr().contains(&"compiling leaf".to_owned()));
}

#[tokio::test]
async fn what_changes_during_a_build_is_built_after_it() {
    let host = application().develop().await;
    let script = "cp leaf/source next; echo copied >> copies; \
        until test -e go; do sleep 0.02; done; rm go; mv next leaf.wasm";
    let copies = || super::lines(&host.directory().join("copies")).len();
    let copied = async |times: usize| {
        eventually("a build", async || (copies() == times).then_some(())).await;
    };
    host.save("leaf/make", script);
    copied(1).await;
    // Twice: the latest counts.
    host.save_version("leaf", 2);
    host.save_version("leaf", 3);
    host.save("go", "");
    copied(2).await;
    host.said("nothing new", 1).await;
    host.save_version("leaf", 4);
    host.save("go", "");
    copied(3).await;
    host.said("revision 2 serves", 1).await;
    assert_eq!(versions(&host).await, "1 1 3 3");
    host.save("go", "");
    host.said("revision 3 serves", 1).await;
    assert_eq!(versions(&host).await, "1 1 4 4");
    assert_eq!(copies(), 3);
}

#[tokio::test]
async fn a_build_that_makes_the_same_is_no_change_and_a_file_saved_as_it_was_none_either() {
    let host = application().develop().await;
    host.save("leaf/note", "nothing that matters");
    host.said("leaf built in", 2).await;
    let said = host.said("nothing new", 1).await;
    assert!(said[0].starts_with("leaf built in "), "{said:?}");
    assert_eq!(host.status()["generation"], 1);

    // Neither leads to a build: the middle's comes next.
    host.save("leaf/note", "nothing that matters");
    host.save("leaf/.hidden", "an editor's");
    host.save("leaf/target/of/another", "a compiler's");
    host.save_version("middle", 2);
    host.said("revision 2 serves", 1).await;
    assert_eq!(host.built()[3..], ["leaf", "middle"]);
}

#[tokio::test]
async fn a_directory_that_is_new_is_watched_too() {
    let host = application().develop().await;
    host.save("leaf/make", "cp leaf/deeper/down/source leaf.wasm || true");
    host.said("nothing new", 1).await;
    std::fs::create_dir_all(host.directory().join("leaf/deeper/down")).unwrap();
    host.save("leaf/deeper/down/source", versioned("leaf", 2, '0'));
    host.said("revision 2 serves", 1).await;
    host.save("leaf/deeper/down/source", versioned("leaf", 3, '0'));
    host.said("revision 3 serves", 1).await;
    assert_eq!(versions(&host).await, "1 1 3 3");
}

#[tokio::test]
async fn services_of_one_command_are_built_together_and_those_of_one_path_too() {
    let shared = |name: &str| {
        let build = "{ command = 'echo all >> builds; cp src/leaf leaf.wasm; cp src/middle middle.wasm', \
            watch = ['src'] }";
        service(name)
            .component(&format!("./{name}.wasm"))
            .set("build", build)
    };
    let plan = Host::with(made("front").everywhere())
        .and(shared("middle"))
        .and(shared("leaf"))
        .file("front/make", "cp front/source front.wasm");
    let plan = ["middle", "leaf"].into_iter().fold(plan, |plan, name| {
        plan.bytes(&format!("src/{name}"), versioned(name, 1, '0'))
    });
    let host = plan
        .bytes("front/source", versioned("front", 1, '0'))
        .develop()
        .await;
    assert_eq!(host.built(), ["front", "all"]);

    host.save("src/leaf", versioned("leaf", 2, '0'));
    host.said("leaf built in", 2).await;
    host.said("middle built in", 2).await;
    assert_eq!(versions(&host).await, "1 1 2 2");
    assert_eq!(host.built(), ["front", "all", "all"]);
    assert_eq!((host.revision("leaf"), host.revision("middle")), (2, 1));
}

#[tokio::test]
async fn a_service_without_a_build_is_deployed_when_its_component_changes() {
    let plan = application_with(service("leaf").component("./leaf.wasm"));
    let plan = plan.bytes("leaf.wasm", versioned("leaf", 1, '0'));
    let host = plan.develop().await;
    host.save("leaf.wasm", versioned("leaf", 2, '0'));
    let said = host.said("revision 2 serves", 1).await;
    assert!(
        said[0].starts_with("leaf: revision 2 serves after 0."),
        "{said:?}"
    );
    assert_eq!(versions(&host).await, "1 1 2 2");
}

#[tokio::test]
async fn nothing_is_taken_back_by_itself() {
    let host = application().develop().await;
    host.save("middle/source", versioned("middle", 2, '1'));
    host.said("revision 2 serves", 1).await;
    // Twice as often as a probation would look on.
    for _ in 0..4 {
        let mut connection = super::Connection::http1(&host).await;
        let reply = connection.ask(super::get("/versions")).await;
        assert!(reply.status.is_server_error(), "{reply:?}");
    }
    host.save_version("middle", 3);
    host.said("revision 3 serves", 1).await;
    assert_eq!(versions(&host).await, "1 3 1 1");
    assert!(
        !host.log_text().contains("taken back"),
        "{}",
        host.log_text()
    );
}
