//! The control API's calls of services' functions, from both sides.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, Path as Segment};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use skep_core::name::ServiceName;
use tokio::sync::Semaphore;
use wasmtime::component::Val;

use super::{ANSWER_PATIENCE, ControlError, Question, apart, exchange, no_service, problem};
use crate::log::chain;
use crate::operator::{Answered, Call, Callee, Listed};
use crate::wave;

/// Bytes of a call with all its arguments. A megabyte of text may become some hundred of values.
const CALL_BYTES: usize = 1 << 20;

/// Bytes of a result as text.
const RESULT_BYTES: usize = 8 << 20;

/// Calls by the operator at the same time: each may hold what the two above allow.
const CALLS: usize = 16;

/// What came of a call.
#[derive(Debug, Serialize, Deserialize)]
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A value, or none.
    Value,
    /// `ok` of a result.
    Ok,
    /// `err` of a result.
    Err,
}

/// What the host says instead of an answer.
#[derive(Debug)]
pub enum Refusal {
    /// It has no service of that name.
    NoService,
    /// There is no such function, or it takes other arguments.
    NotUnderstood(String),
    /// The service failed, or there was no room for the call.
    Failed(String),
}

pub(super) fn routes(
    callee: impl Fn(&str) -> Option<Callee> + Send + Sync + Clone + 'static,
) -> Router {
    let listed = callee.clone();
    let list = move |Segment(service): Segment<String>| async move {
        match listed(&service) {
            Some(callee) => Ok(apart(move || Json(callee.listing())).await),
            None => Err(no_service(&service)),
        }
    };
    let room = Arc::new(Semaphore::new(CALLS));
    let call = move |Segment(service): Segment<String>, Json(asked): Json<Call>| async move {
        let Some(callee) = callee(&service) else {
            return no_service(&service).into_response();
        };
        let Ok(_place) = room.try_acquire() else {
            let full = format!("{CALLS} calls by the operator are under way already");
            return problem(StatusCode::SERVICE_UNAVAILABLE, &full).into_response();
        };
        answer(callee, asked).await
    };
    Router::new()
        .route("/v1/services/{service}/interfaces", get(list))
        .route("/v1/services/{service}/call", post(call))
        .layer(DefaultBodyLimit::max(CALL_BYTES))
}

async fn answer(callee: Callee, asked: Call) -> Response {
    let json = asked.json;
    // Texts of a megabyte are not read on a thread that serves.
    let understood = apart(move || {
        let understood = callee.understand(&asked);
        (callee, understood)
    });
    let (callee, understood) = match understood.await {
        Ok((callee, Ok(understood))) => (callee, understood),
        Ok((_, Err(error))) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return problem(status, &error.to_string()).into_response();
        }
        Err(status) => return status.into_response(),
    };
    let answered = match callee.call(understood).await {
        Ok(answered) => answered,
        Err(error) => {
            let why = chain(&error).to_string();
            return problem(StatusCode::BAD_GATEWAY, &why).into_response();
        }
    };
    match apart(move || render(&answered, json)).await {
        Ok(Some(body)) => ([(header::CONTENT_TYPE, "application/json")], body).into_response(),
        Ok(None) => {
            let long = format!("the result has more than {RESULT_BYTES} bytes as text");
            problem(StatusCode::BAD_GATEWAY, &long).into_response()
        }
        Err(status) => status.into_response(),
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

/// Asks the host at `path` what a service exports; none if it has none of that name. Blocking.
///
/// # Errors
/// See [`ControlError`].
pub fn interfaces(path: &Path, service: &ServiceName) -> Result<Option<Vec<Listed>>, ControlError> {
    let request = format!("GET /v1/services/{service}/interfaces");
    match exchange(path, &Question::new(&request))? {
        (200, body) => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| ControlError::unexpected(path)),
        (404, _) => Ok(None),
        _ => Err(ControlError::unexpected(path)),
    }
}

/// Has the host at `path` call a function of a service. Blocking: without a time-out until the
/// service's own deadline. If this process ends meanwhile, the call is cancelled.
///
/// # Errors
/// See [`ControlError`].
pub fn call(
    path: &Path,
    service: &ServiceName,
    call: &Call,
) -> Result<Result<Returned, Refusal>, ControlError> {
    let unexpected = || ControlError::unexpected(path);
    let body = serde_json::to_vec(call).map_err(|_| unexpected())?;
    if body.len() > CALL_BYTES {
        let long = format!("a call takes no more than {CALL_BYTES} bytes with all its arguments");
        return Ok(Err(Refusal::NotUnderstood(long)));
    }
    let request = format!("POST /v1/services/{service}/call");
    let timeout = call.timeout_ms.map(Duration::from_millis);
    let question = Question {
        request: &request,
        body,
        // The host sees to the time-out; this is for a host that does not.
        patience: timeout.map(|timeout| timeout.saturating_add(ANSWER_PATIENCE)),
        expected: None,
    };
    let (status, body) = exchange(path, &question)?;
    if status == 200 {
        let returned = serde_json::from_slice(&body).map_err(|_| unexpected())?;
        return Ok(Ok(returned));
    }
    #[derive(Deserialize)]
    struct Problem {
        detail: String,
    }
    let said = || {
        let problem: Problem = serde_json::from_slice(&body).map_err(|_| unexpected())?;
        Ok::<_, ControlError>(problem.detail)
    };
    Ok(Err(match status {
        404 => Refusal::NoService,
        422 => Refusal::NotUnderstood(said()?),
        _ => Refusal::Failed(said()?),
    }))
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
