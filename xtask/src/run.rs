//! Running other programs: each step is announced on stderr before it starts and, if it fails,
//! named with the command line that can be repeated by hand.
use std::env;
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Result;

/// The workspace's root.
pub(crate) fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_path_buf()
}

/// Where cargo puts what it builds for the host.
pub(crate) fn target_dir() -> PathBuf {
    env::var_os("CARGO_TARGET_DIR").map_or_else(|| root().join("target"), |dir| root().join(dir))
}

/// Where things are kept from one clone to the next: what the variable names, or a folder of this
/// name in the user's cache.
pub(crate) fn cache(variable: &str, name: &str) -> Result<PathBuf> {
    if let Some(folder) = env::var_os(variable) {
        return std::path::absolute(folder).map_err(|error| format!("{variable}: {error}"));
    }
    let home = env::home_dir().ok_or_else(|| format!("HOME is not set; set {variable}"))?;
    Ok(home.join(".cache/skep").join(name))
}

/// Held until it is dropped. Of two xtasks at once the second waits, and then finds the work done.
pub(crate) fn lock(path: &Path) -> Result<File> {
    let failed = |error| format!("locking {}: {error}", path.display());
    let file = File::create(path).map_err(failed)?;
    file.lock().map_err(failed)?;
    Ok(file)
}

/// Cargo in the workspace's root, with the toolchain that runs xtask.
pub(crate) fn cargo() -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root());
    // What cargo told xtask of xtask: there are build scripts that look at these (ring's), and would
    // compile anew, for minutes, whenever xtask calls cargo after somebody else did.
    for (name, _) in env::vars_os() {
        let own =
            |name: &str| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_");
        if name.to_str().is_some_and(own) {
            cargo.env_remove(name);
        }
    }
    cargo
}

pub(crate) fn say(message: &str) {
    eprintln!("xtask: {message}");
}

/// Runs a step to its end, with its output shown.
pub(crate) fn run(what: &str, command: &mut Command) -> Result {
    say(what);
    let status = command.stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("{what} failed ({status})\n  {}", line(command))),
        Err(error) => Err(format!(
            "{what} failed: cannot start {}: {error}",
            line(command)
        )),
    }
}

/// Runs a step to its end; what it printed is shown if it fails.
pub(crate) fn captured(what: &str, command: &mut Command) -> Result {
    let output = command
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{what} failed: cannot start {}: {error}", line(command)))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{what} failed ({})\n  {}\n{}{}",
        output.status,
        line(command),
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    ))
}

/// What a command prints, or nothing if it cannot run or fails.
pub(crate) fn output(command: &mut Command) -> Option<String> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    output.status.success().then(|| text.trim().to_string())
}

/// Becomes `command`: signals and exit code are then its own. Returns only an error.
pub(crate) fn replace_with(command: &mut Command) -> String {
    let error = command.exec();
    format!("cannot start {}: {error}", line(command))
}

/// Whether a program of this name is on the PATH.
pub(crate) fn installed(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

fn line(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words
        .map(|word| word.to_string_lossy().into_owned())
        .collect::<Vec<_>>()
        .join(" ")
}
