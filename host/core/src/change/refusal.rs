//! Why the walk itself says no, in words that say what to do.

use crate::lifecycle::Cause;
use crate::name::ServiceName;

use super::handover::INTERFACE;

/// Why a change was not made. What served goes on as if nothing had been asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else was first.
    #[error("generation {actual} serves, and not {expected} any more; look again and try again")]
    Conflict {
        /// What the caller went by.
        expected: u64,
        /// What serves.
        actual: u64,
    },
    /// A candidate does not start, or is not well.
    #[error("revision {revision} of `{service}` does not become ready: {cause}")]
    NotReady {
        /// Which.
        service: ServiceName,
        /// The candidate.
        revision: u32,
        /// Why.
        cause: Cause,
    },
    /// What is in memory would be lost, and nobody has said that it may be.
    #[error(
        "what {} would be lost: {} its state in one instance (`instances.max = 1`) and cannot hand it \
         over, as both versions do not export {INTERFACE}; if it may be lost, say --yes",
        keepers(services, "keeps in memory", "keep in memory"),
        if services.len() == 1 { "it has" } else { "each has" },
    )]
    StateLost {
        /// Which.
        services: Vec<ServiceName>,
    },
    /// A service whose state is in one instance cannot be there twice.
    #[error(
        "`{service}` keeps its state in one instance: two revisions of it cannot serve side by side"
    )]
    OneState {
        /// Which.
        service: ServiceName,
    },
    /// A worker gets no copies.
    #[error("`{service}` is a worker: nobody asks it anything that could be copied")]
    NothingToCopy {
        /// Which.
        service: ServiceName,
    },
    /// Something else is on trial.
    #[error(
        "revision {revision} of `{service}` is on trial; `skep promote` it or `skep abort` it first"
    )]
    OnTrial {
        /// Which.
        service: ServiceName,
        /// The candidate.
        revision: u32,
    },
    /// The trial was given up.
    #[error("the trial has been aborted")]
    Aborted,
    /// It was on trial, and found bad.
    #[error("revision {revision} of `{service}` was on trial and is bad: {evidence}")]
    Bad {
        /// Which.
        service: ServiceName,
        /// The candidate.
        revision: u32,
        /// In figures.
        evidence: String,
    },
    /// What served beside it was found bad, and has to go first.
    #[error(
        "revision {revision} of `{service}`, which served beside what was on trial, is bad and is taken back"
    )]
    Beside {
        /// Which.
        service: ServiceName,
        /// What served.
        revision: u32,
    },
    /// There is nothing to promote or to abort.
    #[error("nothing is on trial")]
    NothingOnTrial,
    /// What was to be tried out is what serves.
    #[error("there is nothing to try out: what is asked for is what serves")]
    NothingNew,
    /// The host is on its way out.
    #[error("the host is stopping")]
    Stopping,
    /// The host is about to end, and another to serve in its place.
    #[error("the host is being replaced by another; try again in a moment")]
    BeingReplaced,
    /// A bug, which has been reported.
    #[error("the change came to no end: a bug of Skep's")]
    Lost,
}

/// `cart` keeps in memory
fn keepers(services: &[ServiceName], one: &str, many: &str) -> String {
    let names: Vec<String> = services.iter().map(|name| format!("`{name}`")).collect();
    let verb = if names.len() == 1 { one } else { many };
    format!("{} {verb}", names.join(", "))
}
