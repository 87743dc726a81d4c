//! What `wasi:http` asks the host about: which headers a guest may not touch, and outgoing
//! requests, which go to the revision's own client or nowhere.

use std::sync::Arc;

use wasmtime_wasi_http::{Error, ForbiddenHeaderFilter, RequestOptions, WasiBody, WasiHttpHooks};

use super::Granted;
use crate::instance::PIECE;
use crate::instance::errand::Errand;
use crate::outgoing::{DEPTH_HEADER, OutgoingScope, Sending, Sent};
use crate::trace::Trace;

/// The hooks of one instance. Dropped before the instance's resources: see [`OutgoingScope`].
pub(crate) struct Hooks {
    granted: Arc<Granted>,
    /// How many requests of services led to the one being served.
    depth: u32,
    /// The trace that it is part of.
    trace: Option<Arc<Trace>>,
    /// Made when the guest sends its first request; most never do.
    outgoing: Option<OutgoingScope>,
}

impl Hooks {
    pub(crate) fn new(granted: Arc<Granted>) -> Hooks {
        Hooks {
            granted,
            depth: 0,
            trace: None,
            outgoing: None,
        }
    }

    pub(crate) fn granted(&self) -> &Arc<Granted> {
        &self.granted
    }

    /// The instance is given something to do.
    pub(crate) fn begin(&mut self, errand: &Errand) {
        self.depth = errand.depth;
        self.trace.clone_from(&errand.trace);
        if let Some(scope) = &mut self.outgoing {
            scope.begin(self.depth, self.trace.clone());
        }
    }

    /// The instance's call ended well: what it is still sending may be sent to the end.
    pub(crate) fn release(&mut self) {
        if let Some(scope) = &mut self.outgoing {
            scope.release();
        }
    }
}

/// Whether guests may neither see nor set this field: wasmtime's default list and our own. Asked
/// for every field of every request and answer; a look into wasmtime's list builds it anew.
pub(crate) fn is_forbidden(name: &http::HeaderName) -> bool {
    matches!(
        name.as_str(),
        "connection"
            | "host"
            | "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "transfer-encoding"
            | "upgrade"
    ) || *name == DEPTH_HEADER
}

impl WasiHttpHooks for Hooks {
    fn forbidden_header_filter(&mut self) -> ForbiddenHeaderFilter {
        self.granted.forbidden_headers.clone()
    }

    fn is_forbidden_header(&mut self, name: &http::HeaderName) -> bool {
        is_forbidden(name)
    }

    fn p2_outgoing_body_chunk_size(&mut self) -> usize {
        PIECE
    }

    fn p3_outgoing_body_chunk_size(&mut self) -> usize {
        PIECE
    }

    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _sent: Sending,
    ) -> Sent {
        let Some(client) = &self.granted.outgoing else {
            return Box::new(std::future::ready(Err(Error::HttpRequestDenied)));
        };
        let scope = self.outgoing.get_or_insert_with(|| {
            let mut scope = client.scope(self.depth);
            scope.begin(self.depth, self.trace.clone());
            scope
        });
        scope.send(request, options)
    }
}

#[cfg(test)]
mod tests {
    use wasmtime_wasi_http::DEFAULT_FORBIDDEN_HEADERS;

    use super::*;

    #[test]
    fn what_wasmtime_forbids_is_forbidden() {
        for name in &DEFAULT_FORBIDDEN_HEADERS {
            assert!(is_forbidden(name), "{name}");
        }
        assert!(is_forbidden(&DEPTH_HEADER));
        assert!(!is_forbidden(&http::header::CONTENT_TYPE));
        assert!(!is_forbidden(&http::HeaderName::from_static("x-host")));
    }
}
