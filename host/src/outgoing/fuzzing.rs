//! What holds of a guest's requests before they leave: for the fuzz target `outgoing`.

use http::{HeaderMap, HeaderName, HeaderValue, Request, Uri};

use super::destination::{Destination, Host};
use super::{DEPTH_HEADER, headers};

/// The first line is a URI, the others are header fields.
pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let uri = lines.next().and_then(|line| Uri::try_from(line).ok());
    let mut fields = HeaderMap::new();
    for line in lines {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            let _ = fields.try_append(name, value);
        }
    }
    check_fields(&mut fields);
    if let Some(uri) = uri
        && let Ok(destination) = Destination::read(&uri)
    {
        check_destination(&uri, &destination, fields);
    }
}

fn check_fields(fields: &mut HeaderMap) {
    if let Ok(Some(length)) = headers::content_length(fields) {
        let written: Vec<_> = fields.get_all("content-length").iter().collect();
        assert_eq!(written.len(), 1, "{fields:?}");
        let text = written[0].to_str().unwrap_or_default();
        let digits = text.trim_start_matches('0');
        let shown = length.to_string();
        assert!(
            digits == shown || (length == 0 && digits.is_empty()),
            "{text}"
        );
    }
    let depth = headers::depth(fields);
    match headers::prepare_request(fields, depth) {
        Ok(()) => assert_eq!(headers::depth(fields), depth + 1),
        Err(_) => assert!(depth >= super::MAX_DEPTH),
    }
    headers::strip_hop_by_hop(fields);
    for gone in [
        "connection",
        "transfer-encoding",
        "upgrade",
        "keep-alive",
        "proxy-connection",
    ] {
        assert!(!fields.contains_key(gone), "{gone} in {fields:?}");
    }
    let before = fields.clone();
    headers::strip_hop_by_hop(fields);
    assert_eq!(*fields, before, "what is stripped stays stripped");
}

fn check_destination(uri: &Uri, destination: &Destination, fields: HeaderMap) {
    // What is written down reads back as the same place.
    let written = format!("{}://{}/", destination.scheme(), destination.authority());
    let again = match Uri::try_from(&written).map(|uri| Destination::read(&uri)) {
        Ok(Ok(again)) => again,
        other => panic!("{written} of {uri}: {other:?}"),
    };
    assert_eq!(again, *destination, "{written} of {uri}");
    assert!(destination.port() != 0);
    if let Host::Name(name) = destination.host() {
        let allowed =
            |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-_.".contains(&byte);
        assert!(name.bytes().all(allowed) && name.len() <= 253, "{name}");
        assert!(name.parse::<std::net::IpAddr>().is_err(), "{name}");
    }
    for http2 in [false, true] {
        let mut request = Request::new(());
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = fields.clone();
        headers::address(&mut request, destination, http2);
        let hosts: Vec<_> = request.headers().get_all("host").iter().cloned().collect();
        if http2 {
            assert!(hosts.is_empty(), "{hosts:?}");
            let to = request
                .uri()
                .authority()
                .map(|authority| authority.as_str());
            assert_eq!(to, Some(destination.authority().as_str()));
        } else {
            assert_eq!(hosts, [destination.authority().as_str()]);
            assert!(request.uri().authority().is_none());
        }
        assert!(!request.headers().contains_key("connection"));
    }
    assert_ne!(DEPTH_HEADER, "host");
}
