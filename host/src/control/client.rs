//! The control API from the other side: what commands ask of a running host. Everything here blocks.

use std::time::Duration;

use serde::de::DeserializeOwned;
use skep_core::name::ServiceName;
use skep_core::rollout::Share;
use skep_core::shadow::Report;
use skep_core::status::{Crashes, HostStatus};

use super::api::JSON_BYTES;
use super::exchange::{ANSWER_PATIENCE, Question};
use super::{
    Apply, ControlError, Copies, Endpoint, Order, Ordered, Past, Planned, Problem, Refused,
    Returned, Rollback, SetShare, Trial,
};
use crate::deploy::{Changed, StepBegun, Tried};
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

/// Asks the host how it stands.
///
/// # Errors
/// See [`ControlError`].
pub fn status(host: &Endpoint) -> Result<HostStatus, ControlError> {
    let (_, body) = host.exchange(&Question::new("GET /v1/status"))?;
    serde_json::from_slice(&body).map_err(|_| host.unexpected())
}

/// Asks the host for the latest crashes of a service, or of all; none if it has none of
/// that name.
///
/// # Errors
/// See [`ControlError`].
pub fn crashes(
    host: &Endpoint,
    service: Option<&ServiceName>,
) -> Result<Option<Vec<Crashes>>, ControlError> {
    let request = match service {
        Some(service) => format!("GET /v1/services/{service}/crashes"),
        None => "GET /v1/crashes".to_owned(),
    };
    found(host, &request, 200)
}

/// Gives a service of the host an order; none if it has none of that name.
///
/// # Errors
/// See [`ControlError`].
pub fn order(
    host: &Endpoint,
    service: &ServiceName,
    order: Order,
) -> Result<Option<Ordered>, ControlError> {
    let request = format!("POST /v1/services/{service}/{}", order.name());
    found(host, &request, 202)
}

/// Asks the host what a service exports; none if it has none of that name.
///
/// # Errors
/// See [`ControlError`].
pub fn interfaces(
    host: &Endpoint,
    service: &ServiceName,
) -> Result<Option<Vec<Listed>>, ControlError> {
    let request = format!("GET /v1/services/{service}/interfaces");
    found(host, &request, 200)
}

