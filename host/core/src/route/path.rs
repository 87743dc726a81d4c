//! The paths that a route serves.
use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::normalise::{BadPath, normalise};

/// Segments of one pattern. A look-up descends one step for each, so this bounds its depth.
pub const SEGMENTS_MAX: usize = 32;
/// Longest pattern: as long as a path gets in practice.
pub const PATTERN_BYTES_MAX: usize = 2048;

/// A path such as `/cart`, `/cart/{id}` or `/files/{*rest}`.
///
/// `{id}` stands for one segment that is not empty; `{*rest}`, only at the end, for all that
/// follows the slash before it, also for nothing: `/files/{*rest}` serves `/files/` but not
/// `/files`.
#[derive(Debug, Clone)]
pub struct PathPattern {
    text: Box<str>,
    segments: Box<[Segment]>,
}

/// What stands between two slashes of a pattern. A literal is normalised as paths are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Param(Box<str>),
    Rest(Box<str>),
}

/// Why a text is not a path pattern. Its message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadPattern {
    #[error("a path begins with `/`")]
    NotAbsolute,
    #[error("a route's path has no query: `?` and `#` do not belong to it")]
    Query,
    #[error("`{{` and `}}` enclose a whole segment, as in `/cart/{{id}}`")]
    PartOfSegment,
    #[error("`{0}` is not a parameter name: it consists of letters, digits and `_`")]
    ParamName(String),
    #[error("the parameter `{0}` occurs twice")]
    Twice(String),
    #[error("`{{*{0}}}` stands for the rest of the path, so that nothing can follow it")]
    RestNotLast(String),
    #[error("`*` alone has no meaning here: write `{{*rest}}` for the rest of the path")]
    Star,
    #[error("a path has at most {SEGMENTS_MAX} segments")]
    TooManySegments,
    #[error("a path has at most {PATTERN_BYTES_MAX} bytes")]
    TooLong,
    #[error("characters outside of ASCII are written percent-encoded, as clients send them")]
    NotAscii,
    #[error("a request with this path is always refused: {0}")]
    NeverServed(BadPath),
}

impl FromStr for PathPattern {
    type Err = BadPattern;

    fn from_str(text: &str) -> Result<Self, BadPattern> {
        if text.len() > PATTERN_BYTES_MAX {
            return Err(BadPattern::TooLong);
        }
        let rest = text.strip_prefix('/').ok_or(BadPattern::NotAbsolute)?;
        if text.contains(['?', '#']) {
            return Err(BadPattern::Query);
        }
        let mut segments = Vec::new();
        let mut names: Vec<&str> = Vec::new();
        let mut parts = rest.split('/').peekable();
        while let Some(part) = parts.next() {
            if segments.len() == SEGMENTS_MAX {
                return Err(BadPattern::TooManySegments);
            }
            let inner = part.strip_prefix('{').and_then(|p| p.strip_suffix('}'));
            let Some(name) = inner else {
                segments.push(literal(part)?);
                continue;
            };
            let (name, rest) = match name.strip_prefix('*') {
                Some(name) => (name, true),
                None => (name, false),
            };
            check_name(name)?;
            if names.contains(&name) {
                return Err(BadPattern::Twice(name.to_owned()));
            }
            names.push(name);
            if rest && parts.peek().is_some() {
                return Err(BadPattern::RestNotLast(name.to_owned()));
            }
            segments.push(match rest {
                true => Segment::Rest(name.into()),
                false => Segment::Param(name.into()),
            });
        }
        Ok(Self {
            text: text.into(),
            segments: segments.into(),
        })
    }
}

fn literal(part: &str) -> Result<Segment, BadPattern> {
    if part.contains(['{', '}']) {
        return Err(BadPattern::PartOfSegment);
    }
    if part == "*" || part == "**" {
        return Err(BadPattern::Star);
    }
    if !part.is_ascii() {
        return Err(BadPattern::NotAscii);
    }
    let path = format!("/{part}");
    let normal = normalise(&path).map_err(BadPattern::NeverServed)?;
    Ok(Segment::Literal(normal[1..].into()))
}

fn check_name(name: &str) -> Result<(), BadPattern> {
    let starts_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if starts_well && name.chars().all(allowed) {
        Ok(())
    } else {
        Err(BadPattern::ParamName(name.to_owned()))
    }
}

impl PathPattern {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub(crate) fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// True if the pattern serves `path`. The table does not use this; it is the plain statement of
    /// what the table does.
    pub fn matches(&self, path: &str) -> bool {
        let Some(rest) = path.strip_prefix('/') else {
            return false;
        };
        let mut parts = rest.split('/');
        for segment in &self.segments {
            let Some(part) = parts.next() else {
                return false;
            };
            match segment {
                Segment::Literal(own) if &**own != part => return false,
                Segment::Param(_) if part.is_empty() => return false,
                Segment::Literal(_) | Segment::Param(_) => {}
                Segment::Rest(_) => return true,
            }
        }
        parts.next().is_none()
    }

