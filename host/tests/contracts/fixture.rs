//! Applications of components that are nothing but a contract: made from WIT, with no code behind.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;
use wit_parser::Resolve;

use crate::dummy::component_of;

/// A directory with components and a manifest.
pub(crate) struct Application {
    directory: TempDir,
}

/// What a command said.
pub(crate) struct Output {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Application {
    pub(crate) fn new() -> Application {
        Application {
            directory: tempfile::tempdir().unwrap(),
        }
    }

    /// Adds `NAME.wasm`: a component of the world `it` in this WIT.
    pub(crate) fn component(self, name: &str, wit: &str) -> Application {
        let bytes = component(wit);
        let path = self.directory.path().join(name).with_extension("wasm");
        std::fs::write(path, bytes).unwrap();
        self
    }

    pub(crate) fn manifest(&self, services: &str) -> PathBuf {
        let path = self.directory.path().join("skep.toml");
        std::fs::write(&path, format!("name = \"shop\"\n{services}")).unwrap();
        path
    }

    /// Runs `skep` with these arguments on an application with these services.
    pub(crate) fn run(&self, services: &str, arguments: &[&str]) -> Output {
        self.manifest(services);
        let mut command = Command::new(env!("CARGO_BIN_EXE_skep"));
        command.args(arguments).current_dir(self.directory.path());
        let output = command.env("NO_COLOR", "1").output().unwrap();
        Output {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// What `skep check` finds, one line each: `LINE:COLUMN severity code «text» message (help)`.
    pub(crate) fn check(&self, services: &str) -> String {
        let output = self.run(services, &["check", "--no-compile", "--json"]);
        let rows: Vec<serde_json::Value> =
            serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{}", output.stderr));
        let wrong = rows.iter().any(|row| row["severity"] == "error");
        assert_eq!(output.code, Some(if wrong { 3 } else { 0 }));
        let mut lines = String::new();
        for row in rows {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            lines += &format!(
                "{}:{} {} {} «{}» {} ({})\n",
                row["line"],
                row["column"],
                text("severity"),
                text("code"),
                text("text"),
                text("message"),
                text("help")
            );
        }
        lines
    }
}

/// The bytes of a component of the world `it`, which may use the interfaces of WASI 0.2.
pub(crate) fn component(wit: &str) -> Vec<u8> {
    let mut resolve = Resolve::default();
    let wasi = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/wasi-0.2");
    if wit.contains("wasi:") {
        resolve.push_dir(&wasi).unwrap();
    }
    let package = resolve.push_str("test.wit", wit).unwrap();
    let world = resolve.select_world(&[package], Some("it")).unwrap();
    component_of(&resolve, world)
}
