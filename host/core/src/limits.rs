//! Every limit that a manifest can set, with its default, unit and reason: nothing that a guest or
//! a client does may grow without bound.
//!
//! The defaults suit a small machine (one or two cores, one gigabyte). Each is a named constant, so
//! that the documentation, the schema and the host read the same figure.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::cpu::CpuShare;
use crate::size::ByteSize;

/// Bytes of linear memory of one instance. Most services need a few; interpreters need more.
pub const MEMORY: ByteSize = ByteSize::mib(64);
/// Linear memories have 32-bit addresses, so that more could never be used.
pub const MEMORY_MAX: ByteSize = ByteSize::gib(4);
/// One page: with less, no instance can begin.
pub const MEMORY_MIN: ByteSize = ByteSize::kib(64);
/// Of all instances together: more than any machine has.
pub const MEMORY_TOTAL_MAX: ByteSize = ByteSize::gib(1 << 20);
/// Bytes that the host holds for one instance beside its memories: pieces of bodies on their way,
/// header fields, handles, unfinished lines of log. One call may hand over as much; a guest that
/// streams holds a few hundred kilobytes.
pub const BUFFERS: ByteSize = ByteSize::mib(16);
/// One piece of a body each way, and the handles of a request.
pub const BUFFERS_MIN: ByteSize = ByteSize::kib(256);
/// As for memories.
pub const BUFFERS_MAX: ByteSize = MEMORY_MAX;
/// Elements (function references and the like) of all tables of one instance; large interpreters
/// have some ten thousand, and each costs the host eight bytes.
pub const TABLE_ELEMENTS: u32 = 100_000;
/// More than this no compiler of today emits.
pub const TABLE_ELEMENTS_MAX: u32 = 10_000_000;
/// CPU time of one call. Waiting is not charged, so that this is plenty for a request.
pub const CPU: Duration = Duration::from_millis(500);
/// Wall-clock time of one call, waiting included: longer than most clients wait with patience.
pub const DEADLINE: Duration = Duration::from_secs(5);
/// The longest deadline: an hour-long call is a worker's job.
pub const DEADLINE_MAX: Duration = Duration::from_secs(3600);
/// Calls that one service runs at the same time; the rest queue.
pub const CONCURRENCY: u32 = 256;
/// What one service may ask for; sockets and memory end before that.
pub const CONCURRENCY_MAX: u32 = 100_000;
/// Calls that wait for their turn. Beyond that the host answers 503 at once, which is kinder than a
/// queue whose end no caller lives to see.
pub const QUEUE: u32 = 1024;
/// A longer queue only holds callers that have gone.
pub const QUEUE_MAX: u32 = 100_000;
/// Bytes of a request's body: more than a form or a JSON document, less than a video.
pub const REQUEST_BODY: ByteSize = ByteSize::mib(8);
/// Bytes of a response's body: room for a download; a runaway stream ends somewhere.
pub const RESPONSE_BODY: ByteSize = ByteSize::mib(64);
/// The largest body that can be allowed: what no body limit would mean in practice.
pub const BODY_MAX: ByteSize = ByteSize::gib(1024);
/// Bytes of header fields or trailers that a guest may build in one message.
pub const HEADERS: ByteSize = ByteSize::kib(64);
/// Larger headers are refused by most of what stands in between.
pub const HEADERS_MAX: ByteSize = ByteSize::mib(1);
/// Entries in an instance's table of resources (bodies, streams, descriptors, pollables).
pub const HANDLES: u32 = 4096;
/// An entry costs the host some hundred bytes.
pub const HANDLES_MAX: u32 = 1_000_000;
/// Files, directories and listings that all instances of a service have open together. Each is a
/// descriptor of the host's, of which a process has some thousand to accept clients with.
pub const FILES: u32 = 1024;
/// More than this no process is allowed.
pub const FILES_MAX: u32 = 1_000_000;
/// Bytes that a guest may hand to the host in one call: the host copies them into its own memory,
/// so that this bounds what a guest can make the host allocate. Bodies cross in far smaller pieces.
pub const HOSTCALL_FUEL: ByteSize = ByteSize::mib(16);
/// The whole of the largest memory.
pub const HOSTCALL_FUEL_MAX: ByteSize = ByteSize::gib(4);
/// Bytes of stdout and stderr per second that reach the log, from all instances of a service.
pub const LOG_RATE: ByteSize = ByteSize::kib(256);
/// More than this would make the log the load.
pub const LOG_RATE_MAX: ByteSize = ByteSize::mib(64);
/// Bytes of one line in the log; the rest of a longer line is cut and counted.
pub const LOG_LINE: ByteSize = ByteSize::kib(8);
/// What log readers still take.
pub const LOG_LINE_MAX: ByteSize = ByteSize::mib(1);

