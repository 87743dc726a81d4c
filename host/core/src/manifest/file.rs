//! The raw shape of `skep.toml`: every key once, with its type, its default and its documentation.
//!
//! From here come the reading, the set of known keys, the JSON Schema and `docs/manifest.md`; the
//! comments on the keys below are what users read.
use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use toml::de::DeValue;

use super::leaf::{Listen, Map, OneOrMany, Time};
use super::network::Network;
use super::read::{Read, Reader, Table, Value, table};
use crate::cpu::{self, CpuShare};
use crate::duration::{DurationRange, show};
use crate::grant::{DirectoryMode, Origin};
use crate::limits::MemoryPolicy;
use crate::name::{AppName, ServiceName};
use crate::percent::Percent;
use crate::restart::RestartWhen;
use crate::route::method::Method;
use crate::route::{HostPattern, PathPattern};
use crate::size::ByteSize;
use crate::spanned::Spanned;
use crate::supervision::{Escalate, Strategy};
use crate::watched::Watched;
use crate::{core_dump, health, instances, limits, link, probation, restart};

/// Where a key is known, for people who wrote it into another table.
pub(super) fn home_of(key: &str) -> Option<String> {
    let tables: [(&str, &[&str]); 21] = [
        ("[http]", HttpFile::KEYS),
        ("http.limits", HttpLimitsFile::KEYS),
        ("[host]", HostFile::KEYS),
        ("the host's control", ControlFile::KEYS),
        ("[service.NAME]", ServiceFile::KEYS),
        ("the service's limits", ServiceLimitsFile::KEYS),
        ("the service's limits.outgoing", OutgoingFile::KEYS),
        ("the service's instances", InstancesFile::KEYS),
        ("the service's restart", RestartFile::KEYS),
        ("the service's core-dumps", CoreDumpsFile::KEYS),
        ("the service's probation", ProbationFile::KEYS),
        ("the service's health", HealthTable::KEYS),
        ("a check of the service's health", CheckTable::KEYS),
        ("the service's grants", GrantsFile::KEYS),
        ("[[route]]", RouteFile::KEYS),
        ("[group.NAME]", GroupFile::KEYS),
        ("the group's restart", GroupRestartFile::KEYS),
        ("[link.CALLER.CALLEE]", LinkFile::KEYS),
        ("the link's retry-budget", RetryBudgetFile::KEYS),
        ("the link's breaker", BreakerFile::KEYS),
        ("the manifest itself", ManifestFile::KEYS),
    ];
    let homes: Vec<&str> = tables
        .iter()
        .filter(|(_, keys)| keys.contains(&key))
        .map(|(home, _)| *home)
        .collect();
    (!homes.is_empty()).then(|| format!("`{key}` is a key of {}", homes.join(" or of ")))
}

fn text(duration: Duration) -> String {
    show(duration).to_string()
}

table! {
    /// The manifest of a Skep application.
    ManifestFile {
        /// The application's name: lower-case letters, digits and `-`, beginning with a letter.
        #[schemars(required)]
        "name" name: AppName,
        /// How the outside reaches the application.
        "http" http: HttpFile,
        /// Settings of the whole process. What is left out is derived from the machine.
        "host" host: HostFile,
        /// The services, each a table `[service.NAME]`.
        #[schemars(required)]
        "service" service: Map<ServiceFile>,
        /// Routes that need more than a path, each a table `[[route]]`.
        "route" route: Vec<Spanned<RouteFile>>,
        /// Services that start, fail and restart together, each group a table `[group.NAME]`.
        "group" group: Map<GroupFile>,
        /// How the calls of one service to another are treated, each pair a table
        /// `[link.CALLER.CALLEE]`. A link needs none: that a service imports what another exports
        /// makes it.
        "link" link: Map<Map<LinkFile>>,
    }
}

