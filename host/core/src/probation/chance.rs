//! How likely it is that chance alone made something happen so often to one of two.
use super::Share;

/// If it did not matter which of the two a call went to: the probability that as many of those to
/// which it happened, or more, went to `candidate`. Fisher's exact test, one-sided: right for any
/// numbers, however small, and however uneven.
///
/// Counts are at most calls. Some microseconds; never NaN.
pub(super) fn chance(candidate: Share, other: Share) -> f64 {
    let (drawn, rest) = (candidate.calls, other.calls);
    let marked = candidate.count + other.count;
    let all = drawn + rest;
    if candidate.count == 0 || all == 0 {
        return 1.0;
    }
    // The hypergeometric distribution: `drawn` of `all`, of which `marked` are marked.
    let most = marked.min(drawn);
    let ln = ln_choose(marked, candidate.count) + ln_choose(all - marked, drawn - candidate.count)
        - ln_choose(all, drawn);
    let mut term = ln.exp();
    let mut sum = term;
    for count in candidate.count..most {
        // From the probability of `count` to that of one more.
        let up = (marked - count) as f64 * (drawn - count) as f64;
        let down = (count + 1) as f64 * ((all + count + 1) - marked - drawn) as f64;
        term *= up / down;
        sum += term;
        // Beyond the middle terms fall faster and faster.
        if term < sum * 1e-9 && up < down {
            break;
        }
    }
    sum.min(1.0)
}

/// The logarithm of the number of ways to choose `some` of `all`.
fn ln_choose(all: u64, some: u64) -> f64 {
    ln_factorial(all) - ln_factorial(some) - ln_factorial(all - some)
}

/// Stirling's series; exact to ten digits.
fn ln_factorial(n: u64) -> f64 {
    if n < 20 {
        return (2..=n).map(|n| (n as f64).ln()).sum();
    }
    let n = n as f64;
    let half_ln_tau = 0.918_938_533_204_672_8;
    n * n.ln() - n + 0.5 * n.ln() + half_ln_tau + 1.0 / (12.0 * n) - 1.0 / (360.0 * n.powi(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn share(count: u64, calls: u64) -> Share {
        Share { count, calls }
    }

    #[test]
    fn small_cases_are_those_of_the_books() {
        // Fisher's lady tasting tea: all eight cups right, and one pair wrong.
        let tea = [
            (share(4, 4), share(0, 4), 1.0 / 70.0),
            (share(3, 4), share(1, 4), 17.0 / 70.0),
            (share(0, 4), share(4, 4), 1.0),
            // Two of two, when half of the calls are its own.
            (share(2, 2), share(0, 2), 1.0 / 6.0),
            (share(1, 1), share(0, 999), 1.0 / 1000.0),
            (share(0, 0), share(0, 0), 1.0),
        ];
        for (candidate, other, exact) in tea {
            let found = chance(candidate, other);
            assert!((found - exact).abs() < 1e-9, "{candidate} {other}: {found}");
        }
    }

    /// The same by adding up whole numbers of ways.
    fn counted(candidate: Share, other: Share) -> f64 {
        let choose = |all: u64, some: u64| -> f64 {
            (0..some)
                .map(|n| (all - n) as f64 / (n + 1) as f64)
                .product()
        };
        let marked = candidate.count + other.count;
        let all = candidate.calls + other.calls;
        let ways = |count: u64| {
            let unmarked = candidate.calls - count;
            if unmarked > all - marked {
                return 0.0;
            }
            choose(marked, count) * choose(all - marked, unmarked)
        };
        let most = marked.min(candidate.calls);
        (candidate.count..=most).map(ways).sum::<f64>() / choose(all, candidate.calls)
    }

    proptest! {
        #[test]
        fn it_is_what_counting_gives(calls in 1..80_u64, others in 0..80_u64, a in 0.0..1.0, b in 0.0..1.0) {
            let part = |of: u64, part: f64| ((of + 1) as f64 * part) as u64;
            let (candidate, other) = (share(part(calls, a), calls), share(part(others, b), others));
            let (found, counted) = (chance(candidate, other), counted(candidate, other));
            prop_assert!((found - counted).abs() <= 1e-7 * counted.max(1e-3), "{candidate} {other}: {found} {counted}");
        }

        #[test]
        fn large_numbers_are_no_trouble(calls in 1..1_u64 << 40, others in 0..1_u64 << 40, a in 0..100_000_u64, b in 0..100_000_u64) {
            let found = chance(share(a.min(calls), calls), share(b.min(others), others));
            prop_assert!((0.0..=1.0).contains(&found), "{found}");
        }
    }
}
