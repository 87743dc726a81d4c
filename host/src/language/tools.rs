//! The tools of each language: which there are, whether this machine has them, and how they are had.
//! Nothing is installed.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::Language;

const FILE: &str = include_str!("../../../languages/tools.toml");

/// A tool that says nothing of its version for so long is as good as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// The target of the Rust compiler that components are built for.
const RUST_TARGET: &str = "wasm32-wasip2";

/// languages/tools.toml. What it has beyond this is for those who build Skep.
#[derive(Debug, Deserialize)]
struct File {
    tool: BTreeMap<String, Pin>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Pin {
    version: String,
    #[serde(default)]
    at_least: bool,
    does: String,
    languages: Vec<String>,
    install: String,
    see: String,
    detect: Vec<String>,
    #[serde(default)]
    npm: Option<String>,
}

/// What is known of a tool on this machine.
#[derive(Debug, Serialize)]
pub struct Tool {
    pub name: String,
    /// What it is for.
    pub does: String,
    /// Such as `0.25.1`, or `20 or newer`.
    pub wanted: String,
    /// The version that is there. Of one that each project installs for itself, none.
    pub found: Option<String>,
    /// What is to be done; none if nothing is.
    pub remedy: Option<String>,
}

/// Whether services can be built in a language.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    #[serde(serialize_with = "as_str")]
    pub language: Language,
    pub ready: bool,
    pub tools: Vec<Tool>,
}

fn as_str<S: serde::Serializer>(language: &Language, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(language.as_str())
}

/// Runs the tools to hear their versions.
pub fn diagnose(language: Language) -> Diagnosis {
    let mut tools = match language {
        Language::Rust => vec![cargo(), rust_target()],
        _ => Vec::new(),
    };
    let pins = pins();
    let needed = pins
        .iter()
        .filter(|(_, pin)| pin.languages.iter().any(|it| it == language.as_str()));
    tools.extend(needed.map(|(name, pin)| pin.tool(name)));
    // What others are installed with comes first.
    tools.sort_by_key(|tool| pins.get(&tool.name).is_some_and(|pin| pin.npm.is_some()));
    Diagnosis {
        language,
        ready: tools.iter().all(|tool| tool.remedy.is_none()),
        tools,
    }
}

/// What is to be said if a build failed because a tool is missing: of those that occur in the command or in
/// what it printed, how the ones are had that are not there.
pub fn missing_in(text: &str) -> Vec<String> {
    let occurs = |name: &str| {
        let mut words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-' || c == '_'));
        words.any(|word| word == name)
    };
    let mut remedies: Vec<String> = pins()
        .iter()
        .filter(|(name, pin)| occurs(name) && !pin.detect.first().is_some_and(|it| on_path(it)))
        .map(|(name, pin)| format!("`{name}` {} and is not there: {}", pin.does, pin.remedy()))
        .collect();
    if text.contains(RUST_TARGET) && text.contains("can't find crate for") {
        remedies.extend(rust_target().remedy);
    }
    remedies
}

/// The version that is pinned of a tool.
pub(super) fn version_of(tool: &str) -> Option<String> {
    pins().get(tool).map(|pin| pin.version.clone())
}

fn pins() -> BTreeMap<String, Pin> {
    // It is in the binary and a test reads it; without it nothing is known.
    toml::from_str::<File>(FILE).map_or_else(|_| BTreeMap::new(), |file| file.tool)
}

impl Pin {
    fn tool(&self, name: &str) -> Tool {
        let said = match self.detect.split_first() {
            Some((program, arguments)) => output(Command::new(program).args(arguments)),
            None => None,
        };
        let found = said.as_deref().and_then(version_in);
        let suits = found.as_deref().is_some_and(|found| self.suits(found));
        // `npm install` brings it to each project.
        let needed = self.npm.is_none();
        Tool {
            name: name.to_owned(),
            does: self.does.clone(),
            wanted: match self.at_least {
                true => format!("{} or newer", self.version),
                false => self.version.clone(),
            },
            remedy: (needed && !suits).then(|| self.remedy()),
            found,
        }
    }

