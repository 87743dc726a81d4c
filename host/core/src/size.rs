//! Sizes are written with their unit, because a bare number in a manifest says too little.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A number of bytes. Written as `"64MiB"`, `"10kB"`, `"512B"` or a plain whole number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ByteSize(u64);

/// Units as they are written, the preferred spelling first; binary before decimal.
const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// Why a text is not a size. Its message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSize {
    #[error("a size is a whole number and a unit, like \"64MiB\"")]
    NoNumber,
    #[error("a size is a whole number: use a smaller unit instead of a fraction")]
    Fraction,
    #[error("`{0}` is not a unit of size: use B, KiB, MiB, GiB or TiB (or kB, MB, GB, TB)")]
    UnknownUnit(String),
    #[error("this size does not fit into 64 bits")]
    TooLarge,
}

impl ByteSize {
    pub const fn bytes(bytes: u64) -> Self {
        Self(bytes)
    }

    /// Panics when the size does not fit into 64 bits; meant for constants.
    pub const fn kib(kib: u64) -> Self {
        Self(kib * (1 << 10))
    }

    /// Panics when the size does not fit into 64 bits; meant for constants.
    pub const fn mib(mib: u64) -> Self {
        Self(mib * (1 << 20))
    }

    /// Panics when the size does not fit into 64 bits; meant for constants.
    pub const fn gib(gib: u64) -> Self {
        Self(gib * (1 << 30))
    }

    /// The number of bytes.
    pub const fn as_u64(self) -> u64 {
        self.0
    }

    /// The number of bytes, or the largest `usize` where it does not fit.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }

    /// The product, or the largest size where it does not fit.
    pub const fn saturating_mul(self, by: u64) -> Self {
        Self(self.0.saturating_mul(by))
    }
}

impl FromStr for ByteSize {
    type Err = BadSize;

    fn from_str(text: &str) -> Result<Self, BadSize> {
        let (number, unit) = split_number(text.trim());
        if number.is_empty() {
            return Err(BadSize::NoNumber);
        }
        if unit.starts_with(['.', ',']) {
            return Err(BadSize::Fraction);
        }
        let factor = match unit.trim_start() {
            "" => 1,
            unit => UNITS
                .iter()
                .find(|(name, _)| name.eq_ignore_ascii_case(unit))
                .map(|(_, factor)| *factor)
                .ok_or_else(|| BadSize::UnknownUnit(unit.to_owned()))?,
        };
        let number: u64 = number.parse().map_err(|_| BadSize::TooLarge)?;
        number
            .checked_mul(factor)
            .map(Self)
            .ok_or(BadSize::TooLarge)
    }
}

/// Leading digits, and the rest.
pub(crate) fn split_number(text: &str) -> (&str, &str) {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    text.split_at(end)
}

impl fmt::Display for ByteSize {
    /// The largest binary unit that divides the size, so that nothing is rounded away.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (unit, factor) = UNITS[..4]
            .iter()
            .find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor))
            .unwrap_or(&("B", 1));
        f.pad(&format!("{}{unit}", self.0 / factor))
    }
}

impl TryFrom<String> for ByteSize {
    type Error = BadSize;
    fn try_from(text: String) -> Result<Self, BadSize> {
        text.parse()
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        size.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn sizes_are_read_as_written() {
        let good = [
            ("0", 0),
            ("0B", 0),
            ("512", 512),
            ("512B", 512),
            ("1KiB", 1024),
            ("1 kib", 1024),
            ("10MB", 10_000_000),
            ("10kB", 10_000),
            ("64MiB", 64 << 20),
            ("4GiB", 4 << 30),
            ("16777215TiB", 16_777_215 << 40),
        ];
        for (text, bytes) in good {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        let bad = [
            ("", BadSize::NoNumber),
            ("MiB", BadSize::NoNumber),
            ("-1B", BadSize::NoNumber),
            ("1.5MiB", BadSize::Fraction),
            ("64M", BadSize::UnknownUnit("M".into())),
            ("64 MiB x", BadSize::UnknownUnit("MiB x".into())),
            ("16777216TiB", BadSize::TooLarge),
            ("99999999999999999999", BadSize::TooLarge),
        ];
        for (text, why) in bad {
            assert_eq!(text.parse::<ByteSize>(), Err(why), "{text}");
        }
    }

    #[test]
    fn sizes_are_handed_on_as_they_are() {
        let size = ByteSize::kib(3);
        assert_eq!((size.as_u64(), size.as_usize()), (3072, 3072));
        let json = serde_json::to_value(size).unwrap();
        assert_eq!(json, "3KiB");
        assert_eq!(serde_json::from_value::<ByteSize>(json).unwrap(), size);
    }

    proptest! {
        #[test]
        fn sizes_round_trip(bytes: u64) {
            prop_assert_eq!(ByteSize(bytes).to_string().parse(), Ok(ByteSize(bytes)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[0-9]{0,25}[ .a-zA-Z]{0,4}") {
            let _ = text.parse::<ByteSize>();
        }
    }
}
