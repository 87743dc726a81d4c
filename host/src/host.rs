//! The wiring: the one file that knows every part. Sockets are bound first, components built next,
//! and only then is anything started.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;
use skep_core::status::{Crashes, HostStatus};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;

use crate::artifact::CacheSettings;
use crate::deploy::{
    self, Application, Machinery, MachineryError, Order, Progress, Resumption, Running, Unwritten,
    connection_limits, state_directory,
};
use crate::engine::{Engines, Ticker};
use crate::gateway::Gateway;
use crate::generation::Slot;
use crate::listener::{self, Bound, Left, Listener, Purpose, Stopping, TlsError};
use crate::log::Sink;
use crate::memory::HostMemory;
use crate::memory::watch::{Seen, Watching};
use crate::operator::Callee;
use crate::scheduler::{self, Scheduler};
use crate::service::{Hold, Service};
use crate::trace::Tracer;
use crate::{task, usage};

/// What is decided outside the manifest.
pub struct Options {
    /// Instead of the manifest's `http.listen`.
    pub listen: Option<Vec<SocketAddr>>,
    /// Where compiled code is kept and how it is made.
    pub cache: CacheSettings,
    /// What the host before has left to listen on.
    pub left: Left,
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
    /// What guests run on cannot be had.
    #[error(transparent)]
    Machinery(#[from] MachineryError),
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
    let (machinery, _ticker, _) = Machinery::start(application, cache, sink, false)?;
    let (incidents, _) = tokio::sync::mpsc::channel(1);
    let order = |name: &ServiceName| Order {
        service: name.clone(),
        number: 1,
        handle: Service::new(
            Arc::from(name.as_str()),
            Hold::default(),
            Arc::default(),
            incidents.clone(),
        ),
        home: Arc::default(),
    };
    let names = || application.manifest.services.keys();
    let orders: Vec<Order> = names().map(order).collect();
    let slots = names().cloned().zip((0..).map(Slot)).collect();
    let built = deploy::build(
        application,
        &machinery,
        &orders,
        &slots,
        &Progress::default(),
    );
    built.map(drop).map_err(StartError::Mistakes)
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

/// A host that is ready to serve, and lets nobody in yet.
pub struct Ready {
    host: Host,
    door: oneshot::Sender<()>,
    unwritten: Unwritten,
}

impl Ready {
    /// Writes down what is to serve from now on, and lets clients in.
    pub async fn serve(self) -> Host {
        self.host.running.write_down(self.unwritten).await;
        // Whoever waits for it lives as long as the host.
        let _ = self.door.send(());
        self.host
    }

    /// Lets clients in. What serves is to be written down at once.
    pub fn let_in(self) -> (Host, Unwritten) {
        let _ = self.door.send(());
        (self.host, self.unwritten)
    }
}

/// A running application.
pub struct Host {
    sockets: Vec<Bound>,
    addresses: Vec<SocketAddr>,
    secure: bool,
    running: Arc<Running>,
    stopping: watch::Sender<Stopping>,
    listening: JoinHandle<Option<()>>,
    connections: Arc<dyn Fn() -> usize + Send + Sync>,
    engines: Arc<Engines>,
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
    /// Binds, builds, and starts; comes back when every service has started or failed to. Without a
    /// resumption nothing can be deployed.
    ///
    /// # Errors
    /// See [`StartError`]; nothing is left running.
    pub async fn start(
        application: Application,
        resumption: Option<Resumption>,
        options: Options,
        sink: Sink,
    ) -> Result<Ready, StartError> {
        let manifest = &application.manifest;
        let sockets = bind(&application, options.listen, options.left)?;
        let addresses = sockets
            .iter()
            .map(|bound| bound.socket.local_addr())
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

        let (machinery, ticker, watch) =
            Machinery::start(&application, options.cache, &sink, true)?;
        let seen = watch.seen();
        let watching = watch.start().map_err(|source| StartError::System {
            what: "a thread that watches the memory",
            source,
        })?;
        let memory = machinery.memory.clone();
        let computing = compute_threads(&application, &machinery.scheduler)?;
        let limits = connection_limits(manifest);
        let origin = Instant::now();
        let running = Running::start(application, resumption, machinery, origin).await;
        let (running, unwritten) = running.map_err(StartError::Mistakes)?;

        let tracer: Arc<Tracer> = Arc::default();
        let gateway = Gateway::new(running.serving().clone(), sink, tracer.clone());
        let (stopping, stopping_out) = watch::channel(Stopping::No);
        let listening = |source| StartError::System {
            what: "a listening socket",
            source,
        };
        let handles = sockets.iter().map(|bound| bound.socket.try_clone());
        let listener = Listener::new(
            handles.collect::<Result<_, _>>().map_err(listening)?,
            gateway,
            limits,
            tls.clone(),
            ticker.clock(),
            stopping_out,
        )
        .map_err(listening)?;
        let connections = Arc::new(listener.open_connections());
        let (door, opened) = oneshot::channel();
        let listening = task::spawn(task::Kind::Server, async move {
            if opened.await.is_ok() {
                listener.run().await;
            }
        });
        let host = Host {
            sockets,
            addresses,
            secure: tls.is_some(),
            running,
            stopping,
            listening,
            connections,
            engines: ticker.engines().clone(),
            tracer,
            origin,
            memory,
            seen,
            _computing: computing,
            _ticker: ticker,
            _watching: watching,
        };
        Ok(Ready {
            host,
            door,
            unwritten,
        })
    }

    /// Where it listens for clients.
    pub fn sockets(&self) -> &[Bound] {
        &self.sockets
    }

    /// Where it listens, as URLs.
    pub fn urls(&self) -> Vec<String> {
        let scheme = if self.secure { "https" } else { "http" };
        self.addresses
            .iter()
            .map(|address| format!("{scheme}://{address}"))
            .collect()
    }

    /// The application as it runs, and the way to change it.
    pub fn running(&self) -> &Arc<Running> {
        &self.running
    }

    /// A function that tells how the application stands, for the control server. Blocking: see
    /// [`usage::read`].
    pub fn status(&self) -> impl Fn() -> HostStatus + Send + Sync + Clone + 'static {
        let (running, origin) = (self.running.clone(), self.origin);
        let (connections, engines) = (self.connections.clone(), self.engines.clone());
        let (memory, seen) = (self.memory.clone(), self.seen.clone());
        move || {
            let roster = running.roster();
            HostStatus {
                application: roster.application.manifest.name.clone(),
                generation: roster.generation.number(),
                now_ms: u64::try_from(origin.elapsed().as_millis()).unwrap_or(u64::MAX),
                connections: u32::try_from(connections()).unwrap_or(u32::MAX),
                memory_bytes: memory.held(),
                memory_limit_bytes: memory.limit(),
                memory_pressure: memory.pressure(),
                available_bytes: seen.available(),
                host: usage::read(&engines),
                services: deploy::rows(&roster),
            }
        }
    }

    /// Starts a service anew; false if there is none of that name.
    pub fn restarts(&self) -> impl Fn(&str) -> bool + Send + Sync + Clone + 'static {
        let running = self.running.clone();
        move |name| {
            let roster = running.roster();
            let mut members = roster.members.iter();
            let wanted = members.find(|(service, _)| service.as_str() == name);
            if let Some((_, member)) = wanted {
                running.desk().restart(member.place());
            }
            wanted.is_some()
        }
    }

