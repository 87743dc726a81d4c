//! What is refused before anything of it was begun, because it does not fit, is told in the journal as well:
//! with its first mistake.

use serde_json::{Value, json};
use skep_core::generation::Reason;
use skep_core::manifest::Mistake;

use super::DeployError;
use super::change_error::ChangeError;
use super::running::Running;
use crate::log::chain;
use crate::task;

impl Running {
    /// Tells of it, unless it is no matter of fitting: that there is no such service is its asker's alone.
    /// Blocking.
    pub(super) fn note_unfit(&self, reason: &Reason, error: &DeployError) {
        let Some(ledger) = self.ledger() else {
            return;
        };
        let mistakes = match error {
            DeployError::Mistakes { mistakes, .. } => &mistakes[..],
            DeployError::Component(_) | DeployError::Unreadable { .. } => &[],
            DeployError::NoService(_) | DeployError::NoRevision { .. } => return,
        };
        match mistakes.first() {
            Some(first) => {
                let (why, found) = told(first, mistakes.len());
                ledger.refuse_unbegun(reason, &why, found);
            }
            None => ledger.refuse_unbegun(reason, &chain(error).to_string(), Value::Null),
        }
    }

    /// The same of what only a new start of the host can change.
    pub(super) async fn note_needs_new_start(&self, reason: Reason, error: &ChangeError) {
        if let Some(ledger) = self.ledger().cloned() {
            let why = error.to_string();
            task::blocking(move || ledger.refuse_unbegun(&reason, &why, Value::Null)).await;
        }
    }
}

/// Of so many mistakes the first: for people, and for programs.
fn told(first: &Mistake, all: usize) -> (String, Value) {
    let message = &first.message;
    let why = match all - 1 {
        0 => message.clone(),
        1 => format!("{message}, and one more mistake"),
        more => format!("{message}, and {more} more mistakes"),
    };
    let first = json!({ "code": first.code, "message": message });
    (why, json!({ "mistakes": all, "first": first }))
}