/// Requests that a service has under way to the outside at the same time.
pub const OUTGOING_CONCURRENCY: u32 = 64;
/// As many as calls.
pub const OUTGOING_CONCURRENCY_MAX: u32 = CONCURRENCY_MAX;
/// Connections that are kept open for the next request.
pub const OUTGOING_IDLE: u32 = 16;
/// To resolve a name and connect, TLS included.
pub const OUTGOING_CONNECT: Duration = Duration::from_secs(5);
/// From the end of the request to the head of the response.
pub const OUTGOING_FIRST_BYTE: Duration = Duration::from_secs(30);
/// The longest pause within a response's body.
pub const OUTGOING_BETWEEN_BYTES: Duration = Duration::from_secs(30);
/// Bytes of a response's head.
pub const OUTGOING_HEADERS: ByteSize = ByteSize::kib(64);

/// What happens to a guest that asks for more memory than it may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MemoryPolicy {
    /// It is told no, and may go on with what it has.
    #[default]
    Fail,
    /// Its call is ended: for guests that would not check, or would go on half-alive.
    Trap,
}

/// What one service may use. `[service.NAME] limits` in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ServiceLimits {
    /// Linear memory of one instance.
    pub memory: ByteSize,
    /// All instances of the service together: their linear memories, tables, buffers and stacks.
    pub memory_total: ByteSize,
    /// What happens beyond `memory` and `memory_total`.
    pub memory_policy: MemoryPolicy,
    /// What the host holds for one instance beside its memories.
    pub buffers: ByteSize,
    /// Elements of all tables of one instance.
    pub table_elements: u32,
    /// CPU time of one call; waiting is not charged.
    pub cpu: Duration,
    /// CPU time of all calls together; `None`: what the machine has.
    pub cpu_share: Option<CpuShare>,
    /// Beside other services whose calls compute for long.
    pub cpu_weight: u32,
    /// Wall-clock time of one call.
    pub deadline: Duration,
    /// Calls at the same time.
    pub concurrency: u32,
    /// Calls that wait for their turn.
    pub queue: u32,
    pub request_body: ByteSize,
    pub response_body: ByteSize,
    /// Header fields or trailers that a guest builds for one message.
    pub headers: ByteSize,
    /// Entries in each of an instance's resource tables: `wasi:http`'s 0.2, and all else.
    pub handles: u32,
    /// Files, directories and listings that all instances have open together.
    pub files: u32,
    /// Bytes that a guest hands to the host in one call.
    pub hostcall_fuel: ByteSize,
    /// Bytes per second of stdout and stderr of all instances.
    pub log_rate: ByteSize,
    pub log_line: ByteSize,
    pub outgoing: OutgoingLimits,
}

impl Default for ServiceLimits {
    fn default() -> Self {
        Self {
            memory: MEMORY,
            memory_total: MEMORY.saturating_mul(crate::instances::MAX as u64),
            memory_policy: MemoryPolicy::default(),
            buffers: BUFFERS,
            table_elements: TABLE_ELEMENTS,
            cpu: CPU,
            cpu_share: None,
            cpu_weight: crate::cpu::WEIGHT,
            deadline: DEADLINE,
            concurrency: CONCURRENCY,
            queue: QUEUE,
            request_body: REQUEST_BODY,
            response_body: RESPONSE_BODY,
            headers: HEADERS,
            handles: HANDLES,
            files: FILES,
            hostcall_fuel: HOSTCALL_FUEL,
            log_rate: LOG_RATE,
            log_line: LOG_LINE,
            outgoing: OutgoingLimits::default(),
        }
    }
}

/// What one service's requests to the outside may use. A guest can ask for less, never for more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OutgoingLimits {
    pub concurrency: u32,
    /// Connections kept open for the next request.
    pub idle: u32,
    pub connect_timeout: Duration,
    pub first_byte_timeout: Duration,
    pub between_bytes_timeout: Duration,
    /// Bytes of a response's head.
    pub headers: ByteSize,
}

