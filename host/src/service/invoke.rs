//! A call of one of the service's functions by another service: admit, take an instance, call,
//! give back.
//!
//! Before it: `link` has taken the arguments out of the caller, and keeps to the link's policy.
//! After it: `instance` runs the guest.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use futures::future::{Either, select};
use tokio::sync::OwnedSemaphorePermit;
use wasmtime::component::Type;

use super::lease::{Lease, NotToBeHad, Seat};
use super::{
    CallCause, CallError, Closed, Doing, Door, Function, Lost, Refused, Revision, Service,
};
use crate::gateway::RequestId;
use crate::generation::Generation;
use crate::instance::Failure;
use crate::instance::call::{Calling, NotDone, Order};
use crate::instance::cargo::{Cargo, Signature};
use crate::instance::errand::Errand;
use crate::instance::holdings::Presence;
use crate::instance::live::{Code, Live};
use crate::instance::meter::Meter;
use crate::instance::pipe::OnCut;
use crate::outgoing::MAX_DEPTH;
use crate::task;
use crate::trace::{Bytes, Open, Spent, Trace, Work};

/// What is called, by whom, with what.
pub(crate) struct Invocation {
    pub(crate) caller: Arc<str>,
    pub(crate) function: Function,
    pub(crate) errand: Errand,
    pub(crate) arguments: Cargo,
    pub(crate) signature: Arc<Signature>,
    pub(crate) wanted: Wanted,
    /// The service may be waiting for its caller, at some remove: see `Admission::enter_mutual`.
    pub(crate) mutual: bool,
    /// The caller's, if the call may outlast its results, for streams and futures.
    pub(crate) presence: Option<Presence>,
    /// What the latest attempt took, as far as it is known.
    pub(crate) spent: Spent,
    /// If it may be made twice: the types of its results.
    pub(crate) repeatable: Option<Arc<[Type]>>,
}

/// The instance that is to answer.
pub(crate) enum Wanted {
    /// Any.
    Any,
    /// This one, as long as there is nothing against it.
    Rather(Arc<Lease>),
    /// This one or none: a handle is on it.
    Only(Arc<Lease>),
    /// Any of this revision, whether it is open or not, beside those that it has room for.
    Inside(Arc<Revision>),
}

/// Why a call came to nothing, and the arguments if it never began.
pub(crate) struct Unanswered {
    pub(crate) cause: CallCause,
    pub(crate) unbegun: Option<Cargo>,
}

impl Service {
    pub(crate) fn call_error(&self, function: &Function, cause: CallCause) -> CallError {
        CallError {
            service: self.name.clone(),
            function: function.clone(),
            cause,
        }
    }

    /// Calls the function, now, with the invocation's arguments. Dropping the future cancels the guest.
    ///
    /// # Errors
    /// If the service was not there, or failed.
    pub(crate) async fn invoke(
        self: &Arc<Self>,
        invocation: &mut Invocation,
        now: Instant,
    ) -> Result<Cargo, Unanswered> {
        let copied = self.tap.copy_call(invocation);
        let answered = match invocation.span(&self.name) {
            None => self.attempt(invocation, now).await,
            Some((span, inner)) => {
                let traced = self.traced(invocation, now, span, inner);
                Box::pin(traced).await
            }
        };
        if let Some(original) = copied {
            original.answered(&answered);
        }
        answered
    }

    async fn traced(
        self: &Arc<Self>,
        invocation: &mut Invocation,
        now: Instant,
        span: Open,
        inner: Arc<Trace>,
    ) -> Result<Cargo, Unanswered> {
        let arguments = invocation.arguments.bytes();
        invocation.spent = Spent::default();
        let outer = invocation.errand.trace.replace(inner);
        let answered = self.attempt(invocation, now).await;
        invocation.errand.trace = outer;
        match &answered {
            Ok(results) => {
                let bytes = arguments.zip(results.bytes());
                let bytes = bytes.map(|(arguments, results)| Bytes { arguments, results });
                span.end("ok", invocation.spent, bytes);
            }
            Err(unanswered) => span.end(unanswered.cause.label(), invocation.spent, None),
        }
        answered
    }

