//! Who the client is, and what guests are told of it: `forwarded` and the `x-forwarded-*` family.
//!
//! What clients send of these is replaced, unless they come through a proxy that the manifest
//! trusts: then it is kept and added to (RFC 7239, and common use for the older three).

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use http::uri::{Authority, InvalidUri};
use parking_lot::Mutex;
use skep_core::heard;
use skep_core::manifest::Network;

use super::request_id::{self, RequestId};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// Other headers that claim to name the client; guests must not read them from strangers.
static CLAIMS: [HeaderName; 4] = [
    HeaderName::from_static("x-real-ip"),
    HeaderName::from_static("x-forwarded-port"),
    HeaderName::from_static("x-forwarded-server"),
    HeaderName::from_static("x-client-ip"),
];

/// One client connection, with the header values that its requests share.
pub(crate) struct Peer {
    address: SocketAddr,
    secure: bool,
    trusted: bool,
    for_: HeaderValue,
    /// The host last asked for: clients seldom change it.
    last: Mutex<Option<Arc<Asked>>>,
}

/// The host that a request asks for, and what follows from it.
pub(crate) struct Asked {
    pub(crate) host: HeaderValue,
    pub(crate) authority: Authority,
    forwarded: HeaderValue,
    for_: HeaderValue,
    proto: HeaderValue,
    /// The peer is a proxy whose word is believed.
    trusted: bool,
}

/// What a guest finds in its request's headers beside what the client sent. It is written when a
/// guest asks for headers, which many never do.
#[derive(Clone)]
pub(crate) struct Stamp {
    asked: Arc<Asked>,
    id: HeaderValue,
}

/// Fields that a stamp may add.
const STAMPED: usize = 5;

impl Stamp {
    pub(crate) fn new(asked: Arc<Asked>, id: &RequestId) -> Stamp {
        let id = id.value().clone();
        Stamp { asked, id }
    }

    /// Writes the headers for the guest.
    pub(crate) fn write(self, headers: &mut HeaderMap) {
        headers.reserve(STAMPED);
        let asked = &*self.asked;
        if asked.trusted {
            // What a trusted proxy says stays, and it is added to the list.
            headers.append(FOR, asked.for_.clone());
            headers.append(FORWARDED, asked.forwarded.clone());
            headers.entry(HOST).or_insert_with(|| asked.host.clone());
            headers.entry(PROTO).or_insert_with(|| asked.proto.clone());
        } else {
            // Most requests have none: comparing names costs less than looking up each claim.
            if headers.keys().any(|name| CLAIMS.contains(name)) {
                for claim in &CLAIMS {
                    headers.remove(claim);
                }
            }
            headers.insert(FORWARDED, asked.forwarded.clone());
            headers.insert(FOR, asked.for_.clone());
            headers.insert(HOST, asked.host.clone());
            headers.insert(PROTO, asked.proto.clone());
        }
        headers.insert(request_id::HEADER, self.id);
    }
}

impl Peer {
    pub(crate) fn new(address: SocketAddr, secure: bool, proxies: &[Network]) -> Peer {
        // A dual-stack socket shows IPv4 clients as mapped addresses; nobody wants to see those.
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        let ip = address.ip();
        let trusted = proxies.iter().any(|net| net.contains(ip));
        let for_ = ascii(&ip.to_string());
        Peer {
            address,
            secure,
            trusted,
            for_,
            last: Mutex::default(),
        }
    }

    /// `https` if the connection is encrypted.
    pub(crate) fn is_secure(&self) -> bool {
        self.secure
    }

    /// The other end of the connection, be it the client or a proxy.
    pub(crate) fn ip(&self) -> IpAddr {
        self.address.ip()
    }

    /// Whether the request may come from one of our own services, whose word on how deep a chain
    /// of requests it stands in is believed.
    pub(crate) fn may_be_a_service(&self) -> bool {
        self.trusted || self.address.ip().is_loopback()
    }

