//! One request on one instance that serves one at a time: WASI 0.2's `incoming-handler`.
//!
//! The guest's call is a future that the connection's own task polls: first until the response's
//! head is there, then whenever the client is ready for more of its body. So nothing is spawned, no
//! channel crosses threads, and a slow client slows down only the guest that answers it. A guest
//! that computes for long goes on elsewhere: see `scheduler`.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};
use wasmtime::Store;
use wasmtime::component::Resource;
use wasmtime_wasi_http::Error as HttpError;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;

use super::errand::Errand;
use super::live::{Code, Live, Start};
use super::meter::Meter;
use super::{Failure, GuestState, cut_text};
use crate::gateway::Stamp;
use crate::scheduler::Computation;
use crate::wasi::{AnswerSlot, IncomingRequest, Outlet, ResponseOutparam};

/// A request as a guest is given it.
pub(crate) struct Request<B> {
    pub(crate) scheme: Scheme,
    pub(crate) request: http::Request<B>,
    /// What is still to be written into its headers.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) errand: Errand,
}

struct Ended {
    /// The instance, if it may serve again.
    live: Option<Live>,
    result: Result<(), Failure>,
}

/// One request in progress on one instance.
pub(crate) struct Exchange {
    /// `None` once the call has ended.
    call: Option<Computation<Ended>>,
    slot: AnswerSlot,
    meter: Arc<Meter>,
    instance: u64,
}

/// What polling the call has come to.
pub(crate) enum Progress {
    /// The head is there; the guest may still be at work on the body.
    Head(http::Response<Outlet>),
    /// The call ended with this, and there will be no response.
    Failed(Failure),
}

impl Exchange {
    /// Prepares a call on `idle`, or on a new instance; no guest runs before it is polled.
    pub(crate) fn new<B>(code: Arc<Code>, idle: Option<Live>, request: Request<B>) -> Exchange
    where
        B: Body<Data = Bytes, Error = HttpError> + Send + 'static,
    {
        let share = code.mould.share.clone();
        let mut start = Start::with(&code, idle);
        // An instance is used again only if its answer was taken.
        let slot = start.slot().clone();
        // Given to the store here and not by the future: a request is half a KiB, and would be
        // copied with every step that leads to the guest.
        let given = Given::to(start.store(), request, &slot);
        let instance = start.store().data().instance();
        let meter = start.meter().clone();
        meter.reset();
        Exchange {
            call: Some(Computation::call(&share, &meter, run(code, start, given))),
            slot,
            meter,
            instance,
        }
    }

    /// CPU time charged so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.meter.used()
    }

    /// The instance's number.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// Polls the guest until its response has a head or there will be none.
    pub(crate) fn poll_head(&mut self, cx: &mut Context<'_>) -> Poll<(Progress, Option<Live>)> {
        let ended = self.poll_call(cx);
        let answer = self.slot.lock().take();
        match (answer, ended) {
            (Some(Ok(response)), Poll::Pending) => Poll::Ready((Progress::Head(response), None)),
            (Some(Ok(response)), Poll::Ready(ended)) => match ended.result {
                Ok(()) => Poll::Ready((Progress::Head(response), ended.live)),
                // It crashed before a byte was sent: the client gets an error, not half an answer.
                Err(failure) => Poll::Ready((Progress::Failed(failure), None)),
            },
            (Some(Err(code)), ended) => {
                let live = match ended {
                    Poll::Ready(ended) => ended.live,
                    Poll::Pending => None,
                };
                let code = cut_text(&format_args!("{code:?}"));
                Poll::Ready((Progress::Failed(Failure::ErrorCode { code }), live))
            }
            (None, Poll::Ready(ended)) => {
                let failure = ended.result.err().unwrap_or(Failure::NoResponse);
                Poll::Ready((Progress::Failed(failure), None))
            }
            (None, Poll::Pending) => Poll::Pending,
        }
    }

    /// Whether the guest's call has returned.
    pub(crate) fn has_ended(&self) -> bool {
        self.call.is_none()
    }

    /// Whether the guest may be at work while nobody polls it.
    fn runs_elsewhere(&self) -> bool {
        self.call.as_ref().is_some_and(Computation::runs_elsewhere)
    }

    fn poll_call(&mut self, cx: &mut Context<'_>) -> Poll<Ended> {
        let Some(call) = &mut self.call else {
            return Poll::Pending;
        };
        let ended = ready!(call.poll(cx));
        self.call = None;
        Poll::Ready(ended.unwrap_or_else(|panicked| Ended {
            live: None,
            result: Err(Failure::of_panic(panicked)),
        }))
    }
}

/// A request in its store's table, and where its answer goes.
struct Given {
    request: Resource<IncomingRequest>,
    out: Resource<ResponseOutparam>,
}

