//! Whether a service's new revision is as good as the one before: judged from what both did.
//!
//! The host feeds a [`Judge`] windows, a second or so each, of what the candidate did and (before the
//! switch, or beside it) its predecessor. Three questions have one answer in common: did it happen to
//! the candidate more often than chance explains (`chance`)? They are asked of calls that failed, of
//! crashes, and of calls that were slower than nearly all of the predecessor's. Memory has a rule of
//! its own: it grows and grows, beyond what the predecessor ever held.
//!
//! A verdict has to be right when it takes a version back, since nobody asks anybody: the questions
//! are asked after every window, perhaps a thousand times, and a good version is to survive all of
//! them. So a difference counts only if it is larger than [`Probation`] allows and than one in a
//! million draws would give.
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::histogram::Histogram;
use crate::percent::Percent;
use crate::size::ByteSize;

mod chance;
mod growth;
mod moments;

use chance::chance;
use growth::Growth;
use moments::Moments;

/// How long a candidate is watched.
pub const FOR: Duration = Duration::from_secs(60);
/// A day: whoever wants to watch for longer does not want to be asked.
pub const FOR_MAX: Duration = Duration::from_secs(86_400);
/// Calls of a hundred that may fail beyond those of the predecessor: the noise of what a service
/// depends on.
pub const ERRORS: Percent = Percent::new(1);
/// One crash may be a poisoned request; a service that is well has none.
pub const CRASHES: u32 = 2;
/// More hides every crash there may be in a probation.
pub const CRASHES_MAX: u32 = 1000;
/// Of what the predecessor's calls took.
pub const LATENCY: Percent = Percent::new(200);
/// Beyond that: what nobody notices, whatever the ratio, and more than a busy machine adds.
pub const LATENCY_MORE: Duration = Duration::from_millis(20);
/// Of the predecessor's peak.
pub const MEMORY: Percent = Percent::new(200);

/// Of the predecessor's peak of memory: allocators take that much at once.
const MEMORY_MORE: u64 = 4 << 20;

/// Calls that a candidate gets before it is judged by them.
const CALLS_MIN: u64 = 20;
/// Calls of the predecessor without which its latency says nothing.
const CALLS_FOR_LATENCY: u64 = 100;
/// Where latencies are compared: the median is the steadier measure, the 99th percentile the one that
/// people notice.
const PERCENTILES: [u32; 2] = [50, 99];

/// The predecessor was good: so many calls of it are taken for granted, lest nothing be known of it.
const TRUSTED_CALLS: u64 = 20;
/// So many calls without a crash.
const TRUSTED_CALLS_WITHOUT_CRASH: u64 = 10_000;

/// What chance may explain, however often it is asked.
const CHANCE: f64 = 1e-6;
/// A predecessor that never crashed makes less of a case necessary: crashes are not noise.
const CHANCE_OF_FIRST_CRASHES: f64 = 1e-2;

/// How long a candidate is watched, and what it may do. `[service.NAME] probation` in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probation {
    /// From the switch. Zero: not at all.
    #[serde(rename = "for", with = "crate::duration::millis")]
    pub length: Duration,
    /// Calls of a hundred that may fail beyond those of the predecessor.
    pub errors: Percent,
    /// Crashes that are too many, if the predecessor has fewer.
    pub crashes: u32,
    /// Of the predecessor's latency, at the median and at the 99th percentile: what the candidate's
    /// may be.
    pub latency: Percent,
    /// Added to that.
    #[serde(with = "crate::duration::millis")]
    pub latency_more: Duration,
    /// Of the predecessor's peak: what an instance of the candidate may grow to hold.
    pub memory: Percent,
}

impl Default for Probation {
    fn default() -> Self {
        Self {
            length: FOR,
            errors: ERRORS,
            crashes: CRASHES,
            latency: LATENCY,
            latency_more: LATENCY_MORE,
            memory: MEMORY,
        }
    }
}

/// What a revision did in some time.
#[derive(Debug, Clone, Default)]
pub struct Window {
    /// Requests and calls that ended.
    pub calls: u64,
    /// Those of them that failed: answered 5xx, or ended by a failure that is the service's own.
    pub errors: u64,
    /// Instances that crashed.
    pub crashes: u64,
    /// How long the calls took.
    pub latency: Histogram,
    /// Memory that the largest instance holds at the end of the window, in bytes; zero if none lives.
    pub memory: u64,
}

