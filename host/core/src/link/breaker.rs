//! A circuit breaker: a callee that fails and fails is left in peace, and asked now and then.
//!
//! The machine of Nygard's "Release It!": closed, open, half-open. Failures are counted in a sliding
//! window; enough of them open it, and calls fail at once. After a rest one call is let through to
//! see: if it goes well the breaker closes, if not it opens for longer (as Envoy's outlier detection
//! ejects for longer each time).
use std::time::Duration;

use super::BreakerPolicy;
use crate::restart::{Backoff, Intensity};

/// See the module.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    failures: Intensity,
    rest: Backoff,
    /// Counts changes of state: what began in another epoch says nothing of this one.
    epoch: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Closed,
    /// Until then.
    Open(Duration),
    /// One call is under way to see.
    Probing,
    /// The rest is over, or the one that was to see came to nothing; the next call is to see.
    HalfOpen,
}

/// A call that was let through, to be given back with how it ended.
#[derive(Debug, PartialEq, Eq)]
#[must_use = "a probe that never ends keeps the breaker open"]
pub struct Permit {
    epoch: u64,
}

/// A call was not let through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// When it is worth another attempt, as far as that is known: a probe may take any time.
    pub after: Duration,
}

/// How a call ended, for the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The callee answered; that may be an error of its own choosing.
    Answered,
    /// The callee failed: a crash, a deadline, no room, not there.
    Failed,
    /// Nobody knows: the caller went away.
    Unknown,
}

/// The breaker has changed, which is worth a line in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// Calls fail at once for so long.
    Opened { rest: Duration },
    /// All calls are let through again.
    Closed,
}

impl Breaker {
    /// The same seed gives the same rests.
    pub fn new(policy: BreakerPolicy, seed: u64) -> Self {
        Self {
            state: State::Closed,
            // One more than the maximum is what counts as too many there.
            failures: Intensity::new(policy.failures.saturating_sub(1), policy.within),
            rest: Backoff::new(policy.open, seed),
            epoch: 0,
        }
    }

    /// Asks for a call. Times must not go back.
    ///
    /// # Errors
    /// While it is open, and while another call is under way to see.
    pub fn admit(&mut self, now: Duration) -> Result<Permit, Refusal> {
        match self.state {
            State::Closed => {}
            State::Open(until) if now < until => {
                return Err(Refusal { after: until - now });
            }
            State::Probing => {
                return Err(Refusal {
                    after: Duration::ZERO,
                });
            }
            State::Open(_) | State::HalfOpen => self.enter(State::Probing),
        }
        Ok(Permit { epoch: self.epoch })
    }

    /// A call has ended. What began before the last change says nothing any more.
    pub fn ended(&mut self, permit: Permit, outcome: Outcome, now: Duration) -> Option<Change> {
        if permit.epoch != self.epoch {
            return None;
        }
        match (self.state, outcome) {
            (State::Closed, Outcome::Failed) => {
                let too_many = self.failures.record(now);
                too_many.then(|| self.open(now))
            }
            (State::Probing, Outcome::Failed) => Some(self.open(now)),
            (State::Probing, Outcome::Answered) => {
                self.enter(State::Closed);
                self.failures.clear();
                self.rest.reset();
                Some(Change::Closed)
            }
            (State::Probing, Outcome::Unknown) => {
                self.enter(State::HalfOpen);
                None
            }
            _ => None,
        }
    }

    /// Whether calls fail at once, at this time.
    pub fn is_open(&self, now: Duration) -> bool {
        match self.state {
            State::Open(until) => now < until,
            State::Probing => true,
            State::Closed | State::HalfOpen => false,
        }
    }

    fn open(&mut self, now: Duration) -> Change {
        let rest = self.rest.next_delay();
        self.enter(State::Open(now.saturating_add(rest)));
        Change::Opened { rest }
    }

