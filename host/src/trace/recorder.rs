//! Who wants spans, and what is kept for them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwapOption;
use http::header::{HeaderMap, HeaderValue};
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::mpsc;

use super::{Bytes, Context, Span, SpanId, TRACEPARENT, TRACESTATE, Work};

/// Calls of one request that its line of the log tells of. Those beyond are counted.
const CALLS_KEPT: usize = 64;

/// Begins traces, and hands their spans to a listener. One for the host.
#[derive(Debug, Default)]
pub struct Tracer {
    listener: ArcSwapOption<Listener>,
}

#[derive(Debug)]
struct Listener {
    spans: mpsc::Sender<Span>,
    lost: AtomicU64,
}

/// The trace that an errand is part of.
#[derive(Debug)]
pub(crate) struct Trace {
    /// The span that the errand is at.
    here: Context,
    /// There is no such span yet: the first call is to be it.
    unbegun: bool,
    /// What other tracers along the way have to say to each other.
    state: Option<HeaderValue>,
    /// None: the trace is somebody else's, and only passed on.
    recorder: Option<Arc<Recorder>>,
}

/// Where the spans of one request go.
#[derive(Debug)]
struct Recorder {
    calls: Option<Mutex<Calls>>,
    listener: Option<Arc<Listener>>,
}

/// The calls of one request, in the order in which they began.
#[derive(Debug, Default)]
pub(crate) struct Calls {
    pub(crate) spans: Vec<Span>,
    /// How many more there were.
    pub(crate) omitted: u64,
}

/// A span that is not over. Dropped before its end it counts as cancelled.
pub(crate) struct Open {
    span: Option<Span>,
    clock: Instant,
    /// Its place among the request's calls.
    place: Option<usize>,
    recorder: Arc<Recorder>,
}

impl Tracer {
    /// From now on, the spans of requests that begin go here when they are over: so many may wait to
    /// be taken, and what finds no room is lost and counted ([`Tracer::lost`]). Nothing waits for the
    /// listener. There is one; it stops by dropping the receiver.
    pub fn listen(&self, room: usize) -> mpsc::Receiver<Span> {
        let (spans, receiver) = mpsc::channel(room);
        let lost = AtomicU64::new(0);
        self.listener
            .store(Some(Arc::new(Listener { spans, lost })));
        receiver
    }

    /// Spans that the listener was too slow for.
    pub fn lost(&self) -> u64 {
        let listener = self.listener.load();
        let lost = listener.as_ref().map(|listener| &listener.lost);
        lost.map_or(0, |lost| lost.load(Ordering::Relaxed))
    }

    /// Whether somebody listens.
    pub(crate) fn is_heard(&self) -> bool {
        let listener = self.listener.load();
        let listener = listener.as_ref();
        listener.is_some_and(|listener| !listener.spans.is_closed())
    }

    /// The trace of a request with these headers, which are written anew where its spans are
    /// recorded: what the guest sees is the request's own span. None if there is nothing to record
    /// and nothing to pass on.
    pub(crate) fn request(&self, headers: &mut HeaderMap, log_calls: bool) -> Option<Begun> {
        let listener = self.listener.load();
        let listener = listener
            .as_ref()
            .filter(|listener| !listener.spans.is_closed());
        let recorded = log_calls || listener.is_some();
        if !recorded && !headers.contains_key(&TRACEPARENT) {
            return None;
        }
        let outside = Context::of(headers);
        let state = headers.get(&TRACESTATE).cloned();
        if !recorded {
            let here = outside?;
            let trace = Trace {
                here,
                unbegun: false,
                state,
                recorder: None,
            };
            let (trace, parent) = (Arc::new(trace), None);
            return Some(Begun { trace, parent });
        }
        let here = outside.map_or_else(Context::begin, Context::child);
        headers.insert(TRACEPARENT, here.header());
        let recorder = Recorder {
            calls: log_calls.then(Mutex::default),
            listener: listener.cloned(),
        };
        let trace = Trace {
            here,
            unbegun: false,
            state,
            recorder: Some(Arc::new(recorder)),
        };
        Some(Begun {
            trace: Arc::new(trace),
            parent: outside.map(|outside| outside.span),
        })
    }

    /// The trace of one call that no request led to; none if nobody listens.
    pub(crate) fn call(&self) -> Option<Arc<Trace>> {
        if !self.is_heard() {
            return None;
        }
        let recorder = Recorder {
            calls: None,
            listener: self.listener.load_full(),
        };
        Some(Arc::new(Trace {
            here: Context::begin(),
            unbegun: true,
            state: None,
            recorder: Some(Arc::new(recorder)),
        }))
    }
}

/// A request's trace.
pub(crate) struct Begun {
    pub(crate) trace: Arc<Trace>,
    /// The client's span.
    pub(crate) parent: Option<SpanId>,
}

