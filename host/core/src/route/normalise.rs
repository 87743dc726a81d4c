//! One spelling for each path, so that no spelling gets around a route.
use std::borrow::Cow;

/// Why a path is refused (with 400): it is not a path, or different readers would read it
/// differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadPath {
    #[error("the path does not begin with `/`")]
    NotAbsolute,
    #[error("the path has a `.` or `..` segment")]
    DotSegment,
    #[error("the path has a space or a control character")]
    Control,
    #[error("the path has a `%` that is not followed by two hexadecimal digits")]
    BadEscape,
    #[error("the path has a backslash, which some readers take for `/`")]
    Backslash,
    #[error("the path has a `?` or `#`, which ends a path")]
    NotOnlyAPath,
}

/// Brings a request's path (without its query) into its one spelling: escapes of unreserved
/// characters are decoded, other escapes are in upper case. `%2F` stays an escape: it is never a
/// separator. Empty segments are kept. Dot segments, raw or escaped, and control characters are
/// refused rather than resolved: no honest client sends them.
///
/// Allocates only when something changes. Applying it twice changes nothing more.
pub fn normalise(path: &str) -> Result<Cow<'_, str>, BadPath> {
    if !path.starts_with('/') {
        return Err(BadPath::NotAbsolute);
    }
    let normal = normalise_escapes(path)?;
    if has_dot_segment(&normal) {
        return Err(BadPath::DotSegment);
    }
    Ok(normal)
}

fn normalise_escapes(path: &str) -> Result<Cow<'_, str>, BadPath> {
    let mut changed: Option<String> = None;
    // Start of what is not yet copied; only of meaning once `changed` is there.
    let mut kept = 0;
    let bytes = path.as_bytes();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        match byte {
            b'%' => {
                let escape = Escape::read(bytes, at)?;
                if !escape.is_normal() {
                    let out = changed.get_or_insert_with(|| String::with_capacity(path.len()));
                    out.push_str(&path[kept..at]);
                    escape.write(out);
                    kept = at + 3;
                }
                at += 3;
                continue;
            }
            0..=b' ' | 0x7f => return Err(BadPath::Control),
            b'\\' => return Err(BadPath::Backslash),
            b'?' | b'#' => return Err(BadPath::NotOnlyAPath),
            _ => {}
        }
        at += 1;
    }
    Ok(match changed {
        None => Cow::Borrowed(path),
        Some(mut out) => {
            out.push_str(&path[kept..]);
            Cow::Owned(out)
        }
    })
}

/// `%` and its two digits.
struct Escape {
    byte: u8,
    upper_case: bool,
}

impl Escape {
    fn read(bytes: &[u8], at: usize) -> Result<Self, BadPath> {
        let digit = |offset: usize| {
            let digit = bytes.get(at + offset).copied().unwrap_or_default();
            let value = char::from(digit).to_digit(16).ok_or(BadPath::BadEscape)?;
            // A hexadecimal digit is below 16.
            Ok((value as u8, !digit.is_ascii_lowercase()))
        };
        let ((high, high_upper), (low, low_upper)) = (digit(1)?, digit(2)?);
        let byte = high << 4 | low;
        if byte < b' ' || byte == 0x7f {
            return Err(BadPath::Control);
        }
        Ok(Self {
            byte,
            upper_case: high_upper && low_upper,
        })
    }

    /// RFC 3986, 2.3: these mean the same escaped or not.
    fn is_unreserved(&self) -> bool {
        self.byte.is_ascii_alphanumeric() || matches!(self.byte, b'-' | b'.' | b'_' | b'~')
    }

    fn is_normal(&self) -> bool {
        self.upper_case && !self.is_unreserved()
    }

    fn write(&self, out: &mut String) {
        if self.is_unreserved() {
            out.push(char::from(self.byte));
        } else {
            let digit = |value: u8| char::from(b"0123456789ABCDEF"[usize::from(value & 15)]);
            out.extend(['%', digit(self.byte >> 4), digit(self.byte)]);
        }
    }
}

