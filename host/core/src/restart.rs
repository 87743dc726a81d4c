//! When a service is started again, and how long that waits.
use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::duration::DurationRange;

/// Counted crashes that a service may have `within` before it is backed off, and failed starts in a
/// row before it is parked.
pub const MAX: u32 = 5;
/// The window remembers the time of each crash.
pub const MAX_MAX: u32 = 1000;
/// The window in which crashes are counted.
pub const WITHIN: Duration = Duration::from_secs(10);
/// A longer window would count yesterday's crashes.
pub const WITHIN_MAX: Duration = Duration::from_secs(86_400);
/// The first wait: short, since most crashes are alone.
pub const BACKOFF_FLOOR: Duration = Duration::from_millis(100);
/// The longest wait: somebody has repaired what was broken, and wants to see it work.
pub const BACKOFF_CEILING: Duration = Duration::from_secs(30);
/// A shorter wait is a busy loop.
pub const BACKOFF_MIN: Duration = Duration::from_millis(1);
/// A longer wait is a parked service that does not say so.
pub const BACKOFF_MAX: Duration = Duration::from_secs(3600);

/// How long callers wait for a service that is about to be there again: not at all, since they know
/// best what to do meanwhile.
pub const HOLD: Duration = Duration::ZERO;
/// Callers that wait for longer have mostly gone.
pub const HOLD_MAX: Duration = Duration::from_secs(60);

/// In which case a service is started again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RestartWhen {
    /// After a failure; a worker that ends well stays stopped.
    #[default]
    OnFailure,
    /// Also after a worker has ended well.
    Always,
    /// Not at all: the first failure of the service parks it.
    Never,
}

/// `restart` in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    pub when: RestartWhen,
    /// See [`MAX`].
    pub max: u32,
    /// See [`WITHIN`].
    #[serde(with = "crate::duration::millis")]
    pub within: Duration,
    pub backoff: DurationRange,
    /// See [`HOLD`].
    #[serde(with = "crate::duration::millis")]
    pub hold: Duration,
}

/// [`BACKOFF_FLOOR`] to [`BACKOFF_CEILING`].
pub const fn default_backoff() -> DurationRange {
    match DurationRange::new(BACKOFF_FLOOR, BACKOFF_CEILING) {
        Some(backoff) => backoff,
        None => unreachable!(),
    }
}

impl Default for RestartPolicy {
    fn default() -> Self {
        Self {
            when: RestartWhen::default(),
            max: MAX,
            within: WITHIN,
            backoff: default_backoff(),
            hold: HOLD,
        }
    }
}

/// Waits that double from floor to ceiling, each drawn anew so that services which failed together
/// do not come back together. The same seed gives the same waits.
#[derive(Debug, Clone)]
pub struct Backoff {
    range: DurationRange,
    attempt: u32,
    random: SplitMix64,
}

impl Backoff {
    pub fn new(range: DurationRange, seed: u64) -> Self {
        Self {
            range,
            attempt: 0,
            random: SplitMix64(seed),
        }
    }

    /// The next wait: between the floor and twice the previous bound, never above the ceiling.
    pub fn next_delay(&mut self) -> Duration {
        self.attempt = self.attempt.saturating_add(1);
        let (floor, ceiling) = (self.range.floor(), self.range.ceiling());
        let doubled = floor.saturating_mul(2_u32.saturating_pow(self.attempt));
        let spread = doubled.min(ceiling) - floor;
        let nanos = u64::try_from(spread.as_nanos()).unwrap_or(u64::MAX);
        floor + Duration::from_nanos(self.random.up_to(nanos))
    }

    /// How many waits there were since the last [`Self::reset`].
    pub fn attempt(&self) -> u32 {
        self.attempt
    }

    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

/// A generator with one word of state: jitter needs to be spread, not secret.
#[derive(Debug, Clone)]
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to `bound`, both included.
    fn up_to(&mut self, bound: u64) -> u64 {
        let scaled = u128::from(self.next()) * (u128::from(bound) + 1);
        // The product's upper half is at most `bound`.
        (scaled >> 64) as u64
    }
}

