//! Reads languages/tools.toml, the one place where versions of tools stand, and looks which of them this
//! machine has. Nothing is installed here.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

use serde::Deserialize;

/// The target of the Rust compiler that components are built for.
pub const RUST_TARGET: &str = "wasm32-wasip2";

/// The toolchain that has the target where the compiler's own cannot be had: `cargo xtask toolchain`.
pub const GUEST_TOOLCHAIN: &str = "skep-guests";

/// A tool that says nothing of its version for so long is as good as none.
const PATIENCE: Duration = Duration::from_secs(10);

/// The file, as it was when this was compiled; a test reads it.
static PINS: LazyLock<Pins> =
    LazyLock::new(|| toml::from_str(include_str!("../../tools.toml")).unwrap_or_default());

/// Tools by name. Those without a package are taken as they are found.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pins {
    tool: BTreeMap<String, Pin>,
}

/// A tool, and which version is wanted. The file says what each of these means.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Pin {
    pub version: String,
    #[serde(default)]
    pub at_least: bool,
    pub does: String,
    languages: Vec<String>,
    install: String,
    pub see: String,
    detect: Vec<String>,
    #[serde(default)]
    pub npm: Option<String>,
    #[serde(default)]
    pub pypi: Option<String>,
    #[serde(default)]
    pub program: Option<String>,
    #[serde(default)]
    pub module: Option<String>,
    #[serde(default)]
    pub overrides: BTreeMap<String, String>,
    #[serde(default)]
    pub size: u32,
}

/// All of them.
pub fn pins() -> &'static Pins {
    &PINS
}

impl Pins {
    /// By its name.
    pub fn get(&self, tool: &str) -> Option<&Pin> {
        self.tool.get(tool)
    }

    /// With their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Pin)> {
        self.tool.iter().map(|(name, pin)| (name.as_str(), pin))
    }

    /// What these languages need, and first what has to be there already: packages are installed
    /// with it.
    ///
    /// # Errors
    /// With the language of which nothing is known.
    pub fn needed<'a>(&self, languages: &[&'a str]) -> Result<Vec<(&str, &Pin)>, &'a str> {
        let unknown = |language: &&&str| !self.iter().any(|(_, pin)| pin.is_for(language));
        if let Some(unknown) = languages.iter().find(unknown) {
            return Err(unknown);
        }
        let is_for_one = |pin: &Pin| languages.iter().any(|language| pin.is_for(language));
        let mut needed: Vec<(&str, &Pin)> =
            self.iter().filter(|(_, pin)| is_for_one(pin)).collect();
        needed.sort_by_key(|(_, pin)| pin.is_packaged());
        Ok(needed)
    }
}

impl Pin {
    fn is_for(&self, language: &str) -> bool {
        self.languages.iter().any(|it| it == language)
    }

    /// Whether it is a package of npm's or PyPI's.
    pub fn is_packaged(&self) -> bool {
        self.npm.is_some() || self.pypi.is_some()
    }

    /// What a user types to have it.
    pub fn install(&self) -> String {
        self.install.replace("{version}", &self.version)
    }

    /// The program that is asked for its version.
    pub fn program(&self) -> Option<&str> {
        self.detect.first().map(String::as_str)
    }

    /// The version of the one on the PATH, which is run to hear it.
    pub fn found(&self) -> Option<String> {
        let (program, arguments) = self.detect.split_first()?;
        version_in(&output(Command::new(program).args(arguments))?)
    }

    /// Whether that version does.
    pub fn suits(&self, found: &str) -> bool {
        let numbers = |text: &str| -> Vec<u32> { text.split('.').flat_map(str::parse).collect() };
        found == self.version || self.at_least && numbers(found) >= numbers(&self.version)
    }
}

/// The first number like 1.2 or 1.2.3 in what a tool says of itself.
pub fn version_in(said: &str) -> Option<String> {
    let words = said.split(|c: char| !c.is_ascii_digit() && c != '.');
    let mut versions = words
        .map(|word| word.trim_matches('.'))
        .filter(|word| word.contains('.'));
    versions.next().map(str::to_owned)
}

/// Whether a toolchain of rustup's, or the compiler on the PATH, can build components.
pub fn has_rust_target(toolchain: Option<&str>) -> bool {
    let mut rustc = Command::new("rustc");
    rustc.args(["--print", "sysroot"]);
    rustc.envs(toolchain.map(|name| ("RUSTUP_TOOLCHAIN", name)));
    output(&mut rustc).is_some_and(|it| sysroot_has_target(Path::new(it.trim())))
}

pub fn sysroot_has_target(sysroot: &Path) -> bool {
    let libraries = sysroot.join("lib/rustlib").join(RUST_TARGET).join("lib");
    fs::read_dir(libraries).is_ok_and(|files| {
        files
            .flatten()
            .any(|file| file.file_name().to_string_lossy().starts_with("libstd-"))
    })
}

/// The variable of the environment that has cargo build components, where it would not by itself and there is
/// a toolchain that does.
pub fn guest_toolchain() -> Option<(&'static str, &'static str)> {
    let needed = !has_rust_target(None) && has_rust_target(Some(GUEST_TOOLCHAIN));
    needed.then_some(("RUSTUP_TOOLCHAIN", GUEST_TOOLCHAIN))
}

/// What a command prints, or nothing if it fails or takes too long.
pub fn output(command: &mut Command) -> Option<String> {
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
    child.stdout.take()?.read_to_string(&mut said).ok()?;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_pin_says_where_it_comes_from_and_what_to_put_on_the_path() {
        let pins: Pins = toml::from_str(include_str!("../../tools.toml")).unwrap();
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
        let pins = pins();
        let names: Vec<&str> = pins
            .needed(&["ts", "python"])
            .unwrap()
            .into_iter()
            .map(|(name, _)| name)
            .collect();
        assert_eq!(names, ["node", "python3", "componentize-py", "jco", "tsc"]);
        assert_eq!(pins.needed(&["c", "cobol"]).unwrap_err(), "cobol");
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
        let pins = pins();
        let (node, zig) = (&pins.tool["node"], &pins.tool["zig"]);
        assert!(node.suits("24.1.0") && node.suits("20.0.0") && !node.suits("18.20.1"));
        assert!(zig.suits(&zig.version) && !zig.suits("1.99.0"));
    }

    #[test]
    fn every_language_but_rust_has_a_tool() {
        for language in ["js", "ts", "python", "c", "go"] {
            assert!(
                !pins().needed(&[language]).unwrap().is_empty(),
                "{language}"
            );
        }
    }

    #[test]
    fn a_tool_that_is_missing_says_how_it_is_had() {
        let pin: Pin = toml::from_str(
            "version = \"1.2.3\"\ndoes = \"does things\"\nlanguages = []\n\
             install = \"get it {version}\"\nsee = \"https://example.com\"\n\
             detect = [\"no-such-program-anywhere\"]\n",
        )
        .unwrap();
        assert_eq!(pin.found(), None);
        assert_eq!(pin.install(), "get it 1.2.3");
    }

    #[test]
    fn versions_are_compared_by_their_numbers() {
        let python = &pins().tool["python3"];
        assert_eq!(python.version, "3.10");
        assert!(!python.suits("3.9.1") && python.suits("3.11.2"));
        assert!(!pins().tool["jco"].suits("1.36.0"));
    }
}
