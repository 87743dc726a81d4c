//! Each limit, hit.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, RequestOptions};

use crate::assert_error;
use crate::fixture::*;

const SHORT: Duration = Duration::from_millis(200);

/// A peer that says `beginning` and then nothing more.
async fn falling_silent_after(beginning: &'static str) -> Peer {
    Peer::new(move |mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(beginning.as_bytes()).await.unwrap();
        std::future::pending::<()>().await;
    })
    .await
}

#[tokio::test]
async fn connect_timeout() {
    // TCP is answered by the kernel; TLS is part of connecting and is answered by nobody.
    let peer = Peer::new(|stream| async move {
        let _held = stream;
        std::future::pending::<()>().await;
    })
    .await;
    let uri = format!("https://{}", peer.address);
    let client = limited(&[&uri], |l| l.connect_timeout = SHORT);
    assert_error!(get(&client, &uri).await, Error::ConnectionTimeout);

    let names = Names::answering(&[]);
    let mut policy = policy(&["http://slow.test"]);
    policy.limits.connect_timeout = SHORT;
    let client = skep::outgoing::OutgoingClient::with(policy, names, trust());
    let answer = get(&client, "http://slow.test/").await;
    assert_error!(answer, Error::DnsTimeout);
}

#[tokio::test]
async fn first_byte_timeout() {
    let peer = falling_silent_after("").await;
    let client = limited(&[&peer.origin()], |l| l.first_byte_timeout = SHORT);
    let answer = get(&client, &peer.at("127.0.0.1", "/")).await;
    assert_error!(answer, Error::ConnectionReadTimeout);
    // Part of a head is no answer.
    let peer = falling_silent_after("HTTP/1.1 200 OK\r\n").await;
    let client = limited(&[&peer.origin()], |l| l.first_byte_timeout = SHORT);
    let answer = get(&client, &peer.at("127.0.0.1", "/")).await;
    assert_error!(answer, Error::ConnectionReadTimeout);
}

#[tokio::test]
async fn between_bytes_timeout() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    let peer = falling_silent_after(half).await;
    let client = limited(&[&peer.origin()], |l| l.between_bytes_timeout = SHORT);
    let (response, _) = get(&client, &peer.at("127.0.0.1", "/")).await.unwrap();
    let mut body = response.into_body();
    soon("a piece", body.frame()).await.unwrap().unwrap();
    // A guest that takes its time is not the peer's fault.
    tokio::time::sleep(2 * SHORT).await;
    let begun = Instant::now();
    let late = soon("the time-out", body.frame()).await.unwrap();
    assert_error!(late, Error::ConnectionReadTimeout);
    assert!(begun.elapsed() >= SHORT);
}

#[tokio::test]
async fn a_request_body_that_the_peer_does_not_take_times_out() {
    let peer = falling_silent_after("").await;
    let client = limited(&[&peer.origin()], |l| l.between_bytes_timeout = SHORT);
    let (writer, body) = written();
    let answer = tokio::spawn({
        let client = client.clone();
        let request = request("POST", &peer.at("127.0.0.1", "/"), body);
        async move { send(&client, request).await }
    });
    let piece = Bytes::from(vec![7; 64 * 1024]);
    while writer
        .send(http_body::Frame::data(piece.clone()))
        .await
        .is_ok()
    {}
    assert_error!(answer.await.unwrap(), Error::ConnectionWriteTimeout);

    // The same after the peer has answered.
    let peer = falling_silent_after("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n").await;
    let client = limited(&[&peer.origin()], |l| l.between_bytes_timeout = SHORT);
    let (writer, body) = written();
    let request = request("POST", &peer.at("127.0.0.1", "/"), body);
    let (_response, sending) = send(&client, request).await.unwrap();
    let sending = tokio::spawn(Box::into_pin(sending));
    while writer
        .send(http_body::Frame::data(piece.clone()))
        .await
        .is_ok()
    {}
    let outcome = soon("the time-out", sending).await.unwrap();
    assert_error!(outcome, Error::ConnectionWriteTimeout);
}

