//! The document is that of the code, and the host answers with it.

use super::{Host, ask};

/// Set to rewrite the kept file instead of comparing it.
const UPDATE: &str = "UPDATE_SCHEMA";

#[test]
fn the_kept_document_is_that_of_the_code() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json");
    let document = skep::control::document().to_pretty_json().unwrap();
    let wanted = format!("{document}\n");
    if std::env::var_os(UPDATE).is_some() {
        std::fs::write(path, &wanted).unwrap();
    }
    let found = std::fs::read_to_string(path).unwrap_or_default();
    assert!(
        found == wanted,
        "docs/openapi.json is not what the code gives: run `{UPDATE}=1 cargo test --release -p skep \
         --test control document` and look at the difference"
    );
}

#[tokio::test]
async fn the_host_answers_with_its_document() {
    let host = Host::probe().await;
    let answer = ask(&host, "GET /v1/openapi.json", "", "");
    assert_eq!(answer.status, 200);
    let wanted = skep::control::document().to_json().unwrap();
    let wanted: serde_json::Value = serde_json::from_str(&wanted).unwrap();
    assert_eq!(answer.json(), wanted);
}
