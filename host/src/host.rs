//! The wiring: the one file that knows every part. Sockets are bound first, components built next,
//! and only then is anything started.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::lifecycle::{Phase, Settings as Rules};
use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;
use skep_core::size::ByteSize;
use skep_core::status::{Crashes, HostStatus, ServiceStatus};
use skep_core::supervision::GroupSettings;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use crate::artifact::{Cache, CacheError, CacheSettings, Digest};
use crate::capability::Linkers;
use crate::core_dump;
use crate::crash::Ring;
use crate::deploy::{self, Application, Built, Machinery, Runs, Works};
use crate::engine::{self, Kind, Ticker};
use crate::gateway::{self, Gateway};
use crate::lag::Pace;
use crate::listener::{self, ConnectionLimits, Listener, Stopping, TlsError};
use crate::log::Sink;
use crate::memory::HostMemory;
use crate::memory::watch::{Seen, Watch, Watching};
use crate::operator::Callee;
use crate::scheduler::{self, Scheduler};
use crate::service::{Hold, INCIDENTS_WAITING, Revision, Service};
use crate::supervisor::{self, Charge, Desk, Supervisor};
use crate::trace::Tracer;
use crate::{task, usage};

/// How long a start waits for services that are still starting before it lets clients in: they
/// get 503 with Retry-After from those that are not ready.
const READY_PATIENCE: Duration = Duration::from_secs(30);

