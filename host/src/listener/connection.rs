//! One client connection, from its first byte to its last.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use http::header::CONNECTION;
use http::{HeaderValue, Request, Version};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::socket::{Line, Traffic, Waiting, Watched};
use super::{ConnectionLimits, Shared, Stopping};
use crate::gateway::{Fault, Peer};

/// How long a client may take to take the last that is said to it.
const LAST_WORD: Duration = Duration::from_millis(200);

/// What a client still sends after the end is thrown away, for so long and so many bytes: a socket that
/// is closed over unread bytes takes what was said last from the client.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 1 << 20;

/// Serves one connection until it is closed, by either side.
pub(super) async fn run(stream: TcpStream, address: SocketAddr, shared: &Arc<Shared>) {
    let traffic = Traffic::new(shared.clock.clone());
    let Some(acceptor) = &shared.tls else {
        let peer = shared.gateway.peer(address, false);
        return converse(stream, address, peer, traffic, shared).await;
    };
    let handshake = tokio::time::timeout(shared.limits.header_timeout, acceptor.accept(stream));
    match handshake.await {
        Ok(Ok(stream)) => {
            let peer = shared.gateway.peer(address, true);
            converse(stream, address, peer, traffic, shared).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, "TLS handshake failed: {error}"),
        Err(_) => tracing::debug!(%address, "TLS handshake took too long"),
    }
}

async fn converse<S>(
    stream: S,
    address: SocketAddr,
    peer: Peer,
    traffic: Arc<Traffic>,
    shared: &Arc<Shared>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let peer = Arc::new(peer);
    let asker = peer.clone();
    let (stream, reclaim) = Watched::new(stream, traffic.clone());
    let service = service_fn({
        let (shared, traffic) = (shared.clone(), traffic.clone());
        move |request: Request<Incoming>| {
            let (shared, peer, in_request) = (shared.clone(), asker.clone(), traffic.begin());
            let unanswered = traffic.unanswered();
            let keeps_alive = request.version() < Version::HTTP_2;
            async move {
                let mut response = shared.gateway.answer(&peer, request, in_request).await;
                unanswered.answered();
                if keeps_alive && shared.stopping.has_changed().unwrap_or(true) {
                    let close = HeaderValue::from_static("close");
                    response.headers_mut().insert(CONNECTION, close);
                }
                Ok::<_, std::convert::Infallible>(response)
            }
        }
    });
    let connection = shared.http.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut leaving = pin!(reached(shared, Stopping::Leaving));
    let mut stopped = pin!(reached(shared, Stopping::Drain));
    let mut cut = pin!(reached(shared, Stopping::Cut));
    // These are ready once in a connection's life. As long as the task is the one that they know and
    // nothing has happened, they need not be asked with every request.
    let signal = shared.stopping.clone();
    let mut known: Option<Waker> = None;
    let (mut left, mut draining) = (false, false);
    let mut watch = Watch::new(&shared.limits);
    let end = std::future::poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            return Poll::Ready(End::Hyper(ended));
        }
        reclaim.release(cx);
        let known = known_task(&mut known, cx);
        if known && !signal.has_changed().unwrap_or(true) {
            return watch.poll(&traffic, cx, known).map(|()| End::Watch);
        }
        left = left || leaving.as_mut().poll(cx).is_ready();
        // HTTP/2 has a word for it that loses nothing. An HTTP/1 connection that is at rest would just
        // be closed, perhaps over a request: until the host drains, its next answer says it instead.
        let is_told = left && !traffic.speaks_http1();
        if left && !draining && (is_told || stopped.as_mut().poll(cx).is_ready()) {
            draining = true;
            connection.as_mut().graceful_shutdown();
            // It may have nothing left to do, and then wants to be polled once more.
            cx.waker().wake_by_ref();
        }
        if draining && cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Cut);
        }
        watch.poll(&traffic, cx, known).map(|()| End::Watch)
    })
    .await;
    if matches!(end, End::Watch) && !traffic.speaks_http1() {
        // Its client may be about to send a request: GOAWAY says that it was not looked at.
        connection.as_mut().graceful_shutdown();
        let _ = tokio::time::timeout(LAST_WORD, connection.as_mut()).await;
        return;
    }
    let Some(mut line) = reclaim.take() else {
        return;
    };
    let fault = match &end {
        End::Hyper(Ok(())) => None,
        End::Hyper(Err(error)) => {
            tracing::debug!(client = %address, "connection ended: {error}");
            match refused(&**error, &line.held) {
                None => return,
                fault => fault,
            }
        }
        End::Watch if is_late(&traffic) && !draining => Some(Fault::HeadLate),
        End::Watch | End::Cut => return,
    };
    if let Some(fault) = fault {
        let now = std::time::Instant::now();
        let since = now.checked_sub(traffic.head_for()).unwrap_or(now);
        line.held = shared.gateway.refuse(&peer, &fault, since);
    }
    if !traffic.is_ended() || !line.held.is_empty() {
        part(line).await;
    }
}

