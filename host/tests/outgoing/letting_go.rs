//! Whoever lets go early cuts the connection: no peer waits for a guest that has gone, and none
//! takes a broken request for a whole one.

use http_body_util::BodyExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use wasmtime_wasi_http::Error;

use crate::assert_error;
use crate::fixture::*;

/// A peer that reads a head, says `answer`, and reports what it reads until the client closes.
async fn witness(answer: &'static str) -> (Peer, mpsc::UnboundedReceiver<Vec<u8>>) {
    let (report, reports) = mpsc::unbounded_channel();
    let peer = Peer::new(move |mut stream| {
        let report = report.clone();
        async move {
            read_head(&mut stream).await;
            stream.write_all(answer.as_bytes()).await.unwrap();
            let _ = report.send(Vec::new());
            let _ = report.send(read_to_close(&mut stream).await);
        }
    })
    .await;
    (peer, reports)
}

const ENDLESS: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n";

#[tokio::test]
async fn dropping_the_request_closes_its_connection() {
    let (peer, mut reports) = witness("").await;
    let client = client(&[&peer.origin()]);
    let sent =
        Box::into_pin(client.send(request("GET", &peer.at("127.0.0.1", "/"), empty()), None));
    let running = tokio::spawn(sent);
    soon("the request arrives", reports.recv()).await;
    running.abort();
    soon("the connection closes", reports.recv()).await.unwrap();
}

#[tokio::test]
async fn dropping_the_response_body_closes_its_connection() {
    let (peer, mut reports) = witness(ENDLESS).await;
    let client = client(&[&peer.origin()]);
    let (response, _sending) = get(&client, &peer.at("127.0.0.1", "/")).await.unwrap();
    let mut body = response.into_body();
    soon("a piece", body.frame()).await.unwrap().unwrap();
    soon("the request arrives", reports.recv()).await;
    assert!(reports.try_recv().is_err());
    drop(body);
    soon("the connection closes", reports.recv()).await.unwrap();
}

#[tokio::test]
async fn dropping_the_sending_closes_its_connection() {
    let (peer, mut reports) = witness(ENDLESS).await;
    let client = client(&[&peer.origin()]);
    let (writer, body) = written();
    let request = request("POST", &peer.at("127.0.0.1", "/"), body);
    let (response, sending) = send(&client, request).await.unwrap();
    soon("the request arrives", reports.recv()).await;
    writer.send(piece("abc")).await.unwrap();
    drop(sending);
    let seen = soon("the connection closes", reports.recv()).await.unwrap();
    assert!(!seen.ends_with(b"0\r\n\r\n"), "{seen:?}");
    let read = soon("the body breaks", response.into_body().collect()).await;
    assert!(read.is_err());
}

#[tokio::test]
async fn a_guest_that_traps_never_ends_its_request() {
    for answer in ["", ENDLESS] {
        let (peer, mut reports) = witness(answer).await;
        let client = client(&[&peer.origin()]);
        let scope = client.scope(0);
        let (writer, body) = written();
        let request = request("POST", &peer.at("127.0.0.1", "/"), body);
        let running = tokio::spawn(Box::into_pin(scope.send(request, None)));
        writer.send(piece("half an order")).await.unwrap();
        soon("the request arrives", reports.recv()).await;
        // The order in which a store's data goes: the scope, then the channels.
        drop(scope);
        drop(writer);
        let seen = soon("the connection closes", reports.recv()).await.unwrap();
        assert!(!seen.ends_with(b"0\r\n\r\n"), "{seen:?}");
        drop(running);
    }
}

/// The same where the connection's task and the store's end race on two threads.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_guest_that_traps_loses_the_race_to_its_connection() {
    let (peer, mut reports) = witness("").await;
    let client = client(&[&peer.origin()]);
    for round in 0..300 {
        let scope = client.scope(0);
        let (writer, body) = written();
        let request = request("POST", &peer.at("127.0.0.1", "/"), body);
        let running = tokio::spawn(Box::into_pin(scope.send(request, None)));
        writer.send(piece("half an order")).await.unwrap();
        soon("the request arrives", reports.recv()).await;
        drop(scope);
        drop(writer);
        let seen = soon("the connection closes", reports.recv()).await.unwrap();
        assert!(!seen.ends_with(b"0\r\n\r\n"), "round {round}: {seen:?}");
        drop(running);
    }
}

#[tokio::test]
async fn a_guest_that_ended_well_has_its_request_sent_to_the_end() {
    let (peer, mut reports) = witness(HELLO).await;
    let client = client(&[&peer.origin()]);
    let mut scope = client.scope(0);
    let (writer, body) = written();
    let request = request("POST", &peer.at("127.0.0.1", "/"), body);
    let sent = Box::into_pin(scope.send(request, None));
    let (response, sending) = soon("an answer", sent).await.unwrap();
    soon("the request arrives", reports.recv()).await;
    scope.release();
    drop(scope);
    writer.send(piece("abc")).await.unwrap();
    drop(writer);
    soon("the end of sending", Box::into_pin(sending))
        .await
        .unwrap();
    assert_eq!(body_text(response).await, "hello");
    drop(client);
    let seen = soon("the connection closes", reports.recv()).await.unwrap();
    assert_eq!(seen, b"3\r\nabc\r\n0\r\n\r\n");
}

#[tokio::test]
async fn a_peer_that_lets_go_is_told_apart() {
    // Before an answer.
    let peer = Peer::new(|mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let answer = get(&client(&[&peer.origin()]), &peer.at("127.0.0.1", "/")).await;
    assert_error!(answer, Error::ConnectionTerminated);

    // In the middle of one.
    let peer = Peer::new(|mut stream| async move {
        read_head(&mut stream).await;
        let half = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
        stream.write_all(half).await.unwrap();
    })
    .await;
    let answer = get(&client(&[&peer.origin()]), &peer.at("127.0.0.1", "/")).await;
    let body = soon("the body", answer.unwrap().0.into_body().collect()).await;
    assert_error!(body, Error::HttpResponseIncomplete);

    // Speaking something else.
    let peer = Peer::saying("SSH-2.0-OpenSSH_9.6\r\n\r\n").await;
    let answer = get(&client(&[&peer.origin()]), &peer.at("127.0.0.1", "/")).await;
    assert_error!(answer, Error::HttpProtocolError);

    // Never there.
    let vacant = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let uri = format!("http://{}", vacant.local_addr().unwrap());
    drop(vacant);
    assert_error!(get(&client(&[&uri]), &uri).await, Error::ConnectionRefused);

    // Without an address.
    let names = Names::answering(&[&[]]);
    let client = resolving(&["http://gone.test"], &names);
    let answer = get(&client, "http://gone.test/").await;
    assert_error!(answer, Error::DnsError { .. });
}

#[tokio::test]
async fn a_body_that_the_guest_breaks_off_is_its_own_error() {
    let (peer, mut reports) = witness("").await;
    let client = client(&[&peer.origin()]);
    let broken = futures::stream::iter([
        Ok(piece("abc")),
        Err(Error::InternalError(Some("changed its mind".into()))),
    ]);
    let body = http_body_util::StreamBody::new(broken).boxed_unsync();
    let answer = send(&client, request("POST", &peer.at("127.0.0.1", "/"), body)).await;
    assert_error!(answer, Error::InternalError(Some(_)));
    let mut seen = Vec::new();
    while let Ok(Some(report)) =
        tokio::time::timeout(std::time::Duration::from_secs(2), reports.recv()).await
    {
        seen = report;
    }
    assert!(!seen.ends_with(b"0\r\n\r\n"), "{seen:?}");
}
