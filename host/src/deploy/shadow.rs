//! A trial of which nobody notices: what is new gets copies of its service's calls, and what it answers
//! is compared with what was answered, and dropped.
//!
//! Before it: an operator wants that. After it: `service` copies and compares.

use std::sync::Arc;

use skep_core::change::{Prepared, Shadowing, Tried};
use skep_core::name::ServiceName;
use skep_core::rollout::Share;
use skep_core::shadow::Report;

use super::change_error::ChangeError;
use super::hands::Hands;
use super::member::Member;
use super::running::{Roster, Running, Wanted};
use crate::service::Shadow;

/// Candidates that get copies of what their predecessors are asked.
pub(super) type Copies = Arc<[Arc<Shadowed>]>;

/// A candidate that gets copies of what its predecessor is asked.
pub struct Shadowed {
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
        prepared: &Prepared<Hands>,
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

/// From now on the candidates get copies.
pub(super) fn copy(before: &Roster, prepared: &Prepared<Hands>, shadowing: Shadowing) -> Copies {
    let candidates = prepared.candidates.iter();
    let begun =
        candidates.filter_map(|candidate| Shadowed::begin(candidate, before, prepared, shadowing));
    begun.collect()
}

/// From now on they get no copies any more. Answers what has been found.
pub(super) fn end(copies: &Copies) -> Vec<Report> {
    let end = |shadowed: &Arc<Shadowed>| {
        shadowed.active.service().copy_to(None);
        shadowed.shadow.end();
        shadowed.report()
    };
    copies.iter().map(end).collect()
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
        self.walk.shadow(wanted, expected, shadowing, None).await
    }

    /// What has been found of the candidate that gets copies of that service's calls; none if there is
    /// none.
    pub fn shadow_report(&self, service: &ServiceName) -> Option<Report> {
        let roster = self.roster();
        let mut shadowed = roster.trial.as_ref()?.copies.as_ref()?.iter();
        let of_it = shadowed.find(|shadowed| shadowed.active.name() == service)?;
        Some(of_it.report())
    }
}
