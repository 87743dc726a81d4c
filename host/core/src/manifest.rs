//! `skep.toml`: the one text that describes an application, read into checked nouns or into all of
//! its mistakes at once.
//!
//! The story: [`file`] holds the raw shape, from which the schema and the reference are generated;
//! [`read`] fills it value by value from spanned TOML and notes each mistake; [`check`] turns it into
//! the nouns below and finds what only shows when all is known (unknown services, conflicts).
//! [`settings`] takes those apart again, key by key, so that two manifests can be compared.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use crate::core_dump::CoreDumps;
use crate::grant::Grants;
use crate::health::Health;
use crate::instances::InstancePolicy;
use crate::limits::{HttpLimits, ServiceLimits};
use crate::link::LinkPolicy;
use crate::name::{AppName, GroupName, ServiceName};
use crate::probation::Probation;
use crate::restart::RestartPolicy;
use crate::route::RouteSpec;
use crate::size::ByteSize;
pub use crate::spanned::Spanned;
use crate::supervision::{GroupPolicy, Strategy};
use crate::watched::Watched;

mod check;
mod file;
mod leaf;
mod mistake;
pub mod network;
mod read;
pub mod schema;
pub mod settings;
mod suggest;

pub use mistake::Mistake;
pub use network::Network;

/// The listener's address when the manifest names none: reachable from this machine alone.
pub const LISTEN: &str = "127.0.0.1:8080";
/// A longer manifest is not written by hand; reading stays far below a second.
pub const MANIFEST_BYTES_MAX: usize = 4 << 20;
/// What one host is built for.
pub const SERVICES_MAX: usize = 10_000;

/// A checked manifest: whatever it says can be acted on without another look at its text.
#[derive(Debug, Clone, PartialEq)]
pub struct Manifest {
    pub name: AppName,
    pub http: Http,
    pub host: HostSettings,
    pub services: BTreeMap<ServiceName, Service>,
    pub groups: BTreeMap<GroupName, Group>,
    /// Caller and callee → how its calls are treated; both are services of this manifest. Whether
    /// the one calls the other shows only when their components are known.
    pub links: BTreeMap<(ServiceName, ServiceName), Spanned<LinkPolicy>>,
    /// All routes, from `routes` and `[[route]]`, without conflicts; in no promised order.
    pub routes: Vec<Route>,
    /// What works but is probably not meant.
    pub warnings: Vec<Mistake>,
}

impl Manifest {
    /// Reads the text of a manifest. All mistakes come at once, in the order of the text. Never
    /// panics, whatever the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Mistake>> {
        check::parse(text)
    }

    /// How calls of the one to the other are treated: what is written, or the defaults.
    pub fn link_policy(&self, caller: &ServiceName, callee: &ServiceName) -> LinkPolicy {
        let written = self.links.get(&(caller.clone(), callee.clone()));
        written.map_or_else(LinkPolicy::default, |policy| policy.value.clone())
    }

    /// What works but is probably not meant.
    pub fn warnings(&self) -> &[Mistake] {
        &self.warnings
    }
}

/// `[http]`: how the outside reaches the application.
#[derive(Debug, Clone, PartialEq)]
pub struct Http {
    /// At least one; no address twice. Port 0 lets the system choose.
    pub listen: Vec<Spanned<SocketAddr>>,
    pub tls: Option<Tls>,
    /// Peers whose `forwarded` and `x-forwarded-*` fields are believed.
    pub trusted_proxies: Vec<Network>,
    /// Whether each request is written to the log.
    pub access_log: bool,
    /// Whether its line tells of the calls between services that it led to.
    pub log_calls: bool,
    pub limits: HttpLimits,
    /// What requests under way get when the host stops.
    pub drain_timeout: Duration,
}

/// `http.tls` and `host.control.tls`: PEM files, relative to the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tls {
    pub cert: Spanned<PathBuf>,
    pub key: Spanned<PathBuf>,
}

