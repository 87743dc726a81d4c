//! One wasmtime store with one instantiated component: how it is made, what it holds, and how a
//! call on it ended. After a trap, a time-out or a cancellation it is never used again.
//!
//! Before it: `service` has admitted the request. Beside it: [`once`] serves one request at a
//! time (WASI 0.2), [`shared`] several at once (WASI 0.3), [`worker`] runs a program.

pub mod memory;
pub mod meter;
pub mod once;
pub mod pool;
pub mod shared;
pub mod worker;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use self::memory::{InstanceMemory, ServiceMemory};
use self::meter::{Meter, Verdict};
use crate::capability::{Granted, Hooks};
use crate::scheduler::{Panicked, Share};

/// The limits that each instance of a revision is held to.
#[derive(Clone, Debug)]
pub struct InstanceLimits {
    /// Bytes of linear memories and tables of one instance.
    pub memory: u64,
    /// Elements of one table.
    pub table_elements: usize,
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
    pub(crate) instances: AtomicU64,
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

    /// A store for the instance of this number, limited and charged to `meter`.
    pub(crate) fn store(&self, instance: u64, meter: Arc<Meter>) -> Store<GuestState> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.handles);
        let mut http = WasiHttpCtx::new();
        http.set_field_size_limit(self.limits.headers);
        let state = GuestState {
            hooks: Hooks::new(self.granted.clone()),
            table,
            wasi: None,
            http,
            memory: InstanceMemory::new(
                self.memory.clone(),
                self.limits.memory,
                self.limits.table_elements,
            ),
            instance,
            _counted: Counted::new(),
        };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.memory);
        store.set_hostcall_fuel(self.limits.hostcall_fuel);
        store.set_epoch_deadline(1);
        store.epoch_deadline_callback(move |_| match meter.tick() {
            Verdict::Continue => Ok(UpdateDeadline::Continue(1)),
            Verdict::Yield => Ok(UpdateDeadline::YieldCustom(
                1,
                Box::pin(tokio::task::yield_now()),
            )),
            Verdict::Stop => Err(CpuLimitReached.into()),
        });
        store
    }
}

/// The error that ends a call which has used up its CPU time.
#[derive(Debug, thiserror::Error)]
#[error("the call used more CPU time than `limits.cpu` allows")]
pub struct CpuLimitReached;

/// The data of one store. The order of fields is the order in which they are dropped: the hooks
/// go first, so that outgoing bodies see that their guest is gone.
pub struct GuestState {
    hooks: Hooks,
    table: ResourceTable,
    wasi: Option<Box<WasiCtx>>,
    http: WasiHttpCtx,
    memory: InstanceMemory,
    instance: u64,
    _counted: Counted,
}

/// Stores that exist now.
static LIVE: AtomicU64 = AtomicU64::new(0);

/// How many instances of all services exist, with those that are being made or dropped.
pub fn live() -> u64 {
    LIVE.load(Ordering::Relaxed)
}

/// Counts a store for as long as it exists.
struct Counted;

impl Counted {
    fn new() -> Counted {
        LIVE.fetch_add(1, Ordering::Relaxed);
        Counted
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        LIVE.fetch_sub(1, Ordering::Relaxed);
    }
}

impl GuestState {
    /// The guest's resources.
    pub(crate) fn table(&mut self) -> &mut ResourceTable {
        &mut self.table
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
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
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
    Trap(#[source] wasmtime::Error),
    /// It computed for longer than a call may.
    #[error("used more CPU time than `limits.cpu` allows")]
    CpuLimit(#[source] wasmtime::Error),
    /// The component could not be instantiated.
    #[error("could not be instantiated")]
    Instantiate(#[source] wasmtime::Error),
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
    /// Host code that the guest called panicked: a bug in Skep or in wasmtime.
    #[error("host code panicked: {message}")]
    HostPanic {
        /// The panic's message.
        message: String,
    },
}

impl Failure {
    /// What a panic of host code comes to.
    pub(crate) fn of_panic(Panicked(message): Panicked) -> Failure {
        Failure::HostPanic { message }
    }

    /// Sorts a call's error.
    pub(crate) fn of_call(error: wasmtime::Error) -> Failure {
        if error.is::<CpuLimitReached>() {
            Failure::CpuLimit(error)
        } else {
            Failure::Trap(error)
        }
    }

    /// Sorts an instantiation's error.
    pub(crate) fn of_instantiation(error: wasmtime::Error) -> Failure {
        if error.is::<CpuLimitReached>() {
            Failure::CpuLimit(error)
        } else {
            Failure::Instantiate(error)
        }
    }

    /// Whether the instance crashed, as opposed to a guest that said no in good order.
    pub fn is_crash(&self) -> bool {
        !matches!(self, Failure::ErrorCode { .. } | Failure::Deadline)
    }

    /// One word for logs and metrics.
    pub fn label(&self) -> &'static str {
        match self {
            Failure::Trap(_) => "trap",
            Failure::CpuLimit(_) => "cpu-limit",
            Failure::Instantiate(_) => "instantiate",
            Failure::NoResponse => "no-response",
            Failure::ErrorCode { .. } => "error-code",
            Failure::UnfinishedBody => "unfinished-body",
            Failure::Deadline => "deadline",
            Failure::HostPanic { .. } => "host-panic",
        }
    }

    /// The wasmtime error behind it, which has the guest's backtrace.
    pub fn source_error(&self) -> Option<&wasmtime::Error> {
        match self {
            Failure::Trap(error) | Failure::CpuLimit(error) | Failure::Instantiate(error) => {
                Some(error)
            }
            _ => None,
        }
    }
}
