//! What lies where in the journal's file. Records are JSON, so that they can be read in ten years.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use redb::{
    ReadTransaction, ReadableTable, ReadableTableMetadata as _, TableDefinition, WriteTransaction,
};
use serde::{Deserialize, Serialize};
use skep_core::generation::Generation;
use skep_core::name::ServiceName;

use super::error::JournalError;
use super::event::{Begun, Event, Intent, IntentId, Recorded, Unfinished};
use super::{GENERATIONS_MIN, Retention};
use crate::artifact::Digest;

/// Number → generation.
const GENERATIONS: TableDefinition<u64, &str> = TableDefinition::new("generations");
/// Sequence number → event.
const EVENTS: TableDefinition<u64, &str> = TableDefinition::new("events");
/// Number → what was begun.
const INTENTS: TableDefinition<u64, &str> = TableDefinition::new("intents");
/// Service → the number of its next revision.
const REVISIONS: TableDefinition<&str, u32> = TableDefinition::new("revisions");
/// Single numbers.
const NUMBERS: TableDefinition<&str, u64> = TableDefinition::new("numbers");

/// The active generation's.
const ACTIVE: &str = "active";
/// Of intents so far.
const LAST_INTENT: &str = "last-intent";
/// Of events so far.
const LAST_EVENT: &str = "last-event";
/// Written to see that the disk takes something.
const CONFIRMED: &str = "confirmed";

