//! Why an import is not linked, in words that say what to do about it.
use std::fmt::{self, Display};

use super::resolve::is_handler;
use super::{Difference, InterfaceName, Link, Obstacle, Resource};
use crate::name::ServiceName;

/// A service that might have been meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    pub service: ServiceName,
    /// As its component writes it.
    pub export: InterfaceName,
}

/// Why an import is not linked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Problem {
    /// Nobody exports what fits.
    Unresolved {
        caller: ServiceName,
        import: InterfaceName,
        /// Exports of the same interface in other versions; of a handler, all there are.
        others: Vec<Candidate>,
        /// The caller exports it itself, and is not linked to itself unless that is written.
        own: bool,
    },
    /// Several services export what fits, and the manifest names none.
    Ambiguous {
        caller: ServiceName,
        import: InterfaceName,
        /// At least two.
        candidates: Vec<Candidate>,
    },
    /// The service that the manifest names does not export it.
    NotExported {
        caller: ServiceName,
        import: InterfaceName,
        /// The key in the manifest's `links`.
        interface: String,
        callee: ServiceName,
        /// What it exports of that interface in other versions.
        has: Vec<InterfaceName>,
        /// Others that export what fits.
        candidates: Vec<Candidate>,
    },
    /// The manifest links what the host satisfies.
    Given {
        caller: ServiceName,
        import: InterfaceName,
        /// The key in the manifest's `links`.
        interface: String,
    },
    /// It is exported, but is not what the importer expects.
    Mismatch {
        link: Link,
        /// At least one.
        differences: Vec<Difference>,
    },
    /// A function has a value that no call between services can carry.
    Uncrossable {
        link: Link,
        function: String,
        obstacle: Obstacle,
    },
    /// A function has handles of a resource that the two services have from different places, so
    /// that no handle of the one means anything to the other.
    Apart {
        link: Link,
        /// As the caller names it.
        resource: Resource,
        caller_has_it_from: Origin,
        callee_has_it_from: Origin,
    },
}

/// Where a service has a resource from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// From the host: its handles stay in one service.
    Host,
    Service(ServiceName),
    /// Its import is not resolved, which is a problem of its own.
    Unknown,
}

/// Candidates that a message names.
const NAMED: usize = 5;
/// Differences that a remedy lists after the first.
const LISTED: usize = 4;

impl Problem {
    /// The service whose import it is.
    pub fn caller(&self) -> &ServiceName {
        match self {
            Problem::Unresolved { caller, .. }
            | Problem::Ambiguous { caller, .. }
            | Problem::NotExported { caller, .. }
            | Problem::Given { caller, .. } => caller,
            Problem::Mismatch { link, .. }
            | Problem::Uncrossable { link, .. }
            | Problem::Apart { link, .. } => &link.caller,
        }
    }

    /// The import, as the caller writes it.
    pub fn import(&self) -> &str {
        match self {
            Problem::Unresolved { import, .. }
            | Problem::Ambiguous { import, .. }
            | Problem::NotExported { import, .. }
            | Problem::Given { import, .. } => import.text(),
            Problem::Mismatch { link, .. }
            | Problem::Uncrossable { link, .. }
            | Problem::Apart { link, .. } => &link.import,
        }
    }

    /// The key of the caller's `links` that it is about, if it is about one.
    pub fn entry(&self) -> Option<&str> {
        match self {
            Problem::NotExported { interface, .. } | Problem::Given { interface, .. } => {
                Some(interface)
            }
            _ => None,
        }
    }

    /// A stable name of the kind of problem, for machines and for the documentation.
    pub fn code(&self) -> &'static str {
        match self {
            Problem::Unresolved { .. } => "import-missing",
            Problem::Ambiguous { .. } => "link-ambiguous",
            Problem::NotExported { .. } => "link-not-exported",
            Problem::Given { .. } => "link-to-host",
            Problem::Mismatch { .. } => "link-mismatch",
            Problem::Uncrossable { .. } => "link-uncrossable",
            Problem::Apart { .. } => "link-resources",
        }
    }

    /// A few words for the place in the manifest.
    pub fn label(&self) -> String {
        match self {
            Problem::Unresolved { .. } => "nobody provides what it imports".to_owned(),
            Problem::Ambiguous { .. } => "`links` has to say which".to_owned(),
            Problem::NotExported { callee, .. } => format!("`{callee}` does not export it"),
            Problem::Given { .. } => "the host has it".to_owned(),
            Problem::Mismatch { link, .. } => format!("does not fit `{}`", link.callee),
            Problem::Uncrossable { .. } => "its values cannot cross".to_owned(),
            Problem::Apart { .. } => "its handles cannot cross".to_owned(),
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Problem::Unresolved { import, others, .. } if is_handler(import) => {
                match others.first() {
                    Some(other) => entry(import, &other.service),
                    None => {
                        "add a service that handles requests, and name it in `links`".to_owned()
                    }
                }
            }
            Problem::Unresolved {
                caller,
                import,
                own: true,
                ..
            } => format!("if it is meant to call itself, {}", entry(import, caller)),
            Problem::Unresolved {
                caller,
                import,
                others,
                ..
            } => match others.first() {
                Some(other) => format!(
                    "build `{caller}` for {}, or `{}` for {import}",
                    other.export, other.service
                ),
                None => format!("add a service whose component exports `{import}`"),
            },
            Problem::Ambiguous {
                import, candidates, ..
            } => match candidates.first() {
                Some(first) => entry(import, &first.service),
                None => String::new(),
            },
            Problem::NotExported {
                candidates, callee, ..
            } => match candidates.first() {
                Some(other) => format!("`{}` exports it: name that", other.service),
                None => format!("remove the entry, or let `{callee}` export it"),
            },
            Problem::Given { .. } => "remove the entry".to_owned(),
            Problem::Mismatch { link, differences } => {
                let more = differences.iter().skip(1).take(LISTED);
                let mut text: String = more.map(|difference| format!("{difference}; ")).collect();
                let left = differences.len().saturating_sub(1 + LISTED);
                if left > 0 {
                    text += &format!("and {left} more; ");
                }
                format!(
                    "{text}build `{}` and `{}` from one WIT package",
                    link.caller, link.callee
                )
            }
            Problem::Uncrossable { obstacle, .. } => obstacle.help().to_owned(),
            Problem::Apart {
                caller_has_it_from: Origin::Host,
                callee_has_it_from: Origin::Host,
                ..
            } => "pass bytes or another value instead".to_owned(),
            Problem::Apart { resource, .. } => format!(
                "let both get {} from one service, with `links`",
                from(resource)
            ),
        }
    }
}

