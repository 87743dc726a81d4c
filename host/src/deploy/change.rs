//! A change as those who ask for it see it, and what it is to supervision. Its walk is
//! `skep_core::change`.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use skep_core::change::Switched;
use skep_core::name::ServiceName;
use skep_core::supervision::{Arrangement, GroupSettings};

use super::change_error::ChangeError;
use super::difference::ContractChange;
use super::member::Members;
use super::running::{Running, Wanted};
use super::{Application, starts_after};
use crate::supervisor::Desk;

pub use skep_core::change::ServiceChange;

/// How long the first start waits for services that are still starting before it lets clients in:
/// they get 503 with Retry-After from those that are not ready.
const FIRST_PATIENCE: Duration = Duration::from_secs(30);

/// How often the first start looks.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// A change that has been made.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Changed {
    /// The generation that serves now.
    pub generation: u64,
    /// What has another revision than before, or none, or is new.
    pub services: Vec<ServiceChange>,
    /// What others may notice of a component that was deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contract: Vec<ContractChange>,
    /// From the beginning to the switch, in milliseconds.
    pub took_ms: u64,
}

impl From<Switched> for Changed {
    fn from(switched: Switched) -> Changed {
        Changed {
            generation: switched.generation,
            services: switched.services,
            contract: Vec::new(),
            took_ms: u64::try_from(switched.took.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

impl Running {
    /// Makes `wanted` what serves, whole or not at all. `expected` is the generation that the caller
    /// goes by, if that matters. It comes to its end even if nobody waits for it.
    ///
    /// # Errors
    /// See [`ChangeError`]; then nothing has changed.
    pub async fn change(
        self: &Arc<Self>,
        wanted: Wanted,
        expected: Option<u64>,
    ) -> Result<Changed, ChangeError> {
        let reason = wanted.reason.clone();
        let changed = self.walk.change(wanted, expected).await;
        if let Err(error @ ChangeError::NeedsNewStart { .. }) = &changed {
            self.note_needs_new_start(reason, error).await;
        }
        changed.map(Changed::from)
    }
}

/// Which members start after which, and in which groups they are.
pub(super) fn arrangement(application: &Application, members: &Members) -> Arrangement {
    let manifest = &application.manifest;
    let names: Vec<&ServiceName> = manifest.services.keys().collect();
    let place = |name: &ServiceName| members.get(name).map(|member| member.place());
    let order = starts_after(application);
    let arranged = names.iter().zip(order).filter_map(|(name, after)| {
        let after = after.into_iter().filter_map(|at| place(names[at]));
        Some((place(name)?, after.collect()))
    });
    let groups = manifest.groups.values().map(|group| GroupSettings {
        name: group.name.value.clone(),
        members: group
            .services
            .iter()
            .filter_map(|name| place(name))
            .collect(),
        strategy: group.strategy,
        policy: group.policy.clone(),
    });
    Arrangement {
        members: arranged.collect(),
        groups: groups.collect(),
    }
}

/// Waits until no service is starting any more. Those that wait for one that has not come up are
/// not waited for.
pub(super) async fn settle(members: &Members, desk: &Desk) {
    let deadline = tokio::time::Instant::now() + FIRST_PATIENCE;
    while let Some(place) = desk.starting() {
        let Some(member) = members.values().find(|member| member.place() == place) else {
            return;
        };
        if !member.has_tried(LOOK_EVERY).await {
            // Its supervisor is gone, which has been reported.
            tokio::time::sleep(LOOK_EVERY).await;
        }
        if tokio::time::Instant::now() >= deadline {
            return;
        }
    }
}
