//! Responses that no client should ever be sent as they are.
use answer::{Sending, text};
use wasip2::http::types::{
    ErrorCode, Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::OutputStream;

use crate::waiting::sleep;

/// A response that has been sent as far as its head, without `answer`'s good manners.
fn begin(out: ResponseOutparam, headers: Fields) -> (OutgoingBody, OutputStream) {
    let response = OutgoingResponse::new(headers);
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let stream = body.write().expect("the stream is taken once");
    (body, stream)
}

/// Uses the response handle after it was given away.
pub(crate) fn set_twice(out: ResponseOutparam) {
    let handle = out.take_handle();
    for _ in 0..2 {
        // SAFETY: on purpose not so the second time; handles are indices that the host checks.
        let out = unsafe { ResponseOutparam::from_handle(handle) };
        ResponseOutparam::set(out, Ok(OutgoingResponse::new(Fields::new())));
    }
}

/// Gives up its right to answer, and stays.
pub(crate) fn never_for_ever(out: ResponseOutparam) {
    drop(out);
    sleep()
}

/// Returns in the middle of its body.
pub(crate) fn unfinished(out: ResponseOutparam) {
    let (body, stream) = begin(out, Fields::new());
    let _ = stream.blocking_write_and_flush(b"half a body");
    drop(stream);
    drop(body);
}

/// Sends half of its body and then nothing, for ever.
pub(crate) fn half_then_hang(out: ResponseOutparam) {
    let (_body, stream) = begin(out, Fields::new());
    let _ = stream.blocking_write_and_flush(b"half a body");
    sleep()
}

pub(crate) fn endless(out: ResponseOutparam) {
    let mut sending = Sending::start(out, 200, &[]);
    while sending.write(&[b'e'; 4096]) {}
}

/// Writes whenever it may and never waits for it to be sent.
pub(crate) fn no_flush(out: ResponseOutparam) {
    let (_body, stream) = begin(out, Fields::new());
    loop {
        match stream.check_write() {
            Ok(0) => {}
            Ok(permit) => drop(stream.write(&vec![b'w'; permit as usize])),
            Err(_) => return,
        }
    }
}

/// Writes nothing, without end.
pub(crate) fn empty_writes(out: ResponseOutparam) {
    let (_body, stream) = begin(out, Fields::new());
    loop {
        if stream.check_write().is_ok() {
            let _ = stream.write(b"");
        }
        let _ = stream.flush();
    }
}

/// Asks the host for so many zeroes in one call.
pub(crate) fn zeroes(out: ResponseOutparam, count: u64) {
    let (_body, stream) = begin(out, Fields::new());
    let _ = stream.write_zeroes(count);
}

/// Writes more than `check-write` allowed.
pub(crate) fn over_permit(out: ResponseOutparam) {
    let (_body, stream) = begin(out, Fields::new());
    let permit = stream.check_write().unwrap_or(0);
    let _ = stream.write(&vec![b'x'; permit as usize + 1]);
}

/// Declares one length and sends another.
pub(crate) fn length(out: ResponseOutparam, declared: u64, sent: u64) {
    let mut sending = Sending::start(out, 200, &[("content-length", &declared.to_string())]);
    sending.write("l".repeat(sent as usize).as_bytes());
    let _ = sending.finish(None);
}

/// Two lengths, which a client and a proxy might each believe one of.
pub(crate) fn two_lengths(out: ResponseOutparam) {
    let headers = Fields::new();
    for value in ["3", "7"] {
        if let Err(error) = headers.append("content-length", value.as_bytes()) {
            return text(out, 200, &format!("refused: {error:?}\n"));
        }
    }
    let (body, stream) = begin(out, headers);
    let _ = stream.blocking_write_and_flush(b"1234567");
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// So many header fields of so many bytes each.
pub(crate) fn head(out: ResponseOutparam, count: u64, bytes: u64) {
    let headers = Fields::new();
    let value = "h".repeat(bytes as usize);
    for n in 0..count {
        if let Err(error) = headers.append(&format!("x-{n}"), value.as_bytes()) {
            return text(out, 200, &format!("refused after {n}: {error:?}\n"));
        }
    }
    let (body, stream) = begin(out, headers);
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

/// Fields that would let a guest steer the connection, split the head, or pose as the host.
pub(crate) fn forbidden(out: ResponseOutparam) {
    let attempts: [(&str, &[u8]); 9] = [
        ("connection", b"upgrade"),
        ("transfer-encoding", b"chunked, identity"),
        ("upgrade", b"h2c"),
        ("keep-alive", b"timeout=99999"),
        ("host", b"elsewhere"),
        ("skep-depth", b"0"),
        ("bad name", b"1"),
        (
            "x-split",
            b"a\r\nset-cookie: stolen=1\r\n\r\nHTTP/1.1 200 OK",
        ),
        ("x-nul", b"a\0b"),
    ];
    let headers = Fields::new();
    let accepted: Vec<&str> = attempts
        .iter()
        .filter(|(name, value)| headers.append(name, value).is_ok())
        .map(|(name, _)| *name)
        .collect();
    let (body, stream) = begin(out, headers);
    let _ = stream.blocking_write_and_flush(format!("accepted: {accepted:?}\n").as_bytes());
    drop(stream);
    let _ = OutgoingBody::finish(body, None);
}

pub(crate) fn forbidden_trailers(out: ResponseOutparam) {
    let (body, stream) = begin(out, Fields::new());
    let _ = stream.blocking_write_and_flush(b"body\n");
    drop(stream);
    let trailers = Fields::new();
    for name in [
        "content-length",
        "transfer-encoding",
        "set-cookie",
        "host",
        "x-fine",
    ] {
        let _ = trailers.append(name, b"7");
    }
    let _ = OutgoingBody::finish(body, Some(trailers));
}

pub(crate) fn many_trailers(out: ResponseOutparam, count: u64) {
    let (body, stream) = begin(out, Fields::new());
    let _ = stream.blocking_write_and_flush(b"body\n");
    drop(stream);
    let trailers = Fields::new();
    for n in 0..count {
        let _ = trailers.append(&format!("x-{n}"), &[b't'; 64]);
    }
    let _ = OutgoingBody::finish(body, Some(trailers));
}

/// A status that HTTP does not have, or one that is no answer.
pub(crate) fn status(out: ResponseOutparam, status: u64) {
    let response = OutgoingResponse::new(Fields::new());
    let code = u16::try_from(status).unwrap_or(u16::MAX);
    if response.set_status_code(code).is_err() {
        return text(out, 200, "refused\n");
    }
    let body = response.body().expect("the body is taken once");
    ResponseOutparam::set(out, Ok(response));
    let _ = OutgoingBody::finish(body, None);
}

/// An error whose text has so many bytes.
pub(crate) fn error_at_length(out: ResponseOutparam, bytes: u64) {
    let words = "own words ".repeat(bytes as usize / 10);
    ResponseOutparam::set(out, Err(ErrorCode::InternalError(Some(words))));
}

/// Holds on to the request's body and answers without a look at it.
pub(crate) fn unread(request: &IncomingRequest, out: ResponseOutparam) {
    let _body = request.consume();
    text(out, 200, "I do not read\n");
}

pub(crate) fn unread_for_ever(request: &IncomingRequest) {
    let body = request.consume().expect("the body is taken once");
    let _stream = body.stream();
    sleep()
}
