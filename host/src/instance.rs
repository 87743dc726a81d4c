//! One wasmtime store with one instantiated component: how it is made, what it holds, and how a
//! call on it ended. After a trap, a time-out or a cancellation it is never used again.
//!
//! Before it: `service` has admitted the request. Beside it: [`live`] serves one at a time (WASI
//! 0.2), a request with [`once`] or a call of a function with [`call`]; [`shared`] serves several at
//! once (WASI 0.3), [`worker`] runs a program.

mod appraisal;
pub(crate) mod call;
pub(crate) mod cargo;
pub(crate) mod errand;
pub(crate) mod holdings;
pub mod live;
pub mod memory;
pub mod meter;
pub mod once;
pub(crate) mod pipe;
pub mod pool;
pub mod remains;
pub mod shared;
pub(crate) mod tasks;
pub mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::component::{ResourceTable, ResourceTableError};
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use self::appraisal::Appraisal;
pub(crate) use self::appraisal::{ENTRY, PIECE, header_bytes};
use self::errand::Errand;
use self::holdings::Holdings;
use self::memory::{InstanceMemory, MemoryLimitReached, MemoryLimits};
use self::meter::{Meter, Verdict};
use self::remains::{Remain, Remains};
use self::tasks::Tasks;
use crate::capability::{Granted, Hooks};
use crate::core_dump::CoreDumps;
use crate::memory::buffers::Buffers;
use crate::memory::{Refusal, ServiceMemory};
use crate::scheduler::{Panicked, Share};
use crate::service::{CallError, CallKind};
use crate::wasi::HttpTable;

/// The limits that each instance of a revision is held to.
#[derive(Clone, Debug)]
pub struct InstanceLimits {
    /// What it may hold.
    pub memory: MemoryLimits,
    /// CPU time of one call.
    pub cpu: Duration,
    /// Entries of the resource table: streams, bodies, fields, pollables…
    pub handles: usize,
    /// Bytes that a guest may pass to the host in one call.
    pub hostcall_fuel: usize,
    /// Bytes of the headers that a guest may build.
    pub headers: usize,
}

/// What every instance of a revision is made from.
pub struct Mould {
    pub(crate) engine: Engine,
    pub(crate) granted: Arc<Granted>,
    pub(crate) limits: InstanceLimits,
    pub(crate) memory: Arc<ServiceMemory>,
    /// Its service in the queue of those that compute.
    pub(crate) share: Arc<Share>,
    /// Numbers instances within the revision, for logs.
    pub(crate) instances: Arc<AtomicU64>,
    /// Of those that crashed.
    pub(crate) remains: Arc<Remains>,
    /// Where their core dumps go, if they are wanted.
    pub(crate) core_dumps: Option<Arc<CoreDumps>>,
}

impl Mould {
    /// The number of the next instance.
    pub(crate) fn number(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// The number of the latest instance, 0 if there has been none.
    pub(crate) fn latest(&self) -> u64 {
        self.instances.load(Ordering::Relaxed)
    }

    /// The end of a store that has failed, or whose program has exited with an error: what only it can
    /// tell is left behind.
    pub(crate) fn bury(&self, mut store: Store<GuestState>, failure: Option<&Failure>) {
        let (instance, memory) = (store.data().instance, store.data().memory.held());
        let dump = self
            .core_dumps
            .as_ref()
            .zip(failure)
            .and_then(|(dumps, failure)| {
                // Others see now that their guest is gone, not when the dump is written.
                store.data_mut().hooks = Hooks::new(self.granted.clone());
                store.data_mut().holdings = Holdings::new(0);
                dumps.take(store, failure)
            });
        self.remains.leave(instance, Remain { memory, dump });
    }

    /// A store for the instance of this number, limited and charged to `meter`.
    pub(crate) fn store(&self, instance: u64, meter: Arc<Meter>) -> Store<GuestState> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(self.limits.headers);
        let memory = InstanceMemory::new(self.memory.clone(), self.limits.memory.clone());
        let state = GuestState {
            hooks: Hooks::new(self.granted.clone()),
            table,
            wasi: None,
            http,
            appraisal: Appraisal::new(memory.buffers().note(0), self.limits.handles),
            http_table: HttpTable::new(self.limits.handles, self.limits.headers),
            memory,
            instance,
            handles: self.limits.handles,
            errand: Errand::default(),
            tasks: Tasks::default(),
            holdings: Holdings::new(self.limits.handles),
            at_work: Arc::default(),
            meter: meter.clone(),
            counted: Counted::new(),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.hostcall_fuel);
        // wasmtime's own tables, which guests fill without a call to the host: handles to resources
        // of their own, tasks, streams.
        store.set_max_component_handles(self.limits.handles.saturating_mul(HANDLES_PER_ENTRY));
        if let Some(table) = store.concurrent_resource_table() {
            table.set_max_capacity(self.limits.handles.saturating_mul(HANDLES_PER_ENTRY));
        }
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |mut store| {
            store.data_mut().appraise_at_tick()?;
            match meter.tick() {
                Verdict::Continue => Ok(UpdateDeadline::Continue(1)),
                Verdict::Yield => Ok(UpdateDeadline::YieldCustom(
                    1,
                    Box::pin(tokio::task::yield_now()),
                )),
                Verdict::Stop => Err(CpuLimitReached.into()),
            }
        });
        store
    }
}

