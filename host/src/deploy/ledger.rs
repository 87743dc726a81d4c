//! What is written down of the application before it serves: so that what was acknowledged serves again
//! after whatever ends the host.
//!
//! Before it: `change` knows what is to serve. After it: `artifact::Store` has the components, and
//! `journal` the generation. All functions block while the disk confirms.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::Value;
use skep_core::change::Tried;
use skep_core::generation::{Base, Generation, Placed, Reason};
use skep_core::manifest::Manifest;
use skep_core::name::ServiceName;

use super::member::Members;
use super::{Application, DeployError};
use crate::artifact::{Artifact, ArtifactError, Digest, Pin, Store, StoreError};
use crate::journal::{Event, Intent, IntentId, Journal, JournalError};

/// Why nothing can be written down.
#[derive(Debug, thiserror::Error)]
pub enum LedgerError {
    /// The journal cannot.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The store of components cannot.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// See the module. Clones share it.
#[derive(Clone)]
pub struct Ledger {
    journal: Journal,
    store: Store,
    /// Held while what nobody needs is collected.
    tidying: Arc<Mutex<()>>,
}

/// A change that has been noted, and is to be settled.
#[derive(Clone)]
pub(super) struct Noted {
    intent: IntentId,
    /// Of each service that gets a new revision.
    pub(super) revisions: BTreeMap<ServiceName, u32>,
}

/// The manifest as it was last applied, with what its files were.
#[derive(Clone, Debug)]
pub(super) struct Applied {
    text: Arc<str>,
    components: BTreeMap<ServiceName, Digest>,
}

impl Applied {
    /// All of it comes from disk.
    pub(super) fn of(application: &Application) -> Applied {
        let digest =
            |(name, part): (&ServiceName, &super::Part)| (name.clone(), part.artifact.digest());
        Applied {
            text: application.source.text.as_str().into(),
            components: application.parts.iter().map(digest).collect(),
        }
    }

    /// The same, and of these services the components of this application.
    pub(super) fn with(&self, services: &[ServiceName], application: &Application) -> Applied {
        let digest = |name: &ServiceName| {
            let part = application.parts.get(name)?;
            Some((name.clone(), part.artifact.digest()))
        };
        let mut applied = self.clone();
        applied
            .components
            .extend(services.iter().filter_map(digest));
        applied
    }

    /// This is on disk now. What is not there any more is as it is recorded.
    pub(super) fn found(
        record: &Generation,
        text: &str,
        files: BTreeMap<ServiceName, Digest>,
    ) -> Applied {
        let mut components = record.base.components.clone();
        components.extend(files);
        Applied {
            text: text.into(),
            components,
        }
    }
}

impl Ledger {
    /// Of a state directory, which this host has.
    pub(super) fn new(journal: Journal) -> Ledger {
        let store = Store::in_state(journal.directory());
        Ledger {
            journal,
            store,
            tidying: Arc::default(),
        }
    }

    /// Another host may have all of it, until [`Ledger::take_back`].
    ///
    /// # Errors
    /// As [`Journal::lend`].
    pub(super) fn lend(&self) -> Result<(), JournalError> {
        // What the other stores must not be collected by the list of what was needed before.
        let _tidying = self.tidying.lock();
        self.journal.lend()
    }

    /// The other has not taken this host's place. What it had begun is undone.
    ///
    /// # Errors
    /// As [`Journal::take_back`].
    pub(super) fn take_back(&self) -> Result<(), JournalError> {
        self.journal.take_back()?;
        self.undo_unfinished()
    }

    /// The journal in it.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The components in it.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Keeps a component that was sent, until the pin is dropped.
    ///
    /// # Errors
    /// If it is none.
    pub(super) fn artifact(&self, bytes: &[u8]) -> Result<Artifact, ArtifactError> {
        let artifact = Artifact::from_bytes("the component that was sent", bytes.to_vec())?;
        Ok(self.as_kept(&artifact))
    }

    /// The same component as it will lie in the store, once it is kept.
    pub(super) fn as_kept(&self, component: &Artifact) -> Artifact {
        component.at(self.store.path(component.digest()))
    }

