//! An instance that is kept for those who hold handles on its resources.
//!
//! It answers their calls one after another. When the last handle is gone it goes back to the
//! pool; when it crashes, or its service is started anew, the handles are stale.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Instant;

use parking_lot::Mutex;
use tokio::runtime::Handle as Runtime;
use tokio::sync::{Notify, OwnedSemaphorePermit};
use wasmtime::component::ResourceAny;

use super::{Lost, Revision, Service};
use crate::instance::live::Live;
use crate::instance::{Failure, live};
use crate::task;

/// See the module.
pub(crate) struct Lease {
    service: Arc<Service>,
    revision: Arc<Revision>,
    runtime: Runtime,
    /// Handles that may be out.
    limit: usize,
    state: Mutex<State>,
    /// The instance is free, or gone.
    changed: Notify,
    _kept: OwnedSemaphorePermit,
}

struct State {
    instance: Instance,
    /// As `GuestState::identity`; none before there is an instance.
    identity: Option<u64>,
    /// Handles out.
    handles: usize,
    /// What was let go of and is still to be dropped in the instance.
    dropped: Vec<ResourceAny>,
    /// It is not to be used again when it comes back.
    revoked: bool,
    /// A task is on its way to drop what was let go of.
    tidied: bool,
}

enum Instance {
    /// Somebody has it.
    Busy,
    Idle(Box<Live>),
    Gone,
}

/// The instance cannot give out more handles.
#[derive(Debug, thiserror::Error)]
#[error("it has given out as many handles on its resources as `limits.handles` allows")]
pub(crate) struct GivesTooMany;

/// Why the instance is not to be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotToBeHad {
    /// It is gone.
    Gone,
    /// Whoever has it does not give it back in time.
    Late,
}

/// An instance that is lent by its lease. Unless it is given back it is lost, and its handles are
/// stale.
pub(super) struct Seat(Option<Arc<Lease>>);

impl Lease {
    /// For an instance that is about to be made or used, and may give out so many handles. `kept`
    /// is its place among those kept.
    pub(super) fn new(
        service: &Arc<Service>,
        revision: &Arc<Revision>,
        kept: OwnedSemaphorePermit,
        handles: usize,
    ) -> (Arc<Lease>, Seat) {
        let lease = Arc::new(Lease {
            service: service.clone(),
            revision: revision.clone(),
            runtime: Runtime::current(),
            limit: handles,
            state: Mutex::new(State {
                instance: Instance::Busy,
                identity: None,
                handles: 0,
                dropped: Vec::new(),
                revoked: false,
                tidied: false,
            }),
            changed: Notify::new(),
            _kept: kept,
        });
        let seat = Seat(Some(lease.clone()));
        (lease, seat)
    }

    /// Whether it is for an instance of that service.
    pub(crate) fn is_of(&self, service: &Arc<str>) -> bool {
        self.service.name() == service
    }

    /// The service as the revision has it that the instance is of.
    pub(super) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    /// The revision that the instance is of.
    pub(super) fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    /// The instance, as `GuestState::identity` knows it.
    pub(super) fn identity(&self) -> Option<u64> {
        self.state.lock().identity
    }

