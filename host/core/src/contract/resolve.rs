//! Which service calls which: every import that the host does not satisfy, matched with an export.
//!
//! By name and version ([`InterfaceName::fits`]); where several services export what fits, by the
//! manifest's `links`. Of several versions in one service the exact one is taken, else the newest,
//! as in wasmtime's linker. Then the types are compared, and resources that several interfaces
//! share must come from one service. Nothing depends on the order of the services.
use std::collections::{BTreeMap, BTreeSet};

use super::crossing::obstacle;
use super::{
    Candidate, Contract, Interface, InterfaceName, Link, Origin, Problem, Resource, Side, compare,
};
use crate::name::ServiceName;
use crate::spanned::Spanned;

/// HTTP handlers: every HTTP service exports one, so that an import of one means no service by
/// itself, but can be given one by name (a chain of middleware).
const HANDLERS: [&str; 2] = ["wasi:http/handler", "wasi:http/incoming-handler"];

/// A service, as linking sees it.
#[derive(Debug, Clone)]
pub struct Party<'a> {
    pub name: &'a ServiceName,
    pub contract: &'a Contract,
    /// The manifest's `links`: interface, with or without a version → service.
    pub links: &'a BTreeMap<String, Spanned<ServiceName>>,
    /// Imports that the host satisfies, as the component writes them.
    pub given: BTreeSet<&'a str>,
}

/// What came out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Resolution {
    /// All that fit, by caller, then in the order of its imports' names.
    pub links: Vec<Link>,
    /// Why others do not; with any, the application does not run. By caller and import.
    pub problems: Vec<Problem>,
    /// Entries of `links` that mean no import.
    pub unused: Vec<Unused>,
}

/// An entry of `links` that decides nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    pub caller: ServiceName,
    /// The key, as in the manifest.
    pub interface: String,
}

/// Links an application. Services that could not be read are left out of `parties`; whoever calls
/// them has an unresolved import then.
pub fn resolve(parties: &[Party<'_>]) -> Resolution {
    let parties: BTreeMap<&ServiceName, &Party<'_>> =
        parties.iter().map(|party| (party.name, party)).collect();
    let mut exports: BTreeMap<&str, Vec<(&ServiceName, &Interface)>> = BTreeMap::new();
    for party in parties.values() {
        for export in &party.contract.exports {
            let path = exports.entry(export.name.path()).or_default();
            path.push((party.name, export));
        }
    }
    for all in exports.values_mut() {
        all.sort_by_key(|(service, export)| (*service, &export.name));
    }
    let market = Market { parties, exports };
    let mut resolution = Resolution::default();
    for party in market.parties.values() {
        market.party(party, &mut resolution);
    }
    market.origins(&mut resolution);
    resolution
}

/// All services, and who exports what.
struct Market<'a> {
    parties: BTreeMap<&'a ServiceName, &'a Party<'a>>,
    /// Interface without version → all that export it, in the order of the services.
    exports: BTreeMap<&'a str, Vec<(&'a ServiceName, &'a Interface)>>,
}

impl<'a> Market<'a> {
    fn party(&self, party: &Party<'a>, resolution: &mut Resolution) {
        let mut used = BTreeSet::new();
        let mut imports: Vec<&Interface> = party.contract.imports.iter().collect();
        imports.sort_by(|one, other| one.name.cmp(&other.name));
        for import in imports {
            // Names for what others define, which nobody provides.
            if import.is_types_only() {
                continue;
            }
            let named = named(party, &import.name);
            if let Some((key, _)) = named {
                used.insert(key);
            }
            match self.import(party, import, named) {
                Ok(link) => resolution.links.extend(link),
                Err(problem) => resolution.problems.push(*problem),
            }
        }
        let unused = party
            .links
            .keys()
            .filter(|key| !used.contains(key.as_str()));
        resolution.unused.extend(unused.map(|key| Unused {
            caller: party.name.clone(),
            interface: key.clone(),
        }));
    }

