//! From the raw shape to checked nouns: ranges and defaults first, then what only shows when all is
//! known.
//!
//! Every check passes over what is [`Entry::Bad`] in silence: each mistake is told once.
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::PathBuf;
use std::time::Duration;

use toml::de::DeTable;

use super::file::{HostFile, ManifestFile, RouteFile};
use super::mistake::Mistake;
use super::read::{Entry, Field, Reader, good};
use super::{HostSettings, MANIFEST_BYTES_MAX, Manifest, Route, SERVICES_MAX, Service};
use crate::name::ServiceName;
use crate::route::method::MethodSet;
use crate::route::{HostPattern, Methods, RouteSpec};
use crate::size::ByteSize;
use crate::spanned::Spanned;
use crate::{instances, limits};

mod control;
mod grants;
mod group;
mod health;
mod http;
mod link;
mod service;
mod step;
mod usage;
mod whole;

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
        lines: Lines::new(text),
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
    mistakes.sort_by_key(|mistake| mistake.span.start);
    let lines = Lines::new(text);
    mistakes.dedup_by_key(|mistake| lines.of(mistake.span.start));
    sort(&mut mistakes);
    mistakes
}

/// Where lines end, so that a mistake can name the line of another place.
struct Lines(Vec<usize>);

impl Lines {
    fn new(text: &str) -> Self {
        Self(text.match_indices('\n').map(|(at, _)| at).collect())
    }

    /// Lines count from 1.
    fn of(&self, at: usize) -> usize {
        self.0.partition_point(|end| *end < at) + 1
    }
}

/// Notes mistakes while the nouns are made.
struct Checker {
    lines: Lines,
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

impl Checker {
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
        let groups = self.groups(&file.group, &names);
        let links = self.link_policies(&file.link, &names);
        self.order(&services, &groups);
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
            groups,
            links,
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
            limits::MEMORY_MIN..=limits::MEMORY_TOTAL_MAX,
        );
        let memory_reserve = self.size_between(
            &file.memory_reserve,
            "memory-reserve",
            ByteSize::bytes(0)..=limits::MEMORY_TOTAL_MAX,
        );
        let instances = self.count_between(&file.instances, "instances", 1..=instances::MAX_MAX);
        let threads = self.count_between(&file.threads, "threads", 1..=limits::THREADS_MAX);
        let stack = self.size_between(&file.stack, "stack", limits::STACK_MIN..=limits::STACK_MAX);
        HostSettings {
            memory,
            memory_reserve: memory_reserve.map(|reserve| reserve.value),
            instances,
            threads,
            stack: stack.map_or(limits::STACK, |stack| stack.value),
            cache: path(&file.cache),
            state: path(&file.state),
            control: good(&file.control).and_then(|control| self.control(control)),
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
}

fn path(field: &Field<PathBuf>) -> Option<Spanned<PathBuf>> {
    good(field).cloned()
}

#[cfg(test)]
mod tests;
