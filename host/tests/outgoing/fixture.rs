//! Peers that say what a test wants, and guests that ask them.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::stream;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Empty, Full, StreamBody};
use parking_lot::Mutex;
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use skep::outgoing::{OutgoingClient, OutgoingLimits, OutgoingPolicy, Resolve, Resolving, Sending};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

/// Nothing here takes longer than this unless it hangs.
const PATIENCE: Duration = Duration::from_secs(20);

/// Fails the test instead of hanging it.
pub(crate) async fn soon<F: Future>(what: &str, future: F) -> F::Output {
    let outcome = timeout(PATIENCE, future).await;
    outcome.unwrap_or_else(|_| panic!("{what}: not within {PATIENCE:?}"))
}

/// A server on loopback that runs `serve` for each connection.
pub(crate) struct Peer {
    pub(crate) address: SocketAddr,
    accepted: Arc<AtomicUsize>,
}

impl Peer {
    pub(crate) async fn new<F, S>(serve: S) -> Self
    where
        S: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream));
            }
        });
        Self { address, accepted }
    }

    /// Answers each request on a connection with `response`, whole as written.
    pub(crate) async fn saying(response: &'static str) -> Self {
        Self::new(move |mut stream| async move {
            while !read_head(&mut stream).await.is_empty() {
                stream.write_all(response.as_bytes()).await.unwrap();
            }
        })
        .await
    }

    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// The URI of `path` here, under another host name.
    pub(crate) fn at(&self, host: &str, path: &str) -> String {
        format!("http://{host}:{}{path}", self.port())
    }

    pub(crate) fn origin(&self) -> String {
        self.at("127.0.0.1", "")
    }
}

/// Reads up to the empty line; empty if the client has closed.
pub(crate) async fn read_head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return String::new(),
        }
    }
    String::from_utf8(head).unwrap()
}

/// Waits until the client has closed the connection; returns what it sent before that.
pub(crate) async fn read_to_close(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    // A reset is a close too.
    let _ = stream.read_to_end(&mut rest).await;
    rest
}

pub(crate) const HELLO: &str = "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello";

/// A resolver that answers from a script, and counts.
#[derive(Default)]
pub(crate) struct Names {
    answers: Mutex<Vec<Vec<IpAddr>>>,
    asked: AtomicUsize,
}

impl Names {
    /// The n-th question gets the n-th answer; the last is repeated. None at all: never an answer.
    pub(crate) fn answering(answers: &[&[&str]]) -> Arc<Self> {
        let parse = |answer: &&[&str]| answer.iter().map(|ip| ip.parse().unwrap()).collect();
        Arc::new(Self {
            answers: Mutex::new(answers.iter().map(parse).collect()),
            asked: AtomicUsize::new(0),
        })
    }

    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

impl Resolve for Names {
    fn resolve(&self, _host: String) -> Resolving {
        let n = self.asked.fetch_add(1, Ordering::SeqCst);
        let answers = self.answers.lock();
        let Some(last) = answers.len().checked_sub(1) else {
            return Box::pin(std::future::pending());
        };
        let answer = answers[n.min(last)].clone();
        Box::pin(async move {
            if answer.is_empty() {
                Err(io::Error::other("no such name"))
            } else {
                Ok(answer)
            }
        })
    }
}

pub(crate) fn policy(origins: &[&str]) -> OutgoingPolicy {
    OutgoingPolicy {
        service: "guest".into(),
        origins: origins.iter().map(|o| o.parse().unwrap()).collect(),
        limits: OutgoingLimits::default(),
        buffers: skep::memory::buffers::Buffers::of_nobody(),
    }
}

/// A client with these origins, the system's resolver and the test authority's trust.
pub(crate) fn client(origins: &[&str]) -> OutgoingClient {
    limited(origins, |_| {})
}

pub(crate) fn limited(origins: &[&str], limit: impl FnOnce(&mut OutgoingLimits)) -> OutgoingClient {
    let mut policy = policy(origins);
    limit(&mut policy.limits);
    let names = Arc::new(skep::outgoing::SystemResolver);
    OutgoingClient::with(policy, names, trust())
}

pub(crate) fn resolving(origins: &[&str], names: &Arc<Names>) -> OutgoingClient {
    OutgoingClient::with(policy(origins), Arc::clone(names) as _, trust())
}

pub(crate) type Answer = Result<(Response<WasiBody>, Sending), Error>;

pub(crate) async fn send(client: &OutgoingClient, request: Request<WasiBody>) -> Answer {
    soon("an answer", Box::into_pin(client.send(request, None))).await
}

pub(crate) async fn get(client: &OutgoingClient, uri: &str) -> Answer {
    send(client, request("GET", uri, empty())).await
}

pub(crate) async fn get_with(
    client: &OutgoingClient,
    uri: &str,
    options: RequestOptions,
) -> Answer {
    let sent = client.send(request("GET", uri, empty()), Some(options));
    soon("an answer", Box::into_pin(sent)).await
}

/// The body's text of a request that has to succeed.
pub(crate) async fn text(client: &OutgoingClient, uri: &str) -> String {
    body_text(get(client, uri).await.unwrap().0).await
}

pub(crate) async fn body_text(response: Response<WasiBody>) -> String {
    let body = soon("the body", response.into_body().collect()).await;
    String::from_utf8(body.unwrap().to_bytes().to_vec()).unwrap()
}

/// The error of a request that has to fail.
pub(crate) fn error<T>(answer: Result<T, Error>) -> Error {
    match answer {
        Ok(_) => panic!("the request succeeded"),
        Err(error) => error,
    }
}

/// `assert_error!(answer, Error::Variant)`, with the other error shown.
#[macro_export]
macro_rules! assert_error {
    ($answer:expr, $wanted:pat) => {
        let error = $crate::fixture::error($answer);
        assert!(matches!(error, $wanted), "{error:?}");
    };
}

pub(crate) fn request(method: &str, uri: &str, body: WasiBody) -> Request<WasiBody> {
    Request::builder()
        .method(method)
        .uri(uri)
        .body(body)
        .unwrap()
}

pub(crate) fn empty() -> WasiBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn full(text: impl Into<Bytes>) -> WasiBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that the test writes piece by piece, as a guest does.
pub(crate) fn written() -> (tokio::sync::mpsc::Sender<Frame<Bytes>>, WasiBody) {
    let (writer, reader) = tokio::sync::mpsc::channel(1);
    let frames = stream::unfold(reader, |mut reader| async move {
        let frame = reader.recv().await?;
        Some((Ok(frame), reader))
    });
    (writer, StreamBody::new(frames).boxed_unsync())
}

pub(crate) fn piece(text: &'static str) -> Frame<Bytes> {
    Frame::data(Bytes::from_static(text.as_bytes()))
}

/// Trusts the authority that signed the peers' certificate for `peer.test` and 127.0.0.1.
pub(crate) fn trust() -> ClientConfig {
    let mut roots = RootCertStore::empty();
    let authority = include_bytes!("tls/authority.der");
    roots
        .add(CertificateDer::from(authority.as_slice()))
        .unwrap();
    ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth()
}

pub(crate) fn identity(protocols: &[&str]) -> Arc<ServerConfig> {
    let certificate = CertificateDer::from(include_bytes!("tls/peer.der").as_slice());
    let key = PrivatePkcs8KeyDer::from(include_bytes!("tls/peer-key.der").as_slice());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], PrivateKeyDer::Pkcs8(key))
        .unwrap();
    config.alpn_protocols = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
    Arc::new(config)
}
