//! Reads languages/tools.toml, the one place where versions of tools stand.
use std::collections::BTreeMap;
use std::process::Command;

use serde::Deserialize;

use crate::Result;
use crate::run::output;

const FILE: &str = include_str!("../../../languages/tools.toml");

/// Tools by name. Those without a package are taken as they are found.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Pins {
    tool: BTreeMap<String, Pin>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct Pin {
    pub(crate) version: String,
    /// Whether a newer one does as well.
    #[serde(default)]
    pub(crate) at_least: bool,
    pub(crate) does: String,
    languages: Vec<String>,
    install: String,
    pub(crate) see: String,
    detect: Vec<String>,
    #[serde(default)]
    pub(crate) npm: Option<String>,
    #[serde(default)]
    pub(crate) pypi: Option<String>,
    #[serde(default)]
    pub(crate) program: Option<String>,
    #[serde(default)]
    pub(crate) module: Option<String>,
    #[serde(default)]
    pub(crate) overrides: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) size: u32,
}

impl Pins {
    pub(crate) fn read() -> Result<Pins> {
        toml::from_str(FILE).map_err(|error| format!("languages/tools.toml: {error}"))
    }

    /// What these languages need, and first what has to be there already: packages are installed
    /// with it.
    pub(crate) fn needed(&self, languages: &[&str]) -> Result<Vec<(&str, &Pin)>> {
        let all = || self.tool.iter().map(|(name, pin)| (name.as_str(), pin));
        for language in languages {
            if !all().any(|(_, pin)| pin.is_for(language)) {
                return Err(format!(
                    "no tools are known for {language:?}: there are js, ts, python, c and go"
                ));
            }
        }
        let mut needed: Vec<(&str, &Pin)> = all()
            .filter(|(_, pin)| languages.iter().any(|language| pin.is_for(language)))
            .collect();
        needed.sort_by_key(|(_, pin)| pin.is_packaged());
        Ok(needed)
    }
}

impl Pin {
    fn is_for(&self, language: &str) -> bool {
        self.languages.iter().any(|it| it == language)
    }

    pub(crate) fn is_packaged(&self) -> bool {
        self.npm.is_some() || self.pypi.is_some()
    }

    pub(crate) fn install(&self) -> String {
        self.install.replace("{version}", &self.version)
    }

    /// Whether the tool that is found on the PATH, if any, does.
    pub(crate) fn is_there(&self) -> bool {
        let Some((program, arguments)) = self.detect.split_first() else {
            return false;
        };
        output(Command::new(program).args(arguments))
            .and_then(|said| version_in(&said).map(|found| self.suits(&found)))
            .unwrap_or(false)
    }

    fn suits(&self, found: &str) -> bool {
        let numbers = |text: &str| -> Vec<u32> { text.split('.').flat_map(str::parse).collect() };
        found == self.version || self.at_least && numbers(found) >= numbers(&self.version)
    }
}

/// The first number like 1.2 or 1.2.3 in what a tool says of itself.
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
    fn every_pin_says_where_it_comes_from_and_what_to_put_on_the_path() {
        let pins = Pins::read().unwrap();
        for (name, pin) in &pins.tool {
            assert!(pin.install().contains(&pin.version) || !pin.install.contains("{version}"));
            assert!(pin.see.starts_with("https://"), "{name}");
            assert!(
                !pin.is_packaged() || pin.program.is_some() || pin.module.is_some(),
                "{name}"
            );
            let known = ["rust", "js", "ts", "python", "c", "go"];
            assert!(
                pin.languages.iter().all(|it| known.contains(&it.as_str())),
                "{name}"
            );
        }
    }

    #[test]
    fn what_must_be_there_comes_before_what_is_installed_with_it() {
        let pins = Pins::read().unwrap();
        let names: Vec<&str> = pins
            .needed(&["ts", "python"])
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["node", "python3", "componentize-py", "jco", "tsc"]);
        assert!(pins.needed(&["cobol"]).is_err());
    }

    #[test]
    fn a_version_is_found_in_what_tools_say() {
        for (said, version) in [
            ("v20.20.2", "20.20.2"),
            ("go version go1.27.3 linux/amd64", "1.27.3"),
            ("componentize-py 0.25.1", "0.25.1"),
            ("Python 3.11.7", "3.11.7"),
        ] {
            assert_eq!(version_in(said).as_deref(), Some(version));
        }
        assert_eq!(version_in("no numbers"), None);
    }

    #[test]
    fn a_newer_tool_does_where_the_pin_says_so() {
        let pins = Pins::read().unwrap();
        let (node, zig) = (&pins.tool["node"], &pins.tool["zig"]);
        assert!(node.suits("24.1.0") && node.suits("20.0.0") && !node.suits("18.20.1"));
        assert!(zig.suits(&zig.version) && !zig.suits("1.99.0"));
    }
}