table! {
    /// How the outside reaches the application.
    HttpFile {
        /// Address and port, or a list of them. Port 0 lets the system choose one. The default is
        /// reachable from this machine alone.
        #[schemars(extend("default" = super::LISTEN))]
        "listen" listen: OneOrMany<Listen>,
        /// Serve HTTPS with this certificate.
        "tls" tls: TlsFile,
        /// Networks of proxies whose `forwarded` and `x-forwarded-*` fields are believed. From
        /// anybody else these fields are replaced.
        #[schemars(extend("default" = []))]
        "trusted-proxies" trusted_proxies: Vec<Spanned<Network>>,
        /// Whether each request is written to the log.
        #[schemars(extend("default" = true))]
        "access-log" access_log: bool,
        /// Whether a request's line in the log lists the calls between services that it led to.
        #[schemars(extend("default" = false))]
        "log-calls" log_calls: bool,
        /// What clients may use.
        "limits" limits: HttpLimitsFile,
        /// Requests under way get this long to finish when the host stops; then they are cut.
        #[schemars(extend("default" = text(limits::DRAIN_TIMEOUT)))]
        "drain-timeout" drain_timeout: Time,
    }
}

table! {
    /// Certificate and key of a listener.
    TlsFile {
        /// PEM file of the certificate chain, the server's own first.
        #[schemars(required)]
        "cert" cert: PathBuf,
        /// PEM file of the private key.
        #[schemars(required)]
        "key" key: PathBuf,
    }
}

table! {
    /// What clients may use, so that no client can take what belongs to all.
    HttpLimitsFile {
        /// Connections at the same time. An idle one costs some ten kilobytes.
        #[schemars(extend("default" = limits::CONNECTIONS), range(min = 1, max = limits::CONNECTIONS_MAX))]
        "connections" connections: u32,
        /// Bytes of a request's head; beyond that the answer is 431. Tokens and cookies travel in it.
        #[schemars(extend("default" = limits::HEADER_BYTES.to_string()))]
        "header-bytes" header_bytes: ByteSize,
        /// Header fields of a request; beyond that the answer is 431.
        #[schemars(extend("default" = limits::HEADER_COUNT), range(min = 1, max = limits::HEADER_COUNT_MAX))]
        "header-count" header_count: u32,
        /// Time to send a whole head, so that slow senders cannot hold connections for nothing.
        #[schemars(extend("default" = text(limits::HEADER_TIMEOUT)))]
        "header-timeout" header_timeout: Time,
        /// A connection without a request is closed after this.
        #[schemars(extend("default" = text(limits::IDLE_TIMEOUT)))]
        "idle-timeout" idle_timeout: Time,
        /// How far a client may lag behind with its request's body; then the answer is 408. Waiting
        /// for it adds to the lag; what it sends makes up for that, at `body-rate`.
        #[schemars(extend("default" = text(limits::BODY_TIMEOUT)))]
        "body-timeout" body_timeout: Time,
        /// Bytes of a body that make up for a second of waiting. 0: any byte makes up for all. Once
        /// the answer has begun that is always so, as the two may be talking to each other.
        #[schemars(extend("default" = limits::CLIENT_RATE.to_string()))]
        "body-rate" body_rate: ByteSize,
        /// How far a client may lag behind in taking a response; then the connection is closed, or the
        /// HTTP/2 stream reset.
        #[schemars(extend("default" = text(limits::WRITE_TIMEOUT)))]
        "write-timeout" write_timeout: Time,
        /// Bytes of a response, taken, that make up for a second of waiting. 0: any make up for all.
        #[schemars(extend("default" = limits::CLIENT_RATE.to_string()))]
        "write-rate" write_rate: ByteSize,
        /// Streams at the same time on one HTTP/2 connection.
        #[schemars(extend("default" = limits::STREAMS), range(min = 1, max = limits::STREAMS_MAX))]
        "streams" streams: u32,
    }
}

table! {
    /// Settings of the whole process.
    HostFile {
        /// Memory of all guests together, with what the host holds for them. Default: half of the
        /// machine's memory, or of the control group's.
        "memory" memory: ByteSize,
        /// Memory of the machine, or of the control group, that must stay free: with less, new
        /// requests get 503 until there is more. Default: a sixteenth, at most 256MiB.
        "memory-reserve" memory_reserve: ByteSize,
        /// Instances of all services together. Default: derived from the services' own limits.
        #[schemars(range(min = 1, max = instances::MAX_MAX))]
        "instances" instances: u32,
        /// Threads that serve requests. Default: one per core.
        #[schemars(range(min = 1, max = limits::THREADS_MAX))]
        "threads" threads: u32,
        /// Native stack that the code of one guest may use; the same for all services, since they
        /// share the engine. Deeper recursion traps.
        #[schemars(extend("default" = limits::STACK.to_string()))]
        "stack" stack: ByteSize,
        /// Directory of compiled components, relative to the manifest. It holds trusted code and is
        /// made for the host's user alone. Default: the user's cache directory.
        "cache" cache: PathBuf,
        /// Directory of what outlives the process, relative to the manifest. Default: `.skep` beside
        /// the manifest.
        "state" state: PathBuf,
        /// Serve the control API over TCP too. Whoever has the token may do with the application
        /// whatever the host's user may. Default: only over the Unix socket in `host.state`.
        "control" control: ControlFile,
    }
}

