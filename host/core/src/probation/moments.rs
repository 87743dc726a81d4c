//! Calls that were slow, window by window: so that a moment in which the machine stood still, and
//! made many calls slow at once, does not pass for a service that is slow.
use std::collections::VecDeque;

use super::Share;

/// As many windows as are looked at: what is slow goes on being slow.
const MOST: usize = 60;
/// One of so many may be a bad moment, and the worst of them are left out.
const WORST: usize = 3;
/// At least so many are left out.
const WORST_MIN: usize = 3;
/// At least so many must be left.
const LEAST: usize = 3;

/// The last windows in which there were calls.
#[derive(Debug, Clone, Default)]
pub(super) struct Moments(VecDeque<Share>);

impl Moments {
    pub(super) fn note(&mut self, slow: Share) {
        if slow.calls > 0 {
            if self.0.len() == MOST {
                self.0.pop_front();
            }
            self.0.push_back(slow);
        }
    }

    /// All but the windows with the most slow calls; `None` before there are enough.
    pub(super) fn but_for_the_worst(&self) -> Option<Share> {
        let worst = (self.0.len() / WORST).max(WORST_MIN);
        let left = self.0.len().checked_sub(worst)?;
        if left < LEAST {
            return None;
        }
        let mut windows: Vec<Share> = self.0.iter().copied().collect();
        windows.sort_unstable_by_key(|window| window.count);
        let none = Share { count: 0, calls: 0 };
        let add = |sum: Share, window: &Share| Share {
            count: sum.count + window.count,
            calls: sum.calls + window.calls,
        };
        Some(windows[..left].iter().fold(none, add))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn left(windows: &[(u64, u64)]) -> Option<(u64, u64)> {
        let mut moments = Moments::default();
        for (count, calls) in windows.iter().copied() {
            moments.note(Share { count, calls });
        }
        let left = moments.but_for_the_worst()?;
        Some((left.count, left.calls))
    }

    #[test]
    fn the_worst_moments_do_not_count() {
        assert_eq!(left(&[(9, 10); 5]), None, "too few");
        let mut one_without_calls = [(9, 10); 6];
        one_without_calls[2] = (0, 0);
        assert_eq!(left(&one_without_calls), None);
        assert_eq!(left(&[(9, 10); 6]), Some((27, 30)));
        let moments = [(1, 10), (9, 10), (1, 10), (8, 10), (1, 10), (7, 10)];
        assert_eq!(left(&moments), Some((3, 30)));
        assert_eq!(left(&[(1, 1); 20]), Some((14, 14)));
        let mut long = vec![(5, 10); 100];
        long.extend([(1, 10); 60]);
        assert_eq!(
            left(&long),
            Some((40, 400)),
            "what was long ago is forgotten"
        );
    }
}
