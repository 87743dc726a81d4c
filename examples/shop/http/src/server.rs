//! From WASI to [`Request`] and from [`Response`] to WASI.
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, Method as WasiMethod, OutgoingBody, OutgoingResponse,
    ResponseOutparam, Scheme,
};
use wasip2::io::streams::{OutputStream, StreamError};

use crate::{Form, Method, Problem, Request, Response};

/// The shop's forms are small; more is refused.
const BODY_MAX_BYTES: usize = 64 * 1024;
const READ_BYTES: u64 = 16 * 1024;

/// Answers one request. Called by what [`serve!`](crate::serve) makes.
pub fn handle(incoming: IncomingRequest, out: ResponseOutparam, answer: fn(&Request) -> Response) {
    let (response, head_only) = match read(&incoming) {
        Ok(request) => (answer(&request), request.method == Method::Head),
        Err(problem) => (problem.into(), false),
    };
    send(out, response, head_only);
}

fn read(incoming: &IncomingRequest) -> Result<Request, Problem> {
    let target = incoming
        .path_with_query()
        .unwrap_or_else(|| "/".to_string());
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let headers = incoming.headers().entries();
    let headers = headers.into_iter().map(|(name, value)| {
        (
            name.to_lowercase(),
            String::from_utf8_lossy(&value).into_owned(),
        )
    });
    Ok(Request {
        method: match incoming.method() {
            WasiMethod::Get => Method::Get,
            WasiMethod::Head => Method::Head,
            WasiMethod::Post => Method::Post,
            WasiMethod::Put => Method::Put,
            WasiMethod::Delete => Method::Delete,
            other => Method::Other(format!("{other:?}")),
        },
        path: path.to_string(),
        query: Form::parse(query),
        headers: headers.collect(),
        authority: incoming.authority().unwrap_or_default(),
        is_https: matches!(incoming.scheme(), Some(Scheme::Https)),
        body: body(incoming)?,
    })
}

fn body(incoming: &IncomingRequest) -> Result<Vec<u8>, Problem> {
    let unreadable = |()| Problem::new(400, "The body cannot be read.");
    let body = incoming.consume().map_err(unreadable)?;
    let stream = body.stream().map_err(unreadable)?;
    let mut bytes = Vec::new();
    loop {
        match stream.blocking_read(READ_BYTES) {
            Ok(chunk) if bytes.len() + chunk.len() > BODY_MAX_BYTES => {
                return Err(Problem::new(413, "The body is too long."));
            }
            Ok(chunk) => bytes.extend_from_slice(&chunk),
            Err(StreamError::Closed) => break,
            Err(StreamError::LastOperationFailed(_)) => return Err(unreadable(())),
        }
    }
    drop(stream);
    drop(IncomingBody::finish(body));
    Ok(bytes)
}

fn send(out: ResponseOutparam, response: Response, head_only: bool) {
    let mut fields: Vec<(String, Vec<u8>)> = response
        .headers
        .iter()
        .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
        .collect();
    // A 204 has no body and therefore no length (RFC 9110, 8.6).
    if response.status != 204 {
        let length = response.body.len().to_string().into_bytes();
        fields.push(("content-length".to_string(), length));
    }
    let headers = Fields::from_list(&fields).unwrap_or_else(|error| {
        eprintln!("a header of the response is not legal: {error:?}");
        Fields::new()
    });
    let outgoing = OutgoingResponse::new(headers);
    if outgoing.set_status_code(response.status).is_err() {
        eprintln!("{} is no status", response.status);
    }
    let body = outgoing.body();
    ResponseOutparam::set(out, Ok(outgoing));
    let Ok(body) = body else { return };
    if !head_only && let Ok(stream) = body.write() {
        // An error means that the client has gone; nobody is left to tell.
        let _ = write_all(&stream, &response.body);
    }
    let _ = OutgoingBody::finish(body, None);
}

/// Writes as much as the host has room for, then waits for more room.
fn write_all(stream: &OutputStream, mut bytes: &[u8]) -> Result<(), StreamError> {
    while !bytes.is_empty() {
        let room = usize::try_from(stream.check_write()?).unwrap_or(usize::MAX);
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, rest) = bytes.split_at(room.min(bytes.len()));
        stream.write(now)?;
        bytes = rest;
    }
    stream.blocking_flush()
}