    fn enter(&mut self, state: State) {
        self.state = state;
        self.epoch += 1;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::{BREAKER_FAILURES, OPEN_CEILING, OPEN_FLOOR};
    use super::*;

    fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn fails(breaker: &mut Breaker, now: Duration) -> Option<Change> {
        let permit = breaker.admit(now).unwrap();
        breaker.ended(permit, Outcome::Failed, now)
    }

    /// Fails until it opens; how long it then rests.
    fn opened(breaker: &mut Breaker, now: Duration) -> Duration {
        loop {
            if let Some(Change::Opened { rest }) = fails(breaker, now) {
                return rest;
            }
        }
    }

    #[test]
    fn enough_failures_within_the_window_open_it() {
        let mut breaker = Breaker::new(BreakerPolicy::default(), 1);
        for second in 0..BREAKER_FAILURES - 1 {
            assert_eq!(fails(&mut breaker, seconds(second.into())), None);
        }
        // The first has left the window by then.
        assert_eq!(fails(&mut breaker, seconds(10)), None);
        let Some(Change::Opened { rest }) = fails(&mut breaker, seconds(10)) else {
            panic!("five within ten seconds");
        };
        assert!((OPEN_FLOOR..=2 * OPEN_FLOOR).contains(&rest));
        assert!(breaker.is_open(seconds(10)));
        let refusal = breaker.admit(seconds(10)).unwrap_err();
        assert_eq!(refusal.after, rest);
    }

    #[test]
    fn one_call_sees_whether_the_callee_is_well_again() {
        let mut breaker = Breaker::new(BreakerPolicy::default(), 1);
        let now = seconds(1) + opened(&mut breaker, seconds(1));
        let probe = breaker.admit(now).unwrap();
        assert!(breaker.admit(now).is_err(), "one is enough");
        assert_eq!(
            breaker.ended(probe, Outcome::Answered, now),
            Some(Change::Closed)
        );
        let (one, other) = (breaker.admit(now).unwrap(), breaker.admit(now).unwrap());
        assert_eq!(
            breaker.ended(one, Outcome::Failed, now),
            None,
            "counted anew"
        );
        assert_eq!(breaker.ended(other, Outcome::Answered, now), None);
    }

    #[test]
    fn it_rests_longer_each_time_and_not_without_end() {
        let mut breaker = Breaker::new(BreakerPolicy::default(), 1);
        let mut now = seconds(1) + opened(&mut breaker, seconds(1));
        let mut longest = Duration::ZERO;
        for _ in 0..50 {
            let Some(Change::Opened { rest }) = fails(&mut breaker, now) else {
                panic!("a probe that fails opens it again");
            };
            longest = longest.max(rest);
            now += rest;
        }
        assert!(
            longest > 10 * OPEN_FLOOR && longest <= OPEN_CEILING,
            "{longest:?}"
        );
        let probe = breaker.admit(now).unwrap();
        assert_eq!(
            breaker.ended(probe, Outcome::Answered, now),
            Some(Change::Closed)
        );
        assert!(opened(&mut breaker, now) <= 2 * OPEN_FLOOR, "short again");
    }

    #[test]
    fn a_probe_that_nobody_waits_for_leaves_its_place_to_the_next() {
        let mut breaker = Breaker::new(BreakerPolicy::default(), 1);
        let now = seconds(1) + opened(&mut breaker, seconds(1));
        let probe = breaker.admit(now).unwrap();
        assert_eq!(breaker.ended(probe, Outcome::Unknown, now), None);
        let next = breaker.admit(now).unwrap();
        assert!(breaker.admit(now).is_err());
        assert_eq!(
            breaker.ended(next, Outcome::Answered, now),
            Some(Change::Closed)
        );
    }

    #[test]
    fn what_began_before_it_opened_does_not_close_it() {
        let mut breaker = Breaker::new(BreakerPolicy::default(), 1);
        let slow = breaker.admit(seconds(0)).unwrap();
        let another = breaker.admit(seconds(0)).unwrap();
        let now = seconds(1) + opened(&mut breaker, seconds(1));
        let probe = breaker.admit(now).unwrap();
        assert_eq!(breaker.ended(slow, Outcome::Answered, now), None);
        assert!(breaker.is_open(now));
        assert!(matches!(
            breaker.ended(probe, Outcome::Failed, now),
            Some(Change::Opened { .. })
        ));
        assert_eq!(breaker.ended(another, Outcome::Failed, now), None);
    }

    proptest! {
        /// Random calls that end in any order: at most one is under way while it is not closed, it
        /// opens exactly when the failures of this epoch in the window are enough, it rests as long
        /// as it said, and it never stays shut for ever.
        #[test]
        fn the_machine_keeps_its_promises(
            failures in 1..5_u32,
            steps in proptest::collection::vec((0..4000_u64, 0..4_u8, any::<prop::sample::Index>()), 1..300),
        ) {
            let policy = BreakerPolicy { failures, ..BreakerPolicy::default() };
            let mut breaker = Breaker::new(policy, 7);
            let mut now = Duration::ZERO;
            let mut under_way: Vec<(Permit, bool)> = Vec::new();
            let mut recent: Vec<Duration> = Vec::new();
            // What the test believes: open until then, or closed.
            let mut open: Option<Duration> = None;
            for (gap, what, which) in steps {
                now += Duration::from_millis(gap);
                let probing = under_way.iter().any(|(_, probe)| *probe);
                if what == 0 || under_way.is_empty() {
                    let admitted = breaker.admit(now);
                    let expected = open.is_none_or(|until| now >= until && !probing);
                    prop_assert_eq!(admitted.is_ok(), expected);
                    if let Ok(permit) = admitted {
                        under_way.push((permit, open.is_some()));
                    }
                    continue;
                }
                let (permit, probe) = under_way.swap_remove(which.index(under_way.len()));
                let current = permit.epoch == breaker.epoch;
                let outcome = [Outcome::Answered, Outcome::Failed, Outcome::Unknown][usize::from(what) - 1];
                let change = breaker.ended(permit, outcome, now);
                if !current {
                    prop_assert_eq!(change, None);
                    continue;
                }
                if outcome == Outcome::Failed && !probe {
                    recent.push(now);
                }
                recent.retain(|at| now - *at < policy.within);
                let too_many = recent.len() >= failures as usize;
                match change {
                    Some(Change::Opened { rest }) => {
                        prop_assert!(outcome == Outcome::Failed && (probe || too_many));
                        open = Some(now + rest);
                        recent.clear();
                    }
                    Some(Change::Closed) => {
                        prop_assert!(probe && outcome == Outcome::Answered);
                        open = None;
                        recent.clear();
                    }
                    None => prop_assert!(
                        outcome != Outcome::Failed || !(probe || too_many)
                    ),
                }
            }
            // Whatever happened: once all is over and the rest has passed, somebody may try.
            for (permit, _) in under_way {
                let _ = breaker.ended(permit, Outcome::Unknown, now);
            }
            prop_assert!(breaker.admit(now + OPEN_CEILING).is_ok());
        }
    }
}
