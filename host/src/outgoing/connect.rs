//! Makes connections, and only to addresses that were checked after they were resolved: the name
//! is resolved here, once, so that no second answer of a hostile DNS server is ever connected to.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::FuturesUnordered;
use hyper::client::conn::{http1, http2};
use hyper_rustls::ConfigBuilderExt;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_rustls::TlsConnector;
use wasmtime_wasi_http::Error;

use super::connection::{Connection, Tied, tie};
use super::destination::{Destination, Host};
use super::resolve::Resolve;
use super::{OutgoingLimits, fault};
use crate::task;

/// Makes one service's connections.
pub(super) struct Connector {
    resolver: Arc<dyn Resolve>,
    lookups: Arc<Semaphore>,
    tls: TlsConnector,
    http1: http1::Builder,
    /// What HTTP/2 peers are told about the size of response heads.
    http2_head: u32,
}

/// Lookups at a time for one service, so that a guest that asks for dead names cannot have all of
/// the process's.
const LOOKUPS: usize = 4;

/// Addresses tried per connection; a name with more is served by any of the first.
const MAX_ADDRESSES: usize = 8;

/// RFC 8305: how long an attempt may take before the next address is tried beside it.
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// What an HTTP/1 connection buffers in each direction at most.
const HTTP1_BUFFER: usize = 64 * 1024;

/// What a peer may send ahead of a guest that does not read: per response, and per connection.
const HTTP2_STREAM_WINDOW: u32 = 256 * 1024;
const HTTP2_CONNECTION_WINDOW: u32 = 1024 * 1024;

/// What a guest may send ahead of a peer that does not read.
const HTTP2_SEND_BUFFER: usize = 256 * 1024;

/// A shared connection that is silent for this long is asked whether it lives, and closed after as
/// long again; otherwise each request on it would wait for its own time-out.
const HTTP2_PING: Duration = Duration::from_secs(20);

/// TLS as the public web has it: TLS 1.2 and 1.3, Mozilla's roots, no client certificate.
pub(super) fn public_tls() -> ClientConfig {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring has the cipher suites of both versions")
        .with_webpki_roots()
        .with_no_client_auth()
}

impl Connector {
    pub(super) fn new(
        limits: &OutgoingLimits,
        resolver: Arc<dyn Resolve>,
        mut tls: ClientConfig,
    ) -> Self {
        tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let head = limits.response_headers;
        let mut http1 = http1::Builder::new();
        http1
            .max_header_size(head)
            .max_buf_size(head.max(HTTP1_BUFFER));
        // HTTP/2 counts 32 bytes per field on top; the exact limit is checked on what arrives.
        let http2_head = u32::try_from(head.saturating_mul(2)).unwrap_or(u32::MAX);
        Self {
            resolver,
            lookups: Arc::new(Semaphore::new(LOOKUPS)),
            tls: TlsConnector::from(Arc::new(tls)),
            http1,
            http2_head,
        }
    }

    /// A new connection to `destination`, at an address that `allows` lets pass, by `deadline`.
    pub(super) async fn connect(
        &self,
        destination: &Destination,
        allows: impl Fn(IpAddr) -> bool,
        deadline: Instant,
    ) -> Result<Connection, Error> {
        let found = match destination.host() {
            Host::Address(ip) => vec![*ip],
            Host::Name(name) => self.resolve(name, deadline).await?,
        };
        if found.is_empty() {
            return Err(dns_error());
        }
        let mut allowed: Vec<IpAddr> = found.into_iter().filter(|ip| allows(*ip)).collect();
        if allowed.is_empty() {
            return Err(Error::DestinationIpProhibited);
        }
        alternate(&mut allowed);
        let addresses = allowed
            .iter()
            .take(MAX_ADDRESSES)
            .map(|ip| SocketAddr::new(*ip, destination.port()));

        let by_deadline = timeout_at(deadline, async {
            let stream = dial(addresses.collect()).await?;
            self.speak(destination, stream).await
        });
        by_deadline.await.unwrap_or(Err(Error::ConnectionTimeout))
    }

    async fn resolve(&self, name: &str, deadline: Instant) -> Result<Vec<IpAddr>, Error> {
        let permit = Arc::clone(&self.lookups).acquire_owned();
        let Ok(Ok(permit)) = timeout_at(deadline, permit).await else {
            return Err(Error::DnsTimeout);
        };
        let resolving = self.resolver.resolve(name.to_owned());
        // A task of its own: libc cannot be told to stop, so a lookup keeps its permit until it
        // has ended, though nobody may wait for it any more.
        let lookup = task::spawn(task::Kind::Server, async move {
            let _permit = permit;
            resolving.await
        });
        match timeout_at(deadline, lookup).await {
            Err(_) => Err(Error::DnsTimeout),
            Ok(Ok(Some(Ok(addresses)))) => Ok(addresses),
            Ok(Ok(Some(Err(error)))) => {
                tracing::debug!(name, %error, "a name could not be resolved");
                Err(dns_error())
            }
            Ok(_) => Err(Error::InternalError(None)),
        }
    }