/// Places in wasmtime's own tables for each entry that `limits.handles` allows: a resource that is
/// lent out has two, and a call of WASI 0.3 has some of its own.
const HANDLES_PER_ENTRY: usize = 4;

/// The error that ends a call which has used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("the call used more CPU time than `limits.cpu` allows")]
pub struct CpuLimitReached;

/// The error that ends a call whose guest wanted to hold more.
#[derive(Debug, thiserror::Error)]
#[error("the guest holds as much as `limits.handles` ({limit}) allows")]
pub(crate) struct HandleLimitReached {
    pub(crate) limit: usize,
}

/// Whether one of wasmtime's tables has no room for another handle. That of a guest's own
/// resources has only words for that.
fn is_full(error: &wasmtime::Error) -> bool {
    const OWN: &str = "cannot allocate another handle: store handle limit exceeded";
    let full = |cause: &(dyn std::error::Error + 'static)| {
        matches!(cause.downcast_ref(), Some(ResourceTableError::Full))
    };
    error.chain().any(full) || crate::log::beginning(&error.root_cause(), OWN.len() + 1) == OWN
}

/// The data of one store. The order of fields is the order in which they are dropped: the hooks
/// go first, so that outgoing bodies see that their guest is gone.
pub struct GuestState {
    hooks: Hooks,
    table: ResourceTable,
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
    appraisal: Appraisal,
    http_table: HttpTable,
    memory: InstanceMemory,
    instance: u64,
    /// `limits.handles`.
    handles: usize,
    /// What it is at work for.
    errand: Errand,
    /// Which of the requests on it its guest's tasks are for, if there may be several.
    tasks: Tasks,
    /// What it holds of other services' instances.
    holdings: Holdings,
    /// See [`GuestState::set_to_work`].
    at_work: Arc<AtomicBool>,
    meter: Arc<Meter>,
    counted: Counted,
}

/// Stores that exist now.
static LIVE: AtomicU64 = AtomicU64::new(0);

/// Stores that have ever been.
static EVER: AtomicU64 = AtomicU64::new(0);

/// How many instances of all services exist, with those that are being made or dropped.
pub fn live() -> u64 {
    LIVE.load(Ordering::Relaxed)
}

/// Counts a store for as long as it exists, and has its number among all of all services.
struct Counted(u64);