table! {
    /// The control API over TCP.
    ControlFile {
        /// Address and port. Port 0 lets the system choose one.
        #[schemars(required)]
        "listen" listen: Listen,
        /// File of the token that requests have to show, as `Authorization: Bearer TOKEN`; relative to
        /// the manifest. One line of at least 32 characters, which nobody but the host's user may
        /// read.
        #[schemars(required)]
        "token-file" token_file: PathBuf,
        /// Serve HTTPS with this certificate. Without it the token can be read on its way, unless the
        /// address is reachable from this machine alone.
        "tls" tls: TlsFile,
    }
}

table! {
    /// A service: one component with its own limits, grants and life.
    ServiceFile {
        /// The component's `.wasm` file, relative to the manifest. A component that exports
        /// `wasi:http/incoming-handler@0.2` or `wasi:http/handler@0.3` serves requests; one that
        /// exports `wasi:cli/run` runs as a worker.
        #[schemars(required)]
        "component" component: PathBuf,
        /// How the component is made. `skep dev` builds it at its start and after each change of what
        /// is watched; to whatever runs it makes no difference.
        "build" build: BuildFile,
        /// Paths that lead to this service, for any host and method. `{id}` stands for one segment,
        /// `{*rest}` for all that follows, also for nothing. The most specific route wins.
        #[schemars(extend("default" = []))]
        "routes" routes: Vec<Spanned<PathPattern>>,
        /// Imported interface → service that exports it, with or without the interface's version.
        /// Needed only where two services export it, and for `wasi:http/handler` and
        /// `wasi:http/incoming-handler`, which every HTTP service exports.
        #[schemars(extend("default" = {}))]
        "links" links: Map<ServiceName>,
        /// Services that this one starts after: it waits until each of them is up, or has been given
        /// up, and stops before them.
        #[schemars(extend("default" = []))]
        "after" after: Vec<Spanned<ServiceName>>,
        /// How instances are kept.
        "instances" instances: InstancesFile,
        /// What the service may use.
        "limits" limits: ServiceLimitsFile,
        /// When the service is started again.
        "restart" restart: RestartFile,
        /// Write a core dump of each instance that traps or is ended by a limit, into `core-dumps` in
        /// `host.state`. Off unless this table is there, if only as `{}`: a dump has all that was in
        /// the instance's memory, secrets too.
        "core-dumps" core_dumps: CoreDumpsFile,
        /// How a new revision is watched after the switch to it, and what takes it back to the one before
        /// by itself: whatever it does more often than the one before, beyond what chance explains.
        "probation" probation: ProbationFile,
        /// A path, or a table. The service takes requests once a GET of this path was answered with
        /// 200 to 399. Without it, it is ready once it is instantiated.
        "health" health: HealthFile,
        /// Calls under way, or the worker, get this long to finish when the service stops; also
        /// when the host stops, if it is written and longer than `http.drain-timeout`.
        #[schemars(extend("default" = text(limits::STOP_TIMEOUT)))]
        "stop-timeout" stop_timeout: Time,
        /// What the service may reach. Nothing is granted by default but clocks, random numbers and
        /// the log, which everybody has.
        "grants" grants: GrantsFile,
    }
}

table! {
    /// How a component is made.
    BuildFile {
        /// Run by the shell in the manifest's directory.
        #[schemars(required)]
        "command" command: String,
        /// Files, directories, and patterns of files such as `src/**/*.rs`, relative to the manifest,
        /// whose change asks for a new build. Directories count with all that is below them, but for
        /// `target`, `node_modules` and whatever is hidden.
        #[schemars(extend("default" = []))]
        "watch" watch: Vec<Spanned<Watched>>,
    }
}

