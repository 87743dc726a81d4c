//! Middleware: an HTTP handler that one service imports and another exports. Requests go to the other
//! as the gateway's do: through its door, its admission, under its limits.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use tokio::sync::{mpsc, oneshot};
use wasmtime::AsContextMut;
use wasmtime::component::{Accessor, LinkerInstance, Resource};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::p3::{Request, Response};
use wasmtime_wasi_http::{Error as HttpError, WasiBody, WasiHttpView};

use super::{Policy, Wire};
use crate::gateway::body::IncomingBody;
use crate::gateway::{RequestId, broken_off};
use crate::instance::errand::Errand;
use crate::instance::{GuestState, tasks};
use crate::outgoing::MAX_DEPTH;
use crate::service::{Call, CallCause, CallError, CallKind, Function};
use crate::task;
use crate::trace::{Open, Spent, Work};
use crate::wasi::{Forward, Forwarded, link_forward};

/// Of WASI 0.2 and 0.3, without the version.
const HANDLERS: [&str; 2] = ["wasi:http/incoming-handler@", "wasi:http/handler@"];

/// Whether the interface is one of those.
pub(super) fn is_handler(interface: &str) -> bool {
    HANDLERS.iter().any(|name| interface.starts_with(name))
}

/// Defines the interface's function.
pub(super) fn define(
    instance: &mut LinkerInstance<'_, GuestState>,
    caller: &Arc<str>,
    wire: &Wire,
) -> wasmtime::Result<()> {
    let handler = Arc::new(Handler {
        caller: caller.clone(),
        policy: wire.policy.clone(),
        function: Function {
            interface: wire.export.clone(),
            name: "handle".into(),
        },
    });
    if wire.import.starts_with(HANDLERS[0]) {
        return link_forward(instance, handler);
    }
    type Answered = (Result<Resource<Response>, ErrorCode>,);
    instance.func_wrap_concurrent(
        "handle",
        move |accessor, (request,): (Resource<Request>,)| {
            let handler = handler.clone();
            Box::pin(async move {
                let answered = handler.handle(accessor, request).await?;
                let answered: Answered = (answered,);
                Ok(answered)
            })
        },
    )
}

/// The way to the other service.
struct Handler {
    caller: Arc<str>,
    policy: Arc<Policy>,
    function: Function,
}

impl Forward for Handler {
    fn forward(
        self: Arc<Self>,
        errand: Errand,
        scheme: Scheme,
        request: http::Request<WasiBody>,
    ) -> Forwarded {
        Box::pin(async move {
            let sent = self.send(errand, scheme, request).await;
            sent.map_err(|cause| self.error(cause))
        })
    }

    fn broken_off(&self) -> CallError {
        self.error(CallCause::Cut)
    }
}

impl Handler {
    fn error(&self, cause: CallCause) -> CallError {
        self.policy.callee().call_error(&self.function, cause)
    }

    /// For guests of WASI 0.3.
    async fn handle(
        &self,
        accessor: &Accessor<GuestState>,
        request: Resource<Request>,
    ) -> wasmtime::Result<Result<Resource<Response>, ErrorCode>> {
        let taken = accessor.with(|mut access| {
            let request = access.get().http().table.delete(request)?;
            let errand = tasks::errand(access.as_context_mut())?;
            let converted = request.into_http(&mut access, std::future::ready(Ok(())));
            wasmtime::Result::<_>::Ok((errand, converted))
        })?;
        let (errand, converted) = taken;
        let (request, _) = match converted {
            Ok(converted) => converted,
            Err(error) => return Ok(Err(error.downcast()?)),
        };
        let scheme = match request.uri().scheme_str() {
            Some("https") => Scheme::Https,
            _ => Scheme::Http,
        };
        match self.send(errand, scheme, request).await {
            Ok(response) => accessor.with(|mut access| {
                let http = access.get().http();
                let (response, _) = Response::from_http(http.hooks, response);
                Ok(Ok(http.table.push(response)?))
            }),
            Err(cause) => match cause.kind() {
                CallKind::Unavailable => Ok(Err(ErrorCode::DestinationUnavailable)),
                CallKind::Deadline => Ok(Err(ErrorCode::HttpResponseTimeout)),
                CallKind::Failed => Ok(Err(ErrorCode::ConnectionTerminated)),
                CallKind::Stale | CallKind::Impossible => Err(self.error(cause).into()),
            },
        }
    }