impl Counted {
    fn new() -> Counted {
        LIVE.fetch_add(1, Ordering::Relaxed);
        Counted(EVER.fetch_add(1, Ordering::Relaxed))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl GuestState {
    /// The guest's resources, for a call of the guest's to the host.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        self.called();
        &mut self.table
    }

    /// The guest's resources of `wasi:http` 0.2, for a call of the guest's to the host.
    pub(crate) fn http_table(&mut self) -> &mut HttpTable {
        self.called();
        &mut self.http_table
    }

    #[inline]
    fn called(&mut self) {
        self.appraisal.called(&mut self.table, &mut self.http_table);
    }

    /// What the host holds for the guest: whoever allocates for it asks here first.
    pub(crate) fn buffers(&self) -> &Arc<Buffers> {
        self.memory.buffers()
    }

    /// Looks at what the host holds behind the guest's handles: see `appraisal`.
    fn appraise_at_tick(&mut self) -> Result<(), MemoryLimitReached> {
        self.appraisal.at_tick(&mut self.table, &self.http_table)
    }

    /// The same between two requests.
    pub(crate) fn appraise_at_rest(&mut self) -> Result<(), MemoryLimitReached> {
        self.appraisal.at_rest(&mut self.table, &self.http_table)
    }

    /// What its revision was granted.
    pub(crate) fn granted(&self) -> &Granted {
        self.hooks.granted()
    }

    /// The hooks of `wasi:http`.
    pub(crate) fn hooks(&mut self) -> &mut Hooks {
        &mut self.hooks
    }

    /// Its number within the revision.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// Its number among all instances of all services.
    pub(crate) fn identity(&self) -> u64 {
        self.counted.0
    }

    /// It is given something to do.
    pub(crate) fn begin(&mut self, errand: Errand) {
        self.hooks.begin(&errand);
        self.errand = errand;
    }

    /// It is given something more to do, beside what it is at work for.
    pub(crate) fn begin_beside(&mut self, errand: Errand) {
        self.errand.join(errand);
        self.hooks.begin(&self.errand);
    }

    /// It has done what it was given: the generation that it went by need not be kept for it.
    pub(crate) fn rest(&mut self) {
        self.errand.generation = None;
        self.tasks = Tasks::default();
    }

    /// From now on what its guest closes is closed by the guest, until what is returned is dropped,
    /// which must be before the store is.
    pub(crate) fn set_to_work(&self) -> AtWork {
        self.at_work.store(true, Ordering::Release);
        AtWork(self.at_work.clone())
    }

    /// What it is at work for, altogether; of a call of its guest's see [`tasks::errand`].
    pub(crate) fn errand(&self) -> &Errand {
        &self.errand
    }

    /// What it holds of other services' instances.
    pub(crate) fn holdings(&mut self) -> &mut Holdings {
        &mut self.holdings
    }

    /// What charges it.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }
}

/// An instance's guest is running, or waits in the midst of that.
#[must_use = "the guest is at work for as long as this is there"]
pub(crate) struct AtWork(Arc<AtomicBool>);

impl Drop for AtWork {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        self.called();
        let (granted, instance) = (self.hooks.granted(), self.instance);
        let wasi = self
            .wasi
            .get_or_insert_with(|| Box::new(granted.wasi(instance)));
        WasiCtxView {
            ctx: wasi,
            table: &mut self.table,
        }
    }
}

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        self.called();
        WasiHttpCtxView {
            hooks: &mut self.hooks,
            table: &mut self.table,
            ctx: &mut self.http,
        }
    }
}

