//! The walk of a change: what is wanted is built, proved, written down and switched to, whole or not at
//! all; and every way back.
//!
//! Whatever changes what serves is decided here and nowhere else: deploys, applies and rollbacks, trials
//! with their steps, what is taken back by itself, the first generation of a host's life, and that nothing
//! changes while another host is about to take over or this one stops. What it takes to act is behind
//! [`Effects`], which the host has with real parts, and the simulation (`tests/deploys`) with parts that
//! fail, hang, and are gone from one moment to the next.
//!
//! - [`effects`](Effects): what the walk asks of whoever acts
//! - [`roster`](Roster): what serves, what stands by, what is on trial; what is wanted, and what was made
//! - [`refusal`](Refusal): why a change is not made, where the walk itself says no
//! - `open`: whether anything may change now
//! - `start`: the first generation of a host's life
//! - `forward`: from what is wanted to what is ready
//! - `handover`: what is in memory goes to what takes its place
//! - `switch`: it is written down, and serves; or what was begun is undone
//! - `succession`: what becomes of what was replaced
//! - `trial`: what is new serves a share of the requests first, or, `shadow`, gets copies of them
//! - `probation`: what turns out bad is taken back
//!
//! **Why these are async functions and no machine of steps.** Supervision and lifecycle are machines
//! whose events come in any order. A change is one sequence: at each moment it waits for one thing, and
//! what it knows is how far it has come and what it has in its hands by then. As a machine each `.await`
//! would be a state with all that is in hand, an action and an event, and who wants to know what follows
//! what would read three tables. So the sequence stays, and what makes a machine fit to be simulated is had
//! in another way: the walk knows no runtime and no clock, waits for nothing but [`Effects`], and can
//! be dropped at each `.await`, which is what `kill -9` does to it. The same code runs in the host.

mod effects;
mod forward;
mod handover;
mod open;
mod probation;
mod refusal;
mod roster;
mod shadow;
mod start;
mod succession;
mod switch;
mod trial;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use crate::name::ServiceName;

pub use self::effects::{Application, Begun, Effects, Member, Pair, Shown, Tasks, Told};
pub use self::handover::INTERFACE as HANDOVER;
pub use self::open::AsideError;
pub use self::refusal::Refusal;
pub use self::roster::{
    Made, Members, Order, Prepared, Roster, ServiceChange, Switched, Turn, Wanted, differences,
};
pub use self::shadow::Shadowing;
pub use self::start::{First, Unwritten};
pub use self::trial::{Canary, OnShow, OnTrial, Tried};

use self::open::Changes;

/// See the module. One for a host's life.
pub struct Walk<E: Effects> {
    effects: E,
    roster: RwLock<Arc<Roster<E>>>,
    changes: Mutex<Changes>,
    /// Workers that were replaced and have not ended yet.
    ending: Mutex<BTreeMap<ServiceName, u32>>,
    /// What was replaced and has not come to rest yet, in that order.
    resting: Mutex<BTreeMap<ServiceName, Vec<Arc<E::Member>>>>,
}

impl<E: Effects> Walk<E> {
    /// What it acts with.
    pub fn effects(&self) -> &E {
        &self.effects
    }

    /// What runs now.
    pub fn roster(&self) -> Arc<Roster<E>> {
        // What is in it is whole at any time.
        let roster = self.roster.read().unwrap_or_else(PoisonError::into_inner);
        roster.clone()
    }

    fn runs(&self, roster: Roster<E>) {
        *self.roster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(roster);
    }

    /// What was begun comes to its end, whether or not anybody waits for it.
    async fn to_its_end<T: Send + 'static>(
        &self,
        walk: impl Future<Output = Result<T, E::Error>> + Send + 'static,
    ) -> Result<T, E::Error> {
        let ended = self.effects.to_its_end(walk).await;
        ended.unwrap_or_else(|| Err(Refusal::Lost.into()))
    }
}
