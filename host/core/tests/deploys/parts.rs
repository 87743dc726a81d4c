//! What an application is made of here: enough of a component, a revision and a generation for what the
//! walk of a change decides.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};
use std::time::Duration;

use skep_core::change::{Application, Member, Members};
use skep_core::digest::Digest;
use skep_core::name::ServiceName;

/// All services that there ever are.
pub(crate) static NAMES: LazyLock<Vec<ServiceName>> = LazyLock::new(|| {
    let names = ["cart", "catalog", "front", "mail", "stock"];
    let parse = |name: &&str| ServiceName::parse(name).unwrap();
    names.iter().map(parse).collect()
});

/// What a component's revisions are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// There may be many of it.
    Plain,
    /// It keeps its state in one instance.
    Keeps,
    /// It keeps its state in one instance, and hands it over.
    HandsOver,
    Worker,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Component {
    pub(crate) id: u32,
    pub(crate) kind: Kind,
}

impl Component {
    pub(crate) fn digest(self) -> Digest {
        let mut bytes = [0; 32];
        bytes[..4].copy_from_slice(&self.id.to_be_bytes());
        Digest::from_bytes(bytes)
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct App {
    pub(crate) services: BTreeMap<ServiceName, Component>,
}

impl App {
    pub(crate) fn with(&self, service: &ServiceName, component: Component) -> App {
        let mut app = self.clone();
        app.services.insert(service.clone(), component);
        app
    }
}

impl Application for App {
    fn services(&self) -> impl Iterator<Item = ServiceName> {
        self.services.keys().cloned()
    }

    fn component(&self, service: &ServiceName) -> Option<Digest> {
        self.services
            .get(service)
            .map(|component| component.digest())
    }

    fn drain_timeout(&self) -> Duration {
        Duration::from_secs(1)
    }
}

/// A revision.
pub(crate) struct Revision {
    /// No other of this life has it.
    pub(crate) id: u64,
    pub(crate) service: ServiceName,
    pub(crate) number: u32,
    pub(crate) component: Component,
    now: Mutex<Now>,
    /// Generations that it is in hold this.
    pub(crate) uses: Arc<()>,
}

/// How it stands with a revision.
pub(crate) struct Now {
    pub(crate) phase: Phase,
    /// Its first start went well, or it was there when the host started.
    pub(crate) proved: bool,
    pub(crate) latch: Latch,
    pub(crate) handed_over: bool,
    /// What was under way has been ended, and so is what comes.
    pub(crate) cut: bool,
    pub(crate) inside: u32,
    /// What it has in memory.
    pub(crate) memory: Memory,
}

impl Now {
    /// Of a worker: it was started and has not ended.
    pub(crate) fn is_at_work(&self) -> bool {
        self.proved && matches!(self.phase, Phase::Up | Phase::Stopping)
    }
}

/// A history of a state, and how many calls of it are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Memory {
    pub(crate) history: u64,
    pub(crate) calls: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    New,
    Starting,
    Up,
    Failed,
    Stopping,
    Gone,
}

/// What the door is, whatever the phase.
#[derive(Clone)]
pub(crate) enum Latch {
    None,
    Paused,
    Moved(Arc<Revision>),
}

impl Revision {
    pub(crate) fn new(
        id: u64,
        service: &ServiceName,
        number: u32,
        component: Component,
    ) -> Arc<Revision> {
        Arc::new(Revision {
            id,
            service: service.clone(),
            number,
            component,
            now: Mutex::new(Now {
                phase: Phase::New,
                proved: false,
                latch: Latch::None,
                handed_over: false,
                cut: false,
                inside: 0,
                memory: Memory {
                    history: id,
                    calls: 0,
                },
            }),
            uses: Arc::default(),
        })
    }

    pub(crate) fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap()
    }

    /// No request can come to it any more, and nothing is under way in it.
    pub(crate) fn is_at_rest(&self) -> bool {
        Arc::strong_count(&self.uses) == 1 && self.now().inside == 0
    }
}

impl std::fmt::Display for Revision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{}#{} ({})",
            self.service, self.number, self.component.id
        )
    }
}

impl Member for Revision {
    fn service(&self) -> &ServiceName {
        &self.service
    }

    fn number(&self) -> u32 {
        self.number
    }

    fn component(&self) -> Digest {
        self.component.digest()
    }

    fn is_worker(&self) -> bool {
        self.component.kind == Kind::Worker
    }

    fn keeps_state(&self) -> bool {
        matches!(self.component.kind, Kind::Keeps | Kind::HandsOver)
    }

    fn hands_over(&self) -> bool {
        self.component.kind == Kind::HandsOver
    }

    fn is_ready(&self) -> bool {
        self.now().phase == Phase::Up
    }
}

/// Everything that serves together.
pub(crate) struct Generation {
    pub(crate) number: u64,
    pub(crate) app: Arc<App>,
    pub(crate) members: Members<Revision>,
    _uses: Vec<Arc<()>>,
}

impl Generation {
    pub(crate) fn new(number: u64, app: &Arc<App>, members: &Members<Revision>) -> Arc<Generation> {
        Arc::new(Generation {
            number,
            app: app.clone(),
            members: members.clone(),
            _uses: members.values().map(|member| member.uses.clone()).collect(),
        })
    }

    pub(crate) fn has(&self, revision: &Revision) -> bool {
        let here = self.members.get(&revision.service);
        here.is_some_and(|here| here.id == revision.id)
    }

    pub(crate) fn placed(&self) -> Placed {
        let placed = |(name, member): (&ServiceName, &Arc<Revision>)| {
            (name.clone(), (member.number, member.component))
        };
        self.members.iter().map(placed).collect()
    }
}

/// Which revision each service has, and what it is made of: what is recorded of a generation.
pub(crate) type Placed = BTreeMap<ServiceName, (u32, Component)>;
