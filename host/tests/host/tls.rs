//! HTTPS, with the certificate that the manifest names.

use crate::fixture::{Connection, Host, Plan, get, service};

fn secure() -> Plan {
    Host::with(service("probe").everywhere()).secure()
}

#[tokio::test]
async fn https_is_served_in_both_protocols_and_guests_are_told() {
    let host = secure().start().await;
    assert!(
        host.stderr()[0].starts_with("https://"),
        "{:?}",
        host.stderr()
    );
    let connections = [
        ("http/1.1", Connection::https1_at(host.address()).await),
        ("h2", Connection::https2_at(host.address()).await),
    ];
    for (protocol, mut connection) in connections {
        let reply = connection.ask(get("/headers")).await.expect(200);
        for line in [
            "scheme: https",
            "authority: peer.test",
            "header x-forwarded-proto: https",
        ] {
            assert!(
                reply.text().lines().any(|seen| seen == line),
                "{protocol}: {}",
                reply.text()
            );
        }
    }
}

#[tokio::test]
async fn a_client_that_does_not_speak_tls_is_closed() {
    let host = secure().start().await;
    let answer = host.wire("GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(!answer.contains("HTTP/1.1 200"), "{answer}");
    let mut connection = Connection::https1_at(host.address()).await;
    connection.ask(get("/")).await.expect(200);
}

#[test]
fn a_certificate_that_cannot_be_used_is_found_by_check() {
    let plan = secure().file("key.pem", "no key\n");
    plan.run("check", &[])
        .expect(3)
        .says(&["key.pem", "skep.toml:"]);
}
