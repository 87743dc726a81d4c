//! The control API from the other side: what commands ask of a running host. Everything here blocks.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use skep_core::name::ServiceName;
use skep_core::rollout::Share;
use skep_core::shadow::Report;
use skep_core::status::{Crashes, HostStatus};

use super::api::JSON_BYTES;
use super::{
    Apply, ControlError, Copies, Order, Ordered, Past, Planned, Problem, Refused, Returned,
    Rollback, SetShare, Trial,
};
use crate::deploy::{Changed, Tried};
use crate::journal::Recorded;
use crate::operator::{Call, Listed};

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

/// Asks the host at `path` how it stands.
///
/// # Errors
/// See [`ControlError`].
pub fn status(path: &Path) -> Result<HostStatus, ControlError> {
    let (_, body) = exchange(path, &Question::new("GET /v1/status"))?;
    serde_json::from_slice(&body).map_err(|_| ControlError::unexpected(path))
}

/// Asks the host at `path` for the latest crashes of a service, or of all; none if it has none of
/// that name.
///
/// # Errors
/// See [`ControlError`].
pub fn crashes(
    path: &Path,
    service: Option<&ServiceName>,
) -> Result<Option<Vec<Crashes>>, ControlError> {
    let request = match service {
        Some(service) => format!("GET /v1/services/{service}/crashes"),
        None => "GET /v1/crashes".to_owned(),
    };
    found(path, &request, 200)
}

/// Gives a service of the host at `path` an order; none if it has none of that name.
///
/// # Errors
/// See [`ControlError`].
pub fn order(
    path: &Path,
    service: &ServiceName,
    order: Order,
) -> Result<Option<Ordered>, ControlError> {
    let request = format!("POST /v1/services/{service}/{}", order.name());
    found(path, &request, 202)
}

/// Asks the host at `path` what a service exports; none if it has none of that name.
///
/// # Errors
/// See [`ControlError`].
pub fn interfaces(path: &Path, service: &ServiceName) -> Result<Option<Vec<Listed>>, ControlError> {
    let request = format!("GET /v1/services/{service}/interfaces");
    found(path, &request, 200)
}

