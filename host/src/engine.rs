//! The wasmtime engines: how they are configured, how large their pools are, and their epoch clock.
//!
//! Before it: `deploy` says how many instances of each [`Kind`] the application may have. After
//! it: `artifact` compiles for an engine and `instance` runs on it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wasmtime::{
    Config, Enabled, Engine, EngineWeak, InstanceAllocationStrategy, OptLevel,
    PoolingAllocationConfig,
};

/// One epoch: how long a guest computes before it yields its thread for the first time.
pub const EPOCH_TICK: Duration = Duration::from_millis(1);

/// A fiber has the guest's stack and this, for the host functions that the guest calls (hyper,
/// formatting, allocation).
const HOST_STACK: usize = 1536 << 10;

/// Frames kept of a trap's backtrace; a stack overflow has thousands and nobody reads them.
const BACKTRACE_FRAMES: usize = 64;

/// Memory that a freed slot keeps mapped, so that the next instance finds its pages present.
const KEEP_RESIDENT: usize = 1 << 20;

/// Per table, as above.
const TABLE_KEEP_RESIDENT: usize = 64 << 10;

/// The most that one instance may take out of the pools: a component that takes more is not run, since
/// it would leave nothing for other services' instances. It brings its main module, adapters and
/// shims; language runtimes bring a library in each of some twenty. Core instances cost the pool
/// nothing but a count, tables and memories address space.
const CORE_INSTANCES_PER_INSTANCE: u32 = 64;
const TABLES_PER_INSTANCE: u32 = 4;
const MEMORIES_PER_INSTANCE: u32 = 2;

/// A pool smaller than this is not worth its address space: instances are then made on demand.
const SMALLEST_POOL: u32 = 16;

/// What an engine's instances can do. An application has an engine of each kind that its
/// components need: concurrency costs every call and every host call of those that do not use it
/// (a tenth of a small request), so they run on an engine that knows nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// One call at a time: components of WASI 0.2.
    Serial,
    /// Async functions, streams and futures too: components that use anything of WASI 0.3.
    Concurrent,
}

impl Kind {
    /// Both.
    pub const ALL: [Kind; 2] = [Kind::Serial, Kind::Concurrent];

    /// Its name in listings.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Serial => "serial",
            Kind::Concurrent => "concurrent",
        }
    }
}

/// How many instances the pools hold and how large one memory may become.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Live instances at once, over all services.
    pub instances: u32,
    /// Bytes, the largest `limits.memory` of any service.
    pub memory: u64,
    /// The largest `limits.table-elements` of any service.
    pub table_elements: usize,
    /// Bytes that a guest's own frames may use: `host.stack`.
    pub stack: usize,
}

impl PoolSize {
    /// Whether pools of this size do for those who want that one.
    pub fn holds(&self, wanted: &PoolSize) -> bool {
        self.instances >= wanted.instances
            && self.memory >= wanted.memory
            && self.table_elements >= wanted.table_elements
            && self.stack == wanted.stack
    }
}

/// How stores get their memories, tables and stacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Allocation {
    /// Slots reserved once; an instance costs a few microseconds.
    Pooling(PoolSize),
    /// Mapped per instance; slower, but needs no address space up front.
    OnDemand,
}

/// The settings that decide both what the compiler emits and how instances run.
///
/// Compiled code depends on [`config`]'s other settings, never on the allocation, so that a
/// compiler process may use [`Allocation::OnDemand`] and the host a pool.
pub fn config(kind: Kind, allocation: Allocation) -> Config {
    let mut config = Config::new();
    match kind {
        Kind::Serial => config.concurrency_support(false),
        Kind::Concurrent => config.wasm_component_model_async(true),
    };
    config
        .wasm_component_model(true)
        .wasm_gc(false)
        .epoch_interruption(true)
        .cranelift_opt_level(OptLevel::Speed)
        .wasm_backtrace_max_frames(std::num::NonZeroUsize::new(BACKTRACE_FRAMES))
        .memory_init_cow(true);
    if let Allocation::Pooling(size) = allocation {
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pools(size)));
    }
    config
}

/// The same with what compiled code does not depend on: the stacks that the manifest wants, and
/// whether each trap is given a core dump, which takes some microseconds.
fn sized(kind: Kind, allocation: Allocation, stack: usize, core_dumps: bool) -> Config {
    let mut config = config(kind, allocation);
    config
        .max_wasm_stack(stack)
        .async_stack_size(stack.saturating_add(HOST_STACK))
        .coredump_on_trap(core_dumps);
    config
}

fn pools(size: PoolSize) -> PoolingAllocationConfig {
    let mut pools = PoolingAllocationConfig::new();
    let instances = size.instances;
    pools
        .total_component_instances(instances)
        .total_core_instances(instances.saturating_mul(CORE_INSTANCES_PER_INSTANCE))
        .total_memories(instances.saturating_mul(MEMORIES_PER_INSTANCE))
        .total_tables(instances.saturating_mul(TABLES_PER_INSTANCE))
        .max_core_instances_per_component(CORE_INSTANCES_PER_INSTANCE)
        .max_memories_per_component(MEMORIES_PER_INSTANCE)
        .max_tables_per_component(TABLES_PER_INSTANCE)
        .total_stacks(instances.saturating_mul(2))
        .total_gc_heaps(1)
        .table_elements(size.table_elements)
        .max_memory_size(usize::try_from(size.memory).unwrap_or(usize::MAX))
        .max_unused_warm_slots(instances)
        .linear_memory_keep_resident(KEEP_RESIDENT)
        .table_keep_resident(TABLE_KEEP_RESIDENT)
        .pagemap_scan(Enabled::Auto);
    pools
}

