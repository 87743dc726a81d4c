//! A service's component with its settings: numbered, immutable, ready to be called.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use skep_core::contract::Interface;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::lease::Leases;
use super::{Admission, Cutting};
use crate::engine::CoarseClock;
use crate::instance::live::{Code, Live};
use crate::instance::pool::Pool;
use crate::instance::remains::Remains;
use crate::instance::{Failure, shared, worker};
use crate::log::GuestLog;
use crate::memory::ServiceMemory;
use crate::memory::buffers::Buffers;

/// How a revision's component is run.
pub enum Handler {
    /// WASI 0.2: an instance serves one request or call at a time.
    Once {
        /// The code.
        code: Arc<Code>,
        /// Its idle instances.
        pool: Pool,
    },
    /// WASI 0.3: an instance serves several requests at once.
    Shared(Arc<shared::Group>),
    /// A program that runs in the background and serves no requests.
    Worker(Arc<worker::Code>),
}

/// Instances for calls of other services, beside those that are shared by several requests.
pub struct Beside {
    pub(crate) code: Arc<Code>,
    pub(crate) pool: Pool,
    /// A place is an instance.
    pub(crate) admission: Admission,
}

/// What each request on a revision is held to.
#[derive(Clone, Debug, Copy)]
pub struct RequestLimits {
    /// The longest a client waits for the response's head, and then for each next piece of it.
    pub deadline: Duration,
    /// Bytes of a request body.
    pub request_body: u64,
    /// Bytes of a response body.
    pub response_body: u64,
}

/// See the module.
pub struct Revision {
    pub(crate) number: u32,
    /// The interfaces of its own that it exports.
    pub(crate) exports: Vec<Interface>,
    pub(crate) handler: Handler,
    /// Answers calls of functions where the handler cannot.
    pub(crate) beside: Option<Beside>,
    pub(crate) limits: RequestLimits,
    pub(crate) admission: Admission,
    /// Room for instances that are kept for handles on their resources.
    pub(crate) kept: Arc<Semaphore>,
    pub(crate) leases: Leases,
    pub(crate) memory: Arc<ServiceMemory>,
    /// What is held for requests that have no instance yet, or no more.
    pub(crate) lobby: Arc<Buffers>,
    /// What its guests print.
    pub(crate) log: Arc<GuestLog>,
    /// Of its instances that crashed.
    pub(crate) remains: Arc<Remains>,
    pub(crate) clock: CoarseClock,
    pub(crate) cutting: Cutting,
    /// What its instance had in memory is with another revision.
    pub(crate) handed_over: AtomicBool,
}

impl Revision {
    /// Its number, counted from 1 within the service.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// Whether what it had in memory is with another, so that nobody may be served here.
    pub(super) fn is_handed_over(&self) -> bool {
        self.handed_over.load(Ordering::Acquire)
    }

    /// The interfaces of its own that it exports, with their functions' types.
    pub(crate) fn exports(&self) -> &[Interface] {
        &self.exports
    }

    /// How it runs.
    pub(crate) fn handler(&self) -> &Handler {
        &self.handler
    }

    /// What answers calls of other services.
    pub(super) fn provider(&self) -> Option<(&Arc<Code>, &Pool)> {
        match (&self.handler, &self.beside) {
            (Handler::Once { code, pool }, _) | (_, Some(Beside { code, pool, .. })) => {
                Some((code, pool))
            }
            _ => None,
        }
    }

    /// Room for calls of other services.
    pub(super) fn room_for_calls(&self) -> &Admission {
        let beside = self.beside.as_ref();
        beside.map_or(&self.admission, |beside| &beside.admission)
    }

    /// Requests and calls inside.
    pub(crate) fn in_flight(&self) -> usize {
        let beside = self.beside.as_ref();
        self.admission.in_flight() + beside.map_or(0, |beside| beside.admission.in_flight())
    }

    /// Waits until nobody is inside; nobody comes in as long as what it answers is kept.
    pub(crate) async fn emptied(&self) -> Vec<OwnedSemaphorePermit> {
        let mut places = self.admission.emptied().await;
        if let Some(beside) = &self.beside {
            places.append(&mut beside.admission.emptied().await);
        }
        places
    }

    /// What requests are held to.
    pub fn limits(&self) -> &RequestLimits {
        &self.limits
    }

