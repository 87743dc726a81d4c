//! Writes down what becomes of the services between deploys: crashes, and services that are given up.
//!
//! It looks once in a while instead of being told, so that no crash costs a write to the disk: a service
//! that crashes without end is told of ever more seldom.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use serde_json::json;
use skep_core::lifecycle::Phase;
use skep_core::name::ServiceName;
use skep_core::status::ServiceStatus;

use super::ledger::now_ms;
use super::running::Running;
use crate::journal::Event;
use crate::task;

/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Between two events about the crashes of one service, at first and at most: it doubles as long as it
/// goes on.
const PAUSE: Duration = Duration::from_secs(5);
const PAUSE_MAX: Duration = Duration::from_secs(3600);

/// What has been told of a service.
#[derive(Debug, Default)]
struct Told {
    revision: u32,
    crashes: u64,
    parked: bool,
    /// When crashes are told of again, and how long it is from then.
    quiet: Option<(Instant, Duration)>,
}

/// Begins to look, for as long as there is a host.
pub(super) fn begin(running: &Arc<Running>) -> task::Own<()> {
    let running = Arc::downgrade(running);
    task::own(task::Kind::Server, async move {
        let mut told = BTreeMap::new();
        loop {
            tokio::time::sleep(LOOK_EVERY).await;
            if look(&running, &mut told).await.is_none() {
                return;
            }
        }
    })
}

async fn look(running: &Weak<Running>, told: &mut BTreeMap<ServiceName, Told>) -> Option<()> {
    let running = running.upgrade()?;
    let ledger = running.ledger.clone()?;
    if ledger.journal().is_lent() {
        // Should this host go on, it tells then.
        return Some(());
    }
    let roster = running.roster();
    let rows = roster.rows();
    told.retain(|name, _| roster.members.contains_key(name));
    let now = Instant::now();
    let mut events = Vec::new();
    for row in &rows {
        let told = told.entry(row.service.clone()).or_default();
        events.extend(told.news(row, now));
    }
    if !events.is_empty() {
        let generation = roster.generation.number();
        let note = move || {
            for mut event in events {
                event.generation = Some(generation);
                ledger.note(&event);
            }
        };
        task::blocking(note).await;
    }
    Some(())
}

impl Told {
    /// What is new with the service.
    fn news(&mut self, row: &ServiceStatus, now: Instant) -> Vec<Event> {
        let mut news = Vec::new();
        if self.revision != row.revision {
            *self = Told {
                revision: row.revision,
                ..Told::default()
            };
        }
        let service = &row.service;
        let crashes = row.crashes.saturating_sub(self.crashes);
        let is_quiet = self.quiet.is_some_and(|(until, _)| now < until);
        if crashes > 0 && !is_quiet {
            let times = match crashes {
                1 => "once".to_owned(),
                many => format!("{many} times"),
            };
            let text = format!("`{service}` crashed {times}; `skep crashes {service}` says more");
            news.push(event("crashed", row, text, json!({ "crashes": crashes })));
            self.crashes = row.crashes;
            let pause = self
                .quiet
                .map_or(PAUSE, |(_, pause)| (pause * 2).min(PAUSE_MAX));
            self.quiet = Some((now + pause, pause));
        } else if crashes == 0 && self.quiet.is_some_and(|(until, pause)| now > until + pause) {
            self.quiet = None;
        }
        let parked = matches!(row.phase, Phase::Parked { .. });
        if parked && !self.parked {
            let cause = row
                .phase
                .cause()
                .map(ToString::to_string)
                .unwrap_or_default();
            let text =
                format!("`{service}` was given up: {cause}; `skep restart {service}` tries again");
            news.push(event(
                "parked",
                row,
                text,
                json!({ "cause": row.phase.cause() }),
            ));
        }
        if self.parked && row.phase.is_up() {
            let text = format!("`{service}` is up again");
            news.push(event("recovered", row, text, serde_json::Value::Null));
        }
        // While it tries anew it is neither.
        self.parked = parked || self.parked && !row.phase.is_up();
        news
    }
}

fn event(
    kind: &'static str,
    row: &ServiceStatus,
    text: String,
    evidence: serde_json::Value,
) -> Event {
    Event {
        time_ms: now_ms(),
        kind: kind.into(),
        service: Some(row.service.clone()),
        revision: Some(row.revision),
        generation: None,
        text,
        evidence,
    }
}
