//! What a service has in memory, when another revision takes its place: it is handed over where both can,
//! and is lost otherwise, which somebody has to want.
//!
//! Whoever calls the service meanwhile waits at its door; whoever comes to the old one afterwards, because
//! the request began with an earlier generation, is answered by the new one: there is one state.

use std::sync::Arc;

use super::effects::{Effects, Member, Pair, Told};
use super::roster::{Prepared, Roster};
use crate::name::ServiceName;

/// What a service exports that hands over its state.
pub const INTERFACE: &str = "skep:handover/state@0.1.0";

/// States that have been handed over; until it is settled, whoever wants them waits.
pub(super) struct HandedOver<E: Effects>(Vec<Pair<E::Member>>);

/// Services that keep their state in memory and cannot hand it over, where another revision is to take
/// their place.
pub(super) fn losses<E: Effects>(before: &Roster<E>, prepared: &Prepared<E>) -> Vec<ServiceName> {
    let lost = pairs(before, prepared).filter(|pair| pair.from.keeps_state() && !pair.can());
    lost.map(|pair| pair.from.service().clone()).collect()
}

/// A service that keeps its state in memory, of which another revision is to take the place.
pub(super) fn stateful<E: Effects>(
    before: &Roster<E>,
    prepared: &Prepared<E>,
) -> Option<ServiceName> {
    let mut pairs = pairs(before, prepared);
    let kept = pairs.find(|pair| pair.from.keeps_state() || pair.can())?;
    Some(kept.from.service().clone())
}

fn pairs<E: Effects>(
    before: &Roster<E>,
    prepared: &Prepared<E>,
) -> impl Iterator<Item = Pair<E::Member>> {
    before.members.iter().filter_map(|(name, from)| {
        let to = prepared.members.get(name)?;
        let is_new = !Arc::ptr_eq(from, to) && !from.is_worker() && !to.is_worker();
        is_new.then(|| Pair {
            from: from.clone(),
            to: to.clone(),
        })
    })
}

impl<M: Member> Pair<M> {
    fn can(&self) -> bool {
        self.from.hands_over() && self.to.hands_over()
    }
}

impl<E: Effects> HandedOver<E> {
    /// Hands over all that can be. `anyway`: what fails is told and lost.
    ///
    /// # Errors
    /// If one of them is not to be had; then all is as before.
    pub(super) async fn from(
        effects: &E,
        before: &Roster<E>,
        prepared: &Prepared<E>,
        anyway: bool,
    ) -> Result<HandedOver<E>, E::Error> {
        let mut done = HandedOver(Vec::new());
        for pair in pairs(before, prepared).filter(Pair::can) {
            effects.pause(&pair.from);
            let handed = effects.hand_over(&pair).await;
            if let Err(error) = &handed
                && anyway
            {
                effects.tell(Told::StateLost { pair: &pair, error });
            }
            done.0.push(pair);
            match handed {
                Err(error) if !anyway => {
                    done.undo(effects);
                    return Err(error);
                }
                _ => {}
            }
        }
        Ok(done)
    }

    /// The switch has been made: whoever waits goes on with the new ones.
    pub(super) fn settle(self, effects: &E) {
        for pair in &self.0 {
            effects.move_on(pair);
        }
    }

    /// There is no switch: the old ones go on with what they have.
    pub(super) fn undo(self, effects: &E) {
        for pair in &self.0 {
            effects.resume(&pair.from);
        }
    }
}