#[tokio::test]
async fn a_slow_guest_is_not_timed_out_for_the_peer() {
    let peer = Peer::new(|mut stream| async move {
        read_head(&mut stream).await;
        let mut body = [0; 13];
        let read = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body).await;
        read.unwrap();
        stream.write_all(HELLO.as_bytes()).await.unwrap();
    })
    .await;
    let client = limited(&[&peer.origin()], |l| {
        l.first_byte_timeout = SHORT;
        l.between_bytes_timeout = SHORT;
    });
    let (writer, body) = written();
    let request = request("POST", &peer.at("127.0.0.1", "/"), body);
    let answer = tokio::spawn(async move { send(&client, request).await });
    tokio::time::sleep(3 * SHORT).await;
    writer.send(piece("abc")).await.unwrap();
    tokio::time::sleep(3 * SHORT).await;
    drop(writer);
    let (response, _) = answer.await.unwrap().unwrap();
    assert_eq!(body_text(response).await, "hello");
}

#[tokio::test]
async fn a_guest_can_shorten_time_outs_and_not_lengthen_them() {
    let peer = falling_silent_after("").await;
    let uri = peer.at("127.0.0.1", "/");
    let hasty = RequestOptions {
        first_byte_timeout: Some(SHORT),
        ..Default::default()
    };
    let answer = get_with(&client(&[&peer.origin()]), &uri, hasty).await;
    assert_error!(answer, Error::ConnectionReadTimeout);

    let patient = RequestOptions {
        connect_timeout: Some(Duration::MAX),
        first_byte_timeout: Some(Duration::MAX),
        between_bytes_timeout: Some(Duration::MAX),
    };
    let client = limited(&[&peer.origin()], |l| l.first_byte_timeout = SHORT);
    let answer = get_with(&client, &uri, patient).await;
    assert_error!(answer, Error::ConnectionReadTimeout);

    let none = RequestOptions {
        connect_timeout: Some(Duration::ZERO),
        first_byte_timeout: Some(Duration::ZERO),
        between_bytes_timeout: Some(Duration::ZERO),
    };
    let answer = get_with(&client, &uri, none).await;
    assert_error!(
        answer,
        Error::ConnectionTimeout | Error::ConnectionReadTimeout
    );
}

#[tokio::test]
async fn time_outs_without_end_do_not_overflow() {
    let peer = Peer::saying(HELLO).await;
    let client = limited(&[&peer.origin()], |l| {
        l.connect_timeout = Duration::MAX;
        l.first_byte_timeout = Duration::MAX;
        l.between_bytes_timeout = Duration::MAX;
        l.idle_timeout = Duration::MAX;
        l.concurrency = usize::MAX;
        l.queue = usize::MAX;
    });
    assert_eq!(text(&client, &peer.at("127.0.0.1", "/")).await, "hello");
}

#[tokio::test]
async fn response_headers() {
    let field = format!("x-big: {}\r\n", "a".repeat(20_000));
    let big = format!("HTTP/1.1 200 OK\r\n{field}content-length: 0\r\n\r\n").leak();
    let many = "x-many: a\r\n".repeat(500);
    let many = format!("HTTP/1.1 200 OK\r\n{many}content-length: 0\r\n\r\n").leak();
    let endless = format!("HTTP/1.1 200 OK\r\nx-big: {}", "a".repeat(200_000)).leak();
    for head in [big, many, endless] {
        let peer = Peer::saying(head).await;
        let client = limited(&[&peer.origin()], |l| l.response_headers = 10_000);
        let answer = get(&client, &peer.at("127.0.0.1", "/")).await;
        assert_error!(answer, Error::HttpResponseHeaderSectionSize(Some(_)));
    }
}

#[tokio::test]
async fn response_trailers() {
    let trailer = format!("x-big: {}\r\n", "a".repeat(20_000));
    let answer = format!(
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n{trailer}\r\n"
    );
    let peer = Peer::saying(answer.leak()).await;
    let client = limited(&[&peer.origin()], |l| l.response_headers = 10_000);
    let (response, _) = get(&client, &peer.at("127.0.0.1", "/")).await.unwrap();
    let body = soon("the body", response.into_body().collect()).await;
    assert!(body.is_err());
}

