//! The request body on its way out: counted, and watched, so that whoever waits for the response
//! knows whether the guest or the network is the slow one.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::task::AtomicWaker;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty};
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::Instant;
use wasmtime_wasi_http::{Error, WasiBody};

use super::scope::Life;

/// The guest's body as the connection sees it.
pub(super) struct Upload {
    body: WasiBody,
    watch: Arc<UploadWatch>,
    /// The instance that writes the body, where there is one.
    guest: Option<Arc<Life>>,
    /// Bytes that the body may still have.
    left: u64,
    limit: u64,
    /// Bytes that Content-Length still promises; the connection drops the body at 0.
    owed: Option<u64>,
}

/// The same body as the waiting side sees it.
pub(super) struct UploadWatch {
    stage: Mutex<Stage>,
    /// Told when the body is over, not at each piece.
    over: Notify,
    /// Set to end the body early.
    cut: AtomicBool,
    /// The connection's task while it waits for the guest.
    connection: AtomicWaker,
}

/// Who has to act next.
#[derive(Debug)]
pub(super) enum Stage {
    /// The connection has been given a piece, and has not asked for the next since.
    Network { since: Instant },
    /// The connection waits for the guest.
    Guest,
    /// Everything has been given to the connection.
    Sent { at: Instant },
    /// The body broke off. The cause is there until somebody has taken it.
    Failed { at: Instant, cause: Option<Error> },
}

/// Empty pieces skipped in one go: a guest may write as many as it likes.
const EMPTY_PIECES: usize = 32;

impl Upload {
    pub(super) fn new(
        body: WasiBody,
        owed: Option<u64>,
        limit: u64,
        guest: Option<Arc<Life>>,
    ) -> (Self, Arc<UploadWatch>) {
        let now = Instant::now();
        // A promised length of 0 makes the connection drop the body unasked.
        let stage = if body.is_end_stream() || owed == Some(0) {
            Stage::Sent { at: now }
        } else {
            Stage::Network { since: now }
        };
        let watch = Arc::new(UploadWatch {
            stage: Mutex::new(stage),
            over: Notify::new(),
            cut: AtomicBool::new(false),
            connection: AtomicWaker::new(),
        });
        let upload = Self {
            body,
            watch: Arc::clone(&watch),
            guest,
            left: limit,
            limit,
            owed,
        };
        (upload, watch)
    }

    /// The empty body of a request that is tried once more under the same watch.
    pub(super) fn none(watch: &Arc<UploadWatch>) -> Self {
        let empty = Empty::new().map_err(|never| match never {});
        Self {
            body: empty.boxed_unsync(),
            watch: Arc::clone(watch),
            guest: None,
            left: 0,
            limit: 0,
            owed: None,
        }
    }

    fn guest_is_gone(&self) -> bool {
        self.guest.as_ref().is_some_and(|life| life.is_over())
    }

    /// Counts a piece and says who has to act next.
    fn take(&mut self, frame: Frame<Bytes>) -> Result<Frame<Bytes>, Error> {
        let length = frame.data_ref().map_or(0, |data| data.len() as u64);
        self.left = self
            .left
            .checked_sub(length)
            .ok_or(Error::HttpRequestBodySize(Some(self.limit)))?;
        if let Some(owed) = &mut self.owed {
            *owed = owed
                .checked_sub(length)
                .ok_or(Error::HttpRequestBodySize(None))?;
        }
        if self.owed == Some(0) || frame.is_trailers() || self.is_end_stream() {
            self.watch.sent();
        } else {
            self.watch.given();
        }
        Ok(frame)
    }

