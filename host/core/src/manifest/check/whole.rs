//! What only shows when all services and routes are known.
use std::collections::{BTreeMap, BTreeSet};

use super::super::mistake::Mistake;
use super::super::suggest::did_you_mean;
use super::super::{HostSettings, Service};
use super::{Checker, DraftRoute, MISTAKES_MAX};
use crate::name::ServiceName;
use crate::route::RouteTable;
use crate::spanned::Spanned;

impl Checker {
    /// Routes and links lead to services that exist.
    pub(super) fn known_services(
        &mut self,
        names: &[String],
        services: &BTreeMap<ServiceName, Service>,
        routes: &[DraftRoute],
    ) {
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        let links = services.values().flat_map(|service| service.links.values());
        let named = routes.iter().map(|route| &route.service);
        let after = services.values().flat_map(|service| &service.after);
        for name in named.chain(links).chain(after) {
            self.known_service(&known, name);
        }
    }

    /// False, and a mistake, if there is no such service.
    pub(super) fn known_service(
        &mut self,
        known: &BTreeSet<&str>,
        name: &Spanned<ServiceName>,
    ) -> bool {
        let found = known.contains(name.as_str());
        if !found {
            // Looking for the nearest of thousands, thousands of times, would take minutes.
            let near = (self.mistakes.len() < MISTAKES_MAX)
                .then(|| did_you_mean(name.as_str(), known.iter().copied()))
                .flatten();
            let help = near
                .unwrap_or_else(|| format!("write [service.{}] or name another service", **name));
            let message = format!("there is no service `{}`", **name);
            self.note(
                Mistake::new("unknown-service", name.span.clone(), message)
                    .label("unknown service")
                    .help(help),
            );
        }
        found
    }

    pub(super) fn conflicts(&mut self, routes: &[DraftRoute]) {
        let specs = routes.iter().map(|route| (route.spec.value.clone(), ()));
        let Err(conflicts) = RouteTable::build(specs.collect()) else {
            return;
        };
        for conflict in conflicts {
            let (first, second) = (&routes[conflict.first], &routes[conflict.second]);
            let message = format!(
                "this route and the one of service `{}` in line {} both serve {} of `{}`",
                *first.service,
                self.lines.of(first.spec.span.start),
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
    pub(super) fn memory_of_all(
        &mut self,
        host: &HostSettings,
        services: &BTreeMap<ServiceName, Service>,
    ) {
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

    pub(super) fn unreached(
        &mut self,
        services: &BTreeMap<ServiceName, Service>,
        routes: &[DraftRoute],
    ) {
        let links = services.values().flat_map(|service| service.links.values());
        let routed = routes.iter().map(|route| &route.service);
        let reached: BTreeSet<&str> = links.chain(routed).map(|name| name.as_str()).collect();
        for service in services.values() {
            let name = &service.name.value;
            if !reached.contains(name.as_str()) {
                let message = format!("no route and no link leads to service `{name}`");
                self.warnings.push(
                    Mistake::new("no-route", service.name.span.clone(), message)
                        .label("never called, unless it is a worker")
                        .help("write routes = [\"/path\"]"),
                );
            }
        }
    }
}
