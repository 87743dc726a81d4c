//! What is written down of one change, from its beginning to its end.

use std::sync::Arc;

use serde_json::Value;
use skep_core::generation::Reason;
use skep_core::name::ServiceName;

use super::Application;
use super::bench::{Bench, Prepared};
use super::ledger::{Applied, Ledger, LedgerError, Noted, record};
use super::trial::Tried;
use crate::artifact::Pin;
use crate::task;

/// See the module.
pub(super) struct Entry {
    ledger: Ledger,
    reason: Reason,
    /// Figures that led to it.
    pub(super) evidence: Value,
    pub(super) noted: Noted,
    /// What is in memory may be lost, where it cannot be handed over.
    pub(super) state_may_be_lost: bool,
    /// The services whose components come from where the manifest says.
    pub(super) from_disk: Vec<ServiceName>,
    /// Keep the components until a generation names them.
    pins: Vec<Pin>,
}

impl Entry {
    /// Keeps the components, and notes what is about to be done to these services.
    pub(super) async fn begin(
        ledger: &Ledger,
        application: &Arc<Application>,
        (reason, evidence): (Reason, Value),
        services: Vec<ServiceName>,
    ) -> Result<Entry, LedgerError> {
        let (ledger, application) = (ledger.clone(), application.clone());
        let begin = move || {
            let pins = ledger.keep(&application)?;
            let noted = ledger.begin(&reason, services)?;
            Ok(Entry {
                ledger,
                reason,
                evidence,
                state_may_be_lost: false,
                noted,
                from_disk: Vec::new(),
                pins,
            })
        };
        task::blocking(begin).await
    }

    /// Whether it is a way back to what has been before.
    pub(super) fn goes_back(&self) -> bool {
        matches!(
            self.reason,
            Reason::Rollback { .. } | Reason::Restore { .. }
        )
    }

    /// It is on trial.
    pub(super) async fn note(&self, tried: &Tried) {
        let (ledger, reason, tried) = (self.ledger.clone(), self.reason.clone(), tried.clone());
        task::blocking(move || ledger.on_trial(&reason, &tried)).await;
    }

    /// It has come to nothing.
    pub(super) async fn refuse(self, why: String) {
        task::blocking(move || {
            let Entry {
                ledger,
                reason,
                evidence,
                noted,
                ..
            } = self;
            ledger.refuse(&noted, &reason, &why, evidence);
        })
        .await;
    }

    /// It is what serves after the next start, whatever ends this host.
    pub(super) async fn commit(
        &mut self,
        bench: &mut Bench,
        prepared: &Prepared,
    ) -> Result<(), LedgerError> {
        let Some(books) = &mut bench.books else {
            return Ok(());
        };
        let applied = match &self.reason {
            Reason::Apply => Applied::of(&prepared.application),
            _ => books.applied.with(&self.from_disk, &prepared.application),
        };
        let number = prepared.generation.number();
        let (application, members) = (&prepared.application, &prepared.members);
        let record = record(number, self.reason.clone(), application, members, &applied);
        let (ledger, noted) = (self.ledger.clone(), self.noted.clone());
        let evidence = self.evidence.clone();
        task::blocking(move || ledger.commit(&record, &noted, &evidence)).await?;
        books.applied = applied;
        Ok(())
    }

    /// What is not needed any more goes, by and by.
    pub(super) fn tidy(self) {
        tokio::task::spawn_blocking(move || {
            drop(self.pins);
            self.ledger.tidy();
        });
    }
}
