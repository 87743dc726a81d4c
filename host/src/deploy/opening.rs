//! The first generation of a host's life: the one that was acknowledged last, or, if something has been
//! changed on disk since, one that comes after it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use skep_core::generation::{Generation as Record, Reason};
use skep_core::name::ServiceName;

use super::Application;
use super::bench::{Bench, Prepared};
use super::entry::Entry;
use crate::artifact::Digest;

/// See the module.
pub(super) struct Opening {
    pub(super) number: u64,
    /// Of those that are new.
    pub(super) revisions: BTreeMap<ServiceName, u32>,
    /// None if there is nothing to write down, or it cannot be.
    entry: Option<Entry>,
}

impl Bench {
    /// Notes what is about to start. `new` are the services that do not go on as they were recorded.
    /// A host that cannot write anything down serves all the same, and says so.
    pub(super) async fn open(
        &self,
        last: Option<&Record>,
        application: &Arc<Application>,
        new: Vec<ServiceName>,
    ) -> Opening {
        let next = last.map_or(1, |last| last.number + 1);
        // Numbers that nobody has written down: those after what is recorded.
        let after = |name: &ServiceName| {
            let placed = last.and_then(|last| last.services.get(name));
            (name.clone(), placed.map_or(1, |placed| placed.revision + 1))
        };
        let unwritten = Opening {
            number: next,
            revisions: new.iter().map(after).collect(),
            entry: None,
        };
        let Some(books) = &self.books else {
            return unwritten;
        };
        if let Some(last) = last
            && new.is_empty()
            && last.manifest == Digest::of(application.source.text.as_bytes())
            && last.services.len() == application.manifest.services.len()
        {
            return Opening {
                number: last.number,
                ..unwritten
            };
        }
        match Entry::begin(
            &books.ledger,
            application,
            (Reason::Start, Value::Null),
            new,
        )
        .await
        {
            Ok(entry) => Opening {
                number: next,
                revisions: entry.noted.revisions.clone(),
                entry: Some(entry),
            },
            Err(error) => {
                tracing::warn!("this start is not written down: {error}");
                unwritten
            }
        }
    }
}

impl Opening {
    /// What was to start has mistakes.
    pub(super) async fn refuse(self) {
        if let Some(entry) = self.entry {
            entry.refuse("something cannot be built".to_owned()).await;
        }
    }

    /// It serves from now on, also after the next start.
    pub(super) async fn commit(self, bench: &mut Bench, prepared: &Prepared) {
        let Some(mut entry) = self.entry else {
            return;
        };
        if let Err(error) = entry.commit(bench, prepared).await {
            tracing::warn!("this start is not written down: {error}");
        }
        entry.tidy();
    }
}
