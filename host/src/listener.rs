//! The accept loop: sockets in, HTTP/1.1 and HTTP/2 connections out to the gateway, and all of
//! them gone in good order when the host drains.
//!
//! Before it: `host` has bound the sockets. After it: `gateway` answers each request. One task per
//! HTTP/1 connection, or per HTTP/2 stream, runs the gateway and the guest; nothing of a request
//! crosses threads.

mod connection;
mod socket;
mod sockets;
mod tls;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use hyper_util::rt::TokioTimer;
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};
use tokio::net::TcpListener;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

pub use self::sockets::{Bound, Left, Purpose};
pub use self::tls::{TlsError, acceptor};
use crate::engine::CoarseClock;
use crate::gateway::Gateway;
use crate::{lag, task};

/// Connections that the kernel keeps for us between two rounds of accepting.
const BACKLOG: i32 = 4096;

/// Pause after the system refused a connection for want of file descriptors or memory, so that
/// the accept loop does not spin until some are free.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// HTTP/2: bytes of response data that may wait for one stream's client.
const H2_SEND_BUFFER: usize = 64 << 10;

/// HTTP/2: bytes that one stream's client may send before the guest has read them.
const H2_STREAM_WINDOW: u32 = 256 << 10;

/// HTTP/2: the same for a whole connection.
const H2_CONNECTION_WINDOW: u32 = 1 << 20;

/// HTTP/2: streams that a client may reset before we have seen them end. Above, it is flooding us
/// (CVE-2023-44487).
const H2_PENDING_RESETS: usize = 32;

/// HTTP/2: streams that we reset because of what the client sent in them. Above, it makes us work and
/// forget, and the connection ends (CVE-2025-8671).
const H2_OWN_RESETS: usize = 128;

/// Bytes of an answer that the kernel keeps beyond what is under way to the client. With more, a slow
/// client takes its answer in few large gulps, and looks as if it took none in between.
const UNSENT: u32 = 128 << 10;

/// HTTP/1: the read buffer has at least this, whatever the limit on headers: bodies pass through it.
const H1_BUFFER_MIN: usize = 64 << 10;

/// What a connection may take, from the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Connections at once, over all listeners.
    pub connections: usize,
    /// Bytes of a request's header fields.
    pub header_bytes: usize,
    /// Number of them.
    pub header_count: usize,
    /// From a head's first byte to its last.
    pub header_timeout: Duration,
    /// Without any request.
    pub idle_timeout: Duration,
    /// The longest a client may take none of the bytes that wait for it.
    pub write_timeout: Duration,
    /// HTTP/2 streams at once on a connection.
    pub streams: u32,
}

/// Binds a listening socket at once, so that an address in use is found before anything starts.
///
/// # Errors
/// What the operating system says.
pub fn bind(address: SocketAddr) -> std::io::Result<std::net::TcpListener> {
    let domain = if address.is_ipv4() {
        Domain::IPV4
    } else {
        Domain::IPV6
    };
    let socket = RawSocket::new(domain, Type::STREAM, Some(Protocol::TCP))?;
    // A restarted host must not wait for its predecessor's connections to be forgotten.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// How far the host has come in stopping; connections watch it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stopping {
    /// It serves.
    No,
    /// Another host serves in its place, on the same sockets. No new connections; those that are open
    /// are told to close, and have a moment for a request that is on its way.
    Leaving,
    /// No new connections or requests; those under way end well.
    Drain,
    /// What is still under way ends now.
    Cut,
}

/// All listeners of a host, and the connections that came from them.
pub struct Listener {
    sockets: Vec<TcpListener>,
    shared: Arc<Shared>,
}

struct Shared {
    gateway: Arc<Gateway>,
    limits: ConnectionLimits,
    clock: CoarseClock,
    http: auto::Builder<Streams>,
    tls: Option<tokio_rustls::TlsAcceptor>,
    room: Arc<Semaphore>,
    open: AtomicUsize,
    stopping: watch::Receiver<Stopping>,
}

impl Listener {
    /// # Errors
    /// If tokio cannot take over a socket.
    pub fn new(
        sockets: Vec<std::net::TcpListener>,
        gateway: Arc<Gateway>,
        limits: ConnectionLimits,
        tls: Option<tokio_rustls::TlsAcceptor>,
        clock: CoarseClock,
        stopping: watch::Receiver<Stopping>,
    ) -> std::io::Result<Listener> {
        let sockets = sockets
            .into_iter()
            .map(TcpListener::from_std)
            .collect::<Result<_, _>>()?;
        let http = protocol(&limits);
        let room = Arc::new(Semaphore::new(
            limits.connections.min(Semaphore::MAX_PERMITS),
        ));
        let shared = Shared {
            gateway,
            limits,
            clock,
            http,
            tls,
            room,
            open: AtomicUsize::new(0),
            stopping,
        };
        Ok(Listener {
            sockets,
            shared: Arc::new(shared),
        })
    }