    fn fail(&mut self, cause: Error) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.watch.failed(cause);
        // The connection needs an error, whatever it is; the guest gets the cause.
        Poll::Ready(Some(Err(Error::ConnectionTerminated)))
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        self.watch.connection.register(context.waker());
        for _ in 0..EMPTY_PIECES {
            if self.watch.cut.load(Ordering::Acquire) {
                return self.fail(Error::ConnectionTerminated);
            }
            let polled = Pin::new(&mut self.body).poll_frame(context);
            // Asked after the poll: the guest's life ends before its channels do.
            let gone = self.guest_is_gone();
            match polled {
                Poll::Pending => {
                    self.watch.wants();
                    return Poll::Pending;
                }
                Poll::Ready(_) if gone => return self.fail(Error::ConnectionTerminated),
                Poll::Ready(None) if self.owed.is_some_and(|owed| owed > 0) => {
                    return self.fail(Error::HttpRequestBodySize(None));
                }
                Poll::Ready(None) => {
                    self.watch.sent();
                    return Poll::Ready(None);
                }
                Poll::Ready(Some(Err(cause))) => return self.fail(cause),
                Poll::Ready(Some(Ok(frame))) if frame.data_ref().is_some_and(Bytes::is_empty) => {}
                Poll::Ready(Some(Ok(frame))) => {
                    return match self.take(frame) {
                        Ok(frame) => Poll::Ready(Some(Ok(frame))),
                        Err(cause) => self.fail(cause),
                    };
                }
            }
        }
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        !self.guest_is_gone() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        // The connection had no use for the rest: the peer has gone, which the response's side
        // tells, or has answered already, and then the answer counts.
        self.watch.end(Stage::Failed {
            at: Instant::now(),
            cause: None,
        });
    }
}

impl UploadWatch {
    /// The request goes to a connection: clocks start now.
    pub(super) fn start(&self) {
        let now = Instant::now();
        match &mut *self.stage.lock() {
            Stage::Network { since } => *since = now,
            Stage::Sent { at } => *at = now,
            Stage::Guest | Stage::Failed { .. } => {}
        }
    }

    /// Whether the whole body has been given to the connection.
    pub(super) fn is_sent(&self) -> bool {
        matches!(*self.stage.lock(), Stage::Sent { .. })
    }

    /// Whether nothing more will be given to the connection.
    pub(super) fn is_over(&self) -> bool {
        matches!(
            *self.stage.lock(),
            Stage::Sent { .. } | Stage::Failed { .. }
        )
    }

    /// Ends the body with an error, as soon as the connection asks for more of it.
    pub(super) fn cut(&self) {
        self.cut.store(true, Ordering::Release);
        self.connection.wake();
    }

    /// Why the body broke off, if it did and nobody has asked before.
    pub(super) fn take_failure(&self) -> Option<Error> {
        match &mut *self.stage.lock() {
            Stage::Failed { cause, .. } => cause.take(),
            _ => None,
        }
    }

    /// Waits until the body is over. Asked once the response's head is there: a peer that has
    /// answered and wants no more of the request is no error.
    pub(super) async fn outcome(&self) -> Result<(), Error> {
        loop {
            let over = self.over.notified();
            match &mut *self.stage.lock() {
                Stage::Sent { .. } => return Ok(()),
                Stage::Failed { cause, .. } => {
                    return cause.take().map_or(Ok(()), Err);
                }
                Stage::Network { .. } | Stage::Guest => {}
            }
            over.await;
        }
    }