/// What is decided outside the manifest.
pub struct Options {
    /// Instead of the manifest's `http.listen`.
    pub listen: Option<Vec<SocketAddr>>,
    /// Where compiled code is kept and how it is made.
    pub cache: CacheSettings,
}

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An address cannot be listened on.
    #[error("cannot listen on {address}; choose another with `http.listen` or --listen")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// TLS cannot be had.
    #[error("cannot use the certificate of `http.tls`")]
    Tls(#[from] TlsError),
    /// wasmtime cannot run here.
    #[error("the WebAssembly engine cannot start on this machine")]
    Engine(#[source] wasmtime::Error),
    /// No directory for compiled code.
    #[error("cannot open the cache of compiled components")]
    Cache(#[from] CacheError),
    /// A thread or a socket cannot be had.
    #[error("the operating system refuses {what}")]
    System {
        /// What was asked for.
        what: &'static str,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Components cannot be compiled or linked; to be shown with the manifest's text.
    #[error("the application cannot be built")]
    Mistakes(Vec<Mistake>),
}

/// Compiles and links an application and throws the result away: what `skep check` does after
/// reading it.
///
/// # Errors
/// As for [`Host::start`].
pub fn try_build(
    application: &Application,
    cache: CacheSettings,
    sink: &Sink,
) -> Result<(), StartError> {
    let on_demand = |kind| {
        wasmtime::Engine::new(&engine::config(kind, engine::Allocation::OnDemand))
            .map_err(StartError::Engine)
    };
    let (machinery, _ticker, _) = machinery(application, on_demand, &cache, sink)?;
    let (incidents, _) = mpsc::channel(1);
    let handle = |service: &skep_core::manifest::Service| {
        let name = Arc::from(service.name.value.as_str());
        Service::new(name, Hold::default(), incidents.clone())
    };
    deploy::build(application, &machinery, handle).map_err(StartError::Mistakes)?;
    Ok(())
}

/// The engines that the application needs, with what belongs to them, and a watch on the memory that
/// does not look yet.
fn machinery(
    application: &Application,
    engine: impl Fn(Kind) -> Result<wasmtime::Engine, StartError>,
    cache: &CacheSettings,
    sink: &Sink,
) -> Result<(Machinery, Ticker, Watch), StartError> {
    let works = |kind| {
        let engine = engine(kind)?;
        let cache = Cache::open(&engine, cache.clone())?;
        let linkers = Arc::new(Linkers::new(kind, &engine));
        Ok((
            kind,
            Works {
                engine,
                cache,
                linkers,
            },
        ))
    };
    let works = deploy::kinds(application)
        .map(works)
        .collect::<Result<BTreeMap<_, _>, StartError>>()?;
    let host = &application.manifest.host;
    let (memory, watch) = Watch::new(
        host.memory.as_ref().map(|memory| memory.value.as_u64()),
        host.memory_reserve.map(ByteSize::as_u64),
    );
    let engines = works.values().map(|works| &works.engine);
    let ticker = Ticker::start(engines).map_err(|source| StartError::System {
        what: "a thread for the clock",
        source,
    })?;
    let machinery = Machinery {
        works,
        sink: sink.clone(),
        clock: ticker.clock(),
        memory,
        scheduler: Scheduler::new(),
        core_dumps: None,
    };
    Ok((machinery, ticker, watch))
}

/// An engine with pools for the application.
fn pooled(application: &Application, kind: Kind) -> Result<wasmtime::Engine, StartError> {
    let wanted = deploy::pool_size(application, kind);
    let core_dumps = deploy::wants_core_dumps(application, kind);
    let started = engine::start(kind, wanted, core_dumps).map_err(StartError::Engine)?;
    if let Some(warning) = &started.warning {
        tracing::warn!("{warning}");
    }
    Ok(started.engine)
}

/// What writes core dumps, and where to, if a service wants some.
fn core_dumps(
    application: &Application,
) -> Result<Option<(core_dump::Writer, PathBuf)>, StartError> {
    if !deploy::kinds(application).any(|kind| deploy::wants_core_dumps(application, kind)) {
        return Ok(None);
    }
    let runtime = tokio::runtime::Handle::current();
    let writer = core_dump::Writer::start(runtime).map_err(|source| StartError::System {
        what: "a thread to write core dumps",
        source,
    })?;
    Ok(Some((
        writer,
        state_directory(application).join("core-dumps"),
    )))
}

/// Threads for guests that compute for long: as many as serve.
fn compute_threads(
    application: &Application,
    scheduler: &Arc<Scheduler>,
) -> Result<scheduler::Threads, StartError> {
    let written = &application.manifest.host.threads;
    let count = match written {
        Some(threads) => threads.value as usize,
        None => std::thread::available_parallelism().map_or(1, usize::from),
    };
    let runtime = tokio::runtime::Handle::current();
    scheduler::Threads::start(scheduler, count, &runtime).map_err(|source| StartError::System {
        what: "threads to compute on",
        source,
    })
}

/// One service as the host keeps it.
struct Hosted {
    service: Arc<Service>,
    revision: Arc<Revision>,
    digest: Digest,
    role: Runs,
    crashes: Arc<Ring>,
    /// If the manifest says so, calls under way get this long when the host stops, however short
    /// `http.drain-timeout` is.
    stop_timeout: Option<Duration>,
    supervisor: Supervisor,
}

/// A running application.
pub struct Host {
    name: skep_core::name::AppName,
    addresses: Vec<SocketAddr>,
    secure: bool,
    services: Arc<BTreeMap<ServiceName, Hosted>>,
    desk: Arc<Desk>,
    stopping: watch::Sender<Stopping>,
    listening: JoinHandle<Option<()>>,
    connections: Arc<dyn Fn() -> usize + Send + Sync>,
    engines: Arc<[(Kind, wasmtime::Engine)]>,
    drain_timeout: Duration,
    tracer: Arc<Tracer>,
    origin: Instant,
    memory: Arc<HostMemory>,
    /// What the watch on the memory saw last.
    seen: Arc<Seen>,
    /// Before the ticker, whose ticks end what they are at.
    _computing: scheduler::Threads,
    _ticker: Ticker,
    _watching: Watching,
}

impl Host {
    /// Binds, builds, starts, and lets clients in when every service has started or failed to.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(
        application: Application,
        options: Options,
        sink: Sink,
    ) -> Result<Host, StartError> {
        let manifest = &application.manifest;
        let sockets = bind(&application, options.listen)?;
        let addresses = sockets
            .iter()
            .map(std::net::TcpListener::local_addr)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|source| StartError::System {
                what: "a socket's address",
                source,
            })?;
        let tls = match &manifest.http.tls {
            Some(tls) => {
                let file = |path| deploy::resolve(&application.source, path);
                Some(listener::acceptor(
                    &file(&tls.cert.value),
                    &file(&tls.key.value),
                )?)
            }
            None => None,
        };

        let engine = |kind| pooled(&application, kind);
        let (machinery, ticker, watch) = machinery(&application, engine, &options.cache, &sink)?;
        let seen = watch.seen();
        let watching = watch.start().map_err(|source| StartError::System {
            what: "a thread that watches the memory",
            source,
        })?;
        let machinery = Machinery {
            core_dumps: core_dumps(&application)?,
            ..machinery
        };
        let memory = machinery.memory.clone();
        let computing = compute_threads(&application, &machinery.scheduler)?;
        let engines = machinery
            .works
            .iter()
            .map(|(kind, works)| (*kind, works.engine.clone()))
            .collect();
        let handles = Handles::new(&application);
        let (built, handles, application) = tokio::task::spawn_blocking(move || {
            let built = deploy::build(&application, &machinery, |service| {
                handles.get(&service.name.value)
            });
            (built, handles, application)
        })
        .await
        .map_err(|error| StartError::System {
            what: "a thread to build on",
            source: std::io::Error::other(error),
        })?;
        let built = built.map_err(StartError::Mistakes)?;

        let origin = Instant::now();
        let (services, desk) = hire(&application, built, handles, origin);
        let services = Arc::new(services);
        desk.start();
        settle(&services, &desk).await;

        let manifest = &application.manifest;
        let routes = deploy::routes(manifest, |name| {
            services.get(name).map(|hosted| hosted.service.clone())
        })
        // Conflicts have been found when the manifest was read.
        .map_err(|_| StartError::Mistakes(Vec::new()))?;
        let tracer: Arc<Tracer> = Arc::default();
        let gateway = Gateway::new(routes, gateway_settings(manifest), sink, tracer.clone());
        let (stopping, stopping_out) = watch::channel(Stopping::No);
        let listener = Listener::new(
            sockets,
            gateway,
            connection_limits(manifest),
            tls.clone(),
            ticker.clock(),
            stopping_out,
        )
        .map_err(|source| StartError::System {
            what: "a listening socket",
            source,
        })?;
        let connections = Arc::new(listener.open_connections());
        let listening = task::spawn(task::Kind::Server, listener.run());
        Ok(Host {
            name: manifest.name.clone(),
            addresses,
            secure: tls.is_some(),
            services,
            desk,
            stopping,
            listening,
            connections,
            engines,
            drain_timeout: manifest.http.drain_timeout,
            tracer,
            origin,
            memory,
            seen,
            _computing: computing,
            _ticker: ticker,
            _watching: watching,
        })
    }

    /// Where it listens, as URLs.
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.secure { "https" } else { "http" };
        self.addresses
            .iter()
            .map(|address| format!("{scheme}://{address}"))
            .collect()
    }

    /// A function that tells how the application stands, for the control server. Blocking: see
    /// [`usage::read`].
    pub fn status(&self) -> impl Fn() -> HostStatus + Send + Sync + Clone + 'static {
        let (name, origin) = (self.name.clone(), self.origin);
        let (services, connections) = (self.services.clone(), self.connections.clone());
        let engines = self.engines.clone();
        let (memory, seen) = (self.memory.clone(), self.seen.clone());
        move || HostStatus {
            application: name.clone(),
            now_ms: u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX),
            connections: count(connections()),
            memory_bytes: memory.held(),
            memory_limit_bytes: memory.limit(),
            memory_pressure: memory.pressure(),
            available_bytes: seen.available(),
            host: usage::read(&engines),
            services: services
                .iter()
                .map(|(name, hosted)| row(name, hosted))
                .collect(),
        }
    }

    /// Starts a service anew; false if there is none of that name.
    pub fn restarts(&self) -> impl Fn(&str) -> bool + Send + Sync + Clone + 'static {
        let (services, desk) = (self.services.clone(), self.desk.clone());
        move |name| {
            let place = services.keys().position(|service| service.as_str() == name);
            if let Some(place) = place {
                desk.restart(place);
            }
            place.is_some()
        }
    }

    /// What hands out the spans of requests, for an exporter to listen to.
    pub fn tracer(&self) -> &Arc<Tracer> {
        &self.tracer
    }

    /// A service by its name, for the operator to call.
    pub fn callees(&self) -> impl Fn(&str) -> Option<Callee> + Send + Sync + Clone + 'static {
        let (services, tracer) = (self.services.clone(), self.tracer.clone());
        move |wanted| {
            let mut services = services.iter();
            let (_, hosted) = services.find(|(name, _)| name.as_str() == wanted)?;
            let answering = hosted.service.active();
            let revision = answering.unwrap_or_else(|| hosted.revision.clone());
            let service = hosted.service.clone();
            Some(Callee::new(service, revision, tracer.clone()))
        }
    }

    /// The latest crashes of one service or of all; none if there is no such service. Blocking: see
    /// [`Ring::all`].
    pub fn crashes(
        &self,
    ) -> impl Fn(Option<&str>) -> Option<Vec<Crashes>> + Send + Sync + Clone + 'static {
        let services = self.services.clone();
        move |wanted| {
            let wanted_one = |name: &ServiceName| wanted.is_none_or(|w| w == name.as_str());
            let found = services.iter().filter(|(name, _)| wanted_one(name));
            let found: Vec<Crashes> = found
                .map(|(name, hosted)| {
                    let (total, crashes) = hosted.crashes.all();
                    Crashes {
                        service: name.clone(),
                        total,
                        crashes,
                    }
                })
                .collect();
            (wanted.is_none() || !found.is_empty()).then_some(found)
        }
    }

    /// Lets no more clients in, lets what is under way come to its end, then stops the services in
    /// the reverse order of their start. Whatever has not ended by the drain deadline is cut; a
    /// service whose `stop-timeout` is longer has its own.
    pub async fn drain(self) {
        let began = tokio::time::Instant::now();
        self.stopping.send_replace(Stopping::Drain);
        let mut listening = self.listening;
        let services = &self.services;
        let deadline = began + self.drain_timeout;
        let mut drained = tokio::time::timeout_at(deadline, &mut listening)
            .await
            .is_ok();
        while !drained && services.values().any(|hosted| hosted.may_go_on(began)) {
            drained = tokio::time::timeout(LOOK_EVERY, &mut listening)
                .await
                .is_ok();
        }
        if !drained {
            tracing::warn!(
                connections = (self.connections)(),
                "the drain deadline has passed; what is still under way is cut"
            );
            self.stopping.send_replace(Stopping::Cut);
            let _ = tokio::time::timeout(CUT_PATIENCE, &mut listening).await;
        }
        // The machine keeps each service to its stop-timeout; a supervisor that is gone does not.
        let stopped_by = tokio::time::Instant::now() + self.desk.stop() + CUT_PATIENCE;
        for hosted in services.values() {
            let mut phase = hosted.supervisor.phase();
            let stopped = phase.wait_for(|phase| matches!(phase, Phase::Stopped { .. }));
            if tokio::time::timeout_at(stopped_by, stopped).await.is_err() {
                hosted.supervisor.abort();
            }
        }
    }
}

