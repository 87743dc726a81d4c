//! A folder to work in, with the tools of all languages on the PATH, as `cargo xtask languages` has
//! prepared them.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

use crate::fixture::{Host, Output, skep};

pub(crate) struct Bench {
    directory: TempDir,
}

/// A folder in it, with a manifest.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
}

impl Bench {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory }
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn folder(&self, name: &str) -> Folder {
        Folder {
            path: self.path().join(name),
        }
    }

    fn here(&self) -> Folder {
        self.folder("")
    }

    #[track_caller]
    pub(crate) fn skep(&self, arguments: &[&str]) -> Output {
        self.here().skep(arguments)
    }

    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> Output {
        self.here().fails(arguments, code)
    }

    pub(crate) fn without_tools(&self, arguments: &[&str]) -> Output {
        self.here().without_tools(arguments)
    }

    #[track_caller]
    pub(crate) fn new_service(&self, language: &str, kind: &str, name: &str) {
        let said = self.skep(&["new", "--lang", language, "--kind", kind, name]);
        assert!(said.stdout.contains(&format!("cd {name}")), "{said:?}");
        self.link_packages(name);
    }

    /// What `npm install` would bring: what has been prepared, since tests load nothing from the network.
    pub(crate) fn link_packages(&self, folder: &str) {
        let folder = self.path().join(folder);
        if !folder.join("package.json").exists() {
            return;
        }
        let modules = folder.join("node_modules");
        fs::create_dir(&modules).unwrap();
        fs::create_dir(modules.join(".bin")).unwrap();
        for (program, to) in self.links() {
            symlink(to, modules.join(".bin").join(program)).unwrap();
        }
    }

    /// Programs of npm's packages, and where they have been prepared.
    pub(crate) fn links(&self) -> impl Iterator<Item = (&'static str, PathBuf)> {
        let programs = ["jco", "tsc"].into_iter();
        let prepared = programs.map(|it| (it, tool_folder(it).join("bin").join(it)));
        // One that was on the PATH already was not prepared, and is found there.
        prepared.filter(|(_, program)| program.exists())
    }

    /// Runs a script here, with what is in `.bin` before all else, and returns what it has printed.
    #[track_caller]
    pub(crate) fn shell(&self, script: &str) -> String {
        let mut shell = Command::new("sh");
        let mut environment = tools();
        let bin = self.path().join(".bin");
        let path = environment["PATH"].clone();
        let path = std::iter::once(bin).chain(std::env::split_paths(&path));
        environment.insert("PATH", std::env::join_paths(path).unwrap());
        let cache = Path::new(env!("CARGO_TARGET_TMPDIR")).join("skep-cache");
        shell
            .args(["-ec", script])
            .current_dir(self.path())
            .envs(environment)
            .env("SKEP_CACHE", cache);
        succeeds(&mut shell)
    }
}

impl Folder {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = skep();
        command
            .args(arguments)
            .current_dir(&self.path)
            .envs(tools());
        command
    }

    #[track_caller]
    pub(crate) fn skep(&self, arguments: &[&str]) -> Output {
        ended(&mut self.command(arguments)).expect(0)
    }

    #[track_caller]
    pub(crate) fn fails(&self, arguments: &[&str], code: i32) -> Output {
        ended(&mut self.command(arguments)).expect(code)
    }

    #[track_caller]
    pub(crate) fn fails_without_tools(&self, arguments: &[&str], code: i32) -> Output {
        self.without_tools(arguments).expect(code)
    }

    /// With a shell, and nothing else.
    pub(crate) fn without_tools(&self, arguments: &[&str]) -> Output {
        let bare = tempfile::tempdir().unwrap();
        symlink("/bin/sh", bare.path().join("sh")).unwrap();
        ended(self.command(arguments).env("PATH", bare.path()))
    }

    /// As long as it takes: a first build in Rust compiles the crates that it needs.
    #[track_caller]
    pub(crate) fn build(&self) {
        let mut command = self.command(&["build"]);
        succeeds(&mut command);
    }

    /// Runs the tests that came with it.
    #[track_caller]
    pub(crate) fn test(&self) {
        let readme = fs::read_to_string(self.path.join("README.md")).unwrap();
        let line = readme
            .lines()
            .find(|line| line.contains("# tests what"))
            .unwrap();
        self.shell(line);
    }

    #[track_caller]
    fn shell(&self, line: &str) {
        let mut shell = Command::new("sh");
        shell
            .args(["-ec", line])
            .current_dir(&self.path)
            .envs(tools());
        succeeds(&mut shell);
    }
}

/// What it has printed.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

impl Folder {
    /// Compiles what was built, for as long as that takes, and runs it.
    pub(crate) async fn run(&self) -> Host {
        let mut check = self.command(&["check"]);
        succeeds(&mut check);
        let command = self.command(&["run", "--listen", "127.0.0.1:0"]);
        Host::spawn(command, tempfile::tempdir().unwrap()).await
    }
}

/// As long as it takes: compilers that have never run on a machine build their own libraries first.
fn ended(command: &mut Command) -> Output {
    let output = command.output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Output {
        code: output.status.code(),
        stdout: text(output.stdout),
        stderr: text(output.stderr),
    }
}

/// The environment of who has the tools.
fn tools() -> BTreeMap<&'static str, OsString> {
    let bins = ["jco", "tsc", "componentize-py", "zig", "go"].map(|it| tool_folder(it).join("bin"));
    let path = std::env::var_os("PATH").unwrap();
    let path = std::env::join_paths(bins.into_iter().chain(std::env::split_paths(&path))).unwrap();
    // The crates that new services need are compiled once for all tests.
    let shared = Path::new(env!("CARGO_TARGET_TMPDIR")).join("new-services");
    let mut environment = BTreeMap::from([
        ("PATH", path),
        ("CARGO_BUILD_BUILD_DIR", shared.into_os_string()),
    ]);
    if let Some((variable, toolchain)) = skep_pins::guest_toolchain() {
        environment.insert(variable, toolchain.into());
    }
    environment
}

/// Where `cargo xtask languages` has put a tool, of the version that is pinned.
fn tool_folder(tool: &str) -> PathBuf {
    let version = &skep_pins::pins().get(tool).unwrap().version;
    let home = std::env::var_os("SKEP_TOOLS").map_or_else(
        || std::env::home_dir().unwrap().join(".cache/skep/tools"),
        PathBuf::from,
    );
    home.join(format!("{tool}-{version}"))
}
