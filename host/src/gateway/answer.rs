//! What leaves: a guest's answer or a problem (RFC 9457), and the line that is logged when it has
//! left.

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Response, StatusCode, Uri, Version};
use http_body::{Body, Frame, SizeHint};

use super::Arrival;
use super::body::BodyReport;
use super::fault::{Fault, Row};
use super::request_id::{self, RequestId};
use crate::lag::{self, Lag, Pace};
use crate::log::Sink;
use crate::log::access::{AccessRecord, AccessService};
use crate::service::{AnswerBody, BodyError, CallRecord, Service};
use crate::trace::{Begun, Span, TRACEPARENT, Work};

/// What is collected of a request for its log line and its span.
pub(crate) struct Entry {
    /// None if no line is wanted.
    sink: Option<Sink>,
    arrival: Arrival,
    method: Method,
    uri: Uri,
    version: Version,
    id: RequestId,
    client: IpAddr,
    host: Option<HeaderValue>,
    traceparent: Option<HeaderValue>,
    trace: Option<Begun>,
    service: Option<Arc<Service>>,
    record: CallRecord,
    report: Option<Arc<BodyReport>>,
    status: Option<StatusCode>,
    outcome: &'static str,
    error: Option<String>,
}

impl Entry {
    pub(crate) fn open(
        sink: Option<&Sink>,
        parts: &http::request::Parts,
        id: RequestId,
        client: IpAddr,
    ) -> Logged {
        let entry = Box::new(Entry {
            sink: sink.cloned(),
            arrival: Arrival {
                time: SystemTime::now(),
                clock: Instant::now(),
            },
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            id,
            client,
            host: parts.headers.get(http::header::HOST).cloned(),
            traceparent: None,
            trace: None,
            service: None,
            record: CallRecord::default(),
            report: None,
            status: None,
            outcome: "cancelled",
            error: None,
        });
        Logged { entry, sent: 0 }
    }

    pub(crate) fn routed(
        &mut self,
        service: &Arc<Service>,
        client: IpAddr,
        host: HeaderValue,
        headers: &HeaderMap,
    ) {
        self.service = Some(service.clone());
        self.client = client;
        self.host = Some(host);
        self.traceparent = headers.get(&TRACEPARENT).cloned();
    }

    pub(crate) fn traced(&mut self, begun: Begun) {
        self.trace = begun.trace.is_recorded().then_some(begun);
    }

    pub(crate) fn called(&mut self, record: CallRecord, report: Option<Arc<BodyReport>>) {
        self.record = record;
        self.report = report;
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        self.status = Some(status);
        self.outcome = "ok";
    }

    pub(crate) fn failed(&mut self, fault: &Fault) {
        let row = fault.row();
        self.status = Some(row.status);
        self.outcome = row.label;
        self.error = fault.chain();
    }

    /// The answer's body is over, whole or not.
    fn ended(&mut self, body: &AnswerBody, slow: bool) {
        if self.service.is_some() && body.instance() != 0 {
            self.record.cpu = body.cpu();
            self.record.instance = body.instance();
        }
        match body.error() {
            Some(error) => {
                self.outcome = broken_off(error);
                self.error = Some(crate::log::chain(error).to_string());
            }
            None if body.is_whole() => {}
            None if slow => self.outcome = "client-slow",
            None => self.outcome = "client-gone",
        }
    }

    fn over(&self, sent: u64) {
        if let Some(sink) = &self.sink {
            self.log(sink, sent);
        }
        if let Some(begun) = &self.trace {
            begun.trace.ended(|| self.span(begun));
        }
    }

    fn span(&self, begun: &Begun) -> Span {
        Span {
            context: begun.trace.here(),
            parent: begun.parent,
            began: self.arrival.time,
            duration: self.arrival.clock.elapsed(),
            service: self.service.as_ref().map(|service| service.name().clone()),
            revision: self.record.revision,
            work: Work::Request {
                method: self.method.clone(),
                path: self.uri.path().into(),
                status: self.status.map(|status| status.as_u16()),
            },
            outcome: self.outcome,
            queued: self.record.queued,
            cpu: self.record.cpu,
            bytes: None,
        }
    }

