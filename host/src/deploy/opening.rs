//! The first generation of a host's life: the one that was acknowledged last, or, if something has been
//! changed on disk since, one that comes after it.

use std::collections::BTreeMap;

use skep_core::generation::{Generation as Record, Reason};
use skep_core::name::ServiceName;

use super::Application;
use super::change::Prepared;
use super::ledger::{Noted, record};
use super::running::Bench;
use crate::artifact::{Digest, Pin};

/// See the module.
pub(super) struct Opening {
    pub(super) number: u64,
    /// Of those that are new.
    pub(super) revisions: BTreeMap<ServiceName, u32>,
    /// None if there is nothing to write down, or it cannot be.
    noted: Option<(Noted, Vec<Pin>)>,
}

impl Bench {
    /// Notes what is about to start. `new` are the services that do not go on as they were recorded.
    /// A host that cannot write anything down serves all the same, and says so.
    pub(super) async fn open(
        &self,
        last: Option<&Record>,
        application: &std::sync::Arc<Application>,
        new: Vec<ServiceName>,
    ) -> Opening {
        let next = last.map_or(1, |last| last.number + 1);
        // Numbers that nobody has written down: those after what is recorded.
        let after = |name: &ServiceName| {
            let placed = last.and_then(|last| last.services.get(name));
            (name.clone(), placed.map_or(1, |placed| placed.revision + 1))
        };
        let unwritten = new.iter().map(after).collect();
        let nothing = |number, revisions| Opening {
            number,
            revisions,
            noted: None,
        };
        let Some(books) = &self.books else {
            return nothing(next, unwritten);
        };
        if let Some(last) = last
            && new.is_empty()
            && last.manifest == Digest::of(application.source.text.as_bytes())
            && last.services.len() == application.manifest.services.len()
        {
            return nothing(last.number, unwritten);
        }
        let (ledger, application) = (books.ledger.clone(), application.clone());
        let begun = tokio::task::spawn_blocking(move || {
            let pins = ledger.keep(&application)?;
            Ok::<_, super::LedgerError>((ledger.begin(&Reason::Start, new)?, pins))
        });
        match begun.await {
            Ok(Ok((noted, pins))) => Opening {
                number: next,
                revisions: noted.revisions.clone(),
                noted: Some((noted, pins)),
            },
            Ok(Err(error)) => {
                tracing::warn!("this start is not written down: {error}");
                nothing(next, unwritten)
            }
            Err(panic) => std::panic::resume_unwind(panic.into_panic()),
        }
    }
}

impl Opening {
    /// What was to start has mistakes.
    pub(super) async fn refuse(self, bench: &Bench) {
        if let (Some((noted, _pins)), Some(books)) = (self.noted, &bench.books) {
            let ledger = books.ledger.clone();
            let refuse = move || ledger.refuse(&noted, &Reason::Start, "something cannot be built");
            let _ = tokio::task::spawn_blocking(refuse).await;
        }
    }

    /// It serves from now on, also after the next start.
    pub(super) async fn commit(self, bench: &Bench, prepared: &Prepared) {
        let (Some((noted, pins)), Some(books)) = (self.noted, &bench.books) else {
            return;
        };
        let Prepared {
            application,
            members,
            ..
        } = prepared;
        let record = record(
            self.number,
            Reason::Start,
            application,
            members,
            &books.applied,
        );
        let ledger = books.ledger.clone();
        let commit = move || {
            if let Err(error) = ledger.commit(&record, &noted) {
                tracing::warn!("this start is not written down: {error}");
            }
            drop(pins);
            ledger.tidy();
        };
        let _ = tokio::task::spawn_blocking(commit).await;
    }
}
