//! What a service may reach outside its sandbox: granted once per revision, linked once per
//! engine, prepared per instance. An engine of [`Kind::Serial`] has the interfaces of WASI 0.2
//! alone: what is linked decides nothing but what a component of its kind could import.
//!
//! Nothing is granted by default but clocks, random numbers and a log. A component that imports
//! more than its manifest grants is refused before it runs (see `deploy`); the linker leaves out
//! what is not granted all the same.

mod config;
mod environment;
mod files;
mod hooks;
mod listing;
mod logging;
#[cfg(feature = "testing")]
mod testing;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use skep_core::grant::GrantedValue;
use skep_core::manifest::{Service, Spanned};
use wasmtime::Engine;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemCtx, WasiFilesystemView as _};
use wasmtime_wasi::random::WasiRandom;
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{WasiCtx, WasiView as _};
use wasmtime_wasi_http::{ForbiddenHeaderFilter, WasiHttp, WasiHttpView as _};

pub use self::environment::GrantError;
pub(crate) use self::environment::{directories, value};
use self::files::OpenFiles;
pub(crate) use self::hooks::{Hooks, is_forbidden};
use crate::deploy::Source;
use crate::engine::Kind;
use crate::instance::GuestState;
use crate::log::Sink;
use crate::log::guest::{GuestLog, GuestLogLimits, Secrets, Stream};
use crate::memory::buffers::Buffers;
use crate::outgoing::{OutgoingClient, OutgoingLimits, OutgoingPolicy};
use crate::wasi;

/// Everything one revision was granted, shared by its instances.
pub struct Granted {
    pub(crate) log: Arc<GuestLog>,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) arguments: Vec<String>,
    pub(crate) filesystem: WasiFilesystemCtx,
    pub(crate) files: Arc<OpenFiles>,
    pub(crate) config: config::Values,
    pub(crate) outgoing: Option<OutgoingClient>,
    pub(crate) forbidden_headers: ForbiddenHeaderFilter,
    /// Bytes, the longest answer to one request for random bytes.
    pub(crate) random_bytes: u64,
}

/// The longest answer to one request for random bytes; a guest that wants more asks again.
pub(crate) const RANDOM_BYTES: u64 = 1 << 20;

impl Granted {
    /// The WASI context of one instance. It costs a microsecond (random seeds, boxes), so it is
    /// made when a guest first asks for something in it.
    pub(crate) fn wasi(&self, instance: u64) -> WasiCtx {
        let mut builder = WasiCtx::builder();
        builder
            .stdout(self.log.stream(instance, Stream::Stdout))
            .stderr(self.log.stream(instance, Stream::Stderr))
            .envs(&self.environment)
            .args(&self.arguments)
            .max_random_size(self.random_bytes)
            .allow_tcp(false)
            .allow_udp(false)
            .allow_ip_name_lookup(false);
        let mut wasi = builder.build();
        *wasi.filesystem() = self.filesystem.clone();
        wasi
    }
}

/// Reads and opens all that a service is granted.
///
/// # Errors
/// If this machine lacks something that the manifest names.
pub(crate) fn grant(
    service: &Service,
    source: &Source,
    name: Arc<str>,
    revision: u32,
    sink: Sink,
    lobby: Arc<Buffers>,
) -> Result<Arc<Granted>, GrantError> {
    let grants = &service.grants;
    let limits = &service.limits;
    let log_limits = GuestLogLimits {
        bytes_per_second: limits.log_rate.as_u64(),
        burst: limits.log_rate.as_u64(),
        line: limits.log_line.as_usize(),
    };
    let arguments = std::iter::once(name.to_string())
        .chain(grants.args.iter().map(|argument| argument.value.clone()));
    let mut secrets = Vec::new();
    let mut values = |table: &str, granted: &BTreeMap<String, Spanned<GrantedValue>>| {
        let mut values = Vec::new();
        for (key, Spanned { value: granted, .. }) in granted {
            let what = format!("grants.{table}.{key} of `{name}`");
            let text = value(&what, &granted.from, source)?;
            if granted.secret {
                secrets.push(text.clone());
            }
            values.push((key.clone(), text));
        }
        Ok::<_, GrantError>(values)
    };
    let environment = values("environment", &grants.environment)?;
    let config = values("config", &grants.config)?.into_iter().collect();
    let secrets = Secrets::new(secrets.iter().map(String::as_str));
    Ok(Arc::new(Granted {
        environment,
        config,
        arguments: arguments.collect(),
        filesystem: directories(&grants.directories, source)?,
        files: OpenFiles::new(limits.files as usize),
        outgoing: (!grants.http.is_empty()).then(|| outgoing(service, name.clone(), lobby)),
        log: GuestLog::new(sink, name, revision, log_limits, secrets),
        forbidden_headers: Arc::new(is_forbidden),
        random_bytes: RANDOM_BYTES,
    }))
}

fn outgoing(service: &Service, name: Arc<str>, buffers: Arc<Buffers>) -> OutgoingClient {
    let limits = &service.limits.outgoing;
    OutgoingClient::new(OutgoingPolicy {
        service: name,
        origins: service
            .grants
            .http
            .iter()
            .map(|origin| origin.value.clone())
            .collect(),
        limits: OutgoingLimits {
            connect_timeout: limits.connect_timeout,
            first_byte_timeout: limits.first_byte_timeout,
            between_bytes_timeout: limits.between_bytes_timeout,
            response_headers: limits.headers.as_usize(),
            concurrency: limits.concurrency as usize,
            idle_connections: limits.idle as usize,
            ..OutgoingLimits::default()
        },
        buffers,
    })
}

