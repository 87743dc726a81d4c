//! A value that remembers where in the manifest it was written, so that a mistake found much later
//! (when the component is known) can still point at the text.
use std::fmt;
use std::ops::{Deref, Range};

/// A value and the bytes of the manifest that said it.
///
/// Two are equal when their values are: moving a line does not make a new setting.
#[derive(Clone)]
pub struct Spanned<T> {
    pub value: T,
    /// Byte range in the manifest's text; empty for a value that was not written (a default).
    pub span: Range<usize>,
}

impl<T> Spanned<T> {
    pub fn new(value: T, span: Range<usize>) -> Self {
        Self { value, span }
    }

    /// The same place with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Spanned<U> {
        Spanned::new(f(self.value), self.span)
    }
}

impl<T> Deref for Spanned<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.value
    }
}

impl<T: fmt::Debug> fmt::Debug for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: fmt::Display> fmt::Display for Spanned<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl<T: PartialEq> PartialEq for Spanned<T> {
    fn eq(&self, other: &Self) -> bool {
        self.value == other.value
    }
}

impl<T: Eq> Eq for Spanned<T> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_is_what_says_the_same_wherever_it_stands() {
        assert_eq!(Spanned::new("a", 0..1), Spanned::new("a", 7..8));
        assert_ne!(Spanned::new("a", 0..1), Spanned::new("b", 0..1));
    }
}
