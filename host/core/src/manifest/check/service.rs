//! `[service.NAME]`: one service's part of a manifest.
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use super::super::file::{
    BuildFile, ConfigFile, GrantsFile, HealthFile, HealthTable, InstancesFile, OutgoingFile,
    RestartFile, ServiceFile, ServiceLimitsFile,
};
use super::super::leaf::Map;
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::super::{Build, Places, Service};
use super::{Checker, DraftRoute};
use crate::grant::{ConfigValue, DirectoryGrant, Grants, Origin};
use crate::health::{self, HealthCheck};
use crate::instances::{self, InstancePolicy};
use crate::limits::{self, OutgoingLimits, ServiceLimits};
use crate::name::ServiceName;
use crate::restart::{self, RestartPolicy};
use crate::route::{HostPattern, Methods, RouteSpec, normalise};
use crate::size::ByteSize;
use crate::spanned::Spanned;

/// A shorter time cannot be kept.
const TIME_MIN: Duration = Duration::from_millis(1);

impl Checker<'_> {
    pub(super) fn service(
        &mut self,
        written: &Spanned<String>,
        name: Option<Spanned<ServiceName>>,
        file: &Spanned<ServiceFile>,
        routes: &mut Vec<DraftRoute>,
    ) -> Option<Service> {
        let whose = format!("service `{}`", written.value);
        let component = self.required(
            &file.component,
            "component",
            written.span.clone(),
            &whose,
            &format!("component = \"{}.wasm\"", written.value),
        );
        let build = good(&file.build).and_then(|build| self.build(build));
        let links = self.links(&file.links);
        let instances = self.instances(&file.instances);
        let limits = self.limits(&file.limits, &instances);
        let restart = self.restart(&file.restart);
        let health = good(&file.health).and_then(|health| self.health(health));
        let stop_timeout = self.time_between(
            &file.stop_timeout,
            "stop-timeout",
            Duration::ZERO..=limits::STOP_TIMEOUT_MAX,
        );
        let grants = self.grants(&file.grants);
        let name = name?;
        for path in good(&file.routes).iter().flat_map(|paths| paths.iter()) {
            let spec = RouteSpec {
                host: HostPattern::Any,
                path: path.value.clone(),
                methods: Methods::Any,
            };
            routes.push(DraftRoute {
                spec: Spanned::new(spec, path.span.clone()),
                service: name.clone(),
                timeout: None,
            });
        }
        Some(Service {
            component: component?.clone(),
            build,
            links,
            instances,
            limits,
            restart,
            health,
            stop_timeout: stop_timeout.unwrap_or(limits::STOP_TIMEOUT),
            grants,
            places: self.places_of(&written.value),
            name,
        })
    }

    fn places_of(&self, service: &str) -> Places {
        let prefix = format!("service.{service}.");
        let below = self.places.range(prefix.clone()..);
        let own = below.map_while(|(key, span)| Some((key.strip_prefix(&prefix)?, span)));
        Places(
            own.map(|(key, span)| (key.to_owned(), span.clone()))
                .collect(),
        )
    }

    fn build(&mut self, file: &Spanned<BuildFile>) -> Option<Build> {
        let example = "command = \"cargo build --release --target wasm32-wasip2\"";
        let span = file.span.clone();
        let command = self.required(&file.command, "command", span, "`build`", example)?;
        if command.trim().is_empty() {
            self.note(
                Mistake::new("empty", command.span.clone(), "`command` is empty")
                    .label("empty")
                    .help(format!("write {example}")),
            );
        }
        Some(Build {
            command: command.clone(),
            watch: good(&file.watch).map_or_else(Vec::new, |watch| watch.value.clone()),
        })
    }

    fn links(&mut self, field: &Field<Map<ServiceName>>) -> BTreeMap<String, Spanned<ServiceName>> {
        let mut links = BTreeMap::new();
        for (interface, service) in good(field).iter().flat_map(|map| map.value.0.iter()) {
            if !is_interface(&interface.value) {
                let message = format!("`{}` is not the name of an interface", interface.value);
                self.note(
                    Mistake::new("bad-interface", interface.span.clone(), message)
                        .label("not an interface")
                        .help("write it as in WIT, like \"shop:catalog/products\""),
                );
            }
            if let Entry::Good(service) = service {
                links.insert(interface.value.clone(), service.clone());
            }
        }
        links
    }

    fn instances(&mut self, field: &Field<InstancesFile>) -> InstancePolicy {
        let default = InstancePolicy::default();
        let Some(file) = good(field) else {
            return default;
        };
        let reuse = self.count_between(&file.reuse, "reuse", 1..=u32::MAX);
        let concurrent = self.count_between(
            &file.concurrent,
            "concurrent",
            1..=instances::CONCURRENT_MAX,
        );
        let max = self.count_between(&file.max, "max", 1..=instances::MAX_MAX);
        let warm = self.count_between(&file.warm, "warm", 0..=instances::MAX_MAX);
        let idle = self.time_between(&file.idle, "idle", Duration::ZERO..=instances::IDLE_MAX);
        let most = max.as_ref().map_or(default.max, |max| max.value);
        if let Some(warm) = &warm
            && warm.value > most
            && !matches!(file.max, Some(Entry::Bad))
        {
            let message = format!("`warm` is {}, but `max` only {most}", warm.value);
            self.note(
                Mistake::new("warm-over-max", warm.span.clone(), message)
                    .label("more than `max`")
                    .help(format!("write warm = {most} or raise `max`")),
            );
        }
        if let (Some(concurrent), Some(reuse)) = (&concurrent, &reuse)
            && concurrent.value > reuse.value
        {
            let message = format!(
                "an instance that serves {} requests in its life never serves {} at the same time",
                reuse.value, concurrent.value
            );
            self.note(
                Mistake::new("concurrent-over-reuse", concurrent.span.clone(), message)
                    .label("more than `reuse`")
                    .help("raise `reuse` or lower `concurrent`"),
            );
        }
        InstancePolicy {
            reuse,
            concurrent,
            max: most,
            warm: warm.map_or(default.warm, |warm| warm.value),
            idle: idle.unwrap_or(default.idle),
        }
    }

    fn limits(
        &mut self,
        field: &Field<ServiceLimitsFile>,
        instances: &InstancePolicy,
    ) -> ServiceLimits {
        let empty = ServiceLimitsFile::default();
        let file = good(field).map_or(&empty, |file| &file.value);
        let default = ServiceLimits::default();
        let (memory, memory_total) = self.memory(file, instances);
        let (cpu, deadline) = self.call_times(file);
        let mut count = |field, key, range: RangeInclusive<u32>, default| {
            self.count_between(field, key, range)
                .map_or(default, |count| count.value)
        };
        let table_elements = count(
            &file.table_elements,
            "table-elements",
            1..=limits::TABLE_ELEMENTS_MAX,
            default.table_elements,
        );
        let concurrency = count(
            &file.concurrency,
            "concurrency",
            1..=limits::CONCURRENCY_MAX,
            default.concurrency,
        );
        let queue = count(&file.queue, "queue", 0..=limits::QUEUE_MAX, default.queue);
        let handles = count(
            &file.handles,
            "handles",
            16..=limits::HANDLES_MAX,
            default.handles,
        );
        let mut size = |field, key, least: u64, most, default: ByteSize| {
            self.size_between(field, key, ByteSize::bytes(least)..=most)
                .map_or(default, |size| size.value)
        };
        let body = limits::BODY_MAX;
        ServiceLimits {
            memory,
            memory_total,
            table_elements,
            cpu,
            deadline,
            concurrency,
            queue,
            request_body: size(
                &file.request_body,
                "request-body",
                0,
                body,
                default.request_body,
            ),
            response_body: size(
                &file.response_body,
                "response-body",
                0,
                body,
                default.response_body,
            ),
            headers: size(
                &file.headers,
                "headers",
                1024,
                limits::HEADERS_MAX,
                default.headers,
            ),
            handles,
            hostcall_fuel: size(
                &file.hostcall_fuel,
                "hostcall-fuel",
                64 * 1024,
                limits::HOSTCALL_FUEL_MAX,
                default.hostcall_fuel,
            ),
            log_rate: size(
                &file.log_rate,
                "log-rate",
                0,
                limits::LOG_RATE_MAX,
                default.log_rate,
            ),
            log_line: size(
                &file.log_line,
                "log-line",
                80,
                limits::LOG_LINE_MAX,
                default.log_line,
            ),
            outgoing: self.outgoing(&file.outgoing),
        }
    }

    /// Of one instance and of all.
    fn memory(
        &mut self,
        file: &ServiceLimitsFile,
        instances: &InstancePolicy,
    ) -> (ByteSize, ByteSize) {
        let range = limits::MEMORY_MIN..=limits::MEMORY_MAX;
        let memory = self
            .size_between(&file.memory, "memory", range)
            .map_or(limits::MEMORY, |memory| memory.value);
        let all = limits::MEMORY_MIN..=ByteSize::bytes(u64::MAX);
        let total = self.size_between(&file.memory_total, "memory-total", all);
        let bad_memory = matches!(file.memory, Some(Entry::Bad));
        if let Some(total) = total.as_ref().filter(|total| total.value < memory)
            && !bad_memory
        {
            let message = format!(
                "all instances together may use {}, but each one {memory}",
                total.value
            );
            self.note(
                Mistake::new("memory-total-too-small", total.span.clone(), message)
                    .label("less than `memory`")
                    .help("raise `memory-total` or lower `memory`"),
            );
        }
        let total = total.map_or(memory.saturating_mul(u64::from(instances.max)), |t| t.value);
        (memory, total)
    }

    /// CPU time and deadline of a call.
    fn call_times(&mut self, file: &ServiceLimitsFile) -> (Duration, Duration) {
        let range = TIME_MIN..=limits::DEADLINE_MAX;
        let cpu = self.spanned_time(&file.cpu, "cpu", range.clone());
        let deadline = self
            .time_between(&file.deadline, "deadline", range)
            .unwrap_or(limits::DEADLINE);
        let bad_deadline = matches!(file.deadline, Some(Entry::Bad));
        if let Some(cpu) = cpu.as_ref().filter(|cpu| cpu.value > deadline)
            && !bad_deadline
        {
            let message = format!(
                "a call may compute for {}, but its deadline is after {}",
                crate::duration::show(cpu.value),
                crate::duration::show(deadline),
            );
            self.note(
                Mistake::new("cpu-over-deadline", cpu.span.clone(), message)
                    .label("more than `deadline`")
                    .help("raise `deadline` or lower `cpu`"),
            );
        }
        let cpu = cpu.map_or(limits::CPU.min(deadline), |cpu| cpu.value);
        (cpu, deadline)
    }

    fn outgoing(&mut self, field: &Field<OutgoingFile>) -> OutgoingLimits {
        let default = OutgoingLimits::default();
        let Some(file) = good(field) else {
            return default;
        };
        let most = limits::OUTGOING_CONCURRENCY_MAX;
        let concurrency = self.count_between(&file.concurrency, "concurrency", 1..=most);
        let idle = self.count_between(&file.idle, "idle", 0..=most);
        let headers = self.size_between(
            &file.headers,
            "headers",
            ByteSize::bytes(1024)..=limits::HEADERS_MAX,
        );
        let mut timeout = |field, key, default| {
            self.time_between(field, key, TIME_MIN..=limits::DEADLINE_MAX)
                .unwrap_or(default)
        };
        OutgoingLimits {
            concurrency: concurrency.map_or(default.concurrency, |count| count.value),
            idle: idle.map_or(default.idle, |count| count.value),
            connect_timeout: timeout(
                &file.connect_timeout,
                "connect-timeout",
                default.connect_timeout,
            ),
            first_byte_timeout: timeout(
                &file.first_byte_timeout,
                "first-byte-timeout",
                default.first_byte_timeout,
            ),
            between_bytes_timeout: timeout(
                &file.between_bytes_timeout,
                "between-bytes-timeout",
                default.between_bytes_timeout,
            ),
            headers: headers.map_or(default.headers, |headers| headers.value),
        }
    }

    fn restart(&mut self, field: &Field<RestartFile>) -> RestartPolicy {
        let default = RestartPolicy::default();
        let Some(file) = good(field) else {
            return default;
        };
        let max = self.count_between(&file.max, "max", 0..=restart::MAX_MAX);
        let within = self.time_between(&file.within, "within", TIME_MIN..=restart::WITHIN_MAX);
        let mut backoff = default.backoff;
        if let Some(written) = good(&file.backoff) {
            let floor_and_ceiling = restart::BACKOFF_MIN..=restart::BACKOFF_MAX;
            let inside = |time| floor_and_ceiling.contains(&time);
            if inside(written.floor()) && inside(written.ceiling()) {
                backoff = written.value;
            } else {
                let message = format!(
                    "`backoff` must be from {} to {}, not {}",
                    crate::duration::show(restart::BACKOFF_MIN),
                    crate::duration::show(restart::BACKOFF_MAX),
                    written.value,
                );
                self.note(
                    Mistake::new("out-of-range", written.span.clone(), message)
                        .label("out of range")
                        .help(format!("for example \"{}\"", default.backoff)),
                );
            }
        }
        RestartPolicy {
            when: good(&file.when).map_or(default.when, |when| when.value),
            max: max.map_or(default.max, |max| max.value),
            within: within.unwrap_or(default.within),
            backoff,
        }
    }

    fn health(&mut self, file: &Spanned<HealthFile>) -> Option<Spanned<HealthCheck>> {
        let shorthand;
        let table = match &file.value {
            HealthFile::Full(table) => table,
            HealthFile::Path(path) => {
                let path = Spanned::new(path.clone(), file.span.clone());
                shorthand = HealthTable {
                    path: Some(Entry::Good(path)),
                    ..HealthTable::default()
                };
                &shorthand
            }
        };
        let span = file.span.clone();
        let path = self.required(&table.path, "path", span, "`health`", "path = \"/healthz\"");
        let timeout = self.time_between(&table.timeout, "timeout", TIME_MIN..=health::TIMEOUT_MAX);
        let interval = self.time_between(
            &table.interval,
            "interval",
            health::INTERVAL_MIN..=health::INTERVAL_MAX,
        );
        let path = path?;
        let only_path = path.split('?').next().unwrap_or_default();
        if let Err(error) = normalise(only_path) {
            let mut mistake = Mistake::new("bad-path", path.span.clone(), error.to_string())
                .label("path of the health check");
            if !path.starts_with('/') {
                mistake = mistake.help(format!("write \"/{}\"", path.value));
            }
            self.note(mistake);
        }
        let check = HealthCheck {
            path: path.value.clone(),
            timeout: timeout.unwrap_or(health::TIMEOUT),
            interval,
        };
        Some(Spanned::new(check, file.span.clone()))
    }

    fn grants(&mut self, field: &Field<GrantsFile>) -> Grants {
        let Some(file) = good(field) else {
            return Grants::default();
        };
        for bucket in good(&file.keyvalue).iter().flat_map(|list| list.iter()) {
            let message = "key-value buckets are not available yet";
            self.note(
                Mistake::new("not-available", bucket.span.clone(), message)
                    .label("cannot be granted")
                    .help("remove `keyvalue`; keep data in the instance or in files for now"),
            );
        }
        Grants {
            http: self.origins(&file.http),
            config: self.values(&file.config, "config"),
            environment: self.values(&file.environment, "environment"),
            directories: self.directories(file),
            args: good(&file.args).map_or_else(Vec::new, |args| args.value.clone()),
        }
    }

    fn origins(&mut self, field: &Field<Vec<Spanned<Origin>>>) -> Vec<Spanned<Origin>> {
        let origins = good(field).map_or_else(Vec::new, |origins| origins.value.clone());
        for (index, origin) in origins.iter().enumerate() {
            if let Some(first) = origins[..index].iter().find(|other| *other == origin) {
                let what = format!("the origin {}", origin.value);
                let first = first.span.start;
                self.duplicate("duplicate-origin", origin.span.clone(), &what, first);
            }
        }
        origins
    }

    fn values(
        &mut self,
        field: &Field<Map<ConfigFile>>,
        what: &str,
    ) -> BTreeMap<String, Spanned<ConfigValue>> {
        let mut values = BTreeMap::new();
        for (name, value) in good(field).iter().flat_map(|map| map.value.0.iter()) {
            let variable = what == "environment";
            if name.is_empty() || name.contains('\0') || (variable && name.contains('=')) {
                let message = format!("`{}` cannot be the name of a value", name.value);
                self.note(
                    Mistake::new("bad-variable", name.span.clone(), message)
                        .label(format!("name in `{what}`"))
                        .help("a name is not empty and has no `=`"),
                );
            }
            let Entry::Good(value) = value else { continue };
            let source = match &value.value {
                ConfigFile::Literal(text) => Some(ConfigValue::Literal(text.clone())),
                ConfigFile::From(from) => match (&from.env, &from.file) {
                    (Some(Entry::Good(env)), None) => Some(ConfigValue::Env(env.value.clone())),
                    (None, Some(Entry::Good(file))) => Some(ConfigValue::File(file.value.clone())),
                    (Some(Entry::Bad), None) | (None, Some(Entry::Bad)) => None,
                    (None, None) | (Some(_), Some(_)) => {
                        let message = format!("`{}` needs one source", name.value);
                        self.note(
                            Mistake::new("one-source", value.span.clone(), message)
                                .label("`env` or `file`, and only one of them")
                                .help("write { env = \"NAME\" } or { file = \"path\" }"),
                        );
                        None
                    }
                },
            };
            if let Some(source) = source {
                values.insert(name.value.clone(), Spanned::new(source, value.span.clone()));
            }
        }
        values
    }

    fn directories(&mut self, file: &GrantsFile) -> Vec<Spanned<DirectoryGrant>> {
        let mut grants: Vec<Spanned<DirectoryGrant>> = Vec::new();
        for table in good(&file.directories).iter().flat_map(|list| list.iter()) {
            let (span, whose) = (table.span.clone(), "this directory");
            let host = self.required(&table.host, "host", span.clone(), whose, "host = \"data\"");
            let guest = self.required(&table.guest, "guest", span, whose, "guest = \"/data\"");
            let Some(guest) = guest else { continue };
            if !is_guest_path(&guest.value) {
                let message = "`guest` is an absolute path without empty, `.` and `..` segments";
                self.note(
                    Mistake::new("bad-guest-path", guest.span.clone(), message)
                        .label("where the guest sees the directory")
                        .help("write for example \"/data\""),
                );
            }
            if let Some(first) = grants.iter().find(|other| other.guest == guest.value) {
                let what = format!("the guest's directory `{}`", guest.value);
                let first = first.span.start;
                self.duplicate("duplicate-directory", guest.span.clone(), &what, first);
            }
            let grant = DirectoryGrant {
                host: host.map_or_else(PathBuf::new, |host| host.value.clone()),
                guest: guest.value.clone(),
                mode: good(&table.mode).map(|mode| mode.value).unwrap_or_default(),
            };
            grants.push(Spanned::new(grant, table.span.clone()));
        }
        grants
    }
}

/// `namespace:package/interface`, perhaps with `@version`.
fn is_interface(text: &str) -> bool {
    let (name, version) = match text.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (text, None),
    };
    let word = |word: &str| {
        word.starts_with(|c: char| c.is_ascii_alphabetic())
            && word.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
    };
    let named = name
        .split_once(':')
        .and_then(|(namespace, rest)| Some((namespace, rest.split_once('/')?)))
        .is_some_and(|(namespace, (package, interface))| {
            word(namespace) && word(package) && word(interface)
        });
    named && version.is_none_or(|version| version.parse::<semver::Version>().is_ok())
}

fn is_guest_path(path: &str) -> bool {
    let Some(rest) = path.strip_prefix('/') else {
        return false;
    };
    let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
    rest.is_empty() || rest.split('/').all(plain)
}
