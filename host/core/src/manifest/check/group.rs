//! `[group.NAME]`, and the order in which services start.
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::super::file::{GroupFile, GroupRestartFile};
use super::super::leaf::Map;
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::super::{Group, Service};
use super::Checker;
use super::service::TIME_MIN;
use crate::name::{GroupName, ServiceName};
use crate::restart;
use crate::spanned::Spanned;
use crate::supervision::GroupPolicy;

/// Who starts after whom, and where that is written.
type Edges<'m> = BTreeMap<&'m str, Vec<&'m Spanned<ServiceName>>>;

impl Checker {
    /// `after` of a service; that it names itself is found here, cycles in [`Self::order`].
    pub(super) fn after(
        &mut self,
        field: &Field<Vec<Spanned<ServiceName>>>,
        service: &str,
    ) -> Vec<Spanned<ServiceName>> {
        let written = good(field).map_or(&[][..], |list| list.value.as_slice());
        let mut first: BTreeMap<&str, usize> = BTreeMap::new();
        for name in written {
            if name.as_str() == service {
                let message = format!("`{service}` cannot start after itself");
                self.note(
                    Mistake::new("after-itself", name.span.clone(), message)
                        .label("itself")
                        .help("remove it"),
                );
            } else if let Some(start) = first.insert(name.as_str(), name.span.start) {
                let what = format!("`{}`", name.value);
                self.duplicate("duplicate-service", name.span.clone(), &what, start);
            }
        }
        written.to_vec()
    }

    pub(super) fn groups(
        &mut self,
        field: &Field<Map<GroupFile>>,
        names: &[String],
    ) -> BTreeMap<GroupName, Group> {
        let known: BTreeSet<&str> = names.iter().map(String::as_str).collect();
        // Each service that is in a group: in which, and where that is written.
        let mut members: BTreeMap<String, (String, usize)> = BTreeMap::new();
        let mut groups = BTreeMap::new();
        for (written, entry) in good(field).iter().flat_map(|map| map.value.0.iter()) {
            let name = self.group_name(written);
            let Entry::Good(file) = entry else { continue };
            let whose = format!("group `{}`", written.value);
            let example = "services = [\"a\", \"b\"]";
            let span = written.span.clone();
            let services = self.required(&file.services, "services", span, &whose, example);
            let policy = self.group_policy(file);
            let Some(services) = services else { continue };
            if services.is_empty() {
                let message = format!("group `{}` has no services", written.value);
                self.note(
                    Mistake::new("empty-group", services.span.clone(), message)
                        .label("empty")
                        .help(format!("write {example}, or remove the group")),
                );
            }
            for service in &services.value {
                self.group_member(&written.value, service, &known, &mut members);
            }
            if let Some(name) = name {
                let group = Group {
                    services: services.value.clone(),
                    strategy: good(&file.strategy)
                        .map(|strategy| strategy.value)
                        .unwrap_or_default(),
                    policy,
                    name,
                };
                groups.insert(group.name.value.clone(), group);
            }
        }
        groups
    }

    fn group_name(&mut self, written: &Spanned<String>) -> Option<Spanned<GroupName>> {
        match GroupName::parse(&written.value) {
            Ok(name) => Some(Spanned::new(name, written.span.clone())),
            Err(error) => {
                let mut mistake = Mistake::new("bad-name", written.span.clone(), error.to_string())
                    .label("name of a group");
                mistake.help = crate::name::nearest(&written.value)
                    .map(|nearest| format!("write [group.{nearest}]"));
                self.note(mistake);
                None
            }
        }
    }

    fn group_member(
        &mut self,
        group: &str,
        service: &Spanned<ServiceName>,
        known: &BTreeSet<&str>,
        members: &mut BTreeMap<String, (String, usize)>,
    ) {
        if !self.known_service(known, service) {
            return;
        }
        let place = (group.to_owned(), service.span.start);
        let Some((other, start)) = members.insert(service.as_str().to_owned(), place) else {
            return;
        };
        if other == group {
            let what = format!("`{}`", service.value);
            self.duplicate("duplicate-service", service.span.clone(), &what, start);
            return;
        }
        let message = format!(
            "service `{}` is in group `{other}` already, in line {}",
            service.value,
            self.lines.of(start)
        );
        self.note(
            Mistake::new("two-groups", service.span.clone(), message)
                .label("in two groups")
                .help("a service is in one group at most: remove it from one of them"),
        );
    }

