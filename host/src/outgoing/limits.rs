//! What one service may reach, and the bounds on it: each with its default and the reason for it.

use std::sync::Arc;
use std::time::Duration;

use wasmtime_wasi_http::RequestOptions;

use super::Origin;
use crate::memory::buffers::Buffers;

/// What one service may reach, and how much of it at a time.
#[derive(Clone, Debug)]
pub struct OutgoingPolicy {
    /// The service's name, for the log alone.
    pub service: Arc<str>,
    /// The origins of the service's `grants.http`. None: every request is refused.
    pub origins: Vec<Origin>,
    /// Bounds on time, sizes and numbers.
    pub limits: OutgoingLimits,
    /// What pieces of responses are counted in while a guest has them.
    pub buffers: Arc<Buffers>,
}

/// Bounds on one service's outgoing requests. A guest's own time-outs may only be shorter.
#[derive(Clone, Debug)]
pub struct OutgoingLimits {
    /// From the request to a usable connection: waiting for a slot, DNS, TCP and TLS together.
    pub connect_timeout: Duration,
    /// From the end of the request to the head of the response.
    pub first_byte_timeout: Duration,
    /// The longest pause of the other side: between two pieces of the response while the guest
    /// wants one, or between two pieces of the request body that it takes.
    pub between_bytes_timeout: Duration,
    /// Bytes of a response's head, and of its trailers.
    pub response_headers: usize,
    /// Bytes of one request body.
    pub request_body: u64,
    /// Bytes of one response body.
    pub response_body: u64,
    /// Requests in flight, from sending to the end of the response body.
    pub concurrency: usize,
    /// Requests that wait for one in flight to end; more are refused at once.
    pub queue: usize,
    /// Connections kept open for the next request, over all origins together.
    pub idle_connections: usize,
    /// How long such a connection is kept.
    pub idle_timeout: Duration,
}

impl OutgoingLimits {
    /// Three SYN retransmissions fit; a guest's caller has seldom more patience.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// What most API gateways allow; the call's own deadline is usually shorter.
    pub const FIRST_BYTE_TIMEOUT: Duration = Duration::from_secs(30);
    /// A peer silent for this long in the middle of a message has gone.
    pub const BETWEEN_BYTES_TIMEOUT: Duration = Duration::from_secs(30);
    /// Four times what common servers send at most; held in memory per response.
    pub const RESPONSE_HEADERS: usize = 32 * 1024;
    /// Bodies stream and cost no memory; this bounds the traffic that one request can cause.
    pub const REQUEST_BODY: u64 = 64 * 1024 * 1024;
    /// As for requests, and roomy enough for downloads of data files.
    pub const RESPONSE_BODY: u64 = 256 * 1024 * 1024;
    /// Each may hold a socket: a quarter of the usual 1,024 descriptors at most.
    pub const CONCURRENCY: usize = 256;
    /// One more round of requests in flight.
    pub const QUEUE: usize = 256;
    /// Enough for a steady load; each costs a descriptor and some 20 KiB with TLS.
    pub const IDLE_CONNECTIONS: usize = 32;
    /// Below the 60 to 75 s after which common servers close, so that we seldom meet a dead one.
    pub const IDLE_TIMEOUT: Duration = Duration::from_secs(45);
}

impl Default for OutgoingLimits {
    fn default() -> Self {
        Self {
            connect_timeout: Self::CONNECT_TIMEOUT,
            first_byte_timeout: Self::FIRST_BYTE_TIMEOUT,
            between_bytes_timeout: Self::BETWEEN_BYTES_TIMEOUT,
            response_headers: Self::RESPONSE_HEADERS,
            request_body: Self::REQUEST_BODY,
            response_body: Self::RESPONSE_BODY,
            concurrency: Self::CONCURRENCY,
            queue: Self::QUEUE,
            idle_connections: Self::IDLE_CONNECTIONS,
            idle_timeout: Self::IDLE_TIMEOUT,
        }
    }
}

/// The time-outs of one request: the policy's, or the guest's where they are shorter.
#[derive(Clone, Copy)]
pub(super) struct Timeouts {
    pub(super) connect: Duration,
    pub(super) first_byte: Duration,
    pub(super) between_bytes: Duration,
}

/// No time-out is longer, so that no sum with a point in time overflows.
pub(super) const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);

impl Timeouts {
    pub(super) fn new(limits: &OutgoingLimits, options: Option<RequestOptions>) -> Self {
        let options = options.unwrap_or_default();
        let shorter = |own: Duration, guest: Option<Duration>| {
            guest.map_or(own, |guest| guest.min(own)).min(LONGEST)
        };
        Self {
            connect: shorter(limits.connect_timeout, options.connect_timeout),
            first_byte: shorter(limits.first_byte_timeout, options.first_byte_timeout),
            between_bytes: shorter(limits.between_bytes_timeout, options.between_bytes_timeout),
        }
    }
}
