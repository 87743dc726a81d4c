//! What a component would need granted, import by import. Pure: the one table of interfaces.
//!
//! `skep inspect` prints it, `skep check` compares it with the manifest's grants, and `capability`
//! links what it says is given.

use serde::Serialize;

use super::description::{ItemKind, release_line, split_version};
use super::{Description, Item};

/// One import and what it takes to have it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct GrantNeeded {
    /// As the component writes it: `wasi:http/outgoing-handler@0.2.3`.
    pub import: String,
    /// What it takes.
    #[serde(flatten)]
    pub need: Need,
    /// A remark for people: why, or what to expect. May be empty.
    pub note: String,
}

/// What it takes to satisfy an import.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "need", rename_all = "kebab-case")]
pub enum Need {
    /// Every service has it.
    Given,
    /// Every service may import it, and finds it empty unless the manifest grants something.
    Optional {
        /// The key of the service's `grants` table.
        grant: &'static str,
        /// What to write in the manifest, as an example.
        example: &'static str,
    },
    /// The service is refused unless the manifest grants it.
    Required {
        /// The key of the service's `grants` table.
        grant: &'static str,
        /// What to write in the manifest, as an example.
        example: &'static str,
    },
    /// May be imported, and fails at every use. Language runtimes import it without using it.
    Denied,
    /// Skep has nothing that fits: the component cannot run.
    Missing {
        /// What there is that comes nearest.
        nearest: Vec<String>,
    },
}

impl GrantNeeded {
    /// Whether another service may have what Skep has not: an interface that is not of WASI, or a
    /// handler of requests, which is exported by every service that answers them.
    pub fn may_be_linked(&self) -> bool {
        let (path, _) = split_version(&self.import);
        let handler = ["wasi:http/handler", "wasi:http/incoming-handler"].contains(&path);
        matches!(self.need, Need::Missing { .. })
            && path.contains('/')
            && (handler || !path.starts_with("wasi:"))
    }
}

/// Says of each import, in the component's order, what it takes.
pub fn required_grants(description: &Description) -> Vec<GrantNeeded> {
    description.imports.iter().map(needed).collect()
}

/// Which releases of an interface there are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Releases {
    /// `0.2.0` and all that follow it before `0.3.0`.
    V02,
    /// `0.3.0` and all that follow it before `0.4.0`.
    V03,
    /// This one alone: a pre-release fits nothing but itself.
    Exactly(&'static str),
    /// Of a package without a version, which fits nothing else.
    Unversioned,
}

/// What the host implements of the 0.2 and 0.3 lines: a component built against a later one runs
/// unless it uses a function that was added since, which linking tells.
const NEWEST_02: u64 = 12;
const NEWEST_03: u64 = 0;

struct Row {
    interface: &'static str,
    releases: Releases,
    need: Need,
    note: &'static str,
}

const fn row(interface: &'static str, releases: Releases, need: Need, note: &'static str) -> Row {
    Row {
        interface,
        releases,
        need,
        note,
    }
}

const HTTP: Need = Need::Required {
    grant: "http",
    example: r#"grants.http = ["https://api.example.com"]"#,
};
const CONFIG: Need = Need::Required {
    grant: "config",
    example: r#"grants.config = { greeting = "hello" }"#,
};
const DIRECTORIES: Need = Need::Optional {
    grant: "directories",
    example: r#"grants.directories = [{ host = "data", guest = "/data", mode = "read-only" }]"#,
};
const ENVIRONMENT: Need = Need::Optional {
    grant: "environment",
    example: r#"grants.environment = { LOG_LEVEL = "info" }"#,
};

const NO_DIRECTORY: &str = "no directory is there unless granted";
const NO_VARIABLE: &str = "empty unless granted";
const NO_SOCKET: &str = "every use is refused";
const TO_LOG: &str = "its lines go to the log";
const ENDS_INSTANCE: &str = "ends the instance";
const TO_VALUES: &str = "only the values that are granted";
const TO_ORIGINS: &str = "only to the origins that are granted";

use Need::{Denied, Given};
use Releases::{Exactly, Unversioned, V02, V03};

