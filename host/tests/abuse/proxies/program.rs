//! nginx and haproxy in front of a host: found, configured, started, their logs read.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::fixture::eventually;

/// Which proxy, and how strict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Nginx,
    /// Lets through header fields that it thinks invalid, and bodies while they come.
    LaxNginx,
    Haproxy,
    /// `accept-invalid-http-request`.
    LaxHaproxy,
}

impl Kind {
    fn program(self) -> &'static str {
        match self {
            Kind::Nginx | Kind::LaxNginx => "nginx",
            Kind::Haproxy | Kind::LaxHaproxy => "haproxy",
        }
    }
}

/// A running proxy, ended when dropped.
pub(super) struct Proxy {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
}

/// What a proxy says of one kind of request that it sent to the host.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub(super) count: usize,
    /// Of these, answered 400 to 499 by the host.
    pub(super) refused: usize,
}

impl Proxy {
    /// Starts a proxy of this kind before the host. `None`: it is not on this machine, which is said;
    /// where all must be there (CI), it is a failure.
    pub(super) async fn start(kind: Kind, host: SocketAddr) -> Option<Proxy> {
        let Some((program, libraries)) = find(kind.program()) else {
            let text = format!(
                "{} is not on this machine. `cargo xtask proxies` fetches it from Debian; \
                 `apt-get install {0}` installs it",
                kind.program()
            );
            assert!(std::env::var_os("CI").is_none(), "{text}");
            println!("NOT TESTED: {text}");
            return None;
        };
        let directory = tempfile::tempdir().unwrap();
        let address = free_address();
        let configuration = directory.path().join("proxy.conf");
        let text = match kind {
            Kind::Nginx | Kind::LaxNginx => nginx(kind, address, host, directory.path()),
            Kind::Haproxy | Kind::LaxHaproxy => haproxy(kind, address, host),
        };
        std::fs::write(&configuration, text).unwrap();
        let mut command = Command::new(program);
        if let Some(libraries) = libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        match kind {
            Kind::Nginx | Kind::LaxNginx => {
                command.arg("-p").arg(directory.path());
                command.arg("-c").arg(&configuration);
                command.args(["-e", "stderr"]);
            }
            Kind::Haproxy | Kind::LaxHaproxy => {
                command.args(["-db", "-f"]).arg(&configuration);
            }
        }
        let log = std::fs::File::create(directory.path().join("forwarded.log")).unwrap();
        let errors = std::fs::File::create(directory.path().join("errors.log")).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(log)
            .stderr(errors)
            .spawn()
            .unwrap();
        let mut proxy = Proxy {
            child,
            address,
            directory,
        };
        eventually("the proxy to listen", async || {
            if let Some(status) = proxy.child.try_wait().unwrap() {
                let errors = proxy.directory.path().join("errors.log");
                let said = std::fs::read_to_string(errors).unwrap();
                panic!("{kind:?} ended with {status}: {said}");
            }
            tokio::net::TcpStream::connect(address).await.ok()
        })
        .await;
        Some(proxy)
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it has sent to the host so far, by method and path.
    pub(super) fn forwarded(&self) -> BTreeMap<String, Sent> {
        let file = self.directory.path().join("forwarded.log");
        let text = String::from_utf8_lossy(&std::fs::read(file).unwrap()).into_owned();
        let mut all: BTreeMap<String, Sent> = BTreeMap::new();
        for line in text.lines() {
            // upstream, its status, method, target
            let parts: Vec<_> = line.split('|').collect();
            let [upstream, status, method, target] = parts[..] else {
                continue;
            };
            if upstream == "-" || upstream == "<NOSRV>" {
                continue;
            }
            let path = target.split(['?', '#']).next().unwrap_or(target);
            let path = path.strip_prefix("http://victim").unwrap_or(path);
            let sent = all.entry(format!("{method} {path}")).or_default();
            sent.count += 1;
            sent.refused += usize::from(status.starts_with('4'));
        }
        all
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let errors = self.directory.path().join("errors.log");
            println!(
                "--- proxy\n{}",
                std::fs::read_to_string(errors).unwrap_or_default()
            );
        }
    }
}

/// On the PATH, or where `cargo xtask proxies` puts it.
fn find(program: &str) -> Option<(PathBuf, Option<PathBuf>)> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    // Servers are in sbin, which a user's PATH may lack.
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    let installed = std::env::split_paths(&path)
        .chain(sbin)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file());
    if let Some(installed) = installed {
        return Some((installed, None));
    }
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home: OsString| Path::new(&home).join(".cache"));
    let root = cache.or_else(home)?.join("skep/proxies");
    let unpacked = root.join("usr/sbin").join(program);
    let libraries = std::fs::read_dir(root.join("usr/lib")).ok()?;
    let libraries = libraries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| path.to_string_lossy().contains("-linux-"));
    unpacked.is_file().then_some((unpacked, libraries))
}

/// An address that was free a moment ago.
fn free_address() -> SocketAddr {
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    socket.local_addr().unwrap()
}

fn nginx(kind: Kind, address: SocketAddr, host: SocketAddr, directory: &Path) -> String {
    let log = directory.join("forwarded.log");
    let log = log.display();
    let lax = match kind {
        Kind::LaxNginx => {
            "ignore_invalid_headers off; underscores_in_headers on; proxy_request_buffering off;"
        }
        _ => "",
    };
    format!(
        "daemon off; master_process off; worker_processes 1; pid nginx.pid;
error_log stderr warn;
events {{ worker_connections 512; }}
http {{
    log_format forwarded '$upstream_addr|$upstream_status|$request_method|$request_uri';
    access_log {log} forwarded;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_header_timeout 1s; client_body_timeout 1s; keepalive_timeout 1s;
    upstream host {{ server {host}; keepalive 4; }}
    server {{
        listen {address};
        merge_slashes off;
        {lax}
        location / {{
            proxy_pass http://host;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host victim;
            proxy_next_upstream off;
        }}
    }}
}}
"
    )
}

/// With one thread: of two that have a line for the log at the same time, haproxy drops one.
fn haproxy(kind: Kind, address: SocketAddr, host: SocketAddr) -> String {
    let lax = match kind {
        Kind::LaxHaproxy => "option accept-invalid-http-request",
        _ => "",
    };
    format!(
        "global
    maxconn 512
    nbthread 1
    log stdout format raw local0
defaults
    mode http
    log global
    log-format \"%s|%ST|%HM|%HU\"
    timeout connect 5s
    timeout client 1s
    timeout server 10s
    timeout http-request 1s
    timeout http-keep-alive 1s
    retries 0
    option http-keep-alive
    http-reuse always
frontend front
    bind {address}
    {lax}
    default_backend back
backend back
    server host {host}
"
    )
}