    async fn attempt(
        self: &Arc<Self>,
        invocation: &mut Invocation,
        now: Instant,
    ) -> Result<Cargo, Unanswered> {
        if let Some(successor) = self.successor()
            && matches!(invocation.wanted, Wanted::Any | Wanted::Rather(_))
        {
            return Box::pin(successor.attempt(invocation, now)).await;
        }
        let arguments = std::mem::take(&mut invocation.arguments);
        let began = self.begin(invocation, now).await;
        let (revision, place, deadline, lease) = match began {
            Ok(Begun {
                revision,
                place,
                queued,
                deadline,
                lease,
            }) => {
                invocation.spent.revision = revision.number();
                invocation.spent.queued = queued;
                (revision, place, deadline, lease)
            }
            // Meanwhile another has its state.
            Err(_)
                if self.successor().is_some()
                    && matches!(invocation.wanted, Wanted::Any | Wanted::Rather(_)) =>
            {
                invocation.arguments = arguments;
                return Box::pin(self.attempt(invocation, now)).await;
            }
            Err(CallCause::Refused(Refused::Closed(closed))) => {
                // Shut since the look before, for a moment: nobody is to notice.
                if self.entrance.is_paused() && Box::pin(self.hold()).await > Duration::ZERO {
                    invocation.arguments = arguments;
                    return Box::pin(self.attempt(invocation, now)).await;
                }
                let cause = CallCause::Refused(Refused::Closed(closed));
                return Err(Unanswered::never(cause, arguments));
            }
            Err(cause) => return Err(Unanswered::never(cause, arguments)),
        };
        if revision.is_handed_over() && !matches!(invocation.wanted, Wanted::Inside(_)) {
            // It came before its state was handed over, and had no turn.
            drop(place);
            self.hold_until(Some(deadline)).await;
            invocation.arguments = arguments;
            return Box::pin(self.attempt(invocation, now)).await;
        }
        let Some((code, pool)) = revision.provider() else {
            return Err(Unanswered::never(CallCause::Worker, arguments));
        };
        let Function { interface, name } = &invocation.function;
        let Some(function) = code.exports().find(interface, name) else {
            return Err(Unanswered::never(CallCause::NoFunction, arguments));
        };
        // What few calls need is boxed, so that the others do not carry room for it about.
        let (seat, idle) = match lease.is_some() || invocation.signature.gives_own() {
            false => (None, None),
            true => {
                let seat = self.seat(&revision, code, invocation, lease, deadline);
                match Box::pin(seat).await {
                    Ok(seat) => seat,
                    Err(cause) => return Err(Unanswered::never(cause, arguments)),
                }
            }
        };
        let order = Order {
            function,
            errand: Errand {
                deadline: Some(deadline),
                ..invocation.errand.clone()
            },
            arguments,
            signature: invocation.signature.clone(),
            lease: seat.as_ref().and_then(Seat::lease).cloned(),
            on_cut: self.on_cut(invocation),
        };
        let idle = idle.or_else(|| pool.take());
        let calling = Calling::new(code.clone(), idle, order);
        if let Some(seat) = &seat {
            seat.is(calling.identity());
        }
        let under_way = UnderWay {
            service: self.clone(),
            entered: revision.cutting.count(),
            revision,
            meter: calling.meter().clone(),
            instance: calling.instance(),
            calling,
            seat,
            deadline,
            _place: place,
        };
        let mut spent = std::mem::take(&mut invocation.spent);
        let answered = match invocation.presence.clone() {
            None => under_way.ended(|| invocation.doing(), &mut spent).await,
            Some(presence) => {
                Box::pin(under_way.answered(presence, invocation.doing(), &mut spent)).await
            }
        };
        invocation.spent = spent;
        let failed = answered.as_ref().is_err_and(|unanswered| {
            matches!(&unanswered.cause, CallCause::Refused(refused) if refused.is_its_own())
        });
        self.tally.call(now, failed);
        if answered.is_ok() {
            self.counters.answered.fetch_add(1, Ordering::Relaxed);
            self.since_incident.fetch_add(1, Ordering::Relaxed);
        }
        answered
    }

    /// What whoever reads a stream of the call's learns if the instance is lost.
    fn on_cut(&self, invocation: &Invocation) -> OnCut {
        match invocation.presence {
            None => OnCut::Wait,
            Some(_) => {
                let error = self.call_error(&invocation.function, CallCause::Cut);
                OnCut::Tell(Arc::new(error))
            }
        }
    }

    /// Finds who answers, and room there.
    async fn begin(
        self: &Arc<Self>,
        invocation: &Invocation,
        arrived: Instant,
    ) -> Result<Begun, CallCause> {
        if invocation.errand.depth > MAX_DEPTH {
            return Err(CallCause::TooDeep);
        }
        let lease = invocation.lease(self)?;
        let (revision, held) = match (&lease, &invocation.wanted) {
            // Its door does not matter: who has a handle is inside.
            (Some(lease), _) => (lease.revision().clone(), Duration::ZERO),
            (None, Wanted::Inside(revision)) => (revision.clone(), Duration::ZERO),
            (None, _) => self.answering(invocation.errand.deadline).await?,
        };
        let own = arrived + revision.limits().deadline;
        let deadline = invocation.errand.deadline.map_or(own, |of| of.min(own));
        let admission = revision.room_for_calls();
        let entered = if invocation.mutual {
            admission
                .enter_mutual()
                .map(|place| (place, Duration::ZERO))
        } else {
            match admission.try_enter() {
                Some(place) => Ok((place, Duration::ZERO)),
                None => Box::pin(admission.enter(deadline)).await,
            }
        };
        let (place, waited) = entered.map_err(|shed| {
            self.counters.shed.fetch_add(1, Ordering::Relaxed);
            CallCause::Refused(Refused::Shed(shed))
        })?;
        Ok(Begun {
            revision,
            place,
            queued: held + waited,
            deadline,
            lease,
        })
    }

