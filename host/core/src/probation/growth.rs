//! Whether memory goes on growing: in each third of what was seen the peak is higher.
use std::collections::VecDeque;

/// Fewer windows than this show no trend.
const LEAST: usize = 9;
/// As many as are kept: what was long ago says nothing of now.
const MOST: usize = 60;
/// The part of itself by which a peak has to be higher than the one before: a service that has come
/// to its size moves less.
const HIGHER: u64 = 16;

/// Memory at the end of each of the last windows.
#[derive(Debug, Clone, Default)]
pub(super) struct Growth(VecDeque<u64>);

impl Growth {
    /// A window in which no instance lived says nothing.
    pub(super) fn note(&mut self, memory: u64) {
        if memory > 0 {
            if self.0.len() == MOST {
                self.0.pop_front();
            }
            self.0.push_back(memory);
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.0.back().copied().unwrap_or(0)
    }

    pub(super) fn goes_on(&self) -> bool {
        let third = self.0.len() / 3;
        if self.0.len() < LEAST {
            return false;
        }
        let peak = |from: usize, to: usize| self.0.range(from..to).copied().max().unwrap_or(0);
        let first = peak(0, third);
        let second = peak(third, 2 * third);
        let last = peak(2 * third, self.0.len());
        let higher = |later: u64, earlier: u64| later > earlier + earlier / HIGHER;
        higher(second, first) && higher(last, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn goes_on(memory: impl IntoIterator<Item = u64>) -> bool {
        let mut growth = Growth::default();
        memory.into_iter().for_each(|held| growth.note(held));
        growth.goes_on()
    }

    #[test]
    fn only_what_goes_on_growing_goes_on() {
        assert!(goes_on((1..60).map(|n| 1000 + 100 * n)));
        assert!(goes_on((1..200).map(|n| 1000 + 100 * n)));
        // Instances are retired now and then, and the next ones leak too.
        assert!(goes_on((0..60).map(|n| 1000 + 100 * n - (n % 4) * 50)));
        assert!(!goes_on((1..8).map(|n| 1000 * n)), "too little was seen");
        assert!(
            !goes_on((0..60).map(|n| 1000 + 100 * n.min(15))),
            "it has come to its size"
        );
        assert!(!goes_on((0..60).map(|n| 1000 + n)), "a little more");
        assert!(
            !goes_on((0..60).map(|n| 1000 + 500 * (n % 7))),
            "up and down"
        );
        assert!(!goes_on(std::iter::repeat_n(0, 60)));
        assert!(!goes_on((1..60).rev().map(|n| 1000 * n)));
    }
}
