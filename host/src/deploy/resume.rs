//! What a host starts with: what was acknowledged last, but for what has been changed on disk since.
//! `skep_core::generation` decides it, service by service; this reads what there is and puts it
//! together.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use skep_core::generation::{self, Found, Generation, Resumed, Why};
use skep_core::manifest::{Manifest, Service};
use skep_core::name::ServiceName;

use super::ledger::{Applied, Ledger};
use super::{Application, DeployError, Source, check, read_manifest, state_directory_of};
use crate::artifact::{Artifact, ArtifactError, Digest};
use crate::journal::{Journal, JournalError, Retention};

/// Why a host does not start.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The manifest or a component.
    #[error(transparent)]
    Deploy(#[from] DeployError),
    /// The state directory.
    #[error("cannot use the state directory")]
    Journal(#[from] JournalError),
}

/// An application with all that was written down of it.
pub struct Opened {
    /// What is to serve.
    pub application: Application,
    /// Where it goes from here.
    pub resumption: Resumption,
}

/// What was written down of an application.
pub struct Resumption {
    pub(super) ledger: Ledger,
    pub(super) applied: Applied,
    /// What was acknowledged last.
    pub(super) last: Option<Generation>,
    /// The numbers of the revisions that go on as they were.
    pub(super) revisions: BTreeMap<ServiceName, u32>,
}

/// Reads a manifest with its components, and what has become of them since in its state directory,
/// which belongs to this process from then on. Blocking.
///
/// # Errors
/// All mistakes at once; or if the state directory cannot be used, by another host's doing or for
/// want of understanding it. One that cannot be written is told of in the log, and serves.
pub fn open(path: &Path) -> Result<Opened, OpenError> {
    let (manifest, source) = read_manifest(path)?;
    let state = state_directory_of(&manifest, &source);
    let journal = Journal::open(&state, Retention::default())?;
    if let Some(trouble) = journal.trouble() {
        tracing::warn!("nothing can be deployed, and nothing is written down: {trouble}");
    }
    let ledger = Ledger::new(journal);
    ledger.undo_unfinished()?;
    if ledger.journal().trouble().is_none() {
        // What the host before has left half-written is nobody's.
        ledger.tidy();
    }
    let files = check::load(&manifest, &source);
    let Some(last) = ledger.journal().active()? else {
        let application = check::assemble(manifest, source, files)?;
        return Ok(Opened {
            resumption: Resumption {
                applied: Applied::of(&application),
                ledger,
                last: None,
                revisions: BTreeMap::new(),
            },
            application,
        });
    };
    Ok(go_on(manifest, source, files, ledger, last)?)
}

fn go_on(
    mut manifest: Manifest,
    source: Source,
    files: Vec<Result<Artifact, ArtifactError>>,
    ledger: Ledger,
    last: Generation,
) -> Result<Opened, DeployError> {
    let names: Vec<ServiceName> = manifest.services.keys().cloned().collect();
    let found = names.iter().zip(&files);
    let found: BTreeMap<ServiceName, Digest> = found
        .filter_map(|(name, file)| Some((name.clone(), file.as_ref().ok()?.digest())))
        .collect();
    if is_untouched(&last, &source, &found)
        && let Some(opened) = as_recorded(&source, &ledger, &last, &found)
    {
        return opened;
    }
    let resumed = generation::resume(
        &last,
        Found {
            text: &source.text,
            manifest: &manifest,
            components: &found,
        },
    );
    let mut revisions = BTreeMap::new();
    let mut texts: BTreeMap<ServiceName, Arc<str>> = BTreeMap::new();
    let mut artifacts = Vec::new();
    for (name, file) in names.iter().zip(files) {
        let Some(how) = resumed.get(name) else {
            artifacts.push(file);
            continue;
        };
        tell(name, how);
        let mut revision = how.kept(name, &last).map(|placed| placed.revision);
        if how.settings == generation::Source::Record {
            match recorded_settings(&last, name, &source, &mut manifest) {
                Some(text) => texts.extend(text.map(|text| (name.clone(), text))),
                None => revision = None,
            }
        }
        let recorded = match how.component {
            generation::Source::Record => recorded_component(&ledger, &last, name),
            generation::Source::Disk => None,
        };
        let artifact = recorded.map_or(file, Ok);
        // Where the store has lost it, the file may be the same, wherever it lies.
        let revision = revision.filter(|_| is_recorded(&artifact, &last, name));
        revisions.extend(revision.map(|revision| (name.clone(), revision)));
        artifacts.push(artifact);
    }
    let text = source.text.clone();
    let mut application = check::assemble(manifest, source, artifacts)?;
    application.texts = texts;
    Ok(Opened {
        resumption: Resumption {
            applied: Applied::found(&last, &text, found),
            ledger,
            last: Some(last),
            revisions,
        },
        application,
    })
}

/// Whether nothing on disk is another than when the manifest was last applied, or than what was
/// deployed from there since.
fn is_untouched(last: &Generation, source: &Source, files: &BTreeMap<ServiceName, Digest>) -> bool {
    let is_known = |(name, file): (&ServiceName, &Digest)| {
        let placed = last.services.get(name).map(|placed| &placed.component);
        last.base.components.get(name) == Some(file) || placed == Some(file)
    };
    last.base.manifest == Digest::of(source.text.as_bytes()) && files.iter().all(is_known)
}

/// Exactly what was acknowledged, with its own routes and groups; none if it cannot be had any more.
fn as_recorded(
    source: &Source,
    ledger: &Ledger,
    last: &Generation,
    files: &BTreeMap<ServiceName, Digest>,
) -> Option<Result<Opened, DeployError>> {
    let recorded = Source {
        path: source.path.clone(),
        text: last.text().to_owned(),
    };
    let mut manifest = Manifest::parse(&recorded.text).ok()?;
    if !manifest.services.keys().eq(last.services.keys()) {
        return None;
    }
    let mut texts: BTreeMap<ServiceName, Arc<str>> = BTreeMap::new();
    let mut artifacts = Vec::new();
    for name in last.services.keys() {
        let text = recorded_settings(last, name, &recorded, &mut manifest)?;
        texts.extend(text.map(|text| (name.clone(), text)));
        artifacts.push(Ok(recorded_component(ledger, last, name)?));
    }
    let assembled = check::assemble(manifest, recorded, artifacts);
    let revision =
        |(name, placed): (&ServiceName, &generation::Placed)| (name.clone(), placed.revision);
    Some(assembled.map(|application| Opened {
        application: Application {
            texts,
            ..application
        },
        resumption: Resumption {
            ledger: ledger.clone(),
            applied: Applied::found(last, &source.text, files.clone()),
            last: Some(last.clone()),
            revisions: last.services.iter().map(revision).collect(),
        },
    }))
}

fn tell(name: &ServiceName, how: &Resumed) {
    match how.why {
        Why::Unchanged => {}
        _ => tracing::info!(service = %name, "{how}"),
    }
}

fn is_recorded(
    artifact: &Result<Artifact, ArtifactError>,
    last: &Generation,
    name: &ServiceName,
) -> bool {
    let recorded = last.services.get(name).map(|placed| placed.component);
    artifact.as_ref().ok().map(Artifact::digest) == recorded
}

/// Puts the settings that were acknowledged into the manifest, and answers the text that they are
/// from, if that is another; none if they cannot be read any more.
fn recorded_settings(
    last: &Generation,
    name: &ServiceName,
    source: &Source,
    manifest: &mut Manifest,
) -> Option<Option<Arc<str>>> {
    let text = last.text_for(name);
    if text == source.text {
        return Some(None);
    }
    let earlier = Manifest::parse(text).ok()?;
    let mut settings: Service = earlier.services.get(name)?.clone();
    let written = manifest.services.get(name)?;
    // Where it lies, how it is built and where it stands in the file is what is written now.
    settings.component = written.component.clone();
    settings.build.clone_from(&written.build);
    settings.name = written.name.clone();
    settings.places = written.places.clone();
    let same = settings == *written;
    manifest.services.insert(name.clone(), settings);
    Some((!same).then(|| text.into()))
}

/// The component that was acknowledged, from the store.
fn recorded_component(ledger: &Ledger, last: &Generation, name: &ServiceName) -> Option<Artifact> {
    let digest = last.services.get(name)?.component;
    let bytes = match ledger.store().read(digest) {
        Ok(bytes) => bytes,
        Err(error) => {
            tracing::warn!(service = %name, "{error}");
            return None;
        }
    };
    let path = ledger.store().path(digest);
    Artifact::from_bytes(path, bytes).ok()
}