    fn import(
        &self,
        party: &Party<'a>,
        import: &Interface,
        named: Option<(&str, &ServiceName)>,
    ) -> Result<Option<Link>, Box<Problem>> {
        let caller = party.name.clone();
        let given = party.given.contains(import.name.text());
        let (callee, export) = match named {
            Some((key, _)) if given => {
                return Err(Box::new(Problem::Given {
                    caller,
                    import: import.name.clone(),
                    interface: key.to_owned(),
                }));
            }
            // Its own mistake has been told: the service is not there, or could not be read.
            Some((_, callee)) if !self.parties.contains_key(callee) => return Ok(None),
            Some((key, callee)) => match self.export_of(callee, &import.name) {
                Some(export) => (callee, export),
                None => {
                    return Err(Box::new(Problem::NotExported {
                        caller,
                        import: import.name.clone(),
                        interface: key.to_owned(),
                        callee: callee.clone(),
                        has: self.versions_of(callee, &import.name),
                        candidates: self.candidates(party, &import.name),
                    }));
                }
            },
            None if given => return Ok(None),
            None => match self.only_export(party, &import.name)? {
                Some(found) => found,
                None => {
                    return Err(Box::new(Problem::Unresolved {
                        caller,
                        import: import.name.clone(),
                        others: self.others(party, &import.name),
                        own: self.export_of(party.name, &import.name).is_some(),
                    }));
                }
            },
        };
        let link = Link {
            caller,
            import: import.name.text().to_owned(),
            callee: callee.clone(),
            export: export.name.text().to_owned(),
        };
        let differences = compare(import, export);
        if !differences.is_empty() {
            return Err(Box::new(Problem::Mismatch { link, differences }));
        }
        match obstacle(import) {
            // Requests and answers are the host's, which hands them on.
            Some((function, obstacle)) if !is_handler(&import.name) => {
                Err(Box::new(Problem::Uncrossable {
                    link,
                    function: function.to_owned(),
                    obstacle,
                }))
            }
            _ => Ok(Some(link)),
        }
    }