impl Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Unresolved {
                caller,
                import,
                others,
                own,
            } => {
                write!(f, "`{caller}` imports `{import}`, ")?;
                match others.as_slice() {
                    [] if *own => f.write_str("which no other service exports"),
                    [] if is_handler(import) => {
                        f.write_str("and no other service handles such requests")
                    }
                    [] => f.write_str("which neither Skep nor a service of the application has"),
                    others if is_handler(import) => {
                        let services = listed(others.iter().map(|other| &other.service), "or");
                        write!(f, "which has to name a service in `links`: {services}")
                    }
                    others => {
                        let has = |other: &Candidate| {
                            format!("`{}` exports {}", other.service, other.export)
                        };
                        let all: Vec<String> = others.iter().take(NAMED).map(has).collect();
                        let wanted = import.wanted();
                        write!(f, "but {}; `{caller}` wants {wanted}", all.join(", "))
                    }
                }
            }
            Problem::Ambiguous {
                caller,
                import,
                candidates,
            } => {
                let services = listed(candidates.iter().map(|c| &c.service), "and");
                write!(
                    f,
                    "`{caller}` imports `{import}`, which several services export: {services}"
                )
            }
            Problem::NotExported {
                caller,
                import,
                callee,
                has,
                ..
            } => {
                write!(f, "`{caller}` links `{import}` to `{callee}`, which ")?;
                match has.as_slice() {
                    [] => f.write_str("does not export it"),
                    has => {
                        let has: Vec<&str> =
                            has.iter().take(NAMED).map(InterfaceName::text).collect();
                        let wanted = import.wanted();
                        write!(f, "exports {}; `{caller}` wants {wanted}", has.join(", "))
                    }
                }
            }
            Problem::Given { caller, import, .. } => {
                write!(
                    f,
                    "`{caller}` links `{import}`, which the host provides to every service"
                )
            }
            Problem::Mismatch { link, differences } => {
                let Link {
                    caller,
                    import,
                    callee,
                    ..
                } = link;
                write!(
                    f,
                    "`{caller}` imports `{import}`, and what `{callee}` exports does not fit"
                )?;
                match differences.first() {
                    Some(first) => write!(f, ": {first}"),
                    None => Ok(()),
                }
            }
            Problem::Uncrossable {
                link,
                function,
                obstacle,
            } => write!(
                f,
                "`{}` imports `{}` from `{}`, whose function `{function}` has {obstacle}, which \
                 cannot cross from one service to another",
                link.caller, link.import, link.callee
            ),
            Problem::Apart {
                link,
                resource,
                caller_has_it_from,
                callee_has_it_from,
            } => {
                let Link {
                    caller,
                    import,
                    callee,
                    ..
                } = link;
                let resource = from(resource);
                write!(
                    f,
                    "`{caller}` imports `{import}` from `{callee}`, with handles of {resource}, "
                )?;
                match (caller_has_it_from, callee_has_it_from) {
                    (Origin::Host, Origin::Host) => {
                        f.write_str("which belong to the host and stay in one service")
                    }
                    (ours, theirs) => {
                        write!(
                            f,
                            "which `{caller}` has from {ours} and `{callee}` from {theirs}"
                        )
                    }
                }
            }
        }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Origin::Host => f.write_str("the host"),
            Origin::Service(name) => write!(f, "`{name}`"),
            Origin::Unknown => f.write_str("nobody"),
        }
    }
}

fn from(resource: &Resource) -> String {
    match &resource.interface {
        Some(interface) => format!("`{}` of `{interface}`", resource.name),
        None => format!("`{}`", resource.name),
    }
}

fn entry(import: &InterfaceName, service: &ServiceName) -> String {
    format!("write links = {{ \"{}\" = \"{service}\" }}", import.path())
}

/// `a, b or c`, each once.
fn listed<'n>(names: impl Iterator<Item = &'n ServiceName>, last: &str) -> String {
    let mut names: Vec<String> = names.map(|name| format!("`{name}`")).collect();
    names.dedup();
    let more = names.len().saturating_sub(NAMED);
    names.truncate(NAMED);
    if more > 0 {
        names.push(format!("{more} more"));
    }
    match names.pop() {
        Some(end) if !names.is_empty() => format!("{} {last} {end}", names.join(", ")),
        Some(only) => only,
        None => String::new(),
    }
}
