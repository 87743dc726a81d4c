//! The handle of a service: is it open, which revision answers, is there room, and the call.
//!
//! Before it: `gateway` has routed the request. After it: `instance` runs the guest. The request
//! path reads one snapshot and takes no lock but the pool's; all changes come from `supervisor`
//! and `deploy`, which swap the snapshot.

mod admission;
mod body;
mod call_error;
mod cutting;
mod door;
mod incident;
mod invoke;
mod lease;
mod revision;
mod shadow;
mod tally;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;

pub(crate) use self::admission::places_beyond;
pub use self::admission::{Admission, Shed};
pub(crate) use self::body::{AnswerBody, BodyError};
pub use self::call_error::{CallCause, CallError, CallKind, Function, Restraint};
pub(crate) use self::cutting::Cutting;
use self::door::Entrance;
pub use self::door::{Closed, Door, Hold};
pub use self::incident::Incident;
pub(crate) use self::incident::{DOING_TOLD, Doing, Lost, Work};
pub(crate) use self::invoke::{Invocation, Unanswered, Wanted};
pub(crate) use self::lease::{Lease, Leases};
pub use self::revision::{Beside, Handler, RequestLimits, Revision};
pub(crate) use self::shadow::Shadow;
use self::shadow::Tap;
pub(crate) use self::tally::{Reading, Tally};
use crate::gateway::body::IncomingBody;
use crate::gateway::{RequestId, Stamp};
use crate::generation::Generation;
use crate::instance::errand::Errand;
use crate::instance::live::{Code, Live};
use crate::instance::once::{self, Exchange, OnceBody, Progress};
use crate::instance::{Failure, shared};
use crate::trace::Trace;

/// Counts since the host began; relaxed, for people and metrics.
#[derive(Debug, Default)]
pub struct Counters {
    /// Requests that got a response head from the guest.
    pub answered: AtomicU64,
    /// Instances lost to a crash.
    pub crashed: AtomicU64,
    /// Requests that found no room.
    pub shed: AtomicU64,
    /// CPU time of guests, nanoseconds.
    pub cpu_ns: AtomicU64,
}

/// A named part of the application, as one generation or more have it. A revision that takes the
/// place of another comes with a handle of its own: those who hold the other's go on with that.
pub struct Service {
    name: Arc<str>,
    entrance: Entrance,
    counters: Arc<Counters>,
    /// What this revision did.
    tally: Tally,
    /// Good answers since the last incident.
    since_incident: AtomicU64,
    incidents: mpsc::Sender<Incident>,
    /// Where its calls are copied to.
    tap: Tap,
}

/// Incidents that wait for the supervisor. More at once tell it nothing new and are only counted.
pub const INCIDENTS_WAITING: usize = 256;

/// A request that has been routed to a service.
pub(crate) struct Call {
    pub(crate) scheme: Scheme,
    pub(crate) request: http::Request<IncomingBody>,
    /// What is still to be written into its headers. A probe has none.
    pub(crate) stamp: Option<Stamp>,
    pub(crate) request_id: RequestId,
    /// What it goes by; a probe goes by the latest that its revision is in.
    pub(crate) generation: Option<Arc<Generation>>,
    /// The trace that it is part of, if anybody cares.
    pub(crate) trace: Option<Arc<Trace>>,
    /// How many requests of services led to this one.
    pub(crate) depth: u32,
    /// The route's own deadline, instead of the service's.
    pub(crate) deadline: Option<Duration>,
    /// The route that led here, as the manifest writes it.
    pub(crate) route: Option<Arc<str>>,
    /// The client will be sent no body, whatever the guest writes: the request is a HEAD.
    pub(crate) head_only: bool,
}

impl Call {
    /// The same once more, going by that generation and in no trace; none if it cannot be had twice.
    fn copy(&self, generation: Arc<Generation>) -> Option<Call> {
        let mut request = http::Request::new(self.request.body().copy()?);
        *request.method_mut() = self.request.method().clone();
        *request.uri_mut() = self.request.uri().clone();
        *request.version_mut() = self.request.version();
        *request.headers_mut() = self.request.headers().clone();
        Some(Call {
            scheme: self.scheme.clone(),
            request,
            stamp: self.stamp.clone(),
            request_id: self.request_id.clone(),
            generation: Some(generation),
            trace: None,
            depth: self.depth,
            deadline: self.deadline,
            route: self.route.clone(),
            head_only: self.head_only,
        })
    }

