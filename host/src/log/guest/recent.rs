//! The last lines that the guests of a service wrote, for the report of a crash.

use std::collections::VecDeque;
use std::time::SystemTime;

use super::Stream;

/// Lines remembered of a service, of all its instances together.
pub(super) const LINES: usize = 256;

/// Bytes remembered of a line: what went wrong is said in its beginning.
pub(super) const LINE_BYTES: usize = 512;

/// A line as it was written, cut at [`LINE_BYTES`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecentLine {
    /// When it was written.
    pub time: SystemTime,
    /// Where to.
    pub stream: Stream,
    /// What is not UTF-8 has been replaced.
    pub text: String,
}

/// The newest lines, oldest first. Nothing is allocated for a service that never writes.
#[derive(Debug, Default)]
pub(super) struct Recent(VecDeque<(u64, RecentLine)>);

impl Recent {
    pub(super) fn note(&mut self, instance: u64, stream: Stream, shown: &[u8]) {
        if self.0.len() >= LINES {
            self.0.pop_front();
        }
        let shown = shown.get(..LINE_BYTES).unwrap_or(shown);
        let line = RecentLine {
            time: SystemTime::now(),
            stream,
            text: String::from_utf8_lossy(shown).into_owned(),
        };
        self.0.push_back((instance, line));
    }

    /// The newest lines of an instance, at most `most`, oldest first.
    pub(super) fn of(&self, instance: u64, most: usize) -> Vec<RecentLine> {
        let own = self.0.iter().rev().filter(|(of, _)| *of == instance);
        let mut lines: Vec<RecentLine> = own.take(most).map(|(_, line)| line.clone()).collect();
        lines.reverse();
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(recent: &Recent, instance: u64, most: usize) -> Vec<String> {
        let lines = recent.of(instance, most).into_iter();
        lines.map(|line| line.text).collect()
    }

    #[test]
    fn an_instance_has_its_own_lines_the_newest_of_them() {
        let mut recent = Recent::default();
        for number in 0..6_u8 {
            recent.note(u64::from(number % 2), Stream::Stdout, &[b'a' + number]);
        }
        assert_eq!(texts(&recent, 1, 2), ["d", "f"]);
        assert_eq!(texts(&recent, 0, 9), ["a", "c", "e"]);
        assert!(texts(&recent, 7, 9).is_empty());
    }

    #[test]
    fn lines_and_their_number_are_bounded() {
        let mut recent = Recent::default();
        recent.note(1, Stream::Stderr, &[b'x'; 10_000]);
        assert_eq!(texts(&recent, 1, 1)[0].len(), LINE_BYTES);
        for _ in 0..LINES {
            recent.note(2, Stream::Stderr, b"\xff");
        }
        assert!(texts(&recent, 1, 1).is_empty());
        assert_eq!(texts(&recent, 2, LINES * 2).len(), LINES);
        assert_eq!(texts(&recent, 2, 1), ["\u{fffd}"]);
    }
}
