//! Where a request goes, read from its URI in one way only, so that what was checked is what is
//! connected to. Spellings that other software might read differently are refused, not guessed.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::Uri;
use http::uri::Scheme;
use wasmtime_wasi_http::Error;

use super::Origin;

/// Scheme, host and port in their one normal form: lower case, no trailing dot, the port explicit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Destination {
    tls: bool,
    host: Host,
    port: u16,
}

/// A host as DNS or as a socket knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Host {
    Name(String),
    Address(IpAddr),
}

/// The longest name and label that DNS can carry.
const MAX_NAME: usize = 253;
const MAX_LABEL: usize = 63;

impl Destination {
    pub(super) fn read(uri: &Uri) -> Result<Self, Error> {
        let tls = match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => true,
            Some(scheme) if *scheme == Scheme::HTTP => false,
            _ => return Err(Error::HttpProtocolError),
        };
        let authority = uri.authority().ok_or(Error::HttpRequestUriInvalid)?;
        let text = authority.as_str();
        // User names in URIs hide the host from a reader and are no part of HTTP.
        if text.contains('@') {
            return Err(Error::HttpRequestUriInvalid);
        }
        let host = Host::read(authority.host()).ok_or(Error::HttpRequestUriInvalid)?;
        let port = match &text[authority.host().len()..] {
            "" | ":" => Self::default_port(tls),
            rest => rest
                .strip_prefix(':')
                .filter(|digits| digits.bytes().all(|b| b.is_ascii_digit()))
                .and_then(|digits| digits.parse().ok())
                .filter(|port| *port != 0)
                .ok_or(Error::HttpRequestUriInvalid)?,
        };
        Ok(Self { tls, host, port })
    }

    pub(super) fn tls(&self) -> bool {
        self.tls
    }

    pub(super) fn host(&self) -> &Host {
        &self.host
    }

    pub(super) fn port(&self) -> u16 {
        self.port
    }

    pub(super) fn scheme(&self) -> Scheme {
        if self.tls {
            Scheme::HTTPS
        } else {
            Scheme::HTTP
        }
    }

    /// The same service at a literal address: what a name has been resolved to.
    pub(super) fn at(&self, ip: IpAddr) -> Self {
        Self {
            host: Host::Address(ip),
            ..*self
        }
    }

    pub(super) fn matches(&self, origin: &Origin) -> bool {
        let scheme = if self.tls { "https" } else { "http" };
        origin.matches(scheme, &self.host.to_string(), self.port)
    }

    /// Names that are loopback by definition (RFC 6761).
    pub(super) fn is_localhost(&self) -> bool {
        match &self.host {
            Host::Name(name) => name == "localhost" || name.ends_with(".localhost"),
            Host::Address(_) => false,
        }
    }

    /// The authority for the wire: the port only where it is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        if self.port == Self::default_port(self.tls) {
            self.host.to_string()
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    fn default_port(tls: bool) -> u16 {
        if tls { 443 } else { 80 }
    }
}

impl Host {
    fn read(text: &str) -> Option<Self> {
        if let Some(literal) = text.strip_prefix('[') {
            let ip: Ipv6Addr = literal.strip_suffix(']')?.parse().ok()?;
            return Some(Self::Address(ip.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        if let Ok(ip) = name.parse::<Ipv4Addr>() {
            // "127.0.0.1." is a name to some and an address to others.
            return (name.len() == text.len()).then_some(Self::Address(ip.into()));
        }
        let well_formed = name.len() <= MAX_NAME && name.split('.').all(is_label);
        (well_formed && !ends_in_number(&name)).then_some(Self::Name(name))
    }
}

fn is_label(label: &str) -> bool {
    let byte = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-' || b == b'_';
    (1..=MAX_LABEL).contains(&label.len()) && label.bytes().all(byte)
}

/// Whether C libraries and browsers would take the name for an IPv4 address in one of its old
/// spellings: `2130706433`, `0x7f.1`, `0177.0.0.1`, `127.1`. No public domain ends so.
fn ends_in_number(name: &str) -> bool {
    let last = name.rsplit('.').next().unwrap_or(name);
    last.bytes().all(|b| b.is_ascii_digit())
        || last
            .strip_prefix("0x")
            .is_some_and(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Address(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Address(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, wanted: &str) {
        let read = match uri.parse::<Uri>() {
            Ok(uri) => Destination::read(&uri).map(|d| d.to_string()),
            Err(_) => return assert_eq!(wanted, "no uri", "{uri}"),
        };
        let read = read.unwrap_or_else(|error| format!("{error:?}"));
        assert_eq!(read, wanted, "{uri}");
    }

    #[test]
    fn a_destination_has_one_spelling() {
        check("http://example.com/a?b", "http://example.com");
        check("HTTPS://EXAMPLE.com:443/", "https://example.com");
        check("http://example.com.:80/", "http://example.com");
        check("https://example.com:80/", "https://example.com:80");
        check("http://example.com:/", "http://example.com");
        check("http://127.0.0.1:9000/", "http://127.0.0.1:9000");
        check("http://[::1]:9000/", "http://[::1]:9000");
        check("http://[0:0:0:0:0:0:0:1]/", "http://[::1]");
        check("http://[::ffff:127.0.0.1]/", "http://[::ffff:127.0.0.1]");
        check("http://_dns.a-b.example/", "http://_dns.a-b.example");
        check(
            "http://xn--bcher-kva.example/",
            "http://xn--bcher-kva.example",
        );
    }

    #[test]
    fn doubtful_spellings_are_refused() {
        for uri in [
            "http://2130706433/",
            "http://0x7f000001/",
            "http://0X7f.1/",
            "http://127.1/",
            "http://0177.0.0.1/",
            "http://127.0.0.01/",
            "http://127.0.0.1./",
            "http://1.2.3.4.5/",
            "http://example.0x/",
            "http://a..b/",
            "http://example.com../",
            "http://./",
            "http://user@example.com/",
            "http://user:secret@127.0.0.1/",
            "http://example.com:0/",
            "http://example.com:65536/",
            "http://example.com:+80/",
            "http://exam!ple.com/",
            "http://[::1/",
            "http://[127.0.0.1]/",
        ] {
            let read = uri.parse::<Uri>().ok().map(|uri| Destination::read(&uri));
            match read {
                None | Some(Err(Error::HttpRequestUriInvalid)) => {}
                Some(read) => panic!("{uri}: {read:?}"),
            }
        }
        let long = format!("http://{}.example/", "a".repeat(MAX_LABEL + 1));
        check(&long, "HttpRequestUriInvalid");
        check("ftp://example.com/", "HttpProtocolError");
        check("/relative", "HttpProtocolError");
    }
}