    /// What hands out the spans of requests, for an exporter to listen to.
    pub fn tracer(&self) -> &Arc<Tracer> {
        &self.tracer
    }

    /// A service by its name, for the operator to call.
    pub fn callees(&self) -> impl Fn(&str) -> Option<Callee> + Send + Sync + Clone + 'static {
        let (running, tracer) = (self.running.clone(), self.tracer.clone());
        move |wanted| {
            let roster = running.roster();
            let mut members = roster.members.iter();
            let (_, member) = members.find(|(name, _)| name.as_str() == wanted)?;
            let generation = roster.generation.clone();
            let (service, revision) = (member.service().clone(), member.revision().clone());
            Some(Callee::new(generation, service, revision, tracer.clone()))
        }
    }

    /// The latest crashes of one service or of all; none if there is no such service. Blocking: see
    /// [`crate::crash::Ring::all`].
    pub fn crashes(
        &self,
    ) -> impl Fn(Option<&str>) -> Option<Vec<Crashes>> + Send + Sync + Clone + 'static {
        let running = self.running.clone();
        move |wanted| {
            let roster = running.roster();
            let wanted_one = |name: &ServiceName| wanted.is_none_or(|w| w == name.as_str());
            let found = roster.members.iter().filter(|(name, _)| wanted_one(name));
            let found: Vec<Crashes> = found
                .map(|(name, member)| {
                    let (total, crashes) = member.crashes().all();
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

    /// Ends as [`Host::drain`] does, where another host has begun to serve on the same sockets: clients
    /// that have just connected, or that are about to ask again, have a moment to do so.
    pub async fn leave(mut self) {
        self.sockets.clear();
        self.stopping.send_replace(Stopping::Leaving);
        let patience = self.running.application().manifest.http.drain_timeout;
        let over = tokio::time::Instant::now() + LEAVE_PATIENCE.min(patience);
        while (self.connections)() > 0 && tokio::time::Instant::now() < over {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        self.drain().await;
    }

    /// Lets no more clients in, lets what is under way come to its end, then stops the services in
    /// the reverse order of their start. Whatever has not ended by the drain deadline is cut; a
    /// service whose `stop-timeout` is longer has its own.
    pub async fn drain(mut self) {
        self.sockets.clear();
        let began = tokio::time::Instant::now();
        self.stopping.send_replace(Stopping::Drain);
        let drain_timeout = self.running.application().manifest.http.drain_timeout;
        let deadline = began + drain_timeout;
        // What is still being proved then is not waited for: it has not been acknowledged.
        let _ = tokio::time::timeout_at(deadline, self.running.stop_changing()).await;
        let mut listening = self.listening;
        let roster = self.running.roster();
        let members = || roster.members.values();
        let mut drained = tokio::time::timeout_at(deadline, &mut listening)
            .await
            .is_ok();
        while !drained && members().any(|member| member.may_go_on(began.into_std())) {
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
        let stopped_by = tokio::time::Instant::now() + self.running.desk().stop() + CUT_PATIENCE;
        for member in members() {
            let stopped = tokio::time::timeout_at(stopped_by, member.stopped_at_last());
            if stopped.await.is_err() {
                member.abort();
            }
        }
    }
}

/// How often a drain that goes on after its deadline is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long connections at rest are left open when another host serves: longer than a client that is
/// busy waits between two requests.
const LEAVE_PATIENCE: Duration = Duration::from_secs(5);

/// After the drain deadline: time for cut connections and services to be gone.
const CUT_PATIENCE: Duration = Duration::from_secs(1);

fn bind(
    application: &Application,
    listen: Option<Vec<SocketAddr>>,
    mut left: Left,
) -> Result<Vec<Bound>, StartError> {
    let written = application
        .manifest
        .http
        .listen
        .iter()
        .map(|listen| listen.value);
    let addresses = listen.unwrap_or_else(|| written.collect());
    let bind = |address: SocketAddr| {
        left.bind(Purpose::Http, address)
            .map_err(|source| StartError::Bind { address, source })
    };
    addresses.into_iter().map(bind).collect()
}

/// The file through which `skep ps` and the others find this host: beside the manifest.
pub fn control_socket(application: &Application) -> PathBuf {
    state_directory(application).join("control.sock")
}

/// The file through which another host that is to take this one's place finds it.
pub fn takeover_socket(application: &Application) -> PathBuf {
    state_directory(application).join("takeover.sock")
}

/// As [`control_socket`], from the manifest's path alone.
pub fn control_socket_of(manifest: &std::path::Path) -> PathBuf {
    match deploy::read(manifest) {
        Ok(application) => control_socket(&application),
        // A manifest that has mistakes now may have had none when the host was started.
        Err(_) => manifest.with_file_name(".skep").join("control.sock"),
    }
}