    /// Keeps the components of an application.
    pub(super) fn keep(&self, application: &Application) -> Result<Vec<Pin>, LedgerError> {
        let mut pins = Vec::new();
        for part in application.parts.values() {
            let digest = part.artifact.digest();
            let pin = self.store.pin(digest);
            if !self.store.path(digest).exists()
                && let Ok(bytes) = part.artifact.bytes()
            {
                self.store.put(&bytes)?;
            }
            pins.push(pin);
        }
        Ok(pins)
    }

    /// Notes what is about to be done to these services. Their new revisions have their numbers from
    /// here, no lesser ones than these.
    pub(super) fn begin(
        &self,
        reason: &Reason,
        least: BTreeMap<ServiceName, u32>,
    ) -> Result<Noted, LedgerError> {
        let begun = self.journal.begin(&Intent {
            time_ms: now_ms(),
            what: describe(reason),
            services: least.keys().cloned().collect(),
            least,
        })?;
        Ok(Noted {
            intent: begun.intent,
            revisions: begun.revisions,
        })
    }

    /// It serves a share of the requests, or gets copies of calls. That is told, but a host that starts
    /// again knows nothing of it.
    pub(super) fn on_trial(&self, reason: &Reason, tried: &Tried) {
        let exposure = tried.exposure;
        let text = format!("{} is on trial with {exposure}", describe(reason));
        let mut event = event("on-trial", Some(reason), text);
        let change = tried.services.first();
        event.revision = change.and_then(|change| change.to);
        event.generation = Some(tried.generation);
        event.evidence = serde_json::json!(tried);
        self.note(&event);
    }

    /// Tells of something that happened.
    pub(super) fn note(&self, event: &Event) {
        if let Err(error) = self.journal.note(event) {
            tracing::warn!("an event is not in the journal: {error}");
        }
    }

    /// It does not fit, so that nothing of it was begun.
    pub(super) fn refuse_unbegun(&self, reason: &Reason, why: &str, evidence: Value) {
        let mut event = event(
            "refused",
            Some(reason),
            format!("{} was refused at the check: {why}", describe(reason)),
        );
        event.evidence = evidence;
        self.note(&event);
    }

    /// It has come to nothing.
    pub(super) fn refuse(&self, noted: &Noted, reason: &Reason, why: &str, evidence: Value) {
        let mut event = event(
            "refused",
            Some(reason),
            format!("{} was refused: {why}", describe(reason)),
        );
        event.evidence = evidence;
        if let Err(error) = self.journal.settle(noted.intent, &[event]) {
            tracing::warn!("a refused change is not settled in the journal: {error}");
        }
    }

    /// What the host before was at when it ended has come to nothing: what was acknowledged is whole.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub(super) fn undo_unfinished(&self) -> Result<(), JournalError> {
        for unfinished in self.journal.unfinished()? {
            let what = &unfinished.intent.what;
            tracing::warn!("{what} was under way when the host ended; it has been undone");
            let text = format!("{what} was under way when the host ended, and has been undone");
            let undone = event("undone", None, text);
            if let Err(error) = self.journal.settle(unfinished.id, &[undone]) {
                tracing::warn!("that is not settled in the journal: {error}");
            }
        }
        Ok(())
    }

    /// Makes the generation the one that serves after the next start.
    pub(super) fn commit(
        &self,
        record: &Generation,
        noted: &Noted,
        evidence: &Value,
    ) -> Result<(), LedgerError> {
        let placed = |(name, placed): (&ServiceName, &Placed)| {
            (name.to_string(), Value::from(placed.revision))
        };
        let revisions: serde_json::Map<String, Value> =
            record.services.iter().map(placed).collect();
        let kind = match &record.reason {
            Reason::Start => "started",
            Reason::Apply => "applied",
            Reason::Deploy { .. } | Reason::DeployTogether { .. } => "deployed",
            Reason::Rollback { .. } | Reason::Restore { .. } => "rolled-back",
        };
        let text = format!(
            "{}: generation {} serves",
            describe(&record.reason),
            record.number
        );
        let mut event = event(kind, Some(&record.reason), text);
        event.generation = Some(record.number);
        let service = event.service.as_ref();
        event.revision = service.and_then(|name| Some(record.services.get(name)?.revision));
        event.evidence = serde_json::json!({ "revisions": revisions });
        if !evidence.is_null() {
            event.evidence["found"] = evidence.clone();
        }
        self.journal.commit(record, &[event], Some(noted.intent))?;
        Ok(())
    }