table! {
    /// How instances are kept.
    InstancesFile {
        /// Requests that one instance serves before it is retired. Default: 1 for
        /// `wasi:http/incoming-handler@0.2`, so that no request sees what another left behind; 1000
        /// for `wasi:http/handler@0.3`, which bounds what a leak can gather.
        #[schemars(range(min = 1))]
        "reuse" reuse: u32,
        /// Requests that one instance serves at the same time. Only `wasi:http/handler@0.3` can do
        /// more than one; its default is 16.
        #[schemars(range(min = 1, max = instances::CONCURRENT_MAX))]
        "concurrent" concurrent: u32,
        /// Instances at the same time.
        #[schemars(extend("default" = instances::MAX), range(min = 1, max = instances::MAX_MAX))]
        "max" max: u32,
        /// Instances kept ready although nobody asks. Instantiating takes microseconds, so that few
        /// services need one.
        #[schemars(extend("default" = instances::WARM), range(max = instances::MAX_MAX))]
        "warm" warm: u32,
        /// An instance beyond `warm` that nobody has used for this long is dropped.
        #[schemars(extend("default" = text(instances::IDLE)))]
        "idle" idle: Time,
    }
}

table! {
    /// What a service may use. Whoever reaches a limit is answered or ended; nobody else notices.
    ServiceLimitsFile {
        /// Linear memory of one instance; growing beyond it fails in the guest. At most 4GiB.
        #[schemars(extend("default" = limits::MEMORY.to_string()))]
        "memory" memory: ByteSize,
        /// Memory of all instances of the service together, with what the host holds for them: tables,
        /// buffers, stacks. Default: `memory` × `instances.max`.
        "memory-total" memory_total: ByteSize,
        /// `fail`: a guest that wants more than `memory` or `memory-total` is told no and goes on.
        /// `trap`: its call is ended.
        #[schemars(extend("default" = "fail"))]
        "memory-policy" memory_policy: MemoryPolicy,
        /// Bytes that the host holds for one instance beside its memories: pieces of bodies on their
        /// way, header fields, handles. Beyond it the call is ended.
        #[schemars(extend("default" = limits::BUFFERS.to_string()))]
        "buffers" buffers: ByteSize,
        /// Elements of all tables (function references and the like) of one instance. Large
        /// interpreters have some ten thousand.
        #[schemars(extend("default" = limits::TABLE_ELEMENTS), range(min = 1, max = limits::TABLE_ELEMENTS_MAX))]
        "table-elements" table_elements: u32,
        /// CPU time of one call; waiting is not charged. Beyond it the call is ended. When `deadline`
        /// is shorter, that is the default.
        #[schemars(extend("default" = text(limits::CPU)))]
        "cpu" cpu: Time,
        /// CPU time of all calls of the service together: so much of one core; `"200%"` are two.
        /// Beyond it they wait. Default: what the machine has.
        "cpu-share" cpu_share: CpuShare,
        /// Weight of the service beside others whose calls compute for long: with twice the weight
        /// it gets twice the time.
        #[schemars(extend("default" = cpu::WEIGHT), range(min = 1, max = cpu::WEIGHT_MAX))]
        "cpu-weight" cpu_weight: u32,
        /// Time of one call, waiting included; beyond it the call is ended and answered 504.
        #[schemars(extend("default" = text(limits::DEADLINE)))]
        "deadline" deadline: Time,
        /// Calls at the same time; the rest queue.
        #[schemars(extend("default" = limits::CONCURRENCY), range(min = 1, max = limits::CONCURRENCY_MAX))]
        "concurrency" concurrency: u32,
        /// Calls that wait for their turn; beyond that the answer is 503 at once, which is kinder
        /// than a queue whose end nobody lives to see. 0: nobody waits.
        #[schemars(extend("default" = limits::QUEUE), range(max = limits::QUEUE_MAX))]
        "queue" queue: u32,
        /// Bytes of a request's body; beyond that the answer is 413. 0: no body.
        #[schemars(extend("default" = limits::REQUEST_BODY.to_string()))]
        "request-body" request_body: ByteSize,
        /// Bytes of a response's body; beyond that the response is cut. Raise it for downloads.
        #[schemars(extend("default" = limits::RESPONSE_BODY.to_string()))]
        "response-body" response_body: ByteSize,
        /// Bytes of header fields or trailers that the guest builds for one message.
        #[schemars(extend("default" = limits::HEADERS.to_string()))]
        "headers" headers: ByteSize,
        /// What an instance may hold of the host's resources. It is counted twice, each for itself up
        /// to this limit: what is of `wasi:http` 0.2 (messages, fields, bodies), and all else (files,
        /// pollables, whatever is of `wasi:http` 0.3). Four times as many are for what the component
        /// makes for itself: handles to its own resources, streams, futures, tasks. Beyond it the
        /// call is ended.
        #[schemars(extend("default" = limits::HANDLES), range(min = 16, max = limits::HANDLES_MAX))]
        "handles" handles: u32,
        /// Files, directories and listings of directories that all instances of the service have open
        /// together; opening more fails in the guest (`quota`). Each is a descriptor of the host's.
        #[schemars(extend("default" = limits::FILES), range(min = 1, max = limits::FILES_MAX))]
        "files" files: u32,
        /// Bytes that the guest may hand to the host in one call, since the host copies them. Bodies
        /// cross in far smaller pieces.
        #[schemars(extend("default" = limits::HOSTCALL_FUEL.to_string()))]
        "hostcall-fuel" hostcall_fuel: ByteSize,
        /// Bytes per second of stdout and stderr, of all instances together, that reach the log; the
        /// rest is counted and dropped. 0: none.
        #[schemars(extend("default" = limits::LOG_RATE.to_string()))]
        "log-rate" log_rate: ByteSize,
        /// Bytes of one line in the log; the rest of the line is cut and counted.
        #[schemars(extend("default" = limits::LOG_LINE.to_string()))]
        "log-line" log_line: ByteSize,
        /// Requests of the service to the outside. The guest can ask for less, never for more.
        "outgoing" outgoing: OutgoingFile,
    }
}

