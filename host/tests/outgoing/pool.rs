//! Connections are reused, few are kept, and dead ones cost nobody an error.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use wasmtime_wasi_http::Error;

use crate::assert_error;
use crate::fixture::*;

#[tokio::test]
async fn requests_one_after_another_share_a_connection() {
    let peer = Peer::saying(HELLO).await;
    let client = client(&[&peer.origin()]);
    for _ in 0..5 {
        assert_eq!(text(&client, &peer.at("127.0.0.1", "/")).await, "hello");
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_body_with_a_request_leaves_the_connection_usable() {
    let peer = Peer::new(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            // The chunks "abc" and the end.
            let mut body = [0; 13];
            tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body)
                .await
                .unwrap();
            assert_eq!(&body, b"3\r\nabc\r\n0\r\n\r\n");
            stream.write_all(HELLO.as_bytes()).await.unwrap();
        }
    })
    .await;
    let client = client(&[&peer.origin()]);
    for _ in 0..3 {
        let (writer, body) = written();
        writer.send(piece("abc")).await.unwrap();
        drop(writer);
        let request = request("POST", &peer.at("127.0.0.1", "/"), body);
        let (response, sending) = send(&client, request).await.unwrap();
        soon("the end of sending", Box::into_pin(sending))
            .await
            .unwrap();
        assert_eq!(body_text(response).await, "hello");
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn an_answer_before_the_end_of_the_request_still_gives_the_connection_back() {
    let peer = Peer::new(|mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            stream.write_all(HELLO.as_bytes()).await.unwrap();
            let mut body = [0; 13];
            let read = tokio::io::AsyncReadExt::read_exact(&mut stream, &mut body).await;
            read.unwrap();
        }
    })
    .await;
    let client = client(&[&peer.origin()]);
    for _ in 0..3 {
        let (writer, body) = written();
        let request = request("POST", &peer.at("127.0.0.1", "/"), body);
        let (response, sending) = send(&client, request).await.unwrap();
        assert_eq!(body_text(response).await, "hello");
        writer.send(piece("abc")).await.unwrap();
        drop(writer);
        soon("the end of sending", Box::into_pin(sending))
            .await
            .unwrap();
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_connection_that_the_peer_closed_is_replaced_unnoticed() {
    let peer = Peer::new(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(HELLO.as_bytes()).await.unwrap();
    })
    .await;
    let client = client(&[&peer.origin()]);
    for _ in 0..5 {
        assert_eq!(text(&client, &peer.at("127.0.0.1", "/")).await, "hello");
    }
    assert_eq!(peer.accepted(), 5);
}

#[tokio::test]
async fn a_peer_that_closes_while_we_send_costs_only_what_may_not_be_repeated() {
    // Answers the first request of a connection and closes on the second.
    let peer = Peer::new(|mut stream| async move {
        read_head(&mut stream).await;
        stream.write_all(HELLO.as_bytes()).await.unwrap();
        read_head(&mut stream).await;
    })
    .await;
    let client = client(&[&peer.origin()]);
    let uri = peer.at("127.0.0.1", "/");
    for _ in 0..3 {
        assert_eq!(text(&client, &uri).await, "hello");
    }
    assert_eq!(peer.accepted(), 3);
    let order = send(&client, request("POST", &uri, empty())).await;
    assert_error!(order, Error::ConnectionTerminated);
    assert_eq!(peer.accepted(), 3);
}

/// A peer that answers, then tells when the client has closed.
async fn observed() -> (Peer, mpsc::UnboundedReceiver<()>) {
    let (closed, closes) = mpsc::unbounded_channel();
    let peer = Peer::new(move |mut stream| {
        let closed = closed.clone();
        async move {
            while !read_head(&mut stream).await.is_empty() {
                stream.write_all(HELLO.as_bytes()).await.unwrap();
            }
            let _ = closed.send(());
        }
    })
    .await;
    (peer, closes)
}

#[tokio::test]
async fn idle_connections_are_few_over_all_hosts() {
    let (first, mut first_closes) = observed().await;
    let (second, mut second_closes) = observed().await;
    let client = limited(&[&first.origin(), &second.origin()], |l| {
        l.idle_connections = 1;
    });
    text(&client, &first.at("127.0.0.1", "/")).await;
    assert!(first_closes.try_recv().is_err());
    text(&client, &second.at("127.0.0.1", "/")).await;
    soon("the older connection closes", first_closes.recv()).await;
    assert!(second_closes.try_recv().is_err());
}

#[tokio::test]
async fn idle_connections_close_in_time() {
    let (peer, mut closes) = observed().await;
    let client = limited(&[&peer.origin()], |l| {
        l.idle_timeout = Duration::from_millis(200);
    });
    text(&client, &peer.at("127.0.0.1", "/")).await;
    soon("the idle connection closes", closes.recv()).await;
    text(&client, &peer.at("127.0.0.1", "/")).await;
    assert_eq!(peer.accepted(), 2);
    soon("the next one too", closes.recv()).await;
}

#[tokio::test]
async fn idle_connections_close_with_the_client() {
    let (peer, mut closes) = observed().await;
    let client = client(&[&peer.origin()]);
    text(&client, &peer.at("127.0.0.1", "/")).await;
    drop(client);
    soon("the idle connection closes", closes.recv()).await;
}