    /// What the guest is at work for.
    fn errand(&self, deadline: Instant) -> Errand {
        Errand {
            request: Some(self.request_id.clone()),
            generation: self.generation.clone(),
            trace: self.trace.clone(),
            depth: self.depth,
            deadline: Some(deadline),
            waiting: None,
        }
    }
}

/// What is known of a call when its response's head is there or it has failed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct CallRecord {
    pub(crate) revision: u32,
    pub(crate) instance: u64,
    pub(crate) cpu: Duration,
    pub(crate) queued: Duration,
}

/// Why a service did not answer.
#[derive(Clone, Debug)]
pub enum Refused {
    /// Its door is closed.
    Closed(Closed),
    /// It has no room.
    Shed(Shed),
    /// It, or what it was waiting for, failed.
    Failed(Arc<Failure>),
}

impl Refused {
    /// Whether the service itself is to blame.
    fn is_its_own(&self) -> bool {
        match self {
            Refused::Closed(_) | Refused::Shed(_) => false,
            Refused::Failed(failure) => failure.is_its_own(),
        }
    }
}

pub(crate) type Answer = Result<http::Response<AnswerBody>, Refused>;

impl Service {
    /// A closed service. `counters` are those of all revisions of that name; `incidents` goes to the
    /// supervisor of this one.
    pub fn new(
        name: Arc<str>,
        hold: Hold,
        counters: Arc<Counters>,
        incidents: mpsc::Sender<Incident>,
    ) -> Arc<Service> {
        Arc::new(Service {
            name,
            entrance: Entrance::new(hold),
            counters,
            tally: Tally::default(),
            since_incident: AtomicU64::new(0),
            incidents,
            tap: Tap::default(),
        })
    }

    /// Its name in the manifest.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its counters.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// What this revision did.
    pub(crate) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// From now on what comes is copied there; or nowhere.
    pub(crate) fn copy_to(&self, shadow: Option<Arc<Shadow>>) {
        self.tap.set(shadow);
    }

    /// From now on this revision answers. Requests in flight end where they began.
    pub fn open(&self, revision: Arc<Revision>) {
        self.entrance.set(Door::Open(revision));
    }

    /// From now on nobody answers.
    pub fn close(&self, closed: Closed) {
        self.entrance.set(Door::Closed(closed));
    }

    /// Whoever comes waits, whatever the supervisor says, until [`Service::move_to`] or
    /// [`Service::resume`].
    pub(crate) fn pause(&self, reason: &str) {
        self.entrance.latch(Door::Closed(Closed {
            revision: 0,
            reason: reason.to_owned(),
            coming: true,
            retry_at: None,
        }));
    }

    /// From now on that one answers whoever comes to this.
    pub(crate) fn move_to(&self, successor: Arc<Service>) {
        self.entrance.latch(Door::Moved(successor));
    }

    /// It answers for itself again, if its supervisor says so.
    pub(crate) fn resume(&self) {
        self.entrance.unlatch();
    }

    /// The revision that answers now, if one does.
    pub fn active(&self) -> Option<Arc<Revision>> {
        match &**self.entrance.load() {
            Door::Open(revision) => Some(revision.clone()),
            Door::Closed(_) => None,
            Door::Moved(successor) => successor.active(),
        }
    }

    /// Who has what this one had in memory.
    fn successor(&self) -> Option<Arc<Service>> {
        match &**self.entrance.load() {
            Door::Moved(successor) => Some(successor.clone()),
            Door::Open(_) | Door::Closed(_) => None,
        }
    }

    /// Whether there is memory for a request, before anything is held for it. A closed service says
    /// so itself.
    pub(crate) fn room(&self) -> Result<(), Refused> {
        match &**self.entrance.load() {
            Door::Open(revision) if !revision.has_room() => {
                self.counters.shed.fetch_add(1, Ordering::Relaxed);
                Err(Refused::Shed(Shed::Memory))
            }
            Door::Open(_) | Door::Closed(_) => Ok(()),
            Door::Moved(successor) => successor.room(),
        }
    }

