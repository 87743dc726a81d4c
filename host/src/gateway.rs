//! From a parsed request to a service and back: normalise, route, admit, forward, answer, log.
//!
//! Before it: `listener` has a connection and hyper has a request's head. After it: `service` runs
//! the guest. Every answer leaves through here, so every answer has a request id and a log line.

mod answer;
pub(crate) mod body;
mod fault;
mod forwarded;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod refusal;
mod request_id;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::header::{CONTENT_LENGTH, HOST, HeaderValue};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{Method, Request, Response, Uri, Version};
use hyper::body::{Body, Incoming};
use skep_core::heard;
use skep_core::manifest::Network;
use skep_core::route::{self, Lookup};
use wasmtime_wasi_http::p2::bindings::http::types::Scheme as WasiScheme;

use self::answer::{Entry, problem};
pub(crate) use self::answer::{GatewayBody, broken_off};
use self::body::{BodyReport, IncomingBody};
pub use self::fault::Blame;
pub(crate) use self::fault::Fault;
pub(crate) use self::forwarded::{Peer, Stamp};
pub(crate) use self::request_id::RequestId;
use crate::generation::{Generation, Serving};
use crate::lag::Pace;
use crate::log::Sink;
use crate::outgoing::{DEPTH_HEADER, depth};
use crate::service::{Call, Service};
use crate::trace::{TRACEPARENT, TRACESTATE, Tracer};

/// Where a request is to go.
struct Found {
    service: Arc<Service>,
    deadline: Option<Duration>,
    route: Arc<str>,
}

/// What the manifest says of requests on their way to any service.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// Whether each request is written to the log.
    pub access_log: bool,
    /// Whether its line tells of the calls that it led to.
    pub log_calls: bool,
    /// Proxies whose word on the client is believed.
    pub trusted_proxies: Vec<Network>,
    /// Bytes of a request's header fields.
    pub header_bytes: u64,
    /// Number of them.
    pub header_count: usize,
    /// What a client owes of its request's body.
    pub body_pace: Pace,
    /// What a client owes in taking an answer.
    pub write_pace: Pace,
}

/// See the module. Shared by all connections.
pub struct Gateway {
    serving: Arc<Serving>,
    sink: Sink,
    tracer: Arc<Tracer>,
}

impl Gateway {
    /// A gateway to what serves.
    pub fn new(serving: Arc<Serving>, sink: Sink, tracer: Arc<Tracer>) -> Arc<Gateway> {
        Arc::new(Gateway {
            serving,
            sink,
            tracer,
        })
    }

    /// Who is at the other end of a connection.
    pub(crate) fn peer(&self, address: SocketAddr, secure: bool) -> Peer {
        let generation = self.serving.now();
        let settings = generation.as_ref().map(|generation| generation.settings());
        let trusted = settings.map_or(&[][..], |settings| &settings.trusted_proxies);
        Peer::new(address, secure, trusted)
    }

    /// Answers one request. Dropping the future, or the answer's body before its end, cancels the
    /// guest's call. `open` is dropped when all of it is over.
    pub(crate) async fn answer<O: Unpin>(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
        open: O,
    ) -> Response<GatewayBody<O>> {
        let (mut parts, incoming) = request.into_parts();
        let id = RequestId::accept_or_make(&parts.headers);
        // Nothing is let in before the first.
        let generation = self.serving.pick(&parts.headers);
        let settings = generation.as_ref().map(|generation| generation.settings());
        let access_log = settings.is_some_and(|settings| settings.access_log);
        let write_pace = settings.map_or_else(Pace::default, |settings| settings.write_pace);
        let sink = access_log.then_some(&self.sink);
        let wanted = sink.is_some() || self.tracer.is_heard();
        let mut entry = wanted.then(|| Entry::open(sink, &parts, id.clone(), peer.ip()));
        let line = entry.as_mut().map(|logged| &mut *logged.entry);
        let answered = match generation {
            Some(generation) => {
                self.route(generation, peer, &mut parts, incoming, &id, line)
                    .await
            }
            None => Err(Fault::NotFound),
        };
        match answered {
            Ok(mut response) => {
                response
                    .headers_mut()
                    .insert(request_id::HEADER, id.value().clone());
                let status = response.status();
                let (parts, body) = response.into_parts();
                if let Some(logged) = &mut entry {
                    logged.entry.answered(status);
                }
                let body = GatewayBody::new(body, entry, open, write_pace);
                Response::from_parts(parts, body)
            }
            Err(fault) => {
                if let Some(logged) = &mut entry {
                    logged.entry.failed(&fault);
                }
                problem(&fault, &id, entry, open)
            }
        }
    }

