//! An `incoming-handler` that the guest imports and another service exports: the request goes on as
//! it came, and what is answered goes into the guest's own `response-outparam`.

use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http_body::Frame;
use http_body_util::BodyExt;
use wasmtime::component::{LinkerInstance, Resource};
use wasmtime::{AsContextMut, Result, bail};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{Error as HttpError, WasiBody};

use super::Cx;
use super::incoming::IncomingRequest;
use super::outgoing::ResponseOutparam;
use super::pipe::{Message, Writer, pipe};
use crate::instance::errand::Errand;
use crate::instance::{GuestState, tasks};
use crate::service::CallError;

/// A request on its way to the other service. Dropping it cancels what that does.
pub(crate) type Forwarded =
    Pin<Box<dyn Future<Output = Result<http::Response<WasiBody>, CallError>> + Send>>;

/// Who takes requests on.
pub(crate) trait Forward: Send + Sync + 'static {
    /// Takes the request to the other service.
    fn forward(
        self: Arc<Self>,
        errand: Errand,
        scheme: Scheme,
        request: http::Request<WasiBody>,
    ) -> Forwarded;

    /// The error for an answer that broke off.
    fn broken_off(&self) -> CallError;
}

/// Defines `handle`.
pub(crate) fn link_forward(
    handler: &mut LinkerInstance<'_, GuestState>,
    to: Arc<impl Forward>,
) -> Result<()> {
    type Handle = (Resource<IncomingRequest>, Resource<ResponseOutparam>);
    handler.func_wrap_async("handle", move |cx: Cx<'_>, (request, out): Handle| {
        let to = to.clone();
        Box::new(async move { handle(cx, to, request, out).await })
    })
}

async fn handle(
    mut cx: Cx<'_>,
    to: Arc<impl Forward>,
    request: Resource<IncomingRequest>,
    out: Resource<ResponseOutparam>,
) -> Result<()> {
    let errand = tasks::errand(cx.as_context_mut())?;
    let state = cx.data_mut();
    let buffers = state.buffers().clone();
    let table = state.http_table();
    let (scheme, request) = table.take(request)?.into_request();
    let slot = table.take(out)?.slot;
    let answered = to.clone().forward(errand, scheme, request).await?;
    let (head, mut body) = answered.into_parts();
    // What it declares the other service was held to.
    let (inlet, outlet) = pipe(Message::Response, None, buffers);
    *slot.lock() = Some(Ok(http::Response::from_parts(head, outlet)));
    let Some(writer) = inlet.stream() else {
        bail!("a new body without a stream");
    };
    let mut trailers = None;
    while let Some(frame) = body.frame().await {
        let frame: Frame<Bytes> = match frame {
            Ok(frame) => frame,
            // The body is dropped unfinished, which breaks it off for the client, too.
            Err(HttpError::HttpResponseIncomplete) => return Err(to.broken_off().into()),
            Err(error) => return Err(wasmtime::Error::new(error)),
        };
        match frame.into_data() {
            Ok(data) => {
                if !write(&writer, data).await? {
                    // The client has gone.
                    return Ok(());
                }
            }
            Err(frame) => trailers = frame.into_trailers().ok(),
        }
    }
    drop(writer);
    // No length was declared, so that none can be missed.
    let _ = inlet.finish(trailers);
    Ok(())
}

/// Writes all of it as there is room; false if nobody wants it.
async fn write(writer: &Writer, mut data: Bytes) -> Result<bool> {
    let waiting = writer.waiting();
    while !data.is_empty() {
        std::future::poll_fn(|cx| waiting.poll(cx)).await;
        let Ok(room) = writer.room() else {
            return Ok(false);
        };
        let piece = data.split_to(room.min(data.len()));
        if writer.write(piece).is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}
