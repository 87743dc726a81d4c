//! An example that runs from a directory of its own, so that a test may change what it likes: its
//! manifest is a copy, everything else stands beside it as in the repository.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::fixture::{Host, Output, skep};

/// Where cargo leaves components.
const BUILT: &str = "target/wasm32-wasip2/release";

/// See the module.
pub(crate) struct Application {
    directory: TempDir,
    manifest: String,
}

impl Application {
    /// The example of that name, as it is.
    pub(crate) fn of(example: &str) -> Application {
        let source = folder(example);
        let directory = tempfile::tempdir().unwrap();
        // The state of an example that somebody runs where it is stays there.
        link(&source, directory.path(), |name| {
            !["skep.toml", ".skep", "target"].contains(&name)
        });
        let built = source.join(BUILT);
        assert!(built.is_dir(), "run `cargo xtask guests` first");
        std::fs::create_dir_all(directory.path().join(BUILT)).unwrap();
        link(&built, &directory.path().join(BUILT), |name| {
            name.ends_with(".wasm")
        });
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

    /// The same with another component for a service.
    pub(crate) fn component(self, name: &str, bytes: &[u8]) -> Application {
        let path = self.directory.path().join(BUILT).join(name);
        let path = path.with_extension("wasm");
        std::fs::remove_file(&path).unwrap();
        std::fs::write(path, bytes).unwrap();
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

/// Makes links in a directory to what is in another and has such a name.
fn link(from: &Path, to: &Path, such: impl Fn(&str) -> bool) {
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name();
        if such(name.to_str().unwrap()) {
            symlink(entry.path(), to.join(name)).unwrap();
        }
    }
}

/// Where an example stands in the repository.
pub(crate) fn folder(example: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../examples")
        .join(example)
}