table! {
    /// What requests of a service to the outside may use.
    OutgoingFile {
        /// Requests under way at the same time.
        #[schemars(extend("default" = limits::OUTGOING_CONCURRENCY), range(min = 1, max = limits::OUTGOING_CONCURRENCY_MAX))]
        "concurrency" concurrency: u32,
        /// Connections kept open for the next request. 0: none.
        #[schemars(extend("default" = limits::OUTGOING_IDLE), range(max = limits::OUTGOING_CONCURRENCY_MAX))]
        "idle" idle: u32,
        /// To resolve the name and to connect, TLS included.
        #[schemars(extend("default" = text(limits::OUTGOING_CONNECT)))]
        "connect-timeout" connect_timeout: Time,
        /// From the end of the request to the head of the response.
        #[schemars(extend("default" = text(limits::OUTGOING_FIRST_BYTE)))]
        "first-byte-timeout" first_byte_timeout: Time,
        /// The longest pause within a response's body.
        #[schemars(extend("default" = text(limits::OUTGOING_BETWEEN_BYTES)))]
        "between-bytes-timeout" between_bytes_timeout: Time,
        /// Bytes of a response's head.
        #[schemars(extend("default" = limits::OUTGOING_HEADERS.to_string()))]
        "headers" headers: ByteSize,
    }
}

table! {
    /// When a service is started again.
    RestartFile {
        /// `on-failure`: after a failure. `always`: also after a worker has ended well. `never`: the
        /// first failure of the service parks it.
        #[schemars(extend("default" = "on-failure"))]
        "when" when: RestartWhen,
        /// Crashes `within` the window that lose an instance only; one more backs the service off.
        /// Also failures in a row after which one more parks the service. A crash after ten good
        /// answers does not count.
        #[schemars(extend("default" = restart::MAX), range(max = restart::MAX_MAX))]
        "max" max: u32,
        /// The window in which crashes are counted; a service without a crash for this long is
        /// healthy again.
        #[schemars(extend("default" = text(restart::WITHIN)))]
        "within" within: Time,
        /// The wait before the next start: from the floor, doubling to the ceiling, each time
        /// somewhere below the bound so that services do not come back together.
        #[schemars(extend("default" = restart::RestartPolicy::default().backoff.to_string()))]
        "backoff" backoff: DurationRange,
        /// How long callers wait for a service that is starting, backing off or not ready, before
        /// they are answered 503; at most 60s. At most `limits.queue` callers are held.
        #[schemars(extend("default" = text(restart::HOLD)))]
        "hold" hold: Time,
    }
}

