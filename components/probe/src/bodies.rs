//! Bodies and header fields in every shape: streamed, slow, unread, too long, untrue.
use answer::{Sending, text};
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingResponse, ResponseOutparam, Trailers,
};

const PIECE: usize = 64 * 1024;

/// Streams the request's body back as it comes, then its trailers.
pub(crate) fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let kind = request.headers().get("content-type");
    let kind = kind
        .first()
        .map(|value| String::from_utf8_lossy(value).into_owned());
    let headers: Vec<_> = kind
        .iter()
        .map(|value| ("content-type", value.as_str()))
        .collect();
    let mut sending = Sending::start(out, 200, &headers);
    let incoming = request.consume().expect("the body is taken once");
    let whole = each_chunk(&incoming, |chunk| sending.write(chunk));
    if whole {
        let _ = sending.finish(trailers_of(incoming));
    }
}

pub(crate) fn send(out: ResponseOutparam, bytes: u64) {
    let mut sending = Sending::start(out, 200, &[]);
    let piece = [b'b'; PIECE];
    let mut left = bytes as usize;
    while left > 0 {
        let now = left.min(PIECE);
        if !sending.write_unflushed(&piece[..now]) {
            return;
        }
        left -= now;
    }
    sending.write(b"");
    let _ = sending.finish(None);
}

pub(crate) fn trickle(out: ResponseOutparam, chunks: u64, milliseconds: u64) {
    let mut sending = Sending::start(out, 200, &[]);
    for chunk in 0..chunks {
        if chunk > 0 {
            crate::pause(milliseconds);
        }
        if !sending.write(format!("chunk {chunk}\n").as_bytes()) {
            eprintln!("trickle: the client is gone after {chunk} chunks");
            return;
        }
    }
    let _ = sending.finish(None);
}

pub(crate) fn trailers(out: ResponseOutparam) {
    let mut sending = Sending::start(out, 200, &[("trailer", "x-checksum")]);
    sending.write(b"body before trailers\n");
    let trailers = Fields::from_list(&[("x-checksum".to_string(), b"42".to_vec())]);
    let _ = sending.finish(trailers.ok());
}

/// Fields that RFC 9110 forbids in trailers; what reaches the client is the host's affair.
pub(crate) fn bad_trailers(out: ResponseOutparam) {
    let mut sending = Sending::start(out, 200, &[]);
    sending.write(b"body before forbidden trailers\n");
    let trailers = Fields::new();
    for (name, value) in [
        ("content-length", "7"),
        ("host", "evil.example"),
        ("x-fine", "1"),
    ] {
        if let Err(error) = trailers.append(name, value.as_bytes()) {
            eprintln!("trailer {name}: {error:?}");
        }
    }
    if let Err(error) = sending.finish(Some(trailers)) {
        eprintln!("finish with forbidden trailers: {error:?}");
    }
}

/// All that came: the head, and how much of a body.
pub(crate) fn report(request: &IncomingRequest, out: ResponseOutparam) {
    let (bytes, end) = read(request);
    let head = crate::report::request(request);
    text(out, 200, &format!("{head}body: {bytes} bytes, {end}\n"));
}

/// Streams the body back under the length that the client declared.
pub(crate) fn echo_declared(request: &IncomingRequest, out: ResponseOutparam) {
    let length = request.headers().get("content-length");
    let length = length.first().cloned().unwrap_or_default();
    let length = String::from_utf8_lossy(&length).into_owned();
    let mut sending = Sending::start(out, 200, &[("content-length", &length)]);
    let incoming = request.consume().expect("the body is taken once");
    if each_chunk(&incoming, |chunk| sending.write(chunk)) {
        let _ = sending.finish(None);
    }
}

pub(crate) fn count(request: &IncomingRequest, out: ResponseOutparam) {
    let (bytes, end) = read(request);
    text(out, 200, &format!("{bytes} bytes, {end}\n"));
}

