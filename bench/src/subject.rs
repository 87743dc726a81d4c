//! The servers that are measured, and how each is started.

use std::fs;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

use crate::case::{BLOB, Case, HELLO, Protocol};
use crate::http;
use crate::process::{Cores, Process, stop_if_interrupted};
use crate::tools::{self, Tool, Tools};

/// `wasmtime serve` compiles its component before it listens.
const START_LIMIT: Duration = Duration::from_secs(60);
/// More than any run asks of one instance.
pub(crate) const REUSE: u64 = 1_000_000_000;

pub(crate) const AXUM: &str = "axum";
pub(crate) const NGINX: &str = "nginx";
pub(crate) const WASMTIME: &str = "wasmtime";
pub(crate) const WASMTIME_REUSE: &str = "wasmtime-reuse";
pub(crate) const SKEP_FRESH: &str = "skep";
pub(crate) const SKEP_REUSE: &str = "skep-reuse";

/// A server that can be started.
pub(crate) struct Subject {
    pub(crate) name: &'static str,
    /// For the report: what exactly runs.
    pub(crate) what: &'static str,
    /// The subject that it is held against beside axum.
    pub(crate) rival: Option<&'static str>,
    abilities: Abilities,
    launch: Box<dyn Fn(SocketAddr) -> Result<Launch>>,
}

#[derive(Clone, Copy)]
struct Abilities {
    echo: bool,
    http2: bool,
}

const EVERYTHING: Abilities = Abilities {
    echo: true,
    http2: true,
};

/// How to start a server, and the files that it needs while it runs.
pub(crate) struct Launch {
    pub(crate) command: Command,
    pub(crate) files: Option<TempDir>,
}

impl From<Command> for Launch {
    fn from(command: Command) -> Self {
        Self {
            command,
            files: None,
        }
    }
}

/// A server that answers. Dropping it stops it.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) process: Process,
    _files: Option<TempDir>,
}

/// What the subjects are made of.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) skep: PathBuf,
    pub(crate) component: PathBuf,
}

impl Programs {
    /// A component beside the one that is measured most.
    pub(crate) fn component(&self, file: &str) -> Result<PathBuf> {
        let component = self.component.with_file_name(file);
        ensure!(
            component.is_file(),
            "there is no {}; `cargo xtask guests` makes it",
            component.display()
        );
        Ok(component)
    }

    /// `skep run` on a manifest that somebody else has written.
    pub(crate) fn run(&self, manifest: &Path) -> Result<Launch> {
        let mut command = skep(self)?;
        command.arg("run").arg(manifest);
        Ok(command.into())
    }

    /// `skep run` on a manifest with this text, in a directory of its own.
    pub(crate) fn application(&self, manifest: &str) -> Result<Launch> {
        let files = tempfile::Builder::new().prefix("skep-bench").tempdir()?;
        let path = files.path().join("skep.toml");
        fs::write(&path, manifest).context("writing the manifest")?;
        let mut command = skep(self)?;
        command.arg("run").arg(&path).current_dir(&files);
        Ok(Launch {
            command,
            files: Some(files),
        })
    }
}

impl Subject {
    pub(crate) fn can(&self, case: &Case) -> bool {
        (case.body == 0 || self.abilities.echo)
            && (self.abilities.http2 || !matches!(case.protocol, Protocol::Http2 { .. }))
    }

    /// Starts it and waits until it answers.
    pub(crate) fn start(&self, cores: Cores) -> Result<Server> {
        start(cores, "/", &self.launch).with_context(|| format!("starting {}", self.name))
    }
}

/// Starts what `launch` makes for a free port, and waits until `path` is answered.
pub(crate) fn start(
    cores: Cores,
    path: &str,
    launch: &dyn Fn(SocketAddr) -> Result<Launch>,
) -> Result<Server> {
    let address = free_address()?;
    let Launch { command, files } = launch(address)?;
    let mut process = Process::spawn(command, cores)?;
    wait_until_answered(&mut process, address, path)?;
    Ok(Server {
        address,
        process,
        _files: files,
    })
}

/// Asks again and again until the answer is 200, every 200 µs at most.
pub(crate) fn wait_until_answered(
    process: &mut Process,
    address: SocketAddr,
    path: &str,
) -> Result<()> {
    let end = Instant::now() + START_LIMIT;
    loop {
        if let Ok(http::Answer { status: 200, .. }) = http::ask(address, "GET", path, 0) {
            return Ok(());
        }
        stop_if_interrupted()?;
        if !process.is_running() {
            bail!(
                "it ended before it answered:\n{}",
                process.output().trim_end()
            );
        }
        if Instant::now() > end {
            bail!(
                "no answer to {path} after {START_LIMIT:?}:\n{}",
                process.output().trim_end()
            );
        }
        thread::sleep(Duration::from_micros(200));
    }
}

/// A loopback address that nobody listens on. Somebody else could take it before the server
/// does; then that start fails and says so.
pub(crate) fn free_address() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("looking for a free port")?;
    Ok(listener.local_addr()?)
}