    fn group_policy(&mut self, file: &GroupFile) -> GroupPolicy {
        let default = GroupPolicy::default();
        let empty = GroupRestartFile::default();
        let restart = good(&file.restart).map_or(&empty, |restart| &restart.value);
        let max = self.count_between(&restart.max, "max", 0..=restart::MAX_MAX);
        let within: Option<Duration> =
            self.time_between(&restart.within, "within", TIME_MIN..=restart::WITHIN_MAX);
        GroupPolicy {
            max: max.map_or(default.max, |max| max.value),
            within: within.unwrap_or(default.within),
            backoff: self.backoff(&restart.backoff).unwrap_or(default.backoff),
            escalate: good(&file.escalate)
                .map(|escalate| escalate.value)
                .unwrap_or_default(),
        }
    }

    /// Nobody starts after somebody that starts after him.
    pub(super) fn order(
        &mut self,
        services: &BTreeMap<ServiceName, Service>,
        groups: &BTreeMap<GroupName, Group>,
    ) {
        let mut edges: Edges<'_> = BTreeMap::new();
        for (name, service) in services {
            let others = service.after.iter().filter(|after| after.value != *name);
            edges.entry(name.as_str()).or_default().extend(others);
        }
        let links = groups.values().flat_map(|group| group.services.windows(2));
        for link in links {
            if let [before, after] = link
                && before.value != after.value
            {
                edges.entry(after.as_str()).or_default().push(before);
            }
        }
        for mistake in cycles(&edges) {
            self.note(mistake);
        }
    }
}

/// One mistake for each cycle that a walk along the edges closes.
fn cycles(edges: &Edges<'_>) -> Vec<Mistake> {
    #[derive(Clone, Copy, PartialEq)]
    enum Mark {
        OnTheWay,
        Done,
    }
    let mut marks: BTreeMap<&str, Mark> = BTreeMap::new();
    let mut found = Vec::new();
    for &start in edges.keys() {
        if marks.contains_key(start) {
            continue;
        }
        marks.insert(start, Mark::OnTheWay);
        // Services on the way, each with how many of its edges have been walked.
        let mut way: Vec<(&str, usize)> = vec![(start, 0)];
        while let Some((service, walked)) = way.last_mut() {
            let service = *service;
            let Some(next) = edges
                .get(service)
                .and_then(|edges| edges.get(*walked))
                .copied()
            else {
                marks.insert(service, Mark::Done);
                way.pop();
                continue;
            };
            *walked += 1;
            match marks.get(next.as_str()) {
                Some(Mark::Done) => {}
                Some(Mark::OnTheWay) => {
                    let names = way.iter().map(|(name, _)| *name);
                    let cycle: Vec<&str> =
                        names.skip_while(|name| *name != next.as_str()).collect();
                    found.push(cycle_mistake(&cycle, next));
                }
                None => {
                    marks.insert(next.as_str(), Mark::OnTheWay);
                    way.push((next.as_str(), 0));
                }
            }
        }
    }
    found
}

/// Names of a longer cycle would hide what is wrong.
const CYCLE_SHOWN: usize = 8;

fn cycle_mistake(cycle: &[&str], closes: &Spanned<ServiceName>) -> Mistake {
    let mut names: Vec<String> = cycle
        .iter()
        .take(CYCLE_SHOWN)
        .map(|name| format!("`{name}`"))
        .collect();
    if cycle.len() > CYCLE_SHOWN {
        names.push("…".to_owned());
    }
    names.push(format!("`{}`", closes.value));
    let message = format!(
        "these services wait for one another: {}, each starts after the next",
        names.join(", ")
    );
    Mistake::new("start-cycle", closes.span.clone(), message)
        .label("closes the cycle")
        .help("remove one `after`, or list the services of a group in another order")
}
