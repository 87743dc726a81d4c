//! A trial of which nobody notices: what is new gets copies of its service's calls, and what it answers
//! is compared with what was answered, and dropped.

use std::sync::Arc;

use super::Walk;
use super::effects::{Effects, Member};
use super::refusal::Refusal;
use super::roster::{Prepared, Roster, Wanted};
use super::trial::{OnTrial, Tried};
use crate::rollout::{Exposure, Share};

/// What is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shadowing {
    /// Of all calls that may be made twice.
    pub share: Share,
    /// Requests that write, too, which may be made twice but not in another order: PUT and DELETE.
    pub writes: bool,
}

impl<E: Effects> Walk<E> {
    /// Builds and proves `wanted` as a change does, and lets it have copies of what its services are
    /// asked. `draw` is for when it is given a share of the requests. It comes to its end even if nobody
    /// waits for it.
    ///
    /// # Errors
    /// Why it is not on trial.
    pub async fn shadow(
        self: &Arc<Self>,
        wanted: Wanted<E>,
        expected: Option<u64>,
        shadowing: Shadowing,
        draw: E::Draw,
    ) -> Result<Tried, E::Error> {
        let walk = self.clone();
        self.to_its_end(async move {
            let mut turn = walk.effects.turn().await;
            let (before, made) = walk.candidates(&mut turn, wanted, expected, worker).await?;
            let copies = walk.effects.copy(&before, &made.prepared, shadowing);
            let trial = OnTrial {
                exposure: Exposure::Shadow(shadowing.share),
                copies: Some(copies),
                made,
                draw,
                steps: None,
            };
            Ok(walk.begin_trial(&mut turn, &before, trial).await)
        })
        .await
    }
}

/// A program is not asked anything.
fn worker<E: Effects>(_: &Roster<E>, prepared: &Prepared<E>) -> Option<Refusal> {
    let worker = prepared.candidates.iter().find(|one| one.is_worker())?;
    Some(Refusal::NothingToCopy {
        service: worker.service().clone(),
    })
}
