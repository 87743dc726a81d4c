//! How a new revision comes to serve: at once, or for a share of the requests first.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A share of all requests, in hundredths of a per cent; at most all of them. `5%`, `0.5%`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Share(u16);

/// What is no share.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no share: write a percentage above 0% and up to 100%, such as `5%` or `0.5%`")]
pub struct BadShare(String);

impl Share {
    /// All requests.
    pub const ALL: Share = Share(10_000);

    /// Whether a request whose lot is this number is one of the share. The lots of all requests are
    /// spread evenly over all numbers. Whoever is in a share is in every larger one.
    pub fn takes(self, lot: u32) -> bool {
        // The share of the numbers below, which fits: 2^32 times 10,000.
        u64::from(lot) * 10_000 < (u64::from(self.0) << 32)
    }
}

impl FromStr for Share {
    type Err = BadShare;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let bad = || BadShare(text.chars().take(40).collect());
        let number = text.strip_suffix('%').ok_or_else(bad)?;
        let (whole, part) = number.split_once('.').unwrap_or((number, ""));
        let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
        let written = !whole.is_empty() && whole.len() <= 3 && part.len() <= 2;
        if !written || !digits(whole) || !digits(part) || number.ends_with('.') {
            return Err(bad());
        }
        let whole: u16 = whole.parse().map_err(|_| bad())?;
        let part: u16 = format!("{part:0<2}").parse().map_err(|_| bad())?;
        let share = whole * 100 + part;
        match share {
            1..=10_000 => Ok(Share(share)),
            _ => Err(bad()),
        }
    }
}

impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whole, part) = (self.0 / 100, self.0 % 100);
        match part {
            0 => write!(f, "{whole}%"),
            part if part % 10 == 0 => write!(f, "{whole}.{}%", part / 10),
            part => write!(f, "{whole}.{part:02}%"),
        }
    }
}

impl TryFrom<String> for Share {
    type Error = BadShare;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Share> for String {
    fn from(share: Share) -> String {
        share.to_string()
    }
}

/// What a candidate gets while it is on trial. `5% of the requests`, `copies of 100% of the calls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[serde(rename_all = "lowercase")]
pub enum Exposure {
    /// It answers that share of all requests: `{"share": "5%"}`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    Share(Share),
    /// It gets copies of that part of its service's calls, and its answers are dropped:
    /// `{"shadow": "100%"}`.
    #[cfg_attr(feature = "openapi", schema(value_type = String))]
    Shadow(Share),
}

impl fmt::Display for Exposure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exposure::Share(share) => write!(f, "{share} of the requests"),
            Exposure::Shadow(share) => write!(f, "copies of {share} of the calls"),
        }
    }
}

/// At most so many steps. More are somebody's mistake.
const STEPS_MAX: usize = 32;

/// The shares that a rollout goes through, each larger than the one before: `5%`, `5%,25%,100%`. There
/// is one at least.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Steps(Vec<Share>);

/// What are no steps.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadSteps {
    /// One of them is no share.
    #[error(transparent)]
    Share(#[from] BadShare),
    /// One is not larger than the one before.
    #[error("{after} does not come after {before}: each step has to be larger than the one before")]
    NotGrowing {
        /// The step before.
        before: Share,
        /// The one that is not larger.
        after: Share,
    },
    /// Not one.
    #[error("there is no step")]
    None,
    /// Too many.
    #[error("more than {STEPS_MAX} steps")]
    TooMany,
}

impl Steps {
    /// These shares one after another.
    ///
    /// # Errors
    /// If there is none, they do not grow, or there are too many.
    pub fn new(shares: Vec<Share>) -> Result<Steps, BadSteps> {
        if shares.is_empty() {
            return Err(BadSteps::None);
        }
        if shares.len() > STEPS_MAX {
            return Err(BadSteps::TooMany);
        }
        match shares.windows(2).find(|pair| pair[0] >= pair[1]) {
            Some(pair) => Err(BadSteps::NotGrowing {
                before: pair[0],
                after: pair[1],
            }),
            None => Ok(Steps(shares)),
        }
    }

    /// All of them.
    pub fn shares(&self) -> &[Share] {
        &self.0
    }

    /// The first share.
    pub fn first(&self) -> Share {
        // There is one at least.
        self.0.first().copied().unwrap_or(Share::ALL)
    }

    /// Those that come after the first.
    pub fn later(&self) -> &[Share] {
        self.0.get(1..).unwrap_or_default()
    }
}

/// Shares with commas between them, whatever their order.
///
/// # Errors
/// If one of them is no share.
pub fn shares(text: &str) -> Result<Vec<Share>, BadShare> {
    text.split(',').map(|text| text.trim().parse()).collect()
}

impl FromStr for Steps {
    type Err = BadSteps;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Steps::new(shares(text)?)
    }
}

impl fmt::Display for Steps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, step) in self.0.iter().enumerate() {
            let comma = if n == 0 { "" } else { "," };
            write!(f, "{comma}{step}")?;
        }
        Ok(())
    }
}

impl TryFrom<String> for Steps {
    type Error = BadSteps;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Steps> for String {
    fn from(steps: Steps) -> String {
        steps.to_string()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn shares_are_percentages() {
        for (text, share) in [
            ("5%", 500),
            ("0.5%", 50),
            ("0.01%", 1),
            ("100%", 10_000),
            ("33.33%", 3333),
        ] {
            assert_eq!(text.parse(), Ok(Share(share)), "{text}");
            assert_eq!(Share(share).to_string(), text);
        }
        for text in [
            "", "5", "%", "0%", "0.00%", "100.01%", "101%", "5.%", ".5%", "0.001%", "-5%", "5 %",
            "1000%",
        ] {
            assert!(text.parse::<Share>().is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn a_share_takes_its_part_and_a_larger_one_takes_that_too(share in 1_u16..=10_000, lot: u32) {
            let more = Share(share.saturating_add(1).min(10_000));
            prop_assert!(!Share(share).takes(lot) || more.takes(lot));
            prop_assert!(Share::ALL.takes(lot));
            prop_assert!(Share(share).takes(0));
            prop_assert_eq!(Share(share).to_string().parse(), Ok(Share(share)));
        }
    }

    #[test]
    fn steps_grow() {
        let steps: Steps = "5%, 25%,100%".parse().unwrap();
        assert_eq!(steps.first(), Share(500));
        assert_eq!(steps.later(), [Share(2500), Share::ALL]);
        assert_eq!(steps.to_string(), "5%,25%,100%");
        assert_eq!("5%".parse::<Steps>().unwrap().later(), []);
        for text in ["", ",", "5%,", "5%,5%", "25%,5%", "5%;25%"] {
            assert!(text.parse::<Steps>().is_err(), "{text}");
        }
        let many: Vec<String> = (1..=33).map(|n| format!("{n}%")).collect();
        assert_eq!(many.join(",").parse::<Steps>(), Err(BadSteps::TooMany));
        assert!(many[1..].join(",").parse::<Steps>().is_ok());
    }

    #[test]
    fn a_share_takes_so_many() {
        let lots = (0..100_000_u32).map(|n| n.wrapping_mul(0x9E37_79B9));
        let taken = lots.filter(|lot| Share(500).takes(*lot)).count();
        assert!((4_900..5_100).contains(&taken), "{taken}");
    }
}
