//! From what is wanted to what is ready: refusals before anything, the intent, the building, the proof.
//!
//! After it: `switch`, at once or, for a trial, when it is promoted.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::effects::{Application, Effects, Member};
use super::refusal::Refusal;
use super::roster::{Made, Order, Prepared, Roster, Switched, Turn, Wanted};
use super::{Walk, handover};
use crate::name::ServiceName;

impl<E: Effects> Walk<E> {
    /// Makes `wanted` what serves, whole or not at all. `expected` is the generation that the caller
    /// goes by, if that matters. It comes to its end even if nobody waits for it.
    ///
    /// # Errors
    /// Why it is not made; then nothing has changed.
    pub async fn change(
        self: &Arc<Self>,
        wanted: Wanted<E>,
        expected: Option<u64>,
    ) -> Result<Switched, E::Error> {
        let walk = self.clone();
        self.to_its_end(async move { walk.change_now(wanted, expected).await })
            .await
    }

    async fn change_now(
        self: &Arc<Self>,
        wanted: Wanted<E>,
        expected: Option<u64>,
    ) -> Result<Switched, E::Error> {
        let mut turn = self.effects.turn().await;
        let began = self.effects.now();
        let before = self.roster();
        if wanted.is_there(&before) {
            self.may_change(&before, expected)?;
            return Ok(Switched::nothing(before.number()));
        }
        let made = self.make(&mut turn, &before, wanted, expected).await?;
        self.commit(&mut turn, &before, made, began).await
    }

    /// Builds what is wanted, and proves what is new of it.
    pub(super) async fn make(
        self: &Arc<Self>,
        turn: &mut Turn<E>,
        before: &Roster<E>,
        wanted: Wanted<E>,
        expected: Option<u64>,
    ) -> Result<Made<E>, E::Error> {
        self.may_change(before, expected)?;
        self.may_change(before, wanted.basis)?;
        if let Some(trial) = &turn.trial {
            return Err(trial.in_the_way().into());
        }
        let effects = &self.effects;
        effects.fit(&mut turn.bench, &before.application, &wanted.application)?;
        let kept = before.kept(&wanted.application);
        let is_new =
            |name: &ServiceName| !kept.contains_key(name) && !wanted.revisions.contains_key(name);
        let new = wanted.application.services().filter(is_new);
        let new: BTreeMap<ServiceName, u32> = new
            .map(|name| {
                let least = turn.least(&name);
                (name, least)
            })
            .collect();
        let (entry, numbers) = effects.begin(&turn.bench, &wanted, new).await?;
        let Wanted {
            application,
            reason,
            state_may_be_lost,
            mut revisions,
            ..
        } = wanted;
        revisions.extend(numbers);
        turn.gives(&revisions);
        let order = Order {
            before: Some(before),
            application: &application,
            kept,
            number: turn.next_number(before),
            revisions: &revisions,
        };
        let prepared = match effects.prepare(&mut turn.bench, order).await {
            Ok(prepared) => prepared,
            Err(error) => {
                effects.refuse(entry, &error).await;
                return Err(error);
            }
        };
        let made = Made {
            prepared,
            entry,
            reason,
            state_may_be_lost,
        };
        let services = handover::losses::<E>(before, &made.prepared);
        let proved = match services.is_empty() || state_may_be_lost {
            true => self.prove(before, &made.prepared).await,
            false => Err(Refusal::StateLost { services }),
        };
        match proved {
            Ok(()) => Ok(made),
            Err(refusal) => {
                let why = "its deploy has been refused";
                Err(self.give_up(before, made, refusal.into(), why).await)
            }
        }
    }

    /// Starts the candidates beside what serves, and waits until each is ready. Workers start only
    /// when those before them have ended.
    async fn prove(&self, before: &Roster<E>, prepared: &Prepared<E>) -> Result<(), Refusal> {
        self.effects.stand_beside(before, prepared);
        let candidates = || prepared.candidates.iter().filter(|c| !c.is_worker());
        for candidate in candidates() {
            self.effects.start(candidate);
        }
        for candidate in candidates() {
            let ready = self.effects.ready(candidate).await;
            ready.map_err(|cause| Refusal::NotReady {
                service: candidate.service().clone(),
                revision: candidate.number(),
                cause,
            })?;
        }
        Ok(())
    }
}
