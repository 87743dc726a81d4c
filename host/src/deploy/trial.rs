//! A trial as those who ask for it see it. Its walk is `skep_core::change`.

use std::sync::Arc;

use skep_core::change;
use skep_core::name::ServiceName;
use skep_core::rollout::Share;
use skep_core::status::Candidate;

use super::change::Changed;
use super::change_error::ChangeError;
use super::hands::Hands;
use super::running::{Running, Wanted};
use crate::sticky::Sticky;

pub use skep_core::change::Tried;

/// How large a trial is, how it grows, and what makes the requests of one client go the same way.
/// Requests without that are drawn.
pub type Canary = change::Canary<Option<Sticky>>;

impl Running {
    /// Builds and proves `wanted` as a change does, and lets it serve a share of the requests. It comes
    /// to its end even if nobody waits for it.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing is on trial.
    pub async fn try_out(
        self: &Arc<Self>,
        wanted: Wanted,
        expected: Option<u64>,
        canary: Canary,
    ) -> Result<Tried, ChangeError> {
        self.walk.try_out(wanted, expected, canary).await
    }

    /// The trial goes on with another share, and stays there. What got copies so far answers from now on.
    ///
    /// # Errors
    /// If nothing is on trial, what is cannot serve beside what does, or nothing may change.
    pub async fn set_share(self: &Arc<Self>, share: Share) -> Result<Tried, ChangeError> {
        self.walk.set_share(share).await
    }

    /// What is on trial serves all requests from now on.
    ///
    /// # Errors
    /// See [`ChangeError`]; then the trial is over, unless nothing may change now.
    pub async fn promote(self: &Arc<Self>) -> Result<Changed, ChangeError> {
        let switched = self.walk.promote().await?;
        Ok(switched.into())
    }

    /// What is on trial goes; what it has begun comes to its end.
    ///
    /// # Errors
    /// If nothing is on trial, or nothing may change.
    pub async fn abort(self: &Arc<Self>) -> Result<Tried, ChangeError> {
        self.walk.abort().await
    }
}

/// The candidate of that service, if it has one.
pub(super) fn candidate(trial: &change::OnShow<Hands>, service: &ServiceName) -> Option<Candidate> {
    let mut candidates = trial.candidates.iter();
    let candidate = candidates.find(|candidate| candidate.name() == service)?;
    Some(Candidate {
        revision: candidate.number(),
        exposure: trial.exposure,
    })
}
