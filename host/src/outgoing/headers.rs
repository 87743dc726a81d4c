//! What a request's head must say and must not: hop-by-hop fields, Host, length, depth.

use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::uri::PathAndQuery;
use http::{Request, Uri, Version};
use wasmtime_wasi_http::Error;

use super::destination::Destination;

/// Counts how many requests of Skep services led to this one. The gateway reads it with [`depth`]
/// and gives it to the instance's scope; guests cannot set it.
pub const DEPTH_HEADER: HeaderName = HeaderName::from_static("skep-depth");

/// A request chain through services that is longer than this is taken for a loop.
pub const MAX_DEPTH: u32 = 16;

/// Fields that concern one connection only (RFC 9110, section 7.6.1, and what came before it).
const HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("http2-settings"),
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

/// The depth that a request arrived with; 0 where the field is absent or not a number.
pub fn depth(headers: &HeaderMap) -> u32 {
    headers
        .get(DEPTH_HEADER)
        .and_then(|value| value.to_str().ok()?.parse().ok())
        .unwrap_or(0)
}

/// Takes out what a guest may not say and writes the depth that its own request had, plus one.
pub(super) fn prepare_request(headers: &mut HeaderMap, depth: u32) -> Result<(), Error> {
    if depth >= MAX_DEPTH {
        return Err(Error::LoopDetected);
    }
    strip_hop_by_hop(headers);
    headers.remove(header::HOST);
    headers.insert(DEPTH_HEADER, HeaderValue::from(depth + 1));
    Ok(())
}

/// Writes target, Host and version as the connection's protocol wants them. May be repeated.
pub(super) fn address<B>(request: &mut Request<B>, destination: &Destination, http2: bool) {
    let path = request.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let authority = destination.authority();
    request.headers_mut().remove(header::HOST);
    if http2 {
        *request.version_mut() = Version::HTTP_2;
        let uri = Uri::builder()
            .scheme(destination.scheme())
            .authority(authority)
            .path_and_query(path);
        // A destination is made of checked characters, so neither can fail; an untouched URI would
        // still name the same place.
        if let Ok(uri) = uri.build() {
            *request.uri_mut() = uri;
        }
    } else {
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = Uri::from(path);
        if let Ok(host) = HeaderValue::try_from(authority) {
            request.headers_mut().insert(header::HOST, host);
        }
    }
}

pub(super) fn strip_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    // The one use of TE that concerns the ends: they can tell each other about trailers.
    let trailers = headers
        .get(header::TE)
        .is_some_and(|te| te.as_bytes().eq_ignore_ascii_case(b"trailers"));
    if !trailers {
        headers.remove(header::TE);
    }
}

/// The request's declared length. Two lengths that differ are how requests are smuggled.
pub(super) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, Error> {
    let mut values = headers.get_all(header::CONTENT_LENGTH).iter();
    let Some(first) = values.next() else {
        return Ok(None);
    };
    let digits = first.to_str().ok().filter(|text| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && values.next().is_none()
    });
    let length = digits.and_then(|digits| digits.parse().ok());
    length.map(Some).ok_or(Error::HttpProtocolError)
}

/// Bytes of names and values, the measure of `response_headers`.
pub(super) fn size(headers: &HeaderMap) -> usize {
    let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len();
    headers.iter().map(field).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        let field = |(name, value): &(&'static str, &'static str)| {
            (
                HeaderName::from_static(name),
                HeaderValue::from_static(value),
            )
        };
        fields.iter().map(field).collect()
    }

    #[test]
    fn hop_by_hop_fields_stay_behind() {
        let mut map = headers(&[
            ("connection", "close, x-private"),
            ("keep-alive", "5"),
            ("te", "gzip"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("x-private", "1"),
            ("x-public", "2"),
            ("host", "elsewhere"),
            ("skep-depth", "0"),
        ]);
        prepare_request(&mut map, 4).unwrap();
        assert_eq!(map, headers(&[("x-public", "2"), ("skep-depth", "5")]));
        assert_eq!(depth(&map), 5);

        let mut map = headers(&[("te", "Trailers")]);
        strip_hop_by_hop(&mut map);
        assert_eq!(map.len(), 1);
    }

    #[test]
    fn a_chain_that_is_too_deep_is_a_loop() {
        let error = prepare_request(&mut HeaderMap::new(), MAX_DEPTH);
        assert!(matches!(error, Err(Error::LoopDetected)));
        assert_eq!(depth(&headers(&[("skep-depth", "many")])), 0);
        assert_eq!(depth(&HeaderMap::new()), 0);
    }

    #[test]
    fn a_length_is_one_number() {
        assert!(matches!(content_length(&HeaderMap::new()), Ok(None)));
        let length = |value| content_length(&headers(&[("content-length", value)]));
        assert!(matches!(length("42"), Ok(Some(42))));
        for bad in ["", "+1", "1, 1", "-1", "99999999999999999999"] {
            assert!(length(bad).is_err(), "{bad}");
        }
        let mut twice = headers(&[("content-length", "1")]);
        twice.append("content-length", HeaderValue::from_static("1"));
        assert!(content_length(&twice).is_err());
    }
}
