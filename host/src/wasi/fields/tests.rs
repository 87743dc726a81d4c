//! Fields behave as wasmtime-wasi-http's do, whatever a guest does to them.

use proptest::prelude::*;
use wasmtime_wasi_http::{
    Error, FieldMap, FieldMapError, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks,
};

use super::*;
use crate::outgoing::{Sending, Sent};

/// What wasmtime's map asks.
struct Rules;

impl WasiHttpHooks for Rules {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        Arc::new(is_forbidden)
    }

    fn send_request(
        &mut self,
        _: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Sending,
    ) -> Sent {
        Box::new(std::future::ready(Err(Error::HttpRequestDenied)))
    }
}

#[derive(Clone, Debug)]
enum Step {
    Append(String, Vec<u8>),
    Set(String, Vec<Vec<u8>>),
    Delete(String),
    /// Goes on with a copy.
    Copy,
    /// Goes on with what a message shows of them.
    Send,
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => prop::sample::select(&["a", "b", "X-Long-Name", "content-type"]).prop_map(str::to_owned),
        3 => Just("Content-Length".to_owned()),
        1 => prop::sample::select(&["host", "transfer-encoding", "skep-depth"]).prop_map(str::to_owned),
        1 => "[a-z :\u{0}-\u{20}é]{0,5}",
    ]
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        4 => "[ -~]{0,20}".prop_map(String::into_bytes),
        3 => prop::sample::select(&["0", "007", "42", "+1", "", "99999999999999999999"]).prop_map(|s| s.as_bytes().to_vec()),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (name(), value()).prop_map(|(name, value)| Step::Append(name, value)),
        3 => (name(), prop::collection::vec(value(), 0..4))
            .prop_map(|(name, values)| Step::Set(name, values)),
        2 => name().prop_map(Step::Delete),
        1 => Just(Step::Copy),
        1 => Just(Step::Send),
    ]
}

fn refusal(error: FieldMapError) -> Refusal {
    match error {
        FieldMapError::Immutable => Refusal::Told(Reason::Immutable),
        FieldMapError::Forbidden => Refusal::Told(Reason::Forbidden),
        FieldMapError::InvalidHeaderName | FieldMapError::InvalidHeaderValue => SYNTAX,
        FieldMapError::TooManyFields | FieldMapError::TotalSizeTooBig => Refusal::TooLarge,
    }
}

proptest! {
    #[test]
    fn they_do_as_wasmtimes_do(
        steps in prop::collection::vec(step(), 0..40),
        limit in prop_oneof![Just(150_usize), Just(400), Just(100_000)],
    ) {
        let mut ours = Fields::new();
        let mut theirs = FieldMap::new_mutable(limit);
        for step in steps {
            let (did, should) = match step {
                Step::Append(name, value) => (
                    ours.append(limit, &name, value.clone()),
                    theirs.append(&mut Rules, name, value).map(drop),
                ),
                Step::Set(name, values) => (
                    ours.set(limit, &name, values.clone()),
                    theirs.set(&mut Rules, name, values),
                ),
                Step::Delete(name) => (
                    ours.delete(&name),
                    theirs.remove_all(&mut Rules, name).map(drop),
                ),
                Step::Copy => {
                    ours = ours.copy();
                    theirs.set_mutable(limit);
                    (Ok(()), Ok(()))
                }
                Step::Send => {
                    ours = ours.into_headers().view();
                    theirs.set_immutable();
                    (Ok(()), Ok(()))
                }
            };
            prop_assert_eq!(did, should.map_err(refusal));
            prop_assert_eq!(ours.headers.map(), &*theirs);
            if let State::Open { size } = ours.state {
                let State::Open { size: counted } = ours.copy().state else {
                    panic!("a copy is open");
                };
                prop_assert_eq!(counted, size);
                prop_assert!(size <= limit);
            }
        }
    }
}

#[test]
fn what_a_guest_may_not_see_is_taken_out() {
    let mut map = HeaderMap::new();
    for name in [
        "host",
        "connection",
        "skep-depth",
        "upgrade",
        "accept",
        "x-a",
    ] {
        map.append(name, HeaderValue::from_static("1"));
        map.append(name, HeaderValue::from_static("2"));
    }
    let fields = Fields::received(map);
    let mut names: Vec<_> = fields.entries().into_iter().map(|(name, _)| name).collect();
    names.sort();
    assert_eq!(names, ["accept", "accept", "x-a", "x-a"]);
    assert!(fields.has("Accept") && !fields.has("host") && !fields.has("no name"));
    assert_eq!(fields.get("X-A"), [b"1".to_vec(), b"2".to_vec()]);
}

#[test]
fn a_copy_leaves_the_message_as_it_is() {
    let mut headers = Headers::received(HeaderMap::from_iter([(
        http::header::ACCEPT,
        HeaderValue::from_static("1"),
    )]));
    let mut view = headers.view();
    let told = view.append(1000, "accept", b"2".to_vec());
    assert_eq!(told, Err(Refusal::Told(Reason::Immutable)));
    let mut copy = view.copy();
    copy.append(1000, "accept", b"2".to_vec()).unwrap();
    assert_eq!(copy.get("accept").len(), 2);
    assert_eq!(headers.into_map().len(), 1);
}
