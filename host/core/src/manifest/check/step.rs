//! The small steps of every check: what is missing, out of range or there twice.
use std::ops::{Range, RangeInclusive};
use std::time::Duration;

use super::super::leaf::Time;
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::{Checker, MISTAKES_MAX};
use crate::duration::show;
use crate::size::ByteSize;
use crate::spanned::Spanned;

impl Checker {
    pub(super) fn note(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// True if something in this place is a mistake already.
    pub(super) fn noted_within(&self, span: &Range<usize>) -> bool {
        let within = |inner: &Range<usize>| span.start <= inner.start && inner.end <= span.end;
        // Those of this place came while it was read; beyond the limit nobody looks anyway.
        let shown = self.mistakes.iter().take(MISTAKES_MAX);
        self.mistakes.len() > MISTAKES_MAX || shown.map(|mistake| &mistake.span).any(within)
    }

    /// What stands at a key that cannot be left out.
    pub(super) fn required<'f, T>(
        &mut self,
        field: &'f Field<T>,
        key: &str,
        span: Range<usize>,
        whose: &str,
        example: &str,
    ) -> Option<&'f Spanned<T>> {
        if field.is_none() {
            self.note(
                Mistake::new("missing-key", span, format!("{whose} has no `{key}`"))
                    .label(format!("`{key}` is missing"))
                    .help(format!("write {example}")),
            );
        }
        good(field)
    }

    pub(super) fn count_between(
        &mut self,
        field: &Field<u32>,
        key: &str,
        range: RangeInclusive<u32>,
    ) -> Option<Spanned<u32>> {
        self.between(field, key, range, u32::to_string)
    }

    pub(super) fn size_between(
        &mut self,
        field: &Field<ByteSize>,
        key: &str,
        range: RangeInclusive<ByteSize>,
    ) -> Option<Spanned<ByteSize>> {
        self.between(field, key, range, ByteSize::to_string)
    }

    pub(super) fn time_between(
        &mut self,
        field: &Field<Time>,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.spanned_time(field, key, range).map(|time| time.value)
    }

    pub(super) fn spanned_time(
        &mut self,
        field: &Field<Time>,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Spanned<Duration>> {
        let plain = match field {
            Some(Entry::Good(time)) => Some(Entry::Good(time.clone().map(|time| time.0))),
            Some(Entry::Bad) | None => None,
        };
        self.between(&plain, key, range, |time| show(*time).to_string())
    }

    /// The value if it is in range; outside, a mistake and nothing.
    pub(super) fn between<T: PartialOrd + Clone>(
        &mut self,
        field: &Field<T>,
        key: &str,
        range: RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<Spanned<T>> {
        let value = good(field)?;
        if range.contains(&value.value) {
            return Some(value.clone());
        }
        let (bound, word) = if value.value < *range.start() {
            (range.start(), "least")
        } else {
            (range.end(), "most")
        };
        let message = format!(
            "`{key}` must be at {word} {}, not {}",
            show(bound),
            show(&value.value)
        );
        self.note(
            Mistake::new("out-of-range", value.span.clone(), message)
                .label("out of range")
                .help(format!(
                    "from {} to {}",
                    show(range.start()),
                    show(range.end())
                )),
        );
        None
    }

    /// The second of two that are the same.
    pub(super) fn duplicate(
        &mut self,
        code: &'static str,
        span: Range<usize>,
        what: &str,
        first: usize,
    ) {
        let line = self.lines.of(first);
        let message = format!("{what} is listed twice, first in line {line}");
        self.note(
            Mistake::new(code, span, message)
                .label("again")
                .help("remove one of them"),
        );
    }
}
