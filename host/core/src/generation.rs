//! A generation as it is recorded: all that a host needs to serve it again after a crash.
//!
//! The record is self-contained but for the components' bytes, which it names by their digests. It
//! keeps manifests as texts, so that a later host reads them with its own rules and defaults.
//! [`resume`] decides what serves when a host starts with a record and with files that have changed
//! since.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::name::ServiceName;

mod resume;

pub use resume::{Found, Resumed, Source, Why, resume};

/// The form in which generations are written. A host reads older ones, never newer ones.
pub const FORMAT: u32 = 1;

/// The application's whole desired state: numbered, immutable, durable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Generation {
    /// From 1; a later generation has a greater number.
    pub number: u64,
    /// Milliseconds since 1970 (UTC).
    pub made_ms: u64,
    pub reason: Reason,
    /// Where the manifest was read, for people.
    pub path: String,
    /// What says routes, groups, links and the settings of the listener.
    pub manifest: Digest,
    pub services: BTreeMap<ServiceName, Placed>,
    /// What the manifest and its files were when they were last applied.
    pub base: Base,
    /// Each manifest that is named in here, by its text's digest. Mostly one: after a rollback of one
    /// service, that of the revision which it went back to as well.
    pub manifests: BTreeMap<Digest, String>,
}

/// What led to a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Reason {
    /// The host started, and what it found differed from what was recorded.
    Start,
    /// A manifest was applied.
    Apply,
    /// One service got another component.
    Deploy { service: ServiceName },
    /// Several services got other components, by one switch.
    DeployTogether { services: Vec<ServiceName> },
    /// One service went back to an earlier revision.
    Rollback {
        service: ServiceName,
        /// The operator's word, or what a candidate's probation found.
        because: String,
    },
    /// The whole application went back to an earlier generation.
    Restore { generation: u64, because: String },
}

/// One service in a generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Placed {
    /// From 1; unique for the service.
    pub revision: u32,
    /// What the component is.
    pub component: Digest,
    /// What the manifest says, or where it was deployed from, for people.
    pub component_path: String,
    /// The manifest whose entry of the service has the revision's settings.
    pub manifest: Digest,
}

/// What lay on disk when the manifest was last applied: with this one can tell what has been changed
/// there since from what has been deployed since.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Base {
    pub manifest: Digest,
    /// What each component's file was.
    pub components: BTreeMap<ServiceName, Digest>,
}

/// Why a record cannot be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BadGeneration {
    #[error(
        "this generation was recorded by a later version of Skep (format {found}; this one reads up to {FORMAT}): \
         run that version, or a later one"
    )]
    Newer { found: u32 },
    #[error("this record of a generation is damaged: {0}")]
    Damaged(#[from] serde_json::Error),
    #[error(
        "this record of a generation is damaged: it names the manifest {0:?} and does not have it"
    )]
    NoManifest(Digest),
    #[error("this record of a generation is damaged: the manifest {0:?} has another digest")]
    OtherManifest(Digest),
}

#[derive(Deserialize)]
struct Format {
    format: u32,
}

#[derive(Serialize)]
struct Written<'a> {
    format: u32,
    #[serde(flatten)]
    generation: &'a Generation,
}

impl Generation {
    /// The record as JSON, with its format.
    pub fn to_json(&self) -> String {
        let written = Written {
            format: FORMAT,
            generation: self,
        };
        // Only paths and maps whose keys are no texts can fail to be written, and there are none.
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads a record, and makes sure that it has all that it names.
    ///
    /// # Errors
    /// If it is damaged, or of a later format; the latter says what to do.
    pub fn from_json(json: &str) -> Result<Self, BadGeneration> {
        // First of all, as a later format may have any shape beside.
        let Format { format } = serde_json::from_str(json)?;
        if format > FORMAT {
            return Err(BadGeneration::Newer { found: format });
        }
        let mut value: serde_json::Value = serde_json::from_str(json)?;
        if let Some(fields) = value.as_object_mut() {
            fields.remove("format");
        }
        let generation: Self = serde_json::from_value(value)?;
        for named in generation.named_manifests() {
            match generation.manifests.get(&named) {
                None => return Err(BadGeneration::NoManifest(named)),
                Some(text) if Digest::of(text.as_bytes()) != named => {
                    return Err(BadGeneration::OtherManifest(named));
                }
                Some(_) => {}
            }
        }
        Ok(generation)
    }

    /// Adds the text of a manifest, and says how to name it.
    pub fn keep_manifest(&mut self, text: &str) -> Digest {
        let digest = Digest::of(text.as_bytes());
        self.manifests
            .entry(digest)
            .or_insert_with(|| text.to_owned());
        digest
    }

    /// The text that says routes, groups, links and the settings of the listener.
    pub fn text(&self) -> &str {
        self.text_of(&self.manifest)
    }

    /// The text whose entry of `service` has its settings; that of the whole for another service.
    pub fn text_for(&self, service: &ServiceName) -> &str {
        let placed = self.services.get(service);
        self.text_of(placed.map_or(&self.manifest, |placed| &placed.manifest))
    }

    /// The components that must be kept for this generation.
    pub fn components(&self) -> impl Iterator<Item = Digest> {
        self.services.values().map(|placed| placed.component)
    }

    fn text_of(&self, manifest: &Digest) -> &str {
        self.manifests.get(manifest).map_or("", String::as_str)
    }

    fn named_manifests(&self) -> impl Iterator<Item = Digest> {
        let settings = self.services.values().map(|placed| placed.manifest);
        [self.manifest, self.base.manifest]
            .into_iter()
            .chain(settings)
    }
}

#[cfg(test)]
mod tests;
