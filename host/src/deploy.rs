//! From a manifest to revisions that are ready to open: read, check, compile, link.
//!
//! Before it: `cli` names a manifest or a component. After it: `supervisor` starts what is built
//! here. Everything that can be known to be wrong is found before anything starts, all at once.

mod aside;
mod bench;
mod build;
mod change;
mod change_error;
mod check;
mod difference;
mod entry;
mod handover;
mod hands;
mod http;
mod ledger;
mod links;
mod machinery;
mod member;
mod probation;
mod progress;
mod recipe;
mod records;
mod resume;
mod running;
mod shadow;
mod trial;
mod unfit;
mod witness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skep_core::change::Application as Changing;
use skep_core::contract::Interface;
use skep_core::instances::HandlerKind;
use skep_core::lifecycle;
use skep_core::manifest::{Manifest, Mistake, Service};
use skep_core::name::ServiceName;

pub use self::aside::{AsideError, LendError};
pub use self::build::{Order, build};
pub use self::change::{Changed, ServiceChange};
pub use self::change_error::ChangeError;
pub use self::difference::ContractChange;
pub use self::handover::HandoverError;
pub use self::hands::Hands;
pub(crate) use self::http::connection_limits;
pub use self::ledger::{Ledger, LedgerError};
use self::links::starts_after;
pub use self::links::{Link, Links};
pub use self::machinery::{Machinery, MachineryError};
pub use self::progress::{Progress, StepBegun};
pub use self::records::Records;
pub use self::resume::{OpenError, Opened, Resumption, open};
pub(crate) use self::running::rows;
pub use self::running::{Running, Unwritten, Wanted};
pub use self::trial::{Canary, Tried};
use crate::artifact::{Artifact, Description, Digest, GrantNeeded, ItemKind, Role};
use crate::capability::Linked;
use crate::engine::Kind;
pub use skep_core::change::Shadowing;

/// A manifest with its components, found fit to be built.
#[derive(Clone, Debug)]
pub struct Application {
    /// What the manifest says.
    pub manifest: Manifest,
    /// Where it says so, for errors.
    pub source: Source,
    /// The services' components.
    pub parts: BTreeMap<ServiceName, Part>,
    /// Who calls whom.
    pub links: Links,
    /// What works but is probably not meant.
    pub warnings: Vec<Mistake>,
    /// The manifests that services have their settings from, where that is another.
    pub(crate) texts: BTreeMap<ServiceName, Arc<str>>,
}

impl Application {
    /// The same with another component for one service, which is checked against all others.
    ///
    /// # Errors
    /// If there is no such service, or all mistakes at once.
    pub fn with_component(
        &self,
        service: &ServiceName,
        component: Artifact,
    ) -> Result<Application, DeployError> {
        let Some(settings) = self.manifest.services.get(service) else {
            return Err(DeployError::NoService(service.clone()));
        };
        let mut settings = settings.clone();
        settings.component.value = component.path().to_owned();
        self.with_service(settings, component)
    }

    /// The same with other components for these services, which are checked against each other and
    /// all others. Their settings stay, also where they say that the component lies.
    ///
    /// # Errors
    /// If there is no such service, or all mistakes at once.
    pub(crate) fn with_components(
        &self,
        components: &BTreeMap<ServiceName, Artifact>,
    ) -> Result<Application, DeployError> {
        let services = &self.manifest.services;
        match components.keys().find(|name| !services.contains_key(*name)) {
            Some(unknown) => Err(DeployError::NoService(unknown.clone())),
            None => self.assembled(self.manifest.clone(), components),
        }
    }

    /// The same with one service as another application had it: its component, its settings and how
    /// its calls are treated.
    ///
    /// # Errors
    /// All mistakes at once.
    pub(crate) fn with_service_of(
        &self,
        earlier: &Application,
        service: &ServiceName,
    ) -> Result<Application, DeployError> {
        let Some(part) = earlier.parts.get(service) else {
            return Err(DeployError::NoService(service.clone()));
        };
        let (manifest, text) = (&earlier.manifest, earlier.text_for(service));
        self.with_recorded(service, manifest, text, part.artifact.clone())
    }