    /// Whether the instance is gone.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self.state.lock().instance, Instance::Gone)
    }

    /// Waits for the instance.
    pub(super) async fn take(
        self: &Arc<Self>,
        deadline: Instant,
    ) -> Result<(Seat, Live), NotToBeHad> {
        loop {
            // Before the look: what changes after it is seen by the wait.
            let changed = self.changed.notified();
            if let Some(live) = self.try_take()? {
                return Ok((Seat(Some(self.clone())), live));
            }
            if tokio::time::timeout_at(deadline.into(), changed)
                .await
                .is_err()
            {
                return Err(NotToBeHad::Late);
            }
        }
    }

    fn try_take(&self) -> Result<Option<Live>, NotToBeHad> {
        let mut state = self.state.lock();
        match std::mem::replace(&mut state.instance, Instance::Busy) {
            Instance::Idle(live) => Ok(Some(*live)),
            Instance::Busy => Ok(None),
            Instance::Gone => {
                state.instance = Instance::Gone;
                Err(NotToBeHad::Gone)
            }
        }
    }

    /// A handle goes out.
    ///
    /// # Errors
    /// If as many are out as may be.
    pub(crate) fn give(&self) -> Result<(), GivesTooMany> {
        let mut state = self.state.lock();
        if state.handles + state.dropped.len() >= self.limit {
            return Err(GivesTooMany);
        }
        state.handles += 1;
        Ok(())
    }

    /// A handle has come back to its instance, which owns the resource again.
    pub(crate) fn take_back(&self) {
        let mut state = self.state.lock();
        state.handles = state.handles.saturating_sub(1);
    }

    /// A handle has been dropped: its resource is to be. Never waits.
    pub(crate) fn let_go(self: &Arc<Self>, any: ResourceAny) {
        let mut state = self.state.lock();
        state.handles = state.handles.saturating_sub(1);
        match state.instance {
            Instance::Gone => return,
            // Whoever has it sees to it.
            Instance::Busy => {
                state.dropped.push(any);
                return;
            }
            Instance::Idle(_) => state.dropped.push(any),
        }
        self.send_tidying(&mut state);
    }

    fn send_tidying(self: &Arc<Self>, state: &mut State) {
        if !std::mem::replace(&mut state.tidied, true) {
            let lease = self.clone();
            let _runtime = self.runtime.enter();
            task::spawn(task::Kind::Destructors, lease.tidy());
        }
    }

    /// What was let go of and is still to be dropped in the instance. Asked by who has it.
    pub(crate) fn dropped(&self) -> Vec<ResourceAny> {
        std::mem::take(&mut self.state.lock().dropped)
    }

    /// Drops what was let go of, unless somebody else has the instance, who then does it.
    async fn tidy(self: Arc<Self>) {
        self.state.lock().tidied = false;
        let Ok(Some(live)) = self.try_take() else {
            return;
        };
        let seat = Seat(Some(self.clone()));
        let instance = live.instance();
        let dropped = self.dropped();
        let patience = self.revision.limits().deadline;
        let Some((code, _)) = self.revision.provider() else {
            return;
        };
        let dropping = live::drop_resources(code.clone(), live, dropped);
        let failure = match tokio::time::timeout(patience, dropping).await {
            Ok(Ok(live)) => return seat.give_back(live),
            Ok(Err(failure)) => failure,
            Err(_) => Failure::Deadline,
        };
        drop(seat);
        if failure.is_crash() {
            let lost = Lost {
                instance,
                ..Lost::default()
            };
            let revision = self.revision.number();
            self.service.crashed(revision, lost, Arc::new(failure));
        }
    }

    /// The instance is not to be used again.
    pub(super) fn revoke(&self) {
        let mut state = self.state.lock();
        state.revoked = true;
        let idle = match state.instance {
            Instance::Idle(_) => std::mem::replace(&mut state.instance, Instance::Gone),
            Instance::Busy | Instance::Gone => return,
        };
        state.dropped.clear();
        drop(state);
        self.changed.notify_waiters();
        // Not under the lock: an instance is dropped, and with it the handles that it holds.
        drop(idle);
    }

    fn lose(&self) {
        let mut state = self.state.lock();
        state.instance = Instance::Gone;
        state.dropped.clear();
        drop(state);
        self.changed.notify_waiters();
    }
}

impl Seat {
    /// Whose it is.
    pub(super) fn lease(&self) -> Option<&Arc<Lease>> {
        self.0.as_ref()
    }

    /// The instance is made and has this number.
    pub(super) fn is(&self, identity: u64) {
        if let Some(lease) = &self.0 {
            lease.state.lock().identity = Some(identity);
        }
    }

    /// The instance has done what it was lent for.
    pub(super) fn give_back(mut self, mut live: Live) {
        let Some(lease) = self.0.take() else {
            return;
        };
        let mut state = lease.state.lock();
        if state.revoked {
            drop(state);
            return lease.lose();
        }
        if state.handles == 0 && state.dropped.is_empty() {
            state.instance = Instance::Gone;
            drop(state);
            lease.changed.notify_waiters();
            return lease.revision.keep(live);
        }
        live.rest();
        state.instance = Instance::Idle(Box::new(live));
        if !state.dropped.is_empty() {
            lease.send_tidying(&mut state);
        }
        drop(state);
        lease.changed.notify_waiters();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Some(lease) = self.0.take() {
            lease.lose();
        }
    }
}

impl fmt::Debug for Lease {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Lease").field(self.service.name()).finish()
    }
}

/// The leases of one revision, for when its instances are given up.
#[derive(Debug, Default)]
pub(crate) struct Leases(Mutex<Vec<Weak<Lease>>>);

impl Leases {
    pub(super) fn note(&self, lease: &Arc<Lease>) {
        let mut leases = self.0.lock();
        if leases.len() == leases.capacity() {
            leases.retain(|lease| lease.strong_count() > 0);
        }
        leases.push(Arc::downgrade(lease));
    }

    /// Instances that are kept now.
    pub(super) fn count(&self) -> usize {
        let leases = self.0.lock();
        let kept = leases.iter().filter_map(Weak::upgrade);
        kept.filter(|lease| !lease.is_gone()).count()
    }

    pub(super) fn revoke(&self) {
        let leases = std::mem::take(&mut *self.0.lock());
        for lease in leases.iter().filter_map(Weak::upgrade) {
            lease.revoke();
        }
    }
}
