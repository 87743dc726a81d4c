//! `skep dev` from outside: what is changed in a file is built, serves, and nothing else is touched.
//!
//! Most builds here copy a prepared component, the guests called `versioned` in `components/`; those of
//! `compiler` compile one.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail and then shows the log, and its tasks end with its runtime"
)]

#[path = "../host/fixture/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the fixture serves other tests too"
)]
mod fixture;

mod beginnings;
mod builds;
mod compiler;
mod ends;
mod manifests;
mod refusals;
#[path = "../deploy/versioned.rs"]
mod versioned;

use std::path::{Path, PathBuf};

use fixture::{Connection, Host, Plan, Service, eventually_or, get, service, skep};
use versioned::versioned;

/// What a build command adds a line to: the manifest's directory is not watched.
const BUILDS: &str = "builds";

/// Front, middle and leaf of version 1, whose source is a component and whose build copies it.
fn application() -> Plan {
    application_with(made("leaf"))
}

fn application_with(leaf: Service) -> Plan {
    let plan = Host::with(made("front").everywhere());
    let plan = plan.and(made("middle")).and(leaf);
    let parts = ["front", "middle", "leaf"];
    parts.into_iter().fold(plan, |plan, name| {
        let copy = format!("cp {name}/source {name}.wasm");
        plan.bytes(&format!("{name}/source"), versioned(name, 1, '0'))
            .file(&format!("{name}/make"), &copy)
    })
}

/// A service that is built by the script `make` in its own directory.
fn made(name: &str) -> Service {
    let command = format!("echo {name} >> {BUILDS}; . {name}/make");
    let build = format!("{{ command = {command:?}, watch = [{name:?}] }}");
    let service = service(name).component(&format!("./{name}.wasm"));
    service.set("build", &build)
}

impl Plan {
    /// Starts `skep dev` and waits for its URL.
    async fn develop(&self) -> Host {
        let directory = tempfile::tempdir().unwrap();
        self.write(directory.path());
        develop(directory).await
    }
}

async fn develop(directory: tempfile::TempDir) -> Host {
    let mut command = skep();
    command
        .arg("dev")
        .arg(directory.path().join("skep.toml"))
        .args(["--listen", "127.0.0.1:0"]);
    Host::spawn(command, directory).await
}

impl Host {
    /// Writes a file beside the manifest as editors do: another, which then takes its place.
    fn save(&self, file: &str, content: impl AsRef<[u8]>) {
        save(&self.directory().join(file), content);
    }

    fn save_version(&self, service: &str, version: u32) {
        let source = versioned(service, version, '0');
        self.save(&format!("{service}/source"), source);
    }

    /// Waits until so many lines on standard error have this text.
    async fn said(&self, text: &str, times: usize) -> Vec<String> {
        let what = format!("{text:?}, {times} times");
        let all = || self.stderr().join("\n");
        let found = || {
            let lines = self.stderr();
            lines
                .into_iter()
                .filter(|line| line.contains(text))
                .collect()
        };
        let enough = async || Some(found()).filter(|lines: &Vec<String>| lines.len() >= times);
        eventually_or(&what, all, enough).await
    }

    /// What has been built so far, in that order.
    fn built(&self) -> Vec<String> {
        lines(&self.directory().join(BUILDS))
    }

    fn revision(&self, service: &str) -> u64 {
        self.row(service)["revision"].as_u64().unwrap()
    }
}

fn save(file: &Path, content: impl AsRef<[u8]>) {
    std::fs::create_dir_all(file.parent().unwrap()).unwrap();
    let partial = PathBuf::from(format!("{}~", file.display()));
    std::fs::write(&partial, content).unwrap();
    std::fs::rename(&partial, file).unwrap();
}

fn lines(file: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(file).unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

/// Whose versions a request sees: front's, middle's, and the leaf's twice.
async fn versions(host: &Host) -> String {
    let mut connection = Connection::http1(host).await;
    let reply = connection.ask(get("/versions")).await;
    reply.expect(200).text().trim_end().to_owned()
}