table! {
    /// Core dumps: the memories and the stack of an instance as it crashed, as a file for a debugger.
    CoreDumpsFile {
        /// Files kept of the service; the oldest gives way.
        #[schemars(extend("default" = core_dump::COUNT), range(min = 1, max = core_dump::COUNT_MAX))]
        "count" count: u32,
        /// Bytes of a file; what would be larger is not written.
        #[schemars(extend("default" = core_dump::SIZE.to_string()))]
        "size" size: ByteSize,
    }
}

table! {
    /// How a new revision is watched, and when it is taken back to the one before.
    ProbationFile {
        /// How long, from the switch. 0: not at all. At most a day.
        #[schemars(extend("default" = text(probation::FOR)))]
        "for" length: Time,
        /// Calls of a hundred that may fail (5xx, or a failure of the service's own) beyond those of
        /// the revision before. It takes twenty calls at least.
        #[schemars(extend("default" = probation::ERRORS.to_string()))]
        "errors" errors: Percent,
        /// Crashes that are too many, if the revision before has fewer in as many calls.
        #[schemars(extend("default" = probation::CRASHES), range(min = 1, max = probation::CRASHES_MAX))]
        "crashes" crashes: u32,
        /// Of what calls of the revision before took, at the median and at the 99th percentile, which
        /// takes a hundred calls to know: what they may take, `latency-more` added. Moments in which
        /// the machine stands still do not count.
        #[schemars(extend("default" = probation::LATENCY.to_string()))]
        "latency" latency: Percent,
        /// Added to that.
        #[schemars(extend("default" = text(probation::LATENCY_MORE)))]
        "latency-more" latency_more: Time,
        /// Of what an instance of the revision before held at most: what one may hold that goes on
        /// growing.
        #[schemars(extend("default" = probation::MEMORY.to_string()))]
        "memory" memory: Percent,
    }
}

table! {
    /// How a service is asked whether it is well.
    HealthTable {
        /// The path of a GET request; 200 to 399 is a good answer. Required, unless each check has a
        /// path of its own. By itself it makes a start-up check.
        "path" path: String,
        /// Time for the answer.
        #[schemars(extend("default" = text(health::TIMEOUT)))]
        "timeout" timeout: Time,
        /// Short for a liveness check of `path` at this interval.
        "interval" interval: Time,
        /// Before the service is ready: it fails the start.
        "startup" startup: CheckFile,
        /// While the service is up: bad answers close it (503 with Retry-After) until good ones come.
        /// Nothing is restarted.
        "readiness" readiness: CheckFile,
        /// While the service is up: bad answers are a crash, and restart it.
        "liveness" liveness: CheckFile,
    }
}

table! {
    /// One kind of check.
    CheckTable {
        /// As `health.path`, which is the default.
        "path" path: String,
        /// As `health.timeout`, which is the default.
        "timeout" timeout: Time,
        /// From one check to the next. Default: 500ms for a start-up check, 5s for the others.
        "interval" interval: Time,
        /// Good answers in a row after which the service is well again.
        #[schemars(extend("default" = health::HEALTHY_AFTER), range(min = 1, max = health::THRESHOLD_MAX))]
        "healthy-after" healthy_after: u32,
        /// Bad answers in a row after which it is not. Default: 1 for a start-up check, 3 for the
        /// others.
        #[schemars(range(min = 1, max = health::THRESHOLD_MAX))]
        "unhealthy-after" unhealthy_after: u32,
    }
}

table! {
    /// What a service may reach. Clocks, random numbers and the log are given to everybody; nothing
    /// else is.
    GrantsFile {
        /// Origins that requests may go to: scheme, host and perhaps a port. `https://*.example.com`
        /// stands for all names below, `https://*` for any host, `:*` for any port. Private,
        /// loopback and link-local addresses are refused, also after a name was resolved, unless the
        /// origin names such an address or `localhost` itself.
        #[schemars(extend("default" = []))]
        "http" http: Vec<Spanned<Origin>>,
        /// What `wasi:config/store` tells: name → a string, `{ env = "NAME" }` (the host's variable)
        /// or `{ file = "path" }`; of a secret also `secret = true`.
        #[schemars(extend("default" = {}))]
        "config" config: Map<ConfigFile>,
        /// Environment variables of the guest: name → a string, `{ env = "NAME" }` or
        /// `{ file = "path" }`; of a secret also `secret = true`.
        #[schemars(extend("default" = {}))]
        "environment" environment: Map<ConfigFile>,
        /// Directories of the host that the guest can open.
        #[schemars(extend("default" = []))]
        "directories" directories: Vec<Spanned<DirectoryFile>>,
        /// Arguments of the guest's command line, after the service's name.
        #[schemars(extend("default" = []))]
        "args" args: Vec<Spanned<String>>,
        /// Key-value buckets. Not available yet.
        #[schemars(extend("default" = []))]
        "keyvalue" keyvalue: Vec<Spanned<String>>,
    }
}