    /// A count of the connections that are open, for listings.
    pub fn open_connections(&self) -> impl Fn() -> usize + Send + Sync + 'static {
        let shared = self.shared.clone();
        move || shared.open.load(Ordering::Relaxed)
    }

    /// Accepts until the host stops, then waits until the last connection has gone.
    pub async fn run(self) {
        let mut loops = JoinSet::new();
        for socket in self.sockets {
            let shared = self.shared.clone();
            loops.spawn(accept(socket, shared));
        }
        while loops.join_next().await.is_some() {}
        // Each connection holds one permit until it is gone.
        let all = u32::try_from(self.shared.limits.connections).unwrap_or(u32::MAX);
        let _ = self.shared.room.acquire_many(all).await;
    }
}

/// Runs each HTTP/2 stream as a task of its own; HTTP/1 needs none.
#[derive(Clone, Copy, Debug)]
struct Streams;

impl<F> hyper::rt::Executor<F> for Streams
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, stream: F) {
        task::spawn(task::Kind::Connection, lag::sending(stream));
    }
}

fn protocol(limits: &ConnectionLimits) -> auto::Builder<Streams> {
    let mut http = auto::Builder::new(Streams);
    http.http1()
        .timer(TokioTimer::new())
        // The connection's own watch does this without a timer per request.
        .header_read_timeout(None)
        .keep_alive(true)
        .half_close(false)
        .max_buf_size(limits.header_bytes.max(H1_BUFFER_MIN));
    if limits.header_count != skep_core::limits::HEADER_COUNT as usize {
        // The default of 100 parses on the stack.
        http.http1().max_headers(limits.header_count);
    }
    http.http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_bytes).unwrap_or(u32::MAX))
        .max_pending_accept_reset_streams(H2_PENDING_RESETS)
        .max_local_error_reset_streams(H2_OWN_RESETS)
        .max_send_buf_size(H2_SEND_BUFFER)
        .initial_stream_window_size(H2_STREAM_WINDOW)
        .initial_connection_window_size(H2_CONNECTION_WINDOW);
    http
}

async fn accept(socket: TcpListener, shared: Arc<Shared>) {
    let mut stopping = shared.stopping.clone();
    loop {
        // Full: the kernel's queue fills up behind us, and clients wait instead of being refused.
        let room = shared.room.clone().acquire_owned();
        let room = tokio::select! {
            room = room => room,
            _ = stopping.wait_for(|stopping| *stopping > Stopping::No) => return,
        };
        let Ok(room) = room else { return };
        let accepted = tokio::select! {
            accepted = socket.accept() => accepted,
            _ = stopping.wait_for(|stopping| *stopping > Stopping::No) => return,
        };
        match accepted {
            Ok((stream, address)) => serve(stream, address, room, &shared),
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                tracing::warn!("cannot accept connections: {error}; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn serve(
    stream: tokio::net::TcpStream,
    address: SocketAddr,
    room: OwnedSemaphorePermit,
    shared: &Arc<Shared>,
) {
    // Answers are written whole; waiting for more to send would only delay them.
    let _ = stream.set_nodelay(true);
    let _ = socket2::SockRef::from(&stream).set_tcp_notsent_lowat(UNSENT);
    let open = Open::new(shared.clone(), room);
    task::spawn(task::Kind::Connection, async move {
        lag::sending(connection::run(stream, address, &open.shared)).await;
    });
}

/// Counts a connection for as long as it is open, and holds its room. The permits that are taken
/// would say more than there are: each accept loop has one in hand for the next connection.
struct Open {
    shared: Arc<Shared>,
    _room: OwnedSemaphorePermit,
}

impl Open {
    fn new(shared: Arc<Shared>, room: OwnedSemaphorePermit) -> Open {
        shared.open.fetch_add(1, Ordering::Relaxed);
        Open {
            shared,
            _room: room,
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.shared.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Errors that concern the connection that was to be accepted, not the listening socket.
fn is_of_one_connection(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(
        error.kind(),
        ConnectionAborted | ConnectionRefused | ConnectionReset
    )
}
