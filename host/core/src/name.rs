//! Names are parsed once, at the edge, so that the rest of the host never handles a bare string.
use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name, in bytes: a name must fit into one DNS label and a file name.
pub const NAME_BYTES_MAX: usize = 63;

/// Why a text is not a name. Its message says what a name looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadName {
    #[error("a name cannot be empty")]
    Empty,
    #[error("a name has at most {NAME_BYTES_MAX} characters, this one has {0}")]
    TooLong(usize),
    #[error("a name starts with a lower-case letter, not with `{0}`")]
    BadStart(char),
    #[error("a name consists of lower-case letters, digits and `-`, so `{0}` is not allowed")]
    BadCharacter(char),
}

fn check(text: &str) -> Result<(), BadName> {
    let first = text.chars().next().ok_or(BadName::Empty)?;
    if !first.is_ascii_lowercase() {
        return Err(BadName::BadStart(first));
    }
    let allowed = |c: &char| c.is_ascii_lowercase() || c.is_ascii_digit() || *c == '-';
    if let Some(bad) = text.chars().find(|c| !allowed(c)) {
        return Err(BadName::BadCharacter(bad));
    }
    if text.len() > NAME_BYTES_MAX {
        return Err(BadName::TooLong(text.len()));
    }
    Ok(())
}

/// The nearest name to what somebody wrote, for "write `…`" hints. `None` if nothing is left.
pub(crate) fn nearest(text: &str) -> Option<String> {
    let mut name = String::new();
    for c in text.chars() {
        let c = c.to_ascii_lowercase();
        if c.is_ascii_lowercase() || (c.is_ascii_digit() && !name.is_empty()) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('-') {
            name.push('-');
        }
        if name.len() == NAME_BYTES_MAX {
            break;
        }
    }
    let name = name.trim_end_matches('-');
    (!name.is_empty()).then(|| name.to_owned())
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        #[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
        #[cfg_attr(feature = "openapi", schema(
            value_type = String,
            pattern = "^[a-z][a-z0-9-]{0,62}$",
        ))]
        pub struct $name(Arc<str>);

        impl $name {
            /// Checks `text` against `[a-z][a-z0-9-]{0,62}`.
            pub fn parse(text: &str) -> Result<Self, BadName> {
                check(text)?;
                Ok(Self(text.into()))
            }

            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }

            /// The shared text, for holders that keep it without this type.
            pub fn shared(&self) -> Arc<str> {
                self.0.clone()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&*self.0, f)
            }
        }

        impl FromStr for $name {
            type Err = BadName;
            fn from_str(text: &str) -> Result<Self, BadName> {
                Self::parse(text)
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadName;
            fn try_from(text: String) -> Result<Self, BadName> {
                Self::parse(&text)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.as_ref().to_owned()
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}

name!(
    /// The name of an application: what one manifest describes. Cloning is cheap.
    AppName
);
name!(
    /// The name of a service, unique in its application. Cloning is cheap.
    ServiceName
);
name!(
    /// The name of a group of services, unique in its application. Cloning is cheap.
    GroupName
);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_lower_case_letters_digits_and_dashes() {
        for good in ["a", "cart", "cart-2", "a-", &"a".repeat(63)] {
            assert_eq!(ServiceName::parse(good).unwrap().as_str(), good);
        }
        let rows = [
            ("", BadName::Empty),
            ("2cart", BadName::BadStart('2')),
            ("-cart", BadName::BadStart('-')),
            ("Cart", BadName::BadStart('C')),
            ("caRt", BadName::BadCharacter('R')),
            ("ca rt", BadName::BadCharacter(' ')),
            ("car\u{e9}", BadName::BadCharacter('\u{e9}')),
            ("cart.a", BadName::BadCharacter('.')),
        ];
        for (bad, why) in rows {
            assert_eq!(ServiceName::parse(bad), Err(why), "{bad:?}");
        }
        assert_eq!(
            AppName::parse(&"a".repeat(64)),
            Err(BadName::TooLong(64)),
            "one over the limit"
        );
    }

    #[test]
    fn the_nearest_name_is_a_name() {
        for (text, name) in [
            ("My Shop!", Some("my-shop")),
            ("2fast", Some("fast")),
            ("caf\u{e9} ole", Some("caf-ole")),
            ("__", None),
        ] {
            assert_eq!(nearest(text).as_deref(), name);
            assert!(name.is_none_or(|name| AppName::parse(name).is_ok()));
        }
    }

    #[test]
    fn names_travel_through_json_and_are_checked_on_the_way_in() {
        let name = ServiceName::parse("cart").unwrap();
        let json = serde_json::to_string(&name).unwrap();
        assert_eq!(json, "\"cart\"");
        assert_eq!(serde_json::from_str::<ServiceName>(&json).unwrap(), name);
        assert!(serde_json::from_str::<ServiceName>("\"Cart\"").is_err());
    }
}
