//! What has to change so that what runs becomes what is wanted: computed before anything is done,
//! shown to whoever asked, and executed without a choice left.
//!
//! Checked manifests are compared, not texts: another formatting is no change, and neither is a
//! default that is written out. What a key is called is what one writes.
use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::digest::Digest;
use crate::limits;
use crate::limits::ServiceLimits;
use crate::link::LinkPolicy;
use crate::manifest::settings::{Setting, Settings};
use crate::manifest::{Group, Manifest, Places, Route, Service, Spanned};
use crate::name::{AppName, GroupName, ServiceName};
use crate::route::{HostPattern, Methods, RouteSpec};
use crate::supervision::{GroupPolicy, Strategy};

mod show;

pub use show::{Line, Tone};

/// The key under which a change of the component's bytes is listed.
pub const DIGEST: &str = "digest";

/// What an application is, on one side of the comparison.
#[derive(Debug, Clone, Copy)]
pub struct Side<'a> {
    pub manifest: &'a Manifest,
    /// What each service's component is. Of a service that is missing here nothing is said.
    pub components: &'a BTreeMap<ServiceName, Digest>,
}

/// The steps from one side to the other, always in the same order: the application, services,
/// groups, links, routes, listener and host; each by name.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Plan {
    pub steps: Vec<Step>,
}

/// What is added, changed or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanStep))]
pub struct Step {
    #[serde(flatten)]
    pub subject: Subject,
    pub action: Action,
    /// Of something added, what it sets that is not the default; of something removed, nothing.
    pub changes: Vec<Change>,
}

/// What a step is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanSubject))]
pub enum Subject {
    Application {
        name: AppName,
    },
    Service {
        name: ServiceName,
    },
    Group {
        name: GroupName,
    },
    /// `[link.CALLER.CALLEE]`: how calls are treated. That there are calls shows in the components.
    Link {
        caller: ServiceName,
        callee: ServiceName,
    },
    /// Methods, host and path, as [`route_name`] writes them.
    Route {
        name: String,
    },
    /// `[http]`.
    Http,
    /// `[host]`.
    Host,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanAction))]
pub enum Action {
    Add,
    Change,
    Remove,
}

/// One key that is set to something else.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanChange))]
pub struct Change {
    /// Dotted, relative to the step's table; or [`DIGEST`].
    pub key: String,
    #[serde(flatten)]
    pub difference: Difference,
    pub effect: Effect,
}

/// From what to what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanDifference))]
pub enum Difference {
    /// Of a list whose order means nothing. At least one of the two has something.
    Items {
        added: BTreeSet<String>,
        removed: BTreeSet<String>,
    },
    /// `None`: not set; the host derives it, or there is nothing.
    Value {
        old: Option<Setting>,
        new: Option<Setting>,
    },
}

/// When a change takes effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
#[cfg_attr(feature = "openapi", schema(as = PlanEffect))]
pub enum Effect {
    /// With the generation that the plan leads to.
    Live,
    /// When the host is started again: until then what was set holds.
    HostRestart,
}

/// How many steps there are of each kind.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    pub add: usize,
    pub change: usize,
    pub remove: usize,
}

impl Plan {
    /// What leads from the current side to the wanted one. Nothing, if they say the same.
    pub fn between(current: Side<'_>, wanted: Side<'_>) -> Self {
        // Without `..`, so that no part of a manifest can be forgotten.
        let Manifest {
            name,
            http,
            host,
            services,
            groups,
            links,
            routes,
            warnings: _,
        } = wanted.manifest;
        let now = current.manifest;
        let mut steps = Vec::new();
        steps.extend(renamed(&now.name, name));
        compare_services(&mut steps, (current, &now.services), (wanted, services));
        compare_groups(&mut steps, &now.groups, groups);
        compare_links(&mut steps, &now.links, links);
        compare_routes(&mut steps, &now.routes, routes);
        let http = changes(&now.http.settings(), &http.settings(), http_effect);
        steps.extend(Step::unless_empty(Subject::Http, http));
        let host = changes(&now.host.settings(), &host.settings(), |_| {
            Effect::HostRestart
        });
        steps.extend(Step::unless_empty(Subject::Host, host));
        Self { steps }
    }