/// Counts events in a sliding window: exact, with memory for `max` + 1 of them.
#[derive(Debug, Clone)]
pub struct Intensity {
    max: u32,
    within: Duration,
    /// The newest events that are still in the window, oldest first.
    times: VecDeque<Duration>,
}

impl Intensity {
    pub fn new(max: u32, within: Duration) -> Self {
        Self {
            max,
            within,
            times: VecDeque::new(),
        }
    }

    /// Notes an event. True when there are now more than `max` within the window. Times must not
    /// go back.
    pub fn record(&mut self, now: Duration) -> bool {
        self.forget(now);
        if self.times.len() > self.max as usize {
            self.times.pop_front();
        }
        self.times.push_back(now);
        self.times.len() > self.max as usize
    }

    /// Events in the window that ends at `now`; at most `max` + 1 are told apart.
    pub fn count(&mut self, now: Duration) -> u32 {
        self.forget(now);
        // At most `max` + 1, which came from a u32.
        self.times.len() as u32
    }

    /// An event leaves the window when it is `within` old.
    fn forget(&mut self, now: Duration) {
        while self
            .times
            .front()
            .is_some_and(|first| now.saturating_sub(*first) >= self.within)
        {
            self.times.pop_front();
        }
    }

    pub fn clear(&mut self) {
        self.times.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn range(floor: u64, ceiling: u64) -> DurationRange {
        DurationRange::new(Duration::from_millis(floor), Duration::from_millis(ceiling)).unwrap()
    }

    #[test]
    fn waits_grow_to_the_ceiling_and_begin_again_after_a_reset() {
        let mut backoff = Backoff::new(range(100, 1000), 7);
        let mut bound = 100;
        for _ in 0..40 {
            bound = (bound * 2).min(1000);
            let wait = backoff.next_delay().as_millis();
            assert!((100..=bound).contains(&wait), "{wait} of {bound}");
        }
        assert_eq!(backoff.attempt(), 40);
        backoff.reset();
        assert!(backoff.next_delay() <= Duration::from_millis(200));
    }

    #[test]
    fn waits_differ_between_seeds_and_not_between_runs() {
        let waits = |seed| {
            let mut backoff = Backoff::new(range(100, 60_000), seed);
            std::iter::repeat_with(|| backoff.next_delay())
                .take(9)
                .collect::<Vec<_>>()
        };
        assert_eq!(waits(1), waits(1));
        assert_ne!(waits(1), waits(2));
    }

    /// What its author's own program prints for this seed.
    #[test]
    fn the_generator_is_splitmix64() {
        let mut random = SplitMix64(1_234_567);
        let drawn: Vec<u64> = std::iter::repeat_with(|| random.next()).take(5).collect();
        let published = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
            4_593_380_528_125_082_431,
            16_408_922_859_458_223_821,
        ];
        assert_eq!(drawn, published);
    }

    #[test]
    fn draws_reach_both_ends_and_nothing_beyond() {
        let mut random = SplitMix64(7);
        let drawn: std::collections::BTreeSet<u64> = std::iter::repeat_with(|| random.up_to(2))
            .take(200)
            .collect();
        assert_eq!(drawn.into_iter().collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(random.up_to(0), 0);
    }

    #[test]
    fn a_range_of_one_value_always_waits_for_it() {
        let mut backoff = Backoff::new(range(50, 50), 3);
        for _ in 0..5 {
            assert_eq!(backoff.next_delay(), Duration::from_millis(50));
        }
    }

    proptest! {
        #[test]
        fn the_window_is_exact(
            max in 0_u32..6,
            within in 1_u64..50,
            gaps in proptest::collection::vec(0_u64..20, 0..60),
        ) {
            let mut intensity = Intensity::new(max, Duration::from_millis(within));
            let mut all = Vec::new();
            let mut now = 0;
            for gap in gaps {
                now += gap;
                all.push(now);
                let exceeded = intensity.record(Duration::from_millis(now));
                let naive = all.iter().filter(|at| now - **at < within).count();
                prop_assert_eq!(exceeded, naive > max as usize);
                let counted = intensity.count(Duration::from_millis(now)) as usize;
                prop_assert_eq!(counted, naive.min(max as usize + 1));
            }
        }
    }
}
