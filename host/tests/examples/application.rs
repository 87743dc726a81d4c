//! An example that runs from a directory of its own, so that a test may change what it likes: its
//! manifest is a copy, everything else stands beside it as in the repository.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fixture::{Host, Output, skep};

/// See the module.
pub(crate) struct Application {
    directory: TempDir,
    manifest: String,
}

impl Application {
    /// The example of that name, as it is.
    pub(crate) fn of(example: &str) -> Application {
        let source = folder(example);
        let built = source.join("target/wasm32-wasip2/release");
        assert!(built.is_dir(), "run `cargo xtask guests` first");
        let directory = tempfile::tempdir().unwrap();
        for entry in std::fs::read_dir(&source).unwrap() {
            let entry = entry.unwrap();
            // The state of an example that somebody runs where it is stays there.
            if entry.file_name() != "skep.toml" && entry.file_name() != ".skep" {
                symlink(entry.path(), directory.path().join(entry.file_name())).unwrap();
            }
        }
        Application {
            directory,
            manifest: std::fs::read_to_string(source.join("skep.toml")).unwrap(),
        }
    }

    /// The same with another text in its manifest, in place of one that stands there once.
    pub(crate) fn with(mut self, text: &str, instead: &str) -> Application {
        assert_eq!(self.manifest.matches(text).count(), 1, "{text}");
        self.manifest = self.manifest.replace(text, instead);
        self
    }

    /// The same with an empty directory in place of the example's own of that name.
    pub(crate) fn emptied(self, name: &str) -> Application {
        let path = self.directory.path().join(name);
        std::fs::remove_file(&path).unwrap();
        std::fs::create_dir(&path).unwrap();
        self
    }

    /// Runs it.
    pub(crate) async fn start(self) -> Host {
        let manifest = self.write();
        let mut command = skep();
        command.arg("run").arg(manifest);
        command.args(["--listen", "127.0.0.1:0"]);
        Host::spawn(command, self.directory).await
    }

    /// Runs `skep ARGUMENTS` beside its manifest, to its end.
    pub(crate) fn run(&self, arguments: &[&str]) -> Output {
        self.write();
        let mut command = skep();
        command.args(arguments).current_dir(self.directory.path());
        Output::of(command.env("NO_COLOR", "1"))
    }

    fn write(&self) -> PathBuf {
        let path = self.directory.path().join("skep.toml");
        std::fs::write(&path, &self.manifest).unwrap();
        path
    }
}

/// Where an example stands in the repository.
pub(crate) fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(example)
}