impl Default for OutgoingLimits {
    fn default() -> Self {
        Self {
            concurrency: OUTGOING_CONCURRENCY,
            idle: OUTGOING_IDLE,
            connect_timeout: OUTGOING_CONNECT,
            first_byte_timeout: OUTGOING_FIRST_BYTE,
            between_bytes_timeout: OUTGOING_BETWEEN_BYTES,
            headers: OUTGOING_HEADERS,
        }
    }
}

/// Connections to the listener. An idle one costs some ten kilobytes.
pub const CONNECTIONS: u32 = 16_384;
/// As many as one address has ports, and more.
pub const CONNECTIONS_MAX: u32 = 1_000_000;
/// Bytes of a request's head: twice what common servers allow, since tokens travel in it.
pub const HEADER_BYTES: ByteSize = ByteSize::kib(32);
/// hyper refuses a smaller buffer.
pub const HEADER_BYTES_MIN: ByteSize = ByteSize::kib(8);
/// A head is held in memory whole.
pub const HEADER_BYTES_MAX: ByteSize = ByteSize::mib(1);
/// Header fields of a request.
pub const HEADER_COUNT: u32 = 100;
/// Each field costs a look-up in every table it enters.
pub const HEADER_COUNT_MAX: u32 = 10_000;
/// To send a whole head, so that slow senders cannot hold connections for nothing.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection without a request is closed after this.
pub const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// The longest pause between two reads of a request's body.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(30);
/// The longest time that a client may leave a response unread.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);
/// Bytes per second that a client owes, of its request's body and of the answer that it takes: less
/// than the slowest links of today carry, more than somebody sends who only wants to hold a place.
pub const CLIENT_RATE: ByteSize = ByteSize::kib(1);
/// A faster minimum would end honest clients.
pub const CLIENT_RATE_MAX: ByteSize = ByteSize::mib(1);
/// Streams at the same time on one HTTP/2 connection.
pub const STREAMS: u32 = 128;
/// More has no use but floods.
pub const STREAMS_MAX: u32 = 10_000;
/// A client's time-out that is longer protects nobody.
pub const CLIENT_TIMEOUT_MAX: Duration = Duration::from_secs(3600);

/// What clients may use. `[http] limits` in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HttpLimits {
    pub connections: u32,
    pub header_bytes: ByteSize,
    pub header_count: u32,
    /// To send a whole request head.
    pub header_timeout: Duration,
    /// Without a request under way.
    pub idle_timeout: Duration,
    /// The furthest a client may lag behind with a request's body.
    pub body_timeout: Duration,
    /// Bytes per second of a request's body that make up for waiting.
    pub body_rate: ByteSize,
    /// The furthest a client may lag behind in taking a response.
    pub write_timeout: Duration,
    /// Bytes per second of a response, taken, that make up for waiting.
    pub write_rate: ByteSize,
    /// HTTP/2 streams at the same time per connection.
    pub streams: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections: CONNECTIONS,
            header_bytes: HEADER_BYTES,
            header_count: HEADER_COUNT,
            header_timeout: HEADER_TIMEOUT,
            idle_timeout: IDLE_TIMEOUT,
            body_timeout: BODY_TIMEOUT,
            body_rate: CLIENT_RATE,
            write_timeout: WRITE_TIMEOUT,
            write_rate: CLIENT_RATE,
            streams: STREAMS,
        }
    }
}

/// Bytes of native stack that guest code may use; the same for all services, since the engine is.
pub const STACK: ByteSize = ByteSize::kib(512);
/// With less, ordinary recursion fails.
pub const STACK_MIN: ByteSize = ByteSize::kib(64);
/// Every call under way has one.
pub const STACK_MAX: ByteSize = ByteSize::mib(16);
/// Threads and instances of the host: far beyond any machine.
pub const THREADS_MAX: u32 = 1024;
/// Requests under way get this long to finish when the host stops.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(10);
/// Calls under way and a worker get this long to finish when their service stops.
pub const STOP_TIMEOUT: Duration = Duration::from_secs(10);
/// Whoever stops a host does not wait longer.
pub const STOP_TIMEOUT_MAX: Duration = Duration::from_secs(3600);