/// Interfaces of types alone (`wasi:cli/types@0.3`) are not in it: nobody has to provide them.
const TABLE: &[Row] = &[
    row("wasi:io/error", V02, Given, ""),
    row("wasi:io/poll", V02, Given, ""),
    row("wasi:io/streams", V02, Given, ""),
    row("wasi:clocks/monotonic-clock", V02, Given, ""),
    row("wasi:clocks/monotonic-clock", V03, Given, ""),
    row("wasi:clocks/wall-clock", V02, Given, ""),
    row("wasi:clocks/system-clock", V03, Given, ""),
    row("wasi:random/random", V02, Given, ""),
    row("wasi:random/random", V03, Given, ""),
    row("wasi:random/insecure", V02, Given, ""),
    row("wasi:random/insecure", V03, Given, ""),
    row("wasi:random/insecure-seed", V02, Given, ""),
    row("wasi:random/insecure-seed", V03, Given, ""),
    row("wasi:cli/environment", V02, ENVIRONMENT, NO_VARIABLE),
    row("wasi:cli/environment", V03, ENVIRONMENT, NO_VARIABLE),
    row("wasi:cli/exit", V02, Given, ENDS_INSTANCE),
    row("wasi:cli/exit", V03, Given, ENDS_INSTANCE),
    row("wasi:cli/stdin", V02, Given, "always empty"),
    row("wasi:cli/stdin", V03, Given, "always empty"),
    row("wasi:cli/stdout", V02, Given, TO_LOG),
    row("wasi:cli/stdout", V03, Given, TO_LOG),
    row("wasi:cli/stderr", V02, Given, TO_LOG),
    row("wasi:cli/stderr", V03, Given, TO_LOG),
    row("wasi:cli/terminal-input", V02, Given, ""),
    row("wasi:cli/terminal-input", V03, Given, ""),
    row("wasi:cli/terminal-output", V02, Given, ""),
    row("wasi:cli/terminal-output", V03, Given, ""),
    row("wasi:cli/terminal-stdin", V02, Given, "never a terminal"),
    row("wasi:cli/terminal-stdin", V03, Given, "never a terminal"),
    row("wasi:cli/terminal-stdout", V02, Given, "never a terminal"),
    row("wasi:cli/terminal-stdout", V03, Given, "never a terminal"),
    row("wasi:cli/terminal-stderr", V02, Given, "never a terminal"),
    row("wasi:cli/terminal-stderr", V03, Given, "never a terminal"),
    row("wasi:filesystem/types", V02, DIRECTORIES, NO_DIRECTORY),
    row("wasi:filesystem/types", V03, DIRECTORIES, NO_DIRECTORY),
    row("wasi:filesystem/preopens", V02, DIRECTORIES, NO_DIRECTORY),
    row("wasi:filesystem/preopens", V03, DIRECTORIES, NO_DIRECTORY),
    row("wasi:sockets/network", V02, Denied, NO_SOCKET),
    row("wasi:sockets/instance-network", V02, Denied, NO_SOCKET),
    row("wasi:sockets/ip-name-lookup", V02, Denied, NO_SOCKET),
    row("wasi:sockets/ip-name-lookup", V03, Denied, NO_SOCKET),
    row("wasi:sockets/tcp", V02, Denied, NO_SOCKET),
    row("wasi:sockets/tcp-create-socket", V02, Denied, NO_SOCKET),
    row("wasi:sockets/udp", V02, Denied, NO_SOCKET),
    row("wasi:sockets/udp-create-socket", V02, Denied, NO_SOCKET),
    row("wasi:sockets/types", V03, Denied, NO_SOCKET),
    row("wasi:http/types", V02, Given, ""),
    row("wasi:http/types", V03, Given, ""),
    row("wasi:http/outgoing-handler", V02, HTTP, TO_ORIGINS),
    row("wasi:http/client", V03, HTTP, TO_ORIGINS),
    row(
        "wasi:config/store",
        Exactly("0.2.0-rc.1"),
        CONFIG,
        TO_VALUES,
    ),
    row(
        "wasi:config/store",
        Exactly("0.2.0-draft"),
        CONFIG,
        TO_VALUES,
    ),
    row(
        "wasi:config/store",
        Exactly("0.2.0-draft-2024-09-27"),
        CONFIG,
        TO_VALUES,
    ),
    row(
        "wasi:config/runtime",
        Exactly("0.2.0-draft"),
        CONFIG,
        TO_VALUES,
    ),
    row(
        "wasi:logging/logging",
        Exactly("0.1.0-draft"),
        Given,
        TO_LOG,
    ),
    row("wasi:logging/logging", Unversioned, Given, TO_LOG),
    #[cfg(feature = "testing")]
    row("skep:testing/harm", Exactly("0.0.1"), Given, "for tests"),
];

fn needed(item: &Item) -> GrantNeeded {
    let (interface, version) = split_version(&item.name);
    let row = TABLE
        .iter()
        .filter(|_| item.kind == ItemKind::Interface)
        .find(|row| row.interface == interface && row.releases.include(version));
    let (need, note) = match row {
        Some(row) => (row.need.clone(), noted(row, version)),
        None if item.is_types_only() => (Given, "types only".to_owned()),
        None => missing(item, interface),
    };
    GrantNeeded {
        import: item.name.clone(),
        need,
        note,
    }
}

