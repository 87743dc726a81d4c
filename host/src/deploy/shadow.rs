//! A trial of which nobody notices: what is new gets copies of its service's calls, and what it answers
//! is compared with what was answered, and dropped.
//!
//! Before it: an operator wants that. After it: `service` copies and compares.

use std::sync::Arc;

use skep_core::name::ServiceName;
use skep_core::rollout::{Exposure, Share};
use skep_core::shadow::Report;

use super::bench::Prepared;
use super::change::to_its_end;
use super::change_error::ChangeError;
use super::member::Member;
use super::running::{Roster, Running, Wanted};
use super::trial::{OnTrial, Tried};
use crate::service::Shadow;

/// What is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadowing {
    /// Of all calls that may be made twice.
    pub share: Share,
    /// Requests that write, too, which may be made twice but not in another order: PUT and DELETE.
    pub writes: bool,
}

/// A candidate that gets copies of what its predecessor is asked.
pub(super) struct Shadowed {
    active: Arc<Member>,
    candidate: Arc<Member>,
    share: Share,
    shadow: Arc<Shadow>,
}

impl Shadowed {
    /// From now on it gets them. None if nothing serves in its place yet.
    fn begin(
        candidate: &Arc<Member>,
        before: &Roster,
        prepared: &Prepared,
        shadowing: Shadowing,
    ) -> Option<Arc<Shadowed>> {
        let active = before.members.get(candidate.name())?;
        let Shadowing { share, writes } = shadowing;
        let (service, generation) = (candidate.service().clone(), prepared.generation.clone());
        let shadow = Shadow::new(service, generation, share, writes);
        active.service().copy_to(Some(shadow.clone()));
        Some(Arc::new(Shadowed {
            active: active.clone(),
            candidate: candidate.clone(),
            share,
            shadow,
        }))
    }

    fn report(&self) -> Report {
        let (active, candidate) = (&self.active, &self.candidate);
        let revisions = (active.number(), candidate.number());
        let comparison = self.shadow.comparison();
        comparison.report(active.name().clone(), revisions, self.share)
    }
}

/// From now on they get no copies any more. Answers what has been found.
pub(super) fn end(shadowed: &mut Vec<Arc<Shadowed>>) -> Vec<Report> {
    let end = |shadowed: Arc<Shadowed>| {
        shadowed.active.service().copy_to(None);
        shadowed.shadow.end();
        shadowed.report()
    };
    shadowed.drain(..).map(end).collect()
}

/// For the journal.
pub(super) fn brief(found: &[Report]) -> Vec<Report> {
    found.iter().map(|report| report.clone().brief()).collect()
}

impl Running {
    /// Builds and proves `wanted` as a change does, and lets it have copies of what its services are
    /// asked. It comes to its end even if nobody waits for it.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing is on trial.
    pub async fn shadow(
        self: &Arc<Self>,
        wanted: Wanted,
        expected: Option<u64>,
        shadowing: Shadowing,
    ) -> Result<Tried, ChangeError> {
        let running = self.clone();
        to_its_end(async move {
            let mut bench = running.bench.lock().await;
            let (before, prepared, entry) = running
                .candidates(&mut bench, wanted, expected, worker)
                .await?;
            let candidates = prepared.candidates.iter();
            let shadowed = candidates
                .filter_map(|candidate| Shadowed::begin(candidate, &before, &prepared, shadowing));
            let trial = OnTrial {
                shadowed: shadowed.collect(),
                exposure: Exposure::Shadow(shadowing.share),
                prepared,
                entry,
                sticky: None,
                steps: None,
            };
            Ok(running.begin(&mut bench, &before, trial).await)
        })
        .await
    }

    /// What has been found of the candidate that gets copies of that service's calls; none if there is
    /// none.
    pub fn shadow_report(&self, service: &ServiceName) -> Option<Report> {
        let roster = self.roster();
        let mut shadowed = roster.trial.as_ref()?.shadowed.iter();
        let of_it = shadowed.find(|shadowed| shadowed.active.name() == service)?;
        Some(of_it.report())
    }
}

/// A program is not asked anything.
fn worker(_: &Roster, prepared: &Prepared) -> Option<ChangeError> {
    let worker = prepared.candidates.iter().find(|one| one.is_worker())?;
    Some(ChangeError::NothingToCopy {
        service: worker.name().clone(),
    })
}
