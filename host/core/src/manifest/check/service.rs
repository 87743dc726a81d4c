//! `[service.NAME]`: one service's part of a manifest; its limits and grants have files of their own.
use std::collections::BTreeMap;
use std::time::Duration;

use super::super::file::{
    BuildFile, CoreDumpsFile, InstancesFile, ProbationFile, RestartFile, ServiceFile,
};
use super::super::leaf::Map;
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::super::{Build, Places, Service};
use super::{Checker, DraftRoute};
use crate::core_dump::{self, CoreDumps};
use crate::duration::DurationRange;
use crate::instances::{self, InstancePolicy};
use crate::limits;
use crate::name::ServiceName;
use crate::percent::{PERCENT_MAX, Percent};
use crate::probation::{self, Probation};
use crate::restart::{self, RestartPolicy};
use crate::route::{HostPattern, Methods, RouteSpec};
use crate::size::ByteSize;
use crate::spanned::Spanned;

/// A shorter cannot be kept.
pub(super) const TIME_MIN: Duration = Duration::from_millis(1);

impl Checker {
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
        let core_dumps = good(&file.core_dumps).map(|dumps| self.core_dumps(dumps));
        let probation = self.probation(&file.probation);
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
            after: self.after(&file.after, &written.value),
            instances,
            limits,
            restart,
            core_dumps,
            probation,
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

    fn restart(&mut self, field: &Field<RestartFile>) -> RestartPolicy {
        let default = RestartPolicy::default();
        let Some(file) = good(field) else {
            return default;
        };
        let max = self.count_between(&file.max, "max", 0..=restart::MAX_MAX);
        let within = self.time_between(&file.within, "within", TIME_MIN..=restart::WITHIN_MAX);
        let backoff = self.backoff(&file.backoff).unwrap_or(default.backoff);
        let hold = self.time_between(&file.hold, "hold", Duration::ZERO..=restart::HOLD_MAX);
        RestartPolicy {
            when: good(&file.when).map_or(default.when, |when| when.value),
            max: max.map_or(default.max, |max| max.value),
            within: within.unwrap_or(default.within),
            backoff,
            hold: hold.unwrap_or(default.hold),
        }
    }

    fn core_dumps(&mut self, file: &CoreDumpsFile) -> CoreDumps {
        let default = CoreDumps::default();
        let count = self.count_between(&file.count, "count", 1..=core_dump::COUNT_MAX);
        // A page of memory is the least that a dump has.
        let sizes = ByteSize::kib(64)..=core_dump::SIZE_MAX;
        let size = self.size_between(&file.size, "size", sizes);
        CoreDumps {
            count: count.map_or(default.count, |count| count.value),
            size: size.map_or(default.size, |size| size.value),
        }
    }

    fn probation(&mut self, field: &Field<ProbationFile>) -> Probation {
        let default = Probation::default();
        let Some(file) = good(field) else {
            return default;
        };
        let length = self.time_between(&file.length, "for", Duration::ZERO..=probation::FOR_MAX);
        let crashes = self.count_between(&file.crashes, "crashes", 1..=probation::CRASHES_MAX);
        let more = Duration::ZERO..=limits::DEADLINE_MAX;
        let more = self.time_between(&file.latency_more, "latency-more", more);
        let mut percent = |field, key, from, to, default| {
            let range = Percent::new(from)..=Percent::new(to);
            self.between(field, key, range, Percent::to_string)
                .map_or(default, |percent| percent.value)
        };
        Probation {
            length: length.unwrap_or(default.length),
            errors: percent(&file.errors, "errors", 0, 100, default.errors),
            crashes: crashes.map_or(default.crashes, |crashes| crashes.value),
            latency: percent(&file.latency, "latency", 100, PERCENT_MAX, default.latency),
            latency_more: more.unwrap_or(default.latency_more),
            memory: percent(&file.memory, "memory", 100, PERCENT_MAX, default.memory),
        }
    }

    pub(super) fn backoff(&mut self, field: &Field<DurationRange>) -> Option<DurationRange> {
        let written = good(field)?;
        let floor_and_ceiling = restart::BACKOFF_MIN..=restart::BACKOFF_MAX;
        let inside = |time| floor_and_ceiling.contains(&time);
        if inside(written.floor()) && inside(written.ceiling()) {
            return Some(written.value);
        }
        let message = format!(
            "`backoff` must be from {} to {}, not {}",
            crate::duration::show(restart::BACKOFF_MIN),
            crate::duration::show(restart::BACKOFF_MAX),
            written.value,
        );
        self.note(
            Mistake::new("out-of-range", written.span.clone(), message)
                .label("out of range")
                .help(format!("for example \"{}\"", restart::default_backoff())),
        );
        None
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
