//! A revision of a service as it runs: its handle, its supervisor, and what it was made from.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::change;
use skep_core::instances::HandlerKind;
use skep_core::lifecycle::{Cause, CauseKind, Phase, Settings as Rules};
use skep_core::manifest;
use skep_core::name::ServiceName;
use skep_core::probation::Probation;
use skep_core::status::ServiceStatus;
use tokio::sync::{mpsc, watch};

use super::build::{Built, Order};
use super::recipe::Recipe;
use super::{Application, Runs, handover};
use crate::artifact::Digest;
use crate::crash::Ring;
use crate::generation::Home;
use crate::service::{Counters, Hold, INCIDENTS_WAITING, Incident, Revision, Service};
use crate::supervisor::{self, Charge, Desk, Supervisor};

/// What all revisions of a service share, for as long as the host lives.
#[derive(Clone, Default)]
pub(super) struct Chronicle {
    pub(super) counters: Arc<Counters>,
    pub(super) crashes: Arc<Ring>,
}

/// A revision that is about to be built.
pub(super) struct Draft {
    pub(super) order: Order,
    incidents: mpsc::Receiver<Incident>,
    chronicle: Chronicle,
    recipe: Recipe,
    application: Arc<Application>,
}

impl Draft {
    /// None if the application has no such service.
    pub(super) fn new(
        application: &Arc<Application>,
        name: &ServiceName,
        number: u32,
        chronicle: Chronicle,
    ) -> Option<Draft> {
        let settings = application.manifest.services.get(name)?;
        let (incidents_in, incidents) = mpsc::channel(INCIDENTS_WAITING);
        let hold = Hold {
            patience: settings.restart.hold,
            places: settings.limits.queue as usize,
        };
        let handle = Service::new(
            Arc::from(name.as_str()),
            hold,
            chronicle.counters.clone(),
            incidents_in,
        );
        Some(Draft {
            order: Order {
                service: name.clone(),
                number,
                handle,
                home: Arc::default(),
            },
            incidents,
            chronicle,
            recipe: Recipe::of(application, name)?,
            application: application.clone(),
        })
    }

    /// Gives what was built its supervisor. Nothing of it runs yet.
    pub(super) fn hire(
        self,
        desk: &Arc<Desk>,
        settings: &manifest::Service,
        built: Built,
        restarts: u64,
    ) -> Arc<Member> {
        let Order {
            service: name,
            handle,
            home,
            ..
        } = self.order;
        let health = settings.health.as_ref().map(|health| health.value.clone());
        let charge = Charge {
            service: handle.clone(),
            revision: built.revision.clone(),
            settings: Rules::new(built.role.kind(), settings.restart.clone()),
            health: health.unwrap_or_default(),
            crashes: self.chronicle.crashes.clone(),
            stop_timeout: settings.stop_timeout,
        };
        let supervisor = supervisor::hire(desk, name.clone(), charge, self.incidents);
        Arc::new(Member {
            name,
            service: handle,
            revision: built.revision,
            digest: built.digest,
            role: built.role,
            recipe: self.recipe,
            application: self.application,
            home,
            uses: watch::Sender::new(()),
            chronicle: self.chronicle,
            probation: settings.probation.clone(),
            stop_timeout: settings.stop_timeout,
            own_stop_timeout: settings.says("stop-timeout"),
            hold: settings.restart.hold,
            is_one: is_one(settings, built.role),
            restarts,
            supervisor,
            desk: desk.clone(),
        })
    }
}

/// See the module.
pub struct Member {
    name: ServiceName,
    service: Arc<Service>,
    revision: Arc<Revision>,
    digest: Digest,
    role: Runs,
    recipe: Recipe,
    /// What it was first part of.
    application: Arc<Application>,
    home: Arc<Home>,
    /// Closed while no generation that it is in is in use.
    uses: watch::Sender<()>,
    chronicle: Chronicle,
    probation: Probation,
    stop_timeout: Duration,
    /// The manifest says so.
    own_stop_timeout: bool,
    /// `restart.hold`
    hold: Duration,
    /// It has one instance, which lives on from request to request.
    is_one: bool,
    /// Of the revisions before it.
    restarts: u64,
    supervisor: Supervisor,
    desk: Arc<Desk>,
}