    /// The same with one service as an earlier manifest had it, whose text is this, and with this
    /// component.
    ///
    /// # Errors
    /// All mistakes at once.
    pub(crate) fn with_recorded(
        &self,
        service: &ServiceName,
        earlier: &Manifest,
        text: &str,
        component: Artifact,
    ) -> Result<Application, DeployError> {
        let Some(settings) = earlier.services.get(service) else {
            return Err(DeployError::NoService(service.clone()));
        };
        let mut settings = settings.clone();
        if let Some(now) = self.manifest.services.get(service) {
            // Mistakes are shown in the present text.
            settings.name = now.name.clone();
            settings.places = now.places.clone();
            settings.component.span = now.component.span.clone();
        }
        let mut wanted = self.clone();
        if text == self.source.text {
            wanted.texts.remove(service);
        } else {
            wanted.texts.insert(service.clone(), text.into());
        }
        let links = &mut wanted.manifest.links;
        links.retain(|(caller, _), _| caller != service);
        let of_service = earlier.links.iter().filter(|((caller, callee), _)| {
            caller == service && self.manifest.services.contains_key(callee)
        });
        links.extend(of_service.map(|(pair, policy)| (pair.clone(), policy.clone())));
        wanted.with_service(settings, component)
    }

    fn with_service(
        &self,
        settings: Service,
        component: Artifact,
    ) -> Result<Application, DeployError> {
        let mut manifest = self.manifest.clone();
        let service = settings.name.value.clone();
        manifest.services.insert(service.clone(), settings);
        self.assembled(manifest, &BTreeMap::from([(service, component)]))
    }

    /// Of this manifest, with the present components but for these.
    fn assembled(
        &self,
        manifest: Manifest,
        others: &BTreeMap<ServiceName, Artifact>,
    ) -> Result<Application, DeployError> {
        let artifact = |name: &ServiceName| {
            let present = self.parts.get(name).map(|part| &part.artifact);
            others.get(name).or(present).cloned().map(Ok)
        };
        let artifacts = manifest.services.keys().filter_map(artifact).collect();
        let application = check::assemble(manifest, self.source.clone(), artifacts)?;
        Ok(Application {
            texts: self.texts.clone(),
            ..application
        })
    }

    /// What each service's component is.
    pub(crate) fn digests(&self) -> BTreeMap<ServiceName, Digest> {
        let parts = self.parts.iter();
        parts
            .map(|(name, part)| (name.clone(), part.artifact.digest()))
            .collect()
    }

    /// The manifest that a service has its settings from.
    pub(crate) fn text_for(&self, service: &ServiceName) -> &str {
        let text = self.texts.get(service);
        text.map_or(&self.source.text, |text| text)
    }

    /// Gives back the memory of what has been compiled.
    pub(crate) fn forget_bytes(&self) {
        for part in self.parts.values() {
            part.artifact.forget_bytes();
        }
    }
}

impl Changing for Application {
    fn services(&self) -> impl Iterator<Item = ServiceName> {
        self.manifest.services.keys().cloned()
    }

    fn component(&self, service: &ServiceName) -> Option<Digest> {
        let part = self.parts.get(service)?;
        Some(part.artifact.digest())
    }

    fn drain_timeout(&self) -> Duration {
        self.manifest.http.drain_timeout
    }
}

/// A text and where it is from, for errors that show lines of it.
#[derive(Clone, Debug, Default, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Source {
    /// The file.
    #[schema(value_type = String)]
    pub path: PathBuf,
    /// What it says.
    pub text: String,
}

/// One service's component.
#[derive(Clone, Debug)]
pub struct Part {
    /// The component.
    pub artifact: Artifact,
    /// How it is run.
    pub role: Runs,
    /// The optional interfaces that it is granted.
    pub linked: Linked,
    /// What each of its imports takes.
    pub needs: Vec<GrantNeeded>,
}

impl Part {
    /// The engine that it needs. A component of WASI 0.2 may import something of 0.3 all the same.
    pub fn engine(&self) -> Kind {
        match self.role {
            Runs::Handler(HandlerKind::Async) => Kind::Concurrent,
            _ if self.artifact.description().concurrent => Kind::Concurrent,
            Runs::Handler(HandlerKind::Sync) | Runs::Provider | Runs::Worker => Kind::Serial,
        }
    }
}

impl Part {
    /// The interfaces of its own that it exports, whose functions can be called. Those of WASI are
    /// between a component and the host.
    pub fn interfaces(&self) -> impl Iterator<Item = &Interface> {
        let exports = &self.artifact.description().contract.exports;
        exports.iter().filter(|export| {
            !export.name.text().starts_with("wasi:") && !export.functions.is_empty()
        })
    }
}

/// How a component is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// It handles requests. It may answer calls of other services as well.
    Handler(HandlerKind),
    /// It answers calls of other services.
    Provider,
    /// It is a program.
    Worker,
}

impl Runs {
    /// What its exports make of it; none if there is nothing to run.
    pub fn of(description: &Description) -> Option<Runs> {
        match description.role {
            Role::HttpHandler02 => Some(Runs::Handler(HandlerKind::Sync)),
            Role::HttpHandler03 => Some(Runs::Handler(HandlerKind::Async)),
            Role::Worker => Some(Runs::Worker),
            Role::Library => {
                let callable = |item: &crate::artifact::Item| {
                    item.kind == ItemKind::Interface && !item.functions.is_empty()
                };
                let mut exports = description.exports.iter();
                exports.any(callable).then_some(Runs::Provider)
            }
        }
    }

