//! How much CPU time a service may use: its weight beside others, its share of a core, and the budgets
//! that hold it to them.
use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Of a service that says nothing. Only ratios matter.
pub const WEIGHT: u32 = 100;
/// The range of Linux's `cpu.weight`, so that the figures people know keep their meaning.
pub const WEIGHT_MAX: u32 = 10_000;
/// In per cent of a core: what is less cannot be held to with slices of a millisecond.
pub const SHARE_MIN: u32 = 1;
/// In per cent of a core: more than any machine has.
pub const SHARE_MAX: u32 = 102_400;

/// So much of one core, in whole per cent; `"200%"` are two cores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct CpuShare(u32);

/// Why a text is no share. Its message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadShare {
    #[error(
        "a share of a core is a whole number of per cent, like \"50%\"; \"200%\" are two cores"
    )]
    NoPercentage,
    #[error("a share of a core is from {SHARE_MIN}% to {SHARE_MAX}%")]
    OutOfRange,
}

impl CpuShare {
    /// In per cent of one core.
    pub const fn percent(self) -> u32 {
        self.0
    }
}

impl FromStr for CpuShare {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, BadShare> {
        let number = text.trim().strip_suffix('%').map(str::trim_end);
        let digits = number
            .filter(|number| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit()))
            .ok_or(BadShare::NoPercentage)?;
        match digits.parse() {
            Ok(percent @ SHARE_MIN..=SHARE_MAX) => Ok(Self(percent)),
            _ => Err(BadShare::OutOfRange),
        }
    }
}

impl TryFrom<String> for CpuShare {
    type Error = BadShare;

    fn try_from(text: String) -> Result<Self, BadShare> {
        text.parse()
    }
}

impl From<CpuShare> for String {
    fn from(share: CpuShare) -> Self {
        share.to_string()
    }
}

impl fmt::Display for CpuShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

/// So much CPU time per time, paid afterwards: who has used more than the burst waits until the rate
/// has made up for it.
///
/// One number is kept, the time at which all that was used is paid for: the *theoretical arrival
/// time* of the generic cell rate algorithm (ITU-T I.371). Any thread may charge at any time.
#[derive(Debug)]
pub struct Budget {
    percent: u64,
    burst_ns: u64,
    paid_at_ns: AtomicU64,
}

impl Budget {
    /// `percent` of a core, of which `burst` may be used at once after a rest.
    pub fn new(percent: u32, burst: Duration) -> Self {
        let percent = u64::from(percent.max(1));
        Self {
            percent,
            // In time that passes, as all that is kept here.
            burst_ns: scaled(nanoseconds(burst), percent),
            paid_at_ns: AtomicU64::new(0),
        }
    }

    /// So much CPU time was used, until `now` (since an origin that all calls share).
    pub fn charge(&self, now: Duration, used: Duration) {
        let now = nanoseconds(now);
        let cost = scaled(nanoseconds(used), self.percent);
        let add = |paid_at: u64| Some(paid_at.max(now).saturating_add(cost));
        // The closure never refuses.
        let _ = self
            .paid_at_ns
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
    }

    /// Whether so little has ever been used that nobody has to wait, whatever the time.
    pub fn is_fresh(&self) -> bool {
        self.paid_at_ns.load(Ordering::Relaxed) <= self.burst_ns
    }

    /// How long its holder has to wait; `None` if there is something left.
    pub fn wait(&self, now: Duration) -> Option<Duration> {
        let paid_at = self.paid_at_ns.load(Ordering::Relaxed);
        let ready = paid_at.saturating_sub(self.burst_ns);
        let wait = ready.saturating_sub(nanoseconds(now));
        (wait > 0).then(|| Duration::from_nanos(wait))
    }
}

/// The time that passes until so much has been earned at so many per cent.
fn scaled(ns: u64, percent: u64) -> u64 {
    ns.saturating_mul(100) / percent
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn shares_are_per_cent() {
        assert_eq!("50%".parse::<CpuShare>().unwrap().percent(), 50);
        let share: CpuShare = " 200 % ".parse().unwrap();
        assert_eq!(share.to_string(), "200%");
        let json = serde_json::to_value(share).unwrap();
        assert_eq!(json, "200%");
        assert_eq!(serde_json::from_value::<CpuShare>(json).unwrap(), share);
        for bad in ["", "%", "50", "0.5%", "-1%", "half"] {
            assert_eq!(
                bad.parse::<CpuShare>(),
                Err(BadShare::NoPercentage),
                "{bad}"
            );
        }
        for bad in ["0%", "102401%", "99999999999%"] {
            assert_eq!(bad.parse::<CpuShare>(), Err(BadShare::OutOfRange), "{bad}");
        }
    }

    #[test]
    fn the_burst_comes_first_and_the_rate_after_it() {
        let budget = Budget::new(20, 10 * MS);
        assert_eq!(budget.wait(100 * MS), None);
        budget.charge(100 * MS, 10 * MS);
        assert_eq!(budget.wait(100 * MS), None, "the burst and no more");
        budget.charge(100 * MS, MS);
        assert_eq!(budget.wait(100 * MS), Some(5 * MS), "a fifth of a core");
        assert_eq!(budget.wait(104 * MS), Some(MS));
        assert_eq!(budget.wait(105 * MS), None);
    }

    #[test]
    fn a_rest_earns_the_burst_and_not_more() {
        let budget = Budget::new(100, 2 * MS);
        budget.charge(Duration::ZERO, 50 * MS);
        let later = Duration::from_secs(60);
        budget.charge(later, 3 * MS);
        assert_eq!(budget.wait(later), Some(MS));
    }

    proptest! {
        /// Whoever computes only while something is left uses the burst, the rate, and at most one
        /// piece too much.
        #[test]
        fn no_more_than_burst_and_rate_and_a_piece(
            percent in 1..400_u32,
            pieces in proptest::collection::vec((1..5_000_u64, 0..20_000_u64), 1..300),
        ) {
            let (burst, mut now, mut used) = (10 * MS, Duration::ZERO, Duration::ZERO);
            let budget = Budget::new(percent, burst);
            for (piece, pause) in pieces {
                let piece = Duration::from_micros(piece);
                if budget.wait(now).is_none() {
                    budget.charge(now, piece);
                    used += piece;
                }
                now += Duration::from_micros(pause);
                let earned = burst + now * percent / 100;
                prop_assert!(used <= earned + Duration::from_micros(5_001), "{used:?} of {earned:?}");
            }
        }

        /// A wait that is waited is enough.
        #[test]
        fn after_the_wait_something_is_left(percent in 1..400_u32, used in 1..1_000_000_u64) {
            let budget = Budget::new(percent, MS);
            let now = Duration::from_secs(1);
            budget.charge(now, Duration::from_micros(used));
            let wait = budget.wait(now).unwrap_or_default();
            prop_assert_eq!(budget.wait(now + wait), None);
        }
    }
}