#[tokio::test]
async fn response_body() {
    let limit = |peer: &Peer| limited(&[&peer.origin()], |l| l.response_body = 4);
    // Announced.
    let peer = Peer::saying(HELLO).await;
    let answer = get(&limit(&peer), &peer.at("127.0.0.1", "/")).await;
    assert_error!(answer, Error::HttpResponseBodySize(Some(4)));
    // Not announced.
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n";
    let peer = Peer::saying(chunked).await;
    let answer = get(&limit(&peer), &peer.at("127.0.0.1", "/")).await;
    let body = soon("the body", answer.unwrap().0.into_body().collect()).await;
    assert_error!(body, Error::HttpResponseBodySize(Some(4)));
    // Just fitting.
    let peer = Peer::saying("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nhell").await;
    assert_eq!(
        text(&limit(&peer), &peer.at("127.0.0.1", "/")).await,
        "hell"
    );
}

#[tokio::test]
async fn request_body() {
    let peer = falling_silent_after("").await;
    let client = limited(&[&peer.origin()], |l| l.request_body = 4);
    let uri = peer.at("127.0.0.1", "/");
    let mut announced = request("POST", &uri, full("hello"));
    let headers = announced.headers_mut();
    headers.insert("content-length", "5".parse().unwrap());
    let answer = send(&client, announced).await;
    assert_error!(answer, Error::HttpRequestBodySize(Some(4)));
    assert_eq!(peer.accepted(), 0);
    let answer = send(&client, request("POST", &uri, full("hello"))).await;
    assert_error!(answer, Error::HttpRequestBodySize(Some(4)));
}

#[tokio::test]
async fn concurrency() {
    let peer = Peer::saying(HELLO).await;
    let uri = peer.at("127.0.0.1", "/");
    let client = limited(&[&peer.origin()], |l| {
        l.concurrency = 1;
        l.queue = 0;
    });
    // A response holds its slot until it has been read.
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let slow = Peer::saying(chunked).await;
    let both = limited(&[&peer.origin(), &slow.origin()], |l| {
        l.concurrency = 1;
        l.queue = 0;
    });
    let (held, _) = get(&both, &slow.at("127.0.0.1", "/")).await.unwrap();
    assert_error!(get(&both, &uri).await, Error::ConnectionLimitReached);
    assert_eq!(body_text(held).await, "abc");
    assert_eq!(text(&both, &uri).await, "hello");

    // Or has been dropped, whatever came of it.
    let (held, _) = get(&both, &slow.at("127.0.0.1", "/")).await.unwrap();
    drop(held);
    assert_eq!(text(&both, &uri).await, "hello");
    for _ in 0..3 {
        assert_eq!(text(&client, &uri).await, "hello");
    }
}

#[tokio::test]
async fn a_queue_waits_for_a_slot() {
    let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let peer = Peer::saying(chunked).await;
    let uri = peer.at("127.0.0.1", "/");
    let client = limited(&[&peer.origin()], |l| {
        l.concurrency = 1;
        l.queue = 1;
        l.connect_timeout = SHORT;
    });
    let (held, _) = get(&client, &uri).await.unwrap();
    // No longer than for a connection,
    assert_error!(get(&client, &uri).await, Error::ConnectionLimitReached);
    // and not more than the queue holds,
    let waiting = get(&client, &uri);
    let full = async { get(&client, &uri).await };
    let (first, second) = tokio::join!(waiting, full);
    assert_error!(first, Error::ConnectionLimitReached);
    assert_error!(second, Error::ConnectionLimitReached);
    // but if the slot comes free, it goes on.
    let (next, _) = tokio::join!(get(&client, &uri), async { drop(held) });
    assert_eq!(body_text(next.unwrap().0).await, "abc");
}
