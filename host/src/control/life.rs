//! The control API's look at the host and at its services' lives, and its orders to those.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_core::lifecycle::{Cause, CauseKind, Phase};
use skep_core::name::ServiceName;
use skep_core::status::{Crashes, HostStatus};
use utoipa::ToSchema;

use super::api::{Api, apart};
use super::problem::{Named, Problem};
use super::refused::{Bug, NoService};

/// An order that was given to a service. It is carried out when its turn comes; `/v1/status` says
/// where the service stands.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Ordered {
    /// Which.
    pub service: ServiceName,
    /// What it was told.
    pub order: Order,
}

/// What a service can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Order {
    /// Start, if it is stopped or parked.
    Start,
    /// Come to an end with what is under way, and stay down.
    Stop,
    /// Stop, and start anew; also the way out of parked.
    Restart,
}

impl Order {
    /// As it stands in the path.
    pub fn name(self) -> &'static str {
        match self {
            Order::Start => "start",
            Order::Stop => "stop",
            Order::Restart => "restart",
        }
    }
}

/// How the host and its services stand
#[utoipa::path(
    get,
    path = "/v1/status",
    tag = "host",
    responses(
        (status = 200, description = "As of now", body = HostStatus),
        Bug,
    ),
)]
pub(super) async fn status(State(api): State<Api>) -> Result<Json<HostStatus>, Problem> {
    apart(move || Json((api.status)())).await
}

/// The latest crashes of all services
#[utoipa::path(
    get,
    path = "/v1/crashes",
    tag = "host",
    responses(
        (status = 200, description = "By service", body = Vec<Crashes>),
        Bug,
    ),
)]
pub(super) async fn crashes(State(api): State<Api>) -> Result<Json<Vec<Crashes>>, Problem> {
    apart(move || Json((api.crashes)(None).unwrap_or_default())).await
}

/// The latest crashes of a service
#[utoipa::path(
    get,
    path = "/v1/services/{service}/crashes",
    tag = "services",
    params(("service" = ServiceName, Path, description = "Which")),
    responses(
        (status = 200, description = "One element", body = Vec<Crashes>),
        NoService,
        Bug,
    ),
)]
pub(super) async fn crashes_of(
    State(api): State<Api>,
    Named(service): Named,
) -> Result<Json<Vec<Crashes>>, Problem> {
    apart(move || {
        let found = (api.crashes)(Some(service.as_str()));
        found.map(Json).ok_or_else(|| none(&service))
    })
    .await?
}

/// Restart a service
///
/// Requests under way come to their end first, within its `stop-timeout`. It is also the way out of
/// `parked`: where a group is parked, all its services start.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/restart",
    tag = "services",
    params(("service" = ServiceName, Path, description = "Which")),
    responses(
        (status = 202, description = "It will be", body = Ordered),
        NoService,
    ),
)]
pub(super) async fn restart(
    State(api): State<Api>,
    Named(service): Named,
) -> Result<(StatusCode, Json<Ordered>), Problem> {
    api.order(service, Order::Restart)
}

/// Stop a service
///
/// Requests under way come to their end first, within its `stop-timeout`; new ones are answered 503.
/// It stays down until it is started, restarted or deployed, or the host starts anew.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/stop",
    tag = "services",
    params(("service" = ServiceName, Path, description = "Which")),
    responses(
        (status = 202, description = "It will be", body = Ordered),
        NoService,
    ),
)]
pub(super) async fn stop(
    State(api): State<Api>,
    Named(service): Named,
) -> Result<(StatusCode, Json<Ordered>), Problem> {
    api.order(service, Order::Stop)
}

/// Start a service that is stopped or parked
///
/// Nothing happens to one that runs. Where a group is parked, all its services start.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/start",
    tag = "services",
    params(("service" = ServiceName, Path, description = "Which")),
    responses(
        (status = 202, description = "It will be", body = Ordered),
        NoService,
    ),
)]
pub(super) async fn start(
    State(api): State<Api>,
    Named(service): Named,
) -> Result<(StatusCode, Json<Ordered>), Problem> {
    api.order(service, Order::Start)
}

impl Api {
    fn order(
        &self,
        service: ServiceName,
        order: Order,
    ) -> Result<(StatusCode, Json<Ordered>), Problem> {
        let roster = self.running.roster();
        let member = roster.members.get(&service);
        let member = member.ok_or_else(|| none(&service))?;
        let (desk, place) = (self.running.desk(), member.place());
        match order {
            Order::Restart => desk.restart(place),
            Order::Stop => {
                let cause = "stopped by the operator";
                desk.stop_one(place, Cause::new(CauseKind::Requested, cause));
            }
            // A group that is parked starts as a whole.
            Order::Start if matches!(member.phase(), Phase::Parked { .. }) => desk.restart(place),
            Order::Start => desk.start_one(place),
        }
        Ok((StatusCode::ACCEPTED, Json(Ordered { service, order })))
    }
}

fn none(service: &ServiceName) -> Problem {
    Problem::no_service(service.as_str())
}
