//! Which service answers what another imports.

use std::collections::{BTreeMap, BTreeSet};

use skep_core::manifest::{Manifest, Service};
use skep_core::name::ServiceName;

use super::{Part, Runs};
use crate::artifact::{ItemKind, Need, required_grants};

/// An import of one service that another exports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Who imports.
    pub caller: ServiceName,
    /// The interface as the caller names it.
    pub import: String,
    /// Who exports.
    pub callee: ServiceName,
    /// The interface as the callee names it.
    pub export: String,
}

/// All links of an application.
#[derive(Clone, Debug, Default)]
pub struct Links(Vec<Link>);

impl Links {
    /// Those of a caller.
    pub fn of<'a>(&'a self, caller: &'a ServiceName) -> impl Iterator<Item = &'a Link> {
        self.0.iter().filter(move |link| link.caller == *caller)
    }

    /// Whether anybody calls it.
    pub fn lead_to(&self, callee: &ServiceName) -> bool {
        self.0.iter().any(|link| link.callee == *callee)
    }

    /// Whether the link is part of a circle: its callee may call its caller, at some remove.
    pub fn are_mutual(&self, link: &Link) -> bool {
        let mut seen = BTreeSet::new();
        let mut ahead = vec![&link.callee];
        while let Some(service) = ahead.pop() {
            if *service == link.caller {
                return true;
            }
            if seen.insert(service) {
                ahead.extend(self.of(service).map(|link| &link.callee));
            }
        }
        false
    }

    /// Whether the service is part of a circle.
    pub fn encircle(&self, service: &ServiceName) -> bool {
        self.of(service).any(|link| self.are_mutual(link))
    }
}

/// Finds the exporter of each import that the host does not have: the one that the manifest names,
/// or the first by name.
pub(super) fn resolve(manifest: &Manifest, parts: &BTreeMap<ServiceName, Part>) -> Links {
    let links = manifest.services.values().filter_map(|service| {
        let part = parts.get(&service.name.value)?;
        Some(of_service(service, part, parts))
    });
    Links(links.flatten().collect())
}

fn of_service(service: &Service, part: &Part, parts: &BTreeMap<ServiceName, Part>) -> Vec<Link> {
    let description = part.artifact.description();
    let foreign = required_grants(description)
        .into_iter()
        .filter(|needed| matches!(needed.need, Need::Missing { .. }));
    let link = |import: String| {
        let exports = |part: &Part| {
            // A program runs, and answers nobody.
            let answers = part.role != Runs::Worker;
            let mut exports = part.artifact.description().exports.iter();
            answers && exports.any(|item| item.kind == ItemKind::Interface && item.name == import)
        };
        let (plain, _) = import.split_once('@').unwrap_or((&import, ""));
        let named = service
            .links
            .get(&import)
            .or_else(|| service.links.get(plain));
        let callee = match named {
            Some(named) => Some(&named.value).filter(|name| parts.get(*name).is_some_and(exports)),
            None => parts
                .iter()
                .find_map(|(name, part)| exports(part).then_some(name)),
        };
        callee.map(|callee| Link {
            caller: service.name.value.clone(),
            export: import.clone(),
            callee: callee.clone(),
            import,
        })
    };
    foreign.filter_map(|needed| link(needed.import)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(caller: &str, callee: &str) -> Link {
        let name = |name: &str| name.parse().expect("a legal name");
        Link {
            caller: name(caller),
            import: "a:b/c".to_owned(),
            callee: name(callee),
            export: "a:b/c".to_owned(),
        }
    }

    #[test]
    fn links_in_a_circle_are_mutual_and_others_are_not() {
        let links = Links(vec![
            link("front", "a"),
            link("a", "b"),
            link("b", "c"),
            link("c", "a"),
            link("c", "leaf"),
            link("own", "own"),
        ]);
        let mutual: Vec<bool> = links.0.iter().map(|l| links.are_mutual(l)).collect();
        assert_eq!(mutual, [false, true, true, true, false, true]);
        let encircled = |name: &str| links.encircle(&name.parse().expect("a legal name"));
        assert!(encircled("b") && encircled("own"));
        assert!(!encircled("front") && !encircled("leaf"));
    }
}
