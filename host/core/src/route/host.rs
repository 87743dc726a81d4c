//! The hosts that a route serves.
use std::cmp::Ordering;
use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

/// Longest host name, by the rules of DNS.
pub const HOST_BYTES_MAX: usize = 253;

/// The hosts that a route serves. Names are kept in lower case.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum HostPattern {
    /// All of them.
    #[default]
    Any,
    /// `*.example.com`: one or more labels before the suffix, kept as `.example.com`.
    Below(Box<str>),
    /// Exactly this host; an IPv6 address in brackets.
    Exact(Box<str>),
}

/// Why a text is not a host pattern. Its message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadHost {
    #[error("a host cannot be empty: leave `host` out to serve any host")]
    Empty,
    #[error("a route's host has no scheme and no path, only the name")]
    NotOnlyAHost,
    #[error("a route's host has no port: routes are the same on every listener")]
    Port,
    #[error("`*` stands only for the first labels of a host, as in `*.example.com`")]
    Wildcard,
    #[error(
        "`{0}` is not a host name: it consists of letters, digits, `-` and dots; write others as punycode"
    )]
    Name(String),
    #[error("a host name has at most {HOST_BYTES_MAX} characters")]
    TooLong,
}

impl FromStr for HostPattern {
    type Err = BadHost;

    fn from_str(text: &str) -> Result<Self, BadHost> {
        if text.is_empty() {
            return Err(BadHost::Empty);
        }
        if text.contains(['/', '?', '#', '@']) {
            return Err(BadHost::NotOnlyAHost);
        }
        if let Some(rest) = text.strip_prefix('[') {
            return parse_ipv6(text, rest);
        }
        if text.contains(':') {
            return Err(BadHost::Port);
        }
        if text.len() > HOST_BYTES_MAX {
            return Err(BadHost::TooLong);
        }
        let lower = text.to_ascii_lowercase();
        let (name, below) = match lower.strip_prefix("*.") {
            Some(suffix) => (suffix, true),
            None => (lower.as_str(), false),
        };
        if name.contains('*') {
            return Err(BadHost::Wildcard);
        }
        if !is_domain(name) {
            return Err(BadHost::Name(text.to_owned()));
        }
        Ok(if below {
            Self::Below(format!(".{name}").into())
        } else {
            Self::Exact(name.into())
        })
    }
}

fn parse_ipv6(text: &str, rest: &str) -> Result<HostPattern, BadHost> {
    let Some((address, after)) = rest.split_once(']') else {
        return Err(BadHost::Name(text.to_owned()));
    };
    if after.starts_with(':') {
        return Err(BadHost::Port);
    }
    match address.parse::<Ipv6Addr>() {
        Ok(address) if after.is_empty() => Ok(HostPattern::Exact(format!("[{address}]").into())),
        _ => Err(BadHost::Name(text.to_owned())),
    }
}

/// Labels of letters, digits, `-` and `_` with dots between them, no label empty or over 63 bytes.
pub(crate) fn is_domain(name: &str) -> bool {
    name.len() <= HOST_BYTES_MAX
        && name.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && !label.starts_with('-')
                && !label.ends_with('-')
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'))
        })
}

/// The host of a `Host` field or `:authority`: without port and without the root's dot.
pub(crate) fn without_port(authority: &str) -> &str {
    let host_end = authority.rfind(']').map_or(0, |at| at + 1);
    let tail = authority.get(host_end..).unwrap_or_default();
    let host = match tail.find(':') {
        Some(colon) => authority.get(..host_end + colon).unwrap_or_default(),
        None => authority,
    };
    host.strip_suffix('.').unwrap_or(host)
}

impl HostPattern {
    /// True if the pattern serves `host`, which may have a port, in any case. The table does not use
    /// this; it is the plain statement of what the table does.
    pub fn matches(&self, host: &str) -> bool {
        let host = without_port(host);
        match self {
            Self::Any => true,
            Self::Exact(own) => host.eq_ignore_ascii_case(own),
            Self::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|at| *at > 0)
                .and_then(|at| host.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
        }
    }

    /// `Greater` is the more specific one.
    pub fn specificity(&self, other: &Self) -> Ordering {
        let rank = |pattern: &Self| match pattern {
            Self::Any => (0, 0),
            Self::Below(suffix) => (1, suffix.len()),
            Self::Exact(_) => (2, 0),
        };
        rank(self).cmp(&rank(other))
    }
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any host"),
            Self::Below(suffix) => write!(f, "*{suffix}"),
            Self::Exact(host) => f.write_str(host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_match_without_port_and_case() {
        let rows = [
            ("shop.example", "shop.example", true),
            ("shop.example", "SHOP.Example:8080", true),
            ("shop.example", "shop.example.", true),
            ("shop.example", "a.shop.example", false),
            ("Shop.Example", "shop.example", true),
            ("*.example.com", "a.example.com", true),
            ("*.example.com", "a.b.EXAMPLE.com:80", true),
            ("*.example.com", "example.com", false),
            ("*.example.com", ".example.com", false),
            ("*.example.com", "\u{e9}xample.com", false),
            ("[::1]", "[::1]:80", true),
            ("[0:0::1]", "[::1]", true),
            ("[::1]", "[::2]", false),
            ("127.0.0.1", "127.0.0.1:1", true),
        ];
        for (pattern, host, expected) in rows {
            let parsed: HostPattern = pattern.parse().unwrap();
            assert_eq!(parsed.matches(host), expected, "{pattern} {host}");
        }
    }

    #[test]
    fn bad_hosts_say_why() {
        let rows = [
            ("", BadHost::Empty),
            ("http://a", BadHost::NotOnlyAHost),
            ("a/b", BadHost::NotOnlyAHost),
            ("a:80", BadHost::Port),
            ("[::1]:80", BadHost::Port),
            ("*", BadHost::Wildcard),
            ("a.*", BadHost::Wildcard),
            ("*a.b", BadHost::Wildcard),
            ("a..b", BadHost::Name("a..b".into())),
            ("-a", BadHost::Name("-a".into())),
            ("*.", BadHost::Name("*.".into())),
            ("[::1", BadHost::Name("[::1".into())),
            ("[::1]x", BadHost::Name("[::1]x".into())),
            (
                "b\u{fc}cher.example",
                BadHost::Name("b\u{fc}cher.example".into()),
            ),
        ];
        for (text, why) in rows {
            assert_eq!(text.parse::<HostPattern>(), Err(why), "{text}");
        }
        let long = "a.".repeat(150);
        assert_eq!(long.parse::<HostPattern>(), Err(BadHost::TooLong));
    }
}
