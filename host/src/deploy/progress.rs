//! What whoever waits for a change is told of it meanwhile: each step, when it begins.

use serde::{Deserialize, Serialize};
use skep_core::name::ServiceName;
use tokio::sync::mpsc;

/// Steps that wait to be told. More are begun at once only of an application of dozens of services; who
/// listens is then told of the first.
const WAITING_MAX: usize = 256;

/// A step of a change, as it begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(tag = "step", rename_all = "kebab-case")]
pub enum StepBegun {
    /// Contracts, grants and limits are checked, against all other services.
    Check,
    /// A component is compiled, or taken from the cache, and linked.
    Build {
        /// Whose.
        service: ServiceName,
        /// So many are built already,
        done: usize,
        /// of so many.
        of: usize,
    },
    /// A candidate is started and asked whether it is well.
    Prove {
        /// Which.
        service: ServiceName,
        /// The candidate.
        revision: u32,
    },
    /// What a service has in memory goes to the candidate.
    HandOver {
        /// Which.
        service: ServiceName,
    },
    /// The generation is brought to the disk.
    WriteDown,
    /// It takes the place of what serves.
    Switch,
}

/// Where the steps of one change are told; by default nowhere. Clones tell the same listener.
#[derive(Clone, Debug, Default)]
pub struct Progress(Option<mpsc::Sender<StepBegun>>);

impl Progress {
    /// One that is listened to. The receiver ends when the change has, and all clones are gone.
    pub fn told() -> (Progress, mpsc::Receiver<StepBegun>) {
        let (begun, steps) = mpsc::channel(WAITING_MAX);
        (Progress(Some(begun)), steps)
    }

    /// This step begins. Never waits: a listener that does not listen misses it.
    pub fn begins(&self, step: StepBegun) {
        if let Some(begun) = &self.0 {
            let _ = begun.try_send(step);
        }
    }
}
