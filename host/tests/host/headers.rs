//! The headers that the host makes, keeps, replaces and removes.

use crate::fixture::{Connection, Host, Reply, get, service};

/// What the guest saw of a header; all values of it.
fn seen<'a>(reply: &'a Reply, name: &str) -> Vec<&'a str> {
    let start = format!("header {name}: ");
    reply
        .text()
        .lines()
        .filter_map(|line| line.strip_prefix(&start))
        .collect()
}

fn asking(headers: &[(&str, &str)]) -> http::Request<crate::fixture::Body> {
    let mut asked = get("/headers");
    for (name, value) in headers {
        let name: http::HeaderName = name.parse().unwrap();
        asked.headers_mut().append(name, value.parse().unwrap());
    }
    asked
}

/// The probes of both versions of WASI, by host name.
async fn probes() -> Host {
    Host::with(service("p2").component("probe").everywhere())
        .and(service("p3").component("probe-p3"))
        .tables("[[route]]\nhost = \"p3.example\"\npath = \"/{*rest}\"\nservice = \"p3\"")
        .start()
        .await
}

#[tokio::test]
async fn a_request_id_is_kept_and_told_to_both_sides() {
    let host = probes().await;
    for (_, mut connection) in Connection::both(&host).await {
        let reply = connection
            .ask(asking(&[("x-request-id", "my-id.1")]))
            .await
            .expect(200);
        assert_eq!(reply.header("x-request-id"), "my-id.1");
        assert_eq!(seen(&reply, "x-request-id"), ["my-id.1"]);
    }
    assert_eq!(host.access("/headers").await["id"], "my-id.1");
}

#[tokio::test]
async fn a_request_without_a_good_id_gets_one() {
    let host = probes().await;
    let long = "x".repeat(200);
    let mut ids = std::collections::HashSet::new();
    for sent in [
        &[][..],
        &[("x-request-id", "two words")],
        &[("x-request-id", &long)],
    ] {
        let reply = host.ask(asking(sent)).await.expect(200);
        let id = reply.header("x-request-id").to_owned();
        assert!(
            id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{id}"
        );
        assert_eq!(seen(&reply, "x-request-id"), [id.as_str()]);
        assert!(ids.insert(id));
    }
}

#[tokio::test]
async fn a_trace_is_passed_on_and_garbage_is_not() {
    let host = probes().await;
    let good = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    let sent = [("traceparent", good), ("tracestate", "a=1")];
    let reply = host.ask(asking(&sent)).await.expect(200);
    assert_eq!(seen(&reply, "traceparent"), [good]);
    assert_eq!(seen(&reply, "tracestate"), ["a=1"]);
    assert_eq!(host.access("/headers").await["traceparent"], good);
    for bad in [
        "garbage",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
    ] {
        let reply = host
            .ask(asking(&[("traceparent", bad), ("tracestate", "a=1")]))
            .await;
        assert!(seen(&reply, "traceparent").is_empty(), "{bad}");
        assert!(seen(&reply, "tracestate").is_empty(), "{bad}");
    }
}

#[tokio::test]
async fn what_strangers_claim_of_the_client_is_replaced() {
    let host = probes().await;
    for (protocol, mut connection) in Connection::both(&host).await {
        let reply = connection
            .ask(asking(&[
                ("forwarded", "for=1.1.1.1;proto=https"),
                ("x-forwarded-for", "1.1.1.1"),
                ("x-forwarded-for", "2.2.2.2"),
                ("x-forwarded-host", "bank.example"),
                ("x-forwarded-proto", "https"),
                ("x-real-ip", "1.1.1.1"),
                ("x-forwarded-port", "1"),
            ]))
            .await
            .expect(200);
        let authority = host.address().to_string();
        assert_eq!(seen(&reply, "x-forwarded-for"), ["127.0.0.1"], "{protocol}");
        assert_eq!(
            seen(&reply, "x-forwarded-host"),
            [authority.as_str()],
            "{protocol}"
        );
        assert_eq!(seen(&reply, "x-forwarded-proto"), ["http"], "{protocol}");
        let forwarded = format!("for=127.0.0.1;host=\"{authority}\";proto=http");
        assert_eq!(
            seen(&reply, "forwarded"),
            [forwarded.as_str()],
            "{protocol}"
        );
        assert!(seen(&reply, "x-real-ip").is_empty(), "{protocol}");
        assert!(seen(&reply, "x-forwarded-port").is_empty(), "{protocol}");
    }
    assert_eq!(host.access("/headers").await["client"], "127.0.0.1");
}

#[tokio::test]
async fn what_a_trusted_proxy_says_is_kept_and_added_to() {
    let host = Host::with(service("probe").everywhere())
        .http("trusted-proxies = [\"127.0.0.0/8\"]")
        .start()
        .await;
    let sent = [
        ("x-forwarded-for", "203.0.113.5"),
        ("x-forwarded-host", "shop.example"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.5;proto=https"),
    ];
    let reply = host.ask(asking(&sent)).await.expect(200);
    assert_eq!(
        seen(&reply, "x-forwarded-for").join(", "),
        "203.0.113.5, 127.0.0.1"
    );
    assert_eq!(seen(&reply, "x-forwarded-host"), ["shop.example"]);
    assert_eq!(seen(&reply, "x-forwarded-proto"), ["https"]);
    assert!(
        seen(&reply, "forwarded")
            .join(", ")
            .starts_with("for=203.0.113.5;proto=https, for=")
    );
    assert_eq!(host.access("/headers").await["client"], "203.0.113.5");
}

#[tokio::test]
async fn a_guest_always_has_a_scheme_and_an_authority() {
    let host = probes().await;
    let own = host.address().to_string();
    for (protocol, mut connection) in Connection::both(&host).await {
        let reply = connection.ask(get("/headers?q=1")).await.expect(200);
        for line in ["method: GET", "path: /headers?q=1", "scheme: http"] {
            assert!(
                reply.text().lines().any(|seen| seen == line),
                "{protocol}: no {line}"
            );
        }
        assert!(
            reply.text().contains(&format!("authority: {own}\n")),
            "{protocol}"
        );
    }
    // WASI 0.3.
    let answer = host
        .wire("GET /headers HTTP/1.1\r\nhost: p3.example\r\nconnection: close\r\n\r\n")
        .await;
    assert!(
        answer.contains("scheme: http\nauthority: p3.example\n"),
        "{answer}"
    );
    // A target in absolute form goes before Host (RFC 9112, section 3.2.2).
    let answer = host
        .wire(
            "GET http://shop.example/headers HTTP/1.1\r\nhost: other\r\n\
             connection: close\r\n\r\n",
        )
        .await;
    assert!(answer.contains("authority: shop.example\n"), "{answer}");
    assert!(!answer.contains("other"), "{answer}");
}

#[tokio::test]
async fn methods_of_all_kinds_reach_the_guest() {
    let host = probes().await;
    for method in [
        "GET", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PURGE",
    ] {
        let asked = crate::fixture::request(method, "/headers", crate::fixture::empty());
        let reply = host.ask(asked).await.expect(200);
        assert!(
            reply.text().contains(&format!("method: {method}\n")),
            "{}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn a_guests_own_server_header_and_date_are_its_affair() {
    let host = probes().await;
    let reply = host.get("/many-headers/50").await.expect(200);
    assert_eq!(
        reply
            .headers
            .keys()
            .filter(|name| name.as_str().starts_with("x-field-"))
            .count(),
        50
    );
    assert_eq!(reply.headers.get_all("x-request-id").iter().count(), 1);
}
