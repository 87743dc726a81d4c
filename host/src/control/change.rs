//! The control API's changes of the application.

use std::path::PathBuf;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use skep_core::change::Refusal;
use skep_core::name::ServiceName;
use skep_core::plan::Plan;
use utoipa::ToSchema;

use super::api::{Api, apart};
use super::precondition::{IfMatch, etag};
use super::problem::{Asked, Named, Queried, Sent};
use super::refused::{Refused, Unchanged, Unplanned};
use super::steps::{Line, Told};
use crate::deploy::{
    self, ChangeError, Changed, ContractChange, Ledger, Progress, Running, StepBegun, Tried, Wanted,
};

/// What a host is asked to apply, or to plan.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Apply {
    /// The manifest's file, as the host sees it; relative to the host's working directory.
    #[schema(value_type = String, examples("/srv/shop/skep.toml"))]
    pub manifest: PathBuf,
    /// What services keep in memory may be lost, where it cannot be handed over. Of no account for a plan.
    #[serde(default)]
    pub lose_state: bool,
}

/// What applying a manifest would change.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Planned {
    /// The generation that serves, from which the plan leads. Applying it with this number in
    /// `If-Match` does what was planned or nothing.
    pub generation: u64,
    /// The steps.
    pub plan: Plan,
}

/// What a host is asked to go back to.
#[derive(Debug, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rollback {
    /// The revision; none: the one before.
    #[serde(
        default,
        skip_serializing_if = "Option::is_none",
        deserialize_with = "crate::whole::optional"
    )]
    #[schema(maximum = 4294967295u32)]
    pub revision: Option<u32>,
    /// What the service keeps in memory may be lost, where it cannot be handed over.
    #[serde(default)]
    pub lose_state: bool,
}

/// How a deploy is meant.
#[derive(Debug, Default, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct Meant {
    /// What the service keeps in memory may be lost, where it cannot be handed over.
    #[serde(default)]
    #[param(default = false)]
    lose_state: bool,
}

/// Deploy another component for a service
///
/// It is checked against all that calls it and all that it calls, compiled, started beside what serves
/// and asked whether it is well; only then do new requests go to it. If anything is wrong with it,
/// nothing changes.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/deploy",
    tag = "changes",
    params(
        ("service" = ServiceName, Path, description = "Which"),
        Meant,
        IfMatch,
    ),
    request_body(
        description = "The component",
        content(([u8] = "application/wasm"), ([u8] = "application/octet-stream"))
    ),
    responses(
        (
            status = 200,
            description = "It serves; or, line by line, what is being done and what has come of it",
            content((Changed = "application/json"), (Line = "application/x-ndjson")),
            headers(("etag" = String, description = "The generation that serves now, in quotes"))
        ),
        Unchanged,
    ),
)]
pub(super) async fn deployed(
    State(api): State<Api>,
    Named(service): Named,
    IfMatch(expected): IfMatch,
    Queried(meant): Queried<Meant>,
    told: Told,
    Sent(bytes): Sent,
) -> Response {
    let change = async move |progress: Progress| {
        progress.begins(StepBegun::Check);
        loop {
            let (mut wanted, contract) = sent(&api, service.clone(), bytes.clone()).await?;
            wanted.state_may_be_lost = meant.lose_state;
            wanted.listener = progress.clone();
            return match api.running.change(wanted, expected).await {
                Err(error) if is_overtaken(&error, expected) => continue,
                Ok(changed) => Ok(Served(Changed {
                    contract,
                    ..changed
                })),
                Err(error) => Err(Refused {
                    contract,
                    ..Refused::of_change(&error)
                }),
            };
        }
    };
    told.of(change).await
}

/// Whether somebody else has changed something while this was put together, and who asked for it does not
/// go by what served then: it is to be put together anew.
pub(super) fn is_overtaken(error: &ChangeError, expected: Option<u64>) -> bool {
    let is_conflict = matches!(error, ChangeError::Refused(Refusal::Conflict { .. }));
    is_conflict && expected.is_none()
}

/// What a component that was sent makes of the application, and what others notice of that.
pub(super) async fn sent(
    api: &Api,
    service: ServiceName,
    bytes: Bytes,
) -> Result<(Wanted, Vec<ContractChange>), Refused> {
    let (running, ledger) = (api.running.clone(), open_ledger(&api.running)?);
    let wanted = move || {
        let component = running.component(&ledger, &service, &bytes);
        let (artifact, contract) = component.map_err(|error| Refused::of_deploy(&error))?;
        match running.with_component(&service, artifact) {
            Ok(wanted) => Ok((wanted, contract)),
            Err(error) => Err(Refused {
                contract,
                ..Refused::of_deploy(&error)
            }),
        }
    };
    apart(wanted).await?
}