/// Why a transaction did not come to its end.
pub(super) enum Fault {
    Redb(redb::Error),
    /// What was asked for cannot be, or what was found cannot be read.
    Refused(JournalError),
    /// A record of this kind and number is no JSON of ours.
    Damaged(&'static str, u64, serde_json::Error),
}

impl Fault {
    pub(super) fn into_error(self, doing: &'static str, path: &Path) -> JournalError {
        match self {
            Fault::Redb(error) => JournalError::of_redb(doing, path, error),
            Fault::Refused(error) => error,
            Fault::Damaged(kind, number, error) => JournalError::Damaged {
                path: path.to_owned(),
                why: format!("{kind} {number}: {error}"),
            },
        }
    }
}

impl<E: Into<redb::Error>> From<E> for Fault {
    fn from(error: E) -> Fault {
        Fault::Redb(error.into())
    }
}

/// An intent as it lies in its table.
#[derive(Serialize, Deserialize)]
struct IntentRecord {
    intent: Intent,
    revisions: BTreeMap<ServiceName, u32>,
}

/// Makes all tables, so that reading finds them.
pub(super) fn make(write: &WriteTransaction) -> Result<(), Fault> {
    write.open_table(GENERATIONS)?;
    write.open_table(EVENTS)?;
    write.open_table(INTENTS)?;
    write.open_table(REVISIONS)?;
    write.open_table(NUMBERS)?;
    Ok(())
}

pub(super) fn begin(write: &WriteTransaction, intent: &Intent) -> Result<Begun, Fault> {
    let mut revisions = BTreeMap::new();
    let mut next = write.open_table(REVISIONS)?;
    for service in &intent.services {
        let least = intent.least.get(service).copied().unwrap_or(1);
        let revision = next_in(&next, service)?.max(least);
        next.insert(service.as_str(), revision.saturating_add(1))?;
        revisions.insert(service.clone(), revision);
    }
    let mut numbers = write.open_table(NUMBERS)?;
    let id = number(&numbers, LAST_INTENT)?.unwrap_or(0) + 1;
    numbers.insert(LAST_INTENT, id)?;
    let record = IntentRecord {
        intent: intent.clone(),
        revisions: revisions.clone(),
    };
    let json = serde_json::to_string(&record).unwrap_or_default();
    write.open_table(INTENTS)?.insert(id, json.as_str())?;
    let intent = IntentId(id);
    Ok(Begun { intent, revisions })
}

pub(super) fn settle(write: &WriteTransaction, intent: Option<IntentId>) -> Result<(), Fault> {
    if let Some(IntentId(id)) = intent {
        write.open_table(INTENTS)?.remove(id)?;
    }
    Ok(())
}

pub(super) fn unfinished(read: &ReadTransaction) -> Result<Vec<Unfinished>, Fault> {
    let mut found = Vec::new();
    for entry in read.open_table(INTENTS)?.iter()? {
        let (id, json) = entry?;
        let record: IntentRecord = parse("intent", id.value(), json.value())?;
        found.push(Unfinished {
            id: IntentId(id.value()),
            intent: record.intent,
            revisions: record.revisions,
        });
    }
    Ok(found)
}

/// Makes it the active one.
pub(super) fn put_generation(
    write: &WriteTransaction,
    generation: &Generation,
) -> Result<(), Fault> {
    let number_of_this = generation.number;
    let mut numbers = write.open_table(NUMBERS)?;
    if let Some(active) = number(&numbers, ACTIVE)?
        && active >= number_of_this
    {
        let number = number_of_this;
        return Err(Fault::Refused(JournalError::Superseded { number, active }));
    }
    numbers.insert(ACTIVE, number_of_this)?;
    let json = generation.to_json();
    write
        .open_table(GENERATIONS)?
        .insert(number_of_this, json.as_str())?;
    // Those that were numbered without the journal's help are not given out again either.
    let mut next = write.open_table(REVISIONS)?;
    for (service, placed) in &generation.services {
        let after = placed.revision.saturating_add(1);
        if next_in(&next, service)? < after {
            next.insert(service.as_str(), after)?;
        }
    }
    Ok(())
}

pub(super) fn confirm(write: &WriteTransaction) -> Result<(), Fault> {
    let mut numbers = write.open_table(NUMBERS)?;
    let confirmed = number(&numbers, CONFIRMED)?.unwrap_or(0);
    numbers.insert(CONFIRMED, confirmed.wrapping_add(1))?;
    Ok(())
}

pub(super) fn active_number(read: &ReadTransaction) -> Result<Option<u64>, Fault> {
    number(&read.open_table(NUMBERS)?, ACTIVE)
}

pub(super) fn active(read: &ReadTransaction) -> Result<Option<Generation>, Fault> {
    match active_number(read)? {
        Some(active) => generation(read, active),
        None => Ok(None),
    }
}

pub(super) fn generation(read: &ReadTransaction, number: u64) -> Result<Option<Generation>, Fault> {
    match read.open_table(GENERATIONS)?.get(number)? {
        Some(json) => parse_generation(number, json.value()).map(Some),
        None => Ok(None),
    }
}

pub(super) fn history(read: &ReadTransaction, limit: usize) -> Result<Vec<Generation>, Fault> {
    let mut found = Vec::new();
    for entry in read.open_table(GENERATIONS)?.iter()?.rev().take(limit) {
        let (number, json) = entry?;
        found.push(parse_generation(number.value(), json.value())?);
    }
    Ok(found)
}

pub(super) fn next_revision(read: &ReadTransaction, service: &ServiceName) -> Result<u32, Fault> {
    next_in(&read.open_table(REVISIONS)?, service)
}

/// Appends them, and forgets those that are too many.
pub(super) fn put_events(
    write: &WriteTransaction,
    events: &[Event],
    most: u64,
) -> Result<(), Fault> {
    let mut table = write.open_table(EVENTS)?;
    let mut numbers = write.open_table(NUMBERS)?;
    let mut last = number(&numbers, LAST_EVENT)?.unwrap_or(0);
    for event in events {
        last += 1;
        table.insert(last, event.to_json().as_str())?;
    }
    numbers.insert(LAST_EVENT, last)?;
    while table.len()? > most.max(1) {
        table.pop_first()?;
    }
    Ok(())
}

pub(super) fn events(
    read: &ReadTransaction,
    after: u64,
    limit: usize,
) -> Result<Vec<Recorded>, Fault> {
    let mut found = Vec::new();
    let Some(first) = after.checked_add(1) else {
        return Ok(found);
    };
    for entry in read.open_table(EVENTS)?.range(first..)?.take(limit) {
        let (sequence, json) = entry?;
        let sequence = sequence.value();
        let event = parse("event", sequence, json.value())?;
        found.push(Recorded { sequence, event });
    }
    Ok(found)
}

pub(super) fn newest_event(read: &ReadTransaction) -> Result<u64, Fault> {
    Ok(number(&read.open_table(NUMBERS)?, LAST_EVENT)?.unwrap_or(0))
}

pub(super) fn newest_event_in(write: &WriteTransaction) -> Result<u64, Fault> {
    Ok(number(&write.open_table(NUMBERS)?, LAST_EVENT)?.unwrap_or(0))
}

/// Which components those generations name that are kept.
pub(super) fn forget(
    write: &WriteTransaction,
    retention: Retention,
    now_ms: u64,
) -> Result<BTreeSet<Digest>, Fault> {
    let age = u64::try_from(retention.age.as_millis()).unwrap_or(u64::MAX);
    let most = retention.generations.max(GENERATIONS_MIN);
    let mut table = write.open_table(GENERATIONS)?;
    let mut named = BTreeSet::new();
    let mut unwanted = Vec::new();
    for (place, entry) in table.iter()?.rev().enumerate() {
        let (number, json) = entry?;
        let generation = parse_generation(number.value(), json.value())?;
        let old = now_ms.saturating_sub(generation.made_ms) > age;
        if place >= most || (old && place >= GENERATIONS_MIN) {
            unwanted.push(number.value());
        } else {
            named.extend(generation.components());
        }
    }
    for number in unwanted {
        table.remove(number)?;
    }
    Ok(named)
}

fn number(
    numbers: &impl ReadableTable<&'static str, u64>,
    key: &str,
) -> Result<Option<u64>, Fault> {
    Ok(numbers.get(key)?.map(|number| number.value()))
}

fn next_in(
    revisions: &impl ReadableTable<&'static str, u32>,
    service: &ServiceName,
) -> Result<u32, Fault> {
    let next = revisions.get(service.as_str())?;
    Ok(next.map_or(1, |next| next.value()))
}

fn parse_generation(number: u64, json: &str) -> Result<Generation, Fault> {
    Generation::from_json(json)
        .map_err(|error| Fault::Refused(JournalError::Generation { number, error }))
}

fn parse<T: for<'de> Deserialize<'de>>(
    kind: &'static str,
    number: u64,
    json: &str,
) -> Result<T, Fault> {
    serde_json::from_str(json).map_err(|error| Fault::Damaged(kind, number, error))
}