/// Has the host at `path` call a function of a service: without a time-out until the
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
    if body.len() > JSON_BYTES {
        let long = format!("a call takes no more than {JSON_BYTES} bytes with all its arguments");
        return Ok(Err(Refusal::NotUnderstood(long)));
    }
    let request = format!("POST /v1/services/{service}/call");
    let timeout = call.timeout_ms.map(Duration::from_millis);
    let question = Question {
        body,
        // The host sees to the time-out; this is for a host that does not.
        patience: timeout.map(|timeout| timeout.saturating_add(ANSWER_PATIENCE)),
        ..Question::new(&request)
    };
    let (status, body) = exchange(path, &question)?;
    if status == 200 {
        let returned = serde_json::from_slice(&body).map_err(|_| unexpected())?;
        return Ok(Ok(returned));
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

/// Asks the host at `path` what applying a manifest would change.
///
/// # Errors
/// See [`ControlError`].
pub fn plan(path: &Path, asked: &Apply) -> Result<Result<Planned, Refused>, ControlError> {
    json(path, "POST /v1/plan", asked, None)
}

/// Has the host at `path` deploy a component.
///
/// # Errors
/// See [`ControlError`].
pub fn deploy(
    path: &Path,
    service: &ServiceName,
    component: Vec<u8>,
    lose_state: bool,
    expected: Option<u64>,
) -> Result<Result<Changed, Refused>, ControlError> {
    let question = Question {
        request: &format!("POST /v1/services/{service}/deploy?lose_state={lose_state}"),
        body: component,
        kind: "application/wasm",
        patience: None,
        expected,
    };
    ask(path, &question)
}

/// Has the host at `path` try a component with a share of the requests.
///
/// # Errors
/// See [`ControlError`].
pub fn try_out(
    path: &Path,
    service: &ServiceName,
    component: Vec<u8>,
    trial: &Trial,
    expected: Option<u64>,
) -> Result<Result<Tried, Refused>, ControlError> {
    let query = serde_urlencoded::to_string(trial).map_err(|_| ControlError::unexpected(path))?;
    let question = Question {
        request: &format!("POST /v1/services/{service}/canary?{query}"),
        body: component,
        kind: "application/wasm",
        patience: None,
        expected,
    };
    ask(path, &question)
}

/// Has the host at `path` let a component answer copies of what a service is asked.
///
/// # Errors
/// See [`ControlError`].
pub fn shadow(
    path: &Path,
    service: &ServiceName,
    component: Vec<u8>,
    copies: &Copies,
    expected: Option<u64>,
) -> Result<Result<Tried, Refused>, ControlError> {
    let query = serde_urlencoded::to_string(copies).map_err(|_| ControlError::unexpected(path))?;
    let question = Question {
        request: &format!("POST /v1/services/{service}/shadow?{query}"),
        body: component,
        kind: "application/wasm",
        patience: None,
        expected,
    };
    ask(path, &question)
}

/// Asks the host at `path` what has been found of a component that gets copies of what a service is
/// asked; none if there is none.
///
/// # Errors
/// See [`ControlError`].
pub fn shadow_report(path: &Path, service: &ServiceName) -> Result<Option<Report>, ControlError> {
    found(path, &format!("GET /v1/services/{service}/shadow"), 200)
}

/// Has the host at `path` give what is on trial another share.
///
/// # Errors
/// See [`ControlError`].
pub fn set_share(path: &Path, share: Share) -> Result<Result<Tried, Refused>, ControlError> {
    json(path, "POST /v1/canary/share", &SetShare { share }, None)
}

/// Has the host at `path` let what is on trial serve all requests.
///
/// # Errors
/// See [`ControlError`].
pub fn promote(path: &Path) -> Result<Result<Changed, Refused>, ControlError> {
    let question = Question {
        patience: None,
        ..Question::new("POST /v1/canary/promote")
    };
    ask(path, &question)
}

/// Has the host at `path` take back what is on trial.
///
/// # Errors
/// See [`ControlError`].
pub fn abort(path: &Path) -> Result<Result<Tried, Refused>, ControlError> {
    ask(path, &Question::new("POST /v1/canary/abort"))
}

/// Asks the host at `path` for the latest generations, the newest first.
///
/// # Errors
/// See [`ControlError`].
pub fn history(path: &Path, limit: usize) -> Result<Result<Vec<Past>, Refused>, ControlError> {
    ask(
        path,
        &Question::new(&format!("GET /v1/history?limit={limit}")),
    )
}

/// Asks the host at `path` for events after the one with that number, or the latest; if there are none
/// yet, it waits for them.
///
/// # Errors
/// See [`ControlError`].
pub fn events(
    path: &Path,
    after: Option<u64>,
    limit: usize,
    wait: Duration,
) -> Result<Result<Vec<Recorded>, Refused>, ControlError> {
    let after = after.map_or_else(String::new, |after| format!("&after={after}"));
    let wait_ms = wait.as_millis();
    let request = format!("GET /v1/events?limit={limit}&wait_ms={wait_ms}{after}");
    let question = Question {
        patience: Some(wait.saturating_add(ANSWER_PATIENCE)),
        ..Question::new(&request)
    };
    ask(path, &question)
}

/// Has the host at `path` go back to an earlier revision of a service.
///
/// # Errors
/// See [`ControlError`].
pub fn rollback(
    path: &Path,
    service: &ServiceName,
    asked: &Rollback,
    expected: Option<u64>,
) -> Result<Result<Changed, Refused>, ControlError> {
    let request = format!("POST /v1/services/{service}/rollback");
    json(path, &request, asked, expected)
}

/// Has the host at `path` apply a manifest.
///
/// # Errors
/// See [`ControlError`].
pub fn apply(
    path: &Path,
    asked: &Apply,
    expected: Option<u64>,
) -> Result<Result<Changed, Refused>, ControlError> {
    json(path, "POST /v1/apply", asked, expected)
}

/// An answer with that status; none if there is no such service.
fn found<T: DeserializeOwned>(
    path: &Path,
    request: &str,
    status: u16,
) -> Result<Option<T>, ControlError> {
    let unexpected = || ControlError::unexpected(path);
    match exchange(path, &Question::new(request))? {
        (found, body) if found == status => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| unexpected()),
        (404, _) => Ok(None),
        _ => Err(unexpected()),
    }
}

