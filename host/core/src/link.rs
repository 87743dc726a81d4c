//! How the calls of one service to another are treated: how long they may take, how often they are
//! tried, and when they are not even begun.
//!
//! [`LinkPolicy`] is what the manifest says of a link; [`Breaker`] and [`RetryBudget`] are the two
//! machines that keep count for it. They are fed times, and nothing here waits.
use std::time::Duration;

use serde::Serialize;

use crate::duration::DurationRange;
use crate::spanned::Spanned;

mod breaker;
mod budget;

pub use breaker::{Breaker, Change, Outcome, Permit, Refusal};
pub use budget::RetryBudget;

/// A call is begun at most this often again: a callee that is restarting is back by then, or is not
/// back for long.
pub const RETRIES: u32 = 2;
/// More attempts than this only add to what is wrong.
pub const RETRIES_MAX: u32 = 10;
/// Retries per hundred calls; with [`BUDGET_PER_SECOND`] and [`BUDGET_WITHIN`] what Finagle and
/// Linkerd have found good.
pub const BUDGET_PERCENT: u32 = 20;
/// Each call tried twice over.
pub const BUDGET_PERCENT_MAX: u32 = 200;
/// Retries per second that are always allowed, for callers that call rarely.
pub const BUDGET_PER_SECOND: u32 = 10;
/// More is no budget.
pub const BUDGET_PER_SECOND_MAX: u32 = 10_000;
/// How long a call counts.
pub const BUDGET_WITHIN: Duration = Duration::from_secs(10);
/// Shorter and the budget is gone before it is needed.
pub const BUDGET_WITHIN_MIN: Duration = Duration::from_secs(1);
/// Longer and yesterday's calls pay for today's retries.
pub const BUDGET_WITHIN_MAX: Duration = Duration::from_secs(60);

/// Failures that open a breaker: Envoy's for its outlier detection.
pub const BREAKER_FAILURES: u32 = 5;
/// The window remembers the time of each failure.
pub const BREAKER_FAILURES_MAX: u32 = 1000;
/// The window in which failures are counted.
pub const BREAKER_WITHIN: Duration = Duration::from_secs(10);
/// A longer window would count yesterday's failures.
pub const BREAKER_WITHIN_MAX: Duration = Duration::from_secs(3600);
/// How long a breaker is open at first: most trouble is a restart.
pub const OPEN_FLOOR: Duration = Duration::from_secs(1);
/// How long it is open at most, so that a callee that is well again is found out.
pub const OPEN_CEILING: Duration = Duration::from_secs(30);
/// A shorter time is no rest.
pub const OPEN_MIN: Duration = Duration::from_millis(10);
/// A longer time is a link that is gone.
pub const OPEN_MAX: Duration = Duration::from_secs(3600);

/// `[link.CALLER.CALLEE]`: the calls of one service to another, whatever the interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkPolicy {
    /// The longest a call may take, waiting and retries included; the callee's deadline and what
    /// the caller has left hold as well.
    pub timeout: Option<Duration>,
    /// Attempts after the first. A call that began is tried again only if its function is in
    /// `idempotent`.
    pub retries: u32,
    pub budget: BudgetPolicy,
    /// Calls at the same time; one more fails at once.
    pub concurrency: Option<u32>,
    pub breaker: Option<BreakerPolicy>,
    /// Functions that may be called twice for once, as people write them: see [`names_function`].
    pub idempotent: Vec<Spanned<String>>,
}

/// `retry-budget`: retries in relation to calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BudgetPolicy {
    /// Retries per hundred calls.
    pub percent: u32,
    /// Retries that are allowed beside, per second.
    pub per_second: u32,
    /// How long a call counts.
    #[serde(with = "crate::duration::millis")]
    pub within: Duration,
}

/// `breaker`: when calls are not even begun.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BreakerPolicy {
    /// So many failures within the window open it; at least one.
    pub failures: u32,
    #[serde(with = "crate::duration::millis")]
    pub within: Duration,
    /// How long it is open before a call is tried: from the floor, doubling to the ceiling.
    pub open: DurationRange,
}

/// [`OPEN_FLOOR`] to [`OPEN_CEILING`].
pub const fn default_open() -> DurationRange {
    match DurationRange::new(OPEN_FLOOR, OPEN_CEILING) {
        Some(open) => open,
        None => unreachable!(),
    }
}

impl Default for LinkPolicy {
    fn default() -> Self {
        Self {
            timeout: None,
            retries: RETRIES,
            budget: BudgetPolicy::default(),
            concurrency: None,
            breaker: None,
            idempotent: Vec::new(),
        }
    }
}

impl Default for BudgetPolicy {
    fn default() -> Self {
        Self {
            percent: BUDGET_PERCENT,
            per_second: BUDGET_PER_SECOND,
            within: BUDGET_WITHIN,
        }
    }
}

impl Default for BreakerPolicy {
    fn default() -> Self {
        Self {
            failures: BREAKER_FAILURES,
            within: BREAKER_WITHIN,
            open: default_open(),
        }
    }
}

impl LinkPolicy {
    /// Whether a call of this function, named as the component does, may be made twice for once.
    pub fn is_idempotent(&self, function: &str) -> bool {
        let mut named = self.idempotent.iter();
        named.any(|written| names_function(&written.value, function))
    }
}

/// Whether what people write means the function of this name in a component: `find` is `find`;
/// `cart.total` is `[method]cart.total` or `[static]cart.total`; `cart` is `[constructor]cart`.
pub fn names_function(written: &str, function: &str) -> bool {
    let plain = ["[method]", "[static]", "[constructor]"]
        .iter()
        .find_map(|prefix| function.strip_prefix(prefix));
    written == function || plain == Some(written)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_named_as_people_write_them() {
        let rows = [
            ("find", "find", true),
            ("find", "find-all", false),
            ("cart.total", "[method]cart.total", true),
            ("cart.open", "[static]cart.open", true),
            ("cart", "[constructor]cart", true),
            ("[method]cart.total", "[method]cart.total", true),
            ("total", "[method]cart.total", false),
        ];
        for (written, function, means) in rows {
            assert_eq!(
                names_function(written, function),
                means,
                "{written} {function}"
            );
        }
    }
}