/// What is to become of the candidate.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// Nothing speaks against it yet.
    Wait,
    /// Its time is over and nothing has spoken against it.
    Good,
    /// It is worse than its predecessor: take it back.
    Bad(Evidence),
}

/// Why a candidate is bad, in figures. Its text continues "taken back: ".
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Evidence {
    /// Calls fail more often.
    Errors {
        candidate: Share,
        predecessor: Share,
    },
    /// Instances crash more often.
    Crashes {
        candidate: Share,
        predecessor: Share,
    },
    /// Calls take longer.
    Slow {
        /// Where they were compared: the 50th or the 99th.
        percentile: u32,
        /// The candidate's calls that took longer than `bound`, but for its worst moments.
        candidate: Share,
        /// The predecessor's that did.
        predecessor: Share,
        #[serde(rename = "bound_us", with = "crate::duration::micros")]
        bound: Duration,
        /// What calls took at that percentile.
        #[serde(rename = "candidate_us", with = "crate::duration::micros")]
        candidate_took: Duration,
        #[serde(rename = "predecessor_us", with = "crate::duration::micros")]
        predecessor_took: Duration,
    },
    /// An instance holds more and more memory.
    Memory {
        candidate: ByteSize,
        predecessor_peak: ByteSize,
    },
}

/// So many of all calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    pub count: u64,
    pub calls: u64,
}

/// All that one revision did.
#[derive(Debug, Clone, Default)]
struct Record {
    calls: u64,
    errors: u64,
    crashes: u64,
    latency: Histogram,
    memory_peak: u64,
}

/// Judges one candidate.
#[derive(Debug, Clone)]
pub struct Judge {
    settings: Probation,
    candidate: Record,
    /// Of the predecessor, all that is known.
    ever: Record,
    /// And what it did beside the candidate.
    beside: Record,
    growth: Growth,
    /// For each of the percentiles.
    slow: [Moments; PERCENTILES.len()],
}

impl Judge {
    /// For a candidate whose predecessor did this before the switch.
    pub fn new(settings: Probation, baseline: &Window) -> Self {
        let mut ever = Record::default();
        ever.add(baseline);
        Self {
            settings,
            candidate: Record::default(),
            ever,
            beside: Record::default(),
            growth: Growth::default(),
            slow: Default::default(),
        }
    }

    /// Takes in what both did since the last time, and judges; the predecessor does something only as
    /// long as both have traffic. `age` is the time since the switch.
    pub fn judge(&mut self, age: Duration, candidate: &Window, predecessor: &Window) -> Verdict {
        self.ever.add(predecessor);
        self.beside.add(predecessor);
        self.candidate.add(candidate);
        self.growth.note(candidate.memory);
        for (place, percentile) in PERCENTILES.into_iter().enumerate() {
            if let Some(bound) = self.bound(percentile) {
                self.slow[place].note(above(&candidate.latency, bound));
            }
        }
        let evidence = self
            .crashes()
            .or_else(|| self.errors())
            .or_else(|| self.slow())
            .or_else(|| self.memory());
        match evidence {
            Some(evidence) => Verdict::Bad(evidence),
            None if age >= self.settings.length => Verdict::Good,
            None => Verdict::Wait,
        }
    }

    /// What the candidate is compared with. What both did at the same time is the better measure, once
    /// there is enough of it: whatever they depend on was the same then.
    fn predecessor(&self, enough_calls: u64) -> &Record {
        if self.beside.calls >= enough_calls {
            &self.beside
        } else {
            &self.ever
        }
    }

    fn crashes(&self) -> Option<Evidence> {
        // What crashes before it answers anything was called at least that often.
        let share = |record: &Record| Share {
            count: record.crashes,
            calls: record.calls.max(record.crashes),
        };
        let candidate = share(&self.candidate);
        let predecessor = share(self.predecessor(CALLS_MIN));
        let (trusted, allowed) = match predecessor.count {
            0 => (TRUSTED_CALLS_WITHOUT_CRASH, CHANCE_OF_FIRST_CRASHES),
            _ => (0, CHANCE),
        };
        let bad = candidate.count >= u64::from(self.settings.crashes.max(1))
            && chance(candidate, predecessor.with(trusted)) <= allowed;
        bad.then_some(Evidence::Crashes {
            candidate,
            predecessor,
        })
    }

