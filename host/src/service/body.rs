//! The body of an answer: it runs the guest that writes it, within its limits, and knows whether
//! the client's leaving is an end or a cancellation.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{self, CONTENT_LENGTH, HeaderName};
use http_body::{Body, Frame, SizeHint};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime_wasi_http::Error as HttpError;

use super::cutting::Alarm;
use super::shadow::Watched;
use super::{Admission, Call, Doing, Lost, Revision, Service};
use crate::instance::once::{BodyEvent, OnceBody};
use crate::instance::shared::{SharedBody, SharedBodyError};
use crate::instance::{Failure, cut_text};
use crate::task;

/// What a request in a service holds until it is over: its place, and whom to tell.
pub(crate) struct Ticket {
    service: Arc<Service>,
    revision: Arc<Revision>,
    doing: Doing,
    /// The longest wait for the next piece of the answer.
    patience: Duration,
    /// [`Cutting::count`] on entry.
    entered: u32,
    _place: OwnedSemaphorePermit,
}

impl Ticket {
    pub(crate) fn new(
        service: Arc<Service>,
        revision: Arc<Revision>,
        place: OwnedSemaphorePermit,
        call: &Call,
        patience: Duration,
    ) -> Ticket {
        Ticket {
            service,
            entered: revision.cutting.count(),
            revision,
            doing: Doing::of(call),
            patience,
            _place: place,
        }
    }

    pub(crate) fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    /// When the revision's time for it is over, with this deadline.
    pub(super) fn alarm(&self, at: Instant) -> Alarm {
        Alarm::new(at, self.entered)
    }

    pub(crate) fn doing(&self) -> &Doing {
        &self.doing
    }

    pub(crate) fn crashed(&self, failure: &Arc<Failure>, instance: u64, cpu: Duration) {
        if failure.is_crash() {
            let lost = Lost {
                instance,
                doing: vec![self.doing.clone()],
                cpu,
            };
            self.service
                .crashed(self.revision.number(), lost, failure.clone());
        }
    }
}

/// Why an answer's body ends before it is whole. The connection must not end it as if it were.
#[derive(Clone, Debug, thiserror::Error)]
pub(crate) enum BodyError {
    /// The guest failed.
    #[error("the service failed while it was sending the body")]
    Guest(#[source] Arc<Failure>),
    /// The guest wrote more than `limits.response-body`.
    #[error("the response body exceeds `limits.response-body` ({limit} bytes)")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// The guest's body contradicts its headers, or it ended it with an error.
    #[error("the service's response body is not valid: {reason}")]
    Invalid {
        /// In wasmtime's words.
        reason: String,
    },
}

enum Source {
    /// It was whole when the head was.
    Whole(Option<Bytes>),
    Once(Box<OnceBody>),
    Shared(Box<SharedBody>),
    /// Nothing will come: it has ended, or the guest has been let go.
    Over,
}

/// The body of an answer.
pub(crate) struct AnswerBody {
    source: Source,
    /// `None` if the guest is done and its place given back.
    ticket: Option<Box<Ticket>>,
    /// Set once the guest is first waited for.
    alarm: Option<Alarm>,
    /// Runs while the guest is waited for; the time a client takes to read is not the guest's.
    waiting: bool,
    sent: u64,
    /// What the guest declared, or 0 where the protocol allows no body.
    declared: Option<u64>,
    cpu: Duration,
    instance: u64,
    error: Option<BodyError>,
    /// Whoever compares it with what a candidate answers.
    watched: Option<Box<Watched>>,
}

impl AnswerBody {
    /// A body that belongs to no guest.
    pub(crate) fn text(text: Bytes) -> AnswerBody {
        AnswerBody::new(Source::Whole(Some(text)), None, None)
    }

    pub(crate) fn once(
        mut body: OnceBody,
        ticket: Ticket,
        head: &http::response::Parts,
        head_only: bool,
    ) -> AnswerBody {
        let declared = declared(head, head_only);
        // The usual case: one piece, already here, the guest done.
        if let Some(whole) = body.take_whole() {
            let limit = ticket.revision.limits().response_body;
            ticket.service.charge(body.cpu());
            let error = (whole.len() as u64 > limit).then_some(BodyError::TooLarge { limit });
            let whole = ticket.revision.lobby.keep_noted(whole);
            let mut answer = AnswerBody::new(Source::Whole(Some(whole)), None, declared);
            answer.cpu = body.cpu();
            answer.instance = body.instance();
            answer.error = error;
            return answer;
        }
        AnswerBody::new(
            Source::Once(Box::new(body)),
            Some(Box::new(ticket)),
            declared,
        )
    }

    pub(crate) fn shared(
        body: SharedBody,
        ticket: Ticket,
        head: &http::response::Parts,
        head_only: bool,
    ) -> AnswerBody {
        let declared = declared(head, head_only);
        AnswerBody::new(
            Source::Shared(Box::new(body)),
            Some(Box::new(ticket)),
            declared,
        )
    }