    /// True if there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// How many steps there are of each kind.
    pub fn summary(&self) -> Summary {
        let count = |action| {
            self.steps
                .iter()
                .filter(|step| step.action == action)
                .count()
        };
        Summary {
            add: count(Action::Add),
            change: count(Action::Change),
            remove: count(Action::Remove),
        }
    }

    /// The full keys of what waits for the host's next start (`http.listen`), in the plan's order.
    pub fn waiting(&self) -> Vec<String> {
        let keys = |step: &Step| {
            let table = match &step.subject {
                Subject::Http => "http.",
                Subject::Host => "host.",
                _ => "",
            };
            let waits = step
                .changes
                .iter()
                .filter(|change| change.effect == Effect::HostRestart);
            waits
                .map(|change| format!("{table}{}", change.key))
                .collect::<Vec<_>>()
        };
        self.steps.iter().flat_map(keys).collect()
    }
}

impl Step {
    fn unless_empty(subject: Subject, changes: Vec<Change>) -> Option<Self> {
        (!changes.is_empty()).then_some(Self {
            subject,
            action: Action::Change,
            changes,
        })
    }
}

fn renamed(old: &AppName, new: &AppName) -> Option<Step> {
    let settings =
        |name: &AppName| Settings::from([("name".into(), Setting::Text(name.to_string()))]);
    let changes = changes(&settings(old), &settings(new), |_| Effect::HostRestart);
    Step::unless_empty(Subject::Application { name: new.clone() }, changes)
}

type Services = BTreeMap<ServiceName, Service>;

fn compare_services(steps: &mut Vec<Step>, old: (Side<'_>, &Services), new: (Side<'_>, &Services)) {
    let subject = |name| Subject::Service { name };
    let bare = |name: &ServiceName| bare_service(&new.1[name]).settings();
    compare(steps, described(old), described(new), subject, bare);
}

/// Each service's settings, with the digest of its component among them.
fn described((side, services): (Side<'_>, &Services)) -> Described<ServiceName> {
    let describe = |(name, service): (&ServiceName, &Service)| {
        let mut settings = service.settings();
        if let Some(digest) = side.components.get(name) {
            settings.insert(DIGEST.into(), Setting::Text(digest.to_string()));
        }
        (name.clone(), settings)
    };
    services.iter().map(describe).collect()
}

type Groups = BTreeMap<GroupName, Group>;

fn compare_groups(steps: &mut Vec<Step>, old: &Groups, new: &Groups) {
    fn described(groups: &Groups) -> Described<GroupName> {
        groups
            .iter()
            .map(|(name, group)| (name.clone(), group.settings()))
            .collect()
    }
    let subject = |name| Subject::Group { name };
    let bare = |name: &GroupName| bare_group(&new[name]).settings();
    compare(steps, described(old), described(new), subject, bare);
}

/// Routes are known by what they match: no two of a manifest match the same.
fn compare_routes(steps: &mut Vec<Step>, old: &[Route], new: &[Route]) {
    fn described(routes: &[Route]) -> Described<String> {
        let describe = |route: &Route| (route_name(&route.spec), route.settings());
        routes.iter().map(describe).collect()
    }
    let subject = |name| Subject::Route { name };
    let bare = |_: &String| Settings::new();
    compare(steps, described(old), described(new), subject, bare);
}

/// Things by their names.
type Described<K> = BTreeMap<K, Settings>;

/// The steps between two tables of named things. `bare` is what an added one is compared with.
fn compare<K: Ord + Clone>(
    steps: &mut Vec<Step>,
    old: Described<K>,
    new: Described<K>,
    subject: impl Fn(K) -> Subject,
    bare: impl Fn(&K) -> Settings,
) {
    let names: BTreeSet<&K> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (action, changes) = match (old.get(name), new.get(name)) {
            (Some(_), None) => (Action::Remove, Vec::new()),
            (None, Some(new)) => (Action::Add, live(&bare(name), new)),
            (Some(old), Some(new)) if old != new => (Action::Change, live(old, new)),
            _ => continue,
        };
        steps.push(Step {
            subject: subject(name.clone()),
            action,
            changes,
        });
    }
}

