//! What may be reached: origins, addresses after resolution, redirects, loops.

use skep::outgoing::{DEPTH_HEADER, MAX_DEPTH};
use tokio::io::AsyncWriteExt;
use wasmtime_wasi_http::Error;

use crate::assert_error;
use crate::fixture::*;

#[tokio::test]
async fn a_granted_origin_answers() {
    let peer = Peer::saying(HELLO).await;
    let client = client(&[&peer.origin()]);
    assert_eq!(text(&client, &peer.at("127.0.0.1", "/")).await, "hello");
}

#[tokio::test]
async fn what_is_not_granted_is_denied_and_never_connected_to() {
    let peer = Peer::saying(HELLO).await;
    let other = Peer::saying(HELLO).await;
    let client = client(&[&peer.origin()]);
    for uri in [
        other.at("127.0.0.1", "/"),
        peer.at("127.0.0.2", "/"),
        peer.at("localhost", "/"),
        peer.at("[::ffff:127.0.0.1]", "/"),
        format!("https://127.0.0.1:{}/", peer.port()),
    ] {
        assert_error!(get(&client, &uri).await, Error::HttpRequestDenied);
    }
    assert_eq!((peer.accepted(), other.accepted()), (0, 0));
}

#[tokio::test]
async fn nothing_is_granted_by_default() {
    let peer = Peer::saying(HELLO).await;
    let denied = get(&client(&[]), &peer.at("127.0.0.1", "/")).await;
    assert_error!(denied, Error::HttpRequestDenied);
}

#[tokio::test]
async fn a_wildcard_grants_the_names_below_it_only() {
    let peer = Peer::saying(HELLO).await;
    let names = Names::answering(&[&["127.0.0.1"]]);
    // The literal origin is what lets the names resolve to loopback.
    let client = resolving(&[&peer.at("*.shop.test", ""), &peer.origin()], &names);
    assert_eq!(text(&client, &peer.at("a.shop.test", "/")).await, "hello");
    assert_eq!(
        text(&client, &peer.at("A.B.Shop.Test.", "/")).await,
        "hello"
    );
    for host in ["shop.test", "a.shop.test.evil.test", "xshop.test"] {
        let denied = get(&client, &peer.at(host, "/")).await;
        assert_error!(denied, Error::HttpRequestDenied);
    }
}

#[tokio::test]
async fn every_host_is_every_public_host() {
    let peer = Peer::saying(HELLO).await;
    let names = Names::answering(&[&["127.0.0.1"]]);
    let client = resolving(&["http://*:*", "https://*:*"], &names);
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "api.test",
    ] {
        let refused = get(&client, &peer.at(host, "/")).await;
        assert_error!(refused, Error::DestinationIpProhibited);
    }
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn any_port_of_a_named_address_may_be_granted() {
    let peer = Peer::saying(HELLO).await;
    let other = Peer::saying(HELLO).await;
    let client = client(&["http://127.0.0.1:*"]);
    assert_eq!(text(&client, &peer.at("127.0.0.1", "/")).await, "hello");
    assert_eq!(text(&client, &other.at("127.0.0.1", "/")).await, "hello");
    let refused = get(&client, &peer.at("127.0.0.2", "/")).await;
    assert_error!(refused, Error::HttpRequestDenied);
}

#[tokio::test]
async fn a_name_that_leads_inside_is_refused() {
    let peer = Peer::saying(HELLO).await;
    for inside in [
        "127.0.0.1",
        "10.0.0.1",
        "169.254.169.254",
        "0.0.0.0",
        "::1",
        "::ffff:127.0.0.1",
        "fe80::1",
        "fd00::1",
        "64:ff9b::127.0.0.1",
    ] {
        let names = Names::answering(&[&[inside]]);
        let client = resolving(&[&peer.at("api.test", "")], &names);
        let refused = get(&client, &peer.at("api.test", "/")).await;
        assert_error!(refused, Error::DestinationIpProhibited);
    }
    assert_eq!(peer.accepted(), 0);
}

#[tokio::test]
async fn localhost_may_be_named() {
    let peer = Peer::saying(HELLO).await;
    let named = client(&[&peer.at("localhost", "")]);
    assert_eq!(text(&named, &peer.at("localhost", "/")).await, "hello");
    // But not by way of it to an address that is no loopback.
    let names = Names::answering(&[&["10.0.0.1"]]);
    let named = resolving(&[&peer.at("localhost", "")], &names);
    let refused = get(&named, &peer.at("localhost", "/")).await;
    assert_error!(refused, Error::DestinationIpProhibited);
}

