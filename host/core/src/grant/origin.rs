//! Where a service's outgoing requests may go: scheme, host and port, as one text in the manifest.
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::address::is_public;

/// `http` or `https`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scheme {
    Http,
    Https,
}

impl Scheme {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    pub fn default_port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

/// Which hosts an [`Origin`] names.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// `*`: any host.
    Any,
    /// `*.example.com`: one or more labels before this suffix, kept as `.example.com`.
    Below(Box<str>),
    /// Exactly this name, in lower case.
    Name(Box<str>),
    /// Exactly this address.
    Address(IpAddr),
}

/// One origin of `grants.http`, for example `https://api.example.com`, `http://127.0.0.1:9000`,
/// `https://*.example.com` or `https://*`; `:*` after the host stands for any port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Origin {
    pub scheme: Scheme,
    pub host: HostMatch,
    /// `None`: any port.
    pub port: Option<u16>,
}

/// Why a text is not an origin. Its message says what to write.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadOrigin {
    #[error("an origin begins with `https://` or `http://`")]
    NoScheme,
    #[error("`{0}` is not a scheme that can be granted: only `https` and `http` are")]
    UnknownScheme(String),
    #[error("an origin has no user name and no password")]
    UserInfo,
    #[error("an origin ends after host and port: `{0}` does not belong to it")]
    Path(String),
    #[error("this origin names no host")]
    NoHost,
    #[error("`{0}` is not a port: it is a number from 1 to 65535, or `*`")]
    Port(String),
    #[error("`*` stands only for the whole host or for its first labels, as in `*.example.com`")]
    Wildcard,
    #[error("`{0}` is not a host: write a domain name or an IP address")]
    Host(String),
    #[error("`{0}` reads as a number: write an IPv4 address as four decimal numbers")]
    NumericHost(String),
}

impl Origin {
    /// True if a request to this scheme, host and port is granted. `host` comes from the guest's
    /// request, without its port; brackets around an IPv6 address and case do not matter.
    pub fn matches(&self, scheme: &str, host: &str, port: u16) -> bool {
        scheme.eq_ignore_ascii_case(self.scheme.as_str())
            && self.port.is_none_or(|own| own == port)
            && self.matches_host(host)
    }

    fn matches_host(&self, host: &str) -> bool {
        // `example.com.` is the same host as `example.com`.
        let host = host.strip_suffix('.').unwrap_or(host);
        if host.is_empty() {
            return false;
        }
        match &self.host {
            HostMatch::Any => true,
            HostMatch::Name(name) => host.eq_ignore_ascii_case(name),
            HostMatch::Below(suffix) => host
                .len()
                .checked_sub(suffix.len())
                .filter(|at| *at > 0)
                .and_then(|at| host.get(at..))
                .is_some_and(|end| end.eq_ignore_ascii_case(suffix)),
            HostMatch::Address(own) => parse_address(host) == Some(*own),
        }
    }

    /// True if the manifest itself names a place that is not the public internet: an address that
    /// [`is_public`] refuses, or `localhost`. Only then may this origin be connected to there.
    pub fn names_private(&self) -> bool {
        match &self.host {
            HostMatch::Address(address) => !is_public(*address),
            HostMatch::Name(name) => &**name == "localhost" || name.ends_with(".localhost"),
            HostMatch::Below(suffix) => suffix.ends_with(".localhost"),
            HostMatch::Any => false,
        }
    }
}

