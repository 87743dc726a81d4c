//! What a guest sends: `outgoing-request`, `request-options`, `future-incoming-response`, and
//! `outgoing-handler`. The requests go through the instance's hooks to `outgoing`.

use std::future::Future;
use std::pin::Pin;
use std::str::FromStr;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use http::uri;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use wasmtime::Result;
use wasmtime::component::{LinkerInstance, Resource, ResourceType};
use wasmtime_wasi_http::p2::bindings::http::types::{ErrorCode, Method, Scheme};
use wasmtime_wasi_http::p2::http_request_error;
use wasmtime_wasi_http::{Error as HttpError, RequestOptions, WasiBody, WasiHttpHooks};
use wasmtime_wasi_io::poll::Pollable;

use super::Cx;
use super::codes;
use super::fields::{Fields, Headers, declared};
use super::inbound::Inbound;
use super::incoming::{IncomingBody, IncomingResponse};
use super::outgoing::OutgoingBody;
use super::pipe::{Message, Outlet};
use super::streams::pollable;
use crate::instance::{GuestState, header_bytes};
use crate::outgoing::Sent;
use crate::task;

/// The concrete type behind `outgoing-request`.
pub(super) struct OutgoingRequest {
    method: Method,
    scheme: Option<Scheme>,
    authority: Option<String>,
    path: Option<String>,
    headers: Headers,
    body: Option<Outlet>,
}

impl OutgoingRequest {
    /// Bytes of what it says.
    pub(super) fn weigh(&self) -> u64 {
        let text = |text: &Option<String>| text.as_ref().map_or(0, String::len) as u64;
        let method = match &self.method {
            Method::Other(name) => name.len() as u64,
            _ => 0,
        };
        method + text(&self.authority) + text(&self.path) + header_bytes(self.headers.map())
    }
}

/// The concrete type behind `request-options`.
#[derive(Default)]
pub(super) struct Options(RequestOptions);

/// The concrete type behind `future-incoming-response`. Dropped, it cancels its request.
pub(super) struct FutureResponse {
    state: Arc<Mutex<State>>,
}

enum State {
    Waiting(task::Own<Received>),
    Here(Received),
    Taken,
}

type Received = Result<(http::Response<WasiBody>, task::Own<()>), HttpError>;

impl FutureResponse {
    fn to(sent: Sent) -> FutureResponse {
        let received = async move {
            let (response, sending) = Pin::from(sent).await?;
            let sending = async move {
                if let Err(error) = Pin::from(sending).await {
                    tracing::debug!("a guest's request body was not sent: {error}");
                }
            };
            let sending = task::own(task::Kind::OutgoingRequest, sending);
            Ok((response, sending))
        };
        let task = task::own(task::Kind::OutgoingRequest, received);
        FutureResponse {
            state: Arc::new(Mutex::new(State::Waiting(task))),
        }
    }
}

impl Drop for FutureResponse {
    fn drop(&mut self) {
        // A pollable may still share the state.
        let state = std::mem::replace(&mut *self.state.lock(), State::Taken);
        drop(state);
    }
}

impl State {
    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let State::Waiting(task) = self else {
            return Poll::Ready(());
        };
        let received = ready!(Pin::new(task).poll(cx));
        *self = State::Here(received.unwrap_or(Err(HttpError::InternalError(None))));
        Poll::Ready(())
    }
}

/// What waits for a response.
struct Awaited(Arc<Mutex<State>>);

#[wasmtime_wasi_io::async_trait]
impl Pollable for Awaited {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.0.lock().poll(cx)).await;
    }
}

pub(super) fn link(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    link_request(types)?;
    link_target(types)?;
    link_options(types)?;
    link_future(types)?;
    types.func_wrap(
        "http-error-code",
        |mut cx: Cx<'_>, (error,): (Resource<wasmtime::Error>,)| {
            let error = cx.data_mut().table().get(&error)?;
            Ok((error.downcast_ref::<ErrorCode>().cloned(),))
        },
    )
}

type Request = Resource<OutgoingRequest>;

