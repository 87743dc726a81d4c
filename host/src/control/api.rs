//! The control API as a whole: what its handlers share, its routes, and the document that describes
//! them (OpenAPI), which is made of the same declarations.

use std::sync::Arc;

use axum::extract::{DefaultBodyLimit, State};
use axum::{Json, Router};
use skep_core::status::{Crashes, HostStatus};
use tokio::sync::Semaphore;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ContentBuilder, Ref, ResponseBuilder};
use utoipa::{Modify, OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::{self, PROBLEM_JSON, Problem};
use super::refused::Refused;
use super::{call, canary, change, history, life, shadow};
use crate::artifact::MAX_COMPONENT_BYTES;
use crate::deploy::Running;
use crate::host::Host;
use crate::operator::Callee;

/// Bytes of a body of JSON. A megabyte of text may become some hundred of values.
pub(super) const JSON_BYTES: usize = 1 << 20;

/// The crashes of a service, or of all.
type CrashesOf = dyn Fn(Option<&str>) -> Option<Vec<Crashes>> + Send + Sync;

/// What an operator may call of a service.
type CalleeOf = dyn Fn(&str) -> Option<Callee> + Send + Sync;

/// What handlers answer from.
#[derive(Clone)]
pub(super) struct Api {
    /// Blocking.
    pub(super) status: Arc<dyn Fn() -> HostStatus + Send + Sync>,
    /// Blocking.
    pub(super) crashes: Arc<CrashesOf>,
    pub(super) callee: Arc<CalleeOf>,
    pub(super) running: Arc<Running>,
    /// Room for calls by the operator.
    pub(super) calls: Arc<Semaphore>,
}

impl Api {
    pub(super) fn of(host: &Host) -> Api {
        Api {
            status: Arc::new(host.status()),
            crashes: Arc::new(host.crashes()),
            callee: Arc::new(host.callees()),
            running: host.running().clone(),
            calls: Arc::new(Semaphore::new(call::CALLS)),
        }
    }

    /// What it answers to a request.
    pub(super) fn router(self) -> Router {
        described()
            .split_for_parts()
            .0
            .fallback(problem::no_such_path)
            .method_not_allowed_fallback(problem::no_such_method)
            .layer(DefaultBodyLimit::max(JSON_BYTES))
            .with_state(self)
    }
}

/// The control API of a Skep host: how its application stands, and changes of it while it runs.
///
/// Over the Unix socket `.skep/control.sock` beside the manifest, for the user whose host it is; over
/// TCP with the token of `host.control`. Whatever goes wrong is told in a problem document (RFC 9457).
#[derive(OpenApi)]
#[openapi(
    info(title = "Skep control API", license(name = "Apache-2.0", identifier = "Apache-2.0")),
    modifiers(&Remotely),
    components(schemas(Refused, Problem)),
    security(("token" = [])),
    tags(
        (name = "host", description = "The host and its application as they stand"),
        (name = "services", description = "The lives of single services"),
        (name = "changes", description = "Changes of the application, each whole or not at all"),
    )
)]
struct Document;

/// What holds for all of it over TCP.
struct Remotely;

impl Modify for Remotely {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let description =
            "What `host.control.token-file` says. Over the Unix socket none is needed";
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some(description))
            .build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// The OpenAPI document, as it is kept in `docs/openapi.json` and answered at `/v1/openapi.json`.
pub fn document() -> utoipa::openapi::OpenApi {
    let mut document = described().into_openapi();
    for item in document.paths.paths.values_mut() {
        let operations = [&mut item.get, &mut item.post];
        for operation in operations.into_iter().flatten() {
            let responses = &mut operation.responses.responses;
            for (status, description) in REMOTELY {
                let content = Ref::from_schema_name(Problem::name());
                let content = ContentBuilder::new().schema(Some(content)).build();
                let response = ResponseBuilder::new()
                    .description(description)
                    .content(PROBLEM_JSON, content);
                responses.insert(status.to_owned(), response.build().into());
            }
        }
    }
    document
}

/// What any request may be answered over TCP.
const REMOTELY: [(&str, &str); 2] = [
    ("401", "Over TCP: without the token"),
    (
        "403",
        "Over TCP: from a web page, or with a `Host` that is no address",
    ),
];

fn described() -> OpenApiRouter<Api> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(openapi))
        .routes(routes!(life::status))
        .routes(routes!(life::crashes))
        .routes(routes!(life::crashes_of))
        .routes(routes!(life::restart))
        .routes(routes!(life::stop))
        .routes(routes!(life::start))
        .routes(routes!(call::interfaces_of))
        .routes(routes!(call::called))
        .routes(routes!(change::rolled_back))
        .routes(routes!(change::applied))
        .routes(routes!(change::planned))
        .routes(routes!(canary::set))
        .routes(routes!(canary::promoted))
        .routes(routes!(canary::aborted))
        .routes(routes!(shadow::found))
        .routes(routes!(history::history))
        .routes(routes!(history::events))
        .merge(with_components())
}

/// The routes whose bodies are components.
fn with_components() -> OpenApiRouter<Api> {
    let largest = usize::try_from(MAX_COMPONENT_BYTES).unwrap_or(usize::MAX);
    OpenApiRouter::new()
        .routes(routes!(change::deployed))
        .routes(routes!(canary::begun))
        .routes(routes!(shadow::begun))
        .layer(DefaultBodyLimit::max(largest))
}

/// This document
#[utoipa::path(
    get,
    path = "/v1/openapi.json",
    tag = "host",
    responses((status = 200, description = "OpenAPI 3.1", body = Object)),
)]
async fn openapi(State(_): State<Api>) -> Json<utoipa::openapi::OpenApi> {
    Json(document())
}

/// What a function answers that blocks.
pub(super) async fn apart<T: Send + 'static>(
    answer: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let answered = tokio::task::spawn_blocking(answer).await;
    answered.map_err(|_| Problem::lost())
}