    /// The revision behind the door, which may be about to open; and how long that took.
    async fn answering(
        &self,
        deadline: Option<Instant>,
    ) -> Result<(Arc<Revision>, Duration), CallCause> {
        let mut held = Duration::ZERO;
        if self.is_coming() {
            let arrived = Instant::now();
            Box::pin(self.hold_until(deadline)).await;
            held = arrived.elapsed();
        }
        match &**self.entrance.load() {
            Door::Open(revision) => Ok((revision.clone(), held)),
            Door::Closed(closed) => Err(CallCause::Refused(Refused::Closed(closed.clone()))),
            // While it was held: the caller looks again.
            Door::Moved(_) => Err(CallCause::Refused(Refused::Closed(Closed {
                revision: 0,
                reason: "its state has been handed over".to_owned(),
                coming: true,
                retry_at: None,
            }))),
        }
    }

    /// The instance of the lease, if there is one; and a lease for the instance that will be used,
    /// if the call may come back with handles on its resources.
    async fn seat(
        self: &Arc<Self>,
        revision: &Arc<Revision>,
        code: &Code,
        invocation: &Invocation,
        lease: Option<Arc<Lease>>,
        deadline: Instant,
    ) -> Result<(Option<Seat>, Option<Live>), CallCause> {
        if let Some(lease) = lease {
            match (lease.take(deadline).await, &invocation.wanted) {
                (Ok((seat, live)), _) => return Ok((Some(seat), Some(live))),
                (Err(NotToBeHad::Late), _) => {
                    let late = Refused::Failed(Arc::new(Failure::Deadline));
                    return Err(CallCause::Refused(late));
                }
                (Err(NotToBeHad::Gone), Wanted::Only(_)) => return Err(CallCause::Stale),
                (Err(NotToBeHad::Gone), _) => {}
            }
        }
        if !invocation.signature.gives_own() {
            return Ok((None, None));
        }
        let kept = revision.kept.clone().try_acquire_owned();
        let kept = kept.map_err(|_| CallCause::Kept)?;
        let (lease, seat) = Lease::new(self, revision, kept, code.mould.limits.handles);
        revision.leases.note(&lease);
        Ok((Some(seat), None))
    }
}

/// A call that a guest is at work for.
struct UnderWay {
    service: Arc<Service>,
    revision: Arc<Revision>,
    calling: Calling,
    meter: Arc<Meter>,
    instance: u64,
    seat: Option<Seat>,
    deadline: Instant,
    /// As [`super::Cutting::count`] on entry.
    entered: u32,
    /// Given back when dropped.
    _place: OwnedSemaphorePermit,
}

impl UnderWay {
    /// Waits for the results. The call goes on after them, for its streams and futures: until these
    /// have come to their end, the deadline has passed, or the caller's instance is gone.
    async fn answered(
        mut self,
        caller: Presence,
        doing: Option<Doing>,
        spent: &mut Spent,
    ) -> Result<Cargo, Unanswered> {
        let early = self.calling.early_results();
        let results = tokio::time::timeout_at(self.deadline.into(), early).await;
        let Ok(Some(results)) = results else {
            return self.ended(|| doing, spent).await;
        };
        spent.cpu = self.meter.used();
        task::spawn(task::Kind::Call, async move {
            let (service, meter) = (self.service.clone(), self.meter.clone());
            // The span was over with the results.
            let mut unheard = Spent::default();
            let ended = pin!(self.ended(|| doing, &mut unheard));
            let gone = pin!(caller.lost());
            // How it ended is known to whoever must know: readers, and the service's supervisor.
            if let Either::Right(_) = select(ended, gone).await {
                service.charge(meter.used());
            }
        });
        Ok(results)
    }

