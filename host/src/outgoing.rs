//! Outgoing HTTP: a guest reaches the origins that its service was granted, and nothing else.
//!
//! Comes after `instance`, whose store holds one [`OutgoingScope`] per instance and hands it each
//! request that the guest sends. The walk of a request: `destination` reads the URI in one way
//! only → the origins decide → a slot among the service's requests in flight → `pool` or `connect`
//! (which connects only to addresses that were checked after they were resolved) → `upload` and
//! `download` stream the bodies under the limits → `exchange` returns the connection, or cuts it
//! when anybody lets go early. `fault` turns what went wrong into the codes that guests know.
//!
//! Nothing here follows redirects: a guest that does sends a new request, checked from the start.

mod connect;
mod connection;
mod destination;
mod download;
mod exchange;
mod fault;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod headers;
mod limits;
mod pool;
mod resolve;
mod scope;
mod upload;

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use parking_lot::Mutex;
use rustls::ClientConfig;
use skep_core::grant::address::is_public;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody};

use self::connect::Connector;
use self::connection::Connection;
use self::destination::{Destination, Host};
use self::download::Download;
use self::exchange::Exchange;
use self::limits::{LONGEST, Timeouts};
use self::pool::Pool;
use self::upload::{Upload, UploadWatch};

pub use self::headers::{DEPTH_HEADER, MAX_DEPTH, depth};
pub use self::limits::{OutgoingLimits, OutgoingPolicy};
pub use self::resolve::{Resolve, Resolving, SystemResolver};
pub use self::scope::OutgoingScope;
pub use skep_core::grant::Origin;

/// Tells how the sending of the request body ended. Dropped before that, it cuts the exchange.
pub type Sending = Box<dyn Future<Output = Result<(), Error>> + Send>;

/// What `WasiHttpHooks::send_request` returns.
pub type Sent = Box<dyn Future<Output = Result<(Response<WasiBody>, Sending), Error>> + Send>;

/// Sends one service revision's outgoing requests; clones share its limits and its connections.
///
/// Dropping the last clone closes the idle connections; what is in flight goes on.
#[derive(Clone)]
pub struct OutgoingClient {
    inner: Arc<Inner>,
}

struct Inner {
    policy: OutgoingPolicy,
    connector: Connector,
    pool: Arc<Pool>,
    /// One permit per request in flight.
    slots: Arc<Semaphore>,
    /// One permit per request that waits for a slot or has one.
    admissions: Arc<Semaphore>,
    /// What the log has been told was refused: each origin once, and not without end.
    refused: Mutex<HashSet<String>>,
}

/// Distinct refusals that one revision may write to the log: guests choose the names.
const REFUSALS_LOGGED: usize = 32;

impl OutgoingClient {
    /// A client that resolves names as the system does and trusts Mozilla's certificate roots.
    pub fn new(policy: OutgoingPolicy) -> Self {
        Self::with(policy, Arc::new(SystemResolver), connect::public_tls())
    }

    /// A client with its own resolver and its own trust. Addresses are checked all the same; ALPN
    /// is set here.
    pub fn with(policy: OutgoingPolicy, resolver: Arc<dyn Resolve>, tls: ClientConfig) -> Self {
        let limits = &policy.limits;
        let admitted = limits.concurrency.saturating_add(limits.queue);
        let inner = Inner {
            connector: Connector::new(limits, resolver, tls),
            pool: Pool::new(limits.idle_connections, limits.idle_timeout.min(LONGEST)),
            slots: Arc::new(Semaphore::new(
                limits.concurrency.min(Semaphore::MAX_PERMITS),
            )),
            admissions: Arc::new(Semaphore::new(admitted.min(Semaphore::MAX_PERMITS))),
            refused: Mutex::default(),
            policy,
        };
        Self {
            inner: Arc::new(inner),
        }
    }

    /// The handle for one instance: see [`OutgoingScope`]. `depth` is that of the request that the
    /// instance answers, from [`depth`]; 0 where there is none.
    pub fn scope(&self, depth: u32) -> OutgoingScope {
        OutgoingScope::new(self.clone(), depth)
    }

    /// Whose requests it sends.
    fn service(&self) -> &Arc<str> {
        &self.inner.policy.service
    }

    /// Sends a request that belongs to no instance. Errors are those of `wasi:http`; the response
    /// and the body's back-pressure are the peer's own.
    pub fn send(&self, request: Request<WasiBody>, options: Option<RequestOptions>) -> Sent {
        self.send_within(request, options, None, 0)
    }