    async fn route(
        &self,
        generation: Arc<Generation>,
        peer: &Peer,
        parts: &mut http::request::Parts,
        incoming: Incoming,
        id: &RequestId,
        mut entry: Option<&mut Entry>,
    ) -> Result<Response<crate::service::AnswerBody>, Fault> {
        let settings = generation.settings();
        check_head(settings, parts)?;
        let host = authority(parts)?;
        normalise(parts)?;
        let Found {
            service,
            deadline,
            route,
        } = find(&generation, &host, parts)?;

        let asked = peer
            .asked(host)
            .map_err(|_| Fault::BadRequest("The request's Host header is not a host."))?;
        // Guests are told by the authority; the field is not for them.
        parts.headers.remove(HOST);
        let client = peer.client(&parts.headers, &settings.trusted_proxies);
        keep_valid_trace(&mut parts.headers);
        let depth = if peer.may_be_a_service() {
            depth(&parts.headers)
        } else {
            0
        };
        parts.headers.remove(DEPTH_HEADER);
        if let Some(entry) = &mut entry {
            entry.routed(&service, client, asked.host.clone(), &parts.headers);
        }
        let log_calls = settings.access_log && settings.log_calls;
        let begun = self.tracer.request(&mut parts.headers, log_calls);
        let trace = begun.as_ref().map(|begun| begun.trace.clone());
        if let (Some(entry), Some(begun)) = (&mut entry, begun) {
            entry.traced(begun);
        }

        // What few requests need is boxed, so that the others do not carry room for it about.
        let held = match service.is_coming() {
            false => Duration::ZERO,
            true => Box::pin(service.hold()).await,
        };
        service.room().map_err(Fault::Service)?;
        let (mut body, report) = body(settings.body_pace, &service, parts, incoming)?;
        let length = declared_length(parts);
        if length.is_some() {
            let gathered = Box::pin(body.gather(length)).await;
            gathered.map_err(Fault::of_body)?;
        }
        let call = Call {
            scheme: if peer.is_secure() {
                WasiScheme::Https
            } else {
                WasiScheme::Http
            },
            head_only: parts.method == Method::HEAD,
            request: Request::from_parts(absolute(parts, peer, asked.authority.clone())?, body),
            stamp: Some(Stamp::new(asked, id)),
            request_id: id.clone(),
            generation: Some(generation),
            trace,
            depth,
            deadline,
            route: Some(route),
        };
        let lag = call.request.body().lag().cloned();
        let (answer, mut record) = service.call(call).await;
        record.queued += held;
        if let Some(lag) = lag {
            lag.ease();
        }
        if let Some(entry) = entry {
            entry.called(record, report.clone());
        }
        // A client that broke its own request is told so, whatever the guest made of it.
        let broken = report.and_then(|report| report.fault());
        match (answer, broken) {
            (Err(_), Some(fault)) => Err(Fault::of_body(fault)),
            (Ok(response), Some(fault)) => {
                drop(response);
                Err(Fault::of_body(fault))
            }
            (Ok(response), _) if response.status().is_informational() => {
                drop(response);
                Err(Fault::Service(crate::service::Refused::Failed(Arc::new(
                    crate::instance::Failure::ErrorCode {
                        code: "an informational status is no final response".to_owned(),
                    },
                ))))
            }
            (Ok(response), _) => Ok(response),
            (Err(refused), None) => Err(Fault::Service(refused)),
        }
    }
}

fn check_head(settings: &Settings, parts: &http::request::Parts) -> Result<(), Fault> {
    if parts.headers.len() > settings.header_count {
        return Err(Fault::HeadersTooLarge);
    }
    let fields: usize = parts
        .headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    let target = parts
        .uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len());
    if (fields + target) as u64 > settings.header_bytes {
        return Err(Fault::HeadersTooLarge);
    }
    Ok(())
}

fn find(
    generation: &Generation,
    host: &HeaderValue,
    parts: &http::request::Parts,
) -> Result<Found, Fault> {
    // `authority` has checked that it is ASCII.
    let host = host.to_str().unwrap_or_default();
    let routes = generation.routes();
    match routes.lookup(host, parts.uri.path(), parts.method.as_str()) {
        Lookup::Found(target) => Ok(Found {
            service: target.service.clone(),
            deadline: target.timeout,
            route: target.route.clone(),
        }),
        Lookup::NotFound => Err(Fault::NotFound),
        Lookup::MethodNotAllowed { allow } => Err(Fault::MethodNotAllowed(allow.to_string())),
    }
}