    /// Waits for the end of the call, and makes of it what it is for the service.
    async fn ended(
        self,
        doing: impl FnOnce() -> Option<Doing>,
        spent: &mut Spent,
    ) -> Result<Cargo, Unanswered> {
        let revision = self.revision.clone();
        let cut = pin!(revision.cutting.after(self.entered));
        let calling = pin!(self.calling.ended());
        let ended = select(calling, cut);
        let ended = tokio::time::timeout_at(self.deadline.into(), ended).await;
        let cpu = self.meter.used();
        self.service.charge(cpu);
        spent.cpu = cpu;
        let not_done = match ended {
            Ok(Either::Left((ended, _))) => {
                match (ended.live, self.seat) {
                    (Some(live), Some(seat)) => seat.give_back(live),
                    (Some(live), None) => self.revision.keep(live),
                    // With its seat the instance is lost, and so are the handles on it.
                    (None, _) => {}
                }
                match ended.result {
                    Ok(results) => return Ok(results),
                    Err(not_done) => not_done,
                }
            }
            not_ended => NotDone {
                failure: match not_ended {
                    Ok(_) => Failure::Replaced,
                    Err(_) => Failure::Deadline,
                },
                unbegun: None,
            },
        };
        let failure = Arc::new(not_done.failure);
        if failure.is_crash() {
            let lost = Lost {
                instance: self.instance,
                doing: doing().into_iter().collect(),
                cpu,
            };
            self.service
                .crashed(self.revision.number(), lost, failure.clone());
        }
        Err(Unanswered {
            cause: CallCause::Refused(Refused::Failed(failure)),
            unbegun: not_done.unbegun,
        })
    }
}

/// A call that has been let in.
struct Begun {
    revision: Arc<Revision>,
    /// Given back when dropped.
    place: OwnedSemaphorePermit,
    /// How long it waited for that, and for the door.
    queued: Duration,
    deadline: Instant,
    /// The instance that is to answer, if that is settled.
    lease: Option<Arc<Lease>>,
}

impl Unanswered {
    /// It was not even tried, and is not to be.
    pub(crate) fn refused(cause: CallCause) -> Unanswered {
        Unanswered {
            cause,
            unbegun: None,
        }
    }

    fn never(cause: CallCause, arguments: Cargo) -> Unanswered {
        Unanswered {
            cause,
            unbegun: Some(arguments),
        }
    }
}

impl Invocation {
    /// The same once more, going by that generation and in no trace; none if something of it is there but
    /// once.
    pub(super) fn copy(&self, generation: Arc<Generation>) -> Option<Invocation> {
        let anywhere = matches!(self.wanted, Wanted::Any | Wanted::Rather(_));
        if !anywhere || self.signature.gives_own() || self.signature.has_pipes() {
            return None;
        }
        Some(Invocation {
            caller: self.caller.clone(),
            function: self.function.clone(),
            errand: self.errand.apart(generation),
            arguments: self.arguments.copy_plain()?,
            signature: self.signature.clone(),
            wanted: Wanted::Any,
            mutual: false,
            presence: None,
            spent: Spent::default(),
            repeatable: None,
        })
    }

    /// The span of an attempt, and the trace as the callee is to have it; none if nobody wants to
    /// know.
    pub(crate) fn span(&self, callee: &Arc<str>) -> Option<(Open, Arc<Trace>)> {
        let trace = self.errand.trace.as_ref()?;
        trace.call(callee, || Work::Call {
            caller: self.caller.clone(),
            interface: self.function.interface.clone(),
            function: self.function.name.clone(),
        })
    }

    /// The service as one revision has it, if only that can answer.
    pub(crate) fn bound_to(&self) -> Option<Arc<Service>> {
        match &self.wanted {
            Wanted::Only(lease) => Some(lease.service().clone()),
            Wanted::Rather(_) | Wanted::Any | Wanted::Inside(_) => None,
        }
    }

    /// The lease of the instance that is to answer, which is one of `callee`'s.
    fn lease(&self, callee: &Arc<Service>) -> Result<Option<Arc<Lease>>, CallCause> {
        let awaited = |lease: &Lease| {
            let identity = lease.identity();
            identity.is_some_and(|identity| self.errand.is_awaited_by(identity))
        };
        match &self.wanted {
            Wanted::Only(lease) if lease.is_gone() => Err(CallCause::Stale),
            Wanted::Only(lease) if awaited(lease) => Err(CallCause::Awaited),
            Wanted::Only(lease) => Ok(Some(lease.clone())),
            Wanted::Rather(lease) if lease.is_gone() || awaited(lease) => Ok(None),
            // It is of a revision that has been replaced since.
            Wanted::Rather(lease) if !Arc::ptr_eq(lease.service(), callee) => Ok(None),
            Wanted::Rather(lease) => Ok(Some(lease.clone())),
            Wanted::Any | Wanted::Inside(_) => Ok(None),
        }
    }

    /// What the callee is at work for, if that began with a request.
    fn doing(&self) -> Option<Doing> {
        let id: RequestId = self.errand.request.clone()?;
        Some(Doing::call(id, self.caller.clone(), self.function.clone()))
    }
}