    fn send_within(
        &self,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        scope: Option<Arc<scope::Life>>,
        depth: u32,
    ) -> Sent {
        let inner = Arc::clone(&self.inner);
        Box::new(async move { inner.send(request, options, scope, depth).await })
    }
}

impl Inner {
    async fn send(
        self: Arc<Self>,
        request: Request<WasiBody>,
        options: Option<RequestOptions>,
        scope: Option<Arc<scope::Life>>,
        depth: u32,
    ) -> Result<(Response<WasiBody>, Sending), Error> {
        let destination = Destination::read(request.uri())?;
        self.authorise(&destination)?;
        let timeouts = Timeouts::new(&self.policy.limits, options);
        let (request, watch) = self.prepare(request, scope, depth)?;

        let deadline = Instant::now() + timeouts.connect;
        let slot = self.admit(deadline).await?;
        let (exchange, response) = self
            .exchange(&destination, request, watch, slot, timeouts, deadline)
            .await?;
        self.answer(exchange, response, timeouts)
    }

    /// Whether an origin allows the destination. A literal address that is not public has to be
    /// named itself, whatever else matches.
    fn authorise(&self, destination: &Destination) -> Result<(), Error> {
        let origins = &self.policy.origins;
        if !origins.iter().any(|origin| destination.matches(origin)) {
            self.note_refusal(destination, "it is not among the service's grants.http");
            return Err(Error::HttpRequestDenied);
        }
        match destination.host() {
            Host::Name(_) => Ok(()),
            Host::Address(ip) if self.allows(destination, *ip) => Ok(()),
            Host::Address(_) => {
                self.note_refusal(destination, "its address is not public and not granted");
                Err(Error::DestinationIpProhibited)
            }
        }
    }

    /// Whether a connection for `destination` may go to `ip`: to a public address always, to
    /// another only where a grant names that very address, or names localhost for loopback.
    fn allows(&self, destination: &Destination, ip: IpAddr) -> bool {
        if is_public(ip) {
            return true;
        }
        let mut private = self.policy.origins.iter().filter(|o| o.names_private());
        let loopback = destination.is_localhost() && ip.is_loopback();
        private.any(|origin| {
            destination.at(ip).matches(origin) || (loopback && destination.matches(origin))
        })
    }

    /// Tells the operator once per destination; a guest learns the code alone.
    fn note_refusal(&self, destination: &Destination, why: &str) {
        let mut refused = self.refused.lock();
        if refused.len() < REFUSALS_LOGGED && refused.insert(destination.to_string()) {
            tracing::warn!(
                service = %self.policy.service, %destination,
                "an outgoing request was refused: {why}; grant the origin if the service may reach it",
            );
        }
    }

    fn prepare(
        &self,
        request: Request<WasiBody>,
        scope: Option<Arc<scope::Life>>,
        depth: u32,
    ) -> Result<(Request<Upload>, Arc<UploadWatch>), Error> {
        // CONNECT would make the peer a tunnel to destinations that nobody has checked.
        if request.method() == Method::CONNECT {
            return Err(Error::HttpRequestMethodInvalid);
        }
        let (mut parts, body) = request.into_parts();
        parts.extensions.clear();
        headers::prepare_request(&mut parts.headers, depth)?;
        let owed = headers::content_length(&parts.headers)?;
        let limit = self.policy.limits.request_body;
        if owed.is_some_and(|length| length > limit) {
            return Err(Error::HttpRequestBodySize(Some(limit)));
        }
        let (upload, watch) = Upload::new(body, owed, limit, scope);
        Ok((Request::from_parts(parts, upload), watch))
    }

    /// A slot among the requests in flight, by `deadline`.
    async fn admit(&self, deadline: Instant) -> Result<Slot, Error> {
        let admission = Arc::clone(&self.admissions)
            .try_acquire_owned()
            .map_err(|_| Error::ConnectionLimitReached)?;
        let waiting = Arc::clone(&self.slots).acquire_owned();
        match timeout_at(deadline, waiting).await {
            Ok(Ok(flight)) => Ok(Slot {
                _flight: flight,
                _admission: admission,
            }),
            _ => Err(Error::ConnectionLimitReached),
        }
    }

