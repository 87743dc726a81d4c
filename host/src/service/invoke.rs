//! A call of one of the service's functions by another service: admit, take an instance, call,
//! give back.
//!
//! Before it: `link` has taken the arguments out of the caller, and keeps to the link's policy.
//! After it: `instance` runs the guest.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use tokio::sync::OwnedSemaphorePermit;

use super::lease::{Lease, NotToBeHad, Seat};
use super::{CallCause, CallError, Doing, Door, Function, Lost, Refused, Revision, Service};
use crate::gateway::RequestId;
use crate::instance::Failure;
use crate::instance::call::{Calling, NotDone, Order};
use crate::instance::cargo::{Cargo, Signature};
use crate::instance::errand::Errand;
use crate::instance::live::{Code, Live};
use crate::outgoing::MAX_DEPTH;

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
}

/// The instance that is to answer.
pub(crate) enum Wanted {
    /// Any.
    Any,
    /// This one, as long as there is nothing against it.
    Rather(Arc<Lease>),
    /// This one or none: a handle is on it.
    Only(Arc<Lease>),
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

    /// Calls the function, with the invocation's arguments. Dropping the future cancels the guest.
    ///
    /// # Errors
    /// If the service was not there, or failed.
    pub(crate) async fn invoke(
        self: &Arc<Self>,
        invocation: &mut Invocation,
    ) -> Result<Cargo, Unanswered> {
        let arguments = std::mem::take(&mut invocation.arguments);
        let began = self.begin(invocation).await;
        let (revision, _place, deadline, lease) = match began {
            Ok(Begun {
                revision,
                place,
                deadline,
                lease,
            }) => (revision, place, deadline, lease),
            Err(cause) => return Err(Unanswered::never(cause, arguments)),
        };
        let Some((code, pool)) = revision.provider() else {
            return Err(Unanswered::never(CallCause::Worker, arguments));
        };
        let Function { interface, name } = &invocation.function;
        let Some(function) = code.exports().find(interface, name) else {
            return Err(Unanswered::never(CallCause::NoFunction, arguments));
        };
        let (seat, idle) = match self
            .seat(&revision, code, invocation, lease, deadline)
            .await
        {
            Ok(seat) => seat,
            Err(cause) => return Err(Unanswered::never(cause, arguments)),
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
        };
        let idle = idle.or_else(|| pool.take());
        let calling = Calling::new(code.clone(), idle, order);
        let answered = self
            .finish(&revision, calling, seat, deadline, invocation)
            .await;
        if answered.is_ok() {
            self.counters.answered.fetch_add(1, Ordering::Relaxed);
            self.counters.since_incident.fetch_add(1, Ordering::Relaxed);
        }
        answered
    }

    /// Finds who answers, and room there.
    async fn begin(self: &Arc<Self>, invocation: &Invocation) -> Result<Begun, CallCause> {
        if invocation.errand.depth > MAX_DEPTH {
            return Err(CallCause::TooDeep);
        }
        let arrived = Instant::now();
        let lease = invocation.lease()?;
        let revision = match &lease {
            // Its door does not matter: who has a handle is inside.
            Some(lease) => lease.revision().clone(),
            None => self.answering(invocation.errand.deadline).await?,
        };
        let own = arrived + revision.limits().deadline;
        let deadline = invocation.errand.deadline.map_or(own, |of| of.min(own));
        let admission = revision.room_for_calls();
        let entered = if invocation.mutual {
            admission.enter_mutual()
        } else {
            admission.enter(deadline).await.map(|(place, _)| place)
        };
        let place = entered.map_err(|shed| {
            self.counters.shed.fetch_add(1, Ordering::Relaxed);
            CallCause::Refused(Refused::Shed(shed))
        })?;
        Ok(Begun {
            revision,
            place,
            deadline,
            lease,
        })
    }

    /// The revision behind the door, which may be about to open.
    async fn answering(&self, deadline: Option<Instant>) -> Result<Arc<Revision>, CallCause> {
        if self.is_coming() {
            self.hold_until(deadline).await;
        }
        match &**self.entrance.load() {
            Door::Open(revision) => Ok(revision.clone()),
            Door::Closed(closed) => Err(CallCause::Refused(Refused::Closed(closed.clone()))),
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

    /// Waits for the end of the call, and makes of it what it is for the service.
    async fn finish(
        self: &Arc<Self>,
        revision: &Revision,
        calling: Calling,
        seat: Option<Seat>,
        deadline: Instant,
        invocation: &Invocation,
    ) -> Result<Cargo, Unanswered> {
        let (meter, instance) = (calling.meter().clone(), calling.instance());
        if let Some(seat) = &seat {
            seat.is(calling.identity());
        }
        let ended = tokio::time::timeout_at(deadline.into(), calling.ended()).await;
        let cpu = meter.used();
        self.charge(cpu);
        let not_done = match ended {
            Ok(ended) => {
                match (ended.live, seat) {
                    (Some(live), Some(seat)) => seat.give_back(live),
                    (Some(live), None) => revision.keep(live),
                    // With its seat the instance is lost, and so are the handles on it.
                    (None, _) => {}
                }
                match ended.result {
                    Ok(results) => return Ok(results),
                    Err(not_done) => not_done,
                }
            }
            Err(_) => NotDone {
                failure: Failure::Deadline,
                unbegun: None,
            },
        };
        let failure = Arc::new(not_done.failure);
        if failure.is_crash() {
            let lost = Lost {
                instance,
                doing: invocation.doing().into_iter().collect(),
                cpu,
            };
            self.crashed(revision.number(), lost, failure.clone());
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
    /// The lease of the instance that is to answer.
    fn lease(&self) -> Result<Option<Arc<Lease>>, CallCause> {
        let awaited = |lease: &Lease| {
            let identity = lease.identity();
            identity.is_some_and(|identity| self.errand.is_awaited_by(identity))
        };
        match &self.wanted {
            Wanted::Only(lease) if lease.is_gone() => Err(CallCause::Stale),
            Wanted::Only(lease) if awaited(lease) => Err(CallCause::Awaited),
            Wanted::Only(lease) => Ok(Some(lease.clone())),
            Wanted::Rather(lease) if lease.is_gone() || awaited(lease) => Ok(None),
            Wanted::Rather(lease) => Ok(Some(lease.clone())),
            Wanted::Any => Ok(None),
        }
    }

    /// What the callee is at work for, if that began with a request.
    fn doing(&self) -> Option<Doing> {
        let id: RequestId = self.errand.request.clone()?;
        Some(Doing::call(id, self.caller.clone(), self.function.clone()))
    }
}
