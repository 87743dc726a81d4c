//! How a candidate's answers to copies of calls differ from those of the revision that serves.
//!
//! The host feeds a [`Comparison`] what became of each call: not copied, and why; or answered twice, and
//! how. Its [`Report`] counts, and says for each kind of difference how often it was there, with one
//! example. All of it is bounded, whatever is answered.
use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::name::ServiceName;
use crate::rollout::Share;

mod content;
mod difference;

pub use content::Content;
pub use difference::{Difference, Outcome, Response, What, differences};

/// Kinds of differences that are kept apart. What differs in more ways than that differs.
const KINDS_MAX: usize = 64;

/// Kinds of differences that a brief report has.
const BRIEF: usize = 8;

/// Why a call was not copied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NotCopied {
    /// It may not be made twice.
    NotIdempotent,
    /// Its body was not whole when it came, or is too large; or it has handles or streams, which are
    /// there once.
    NotToBeHad,
    /// Too many copies were under way.
    Busy,
}

/// An answer, and how long it took: to its head, or to its results.
#[derive(Debug, Clone)]
pub struct Answer {
    pub outcome: Outcome,
    pub took: Duration,
}

/// What has been found so far.
#[derive(Debug, Clone, Default)]
pub struct Comparison {
    counts: Counts,
    kinds: BTreeMap<(String, What), Kind>,
    active: Histogram,
    candidate: Histogram,
}

#[derive(Debug, Clone)]
struct Kind {
    count: u64,
    example: Example,
}

/// What became of the calls that came while there was a shadow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Counts {
    /// Copied, and both answers compared.
    pub compared: u64,
    /// Of these: answered alike.
    pub same: u64,
    /// Of these: answered differently.
    pub different: u64,
    /// Copied and not compared: the original was turned away or its client went before it had the whole
    /// answer, or the candidate had no room.
    pub not_compared: u64,
    /// Not copied, because they may not be made twice.
    pub not_idempotent: u64,
    /// Not copied, because their bodies were not whole when they came, or have handles or streams.
    pub not_to_be_had: u64,
    /// Not copied, because too many copies were under way.
    pub busy: u64,
}

/// How the answers of a candidate differ from those of the revision that serves.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Report {
    pub service: ServiceName,
    /// The revision that serves.
    pub active: u32,
    /// The one that gets copies.
    pub candidate: u32,
    /// The part of the calls that are copied: `100%`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    pub share: Share,
    /// What became of the calls; those that the share leaves out are not among them.
    pub counts: Counts,
    /// Of the calls that were compared, by the revision that serves; none if there were none.
    pub active_took: Option<Took>,
    /// The same by the candidate.
    pub candidate_took: Option<Took>,
    /// The kinds of differences, the most frequent first.
    pub differences: Vec<Found>,
    /// Differences of yet other kinds.
    pub others: u64,
}

/// How long calls took, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Took {
    /// Half of them no longer than that.
    pub p50_ms: f64,
    /// 99 of a hundred no longer than that.
    pub p99_ms: f64,
}

/// One kind of difference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Found {
    /// Where: `GET /products/{id}`, as the route is written; `shop:catalog/products@0.2.0#find`.
    pub place: String,
    /// In what.
    #[serde(flatten)]
    pub what: What,
    /// How often.
    pub count: u64,
    /// The first of them.
    pub example: Example,
}

/// One difference as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Example {
    /// The request that it began with, as in the logs; none if it began with none.
    pub request: Option<String>,
    /// What the revision that serves answered there, or the beginning of it.
    pub active: String,
    /// What the candidate did.
    pub candidate: String,
}

impl Comparison {
    /// A call was not copied.
    pub fn not_copied(&mut self, why: NotCopied) {
        let count = match why {
            NotCopied::NotIdempotent => &mut self.counts.not_idempotent,
            NotCopied::NotToBeHad => &mut self.counts.not_to_be_had,
            NotCopied::Busy => &mut self.counts.busy,
        };
        *count += 1;
    }

    /// A call was copied, and there is nothing to compare.
    pub fn not_compared(&mut self) {
        self.counts.not_compared += 1;
    }

    /// A call was answered by both.
    pub fn compare(
        &mut self,
        place: &str,
        request: Option<&str>,
        active: &Answer,
        candidate: &Answer,
    ) {
        self.active.record(active.took);
        self.candidate.record(candidate.took);
        self.counts.compared += 1;
        let differences = differences(&active.outcome, &candidate.outcome);
        match differences.is_empty() {
            true => self.counts.same += 1,
            false => self.counts.different += 1,
        }
        for difference in differences {
            self.add(place, request, difference);
        }
    }

    fn add(&mut self, place: &str, request: Option<&str>, difference: Difference) {
        let Difference {
            what,
            active,
            candidate,
        } = difference;
        let key = (place.to_owned(), what);
        if let Some(kind) = self.kinds.get_mut(&key) {
            kind.count += 1;
            return;
        }
        // One beyond the last is for all others.
        let key = match self.kinds.len() {
            0..KINDS_MAX => key,
            _ => (String::new(), What::Others),
        };
        let example = Example {
            request: request.map(str::to_owned),
            active,
            candidate,
        };
        let kind = Kind { count: 0, example };
        self.kinds.entry(key).or_insert(kind).count += 1;
    }

    /// What became of the calls.
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What has been found so far, of the revision `active` of that service and the `candidate`, which
    /// gets that share of its calls.
    pub fn report(
        &self,
        service: ServiceName,
        (active, candidate): (u32, u32),
        share: Share,
    ) -> Report {
        let found = |((place, what), kind): (&(String, What), &Kind)| Found {
            place: place.clone(),
            what: what.clone(),
            count: kind.count,
            example: kind.example.clone(),
        };
        let all = self.kinds.iter().map(found);
        let (others, mut differences): (Vec<Found>, Vec<Found>) =
            all.partition(|found| found.what == What::Others);
        differences.sort_by_key(|found| std::cmp::Reverse(found.count));
        Report {
            service,
            active,
            candidate,
            share,
            counts: self.counts,
            active_took: Took::of(&self.active),
            candidate_took: Took::of(&self.candidate),
            differences,
            others: others.iter().map(|found| found.count).sum(),
        }
    }
}

impl Report {
    /// The same with the most frequent differences only.
    pub fn brief(mut self) -> Report {
        let rest = self
            .differences
            .split_off(BRIEF.min(self.differences.len()));
        self.others += rest.iter().map(|found| found.count).sum::<u64>();
        self
    }
}

impl Took {
    fn of(took: &Histogram) -> Option<Took> {
        let ms = |percent| {
            let duration: Option<Duration> = took.percentile(percent);
            duration.map(|duration| duration.as_secs_f64() * 1e3)
        };
        Some(Took {
            p50_ms: ms(50.0)?,
            p99_ms: ms(99.0)?,
        })
    }
}

#[cfg(test)]
mod tests;
