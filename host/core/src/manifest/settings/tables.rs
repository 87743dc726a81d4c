//! Each table of the manifest, taken to pieces.
//!
//! Without `..`: a field that is added and not listed here does not compile, and a test holds the
//! keys to those of the raw shape.
use std::collections::BTreeMap;

use super::super::{Build, ControlSettings, Group, HostSettings, Http, Route, Service, Tls};
use super::{Hidden, Setting, Settings, Writer, quoted};
use crate::core_dump::CoreDumps;
use crate::duration::show;
use crate::grant::{ConfigValue, DirectoryGrant, GrantedValue, Grants};
use crate::health::{Health, HealthCheck};
use crate::instances::InstancePolicy;
use crate::limits::{self, HttpLimits, MemoryPolicy, OutgoingLimits, ServiceLimits};
use crate::link::{BreakerPolicy, BudgetPolicy, LinkPolicy};
use crate::probation::Probation;
use crate::restart::{RestartPolicy, RestartWhen};
use crate::spanned::Spanned;
use crate::supervision::{Escalate, GroupPolicy, Strategy};

impl Service {
    /// All that the service's table sets but its routes, which are the application's.
    pub fn settings(&self) -> Settings {
        let Self {
            name: _,
            component,
            build,
            links,
            after,
            instances,
            limits,
            restart,
            core_dumps,
            probation,
            health,
            stop_timeout,
            grants,
            places: _,
        } = self;
        Writer::gather(|to| {
            to.text("component", component.display());
            if let Some(build) = build {
                to.below("build", |to| write_build(build, to));
            }
            to.below("links", |to| {
                for (interface, callee) in links {
                    to.text(&quoted(interface), callee);
                }
            });
            to.unordered("after", after);
            to.below("instances", |to| write_instances(instances, to));
            to.below("limits", |to| write_limits(limits, instances.max, to));
            to.below("restart", |to| write_restart(restart, to));
            if let Some(dumps) = core_dumps {
                to.below("core-dumps", |to| write_core_dumps(*dumps, to));
            }
            to.below("probation", |to| write_probation(probation, to));
            if let Some(health) = health {
                to.below("health", |to| write_health(health, to));
            }
            // What is written also holds when the host stops; the default does not.
            if self.says("stop-timeout") {
                to.time("stop-timeout", *stop_timeout);
            }
            to.below("grants", |to| write_grants(grants, to));
        })
    }
}

impl Group {
    /// All that the group's table sets.
    pub fn settings(&self) -> Settings {
        let Self {
            name: _,
            services,
            strategy,
            policy,
        } = self;
        let GroupPolicy {
            max,
            within,
            backoff,
            escalate,
        } = policy;
        Writer::gather(|to| {
            to.list("services", services);
            let strategy = match strategy {
                Strategy::OneForOne => "one-for-one",
                Strategy::OneForAll => "one-for-all",
                Strategy::RestForOne => "rest-for-one",
            };
            to.text("strategy", strategy);
            to.below("restart", |to| {
                to.text("max", max);
                to.time("within", *within);
                to.text("backoff", backoff);
            });
            let escalate = match escalate {
                Escalate::Park => "park",
                Escalate::Restart => "restart",
            };
            to.text("escalate", escalate);
        })
    }
}

impl Route {
    /// What the route leads to. Host, path and methods are what it is, and not among these.
    pub fn settings(&self) -> Settings {
        let Self {
            spec: _,
            service,
            timeout,
        } = self;
        Writer::gather(|to| {
            to.text("service", service);
            to.perhaps("timeout", timeout.map(show));
        })
    }
}

impl LinkPolicy {
    /// All that the link's table sets.
    pub fn settings(&self) -> Settings {
        let Self {
            timeout,
            retries,
            budget,
            concurrency,
            breaker,
            idempotent,
        } = self;
        let BudgetPolicy {
            percent,
            per_second,
            within,
        } = budget;
        Writer::gather(|to| {
            to.perhaps("timeout", timeout.map(show));
            to.text("retries", retries);
            to.below("retry-budget", |to| {
                to.text("percent", percent);
                to.text("per-second", per_second);
                to.time("within", *within);
            });
            to.perhaps("concurrency", *concurrency);
            if let Some(breaker) = breaker {
                let BreakerPolicy {
                    failures,
                    within,
                    open,
                } = breaker;
                to.below("breaker", |to| {
                    to.text("failures", failures);
                    to.time("within", *within);
                    to.text("open", open);
                });
            }
            to.unordered("idempotent", idempotent);
        })
    }
}