    /// The end of the body, to come; made before [`Self::look`] so as not to miss it.
    pub(super) fn ending(&self) -> Notified<'_> {
        self.over.notified()
    }

    pub(super) fn look<T>(&self, see: impl FnOnce(&Stage) -> T) -> T {
        see(&self.stage.lock())
    }

    fn given(&self) {
        self.advance(Stage::Network {
            since: Instant::now(),
        });
    }

    fn wants(&self) {
        self.advance(Stage::Guest);
    }

    fn sent(&self) {
        self.end(Stage::Sent { at: Instant::now() });
    }

    fn failed(&self, cause: Error) {
        self.end(Stage::Failed {
            at: Instant::now(),
            cause: Some(cause),
        });
    }

    fn end(&self, end: Stage) {
        self.advance(end);
        self.over.notify_waiters();
    }

    /// The end, of either kind, is final.
    fn advance(&self, next: Stage) {
        let mut stage = self.stage.lock();
        if matches!(*stage, Stage::Network { .. } | Stage::Guest) {
            *stage = next;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::{Full, StreamBody};

    fn body(pieces: Vec<Result<Frame<Bytes>, Error>>) -> WasiBody {
        StreamBody::new(futures::stream::iter(pieces)).boxed_unsync()
    }

    fn piece(text: &'static str) -> Result<Frame<Bytes>, Error> {
        Ok(Frame::data(Bytes::from_static(text.as_bytes())))
    }

    #[tokio::test]
    async fn a_body_without_pieces_is_sent_from_the_start() {
        let empty = Empty::new().map_err(|never| match never {}).boxed_unsync();
        let (upload, watch) = Upload::new(empty, None, 10, None);
        assert!(watch.is_sent());
        drop(upload);
        assert!(watch.outcome().await.is_ok());
    }

    #[tokio::test]
    async fn empty_pieces_are_skipped_and_the_end_is_seen() {
        let mut pieces = vec![piece("one")];
        pieces.extend((0..3 * EMPTY_PIECES).map(|_| piece("")));
        pieces.push(piece("two"));
        let (upload, watch) = Upload::new(body(pieces), None, 10, None);
        assert!(!watch.is_over());
        let sent = upload.collect().await.unwrap().to_bytes();
        assert_eq!(sent, "onetwo");
        assert!(watch.outcome().await.is_ok());
    }

    #[tokio::test]
    async fn the_promised_length_is_the_end() {
        let (mut upload, watch) = Upload::new(body(vec![piece("abc")]), Some(3), 10, None);
        upload.frame().await.unwrap().unwrap();
        // hyper drops a body here without asking for its end.
        drop(upload);
        assert!(watch.outcome().await.is_ok());
    }

    #[tokio::test]
    async fn a_peer_that_wants_no_more_is_no_error() {
        let (mut upload, watch) = Upload::new(body(vec![piece("a"), piece("b")]), None, 10, None);
        upload.frame().await.unwrap().unwrap();
        drop(upload);
        assert!(watch.is_over() && !watch.is_sent());
        assert!(watch.outcome().await.is_ok());
    }

    #[tokio::test]
    async fn a_body_of_another_length_than_promised_fails() {
        for promised in [2, 4] {
            let (mut upload, watch) =
                Upload::new(body(vec![piece("abc")]), Some(promised), 10, None);
            while let Some(Ok(_)) = upload.frame().await {}
            let cause = watch.outcome().await.unwrap_err();
            assert!(matches!(cause, Error::HttpRequestBodySize(None)));
        }
    }

    #[tokio::test]
    async fn a_body_over_the_limit_fails_with_its_cause() {
        let (mut upload, watch) = Upload::new(body(vec![piece("abc"), piece("d")]), None, 3, None);
        assert!(upload.frame().await.unwrap().is_ok());
        assert!(upload.frame().await.unwrap().is_err());
        let cause = watch.outcome().await.unwrap_err();
        assert!(matches!(cause, Error::HttpRequestBodySize(Some(3))));
        assert!(watch.take_failure().is_none());
    }

    #[tokio::test]
    async fn a_body_whose_guest_is_gone_never_ends_well() {
        let client = super::super::OutgoingClient::new(super::super::OutgoingPolicy {
            service: "test".into(),
            origins: Vec::new(),
            limits: Default::default(),
            buffers: crate::memory::buffers::Buffers::of_nobody(),
        });
        let scope = client.scope(0);
        let full = Full::new(Bytes::from_static(b"abc")).map_err(|never| match never {});
        let (mut upload, watch) = Upload::new(full.boxed_unsync(), None, 10, Some(scope.life()));
        drop(scope);
        assert!(!upload.is_end_stream());
        assert!(upload.frame().await.unwrap().is_err());
        assert!(watch.outcome().await.is_err());
    }
}
