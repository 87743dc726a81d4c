//! One client connection, from its first byte to its last.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep};

use super::socket::{InRequest, Traffic, Waiting, Watched};
use super::{ConnectionLimits, Shared, Stopping};
use crate::gateway::{GatewayBody, Peer};
use crate::service::BodyError;

/// What a client is told whose head did not come in time.
const HEAD_LATE: &str = "{\"type\":\"about:blank\",\"title\":\"Request Timeout\",\"status\":408,\
    \"detail\":\"The request's header did not arrive in time.\"}\n";

/// How long such a client may take to take it.
const LAST_WORD: Duration = Duration::from_millis(200);

/// Serves one connection until it is closed, by either side.
pub(super) async fn run(stream: TcpStream, address: SocketAddr, shared: &Arc<Shared>) {
    let traffic = Traffic::new(shared.clock.clone());
    let Some(acceptor) = &shared.tls else {
        let peer = Peer::new(address, false, shared.gateway.trusted_proxies());
        return converse(stream, address, peer, traffic, shared).await;
    };
    let handshake = tokio::time::timeout(shared.limits.header_timeout, acceptor.accept(stream));
    match handshake.await {
        Ok(Ok(stream)) => {
            let peer = Peer::new(address, true, shared.gateway.trusted_proxies());
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
    let (stream, reclaim) = Watched::new(stream, traffic.clone());
    let service = service_fn({
        let (shared, traffic) = (shared.clone(), traffic.clone());
        move |request: Request<Incoming>| {
            let (shared, peer, in_request) = (shared.clone(), peer.clone(), traffic.begin());
            async move {
                let response = shared.gateway.answer(&peer, request).await;
                Ok::<_, std::convert::Infallible>(response.map(|body| CountedBody {
                    body,
                    _in_request: in_request,
                }))
            }
        }
    });
    let connection = shared.http.serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let mut stopping = shared.stopping.clone();
    let mut stopped = pin!(async move {
        let _ = stopping
            .wait_for(|stopping| *stopping >= Stopping::Drain)
            .await;
    });
    let mut cut = shared.stopping.clone();
    let mut cut = pin!(async move {
        let _ = cut.wait_for(|stopping| *stopping >= Stopping::Cut).await;
    });
    // The three below are ready once in a connection's life. As long as the task is the one that
    // they know and nothing has happened, they need not be asked with every request.
    let signal = shared.stopping.clone();
    let mut known: Option<Waker> = None;
    let mut draining = false;
    let mut watch = Watch::new(&shared.limits);
    std::future::poll_fn(|cx| {
        if let Poll::Ready(ended) = connection.as_mut().poll(cx) {
            if let Err(error) = ended {
                tell_end(&*error, address);
            }
            return Poll::Ready(());
        }
        let known = known_task(&mut known, cx);
        if known && !signal.has_changed().unwrap_or(true) {
            return watch.poll(&traffic, cx, known);
        }
        if !draining && stopped.as_mut().poll(cx).is_ready() {
            draining = true;
            connection.as_mut().graceful_shutdown();
            // It may have nothing left to do, and then wants to be polled once more.
            cx.waker().wake_by_ref();
        }
        if draining && cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        watch.poll(&traffic, cx, known)
    })
    .await;
    // Still there: hyper did not close it, so it was the watch or the host's stop.
    if let Waiting::Head(_) = traffic.waiting()
        && traffic.speaks_http1()
        && !draining
        && let Some(stream) = reclaim.take()
    {
        tracing::info!(client = %address, status = 408, "the request's head did not arrive in time");
        let _ = tokio::time::timeout(LAST_WORD, refuse_late_head(stream)).await;
    }
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

/// A head that is no head never reaches the gateway: hyper has answered it with 400 or 431.
fn tell_end(error: &(dyn std::error::Error + 'static), address: SocketAddr) {
    match error.downcast_ref::<hyper::Error>() {
        Some(error) if error.is_parse() || error.is_parse_too_large() => {
            tracing::info!(client = %address, "refused a request that is not HTTP: {error}");
        }
        _ => tracing::debug!(client = %address, "connection ended: {error}"),
    }
}

/// RFC 9110, section 15.5.9: a server that closes for want of a request says 408.
async fn refuse_late_head<S: AsyncWrite + Unpin>(mut stream: S) -> std::io::Result<()> {
    let length = HEAD_LATE.len();
    let text = format!(
        "HTTP/1.1 408 Request Timeout\r\ncontent-type: application/problem+json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{HEAD_LATE}"
    );
    stream.write_all(text.as_bytes()).await?;
    stream.shutdown().await
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

/// An answer's body, whose end is the end of its request.
struct CountedBody {
    body: GatewayBody,
    _in_request: InRequest,
}

impl Body for CountedBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