    /// TLS where the scheme wants it, then the protocol that both sides know.
    async fn speak(
        &self,
        destination: &Destination,
        stream: TcpStream,
    ) -> Result<Connection, Error> {
        // Requests are written whole; waiting to fill a packet only adds latency.
        stream
            .set_nodelay(true)
            .map_err(|e| fault::of_connect(&e))?;
        if !destination.tls() {
            return self.http1(destination, Box::new(stream)).await;
        }
        let name = match destination.host() {
            Host::Address(ip) => ServerName::from(*ip),
            Host::Name(name) => {
                ServerName::try_from(name.clone()).map_err(|_| Error::HttpRequestUriInvalid)?
            }
        };
        let stream = self.tls.connect(name, stream).await;
        let stream = stream.map_err(|error| fault::of_tls(&error))?;
        if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
            self.http2(destination, Box::new(stream)).await
        } else {
            self.http1(destination, Box::new(stream)).await
        }
    }

    async fn http1(
        &self,
        destination: &Destination,
        stream: Box<dyn Stream>,
    ) -> Result<Connection, Error> {
        let handshake = self.http1.handshake(TokioIo::new(stream));
        let (sender, driver) = handshake.await.map_err(|e| fault::of_response(&e, 0))?;
        let (tie, tied) = tie();
        tied.spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an outgoing connection ended");
            }
        });
        Ok(Connection::http1(destination.clone(), sender, tie))
    }

    async fn http2(
        &self,
        destination: &Destination,
        stream: Box<dyn Stream>,
    ) -> Result<Connection, Error> {
        let (tie, tied) = tie();
        let handshake = self
            .http2_builder(tied.clone())
            .handshake(TokioIo::new(stream));
        let (sender, driver) = handshake.await.map_err(|e| fault::of_response(&e, 0))?;
        tied.spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "an outgoing connection ended");
            }
        });
        Ok(Connection::http2(destination.clone(), sender, tie))
    }
}

impl Connector {
    fn http2_builder(&self, tied: Tied) -> http2::Builder<Tied> {
        let mut builder = http2::Builder::new(tied);
        builder
            .timer(TokioTimer::new())
            .initial_stream_window_size(HTTP2_STREAM_WINDOW)
            .initial_connection_window_size(HTTP2_CONNECTION_WINDOW)
            .max_send_buf_size(HTTP2_SEND_BUFFER)
            .max_header_list_size(self.http2_head)
            .keep_alive_interval(HTTP2_PING)
            .keep_alive_timeout(HTTP2_PING);
        builder
    }
}

fn dns_error() -> Error {
    // libc gives a text and no code that could be passed on.
    Error::DnsError {
        rcode: None,
        info_code: None,
    }
}

/// Puts the address families in turn, in the order in which the resolver prefers them, so that one
/// family without a route costs one attempt.
fn alternate(addresses: &mut Vec<IpAddr>) {
    let Some(first) = addresses.first().map(IpAddr::is_ipv6) else {
        return;
    };
    let (preferred, other): (Vec<IpAddr>, Vec<IpAddr>) =
        addresses.drain(..).partition(|ip| ip.is_ipv6() == first);
    let (mut preferred, mut other) = (preferred.into_iter(), other.into_iter());
    loop {
        let pair = [preferred.next(), other.next()];
        if pair == [None, None] {
            return;
        }
        addresses.extend(pair.into_iter().flatten());
    }
}

/// Connects to the first address that answers. Each gets a head start over the next.
async fn dial(addresses: Vec<SocketAddr>) -> Result<TcpStream, Error> {
    let mut untried = addresses.into_iter();
    let mut attempts = FuturesUnordered::new();
    let mut failure = None;
    loop {
        match untried.next() {
            Some(address) => attempts.push(TcpStream::connect(address)),
            None if attempts.is_empty() => {
                let failure = failure.unwrap_or_else(|| io::Error::other("no address"));
                return Err(fault::of_connect(&failure));
            }
            None => {}
        }
        let head_start = async {
            if untried.len() == 0 {
                std::future::pending().await
            } else {
                sleep(ATTEMPT_DELAY).await;
            }
        };
        tokio::select! {
            Some(attempt) = attempts.next() => match attempt {
                Ok(stream) => return Ok(stream),
                Err(error) => failure = Some(error),
            },
            () = head_start => {}
        }
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}