impl Hosted {
    /// Whether calls are under way that have longer than the drain deadline.
    fn may_go_on(&self, began: tokio::time::Instant) -> bool {
        let own = self
            .stop_timeout
            .is_some_and(|timeout| began.elapsed() < timeout);
        own && self.revision.in_flight() > 0
    }
}

/// How often a drain that goes on after its deadline is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// After the drain deadline: time for cut connections and services to be gone.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

fn bind(
    application: &Application,
    listen: Option<Vec<SocketAddr>>,
) -> Result<Vec<std::net::TcpListener>, StartError> {
    let written = application
        .manifest
        .http
        .listen
        .iter()
        .map(|listen| listen.value);
    let addresses = listen.unwrap_or_else(|| written.collect());
    let bind = |address: SocketAddr| {
        listener::bind(address).map_err(|source| StartError::Bind { address, source })
    };
    addresses.into_iter().map(bind).collect()
}

/// The services' handles, made before their revisions, which report to them.
struct Handles(BTreeMap<ServiceName, (Arc<Service>, mpsc::Receiver<crate::service::Incident>)>);

impl Handles {
    fn new(application: &Application) -> Handles {
        let make = |(name, manifest): (&ServiceName, &skep_core::manifest::Service)| {
            let (incidents, incidents_out) = mpsc::channel(INCIDENTS_WAITING);
            let hold = Hold {
                patience: manifest.restart.hold,
                places: manifest.limits.queue as usize,
            };
            let service = Service::new(Arc::from(name.as_str()), hold, incidents);
            (name.clone(), (service, incidents_out))
        };
        Handles(application.manifest.services.iter().map(make).collect())
    }