/// Reads the whole body; how long it was and how it ended.
fn read(request: &IncomingRequest) -> (usize, &'static str) {
    let mut bytes = 0;
    let incoming = request.consume().expect("the body is taken once");
    let whole = each_chunk(&incoming, |chunk| {
        bytes += chunk.len();
        true
    });
    let _ = trailers_of(incoming);
    (bytes, if whole { "whole" } else { "cut short" })
}

/// Reads at most `bytes` every `milliseconds`, which shows back-pressure to a fast sender.
pub(crate) fn read_slowly(
    request: &IncomingRequest,
    out: ResponseOutparam,
    bytes: u64,
    milliseconds: u64,
) {
    let incoming = request.consume().expect("the body is taken once");
    let mut total = 0;
    if let Ok(stream) = incoming.stream() {
        while let Ok(chunk) = stream.blocking_read(bytes.max(1)) {
            total += chunk.len();
            crate::pause(milliseconds);
        }
    }
    text(out, 200, &format!("{total} bytes\n"));
}

pub(crate) fn drop_unread(request: &IncomingRequest, out: ResponseOutparam) {
    drop(request.consume());
    text(out, 200, "dropped the body unread\n");
}

pub(crate) fn big_header(out: ResponseOutparam, bytes: u64) {
    let value = "h".repeat(bytes as usize);
    let mut sending = Sending::start(out, 200, &[("x-big", &value)]);
    sending.write(b"big header\n");
    let _ = sending.finish(None);
}

pub(crate) fn many_headers(out: ResponseOutparam, count: u64) {
    let names: Vec<String> = (0..count).map(|n| format!("x-field-{n}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let mut sending = Sending::start(out, 200, &headers);
    sending.write(b"many headers\n");
    let _ = sending.finish(None);
}

/// What the host says to header fields that a guest may not set.
pub(crate) fn bad_headers() -> String {
    let fields = Fields::new();
    let attempts: [(&str, &[u8]); 7] = [
        ("connection", b"close"),
        ("transfer-encoding", b"chunked"),
        ("upgrade", b"websocket"),
        ("keep-alive", b"timeout=5"),
        ("host", b"evil.example"),
        ("bad name", b"1"),
        ("x-split", b"a\r\nset-cookie: stolen=1"),
    ];
    attempts
        .iter()
        .map(|(name, value)| match fields.append(name, value) {
            Ok(()) => format!("{name}: accepted\n"),
            Err(error) => format!("{name}: {error:?}\n"),
        })
        .collect()
}

/// Declares one length and sends another.
pub(crate) fn lie_about_length(out: ResponseOutparam, declared: u64, sent: u64) {
    let mut sending = Sending::start(out, 200, &[("content-length", &declared.to_string())]);
    sending.write("l".repeat(sent as usize).as_bytes());
    if let Err(error) = sending.finish(None) {
        eprintln!("finish after a lie about the length: {error:?}");
    }
}

/// Sends half a body and returns without finishing it, which wasi:http defines as an error.
pub(crate) fn unfinished(out: ResponseOutparam) {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is taken once");
    let _ = stream.blocking_write_and_flush(b"half a body");
    drop(stream);
    drop(body);
}

/// Calls `on` with every chunk until it returns false; true when the body came whole.
fn each_chunk(body: &IncomingBody, mut on: impl FnMut(&[u8]) -> bool) -> bool {
    let stream = body.stream().expect("the stream is taken once");
    loop {
        match stream.blocking_read(PIECE as u64) {
            Ok(chunk) if on(&chunk) => {}
            Ok(_) => return false,
            Err(wasip2::io::streams::StreamError::Closed) => return true,
            Err(error) => {
                eprintln!("reading the request's body: {error:?}");
                return false;
            }
        }
    }
}

fn trailers_of(body: IncomingBody) -> Option<Trailers> {
    let future = IncomingBody::finish(body);
    future.subscribe().block();
    future.get()?.ok()?.ok()?
}
