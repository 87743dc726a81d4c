//! The control API's calls of services' functions.

use std::io::Write;

use axum::Json;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use skep_core::name::ServiceName;
use utoipa::ToSchema;
use wasmtime::component::Val;

use super::api::{Api, apart};
use super::problem::{Asked, Named, Problem};
use super::refused::{Bug, NoService, NotCalled};
use crate::log::chain;
use crate::operator::{Answered, Call, Callee, Listed};
use crate::wave;

/// Bytes of a result as text.
const RESULT_BYTES: usize = 8 << 20;

/// Calls by the operator at the same time: each may hold a body and a result.
pub(super) const CALLS: usize = 16;

/// What came of a call.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
pub struct Returned {
    /// With its version.
    pub interface: String,
    /// As the component has it.
    pub function: String,
    /// What kind of value it is.
    pub outcome: Outcome,
    /// A WAVE text, or JSON if that was asked for; `null` if the function returns nothing.
    pub result: serde_json::Value,
}

/// What the function itself says of its result.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A value, or none.
    Value,
    /// `ok` of a result.
    Ok,
    /// `err` of a result.
    Err,
}

/// What a service exports
///
/// Its own interfaces, with their functions.
#[utoipa::path(
    get,
    path = "/v1/services/{service}/interfaces",
    tag = "services",
    params(("service" = ServiceName, Path, description = "Which")),
    responses(
        (status = 200, description = "In the component's order", body = Vec<Listed>),
        NoService,
        Bug,
    ),
)]
pub(super) async fn interfaces_of(
    State(api): State<Api>,
    Named(service): Named,
) -> Result<Json<Vec<Listed>>, Problem> {
    let callee = api.callee(&service)?;
    apart(move || Json(callee.listing())).await
}

/// Call a function of a service
///
/// The call goes the way of other services' calls: it is admitted, held to the service's deadline and
/// limits, and a crash is the service's. If the client goes away it is cancelled.
#[utoipa::path(
    post,
    path = "/v1/services/{service}/call",
    tag = "services",
    params(("service" = ServiceName, Path, description = "Which")),
    request_body(content = Call),
    responses(
        (status = 200, description = "The function has returned", body = Returned),
        NoService,
        NotCalled,
        Bug,
    ),
)]
pub(super) async fn called(
    State(api): State<Api>,
    Named(service): Named,
    Asked(asked): Asked<Call>,
) -> Result<Response, Problem> {
    let callee = api.callee(&service)?;
    let Ok(_place) = api.calls.try_acquire() else {
        let full = format!("{CALLS} calls by the operator are under way already");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, full));
    };
    let json = asked.json;
    // Texts of a megabyte are not read on a thread that serves.
    let understood = apart(move || {
        let understood = callee.understand(&asked);
        (callee, understood)
    });
    let (callee, understood) = understood.await?;
    let understood = understood
        .map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    let failed = |why: String| Problem::new(StatusCode::BAD_GATEWAY, why);
    let answered = callee.call(understood).await;
    let answered = answered.map_err(|error| failed(chain(&error).to_string()))?;
    let rendered = apart(move || render(&answered, json)).await?;
    let body = rendered.ok_or_else(|| {
        failed(format!(
            "the result has more than {RESULT_BYTES} bytes as text"
        ))
    })?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

impl Api {
    fn callee(&self, service: &ServiceName) -> Result<Callee, Problem> {
        (self.callee)(service.as_str()).ok_or_else(|| Problem::no_service(service.as_str()))
    }
}

/// As [`Returned`]; none if it is too long.
fn render(answered: &Answered, json: bool) -> Option<Vec<u8>> {
    #[derive(Serialize)]
    struct Rendered<'a, R> {
        interface: &'a str,
        function: &'a str,
        outcome: Outcome,
        result: Option<R>,
    }
    struct Text<'a>(&'a Val);
    impl Serialize for Text<'_> {
        fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
            to.collect_str(&wave::Wave(self.0))
        }
    }
    fn write<R: Serialize>(answered: &Answered, result: Option<R>) -> Option<Vec<u8>> {
        let mut out = Bounded(Vec::new());
        let rendered = Rendered {
            interface: &answered.function.interface,
            function: &answered.function.name,
            outcome: Outcome::of(answered.result.as_ref()),
            result,
        };
        serde_json::to_writer(&mut out, &rendered).ok()?;
        Some(out.0)
    }
    let result = answered.result.as_ref();
    match json {
        true => write(answered, result.map(wave::Json)),
        false => write(answered, result.map(Text)),
    }
}

/// Takes no more than [`RESULT_BYTES`].
struct Bounded(Vec<u8>);

impl Write for Bounded {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if self.0.len() + bytes.len() > RESULT_BYTES {
            return Err(std::io::ErrorKind::FileTooLarge.into());
        }
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl Outcome {
    fn of(result: Option<&Val>) -> Outcome {
        match result {
            Some(Val::Result(Ok(_))) => Outcome::Ok,
            Some(Val::Result(Err(_))) => Outcome::Err,
            _ => Outcome::Value,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::service::Function;

    #[test]
    fn a_result_is_rendered_whole_or_not_at_all() {
        let answered = |text: String| Answered {
            function: Function {
                interface: "a:b/c@1.0.0".into(),
                name: "get".into(),
            },
            result: Some(Val::Result(Err(Some(Box::new(Val::String(text)))))),
        };
        let returned = |json| {
            let rendered = render(&answered("no".to_owned()), json).unwrap();
            serde_json::from_slice::<Returned>(&rendered).unwrap()
        };
        assert_eq!(returned(false).result, r#"err("no")"#);
        assert_eq!(returned(true).result, serde_json::json!({ "err": "no" }));
        assert_eq!(returned(true).outcome, Outcome::Err);
        assert!(render(&answered("x".repeat(RESULT_BYTES)), false).is_none());
    }
}
