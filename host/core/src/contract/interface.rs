//! Names of interfaces, and which versions of one stand for each other.
//!
//! The rule is the component model's, as wasmtime's linker applies it (`NameMap` and
//! `alternate_lookup_key` in wasmtime-environ; "canonical interface name" in the component model's
//! Explainer): releases of one major version are on one track, below 1.0 those of one minor version;
//! 0.0.x and pre-releases fit nothing but themselves. Within a track *any* version is tried, older
//! ones too: what an older one lacks is found by comparing functions, and named, instead of refusing
//! an export that has all that is used.
use std::fmt;
use std::sync::Arc;

use semver::Version;

/// The name of an interface as a component writes it: `shop:catalog/products@0.2.0`, or a plain name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InterfaceName {
    text: Arc<str>,
    version: Option<Arc<Version>>,
}

/// Versions of an interface that may stand for each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Track {
    /// `1` and above.
    Major(u64),
    /// `0.1` and above.
    Minor(u64),
}

impl InterfaceName {
    /// Whatever the text: what is no version after the `@` is a name that fits only itself.
    pub fn new(text: &str) -> Self {
        let version = text.split_once('@');
        let version = version.and_then(|(_, version)| Version::parse(version).ok());
        Self {
            text: text.into(),
            version: version.map(Arc::new),
        }
    }

    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What stands before the `@`.
    pub fn path(&self) -> &str {
        self.text
            .split_once('@')
            .map_or(&*self.text, |(path, _)| path)
    }

    /// What stands after the `@`, if it is a version.
    pub fn version(&self) -> Option<&Version> {
        self.version.as_deref()
    }

    /// The versions that may stand for this one; none if only itself does.
    pub fn track(&self) -> Option<Track> {
        let version = self.version().filter(|version| version.pre.is_empty())?;
        match (version.major, version.minor) {
            (0, 0) => None,
            (0, minor) => Some(Track::Minor(minor)),
            (major, _) => Some(Track::Major(major)),
        }
    }

    /// Whether an export of the name `other` may satisfy an import of this one, or the reverse.
    pub fn fits(&self, other: &Self) -> bool {
        self.text == other.text
            || (self.path() == other.path()
                && self.track().is_some()
                && self.track() == other.track())
    }

    /// Whether a person who writes this may mean it: the whole name, or its end from a `/` or `:`
    /// on, and of the version as many numbers as are known.
    pub fn is_meant_by(&self, written: &str) -> bool {
        let (path, version) = match written.split_once('@') {
            Some((path, version)) => (path, Some(version)),
            None => (written, None),
        };
        let before = self.path().strip_suffix(path).filter(|_| !path.is_empty());
        let named = before.is_some_and(|before| before.is_empty() || before.ends_with(['/', ':']));
        let rest_of_version = version.map(|version| {
            let (_, own) = self.text.split_once('@')?;
            own.strip_prefix(version)
        });
        named
            && match rest_of_version {
                None => true,
                Some(rest) => rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.')),
            }
    }

    /// What an import of this name asks for, as people write it: `^0.2`, or the version itself.
    pub fn wanted(&self) -> String {
        match (self.track(), self.version()) {
            (Some(Track::Major(major)), _) => format!("^{major}"),
            (Some(Track::Minor(minor)), _) => format!("^0.{minor}"),
            (None, Some(version)) => format!("exactly {version}"),
            (None, None) => "no version".to_owned(),
        }
    }
}

impl fmt::Display for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for InterfaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.text, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_a_track_stand_for_each_other() {
        let rows = [
            ("a:b/c", "a:b/c", true),
            ("a:b/c", "a:b/d", false),
            ("a:b/c", "a:b/c@1.0.0", false),
            ("a:b/c@1.0.0", "a:b/c@1.9.3", true),
            ("a:b/c@1.2.0", "a:b/c@1.1.0", true),
            ("a:b/c@1.0.0", "a:b/c@2.0.0", false),
            ("a:b/c@0.2.0", "a:b/c@0.2.9", true),
            ("a:b/c@0.2.0", "a:b/c@0.3.0", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.1", true),
            ("a:b/c@0.2.0-rc.1", "a:b/c@0.2.0", false),
            ("a:b/c@0.2.0-rc.1", "a:b/c@0.2.0-rc.1", true),
            ("a:b/c@1.0.0+x", "a:b/c@1.0.0", true),
            ("a:b/c@0.2", "a:b/c@0.2", true),
            ("a:b/c@0.2", "a:b/c@0.2.0", false),
            ("a:b/c@0.2.0", "a:x/c@0.2.0", false),
            ("run", "run", true),
        ];
        for (one, other, fits) in rows {
            let (one, other) = (InterfaceName::new(one), InterfaceName::new(other));
            assert_eq!(one.fits(&other), fits, "{one} {other}");
            assert_eq!(other.fits(&one), fits, "{other} {one}");
        }
    }

    #[test]
    fn people_may_leave_out_what_comes_first_and_what_comes_last() {
        let name = InterfaceName::new("shop:catalog/products@0.2.1");
        for written in [
            "shop:catalog/products@0.2.1",
            "shop:catalog/products",
            "catalog/products",
            "products",
            "products@0.2.1",
            "products@0.2",
            "products@0",
        ] {
            assert!(name.is_meant_by(written), "{written}");
        }
        for written in [
            "",
            "@0.2.1",
            "ducts",
            "product",
            "catalog",
            "products@",
            "products@0.",
            "products@0.3",
            "products@0.2.10",
            "/products",
            "shop:products",
        ] {
            assert!(!name.is_meant_by(written), "{written}");
        }
        assert!(InterfaceName::new("run").is_meant_by("run"));
        assert!(!InterfaceName::new("run").is_meant_by("run@1"));
    }

    #[test]
    fn what_is_wanted_is_said_as_people_write_it() {
        let rows = [
            ("a:b/c@1.2.3", "^1"),
            ("a:b/c@0.2.3", "^0.2"),
            ("a:b/c@0.0.3", "exactly 0.0.3"),
            ("a:b/c@0.2.0-rc.1", "exactly 0.2.0-rc.1"),
            ("a:b/c", "no version"),
            ("a:b/c@soon", "no version"),
        ];
        for (name, wanted) in rows {
            assert_eq!(InterfaceName::new(name).wanted(), wanted);
        }
    }
}
