//! Bodies stream at the pace of the slower side, with their trailers.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use http::HeaderMap;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::io::AsyncWriteExt;
use tokio::time::sleep;

use crate::fixture::*;

const PIECE: usize = 64 * 1024;

/// What sockets and buffers on both sides may hold; loopback sockets grow to a few MiB.
const IN_BETWEEN: usize = 16 * 1024 * 1024;

/// Waits until `count` stands still, and says where.
async fn settled(count: &AtomicUsize) -> usize {
    let mut last = usize::MAX;
    loop {
        let now = count.load(Ordering::SeqCst);
        if now == last {
            return now;
        }
        last = now;
        sleep(Duration::from_millis(300)).await;
    }
}

#[tokio::test]
async fn a_guest_that_does_not_read_holds_the_peer_back() {
    let written = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&written);
    let peer = Peer::new(move |mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n",
                1_000 * PIECE
            );
            stream.write_all(head.as_bytes()).await.unwrap();
            for _ in 0..1_000 {
                if stream.write_all(&[7; PIECE]).await.is_err() {
                    return;
                }
                count.fetch_add(PIECE, Ordering::SeqCst);
            }
        }
    })
    .await;
    let client = client(&[&peer.origin()]);
    let (response, _) = get(&client, &peer.at("127.0.0.1", "/")).await.unwrap();
    let ahead = soon("the peer stops", settled(&written)).await;
    assert!(ahead < IN_BETWEEN, "{ahead} bytes sent ahead of the guest");

    let mut body = response.into_body();
    let mut read = 0;
    while let Some(frame) = soon("a piece", body.frame()).await {
        read += frame.unwrap().into_data().unwrap().len();
    }
    assert_eq!(read, 1_000 * PIECE);
}

#[tokio::test]
async fn a_peer_that_does_not_read_holds_the_guest_back() {
    let peer = Peer::new(|mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let client = client(&[&peer.origin()]);
    let produced = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&produced);
    let pieces = futures::stream::repeat_with(move || {
        count.fetch_add(PIECE, Ordering::SeqCst);
        Ok(Frame::data(Bytes::from(vec![7; PIECE])))
    });
    let body = StreamBody::new(pieces.take(1_000)).boxed_unsync();
    let request = request("POST", &peer.at("127.0.0.1", "/"), body);
    let running = tokio::spawn(Box::into_pin(client.send(request, None)));
    let ahead = soon("the guest stops", settled(&produced)).await;
    assert!(0 < ahead && ahead < IN_BETWEEN, "{ahead} bytes sent ahead");
    running.abort();
}

#[tokio::test]
async fn trailers_pass_both_ways() {
    let peer = Peer::new(|mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.contains("trailer: x-sum\r\n"), "{head}");
        let mut body = [0; 24];
        tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body)
            .await
            .unwrap();
        assert_eq!(&body, b"3\r\nabc\r\n0\r\nx-sum: 42\r\n\r\n");
        let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n\
                      3\r\nabc\r\n0\r\nx-sum: 43\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
    })
    .await;
    let client = client(&[&peer.origin()]);
    let (writer, body) = written();
    let mut request = request("POST", &peer.at("127.0.0.1", "/"), body);
    let headers = request.headers_mut();
    headers.insert("trailer", "x-sum".parse().unwrap());
    headers.insert("te", "trailers".parse().unwrap());
    let running = tokio::spawn(Box::into_pin(client.send(request, None)));
    writer.send(piece("abc")).await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    writer.send(Frame::trailers(trailers)).await.unwrap();
    drop(writer);
    let (response, sending) = soon("an answer", running).await.unwrap().unwrap();
    soon("the end of sending", Box::into_pin(sending))
        .await
        .unwrap();
    let body = soon("the body", response.into_body().collect()).await;
    assert_eq!(body.unwrap().trailers().unwrap()["x-sum"], "43");
}

#[tokio::test]
async fn both_directions_stream_at_once() {
    let peer = Peer::new(|mut stream| async move {
        read_head(&mut stream).await;
        let head = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head.as_bytes()).await.unwrap();
        // Chunks go back as they came.
        let (mut reader, mut writer) = stream.split();
        let _ = tokio::io::copy(&mut reader, &mut writer).await;
    })
    .await;
    let client = client(&[&peer.origin()]);
    let (writer, body) = written();
    let request = request("POST", &peer.at("127.0.0.1", "/"), body);
    let (response, sending) = send(&client, request).await.unwrap();
    let mut body = response.into_body();
    for word in ["one", "two", "three"] {
        writer.send(piece(word)).await.unwrap();
        let frame = soon("the echo", body.frame()).await.unwrap().unwrap();
        assert_eq!(frame.into_data().unwrap(), word);
    }
    drop(writer);
    soon("the end of sending", Box::into_pin(sending))
        .await
        .unwrap();
    assert!(soon("the end", body.frame()).await.is_none());
}

#[tokio::test]
async fn a_response_without_a_body_says_so() {
    let peer = Peer::saying("HTTP/1.1 204 No Content\r\n\r\n").await;
    let client = client(&[&peer.origin()]);
    let (response, _) = get(&client, &peer.at("127.0.0.1", "/")).await.unwrap();
    assert!(http_body::Body::is_end_stream(response.body()));
    // The connection is free though nobody has read or dropped the body.
    let head = request("HEAD", &peer.at("127.0.0.1", "/"), empty());
    assert!(send(&client, head).await.is_ok());
    assert_eq!(peer.accepted(), 1);
}