impl Releases {
    fn include(self, version: Option<&str>) -> bool {
        match self {
            V02 => release_line(version) == Some((0, 2)),
            V03 => release_line(version) == Some((0, 3)),
            Exactly(exact) => version == Some(exact),
            Unversioned => version.is_none(),
        }
    }

    /// What the host has, as it is written after an interface's name.
    fn newest(self) -> String {
        match self {
            V02 => format!("@0.2.{NEWEST_02}"),
            V03 => format!("@0.3.{NEWEST_03}"),
            Exactly(exact) => format!("@{exact}"),
            Unversioned => String::new(),
        }
    }
}

fn noted(row: &Row, version: Option<&str>) -> String {
    let patch = version
        .and_then(|version| semver::Version::parse(version).ok())
        .map(|version| version.patch);
    let newest = match row.releases {
        V02 => NEWEST_02,
        V03 => NEWEST_03,
        Exactly(_) | Unversioned => return row.note.to_owned(),
    };
    if patch <= Some(newest) {
        return row.note.to_owned();
    }
    let newest = row.releases.newest();
    let newer = format!("newer than Skep's {}", newest.trim_start_matches('@'));
    if row.note.is_empty() {
        newer
    } else {
        format!("{}; {newer}", row.note)
    }
}

/// Letters by which an interface's name may differ and still be meant.
const MEANT: usize = 3;

fn missing(item: &Item, interface: &str) -> (Need, String) {
    // Every import of another service comes here: most names are ruled out by their length alone.
    let near: Vec<(usize, &Row)> = TABLE
        .iter()
        .filter(|row| row.interface.len().abs_diff(interface.len()) <= MEANT)
        .map(|row| (edit_distance(row.interface, interface), row))
        .filter(|(distance, _)| *distance <= MEANT)
        .collect();
    let best = near.iter().map(|(distance, _)| *distance).min();
    let nearest = best.map_or_else(Vec::new, |best| {
        near.iter()
            .filter(|(distance, _)| *distance == best)
            .map(|(_, row)| row)
            .map(|row| format!("{}{}", row.interface, row.releases.newest()))
            .collect()
    });
    let other_version = nearest
        .iter()
        .any(|name| split_version(name).0 == interface);
    let note = match item.kind {
        ItemKind::Interface if other_version => {
            "Skep has other versions of it; a pre-release fits only itself".to_owned()
        }
        ItemKind::Interface if interface.starts_with("wasi:") => {
            "Skep does not provide this interface".to_owned()
        }
        ItemKind::Interface => "another service has to provide this interface".to_owned(),
        ItemKind::Function | ItemKind::Type => {
            "an import of the world itself, which only interfaces can satisfy".to_owned()
        }
        ItemKind::Other => "nothing that Skep can provide".to_owned(),
    };
    (Need::Missing { nearest }, note)
}

/// Characters compared of each name: names are short, and the cost is their product.
const COMPARED: usize = 128;

/// How many characters must be inserted, deleted or replaced to make one name of the other.
pub(super) fn edit_distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().take(COMPARED).collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().take(COMPARED).enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capability::{Linked, Linkers};
    use crate::engine::{Allocation, Kind, config};

    /// A name that the linker has cannot be defined once more.
    fn linked(linked: Linked) -> impl Fn(&Row) -> bool {
        let kind = Kind::Concurrent;
        let engine = wasmtime::Engine::new(&config(kind, Allocation::OnDemand)).unwrap();
        let linker = Linkers::new(kind, &engine).get(linked).unwrap();
        move |row| {
            let name = format!("{}{}", row.interface, row.releases.newest());
            let mut linker = wasmtime::component::Linker::clone(&linker);
            linker.allow_shadowing(false);
            let defined = linker.root().func_wrap(&name, |_, (): ()| Ok(()));
            defined.is_err()
        }
    }

    #[test]
    fn the_table_says_what_is_linked() {
        let bare = linked(Linked::default());
        let full = linked(Linked {
            outgoing_http: true,
            config: true,
        });
        for row in TABLE {
            let granted_only = matches!(row.need, Need::Required { .. });
            assert_eq!(bare(row), !granted_only, "{}", row.interface);
            assert!(full(row), "{}{}", row.interface, row.releases.newest());
        }
        let absent = row("wasi:keyvalue/store", V02, Given, "");
        assert!(!full(&absent));
    }

    #[test]
    fn the_table_names_each_release_once() {
        for (i, row) in TABLE.iter().enumerate() {
            let same =
                |other: &&Row| other.interface == row.interface && other.releases == row.releases;
            assert!(
                !TABLE[i + 1..].iter().any(|other| same(&other)),
                "{}",
                row.interface
            );
        }
    }
}