/// Escaped slashes and backslashes separate here: who decodes them later must find no dots either.
fn has_dot_segment(path: &str) -> bool {
    // Most paths have no segment that begins with a dot, nor an escape before one.
    if !path.contains("/.") && !path.contains("%2F.") && !path.contains("%5C.") {
        return false;
    }
    path.split('/')
        .flat_map(|segment| segment.split("%2F"))
        .flat_map(|part| part.split("%5C"))
        .any(|part| part == "." || part == "..")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn paths_have_one_spelling() {
        let rows = [
            ("/", "/"),
            ("/cart/1", "/cart/1"),
            ("//a//", "//a//"),
            ("/%7euser", "/~user"),
            ("/%41%2d%5f", "/A-_"),
            ("/a%2fb", "/a%2Fb"),
            ("/a%2Fb%20c", "/a%2Fb%20c"),
            ("/%c3%a9", "/%C3%A9"),
            ("/\u{e9}", "/\u{e9}"),
            ("/%252e%252e/", "/%252e%252e/"),
            ("/.well-known/x", "/.well-known/x"),
            ("/%2ehidden", "/.hidden"),
            ("/a../..b/...", "/a../..b/..."),
            ("/a+b=c&d", "/a+b=c&d"),
        ];
        for (path, normal) in rows {
            assert_eq!(normalise(path).as_deref(), Ok(normal), "{path}");
        }
    }

    #[test]
    fn what_could_be_read_in_two_ways_is_refused() {
        let rows = [
            ("", BadPath::NotAbsolute),
            ("*", BadPath::NotAbsolute),
            ("a/b", BadPath::NotAbsolute),
            ("/.", BadPath::DotSegment),
            ("/..", BadPath::DotSegment),
            ("/a/./b", BadPath::DotSegment),
            ("/a/../b", BadPath::DotSegment),
            ("/a/%2e%2E/b", BadPath::DotSegment),
            ("/a/.%2e", BadPath::DotSegment),
            ("/a/..%2fb", BadPath::DotSegment),
            ("/a%2F..", BadPath::DotSegment),
            ("/a%5c..%5Cb", BadPath::DotSegment),
            ("/a b", BadPath::Control),
            ("/a\tb", BadPath::Control),
            ("/a%00", BadPath::Control),
            ("/a%0d%0aset-cookie", BadPath::Control),
            ("/a%7f", BadPath::Control),
            ("/a%", BadPath::BadEscape),
            ("/a%2", BadPath::BadEscape),
            ("/a%zz", BadPath::BadEscape),
            ("/a%\u{e9}", BadPath::BadEscape),
            ("/a\\b", BadPath::Backslash),
            ("/a?b", BadPath::NotOnlyAPath),
            ("/a#b", BadPath::NotOnlyAPath),
        ];
        for (path, why) in rows {
            assert_eq!(normalise(path), Err(why), "{path}");
        }
    }

    proptest! {
        #[test]
        fn a_normal_path_stays_as_it_is(path in "/[a-z.%/~0-9A-F\\\\]{0,30}|\\PC*") {
            if let Ok(normal) = normalise(&path) {
                let again = normalise(&normal).unwrap();
                prop_assert!(matches!(again, Cow::Borrowed(_)), "{} {}", normal, again);
                prop_assert_eq!(again.as_ref(), normal.as_ref());
            }
        }

        /// Whoever decodes once more finds no dot segment.
        #[test]
        fn no_dots_come_back(path in "/([./]|%2[eEfF]|%5[cC]|a){0,12}") {
            if let Ok(normal) = normalise(&path) {
                let decoded = normal.replace("%2F", "/").replace("%5C", "/");
                prop_assert!(decoded.split('/').all(|s| s != "." && s != ".."), "{}", decoded);
            }
        }
    }
}