    fn new(source: Source, ticket: Option<Box<Ticket>>, declared: Option<u64>) -> AnswerBody {
        AnswerBody {
            source,
            alarm: None,
            ticket,
            waiting: false,
            sent: 0,
            declared,
            cpu: Duration::ZERO,
            instance: 0,
            error: None,
            watched: None,
        }
    }

    /// From now on that is shown what passes.
    pub(super) fn watch(&mut self, watched: Watched) {
        self.watched = Some(Box::new(watched));
    }

    /// Whose place it still holds.
    pub(crate) fn admission(&self) -> Option<&Admission> {
        self.ticket
            .as_ref()
            .map(|ticket| ticket.revision.admission())
    }

    /// Bytes handed to the connection so far.
    pub(crate) fn sent(&self) -> u64 {
        self.sent
    }

    /// CPU time of the guest so far.
    pub(crate) fn cpu(&self) -> Duration {
        match &self.source {
            Source::Once(body) => body.cpu(),
            Source::Shared(body) => body.cpu(),
            Source::Whole(_) | Source::Over => self.cpu,
        }
    }

    /// The instance that answered.
    pub(crate) fn instance(&self) -> u64 {
        match &self.source {
            Source::Once(body) => body.instance(),
            Source::Shared(body) => body.instance(),
            Source::Whole(_) | Source::Over => self.instance,
        }
    }

    /// Why it ended early, if it did.
    pub(crate) fn error(&self) -> Option<&BodyError> {
        self.error.as_ref()
    }

    /// Whether the client has got all that it will get.
    pub(crate) fn is_whole(&self) -> bool {
        match &self.source {
            // An empty one is never asked for.
            Source::Whole(left) => {
                left.as_ref().is_none_or(Bytes::is_empty) || self.declared == Some(0)
            }
            Source::Over => self.error.is_none(),
            Source::Once(_) | Source::Shared(_) => {
                self.declared.is_some_and(|declared| self.sent >= declared)
            }
        }
    }

    /// Makes the body end with an error instead of going on.
    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.settle();
        self.error = Some(error.clone());
        Poll::Ready(Some(Err(error)))
    }

    /// The guest is done or let go: its account is closed and its place given back.
    fn settle(&mut self) {
        self.instance = self.instance();
        self.cpu = self.cpu();
        if let Some(ticket) = self.ticket.take() {
            ticket.service.charge(self.cpu);
        }
        self.source = Source::Over;
    }

    fn poll_once(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Source::Once(body) = &mut self.source else {
            return Poll::Ready(None);
        };
        let Poll::Ready((event, freed)) = body.poll_event(cx) else {
            return self.wait(cx);
        };
        self.waiting = false;
        if let (Some(live), Some(ticket)) = (freed, &self.ticket) {
            ticket.revision.keep(live);
        }
        match event {
            BodyEvent::Frame(frame) => self.pass(frame),
            BodyEvent::Whole => {
                self.let_go();
                Poll::Ready(None)
            }
            BodyEvent::Failed(failure) => {
                let (failure, instance) = (Arc::new(failure), self.instance());
                let cpu = self.cpu();
                if let Some(ticket) = &self.ticket {
                    ticket.crashed(&failure, instance, cpu);
                }
                self.fail(BodyError::Guest(failure))
            }
            BodyEvent::Invalid(error) => self.fail(BodyError::Invalid {
                reason: reason(&error),
            }),
        }
    }

    fn poll_shared(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Source::Shared(body) = &mut self.source else {
            return Poll::Ready(None);
        };
        let Poll::Ready(polled) = body.poll_frame(cx) else {
            return self.wait(cx);
        };
        self.waiting = false;
        match polled {
            Some(Ok(frame)) => self.pass(frame),
            None => {
                // Where the guest's stream and its call end together, wasmtime may not have counted.
                if let Some(declared) = self.declared.filter(|declared| self.sent < *declared) {
                    let sent = self.sent;
                    return self.fail(BodyError::Invalid {
                        reason: format!("it ended after {sent} of {declared} bytes"),
                    });
                }
                self.settle();
                Poll::Ready(None)
            }
            // Reported by the instance's own task.
            Some(Err(SharedBodyError::Failed(failure))) => self.fail(BodyError::Guest(failure)),
            Some(Err(SharedBodyError::Invalid(error))) => self.fail(BodyError::Invalid {
                reason: reason(&error),
            }),
        }
    }

    /// The guest has nothing ready. It has until the alarm.
    fn wait(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(ticket) = &self.ticket else {
            return Poll::Pending;
        };
        if !self.waiting {
            self.waiting = true;
            let at = Instant::now() + ticket.patience;
            self.alarm.get_or_insert_with(|| ticket.alarm(at)).set(at);
        }
        let failure = match &mut self.alarm {
            Some(alarm) => ready!(alarm.poll(cx, &ticket.revision.cutting)),
            None => Failure::Deadline,
        };
        if let Source::Shared(body) = &self.source {
            body.abandon();
        }
        self.fail(BodyError::Guest(Arc::new(failure)))
    }

