//! From the raw shape to checked nouns: ranges and defaults first, then what only shows when all is
//! known.
//!
//! Every check passes over what is [`Entry::Bad`] in silence: each mistake is told once.
use std::collections::BTreeMap;
use std::ops::{Range, RangeInclusive};
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::file::{HostFile, ManifestFile, RouteFile};
use super::leaf::Time;
use super::mistake::Mistake;
use super::read::{Entry, Field, Reader, good};
use super::suggest::did_you_mean;
use super::{HostSettings, MANIFEST_BYTES_MAX, Manifest, Route, SERVICES_MAX, Service};
use crate::duration::show;
use crate::name::ServiceName;
use crate::route::method::MethodSet;
use crate::route::{HostPattern, Methods, RouteSpec, RouteTable};
use crate::size::ByteSize;
use crate::spanned::Spanned;
use crate::{instances, limits};

mod http;
mod service;

/// More mistakes than this nobody reads at once.
const MISTAKES_MAX: usize = 200;

pub(super) fn parse(text: &str) -> Result<Manifest, Vec<Mistake>> {
    if text.len() > MANIFEST_BYTES_MAX {
        let message = format!(
            "the manifest has {} bytes, the limit is {MANIFEST_BYTES_MAX}",
            text.len()
        );
        let help = "a manifest is written by hand: is this the right file?";
        return Err(vec![
            Mistake::new("too-large", 0..0, message)
                .label("too large")
                .help(help),
        ]);
    }
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        return Err(syntax_mistakes(text, &errors));
    }
    let mut reader = Reader::default();
    let file: ManifestFile = reader.keys(table.get_ref());
    let mut checker = Checker {
        text,
        mistakes: reader.mistakes,
        warnings: Vec::new(),
        places: reader.places,
    };
    let manifest = checker.manifest(&file);
    let mut mistakes = checker.mistakes;
    match manifest {
        Some(mut manifest) if mistakes.is_empty() => {
            manifest.warnings = checker.warnings;
            manifest.warnings.sort_by_key(|warning| warning.span.start);
            Ok(manifest)
        }
        _ => {
            debug_assert!(!mistakes.is_empty(), "refused without a reason");
            sort(&mut mistakes);
            Err(mistakes)
        }
    }
}

/// In the order of the text, and not without end.
fn sort(mistakes: &mut Vec<Mistake>) {
    mistakes.sort_by_key(|mistake| mistake.span.start);
    let more = mistakes.len().saturating_sub(MISTAKES_MAX);
    if more > 0 {
        mistakes.truncate(MISTAKES_MAX);
        let end = mistakes.last().map_or(0, |last| last.span.end);
        let message = format!("{more} more mistakes are not shown");
        mistakes.push(Mistake::new("too-many", end..end, message).label("from here"));
    }
}

/// The parser goes on after an error, and what it then finds in the same line mostly follows from it.
fn syntax_mistakes(text: &str, errors: &[toml::de::Error]) -> Vec<Mistake> {
    let mut mistakes: Vec<Mistake> = errors
        .iter()
        .map(|error| {
            let span = error.span().unwrap_or(0..0);
            let span = span.start.min(text.len())..span.end.min(text.len());
            let message = match error.message() {
                "duplicate key" => {
                    let key = text.get(span.clone()).unwrap_or_default();
                    format!("`{key}` is written twice")
                }
                message => format!("this is not TOML: {message}"),
            };
            Mistake::new("syntax", span, message).label("here")
        })
        .collect();
    sort(&mut mistakes);
    mistakes.dedup_by_key(|mistake| line_of(text, mistake.span.start));
    mistakes
}

/// Lines count from 1.
fn line_of(text: &str, at: usize) -> usize {
    let before = text.as_bytes().get(..at).unwrap_or_default();
    before.iter().filter(|byte| **byte == b'\n').count() + 1
}