/// Has the host call a function of a service: without a time-out until the
/// service's own deadline. If this process ends meanwhile, the call is cancelled.
///
/// # Errors
/// See [`ControlError`].
pub fn call(
    host: &Endpoint,
    service: &ServiceName,
    call: &Call,
) -> Result<Result<Returned, Refusal>, ControlError> {
    let unexpected = || host.unexpected();
    let request = format!("POST /v1/services/{service}/call");
    let timeout = call.timeout_ms.map(Duration::from_millis);
    let question = Question {
        // The host sees to the time-out; this is for a host that does not.
        patience: timeout.map(|timeout| timeout.saturating_add(ANSWER_PATIENCE)),
        ..Question::json(host, &request, call)?
    };
    if question.body.len() > JSON_BYTES {
        let long = format!("a call takes no more than {JSON_BYTES} bytes with all its arguments");
        return Ok(Err(Refusal::NotUnderstood(long)));
    }
    let (status, body) = host.exchange(&question)?;
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

/// Asks the host what applying a manifest would change.
///
/// # Errors
/// See [`ControlError`].
pub fn plan(host: &Endpoint, asked: &Apply) -> Result<Result<Planned, Refused>, ControlError> {
    ask(host, &Question::json(host, "POST /v1/plan", asked)?)
}

/// Has the host deploy a component. `told` is told of each step, if the host tells of it.
///
/// # Errors
/// See [`ControlError`].
pub fn deploy(
    host: &Endpoint,
    service: &ServiceName,
    component: Vec<u8>,
    lose_state: bool,
    expected: Option<u64>,
    told: &dyn Fn(StepBegun),
) -> Result<Result<Changed, Refused>, ControlError> {
    let request = format!("POST /v1/services/{service}/deploy?lose_state={lose_state}");
    let question = Question {
        told: Some(told),
        ..Question::component(&request, component, expected)
    };
    ask(host, &question)
}

/// Has the host try a component with a share of the requests.
///
/// # Errors
/// See [`ControlError`].
pub fn try_out(
    host: &Endpoint,
    service: &ServiceName,
    component: Vec<u8>,
    trial: &Trial,
    expected: Option<u64>,
) -> Result<Result<Tried, Refused>, ControlError> {
    let query = serde_urlencoded::to_string(trial).map_err(|_| host.unexpected())?;
    let request = format!("POST /v1/services/{service}/canary?{query}");
    ask(host, &Question::component(&request, component, expected))
}

/// Has the host let a component answer copies of what a service is asked.
///
/// # Errors
/// See [`ControlError`].
pub fn shadow(
    host: &Endpoint,
    service: &ServiceName,
    component: Vec<u8>,
    copies: &Copies,
    expected: Option<u64>,
) -> Result<Result<Tried, Refused>, ControlError> {
    let query = serde_urlencoded::to_string(copies).map_err(|_| host.unexpected())?;
    let request = format!("POST /v1/services/{service}/shadow?{query}");
    ask(host, &Question::component(&request, component, expected))
}

/// Asks the host what has been found of a component that gets copies of what a service is asked; none
/// if there is none.
///
/// # Errors
/// See [`ControlError`].
pub fn shadow_report(
    host: &Endpoint,
    service: &ServiceName,
) -> Result<Option<Report>, ControlError> {
    found(host, &format!("GET /v1/services/{service}/shadow"), 200)
}

/// Has the host give what is on trial another share.
///
/// # Errors
/// See [`ControlError`].
pub fn set_share(host: &Endpoint, share: Share) -> Result<Result<Tried, Refused>, ControlError> {
    let asked = SetShare { share };
    ask(
        host,
        &Question::json(host, "POST /v1/canary/share", &asked)?,
    )
}

/// Has the host let what is on trial serve all requests.
///
/// # Errors
/// See [`ControlError`].
pub fn promote(host: &Endpoint) -> Result<Result<Changed, Refused>, ControlError> {
    let question = Question {
        patience: None,
        ..Question::new("POST /v1/canary/promote")
    };
    ask(host, &question)
}

/// Has the host take back what is on trial.
///
/// # Errors
/// See [`ControlError`].
pub fn abort(host: &Endpoint) -> Result<Result<Tried, Refused>, ControlError> {
    ask(host, &Question::new("POST /v1/canary/abort"))
}

/// Asks the host for the latest generations, the newest first.
///
/// # Errors
/// See [`ControlError`].
pub fn history(host: &Endpoint, limit: usize) -> Result<Result<Vec<Past>, Refused>, ControlError> {
    ask(
        host,
        &Question::new(&format!("GET /v1/history?limit={limit}")),
    )
}

/// Asks the host for events after the one with that number, or the latest; if there are none
/// yet, it waits for them.
///
/// # Errors
/// See [`ControlError`].
pub fn events(
    host: &Endpoint,
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
    ask(host, &question)
}

/// Has the host go back to an earlier revision of a service; `told` as for [`deploy`].
///
/// # Errors
/// See [`ControlError`].
pub fn rollback(
    host: &Endpoint,
    service: &ServiceName,
    asked: &Rollback,
    expected: Option<u64>,
    told: &dyn Fn(StepBegun),
) -> Result<Result<Changed, Refused>, ControlError> {
    let request = format!("POST /v1/services/{service}/rollback");
    let question = Question {
        expected,
        told: Some(told),
        ..Question::json(host, &request, asked)?
    };
    ask(host, &question)
}

/// Has the host apply a manifest; `told` as for [`deploy`].
///
/// # Errors
/// See [`ControlError`].
pub fn apply(
    host: &Endpoint,
    asked: &Apply,
    expected: Option<u64>,
    told: &dyn Fn(StepBegun),
) -> Result<Result<Changed, Refused>, ControlError> {
    let question = Question {
        expected,
        told: Some(told),
        ..Question::json(host, "POST /v1/apply", asked)?
    };
    ask(host, &question)
}

/// An answer with that status; none if there is no such service.
fn found<T: DeserializeOwned>(
    host: &Endpoint,
    request: &str,
    status: u16,
) -> Result<Option<T>, ControlError> {
    let unexpected = || host.unexpected();
    match host.exchange(&Question::new(request))? {
        (found, body) if found == status => serde_json::from_slice(&body)
            .map(Some)
            .map_err(|_| unexpected()),
        (404, _) => Ok(None),
        _ => Err(unexpected()),
    }
}

fn ask<T: DeserializeOwned>(
    host: &Endpoint,
    question: &Question<'_>,
) -> Result<Result<T, Refused>, ControlError> {
    let (status, body) = host.exchange(question)?;
    let unexpected = |_| host.unexpected();
    if status == 200 {
        return serde_json::from_slice(&body).map(Ok).map_err(unexpected);
    }
    serde_json::from_slice(&body).map(Err).map_err(unexpected)
}