    /// Gives the request to the service, and waits for the head of its answer.
    async fn send(
        &self,
        errand: Errand,
        scheme: Scheme,
        mut request: http::Request<WasiBody>,
    ) -> Result<http::Response<WasiBody>, CallCause> {
        if errand.depth > MAX_DEPTH {
            return Err(CallCause::TooDeep);
        }
        let service = self.policy.callee().of(&errand)?;
        let limits = service.active().map(|revision| *revision.limits());
        let told = errand.trace.as_ref().and_then(|trace| {
            trace.call(service.name(), || {
                Work::passed(&self.caller, request.method(), request.uri().path())
            })
        });
        let (mut span, trace) = match told {
            Some((span, inner)) => {
                inner.announce(request.headers_mut());
                (Some(span), Some(inner))
            }
            None => (None, errand.trace.clone()),
        };
        let call = |deadline: Option<Instant>| {
            let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
            let own = limits.map(|limits| limits.deadline);
            let limit = limits.map_or(0, |limits| limits.request_body);
            Call {
                scheme,
                request: request.map(|body| IncomingBody::passed_on(body, limit)),
                stamp: None,
                request_id: errand
                    .request
                    .clone()
                    .unwrap_or_else(|| RequestId::named("call")),
                generation: errand.generation.clone(),
                depth: errand.depth,
                deadline: left.into_iter().chain(own).min(),
                route: None,
                trace: trace.clone(),
                head_only: false,
            }
        };
        let answered = self.policy.once(errand.deadline, async |deadline| {
            let (answer, answered) = oneshot::channel();
            let carry = carry(service, call(deadline), answer, span.take());
            let running = task::own(task::Kind::Call, carry);
            // Its task answers, or ends with the host.
            let lost = |_| CallCause::Cut;
            let (head, frames) = answered.await.map_err(lost)??;
            Ok(http::Response::from_parts(
                head,
                Carried {
                    frames,
                    _running: running,
                },
            ))
        });
        let answered = answered.await;
        if let (Some(span), Err(cause)) = (span, &answered) {
            // It was not made.
            span.end(cause.label(), Spent::default(), None);
        }
        Ok(answered?.map(BodyExt::boxed_unsync))
    }
}

type Frames = mpsc::Receiver<Result<Frame<Bytes>, HttpError>>;
type Head = (http::response::Parts, Frames);

/// Has the service answer, in a task of its own: its guest must not run within the caller's poll.
async fn carry(
    service: Arc<crate::service::Service>,
    call: Call,
    answer: oneshot::Sender<Result<Head, CallCause>>,
    mut span: Option<Open>,
) {
    let (answered, record) = service.call(call).await;
    let mut spent = Spent {
        revision: record.revision,
        queued: record.queued,
        cpu: record.cpu,
    };
    let response = match answered {
        Ok(response) => response,
        Err(refused) => {
            let cause = CallCause::Refused(refused);
            if let Some(span) = span {
                span.end(cause.label(), spent, None);
            }
            // Who has gone needs no answer.
            let _ = answer.send(Err(cause));
            return;
        }
    };
    if let Some(span) = &mut span {
        span.answered(response.status());
    }
    let (head, mut body) = response.into_parts();
    let (carried, frames) = mpsc::channel(1);
    if answer.send(Ok((head, frames))).is_err() {
        return;
    }
    while let Some(frame) = body.frame().await {
        let broken = frame.is_err();
        let frame = frame.map_err(|_| HttpError::HttpResponseIncomplete);
        if carried.send(frame).await.is_err() {
            return;
        }
        if broken {
            break;
        }
    }
    if let Some(span) = span {
        spent.cpu = body.cpu();
        span.end(body.error().map_or("ok", broken_off), spent, None);
    }
}

/// An answer's body on its way from the task.
struct Carried {
    frames: Frames,
    _running: task::Own<()>,
}

impl Body for Carried {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        self.frames.poll_recv(cx)
    }
}
