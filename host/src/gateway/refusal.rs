//! The answer to what never became a request: bytes that are no HTTP/1 head, or a head that is late.
//!
//! hyper makes no request of it, so it comes straight from `listener`, and there is no method, host
//! or path to log. It has an id, a problem document and a line in the log like every other answer.

use std::time::{Instant, SystemTime};

use super::answer::{PROBLEM, document};
use super::fault::Fault;
use super::request_id::{self, RequestId};
use super::{Gateway, Peer};
use crate::log::access::AccessRecord;

/// What the log shows where there is no method.
const NO_METHOD: &str = "-";

impl Gateway {
    /// Logs the refusal, and returns it as bytes for an HTTP/1 connection that then closes. The first
    /// of the refused bytes came at `since`.
    pub(crate) fn refuse(&self, peer: &Peer, fault: &Fault, since: Instant) -> Vec<u8> {
        let row = fault.row();
        let id = RequestId::accept_or_make(&http::HeaderMap::new());
        let body = document(row, &id);
        let duration = since.elapsed();
        let now = SystemTime::now();
        let generation = self.serving.now();
        if generation.is_some_and(|generation| generation.settings().access_log) {
            let error = fault.chain();
            let record = AccessRecord {
                time: now.checked_sub(duration).unwrap_or(now),
                request_id: id.as_str(),
                client: peer.ip(),
                method: NO_METHOD,
                host: "",
                path: "",
                version: http::Version::HTTP_11,
                status: Some(row.status.as_u16()),
                request_bytes: 0,
                response_bytes: body.len() as u64,
                duration,
                service: None,
                outcome: row.label,
                error: error.as_deref(),
                traceparent: None,
                span: None,
                calls: None,
            };
            record.log(&self.sink);
        }
        format!(
            "HTTP/1.1 {status} {reason}\r\ncontent-type: {PROBLEM}\r\n{header}: {id}\r\n\
             content-length: {length}\r\nconnection: close\r\ndate: {date}\r\n\r\n{body}",
            status = row.status.as_u16(),
            reason = row.status.canonical_reason().unwrap_or("Error"),
            header = request_id::HEADER,
            id = id.as_str(),
            length = body.len(),
            date = httpdate::fmt_http_date(now),
        )
        .into_bytes()
    }
}
