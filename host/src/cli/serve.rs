//! `skep serve`: one component, no manifest.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use skep_core::name::ServiceName;

use super::log_options::LogOptions;
use super::serving::Start;
use super::{report, run, serving};
use crate::deploy;

/// Serve one component over HTTP, without a manifest
///
/// Every path leads to it. Prints http://HOST:PORT on the first line of standard error once it
/// accepts connections; then logs to standard output.
#[derive(Args, Debug)]
#[command(after_help = super::EXIT_CODES)]
pub struct Serve {
    /// The component: any that exports wasi:http/incoming-handler@0.2 or wasi:http/handler@0.3
    component: PathBuf,
    /// Where to listen; port 0 lets the system choose
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8080")]
    listen: SocketAddr,
    /// Requests that one instance serves before it is dropped [default: 1, or 1000 for WASI 0.3]
    #[arg(long, value_name = "N")]
    reuse: Option<u32>,
    /// Requests on one instance at the same time, WASI 0.3 only [default: 16]
    #[arg(long, value_name = "N")]
    concurrent: Option<u32>,
    /// Grant outgoing HTTP to an origin, e.g. https://api.example.com
    #[arg(long, value_name = "ORIGIN")]
    http: Vec<String>,
    /// Grant a value of wasi:config/store
    #[arg(long, value_name = "KEY=VALUE", value_parser = pair)]
    config: Vec<(String, String)>,
    /// Grant an environment variable
    #[arg(long, value_name = "NAME=VALUE", value_parser = pair)]
    env: Vec<(String, String)>,
    /// Grant a directory, read-only unless `:rw` follows
    #[arg(long, value_name = "HOST:GUEST[:rw]")]
    dir: Vec<String>,
    /// Log no line per request
    #[arg(long)]
    no_access_log: bool,
    #[command(flatten)]
    log: LogOptions,
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE".to_owned()),
    }
}

/// Runs the command.
pub fn run(arguments: &Serve) -> ExitCode {
    match deploy::single(&arguments.component, manifest(arguments)) {
        Ok(application) => {
            report::plain(&[], &application.warnings);
            serving::logged(&arguments.log, |sink| {
                let start = Start {
                    application,
                    resumption: None,
                    listen: Some(vec![arguments.listen]),
                    predecessor: None,
                };
                run::serve(start, sink)
            })
        }
        Err(error) => report::deploy_error(&error, false).into(),
    }
}

/// The manifest that says what the command line says.
fn manifest(arguments: &Serve) -> String {
    let stem = arguments
        .component
        .file_stem()
        .unwrap_or_default()
        .to_string_lossy();
    let name = service_name(&stem);
    let file = arguments
        .component
        .file_name()
        .unwrap_or_default()
        .to_string_lossy();
    let mut text = format!(
        "name = {name:?}\n[http]\naccess-log = {}\n",
        !arguments.no_access_log
    );
    let _ = writeln!(text, "[service.{name}]\ncomponent = {}", quoted(&file));
    let _ = writeln!(text, "routes = [\"/{{*rest}}\"]");
    let mut instances = Vec::new();
    if let Some(reuse) = arguments.reuse {
        instances.push(format!("reuse = {reuse}"));
    }
    if let Some(concurrent) = arguments.concurrent {
        instances.push(format!("concurrent = {concurrent}"));
    }
    if !instances.is_empty() {
        let _ = writeln!(text, "instances = {{ {} }}", instances.join(", "));
    }
    let mut grants = Vec::new();
    if !arguments.http.is_empty() {
        let origins: Vec<_> = arguments.http.iter().map(|origin| quoted(origin)).collect();
        grants.push(format!("http = [{}]", origins.join(", ")));
    }
    for (table, pairs) in [
        ("config", &arguments.config),
        ("environment", &arguments.env),
    ] {
        if !pairs.is_empty() {
            let entry =
                |(key, value): &(String, String)| format!("{} = {}", quoted(key), quoted(value));
            let entries: Vec<_> = pairs.iter().map(entry).collect();
            grants.push(format!("{table} = {{ {} }}", entries.join(", ")));
        }
    }
    if !arguments.dir.is_empty() {
        let directories: Vec<_> = arguments.dir.iter().map(|dir| directory(dir)).collect();
        grants.push(format!("directories = [{}]", directories.join(", ")));
    }
    if !grants.is_empty() {
        let _ = writeln!(text, "grants = {{ {} }}", grants.join(", "));
    }
    text
}

/// `HOST:GUEST[:rw]` as the manifest writes it. Host paths are relative to where we are, but the
/// manifest's to the component, so they are made absolute.
fn directory(text: &str) -> String {
    let (text, mode) = match text.strip_suffix(":rw") {
        Some(text) => (text, "read-write"),
        None => (text, "read-only"),
    };
    let (host, guest) = text.rsplit_once(':').unwrap_or((text, text));
    let host = std::path::absolute(host).unwrap_or_else(|_| PathBuf::from(host));
    let (host, guest) = (quoted(&host.to_string_lossy()), quoted(guest));
    format!("{{ host = {host}, guest = {guest}, mode = {mode:?} }}")
}

/// A TOML string; a JSON one is one, too.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The nearest legal name to a file's.
fn service_name(stem: &str) -> String {
    let legal: String = stem
        .chars()
        .map(|c| {
            if c.is_ascii_alphanumeric() {
                c.to_ascii_lowercase()
            } else {
                '-'
            }
        })
        .collect();
    let name: String = legal.trim_matches('-').chars().take(63).collect();
    if ServiceName::parse(&name).is_ok() {
        name
    } else {
        "component".to_owned()
    }
}