table! {
    /// A directory of the host under a path of the guest's own.
    DirectoryFile {
        /// The directory, relative to the manifest.
        #[schemars(required)]
        "host" host: PathBuf,
        /// Where the guest sees it; an absolute path.
        #[schemars(required)]
        "guest" guest: String,
        /// `read-only` or `read-write`.
        #[schemars(extend("default" = DirectoryMode::default().as_str()))]
        "mode" mode: DirectoryMode,
    }
}

table! {
    /// Where the host reads a value; one of the keys.
    ConfigFrom {
        /// A variable of the host's environment.
        "env" env: String,
        /// A file, relative to the manifest; without the line break at its end.
        "file" file: PathBuf,
        /// Shown by nobody: the value is taken out of what the service writes to the log.
        #[schemars(extend("default" = false))]
        "secret" secret: bool,
    }
}

table! {
    /// A route: host, path and methods → service. The most specific route wins: an exact host before
    /// the longest wildcard before any host; then, segment by segment, a literal before `{param}`
    /// before `{*rest}`.
    RouteFile {
        /// `shop.example`, or `*.example.com` for all names below it. Default: any host.
        "host" host: HostPattern,
        /// As in a service's `routes`.
        #[schemars(required)]
        "path" path: PathPattern,
        /// Methods in upper case; `GET` serves `HEAD` too. Default: any method.
        "methods" methods: Vec<Spanned<Method>>,
        /// The service that serves it.
        #[schemars(required)]
        "service" service: ServiceName,
        /// The deadline of calls by this route instead of the service's; at most an hour.
        "timeout" timeout: Time,
    }
}

table! {
    /// Services that start, fail and restart together. A service is in one group at most.
    GroupFile {
        /// Its members, in the order in which they start: each once the one before is up. They stop
        /// in the reverse order.
        #[schemars(required)]
        "services" services: Vec<Spanned<ServiceName>>,
        /// When a member fails: `one-for-one` restarts it alone, `one-for-all` all of them,
        /// `rest-for-one` it and those listed after it.
        #[schemars(extend("default" = "one-for-one"))]
        "strategy" strategy: Strategy,
        /// How often the group may fail.
        "restart" restart: GroupRestartFile,
        /// When the group fails too often, or a member has used up its own restarts: `park` stops all
        /// members until somebody runs `skep restart` for one of them; `restart` stops all and starts
        /// them anew after a wait, and parks them when that has not helped `max` times.
        #[schemars(extend("default" = "park"))]
        "escalate" escalate: Escalate,
    }
}

table! {
    /// How often a group may fail.
    GroupRestartFile {
        /// Failures of members `within` the window that the group bears; one more is too many. Also
        /// restarts of the whole group in a row.
        #[schemars(extend("default" = restart::MAX), range(max = restart::MAX_MAX))]
        "max" max: u32,
        /// The window in which failures are counted; a group without one for this long is healthy
        /// again.
        #[schemars(extend("default" = text(restart::WITHIN)))]
        "within" within: Time,
        /// The wait before the whole group starts again, as for a service.
        #[schemars(extend("default" = restart::default_backoff().to_string()))]
        "backoff" backoff: DurationRange,
    }
}

table! {
    /// How the calls of one service to another are treated, whatever the interface. The first NAME is
    /// the service that calls, the second the one that is called.
    LinkFile {
        /// The longest a call may take, waiting and retries included. The callee's `limits.deadline`
        /// and what is left of the caller's time hold as well.
        "timeout" timeout: Time,
        /// Attempts after the first, within the call's time. A call that never began (no instance, no
        /// room, the service just starting) is tried again; one that began only if its function is in
        /// `idempotent`. 0: none.
        #[schemars(extend("default" = link::RETRIES), range(max = link::RETRIES_MAX))]
        "retries" retries: u32,
        /// Retries in relation to calls, so that they never multiply an overload.
        "retry-budget" retry_budget: RetryBudgetFile,
        /// Calls at the same time; one more fails at once. Default: as many as the callee takes.
        #[schemars(range(min = 1, max = limits::CONCURRENCY_MAX))]
        "concurrency" concurrency: u32,
        /// Stop calling a service that fails and fails, and look now and then whether it is well
        /// again. Default: no breaker; `breaker = {}` is one with its defaults.
        "breaker" breaker: BreakerFile,
        /// Functions that may be called twice for once: `"find"`, or `"cart.total"` for a method or
        /// static function of a resource.
        #[schemars(extend("default" = []))]
        "idempotent" idempotent: Vec<Spanned<String>>,
    }
}