/// An engine, what it was given in the end, and a sentence for the log if that is less than asked.
pub struct Started {
    /// The engine that all stores of its kind share.
    pub engine: Engine,
    /// What the machine allowed.
    pub allocation: Allocation,
    /// Why it is less than was asked, for a person.
    pub warning: Option<String>,
}

/// Starts the engine with pools of the wanted size. Where the machine's address space or limits
/// do not allow them, it halves them, and at last makes instances on demand. With `core_dumps` the
/// errors of traps have one.
///
/// # Errors
/// Only if even an engine without pools cannot be had: the processor lacks what wasmtime needs.
pub fn start(kind: Kind, wanted: PoolSize, core_dumps: bool) -> wasmtime::Result<Started> {
    let mut instances = wanted.instances.max(1);
    let mut refusal = None;
    loop {
        let allocation = Allocation::Pooling(PoolSize {
            instances,
            ..wanted
        });
        match Engine::new(&sized(kind, allocation, wanted.stack, core_dumps)) {
            Ok(engine) => {
                let warning = refusal.map(|error: wasmtime::Error| {
                    format!(
                        "this machine has no room for {} pooled instances ({error:#}); the pool \
                         holds {instances}. Raise the address-space limit (ulimit -v) or lower \
                         `host.instances` in the manifest",
                        wanted.instances
                    )
                });
                return Ok(Started {
                    engine,
                    allocation,
                    warning,
                });
            }
            Err(error) => refusal = Some(error),
        }
        if instances <= SMALLEST_POOL {
            break;
        }
        instances = (instances / 2).max(SMALLEST_POOL);
    }
    let engine = Engine::new(&sized(kind, Allocation::OnDemand, wanted.stack, core_dumps))?;
    let reason = refusal.map_or_else(String::new, |error| format!(" ({error:#})"));
    Ok(Started {
        engine,
        allocation: Allocation::OnDemand,
        warning: Some(format!(
            "this machine has no address space for an instance pool{reason}; instances are made on \
             demand, which is slower. Raise the address-space limit (ulimit -v)"
        )),
    })
}

/// Milliseconds since the host began, as of the last epoch tick. For time-outs of seconds this
/// saves a clock reading per request.
#[derive(Clone, Debug, Default)]
pub struct CoarseClock(Arc<AtomicU64>);

impl CoarseClock {
    /// Milliseconds, at most one tick (or one scheduling delay) late.
    pub fn now_ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The engines that there are, for as long as anything runs on them.
#[derive(Default)]
pub struct Engines(Mutex<Vec<(Kind, EngineWeak)>>);

impl Engines {
    /// Another engine.
    pub fn add(&self, kind: Kind, engine: &Engine) {
        let mut engines = self.0.lock();
        engines.retain(|(_, engine)| engine.upgrade().is_some());
        engines.push((kind, engine.weak()));
    }

    /// Calls it with each.
    pub fn each(&self, mut with: impl FnMut(Kind, &Engine)) {
        for (kind, engine) in &*self.0.lock() {
            if let Some(engine) = engine.upgrade() {
                with(*kind, &engine);
            }
        }
    }
}

/// The thread that advances the engines' epochs and the coarse clock; it ends when dropped.
pub struct Ticker {
    engines: Arc<Engines>,
    stop: Arc<AtomicBool>,
    clock: CoarseClock,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Ticker {
    /// # Errors
    /// If the operating system refuses a thread.
    pub fn start() -> std::io::Result<Ticker> {
        let engines: Arc<Engines> = Arc::default();
        let stop = Arc::new(AtomicBool::new(false));
        let clock = CoarseClock(Arc::default());
        let thread = std::thread::Builder::new()
            .name("skep-epoch".into())
            .spawn({
                let (stop, clock, engines) = (stop.clone(), clock.clone(), engines.clone());
                move || {
                    let began = Instant::now();
                    while !stop.load(Ordering::Relaxed) {
                        std::thread::sleep(EPOCH_TICK);
                        engines.each(|_, engine| engine.increment_epoch());
                        let passed = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
                        clock.0.store(passed, Ordering::Relaxed);
                    }
                }
            })?;
        Ok(Ticker {
            engines,
            stop,
            clock,
            thread: Some(thread),
        })
    }

    /// The engines whose epochs it advances.
    pub fn engines(&self) -> &Arc<Engines> {
        &self.engines
    }

    /// A handle to the coarse clock.
    pub fn clock(&self) -> CoarseClock {
        self.clock.clone()
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It sleeps for a millisecond at most; a panic in it has been reported already.
            let _ = thread.join();
        }
    }
}