/// An address as URLs write it: dotted, or IPv6 with or without brackets.
fn parse_address(host: &str) -> Option<IpAddr> {
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    match inner {
        Some(inner) => inner.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

impl FromStr for Origin {
    type Err = BadOrigin;

    fn from_str(text: &str) -> Result<Self, BadOrigin> {
        let (scheme, rest) = text.split_once("://").ok_or(BadOrigin::NoScheme)?;
        let scheme = match scheme {
            "http" => Scheme::Http,
            "https" => Scheme::Https,
            "" => return Err(BadOrigin::NoScheme),
            other => return Err(BadOrigin::UnknownScheme(other.to_owned())),
        };
        let end = rest.find(['/', '?', '#', '\\']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if authority.contains('@') {
            return Err(BadOrigin::UserInfo);
        }
        if !tail.is_empty() {
            return Err(BadOrigin::Path(tail.to_owned()));
        }
        let (host, port) = split_port(authority);
        let port = match port {
            None => Some(scheme.default_port()),
            Some("*") => None,
            Some(port) => Some(parse_port(port)?),
        };
        let host = parse_host(host)?;
        Ok(Self { scheme, host, port })
    }
}

/// Host and port of an authority; the colons within brackets are the host's.
fn split_port(authority: &str) -> (&str, Option<&str>) {
    let host_end = authority.rfind(']').map_or(0, |at| at + 1);
    match authority.get(host_end..).and_then(|end| end.find(':')) {
        Some(colon) => {
            let (host, port) = authority.split_at(host_end + colon);
            (host, Some(&port[1..]))
        }
        None => (authority, None),
    }
}

fn parse_port(port: &str) -> Result<u16, BadOrigin> {
    let bad = || BadOrigin::Port(port.to_owned());
    if !port.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    match port.parse() {
        Ok(0) | Err(_) => Err(bad()),
        Ok(port) => Ok(port),
    }
}

fn parse_host(host: &str) -> Result<HostMatch, BadOrigin> {
    if host.is_empty() {
        return Err(BadOrigin::NoHost);
    }
    if host == "*" {
        return Ok(HostMatch::Any);
    }
    if host.starts_with('[') {
        return parse_address(host)
            .map(HostMatch::Address)
            .ok_or_else(|| BadOrigin::Host(host.to_owned()));
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return Ok(HostMatch::Address(address.into()));
    }
    let (name, below) = match host.strip_prefix("*.") {
        Some(suffix) => (suffix, true),
        None => (host, false),
    };
    if name.contains('*') {
        return Err(BadOrigin::Wildcard);
    }
    let name = name.to_ascii_lowercase();
    if !crate::route::host::is_domain(&name) {
        return Err(BadOrigin::Host(host.to_owned()));
    }
    // Resolvers read `0x7f.1` and `2130706433` as addresses; whoever means an address writes one.
    let last = name.rsplit('.').next().unwrap_or_default();
    if last.starts_with("0x") || last.bytes().all(|b| b.is_ascii_digit()) {
        return Err(BadOrigin::NumericHost(host.to_owned()));
    }
    Ok(if below {
        HostMatch::Below(format!(".{name}").into())
    } else {
        HostMatch::Name(name.into())
    })
}

impl fmt::Display for Origin {
    /// As the manifest would write it, without a default port.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme.as_str())?;
        match &self.host {
            HostMatch::Any => f.write_str("*")?,
            HostMatch::Below(suffix) => write!(f, "*{suffix}")?,
            HostMatch::Name(name) => f.write_str(name)?,
            HostMatch::Address(IpAddr::V4(address)) => write!(f, "{address}")?,
            HostMatch::Address(IpAddr::V6(address)) => write!(f, "[{address}]")?,
        }
        match self.port {
            None => f.write_str(":*"),
            Some(port) if port == self.scheme.default_port() => Ok(()),
            Some(port) => write!(f, ":{port}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn origin(text: &str) -> Origin {
        text.parse().unwrap()
    }

    #[test]
    fn an_origin_matches_its_scheme_host_and_port() {
        let rows = [
            (
                "https://api.example.com",
                "https",
                "api.example.com",
                443,
                true,
            ),
            (
                "https://api.example.com",
                "HTTPS",
                "API.Example.COM",
                443,
                true,
            ),
            (
                "https://api.example.com",
                "https",
                "api.example.com.",
                443,
                true,
            ),
            (
                "https://api.example.com",
                "http",
                "api.example.com",
                443,
                false,
            ),
            (
                "https://api.example.com",
                "https",
                "api.example.com",
                8443,
                false,
            ),
            (
                "https://api.example.com",
                "https",
                "example.com",
                443,
                false,
            ),
            (
                "https://api.example.com",
                "https",
                "api.example.com.evil",
                443,
                false,
            ),
            ("https://api.example.com", "https", "", 443, false),
            (
                "https://api.example.com:8443",
                "https",
                "api.example.com",
                8443,
                true,
            ),
            (
                "https://api.example.com:8443",
                "https",
                "api.example.com",
                443,
                false,
            ),
            (
                "https://api.example.com:*",
                "https",
                "api.example.com",
                1,
                true,
            ),
            (
                "https://*.example.com",
                "https",
                "api.example.com",
                443,
                true,
            ),
            (
                "https://*.example.com",
                "https",
                "a.b.example.com",
                443,
                true,
            ),
            (
                "https://*.example.com",
                "https",
                "A.EXAMPLE.COM.",
                443,
                true,
            ),
            ("https://*.example.com", "https", "example.com", 443, false),
            ("https://*.example.com", "https", ".example.com", 443, false),
            (
                "https://*.example.com",
                "https",
                "badexample.com",
                443,
                false,
            ),
            ("https://*", "https", "anything.example", 443, true),
            ("https://*", "https", "", 443, false),
            ("https://*", "http", "anything.example", 80, false),
            ("http://127.0.0.1:9000", "http", "127.0.0.1", 9000, true),
            ("http://127.0.0.1:9000", "http", "127.1", 9000, false),
            ("http://127.0.0.1:9000", "http", "2130706433", 9000, false),
            ("http://127.0.0.1:9000", "http", "localhost", 9000, false),
            ("http://[::1]:9000", "http", "[::1]", 9000, true),
            ("http://[::1]:9000", "http", "::1", 9000, true),
            ("http://[::1]:9000", "http", "[0:0:0:0:0:0:0:1]", 9000, true),
            ("http://[::1]:9000", "http", "[::2]", 9000, false),
            ("http://localhost:9000", "http", "localhost", 9000, true),
        ];
        for (text, scheme, host, port, expected) in rows {
            assert_eq!(
                origin(text).matches(scheme, host, port),
                expected,
                "{text} {scheme} {host} {port}"
            );
        }
    }

    #[test]
    fn only_what_the_manifest_names_itself_is_private() {
        for (text, private) in [
            ("http://127.0.0.1", true),
            ("http://10.1.2.3:80", true),
            ("http://[fe80::1]", true),
            ("http://localhost", true),
            ("http://db.localhost", true),
            ("http://8.8.8.8", false),
            ("https://example.com", false),
            ("https://*", false),
        ] {
            assert_eq!(origin(text).names_private(), private, "{text}");
        }
    }

    #[test]
    fn bad_origins_say_why() {
        let rows = [
            ("api.example.com", BadOrigin::NoScheme),
            ("://x", BadOrigin::NoScheme),
            ("ftp://x", BadOrigin::UnknownScheme("ftp".into())),
            ("https://user@x", BadOrigin::UserInfo),
            ("https://user:pw@x", BadOrigin::UserInfo),
            ("https://x/", BadOrigin::Path("/".into())),
            ("https://x/v1?q", BadOrigin::Path("/v1?q".into())),
            ("https://x#f", BadOrigin::Path("#f".into())),
            ("https://x\\y", BadOrigin::Path("\\y".into())),
            ("https://", BadOrigin::NoHost),
            ("https://:80", BadOrigin::NoHost),
            ("https://x:", BadOrigin::Port(String::new())),
            ("https://x:0", BadOrigin::Port("0".into())),
            ("https://x:65536", BadOrigin::Port("65536".into())),
            ("https://x:+80", BadOrigin::Port("+80".into())),
            ("https://x:80:81", BadOrigin::Port("80:81".into())),
            ("https://a.*.com", BadOrigin::Wildcard),
            ("https://*a.com", BadOrigin::Wildcard),
            ("https://a b", BadOrigin::Host("a b".into())),
            ("https://a..b", BadOrigin::Host("a..b".into())),
            ("https://[::g]", BadOrigin::Host("[::g]".into())),
            (
                "https://2130706433",
                BadOrigin::NumericHost("2130706433".into()),
            ),
            ("https://127.1", BadOrigin::NumericHost("127.1".into())),
            (
                "https://0x7f000001",
                BadOrigin::NumericHost("0x7f000001".into()),
            ),
            (
                "https://*.127.0.0.1",
                BadOrigin::NumericHost("*.127.0.0.1".into()),
            ),
        ];
        for (text, why) in rows {
            assert_eq!(text.parse::<Origin>(), Err(why), "{text}");
        }
    }

    proptest! {
        #[test]
        fn an_origin_reads_back_as_shown(
            text in "https?://(\\*|(\\*\\.)?[a-z][a-z0-9]{0,5}(\\.[a-z]{1,4}){0,2})(:\\*|:[1-9][0-9]{0,3})?"
        ) {
            let first = origin(&text);
            prop_assert_eq!(origin(&first.to_string()), first);
        }

        #[test]
        fn no_text_panics(text in "\\PC*|https?://\\PC*", host in "\\PC*", port: u16) {
            if let Ok(origin) = text.parse::<Origin>() {
                let _ = origin.matches("https", &host, port);
            }
            for origin in [origin("https://*.a.b"), origin("https://[::1]")] {
                let _ = origin.matches("https", &host, port);
            }
        }
    }
}