    fn get(&self, name: &ServiceName) -> Arc<Service> {
        match self.0.get(name) {
            Some((service, _)) => service.clone(),
            None => unreachable!("handles are made from the same manifest"),
        }
    }
}

/// Gives each service its supervisor. A service's place at the desk is that among the names.
fn hire(
    application: &Application,
    built: Vec<Built>,
    handles: Handles,
    origin: Instant,
) -> (BTreeMap<ServiceName, Hosted>, Arc<Desk>) {
    let manifest = &application.manifest;
    let names: Vec<ServiceName> = manifest.services.keys().cloned().collect();
    // Groups and `after` name services of this manifest.
    let places = |services: &[skep_core::manifest::Spanned<ServiceName>]| -> Vec<usize> {
        let place = |name: &ServiceName| names.binary_search(name).ok();
        services
            .iter()
            .filter_map(|name| place(&name.value))
            .collect()
    };
    let groups = manifest.groups.values().map(|group| GroupSettings {
        name: group.name.value.clone(),
        members: places(&group.services),
        strategy: group.strategy,
        policy: group.policy.clone(),
    });
    let groups = groups.collect();
    let mut charges = Vec::new();
    let mut parts = Vec::new();
    let order = deploy::starts_after(application);
    let services = manifest.services.values().zip(handles.0).zip(built);
    for (((manifest, (name, (service, incidents))), built), after) in services.zip(order) {
        let crashes = Arc::new(Ring::default());
        let health = manifest.health.as_ref().map(|health| health.value.clone());
        let charge = Charge {
            service: service.clone(),
            revision: built.revision.clone(),
            settings: Rules::new(built.role.kind(), manifest.restart.clone()),
            health: health.unwrap_or_default(),
            crashes: crashes.clone(),
            stop_timeout: manifest.stop_timeout,
            after,
        };
        charges.push((charge, incidents));
        let stop_timeout = manifest
            .says("stop-timeout")
            .then_some(manifest.stop_timeout);
        parts.push((name, service, built, crashes, stop_timeout));
    }
    let (desk, supervisors) = supervisor::hire(charges, groups, names.clone(), origin);
    let hosted = parts.into_iter().zip(supervisors);
    let hosted = hosted.map(
        |((name, service, built, crashes, stop_timeout), supervisor)| {
            let Built {
                revision,
                digest,
                role,
            } = built;
            let hosted = Hosted {
                service,
                revision,
                digest,
                role,
                crashes,
                stop_timeout,
                supervisor,
            };
            (name, hosted)
        },
    );
    (hosted.collect(), desk)
}