    fn pass(&mut self, mut frame: Frame<Bytes>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(trailers) = frame.trailers_mut() {
            for name in &FORBIDDEN_TRAILERS {
                trailers.remove(name);
            }
            // hyper asks no further: they are the end of a body.
            self.declared.get_or_insert(self.sent);
        }
        if let Some(data) = frame.data_ref() {
            self.sent += data.len() as u64;
            let limit = self
                .ticket
                .as_ref()
                .map(|ticket| ticket.revision.limits().response_body);
            if let Some(limit) = limit
                && self.sent > limit
            {
                return self.fail(BodyError::TooLarge { limit });
            }
        }
        // Counted until the connection has sent it.
        let frame = match &self.ticket {
            Some(ticket) => frame.map_data(|data| ticket.revision.lobby.keep_noted(data)),
            None => frame,
        };
        Poll::Ready(Some(Ok(frame)))
    }

    /// The client has all; a guest that still runs may finish what it does after its response.
    fn let_go(&mut self) {
        let source = std::mem::replace(&mut self.source, Source::Over);
        let (Source::Once(body), Some(ticket)) = (source, self.ticket.take()) else {
            return;
        };
        self.instance = body.instance();
        self.cpu = body.cpu();
        if !body.is_running() {
            ticket.service.charge(self.cpu);
            return;
        }
        let (instance, cpu) = (self.instance, self.cpu);
        task::spawn(task::Kind::AfterResponse, async move {
            let rest = body.into_rest();
            match tokio::time::timeout(ticket.patience, rest).await {
                Ok((Ok(()), Some(live))) => ticket.revision.keep(live),
                Ok((Ok(()), None)) => {}
                Ok((Err(failure), _)) => ticket.crashed(&Arc::new(failure), instance, cpu),
                Err(_) => tracing::warn!(
                    service = %ticket.service.name(),
                    revision = ticket.revision.number(),
                    request = ticket.doing.id.as_str(),
                    "the guest was still running when its deadline passed after the response; \
                     its instance has been dropped"
                ),
            }
        });
    }

    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let (Source::Whole(_), Some(error)) = (&self.source, &self.error) {
            let error = error.clone();
            self.source = Source::Over;
            return Poll::Ready(Some(Err(error)));
        }
        match &mut self.source {
            Source::Whole(whole) => match whole.take() {
                Some(data) if !data.is_empty() => {
                    self.sent = data.len() as u64;
                    Poll::Ready(Some(Ok(Frame::data(data))))
                }
                _ => Poll::Ready(None),
            },
            Source::Once(_) => self.poll_once(cx),
            Source::Shared(_) => self.poll_shared(cx),
            Source::Over => Poll::Ready(None),
        }
    }

    fn show(&mut self, polled: &Poll<Option<Result<Frame<Bytes>, BodyError>>>) {
        match polled {
            Poll::Ready(Some(Ok(frame))) => {
                if let Some(watched) = &mut self.watched {
                    watched.frame(frame.data_ref());
                }
            }
            Poll::Ready(Some(Err(error))) => {
                if let Some(watched) = self.watched.take() {
                    watched.broken(error);
                }
            }
            Poll::Ready(None) | Poll::Pending => {}
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let polled = self.poll_source(cx);
        if self.watched.is_some() {
            self.show(&polled);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Whole(whole) => whole.as_ref().is_none_or(Bytes::is_empty),
            Source::Over => true,
            Source::Once(_) | Source::Shared(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Whole(Some(data)) => SizeHint::with_exact(data.len() as u64),
            Source::Whole(None) | Source::Over => SizeHint::with_exact(0),
            Source::Once(_) | Source::Shared(_) => SizeHint::default(),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        if self.is_whole() {
            if let Some(watched) = self.watched.take() {
                watched.whole();
            }
            self.let_go();
        } else if let Source::Shared(body) = &self.source {
            body.abandon();
        }
        // Dropping what is left cancels the guest: its store goes with its call.
        self.settle();
    }
}

/// What a trailer may not change any more (RFC 9110, section 6.5.1): framing, routing, caching,
/// authentication, and how the body is to be read. hyper leaves these out in HTTP/1 alone.
const FORBIDDEN_TRAILERS: [HeaderName; 12] = [
    header::AUTHORIZATION,
    header::CACHE_CONTROL,
    header::CONTENT_ENCODING,
    CONTENT_LENGTH,
    header::CONTENT_RANGE,
    header::CONTENT_TYPE,
    header::HOST,
    header::MAX_FORWARDS,
    header::SET_COOKIE,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
];

/// How many bytes the client will be sent, where the head settles it.
fn declared(head: &http::response::Parts, head_only: bool) -> Option<u64> {
    let bodiless = head.status == http::StatusCode::NO_CONTENT
        || head.status == http::StatusCode::NOT_MODIFIED;
    if head_only || bodiless {
        return Some(0);
    }
    head.headers
        .get(CONTENT_LENGTH)?
        .to_str()
        .ok()?
        .parse()
        .ok()
}

fn reason(error: &HttpError) -> String {
    cut_text(&format_args!("{error}"))
}
