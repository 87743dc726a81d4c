//! Calls that were slow, window by window: so that a moment in which the machine stood still, and
//! made many calls slow at once, does not pass for a service that is slow.
use std::collections::VecDeque;

use super::Share;

/// As many windows as are looked at: what is slow goes on being slow.
const MOST: usize = 60;
/// The part of them that may be bad moments, and is left out.
const WORST: usize = 5;
/// At least so many are left out.
const WORST_MIN: usize = 2;
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
        assert_eq!(left(&[(9, 10); 4]), None, "too few");
        assert_eq!(
            left(&[(9, 10), (0, 0), (9, 10), (9, 10), (9, 10)]),
            None,
            "one without calls"
        );
        assert_eq!(left(&[(9, 10); 5]), Some((27, 30)));
        assert_eq!(
            left(&[(1, 10), (9, 10), (1, 10), (8, 10), (1, 10)]),
            Some((3, 30))
        );
        assert_eq!(left(&[(1, 1); 20]), Some((16, 16)));
        let mut long = vec![(5, 10); 100];
        long.extend([(1, 10); 60]);
        assert_eq!(
            left(&long),
            Some((48, 480)),
            "what was long ago is forgotten"
        );
    }
}
