//! Whether anything may change now: not once the host stops, and not while another host is about to take
//! its place, which has the journal meanwhile.

use std::sync::{Arc, MutexGuard, PoisonError};
use std::time::Duration;

use super::Walk;
use super::effects::Effects;
use super::refusal::Refusal;
use super::roster::Roster;

/// How long a change that is under way may take to come to its end before another host is refused.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);

/// Whether anything may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    /// It may.
    Open,
    /// Another host is about to take this one's place.
    BeingReplaced,
    /// The host stops: nothing changes any more.
    Stopped,
}

/// Why a host does not stand aside. It goes on serving, and can change.
#[derive(Debug, thiserror::Error)]
pub enum AsideError<L> {
    /// It is about to end without a successor.
    #[error("it is stopping")]
    Stopping,
    /// Another host is about to take its place already.
    #[error("another process is taking over already")]
    BeingReplaced,
    /// Something is being deployed.
    #[error("a change is under way; try again when it has come to its end")]
    Changing,
    /// What is on trial is written down nowhere.
    #[error(transparent)]
    OnTrial(Refusal),
    /// The state directory cannot be lent.
    #[error(transparent)]
    Lend(L),
}

impl<E: Effects> Walk<E> {
    /// Whether anything may change now.
    ///
    /// # Errors
    /// Why not.
    pub fn is_open(&self) -> Result<(), Refusal> {
        match *self.changes() {
            Changes::Open => Ok(()),
            Changes::BeingReplaced => Err(Refusal::BeingReplaced),
            Changes::Stopped => Err(Refusal::Stopping),
        }
    }

    /// The same, and whether what a caller goes by is what serves.
    pub(super) fn may_change(
        &self,
        before: &Roster<E>,
        expected: Option<u64>,
    ) -> Result<(), Refusal> {
        self.is_open()?;
        let actual = before.number();
        match expected {
            Some(expected) if expected != actual => Err(Refusal::Conflict { expected, actual }),
            _ => Ok(()),
        }
    }

    /// From now on nothing begins to change any more. A change that is under way has as long as the
    /// caller waits.
    pub async fn stop_changing(&self) {
        *self.changes() = Changes::Stopped;
        drop(self.effects.turn().await);
    }

    /// From now on nothing begins to change, and the state directory is free for another host, until
    /// [`Walk::go_on`] or the end of this one. What serves serves on.
    ///
    /// # Errors
    /// See [`AsideError`]; then nothing is different.
    pub async fn stand_aside(self: &Arc<Self>) -> Result<(), AsideError<E::LendError>> {
        self.allow(Changes::Open, Changes::BeingReplaced)
            .map_err(|now| match now {
                Changes::BeingReplaced => AsideError::BeingReplaced,
                Changes::Open | Changes::Stopped => AsideError::Stopping,
            })?;
        let stood = async {
            let turn = self.effects.within(CHANGE_PATIENCE, self.effects.turn());
            let turn = turn.await.ok_or(AsideError::Changing)?;
            if let Some(trial) = &turn.trial {
                return Err(AsideError::OnTrial(trial.in_the_way()));
            }
            self.effects.lend().await.map_err(AsideError::Lend)
        };
        let stood = stood.await;
        if let Err(AsideError::Lend(_)) = &stood {
            self.go_on().await;
        } else if stood.is_err() {
            let _ = self.allow(Changes::BeingReplaced, Changes::Open);
        }
        stood
    }

    /// The other host does not take this one's place. Comes back when things can change again, which
    /// they cannot before the other has let go of the state directory.
    pub async fn go_on(&self) {
        self.effects.take_back().await;
        let _ = self.allow(Changes::BeingReplaced, Changes::Open);
    }

    /// From `now` on it is `next`, unless it is something else than `now`, which is answered.
    fn allow(&self, now: Changes, next: Changes) -> Result<(), Changes> {
        let mut changes = self.changes();
        if *changes != now {
            return Err(*changes);
        }
        *changes = next;
        Ok(())
    }

    fn changes(&self) -> MutexGuard<'_, Changes> {
        // It is whole at any time.
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
