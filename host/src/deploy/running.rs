//! The application as it runs, and the one way to change it: a change is a whole new state of the
//! application, which takes the place of the one before at once or not at all.
//!
//! Before it: `host` or `control` has an application that has been read and checked. The walk of a
//! change: what is new is built (`build`), starts beside what serves and has to become ready
//! (`supervisor`), and then one store of a pointer (`generation`) sends new requests there. What was
//! replaced ends what it is at (`retire`).

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex as ShortMutex;
use serde_json::Value;
use skep_core::generation::Reason;
use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;
use skep_core::plan::{Plan, Side};
use skep_core::status::ServiceStatus;
use tokio::sync::Mutex;

use super::bench::{Bench, Books, Kept, Prepared};
use super::change::arrangement;
use super::change_error::ChangeError;
use super::difference::{ContractChange, contract_changes};
use super::ledger::Ledger;
use super::machinery::Machinery;
use super::member::{Member, Members};
use super::opening::Opening;
use super::progress::Progress;
use super::recipe::Recipe;
use super::resume::Resumption;
use super::trial::OnShow;
use super::{Application, DeployError, witness};
use crate::artifact::Artifact;
use crate::generation::{Generation, Serving};
use crate::supervisor::Desk;
use crate::task;

/// How long the first start waits for services that are still starting before it lets clients in:
/// they get 503 with Retry-After from those that are not ready.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

/// How often the first start looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// See the module.
pub struct Running {
    pub(super) desk: Arc<Desk>,
    pub(super) serving: Arc<Serving>,
    pub(super) roster: ArcSwap<Roster>,
    /// One change at a time.
    pub(super) bench: Mutex<Bench>,
    /// None: nothing is written down.
    pub(super) ledger: Option<Ledger>,
    changes: ShortMutex<Changes>,
    witness: OnceLock<task::Own<()>>,
}

/// Whether anything may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// It may.
    Open,
    /// Another host is about to take this one's place.
    BeingReplaced,
    /// The host stops: nothing changes any more.
    Stopped,
}

/// A start that serves, or is about to, and is not written down yet.
pub struct Unwritten {
    opening: Opening,
    prepared: Prepared,
}

/// What runs, as others see it.
#[derive(Clone)]
pub(crate) struct Roster {
    pub(crate) generation: Arc<Generation>,
    pub(crate) application: Arc<Application>,
    /// Those that serve.
    pub(crate) members: Members,
    /// Those that served before them, kept to come back to.
    pub(crate) standby: Members,
    /// What is on trial.
    pub(crate) trial: Option<OnShow>,
}

/// A state of the application that somebody wants.
pub struct Wanted {
    /// The whole of it.
    pub application: Application,
    /// Why.
    pub reason: Reason,
    /// Figures that led to it, for the journal.
    pub(super) evidence: Value,
    /// What services keep in memory may be lost, where it cannot be handed over.
    pub state_may_be_lost: bool,
    /// The numbers of those that have been before.
    pub(super) revisions: BTreeMap<ServiceName, u32>,
    /// Those whose components have just been read from where the manifest says.
    pub(super) from_disk: Vec<ServiceName>,
    /// Who waits for it.
    pub progress: Progress,
}

impl Wanted {
    /// All that is new in it has never been before.
    pub fn new(application: Application, reason: Reason) -> Wanted {
        Wanted {
            application,
            reason,
            evidence: Value::Null,
            state_may_be_lost: false,
            revisions: BTreeMap::new(),
            from_disk: Vec::new(),
            progress: Progress::default(),
        }
    }
}