/// Ready when the host has come so far in stopping.
async fn reached(shared: &Shared, stage: Stopping) {
    let mut stopping = shared.stopping.clone();
    let _ = stopping.wait_for(|stopping| *stopping >= stage).await;
}

/// Whether the client owes the rest of an HTTP/1 head (RFC 9110, section 15.5.9: then it is told).
fn is_late(traffic: &Traffic) -> bool {
    matches!(traffic.waiting(), Waiting::Head(_)) && traffic.speaks_http1()
}

/// Who ended a connection.
enum End {
    Hyper(Result<(), Box<dyn std::error::Error + Send + Sync>>),
    /// The client has kept us waiting.
    Watch,
    /// The host stops.
    Cut,
}

/// Whether this is the task that was here last; from now on it is.
fn known_task(known: &mut Option<Waker>, cx: &Context<'_>) -> bool {
    let same = known
        .as_ref()
        .is_some_and(|waker| waker.will_wake(cx.waker()));
    if !same {
        *known = Some(cx.waker().clone());
    }
    same
}

/// Why hyper refused what came, if that is why it ended, and if nothing else has still to be said
/// before the refusal that it wrote.
fn refused(error: &(dyn std::error::Error + 'static), held: &[u8]) -> Option<Fault> {
    let error = error.downcast_ref::<hyper::Error>()?;
    if !error.is_parse() && !error.is_parse_too_large() {
        return None;
    }
    match held.get(9..12)? {
        b"414" => Some(Fault::TargetTooLong),
        b"431" => Some(Fault::HeadersTooLarge),
        _ => Some(Fault::NotHttp(error.to_string())),
    }
}

/// Says the last that there is to say, and closes so that the client can read it.
async fn part<S: AsyncRead + AsyncWrite + Unpin>(mut line: Line<S>) {
    let say = async {
        line.stream.write_all(&line.held).await?;
        line.stream.shutdown().await
    };
    let said = tokio::time::timeout(LAST_WORD, say).await;
    if matches!(said, Ok(Ok(()))) {
        let mut rest = line.stream.take(LINGER_BYTES);
        let mut nowhere = tokio::io::sink();
        let _ = tokio::time::timeout(LINGER, tokio::io::copy(&mut rest, &mut nowhere)).await;
    }
}

/// Closes a connection whose client has kept us waiting for too long.
struct Watch<'a> {
    limits: &'a ConnectionLimits,
    sleep: Pin<Box<Sleep>>,
    /// When it rings at the latest, on the coarse clock.
    rings_ms: u64,
}

impl<'a> Watch<'a> {
    fn new(limits: &'a ConnectionLimits) -> Watch<'a> {
        let first = limits.header_timeout.min(limits.idle_timeout);
        Watch {
            limits,
            sleep: Box::pin(tokio::time::sleep(first)),
            rings_ms: u64::MAX,
        }
    }

    /// Ready when it is time to close. The timer is touched only when it would ring too late, has
    /// rung, or would wake another task (unless `known`): not once per request.
    fn poll(&mut self, traffic: &Traffic, cx: &mut Context<'_>, known: bool) -> Poll<()> {
        if traffic.is_mocking() {
            return Poll::Ready(());
        }
        loop {
            let left = self.left(traffic);
            if left.is_zero() {
                return Poll::Ready(());
            }
            let due_ms = traffic.now_ms().saturating_add(milliseconds(left));
            if known && self.rings_ms <= due_ms && !self.sleep.is_elapsed() {
                return Poll::Pending;
            }
            let due = Instant::now() + left;
            if self.sleep.deadline() > due {
                self.sleep.as_mut().reset(due);
            }
            let rings_in = self
                .sleep
                .deadline()
                .saturating_duration_since(Instant::now());
            self.rings_ms = traffic.now_ms().saturating_add(milliseconds(rings_in));
            if self.sleep.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            self.sleep.as_mut().reset(due.max(Instant::now() + GRAIN));
            // It has forgotten whom to wake: it must be polled again, whatever the hurry.
            self.rings_ms = u64::MAX;
        }
    }

    /// How much longer the client may keep us waiting.
    fn left(&self, traffic: &Traffic) -> Duration {
        let (since, limit) = match traffic.waiting() {
            Waiting::Head(since) => (since, self.limits.header_timeout),
            // A connection that has never had a request is waiting for its first head.
            Waiting::Idle(since) if traffic.served() == 0 => (since, self.limits.header_timeout),
            Waiting::Idle(since) => (since, self.limits.idle_timeout),
            Waiting::Write(since) => (since, self.limits.write_timeout),
            Waiting::Nothing => return self.limits.idle_timeout.max(GRAIN),
        };
        let waited = Duration::from_millis(traffic.now_ms().saturating_sub(since));
        limit.saturating_sub(waited)
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Looking more often than this would find nothing new.
const GRAIN: Duration = Duration::from_millis(20);
