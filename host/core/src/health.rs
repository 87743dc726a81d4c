//! How a service is asked whether it is well, and what its answers amount to.
use std::time::Duration;

use serde::Serialize;

/// A health check answers within this, or it has failed.
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// A longer health check says nothing about health.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// More frequent checks would be load.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Rarer checks find nothing in time.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);
/// Between two tries of a start-up check: somebody waits for its end.
pub const STARTUP_INTERVAL: Duration = Duration::from_millis(500);
/// Between two readiness or liveness checks.
pub const INTERVAL: Duration = Duration::from_secs(5);
/// Good answers in a row that make a service well again.
pub const HEALTHY_AFTER: u32 = 1;
/// Bad answers in a row that fail a start: the back-off brings the next try.
pub const STARTUP_UNHEALTHY_AFTER: u32 = 1;
/// Bad answers in a row before a service that was well is judged unwell: one may be bad luck.
pub const UNHEALTHY_AFTER: u32 = 3;
/// More in a row would take longer than anybody waits for.
pub const THRESHOLD_MAX: u32 = 1000;

/// One kind of check: what is asked, how often, and how many answers in a row count.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// The path of a GET request; any answer from 200 to 399 is good.
    pub path: String,
    pub timeout: Duration,
    pub interval: Duration,
    pub healthy_after: u32,
    pub unhealthy_after: u32,
}

impl HealthCheck {
    /// With the defaults of a start-up check.
    pub fn startup(path: impl Into<String>) -> Self {
        Self {
            path: path.into(),
            timeout: TIMEOUT,
            interval: STARTUP_INTERVAL,
            healthy_after: HEALTHY_AFTER,
            unhealthy_after: STARTUP_UNHEALTHY_AFTER,
        }
    }

    /// With the defaults of a readiness or a liveness check.
    pub fn running(path: impl Into<String>) -> Self {
        Self {
            interval: INTERVAL,
            unhealthy_after: UNHEALTHY_AFTER,
            ..Self::startup(path)
        }
    }
}

/// `health` in the manifest.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Health {
    /// Before a service is ready for the first time: a failure fails the start.
    pub startup: Option<HealthCheck>,
    /// While it is up: a failure closes its door, and nothing else.
    pub readiness: Option<HealthCheck>,
    /// While it is up: a failure is a crash.
    pub liveness: Option<HealthCheck>,
}

/// Answers in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    healthy_after: u32,
    unhealthy_after: u32,
    /// What the answers so far amount to.
    well: bool,
    /// Answers in a row that say the opposite.
    against: u32,
}

impl Tally {
    /// A service that is taken to be well, or not, until enough answers say otherwise.
    pub fn new(check: &HealthCheck, well: bool) -> Self {
        Self {
            healthy_after: check.healthy_after.max(1),
            unhealthy_after: check.unhealthy_after.max(1),
            well,
            against: 0,
        }
    }

    /// Takes in one answer. `Some` when it turns the judgement, with the new one.
    pub fn record(&mut self, good: bool) -> Option<bool> {
        if good == self.well {
            self.against = 0;
            return None;
        }
        self.against += 1;
        if self.against < self.needed() {
            return None;
        }
        self.well = good;
        self.against = 0;
        Some(good)
    }

    /// Answers that are still missing to turn the judgement.
    pub fn missing(&self) -> u32 {
        self.needed() - self.against
    }

    fn needed(&self) -> u32 {
        if self.well {
            self.unhealthy_after
        } else {
            self.healthy_after
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(healthy_after: u32, unhealthy_after: u32, well: bool) -> Tally {
        let check = HealthCheck {
            healthy_after,
            unhealthy_after,
            ..HealthCheck::running("/")
        };
        Tally::new(&check, well)
    }

    /// Answers as `+` and `-`; what each turned.
    fn turns(mut tally: Tally, answers: &str) -> String {
        let answer = |answer: char| match tally.record(answer == '+') {
            Some(true) => 'W',
            Some(false) => 'U',
            None => '.',
        };
        answers.chars().map(answer).collect()
    }

    #[test]
    fn only_answers_in_a_row_turn_the_judgement() {
        assert_eq!(turns(tally(1, 3, true), "--+---+-"), ".....UW.");
        assert_eq!(turns(tally(2, 1, true), "-+-+++-"), "U...W.U");
        assert_eq!(turns(tally(3, 2, false), "++-+++--"), ".....W.U");
        assert_eq!(turns(tally(0, 0, false), "+-"), "WU", "none is one");
    }

    #[test]
    fn what_is_missing_is_said() {
        let mut tally = tally(2, 3, true);
        assert_eq!(tally.missing(), 3);
        tally.record(false);
        assert_eq!(tally.missing(), 2);
        tally.record(true);
        assert_eq!(tally.missing(), 3);
        for _ in 0..3 {
            tally.record(false);
        }
        assert_eq!(tally.missing(), 2);
    }

    #[test]
    fn checks_differ_by_kind_in_their_defaults() {
        let startup = HealthCheck::startup("/a");
        assert_eq!((startup.unhealthy_after, startup.healthy_after), (1, 1));
        assert_eq!(startup.interval, Duration::from_millis(500));
        let running = HealthCheck::running("/b");
        assert_eq!((running.unhealthy_after, running.healthy_after), (3, 1));
        assert_eq!(running.interval, Duration::from_secs(5));
        assert_eq!((running.path.as_str(), running.timeout), ("/b", TIMEOUT));
    }
}
