//! How long calls took, in a few hundred counters: small enough to keep one per revision, exact
//! enough to compare two.
//!
//! Buckets grow with what they hold, eight to each power of two: a value is known to within an
//! eighth of itself, whatever its magnitude. Two histograms add up to that of both.
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets to each power of two, as a power of two.
const FINE_BITS: u32 = 3;
const FINE: usize = 1 << FINE_BITS;
/// Values from this power of two on share the last bucket: 2^36 µs are 19 hours.
const TOP_BITS: u32 = 36;
const BUCKETS: usize = (TOP_BITS - FINE_BITS + 1) as usize * FINE;

/// Durations, as they were counted. Two KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Histogram {
    counts: Box<[u64; BUCKETS]>,
    count: u64,
}

/// A histogram that many threads add to: one relaxed addition for each duration.
#[derive(Debug)]
pub struct AtomicHistogram {
    counts: Box<[AtomicU64; BUCKETS]>,
}

/// The bucket of a duration in microseconds.
fn bucket(micros: u64) -> usize {
    let bits = u64::BITS - micros.leading_zeros();
    if bits <= FINE_BITS {
        return micros as usize;
    }
    // The bits below the topmost that tell the buckets of one power of two apart.
    let shift = bits - 1 - FINE_BITS;
    let fine = (micros >> shift) as usize & (FINE - 1);
    ((shift as usize + 1) * FINE + fine).min(BUCKETS - 1)
}

/// The least number of microseconds that falls into a bucket.
fn floor(bucket: usize) -> u64 {
    if bucket < FINE {
        return bucket as u64;
    }
    let shift = bucket / FINE - 1;
    ((FINE + bucket % FINE) as u64) << shift
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            counts: Box::new([0; BUCKETS]),
            count: 0,
        }
    }
}

impl Histogram {
    /// Counts one duration.
    pub fn record(&mut self, duration: Duration) {
        self.counts[bucket(micros(duration))] += 1;
        self.count += 1;
    }

    /// How many durations were counted.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Adds all that the other has counted.
    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(other.counts.iter()) {
            *count += more;
        }
        self.count += other.count;
    }

    /// What has been counted since `earlier`, which is an earlier reading of the same.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut since = Self::default();
        for (bucket, count) in since.counts.iter_mut().enumerate() {
            *count = self.counts[bucket].saturating_sub(earlier.counts[bucket]);
            since.count += *count;
        }
        since
    }

    /// A duration that so many per cent of all do not exceed, rounded up to the end of its bucket, and
    /// so at most an eighth above the exact one; `None` if nothing was counted.
    pub fn percentile(&self, percent: f64) -> Option<Duration> {
        if self.count == 0 {
            return None;
        }
        // At least the first, at most the last.
        let rank = (self.count as f64 * percent / 100.0).ceil() as u64;
        let rank = rank.clamp(1, self.count);
        let mut seen = 0;
        let holds_it = |count: &u64| {
            seen += count;
            seen >= rank
        };
        let bucket = self.counts.iter().position(holds_it)?;
        Some(Duration::from_micros(floor(bucket + 1) - 1))
    }

    /// How many durations were longer than `bound`, those in its own bucket not among them: never
    /// too many.
    pub fn count_above(&self, bound: Duration) -> u64 {
        self.counts[bucket(micros(bound)) + 1..].iter().sum()
    }
}

impl Default for AtomicHistogram {
    fn default() -> Self {
        Self {
            counts: Box::new([const { AtomicU64::new(0) }; BUCKETS]),
        }
    }
}

impl AtomicHistogram {
    /// Counts one duration, from any thread.
    pub fn record(&self, duration: Duration) {
        self.counts[bucket(micros(duration))].fetch_add(1, Ordering::Relaxed);
    }

    /// What has been counted so far. What others count meanwhile may be in it or not.
    pub fn read(&self) -> Histogram {
        let mut read = Histogram::default();
        for (to, from) in read.counts.iter_mut().zip(self.counts.iter()) {
            *to = from.load(Ordering::Relaxed);
            read.count += *to;
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn histogram(values: &[u64]) -> Histogram {
        let mut histogram = Histogram::default();
        for value in values {
            histogram.record(Duration::from_micros(*value));
        }
        histogram
    }

    #[test]
    fn buckets_follow_one_another_without_gaps() {
        for bucket_of_floor in 0..BUCKETS {
            let first = floor(bucket_of_floor);
            assert_eq!(bucket(first), bucket_of_floor, "{first}");
            if first > 0 {
                assert_eq!(bucket(first - 1), bucket_of_floor - 1, "{first}");
            }
        }
        assert_eq!(bucket(u64::MAX), BUCKETS - 1);
        assert_eq!(size_of_val(&*Histogram::default().counts), 272 * 8);
    }

    #[test]
    fn what_is_empty_or_endless_is_no_trouble() {
        let mut empty = Histogram::default();
        assert_eq!(
            (empty.percentile(99.0), empty.count_above(Duration::ZERO)),
            (None, 0)
        );
        empty.record(Duration::MAX);
        empty.record(Duration::ZERO);
        assert!(empty.percentile(100.0).unwrap() > Duration::from_secs(3600));
        assert_eq!(empty.percentile(0.0), Some(Duration::ZERO));
        assert_eq!(empty.count_above(Duration::from_secs(3600)), 1);
        assert_eq!(empty.count_above(Duration::MAX), 0);
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = AtomicHistogram::default();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let histogram = &histogram;
                scope.spawn(move || {
                    (0..1000).for_each(|n| histogram.record(Duration::from_micros(n * thread)));
                });
            }
        });
        assert_eq!(histogram.read().count(), 4000);
    }

    proptest! {
        #[test]
        fn percentiles_are_those_of_the_sorted_values(
            values in vec(prop_oneof![0..2000_u64, 0..20_000_000_000_u64], 1..300),
            percent in 0.0..100.0_f64,
        ) {
            let mut sorted = values.clone();
            sorted.sort_unstable();
            let rank = (sorted.len() as f64 * percent / 100.0).ceil() as usize;
            let exact = sorted[rank.clamp(1, sorted.len()) - 1];
            let found = histogram(&values).percentile(percent).unwrap().as_micros() as u64;
            prop_assert!(exact <= found && found <= exact + exact / 8, "{exact} {found}");
        }

        #[test]
        fn what_is_above_is_never_too_many(values in vec(0..1_000_000_u64, 0..300), bound in 0..1_000_000_u64) {
            let found = histogram(&values).count_above(Duration::from_micros(bound));
            let above = |bound| values.iter().filter(|value| **value > bound).count() as u64;
            prop_assert!(found <= above(bound));
            prop_assert!(found >= above(bound + bound / 8));
        }

        #[test]
        fn parts_make_the_whole(one in vec(0..1_000_000_u64, 0..100), two in vec(0..1_000_000_u64, 0..100)) {
            let mut sum = histogram(&one);
            sum.add(&histogram(&two));
            prop_assert_eq!(&sum, &histogram(&[&one[..], &two].concat()));
            prop_assert_eq!(sum.since(&histogram(&one)), histogram(&two));
            let shared = AtomicHistogram::default();
            one.iter().for_each(|value| shared.record(Duration::from_micros(*value)));
            prop_assert_eq!(shared.read(), histogram(&one));
        }
    }
}
