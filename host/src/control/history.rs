//! The control API's look at the past: generations that served, and what happened.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use skep_core::generation::{Generation, Reason};
use skep_core::name::ServiceName;
use utoipa::ToSchema;

use super::api::{Api, apart};
use super::problem::{Problem, Queried};
use super::refused::{Refused, Unplanned};
use crate::deploy::{ChangeError, LedgerError, Records, Running};
use crate::journal::{JournalError, Recorded};

/// At most so many of either are answered.
const LIMIT_MAX: usize = 1000;

/// As many as one looks at, if nobody says otherwise.
const LIMIT: usize = 50;

/// For how long events that are not there yet are waited for at most.
const WAIT_MAX: Duration = Duration::from_secs(60);

/// A generation that served, or serves.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
pub struct Past {
    /// From 1; a later generation has a greater number.
    pub generation: u64,
    /// Whether it is the one that serves.
    pub active: bool,
    /// Milliseconds since 1970 (UTC).
    pub made_ms: u64,
    /// What led to it.
    pub reason: Reason,
    /// Its services.
    pub services: BTreeMap<ServiceName, PastService>,
}

/// A service in a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PastService {
    /// From 1; unique for the service.
    pub revision: u32,
    /// The component's sha-256, in hexadecimal.
    pub digest: String,
    /// What the manifest says, or where it was deployed from.
    pub component: String,
}

/// How many generations.
#[derive(Debug, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct HistoryQuery {
    /// At most so many.
    #[serde(default = "limit")]
    #[param(default = 50, minimum = 1, maximum = 1000)]
    limit: usize,
}

/// Which events.
#[derive(Debug, Serialize, Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(super) struct EventsQuery {
    /// Those after the one with this number. Absent: the latest.
    #[serde(default)]
    #[param(value_type = u64, required = false, nullable = false, maximum = 9007199254740991u64)]
    after: Option<u64>,
    /// At most so many.
    #[serde(default = "limit")]
    #[param(default = 50, minimum = 1, maximum = 1000)]
    limit: usize,
    /// If there are none, wait for them: so many milliseconds, at most 60000.
    #[serde(default)]
    #[param(default = 0, maximum = 60000)]
    wait_ms: u64,
}

fn limit() -> usize {
    LIMIT
}

/// The generations that served, the newest first
#[utoipa::path(
    get,
    path = "/v1/history",
    tag = "changes",
    params(HistoryQuery),
    responses((status = 200, description = "Those that are kept", body = Vec<Past>), Unplanned),
)]
pub(super) async fn history(
    State(api): State<Api>,
    Queried(query): Queried<HistoryQuery>,
) -> Result<Json<Vec<Past>>, Refused> {
    let records = records(&api.running)?;
    let limit = within(query.limit)?;
    let past = apart(move || {
        let active = records.active()?.map(|active| active.number);
        let past = |record| Past::of(record, active);
        Ok(records.history(limit)?.into_iter().map(past).collect())
    });
    past.await?.map(Json).map_err(unreadable)
}

/// What happened, the oldest first
///
/// Deploys, refusals, trials, roll-backs with their evidence, crashes, services that were given up. Whoever follows
/// asks again with the last number that he has seen.
#[utoipa::path(
    get,
    path = "/v1/events",
    tag = "changes",
    params(EventsQuery),
    responses((status = 200, description = "Those that are kept", body = Vec<Recorded>), Unplanned),
)]
pub(super) async fn events(
    State(api): State<Api>,
    Queried(query): Queried<EventsQuery>,
) -> Result<Json<Vec<Recorded>>, Refused> {
    let records = records(&api.running)?;
    let limit = within(query.limit)?;
    let wait = Duration::from_millis(query.wait_ms);
    if wait > WAIT_MAX {
        let most = WAIT_MAX.as_millis();
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!("wait_ms is at most {most}"),
        )
        .into());
    }
    let mut newest = records.newest();
    let after = match query.after {
        Some(after) => after,
        None => newest.borrow().saturating_sub(limit as u64),
    };
    // Whether something has come or the time is over: what is there is answered.
    let _ = tokio::time::timeout(wait, newest.wait_for(|newest| *newest > after)).await;
    let events = apart(move || records.events(after, limit));
    events.await?.map(Json).map_err(unreadable)
}

fn records(running: &Running) -> Result<Records, Refused> {
    let records = running.records();
    records.ok_or_else(|| Refused::of_change(&ChangeError::NoLedger))
}

fn within(limit: usize) -> Result<usize, Problem> {
    let wanted = || {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!("limit is from 1 to {LIMIT_MAX}"),
        )
    };
    (1..=LIMIT_MAX)
        .contains(&limit)
        .then_some(limit)
        .ok_or_else(wanted)
}

fn unreadable(error: JournalError) -> Refused {
    Refused::of_change(&ChangeError::Ledger(LedgerError::Journal(error)))
}

impl Past {
    fn of(record: Generation, active: Option<u64>) -> Past {
        let service = |(name, placed): (ServiceName, skep_core::generation::Placed)| {
            let service = PastService {
                revision: placed.revision,
                digest: placed.component.to_string(),
                component: placed.component_path,
            };
            (name, service)
        };
        Past {
            generation: record.number,
            active: active == Some(record.number),
            made_ms: record.made_ms,
            reason: record.reason,
            services: record.services.into_iter().map(service).collect(),
        }
    }
}