/// Go back to an earlier revision of a service
///
/// It is checked and proved as a deploy is. The revision before the present one is kept warm.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/rollback",
    tag = "changes",
    params(
        ("service" = ServiceName, Path, description = "Which"),
        IfMatch,
    ),
    request_body(content = Rollback),
    responses(
        (
            status = 200,
            description = "It serves; or, line by line, what is being done and what has come of it",
            content((Changed = "application/json"), (Line = "application/x-ndjson")),
            headers(("etag" = String, description = "The generation that serves now, in quotes"))
        ),
        Unchanged,
    ),
)]
pub(super) async fn rolled_back(
    State(api): State<Api>,
    Named(service): Named,
    IfMatch(expected): IfMatch,
    told: Told,
    Asked(asked): Asked<Rollback>,
) -> Response {
    let change = async move |progress: Progress| {
        progress.begins(StepBegun::Check);
        loop {
            let (running, ledger) = (api.running.clone(), open_ledger(&api.running)?);
            let (service, revision) = (service.clone(), asked.revision);
            let wanted = apart(move || {
                let wanted = running.earlier(&ledger, &service, revision, "asked for");
                wanted.map_err(|error| Refused::of_deploy(&error))
            });
            let mut wanted = wanted.await??;
            wanted.state_may_be_lost = asked.lose_state;
            wanted.listener = progress.clone();
            let changed = api.running.change(wanted, expected).await;
            if !matches!(&changed, Err(error) if is_overtaken(error, expected)) {
                return served(changed);
            }
        }
    };
    told.of(change).await
}

/// Apply a manifest, whole or not at all
///
/// Services are added, replaced and removed, and routes, links, limits and grants changed, by one
/// switch: no request sees a part of it.
#[utoipa::path(
    post,
    path = "/v1/apply",
    tag = "changes",
    params(
        IfMatch,
    ),
    request_body(content = Apply),
    responses(
        (
            status = 200,
            description = "It serves; or, line by line, what is being done and what has come of it",
            content((Changed = "application/json"), (Line = "application/x-ndjson")),
            headers(("etag" = String, description = "The generation that serves now, in quotes"))
        ),
        Unchanged,
    ),
)]
pub(super) async fn applied(
    State(api): State<Api>,
    IfMatch(expected): IfMatch,
    told: Told,
    Asked(asked): Asked<Apply>,
) -> Response {
    let change = async move |progress: Progress| {
        progress.begins(StepBegun::Check);
        let (running, lose_state) = (api.running.clone(), asked.lose_state);
        let wanted = apart(move || running.with_manifest(&asked.manifest)).await?;
        let mut wanted = wanted.map_err(|error| Refused::of_deploy(&error))?;
        wanted.state_may_be_lost = lose_state;
        wanted.listener = progress;
        served(api.running.change(wanted, expected).await)
    };
    told.of(change).await
}

/// What applying a manifest would change
///
/// Nothing is compiled or started: what is planned may still be refused.
#[utoipa::path(
    post,
    path = "/v1/plan",
    tag = "changes",
    request_body(content = Apply),
    responses(
        (
            status = 200,
            description = "The plan",
            body = Planned,
            headers(("etag" = String, description = "The generation that serves, in quotes"))
        ),
        Unplanned,
    ),
)]
pub(super) async fn planned(
    State(api): State<Api>,
    Asked(asked): Asked<Apply>,
) -> Result<Response, Refused> {
    let planned = apart(move || {
        let wanted = deploy::read(&asked.manifest);
        let wanted = wanted.map_err(|error| Refused::of_deploy(&error))?;
        let (generation, plan) = api.running.plan(&wanted);
        Ok::<_, Refused>(Planned { generation, plan })
    });
    let planned = planned.await??;
    let etag = [(header::ETAG, etag(planned.generation))];
    Ok((etag, Json(planned)).into_response())
}

/// Where what is to change will be written down.
fn open_ledger(running: &Running) -> Result<Ledger, Refused> {
    let ledger = running.open_ledger();
    ledger.map_err(|error| Refused::of_change(&error))
}

/// What is answered to a change.
pub(super) fn served(changed: Result<Changed, ChangeError>) -> Result<Served, Refused> {
    changed
        .map(Served)
        .map_err(|error| Refused::of_change(&error))
}

/// What is answered to what concerns a trial.
pub(super) fn tried_out(tried: Result<Tried, ChangeError>) -> Result<Json<Tried>, Refused> {
    tried.map(Json).map_err(|error| Refused::of_change(&error))
}

/// What is answered to a change that was made.
pub(super) struct Served(pub(super) Changed);

impl IntoResponse for Served {
    fn into_response(self) -> Response {
        let etag = [(header::ETAG, etag(self.0.generation))];
        (etag, Json(self.0)).into_response()
    }
}
