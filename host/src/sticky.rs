//! What makes the requests of one client go the same way, where only a share of all does.

use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::str::FromStr;

use http::header::{COOKIE, HeaderName};
use http::{HeaderMap, HeaderValue};
use serde::{Deserialize, Serialize};

/// A field or a cookie by whose value requests are told apart: `header:x-user`, `cookie:session`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Sticky {
    /// The value of a header field.
    Header(HeaderName),
    /// The value of a cookie.
    Cookie(String),
}

/// What is neither.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write `header:NAME` or `cookie:NAME`")]
pub struct BadSticky;

impl Sticky {
    /// A number that is the same for all requests with the same value; none without a value.
    pub(crate) fn lot(&self, headers: &HeaderMap) -> Option<u32> {
        let value = match self {
            Sticky::Header(name) => headers.get(name)?.as_bytes(),
            Sticky::Cookie(name) => cookie(headers, name)?,
        };
        // Its keys are always the same, so that clients stay where they are over a start of the host.
        let mut hasher = DefaultHasher::new();
        value.hash(&mut hasher);
        Some((hasher.finish() >> 32) as u32)
    }
}

/// RFC 6265, section 4.2.1; HTTP/2 may spread the pairs over several fields.
fn cookie<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h [u8]> {
    let fields = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let mut pairs = fields.flat_map(|field| field.split(|byte| *byte == b';'));
    pairs.find_map(|pair| {
        let value = pair.trim_ascii_start().strip_prefix(name.as_bytes())?;
        value.strip_prefix(b"=")
    })
}

impl FromStr for Sticky {
    type Err = BadSticky;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (kind, name) = text.split_once(':').ok_or(BadSticky)?;
        // The names of both are tokens (RFC 9110, section 5.6.2); those of cookies have a case.
        let token = HeaderName::from_bytes(name.as_bytes()).map_err(|_| BadSticky)?;
        match kind {
            "header" => Ok(Sticky::Header(token)),
            "cookie" => Ok(Sticky::Cookie(name.to_owned())),
            _ => Err(BadSticky),
        }
    }
}

impl fmt::Display for Sticky {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Sticky::Header(name) => write!(f, "header:{name}"),
            Sticky::Cookie(name) => write!(f, "cookie:{name}"),
        }
    }
}

impl TryFrom<String> for Sticky {
    type Error = BadSticky;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<Sticky> for String {
    fn from(sticky: Sticky) -> String {
        sticky.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lot(sticky: &str, fields: &[(&'static str, &'static str)]) -> Option<u32> {
        let pairs = fields.iter().map(|(name, value)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        });
        let mut headers = HeaderMap::new();
        pairs.for_each(|(name, value)| {
            headers.append(name, value);
        });
        sticky.parse::<Sticky>().unwrap().lot(&headers)
    }

    #[test]
    fn the_same_value_draws_the_same_lot() {
        let ann = lot("header:X-User", &[("x-user", "ann")]);
        assert!(ann.is_some());
        assert_eq!(
            ann,
            lot("header:x-user", &[("accept", "*/*"), ("x-user", "ann")])
        );
        assert_ne!(ann, lot("header:x-user", &[("x-user", "bob")]));
        assert_eq!(lot("header:x-user", &[]), None);
    }

    #[test]
    fn a_cookie_is_found_wherever_it_stands() {
        let alone = lot("cookie:id", &[("cookie", "id=7")]);
        assert!(alone.is_some());
        assert_eq!(alone, lot("cookie:id", &[("cookie", "a=id=8; id=7; b=")]));
        assert_eq!(
            alone,
            lot("cookie:id", &[("cookie", "ids=9"), ("cookie", "id=7")])
        );
        assert_eq!(lot("cookie:id", &[("cookie", "ID=7; xid=7; id")]), None);
    }

    #[test]
    fn what_is_neither_field_nor_cookie_is_told() {
        for text in [
            "",
            "x-user",
            "header:",
            "header:a b",
            "cookie:",
            "cookie:a=b",
            "query:a",
        ] {
            assert_eq!(text.parse::<Sticky>(), Err(BadSticky), "{text}");
        }
        let text = "cookie:Id";
        assert_eq!(text.parse::<Sticky>().unwrap().to_string(), text);
    }
}
