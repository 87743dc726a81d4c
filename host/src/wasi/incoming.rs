//! What a guest receives: `incoming-request`, `incoming-response`, `incoming-body` and
//! `future-trailers`.

use std::task::{Context, Waker};

use bytes::Bytes;
use http::{HeaderMap, request};
use http_body::Body;
use http_body_util::BodyExt;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime::{Result, bail};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Method, Scheme};
use wasmtime_wasi_http::{Error as HttpError, WasiBody};
use wasmtime_wasi_io::poll::Pollable;
use wasmtime_wasi_io::streams::DynInputStream;

use super::Cx;
use super::codes;
use super::fields::{Fields, Headers};
use super::inbound::Inbound;
use super::pipe::Outlet;
use super::streams::pollable;
use crate::gateway::Stamp;
use crate::instance::GuestState;

/// The concrete type behind `incoming-request`.
pub(crate) struct IncomingRequest {
    method: http::Method,
    uri: http::Uri,
    scheme: Scheme,
    headers: RequestHeaders,
    /// `None` once the guest has taken it; within, `None` if it is empty.
    body: Option<Option<WasiBody>>,
}

impl IncomingRequest {
    /// The gateway has given the request an authority and the path its one spelling.
    pub(crate) fn new<B>(
        scheme: Scheme,
        request: http::Request<B>,
        stamp: Option<Stamp>,
    ) -> IncomingRequest
    where
        B: Body<Data = Bytes, Error = HttpError> + Send + 'static,
    {
        let (head, body): (request::Parts, B) = request.into_parts();
        let body = (!body.is_end_stream()).then(|| body.boxed_unsync());
        IncomingRequest {
            method: head.method,
            uri: head.uri,
            scheme,
            headers: RequestHeaders::Arrived(head.headers, stamp),
            body: Some(body),
        }
    }

    /// The request as it came, for somebody else. What the guest has taken of its body is gone.
    pub(super) fn into_request(mut self) -> (Scheme, http::Request<WasiBody>) {
        let body = self.body.take().flatten();
        let body = body.unwrap_or_else(|| Outlet::empty().boxed_unsync());
        let mut request = http::Request::new(body);
        *request.method_mut() = self.method;
        *request.uri_mut() = self.uri;
        *request.headers_mut() = match self.headers {
            RequestHeaders::Ready(headers) => headers.into_map(),
            RequestHeaders::Arrived(mut map, stamp) => {
                if let Some(stamp) = stamp {
                    stamp.write(&mut map);
                }
                map
            }
        };
        (self.scheme, request)
    }

    fn headers(&mut self) -> Fields {
        if let RequestHeaders::Arrived(map, stamp) = &mut self.headers {
            let mut map = std::mem::take(map);
            if let Some(stamp) = stamp.take() {
                stamp.write(&mut map);
            }
            self.headers = RequestHeaders::Ready(Headers::received(map));
        }
        match &mut self.headers {
            RequestHeaders::Ready(headers) => headers.view(),
            // Just made ready.
            RequestHeaders::Arrived(..) => Fields::received(HeaderMap::new()),
        }
    }
}

/// What the guest may see is worked out when it asks.
enum RequestHeaders {
    Arrived(HeaderMap, Option<Stamp>),
    Ready(Headers),
}

/// The concrete type behind `incoming-response`.
pub(super) struct IncomingResponse {
    pub(super) status: u16,
    pub(super) headers: Headers,
    pub(super) body: Option<IncomingBody>,
}

/// The concrete type behind `incoming-body`.
pub(super) struct IncomingBody {
    pub(super) inbound: Inbound,
}

/// The concrete type behind `future-trailers`.
pub(super) struct FutureTrailers {
    inbound: Inbound,
    taken: bool,
}

/// What waits for the end of a body.
struct Ended(Inbound);

#[wasmtime_wasi_io::async_trait]
impl Pollable for Ended {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.0.poll_ended(cx)).await;
    }
}

type Request = Resource<IncomingRequest>;
type Response = Resource<IncomingResponse>;
type Consumed = (Result<Resource<IncomingBody>, ()>,);

pub(super) fn link(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    link_request(types)?;
    link_response(types)?;
    link_body(types)?;
    link_trailers(types)
}