    /// What it is to its supervisor.
    pub fn kind(self) -> lifecycle::Kind {
        match self {
            Runs::Handler(_) => lifecycle::Kind::Http,
            Runs::Provider => lifecycle::Kind::Provider,
            Runs::Worker => lifecycle::Kind::Worker,
        }
    }
}

/// Why a manifest is not run.
#[derive(Debug, thiserror::Error)]
pub enum DeployError {
    /// The manifest itself cannot be read.
    #[error("cannot read the manifest {}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A component cannot be read.
    #[error(transparent)]
    Component(crate::artifact::ArtifactError),
    /// There is no such service.
    #[error("there is no service `{0}`")]
    NoService(ServiceName),
    /// It has had no such revision, or it has not been kept.
    #[error("`{service}` has {}", wanted(*revision))]
    NoRevision {
        /// Which.
        service: ServiceName,
        /// None: any before the present one.
        revision: Option<u32>,
    },
    /// It has mistakes; to be shown with the text.
    #[error("{} has {}", source_text.path.display(), count(mistakes.len()))]
    Mistakes {
        /// The text that they point into.
        source_text: Source,
        /// All of them, in the order of the text.
        mistakes: Vec<Mistake>,
        /// What else was noticed.
        warnings: Vec<Mistake>,
    },
}

fn wanted(revision: Option<u32>) -> String {
    match revision {
        Some(revision) => format!("no revision {revision} any more"),
        None => "no earlier revision".to_owned(),
    }
}

fn count(mistakes: usize) -> String {
    match mistakes {
        1 => "a mistake".to_owned(),
        n => format!("{n} mistakes"),
    }
}

/// Reads a manifest and its components and checks one against the other. Compiles nothing.
///
/// # Errors
/// All mistakes at once, each with its place in the manifest.
pub fn read(path: &Path) -> Result<Application, DeployError> {
    let (manifest, source) = read_manifest(path)?;
    check::components(manifest, source)
}

pub(crate) fn read_manifest(path: &Path) -> Result<(Manifest, Source), DeployError> {
    let unreadable = |source| DeployError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let size = std::fs::metadata(path).map_err(unreadable)?.len();
    if size > skep_core::manifest::MANIFEST_BYTES_MAX as u64 {
        let large = format!("it has {size} bytes, which no manifest needs");
        return Err(unreadable(std::io::Error::other(large)));
    }
    let text = std::fs::read_to_string(path).map_err(unreadable)?;
    let source = Source {
        path: path.to_owned(),
        text,
    };
    match Manifest::parse(&source.text) {
        Ok(manifest) => Ok((manifest, source)),
        Err(mistakes) => Err(DeployError::Mistakes {
            source_text: source,
            mistakes,
            warnings: vec![],
        }),
    }
}

/// The application of one component without a manifest: every path leads to it.
///
/// # Errors
/// If the component cannot be run.
pub fn single(component: &Path, manifest_text: String) -> Result<Application, DeployError> {
    let source = Source {
        path: component.to_owned(),
        text: manifest_text,
    };
    match Manifest::parse(&source.text) {
        Ok(manifest) => check::components(manifest, source),
        Err(mistakes) => Err(DeployError::Mistakes {
            source_text: source,
            mistakes,
            warnings: vec![],
        }),
    }
}

/// A path of the manifest, relative to the manifest's own directory.
pub(crate) fn resolve(source: &Source, path: &Path) -> PathBuf {
    match source.path.parent() {
        Some(base) => base.join(path),
        None => path.to_owned(),
    }
}

/// The directory of what outlives the process.
pub(crate) fn state_directory(application: &Application) -> PathBuf {
    state_directory_of(&application.manifest, &application.source)
}

pub(crate) fn state_directory_of(manifest: &Manifest, source: &Source) -> PathBuf {
    let state = manifest.host.state.as_ref();
    let state = state.map_or_else(|| PathBuf::from(".skep"), |state| state.value.clone());
    resolve(source, &state)
}

/// How many instances the service may have at once.
pub(crate) fn most_instances(service: &Service, part: &Part) -> u32 {
    match part.role {
        Runs::Handler(kind) => service.instances.for_handler(kind).max,
        Runs::Provider => service.instances.for_handler(HandlerKind::Sync).max,
        Runs::Worker => 1,
    }
}

/// An error with its causes, as one text.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    crate::log::chain(error).to_string()
}
