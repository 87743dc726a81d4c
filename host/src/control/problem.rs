//! How the control API says no: problem documents (RFC 9457), also for what axum itself turns away.

use axum::extract::rejection::{BytesRejection, JsonRejection, PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, body};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use skep_core::name::ServiceName;
use utoipa::ToSchema;

/// The media type of problem documents.
pub(super) const PROBLEM_JSON: &str = "application/problem+json";

/// Why the host did not do what it was asked: a problem document (RFC 9457).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Problem {
    /// A few words for the status.
    pub title: String,
    /// The status.
    pub status: u16,
    /// Why.
    pub detail: String,
}

impl Problem {
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem {
            title: status.canonical_reason().unwrap_or_default().to_owned(),
            status: status.as_u16(),
            detail: detail.into(),
        }
    }

    pub(super) fn no_service(service: &str) -> Problem {
        let none = format!("there is no service `{service}`");
        Problem::new(StatusCode::NOT_FOUND, none)
    }

    /// A part of the host has panicked, which has been reported.
    pub(super) fn lost() -> Problem {
        let lost = "the host came to no answer: a bug of Skep's";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, lost)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        rendered(self.status, &self)
    }
}

/// A problem document with members of its own.
pub(super) fn rendered(status: u16, problem: &impl Serialize) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = [(header::CONTENT_TYPE, PROBLEM_JSON)];
    (status, kind, Json(problem)).into_response()
}

/// The answer to a path that the API does not have.
pub(super) async fn no_such_path(uri: Uri) -> Problem {
    let none = format!("the control API has no {}", uri.path());
    Problem::new(StatusCode::NOT_FOUND, none)
}

/// The answer to a method that a path does not have; axum adds those that it has.
pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    let none = format!("{} does not take {method}", uri.path());
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, none)
}

/// A body of JSON.
pub(super) struct Asked<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Asked<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = Json::<T>::from_request(request, state).await;
        body.map(|Json(asked)| Asked(asked)).map_err(Problem::from)
    }
}

/// A body of WebAssembly.
pub(super) struct Sent(pub(super) body::Bytes);

/// What such a body may be said to be. The second is for clients that know no better.
const COMPONENT_TYPES: [&str; 2] = ["application/wasm", "application/octet-stream"];

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let kind = request.headers().get(header::CONTENT_TYPE);
        let kind = kind.map(|kind| kind.to_str().unwrap_or_default());
        // Anything else, and what browsers send without asking first, is somebody's mistake.
        if !kind.is_some_and(|kind| COMPONENT_TYPES.contains(&kind)) {
            let wanted = format!("content-type has to be {}", COMPONENT_TYPES[0]);
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, wanted));
        }
        let bytes = body::Bytes::from_request(request, state).await;
        bytes.map(Sent).map_err(Problem::from)
    }
}

/// What the query says.
pub(super) struct Queried<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Queried<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query
            .map(|Query(query)| Queried(query))
            .map_err(Problem::from)
    }
}

/// The service that a path names.
pub(super) struct Named(pub(super) ServiceName);

impl<S: Send + Sync> FromRequestParts<S> for Named {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await?;
        // There cannot be one.
        let name = ServiceName::parse(&text).map_err(|_| Problem::no_service(&text))?;
        Ok(Named(name))
    }
}

impl From<JsonRejection> for Problem {
    fn from(rejection: JsonRejection) -> Problem {
        let status = match rejection.status() {
            // What is well formed and cannot be done is another matter.
            StatusCode::UNPROCESSABLE_ENTITY => StatusCode::BAD_REQUEST,
            status => status,
        };
        Problem::new(status, rejection.body_text())
    }
}

impl From<BytesRejection> for Problem {
    fn from(rejection: BytesRejection) -> Problem {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<QueryRejection> for Problem {
    fn from(rejection: QueryRejection) -> Problem {
        Problem::new(rejection.status(), rejection.body_text())
    }
}

impl From<PathRejection> for Problem {
    fn from(rejection: PathRejection) -> Problem {
        Problem::new(rejection.status(), rejection.body_text())
    }
}
