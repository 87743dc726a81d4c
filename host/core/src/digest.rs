//! What names a component everywhere: the SHA-256 of its bytes.
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// Characters of [`Digest::short`]: enough to tell the components of one host apart.
const SHORT: usize = 12;

/// A component's SHA-256. Displayed and serialised as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest([u8; 32]);

/// Not a digest. Its message says what one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 64 lower-case hexadecimal digits")]
pub struct BadDigest;

impl Digest {
    /// Of these bytes; some 1 ms per MiB.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of bytes that have been hashed elsewhere, piece by piece.
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The 32 bytes themselves.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The first 12 hexadecimal digits, for listings and logs.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(SHORT);
        text
    }
}

impl FromStr for Digest {
    type Err = BadDigest;

    /// Exactly as it is displayed, so that one digest has one spelling, also as a file's name.
    fn from_str(text: &str) -> Result<Self, BadDigest> {
        let digits = text.as_bytes();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(BadDigest);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            *byte = (value(pair[0])? << 4) | value(pair[1])?;
        }
        Ok(Self(bytes))
    }
}

fn value(digit: u8) -> Result<u8, BadDigest> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(BadDigest),
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.short())
    }
}

impl TryFrom<String> for Digest {
    type Error = BadDigest;
    fn try_from(text: String) -> Result<Self, BadDigest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        digest.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_digest_is_the_sha_256_of_the_bytes() {
        // The examples of FIPS 180-2.
        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(Digest::of(b"abc").to_string(), text);
        assert_eq!(Digest::of(b"abc").short(), "ba7816bf8f01");
        assert_eq!(text.parse(), Ok(Digest::of(b"abc")));
    }

    #[test]
    fn a_digest_has_one_spelling() {
        let good = Digest::of(b"abc").to_string();
        let long = format!("{good}0");
        for bad in [
            "",
            "ba78",
            &good.to_uppercase(),
            &long,
            &good.replace('b', "g"),
            &good.replacen("ba", "é", 1),
        ] {
            assert_eq!(bad.parse::<Digest>(), Err(BadDigest), "{bad}");
        }
        let json = serde_json::to_value(Digest::of(b"abc")).unwrap();
        assert_eq!(json, serde_json::json!(good));
        assert_eq!(
            serde_json::from_value::<Digest>(json).unwrap(),
            Digest::of(b"abc")
        );
        assert!(serde_json::from_str::<Digest>("\"abc\"").is_err());
    }

    proptest! {
        #[test]
        fn digests_round_trip(bytes: [u8; 32]) {
            let digest = Digest::from_bytes(bytes);
            prop_assert_eq!(digest.to_string().parse(), Ok(digest));
            prop_assert_eq!(digest.as_bytes(), &bytes);
        }
    }
}
