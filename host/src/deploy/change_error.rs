//! Why a change is not made, in words that say what to do.

use skep_core::change::Refusal;
use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;

use super::handover::HandoverError;
use super::ledger::LedgerError;
use super::machinery::MachineryError;
use super::{DeployError, Source};

/// Why a change was not made. What served goes on as if nothing had been asked.
#[derive(Debug, thiserror::Error)]
pub enum ChangeError {
    /// The walk of the change itself says no.
    #[error(transparent)]
    Refused(#[from] Refusal),
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
    /// It cannot be written down, so that it would be lost with the host.
    #[error("it cannot be written down, and so it is not done")]
    Ledger(#[from] LedgerError),
    /// A service as it was before does not fit the others any more.
    #[error("what it was before does not fit what serves now")]
    Apart(#[source] DeployError),
    /// Nothing is written down of this application: it has no manifest.
    #[error("this application cannot change while it runs: it was started without a manifest")]
    NoLedger,
}
