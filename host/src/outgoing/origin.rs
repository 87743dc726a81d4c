//! The origins that a grant names: scheme, host or `*.suffix`, port.

use std::net::IpAddr;
use std::str::FromStr;

/// One granted origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    scheme: &'static str,
    wildcard: bool,
    host: String,
    port: u16,
}

/// The text is not an origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not an origin; write `https://host`, `https://*.host` or `http://host:port`")]
pub struct OriginError(String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        let bad = || OriginError(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(bad)?;
        let (scheme, default_port) = match scheme {
            "http" => ("http", 80),
            "https" => ("https", 443),
            _ => return Err(bad()),
        };
        let (host, port) = match rest.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| bad())?),
            _ => (rest, default_port),
        };
        let (wildcard, host) = match host.strip_prefix("*.") {
            Some(suffix) => (true, suffix),
            None => (false, host),
        };
        if host.is_empty() || host.contains(['/', '@', '?', '#', '*']) {
            return Err(bad());
        }
        Ok(Self {
            scheme,
            wildcard,
            host: host.to_ascii_lowercase(),
            port,
        })
    }
}

impl Origin {
    pub(super) fn matches(&self, scheme: &str, host: &str, port: u16) -> bool {
        let host_matches = if self.wildcard {
            host.strip_suffix(self.host.as_str())
                .is_some_and(|label| label.len() > 1 && label.ends_with('.'))
        } else {
            host == self.host
        };
        self.scheme == scheme && self.port == port && host_matches
    }

    pub(super) fn names_private(&self) -> bool {
        if self.wildcard {
            return false;
        }
        let literal = self.host.trim_start_matches('[').trim_end_matches(']');
        match literal.parse::<IpAddr>() {
            Ok(ip) => !super::address::is_public(ip),
            Err(_) => self.host == "localhost" || self.host.ends_with(".localhost"),
        }
    }
}