    /// Sends the request over a kept connection, or over a new one, until the response's head.
    async fn exchange(
        &self,
        destination: &Destination,
        mut request: Request<Upload>,
        watch: Arc<UploadWatch>,
        slot: Slot,
        timeouts: Timeouts,
        deadline: Instant,
    ) -> Result<(exchange::Guard, Response<hyper::body::Incoming>), Error> {
        let mut slot = Some(slot);
        loop {
            let kept = self.kept(destination, deadline).await;
            let spare = kept.as_ref().map(|_| Spare::of(&request, &watch));
            let mut connection = match kept {
                Some(connection) => connection,
                None => self.connect(destination, deadline).await?,
            };
            headers::address(&mut request, destination, connection.is_shared());
            let sending = connection.try_send(request);
            let exchange = Exchange::new(
                Arc::clone(&watch),
                Arc::clone(&self.pool),
                connection,
                slot.take(),
            );
            // From here on, letting go of this future cuts the connection.
            let guard = exchange::Guard::new(exchange);
            let outcome = tokio::select! {
                biased;
                outcome = sending => outcome,
                late = exchange::patience(&watch, timeouts) => return Err(late),
            };
            let mut failure = match outcome {
                Ok(response) => return Ok((guard, response)),
                Err(failure) => failure,
            };
            let unsent = failure.take_message();
            let error = failure.into_error();
            match spare.and_then(|spare| spare.again(unsent, &error)) {
                Some(again) => {
                    slot = guard.dissolve();
                    request = again;
                }
                None => {
                    let limit = self.policy.limits.response_headers;
                    return Err(watch
                        .take_failure()
                        .unwrap_or_else(|| fault::of_response(&error, limit)));
                }
            }
        }
    }

    async fn kept(&self, destination: &Destination, deadline: Instant) -> Option<Connection> {
        while let Some(mut connection) = self.pool.take(destination) {
            if let Ok(Ok(())) = timeout_at(deadline, connection.ready()).await {
                return Some(connection);
            }
        }
        None
    }

    async fn connect(
        &self,
        destination: &Destination,
        deadline: Instant,
    ) -> Result<Connection, Error> {
        let allows = |ip| self.allows(destination, ip);
        let outcome = self.connector.connect(destination, allows, deadline).await;
        match &outcome {
            Ok(connection) => self.pool.share(connection),
            Err(Error::DestinationIpProhibited) => self.note_refusal(
                destination,
                "its name resolves to no public address and to none granted",
            ),
            Err(_) => {}
        }
        outcome
    }

    /// Checks the response's head and lets the guest have it with its streaming body.
    fn answer(
        &self,
        guard: exchange::Guard,
        response: Response<hyper::body::Incoming>,
        timeouts: Timeouts,
    ) -> Result<(Response<WasiBody>, Sending), Error> {
        let limits = &self.policy.limits;
        let (mut parts, incoming) = response.into_parts();
        // Nobody asked for an upgrade: the bytes that follow would be of no protocol we know.
        if parts.status == StatusCode::SWITCHING_PROTOCOLS {
            return Err(Error::HttpUpgradeFailed);
        }
        let size = headers::size(&parts.headers);
        if size > limits.response_headers {
            let size = u32::try_from(size).ok();
            return Err(Error::HttpResponseHeaderSectionSize(size));
        }
        headers::strip_hop_by_hop(&mut parts.headers);
        parts.extensions.clear();
        let sending = guard.sending(timeouts);
        let body = Download::new(incoming, guard, timeouts.between_bytes, &self.policy)?;
        Ok((Response::from_parts(parts, body.boxed_unsync()), sending))
    }
}

/// A request's place among those of its service, held to the end of its exchange.
struct Slot {
    _flight: OwnedSemaphorePermit,
    _admission: OwnedSemaphorePermit,
}

/// What a second try takes when a kept connection turns out to be dead. A new connection gets none.
struct Spare {
    /// A copy of a request that may be sent twice: safe by its method, and without a body.
    copy: Option<Request<Upload>>,
}

impl Spare {
    fn of(request: &Request<Upload>, watch: &Arc<UploadWatch>) -> Self {
        let repeatable = request.method().is_safe() && request.body().is_end_stream();
        let copy = repeatable.then(|| {
            let mut copy = Request::new(Upload::none(watch));
            *copy.method_mut() = request.method().clone();
            *copy.uri_mut() = request.uri().clone();
            *copy.headers_mut() = request.headers().clone();
            copy
        });
        Self { copy }
    }

    /// The request for another connection: the unsent one, or, where the peer closed while we
    /// sent, a copy of one that does no harm twice. Peers close idle connections when they like.
    fn again(
        self,
        unsent: Option<Request<Upload>>,
        error: &hyper::Error,
    ) -> Option<Request<Upload>> {
        unsent.or_else(|| self.copy.filter(|_| fault::is_close(error)))
    }
}