/// The body that the guest may read, unless the client says beforehand that it is too large.
fn body(
    pace: Pace,
    service: &Service,
    parts: &http::request::Parts,
    incoming: Incoming,
) -> Result<(IncomingBody, Option<Arc<BodyReport>>), Fault> {
    if incoming.is_end_stream() {
        return Ok((IncomingBody::empty(), None));
    }
    // A closed service answers 503 in a moment; its limit does not matter.
    let revision = service.active();
    let limit = revision
        .as_ref()
        .map(|revision| revision.limits().request_body);
    let declared = declared_length(parts);
    if limit.is_some_and(|limit| declared.is_some_and(|declared| declared > limit)) {
        return Err(Fault::BodyTooLarge);
    }
    let lobby = revision.map(|revision| revision.lobby.clone());
    let (body, report) = IncomingBody::new(incoming, limit.unwrap_or(0), pace, lobby);
    Ok((body, Some(report)))
}

/// How long the client says its body is.
fn declared_length(parts: &http::request::Parts) -> Option<u64> {
    let value = parts.headers.get(CONTENT_LENGTH)?;
    value.to_str().ok()?.parse().ok()
}

/// The host asked for: the request target's authority, or else the one Host header
/// (RFC 9112, section 3.2).
fn authority(parts: &mut http::request::Parts) -> Result<HeaderValue, Fault> {
    if let Some(authority) = parts.uri.authority() {
        if authority.as_str().contains('@') {
            return Err(Fault::BadRequest(
                "The request's target has user information.",
            ));
        }
        let none = Fault::BadRequest("The request's target names no valid host.");
        if !heard::is_host(authority.as_str().as_bytes()) {
            return Err(none);
        }
        let value = HeaderValue::from_str(authority.as_str()).map_err(|_| none)?;
        parts.headers.insert(HOST, value.clone());
        return Ok(value);
    }
    let mut hosts = parts.headers.get_all(HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    if more.is_some() {
        return Err(Fault::BadRequest(
            "The request has more than one Host header.",
        ));
    }
    let Some(host) = host else {
        if parts.version == Version::HTTP_10 {
            // HTTP/1.0 knows no Host; guests are promised an authority all the same.
            let nowhere = HeaderValue::from_static("localhost");
            parts.headers.insert(HOST, nowhere.clone());
            return Ok(nowhere);
        }
        return Err(Fault::BadRequest("The request has no Host header."));
    };
    if !heard::is_host(host.as_bytes()) {
        return Err(Fault::BadRequest(
            "The request's Host header is not a host.",
        ));
    }
    Ok(host.clone())
}

/// Brings the path into its one spelling, for the router and for the guest alike.
fn normalise(parts: &mut http::request::Parts) -> Result<(), Fault> {
    if parts.method == Method::CONNECT {
        return Err(Fault::BadRequest("CONNECT is not served here."));
    }
    let path = parts.uri.path();
    if path == "*" && parts.method == Method::OPTIONS {
        return Err(Fault::NotFound);
    }
    let normal = route::normalise(path)
        .map_err(|_| Fault::BadRequest("The request's path is not in a form that is served."))?;
    let std::borrow::Cow::Owned(normal) = normal else {
        return Ok(());
    };
    let target = match parts.uri.query() {
        Some(query) => format!("{normal}?{query}"),
        None => normal,
    };
    let target = PathAndQuery::try_from(target)
        .map_err(|_| Fault::BadRequest("The request's path is not in a form that is served."))?;
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.path_and_query = Some(target);
    parts.uri = Uri::from_parts(uri)
        .map_err(|_| Fault::BadRequest("The request's path is not in a form that is served."))?;
    Ok(())
}

/// The head for the guest: with a scheme and an authority, as `wasi:http` promises.
fn absolute(
    parts: &mut http::request::Parts,
    peer: &Peer,
    authority: Authority,
) -> Result<http::request::Parts, Fault> {
    let (mut head, ()) = Request::new(()).into_parts();
    head.method = parts.method.clone();
    head.version = parts.version;
    head.headers = std::mem::take(&mut parts.headers);
    let mut uri = std::mem::take(&mut parts.uri).into_parts();
    uri.scheme = Some(if peer.is_secure() {
        Scheme::HTTPS
    } else {
        Scheme::HTTP
    });
    uri.authority = Some(authority);
    uri.path_and_query
        .get_or_insert_with(|| PathAndQuery::from_static("/"));
    head.uri = Uri::from_parts(uri)
        .map_err(|_| Fault::BadRequest("The request's target is not in a form that is served."))?;
    Ok(head)
}

/// A trace context that is not one is not passed on (W3C Trace Context, section 3.2).
fn keep_valid_trace(headers: &mut http::HeaderMap) {
    let Some(value) = headers.get(&TRACEPARENT) else {
        return;
    };
    if !heard::is_trace_parent(value.as_bytes()) {
        headers.remove(&TRACEPARENT);
        headers.remove(&TRACESTATE);
    }
}

/// The time and the clock reading at which a request arrived.
#[derive(Clone, Copy)]
pub(crate) struct Arrival {
    pub(crate) time: SystemTime,
    pub(crate) clock: Instant,
}

#[cfg(test)]
mod tests;