table! {
    /// Retries in relation to calls: a share of them, and a few that are always allowed.
    RetryBudgetFile {
        /// Retries per hundred calls.
        #[schemars(extend("default" = link::BUDGET_PERCENT), range(max = link::BUDGET_PERCENT_MAX))]
        "percent" percent: u32,
        /// Retries per second beside, for those who call rarely.
        #[schemars(extend("default" = link::BUDGET_PER_SECOND), range(max = link::BUDGET_PER_SECOND_MAX))]
        "per-second" per_second: u32,
        /// How long a call counts.
        #[schemars(extend("default" = text(link::BUDGET_WITHIN)))]
        "within" within: Time,
    }
}

table! {
    /// When calls are not even begun. Failures are crashes, deadlines, no room and a service that is
    /// not there; an error that the callee answers is none.
    BreakerFile {
        /// So many failures `within` the window open the breaker: calls then fail at once.
        #[schemars(extend("default" = link::BREAKER_FAILURES), range(min = 1, max = link::BREAKER_FAILURES_MAX))]
        "failures" failures: u32,
        /// The window in which failures are counted.
        #[schemars(extend("default" = text(link::BREAKER_WITHIN)))]
        "within" within: Time,
        /// How long it stays open before one call is let through to see: from the floor, doubling to
        /// the ceiling as long as that call fails, each time somewhere below the bound.
        #[schemars(extend("default" = link::default_open().to_string()))]
        "open" open: DurationRange,
    }
}

/// `health`: a path alone, or a table.
#[derive(Debug, Clone)]
pub(super) enum HealthFile {
    Path(String),
    Full(Box<HealthTable>),
}

impl Read for HealthFile {
    const EXPECTS: &'static str = "a path such as \"/healthz\" or a table";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => String::read(value, reader).map(Self::Path),
            DeValue::Table(_) => reader.table(value).map(|table| Self::Full(Box::new(table))),
            _ => reader.wrong_type(value, Self::EXPECTS),
        }
    }
}

impl JsonSchema for HealthFile {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "HealthFile".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<HealthTable>();
        json_schema!({ "anyOf": [{ "type": "string", "pattern": "^/" }, full] })
    }
}

/// One check: a path alone, or a table.
#[derive(Debug, Clone)]
pub(super) enum CheckFile {
    Path(String),
    Full(CheckTable),
}

impl Read for CheckFile {
    const EXPECTS: &'static str = "a path such as \"/healthz\" or a table";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => String::read(value, reader).map(Self::Path),
            DeValue::Table(_) => reader.table(value).map(Self::Full),
            _ => reader.wrong_type(value, Self::EXPECTS),
        }
    }
}

impl JsonSchema for CheckFile {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "CheckFile".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let full = generator.subschema_for::<CheckTable>();
        json_schema!({ "anyOf": [{ "type": "string", "pattern": "^/" }, full] })
    }
}

/// A configuration value: as it is, or where the host reads it.
#[derive(Debug, Clone)]
pub(super) enum ConfigFile {
    Literal(String),
    From(ConfigFrom),
}

impl Read for ConfigFile {
    const EXPECTS: &'static str = "a string, { env = \"NAME\" } or { file = \"path\" }";
    fn read(value: &Value<'_>, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::String(_) => String::read(value, reader).map(Self::Literal),
            DeValue::Table(_) => reader.table(value).map(Self::From),
            _ => reader.wrong_type(value, Self::EXPECTS),
        }
    }
}

impl JsonSchema for ConfigFile {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "ConfigFile".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let from = generator.subschema_for::<ConfigFrom>();
        json_schema!({ "anyOf": [{ "type": "string" }, from] })
    }
}
