//! TLS, and HTTP/2 where the peer speaks it.

use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use futures::future::join_all;
use http::{HeaderMap, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use skep::outgoing::OutgoingClient;
use tokio::sync::mpsc;
use tokio_rustls::TlsAcceptor;
use wasmtime_wasi_http::Error;

use crate::assert_error;
use crate::fixture::*;

/// A peer for `https://peer.test` that answers with `serve` over the protocols named.
async fn secure<F, S>(protocols: &[&str], serve: S) -> Peer
where
    S: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>>>
        + Send
        + 'static,
{
    let acceptor = TlsAcceptor::from(identity(protocols));
    Peer::new(move |stream| {
        let acceptor = acceptor.clone();
        let serve = serve.clone();
        async move {
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(move |request| {
                let answer = serve(request);
                async move { Ok::<_, Infallible>(answer.await) }
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
        }
    })
    .await
}

/// Answers with the protocol and the authority that it was asked with.
async fn version(
    request: Request<Incoming>,
) -> Response<http_body_util::combinators::UnsyncBoxBody<Bytes, Infallible>> {
    let host = match request.uri().authority() {
        Some(authority) => authority.as_str(),
        None => request.headers()["host"].to_str().unwrap(),
    };
    let text = format!("{:?} {host}", request.version());
    Response::new(Full::new(Bytes::from(text)).boxed_unsync())
}

fn https(peer: &Peer) -> String {
    format!("https://peer.test:{}", peer.port())
}

fn to(peer: &Peer) -> OutgoingClient {
    let names = Names::answering(&[&["127.0.0.1"]]);
    let literal = format!("https://{}", peer.address);
    resolving(&[&https(peer), &literal], &names)
}

#[tokio::test]
async fn tls_with_http_1() {
    for protocols in [&["http/1.1"][..], &[]] {
        let peer = secure(protocols, version).await;
        let client = to(&peer);
        for _ in 0..3 {
            let wanted = format!("HTTP/1.1 peer.test:{}", peer.port());
            assert_eq!(text(&client, &https(&peer)).await, wanted);
        }
        assert_eq!(peer.accepted(), 1);
    }
}

#[tokio::test]
async fn http_2_requests_share_a_connection() {
    let peer = secure(&["h2", "http/1.1"], version).await;
    let client = to(&peer);
    let wanted = format!("HTTP/2.0 peer.test:{}", peer.port());
    assert_eq!(text(&client, &https(&peer)).await, wanted);
    let uri = https(&peer);
    for answer in join_all((0..20).map(|_| text(&client, &uri))).await {
        assert_eq!(answer, wanted);
    }
    assert_eq!(peer.accepted(), 1);
}

#[tokio::test]
async fn a_literal_address_has_a_certificate_too() {
    let peer = secure(&["http/1.1"], version).await;
    let uri = format!("https://{}", peer.address);
    let wanted = format!("HTTP/1.1 {}", peer.address);
    assert_eq!(text(&to(&peer), &uri).await, wanted);
}

#[tokio::test]
async fn a_certificate_has_to_be_the_peers_and_trusted() {
    let peer = secure(&["h2"], version).await;
    let names = Names::answering(&[&["127.0.0.1"]]);
    let literal = format!("https://{}", peer.address);
    let other = format!("https://other.test:{}", peer.port());
    let client = resolving(&[&other, &literal], &names);
    assert_error!(get(&client, &other).await, Error::TlsCertificateError);
    // The public roots do not know the test authority.
    let client = OutgoingClient::new(policy(&[&literal]));
    assert_error!(get(&client, &literal).await, Error::TlsCertificateError);
}

#[tokio::test]
async fn a_peer_without_tls_is_no_tls_peer() {
    let peer = Peer::saying(HELLO).await;
    let silent = Peer::new(|stream| async move { drop(stream) }).await;
    let plain = Peer::new(|mut stream| async move {
        use tokio::io::AsyncWriteExt;
        let _ = stream.write_all(HELLO.as_bytes()).await;
        read_to_close(&mut stream).await;
    })
    .await;
    drop(peer);
    assert_error!(
        get(&to(&plain), &https(&plain)).await,
        Error::TlsProtocolError
    );
    assert_error!(
        get(&to(&silent), &https(&silent)).await,
        Error::ConnectionTerminated
    );
}

#[tokio::test]
async fn http_2_carries_bodies_and_trailers_both_ways() {
    let peer = secure(&["h2"], |request: Request<Incoming>| async move {
        // Frames go back as they came, trailers too.
        let frames = futures::stream::unfold(request.into_body(), |mut body| async move {
            let frame = body.frame().await?.unwrap();
            Some((Ok(frame), body))
        });
        Response::new(StreamBody::new(frames).boxed_unsync())
    })
    .await;
    let client = to(&peer);
    let (writer, body) = written();
    let (response, sending) = send(&client, request("POST", &https(&peer), body))
        .await
        .unwrap();
    writer.send(piece("abc")).await.unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-sum", "42".parse().unwrap());
    writer.send(Frame::trailers(trailers)).await.unwrap();
    drop(writer);
    soon("the end of sending", Box::into_pin(sending))
        .await
        .unwrap();
    let body = soon("the body", response.into_body().collect()).await;
    let body = body.unwrap();
    assert_eq!(body.trailers().unwrap()["x-sum"], "42");
    assert_eq!(body.to_bytes(), "abc");
}

#[tokio::test]
async fn http_2_heads_are_limited() {
    let peer = secure(&["h2"], |_| async {
        let mut response = Response::new(Full::new(Bytes::new()).boxed_unsync());
        let big = "a".repeat(12_000).parse().unwrap();
        response.headers_mut().insert("x-big", big);
        response
    })
    .await;
    let mut policy = policy(&[&format!("https://{}", peer.address)]);
    policy.limits.response_headers = 10_000;
    let names = Arc::new(skep::outgoing::SystemResolver);
    let client = OutgoingClient::with(policy, names, trust());
    let answer = get(&client, &format!("https://{}", peer.address)).await;
    assert_error!(answer, Error::HttpResponseHeaderSectionSize(Some(_)));
}

/// Letting go of one request over HTTP/2 ends its stream, and leaves the others' connection alone.
#[tokio::test]
async fn letting_go_over_http_2_ends_the_stream_alone() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let peer = secure(&["h2"], move |request: Request<Incoming>| {
        let report = report.clone();
        async move {
            if request.method() == "GET" {
                return version(request).await;
            }
            let mut body = request.into_body();
            tokio::spawn(async move {
                let outcome = loop {
                    match body.frame().await {
                        Some(Ok(_)) => {}
                        Some(Err(_)) => break "broken",
                        None => break "whole",
                    }
                };
                let _ = report.send(outcome);
            });
            std::future::pending().await
        }
    })
    .await;
    let client = to(&peer);
    assert!(text(&client, &https(&peer)).await.starts_with("HTTP/2.0"));

    // The sender goes.
    let (writer, body) = written();
    let sent = Box::into_pin(client.send(request("POST", &https(&peer), body), None));
    let running = tokio::spawn(sent);
    writer.send(piece("abc")).await.unwrap();
    writer.send(piece("def")).await.unwrap();
    running.abort();
    assert_eq!(soon("a report", reports.recv()).await, Some("broken"));

    // The guest traps.
    let scope = client.scope(0);
    let (writer, body) = written();
    let sent = Box::into_pin(scope.send(request("POST", &https(&peer), body), None));
    let _running = tokio::spawn(sent);
    writer.send(piece("abc")).await.unwrap();
    writer.send(piece("def")).await.unwrap();
    drop(scope);
    drop(writer);
    assert_eq!(soon("a report", reports.recv()).await, Some("broken"));

    assert!(text(&client, &https(&peer)).await.starts_with("HTTP/2.0"));
}

/// HTTP/2 cannot reset a stream whose peer has stopped taking its body once it has answered; the
/// connection is given up instead, so that a guest cannot pile such streams up.
#[tokio::test]
async fn a_stuck_upload_over_http_2_gives_the_connection_up() {
    let (report, mut reports) = mpsc::unbounded_channel();
    let acceptor = TlsAcceptor::from(identity(&["h2"]));
    let peer = Peer::new(move |stream| {
        let (acceptor, report) = (acceptor.clone(), report.clone());
        async move {
            let stream = acceptor.accept(stream).await.unwrap();
            // Answers at once, and holds on to the request without reading it.
            let service = service_fn(|request: Request<Incoming>| async move {
                tokio::spawn(async move {
                    let _held = request;
                    std::future::pending::<()>().await;
                });
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _ = builder
                .serve_connection(TokioIo::new(stream), service)
                .await;
            let _ = report.send(());
        }
    })
    .await;
    let client = to(&peer);
    let (writer, body) = written();
    let (response, sending) = send(&client, request("POST", &https(&peer), body))
        .await
        .unwrap();
    assert_eq!(body_text(response).await, "ok");
    let full = Bytes::from(vec![7; 64 * 1024]);
    let write = || writer.send(Frame::data(full.clone()));
    while tokio::time::timeout(std::time::Duration::from_millis(300), write())
        .await
        .is_ok()
    {}
    assert!(reports.try_recv().is_err());
    drop(sending);
    soon("the connection closes", reports.recv()).await;
    assert_eq!(text(&client, &https(&peer)).await, "ok");
    assert_eq!(peer.accepted(), 2);
}
