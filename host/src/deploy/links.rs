//! Which service answers what another imports: the contracts of all components, resolved, and what
//! the manifest says of their links.

use std::collections::{BTreeMap, BTreeSet};

pub use skep_core::contract::Link;
use skep_core::contract::order;
use skep_core::contract::{Interface, Party, Problem, Unused};
use skep_core::link::{LinkPolicy, names_function};
use skep_core::manifest::{Manifest, Mistake, Service, Spanned};
use skep_core::name::ServiceName;

use super::check::Findings;
use super::{Application, Part};
use crate::artifact::Need;

/// All links of an application.
#[derive(Clone, Debug, Default)]
pub struct Links(Vec<Link>);

impl Links {
    /// All of them, by caller.
    pub fn iter(&self) -> impl Iterator<Item = &Link> {
        self.0.iter()
    }

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

/// Finds who answers what, and every mistake there is in it.
pub(super) fn resolve(
    manifest: &Manifest,
    parts: &BTreeMap<ServiceName, Part>,
    found: &mut Findings,
) -> Links {
    let parties: Vec<Party<'_>> = parts
        .iter()
        .filter_map(|(name, part)| {
            let needs = part.needs.iter();
            let given = needs.filter(|needed| !matches!(needed.need, Need::Missing { .. }));
            Some(Party {
                name,
                contract: &part.artifact.description().contract,
                links: &manifest.services.get(name)?.links,
                given: given.map(|needed| needed.import.as_str()).collect(),
            })
        })
        .collect();
    let resolution = skep_core::contract::resolve(&parties);
    // What a component that could not be read exports is not known: its callers may be well.
    let unread = parts.len() < manifest.services.len();
    for problem in &resolution.problems {
        if unread && matches!(problem, Problem::Unresolved { .. }) {
            continue;
        }
        let Some(service) = manifest.services.get(problem.caller()) else {
            continue;
        };
        let nearest = parts.get(problem.caller()).and_then(|part| {
            let mut needs = part.needs.iter();
            let needed = needs.find(|needed| needed.import == problem.import());
            needed.map(|needed| &needed.need)
        });
        found.mistake(mistake(service, problem, nearest));
    }
    for Unused { caller, interface } in &resolution.unused {
        if let Some(service) = manifest.services.get(caller) {
            found.warning(unused(service, interface));
        }
    }
    let links = Links(resolution.links);
    if !unread {
        let problems = resolution.problems.iter();
        let unlinked = problems.map(Problem::caller).collect();
        check_policies(manifest, parts, &links, &unlinked, found);
    }
    links
}

fn mistake(service: &Service, problem: &Problem, need: Option<&Need>) -> Mistake {
    let span = match (problem, problem.entry()) {
        (_, Some(key)) => service.span_of(&format!("links.{key}")),
        (Problem::Ambiguous { .. }, None) if service.says("links") => service.span_of("links"),
        _ => service.component.span.clone(),
    };
    let help = match (problem, need) {
        (Problem::Unresolved { others, .. }, Some(Need::Missing { nearest }))
            if others.is_empty() && !nearest.is_empty() =>
        {
            format!("the nearest there is: {}", nearest.join(", "))
        }
        _ => problem.help(),
    };
    Mistake::new(problem.code(), span, problem.to_string())
        .label(problem.label())
        .help(help)
}

fn unused(service: &Service, interface: &str) -> Mistake {
    let name = &service.name.value;
    Mistake::new(
        "link-unused",
        service.span_of(&format!("links.{interface}")),
        format!("`{name}` links `{interface}`, which its component does not import"),
    )
    .label("decides nothing")
    .help("remove it; `skep inspect` shows what the component imports")
}

/// `[link.CALLER.CALLEE]` must be about a link that there is, and name functions that it has.
fn check_policies(
    manifest: &Manifest,
    parts: &BTreeMap<ServiceName, Part>,
    links: &Links,
    unlinked: &BTreeSet<&ServiceName>,
    found: &mut Findings,
) {
    for ((caller, callee), policy) in &manifest.links {
        let imports: Vec<&Interface> = links
            .of(caller)
            .filter(|link| link.callee == *callee)
            .filter_map(|link| {
                let description = parts.get(caller)?.artifact.description();
                description.contract.import(&link.import)
            })
            .collect();
        if imports.is_empty() {
            // It may be the very link that is wrong.
            if unlinked.contains(caller) {
                continue;
            }
            found.warning(
                Mistake::new(
                    "link-unused",
                    policy.span.clone(),
                    format!("`{caller}` does not call `{callee}`: it imports nothing from it"),
                )
                .label("decides nothing")
                .help("remove it; `skep graph` shows all links"),
            );
        } else {
            check_functions(caller, callee, policy, &imports, found);
        }
    }
}

/// Functions that a remedy lists.
const FUNCTIONS_SHOWN: usize = 8;

fn check_functions(
    caller: &ServiceName,
    callee: &ServiceName,
    policy: &Spanned<LinkPolicy>,
    imports: &[&Interface],
    found: &mut Findings,
) {
    let functions = || imports.iter().flat_map(|import| &import.functions);
    for written in &policy.idempotent {
        if functions().any(|function| names_function(&written.value, &function.name)) {
            continue;
        }
        let known: Vec<&str> = functions()
            .take(FUNCTIONS_SHOWN)
            .map(|function| plain(&function.name))
            .collect();
        found.mistake(
            Mistake::new(
                "unknown-function",
                written.span.clone(),
                format!(
                    "`{caller}` imports no function `{}` from `{callee}`",
                    written.value
                ),
            )
            .label("no such function")
            .help(format!("it imports: {}", known.join(", "))),
        );
    }
}

/// As people write it in `idempotent`.
fn plain(function: &str) -> &str {
    function.split_once(']').map_or(function, |(_, name)| name)
}

/// For each service, in the order of the names, the places of those that it starts after: what the
/// manifest says, and those it calls as far as that has no cycle.
pub(crate) fn starts_after(application: &Application) -> Vec<Vec<usize>> {
    let manifest = &application.manifest;
    let names: Vec<&ServiceName> = manifest.services.keys().collect();
    let place = |name: &ServiceName| names.binary_search(&name).ok();
    let mut own: Vec<Vec<usize>> = manifest
        .services
        .values()
        .map(|service| {
            service
                .after
                .iter()
                .filter_map(|name| place(&name.value))
                .collect()
        })
        .collect();
    let groups = manifest.groups.values();
    let in_groups = groups
        .flat_map(|group| group.services.windows(2))
        .filter_map(|pair| {
            let [before, after] = pair else { return None };
            Some((place(&after.value)?, place(&before.value)?))
        });
    let written = own
        .iter()
        .enumerate()
        .flat_map(|(later, all)| all.iter().map(move |earlier| (later, *earlier)));
    let written: Vec<(usize, usize)> = written.chain(in_groups).collect();
    let calls = application.links.iter();
    let calls: Vec<(usize, usize)> = calls
        .filter_map(|link| Some((place(&link.caller)?, place(&link.callee)?)))
        .collect();

    // Services are numbered as they stand in the file, for what decides within a cycle.
    let mut in_file: Vec<usize> = (0..names.len()).collect();
    in_file.sort_by_key(|at| manifest.services.get(names[*at]).map(|s| s.name.span.start));
    let mut number = vec![0; names.len()];
    for (n, at) in in_file.iter().enumerate() {
        number[*at] = n;
    }
    let numbered = |pairs: &[(usize, usize)]| -> Vec<(usize, usize)> {
        pairs
            .iter()
            .map(|(one, other)| (number[*one], number[*other]))
            .collect()
    };
    let chosen = order::starts_after(names.len(), &numbered(&written), &numbered(&calls));
    for (at, own) in own.iter_mut().enumerate() {
        own.extend(chosen[number[at]].iter().map(|n| in_file[*n]));
    }
    own
}

#[cfg(test)]
mod tests {
    use super::super::Source;
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

    #[test]
    fn a_callee_starts_first_and_in_a_circle_who_is_written_first() {
        let text = "name = \"x\"\n[service]\nz.component = \"z\"\n\
                    a = { component = \"a\", after = [\"m\"] }\nm.component = \"m\"\n";
        let application = Application {
            manifest: Manifest::parse(text).expect("a good manifest"),
            source: Source::default(),
            parts: BTreeMap::new(),
            links: Links(vec![link("a", "z"), link("m", "z"), link("z", "a")]),
            warnings: Vec::new(),
            texts: BTreeMap::new(),
        };
        // In the order of the names: `a` after `m`, as is written, and after `z`; `m` after `z`.
        assert_eq!(starts_after(&application), [vec![1, 2], vec![2], vec![]]);
    }
}