impl Http {
    /// All that `[http]` sets.
    pub fn settings(&self) -> Settings {
        let Self {
            listen,
            tls,
            trusted_proxies,
            access_log,
            log_calls,
            limits,
            drain_timeout,
        } = self;
        Writer::gather(|to| {
            to.unordered("listen", listen);
            if let Some(tls) = tls {
                to.below("tls", |to| write_tls(tls, to));
            }
            to.unordered("trusted-proxies", trusted_proxies);
            to.text("access-log", access_log);
            to.text("log-calls", log_calls);
            to.below("limits", |to| write_http_limits(limits, to));
            to.time("drain-timeout", *drain_timeout);
        })
    }
}

impl HostSettings {
    /// All that `[host]` sets.
    pub fn settings(&self) -> Settings {
        let Self {
            memory,
            memory_reserve,
            instances,
            threads,
            stack,
            cache,
            state,
            control,
        } = self;
        Writer::gather(|to| {
            to.perhaps("memory", memory.as_ref());
            to.perhaps("memory-reserve", *memory_reserve);
            to.perhaps("instances", instances.as_ref());
            to.perhaps("threads", threads.as_ref());
            to.text("stack", stack);
            to.perhaps("cache", cache.as_ref().map(|path| path.display()));
            to.perhaps("state", state.as_ref().map(|path| path.display()));
            if let Some(control) = control {
                let ControlSettings {
                    listen,
                    token_file,
                    tls,
                } = control;
                to.below("control", |to| {
                    to.text("listen", listen);
                    to.text("token-file", token_file.display());
                    if let Some(tls) = tls {
                        to.below("tls", |to| write_tls(tls, to));
                    }
                });
            }
        })
    }
}

fn write_tls(Tls { cert, key }: &Tls, to: &mut Writer) {
    to.text("cert", cert.display());
    to.text("key", key.display());
}

fn write_build(build: &Build, to: &mut Writer) {
    let Build { command, watch } = build;
    to.text("command", command);
    to.unordered("watch", watch.iter().map(|watched| &watched.value));
}

fn write_instances(instances: &InstancePolicy, to: &mut Writer) {
    let InstancePolicy {
        reuse,
        concurrent,
        max,
        warm,
        idle,
    } = instances;
    to.perhaps("reuse", reuse.as_ref());
    to.perhaps("concurrent", concurrent.as_ref());
    to.text("max", max);
    to.text("warm", warm);
    to.time("idle", *idle);
}

fn write_limits(limits: &ServiceLimits, instances: u32, to: &mut Writer) {
    let ServiceLimits {
        memory,
        memory_total,
        memory_policy,
        buffers,
        table_elements,
        cpu,
        cpu_share,
        cpu_weight,
        deadline,
        concurrency,
        queue,
        request_body,
        response_body,
        headers,
        handles,
        files,
        hostcall_fuel,
        log_rate,
        log_line,
        outgoing,
    } = limits;
    to.text("memory", memory);
    // These two follow others unless they are written: then they do not change by themselves.
    if *memory_total != memory.saturating_mul(u64::from(instances)) {
        to.text("memory-total", memory_total);
    }
    if *cpu != limits::CPU.min(*deadline) {
        to.time("cpu", *cpu);
    }
    let policy = match memory_policy {
        MemoryPolicy::Fail => "fail",
        MemoryPolicy::Trap => "trap",
    };
    to.text("memory-policy", policy);
    to.text("buffers", buffers);
    to.text("table-elements", table_elements);
    to.perhaps("cpu-share", *cpu_share);
    to.text("cpu-weight", cpu_weight);
    to.time("deadline", *deadline);
    to.text("concurrency", concurrency);
    to.text("queue", queue);
    to.text("request-body", request_body);
    to.text("response-body", response_body);
    to.text("headers", headers);
    to.text("handles", handles);
    to.text("files", files);
    to.text("hostcall-fuel", hostcall_fuel);
    to.text("log-rate", log_rate);
    to.text("log-line", log_line);
    to.below("outgoing", |to| write_outgoing(outgoing, to));
}