    /// `Greater` is the more specific one; two of the same shape are `Equal`.
    pub fn specificity(&self, other: &Self) -> Ordering {
        let rank = |segment: &Segment| match segment {
            Segment::Rest(_) => 0,
            Segment::Param(_) => 1,
            Segment::Literal(_) => 2,
        };
        let own = self.segments.iter().map(rank);
        own.cmp(other.segments.iter().map(rank))
    }
}

/// Two patterns are equal when they have the same shape: names do not matter to what they serve.
impl PartialEq for PathPattern {
    fn eq(&self, other: &Self) -> bool {
        let same = |(a, b): (&Segment, &Segment)| match (a, b) {
            (Segment::Literal(a), Segment::Literal(b)) => a == b,
            (Segment::Param(_), Segment::Param(_)) | (Segment::Rest(_), Segment::Rest(_)) => true,
            _ => false,
        };
        self.segments.len() == other.segments.len()
            && self.segments.iter().zip(&other.segments).all(same)
    }
}

impl Eq for PathPattern {}

impl fmt::Display for PathPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_segment_by_segment() {
        let rows = [
            ("/", "/", true),
            ("/", "", false),
            ("/", "//", false),
            ("/cart", "/cart", true),
            ("/cart", "/cart/", false),
            ("/cart/", "/cart/", true),
            ("/cart/{id}", "/cart/7", true),
            ("/cart/{id}", "/cart/", false),
            ("/cart/{id}", "/cart/7/8", false),
            ("/cart/{id}", "/cart/a%2Fb", true),
            ("/cart/{*rest}", "/cart/7/8", true),
            ("/cart/{*rest}", "/cart/", true),
            ("/cart/{*rest}", "/cart", false),
            ("/{*rest}", "/", true),
            ("/{*rest}", "/a/b", true),
            ("/{a}/x/{b}", "/1/x/2", true),
            ("/{a}/x/{b}", "/1/y/2", false),
            ("/%7euser", "/~user", true),
            ("//a", "//a", true),
            ("/a.b-c~d/{x_1}", "/a.b-c~d/z", true),
        ];
        for (pattern, path, expected) in rows {
            let parsed: PathPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn bad_patterns_say_why() {
        let rows = [
            ("", BadPattern::NotAbsolute),
            ("cart", BadPattern::NotAbsolute),
            ("/a?b", BadPattern::Query),
            ("/a{b}", BadPattern::PartOfSegment),
            ("/{a}b", BadPattern::PartOfSegment),
            ("/{a", BadPattern::PartOfSegment),
            ("/{}", BadPattern::ParamName(String::new())),
            ("/{*}", BadPattern::ParamName(String::new())),
            ("/{1}", BadPattern::ParamName("1".into())),
            ("/{a-b}", BadPattern::ParamName("a-b".into())),
            ("/{a}/{a}", BadPattern::Twice("a".into())),
            ("/{*a}/b", BadPattern::RestNotLast("a".into())),
            ("/{*a}/", BadPattern::RestNotLast("a".into())),
            ("/a/*", BadPattern::Star),
            ("/\u{e9}", BadPattern::NotAscii),
            ("/a/../b", BadPattern::NeverServed(BadPath::DotSegment)),
            ("/a b", BadPattern::NeverServed(BadPath::Control)),
            ("/a%", BadPattern::NeverServed(BadPath::BadEscape)),
        ];
        for (text, why) in rows {
            assert_eq!(text.parse::<PathPattern>(), Err(why), "{text}");
        }
        let deep = "/a".repeat(SEGMENTS_MAX + 1);
        assert_eq!(
            deep.parse::<PathPattern>(),
            Err(BadPattern::TooManySegments)
        );
        let long = format!("/{}", "a".repeat(PATTERN_BYTES_MAX));
        assert_eq!(long.parse::<PathPattern>(), Err(BadPattern::TooLong));
    }

    #[test]
    fn a_literal_is_more_specific_than_a_parameter_and_that_than_the_rest() {
        let order = ["/a/{*r}", "/{x}/b", "/a/{x}", "/a/b"];
        let specific = |a: &str, b: &str| {
            let (a, b): (PathPattern, PathPattern) = (a.parse().unwrap(), b.parse().unwrap());
            a.specificity(&b)
        };
        assert_eq!(specific(order[3], order[2]), Ordering::Greater);
        assert_eq!(specific(order[2], order[0]), Ordering::Greater);
        assert_eq!(specific(order[1], order[0]), Ordering::Less);
        assert_eq!(specific("/{a}/b", "/{b}/b"), Ordering::Equal);
    }
}