/// Waits until no service is starting any more. Those that wait for one that has not come up are
/// not waited for.
async fn settle(services: &BTreeMap<ServiceName, Hosted>, desk: &Desk) {
    let deadline = tokio::time::Instant::now() + READY_PATIENCE;
    while let Some(place) = desk.starting() {
        let Some(hosted) = services.values().nth(place) else {
            return;
        };
        // The desk knows of a start before its supervisor has said so.
        let mut phase = hosted.supervisor.phase();
        let ended = async {
            let begun = |phase: &Phase| matches!(phase, Phase::Starting { .. });
            phase.wait_for(begun).await.ok()?;
            phase.wait_for(|phase| !begun(phase)).await.ok()
        };
        if let Ok(None) = tokio::time::timeout(LOOK_EVERY, ended).await {
            // Its supervisor is gone, which has been reported.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if tokio::time::Instant::now() >= deadline {
            return;
        }
    }
}

fn gateway_settings(manifest: &skep_core::manifest::Manifest) -> gateway::Settings {
    let http = &manifest.http;
    gateway::Settings {
        access_log: http.access_log,
        log_calls: http.log_calls,
        trusted_proxies: http.trusted_proxies.clone(),
        header_bytes: http.limits.header_bytes.as_u64(),
        header_count: http.limits.header_count as usize,
        body_pace: Pace {
            most: http.limits.body_timeout,
            rate: http.limits.body_rate.as_u64(),
        },
        write_pace: Pace {
            most: http.limits.write_timeout,
            rate: http.limits.write_rate.as_u64(),
        },
    }
}