    /// Forgets generations that are too many or too old, with their components.
    pub(super) fn tidy(&self) {
        let _tidying = self.tidying.lock();
        let tidied = self.journal.forget(now_ms()).map_err(LedgerError::from);
        let tidied = tidied.and_then(|keep: BTreeSet<Digest>| Ok(self.store.collect(&keep)?));
        // Who has it tidies.
        if let Err(error) = tidied
            && !matches!(error, LedgerError::Journal(JournalError::Lent))
        {
            tracing::warn!("what is not needed any more stays in the state directory: {error}");
        }
    }

    /// The latest generation with that revision of a service, or with another one than the present.
    pub(super) fn recorded(
        &self,
        service: &ServiceName,
        revision: Option<u32>,
        present: Option<u32>,
    ) -> Option<(u32, Generation)> {
        let history = self.journal.history(usize::MAX).ok()?;
        history.into_iter().find_map(|record| {
            let number = record.services.get(service)?.revision;
            let is_it = match revision {
                Some(wanted) => number == wanted,
                None => Some(number) != present,
            };
            is_it.then_some((number, record))
        })
    }

    /// An application, but for one service as it is recorded.
    ///
    /// # Errors
    /// If that cannot be had any more, or all mistakes at once.
    pub(super) fn as_recorded(
        &self,
        application: &Application,
        record: &Generation,
        service: &ServiceName,
    ) -> Result<Application, DeployError> {
        let gone = || DeployError::NoRevision {
            service: service.clone(),
            revision: record.services.get(service).map(|placed| placed.revision),
        };
        let text = record.text_for(service);
        let manifest = Manifest::parse(text).map_err(|_| gone())?;
        let digest = record.services.get(service).ok_or_else(gone)?.component;
        let bytes = self.store.read(digest).map_err(|_| gone())?;
        let artifact = Artifact::from_bytes(self.store.path(digest), bytes);
        let artifact = artifact.map_err(DeployError::Component)?;
        application.with_recorded(service, &manifest, text, artifact)
    }
}

/// What is recorded of a generation.
pub(super) fn record(
    number: u64,
    reason: Reason,
    application: &Application,
    members: &Members,
    applied: &Applied,
) -> Generation {
    let mut record = Generation {
        number,
        made_ms: now_ms(),
        reason,
        path: application.source.path.display().to_string(),
        manifest: Digest::of(application.source.text.as_bytes()),
        services: BTreeMap::new(),
        base: Base {
            manifest: Digest::of(applied.text.as_bytes()),
            components: applied.components.clone(),
        },
        manifests: BTreeMap::new(),
    };
    record.keep_manifest(&application.source.text);
    record.keep_manifest(&applied.text);
    for (name, member) in members {
        let settings = application.manifest.services.get(name);
        let path = settings.map(|settings| settings.component.value.display().to_string());
        let placed = Placed {
            revision: member.number(),
            component: member.digest(),
            component_path: path.unwrap_or_default(),
            manifest: record.keep_manifest(application.text_for(name)),
        };
        record.services.insert(name.clone(), placed);
    }
    record
}

/// For people.
fn describe(reason: &Reason) -> String {
    match reason {
        Reason::Start => "a start".to_owned(),
        Reason::Apply => "the manifest".to_owned(),
        Reason::Deploy { service } => format!("a deploy of `{service}`"),
        Reason::DeployTogether { services } => {
            let names: Vec<String> = services.iter().map(|name| format!("`{name}`")).collect();
            format!("a deploy of {}", names.join(", "))
        }
        Reason::Rollback { service, because } => format!("a rollback of `{service}` ({because})"),
        Reason::Restore {
            generation,
            because,
        } => format!("a return to generation {generation} ({because})"),
    }
}

fn event(kind: &'static str, reason: Option<&Reason>, text: String) -> Event {
    let service = match reason {
        Some(Reason::Deploy { service } | Reason::Rollback { service, .. }) => {
            Some(service.clone())
        }
        Some(
            Reason::Start | Reason::Apply | Reason::DeployTogether { .. } | Reason::Restore { .. },
        )
        | None => None,
    };
    Event {
        time_ms: now_ms(),
        kind: kind.into(),
        service,
        revision: None,
        generation: None,
        text,
        evidence: Value::Null,
    }
}

/// Milliseconds since 1970 (UTC).
pub(super) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| {
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    })
}
