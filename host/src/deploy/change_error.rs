//! Why a change is not made, in words that say what to do.

use skep_core::lifecycle::Cause;
use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;

use super::Source;
use super::handover::{self, HandoverError};
use super::ledger::LedgerError;
use super::machinery::MachineryError;

/// Why a change was not made. What served goes on as if nothing had been asked.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// Somebody else was first.
    #[error("generation {actual} serves, and not {expected} any more; look again and try again")]
    Conflict {
        /// What the caller went by.
        expected: u64,
        /// What serves.
        actual: u64,
    },
    /// Only a new start of the host can do that.
    #[error("{} cannot change while the host runs; start it anew for that", keys.join(", "))]
    NeedsNewStart {
        /// Of the manifest.
        keys: Vec<&'static str>,
    },
    /// Something cannot be compiled or linked; to be shown with the manifest's text.
    #[error("it cannot be built")]
    Mistakes {
        /// The text that they point into.
        source_text: Source,
        /// All of them.
        mistakes: Vec<Mistake>,
    },
    /// No engine for it.
    #[error("there is no engine for it")]
    Machinery(#[from] MachineryError),
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
    /// The state of a service does not come to the new revision.
    #[error("revision {revision} of `{service}` does not take over the state: {error}")]
    Handover {
        /// Which.
        service: ServiceName,
        /// The candidate.
        revision: u32,
        /// Why.
        error: HandoverError,
    },
    /// What is in memory would be lost, and nobody has said that it may be.
    #[error(
        "what {} would be lost: {} its state in one instance (`instances.max = 1`) and cannot hand it \
         over, as both versions do not export {}; if it may be lost, say --yes",
        keepers(services, "keeps in memory", "keep in memory"),
        if services.len() == 1 { "it has" } else { "each has" },
        handover::INTERFACE
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
    /// There is nothing to promote or to abort.
    #[error("nothing is on trial")]
    NothingOnTrial,
    /// What was to be tried out is what serves.
    #[error("there is nothing to try out: what is asked for is what serves")]
    NothingNew,
    /// It cannot be written down, so that it would be lost with the host.
    #[error("it cannot be written down, and so it is not done")]
    Ledger(#[from] LedgerError),
    /// Nothing is written down of this application: it has no manifest.
    #[error("this application cannot change while it runs: it was started without a manifest")]
    NoLedger,
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
