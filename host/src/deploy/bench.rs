//! Where the next state of the application is made: what is new is built and gets its supervisor, and
//! a generation is put together of that and of what goes on.
//!
//! Before it: `change` (or, for the first, `running`) knows what is wanted. After it: `change` proves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;

use super::Application;
use super::build::{Built, Order, build, routes};
use super::http::gateway_settings;
use super::ledger::{Applied, Ledger};
use super::machinery::Machinery;
use super::member::{Chronicle, Draft, Member, Members};
use super::progress::Progress;
use super::trial::OnTrial;
use crate::generation::{Generation, Slot};
use crate::supervisor::Desk;
use crate::task;

/// What is written down.
pub(super) struct Books {
    pub(super) ledger: Ledger,
    pub(super) applied: Applied,
}

/// What changes are made with.
pub(super) struct Bench {
    pub(super) machinery: Machinery,
    slots: BTreeMap<ServiceName, Slot>,
    chronicles: BTreeMap<ServiceName, Chronicle>,
    /// The latest revision of each service.
    numbers: BTreeMap<ServiceName, u32>,
    /// None: nothing is written down.
    pub(super) books: Option<Books>,
    /// What is on trial.
    pub(super) trial: Option<OnTrial>,
}

/// What goes on, of what runs.
#[derive(Default)]
pub(super) struct Kept {
    /// Those that have the recipe that is wanted.
    pub(super) members: Members,
    /// How often each service was restarted so far.
    pub(super) restarts: BTreeMap<ServiceName, u64>,
}

/// The state of the application that a change makes, before it serves.
pub(super) struct Prepared {
    pub(super) generation: Arc<Generation>,
    pub(super) application: Arc<Application>,
    pub(super) members: Members,
    /// Of them, those that are new.
    pub(super) candidates: Vec<Arc<Member>>,
    /// Who waits for it to serve.
    pub(super) progress: Progress,
}

impl Bench {
    /// Nothing has been made on it yet.
    pub(super) fn new(machinery: Machinery, books: Option<Books>) -> Bench {
        Bench {
            machinery,
            slots: BTreeMap::new(),
            chronicles: BTreeMap::new(),
            numbers: BTreeMap::new(),
            books,
            trial: None,
        }
    }

    /// Makes what is to serve, but for what is kept.
    pub(super) async fn prepare(
        &mut self,
        desk: &Arc<Desk>,
        application: &Arc<Application>,
        kept: Kept,
        number: u64,
        revisions: &BTreeMap<ServiceName, u32>,
        progress: Progress,
    ) -> Result<Prepared, Vec<Mistake>> {
        let Kept {
            mut members,
            restarts,
        } = kept;
        let mut drafts = Vec::new();
        for name in application.manifest.services.keys() {
            let slots = self.slots.len();
            self.slots.entry(name.clone()).or_insert(Slot(slots));
            if members.contains_key(name) {
                continue;
            }
            let latest = self.numbers.get(name);
            let number = revisions.get(name).copied();
            let number = number.unwrap_or_else(|| latest.map_or(1, |latest| latest + 1));
            let chronicle = self.chronicles.entry(name.clone()).or_default();
            drafts.extend(Draft::new(application, name, number, chronicle.clone()));
        }
        let built = self.build(application, &drafts, &progress).await?;
        application.forget_bytes();
        let mut candidates = Vec::new();
        for (draft, built) in drafts.into_iter().zip(built) {
            let name = draft.order.service.clone();
            let Some(settings) = application.manifest.services.get(&name) else {
                continue;
            };
            let restarts = restarts.get(&name).copied().unwrap_or_default();
            let latest = self.numbers.entry(name.clone()).or_default();
            *latest = draft.order.number.max(*latest);
            let member = draft.hire(desk, settings, built, restarts);
            candidates.push(member.clone());
            members.insert(name, member);
        }
        let generation = self.generation(number, application, &members)?;
        for candidate in &candidates {
            candidate.home().is(&generation);
        }
        Ok(Prepared {
            generation,
            application: application.clone(),
            members,
            candidates,
            progress,
        })
    }

    async fn build(
        &self,
        application: &Arc<Application>,
        drafts: &[Draft],
        progress: &Progress,
    ) -> Result<Vec<Built>, Vec<Mistake>> {
        let orders: Vec<Order> = drafts.iter().map(|draft| draft.order.clone()).collect();
        let (application, machinery) = (application.clone(), self.machinery.clone());
        let (slots, progress) = (self.slots.clone(), progress.clone());
        let built = move || build(&application, &machinery, &orders, &slots, &progress);
        task::blocking(built).await
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
