//! What survives the host: what was committed, what was begun, and components; and beside it what the
//! simulation knows of the past, to compare with.

use std::collections::{BTreeMap, BTreeSet};

use skep_core::name::ServiceName;

use super::parts::{Component, Placed};

/// So many generations are kept.
const KEPT: usize = 3;

/// The state directory.
#[derive(Default)]
pub(crate) struct Disk {
    pub(crate) active: u64,
    pub(crate) generations: BTreeMap<u64, Placed>,
    pub(crate) intents: BTreeSet<u64>,
    last_intent: u64,
    pub(crate) next: BTreeMap<ServiceName, u32>,
    pub(crate) store: BTreeSet<Component>,
    /// Another host has it.
    pub(crate) lent: bool,
    /// The other host is still there.
    pub(crate) other: bool,
}

impl Disk {
    /// Notes an intent, and gives numbers that nobody has.
    pub(crate) fn begin(
        &mut self,
        services: &BTreeMap<ServiceName, u32>,
    ) -> (u64, BTreeMap<ServiceName, u32>) {
        self.last_intent += 1;
        self.intents.insert(self.last_intent);
        let mut numbers = BTreeMap::new();
        for (service, least) in services {
            let next = self.next.entry(service.clone()).or_insert(1);
            let number = (*next).max(*least);
            *next = number + 1;
            numbers.insert(service.clone(), number);
        }
        (self.last_intent, numbers)
    }

    /// False if another was quicker.
    pub(crate) fn commit(&mut self, number: u64, placed: Placed, intent: u64) -> bool {
        if self.active >= number {
            return false;
        }
        for (service, (revision, _)) in &placed {
            let next = self.next.entry(service.clone()).or_insert(1);
            *next = (*next).max(revision + 1);
        }
        self.active = number;
        self.generations.insert(number, placed);
        self.intents.remove(&intent);
        true
    }

    /// Whether a crash cannot make anybody give this number again.
    pub(crate) fn has_given(&self, service: &ServiceName, number: u32) -> bool {
        self.next.get(service).is_some_and(|next| number < *next)
    }

    /// Forgets what is too old, and what no generation names nor anybody holds.
    pub(crate) fn tidy(&mut self, pins: &BTreeMap<Component, usize>) {
        while self.generations.len() > KEPT {
            self.generations.pop_first();
        }
        let named: BTreeSet<Component> = self
            .generations
            .values()
            .flat_map(|placed| placed.values().map(|(_, component)| *component))
            .collect();
        self.store
            .retain(|component| named.contains(component) || pins.contains_key(component));
    }
}

/// What has been seen, whoever has forgotten it.
#[derive(Default)]
pub(crate) struct Past {
    /// The last generation that somebody was told serves.
    pub(crate) acknowledged: u64,
    /// What each generation was that requests went by.
    pub(crate) shown: BTreeMap<u64, Placed>,
    /// What each number of a revision means.
    pub(crate) revisions: BTreeMap<(ServiceName, u32), Component>,
}

impl Past {
    /// A host has ended: what nobody has written down may be another next time.
    pub(crate) fn forget(&mut self, disk: &Disk) {
        self.shown.retain(|number, _| *number <= disk.active);
        self.revisions
            .retain(|(service, number), _| disk.has_given(service, *number));
    }
}
