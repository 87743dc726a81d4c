//! What a change would do is shown before it is done.

use super::{Host, application, versioned, versions};

/// The manifest with another version of leaf's component and another deadline.
fn changed(host: &Host) {
    let leaf = host.directory().join("leaf.wasm");
    std::fs::write(leaf, versioned("leaf", 2, '0')).unwrap();
    let manifest = std::fs::read_to_string(host.manifest()).unwrap();
    let limits = "[service.leaf.limits]\ndeadline = \"7s\"\n";
    std::fs::write(host.manifest(), format!("{manifest}{limits}")).unwrap();
}

#[tokio::test]
async fn a_plan_is_shown_and_nothing_is_done_on_a_dry_run() {
    let host = application().start().await;
    let said = host.command("apply", &["--dry-run"]).expect(0);
    assert_eq!(said.stdout.trim_end(), "Nothing to change.");
    changed(&host);
    let said = host.command("apply", &["--dry-run"]).expect(0);
    for text in [
        "~ service leaf",
        "digest",
        "limits.deadline",
        "7s",
        "1 to change",
    ] {
        assert!(said.stdout.contains(text), "no {text:?} in {}", said.stdout);
    }
    let said = host.command("apply", &["--dry-run", "--json"]).expect(0);
    let planned: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(planned["generation"], 1, "{planned}");
    assert_eq!(planned["plan"]["steps"][0]["name"], "leaf", "{planned}");
    assert_eq!(host.status()["generation"], 1);
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
}

#[tokio::test]
async fn what_was_planned_is_applied_and_a_second_time_there_is_nothing_to_do() {
    let host = application().start().await;
    changed(&host);
    let said = host.command("apply", &["--yes"]).expect(0);
    for text in [
        "~ service leaf",
        "leaf: revision 1 → 2",
        "generation 2 serves",
    ] {
        assert!(said.stdout.contains(text), "no {text:?} in {}", said.stdout);
    }
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    let said = host.command("apply", &["--json"]).expect(0);
    let changed: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(changed["generation"], 2, "{changed}");
    assert_eq!(changed["services"], serde_json::json!([]), "{changed}");
    assert_eq!(host.status()["generation"], 2);
}

#[tokio::test]
async fn a_plan_for_another_generation_is_not_applied() {
    let host = application().start().await;
    changed(&host);
    let said = host.command("apply", &["--yes", "--if-generation", "7"]);
    said.expect(6).says(&["generation 1 serves, and not 7"]);
    assert_eq!(versions(&host).await, [1, 1, 1, 1]);
}