/// The optional interfaces that a service's linker has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Linked {
    /// `wasi:http/outgoing-handler`, `wasi:http/client`: some origin is granted.
    pub outgoing_http: bool,
    /// `wasi:config`: some key is granted.
    pub config: bool,
}

/// The linkers of one engine, one for each set of optional interfaces, made when first needed.
pub struct Linkers {
    kind: Kind,
    engine: Engine,
    made: parking_lot::Mutex<HashMap<Linked, Arc<Linker<GuestState>>>>,
}

impl Linkers {
    /// No linker yet.
    pub fn new(kind: Kind, engine: &Engine) -> Linkers {
        Linkers {
            kind,
            engine: engine.clone(),
            made: parking_lot::Mutex::default(),
        }
    }

    /// The linker with the host functions for `linked`.
    ///
    /// # Errors
    /// Only if two host interfaces clash, which is a bug.
    pub fn get(&self, linked: Linked) -> wasmtime::Result<Arc<Linker<GuestState>>> {
        if let Some(linker) = self.made.lock().get(&linked) {
            return Ok(linker.clone());
        }
        let linker = Arc::new(link(self.kind, &self.engine, linked)?);
        Ok(self.made.lock().entry(linked).or_insert(linker).clone())
    }
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

fn link(kind: Kind, engine: &Engine, linked: Linked) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    link_0_2(&mut linker, linked)?;
    if kind == Kind::Concurrent {
        link_0_3(&mut linker, linked)?;
    }
    files::link(kind, &mut linker)?;
    logging::link(&mut linker)?;
    if linked.config {
        config::link(&mut linker)?;
    }
    #[cfg(feature = "testing")]
    testing::link(&mut linker)?;
    Ok(linker)
}

/// `wasmtime_wasi::p2::add_to_linker_async`, but for `wasi:io`, which takes the resource table
/// alone: reading a body must not make a WASI context that nobody needs.
fn link_0_2(l: &mut Linker<GuestState>, linked: Linked) -> wasmtime::Result<()> {
    use wasmtime_wasi::p2::bindings::{self, cli, clocks, filesystem, random, sockets};
    type S = GuestState;

    let table: fn(&mut S) -> &mut ResourceTable = GuestState::table;
    wasmtime_wasi_io::bindings::wasi::io::error::add_to_linker::<S, HasTable>(l, table)?;
    wasmtime_wasi_io::bindings::wasi::io::poll::add_to_linker::<S, HasTable>(l, table)?;

    clocks::wall_clock::add_to_linker::<S, WasiClocks>(l, S::clocks)?;
    clocks::monotonic_clock::add_to_linker::<S, WasiClocks>(l, S::clocks)?;
    random::random::add_to_linker::<S, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    random::insecure::add_to_linker::<S, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    random::insecure_seed::add_to_linker::<S, WasiRandom>(l, |s| s.ctx().ctx.random())?;
    cli::exit::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::environment::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::stdin::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::stdout::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::stderr::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::terminal_input::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::terminal_output::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::terminal_stdin::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::terminal_stdout::add_to_linker::<S, WasiCli>(l, S::cli)?;
    cli::terminal_stderr::add_to_linker::<S, WasiCli>(l, S::cli)?;

    // Language runtimes import files and sockets whether the program uses them or not. They are
    // linked, with no directory but the granted ones, and with every address denied.
    filesystem::preopens::add_to_linker::<S, WasiFilesystem>(l, S::filesystem)?;
    filesystem::types::add_to_linker::<S, WasiFilesystem>(l, S::filesystem)?;
    let options = bindings::LinkOptions::default();
    sockets::network::add_to_linker::<S, WasiSockets>(l, &(&options).into(), S::sockets)?;
    sockets::instance_network::add_to_linker::<S, WasiSockets>(l, S::sockets)?;
    sockets::ip_name_lookup::add_to_linker::<S, WasiSockets>(l, S::sockets)?;
    sockets::tcp::add_to_linker::<S, WasiSockets>(l, S::sockets)?;
    sockets::tcp_create_socket::add_to_linker::<S, WasiSockets>(l, S::sockets)?;
    sockets::udp::add_to_linker::<S, WasiSockets>(l, S::sockets)?;
    sockets::udp_create_socket::add_to_linker::<S, WasiSockets>(l, S::sockets)?;

    wasi::link(l)?;
    if linked.outgoing_http {
        wasi::link_client(l)?;
    }
    Ok(())
}

fn link_0_3(l: &mut Linker<GuestState>, linked: Linked) -> wasmtime::Result<()> {
    use wasmtime_wasi_http::p3::bindings::http;
    type S = GuestState;

    wasmtime_wasi::p3::add_to_linker(l)?;
    http::types::add_to_linker::<S, WasiHttp>(l, S::http)?;
    if linked.outgoing_http {
        http::client::add_to_linker::<S, WasiHttp>(l, S::http)?;
    }
    Ok(())
}