fn connection_limits(manifest: &skep_core::manifest::Manifest) -> ConnectionLimits {
    let limits = &manifest.http.limits;
    ConnectionLimits {
        connections: limits.connections as usize,
        header_bytes: limits.header_bytes.as_usize(),
        header_count: limits.header_count as usize,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        write_timeout: limits.write_timeout,
        streams: limits.streams,
    }
}

fn row(name: &ServiceName, hosted: &Hosted) -> ServiceStatus {
    use std::sync::atomic::Ordering::Relaxed;
    let counters = hosted.service.counters();
    let in_flight = hosted.revision.in_flight();
    ServiceStatus {
        service: name.clone(),
        kind: hosted.role.kind(),
        revision: hosted.revision.number(),
        digest: hosted.digest.to_string(),
        phase: hosted.supervisor.phase().borrow().clone(),
        instances: count(hosted.revision.instances_kept()),
        busy: count(in_flight),
        in_flight: count(in_flight),
        queued: count(hosted.revision.admission().waiting()),
        memory_bytes: hosted.revision.memory().held(),
        memory_peak_bytes: hosted.revision.memory().peak(),
        buffer_bytes: hosted.revision.memory().buffers(),
        calls: counters.answered.load(Relaxed),
        shed: counters.shed.load(Relaxed),
        crashes: counters.crashed.load(Relaxed),
        restarts: hosted.supervisor.restarts(),
    }
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// The file through which `skep ps` and the others find this host: beside the manifest.
pub fn control_socket(application: &Application) -> PathBuf {
    state_directory(application).join("control.sock")
}

/// The directory of what outlives the process.
fn state_directory(application: &Application) -> PathBuf {
    let manifest = &application.manifest;
    let state = manifest
        .host
        .state
        .as_ref()
        .map(|state| state.value.clone());
    let state = state.unwrap_or_else(|| PathBuf::from(".skep"));
    deploy::resolve(&application.source, &state)
}

/// The same, from the manifest's path alone.
pub fn control_socket_of(manifest: &std::path::Path) -> PathBuf {
    match deploy::read(manifest) {
        Ok(application) => control_socket(&application),
        // A manifest that has mistakes now may have had none when the host was started.
        Err(_) => manifest.with_file_name(".skep").join("control.sock"),
    }
}
