//! The application as it runs, and the one way to change it: a change is a whole new state of the
//! application, which takes the place of the one before at once or not at all.
//!
//! Before it: `host` or `control` has an application that has been read and checked. How it comes to
//! serve is decided in `skep_core::change`, which asks `hands` for each step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use skep_core::change::{self, First, Walk};
use skep_core::generation::{self, Reason};
use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;
use skep_core::plan::{Plan, Side};
use skep_core::status::ServiceStatus;

use super::bench::{Bench, Books};
use super::change_error::ChangeError;
use super::difference::{ContractChange, contract_changes};
use super::hands::Hands;
use super::ledger::Ledger;
use super::machinery::Machinery;
use super::member::Member;
use super::resume::Resumption;
use super::trial::candidate;
use super::{Application, DeployError, witness};
use crate::artifact::{Artifact, Digest};
use crate::generation::Serving;
use crate::supervisor::Desk;
use crate::task;

/// What runs, as others see it.
pub(crate) type Roster = change::Roster<Hands>;

/// A state of the application that somebody wants.
pub type Wanted = change::Wanted<Hands>;

/// A start that serves, or is about to, and is not written down yet.
pub type Unwritten = change::Unwritten<Hands>;

/// See the module.
pub struct Running {
    pub(super) walk: Arc<Walk<Hands>>,
    witness: OnceLock<task::Own<()>>,
}

impl Running {
    /// Builds the application and starts it; comes back when every service has started or failed
    /// to, or the patience is over. Nothing is let in before. Without a resumption nothing is written
    /// down, and nothing can change; with one, the start is still to be: see [`Running::write_down`].
    ///
    /// # Errors
    /// If it cannot be built; nothing is left running.
    pub async fn start(
        application: Application,
        resumption: Option<Resumption>,
        machinery: Machinery,
        origin: Instant,
    ) -> Result<(Arc<Running>, Unwritten), Vec<Mistake>> {
        let application = Arc::new(application);
        let (books, last, revisions) = match resumption {
            Some(Resumption {
                ledger,
                applied,
                last,
                revisions,
            }) => (Some(Books { ledger, applied }), last, revisions),
            None => (None, None, BTreeMap::new()),
        };
        let next = |name: &ServiceName| {
            let journal = books.as_ref()?.ledger.journal();
            Some((name.clone(), journal.next_revision(name).ok()?))
        };
        let names = application.manifest.services.keys();
        let first = First {
            next: names.filter_map(next).collect(),
            last: last.as_ref().map(|last| last.number),
            is_as_recorded: last.is_some_and(|last| is_recorded(&last, &application, &revisions)),
            application,
            revisions,
        };
        let hands = Hands::new(Bench::new(machinery, books), origin);
        match Walk::start(hands, first).await {
            Ok((walk, unwritten)) => {
                let witness = OnceLock::new();
                Ok((Arc::new(Running { walk, witness }), unwritten))
            }
            Err(ChangeError::Mistakes { mistakes, .. }) => Err(mistakes),
            // Nothing else can keep the first one from being built.
            Err(_) => Err(Vec::new()),
        }
    }

    /// Writes down that what was started is what serves, also after the next start. What cannot be
    /// written down serves all the same, and is told of in the log. From then on it is written down,
    /// too, what becomes of the services.
    pub async fn write_down(self: &Arc<Self>, start: Unwritten) {
        self.walk.write_down(start).await;
        self.witness.get_or_init(|| witness::begin(self));
    }

    /// Where new requests are told what serves.
    pub(crate) fn serving(&self) -> &Arc<Serving> {
        &self.walk.effects().serving
    }

