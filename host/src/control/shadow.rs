//! The control API's shadows: a component that gets copies of what a service is asked, and what has been
//! found of its answers.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_core::name::ServiceName;
use skep_core::rollout::Share;
use skep_core::shadow::Report;

use super::api::Api;
use super::change::{is_overtaken, sent, tried_out};
use super::precondition::IfMatch;
use super::problem::{Named, PROBLEM_JSON, Problem, Queried, Sent};
use super::refused::{Refused, Unchanged};
use crate::deploy::{Shadowing, Tried};

/// What is copied.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Copies {
    /// The part of the calls that is copied.
    #[serde(default = "all")]
    #[param(
        value_type = String,
        required = false,
        default = "100%",
        example = "10%",
        pattern = r"^([1-9][0-9]?(\.[0-9]{1,2})?|0\.[1-9][0-9]?|100)%$"
    )]
    pub share: Share,
    /// PUT and DELETE requests, too: they may be made twice, but what comes between one and its copy is
    /// undone by that.
    #[serde(default)]
    #[param(default = false)]
    pub writes: bool,
    /// What the service keeps in memory may be lost when it is promoted, where it cannot be handed over.
    #[serde(default)]
    #[param(default = false)]
    pub lose_state: bool,
}

fn all() -> Share {
    Share::ALL
}

/// Let another component for a service answer copies of what the service is asked
///
/// It is checked, compiled and proved as a deploy is. Then it gets copies of the service's requests whose
/// method says that they may be made twice, and of its calls that their links call idempotent. Its answers
/// are compared with those that were given, and dropped. `promote` lets it serve, `abort` ends it. A host
/// that starts again knows nothing of it.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/shadow",
    tag = "changes",
    params(("service" = ServiceName, Path, description = "Which"), Copies, IfMatch),
    request_body(
        description = "The component",
        content(([u8] = "application/wasm"), ([u8] = "application/octet-stream"))
    ),
    responses((status = 200, description = "It gets copies", body = Tried), Unchanged),
)]
pub(super) async fn begun(
    State(api): State<Api>,
    Named(service): Named,
    IfMatch(expected): IfMatch,
    Queried(copies): Queried<Copies>,
    Sent(bytes): Sent,
) -> Result<Json<Tried>, Refused> {
    let shadowing = Shadowing {
        share: copies.share,
        writes: copies.writes,
    };
    loop {
        let (mut wanted, _) = sent(&api, service.clone(), bytes.clone()).await?;
        wanted.state_may_be_lost = copies.lose_state;
        let tried = api.running.shadow(wanted, expected, shadowing).await;
        if !matches!(&tried, Err(error) if is_overtaken(error, expected)) {
            return tried_out(tried);
        }
    }
}

/// What has been found of a component that gets copies of what a service is asked
#[utoipa::path(
    get,
    path = "/v1/services/{service}/shadow",
    tag = "changes",
    params(("service" = ServiceName, Path, description = "Which")),
    responses(
        (status = 200, description = "So far", body = Report),
        (
            status = 404,
            description = "No such service, or nothing gets copies of what it is asked",
            body = Problem,
            content_type = PROBLEM_JSON
        ),
    ),
)]
pub(super) async fn found(
    State(api): State<Api>,
    Named(service): Named,
) -> Result<Json<Report>, Problem> {
    let report = api.running.shadow_report(&service);
    let none = || {
        let text = format!("nothing gets copies of what `{service}` is asked");
        Problem::new(StatusCode::NOT_FOUND, text)
    };
    report.map(Json).ok_or_else(none)
}
