//! While another host is about to take this one's place: nothing changes, and what is written down is
//! with the other.
//!
//! Before it: `takeover` has been asked for the host's place. After it: the other opens the journal
//! (`resume`), or this host goes on as if nothing had been asked.

use std::time::Duration;

use skep_core::change;

use super::ledger::Ledger;
use super::running::Running;
use crate::journal::JournalError;
use crate::task;

/// Between two looks whether the other host has let go of the state directory.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks after which it is said that the other has not let go.
const LOOKS: u32 = 100;

/// Why the state directory is not lent.
#[derive(Debug, thiserror::Error)]
pub enum LendError {
    /// Nothing is written down of this application.
    #[error("it was started without a manifest")]
    NoLedger,
    /// The directory stays locked.
    #[error("it cannot let go of its state directory")]
    Journal(#[from] JournalError),
}

/// Why a host does not stand aside. It goes on serving, and can change.
pub type AsideError = change::AsideError<LendError>;

impl Running {
    /// From now on nothing begins to change, and the state directory is free for another host, until
    /// [`Running::go_on`] or the end of this one. What serves serves on.
    ///
    /// # Errors
    /// See [`AsideError`]; then nothing is different.
    pub(crate) async fn stand_aside(&self) -> Result<(), AsideError> {
        self.walk.stand_aside().await
    }

    /// The other host does not take this one's place. Comes back when things can change again, which
    /// they cannot before the other has let go of the state directory.
    pub(crate) async fn go_on(&self) {
        self.walk.go_on().await;
    }
}

/// Lets another host have what is written down.
pub(super) async fn lend(ledger: Option<&Ledger>) -> Result<(), LendError> {
    let ledger = ledger.cloned().ok_or(LendError::NoLedger)?;
    Ok(task::blocking(move || ledger.lend()).await?)
}

/// Waits until the other host has let go of it.
pub(super) async fn take_back(ledger: &Ledger) {
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
}
