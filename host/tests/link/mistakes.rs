//! What is found before anything starts.

use super::fixture::Host;
use super::{all, caller, provider, relay};

#[test]
fn an_import_that_nobody_exports_is_a_mistake() {
    let output = Host::with(caller()).and(relay()).run("check", &[]);
    assert_ne!(output.code, Some(0));
    let text = output.stderr;
    assert!(text.contains("fixture:everything/values@1.2.0"), "{text}");
}

#[test]
fn a_provider_needs_no_route_and_may_have_none() {
    let fine = all(caller(), provider(), relay()).run("check", &["--strict"]);
    assert_eq!(fine.code, Some(0), "{}", fine.stderr);
    let routed = provider().routes(&["/provider"]);
    let output = all(caller(), routed, relay()).run("check", &[]);
    assert_ne!(output.code, Some(0));
    let text = output.stderr;
    assert!(text.contains("answers calls of other services"), "{text}");
}
