//! While another host is about to take this one's place: nothing changes, and what is written down is
//! with the other.
//!
//! Before it: `takeover` has been asked for the host's place. After it: the other opens the journal
//! (`resume`), or this host goes on as if nothing had been asked.

use std::time::Duration;

use super::change_error::ChangeError;
use super::running::{Changes, Running};
use crate::journal::JournalError;
use crate::task;

/// How long a change that is under way may take to come to its end.
const CHANGE_PATIENCE: Duration = Duration::from_secs(10);

/// Between two looks whether the other host has let go of the state directory.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks after which it is said that the other has not let go.
const LOOKS: u32 = 100;

/// Why a host does not stand aside. It goes on serving, and can change.
#[derive(Debug, thiserror::Error)]
pub enum AsideError {
    /// It is about to end without a successor.
    #[error("it is stopping")]
    Stopping,
    /// Something is being deployed.
    #[error("a change is under way; try again when it has come to its end")]
    Changing,
    /// What is on trial is written down nowhere.
    #[error(transparent)]
    OnTrial(ChangeError),
    /// Nothing is written down of this application.
    #[error("it was started without a manifest")]
    NoLedger,
    /// The directory stays locked.
    #[error("it cannot let go of its state directory")]
    Journal(#[from] JournalError),
}

impl Running {
    /// From now on nothing begins to change, and the state directory is free for another host, until
    /// [`Running::go_on`] or the end of this one. What serves serves on.
    ///
    /// # Errors
    /// See [`AsideError`]; then nothing is different.
    pub(crate) async fn stand_aside(&self) -> Result<(), AsideError> {
        let ledger = self.ledger.clone().ok_or(AsideError::NoLedger)?;
        self.allow(Changes::Open, Changes::BeingReplaced)
            .map_err(|()| AsideError::Stopping)?;
        let stood = async {
            let bench = tokio::time::timeout(CHANGE_PATIENCE, self.bench.lock()).await;
            let bench = bench.map_err(|_| AsideError::Changing)?;
            if let Some(trial) = &bench.trial {
                return Err(AsideError::OnTrial(trial.in_the_way()));
            }
            Ok(task::blocking(move || ledger.lend()).await?)
        };
        let stood = stood.await;
        if let Err(AsideError::Journal(_)) = &stood {
            self.go_on().await;
        } else if stood.is_err() {
            let _ = self.allow(Changes::BeingReplaced, Changes::Open);
        }
        stood
    }

    /// The other host does not take this one's place. Comes back when things can change again, which
    /// they cannot before the other has let go of the state directory.
    pub(crate) async fn go_on(&self) {
        let Some(ledger) = &self.ledger else {
            return;
        };
        for look in 1.. {
            let ledger = ledger.clone();
            match task::blocking(move || ledger.take_back()).await {
                Ok(()) => break,
                Err(error @ JournalError::InUse { .. }) if look == LOOKS => {
                    tracing::warn!("nothing can be deployed: {error}");
                }
                Err(JournalError::InUse { .. }) => {}
                Err(error) => {
                    // What wants to write says so again, and may succeed.
                    tracing::error!("the journal cannot be used any more: {error}");
                    break;
                }
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
        let _ = self.allow(Changes::BeingReplaced, Changes::Open);
    }
}