    /// Waits while the service is on its way, as long as its callers may be held; tells how long.
    pub(crate) async fn hold(&self) -> Duration {
        match self.successor() {
            Some(successor) => Box::pin(successor.hold()).await,
            None => self.entrance.hold().await,
        }
    }

    /// The same for a caller that has no longer than that.
    async fn hold_until(&self, deadline: Option<Instant>) {
        let held = self.hold();
        match deadline {
            Some(deadline) => {
                // Whoever comes too late is told by what comes next.
                let _ = tokio::time::timeout_at(deadline.into(), held).await;
            }
            None => {
                held.await;
            }
        }
    }

    /// Whether it is about to open, so that it may be worth waiting for.
    pub(crate) fn is_coming(&self) -> bool {
        match &**self.entrance.load() {
            Door::Closed(closed) => closed.coming,
            Door::Open(_) => false,
            Door::Moved(successor) => successor.is_coming(),
        }
    }

    /// Callers that wait for it to be open.
    pub fn held(&self) -> usize {
        self.entrance.held()
    }

    /// Admits the request, runs the guest until its response has a head, and returns that with a
    /// body that goes on running the guest. Dropping the future or the body cancels the guest.
    pub(crate) async fn call(self: &Arc<Self>, call: Call) -> (Answer, CallRecord) {
        let closed = match Door::clone(&self.entrance.load()) {
            Door::Open(revision) => {
                let copied = self.tap.copy_request(&call);
                let (mut answer, record) = self.call_revision(revision, call).await;
                if let Some(original) = copied {
                    original.answered(&mut answer);
                }
                return (answer, record);
            }
            Door::Moved(successor) => return Box::pin(successor.call(call)).await,
            Door::Closed(closed) => closed,
        };
        // Shut since the gateway looked, for a moment: nobody is to notice.
        if self.entrance.is_paused() && Box::pin(self.hold()).await > Duration::ZERO {
            return Box::pin(self.call(call)).await;
        }
        let record = CallRecord {
            revision: closed.revision,
            ..CallRecord::default()
        };
        (Err(Refused::Closed(closed)), record)
    }

    /// The same on a revision that need not be the active one: probes use it.
    pub(crate) async fn call_revision(
        self: &Arc<Self>,
        revision: Arc<Revision>,
        call: Call,
    ) -> (Answer, CallRecord) {
        let mut record = CallRecord {
            revision: revision.number(),
            ..CallRecord::default()
        };
        let patience = call.deadline.unwrap_or(revision.limits().deadline);
        let arrived = Instant::now();
        let deadline = arrived + patience;
        let admission = revision.admission();
        let entered = match admission.try_enter() {
            Some(permit) => Ok((permit, Duration::ZERO)),
            None => Box::pin(admission.enter(deadline)).await,
        };
        let ticket = match entered {
            // It came before its state was handed over, and had no turn.
            Ok((permit, _)) if revision.is_handed_over() => {
                drop(permit);
                self.hold().await;
                return Box::pin(self.call(call)).await;
            }
            Ok((permit, waited)) => {
                record.queued = waited;
                if let Some(lag) = call.request.body().lag() {
                    revision.admission().watch(lag);
                }
                body::Ticket::new(self.clone(), revision.clone(), permit, &call, patience)
            }
            Err(shed) => {
                self.counters.shed.fetch_add(1, Ordering::Relaxed);
                return (Err(Refused::Shed(shed)), record);
            }
        };
        let answer = match revision.handler() {
            Handler::Once { code, pool } => {
                let idle = pool.take();
                self.answer_once(code.clone(), idle, call, ticket, deadline, &mut record)
                    .await
            }
            Handler::Shared(group) => {
                Box::pin(self.answer_shared(group, call, ticket, deadline, &mut record)).await
            }
            Handler::Worker(_) => Err(Refused::Closed(Closed {
                revision: record.revision,
                reason: "a worker answers no requests".to_owned(),
                coming: false,
                retry_at: None,
            })),
        };
        let failed = match &answer {
            Ok(response) => response.status().is_server_error(),
            Err(refused) => refused.is_its_own(),
        };
        self.tally.request(arrived.elapsed(), failed);
        match &answer {
            Ok(_) => {
                self.counters.answered.fetch_add(1, Ordering::Relaxed);
                self.since_incident.fetch_add(1, Ordering::Relaxed);
            }
            Err(_) => self.charge(record.cpu),
        }
        (answer, record)
    }

