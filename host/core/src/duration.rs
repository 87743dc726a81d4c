//! Durations are written with their unit, because a bare number in a manifest says too little.
use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::size::split_number;

/// Why a text is not a duration. Its message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadDuration {
    #[error("a duration is a whole number and a unit, like \"500ms\" or \"5s\"")]
    NoNumber,
    #[error(
        "a duration is a whole number: use a smaller unit instead of a fraction, like \"1500ms\""
    )]
    Fraction,
    #[error("a duration needs a unit: ms, s, m, h or d")]
    NoUnit,
    #[error("`{0}` is not a unit of time: use ms, s, m, h or d")]
    UnknownUnit(String),
    #[error("a duration is at most {} days", DURATION_MAX.as_secs() / 86_400)]
    TooLong,
    #[error("a range is two durations with two dots between them, like \"100ms..30s\"")]
    NotARange,
    #[error("the floor of this range is above its ceiling")]
    FloorAboveCeiling,
}

/// The longest duration that can be written: ten years keep every sum with a clock's reading far
/// from overflow.
pub const DURATION_MAX: Duration = Duration::from_secs(3650 * 86_400);

/// Milliseconds per unit.
const UNITS: [(&str, u64); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Reads "500ms", "5s", "1m", "1h" or "1d". Never panics; at most [`DURATION_MAX`].
pub fn parse(text: &str) -> Result<Duration, BadDuration> {
    let (number, unit) = split_number(text.trim());
    if number.is_empty() {
        return Err(BadDuration::NoNumber);
    }
    if unit.starts_with(['.', ',']) {
        return Err(BadDuration::Fraction);
    }
    let factor = match unit.trim_start() {
        "" => return Err(BadDuration::NoUnit),
        unit => UNITS
            .iter()
            .find(|(name, _)| *name == unit)
            .map(|(_, factor)| *factor)
            .ok_or_else(|| BadDuration::UnknownUnit(unit.to_owned()))?,
    };
    let number: u64 = number.parse().map_err(|_| BadDuration::TooLong)?;
    let millis = number.checked_mul(factor).ok_or(BadDuration::TooLong)?;
    let duration = Duration::from_millis(millis);
    if duration > DURATION_MAX {
        return Err(BadDuration::TooLong);
    }
    Ok(duration)
}

/// Shows a duration as it would be written in a manifest: exact to the millisecond.
pub fn show(duration: Duration) -> impl fmt::Display {
    let millis = duration.as_millis();
    let (unit, factor) = UNITS
        .iter()
        .find(|(_, factor)| millis != 0 && millis.is_multiple_of(u128::from(*factor)))
        .unwrap_or(&("ms", 1));
    format!("{}{unit}", millis / u128::from(*factor))
}

/// From a floor to a ceiling, both included. Written as `"100ms..30s"`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DurationRange {
    floor: Duration,
    ceiling: Duration,
}

impl DurationRange {
    /// `None` when the floor is above the ceiling.
    pub const fn new(floor: Duration, ceiling: Duration) -> Option<Self> {
        if floor.as_nanos() > ceiling.as_nanos() {
            return None;
        }
        Some(Self { floor, ceiling })
    }

    pub const fn floor(self) -> Duration {
        self.floor
    }

    pub const fn ceiling(self) -> Duration {
        self.ceiling
    }
}

impl FromStr for DurationRange {
    type Err = BadDuration;

    fn from_str(text: &str) -> Result<Self, BadDuration> {
        let (floor, ceiling) = text.split_once("..").ok_or(BadDuration::NotARange)?;
        Self::new(parse(floor)?, parse(ceiling)?).ok_or(BadDuration::FloorAboveCeiling)
    }
}

impl fmt::Display for DurationRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", show(self.floor), show(self.ceiling))
    }
}

impl TryFrom<String> for DurationRange {
    type Error = BadDuration;
    fn try_from(text: String) -> Result<Self, BadDuration> {
        text.parse()
    }
}

impl From<DurationRange> for String {
    fn from(range: DurationRange) -> String {
        range.to_string()
    }
}

/// For listings: durations travel as whole milliseconds, which every reader understands.
pub mod millis {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_millis)
    }
}

/// As people write them: `5s`.
pub mod text {
    use std::time::Duration;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(&super::show(*duration))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        let text = String::deserialize(from)?;
        super::parse(&text).map_err(D::Error::custom)
    }
}

/// Where a millisecond is long.
pub mod micros {
    use std::time::Duration;

    use serde::{Deserialize, Deserializer, Serializer};

    pub fn serialize<S: Serializer>(duration: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_u64(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        u64::deserialize(from).map(Duration::from_micros)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn durations_are_read_as_written() {
        let good = [
            ("0s", 0),
            ("500ms", 500),
            ("5s", 5_000),
            ("1 m", 60_000),
            ("1h", 3_600_000),
            ("2d", 172_800_000),
            ("3650d", 3650 * 86_400_000),
        ];
        for (text, millis) in good {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        let bad = [
            ("", BadDuration::NoNumber),
            ("-5s", BadDuration::NoNumber),
            ("5", BadDuration::NoUnit),
            ("1.5s", BadDuration::Fraction),
            ("5 sec", BadDuration::UnknownUnit("sec".into())),
            ("3651d", BadDuration::TooLong),
            ("99999999999999999d", BadDuration::TooLong),
            ("99999999999999999999s", BadDuration::TooLong),
        ];
        for (text, why) in bad {
            assert_eq!(parse(text), Err(why), "{text}");
        }
    }

    #[test]
    fn ranges_are_read_as_written() {
        let range: DurationRange = "100ms..30s".parse().unwrap();
        assert_eq!(range.floor(), Duration::from_millis(100));
        assert_eq!(range.ceiling(), Duration::from_secs(30));
        assert_eq!(range.to_string(), "100ms..30s");
        let json = serde_json::to_value(range).unwrap();
        assert_eq!(json, "100ms..30s");
        assert_eq!(
            serde_json::from_value::<DurationRange>(json).unwrap(),
            range
        );
        for (text, why) in [
            ("100ms", BadDuration::NotARange),
            ("1s..100ms", BadDuration::FloorAboveCeiling),
            ("..1s", BadDuration::NoNumber),
            ("1s...2s", BadDuration::NoNumber),
        ] {
            assert_eq!(text.parse::<DurationRange>(), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn durations_round_trip(millis in 0..=315_360_000_000_u64) {
            let duration = Duration::from_millis(millis);
            prop_assert_eq!(parse(&show(duration).to_string()), Ok(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC*|[0-9]{0,25}[ .a-z]{0,4}") {
            let _ = parse(&text);
            let _ = text.parse::<DurationRange>();
        }
    }
}