/// How often a revision that is on its way out is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How long after its deadline a stop may take to be told of.
const STOP_PATIENCE: Duration = Duration::from_secs(1);

impl Member {
    pub(crate) fn name(&self) -> &ServiceName {
        &self.name
    }

    pub(crate) fn service(&self) -> &Arc<Service> {
        &self.service
    }

    pub(crate) fn revision(&self) -> &Arc<Revision> {
        &self.revision
    }

    pub(crate) fn number(&self) -> u32 {
        self.revision.number()
    }

    pub(super) fn digest(&self) -> Digest {
        self.digest
    }

    pub(crate) fn crashes(&self) -> &Arc<Ring> {
        &self.chronicle.crashes
    }

    pub(super) fn recipe(&self) -> &Recipe {
        &self.recipe
    }

    /// Where its settings and its component are.
    pub(super) fn application(&self) -> &Application {
        &self.application
    }

    pub(super) fn home(&self) -> &Arc<Home> {
        &self.home
    }

    /// Its number at the desk.
    pub(crate) fn place(&self) -> usize {
        self.supervisor.member()
    }

    pub(super) fn is_worker(&self) -> bool {
        self.role == Runs::Worker
    }

    /// What it has to show before it is trusted.
    pub(super) fn probation(&self) -> &Probation {
        &self.probation
    }

    /// How long whoever calls it may be let wait.
    pub(super) fn hold(&self) -> Duration {
        self.hold
    }

    /// What one of its instances holds, on average, in bytes.
    pub(super) fn memory_of_one(&self) -> u64 {
        let instances = self.revision.instances_kept() + self.revision.in_flight();
        self.revision.memory().held() / (instances.max(1) as u64)
    }

    /// Where it stands.
    pub(crate) fn phase(&self) -> Phase {
        self.supervisor.phase().borrow().clone()
    }

    pub(crate) fn restarts(&self) -> u64 {
        self.restarts + self.supervisor.restarts()
    }

    /// Whether calls are under way that have longer than the drain deadline.
    pub(crate) fn may_go_on(&self, began: Instant) -> bool {
        let own = self.own_stop_timeout && began.elapsed() < self.stop_timeout;
        own && self.revision.in_flight() > 0
    }

    /// Waits for that long until it has come to the end of a start, well or badly; false if its
    /// supervisor is gone.
    pub(super) async fn has_tried(&self, patience: Duration) -> bool {
        // The desk knows of a start before its supervisor has said so.
        let mut phase = self.supervisor.phase();
        let ended = async {
            let begun = |phase: &Phase| matches!(phase, Phase::Starting { .. });
            phase.wait_for(begun).await.ok()?;
            phase.wait_for(|phase| !begun(phase)).await.ok()
        };
        !matches!(tokio::time::timeout(patience, ended).await, Ok(None))
    }

    /// To be kept by a generation that it is in.
    pub(super) fn use_it(&self) -> watch::Receiver<()> {
        self.uses.subscribe()
    }

    /// Whether it has come to rest when so much time has passed. A worker is not waited for: nothing
    /// tells it to end.
    pub(super) async fn rests_within(&self, patience: Duration) -> bool {
        self.is_worker() || tokio::time::timeout(patience, self.at_rest()).await.is_ok()
    }

