use http::HeaderMap;

use super::*;

fn traced(value: &str) -> bool {
    let mut headers = HeaderMap::new();
    headers.insert(TRACEPARENT, HeaderValue::from_str(value).unwrap());
    headers.insert(TRACESTATE, HeaderValue::from_static("a=b"));
    keep_valid_trace(&mut headers);
    assert_eq!(
        headers.contains_key(&TRACEPARENT),
        headers.contains_key(&TRACESTATE)
    );
    headers.contains_key(&TRACEPARENT)
}

#[test]
fn trace_contexts_are_passed_on_only_if_they_are_some() {
    let trace = "0af7651916cd43dd8448eb211c80319c";
    assert!(traced(&format!("00-{trace}-b7ad6b7169203331-01")));
    assert!(traced(&format!("01-{trace}-b7ad6b7169203331-01-more")));
    assert!(!traced(&format!("00-{trace}-b7ad6b7169203331-01-more")));
    assert!(!traced(&format!("ff-{trace}-b7ad6b7169203331-01")));
    assert!(!traced(&format!(
        "00-{}-b7ad6b7169203331-01",
        "0".repeat(32)
    )));
    assert!(!traced(&format!("00-{trace}-0000000000000000-01")));
    assert!(!traced(&format!(
        "00-{}-b7ad6b7169203331-01",
        trace.to_uppercase()
    )));
    assert!(!traced("garbage"));
}

fn request(uri: &str, version: Version, hosts: &[&str]) -> http::request::Parts {
    let mut builder = Request::builder().uri(uri).version(version);
    for host in hosts {
        builder = builder.header(HOST, *host);
    }
    builder.body(()).unwrap().into_parts().0
}

#[test]
fn the_host_is_taken_from_one_place() {
    let host = |uri: &str, version, hosts: &[&str]| {
        authority(&mut request(uri, version, hosts)).map(|host| host.to_str().unwrap().to_owned())
    };
    assert_eq!(
        host("/", Version::HTTP_11, &["a.example:80"]).unwrap(),
        "a.example:80"
    );
    assert_eq!(
        host("http://b.example/", Version::HTTP_11, &["a.example"]).unwrap(),
        "b.example"
    );
    assert_eq!(host("/", Version::HTTP_10, &[]).unwrap(), "localhost");
    assert!(host("/", Version::HTTP_11, &[]).is_err());
    assert!(host("/", Version::HTTP_11, &["a", "b"]).is_err());
    assert!(host("/", Version::HTTP_11, &["a/b"]).is_err());
    assert!(host("/", Version::HTTP_11, &["a\"b"]).is_err());
    assert!(host("http://user@b.example/", Version::HTTP_11, &[]).is_err());
}

#[test]
fn the_router_and_the_guest_see_one_spelling_of_a_path() {
    let normal = |uri: &str| {
        let mut parts = request(uri, Version::HTTP_11, &["a"]);
        normalise(&mut parts).map(|()| parts.uri.to_string())
    };
    assert_eq!(normal("/a/b?x=%41").unwrap(), "/a/b?x=%41");
    assert_eq!(normal("/%61/b?x=1").unwrap(), "/a/b?x=1");
    assert_eq!(normal("/a%2fb").unwrap(), "/a%2Fb");
    assert!(normal("/a/../b").is_err());
    assert!(normal("/a/%2e%2E/b").is_err());
}