fn json<T: DeserializeOwned>(
    path: &Path,
    request: &str,
    asked: &impl Serialize,
    expected: Option<u64>,
) -> Result<Result<T, Refused>, ControlError> {
    let body = serde_json::to_vec(asked).map_err(|_| ControlError::unexpected(path))?;
    let question = Question {
        body,
        patience: None,
        expected,
        ..Question::new(request)
    };
    ask(path, &question)
}

fn ask<T: DeserializeOwned>(
    path: &Path,
    question: &Question<'_>,
) -> Result<Result<T, Refused>, ControlError> {
    let (status, body) = exchange(path, question)?;
    let unexpected = |_| ControlError::unexpected(path);
    if status == 200 {
        return serde_json::from_slice(&body).map(Ok).map_err(unexpected);
    }
    serde_json::from_slice(&body).map(Err).map_err(unexpected)
}

/// How long a host may take to answer a question.
const ANSWER_PATIENCE: Duration = Duration::from_secs(5);

/// An answer that is longer is not one.
const ANSWER_BYTES: u64 = 16 << 20;

/// What a host is asked.
struct Question<'a> {
    /// `GET /v1/status`
    request: &'a str,
    body: Vec<u8>,
    /// The body's media type.
    kind: &'static str,
    /// For how long its answer is waited for; none: as long as there is a host.
    patience: Option<Duration>,
    /// The generation that it is about, if only that.
    expected: Option<u64>,
}

impl Question<'_> {
    /// One without a body that is answered at once.
    fn new(request: &str) -> Question<'_> {
        Question {
            request,
            body: Vec::new(),
            kind: "application/json",
            patience: Some(ANSWER_PATIENCE),
            expected: None,
        }
    }
}

/// One request, its answer's status and body.
fn exchange(path: &Path, question: &Question<'_>) -> Result<(u16, Vec<u8>), ControlError> {
    let no_host = |source| ControlError::NoHost {
        path: path.to_owned(),
        source,
    };
    let mut stream = UnixStream::connect(path).map_err(no_host)?;
    stream
        .set_read_timeout(question.patience)
        .map_err(no_host)?;
    stream
        .set_write_timeout(Some(ANSWER_PATIENCE))
        .map_err(no_host)?;
    // HTTP/1.0: the answer is not chunked and ends with the connection.
    let expected = question.expected;
    let condition = expected.map_or_else(String::new, |n| format!("if-match: \"{n}\"\r\n"));
    let head = format!(
        "{} HTTP/1.0\r\nhost: localhost\r\ncontent-type: {}\r\n{condition}\
         content-length: {}\r\n\r\n",
        question.request,
        question.kind,
        question.body.len()
    );
    stream.write_all(head.as_bytes()).map_err(no_host)?;
    // A host that does not want all of it says so.
    let _ = stream.write_all(&question.body);
    let mut answer = Vec::new();
    stream
        .take(ANSWER_BYTES)
        .read_to_end(&mut answer)
        .map_err(no_host)?;
    parse(&answer).ok_or_else(|| ControlError::unexpected(path))
}

fn parse(answer: &[u8]) -> Option<(u16, Vec<u8>)> {
    let head_end = answer.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&answer[..head_end]).ok()?;
    let status = head.split(' ').nth(1)?.parse().ok()?;
    Some((status, answer[head_end + 4..].to_vec()))
}