fn link_request(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<OutgoingRequest>();
    types.resource("outgoing-request", resource, |mut cx: Cx<'_>, rep| {
        let table = cx.data_mut().http_table();
        table.take_raw::<OutgoingRequest>(rep)?;
        Ok(())
    })?;
    types.func_wrap(
        "[constructor]outgoing-request",
        |mut cx: Cx<'_>, (headers,): (Resource<Fields>,)| {
            let table = cx.data_mut().http_table();
            let request = OutgoingRequest {
                method: Method::Get,
                scheme: None,
                authority: None,
                path: None,
                headers: table.take(headers)?.into_headers(),
                body: None,
            };
            Ok((table.push(request)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.headers",
        |mut cx: Cx<'_>, (this,): (Request,)| {
            let table = cx.data_mut().http_table();
            let headers = table.get(&this)?.headers.view();
            Ok((table.push(headers)?,))
        },
    )?;
    types.func_wrap(
        "[method]outgoing-request.body",
        |mut cx: Cx<'_>, (this,): (Request,)| {
            let buffers = cx.data().buffers().clone();
            let table = cx.data_mut().http_table();
            let this = table.get(&this)?;
            if this.body.is_some() {
                return Ok((Err(()),));
            }
            let new = OutgoingBody::new(Message::Request, &this.headers, buffers);
            let Some((body, outlet)) = new else {
                return Ok((Err(()),));
            };
            this.body = Some(outlet);
            Ok((Ok(table.push(body)?),))
        },
    )
}

/// `$set` keeps a value for which `$fits` is true.
macro_rules! link_part {
    ($types:expr, $get:literal, $set:literal, $type:ty, $part:ident, $fits:expr) => {
        $types.func_wrap($get, |mut cx: Cx<'_>, (this,): (Request,)| {
            Ok((cx.data_mut().http_table().get(&this)?.$part.clone(),))
        })?;
        $types.func_wrap($set, |mut cx: Cx<'_>, (this, part): (Request, $type)| {
            let this = cx.data_mut().http_table().get(&this)?;
            let fits: fn(&$type) -> bool = $fits;
            if !fits(&part) {
                return Ok((Err(()),));
            }
            this.$part = part;
            Ok((Ok(()),))
        })?;
    };
}

fn link_target(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    link_part!(
        types,
        "[method]outgoing-request.method",
        "[method]outgoing-request.set-method",
        Method,
        method,
        |method| match method {
            Method::Other(name) => http::Method::from_str(name).is_ok(),
            _ => true,
        }
    );
    link_part!(
        types,
        "[method]outgoing-request.scheme",
        "[method]outgoing-request.set-scheme",
        Option<Scheme>,
        scheme,
        |scheme| match scheme {
            Some(Scheme::Other(name)) => uri::Scheme::from_str(name).is_ok(),
            _ => true,
        }
    );
    link_part!(
        types,
        "[method]outgoing-request.authority",
        "[method]outgoing-request.set-authority",
        Option<String>,
        authority,
        |authority| authority
            .as_deref()
            .is_none_or(|authority| uri::Authority::from_str(authority).is_ok())
    );
    link_part!(
        types,
        "[method]outgoing-request.path-with-query",
        "[method]outgoing-request.set-path-with-query",
        Option<String>,
        path,
        |path| path.as_deref().is_none_or(is_path)
    );
    Ok(())
}

/// `http` would take a path without a slash for an authority.
fn is_path(text: &str) -> bool {
    let begins = text.is_empty() || text.starts_with(['/', '?']);
    begins && uri::Builder::new().path_and_query(text).build().is_ok()
}

/// `$set` keeps a time-out, which may be none.
macro_rules! link_timeout {
    ($types:expr, $get:literal, $set:literal, $part:ident) => {
        $types.func_wrap($get, |mut cx: Cx<'_>, (this,): (Resource<Options>,)| {
            let timeout = cx.data_mut().http_table().get(&this)?.0.$part;
            // It came as 64 bits.
            let nanos = timeout.map(|timeout| u64::try_from(timeout.as_nanos()));
            Ok((nanos.transpose()?,))
        })?;
        $types.func_wrap(
            $set,
            |mut cx: Cx<'_>, (this, nanos): (Resource<Options>, Option<u64>)| {
                let this = cx.data_mut().http_table().get(&this)?;
                this.0.$part = nanos.map(std::time::Duration::from_nanos);
                Ok((Ok::<(), ()>(()),))
            },
        )?;
    };
}

fn link_options(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<Options>();
    types.resource("request-options", resource, |mut cx: Cx<'_>, rep| {
        cx.data_mut().http_table().take_raw::<Options>(rep)?;
        Ok(())
    })?;
    types.func_wrap("[constructor]request-options", |mut cx: Cx<'_>, (): ()| {
        Ok((cx.data_mut().http_table().push(Options::default())?,))
    })?;
    link_timeout!(
        types,
        "[method]request-options.connect-timeout",
        "[method]request-options.set-connect-timeout",
        connect_timeout
    );
    link_timeout!(
        types,
        "[method]request-options.first-byte-timeout",
        "[method]request-options.set-first-byte-timeout",
        first_byte_timeout
    );
    link_timeout!(
        types,
        "[method]request-options.between-bytes-timeout",
        "[method]request-options.set-between-bytes-timeout",
        between_bytes_timeout
    );
    Ok(())
}

