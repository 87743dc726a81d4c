//! A retry budget: retries only as a share of calls, so that they never multiply an overload.
//!
//! As in Finagle ("Retry Budgets", <https://finagle.github.io/blog/2016/02/08/retry-budgets>) and
//! tower's `TpsBudget`: each call pays in a share of a retry, each retry takes out a whole one, and
//! what was paid in expires. A reserve allows some retries to those who call rarely.
use std::time::Duration;

use super::BudgetPolicy;

/// Parts of the window that expire one after the other; Finagle's number.
const SLOTS: usize = 10;
/// A retry, in hundredths of one: a call pays in so many per cent of it.
const RETRY: u64 = 100;

/// See the module.
#[derive(Debug, Clone)]
pub struct RetryBudget {
    percent: u64,
    /// Hundredths of retries that are there without any call.
    reserve: u64,
    /// Nanoseconds.
    slot: u64,
    slots: [Slot; SLOTS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Slot {
    /// Which slot since the beginning of time it is.
    number: u64,
    /// Both in hundredths of a retry.
    paid_in: u64,
    taken_out: u64,
}

impl RetryBudget {
    pub fn new(policy: BudgetPolicy) -> Self {
        let reserve = u128::from(policy.per_second) * policy.within.as_millis() / 1000;
        let reserve = u64::try_from(reserve).unwrap_or(u64::MAX);
        Self {
            percent: policy.percent.into(),
            reserve: reserve.saturating_mul(RETRY),
            slot: nanoseconds(policy.within / SLOTS as u32).max(1),
            slots: [Slot::default(); SLOTS],
        }
    }

    /// A call begins; not one that is tried again. Times must not go back.
    pub fn call(&mut self, now: Duration) {
        let percent = self.percent;
        let slot = self.at(now);
        slot.paid_in = slot.paid_in.saturating_add(percent);
    }

    /// Whether a call may be tried again now; if so, that is paid for.
    pub fn retry(&mut self, now: Duration) -> bool {
        let number = self.number(now);
        let (mut paid_in, mut taken_out) = (self.reserve, RETRY);
        for slot in &self.slots {
            if number.saturating_sub(slot.number) < SLOTS as u64 {
                paid_in = paid_in.saturating_add(slot.paid_in);
                taken_out = taken_out.saturating_add(slot.taken_out);
            }
        }
        let allowed = taken_out <= paid_in;
        if allowed {
            let slot = self.at(now);
            slot.taken_out = slot.taken_out.saturating_add(RETRY);
        }
        allowed
    }

    fn number(&self, now: Duration) -> u64 {
        nanoseconds(now) / self.slot
    }

    /// The slot of this time, emptied of what was in it a window ago.
    fn at(&mut self, now: Duration) -> &mut Slot {
        let number = self.number(now);
        // The remainder is below the number of slots.
        let slot = &mut self.slots[(number % SLOTS as u64) as usize];
        if slot.number != number {
            *slot = Slot {
                number,
                ..Slot::default()
            };
        }
        slot
    }
}

/// Enough for five hundred years.
fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn budget(percent: u32, per_second: u32) -> RetryBudget {
        RetryBudget::new(BudgetPolicy {
            percent,
            per_second,
            within: Duration::from_secs(10),
        })
    }

    fn granted(budget: &mut RetryBudget, now: Duration) -> u32 {
        (0..10_000).take_while(|_| budget.retry(now)).count() as u32
    }

    #[test]
    fn a_fifth_of_the_calls_and_the_reserve() {
        let mut budget = budget(20, 10);
        let now = Duration::from_secs(100);
        for _ in 0..1000 {
            budget.call(now);
        }
        assert_eq!(granted(&mut budget, now), 200 + 100);
        // Both calls and retries are forgotten once the window has passed.
        let later = now + Duration::from_secs(11);
        assert_eq!(granted(&mut budget, later), 100);
    }

    #[test]
    fn without_a_reserve_there_must_be_calls() {
        let mut budget = budget(20, 0);
        let now = Duration::from_secs(7);
        assert!(!budget.retry(now));
        for _ in 0..4 {
            budget.call(now);
        }
        assert!(!budget.retry(now), "four fifths of a retry");
        budget.call(now);
        assert!(budget.retry(now));
        assert!(!budget.retry(now));
    }

    #[test]
    fn no_percentage_is_the_reserve_alone() {
        let mut budget = budget(0, 1);
        for second in 0..100 {
            budget.call(Duration::from_secs(second));
        }
        assert_eq!(granted(&mut budget, Duration::from_secs(100)), 10);
    }

    proptest! {
        /// Whatever happens when, in any window no more is retried than the calls of that window
        /// (and of the slot that it begins in) and the reserve allow.
        #[test]
        fn retries_stay_within_the_budget(
            percent in 0..150_u32,
            per_second in 0..3_u32,
            steps in proptest::collection::vec((0..1500_u64, any::<bool>()), 1..200),
        ) {
            let mut budget = budget(percent, per_second);
            let (mut now, mut calls, mut retries) = (0, Vec::new(), Vec::new());
            for (gap, retry) in steps {
                now += gap;
                let at = Duration::from_millis(now);
                if !retry {
                    budget.call(at);
                    calls.push(now);
                } else if budget.retry(at) {
                    retries.push(now);
                } else {
                    // It is refused only with reason: all that was paid in is used up.
                    let since = (now / 1000).saturating_sub(9) * 1000;
                    let recent = |all: &[u64]| all.iter().filter(|at| **at >= since).count() as u64;
                    let allowed = recent(&calls) * u64::from(percent) + u64::from(per_second) * 1000;
                    prop_assert!(recent(&retries) * 100 + 100 > allowed);
                }
                let since = (now / 1000).saturating_sub(9) * 1000;
                let recent = |all: &[u64]| all.iter().filter(|at| **at >= since).count() as u64;
                let paid_before = |at: u64| {
                    let from = (at / 1000).saturating_sub(9) * 1000;
                    calls.iter().filter(|call| **call >= from && **call <= at).count() as u64
                };
                // When the last was granted, it was covered.
                if let Some(last) = retries.last().filter(|last| **last == now) {
                    let allowed = paid_before(*last) * u64::from(percent) + u64::from(per_second) * 1000;
                    prop_assert!(recent(&retries) * 100 <= allowed);
                }
            }
        }
    }
}