/// `[host]`: settings of the whole process. What is absent is derived from the machine.
#[derive(Debug, Clone, PartialEq)]
pub struct HostSettings {
    /// Memory of all guests together, with what the host holds for them.
    pub memory: Option<Spanned<ByteSize>>,
    /// Memory of the machine that must stay free for new requests to be taken.
    pub memory_reserve: Option<ByteSize>,
    /// Instances of all services together.
    pub instances: Option<Spanned<u32>>,
    /// Threads that serve requests.
    pub threads: Option<Spanned<u32>>,
    /// Native stack of one call, for all services.
    pub stack: ByteSize,
    /// Directory of compiled components.
    pub cache: Option<Spanned<PathBuf>>,
    /// Directory of what outlives the process.
    pub state: Option<Spanned<PathBuf>>,
    /// The control API over TCP.
    pub control: Option<ControlSettings>,
}

/// `host.control`: files are relative to the manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ControlSettings {
    pub listen: Spanned<SocketAddr>,
    /// What requests have to show.
    pub token_file: Spanned<PathBuf>,
    pub tls: Option<Tls>,
}

/// `[service.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Service {
    pub name: Spanned<ServiceName>,
    /// The `.wasm` file, relative to the manifest.
    pub component: Spanned<PathBuf>,
    pub build: Option<Build>,
    /// Interface → the service that exports it; each names a service of this manifest.
    pub links: BTreeMap<String, Spanned<ServiceName>>,
    /// Services that it starts after; each is one of this manifest, and there is no cycle, the
    /// groups' order included.
    pub after: Vec<Spanned<ServiceName>>,
    pub instances: InstancePolicy,
    pub limits: ServiceLimits,
    pub restart: RestartPolicy,
    /// Whether crashes leave core dumps.
    pub core_dumps: Option<CoreDumps>,
    /// How a new revision is watched.
    pub probation: Probation,
    pub health: Option<Spanned<Health>>,
    /// What calls under way get when the service stops.
    pub stop_timeout: Duration,
    pub grants: Grants,
    /// Where each key of the service was written; see [`Self::span_of`].
    pub places: Places,
}

impl Service {
    /// Where the manifest says `key` (dotted, relative to the service: `"limits.memory"`,
    /// `"grants.http"`, `"instances.concurrent"`), or else the nearest table around it: the best
    /// place for a mistake that shows only when the component is known.
    pub fn span_of(&self, key: &str) -> Range<usize> {
        self.places.nearest(key).unwrap_or(self.name.span.clone())
    }

    /// True if the manifest says `key` for this service (dotted as for [`Self::span_of`]).
    pub fn says(&self, key: &str) -> bool {
        self.places.0.contains_key(key)
    }
}

/// `[group.NAME]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    pub name: Spanned<GroupName>,
    /// At least one, in the order in which they start; each is a service of this manifest that is in
    /// no other group.
    pub services: Vec<Spanned<ServiceName>>,
    pub strategy: Strategy,
    pub policy: GroupPolicy,
}

/// Dotted keys and where they were written. Two are always equal: places are not settings.
#[derive(Clone, Default)]
pub struct Places(BTreeMap<String, Range<usize>>);

impl Places {
    fn nearest(&self, key: &str) -> Option<Range<usize>> {
        let mut key = key;
        loop {
            if let Some(span) = self.0.get(key) {
                return Some(span.clone());
            }
            key = key.rsplit_once('.')?.0;
        }
    }
}

impl PartialEq for Places {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl std::fmt::Debug for Places {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} places", self.0.len())
    }
}

/// `build`: how the component is made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Build {
    /// Run by the shell in the manifest's directory.
    pub command: Spanned<String>,
    /// What asks for a new build when it changes.
    pub watch: Vec<Spanned<Watched>>,
}

/// One route, from a service's `routes` or from `[[route]]`.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Host, path and methods; the span is that of the path, or of the whole `[[route]]`.
    pub spec: Spanned<RouteSpec>,
    /// A service of this manifest.
    pub service: Spanned<ServiceName>,
    /// The deadline of calls by this route, instead of the service's.
    pub timeout: Option<Duration>,
}
