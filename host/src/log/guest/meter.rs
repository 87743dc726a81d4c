//! The rate limit of one service's output: a token bucket that also counts what it refuses, so
//! that no line goes missing without a trace. Pure: time comes in as an argument.

use std::time::{Duration, Instant};

use super::GuestLogTotals;

/// What a line costs beyond its own bytes.
const LINE_COST: u64 = 64;

/// Suppressed output is reported this often while there is any.
const REPORT_EVERY: Duration = Duration::from_secs(1);

/// Tokens are kept in billionths of a byte, so that refilling needs no rounding.
const UNITS_PER_BYTE: u128 = 1_000_000_000;

#[derive(Debug)]
pub(super) struct Meter {
    bytes_per_second: u64,
    burst: u64,
    /// In billionths of a byte; at most `burst`.
    tokens: u128,
    refilled_at: Instant,
    unreported: Suppressed,
    reported_at: Option<Instant>,
    totals: GuestLogTotals,
}

/// What has been refused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Suppressed {
    pub(super) lines: u64,
    pub(super) bytes: u64,
}

impl Meter {
    pub(super) fn new(bytes_per_second: u64, burst: u64, now: Instant) -> Meter {
        Meter {
            bytes_per_second,
            burst,
            tokens: u128::from(burst) * UNITS_PER_BYTE,
            refilled_at: now,
            unreported: Suppressed::default(),
            reported_at: None,
            totals: GuestLogTotals::default(),
        }
    }

    /// Whether a line of `shown` bytes may be shown, of which `omitted` more are not. Counts it
    /// either way. A line that costs more than the whole burst needs a full bucket.
    pub(super) fn admit(&mut self, now: Instant, shown: u64, omitted: u64) -> bool {
        self.refill(now);
        let cost = u128::from((shown + LINE_COST).min(self.burst)) * UNITS_PER_BYTE;
        if cost == 0 || self.tokens < cost {
            self.suppress(1, shown + omitted);
            return false;
        }
        self.tokens -= cost;
        self.totals.lines += 1;
        self.totals.bytes += shown;
        self.totals.cut_bytes += omitted;
        true
    }

    pub(super) fn suppress(&mut self, lines: u64, bytes: u64) {
        self.unreported.lines += lines;
        self.unreported.bytes += bytes;
        self.totals.suppressed_lines += lines;
        self.totals.suppressed_bytes += bytes;
    }

    /// What is to be reported now: nothing, or all since the last report if that is long enough ago.
    pub(super) fn take_report(&mut self, now: Instant) -> Option<Suppressed> {
        let due = self
            .reported_at
            .is_none_or(|at| now.saturating_duration_since(at) >= REPORT_EVERY);
        if !due {
            return None;
        }
        let suppressed = self.take_all()?;
        self.reported_at = Some(now);
        Some(suppressed)
    }

    /// All that has not been reported.
    pub(super) fn take_all(&mut self) -> Option<Suppressed> {
        let suppressed = std::mem::take(&mut self.unreported);
        (suppressed.lines > 0).then_some(suppressed)
    }

    pub(super) fn has_unreported(&self) -> bool {
        self.unreported.lines > 0
    }

    pub(super) fn totals(&self) -> GuestLogTotals {
        self.totals
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled_at).as_nanos();
        let earned = elapsed.saturating_mul(u128::from(self.bytes_per_second));
        self.tokens = self
            .tokens
            .saturating_add(earned)
            .min(u128::from(self.burst) * UNITS_PER_BYTE);
        self.refilled_at = self.refilled_at.max(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn burst_then_rate_to_the_byte() {
        let start = Instant::now();
        let mut meter = Meter::new(1000, 10_000, start);
        let admitted = (0..200).filter(|_| meter.admit(start, 36, 0)).count();
        assert_eq!(admitted, 100, "10,000 bytes are 100 lines of 36 + 64");
        assert_eq!(meter.totals().suppressed_lines, 100);
        assert_eq!(meter.totals().suppressed_bytes, 3600);

        let just_before = start + Duration::from_nanos(99_999_999);
        assert!(!meter.admit(just_before, 36, 0));
        assert!(meter.admit(start + Duration::from_millis(100), 36, 0));
        assert!(!meter.admit(start + Duration::from_millis(100), 36, 0));

        let later = start + Duration::from_secs(3600);
        let admitted = (0..200).filter(|_| meter.admit(later, 36, 0)).count();
        assert_eq!(admitted, 100, "a long quiet time earns the burst, not more");
    }

    #[test]
    fn lines_longer_than_the_burst_pass_one_at_a_time() {
        let start = Instant::now();
        let mut meter = Meter::new(100, 100, start);
        assert!(meter.admit(start, 8192, 5));
        assert!(!meter.admit(start + Duration::from_millis(999), 8192, 5));
        assert!(meter.admit(start + Duration::from_millis(1000), 8192, 5));
        assert_eq!(meter.totals().cut_bytes, 10);
    }

    #[test]
    fn zero_burst_suppresses_all_and_zero_rate_all_but_the_burst() {
        let start = Instant::now();
        let mut silent = Meter::new(1000, 0, start);
        assert!(!silent.admit(start + Duration::from_secs(9), 0, 0));
        let mut once = Meter::new(0, 64, start);
        assert!(once.admit(start, 0, 0));
        assert!(!once.admit(start + Duration::from_secs(1 << 40), 0, 0));
    }

    #[test]
    fn reports_come_once_per_second_and_lose_nothing() {
        let start = Instant::now();
        let mut meter = Meter::new(0, 0, start);
        assert_eq!(meter.take_report(start), None);
        meter.suppress(3, 30);
        assert_eq!(
            meter.take_report(start),
            Some(Suppressed {
                lines: 3,
                bytes: 30
            })
        );
        meter.suppress(1, 10);
        meter.suppress(1, 10);
        assert_eq!(meter.take_report(start + Duration::from_millis(999)), None);
        assert!(meter.has_unreported());
        assert_eq!(
            meter.take_report(start + Duration::from_secs(1)),
            Some(Suppressed {
                lines: 2,
                bytes: 20
            })
        );
        assert!(!meter.has_unreported());
    }

    proptest! {
        /// Over any schedule, what passes never exceeds burst + rate × time, and every line is
        /// counted once.
        #[test]
        fn never_more_than_allowed(
            rate in 0u64..5000, burst in 64u64..5000,
            steps in proptest::collection::vec((0u64..50_000_000, 0u64..300), 1..300),
        ) {
            let start = Instant::now();
            let mut meter = Meter::new(rate, burst, start);
            let mut now = start;
            let mut paid = 0u128;
            for (pause, shown) in &steps {
                now += Duration::from_nanos(*pause);
                if meter.admit(now, *shown, 0) {
                    paid += u128::from((shown + LINE_COST).min(burst)) * UNITS_PER_BYTE;
                }
                let allowed = u128::from(burst) * UNITS_PER_BYTE
                    + u128::from(rate) * (now - start).as_nanos();
                prop_assert!(paid <= allowed);
            }
            let totals = meter.totals();
            prop_assert_eq!(totals.lines + totals.suppressed_lines, steps.len() as u64);
        }
    }
}
