//! What is written down of one change, from its beginning to its end.

use std::collections::BTreeMap;

use serde_json::Value;
use skep_core::change::{Prepared, Tried};
use skep_core::generation::Reason;
use skep_core::name::ServiceName;
use skep_core::shadow::Report;

use super::bench::Bench;
use super::hands::Hands;
use super::ledger::{Applied, Ledger, LedgerError, Noted, record};
use super::running::Wanted;
use super::shadow;
use crate::artifact::Pin;
use crate::task;

/// See the module.
pub struct Entry {
    ledger: Ledger,
    reason: Reason,
    /// Figures that led to it.
    evidence: Value,
    noted: Noted,
    /// The services whose components come from where the manifest says.
    from_disk: Vec<ServiceName>,
    /// Keep the components until a generation names them.
    pins: Vec<Pin>,
}

impl Entry {
    /// Keeps the components, and notes what is about to be done to these services, whose new revisions
    /// get no lesser numbers than these.
    pub(super) async fn begin(
        ledger: &Ledger,
        wanted: &Wanted,
        services: BTreeMap<ServiceName, u32>,
    ) -> Result<Entry, LedgerError> {
        let (ledger, application) = (ledger.clone(), wanted.application.clone());
        let (reason, evidence) = (wanted.reason.clone(), wanted.evidence.clone());
        let from_disk = wanted.from_disk.clone();
        let begin = move || {
            let pins = ledger.keep(&application)?;
            let noted = ledger.begin(&reason, services)?;
            Ok(Entry {
                ledger,
                reason,
                evidence,
                noted,
                from_disk,
                pins,
            })
        };
        task::blocking(begin).await
    }

    /// Of each service that gets a new one.
    pub(super) fn revisions(&self) -> &BTreeMap<ServiceName, u32> {
        &self.noted.revisions
    }

    /// What copies of calls have shown leads to what becomes of it.
    pub(super) fn found(&mut self, found: &[Report]) {
        self.evidence = serde_json::json!({ "shadow": shadow::brief(found) });
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
        prepared: &Prepared<Hands>,
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