#[tokio::test]
async fn only_the_checked_ones_of_several_addresses_are_used() {
    let peer = Peer::saying(HELLO).await;
    let names = Names::answering(&[&["127.0.0.2", "10.0.0.1", "127.0.0.1"]]);
    let client = resolving(&[&peer.at("api.test", ""), &peer.origin()], &names);
    assert_eq!(text(&client, &peer.at("api.test", "/")).await, "hello");
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_second_answer_of_dns_is_checked_like_the_first() {
    let peer =
        Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await;
    let names = Names::answering(&[&["127.0.0.1"], &["127.0.0.2"]]);
    let client = resolving(&[&peer.at("api.test", ""), &peer.origin()], &names);
    let uri = peer.at("api.test", "/");
    assert_eq!(text(&client, &uri).await, "");
    assert_eq!(names.asked(), 1);
    let refused = get(&client, &uri).await;
    assert_error!(refused, Error::DestinationIpProhibited);
    assert_eq!((names.asked(), peer.accepted()), (2, 1));
}

#[tokio::test]
async fn a_redirect_is_the_guests_to_follow_and_checked_afresh() {
    let inside = Peer::saying(HELLO).await;
    let location = inside.at("127.0.0.1", "/secret");
    let redirect =
        format!("HTTP/1.1 302 Found\r\nlocation: {location}\r\ncontent-length: 0\r\n\r\n");
    let redirect: &'static str = redirect.leak();
    let peer = Peer::saying(redirect).await;
    let client = client(&[&peer.origin()]);
    let (response, _) = get(&client, &peer.at("127.0.0.1", "/")).await.unwrap();
    assert_eq!(response.status(), 302);
    let location = response.headers()["location"].to_str().unwrap();
    let denied = get(&client, location).await;
    assert_error!(denied, Error::HttpRequestDenied);
    assert_eq!(inside.accepted(), 0);
}

#[tokio::test]
async fn doubtful_destinations_are_refused_before_they_are_compared() {
    let client = client(&["http://127.0.0.1"]);
    for uri in ["http://2130706433/", "http://127.1/", "http://u@127.0.0.1/"] {
        assert_error!(get(&client, uri).await, Error::HttpRequestUriInvalid);
    }
    assert_error!(get(&client, "/relative").await, Error::HttpProtocolError);
}

#[tokio::test]
async fn a_guest_cannot_make_a_peer_its_tunnel() {
    let peer = Peer::saying(HELLO).await;
    let client = client(&[&peer.origin()]);
    let tunnel = request("CONNECT", &peer.at("127.0.0.1", "/"), empty());
    assert_error!(send(&client, tunnel).await, Error::HttpRequestMethodInvalid);
    let upgraded = Peer::saying("HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\n\r\n").await;
    let client = crate::fixture::client(&[&upgraded.origin()]);
    let refused = get(&client, &upgraded.at("127.0.0.1", "/")).await;
    assert_error!(refused, Error::HttpUpgradeFailed);
}

#[tokio::test]
async fn the_head_says_what_was_checked_and_nothing_of_the_connection() {
    let peer = Peer::new(|mut stream| async move {
        let head = read_head(&mut stream).await;
        let answer = format!(
            "HTTP/1.1 200 OK\r\nkeep-alive: 5\r\nx-own: 1\r\ncontent-length: {}\r\n\r\n{head}",
            head.len()
        );
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let client = client(&[&peer.origin()]);
    let mut request = request("GET", &peer.at("127.0.0.1", "/path?query"), empty());
    for (name, value) in [
        ("host", "elsewhere.test"),
        ("connection", "x-private"),
        ("x-private", "1"),
        ("upgrade", "websocket"),
        ("skep-depth", "0"),
        ("x-public", "2"),
    ] {
        request.headers_mut().insert(name, value.parse().unwrap());
    }
    let scope = client.scope(3);
    let sent = Box::into_pin(scope.send(request, None));
    let (response, _) = soon("an answer", sent).await.unwrap();
    assert!(response.headers().get("keep-alive").is_none());
    assert_eq!(response.headers()["x-own"], "1");
    let mut head: Vec<String> = body_text(response).await.lines().map(Into::into).collect();
    head.sort();
    let host = format!("host: {}", peer.address);
    assert_eq!(
        head,
        [
            "",
            "GET /path?query HTTP/1.1",
            &host,
            "skep-depth: 4",
            "x-public: 2"
        ]
    );
}

#[tokio::test]
async fn a_chain_of_services_that_never_ends_is_cut() {
    let peer = Peer::saying(HELLO).await;
    let client = client(&[&peer.origin()]);
    let uri = peer.at("127.0.0.1", "/");
    let last = client.scope(MAX_DEPTH - 1);
    let sent = Box::into_pin(last.send(request("GET", &uri, empty()), None));
    assert!(soon("an answer", sent).await.is_ok());
    let beyond = client.scope(MAX_DEPTH);
    let sent = Box::into_pin(beyond.send(request("GET", &uri, empty()), None));
    assert_error!(soon("an answer", sent).await, Error::LoopDetected);
    assert_eq!(DEPTH_HEADER, "skep-depth");
}
