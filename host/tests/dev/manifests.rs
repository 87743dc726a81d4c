//! Changes of the manifest are applied.

use super::{application, versioned, versions};

#[tokio::test]
async fn a_change_of_the_manifest_is_applied_and_its_plan_shown() {
    let host = application().develop().await;
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    host.save(
        "skep.toml",
        format!("{manifest}[service.leaf.limits]\ndeadline = \"7s\"\n"),
    );
    host.said("generation 2 serves", 1).await;
    for text in ["~ service leaf", "limits.deadline", "leaf: revision 1 → 2"] {
        host.said(text, 1).await;
    }
    assert_eq!(versions(&host).await, "1 1 1 1");
    assert_eq!(host.built().len(), 3, "nothing is built for a limit");

    // A comment changes nothing.
    let text = format!("# a comment\n{manifest}[service.leaf.limits]\ndeadline = \"7s\"\n");
    host.save("skep.toml", text);
    host.said("skep.toml: nothing new", 1).await;
    host.save_version("leaf", 2);
    host.said("revision 3 serves", 1).await;
    assert_eq!(host.status()["generation"], 3);
}

#[tokio::test]
async fn a_service_that_is_new_is_built_and_served_and_another_command_is_run() {
    let host = application().develop().await;
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    let new = "[service.other]\ncomponent = 'other.wasm'\nroutes = ['/other']\n\
        build = { command = 'cp front/source other.wasm', watch = ['front'] }\n";
    host.save("skep.toml", format!("{manifest}{new}"));
    host.said("other: new, revision 1", 1).await;
    host.said("other built in", 1).await;

    let manifest = format!("{manifest}{new}").replace(". leaf/make", "cp leaf/spare leaf.wasm");
    host.save("leaf/spare", versioned("leaf", 4, '0'));
    host.said("nothing new", 1).await;
    host.save("skep.toml", manifest);
    host.said("leaf: revision 1 → 2", 1).await;
    assert_eq!(versions(&host).await, "1 1 4 4");
}

#[tokio::test]
async fn mistakes_in_the_manifest_are_shown_and_the_last_without_any_holds() {
    let host = application().develop().await;
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    host.save("skep.toml", manifest.replace("component", "conponent"));
    host.said("did you mean `component`?", 1).await;
    host.save_version("leaf", 2);
    host.said("revision 2 serves", 1).await;
    assert_eq!(versions(&host).await, "1 1 2 2");

    host.save(
        "skep.toml",
        format!("{manifest}[service.extra]\ncomponent = \"no.wasm\"\n"),
    );
    host.said("component of `extra`", 1).await;
    host.save("skep.toml", &manifest);
    host.said("skep.toml: nothing new", 1).await;
    host.save_version("leaf", 3);
    host.said("revision 3 serves", 1).await;
}