    fn log(&self, sink: &Sink, sent: u64) {
        let text = |value: &Option<HeaderValue>| -> Option<String> {
            value
                .as_ref()
                .and_then(|value| value.to_str().ok())
                .map(str::to_owned)
        };
        let traceparent = text(&self.traceparent);
        let host = self
            .host
            .as_ref()
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default();
        let begun = self.trace.as_ref();
        let calls = begun.and_then(|begun| begun.trace.calls());
        let record = AccessRecord {
            time: self.arrival.time,
            request_id: self.id.as_str(),
            client: self.client,
            method: self.method.as_str(),
            host,
            path: self.uri.path(),
            version: self.version,
            status: self.status.map(|status| status.as_u16()),
            request_bytes: self.report.as_ref().map_or(0, |report| report.read()),
            response_bytes: sent,
            duration: self.arrival.clock.elapsed(),
            service: self.service.as_ref().map(|service| AccessService {
                name: service.name(),
                revision: self.record.revision,
                instance: (self.record.instance != 0).then_some(self.record.instance),
                cpu: self.record.cpu,
                queue_wait: self.record.queued,
            }),
            outcome: self.outcome,
            error: self.error.as_deref(),
            traceparent: traceparent.as_deref(),
            span: begun.map(|begun| begun.trace.here()),
            calls: calls.as_deref(),
        };
        record.log(sink);
    }
}

/// What is said of the end of a body that breaks off.
pub(crate) fn broken_off(error: &BodyError) -> &'static str {
    match error {
        BodyError::Guest(failure) => failure.label(),
        BodyError::TooLarge { .. } => "response-too-large",
        BodyError::Invalid { .. } => "invalid-body",
    }
}

/// The body of every answer; when it is dropped, its request is over and logged. `O` is what the
/// listener keeps for as long.
pub(crate) struct GatewayBody<O> {
    body: AnswerBody,
    /// The client's lag in taking it, if a guest waits for that.
    lag: Option<Arc<Lag>>,
    /// Bytes of the piece that the client is taking.
    piece: u64,
    entry: Option<Logged>,
    _open: O,
}

/// An entry that is logged when dropped, also when a request is cancelled before its answer.
pub(crate) struct Logged {
    pub(crate) entry: Box<Entry>,
    sent: u64,
}

impl Drop for Logged {
    fn drop(&mut self) {
        self.entry.over(self.sent);
    }
}

impl<O> GatewayBody<O> {
    pub(crate) fn new(
        body: AnswerBody,
        entry: Option<Logged>,
        open: O,
        pace: Pace,
    ) -> GatewayBody<O> {
        let lag = body.admission().map(|admission| {
            let lag = Lag::new(pace);
            admission.watch(&lag);
            lag::watch_answer(&lag);
            lag
        });
        GatewayBody {
            body,
            lag,
            piece: 0,
            entry,
            _open: open,
        }
    }
}

impl<O: Unpin> Body for GatewayBody<O> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        // It is asked for more, so what was there has been taken.
        if let Some(lag) = &this.lag {
            lag.moved(std::mem::take(&mut this.piece));
        }
        let polled = Pin::new(&mut this.body).poll_frame(cx);
        if let (Some(lag), Poll::Ready(Some(Ok(frame)))) = (&this.lag, &polled) {
            this.piece = frame.data_ref().map_or(0, Bytes::len) as u64;
            // Once its place is given back, nobody else needs what the client holds up.
            if this.body.admission().is_some() {
                lag.wait();
            }
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl<O> Drop for GatewayBody<O> {
    fn drop(&mut self) {
        if let Some(logged) = &mut self.entry {
            logged.sent = self.body.sent();
            let slow = self.lag.as_ref().is_some_and(|lag| lag.is_over());
            logged.entry.ended(&self.body, slow);
        }
        // hyper need not ask for more than was declared; what it has, the client may still take.
        if let Some(lag) = &self.lag {
            lag.done();
        }
    }
}

/// The media type of a problem.
pub(super) const PROBLEM: &str = "application/problem+json";

/// The text of a problem.
pub(super) fn document(row: Row, id: &RequestId) -> String {
    let text = serde_json::json!({
        "type": "about:blank",
        "title": row.status.canonical_reason().unwrap_or("Error"),
        "status": row.status.as_u16(),
        "detail": row.text,
        "request_id": id.as_str(),
    });
    format!("{text}\n")
}

/// The answer to a request that no guest answered.
pub(crate) fn problem<O>(
    fault: &Fault,
    id: &RequestId,
    entry: Option<Logged>,
    open: O,
) -> Response<GatewayBody<O>> {
    let row = fault.row();
    let body = AnswerBody::text(Bytes::from(document(row, id)));
    let mut response = Response::new(GatewayBody {
        body,
        lag: None,
        piece: 0,
        entry,
        _open: open,
    });
    *response.status_mut() = row.status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(PROBLEM));
    headers.insert(request_id::HEADER, id.value().clone());
    if let Fault::MethodNotAllowed(allow) = fault
        && let Ok(allow) = HeaderValue::from_str(allow)
    {
        headers.insert(ALLOW, allow);
    }
    if let Some(after) = fault.retry_after() {
        let seconds = after.as_secs() + u64::from(after.subsec_nanos() > 0);
        headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
    }
    if matches!(
        fault,
        Fault::BodyTooLarge | Fault::BodyTimeout | Fault::BodyBroken
    ) {
        // What is left of the body would be read as the next request.
        headers.insert(http::header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}
