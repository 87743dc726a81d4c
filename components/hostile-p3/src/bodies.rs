//! Response bodies that do not come to a good end, beside one that does.
use std::mem::forget;

use wasip3::clocks::monotonic_clock::wait_for;
use wasip3::http::types::{ErrorCode, Fields, Response};
use wasip3::{spawn_local, wit_future, wit_stream};

type End = Result<Option<Fields>, ErrorCode>;

fn with_length(length: &str) -> Fields {
    let list = [("content-length".to_string(), length.as_bytes().to_vec())];
    Fields::from_list(&list).expect("a legal header")
}

fn sent(headers: Fields, bytes: Vec<u8>) -> Response {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        writer.write_all(bytes).await;
    });
    Response::new(headers, Some(reader), wit_future::new(|| Ok(None)).1).0
}

pub(crate) fn text(body: &str) -> Response {
    sent(Fields::new(), body.as_bytes().to_vec())
}

/// Sends this and then neither more nor an end.
pub(crate) fn held(body: &'static str) -> Response {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        writer.write_all(body.as_bytes().to_vec()).await;
        wait_for(u64::MAX).await;
    });
    Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0
}

pub(crate) fn endless(piece: usize) -> Response {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move { while writer.write_all(vec![b'e'; piece]).await.is_empty() {} });
    Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0
}

/// So many bytes in a single write.
pub(crate) fn one_piece(bytes: u64) -> Response {
    sent(Fields::new(), vec![b'p'; bytes as usize])
}

/// Writes nothing, without end.
pub(crate) fn empty_writes() -> Response {
    let (mut writer, reader) = wit_stream::new();
    spawn_local(async move {
        loop {
            let _ = writer.write(Vec::<u8>::new()).await;
        }
    });
    Response::new(Fields::new(), Some(reader), wit_future::new(|| Ok(None)).1).0
}

pub(crate) fn short_of_its_length() -> Response {
    sent(with_length("100"), b"half a body".to_vec())
}

pub(crate) fn longer_than_its_length() -> Response {
    sent(with_length("5"), b"more than five".to_vec())
}

fn ended(end: End) -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (ending, trailers) = wit_future::new(|| Ok(None));
    spawn_local(async move {
        writer.write_all(b"body\n".to_vec()).await;
        drop(writer);
        let _ = ending.write(end).await;
    });
    Response::new(Fields::new(), Some(reader), trailers).0
}

/// With an error whose text has so many bytes.
pub(crate) fn body_error(bytes: u64) -> Response {
    let words = "own words ".repeat(bytes as usize / 10);
    ended(Err(ErrorCode::InternalError(Some(words))))
}

pub(crate) fn forbidden_trailers() -> Response {
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
    ended(Ok(Some(trailers)))
}

/// Ends its body, and leaves the host to wait for trailers.
pub(crate) fn no_trailers_ever() -> Response {
    let (mut writer, reader) = wit_stream::new();
    let (ending, trailers) = wit_future::new(|| -> End { Ok(None) });
    spawn_local(async move {
        writer.write_all(b"body\n".to_vec()).await;
        drop(writer);
        forget(ending);
    });
    Response::new(Fields::new(), Some(reader), trailers).0
}

/// So many header fields.
pub(crate) fn head(count: u64) -> Response {
    let headers = Fields::new();
    for n in 0..count {
        if let Err(error) = headers.append(&format!("x-{n}"), &[b'h'; 64]) {
            return text(&format!("refused after {n}: {error:?}\n"));
        }
    }
    sent(headers, Vec::new())
}
