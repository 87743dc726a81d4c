//! Where the next state of the application is made: what is new is built and gets its supervisor, and
//! a generation is put together of that and of what goes on.
//!
//! Before it: the walk of a change knows what is wanted. After it: the same proves it.

use std::collections::BTreeMap;
use std::sync::Arc;

use skep_core::change::{self, Prepared};
use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;

use super::Application;
use super::build::{Built, Order, build, routes};
use super::hands::Hands;
use super::http::gateway_settings;
use super::ledger::{Applied, Ledger};
use super::machinery::Machinery;
use super::member::{Chronicle, Draft, Members};
use super::progress::Progress;
use crate::generation::{Generation, Slot};
use crate::supervisor::Desk;
use crate::task;

/// What is written down.
pub(super) struct Books {
    pub(super) ledger: Ledger,
    pub(super) applied: Applied,
}

/// What changes are made with.
pub struct Bench {
    pub(super) machinery: Machinery,
    slots: BTreeMap<ServiceName, Slot>,
    chronicles: BTreeMap<ServiceName, Chronicle>,
    /// None: nothing is written down.
    pub(super) books: Option<Books>,
}

impl Bench {
    /// Nothing has been made on it yet.
    pub(super) fn new(machinery: Machinery, books: Option<Books>) -> Bench {
        Bench {
            machinery,
            slots: BTreeMap::new(),
            chronicles: BTreeMap::new(),
            books,
        }
    }

    /// Makes what is ordered.
    ///
    /// # Errors
    /// All mistakes at once.
    pub(super) async fn prepare(
        &mut self,
        desk: &Arc<Desk>,
        order: change::Order<'_, Hands>,
        progress: &Progress,
    ) -> Result<Prepared<Hands>, Vec<Mistake>> {
        let (application, mut members) = (order.application, order.kept);
        let mut drafts = Vec::new();
        for name in application.manifest.services.keys() {
            let slots = self.slots.len();
            self.slots.entry(name.clone()).or_insert(Slot(slots));
            let Some(number) = order
                .revisions
                .get(name)
                .filter(|_| !members.contains_key(name))
            else {
                continue;
            };
            let chronicle = self.chronicles.entry(name.clone()).or_default();
            drafts.extend(Draft::new(application, name, *number, chronicle.clone()));
        }
        let built = self.build(application, &drafts, progress).await?;
        application.forget_bytes();
        let mut candidates = Vec::new();
        for (draft, built) in drafts.into_iter().zip(built) {
            let name = draft.order.service.clone();
            let Some(settings) = application.manifest.services.get(&name) else {
                continue;
            };
            let before = order.before.and_then(|before| before.members.get(&name));
            let restarts = before.map_or(0, |before| before.restarts());
            let member = draft.hire(desk, settings, built, restarts);
            candidates.push(member.clone());
            members.insert(name, member);
        }
        let generation = self.generation(order.number, application, &members)?;
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