impl Wanted {
    /// Whether it is the deploy of a component that serves already.
    pub(super) fn is_there(&self, roster: &Roster) -> bool {
        let Reason::Deploy { service } = &self.reason else {
            return false;
        };
        let part = self.application.parts.get(service);
        let member = roster.members.get(service);
        let same = member.zip(part);
        same.is_some_and(|(member, part)| member.digest() == part.artifact.digest())
    }
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
        let desk = Desk::new(origin);
        let (books, last, mut revisions) = match resumption {
            Some(Resumption {
                ledger,
                applied,
                last,
                revisions,
            }) => (Some(Books { ledger, applied }), last, revisions),
            None => (None, None, BTreeMap::new()),
        };
        let ledger = books.as_ref().map(|books| books.ledger.clone());
        let mut bench = Bench::new(machinery, books);
        let application = Arc::new(application);
        let new = |name: &&ServiceName| !revisions.contains_key(*name);
        let new = application.manifest.services.keys().filter(new).cloned();
        let opening = bench.open(last.as_ref(), &application, new.collect()).await;
        let number = opening.number;
        revisions.extend(opening.revisions.clone());
        let prepared = bench
            .prepare(
                &desk,
                &application,
                Kept::default(),
                number,
                &revisions,
                Progress::default(),
            )
            .await;
        let prepared = match prepared {
            Ok(prepared) => prepared,
            Err(mistakes) => {
                opening.refuse().await;
                return Err(mistakes);
            }
        };
        desk.arrange(arrangement(&application, &prepared.members));
        desk.start();
        settle(&prepared.members, &desk).await;
        let serving = Arc::new(Serving::default());
        serving.switch(prepared.generation.clone());
        let roster = Roster {
            generation: prepared.generation.clone(),
            application,
            members: prepared.members.clone(),
            standby: Members::new(),
            trial: None,
        };
        let running = Arc::new(Running {
            desk,
            serving,
            roster: ArcSwap::from_pointee(roster),
            bench: Mutex::new(bench),
            ledger,
            changes: ShortMutex::new(Changes::Open),
            witness: OnceLock::new(),
        });
        Ok((running, Unwritten { opening, prepared }))
    }

    /// Writes down that what was started is what serves, also after the next start. What cannot be
    /// written down serves all the same, and is told of in the log. From then on it is written down,
    /// too, what becomes of the services.
    pub async fn write_down(self: &Arc<Self>, start: Unwritten) {
        let mut bench = self.bench.lock().await;
        start.opening.commit(&mut bench, &start.prepared).await;
        self.witness.get_or_init(|| witness::begin(self));
    }

    /// Where new requests are told what serves.
    pub(crate) fn serving(&self) -> &Arc<Serving> {
        &self.serving
    }

    /// What runs now.
    pub(crate) fn roster(&self) -> Arc<Roster> {
        self.roster.load_full()
    }

    /// What serves, as it was read and checked.
    pub fn application(&self) -> Arc<Application> {
        self.roster().application.clone()
    }

    /// Where a change is written down; [`Running::records`] is for who only looks.
    ///
    /// # Errors
    /// If nothing is written down, or nothing can change now.
    pub fn open_ledger(&self) -> Result<Ledger, ChangeError> {
        match *self.changes.lock() {
            Changes::Open => self.ledger.clone().ok_or(ChangeError::NoLedger),
            Changes::BeingReplaced => Err(ChangeError::BeingReplaced),
            Changes::Stopped => Err(ChangeError::Stopping),
        }
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
        let reason = deploy_of(service);
        let application = self.application().with_component(service, artifact);
        let application = application.inspect_err(|error| self.note_unfit(&reason, error))?;
        Ok(Wanted::new(application, reason))
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
        let services: Vec<ServiceName> = components.keys().cloned().collect();
        let reason = match <[ServiceName; 1]>::try_from(services.clone()) {
            Ok([service]) => Reason::Deploy { service },
            Err(services) => Reason::DeployTogether { services },
        };
        let application = self.application().with_components(&kept);
        let application = application.inspect_err(|error| self.note_unfit(&reason, error))?;
        Ok(Wanted {
            from_disk: services,
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
            ..Wanted::new(application, reason)
        })
    }

    /// Whether it serves, or is on trial.
    pub(super) fn still_has(&self, member: &Arc<Member>) -> bool {
        let roster = self.roster();
        let trial = roster.trial.iter().flat_map(|trial| &trial.candidates);
        let mut all = roster.members.values().chain(trial);
        all.any(|one| Arc::ptr_eq(one, member))
    }

    /// Where all supervisors meet.
    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// Whether anything may change now, and the caller has seen what serves.
    pub(super) fn may_change(
        &self,
        before: &Roster,
        expected: Option<u64>,
    ) -> Result<(), ChangeError> {
        let actual = before.generation.number();
        match (*self.changes.lock(), expected) {
            (Changes::Stopped, _) => Err(ChangeError::Stopping),
            (Changes::BeingReplaced, _) => Err(ChangeError::BeingReplaced),
            (Changes::Open, Some(expected)) if expected != actual => {
                Err(ChangeError::Conflict { expected, actual })
            }
            (Changes::Open, _) => Ok(()),
        }
    }

    /// From `now` on it is `next`, unless it is something else than `now`.
    pub(super) fn allow(&self, now: Changes, next: Changes) -> Result<(), ()> {
        let mut changes = self.changes.lock();
        if *changes != now {
            return Err(());
        }
        *changes = next;
        Ok(())
    }

    /// From now on nothing begins to change any more. A change that is under way has as long as the
    /// caller waits.
    pub(crate) async fn stop_changing(&self) {
        *self.changes.lock() = Changes::Stopped;
        drop(self.bench.lock().await);
    }
}

fn deploy_of(service: &ServiceName) -> Reason {
    Reason::Deploy {
        service: service.clone(),
    }
}

impl Roster {
    /// All services for a listing.
    pub(crate) fn rows(&self) -> Vec<ServiceStatus> {
        let row = |(name, member): (&ServiceName, &Arc<Member>)| {
            let trial = self.trial.as_ref();
            ServiceStatus {
                candidate: trial.and_then(|trial| trial.candidate(name)),
                ..member.status()
            }
        };
        self.members.iter().map(row).collect()
    }

    /// What of it goes on where the application is another.
    pub(super) fn kept(&self, application: &Application) -> Kept {
        let names = application.manifest.services.keys();
        let same = |name: &ServiceName| Some((name.clone(), self.same(application, name)?));
        let restarts =
            |(name, member): (&ServiceName, &Arc<Member>)| (name.clone(), member.restarts());
        Kept {
            members: names.filter_map(same).collect(),
            restarts: self.members.iter().map(restarts).collect(),
        }
    }

    /// What runs and has the recipe that the application wants.
    fn same(&self, application: &Application, name: &ServiceName) -> Option<Arc<Member>> {
        let recipe = Recipe::of(application, name)?;
        let active = self.members.get(name).filter(|m| *m.recipe() == recipe);
        let standby = || {
            let standby = self.standby.get(name);
            standby.filter(|m| *m.recipe() == recipe && m.phase().is_ready())
        };
        active.or_else(standby).cloned()
    }
}

/// Waits until no service is starting any more. Those that wait for one that has not come up are
/// not waited for.
async fn settle(members: &Members, desk: &Desk) {
    let deadline = tokio::time::Instant::now() + FIRST_PATIENCE;
    while let Some(place) = desk.starting() {
        let Some(member) = members.values().find(|member| member.place() == place) else {
            return;
        };
        if !member.has_tried(LOOK_EVERY).await {
            // Its supervisor is gone, which has been reported.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if tokio::time::Instant::now() >= deadline {
            return;
        }
    }
}
