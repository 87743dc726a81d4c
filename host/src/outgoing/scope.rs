//! One instance's part in the service's outgoing requests: how deep it is called, in which trace, and
//! whether it still lives.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http::Request;
use http_body_util::BodyExt;
use wasmtime_wasi_http::{RequestOptions, WasiBody};

use super::fault::label;
use super::{OutgoingClient, Sent};
use crate::trace::{Spanned, Spent, Trace, Work};

/// The handle through which one instance sends.
///
/// When a store is dropped, the channels of its unfinished request bodies close, and to
/// wasmtime-wasi-http a closed channel is a body's proper end: a guest that traps half-way through
/// an order would have sent a shorter order. So the store's data holds this handle, *declared
/// before the resource table* so that it is dropped first: from then on, bodies of this scope end
/// with an error and their connections are cut. An instance that ended well calls
/// [`OutgoingScope::release`].
pub struct OutgoingScope {
    client: OutgoingClient,
    life: Arc<Life>,
    depth: u32,
    trace: Option<Arc<Trace>>,
}

/// Whether the guest behind a body can still end it.
#[derive(Debug, Default)]
pub(super) struct Life {
    over: AtomicBool,
}

impl Life {
    pub(super) fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

impl OutgoingScope {
    pub(super) fn new(client: OutgoingClient, depth: u32) -> Self {
        Self {
            client,
            life: Arc::default(),
            depth,
            trace: None,
        }
    }

    /// Sends a request for this instance; the body of `WasiHttpHooks::send_request`.
    pub fn send(&self, mut request: Request<WasiBody>, options: Option<RequestOptions>) -> Sent {
        let Some(trace) = &self.trace else {
            return self.send_untold(request, options);
        };
        let (parts, service) = (&request, self.client.service());
        let Some((mut span, inner)) = trace.call(service, || work(parts)) else {
            trace.write(request.headers_mut());
            return self.send_untold(request, options);
        };
        inner.write(request.headers_mut());
        let sent = self.send_untold(request, options);
        Box::new(async move {
            match Box::into_pin(sent).await {
                Ok((response, sending)) => {
                    span.answered(response.status());
                    let response =
                        response.map(|body| Spanned::new(body, span, label).boxed_unsync());
                    Ok((response, sending))
                }
                Err(error) => {
                    span.end(label(&error), Spent::default(), None);
                    Err(error)
                }
            }
        })
    }

    fn send_untold(&self, request: Request<WasiBody>, options: Option<RequestOptions>) -> Sent {
        self.client
            .send_within(request, options, Some(self.life()), self.depth)
    }

    /// What bodies of this scope ask before they end.
    pub(super) fn life(&self) -> Arc<Life> {
        Arc::clone(&self.life)
    }

    /// The instance is given something to do: so deep in a chain, and as part of this trace.
    pub(crate) fn begin(&mut self, depth: u32, trace: Option<Arc<Trace>>) {
        self.depth = depth;
        self.trace = trace;
    }

    /// The instance ended well: what its bodies still hold may be sent to the end.
    pub fn release(&mut self) {
        self.life = Arc::default();
    }
}

/// What is told of a request: not its query, where secrets are.
fn work(request: &Request<WasiBody>) -> Work {
    let uri = request.uri();
    let scheme = uri.scheme_str().unwrap_or_default();
    let host = uri.host().unwrap_or_default();
    let port = uri.port().map(|port| format!(":{port}"));
    let target = format!(
        "{scheme}://{host}{}{}",
        port.as_deref().unwrap_or_default(),
        uri.path()
    );
    Work::sent(request.method(), &target)
}

impl Drop for OutgoingScope {
    fn drop(&mut self) {
        self.life.over.store(true, Ordering::Release);
    }
}
