//! What `build.watch` names: a file, a directory with all that is below it, or the files that fit a pattern.

use std::fmt::{self, Display};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use globset::{GlobBuilder, GlobMatcher};

/// Bytes of a path or a pattern: no system has longer ones.
pub const WATCHED_BYTES_MAX: usize = 4096;

/// What makes a pattern of a path; the last takes the others' meaning away.
const PATTERN: [char; 5] = ['*', '?', '[', '{', '\\'];

/// Files that are watched. Paths are relative to the manifest, as it names them.
#[derive(Clone, Debug)]
pub struct Watched {
    text: String,
    root: PathBuf,
    pattern: Option<GlobMatcher>,
}

/// It is no path and no pattern.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadWatched {
    /// It is empty, too long, or has a NUL in it.
    #[error("a path has from 1 to {WATCHED_BYTES_MAX} bytes, and no NUL among them")]
    NoPath,
    /// It has characters of a pattern, and is none.
    #[error("this is not a pattern: {0}")]
    NoPattern(String),
}

impl Watched {
    /// This file or directory, whatever characters are in its name.
    pub fn path(path: &Path) -> Watched {
        let root = path.strip_prefix(".").unwrap_or(path);
        Watched {
            text: path.display().to_string(),
            root: root.to_owned(),
            pattern: None,
        }
    }

    /// The file or the directory itself; of a pattern the directory that all its files are below.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Whether a file counts.
    pub fn has(&self, file: &Path) -> bool {
        match &self.pattern {
            Some(pattern) => pattern.is_match(file),
            None => file.starts_with(&self.root),
        }
    }
}

impl FromStr for Watched {
    type Err = BadWatched;

    fn from_str(text: &str) -> Result<Watched, BadWatched> {
        if text.is_empty() || text.len() > WATCHED_BYTES_MAX || text.contains('\0') {
            return Err(BadWatched::NoPath);
        }
        let bare = text.strip_prefix("./").unwrap_or(text);
        let Some(first) = bare.find(PATTERN) else {
            return Ok(Watched::path(Path::new(text)));
        };
        let mut pattern = GlobBuilder::new(bare);
        // `*` and `?` stay within one directory; `**` does not.
        pattern.literal_separator(true).backslash_escape(true);
        let pattern = pattern
            .build()
            .map_err(|error| BadWatched::NoPattern(error.kind().to_string()))?;
        let directory = bare[..first].rfind('/').map_or("", |end| &bare[..=end]);
        Ok(Watched {
            text: text.to_owned(),
            root: directory.into(),
            pattern: Some(pattern.compile_matcher()),
        })
    }
}

impl Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl PartialEq for Watched {
    fn eq(&self, other: &Watched) -> bool {
        self.text == other.text
    }
}

impl Eq for Watched {}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, root: &str, has: &[&str], has_not: &[&str]) {
        let watched: Watched = text.parse().unwrap();
        assert_eq!(watched.root(), Path::new(root), "{text}");
        assert_eq!(watched.to_string(), text);
        for file in has {
            assert!(watched.has(Path::new(file)), "{text} has not {file}");
        }
        for file in has_not {
            assert!(!watched.has(Path::new(file)), "{text} has {file}");
        }
    }

    #[test]
    fn a_path_is_all_that_is_below_it() {
        check("src", "src", &["src", "src/a/b.rs"], &["srcs/a", "a/src"]);
        check(
            "wit/one.wit",
            "wit/one.wit",
            &["wit/one.wit"],
            &["wit/two.wit"],
        );
        check("./src", "src", &["src/a.rs"], &[]);
        check("../shared", "../shared", &["../shared/a"], &["shared/a"]);
    }

    #[test]
    fn a_pattern_is_the_files_that_fit_it() {
        let sources = ["src/lib.rs", "src/deep/down/a.rs"];
        check(
            "src/**/*.rs",
            "src",
            &sources,
            &["src/a.txt", "lib.rs", "a/src/b.rs"],
        );
        check(
            "src/*.rs",
            "src",
            &["src/lib.rs"],
            &["src/deep/a.rs", "src/rs"],
        );
        check("./src/*.rs", "src", &["src/lib.rs"], &[]);
        check("*.toml", "", &["Cargo.toml"], &["src/Cargo.toml", "toml"]);
        check("**/*.wit", "", &["a.wit", "deep/b.wit"], &["a.wits"]);
        check(
            "../shared/*.{wit,md}",
            "../shared",
            &["../shared/a.md"],
            &["../shared/a.rs"],
        );
        check(
            "/abs/v[0-9]/?",
            "/abs",
            &["/abs/v1/a"],
            &["/abs/v1/ab", "/abs/vx/a"],
        );
        check("b/a\\*/*", "b", &["b/a*/c"], &["b/ab/c"]);
    }

    #[test]
    fn what_is_no_pattern_says_why() {
        for (text, why) in [
            ("", "from 1 to 4096 bytes"),
            ("a\0b", "no NUL"),
            ("src/[a", "unclosed character class"),
            ("src/{a,b", "unclosed alternate group"),
            ("[z-a]", "invalid range"),
        ] {
            let error = text.parse::<Watched>().unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        let long = "a".repeat(WATCHED_BYTES_MAX + 1);
        assert_eq!(long.parse::<Watched>().unwrap_err(), BadWatched::NoPath);
    }
}