    fn remedy(&self) -> String {
        let install = self.install.replace("{version}", &self.version);
        format!("{install} ({})", self.see)
    }

    fn suits(&self, found: &str) -> bool {
        let numbers = |text: &str| -> Vec<u32> { text.split('.').flat_map(str::parse).collect() };
        found == self.version || self.at_least && numbers(found) >= numbers(&self.version)
    }
}

fn cargo() -> Tool {
    let found = output(Command::new("cargo").arg("--version"));
    let found = found.as_deref().and_then(version_in);
    Tool {
        name: "cargo".to_owned(),
        does: "builds Rust".to_owned(),
        wanted: "1.85 or newer".to_owned(),
        remedy: (found.is_none()).then(|| "install Rust (https://rustup.rs)".to_owned()),
        found,
    }
}

fn rust_target() -> Tool {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]));
    let folder = |sysroot: String| {
        Path::new(sysroot.trim())
            .join("lib/rustlib")
            .join(RUST_TARGET)
    };
    let there = sysroot.map(folder).is_some_and(|folder| folder.is_dir());
    Tool {
        name: RUST_TARGET.to_owned(),
        does: "is the target that components are built for".to_owned(),
        wanted: "that of the compiler".to_owned(),
        found: there.then(|| "installed".to_owned()),
        remedy: (!there).then(|| format!("rustup target add {RUST_TARGET}")),
    }
}

fn on_path(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder: PathBuf| folder.join(program).is_file())
}

/// What a command prints, or nothing if it fails or takes too long.
fn output(command: &mut Command) -> Option<String> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    if !ends_well(&mut child) {
        return None;
    }
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stdout.take()?, &mut said).ok()?;
    Some(said)
}

/// A version fits into the pipe, so that nobody need read while it is waited for.
fn ends_well(child: &mut Child) -> bool {
    let until = Instant::now() + PATIENCE;
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return status.success(),
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(5)),
            Ok(None) | Err(_) => {
                let _ = child.kill();
                let _ = child.wait();
                return false;
            }
        }
    }
}

/// The first number like 1.2 or 1.2.3.
fn version_in(said: &str) -> Option<String> {
    let words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    let mut versions = words
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.contains('.'));
    versions.next().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_but_rust_has_a_tool_in_the_file() {
        let pins = pins();
        for language in Language::ALL.into_iter().skip(1) {
            let of = |pin: &Pin| pin.languages.iter().any(|it| it == language.as_str());
            assert!(pins.values().any(of), "{language:?}");
        }
    }

    #[test]
    fn a_tool_that_is_missing_is_named_with_how_it_is_had() {
        let pin = Pin {
            detect: vec!["no-such-program-anywhere".to_owned()],
            version: "1.2.3".to_owned(),
            at_least: false,
            does: "does things".to_owned(),
            languages: Vec::new(),
            install: "get it {version}".to_owned(),
            see: "https://example.com".to_owned(),
            npm: None,
        };
        let tool = pin.tool("it");
        assert_eq!(tool.found, None);
        assert_eq!(tool.remedy.unwrap(), "get it 1.2.3 (https://example.com)");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let pin = |version: &str, at_least| Pin {
            detect: Vec::new(),
            version: version.to_owned(),
            at_least,
            does: String::new(),
            languages: Vec::new(),
            install: String::new(),
            see: String::new(),
            npm: None,
        };
        assert!(!pin("3.10", true).suits("3.9.1"));
        assert!(pin("3.10", true).suits("3.11.2"));
        assert!(!pin("1.35.0", false).suits("1.36.0"));
        assert_eq!(version_in("go version go1.27.3 linux").unwrap(), "1.27.3");
    }
}
