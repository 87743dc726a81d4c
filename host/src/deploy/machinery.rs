//! What revisions are made with: engines with their pools, compiled code, and what all guests share.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use skep_core::size::ByteSize;
use wasmtime::Engine;

use super::build::{kinds, pool_size, wants_core_dumps};
use super::{Application, state_directory};
use crate::artifact::{Cache, CacheError, CacheSettings};
use crate::capability::Linkers;
use crate::core_dump;
use crate::engine::{self, Allocation, CoarseClock, Engines, Kind, PoolSize, Ticker};
use crate::log::Sink;
use crate::memory::HostMemory;
use crate::memory::watch::Watch;
use crate::scheduler::Scheduler;

/// An engine with what belongs to it.
#[derive(Clone)]
pub struct Works {
    /// The engine that runs the code.
    pub engine: Engine,
    /// Compiled code.
    pub cache: Cache,
    /// Host functions.
    pub linkers: Arc<Linkers>,
    /// What its pools were asked to hold; none if it has no pools.
    size: Option<PoolSize>,
    /// Its traps have core dumps.
    core_dumps: bool,
}

/// What building needs of the host.
#[derive(Clone)]
pub struct Machinery {
    /// One for each of the application's [`kinds`].
    pub works: BTreeMap<Kind, Works>,
    /// Where guests' output goes.
    pub sink: Sink,
    /// For idle times.
    pub clock: CoarseClock,
    /// What all guests may hold together.
    pub memory: Arc<HostMemory>,
    /// Who computes when.
    pub scheduler: Arc<Scheduler>,
    /// What writes core dumps, and where to, if a service wants some.
    pub core_dumps: Option<(core_dump::Writer, PathBuf)>,
    cache: CacheSettings,
    engines: Arc<Engines>,
    /// Whether its engines have pools.
    pooled: bool,
}

/// Why there is none.
#[derive(Debug, thiserror::Error)]
pub enum MachineryError {
    /// wasmtime cannot run here.
    #[error("the WebAssembly engine cannot start on this machine")]
    Engine(#[source] wasmtime::Error),
    /// No directory for compiled code.
    #[error("cannot open the cache of compiled components")]
    Cache(#[from] CacheError),
    /// A thread cannot be had.
    #[error("the operating system refuses {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

impl Machinery {
    /// What the application needs, the clock's thread, and a watch on the memory that does not look
    /// yet. Without pools nothing is meant to run.
    ///
    /// # Errors
    /// See [`MachineryError`].
    pub fn start(
        application: &Application,
        cache: CacheSettings,
        sink: &Sink,
        pooled: bool,
    ) -> Result<(Machinery, Ticker, Watch), MachineryError> {
        let host = &application.manifest.host;
        let (memory, watch) = Watch::new(
            host.memory.as_ref().map(|memory| memory.value.as_u64()),
            host.memory_reserve.map(ByteSize::as_u64),
        );
        let ticker = Ticker::start().map_err(|source| MachineryError::System {
            what: "a thread for the clock",
            source,
        })?;
        let machinery = Machinery {
            works: BTreeMap::new(),
            sink: sink.clone(),
            clock: ticker.clock(),
            memory,
            scheduler: Scheduler::new(),
            core_dumps: None,
            cache,
            engines: ticker.engines().clone(),
            pooled,
        };
        Ok((machinery.fit(application)?, ticker, watch))
    }

    /// The same for another state of the application. An engine whose pools are too small for that
    /// is followed by a larger one; what runs on it stays there.
    ///
    /// # Errors
    /// See [`MachineryError`].
    pub fn fit(&self, application: &Application) -> Result<Machinery, MachineryError> {
        let mut machinery = self.clone();
        for kind in kinds(application) {
            let wanted = pool_size(application, kind);
            let dumps = wants_core_dumps(application, kind);
            let fits = |works: &Works| {
                (works.core_dumps || !dumps) && works.size.is_none_or(|size| size.holds(&wanted))
            };
            if !machinery.works.get(&kind).is_some_and(fits) {
                let works = machinery.works_of(kind, wanted, dumps)?;
                machinery.works.insert(kind, works);
            }
            if dumps && machinery.core_dumps.is_none() && self.pooled {
                machinery.core_dumps = Some(core_dumps(application)?);
            }
        }
        Ok(machinery)
    }

    fn works_of(
        &self,
        kind: Kind,
        wanted: PoolSize,
        core_dumps: bool,
    ) -> Result<Works, MachineryError> {
        let (engine, size) = if self.pooled {
            let started =
                engine::start(kind, wanted, core_dumps).map_err(MachineryError::Engine)?;
            if let Some(warning) = &started.warning {
                tracing::warn!("{warning}");
            }
            // It may be less than was asked for, and will not be more by asking again.
            let pooled = matches!(started.allocation, Allocation::Pooling(_));
            (started.engine, pooled.then_some(wanted))
        } else {
            let config = engine::config(kind, Allocation::OnDemand);
            (Engine::new(&config).map_err(MachineryError::Engine)?, None)
        };
        self.engines.add(kind, &engine);
        Ok(Works {
            cache: Cache::open(&engine, self.cache.clone())?,
            linkers: Arc::new(Linkers::new(kind, &engine)),
            engine,
            size,
            core_dumps,
        })
    }
}

/// What writes core dumps, and where to.
fn core_dumps(application: &Application) -> Result<(core_dump::Writer, PathBuf), MachineryError> {
    let runtime = tokio::runtime::Handle::current();
    let writer = core_dump::Writer::start(runtime).map_err(|source| MachineryError::System {
        what: "a thread to write core dumps",
        source,
    })?;
    Ok((writer, state_directory(application).join("core-dumps")))
}
