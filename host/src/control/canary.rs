//! The control API's trials: a component that serves a share of the requests first.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_core::duration;
use skep_core::name::ServiceName;
use skep_core::rollout::{Share, Steps};
use utoipa::ToSchema;

use super::api::Api;
use super::change::{Served, is_overtaken, sent, served, tried_out};
use super::precondition::IfMatch;
use super::problem::{Asked, Named, Problem, Queried, Sent};
use super::refused::{Refused, Unchanged};
use crate::deploy::{Canary, Changed, Tried};
use crate::sticky::Sticky;

/// Between two steps, if nobody says otherwise.
pub const PAUSE: Duration = Duration::from_secs(60);

/// How a trial is to go.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct Trial {
    /// The share of the requests that it gets; or shares, each larger than the one before: `5%,25%,100%`.
    /// With the last at 100% it is promoted.
    #[serde(with = "shares")]
    #[param(
        value_type = String,
        example = "5%,25%,100%",
        pattern = r"^([1-9][0-9]?(\.[0-9]{1,2})?|0\.[1-9][0-9]?|100)%(,([1-9][0-9]?(\.[0-9]{1,2})?|0\.[1-9][0-9]?|100)%)*$"
    )]
    pub steps: Vec<Share>,
    /// Between two steps. Absent: `60s`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = String, required = false, nullable = false, example = "5m", pattern = "^[1-9][0-9]{0,3}(ms|s|m|h)$")]
    pub pause: Option<Pause>,
    /// What makes the requests of one client go the same way: `header:NAME`, `cookie:NAME`. Absent:
    /// each request is drawn for itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(value_type = String, required = false, nullable = false, example = "cookie:session", pattern = "^(header|cookie):[a-z][a-z0-9_-]{0,62}$")]
    pub sticky: Option<Sticky>,
}

/// Shares with commas between them.
mod shares {
    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};
    use skep_core::rollout::{self, Share};

    pub(super) fn serialize<S: Serializer>(shares: &[Share], to: S) -> Result<S::Ok, S::Error> {
        let shares: Vec<String> = shares.iter().map(ToString::to_string).collect();
        to.serialize_str(&shares.join(","))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Share>, D::Error> {
        let text = String::deserialize(from)?;
        rollout::shares(&text).map_err(D::Error::custom)
    }
}

/// A duration as manifests write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Pause(#[serde(with = "duration::text")] pub Duration);

/// The share that a trial is to have.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetShare {
    /// Of all requests: `25%`.
    #[schema(value_type = String, example = "25%", pattern = r"^([1-9][0-9]?(\.[0-9]{1,2})?|0\.[1-9][0-9]?|100)%$")]
    pub share: Share,
}

/// Try another component for a service
///
/// It is checked, compiled and proved as a deploy is, and then serves a share of all requests, with all
/// the calls that they lead to. It is watched, and taken back by itself when it is worse than what
/// serves the others. A host that starts again knows nothing of it.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/canary",
    tag = "changes",
    params(("service" = ServiceName, Path, description = "Which"), Trial, IfMatch),
    request_body(
        description = "The component",
        content(([u8] = "application/wasm"), ([u8] = "application/octet-stream"))
    ),
    responses((status = 200, description = "It is on trial", body = Tried), Unchanged),
)]
pub(super) async fn begun(
    State(api): State<Api>,
    Named(service): Named,
    IfMatch(expected): IfMatch,
    Queried(trial): Queried<Trial>,
    Sent(bytes): Sent,
) -> Result<Json<Tried>, Refused> {
    let steps = Steps::new(trial.steps);
    let steps =
        steps.map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let canary = Canary {
        steps,
        pause: trial.pause.map_or(PAUSE, |Pause(pause)| pause),
        draw: trial.sticky,
    };
    loop {
        let (wanted, _) = sent(&api, service.clone(), bytes.clone()).await?;
        let tried = api.running.try_out(wanted, expected, canary.clone()).await;
        if !matches!(&tried, Err(error) if is_overtaken(error, expected)) {
            return tried_out(tried);
        }
    }
}

/// Give what is on trial another share of the requests
///
/// It keeps it until somebody sets another, promotes it or aborts it: further steps are not made.
#[utoipa::path(
    post,
    path = "/v1/canary/share",
    tag = "changes",
    request_body(content = SetShare),
    responses((status = 200, description = "It has that share", body = Tried), Unchanged),
)]
pub(super) async fn set(
    State(api): State<Api>,
    Asked(asked): Asked<SetShare>,
) -> Result<Json<Tried>, Refused> {
    tried_out(api.running.set_share(asked.share).await)
}

/// Let what is on trial serve all requests
#[utoipa::path(
    post,
    path = "/v1/canary/promote",
    tag = "changes",
    responses(
        (
            status = 200,
            description = "It serves",
            body = Changed,
            headers(("etag" = String, description = "The generation that serves now, in quotes"))
        ),
        Unchanged,
    ),
)]
pub(super) async fn promoted(State(api): State<Api>) -> Result<Served, Refused> {
    served(api.running.promote().await)
}

/// Take back what is on trial
///
/// What it has begun comes to its end.
#[utoipa::path(
    post,
    path = "/v1/canary/abort",
    tag = "changes",
    responses((status = 200, description = "What was on trial", body = Tried), Unchanged),
)]
pub(super) async fn aborted(State(api): State<Api>) -> Result<Json<Tried>, Refused> {
    tried_out(api.running.abort().await)
}
