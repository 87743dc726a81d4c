//! What a manifest sets, as dotted keys and values as one would write them: so that two manifests
//! can be compared key by key, whatever their formatting.
//!
//! `tables` takes each part to pieces; here is what the pieces are.
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::{self, Display};
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::duration::show;

mod tables;

/// Dotted keys, relative to the table that is described, and what each is set to. A key that is
/// absent is not set and has no default of its own: the host derives it.
pub type Settings = BTreeMap<String, Setting>;

/// What stands at a key, or its default. In JSON a string, a list of strings, or `{"hidden":true}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Setting {
    /// As it would be written, without quotes.
    Text(String),
    /// Several, whose order means something.
    List(Vec<String>),
    /// Several, whose order means nothing.
    Set(BTreeSet<String>),
    /// A text that is compared and never shown: it may be a secret, and what is shown ends up in logs.
    #[cfg_attr(feature = "openapi", schema(value_type = HiddenMark))]
    Hidden(Hidden),
}

/// A text that nobody sees. It does not survive JSON.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(String);

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
struct HiddenMark {
    hidden: bool,
}

impl Serialize for Hidden {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        HiddenMark { hidden: true }.serialize(to)
    }
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        HiddenMark::deserialize(from).map(|_| Self(String::new()))
    }
}

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(not shown)")
    }
}

impl Display for Setting {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let items: Vec<String> = match self {
            Self::Text(text) => return f.write_str(&shown(text)),
            Self::Hidden(hidden) => return write!(f, "{hidden:?}"),
            Self::List(items) => items.iter().map(|item| shown(item)).collect(),
            Self::Set(items) => items.iter().map(|item| shown(item)).collect(),
        };
        write!(f, "[{}]", items.join(", "))
    }
}

/// As it is, or quoted where one could not see where it begins and ends.
pub fn shown(text: &str) -> String {
    let unclear = |c: char| c.is_control() || matches!(c, ',' | '[' | ']');
    if text.is_empty() || text.trim() != text || text.starts_with('"') || text.contains(unclear) {
        format!("{text:?}")
    } else {
        text.to_owned()
    }
}

/// Gathers the keys below a prefix.
struct Writer {
    prefix: String,
    settings: Settings,
}

impl Writer {
    fn gather(write: impl FnOnce(&mut Self)) -> Settings {
        let mut writer = Self {
            prefix: String::new(),
            settings: Settings::new(),
        };
        write(&mut writer);
        writer.settings
    }

    fn set(&mut self, key: &str, setting: Setting) {
        self.settings
            .insert(format!("{}{key}", self.prefix), setting);
    }

    fn text(&mut self, key: &str, value: impl Display) {
        self.set(key, Setting::Text(value.to_string()));
    }

    /// Nothing where nothing is set.
    fn perhaps(&mut self, key: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.text(key, value);
        }
    }

    fn time(&mut self, key: &str, value: Duration) {
        self.text(key, show(value));
    }

    fn list<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        let texts = values.into_iter().map(|value| value.to_string());
        self.set(key, Setting::List(texts.collect()));
    }

    fn unordered<T: Display>(&mut self, key: &str, values: impl IntoIterator<Item = T>) {
        let texts = values.into_iter().map(|value| value.to_string());
        self.set(key, Setting::Set(texts.collect()));
    }

    /// What is written below `key`, which need not be a bare one.
    fn below(&mut self, key: &str, write: impl FnOnce(&mut Self)) {
        let outer = self.prefix.len();
        self.prefix.push_str(key);
        self.prefix.push('.');
        write(self);
        self.prefix.truncate(outer);
    }
}

/// A key as TOML writes it: quoted unless it is bare.
fn quoted(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

#[cfg(test)]
mod tests;