type Response = Option<Result<Result<Resource<IncomingResponse>, ErrorCode>, ()>>;

fn link_future(types: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<FutureResponse>();
    types.resource(
        "future-incoming-response",
        resource,
        |mut cx: Cx<'_>, rep| {
            let table = cx.data_mut().http_table();
            table.take_raw::<FutureResponse>(rep)?;
            Ok(())
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.subscribe",
        |mut cx: Cx<'_>, (this,): (Resource<FutureResponse>,)| {
            let state = cx.data_mut().http_table().get(&this)?.state.clone();
            Ok((pollable(cx.data_mut().table(), Awaited(state))?,))
        },
    )?;
    types.func_wrap(
        "[method]future-incoming-response.get",
        |mut cx: Cx<'_>, (this,): (Resource<FutureResponse>,)| -> Result<(Response,)> {
            let table = cx.data_mut().http_table();
            let received = {
                let mut state = table.get(&this)?.state.lock();
                let mut now = Context::from_waker(Waker::noop());
                if state.poll(&mut now).is_pending() {
                    return Ok((None,));
                }
                match std::mem::replace(&mut *state, State::Taken) {
                    State::Here(received) => received,
                    State::Waiting(_) | State::Taken => return Ok((Some(Err(())),)),
                }
            };
            let response = match received {
                Ok((response, sending)) => Ok(table.push(incoming(response, sending))?),
                Err(error) => Err(codes::of(error)),
            };
            Ok((Some(Ok(response)),))
        },
    )
}

fn incoming(response: http::Response<WasiBody>, sending: task::Own<()>) -> IncomingResponse {
    let (head, body) = response.into_parts();
    let inbound = Inbound::new(Some(body), Some(Box::new(sending)));
    IncomingResponse {
        status: head.status.as_u16(),
        headers: Headers::received(head.headers),
        body: Some(IncomingBody { inbound }),
    }
}

pub(super) fn link_handler(handler: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    type Handle = (Resource<OutgoingRequest>, Option<Resource<Options>>);
    handler.func_wrap("handle", |mut cx: Cx<'_>, (request, options): Handle| {
        let table = cx.data_mut().http_table();
        let options = match options {
            // The call owns them.
            Some(options) => Some(table.take(options)?.0),
            None => None,
        };
        let request = match prepare(table.take(request)?) {
            Ok(request) => request,
            Err(code) => return Ok((Err(code),)),
        };
        // The scope of the instance knows how the body is sent; nothing here does.
        let sent = Box::new(std::future::ready(Ok(())));
        let sent = cx.data_mut().hooks().send_request(request, options, sent);
        let response = cx.data_mut().http_table().push(FutureResponse::to(sent))?;
        Ok((Ok(response),))
    })
}

/// The request as it is sent, if it can be.
fn prepare(request: OutgoingRequest) -> Result<http::Request<WasiBody>, ErrorCode> {
    // A guest need not ask for a body, which is where the length is looked at otherwise.
    let Ok(length) = declared(request.headers.map()) else {
        let message = "invalid content-length".to_owned();
        return Err(ErrorCode::InternalError(Some(message)));
    };
    if request.body.is_none() && length.is_some_and(|length| length != 0) {
        return Err(ErrorCode::HttpRequestBodySize(Some(0)));
    }
    let method = TryInto::<http::Method>::try_into(request.method);
    let method = method.map_err(|_| ErrorCode::HttpRequestMethodInvalid)?;
    let scheme = match request.scheme {
        Some(Scheme::Http) => uri::Scheme::HTTP,
        Some(Scheme::Https) | None => uri::Scheme::HTTPS,
        Some(Scheme::Other(_)) => return Err(ErrorCode::HttpProtocolError),
    };
    let authority = request.authority.unwrap_or_default();
    let mut target = http::Uri::builder().scheme(scheme).authority(authority);
    if let Some(path) = request.path {
        target = target.path_and_query(path);
    }
    let target = target.build().map_err(http_request_error)?;
    let body = request.body.unwrap_or_else(Outlet::empty).boxed_unsync();
    let mut prepared = http::Request::new(body);
    *prepared.method_mut() = method;
    *prepared.uri_mut() = target;
    *prepared.headers_mut() = request.headers.into_map();
    Ok(prepared)
}