fn link_request(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<IncomingRequest>();
    types.resource("incoming-request", resource, |mut cx: Cx<'_>, rep| {
        let table = cx.data_mut().http_table();
        table.take_raw::<IncomingRequest>(rep)?;
        Ok(())
    })?;
    types.func_wrap(
        "[method]incoming-request.method",
        |mut cx: Cx<'_>, (this,): (Request,)| {
            let method = cx.data_mut().http_table().get(&this)?.method.clone();
            Ok((Method::from(method),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.path-with-query",
        |mut cx: Cx<'_>, (this,): (Request,)| {
            let this = cx.data_mut().http_table().get(&this)?;
            let path = this.uri.path_and_query();
            Ok((path.map(|path| path.as_str().to_owned()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.scheme",
        |mut cx: Cx<'_>, (this,): (Request,)| {
            let this = cx.data_mut().http_table().get(&this)?;
            Ok((Some(this.scheme.clone()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.authority",
        |mut cx: Cx<'_>, (this,): (Request,)| {
            let this = cx.data_mut().http_table().get(&this)?;
            let authority = this.uri.authority();
            Ok((authority.map(|authority| authority.as_str().to_owned()),))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.headers",
        |mut cx: Cx<'_>, (this,): (Request,)| {
            let table = cx.data_mut().http_table();
            let headers = table.get(&this)?.headers();
            Ok((table.push(headers)?,))
        },
    )?;
    types.func_wrap(
        "[method]incoming-request.consume",
        |mut cx: Cx<'_>, (this,): (Request,)| -> Result<Consumed> {
            let table = cx.data_mut().http_table();
            match table.get(&this)?.body.take() {
                Some(body) => {
                    let inbound = Inbound::new(body, None);
                    Ok((Ok(table.push(IncomingBody { inbound })?),))
                }
                None => Ok((Err(()),)),
            }
        },
    )
}

fn link_response(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<IncomingResponse>();
    types.resource("incoming-response", resource, |mut cx: Cx<'_>, rep| {
        let table = cx.data_mut().http_table();
        table.take_raw::<IncomingResponse>(rep)?;
        Ok(())
    })?;
    types.func_wrap(
        "[method]incoming-response.status",
        |mut cx: Cx<'_>, (this,): (Response,)| Ok((cx.data_mut().http_table().get(&this)?.status,)),
    )?;
    types.func_wrap(
        "[method]incoming-response.headers",
        |mut cx: Cx<'_>, (this,): (Response,)| {
            let table = cx.data_mut().http_table();
            let headers = table.get(&this)?.headers.view();
            Ok((table.push(headers)?,))
        },
    )?;
    types.func_wrap(
        "[method]incoming-response.consume",
        |mut cx: Cx<'_>, (this,): (Response,)| -> Result<Consumed> {
            let table = cx.data_mut().http_table();
            match table.get(&this)?.body.take() {
                Some(body) => Ok((Ok(table.push(body)?),)),
                None => Ok((Err(()),)),
            }
        },
    )
}

fn link_body(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<IncomingBody>();
    types.resource("incoming-body", resource, |mut cx: Cx<'_>, rep| {
        take_body(&mut cx, Resource::new_own(rep))?;
        Ok(())
    })?;
    types.func_wrap(
        "[method]incoming-body.stream",
        |mut cx: Cx<'_>, (this,): (Resource<IncomingBody>,)| {
            let table = cx.data_mut().http_table();
            let Some(stream) = table.get(&this)?.inbound.stream() else {
                return Ok((Err(()),));
            };
            let stream = table.push_raw(stream)?;
            Ok((Ok(Resource::<DynInputStream>::new_own(stream)),))
        },
    )?;
    types.func_wrap(
        "[static]incoming-body.finish",
        |mut cx: Cx<'_>, (this,): (Resource<IncomingBody>,)| {
            let inbound = take_body(&mut cx, this)?.inbound;
            let taken = false;
            let trailers = FutureTrailers { inbound, taken };
            Ok((cx.data_mut().http_table().push(trailers)?,))
        },
    )
}

fn take_body(cx: &mut Cx<'_>, body: Resource<IncomingBody>) -> Result<IncomingBody> {
    let body = cx.data_mut().http_table().take(body)?;
    if body.inbound.has_stream() {
        bail!("the guest let go of an incoming-body before its input-stream");
    }
    Ok(body)
}

type Trailers = Option<Result<Result<Option<Resource<Fields>>, ErrorCode>, ()>>;

fn link_trailers(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<FutureTrailers>();
    types.resource("future-trailers", resource, |mut cx: Cx<'_>, rep| {
        let table = cx.data_mut().http_table();
        table.take_raw::<FutureTrailers>(rep)?;
        Ok(())
    })?;
    types.func_wrap(
        "[method]future-trailers.subscribe",
        |mut cx: Cx<'_>, (this,): (Resource<FutureTrailers>,)| {
            let inbound = cx.data_mut().http_table().get(&this)?.inbound.clone();
            Ok((pollable(cx.data_mut().table(), Ended(inbound))?,))
        },
    )?;
    types.func_wrap(
        "[method]future-trailers.get",
        |mut cx: Cx<'_>, (this,): (Resource<FutureTrailers>,)| -> Result<(Trailers,)> {
            let table = cx.data_mut().http_table();
            let this = table.get(&this)?;
            if this.taken {
                return Ok((Some(Err(())),));
            }
            let mut now = Context::from_waker(Waker::noop());
            if this.inbound.poll_ended(&mut now).is_pending() {
                return Ok((None,));
            }
            this.taken = true;
            let trailers = match this.inbound.take_trailers() {
                Ok(Some(trailers)) => Ok(Some(table.push(Fields::received(trailers))?)),
                Ok(None) => Ok(None),
                Err(error) => Err(codes::of(error)),
            };
            Ok((Some(Ok(trailers)),))
        },
    )
}
