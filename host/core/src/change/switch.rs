//! It is written down, and serves; or what was begun is undone.
//!
//! Before it: `forward`. After it: `succession` sees to what was replaced, `probation` to what is new.

use std::sync::Arc;
use std::time::Duration;

use super::Walk;
use super::effects::{Application, Effects};
use super::handover::HandedOver;
use super::probation::Watch;
use super::roster::{Made, Prepared, Roster, Switched, Turn, differences};
use super::succession::Succession;

impl<E: Effects> Walk<E> {
    /// Writes down that it serves from now on, and lets it.
    pub(super) async fn commit(
        self: &Arc<Self>,
        turn: &mut Turn<E>,
        before: &Roster<E>,
        mut made: Made<E>,
        began: Duration,
    ) -> Result<Switched, E::Error> {
        let effects = &self.effects;
        let anyway = made.state_may_be_lost;
        let handed = match HandedOver::from(effects, before, &made.prepared, anyway).await {
            Ok(handed) => handed,
            Err(error) => {
                let why = "it does not take over the state";
                return Err(self.give_up(before, made, error, why).await);
            }
        };
        turn.gives_number(&made.prepared.generation);
        let Made {
            prepared, entry, ..
        } = &mut made;
        if let Err(error) = effects.commit(&mut turn.bench, entry, prepared).await {
            handed.undo(effects);
            let why = "it cannot be written down";
            return Err(self.give_up(before, made, error, why).await);
        }
        let Made {
            prepared,
            entry,
            reason,
            ..
        } = made;
        let watch = Watch::of_change(before, &prepared, &reason);
        let switched = self.switch(before, prepared, began);
        handed.settle(effects);
        if let Some(watch) = watch {
            watch.begin(self);
        }
        effects.tidy(entry);
        Ok(switched)
    }

    /// From here on there is no way back but another change.
    fn switch(
        self: &Arc<Self>,
        before: &Roster<E>,
        prepared: Prepared<E>,
        began: Duration,
    ) -> Switched {
        let Prepared {
            generation,
            application,
            members,
            candidates,
        } = prepared;
        for member in members.values() {
            self.effects.enter(member, &generation);
        }
        self.effects.arrange(&application, &members);
        self.effects.show(&generation, None);
        let switched = Switched {
            generation: E::number(&generation),
            services: differences(&before.members, &members),
            took: self.effects.now().saturating_sub(began),
        };
        let patience = application.drain_timeout();
        let (standby, succession) = Succession::of(before, &members, candidates);
        let roster = Roster {
            generation,
            application,
            members,
            standby,
            trial: None,
        };
        self.succeed(roster, succession, patience);
        switched
    }

    /// What was to serve does not: what it has begun comes to its end, and it goes. Answers the error
    /// that it was given.
    pub(super) async fn give_up(
        self: &Arc<Self>,
        before: &Roster<E>,
        made: Made<E>,
        error: E::Error,
        why: &'static str,
    ) -> E::Error {
        if before.trial.is_some() {
            // It was on trial.
            self.effects.show(&before.generation, None);
            self.runs(Roster {
                trial: None,
                ..before.clone()
            });
        }
        self.effects.arrange(&before.application, &before.members);
        let Made {
            prepared, entry, ..
        } = made;
        self.effects.refuse(entry, &error).await;
        self.dismiss(prepared.candidates, before.application.drain_timeout(), why);
        error
    }
}

impl Switched {
    /// It serves already.
    pub(super) fn nothing(generation: u64) -> Switched {
        Switched {
            generation,
            services: Vec::new(),
            took: Duration::ZERO,
        }
    }
}