    /// Its room.
    pub fn admission(&self) -> &Admission {
        &self.admission
    }

    /// What its instances hold, and what is held for them.
    pub fn memory(&self) -> &ServiceMemory {
        &self.memory
    }

    /// Instances on whose resources somebody has handles.
    pub(crate) fn leased(&self) -> usize {
        self.leases.count()
    }

    /// Instances kept ready for the next request, or for handles on their resources, or shared by
    /// several.
    pub fn instances_kept(&self) -> usize {
        let idle = self.provider().map_or(0, |(_, pool)| pool.idle());
        let kept = self.leases.count() + idle;
        match &self.handler {
            Handler::Once { .. } | Handler::Worker(_) => kept,
            Handler::Shared(group) => group.instances() + kept,
        }
    }

    /// Keeps an instance for another request, if its policy says so.
    pub(crate) fn keep(&self, live: Live) {
        if let Some((_, pool)) = self.provider() {
            pool.put(live, self.clock.now_ms());
        }
    }

    /// Whether there is memory for a new request. Where it is short, instances that wait for one are
    /// given up first: nobody is turned away for the sake of those.
    pub(crate) fn has_room(&self) -> bool {
        if self.memory.has_room() {
            return true;
        }
        self.give_up_idle();
        self.memory.has_room()
    }

    fn give_up_idle(&self) {
        if let Some(beside) = &self.beside {
            beside.pool.empty();
        }
        match &self.handler {
            Handler::Once { pool, .. } => pool.empty(),
            Handler::Shared(group) => group.empty(),
            Handler::Worker(_) => {}
        }
    }

    /// Makes instances up to the warm minimum and drops those idle for too long, or all of them
    /// where memory is short. Called by the supervisor, a few times a second.
    ///
    /// # Errors
    /// What an instantiation failed with.
    pub(crate) async fn tend(&self) -> Result<(), Failure> {
        if !self.memory.has_room() {
            self.give_up_idle();
            return Ok(());
        }
        if let Some(beside) = &self.beside {
            beside.pool.sweep(self.clock.now_ms());
        }
        match &self.handler {
            Handler::Once { code, pool } => {
                pool.sweep(self.clock.now_ms());
                let place = || self.admission.enter_unasked(|| pool.idle());
                for _ in 0..pool.missing() {
                    // One that is at work is none that is missing: a service whose state is its only
                    // instance must never have another. Asked again at the end, when a request may
                    // have made it meanwhile.
                    if place().is_none() {
                        break;
                    }
                    let made = self.instance(code).await?;
                    let Some(_place) = place() else { break };
                    pool.put(made, self.clock.now_ms());
                }
                Ok(())
            }
            Handler::Shared(group) => {
                group.tend();
                Ok(())
            }
            Handler::Worker(_) => Ok(()),
        }
    }

    /// Proves that the component can be instantiated, and keeps the instance if that is of use.
    ///
    /// # Errors
    /// What the instantiation failed with.
    pub(crate) async fn try_instance(&self) -> Result<(), Failure> {
        match &self.handler {
            Handler::Once { code, .. } => self.keep(self.instance(code).await?),
            Handler::Shared(group) => self.in_time(group.try_instance()).await?,
            Handler::Worker(_) => {}
        }
        Ok(())
    }

    /// An instance for no request in particular.
    async fn instance(&self, code: &Arc<Code>) -> Result<Live, Failure> {
        self.in_time(Live::make(code.clone())).await
    }

    /// An instance that takes longer than a request may wait would be of no use to any.
    async fn in_time<T>(
        &self,
        making: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, Failure> {
        tokio::time::timeout(self.limits.deadline, making)
            .await
            .unwrap_or(Err(Failure::Deadline))
    }

    /// A restart: requests inside end where they are, and no instance of before is used again.
    pub(crate) fn renew(&self) {
        self.leases.revoke();
        if let Some(beside) = &self.beside {
            beside.pool.renew(beside.code.mould.latest());
        }
        match &self.handler {
            Handler::Once { code, pool } => pool.renew(code.mould.latest()),
            Handler::Shared(group) => group.retire(),
            Handler::Worker(_) => {}
        }
    }

    /// Ends what is still under way.
    pub(crate) fn cut(&self) {
        self.leases.revoke();
        self.cutting.cut();
        if let Handler::Shared(group) = &self.handler {
            group.cut();
        }
    }
}