/// Notes mistakes while the nouns are made.
struct Checker<'t> {
    text: &'t str,
    mistakes: Vec<Mistake>,
    warnings: Vec<Mistake>,
    /// Dotted keys from the root, and where their values stand.
    places: BTreeMap<String, Range<usize>>,
}

/// A route as far as it could be read.
struct DraftRoute {
    spec: Spanned<RouteSpec>,
    service: Spanned<ServiceName>,
    timeout: Option<Duration>,
}

impl Checker<'_> {
    fn manifest(&mut self, file: &ManifestFile) -> Option<Manifest> {
        let name = self.required(&file.name, "name", 0..0, "the manifest", "name = \"shop\"");
        let http = self.http(&file.http);
        let host = self.host(&file.host);
        let mut routes = Vec::new();
        let (services, names) = self.services(file, &mut routes);
        for route in good(&file.route).iter().flat_map(|routes| routes.iter()) {
            routes.extend(self.route(route));
        }
        self.known_services(&names, &services, &routes);
        self.conflicts(&routes);
        self.memory_of_all(&host, &services);
        self.unreached(&services, &routes);
        let routes = routes.into_iter().map(|draft| Route {
            spec: draft.spec,
            service: draft.service,
            timeout: draft.timeout,
        });
        Some(Manifest {
            name: name?.value.clone(),
            http: http?,
            host,
            services,
            routes: routes.collect(),
            warnings: Vec::new(),
        })
    }

    fn host(&mut self, file: &Field<HostFile>) -> HostSettings {
        let empty = HostFile::default();
        let file = good(file).map_or(&empty, |file| &file.value);
        let memory = self.size_between(
            &file.memory,
            "memory",
            limits::MEMORY_MIN..=ByteSize::bytes(u64::MAX),
        );
        let instances = self.count_between(&file.instances, "instances", 1..=instances::MAX_MAX);
        let threads = self.count_between(&file.threads, "threads", 1..=limits::THREADS_MAX);
        let stack = self.size_between(&file.stack, "stack", limits::STACK_MIN..=limits::STACK_MAX);
        HostSettings {
            memory,
            instances,
            threads,
            stack: stack.map_or(limits::STACK, |stack| stack.value),
            cache: path(&file.cache),
            state: path(&file.state),
        }
    }

    /// All services that could be read, and the names of all, read or not: a route to a service with
    /// a mistake is no mistake.
    fn services(
        &mut self,
        file: &ManifestFile,
        routes: &mut Vec<DraftRoute>,
    ) -> (BTreeMap<ServiceName, Service>, Vec<String>) {
        let mut services = BTreeMap::new();
        let mut names = Vec::new();
        let all = match &file.service {
            Some(Entry::Good(map)) => map.value.0.as_slice(),
            Some(Entry::Bad) => return (services, names),
            None => &[],
        };
        if all.is_empty() {
            self.note(
                Mistake::new("no-service", 0..0, "the manifest has no service")
                    .label("no `[service.NAME]` in this file")
                    .help("write [service.NAME] and below it component = \"NAME.wasm\""),
            );
        }
        if let Some((name, _)) = all.get(SERVICES_MAX) {
            let message = format!("the manifest has more than {SERVICES_MAX} services");
            self.note(Mistake::new("too-many", name.span.clone(), message).label("one too many"));
        }
        for (name, entry) in all {
            names.push(name.value.clone());
            let parsed = match ServiceName::parse(&name.value) {
                Ok(parsed) => Some(Spanned::new(parsed, name.span.clone())),
                Err(error) => {
                    let mut mistake =
                        Mistake::new("bad-name", name.span.clone(), error.to_string())
                            .label("name of a service");
                    mistake.help = crate::name::nearest(&name.value)
                        .map(|nearest| format!("write [service.{nearest}]"));
                    self.note(mistake);
                    None
                }
            };
            if let Entry::Good(file) = entry
                && let Some(service) = self.service(name, parsed, file, routes)
            {
                services.insert(service.name.value.clone(), service);
            }
        }
        (services, names)
    }

    fn route(&mut self, file: &Spanned<RouteFile>) -> Option<DraftRoute> {
        let span = file.span.clone();
        let path = self.required(
            &file.path,
            "path",
            span.clone(),
            "this route",
            "path = \"/\"",
        );
        let service = self.required(
            &file.service,
            "service",
            span.clone(),
            "this route",
            "service = \"NAME\"",
        );
        let timeout = self.time_between(
            &file.timeout,
            "timeout",
            Duration::from_millis(1)..=limits::DEADLINE_MAX,
        );
        let host = match &file.host {
            None => HostPattern::Any,
            Some(Entry::Good(host)) => host.value.clone(),
            Some(Entry::Bad) => return None,
        };
        let methods = match &file.methods {
            None => Methods::Any,
            Some(Entry::Bad) => return None,
            Some(Entry::Good(methods)) => {
                if methods.is_empty() {
                    self.note(
                        Mistake::new(
                            "no-method",
                            methods.span.clone(),
                            "this route serves no method",
                        )
                        .label("empty")
                        .help("leave `methods` out to serve all"),
                    );
                }
                let mut set = MethodSet::EMPTY;
                for method in &methods.value {
                    if set.contains(method.value) {
                        let message = format!("`{}` is listed twice", method.as_str());
                        self.note(
                            Mistake::new("duplicate-method", method.span.clone(), message)
                                .label("again")
                                .help("remove it"),
                        );
                    }
                    set = set.with(method.value);
                }
                Methods::Only(set)
            }
        };
        let spec = RouteSpec {
            host,
            path: path?.value.clone(),
            methods,
        };
        Some(DraftRoute {
            spec: Spanned::new(spec, span),
            service: service?.clone(),
            timeout,
        })
    }

    /// Routes and links lead to services that exist.
    fn known_services(
        &mut self,
        names: &[String],
        services: &BTreeMap<ServiceName, Service>,
        routes: &[DraftRoute],
    ) {
        let links = services.values().flat_map(|service| service.links.values());
        let named = routes.iter().map(|route| &route.service);
        for name in named.chain(links) {
            if names.iter().any(|known| known == name.as_str()) {
                continue;
            }
            let help = did_you_mean(name.as_str(), names.iter().map(String::as_str))
                .unwrap_or_else(|| format!("write [service.{}] or name another service", **name));
            let message = format!("there is no service `{}`", **name);
            self.note(
                Mistake::new("unknown-service", name.span.clone(), message)
                    .label("unknown service")
                    .help(help),
            );
        }
    }

    fn conflicts(&mut self, routes: &[DraftRoute]) {
        let specs = routes.iter().map(|route| (route.spec.value.clone(), ()));
        let Err(conflicts) = RouteTable::build(specs.collect()) else {
            return;
        };
        for conflict in conflicts {
            let (first, second) = (&routes[conflict.first], &routes[conflict.second]);
            let message = format!(
                "this route and the one of service `{}` in line {} both serve {} of `{}`",
                *first.service,
                line_of(self.text, first.spec.span.start),
                conflict.overlap,
                second.spec.path,
            );
            self.note(
                Mistake::new("route-conflict", second.spec.span.clone(), message)
                    .label(format!("serves the same as `{}`", first.spec.path))
                    .help("change path, host or methods of one of them, or remove it"),
            );
        }
    }

    /// One instance must fit into what all together may use.
    fn memory_of_all(&mut self, host: &HostSettings, services: &BTreeMap<ServiceName, Service>) {
        let Some(all) = &host.memory else { return };
        for service in services.values() {
            if service.limits.memory > all.value {
                let message = format!(
                    "an instance of `{}` may use {}, but all guests together only {}",
                    *service.name, service.limits.memory, all.value,
                );
                self.note(
                    Mistake::new(
                        "memory-over-host",
                        service.span_of("limits.memory"),
                        message,
                    )
                    .label("more than `host.memory`")
                    .help("raise `host.memory` or lower the service's `limits.memory`"),
                );
            }
        }
    }

    fn unreached(&mut self, services: &BTreeMap<ServiceName, Service>, routes: &[DraftRoute]) {
        for service in services.values() {
            let name = &service.name.value;
            let routed = routes.iter().any(|route| route.service.value == *name);
            let linked = services
                .values()
                .any(|other| other.links.values().any(|link| link.value == *name));
            if !routed && !linked {
                let message = format!("no route and no link leads to service `{name}`");
                self.warnings.push(
                    Mistake::new("no-route", service.name.span.clone(), message)
                        .label("never called, unless it is a worker")
                        .help("write routes = [\"/path\"]"),
                );
            }
        }
    }

    // Small steps.

    fn note(&mut self, mistake: Mistake) {
        self.mistakes.push(mistake);
    }

    /// What stands at a key that cannot be left out.
    fn required<'f, T>(
        &mut self,
        field: &'f Field<T>,
        key: &str,
        span: Range<usize>,
        whose: &str,
        example: &str,
    ) -> Option<&'f Spanned<T>> {
        if field.is_none() {
            self.note(
                Mistake::new("missing-key", span, format!("{whose} has no `{key}`"))
                    .label(format!("`{key}` is missing"))
                    .help(format!("write {example}")),
            );
        }
        good(field)
    }

    fn count_between(
        &mut self,
        field: &Field<u32>,
        key: &str,
        range: RangeInclusive<u32>,
    ) -> Option<Spanned<u32>> {
        self.between(field, key, range, u32::to_string)
    }

    fn size_between(
        &mut self,
        field: &Field<ByteSize>,
        key: &str,
        range: RangeInclusive<ByteSize>,
    ) -> Option<Spanned<ByteSize>> {
        self.between(field, key, range, ByteSize::to_string)
    }

    fn time_between(
        &mut self,
        field: &Field<Time>,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        self.spanned_time(field, key, range).map(|time| time.value)
    }

    fn spanned_time(
        &mut self,
        field: &Field<Time>,
        key: &str,
        range: RangeInclusive<Duration>,
    ) -> Option<Spanned<Duration>> {
        let plain = match field {
            Some(Entry::Good(time)) => Some(Entry::Good(time.clone().map(|time| time.0))),
            Some(Entry::Bad) | None => None,
        };
        self.between(&plain, key, range, |time| show(*time).to_string())
    }

    /// The value if it is in range; outside, a mistake and nothing.
    fn between<T: PartialOrd + Clone>(
        &mut self,
        field: &Field<T>,
        key: &str,
        range: RangeInclusive<T>,
        show: impl Fn(&T) -> String,
    ) -> Option<Spanned<T>> {
        let value = good(field)?;
        if range.contains(&value.value) {
            return Some(value.clone());
        }
        let (bound, word) = if value.value < *range.start() {
            (range.start(), "least")
        } else {
            (range.end(), "most")
        };
        let message = format!(
            "`{key}` must be at {word} {}, not {}",
            show(bound),
            show(&value.value)
        );
        self.note(
            Mistake::new("out-of-range", value.span.clone(), message)
                .label("out of range")
                .help(format!(
                    "from {} to {}",
                    show(range.start()),
                    show(range.end())
                )),
        );
        None
    }

    /// The second of two that are the same.
    fn duplicate(&mut self, code: &'static str, span: Range<usize>, what: &str, first: usize) {
        let line = line_of(self.text, first);
        let message = format!("{what} is listed twice, first in line {line}");
        self.note(
            Mistake::new(code, span, message)
                .label("again")
                .help("remove one of them"),
        );
    }
}

fn path(field: &Field<PathBuf>) -> Option<Spanned<PathBuf>> {
    good(field).cloned()
}

#[cfg(test)]
mod tests;
