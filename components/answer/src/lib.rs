//! What the WASI 0.2 fixtures share: taking a request's target apart and answering. Errors of
//! the response stream are ignored here: they mean that the client is gone.
use wasip2::http::types::{
    Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam, Trailers,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// A request's path and query, taken apart.
#[derive(Debug)]
pub struct Target {
    /// The path's segments, percent-decoded: `/sleep/20` → `["sleep", "20"]`.
    pub segments: Vec<String>,
    /// The query's pairs, percent-decoded, in order.
    pub query: Vec<(String, String)>,
}

impl Target {
    pub fn of(request: &IncomingRequest) -> Target {
        Target::parse(&request.path_with_query().unwrap_or_default())
    }

    pub fn parse(path_with_query: &str) -> Target {
        let (path, query) = path_with_query
            .split_once('?')
            .unwrap_or((path_with_query, ""));
        Target {
            segments: path
                .split('/')
                .filter(|s| !s.is_empty())
                .map(decoded)
                .collect(),
            query: query
                .split('&')
                .filter(|pair| !pair.is_empty())
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(key, value)| (decoded(key), decoded(value)))
                .collect(),
        }
    }

    pub fn segment(&self, index: usize) -> &str {
        self.segments.get(index).map_or("", String::as_str)
    }

    /// The number in a segment, or 0.
    pub fn number(&self, index: usize) -> u64 {
        self.segment(index).parse().unwrap_or(0)
    }

    pub fn query(&self, key: &str) -> Option<&str> {
        self.query
            .iter()
            .find(|(name, _)| name == key)
            .map(|(_, value)| value.as_str())
    }

    /// The query's value for `key`, or the empty text.
    pub fn value(&self, key: &str) -> &str {
        self.query(key).unwrap_or("")
    }
}

/// A response that has been sent as far as its head.
pub struct Sending {
    body: OutgoingBody,
    stream: OutputStream,
}

impl Sending {
    pub fn start(out: ResponseOutparam, status: u16, headers: &[(&str, &str)]) -> Sending {
        let list: Vec<_> = headers
            .iter()
            .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
            .collect();
        let headers = Fields::from_list(&list).expect("the fixture's header fields are legal");
        let response = OutgoingResponse::new(headers);
        response
            .set_status_code(status)
            .expect("the fixture's status is legal");
        let body = response.body().expect("the body is taken once");
        ResponseOutparam::set(out, Ok(response));
        let stream = body.write().expect("the stream is taken once");
        Sending { body, stream }
    }

    /// Writes and flushes; false when the client is gone.
    pub fn write(&mut self, bytes: &[u8]) -> bool {
        self.write_unflushed(bytes) && self.stream.blocking_flush().is_ok()
    }

    /// Writes what the host has room for at a time, without waiting for it to be sent.
    pub fn write_unflushed(&mut self, bytes: &[u8]) -> bool {
        write_all(&self.stream, bytes).is_ok()
    }

    pub fn finish(self, trailers: Option<Trailers>) -> Result<(), wasip2::http::types::ErrorCode> {
        drop(self.stream);
        OutgoingBody::finish(self.body, trailers)
    }
}

/// Answers with plain text.
pub fn text(out: ResponseOutparam, status: u16, body: &str) {
    let mut sending = Sending::start(
        out,
        status,
        &[("content-type", "text/plain; charset=utf-8")],
    );
    if !body.is_empty() {
        sending.write(body.as_bytes());
    }
    let _ = sending.finish(None);
}

fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = stream.check_write()? as usize;
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, rest) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = rest;
    }
    Ok(())
}

fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut plain = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let hex = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match (
            bytes[at],
            hex.and_then(|pair| u8::from_str_radix(pair, 16).ok()),
        ) {
            (b'%', Some(byte)) => {
                plain.push(byte);
                at += 2;
            }
            (b'+', _) => plain.push(b' '),
            (byte, _) => plain.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&plain).into_owned()
}