    fn errors(&self) -> Option<Evidence> {
        let share = |record: &Record| Share {
            count: record.errors,
            calls: record.calls,
        };
        let candidate = share(&self.candidate);
        let predecessor = share(self.predecessor(CALLS_MIN));
        let bad = candidate.calls >= CALLS_MIN
            && candidate.exceeds(predecessor, self.settings.errors)
            && chance(candidate, predecessor.with(TRUSTED_CALLS)) <= CHANCE;
        bad.then_some(Evidence::Errors {
            candidate,
            predecessor,
        })
    }

    /// What a call of the candidate may take if it is not to count as slow; `None` if too little is
    /// known of the predecessor.
    fn bound(&self, percentile: u32) -> Option<Duration> {
        let latency = &self.predecessor(CALLS_FOR_LATENCY).latency;
        let took = latency.percentile(f64::from(percentile))?;
        let known = latency.count() >= CALLS_FOR_LATENCY;
        let Probation {
            latency,
            latency_more,
            ..
        } = self.settings;
        known.then(|| latency.of(took).saturating_add(latency_more))
    }

    fn slow(&self) -> Option<Evidence> {
        let mut places = PERCENTILES.into_iter().zip(&self.slow);
        places.find_map(|(percentile, moments)| self.slow_at(percentile, moments))
    }

    fn slow_at(&self, percentile: u32, moments: &Moments) -> Option<Evidence> {
        let bound = self.bound(percentile)?;
        let before = &self.predecessor(CALLS_FOR_LATENCY).latency;
        let (candidate, predecessor) = (moments.but_for_the_worst()?, above(before, bound));
        // So many may be: then the bound is the percentile itself.
        let usual = u64::from(100 - percentile);
        let bad = candidate.calls >= CALLS_MIN
            && candidate.count * 100 > candidate.calls * usual
            && chance(candidate, predecessor) <= CHANCE;
        let took = |latency: &Histogram| latency.percentile(f64::from(percentile));
        bad.then(|| Evidence::Slow {
            percentile,
            candidate,
            predecessor,
            bound,
            candidate_took: took(&self.candidate.latency).unwrap_or_default(),
            predecessor_took: took(before).unwrap_or_default(),
        })
    }

    fn memory(&self) -> Option<Evidence> {
        let peak = self.ever.memory_peak;
        let bound = self
            .settings
            .memory
            .of_count(peak)
            .saturating_add(MEMORY_MORE);
        let held = self.growth.now();
        // Of a predecessor that held nothing, nothing is known.
        let bad = peak > 0 && held > bound && self.growth.goes_on();
        bad.then_some(Evidence::Memory {
            candidate: ByteSize::bytes(held),
            predecessor_peak: ByteSize::bytes(peak),
        })
    }
}

fn above(latency: &Histogram, bound: Duration) -> Share {
    Share {
        count: latency.count_above(bound),
        calls: latency.count(),
    }
}

impl Record {
    fn add(&mut self, window: &Window) {
        self.calls += window.calls;
        // More errors than calls is a host's mistake, which must not become a guest's.
        self.errors += window.errors.min(window.calls);
        self.crashes += window.crashes;
        self.latency.add(&window.latency);
        self.memory_peak = self.memory_peak.max(window.memory);
    }
}

impl Share {
    fn with(self, more_calls: u64) -> Self {
        Self {
            calls: self.calls.saturating_add(more_calls),
            ..self
        }
    }

    fn ratio(self) -> f64 {
        if self.calls == 0 {
            return 0.0;
        }
        self.count as f64 / self.calls as f64
    }

    /// By more than `by` per cent of all calls.
    fn exceeds(self, other: Self, by: Percent) -> bool {
        (self.ratio() - other.ratio()) * 100.0 >= f64::from(by.get())
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.count, self.calls)
    }
}

impl fmt::Display for Evidence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Errors {
                candidate,
                predecessor,
            } => write!(f, "{candidate} calls failed, before {predecessor}"),
            Self::Crashes {
                candidate,
                predecessor,
            } => write!(
                f,
                "{} crashes in {} calls, before {} in {}",
                candidate.count, candidate.calls, predecessor.count, predecessor.calls
            ),
            Self::Slow {
                percentile,
                candidate,
                predecessor,
                bound,
                candidate_took,
                predecessor_took,
            } => write!(
                f,
                "{candidate} calls took longer than {bound:?}, before {predecessor}; \
                 p{percentile} {candidate_took:?} instead of {predecessor_took:?}"
            ),
            Self::Memory {
                candidate,
                predecessor_peak,
            } => write!(
                f,
                "an instance holds {candidate} and goes on growing, before at most {predecessor_peak}"
            ),
        }
    }
}

#[cfg(test)]
mod tests;
