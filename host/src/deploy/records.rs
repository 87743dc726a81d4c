//! What is written down of an application, for who looks at the past: he cannot change it.

use skep_core::generation::Generation;
use tokio::sync::watch;

use super::running::Running;
use crate::journal::{Journal, JournalError, Recorded};

/// Generations and events, to be read. All methods but [`Records::newest`] block.
#[derive(Clone)]
pub struct Records(Journal);

impl Running {
    /// What is written down; none if nothing is. It can be read also while nothing can change.
    pub fn records(&self) -> Option<Records> {
        let ledger = self.ledger()?;
        Some(Records(ledger.journal().clone()))
    }
}

impl Records {
    /// As [`Journal::active`].
    ///
    /// # Errors
    /// As [`Journal::active`].
    pub fn active(&self) -> Result<Option<Generation>, JournalError> {
        self.0.active()
    }

    /// As [`Journal::history`].
    ///
    /// # Errors
    /// As [`Journal::history`].
    pub fn history(&self, limit: usize) -> Result<Vec<Generation>, JournalError> {
        self.0.history(limit)
    }

    /// As [`Journal::events`].
    ///
    /// # Errors
    /// As [`Journal::events`].
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        self.0.events(after, limit)
    }

    /// As [`Journal::newest`].
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.0.newest()
    }
}