impl Given {
    fn to<B>(
        store: &mut Store<GuestState>,
        request: Request<B>,
        slot: &AnswerSlot,
    ) -> wasmtime::Result<Given>
    where
        B: Body<Data = Bytes, Error = HttpError> + Send + 'static,
    {
        store.data_mut().begin(request.errand);
        let table = store.data_mut().http_table();
        let request = IncomingRequest::new(request.scheme, request.request, request.stamp);
        let (request, out) = table.receive(request, slot.clone())?;
        Ok(Given { request, out })
    }
}

async fn run(code: Arc<Code>, mut start: Start, given: wasmtime::Result<Given>) -> Ended {
    let failed = |failure| Ended {
        live: None,
        result: Err(failure),
    };
    let given = match given {
        Ok(given) => given,
        Err(error) => return failed(Failure::of_call(error, start.store().data())),
    };
    let mut live = match start.live(&code).await {
        Ok(live) => live,
        Err(failure) => return failed(failure),
    };
    let Some(handle) = live.handle else {
        // Only what exports an `incoming-handler` is given requests.
        return failed(Failure::NoResponse);
    };
    live.store.set_epoch_deadline(1);
    let given = (given.request, given.out);
    let at_work = code
        .is_concurrent()
        .then(|| live.store.data().set_to_work());
    let called = handle.call_async(&mut live.store, given).await;
    drop(at_work);
    match called {
        Ok(()) => Ended {
            live: live.rested(),
            result: Ok(()),
        },
        Err(error) => {
            let failure = Failure::of_call(error, live.store.data());
            code.mould.bury(live.store, Some(&failure));
            failed(failure)
        }
    }
}

/// The body of a response that its guest may still be writing.
pub(crate) struct OnceBody {
    exchange: Exchange,
    body: Outlet,
    /// Frames that were there when the call ended; the store they came from may be gone.
    ready: VecDeque<Frame<Bytes>>,
    state: BodyState,
}

#[derive(Debug, PartialEq, Eq)]
enum BodyState {
    /// The guest's side is open.
    Open,
    /// The guest's side broke off; the call, which is on another thread, is about to say why.
    BrokenOff,
    /// All frames that will come are in `ready`; then the body ends well.
    Complete,
    /// All frames that will come are in `ready`; then the body ends with an error.
    Broken,
}

/// What a body's poll tells beside its frame.
pub(crate) enum BodyEvent {
    /// A piece of the body.
    Frame(Frame<Bytes>),
    /// The body is whole. The guest may still run: see [`OnceBody::into_rest`].
    Whole,
    /// The guest failed; the client must see that the body is not whole.
    Failed(Failure),
    /// The guest wrote a body that contradicts its own headers.
    Invalid(HttpError),
}

/// An instance that a body's poll has set free.
pub(crate) type Freed = Option<Live>;

impl OnceBody {
    /// Couples the response's body with the guest that writes it.
    ///
    /// If the call has ended, all that the guest wrote is collected now: `freed` is then returned
    /// for the pool if nothing is missing.
    pub(crate) fn new(
        exchange: Exchange,
        body: Outlet,
        freed: Freed,
    ) -> (OnceBody, Freed, Option<Failure>) {
        let mut this = OnceBody {
            exchange,
            body,
            ready: VecDeque::new(),
            state: BodyState::Open,
        };
        if !this.exchange.has_ended() {
            return (this, None, None);
        }
        match this.collect() {
            Ok(()) => (this, freed, None),
            Err(failure) => (this, None, Some(failure)),
        }
    }

    /// If the whole body is one piece of data (or nothing) that is already here, takes it.
    pub(crate) fn take_whole(&mut self) -> Option<Bytes> {
        if self.state != BodyState::Complete || self.ready.len() > 1 {
            return None;
        }
        match self.ready.pop_front() {
            None => Some(Bytes::new()),
            Some(frame) => match frame.into_data() {
                Ok(data) => Some(data),
                Err(trailers) => {
                    self.ready.push_front(trailers);
                    None
                }
            },
        }
    }

    /// CPU time charged so far.
    pub(crate) fn cpu(&self) -> Duration {
        self.exchange.cpu()
    }

    /// The instance's number.
    pub(crate) fn instance(&self) -> u64 {
        self.exchange.instance()
    }