type Links = BTreeMap<(ServiceName, ServiceName), Spanned<LinkPolicy>>;

/// What is not written holds by default: a table that says nothing else is the same as none.
fn compare_links(steps: &mut Vec<Step>, old: &Links, new: &Links) {
    let defaults = LinkPolicy::default().settings();
    let pairs: BTreeSet<_> = old.keys().chain(new.keys()).collect();
    for pair in pairs {
        let old = old.get(pair).map(|policy| policy.settings());
        let new = new.get(pair).map(|policy| policy.settings());
        let action = match (&old, &new) {
            (None, _) => Action::Add,
            (_, None) => Action::Remove,
            _ => Action::Change,
        };
        let changes = live(
            old.as_ref().unwrap_or(&defaults),
            new.as_ref().unwrap_or(&defaults),
        );
        if !changes.is_empty() {
            let (caller, callee) = pair.clone();
            steps.push(Step {
                subject: Subject::Link { caller, callee },
                action,
                changes: if action == Action::Remove {
                    Vec::new()
                } else {
                    changes
                },
            });
        }
    }
}

fn live(old: &Settings, new: &Settings) -> Vec<Change> {
    changes(old, new, |_| Effect::Live)
}

/// The keys that differ, in the order of the alphabet.
fn changes(old: &Settings, new: &Settings, effect: impl Fn(&str) -> Effect) -> Vec<Change> {
    let keys: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let differs = |key: &&String| old.get(*key) != new.get(*key);
    keys.into_iter()
        .filter(differs)
        .map(|key| Change {
            key: key.clone(),
            difference: difference(old.get(key), new.get(key)),
            effect: effect(key),
        })
        .collect()
}

fn difference(old: Option<&Setting>, new: Option<&Setting>) -> Difference {
    let nothing = BTreeSet::new();
    let (before, after) = match (old, new) {
        (Some(Setting::Set(old)), Some(Setting::Set(new))) => (old, new),
        (None, Some(Setting::Set(new))) => (&nothing, new),
        (Some(Setting::Set(old)), None) => (old, &nothing),
        _ => {
            return Difference::Value {
                old: old.cloned(),
                new: new.cloned(),
            };
        }
    };
    Difference::Items {
        added: after - before,
        removed: before - after,
    }
}

/// The sockets are bound, and their certificate is read, when the host starts.
fn http_effect(key: &str) -> Effect {
    match key {
        "listen" => Effect::HostRestart,
        key if key.starts_with("tls.") => Effect::HostRestart,
        _ => Effect::Live,
    }
}

/// A service that says nothing, so that of an added one only what it says is shown.
fn bare_service(service: &Service) -> Service {
    Service {
        name: service.name.clone(),
        component: Spanned::new("".into(), 0..0),
        build: None,
        links: BTreeMap::new(),
        after: Vec::new(),
        instances: Default::default(),
        limits: ServiceLimits::default(),
        restart: Default::default(),
        core_dumps: None,
        probation: Default::default(),
        health: None,
        stop_timeout: limits::STOP_TIMEOUT,
        grants: Default::default(),
        places: Places::default(),
    }
}

fn bare_group(group: &Group) -> Group {
    Group {
        name: group.name.clone(),
        services: Vec::new(),
        strategy: Strategy::default(),
        policy: GroupPolicy::default(),
    }
}

/// A route as people write it: methods, host and path, the first two if it has them.
pub fn route_name(spec: &RouteSpec) -> String {
    let RouteSpec {
        host,
        path,
        methods,
    } = spec;
    let mut name = match methods {
        Methods::Any => String::new(),
        Methods::Only(methods) => format!("{methods} "),
    };
    if *host != HostPattern::Any {
        name += &host.to_string();
    }
    name + &path.to_string()
}

#[cfg(test)]
mod tests;