impl Trace {
    /// Whether spans of it are recorded.
    pub(crate) fn is_recorded(&self) -> bool {
        self.recorder.is_some()
    }

    /// The span that the errand is at.
    pub(crate) fn here(&self) -> Context {
        self.here
    }

    /// Puts the context into the headers of a request that is made on the errand, unless the guest
    /// has one of its own.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        if headers.contains_key(&TRACEPARENT) {
            return;
        }
        headers.insert(TRACEPARENT, self.here.header());
        headers.remove(&TRACESTATE);
        if let Some(state) = &self.state {
            headers.insert(TRACESTATE, state.clone());
        }
    }

    /// Tells whoever answers a request of the errand's which span it is, whatever the request said
    /// before; nothing if the trace is only passed on.
    pub(crate) fn announce(&self, headers: &mut HeaderMap) {
        if self.recorder.is_some() {
            headers.insert(TRACEPARENT, self.here.header());
        }
    }

    /// A call that is made on the errand begins, or a request: its span, and the trace as whoever
    /// answers has it. None if nobody wants to know. `service` is who does it, or sends it.
    pub(crate) fn call(
        &self,
        service: &Arc<str>,
        work: impl FnOnce() -> Work,
    ) -> Option<(Open, Arc<Trace>)> {
        let recorder = self.recorder.as_ref()?;
        let (here, parent) = match self.unbegun {
            true => (self.here, None),
            false => (self.here.child(), Some(self.here.span)),
        };
        let span = Span {
            context: here,
            parent,
            began: SystemTime::now(),
            duration: Duration::ZERO,
            service: Some(service.clone()),
            revision: 0,
            work: work(),
            outcome: "unfinished",
            queued: Duration::ZERO,
            cpu: Duration::ZERO,
            bytes: None,
        };
        let open = Open {
            clock: Instant::now(),
            place: recorder.begun(&span),
            span: Some(span),
            recorder: recorder.clone(),
        };
        let trace = Trace {
            here,
            unbegun: false,
            state: self.state.clone(),
            recorder: Some(recorder.clone()),
        };
        Some((open, Arc::new(trace)))
    }

    /// The request itself is over.
    pub(crate) fn ended(&self, span: impl FnOnce() -> Span) {
        if let Some(listener) = self.recorder.as_ref().and_then(|r| r.listener.as_ref()) {
            listener.take(span());
        }
    }

    /// The calls so far, if the log wants them.
    pub(crate) fn calls(&self) -> Option<MutexGuard<'_, Calls>> {
        Some(self.recorder.as_ref()?.calls.as_ref()?.lock())
    }
}

impl Recorder {
    /// Keeps a place for a call, so that the order is that of their beginnings.
    fn begun(&self, span: &Span) -> Option<usize> {
        let mut calls = self.calls.as_ref()?.lock();
        let place = calls.spans.len();
        if place == CALLS_KEPT {
            calls.omitted += 1;
            return None;
        }
        calls.spans.push(span.clone());
        Some(place)
    }

    fn ended(&self, place: Option<usize>, span: Span) {
        let kept = self.calls.as_ref().zip(place);
        match (kept, &self.listener) {
            (Some((calls, place)), Some(listener)) => {
                calls.lock().put(place, span.clone());
                listener.take(span);
            }
            (Some((calls, place)), None) => calls.lock().put(place, span),
            (None, Some(listener)) => listener.take(span),
            (None, None) => {}
        }
    }
}

impl Calls {
    fn put(&mut self, place: usize, span: Span) {
        if let Some(kept) = self.spans.get_mut(place) {
            *kept = span;
        }
    }
}

impl Listener {
    fn take(&self, span: Span) {
        if self.spans.try_send(span).is_err() {
            self.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// What is known of a call when it is over.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    pub(crate) revision: u32,
    pub(crate) queued: Duration,
    pub(crate) cpu: Duration,
}

impl Open {
    /// The request is answered with this status.
    pub(crate) fn answered(&mut self, with: http::StatusCode) {
        if let Some(Span {
            work:
                Work::Request { status, .. } | Work::Passed { status, .. } | Work::Sent { status, .. },
            ..
        }) = &mut self.span
        {
            *status = Some(with.as_u16());
        }
    }

    /// It is over.
    pub(crate) fn end(mut self, outcome: &'static str, spent: Spent, bytes: Option<Bytes>) {
        if let Some(span) = &mut self.span {
            span.outcome = outcome;
            span.revision = spent.revision;
            span.queued = spent.queued;
            span.cpu = spent.cpu;
            span.bytes = bytes;
        }
        self.over();
    }

    fn over(&mut self) {
        if let Some(mut span) = self.span.take() {
            span.duration = self.clock.elapsed();
            self.recorder.ended(self.place, span);
        }
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(span) = &mut self.span {
            span.outcome = "cancelled";
        }
        self.over();
    }
}

#[cfg(test)]
mod tests;