    /// The next frame; polls the guest only when none is waiting.
    pub(crate) fn poll_event(&mut self, cx: &mut Context<'_>) -> Poll<(BodyEvent, Freed)> {
        loop {
            if let Some(frame) = self.ready.pop_front() {
                return Poll::Ready((BodyEvent::Frame(frame), None));
            }
            match self.state {
                BodyState::Complete => return Poll::Ready((BodyEvent::Whole, None)),
                BodyState::Broken => {
                    return Poll::Ready((BodyEvent::Failed(Failure::UnfinishedBody), None));
                }
                BodyState::BrokenOff => {
                    let ended = ready!(self.exchange.poll_call(cx));
                    self.state = BodyState::Broken;
                    let failure = ended.result.err().unwrap_or(Failure::UnfinishedBody);
                    return Poll::Ready((BodyEvent::Failed(failure), None));
                }
                BodyState::Open => {}
            }
            match Pin::new(&mut self.body).poll_frame(cx) {
                // An empty frame would tell the client nothing and could be repeated for ever.
                Poll::Ready(Some(Ok(frame))) if is_empty(&frame) => continue,
                Poll::Ready(Some(Ok(frame))) => {
                    return Poll::Ready((BodyEvent::Frame(frame), None));
                }
                Poll::Ready(Some(Err(_))) if self.exchange.runs_elsewhere() => {
                    self.state = BodyState::BrokenOff;
                    continue;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.state = BodyState::Broken;
                    return Poll::Ready((BodyEvent::Invalid(error), None));
                }
                Poll::Ready(None) => {
                    self.state = BodyState::Complete;
                    continue;
                }
                Poll::Pending => {}
            }
            let Poll::Ready(ended) = self.exchange.poll_call(cx) else {
                // The guest may have written while it was polled, and then nobody wakes us.
                match self.poll_body_again(cx) {
                    Some(event) => return Poll::Ready((event, None)),
                    None if self.state == BodyState::Open => return Poll::Pending,
                    None => continue,
                }
            };
            if let Err(failure) = ended.result {
                self.state = BodyState::Broken;
                return Poll::Ready((BodyEvent::Failed(failure), None));
            }
            match self.collect() {
                Ok(()) => {
                    let event = match self.ready.pop_front() {
                        Some(frame) => BodyEvent::Frame(frame),
                        None => BodyEvent::Whole,
                    };
                    return Poll::Ready((event, ended.live));
                }
                Err(failure) if self.ready.is_empty() => {
                    return Poll::Ready((BodyEvent::Failed(failure), None));
                }
                Err(_) => {}
            }
        }
    }

    fn poll_body_again(&mut self, cx: &mut Context<'_>) -> Option<BodyEvent> {
        loop {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Pending => return None,
                Poll::Ready(Some(Ok(frame))) if is_empty(&frame) => {}
                Poll::Ready(Some(Ok(frame))) => return Some(BodyEvent::Frame(frame)),
                Poll::Ready(Some(Err(_))) if self.exchange.runs_elsewhere() => {
                    self.state = BodyState::BrokenOff;
                    return None;
                }
                Poll::Ready(Some(Err(error))) => {
                    self.state = BodyState::Broken;
                    return Some(BodyEvent::Invalid(error));
                }
                Poll::Ready(None) => {
                    self.state = BodyState::Complete;
                    return None;
                }
            }
        }
    }

    /// Takes what is left in the channel of a guest whose call has ended.
    fn collect(&mut self) -> Result<(), Failure> {
        let mut cx = Context::from_waker(Waker::noop());
        loop {
            match Pin::new(&mut self.body).poll_frame(&mut cx) {
                Poll::Ready(Some(Ok(frame))) if is_empty(&frame) => {}
                Poll::Ready(Some(Ok(frame))) => self.ready.push_back(frame),
                Poll::Ready(None) => {
                    self.state = BodyState::Complete;
                    return Ok(());
                }
                Poll::Ready(Some(Err(_))) | Poll::Pending => {
                    self.state = BodyState::Broken;
                    return Err(Failure::UnfinishedBody);
                }
            }
        }
    }

    /// Whether the guest still runs.
    pub(crate) fn is_running(&self) -> bool {
        !self.exchange.has_ended()
    }

    /// What remains once the client has all it will get: the guest may go on after its response.
    /// The future resolves when it has returned; what it still writes is thrown away.
    pub(crate) async fn into_rest(mut self) -> (Result<(), Failure>, Freed) {
        std::future::poll_fn(move |cx| {
            let call = self.exchange.poll_call(cx);
            let mut drained = false;
            while let Poll::Ready(Some(Ok(_))) = Pin::new(&mut self.body).poll_frame(cx) {
                drained = true;
            }
            match call {
                Poll::Ready(ended) => Poll::Ready((ended.result, ended.live)),
                Poll::Pending => {
                    if drained {
                        // There is room again; let others run before the guest fills it.
                        cx.waker().wake_by_ref();
                    }
                    Poll::Pending
                }
            }
        })
        .await
    }
}

fn is_empty(frame: &Frame<Bytes>) -> bool {
    frame.data_ref().is_some_and(Bytes::is_empty)
}
