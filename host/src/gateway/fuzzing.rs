//! What holds of a client's head before a guest sees it, and of the line that tells of it: for the
//! fuzz target `head`.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, SystemTime};

use http::header::HOST;
use http::{HeaderName, HeaderValue, Method, Request, Uri};

use super::forwarded::{Peer, Stamp};
use super::{RequestId, absolute, authority, keep_valid_trace, normalise};
use crate::log::{AccessRecord, Style};
use crate::trace::Tracer;

/// The first line is a method and a target, the others are header fields; an empty line ends them,
/// and what follows is an error's text.
pub fn check(input: &[u8]) {
    let mut lines = input.split(|byte| *byte == b'\n');
    let Some(mut request) = lines.next().and_then(request_line) else {
        return;
    };
    for line in lines.by_ref().take_while(|line| !line.is_empty()) {
        let colon = line.iter().position(|byte| *byte == b':');
        let (name, value) = line.split_at(colon.unwrap_or(line.len()));
        let value = HeaderValue::from_bytes(value.get(1..).unwrap_or_default());
        if let (Ok(name), Ok(value)) = (HeaderName::from_bytes(name), value) {
            let _ = request.headers_mut().try_append(name, value);
        }
    }
    let error: Vec<u8> = lines.flatten().copied().collect();
    let (parts, ()) = request.into_parts();
    check_line(&parts, &String::from_utf8_lossy(&error));
    check_head(parts);
}

fn request_line(line: &[u8]) -> Option<Request<()>> {
    let space = line.iter().position(|byte| *byte == b' ')?;
    let (method, target) = line.split_at(space);
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(target.get(1..)?).ok()?;
    Some(request)
}

fn check_head(mut parts: http::request::Parts) {
    let id = RequestId::accept_or_make(&parts.headers);
    assert!(!id.as_str().is_empty() && id.as_str().len() <= 128);
    let Ok(host) = authority(&mut parts) else {
        return;
    };
    if normalise(&mut parts).is_err() {
        return;
    }
    let path = parts.uri.path().to_owned();
    assert!(
        !path
            .split('/')
            .any(|segment| segment == "." || segment == ".."),
        "{path}"
    );
    assert!(normalise(&mut parts).is_ok());
    assert_eq!(parts.uri.path(), path, "normal is normal");
    let peer = Peer::new(SocketAddr::from((Ipv4Addr::LOCALHOST, 80)), false, &[]);
    let Ok(asked) = peer.asked(host) else { return };
    parts.headers.remove(HOST);
    Stamp::new(asked.clone(), &id).write(&mut parts.headers);
    assert_eq!(parts.headers.get_all("x-forwarded-for").iter().count(), 1);
    assert_eq!(parts.headers.get_all("forwarded").iter().count(), 1);
    keep_valid_trace(&mut parts.headers);
    if let Ok(head) = absolute(&mut parts, &peer, asked.authority.clone()) {
        assert!(head.uri.scheme().is_some() && head.uri.authority().is_some());
        assert_eq!(head.uri.path(), path);
        assert!(!head.headers.contains_key(HOST));
    }
}

/// Whatever it is made of, the line of a request is one line, and one that can be read.
fn check_line(parts: &http::request::Parts, error: &str) {
    let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
    let trace = parts.headers.get("traceparent");
    let id = RequestId::accept_or_make(&parts.headers);
    let begun = Tracer::default().request(&mut parts.headers.clone(), true);
    let record = AccessRecord {
        time: SystemTime::UNIX_EPOCH,
        request_id: id.as_str(),
        client: IpAddr::V4(Ipv4Addr::LOCALHOST),
        method: parts.method.as_str(),
        host: host.unwrap_or_default(),
        path: parts.uri.path(),
        version: parts.version,
        status: None,
        request_bytes: 0,
        response_bytes: 0,
        duration: Duration::ZERO,
        service: None,
        outcome: "ok",
        error: Some(error),
        traceparent: trace.and_then(|trace| trace.to_str().ok()),
        span: begun.map(|begun| begun.trace.here()),
        calls: None,
    };
    for style in [Style::Json, Style::Plain] {
        let mut text = String::new();
        record.render(&mut text, style);
        assert!(
            !text.contains(|c: char| c.is_control() && c != '\t' && c != '\n'),
            "{text:?}"
        );
        if style == Style::Json {
            assert!(!text.contains('\n'));
            let read: Result<serde_json::Value, _> = serde_json::from_str(&text);
            assert!(read.is_ok(), "{text}");
        }
        assert!(text.len() < 64 << 10, "{} bytes", text.len());
    }
}
