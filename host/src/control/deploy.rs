//! The control API's changes of the application, from both sides.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path as Segment};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use skep_core::generation::Reason;
use skep_core::manifest::Mistake;
use skep_core::name::ServiceName;

use super::{ControlError, Question, apart, exchange, no_service};
use crate::artifact::MAX_COMPONENT_BYTES;
use crate::deploy::{self, ChangeError, Changed, DeployError, Ledger, Running, Source, Wanted};
use crate::log::chain;

/// What a host is asked to apply.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The manifest's file, as the host sees it.
    pub manifest: PathBuf,
}

/// What a host is asked to go back to.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The revision; none: the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revision: Option<u32>,
}

/// Why the host changed nothing: a problem document (RFC 9457) with members of its own.
#[derive(Debug, Serialize, Deserialize)]
pub struct Refused {
    /// A few words for the status.
    pub title: String,
    /// The status.
    pub status: u16,
    /// Why.
    pub detail: String,
    /// At which step of a change it was.
    pub step: Step,
    /// What the mistakes are in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<Box<Source>>,
    /// All that were found.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mistakes: Vec<Mistake>,
}

/// The steps of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Step {
    /// What is asked for is looked at.
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

pub(super) fn routes(running: Arc<Running>) -> Router {
    let (deploying, rolling_back) = (running.clone(), running.clone());
    let deploy = move |Segment(service): Segment<String>, headers: HeaderMap, bytes: Bytes| async move {
        let Ok(service) = ServiceName::parse(&service) else {
            return no_service(&service).into_response();
        };
        answer(deploy(deploying, service, &headers, bytes).await)
    };
    let rollback = move |Segment(service): Segment<String>,
                         headers: HeaderMap,
                         Json(asked): Json<Rollback>| async move {
        let Ok(service) = ServiceName::parse(&service) else {
            return no_service(&service).into_response();
        };
        answer(roll_back(rolling_back, service, &headers, asked).await)
    };
    let apply = move |headers: HeaderMap, Json(asked): Json<Apply>| async move {
        answer(apply(running, &headers, asked).await)
    };
    Router::new()
        .route("/v1/services/{service}/deploy", post(deploy))
        .route("/v1/services/{service}/rollback", post(rollback))
        .route("/v1/apply", post(apply))
        .layer(DefaultBodyLimit::max(MAX_COMPONENT_BYTES as usize))
}

async fn deploy(
    running: Arc<Running>,
    service: ServiceName,
    headers: &HeaderMap,
    bytes: Bytes,
) -> Result<Changed, Refused> {
    let expected = expected(headers)?;
    let ledger = ledger(&running)?;
    let wanted = apart(move || {
        let wanted = running.with_component(&ledger, &service, &bytes);
        let wanted = wanted.map_err(|error| Refused::of_deploy(&error))?;
        Ok::<_, Refused>((running, wanted))
    });
    let (running, wanted) = wanted.await.map_err(lost)??;
    change(&running, wanted, expected).await
}

async fn roll_back(
    running: Arc<Running>,
    service: ServiceName,
    headers: &HeaderMap,
    asked: Rollback,
) -> Result<Changed, Refused> {
    let expected = expected(headers)?;
    let ledger = ledger(&running)?;
    let wanted = apart(move || {
        let wanted = running.earlier(&ledger, &service, asked.revision, "asked for");
        let wanted = wanted.map_err(|error| Refused::of_deploy(&error))?;
        Ok::<_, Refused>((running, wanted))
    });
    let (running, wanted) = wanted.await.map_err(lost)??;
    change(&running, wanted, expected).await
}

async fn apply(
    running: Arc<Running>,
    headers: &HeaderMap,
    asked: Apply,
) -> Result<Changed, Refused> {
    let expected = expected(headers)?;
    let read =
        apart(move || deploy::read(&asked.manifest).map_err(|error| Refused::of_deploy(&error)));
    let wanted = Wanted::new(read.await.map_err(lost)??, Reason::Apply);
    change(&running, wanted, expected).await
}

/// Where what is deployed is written down.
fn ledger(running: &Running) -> Result<Ledger, Refused> {
    let ledger = running.ledger().cloned();
    ledger.ok_or_else(|| Refused::of_change(&ChangeError::NoLedger))
}

async fn change(
    running: &Arc<Running>,
    wanted: Wanted,
    expected: Option<u64>,
) -> Result<Changed, Refused> {
    let changed = running.change(wanted, expected).await;
    changed.map_err(|error| Refused::of_change(&error))
}