    async fn answer_once(
        self: &Arc<Self>,
        code: Arc<Code>,
        idle: Option<Live>,
        call: Call,
        ticket: body::Ticket,
        deadline: Instant,
        record: &mut CallRecord,
    ) -> Answer {
        let head_only = call.head_only;
        let errand = call.errand(deadline);
        let request = once::Request {
            scheme: call.scheme,
            request: call.request,
            stamp: call.stamp,
            errand,
        };
        let mut exchange = Exchange::new(code, idle, request);
        let mut alarm = ticket.alarm(deadline);
        let cutting = &ticket.revision().cutting;
        let outcome = std::future::poll_fn(|cx| match exchange.poll_head(cx) {
            Poll::Ready(progress) => Poll::Ready(progress),
            Poll::Pending => alarm
                .poll(cx, cutting)
                .map(|failure| (Progress::Failed(failure), None)),
        })
        .await;
        record.cpu = exchange.cpu();
        record.instance = exchange.instance();
        let (progress, freed) = outcome;
        match progress {
            Progress::Failed(failure) => {
                if let Some(live) = freed {
                    ticket.revision().keep(live);
                }
                Err(self.failed(failure, &ticket, record))
            }
            Progress::Head(response) => {
                let (parts, body) = response.into_parts();
                let (body, freed, failure) = OnceBody::new(exchange, body, freed);
                if let Some(live) = freed {
                    ticket.revision().keep(live);
                }
                if let Some(failure) = failure
                    && !head_only
                {
                    return Err(self.failed(failure, &ticket, record));
                }
                let body = AnswerBody::once(body, ticket, &parts, head_only);
                Ok(http::Response::from_parts(parts, body))
            }
        }
    }

    async fn answer_shared(
        self: &Arc<Self>,
        group: &Arc<shared::Group>,
        call: Call,
        ticket: body::Ticket,
        deadline: Instant,
        record: &mut CallRecord,
    ) -> Answer {
        let head_only = call.head_only;
        let errand = call.errand(deadline);
        let mut request = call.request.map(http_body_util::BodyExt::boxed_unsync);
        if let Some(stamp) = call.stamp {
            stamp.write(request.headers_mut());
        }
        let pending = group.send(request, errand, ticket.doing().clone());
        record.instance = pending.instance();
        let meter = pending.meter();
        match pending.response(deadline).await {
            Ok((parts, body)) => {
                record.instance = body.instance();
                record.cpu = body.cpu();
                let body = AnswerBody::shared(body, ticket, &parts, head_only);
                Ok(http::Response::from_parts(parts, body))
            }
            // Crashes are reported once, by the instance's own task.
            Err(failure) => {
                record.cpu = meter.map_or(Duration::ZERO, |meter| meter.used());
                Err(Refused::Failed(failure))
            }
        }
    }

    fn failed(&self, failure: Failure, ticket: &body::Ticket, record: &CallRecord) -> Refused {
        let failure = Arc::new(failure);
        ticket.crashed(&failure, record.instance, record.cpu);
        Refused::Failed(failure)
    }

    /// Tells the supervisor of a crash. Never waits: what it cannot take in is only counted.
    pub(crate) fn crashed(&self, revision: u32, lost: Lost, failure: Arc<Failure>) {
        self.counters.crashed.fetch_add(1, Ordering::Relaxed);
        self.tally.crashed();
        let answered_since = self.since_incident.swap(0, Ordering::Relaxed);
        let incident = Incident {
            revision,
            lost,
            failure,
            answered_since,
        };
        if let Err(lost) = self.incidents.try_send(incident) {
            tracing::debug!(service = %self.name, "incident not reported: {lost}");
        }
    }

    /// Adds CPU time to the service's account.
    pub(crate) fn charge(&self, cpu: Duration) {
        let ns = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.counters.cpu_ns.fetch_add(ns, Ordering::Relaxed);
    }
}
