//! Bytes of an answer, and where two of them differ.
use std::fmt;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use super::difference::excerpt;

/// The first bytes of an answer, which are kept. Of what comes after them only a digest is.
const KEPT_BYTES: usize = 64 << 10;

/// What is shown before a difference in a text.
const BEFORE: usize = 12;

/// Bytes of an answer as they come.
#[derive(Clone, Default)]
pub struct Content {
    length: u64,
    first: Vec<u8>,
    /// Of what comes after the first bytes.
    rest: Option<Sha256>,
}

/// Where two contents differ, and how.
pub(super) struct Apart {
    /// In JSON: the path to what differs, `/items/*/price`.
    pub(super) at: Option<String>,
    pub(super) one: String,
    pub(super) other: String,
}

impl Content {
    /// The whole of it.
    pub fn of(bytes: &[u8]) -> Content {
        let mut content = Content::default();
        content.add(bytes);
        content
    }

    /// The next piece.
    pub fn add(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(KEPT_BYTES - self.first.len());
        let (first, rest) = bytes.split_at(kept);
        self.first.extend_from_slice(first);
        if !rest.is_empty() {
            self.rest.get_or_insert_default().update(rest);
        }
        self.length += bytes.len() as u64;
    }

    /// How many bytes.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    fn is_kept(&self) -> bool {
        self.rest.is_none()
    }

    /// None if they are the same.
    pub(super) fn apart(&self, other: &Content) -> Option<Apart> {
        if self == other {
            return None;
        }
        let whole = self.is_kept() && other.is_kept();
        Some(match whole.then(|| in_json(&self.first, &other.first)) {
            Some(Some(apart)) => apart,
            _ => in_bytes(self, other),
        })
    }
}

impl PartialEq for Content {
    fn eq(&self, other: &Content) -> bool {
        let rest = |content: &Content| content.rest.clone().map(Sha256::finalize);
        self.length == other.length && self.first == other.first && rest(self) == rest(other)
    }
}

impl Eq for Content {}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Content({} bytes)", self.length)
    }
}

/// None if one of them is no JSON, or they differ only in how they are written.
fn in_json(one: &[u8], other: &[u8]) -> Option<Apart> {
    let one: Value = serde_json::from_slice(one).ok()?;
    let other: Value = serde_json::from_slice(other).ok()?;
    let mut at = String::new();
    let (one, other) = parted(&one, &other, &mut at)?;
    let text = |value: Option<&Value>| match value {
        Some(value) => excerpt(&value.to_string()),
        None => "nothing".to_owned(),
    };
    Some(Apart {
        at: Some(if at.is_empty() { "/".to_owned() } else { at }),
        one: text(one),
        other: text(other),
    })
}

type Parted<'a> = (Option<&'a Value>, Option<&'a Value>);

/// The first values that differ, and the path to them, in which every index is a `*`: what differs in
/// many elements of a list is one difference.
fn parted<'a>(one: &'a Value, other: &'a Value, at: &mut String) -> Option<Parted<'a>> {
    match (one, other) {
        (Value::Object(ones), Value::Object(others)) => {
            let names = ones.keys().chain(others.keys());
            let mut names = names.filter(|name| ones.get(*name) != others.get(*name));
            let name = names.next()?;
            at.push('/');
            at.push_str(&excerpt(name));
            match (ones.get(name), others.get(name)) {
                (Some(one), Some(other)) => parted(one, other, at),
                parted => Some(parted),
            }
        }
        (Value::Array(ones), Value::Array(others)) if ones.len() == others.len() => {
            let mut pairs = ones.iter().zip(others);
            let (one, other) = pairs.find(|(one, other)| one != other)?;
            at.push_str("/*");
            parted(one, other, at)
        }
        (one, other) => (one != other).then_some((Some(one), Some(other))),
    }
}

fn in_bytes(one: &Content, other: &Content) -> Apart {
    let mut pairs = one.first.iter().zip(&other.first);
    let first = pairs.position(|(one, other)| one != other);
    let shorter = one.first.len().min(other.first.len());
    let at = first.unwrap_or(shorter);
    let text = |content: &Content| match content.first.get(at.saturating_sub(BEFORE)..) {
        Some(from) if content.first.len() > at => {
            let from = from.get(..256).unwrap_or(from);
            let text = String::from_utf8_lossy(from);
            let before = if at > BEFORE { "…" } else { "" };
            format!("{before}{}", excerpt(&text))
        }
        _ => format!("{} bytes", content.length),
    };
    Apart {
        at: None,
        one: text(one),
        other: text(other),
    }
}
