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

use chance::chance;
use growth::Growth;

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
/// Of the predecessor's 99th percentile.
pub const P99: Percent = Percent::new(200);
/// Beyond that: what nobody notices, whatever the ratio, and more than a busy machine adds.
pub const P99_MORE: Duration = Duration::from_millis(20);
/// Of the predecessor's peak.
pub const MEMORY: Percent = Percent::new(200);

/// Of the predecessor's peak of memory: allocators take that much at once.
const MEMORY_MORE: u64 = 4 << 20;

/// Calls that a candidate gets before it is judged by them.
const CALLS_MIN: u64 = 20;
/// Calls of the predecessor without which its 99th percentile says nothing.
const CALLS_FOR_P99: u64 = 100;
/// Windows in which calls are slow before that counts: a machine that stands still for a moment makes
/// many calls slow, and all in one.
const SLOW_WINDOWS: u32 = 3;

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
    /// Of the predecessor's 99th percentile: what the candidate's may be.
    pub p99: Percent,
    /// Added to that.
    #[serde(with = "crate::duration::millis")]
    pub p99_more: Duration,
    /// Of the predecessor's peak: what an instance of the candidate may grow to hold.
    pub memory: Percent,
}

impl Default for Probation {
    fn default() -> Self {
        Self {
            length: FOR,
            errors: ERRORS,
            crashes: CRASHES,
            p99: P99,
            p99_more: P99_MORE,
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
        /// The candidate's calls that took longer than `bound`.
        candidate: Share,
        /// The predecessor's that did.
        predecessor: Share,
        #[serde(rename = "bound_us", with = "crate::duration::micros")]
        bound: Duration,
        /// 99th percentiles.
        #[serde(rename = "candidate_p99_us", with = "crate::duration::micros")]
        candidate_p99: Duration,
        #[serde(rename = "predecessor_p99_us", with = "crate::duration::micros")]
        predecessor_p99: Duration,
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
    /// Windows in which the candidate was slow.
    slow_windows: u32,
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
            slow_windows: 0,
        }
    }

    /// Takes in what both did since the last time, and judges; the predecessor does something only as
    /// long as both have traffic. `age` is the time since the switch. Once bad, always bad: whoever
    /// goes on asking is told so again.
    pub fn judge(&mut self, age: Duration, candidate: &Window, predecessor: &Window) -> Verdict {
        self.ever.add(predecessor);
        self.beside.add(predecessor);
        self.candidate.add(candidate);
        self.growth.note(candidate.memory);
        let bound = self.bound();
        if let Some(bound) = bound
            && slower_than(&candidate.latency, bound)
        {
            self.slow_windows += 1;
        }
        let evidence = self
            .crashes()
            .or_else(|| self.errors())
            .or_else(|| self.slow(bound?))
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
        let allowed = match predecessor.count {
            0 => CHANCE_OF_FIRST_CRASHES,
            _ => CHANCE,
        };
        let bad = candidate.count >= u64::from(self.settings.crashes.max(1))
            && chance(candidate, predecessor.with(TRUSTED_CALLS_WITHOUT_CRASH)) <= allowed;
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

    /// What a call of the candidate may take if it is to count as no slower than nearly all of the
    /// predecessor's; `None` if too little is known of those.
    fn bound(&self) -> Option<Duration> {
        let latency = &self.predecessor(CALLS_FOR_P99).latency;
        let p99 = latency.percentile(99.0)?;
        let known = latency.count() >= CALLS_FOR_P99;
        known.then(|| {
            self.settings
                .p99
                .of(p99)
                .saturating_add(self.settings.p99_more)
        })
    }

    fn slow(&self, bound: Duration) -> Option<Evidence> {
        let share = |record: &Record| Share {
            count: record.latency.count_above(bound),
            calls: record.latency.count(),
        };
        let before = self.predecessor(CALLS_FOR_P99);
        let (candidate, predecessor) = (share(&self.candidate), share(before));
        let bad = candidate.calls >= CALLS_MIN
            && self.slow_windows >= SLOW_WINDOWS
            && slower_than(&self.candidate.latency, bound)
            && chance(candidate, predecessor) <= CHANCE;
        bad.then(|| Evidence::Slow {
            candidate,
            predecessor,
            bound,
            candidate_p99: self.candidate.p99(),
            predecessor_p99: before.p99(),
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

/// Whether the 99th percentile is beyond the bound.
fn slower_than(latency: &Histogram, bound: Duration) -> bool {
    latency.count_above(bound) * 100 > latency.count()
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

    fn p99(&self) -> Duration {
        self.latency.percentile(99.0).unwrap_or_default()
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
                candidate,
                predecessor,
                bound,
                candidate_p99,
                predecessor_p99,
            } => write!(
                f,
                "{candidate} calls took longer than {bound:?}, before {predecessor}; \
                 p99 {candidate_p99:?} instead of {predecessor_p99:?}"
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
