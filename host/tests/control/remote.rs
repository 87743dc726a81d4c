//! Over TCP only clients with the token are let in, and no browser.

use std::os::unix::fs::PermissionsExt as _;

use super::fixture::control::TOKEN;
use super::fixture::{Host, Output, service, skep};
use super::{ask_remotely, remote};

#[tokio::test]
async fn only_who_has_the_token_is_let_in_and_no_web_page() {
    let (host, address) = remote().await;
    let ask = |fields: &str| ask_remotely(address, "GET /v1/status", fields);
    let local = format!("host: {address}\r\n");
    let token = format!("authorization: Bearer {TOKEN}\r\n");
    assert_eq!(ask(&format!("{local}{token}")).json()["application"], "app");

    let without = ask(&local);
    assert!(without.problem(401).contains("host.control"));
    assert!(without.head.contains("www-authenticate: bearer"));
    ask(&format!("{local}authorization: Bearer {}x\r\n", TOKEN)).problem(401);
    ask(&format!("{local}authorization: Basic {TOKEN}\r\n")).problem(401);

    let page = format!("{local}{token}origin: http://{address}\r\n");
    assert!(ask(&page).problem(403).contains("Origin"));
    let rebound = format!("host: evil.example\r\n{token}");
    assert!(ask(&rebound).problem(403).contains("Host"));
    ask(&token).problem(403);

    // There is no CORS: a page may not even ask.
    let preflight = format!("{local}origin: http://evil.example\r\n");
    let answer = ask_remotely(address, "OPTIONS /v1/status", &preflight);
    answer.problem(403);
    assert!(!answer.head.contains("access-control"), "{}", answer.head);
    host.assert_no_panic();
}

#[test]
fn a_token_that_others_may_read_or_guess_is_refused_at_the_start() {
    let plan = Host::with(service("probe").everywhere()).controlled();
    for (token, mode, text) in [
        (TOKEN, 0o644, "others may read"),
        ("short", 0o600, "32 to 1024"),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let manifest = plan.clone().secret("token", token).write(directory.path());
        let permissions = std::fs::Permissions::from_mode(mode);
        std::fs::set_permissions(directory.path().join("token"), permissions).unwrap();
        Output::of(skep().arg("run").arg(manifest))
            .expect(1)
            .says(&["host.control", text]);
    }
}