/// Why an instance is gone.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The guest trapped, or a host function ended it (limits on handles, fuel, memory).
    #[error("trapped")]
    Trap(#[source] Arc<wasmtime::Error>),
    /// It computed for longer than a call may.
    #[error("used more CPU time than `limits.cpu` allows")]
    CpuLimit(#[source] Arc<wasmtime::Error>),
    /// It wanted more memory, or made the host hold more, than its limits allow.
    #[error("reached a limit of its memory")]
    MemoryLimit(#[source] Arc<wasmtime::Error>),
    /// There is no memory for another instance: others have it.
    #[error("found no memory for another instance")]
    NoMemory(#[source] Refusal),
    /// The component could not be instantiated.
    #[error("could not be instantiated")]
    Instantiate(#[source] Arc<wasmtime::Error>),
    /// It returned without setting a response.
    #[error("returned without a response")]
    NoResponse,
    /// It answered with a `wasi:http` error code instead of a response.
    #[error("answered with the error code {code}")]
    ErrorCode {
        /// The code as WIT names it, with its payload.
        code: String,
    },
    /// Its call ended while the response body was still open.
    #[error("returned without finishing its response body")]
    UnfinishedBody,
    /// It did not come to an end in time.
    #[error("did not answer within `limits.deadline`")]
    Deadline,
    /// Another revision has taken the place of its own, and it was not done in time.
    #[error("was replaced, and not done within `http.drain-timeout`")]
    Replaced,
    /// A service that it called failed it, and it had no way to be told.
    #[error("was failed by a service that it called")]
    Callee(#[source] Box<CallError>),
    /// Host code that the guest called panicked: a bug in Skep or in wasmtime.
    #[error("host code panicked: {message}")]
    HostPanic {
        /// The panic's message.
        message: String,
    },
}

impl Failure {
    /// Whether the service is to blame, and nobody else: not one that it called, and not the host.
    pub(crate) fn is_its_own(&self) -> bool {
        !matches!(
            self,
            Failure::Callee(_)
                | Failure::NoMemory(_)
                | Failure::Replaced
                | Failure::HostPanic { .. }
        )
    }

    /// What a panic of host code comes to.
    pub(crate) fn of_panic(Panicked(message): Panicked) -> Failure {
        Failure::HostPanic { message }
    }

    /// Sorts the error of a call in a store with this state.
    pub(crate) fn of_call(error: wasmtime::Error, state: &GuestState) -> Failure {
        if let Some(callee) = error.downcast_ref::<CallError>() {
            Failure::Callee(Box::new(callee.first().clone()))
        } else if error.is::<CpuLimitReached>() {
            Failure::CpuLimit(error.into())
        } else if error.is::<MemoryLimitReached>() {
            Failure::MemoryLimit(error.into())
        } else if let Some(refusal) = state.appraisal.over() {
            // What ended it is that its table took no more.
            Failure::MemoryLimit(Arc::new(
                error.context(MemoryLimitReached::Buffers(refusal)),
            ))
        } else if is_full(&error) {
            let limit = state.handles;
            Failure::Trap(Arc::new(error.context(HandleLimitReached { limit })))
        } else {
            Failure::Trap(error.into())
        }
    }

    /// Sorts the error of an instantiation in a store with this state.
    pub(crate) fn of_instantiation(error: wasmtime::Error, state: &GuestState) -> Failure {
        if error.is::<CpuLimitReached>() {
            Failure::CpuLimit(error.into())
        } else if let Some(refusal) = state.memory.refused_by_others() {
            Failure::NoMemory(refusal)
        } else {
            Failure::Instantiate(error.into())
        }
    }

    /// Whether the instance crashed, as opposed to a guest that said no in good order.
    pub fn is_crash(&self) -> bool {
        !matches!(
            self,
            Failure::ErrorCode { .. }
                | Failure::Deadline
                | Failure::Replaced
                | Failure::NoMemory(_)
                | Failure::Callee(_)
        )
    }

    /// One word for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Failure::Trap(_) => "trap",
            Failure::CpuLimit(_) => "cpu-limit",
            Failure::MemoryLimit(_) => "memory-limit",
            Failure::NoMemory(_) => "no-memory",
            Failure::Instantiate(_) => "instantiate",
            Failure::NoResponse => "no-response",
            Failure::ErrorCode { .. } => "error-code",
            Failure::UnfinishedBody => "unfinished-body",
            Failure::Deadline => "deadline",
            Failure::Replaced => "replaced",
            Failure::Callee(error) => match error.kind() {
                CallKind::Unavailable => "callee-unavailable",
                CallKind::Deadline => "callee-deadline",
                CallKind::Failed => "callee-failed",
                CallKind::Stale => "stale-handle",
                CallKind::Impossible => "call-impossible",
            },
            Failure::HostPanic { .. } => "host-panic",
        }
    }

    /// The wasmtime error behind it, which has the guest's backtrace, and, where the engine captures
    /// them, its core dump.
    pub fn source_error(&self) -> Option<&Arc<wasmtime::Error>> {
        match self {
            Failure::Trap(error)
            | Failure::CpuLimit(error)
            | Failure::MemoryLimit(error)
            | Failure::Instantiate(error) => Some(error),
            _ => None,
        }
    }
}

/// An error with what the guest says in it, as far as anybody would read on: a guest may say
/// megabytes, which must not be kept until the request is logged.
pub(crate) fn cut_text(said: &dyn std::fmt::Display) -> String {
    crate::log::beginning(said, WORDS)
}

/// Bytes of a guest's words that are kept.
const WORDS: usize = 1 << 10;
