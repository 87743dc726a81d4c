//! Whether this machine has the tools of a language, and how they are had. Nothing is installed.

use std::path::PathBuf;
use std::process::Command;

use serde::Serialize;
use skep_pins::{Pin, RUST_TARGET, has_rust_target, output, pins, version_in};

use super::Language;

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
    let tools = match language {
        Language::Rust => vec![cargo(), rust_target()],
        _ => {
            let needed = pins().needed(&[language.as_str()]).unwrap_or_default();
            let needed = needed.into_iter();
            needed.map(|(name, pin)| of_pin(name, pin)).collect()
        }
    };
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
        .filter(|(name, pin)| occurs(name) && !pin.program().is_some_and(on_path))
        .map(|(name, pin)| format!("`{name}` {} and is not there: {}", pin.does, remedy(pin)))
        .collect();
    if text.contains(RUST_TARGET) && text.contains("can't find crate for") {
        remedies.extend(rust_target().remedy);
    }
    remedies
}

fn of_pin(name: &str, pin: &Pin) -> Tool {
    let found = pin.found();
    let suits = found.as_deref().is_some_and(|found| pin.suits(found));
    // `npm install` brings it to each project.
    let needed = pin.npm.is_none();
    Tool {
        name: name.to_owned(),
        does: pin.does.clone(),
        wanted: match pin.at_least {
            true => format!("{} or newer", pin.version),
            false => pin.version.clone(),
        },
        remedy: (needed && !suits).then(|| remedy(pin)),
        found,
    }
}

fn remedy(pin: &Pin) -> String {
    format!("{} ({})", pin.install(), pin.see)
}

fn cargo() -> Tool {
    let said = output(Command::new("cargo").arg("--version"));
    let found = said.as_deref().and_then(version_in);
    Tool {
        name: "cargo".to_owned(),
        does: "builds Rust".to_owned(),
        wanted: "1.85 or newer".to_owned(),
        remedy: (found.is_none()).then(|| "install Rust (https://rustup.rs)".to_owned()),
        found,
    }
}

fn rust_target() -> Tool {
    let there = has_rust_target(None);
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
