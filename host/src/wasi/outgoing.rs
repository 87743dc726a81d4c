//! What a guest answers with: `outgoing-response`, `outgoing-body` and `response-outparam`.

use std::sync::Arc;

use http::{HeaderMap, StatusCode};
use parking_lot::Mutex;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime::{Result, bail};
use wasmtime_wasi_http::p2::bindings::http::types::ErrorCode;
use wasmtime_wasi_io::streams::DynOutputStream;

use super::Cx;
use super::fields::{Fields, Headers, declared};
use super::pipe::{Inlet, Message, Outlet, pipe};
use crate::instance::GuestState;
use crate::memory::buffers::Buffers;

/// What a guest answers.
pub(crate) type Answer = Result<http::Response<Outlet>, ErrorCode>;

/// Where the guest leaves its answer. The task that polls the guest looks here after each poll,
/// so no waking is needed.
pub(crate) type AnswerSlot = Arc<Mutex<Option<Answer>>>;

/// The concrete type behind `response-outparam`.
pub(crate) struct ResponseOutparam {
    pub(super) slot: AnswerSlot,
}

/// The concrete type behind `outgoing-response`.
pub(super) struct OutgoingResponse {
    status: StatusCode,
    headers: Headers,
    body: Option<Outlet>,
}

impl OutgoingResponse {
    pub(super) fn headers(&self) -> &HeaderMap {
        self.headers.map()
    }

    fn into_response(self) -> http::Response<Outlet> {
        let mut response = http::Response::new(self.body.unwrap_or_else(Outlet::empty));
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.into_map();
        response
    }
}

/// The concrete type behind `outgoing-body`.
pub(super) struct OutgoingBody {
    inlet: Inlet,
}

impl OutgoingBody {
    /// The body that `headers` announce, or `None` if what they announce cannot be.
    /// What waits in it is counted in `buffers`.
    pub(super) fn new(
        message: Message,
        headers: &Headers,
        buffers: Arc<Buffers>,
    ) -> Option<(OutgoingBody, Outlet)> {
        let length = declared(headers.map()).ok()?;
        let (inlet, outlet) = pipe(message, length, buffers);
        Some((OutgoingBody { inlet }, outlet))
    }
}

pub(super) fn link(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    link_outparam(types)?;
    link_response(types)?;
    link_body(types)
}

fn link_outparam(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<ResponseOutparam>();
    types.resource("response-outparam", resource, |mut cx: Cx<'_>, rep| {
        let table = cx.data_mut().http_table();
        table.take_raw::<ResponseOutparam>(rep)?;
        Ok(())
    })?;
    type Given = Result<Resource<OutgoingResponse>, ErrorCode>;
    types.func_wrap(
        "[static]response-outparam.set",
        |mut cx: Cx<'_>, (this, given): (Resource<ResponseOutparam>, Given)| {
            let table = cx.data_mut().http_table();
            let answer = match given {
                Ok(response) => Ok(table.take(response)?.into_response()),
                Err(code) => Err(code),
            };
            *table.take(this)?.slot.lock() = Some(answer);
            Ok(())
        },
    )
}

type Response = Resource<OutgoingResponse>;

fn link_response(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<OutgoingResponse>();
    types.resource("outgoing-response", resource, |mut cx: Cx<'_>, rep| {
        let table = cx.data_mut().http_table();
        table.take_raw::<OutgoingResponse>(rep)?;
        Ok(())
    })?;
    types.func_wrap(
        "[constructor]outgoing-response",
        |mut cx: Cx<'_>, (headers,): (Resource<Fields>,)| {
            let table = cx.data_mut().http_table();
            let response = OutgoingResponse {
                status: StatusCode::OK,
                headers: table.take(headers)?.into_headers(),
                body: None,
            };
            Ok((table.push(response)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.status-code",
        |mut cx: Cx<'_>, (this,): (Response,)| {
            Ok((cx.data_mut().http_table().get(&this)?.status.as_u16(),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.set-status-code",
        |mut cx: Cx<'_>, (this, status): (Response, u16)| {
            let this = cx.data_mut().http_table().get(&this)?;
            match StatusCode::from_u16(status) {
                Ok(status) => this.status = status,
                Err(_) => return Ok((Err(()),)),
            }
            Ok((Ok(()),))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.headers",
        |mut cx: Cx<'_>, (this,): (Response,)| {
            let table = cx.data_mut().http_table();
            let headers = table.get(&this)?.headers.view();
            Ok((table.push(headers)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-response.body",
        |mut cx: Cx<'_>, (this,): (Response,)| {
            let buffers = cx.data().buffers().clone();
            let table = cx.data_mut().http_table();
            let this = table.get(&this)?;
            if this.body.is_some() {
                return Ok((Err(()),));
            }
            let new = OutgoingBody::new(Message::Response, &this.headers, buffers);
            let Some((body, outlet)) = new else {
                return Ok((Err(()),));
            };
            this.body = Some(outlet);
            Ok((Ok(table.push(body)?),))
        },
    )
}

fn link_body(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<OutgoingBody>();
    types.resource("outgoing-body", resource, |mut cx: Cx<'_>, rep| {
        take_body(&mut cx, Resource::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap(
        "[method]outgoing-body.write",
        |mut cx: Cx<'_>, (this,): (Resource<OutgoingBody>,)| {
            let table = cx.data_mut().http_table();
            let Some(stream) = table.get(&this)?.inlet.stream() else {
                return Ok((Err(()),));
            };
            let stream = table.push_raw(stream)?;
            Ok((Ok(Resource::<DynOutputStream>::new_own(stream)),))
        },
    )?;
    type Finish = (Resource<OutgoingBody>, Option<Resource<Fields>>);
    types.func_wrap(
        "[static]outgoing-body.finish",
        |mut cx: Cx<'_>, (this, trailers): Finish| {
            let body = take_body(&mut cx, this)?;
            let trailers = match trailers {
                Some(fields) => {
                    let fields = cx.data_mut().http_table().take(fields)?;
                    Some(fields.into_headers().into_map())
                }
                None => None,
            };
            Ok((body.inlet.finish(trailers),))
        },
    )
}

fn take_body(cx: &mut Cx<'_>, body: Resource<OutgoingBody>) -> Result<OutgoingBody> {
    let body = cx.data_mut().http_table().take(body)?;
    if body.inlet.has_stream() {
        bail!("the guest let go of an outgoing-body before its output-stream");
    }
    Ok(body)
}