    /// What the service exports that fits: of several versions the exact one, else the newest.
    fn export_of(&self, service: &ServiceName, wanted: &InterfaceName) -> Option<&'a Interface> {
        let all = self.exports.get(wanted.path())?.iter();
        all.filter(|(name, export)| *name == service && export.name.fits(wanted))
            .map(|(_, export)| *export)
            .max_by_key(|export| (export.name == *wanted, export.name.version()))
    }

    /// The one other service that exports what fits, if the import's name means it by itself.
    fn only_export(
        &self,
        party: &Party<'a>,
        wanted: &InterfaceName,
    ) -> Result<Option<(&'a ServiceName, &'a Interface)>, Box<Problem>> {
        if is_handler(wanted) {
            return Ok(None);
        }
        let services: BTreeSet<&'a ServiceName> = self
            .fitting(wanted)
            .map(|(service, _)| service)
            .filter(|service| *service != party.name)
            .collect();
        let mut services = services.into_iter();
        let Some(first) = services.next() else {
            return Ok(None);
        };
        if services.next().is_some() {
            return Err(Box::new(Problem::Ambiguous {
                caller: party.name.clone(),
                import: wanted.clone(),
                candidates: self.candidates(party, wanted),
            }));
        }
        let export = self.export_of(first, wanted);
        Ok(export.map(|export| (first, export)))
    }

    fn all(
        &self,
        wanted: &InterfaceName,
    ) -> impl Iterator<Item = (&'a ServiceName, &'a Interface)> {
        self.exports
            .get(wanted.path())
            .into_iter()
            .flatten()
            .copied()
    }

    fn fitting(
        &self,
        wanted: &InterfaceName,
    ) -> impl Iterator<Item = (&'a ServiceName, &'a Interface)> {
        self.all(wanted)
            .filter(|(_, export)| export.name.fits(wanted))
    }

    fn candidates(&self, party: &Party<'_>, wanted: &InterfaceName) -> Vec<Candidate> {
        let others = self
            .fitting(wanted)
            .filter(|(service, _)| *service != party.name);
        others.map(candidate).collect()
    }

    fn others(&self, party: &Party<'_>, wanted: &InterfaceName) -> Vec<Candidate> {
        let others = self.all(wanted).filter(|(service, export)| {
            *service != party.name && (is_handler(wanted) == export.name.fits(wanted))
        });
        others.map(candidate).collect()
    }

    fn versions_of(&self, service: &ServiceName, wanted: &InterfaceName) -> Vec<InterfaceName> {
        let own = self.all(wanted).filter(|(name, _)| *name == service);
        own.map(|(_, export)| export.name.clone()).collect()
    }

    /// A handle crosses a link if both sides have its resource from the same service.
    fn origins(&self, resolution: &mut Resolution) {
        let mut callees: BTreeMap<(&ServiceName, &str), (&ServiceName, &str)> = BTreeMap::new();
        for link in &resolution.links {
            let from = (&link.caller, link.import.as_str());
            callees.insert(from, (&link.callee, link.export.as_str()));
        }
        let mut apart = Vec::new();
        for link in &resolution.links {
            let side = |service: &ServiceName, side: Side, name: &str| {
                let contract = self.parties.get(service)?.contract;
                match side {
                    Side::Import => contract.import(name),
                    Side::Export => contract.export(name),
                }
            };
            let (Some(import), Some(export)) = (
                side(&link.caller, Side::Import, &link.import),
                side(&link.callee, Side::Export, &link.export),
            ) else {
                continue;
            };
            // Requests and answers are the host's, which hands them on.
            if is_handler(&import.name) {
                continue;
            }
            let theirs = export.foreign_resources();
            for resource in import.foreign_resources() {
                let Some(other) = theirs.iter().find(|other| same(resource, other)) else {
                    continue;
                };
                let ours = self.origin(&callees, &link.caller, resource);
                let theirs = self.origin(&callees, &link.callee, other);
                let together = matches!((&ours, &theirs), (Origin::Service(one), Origin::Service(other)) if one == other);
                let unknown = ours == Origin::Unknown || theirs == Origin::Unknown;
                if !together && !unknown {
                    apart.push(Problem::Apart {
                        link: link.clone(),
                        resource: resource.clone(),
                        caller_has_it_from: ours,
                        callee_has_it_from: theirs,
                    });
                }
            }
        }
        resolution.problems.extend(apart);
        let of = |problem: &Problem| (problem.caller().clone(), problem.import().to_owned());
        resolution.problems.sort_by_cached_key(of);
    }

    /// Follows the links from service to service to the one that defines the resource.
    fn origin(
        &self,
        callees: &BTreeMap<(&ServiceName, &str), (&ServiceName, &str)>,
        service: &ServiceName,
        resource: &Resource,
    ) -> Origin {
        let Some(interface) = &resource.interface else {
            return Origin::Unknown;
        };
        if resource.side == Side::Export {
            return Origin::Service(service.clone());
        }
        match callees.get(&(service, interface.text())) {
            Some((callee, _)) => Origin::Service((*callee).clone()),
            None => {
                let given = |party: &&Party<'_>| party.given.contains(interface.text());
                match self
                    .parties
                    .get(service)
                    .copied()
                    .filter(|party| given(party))
                {
                    Some(_) => Origin::Host,
                    None => Origin::Unknown,
                }
            }
        }
    }
}

fn same(one: &Resource, other: &Resource) -> bool {
    let interfaces = match (&one.interface, &other.interface) {
        (Some(one), Some(other)) => one.fits(other),
        _ => false,
    };
    interfaces && one.name == other.name
}

/// The entry of `links` for an import: the whole name before the name without a version.
fn named<'p>(party: &Party<'p>, import: &InterfaceName) -> Option<(&'p str, &'p ServiceName)> {
    let fits = |key: &str| key == import.path() || InterfaceName::new(key).fits(import);
    let entries = party.links.iter().filter(|(key, _)| fits(key));
    entries
        .max_by_key(|(key, _)| (key.as_str() == import.text(), key.contains('@')))
        .map(|(key, service)| (key.as_str(), &service.value))
}

/// Whether it is an interface that every HTTP service exports.
pub(super) fn is_handler(interface: &InterfaceName) -> bool {
    HANDLERS.contains(&interface.path())
}

fn candidate((service, export): (&ServiceName, &Interface)) -> Candidate {
    Candidate {
        service: service.clone(),
        export: export.name.clone(),
    }
}

#[cfg(test)]
mod tests;
