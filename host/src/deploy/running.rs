//! The application as it runs, and the one way to change it: a change is a whole new state of the
//! application, which takes the place of the one before at once or not at all.
//!
//! Before it: `host` or `control` has an application that has been read and checked. The walk of a
//! change: what is new is built (`build`), starts beside what serves and has to become ready
//! (`supervisor`), and then one store of a pointer (`generation`) sends new requests there. What was
//! replaced ends what it is at (`retire`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};
use skep_core::lifecycle::Cause;
use skep_core::manifest::{Manifest, Mistake};
use skep_core::name::ServiceName;
use skep_core::supervision::{Arrangement, GroupSettings};
use tokio::sync::Mutex;

use super::build::{Built, Order, build, routes};
use super::machinery::{Machinery, MachineryError};
use super::member::{Chronicle, Draft, Member, Members};
use super::recipe::Recipe;
use super::{Application, DeployError, Source, starts_after, state_directory};
use crate::artifact::{Artifact, ArtifactError};
use crate::gateway;
use crate::generation::{Generation, Serving, Slot};
use crate::lag::Pace;
use crate::supervisor::Desk;
use crate::task;

/// How long the first start waits for services that are still starting before it lets clients in:
/// they get 503 with Retry-After from those that are not ready.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

/// How long a candidate that has started may take to say that it is ready, beyond its own
/// `start-timeout`.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// How often the first start looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// See the module.
pub struct Running {
    desk: Arc<Desk>,
    serving: Arc<Serving>,
    roster: ArcSwap<Roster>,
    /// One change at a time.
    bench: Mutex<Bench>,
}

/// What runs, as others see it.
pub(crate) struct Roster {
    pub(crate) generation: Arc<Generation>,
    pub(crate) application: Arc<Application>,
    /// Those that serve.
    pub(crate) members: Members,
    /// Those that served before them, kept to come back to.
    pub(crate) standby: Members,
}

/// What changes are made with.
struct Bench {
    machinery: Machinery,
    slots: BTreeMap<ServiceName, Slot>,
    chronicles: BTreeMap<ServiceName, Chronicle>,
    /// The latest revision of each service.
    numbers: BTreeMap<ServiceName, u32>,
    /// The host stops: nothing changes any more.
    stopped: bool,
}

/// A change that has been made.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Changed {
    /// The generation that serves now.
    pub generation: u64,
    /// What has another revision than before, or none, or is new.
    pub services: Vec<ServiceChange>,
    /// From the beginning to the switch, in milliseconds.
    pub took_ms: u64,
}

/// What a change was for one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServiceChange {
    /// Which.
    pub service: ServiceName,
    /// The revision before; none if it is new.
    pub from: Option<u32>,
    /// The revision now; none if it has been removed.
    pub to: Option<u32>,
}

/// Why a change was not made. What served goes on as if nothing had been asked.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else was first.
    #[error("generation {actual} serves, and not {expected} any more; look again and try again")]
    Conflict {
        /// What the caller went by.
        expected: u64,
        /// What serves.
        actual: u64,
    },
    /// Only a new start of the host can do that.
    #[error("{} cannot change while the host runs; start it anew for that", keys.join(", "))]
    NeedsNewStart {
        /// Of the manifest.
        keys: Vec<&'static str>,
    },
    /// Something cannot be compiled or linked; to be shown with the manifest's text.
    #[error("it cannot be built")]
    Mistakes {
        /// The text that they point into.
        source_text: Source,
        /// All of them.
        mistakes: Vec<Mistake>,
    },
    /// No engine for it.
    #[error("there is no engine for it")]
    Machinery(#[from] MachineryError),
    /// A candidate does not start, or is not well.
    #[error("revision {revision} of `{service}` does not become ready: {cause}")]
    NotReady {
        /// Which.
        service: ServiceName,
        /// The candidate.
        revision: u32,
        /// Why.
        cause: Cause,
    },
    /// The host is on its way out.
    #[error("the host is stopping")]
    Stopping,
    /// A bug, which has been reported.
    #[error("the change came to no end: a bug of Skep's")]
    Lost,
}

