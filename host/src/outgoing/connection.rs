//! An open connection, of either protocol, and what keeps its tasks alive.

use std::sync::Arc;

use futures::future::Either;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use tokio::sync::watch;

use super::destination::Destination;
use super::upload::Upload;
use crate::task;

/// A connection ready for requests: one at a time over HTTP/1, many over HTTP/2.
pub(super) struct Connection {
    destination: Destination,
    sender: Sender,
    tie: Arc<Tie>,
}

enum Sender {
    Http1(http1::SendRequest<Upload>),
    Http2(http2::SendRequest<Upload>),
}

/// Keeps a connection's tasks running; they end at once with its last holder. Just letting go of a
/// sender would leave a connection whose peer has stopped reading open for ever.
pub(super) struct Tie {
    _alive: watch::Sender<()>,
}

/// Spawns a connection's tasks.
#[derive(Clone)]
pub(super) struct Tied {
    alive: watch::Receiver<()>,
}

pub(super) fn tie() -> (Arc<Tie>, Tied) {
    let (sender, receiver) = watch::channel(());
    (Arc::new(Tie { _alive: sender }), Tied { alive: receiver })
}

impl Tied {
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        let mut alive = self.alive.clone();
        task::spawn(task::Kind::Connection, async move {
            tokio::select! {
                biased;
                _ = alive.changed() => {}
                () = work => {}
            }
        });
    }
}

impl<F: Future<Output = ()> + Send + 'static> hyper::rt::Executor<F> for Tied {
    fn execute(&self, work: F) {
        self.spawn(work);
    }
}

impl Connection {
    pub(super) fn http1(
        destination: Destination,
        sender: http1::SendRequest<Upload>,
        tie: Arc<Tie>,
    ) -> Self {
        let sender = Sender::Http1(sender);
        Self {
            destination,
            sender,
            tie,
        }
    }

    pub(super) fn http2(
        destination: Destination,
        sender: http2::SendRequest<Upload>,
        tie: Arc<Tie>,
    ) -> Self {
        let sender = Sender::Http2(sender);
        Self {
            destination,
            sender,
            tie,
        }
    }

    pub(super) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Whether several requests use it at a time.
    pub(super) fn is_shared(&self) -> bool {
        matches!(self.sender, Sender::Http2(_))
    }

    /// Another handle to a connection that can be shared.
    pub(super) fn share(&self) -> Option<Self> {
        match &self.sender {
            Sender::Http1(_) => None,
            Sender::Http2(sender) => Some(Self {
                destination: self.destination.clone(),
                sender: Sender::Http2(sender.clone()),
                tie: Arc::clone(&self.tie),
            }),
        }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.tie, &other.tie)
    }

    /// Whether anybody but the asker has a handle to it.
    pub(super) fn is_in_use(&self) -> bool {
        Arc::strong_count(&self.tie) > 1
    }

    pub(super) fn is_closed(&self) -> bool {
        match &self.sender {
            Sender::Http1(sender) => sender.is_closed(),
            Sender::Http2(sender) => sender.is_closed(),
        }
    }

    /// Waits until the connection takes a request.
    pub(super) async fn ready(&mut self) -> hyper::Result<()> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.ready().await,
            Sender::Http2(sender) => sender.ready().await,
        }
    }

    /// Sends a request; gives it back with the error if nothing of it was sent.
    pub(super) fn try_send(
        &mut self,
        request: Request<Upload>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<Upload>>>> + use<>
    {
        match &mut self.sender {
            Sender::Http1(sender) => Either::Left(sender.try_send_request(request)),
            Sender::Http2(sender) => Either::Right(sender.try_send_request(request)),
        }
    }
}
