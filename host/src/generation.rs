//! What serves: the services and routes that belong together, under one number.
//!
//! A request keeps the generation that it began with through all the calls that it leads to, so that
//! it never meets contracts that do not fit one another. `deploy` makes generations and switches from
//! one to the next by one store of a pointer.

use std::fmt;
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use http::HeaderMap;
use parking_lot::Mutex;
use skep_core::rollout::Share;
use skep_core::route::RouteTable;
use tokio::sync::watch;

use crate::gateway::Settings;
use crate::service::Service;
use crate::sticky::Sticky;

/// Where a route leads.
pub struct Target {
    /// The service that answers.
    pub service: Arc<Service>,
    /// The route's own deadline.
    pub timeout: Option<Duration>,
    /// As the manifest writes it, for reports of crashes.
    pub route: Arc<str>,
}

/// The place of a service in every generation: a name has the same one for as long as the host lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub(crate) usize);

/// See the module.
pub struct Generation {
    number: u64,
    routes: RouteTable<Target>,
    /// By their slots.
    services: Vec<Option<Arc<Service>>>,
    settings: Settings,
    /// Tells whoever keeps the services that they are still needed.
    _uses: Vec<watch::Receiver<()>>,
}

impl Generation {
    /// The generation of this number. It keeps `uses` for as long as requests go by it.
    pub fn new(
        number: u64,
        routes: RouteTable<Target>,
        services: impl IntoIterator<Item = (Slot, Arc<Service>)>,
        settings: Settings,
        uses: Vec<watch::Receiver<()>>,
    ) -> Arc<Generation> {
        let mut by_slot = Vec::new();
        for (Slot(at), service) in services {
            if by_slot.len() <= at {
                by_slot.resize(at + 1, None);
            }
            by_slot[at] = Some(service);
        }
        Arc::new(Generation {
            number,
            routes,
            services: by_slot,
            settings,
            _uses: uses,
        })
    }

    /// Counted from 1; a later one has a larger one.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Which request goes where.
    pub(crate) fn routes(&self) -> &RouteTable<Target> {
        &self.routes
    }

    /// What requests are held to before they come to a service.
    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The service in that place, if there is one in this generation.
    pub(crate) fn service(&self, slot: Slot) -> Option<&Arc<Service>> {
        self.services.get(slot.0)?.as_ref()
    }
}

impl fmt::Debug for Generation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Generation").field(&self.number).finish()
    }
}

/// The generation that new requests get, and the one that some of them get on trial. Before the first
/// there is none.
#[derive(Default)]
pub struct Serving(ArcSwapOption<Shown>);

struct Shown {
    stable: Arc<Generation>,
    trial: Option<Trial>,
}

/// A generation that gets a share of the requests.
#[derive(Clone)]
pub(crate) struct Trial {
    pub(crate) generation: Arc<Generation>,
    pub(crate) share: Share,
    pub(crate) sticky: Option<Sticky>,
}

impl Serving {
    /// From now on new requests get this one, but for those that get another on trial.
    pub(crate) fn show(&self, stable: Arc<Generation>, trial: Option<Trial>) {
        self.0.store(Some(Arc::new(Shown { stable, trial })));
    }

    /// The one that new requests get, but for those on trial.
    pub(crate) fn now(&self) -> Option<Arc<Generation>> {
        self.0.load().as_ref().map(|shown| shown.stable.clone())
    }

    /// The one that a request with these fields gets.
    pub(crate) fn pick(&self, headers: &HeaderMap) -> Option<Arc<Generation>> {
        let shown = self.0.load();
        let shown = shown.as_ref()?;
        let one = match &shown.trial {
            Some(trial) if trial.takes(headers) => &trial.generation,
            _ => &shown.stable,
        };
        Some(one.clone())
    }
}

impl Trial {
    fn takes(&self, headers: &HeaderMap) -> bool {
        let drawn = self.sticky.as_ref().and_then(|sticky| sticky.lot(headers));
        self.share.takes(drawn.unwrap_or_else(|| fastrand::u32(..)))
    }
}

/// The generation that a revision's own calls go by, those that no request led to: of a worker, of a
/// start, of what a guest does after its answer. It is the latest that the revision is in.
#[derive(Debug, Default)]
pub struct Home(Mutex<Weak<Generation>>);

impl Home {
    /// The revision is in this generation.
    pub(crate) fn is(&self, generation: &Arc<Generation>) {
        *self.0.lock() = Arc::downgrade(generation);
    }

    /// None once the revision has been replaced and its last generation is over.
    pub(crate) fn generation(&self) -> Option<Arc<Generation>> {
        self.0.lock().upgrade()
    }
}