/// The state of the application that a change makes, before it serves.
struct Prepared {
    generation: Arc<Generation>,
    application: Arc<Application>,
    members: Members,
    /// Of them, those that are new.
    candidates: Vec<Arc<Member>>,
}

impl Running {
    /// Builds the application and starts it; comes back when every service has started or failed
    /// to, or the patience is over. Nothing is let in before.
    ///
    /// # Errors
    /// If it cannot be built; nothing is left running.
    pub async fn start(
        application: Application,
        machinery: Machinery,
        origin: Instant,
    ) -> Result<Arc<Running>, Vec<Mistake>> {
        let desk = Desk::new(origin);
        let mut bench = Bench {
            machinery,
            slots: BTreeMap::new(),
            chronicles: BTreeMap::new(),
            numbers: BTreeMap::new(),
            stopped: false,
        };
        let application = Arc::new(application);
        let prepared = bench.prepare(&desk, &application, None).await?;
        desk.arrange(arrangement(&application, &prepared.members));
        desk.start();
        settle(&prepared.members, &desk).await;
        let serving = Arc::new(Serving::default());
        serving.switch(prepared.generation.clone());
        let roster = Roster {
            generation: prepared.generation,
            application,
            members: prepared.members,
            standby: Members::new(),
        };
        Ok(Arc::new(Running {
            desk,
            serving,
            roster: ArcSwap::from_pointee(roster),
            bench: Mutex::new(bench),
        }))
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

    /// Keeps a component, so that it is there when this host starts again. Blocking.
    ///
    /// # Errors
    /// If it is none, or cannot be kept.
    pub fn keep(&self, bytes: &[u8]) -> Result<Artifact, ArtifactError> {
        let artifact = Artifact::from_bytes("the component that was sent", bytes.to_vec())?;
        let directory = state_directory(&self.application()).join("components");
        let path = directory.join(format!("{}.wasm", artifact.digest()));
        let unwritable = |error| ArtifactError::unwritable(&path, error);
        std::fs::create_dir_all(&directory).map_err(unwritable)?;
        std::fs::write(&path, bytes).map_err(unwritable)?;
        Artifact::load(path)
    }

    /// What serves, but for one service as an earlier revision of it was: the one before the present
    /// one, if no number is given.
    ///
    /// # Errors
    /// If there is no such service or revision, or it does not fit the others any more.
    pub fn earlier(
        &self,
        service: &ServiceName,
        revision: Option<u32>,
    ) -> Result<Application, DeployError> {
        let roster = self.roster();
        if !roster.members.contains_key(service) {
            return Err(DeployError::NoService(service.clone()));
        }
        let standby = roster.standby.get(service);
        let standby = standby.filter(|m| revision.is_none_or(|wanted| wanted == m.number()));
        let standby = standby.ok_or_else(|| DeployError::NoRevision {
            service: service.clone(),
            revision,
        })?;
        let earlier = standby.application();
        roster.application.with_service_of(earlier, service)
    }

    /// Where all supervisors meet.
    pub(crate) fn desk(&self) -> &Arc<Desk> {
        &self.desk
    }

    /// From now on nothing changes any more; a change that is under way comes to its end first.
    pub(crate) async fn stop_changing(&self) {
        self.bench.lock().await.stopped = true;
    }

    /// Makes `wanted` what serves, whole or not at all. `expected` is the generation that the caller
    /// goes by, if that matters. It comes to its end even if nobody waits for it.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing has changed.
    pub async fn change(
        self: &Arc<Self>,
        wanted: Application,
        expected: Option<u64>,
    ) -> Result<Changed, ChangeError> {
        let running = self.clone();
        let change = async move { running.change_now(wanted, expected).await };
        let changed = task::spawn(task::Kind::Deploy, change).await;
        changed.ok().flatten().unwrap_or(Err(ChangeError::Lost))
    }

    async fn change_now(
        self: &Arc<Self>,
        wanted: Application,
        expected: Option<u64>,
    ) -> Result<Changed, ChangeError> {
        let mut bench = self.bench.lock().await;
        let began = Instant::now();
        let before = self.roster();
        let actual = before.generation.number();
        match expected {
            _ if bench.stopped => return Err(ChangeError::Stopping),
            Some(expected) if expected != actual => {
                return Err(ChangeError::Conflict { expected, actual });
            }
            _ => {}
        }
        let keys = needs_new_start(&before.application.manifest, &wanted.manifest);
        if !keys.is_empty() {
            return Err(ChangeError::NeedsNewStart { keys });
        }
        bench.machinery = bench.machinery.fit(&wanted)?;
        let wanted = Arc::new(wanted);
        let prepared = bench.prepare(&self.desk, &wanted, Some(&before)).await;
        let prepared = prepared.map_err(|mistakes| ChangeError::Mistakes {
            source_text: wanted.source.clone(),
            mistakes,
        })?;
        if let Err(error) = self.prove(&before, &prepared).await {
            self.desk
                .arrange(arrangement(&before.application, &before.members));
            for candidate in prepared.candidates {
                let refused = "its deploy has been refused".to_owned();
                task::spawn(task::Kind::Deploy, candidate.dismiss(refused));
            }
            return Err(error);
        }
        Ok(self.switch(&before, prepared, began))
    }

    /// Starts the candidates beside what serves, and waits until each is ready. Workers start only
    /// when those before them have ended.
    async fn prove(&self, before: &Roster, prepared: &Prepared) -> Result<(), ChangeError> {
        let mut beside = arrangement(&before.application, &before.members);
        let places: Vec<usize> = prepared.candidates.iter().map(|c| c.place()).collect();
        let whole = arrangement(&prepared.application, &prepared.members);
        let mut new = whole.members;
        new.retain(|(member, _)| places.contains(member));
        for (_, after) in &mut new {
            after.retain(|member| places.contains(member));
        }
        beside.members.extend(new);
        self.desk.arrange(beside);
        let candidates = || prepared.candidates.iter().filter(|c| !c.is_worker());
        for candidate in candidates() {
            self.desk.start_one(candidate.place());
        }
        for candidate in candidates() {
            let ready = candidate.ready(READY_PATIENCE).await;
            ready.map_err(|cause| ChangeError::NotReady {
                service: candidate.name().clone(),
                revision: candidate.number(),
                cause,
            })?;
        }
        Ok(())
    }

    /// From here on there is no way back but another change.
    fn switch(self: &Arc<Self>, before: &Roster, prepared: Prepared, began: Instant) -> Changed {
        let Prepared {
            generation,
            application,
            members,
            candidates,
        } = prepared;
        for member in members.values() {
            member.home().is(&generation);
        }
        self.desk.arrange(arrangement(&application, &members));
        self.serving.switch(generation.clone());
        let services = differences(&before.members, &members);
        let changed = Changed {
            generation: generation.number(),
            services,
            took_ms: u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        // Kept to come back to: what served until now, and, of services that have not changed, what
        // served before that.
        let mut standby = Members::new();
        let mut retiring = Vec::new();
        let serves = |member: &Arc<Member>| {
            let now = members.get(member.name());
            now.is_some_and(|now| Arc::ptr_eq(now, member))
        };
        for (name, member) in &before.members {
            if serves(member) {
                continue;
            }
            let stays = members.contains_key(name) && !member.is_worker();
            if stays {
                standby.insert(name.clone(), member.clone());
            }
            retiring.push((member.clone(), stays));
        }
        for (name, member) in &before.standby {
            if serves(member) {
                continue;
            }
            if members.contains_key(name) && !standby.contains_key(name) {
                standby.insert(name.clone(), member.clone());
            } else {
                retiring.push((member.clone(), false));
            }
        }
        let patience = application.manifest.http.drain_timeout;
        let workers: Vec<_> = candidates.into_iter().filter(|c| c.is_worker()).collect();
        self.roster.store(Arc::new(Roster {
            generation,
            application,
            members,
            standby,
        }));
        for (member, stays) in retiring {
            let successor = workers.iter().find(|worker| worker.name() == member.name());
            self.retire(member, patience, stays, successor.cloned());
        }
        for worker in workers {
            if !before.members.contains_key(worker.name()) {
                self.desk.start_one(worker.place());
            }
        }
        changed
    }

    /// Lets a revision that was replaced end what it is at, and cuts what has not ended in time. It
    /// goes for good unless it stays to be come back to.
    fn retire(
        self: &Arc<Self>,
        member: Arc<Member>,
        patience: Duration,
        stays: bool,
        successor: Option<Arc<Member>>,
    ) {
        let running = self.clone();
        task::spawn(task::Kind::Deploy, async move {
            let at_rest = async {
                if !member.is_worker() {
                    member.at_rest().await;
                }
            };
            if tokio::time::timeout(patience, at_rest).await.is_err() {
                running.cut(&member).await;
            }
            if stays {
                return;
            }
            let why = match &successor {
                Some(successor) => format!("replaced by revision {}", successor.number()),
                None => "replaced".to_owned(),
            };
            member.dismiss(why).await;
            if let Some(successor) = successor {
                running.desk.start_one(successor.place());
            }
        });
    }

    /// Ends what a replaced revision is still at, unless it serves again.
    async fn cut(&self, member: &Arc<Member>) {
        let _bench = self.bench.lock().await;
        let roster = self.roster();
        if roster.members.values().any(|now| Arc::ptr_eq(now, member)) {
            return;
        }
        let in_flight = member.revision().in_flight();
        let handles = member.revision().leased();
        member.revision().cut();
        if in_flight + handles > 0 {
            tracing::warn!(
                service = %member.name(),
                revision = member.number(),
                in_flight,
                instances_with_handles = handles,
                "replaced, and not done within the drain time-out: what was under way is cut"
            );
        }
    }
}

impl Bench {
    /// Makes what is to serve. What has the recipe of something that runs is that.
    async fn prepare(
        &mut self,
        desk: &Arc<Desk>,
        application: &Arc<Application>,
        before: Option<&Roster>,
    ) -> Result<Prepared, Vec<Mistake>> {
        let mut members = Members::new();
        let mut drafts = Vec::new();
        for name in application.manifest.services.keys() {
            let slots = self.slots.len();
            self.slots.entry(name.clone()).or_insert(Slot(slots));
            if let Some(same) = before.and_then(|before| before.same(application, name)) {
                members.insert(name.clone(), same);
                continue;
            }
            let number = self.numbers.get(name).map_or(1, |latest| latest + 1);
            let chronicle = self.chronicles.entry(name.clone()).or_default();
            drafts.extend(Draft::new(application, name, number, chronicle.clone()));
        }
        let built = self.build(application, &drafts).await?;
        application.forget_bytes();
        let mut candidates = Vec::new();
        for (draft, built) in drafts.into_iter().zip(built) {
            let name = draft.order.service.clone();
            let Some(settings) = application.manifest.services.get(&name) else {
                continue;
            };
            let earlier = before.and_then(|before| before.members.get(&name));
            let restarts = earlier.map_or(0, |earlier| earlier.restarts());
            self.numbers.insert(name.clone(), draft.order.number);
            let member = draft.hire(desk, settings, built, restarts);
            candidates.push(member.clone());
            members.insert(name, member);
        }
        let number = before.map_or(1, |before| before.generation.number() + 1);
        let generation = self.generation(number, application, &members)?;
        for candidate in &candidates {
            candidate.home().is(&generation);
        }
        Ok(Prepared {
            generation,
            application: application.clone(),
            members,
            candidates,
        })
    }

    async fn build(
        &self,
        application: &Arc<Application>,
        drafts: &[Draft],
    ) -> Result<Vec<Built>, Vec<Mistake>> {
        let orders: Vec<Order> = drafts.iter().map(|draft| draft.order.clone()).collect();
        let (application, machinery) = (application.clone(), self.machinery.clone());
        let slots = self.slots.clone();
        let building =
            tokio::task::spawn_blocking(move || build(&application, &machinery, &orders, &slots));
        match building.await {
            Ok(built) => built,
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }

    fn generation(
        &self,
        number: u64,
        application: &Application,
        members: &Members,
    ) -> Result<Arc<Generation>, Vec<Mistake>> {
        let manifest = &application.manifest;
        let handle = |name: &ServiceName| members.get(name).map(|m| m.service().clone());
        // Conflicts have been found when the manifest was read.
        let routes = routes(manifest, handle).map_err(|_| Vec::new())?;
        let services = members.iter().filter_map(|(name, member)| {
            let slot = self.slots.get(name)?;
            Some((*slot, member.service().clone()))
        });
        let settings = gateway_settings(manifest);
        let uses = members.values().map(|member| member.use_it()).collect();
        Ok(Generation::new(number, routes, services, settings, uses))
    }
}

impl Roster {
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

/// What has another revision than before.
fn differences(before: &Members, now: &Members) -> Vec<ServiceChange> {
    let names: std::collections::BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let number =
        |members: &Members, name: &ServiceName| members.get(name).map(|member| member.number());
    let change = |name: &ServiceName| {
        let (from, to) = (number(before, name), number(now, name));
        (from != to).then(|| ServiceChange {
            service: name.clone(),
            from,
            to,
        })
    };
    names.into_iter().filter_map(change).collect()
}

/// Which members start after which, and in which groups they are.
fn arrangement(application: &Application, members: &Members) -> Arrangement {
    let manifest = &application.manifest;
    let names: Vec<&ServiceName> = manifest.services.keys().collect();
    let place = |name: &ServiceName| members.get(name).map(|member| member.place());
    let order = starts_after(application);
    let arranged = names.iter().zip(order).filter_map(|(name, after)| {
        let after = after.into_iter().filter_map(|at| place(names[at]));
        Some((place(name)?, after.collect()))
    });
    let groups = manifest.groups.values().map(|group| GroupSettings {
        name: group.name.value.clone(),
        members: group
            .services
            .iter()
            .filter_map(|name| place(name))
            .collect(),
        strategy: group.strategy,
        policy: group.policy.clone(),
    });
    Arrangement {
        members: arranged.collect(),
        groups: groups.collect(),
    }
}

/// What differs and is read once, when the host starts.
fn needs_new_start(before: &Manifest, wanted: &Manifest) -> Vec<&'static str> {
    let rows = [
        ("name", before.name != wanted.name),
        ("http.listen", before.http.listen != wanted.http.listen),
        ("http.tls", before.http.tls != wanted.http.tls),
        (
            "http.limits",
            connection_limits(before) != connection_limits(wanted),
        ),
        ("[host]", before.host != wanted.host),
    ];
    let differs = |(key, differs): &(&'static str, bool)| differs.then_some(*key);
    rows.iter().filter_map(differs).collect()
}

/// What connections are held to.
pub(crate) fn connection_limits(manifest: &Manifest) -> crate::listener::ConnectionLimits {
    let limits = &manifest.http.limits;
    crate::listener::ConnectionLimits {
        connections: limits.connections as usize,
        header_bytes: limits.header_bytes.as_usize(),
        header_count: limits.header_count as usize,
        header_timeout: limits.header_timeout,
        idle_timeout: limits.idle_timeout,
        write_timeout: limits.write_timeout,
        streams: limits.streams,
    }
}

fn gateway_settings(manifest: &Manifest) -> gateway::Settings {
    let http = &manifest.http;
    gateway::Settings {
        access_log: http.access_log,
        log_calls: http.log_calls,
        trusted_proxies: http.trusted_proxies.clone(),
        header_bytes: http.limits.header_bytes.as_u64(),
        header_count: http.limits.header_count as usize,
        body_pace: Pace {
            most: http.limits.body_timeout,
            rate: http.limits.body_rate.as_u64(),
        },
        write_pace: Pace {
            most: http.limits.write_timeout,
            rate: http.limits.write_rate.as_u64(),
        },
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