    /// Waits until no request can come to it any more, nothing is under way in it, and nobody has a
    /// handle on its resources.
    async fn at_rest(&self) {
        self.uses.closed().await;
        while self.revision.in_flight() > 0 || self.revision.leased() > 0 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Waits until it takes requests.
    ///
    /// # Errors
    /// Why it does not, once its first try has failed.
    pub(super) async fn ready(&self, patience: Duration) -> Result<(), Cause> {
        let decided = |phase: &Phase| match phase {
            Phase::Starting { .. } | Phase::Unready { .. } => false,
            Phase::Stopped { cause, .. } => cause.kind != CauseKind::NotStarted,
            _ => true,
        };
        let mut phases = self.supervisor.phase();
        let waited = tokio::time::timeout(patience, phases.wait_for(decided)).await;
        let phase = match waited {
            Ok(Ok(phase)) => phase.clone(),
            Ok(Err(_)) | Err(_) => self.phase(),
        };
        match phase {
            Phase::Ready { .. } => Ok(()),
            Phase::Starting { .. } => Err(Cause::new(
                CauseKind::StartTimeout,
                "it was still starting when the patience of the deploy was over",
            )),
            other => Err(other.cause().cloned().unwrap_or_else(|| {
                Cause::new(CauseKind::Health, format!("it is {}", other.name()))
            })),
        }
    }

    /// Waits until nothing of it runs, or its supervisor is gone.
    pub(crate) async fn stopped_at_last(&self) {
        let mut phases = self.supervisor.phase();
        let stopped = |phase: &Phase| matches!(phase, Phase::Stopped { .. });
        let _ = phases.wait_for(stopped).await;
    }

    /// Ends its supervisor, with whatever it runs.
    pub(crate) fn abort(&self) {
        self.supervisor.abort();
    }

    /// Stops it for good and lets it go. It must be apart from the others at the desk.
    pub(super) async fn dismiss(self: Arc<Member>, why: String) {
        let cause = Cause::new(CauseKind::Requested, why);
        self.desk.stop_one(self.place(), cause);
        let patience = self.stop_timeout + STOP_PATIENCE;
        let stopped = tokio::time::timeout(patience, self.stopped_at_last());
        if stopped.await.is_err() {
            self.abort();
        }
        if !self.desk.leave(self.place()) {
            tracing::warn!(
                service = %self.name,
                revision = self.number(),
                "a revision that was replaced has not stopped in time and is given up"
            );
        }
    }

    /// Its row in a listing.
    pub(crate) fn status(&self) -> ServiceStatus {
        use std::sync::atomic::Ordering::Relaxed;
        let counters = self.service.counters();
        let in_flight = self.revision.in_flight();
        ServiceStatus {
            service: self.name.clone(),
            kind: self.role.kind(),
            revision: self.number(),
            candidate: None,
            digest: self.digest.to_string(),
            phase: self.phase(),
            instances: count(self.revision.instances_kept()),
            busy: count(in_flight),
            in_flight: count(in_flight),
            queued: count(self.revision.admission().waiting()),
            memory_bytes: self.revision.memory().held(),
            memory_peak_bytes: self.revision.memory().peak(),
            buffer_bytes: self.revision.memory().buffers(),
            calls: counters.answered.load(Relaxed),
            shed: counters.shed.load(Relaxed),
            crashes: counters.crashed.load(Relaxed),
            restarts: self.restarts(),
        }
    }
}

impl change::Member for Member {
    fn service(&self) -> &ServiceName {
        &self.name
    }

    fn number(&self) -> u32 {
        self.number()
    }

    fn component(&self) -> Digest {
        self.digest
    }

    fn is_worker(&self) -> bool {
        self.is_worker()
    }

    fn keeps_state(&self) -> bool {
        self.is_one
    }

    fn hands_over(&self) -> bool {
        let mut exports = self.revision.exports().iter();
        exports.any(|export| export.name.text() == handover::INTERFACE)
    }

    fn is_ready(&self) -> bool {
        self.phase().is_ready()
    }
}

/// Whether a manifest wants one instance, for more than one request.
pub(super) fn is_one(settings: &manifest::Service, role: Runs) -> bool {
    let kind = match role {
        Runs::Handler(kind) => kind,
        Runs::Provider => HandlerKind::Sync,
        Runs::Worker => return false,
    };
    let instances = settings.instances.for_handler(kind);
    instances.max == 1 && instances.reuse > 1
}

fn count(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// Members by the names of their services.
pub(crate) type Members = change::Members<Member>;