    /// What runs now.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.walk.roster()
    }

    /// What serves, as it was read and checked.
    pub fn application(&self) -> Arc<Application> {
        self.roster().application.clone()
    }

    /// Where it is written down, if it is.
    pub(super) fn ledger(&self) -> Option<&Ledger> {
        self.walk.effects().ledger.as_ref()
    }

    /// Where a change is written down; [`Running::records`] is for who only looks.
    ///
    /// # Errors
    /// If nothing is written down, or nothing can change now.
    pub fn open_ledger(&self) -> Result<Ledger, ChangeError> {
        self.walk.is_open()?;
        self.ledger().cloned().ok_or(ChangeError::NoLedger)
    }

    /// A component that was sent, and how it differs from the one that serves. Blocking.
    ///
    /// # Errors
    /// If it is no component.
    pub fn component(
        &self,
        ledger: &Ledger,
        service: &ServiceName,
        bytes: &[u8],
    ) -> Result<(Artifact, Vec<ContractChange>), DeployError> {
        let artifact = ledger.artifact(bytes).map_err(DeployError::Component);
        let artifact = artifact.inspect_err(|error| self.note_unfit(&deploy_of(service), error))?;
        let changes = contract_changes(&self.roster(), service, &artifact);
        Ok((artifact, changes))
    }

    /// What serves, but with this component for one service. Blocking.
    ///
    /// # Errors
    /// If there is no such service, or all mistakes at once.
    pub fn with_component(
        &self,
        service: &ServiceName,
        artifact: Artifact,
    ) -> Result<Wanted, DeployError> {
        let roster = self.roster();
        let reason = deploy_of(service);
        let application = roster.application.with_component(service, artifact);
        let application = application.inspect_err(|error| self.note_unfit(&reason, error))?;
        Ok(Wanted {
            basis: Some(roster.number()),
            ..Wanted::new(application, reason)
        })
    }

    /// What a manifest says, with the components that lie where it says. Blocking.
    ///
    /// # Errors
    /// All mistakes at once.
    pub fn with_manifest(&self, path: &Path) -> Result<Wanted, DeployError> {
        let application = super::read(path);
        let application =
            application.inspect_err(|error| self.note_unfit(&Reason::Apply, error))?;
        Ok(Wanted::new(application, Reason::Apply))
    }

    /// What serves, but with these components, which lie where the manifest says. Blocking.
    ///
    /// # Errors
    /// As [`Running::with_component`].
    pub(crate) fn with_components(
        &self,
        ledger: &Ledger,
        components: &BTreeMap<ServiceName, Artifact>,
    ) -> Result<Wanted, DeployError> {
        // Their files will be built anew while these still serve.
        let kept = |(name, component): (&ServiceName, &Artifact)| {
            (name.clone(), ledger.as_kept(component))
        };
        let kept = components.iter().map(kept).collect();
        let roster = self.roster();
        let services: Vec<ServiceName> = components.keys().cloned().collect();
        let reason = match <[ServiceName; 1]>::try_from(services.clone()) {
            Ok([service]) => Reason::Deploy { service },
            Err(services) => Reason::DeployTogether { services },
        };
        let application = roster.application.with_components(&kept);
        let application = application.inspect_err(|error| self.note_unfit(&reason, error))?;
        Ok(Wanted {
            from_disk: services,
            basis: Some(roster.number()),
            ..Wanted::new(application, reason)
        })
    }

    /// What has to change so that `wanted` is what serves, and the generation that serves.
    pub(crate) fn plan(&self, wanted: &Application) -> (u64, Plan) {
        let now = self.roster();
        let (before, after) = (now.application.digests(), wanted.digests());
        let before = Side {
            manifest: &now.application.manifest,
            components: &before,
        };
        let after = Side {
            manifest: &wanted.manifest,
            components: &after,
        };
        (now.generation.number(), Plan::between(before, after))
    }

    /// What serves, but for one service as an earlier revision of it was: the one before the present
    /// one, if no number is given. Blocking.
    ///
    /// # Errors
    /// If there is no such service or revision, or it does not fit the others any more.
    pub fn earlier(
        &self,
        ledger: &Ledger,
        service: &ServiceName,
        revision: Option<u32>,
        because: &str,
    ) -> Result<Wanted, DeployError> {
        let roster = self.roster();
        if !roster.members.contains_key(service) {
            return Err(DeployError::NoService(service.clone()));
        }
        let reason = Reason::Rollback {
            service: service.clone(),
            because: because.to_owned(),
        };
        let unfit = |error: &DeployError| self.note_unfit(&reason, error);
        let standby = roster.standby.get(service);
        let standby = standby.filter(|m| revision.is_none_or(|wanted| wanted == m.number()));
        let (number, application) = match standby {
            Some(standby) => {
                let earlier = standby.application();
                let application = roster.application.with_service_of(earlier, service);
                (standby.number(), application.inspect_err(unfit)?)
            }
            None => {
                let present = roster.members.get(service).map(|member| member.number());
                let recorded = ledger.recorded(service, revision, present);
                let (number, record) = recorded.ok_or_else(|| DeployError::NoRevision {
                    service: service.clone(),
                    revision,
                })?;
                let application = ledger.as_recorded(&roster.application, &record, service);
                (number, application.inspect_err(unfit)?)
            }
        };
        Ok(Wanted {
            revisions: BTreeMap::from([(service.clone(), number)]),
            basis: Some(roster.number()),
            ..Wanted::new(application, reason)
        })
    }

    /// Where all supervisors meet.
    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.walk.effects().desk
    }

    /// From now on nothing begins to change any more. A change that is under way has as long as the
    /// caller waits.
    pub(crate) async fn stop_changing(&self) {
        self.walk.stop_changing().await;
    }
}

fn deploy_of(service: &ServiceName) -> Reason {
    Reason::Deploy {
        service: service.clone(),
    }
}

/// Whether an application is exactly what was acknowledged last.
fn is_recorded(
    last: &generation::Generation,
    application: &Application,
    revisions: &BTreeMap<ServiceName, u32>,
) -> bool {
    let services = &application.manifest.services;
    services.keys().all(|name| revisions.contains_key(name))
        && last.services.len() == services.len()
        && last.manifest == Digest::of(application.source.text.as_bytes())
}

/// All services for a listing.
pub(crate) fn rows(roster: &Roster) -> Vec<ServiceStatus> {
    let row = |(name, member): (&ServiceName, &Arc<Member>)| {
        let trial = roster.trial.as_ref();
        ServiceStatus {
            candidate: trial.and_then(|trial| candidate(trial, name)),
            ..member.status()
        }
    };
    roster.members.iter().map(row).collect()
}
