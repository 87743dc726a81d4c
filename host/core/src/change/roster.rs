//! What the walk goes by: what runs, what somebody wants, and what has been made of that.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::effects::{Application as _, Effects, Member};
use super::trial::{OnShow, OnTrial};
use crate::generation::Reason;
use crate::name::ServiceName;

/// Revisions by the names of their services.
pub type Members<M> = BTreeMap<ServiceName, Arc<M>>;

/// What runs, as others see it.
pub struct Roster<E: Effects> {
    pub generation: Arc<E::Generation>,
    pub application: Arc<E::Application>,
    /// Those that serve.
    pub members: Members<E::Member>,
    /// Those that served before them, kept to come back to.
    pub standby: Members<E::Member>,
    /// What is on trial.
    pub trial: Option<OnShow<E>>,
}

impl<E: Effects> Clone for Roster<E> {
    fn clone(&self) -> Self {
        Roster {
            generation: self.generation.clone(),
            application: self.application.clone(),
            members: self.members.clone(),
            standby: self.standby.clone(),
            trial: self.trial.clone(),
        }
    }
}

impl<E: Effects> Roster<E> {
    /// The generation that serves.
    pub fn number(&self) -> u64 {
        E::number(&self.generation)
    }

    /// Whether it serves.
    pub(super) fn serves(&self, member: &Arc<E::Member>) -> bool {
        let now = self.members.get(member.service());
        now.is_some_and(|now| Arc::ptr_eq(now, member))
    }

    /// Whether it is on trial.
    pub(super) fn tries(&self, member: &Arc<E::Member>) -> bool {
        let mut candidates = self.trial.iter().flat_map(|trial| &trial.candidates);
        candidates.any(|one| Arc::ptr_eq(one, member))
    }

    /// What of it goes on where the application is another.
    pub(super) fn kept(&self, application: &E::Application) -> Members<E::Member> {
        let kept = |name: ServiceName| {
            let wanted = |member: &&Arc<E::Member>| E::is_made_for(member, application);
            let active = self.members.get(&name).filter(wanted);
            let standby = || {
                let standby = self.standby.get(&name).filter(wanted);
                standby.filter(|member| member.is_ready())
            };
            let member = active.or_else(standby)?.clone();
            Some((name, member))
        };
        application.services().filter_map(kept).collect()
    }
}

/// A state of the application that somebody wants.
pub struct Wanted<E: Effects> {
    /// The whole of it.
    pub application: Arc<E::Application>,
    /// Why.
    pub reason: Reason,
    /// Figures that led to it, for the journal.
    pub evidence: Value,
    /// What services keep in memory may be lost, where it cannot be handed over.
    pub state_may_be_lost: bool,
    /// The numbers of those that have been before.
    pub revisions: BTreeMap<ServiceName, u32>,
    /// Those whose components have just been read from where the manifest says.
    pub from_disk: Vec<ServiceName>,
    /// The generation that it is but for what its reason says, if it was made from one: no other may
    /// serve by then, or what others did meanwhile would be undone.
    pub basis: Option<u64>,
    /// Who is told of each step.
    pub listener: E::Listener,
}

impl<E: Effects> Wanted<E> {
    /// All that is new in it has never been before, and it was made from nothing that serves.
    pub fn new(application: impl Into<Arc<E::Application>>, reason: Reason) -> Self {
        Wanted {
            application: application.into(),
            reason,
            evidence: Value::Null,
            state_may_be_lost: false,
            revisions: BTreeMap::new(),
            from_disk: Vec::new(),
            basis: None,
            listener: E::Listener::default(),
        }
    }

    /// Whether it is the deploy of a component that serves already.
    pub(super) fn is_there(&self, roster: &Roster<E>) -> bool {
        let Reason::Deploy { service } = &self.reason else {
            return false;
        };
        let serves = roster.members.get(service).map(|member| member.component());
        serves.is_some() && serves == self.application.component(service)
    }
}

/// What is to be made.
pub struct Order<'w, E: Effects> {
    /// What runs, if anything does.
    pub before: Option<&'w Roster<E>>,
    pub application: &'w Arc<E::Application>,
    /// What goes on. All other services of the application get a new revision.
    pub kept: Members<E::Member>,
    /// The generation's.
    pub number: u64,
    /// The number of each new revision.
    pub revisions: &'w BTreeMap<ServiceName, u32>,
}

/// The state of the application that a change makes, before it serves.
pub struct Prepared<E: Effects> {
    pub generation: Arc<E::Generation>,
    pub application: Arc<E::Application>,
    pub members: Members<E::Member>,
    /// Of them, those that are new.
    pub candidates: Vec<Arc<E::Member>>,
}

/// What is ready to serve, with what is written down of it so far.
pub struct Made<E: Effects> {
    pub prepared: Prepared<E>,
    pub(super) entry: E::Entry,
    pub(super) reason: Reason,
    /// What is in memory may be lost, where it cannot be handed over.
    pub(super) state_may_be_lost: bool,
}

/// What whoever has the turn to change something works with. One has it at a time.
pub struct Turn<E: Effects> {
    /// What revisions are made with.
    pub bench: E::Bench,
    /// What is on trial.
    pub trial: Option<OnTrial<E>>,
    /// The latest revision of each service that this host has made.
    revisions: BTreeMap<ServiceName, u32>,
    /// The latest generation that requests went by, or that may have been written down.
    number: u64,
}

impl<E: Effects> Turn<E> {
    /// Nothing has been made yet.
    pub fn new(bench: E::Bench) -> Self {
        Turn {
            bench,
            trial: None,
            revisions: BTreeMap::new(),
            number: 0,
        }
    }

    /// A number that no generation has been seen with.
    pub(super) fn next_number(&self, before: &Roster<E>) -> u64 {
        self.number.max(before.number()) + 1
    }

    /// It is about to be seen: no other generation gets this number.
    pub(super) fn gives_number(&mut self, generation: &E::Generation) {
        self.number = self.number.max(E::number(generation));
    }

    /// The least number that the next revision of a service may get.
    pub(super) fn least(&self, service: &ServiceName) -> u32 {
        self.revisions.get(service).map_or(1, |latest| latest + 1)
    }

    /// These have been given.
    pub(super) fn gives(&mut self, revisions: &BTreeMap<ServiceName, u32>) {
        for (service, number) in revisions {
            let latest = self.revisions.entry(service.clone()).or_default();
            *latest = (*latest).max(*number);
        }
    }
}

/// A change that has been made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Switched {
    /// The generation that serves now.
    pub generation: u64,
    /// What has another revision than before, or none, or is new.
    pub services: Vec<ServiceChange>,
    /// From the beginning to the switch.
    pub took: Duration,
}

/// What a change was for one service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceChange {
    /// Which.
    pub service: ServiceName,
    /// The revision before; none if it is new.
    pub from: Option<u32>,
    /// The revision now; none if it has been removed.
    pub to: Option<u32>,
}

/// What has another revision than before.
pub fn differences<M: Member>(before: &Members<M>, now: &Members<M>) -> Vec<ServiceChange> {
    let names: BTreeSet<_> = before.keys().chain(now.keys()).collect();
    let number =
        |members: &Members<M>, name: &ServiceName| members.get(name).map(|member| member.number());
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