    /// The client's address: the peer's, or what a trusted proxy says of it.
    pub(crate) fn client(&self, headers: &HeaderMap, proxies: &[Network]) -> IpAddr {
        if !self.trusted {
            return self.address.ip();
        }
        let said = headers.get_all(&FOR).iter();
        let said: Vec<&str> = said.filter_map(|value| value.to_str().ok()).collect();
        heard::client(said.into_iter(), proxies).unwrap_or(self.address.ip())
    }

    fn proto(&self) -> HeaderValue {
        HeaderValue::from_static(if self.secure { "https" } else { "http" })
    }

    /// What follows from this host.
    ///
    /// # Errors
    /// If it is no authority.
    pub(crate) fn asked(&self, host: HeaderValue) -> Result<Arc<Asked>, InvalidUri> {
        let mut last = self.last.lock();
        if let Some(asked) = &*last
            && asked.host == host
        {
            return Ok(asked.clone());
        }
        let authority = Authority::try_from(host.as_bytes())?;
        let for_ = match self.address.ip() {
            IpAddr::V4(ip) => ip.to_string(),
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        let proto = if self.secure { "https" } else { "http" };
        // A host that came this far has no quote or backslash in it: see `gateway::authority`.
        let host_text = host.to_str().unwrap_or_default();
        let forwarded = ascii(&format!("for={for_};host=\"{host_text}\";proto={proto}"));
        let asked = Arc::new(Asked {
            host,
            authority,
            forwarded,
            for_: self.for_.clone(),
            proto: self.proto(),
            trusted: self.trusted,
        });
        *last = Some(asked.clone());
        Ok(asked)
    }
}

fn ascii(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(peer: &str, proxies: &[&str], sent: &[(&'static str, &str)]) -> (HeaderMap, IpAddr) {
        let proxies: Vec<Network> = proxies.iter().map(|net| net.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let peer = Peer::new(peer.parse().unwrap(), false, &proxies);
        let host = HeaderValue::from_static("shop.example:8080");
        let asked = peer.asked(host).unwrap();
        let client = peer.client(&headers, &proxies);
        Stamp::new(asked, &RequestId::named("test")).write(&mut headers);
        assert_eq!(headers.remove(request_id::HEADER).unwrap(), "test");
        (headers, client)
    }

    #[test]
    fn a_strangers_claims_are_replaced() {
        let claims = [("x-forwarded-for", "1.1.1.1"), ("forwarded", "for=1.1.1.1")];
        let (headers, client) = stamp("10.0.0.9:1", &[], &claims);
        assert_eq!(headers[FOR], "10.0.0.9");
        assert_eq!(
            headers[FORWARDED],
            "for=10.0.0.9;host=\"shop.example:8080\";proto=http"
        );
        assert_eq!(headers[PROTO], "http");
        assert_eq!(client, "10.0.0.9".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn a_trusted_proxys_claims_are_kept_and_added_to() {
        let claims = [
            ("x-forwarded-for", "6.6.6.6, 203.0.113.5, 10.0.0.7"),
            ("x-forwarded-proto", "https"),
        ];
        let (headers, client) = stamp("10.0.0.9:1", &["10.0.0.0/8"], &claims);
        let for_: Vec<_> = headers.get_all(FOR).iter().collect();
        assert_eq!(for_, ["6.6.6.6, 203.0.113.5, 10.0.0.7", "10.0.0.9"]);
        assert_eq!(headers[PROTO], "https");
        // Not the first, which the client may have made up.
        assert_eq!(client, "203.0.113.5".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn ipv6_is_written_as_rfc_7239_wants_it() {
        let (headers, _) = stamp("[2001:db8::1]:1", &[], &[]);
        assert!(
            headers[FORWARDED]
                .to_str()
                .unwrap()
                .starts_with("for=\"[2001:db8::1]\";")
        );
        let (headers, _) = stamp("[::ffff:10.0.0.9]:1", &[], &[]);
        assert_eq!(headers[FOR], "10.0.0.9");
    }
}
