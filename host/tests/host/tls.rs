//! HTTPS, with the certificate that the manifest names.

use std::fmt::Write as _;
use std::sync::Arc;

use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use crate::fixture::{Body, Host, Plan, Reply, get, service, soon};

/// The name that the test certificate is for.
const NAME: &str = "peer.test";

/// PEM as files have it.
fn pem(kind: &str, der: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = format!("-----BEGIN {kind}-----\n");
    for line in der.chunks(48) {
        for three in line.chunks(3) {
            let word = three
                .iter()
                .fold(0u32, |word, byte| word << 8 | u32::from(*byte));
            let word = word << (8 * (3 - three.len()));
            for place in 0..4 {
                let digit = DIGITS[(word >> (18 - 6 * place)) as usize & 63] as char;
                text.push(if place <= three.len() { digit } else { '=' });
            }
        }
        text.push('\n');
    }
    writeln!(text, "-----END {kind}-----").unwrap();
    text
}

fn secure() -> Plan {
    let certificate = pem("CERTIFICATE", include_bytes!("../outgoing/tls/peer.der"));
    let key = pem(
        "PRIVATE KEY",
        include_bytes!("../outgoing/tls/peer-key.der"),
    );
    Host::with(service("probe").everywhere())
        .http("tls = { cert = \"cert.pem\", key = \"key.pem\" }")
        .file("cert.pem", &certificate)
        .file("key.pem", &key)
}

/// Asks over TLS with this protocol, as ALPN names it.
async fn ask(host: &Host, protocol: &str, mut asked: http::Request<Body>) -> Reply {
    let mut roots = RootCertStore::empty();
    let authority = include_bytes!("../outgoing/tls/authority.der");
    roots
        .add(CertificateDer::from(authority.as_slice()))
        .unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
    let tcp = TcpStream::connect(host.address()).await.unwrap();
    let name = ServerName::try_from(NAME).unwrap();
    let connecting = TlsConnector::from(Arc::new(config)).connect(name, tcp);
    let stream = TokioIo::new(soon("a TLS handshake", connecting).await.unwrap());
    *asked.uri_mut() = format!("https://{NAME}{}", asked.uri()).parse().unwrap();
    let response = if protocol == "h2" {
        let made = hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await;
        let (mut handle, connection) = made.unwrap();
        tokio::spawn(connection);
        soon("a response", handle.send_request(asked)).await
    } else {
        asked.headers_mut().insert("host", NAME.parse().unwrap());
        *asked.uri_mut() = asked.uri().path().parse().unwrap();
        let (mut handle, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        soon("a response", handle.send_request(asked)).await
    };
    Reply::of(response.unwrap()).await
}

#[tokio::test]
async fn https_is_served_in_both_protocols_and_guests_are_told() {
    let host = secure().start().await;
    assert!(
        host.stderr()[0].starts_with("https://"),
        "{:?}",
        host.stderr()
    );
    for protocol in ["http/1.1", "h2"] {
        let reply = ask(&host, protocol, get("/headers")).await.expect(200);
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
    ask(&host, "http/1.1", get("/")).await.expect(200);
}

#[test]
fn a_certificate_that_cannot_be_used_is_found_by_check() {
    let plan = secure().file("key.pem", "no key\n");
    plan.run("check", &[])
        .expect(3)
        .says(&["key.pem", "skep.toml:"]);
}
