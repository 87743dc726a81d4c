//! How the control API refuses: what may be answered instead of what was asked for; and of a change a problem
//! document that says at which step, and shows the mistakes.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use skep_core::change::Refusal;
use skep_core::manifest::Mistake;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};
use utoipa::{IntoResponses, ToSchema};

use super::problem::{PROBLEM_JSON, Problem, rendered};
use crate::deploy::{ChangeError, ContractChange, DeployError, LedgerError, Source};
use crate::journal::JournalError;
use crate::log::chain;

/// Why the host changed nothing: a problem document (RFC 9457) with members of its own.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Refused {
    /// A few words for the status.
    pub title: String,
    /// The status.
    pub status: u16,
    /// Why.
    pub detail: String,
    /// At which step of a change it was.
    #[serde(default)]
    pub step: Step,
    /// What the mistakes are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub source: Option<Box<Source>>,
    /// What others would notice of a component that was to be deployed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub contract: Vec<ContractChange>,
    /// All that were found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

/// The steps of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// What is asked for is looked at.
    #[default]
    Read,
    /// Contracts, grants and limits are checked, against all other services.
    Check,
    /// It is compiled and linked.
    Build,
    /// It is started and asked whether it is well.
    Prove,
    /// It takes the place of what serves.
    Switch,
}

/// What a change may be answered instead of being made, for the document.
pub(super) enum Unchanged {}

/// And a plan instead of being told.
pub(super) enum Unplanned {}

const UNPLANNED: &[(&str, &str)] = &[
    ("400", "Not understood"),
    ("409", "Something is on trial, or nothing can change"),
    ("413", "Too large"),
    ("415", "Of another media type"),
    (
        "422",
        "The manifest or a component has mistakes, or does not become ready",
    ),
    ("500", "A bug"),
    ("507", "The journal cannot be read or written"),
];

const UNCHANGED: &[(&str, &str)] = &[
    ("404", "No such service or revision"),
    ("412", "Another generation serves"),
    ("503", "The host is stopping, or being replaced by another"),
];

/// What a question about the host, and an order to a service, may be answered instead: in these words by
/// every one of them.
pub(super) enum Bug {}
pub(super) enum NoService {}

/// And a call of a service's function.
pub(super) enum NotCalled {}

const BUG: &[(&str, &str)] = &[("500", "A bug")];

const NO_SERVICE: &[(&str, &str)] = &[("404", "No such service")];

const NOT_CALLED: &[(&str, &str)] = &[
    ("400", "Not understood"),
    ("413", "Too large"),
    ("415", "Of another media type"),
    (
        "422",
        "There is no such function, or it takes other arguments",
    ),
    (
        "502",
        "The service was not there or failed, or its result is too long",
    ),
    ("503", "Too many such calls are under way"),
];

impl IntoResponses for Bug {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals::<Problem>(BUG)
    }
}

impl IntoResponses for NoService {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals::<Problem>(NO_SERVICE)
    }
}

impl IntoResponses for NotCalled {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals::<Problem>(NOT_CALLED)
    }
}

impl IntoResponses for Unplanned {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        refusals::<Refused>(UNPLANNED)
    }
}

impl IntoResponses for Unchanged {
    fn responses() -> BTreeMap<String, RefOr<Response>> {
        let mut all = refusals::<Refused>(UNPLANNED);
        all.append(&mut refusals::<Refused>(UNCHANGED));
        all
    }
}

/// Statuses that are answered with this kind of problem document.
fn refusals<P: ToSchema>(statuses: &[(&str, &str)]) -> BTreeMap<String, RefOr<Response>> {
    let one = |(status, description): &(&str, &str)| {
        let content = Ref::from_schema_name(P::name());
        let content = ContentBuilder::new().schema(Some(content)).build();
        let response = ResponseBuilder::new()
            .description(*description)
            .content(PROBLEM_JSON, content);
        ((*status).to_owned(), response.build().into())
    };
    statuses.iter().map(one).collect()
}

impl IntoResponse for Refused {
    fn into_response(self) -> axum::response::Response {
        rendered(self.status, &self)
    }
}

/// What comes before the first step.
impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        let Problem {
            title,
            status,
            detail,
        } = problem;
        Refused {
            title,
            status,
            detail,
            step: Step::Read,
            source: None,
            contract: Vec::new(),
            mistakes: Vec::new(),
        }
    }
}

impl Refused {
    pub(super) fn new(
        status: StatusCode,
        step: Step,
        error: &(dyn std::error::Error + 'static),
    ) -> Refused {
        Refused {
            step,
            ..Problem::new(status, chain(error).to_string()).into()
        }
    }

    fn show(&mut self, source: &Source, mistakes: &[Mistake]) {
        self.source = Some(Box::new(source.clone()));
        self.mistakes = mistakes.to_vec();
    }

    /// Why there is nothing that could be changed to.
    pub(crate) fn of_deploy(error: &DeployError) -> Refused {
        let (status, step) = match error {
            DeployError::NoService(_) | DeployError::NoRevision { .. } => {
                (StatusCode::NOT_FOUND, Step::Read)
            }
            DeployError::Unreadable { .. } | DeployError::Component(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Step::Read)
            }
            DeployError::Mistakes { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Step::Check),
        };
        let mut refused = Refused::new(status, step, error);
        if let DeployError::Mistakes {
            source_text,
            mistakes,
            ..
        } = error
        {
            refused.show(source_text, mistakes);
        }
        refused
    }

    /// Why it was not made.
    pub(crate) fn of_change(error: &ChangeError) -> Refused {
        let (status, step) = match error {
            ChangeError::Refused(refusal) => refused(refusal),
            ChangeError::NoLedger => (StatusCode::CONFLICT, Step::Read),
            ChangeError::Ledger(LedgerError::Journal(JournalError::Lent)) => {
                (StatusCode::SERVICE_UNAVAILABLE, Step::Read)
            }
            ChangeError::Ledger(_) => (StatusCode::INSUFFICIENT_STORAGE, Step::Switch),
            ChangeError::NeedsNewStart { .. } | ChangeError::Apart(_) => {
                (StatusCode::UNPROCESSABLE_ENTITY, Step::Check)
            }
            ChangeError::Mistakes { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Step::Build),
            ChangeError::Machinery(_) => (StatusCode::INTERNAL_SERVER_ERROR, Step::Build),
            ChangeError::Handover { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Step::Prove),
        };
        let mut refused = Refused::new(status, step, error);
        if let ChangeError::Mistakes {
            source_text,
            mistakes,
        } = error
        {
            refused.show(source_text, mistakes);
        }
        refused
    }
}

/// What the walk of a change says no to.
fn refused(refusal: &Refusal) -> (StatusCode, Step) {
    match refusal {
        Refusal::Conflict { .. } => (StatusCode::PRECONDITION_FAILED, Step::Read),
        Refusal::OnTrial { .. }
        | Refusal::StateLost { .. }
        | Refusal::OneState { .. }
        | Refusal::NothingToCopy { .. }
        | Refusal::NothingOnTrial
        | Refusal::NothingNew
        | Refusal::Aborted
        | Refusal::Beside { .. }
        | Refusal::Bad { .. } => (StatusCode::CONFLICT, Step::Read),
        Refusal::Stopping | Refusal::BeingReplaced => (StatusCode::SERVICE_UNAVAILABLE, Step::Read),
        Refusal::NotReady { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Step::Prove),
        Refusal::Lost => (StatusCode::INTERNAL_SERVER_ERROR, Step::Switch),
    }
}