/// The generation that the caller goes by (RFC 9110, section 13.1.1).
fn expected(headers: &HeaderMap) -> Result<Option<u64>, Refused> {
    let Some(value) = headers.get(header::IF_MATCH) else {
        return Ok(None);
    };
    let text = value.to_str().unwrap_or_default();
    if text == "*" {
        return Ok(None);
    }
    let number = text.trim_matches('"').parse();
    number.map(Some).map_err(|_| Refused {
        detail: "If-Match has to be the number of a generation, in quotes".to_owned(),
        ..Refused::bare(StatusCode::BAD_REQUEST, Step::Read)
    })
}

fn lost(status: StatusCode) -> Refused {
    Refused {
        detail: "the host could not look at it: a bug of Skep's".to_owned(),
        ..Refused::bare(status, Step::Read)
    }
}

fn answer(changed: Result<Changed, Refused>) -> Response {
    match changed {
        Ok(changed) => {
            let etag = format!("\"{}\"", changed.generation);
            ([(header::ETAG, etag)], Json(changed)).into_response()
        }
        Err(refused) => {
            let status = StatusCode::from_u16(refused.status);
            let kind = [(header::CONTENT_TYPE, "application/problem+json")];
            (
                status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR),
                kind,
                Json(refused),
            )
                .into_response()
        }
    }
}

impl Refused {
    fn bare(status: StatusCode, step: Step) -> Refused {
        Refused {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: String::new(),
            step,
            source: None,
            mistakes: Vec::new(),
        }
    }

    fn new(status: StatusCode, step: Step, error: &(dyn std::error::Error + 'static)) -> Refused {
        Refused {
            detail: chain(error).to_string(),
            ..Refused::bare(status, step)
        }
    }

    fn show(&mut self, source: &Source, mistakes: &[Mistake]) {
        self.source = Some(Box::new(source.clone()));
        self.mistakes = mistakes.to_vec();
    }

    fn of_deploy(error: &DeployError) -> Refused {
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

    fn of_change(error: &ChangeError) -> Refused {
        let (status, step) = match error {
            ChangeError::Conflict { .. } => (StatusCode::PRECONDITION_FAILED, Step::Read),
            ChangeError::OnTrial { .. } | ChangeError::NothingOnTrial | ChangeError::NothingNew => {
                (StatusCode::CONFLICT, Step::Read)
            }
            ChangeError::NoLedger | ChangeError::Aborted | ChangeError::Bad { .. } => {
                (StatusCode::CONFLICT, Step::Read)
            }
            ChangeError::Ledger(_) => (StatusCode::INSUFFICIENT_STORAGE, Step::Switch),
            ChangeError::NeedsNewStart { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Step::Check),
            ChangeError::Mistakes { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Step::Build),
            ChangeError::Machinery(_) => (StatusCode::INTERNAL_SERVER_ERROR, Step::Build),
            ChangeError::NotReady { .. } => (StatusCode::UNPROCESSABLE_ENTITY, Step::Prove),
            ChangeError::Stopping => (StatusCode::SERVICE_UNAVAILABLE, Step::Read),
            ChangeError::Lost => (StatusCode::INTERNAL_SERVER_ERROR, Step::Switch),
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

/// Has the host at `path` deploy a component. Blocking, as long as that takes.
///
/// # Errors
/// See [`ControlError`].
pub fn deploy_component(
    path: &Path,
    service: &ServiceName,
    component: Vec<u8>,
    expected: Option<u64>,
) -> Result<Result<Changed, Refused>, ControlError> {
    ask(
        path,
        &format!("POST /v1/services/{service}/deploy"),
        component,
        expected,
    )
}

/// Has the host at `path` go back to an earlier revision of a service. Blocking, as above.
///
/// # Errors
/// See [`ControlError`].
pub fn rollback(
    path: &Path,
    service: &ServiceName,
    asked: &Rollback,
) -> Result<Result<Changed, Refused>, ControlError> {
    let body = serde_json::to_vec(asked).map_err(|_| ControlError::unexpected(path))?;
    ask(
        path,
        &format!("POST /v1/services/{service}/rollback"),
        body,
        None,
    )
}

/// Has the host at `path` apply a manifest. Blocking, as above.
///
/// # Errors
/// See [`ControlError`].
pub fn apply_manifest(
    path: &Path,
    asked: &Apply,
    expected: Option<u64>,
) -> Result<Result<Changed, Refused>, ControlError> {
    let body = serde_json::to_vec(asked).map_err(|_| ControlError::unexpected(path))?;
    ask(path, "POST /v1/apply", body, expected)
}

fn ask(
    path: &Path,
    request: &str,
    body: Vec<u8>,
    expected: Option<u64>,
) -> Result<Result<Changed, Refused>, ControlError> {
    let question = Question {
        request,
        body,
        patience: None,
        expected,
    };
    let (status, body) = exchange(path, &question)?;
    let unexpected = |_| ControlError::unexpected(path);
    if status == 200 {
        return serde_json::from_slice(&body).map(Ok).map_err(unexpected);
    }
    serde_json::from_slice(&body).map(Err).map_err(unexpected)
}
