//! Whole per cents, written with their sign, because a bare number in a manifest says too little.
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// So many hundredths. Written as `"50%"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Percent(u32);

/// Why a text is no percentage. Its message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a percentage is a whole number and its sign, like \"5%\"; at most {PERCENT_MAX}%")]
pub struct BadPercent;

/// A hundredfold.
pub const PERCENT_MAX: u32 = 10_000;

impl Percent {
    /// At most [`PERCENT_MAX`].
    pub const fn new(percent: u32) -> Self {
        if percent > PERCENT_MAX {
            return Self(PERCENT_MAX);
        }
        Self(percent)
    }

    /// The number before the sign.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// So much of a duration, or the longest there is where that does not fit.
    pub fn of(self, duration: Duration) -> Duration {
        duration.saturating_mul(self.0) / 100
    }

    /// So much of a number, rounded down; the largest there is where that does not fit.
    pub fn of_count(self, count: u64) -> u64 {
        let of = u128::from(count) * u128::from(self.0) / 100;
        u64::try_from(of).unwrap_or(u64::MAX)
    }
}

impl FromStr for Percent {
    type Err = BadPercent;

    fn from_str(text: &str) -> Result<Self, BadPercent> {
        let number = text.trim().strip_suffix('%').ok_or(BadPercent)?.trim_end();
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(BadPercent);
        }
        let percent = number.parse().map_err(|_| BadPercent)?;
        if percent > PERCENT_MAX {
            return Err(BadPercent);
        }
        Ok(Self(percent))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

impl TryFrom<String> for Percent {
    type Error = BadPercent;
    fn try_from(text: String) -> Result<Self, BadPercent> {
        text.parse()
    }
}

impl From<Percent> for String {
    fn from(percent: Percent) -> Self {
        percent.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn percentages_are_read_as_written() {
        for (text, percent) in [("0%", 0), ("5%", 5), (" 200 %", 200), ("10000%", 10_000)] {
            assert_eq!(text.parse(), Ok(Percent(percent)), "{text}");
        }
        for text in [
            "",
            "%",
            "5",
            "5.5%",
            "-5%",
            "+5%",
            "10001%",
            "99999999999%",
            "5%%",
        ] {
            assert_eq!(text.parse::<Percent>(), Err(BadPercent), "{text}");
        }
    }

    #[test]
    fn a_part_is_taken() {
        let half = Percent::new(50);
        assert_eq!(half.of(Duration::from_secs(3)), Duration::from_millis(1500));
        assert_eq!(half.of_count(5), 2);
        assert_eq!(Percent::new(200).of_count(u64::MAX), u64::MAX);
        assert_eq!(Percent::new(u32::MAX).get(), PERCENT_MAX);
        assert!(Percent::new(200).of(Duration::MAX) > Duration::from_secs(1 << 40));
    }

    proptest! {
        #[test]
        fn percentages_round_trip(percent in 0..=PERCENT_MAX) {
            prop_assert_eq!(Percent(percent).to_string().parse(), Ok(Percent(percent)));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[0-9]{0,25} ?%") {
            let _ = text.parse::<Percent>();
        }
    }
}