/// All subjects that the tools allow, in the order of the tables.
pub(crate) fn all(tools: &Tools, programs: &Programs) -> Vec<Subject> {
    let mut subjects = natives();
    subjects.extend(tools.nginx.as_ref().map(nginx));
    if let Some(tool) = &tools.wasmtime {
        subjects.extend(wasmtime_subjects(tool, &programs.component));
    }
    subjects.extend(skep_subjects(programs));
    subjects
}

/// A server that is this program itself.
pub(crate) fn native(kind: &str, address: SocketAddr) -> Result<Launch> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(["native", kind, "--listen", &address.to_string()]);
    Ok(command.into())
}

fn natives() -> Vec<Subject> {
    let native = |name, kind: &'static str, what| Subject {
        name,
        what,
        rival: None,
        abilities: EVERYTHING,
        launch: Box::new(move |address| native(kind, address)),
    };
    vec![
        native(
            "hyper",
            "hyper",
            "a native hyper server, tokio's multi-thread runtime",
        ),
        native(AXUM, "axum", "the same with axum's router"),
    ]
}

fn nginx(tool: &Tool) -> Subject {
    let tool = tool.clone();
    Subject {
        name: NGINX,
        what: "nginx, one worker, static files, no access log",
        rival: None,
        abilities: Abilities {
            echo: false,
            http2: false,
        },
        launch: Box::new(move |address| {
            let files = nginx_files(address)?;
            let mut command = tool.command();
            command
                .arg("-p")
                .arg(files.path())
                .args(["-c", "nginx.conf", "-e", "error.log"]);
            Ok(Launch {
                command,
                files: Some(files),
            })
        }),
    }
}

/// One process does all the work anyway; without a master none can be left over.
fn nginx_files(address: SocketAddr) -> Result<TempDir> {
    let files = tempfile::Builder::new()
        .prefix("skep-bench-nginx")
        .tempdir()?;
    fs::create_dir(files.path().join("www"))?;
    fs::write(files.path().join("www/hello.txt"), HELLO)?;
    fs::write(files.path().join("www/blob"), BLOB)?;
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .map(|name| format!("    {name}_temp_path {name};\n"))
        .concat();
    let config = format!(
        "daemon off;
master_process off;
pid nginx.pid;
error_log error.log warn;
events {{ worker_connections 12000; }}
http {{
    access_log off;
    default_type text/plain;
    sendfile on;
    keepalive_requests 1000000000;
    open_file_cache max=16 inactive=1h;
    open_file_cache_valid 1h;
{temporary}    server {{
        listen {address} backlog=4096;
        root www;
        location = / {{ try_files /hello.txt =404; }}
    }}
}}
"
    );
    fs::write(files.path().join("nginx.conf"), config)?;
    Ok(files)
}

fn wasmtime_subjects(tool: &Tool, component: &Path) -> Vec<Subject> {
    let serve = |name, what, flags: Vec<String>| {
        let (tool, component) = (tool.clone(), component.to_owned());
        Subject {
            name,
            what,
            rival: None,
            abilities: Abilities {
                echo: true,
                http2: false,
            },
            launch: Box::new(move |address| {
                Ok(wasmtime(&tool, &component, &flags, address)?.into())
            }),
        }
    };
    let pooling = || "-Opooling-allocator=y".to_owned();
    let reuse = || format!("--max-instance-reuse-count={REUSE}");
    vec![
        serve(
            WASMTIME,
            "`wasmtime serve` with its pooling allocator, its default where there is address \
             space: a fresh instance for each request",
            vec![pooling()],
        ),
        serve(
            WASMTIME_REUSE,
            "the same with `--max-instance-reuse-count`: instances serve on and on",
            vec![pooling(), reuse()],
        ),
    ]
}

/// `wasmtime serve` for one component, with a code cache of the bench's own. `-S cli` links what
/// components with a standard library import; it costs nothing per request.
pub(crate) fn wasmtime(
    tool: &Tool,
    component: &Path,
    flags: &[String],
    address: SocketAddr,
) -> Result<Command> {
    let mut command = tool.command();
    command.env("XDG_CACHE_HOME", tools::cache()?);
    command
        .arg("serve")
        .args(flags)
        .args(["-Scli", "--addr", &address.to_string()])
        .arg(component);
    Ok(command)
}

fn skep_subjects(programs: &Programs) -> Vec<Subject> {
    let serve = |name, what, rival, flags: Vec<String>| {
        let programs = programs.clone();
        Subject {
            name,
            what,
            rival: Some(rival),
            abilities: EVERYTHING,
            launch: Box::new(move |address| {
                let mut command = skep(&programs)?;
                command.arg("serve").arg(&programs.component).args(&flags);
                command.args(["--listen", &address.to_string()]);
                Ok(command.into())
            }),
        }
    };
    vec![
        serve(
            SKEP_FRESH,
            "`skep serve` with its defaults: a fresh instance for each request",
            WASMTIME,
            vec![],
        ),
        serve(
            SKEP_REUSE,
            "`skep serve --reuse`: instances serve on and on",
            WASMTIME_REUSE,
            vec!["--reuse".into(), REUSE.to_string()],
        ),
    ]
}

/// The host, with a compiled cache of the bench's own.
pub(crate) fn skep(programs: &Programs) -> Result<Command> {
    let mut command = Command::new(&programs.skep);
    command.env("SKEP_CACHE", tools::cache()?.join("compiled"));
    Ok(command)
}