fn write_outgoing(outgoing: &OutgoingLimits, to: &mut Writer) {
    let OutgoingLimits {
        concurrency,
        idle,
        connect_timeout,
        first_byte_timeout,
        between_bytes_timeout,
        headers,
    } = outgoing;
    to.text("concurrency", concurrency);
    to.text("idle", idle);
    to.time("connect-timeout", *connect_timeout);
    to.time("first-byte-timeout", *first_byte_timeout);
    to.time("between-bytes-timeout", *between_bytes_timeout);
    to.text("headers", headers);
}

fn write_restart(restart: &RestartPolicy, to: &mut Writer) {
    let RestartPolicy {
        when,
        max,
        within,
        backoff,
        hold,
    } = restart;
    let when = match when {
        RestartWhen::OnFailure => "on-failure",
        RestartWhen::Always => "always",
        RestartWhen::Never => "never",
    };
    to.text("when", when);
    to.text("max", max);
    to.time("within", *within);
    to.text("backoff", backoff);
    to.time("hold", *hold);
}

fn write_core_dumps(dumps: CoreDumps, to: &mut Writer) {
    let CoreDumps { count, size } = dumps;
    to.text("count", count);
    to.text("size", size);
}

fn write_probation(probation: &Probation, to: &mut Writer) {
    let Probation {
        length,
        errors,
        crashes,
        latency,
        latency_more,
        memory,
    } = probation;
    to.time("for", *length);
    to.text("errors", errors);
    to.text("crashes", crashes);
    to.text("latency", latency);
    to.time("latency-more", *latency_more);
    to.text("memory", memory);
}

fn write_health(health: &Health, to: &mut Writer) {
    let Health {
        startup,
        readiness,
        liveness,
    } = health;
    let checks = [
        ("startup", startup),
        ("readiness", readiness),
        ("liveness", liveness),
    ];
    for (kind, check) in checks {
        let Some(check) = check else { continue };
        let HealthCheck {
            path,
            timeout,
            interval,
            healthy_after,
            unhealthy_after,
        } = check;
        to.below(kind, |to| {
            to.text("path", path);
            to.time("timeout", *timeout);
            to.time("interval", *interval);
            to.text("healthy-after", healthy_after);
            to.text("unhealthy-after", unhealthy_after);
        });
    }
}

fn write_grants(grants: &Grants, to: &mut Writer) {
    let Grants {
        http,
        config,
        environment,
        directories,
        args,
    } = grants;
    to.unordered("http", http);
    to.below("config", |to| write_values(config, to));
    to.below("environment", |to| write_values(environment, to));
    let directories = directories.iter().map(|directory| {
        let DirectoryGrant { host, guest, mode } = &directory.value;
        format!("{} as {guest} ({})", host.display(), mode.as_str())
    });
    to.unordered("directories", directories);
    to.list("args", args);
}

fn write_values(values: &BTreeMap<String, Spanned<GrantedValue>>, to: &mut Writer) {
    for (name, value) in values {
        let GrantedValue { from, secret } = &value.value;
        let secret = if *secret { " (secret)" } else { "" };
        let setting = match from {
            ConfigValue::Literal(text) => Setting::Hidden(Hidden(text.clone())),
            ConfigValue::Env(name) => Setting::Text(format!("{{ env = {name:?} }}{secret}")),
            ConfigValue::File(path) => Setting::Text(format!("{{ file = {path:?} }}{secret}")),
        };
        to.set(&quoted(name), setting);
    }
}

fn write_http_limits(limits: &HttpLimits, to: &mut Writer) {
    let HttpLimits {
        connections,
        header_bytes,
        header_count,
        header_timeout,
        idle_timeout,
        body_timeout,
        body_rate,
        write_timeout,
        write_rate,
        streams,
    } = limits;
    to.text("connections", connections);
    to.text("header-bytes", header_bytes);
    to.text("header-count", header_count);
    to.time("header-timeout", *header_timeout);
    to.time("idle-timeout", *idle_timeout);
    to.time("body-timeout", *body_timeout);
    to.text("body-rate", body_rate);
    to.time("write-timeout", *write_timeout);
    to.text("write-rate", write_rate);
    to.text("streams", streams);
}
