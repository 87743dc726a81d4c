//! Finds or makes a Rust toolchain that can build for `wasm32-wasip2`, in this order:
//!
//! 1. the active toolchain, if it has the target (seen by its files, without asking rustup);
//! 2. on Debian with the package `rust-web-src`: a toolchain assembled from Debian's packages
//!    and linked into rustup as `skep-guests`, without installing anything system-wide;
//! 3. elsewhere, with rustup: `rustup target add wasm32-wasip2`, after saying so.
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use skep_pins::{GUEST_TOOLCHAIN, sysroot_has_target};

use super::TARGET;
use crate::Result;
use crate::run::{cache, installed, lock, output, root, run, say, target_dir};

/// The name under which rustup knows the assembled toolchain.
const NAME: &str = GUEST_TOOLCHAIN;

/// Raised whenever the way of assembling changes, so that older ones are made anew.
const RECIPE: u32 = 2;

#[derive(Debug)]
pub(crate) enum Toolchain {
    /// The toolchain that runs xtask has the target.
    Active,
    /// The one linked as [`NAME`].
    Linked,
}

impl Toolchain {
    /// A cargo that builds guests. The parent's settings are for the host and stay behind.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new("cargo");
        if let Toolchain::Linked = self {
            cargo.arg(format!("+{NAME}")).env_remove("RUSTUP_TOOLCHAIN");
        }
        for variable in [
            "CARGO",
            "RUSTC",
            "RUSTFLAGS",
            "CARGO_ENCODED_RUSTFLAGS",
            "RUSTC_WRAPPER",
        ] {
            cargo.env_remove(variable);
        }
        cargo
    }
}

/// Takes milliseconds when everything is in place.
pub(crate) fn prepare() -> Result<Toolchain> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))
        .map(PathBuf::from)
        .ok_or("cannot run rustc; install Rust with rustup first")?;
    if sysroot_has_target(&sysroot) {
        return Ok(Toolchain::Active);
    }
    let folder = cache("SKEP_TOOLCHAINS", "toolchains")?;
    fs::create_dir_all(&folder)
        .map_err(|error| format!("creating {}: {error}", folder.display()))?;
    let _lock = lock(&folder.join("lock"))?;
    let assembled = folder.join(NAME);
    if is_ready(&assembled, &sysroot) {
        link(&assembled)?;
        return Ok(Toolchain::Linked);
    }
    if !installed("rustup") {
        return Err(format!(
            "this Rust has no target {TARGET} and there is no rustup to add it; \
             install Rust with rustup, or your distribution's package for that target"
        ));
    }
    if debian_has_the_source()? {
        assemble(&assembled, &sysroot)?;
        return Ok(Toolchain::Linked);
    }
    add_target()?;
    if sysroot_has_target(&sysroot) {
        Ok(Toolchain::Active)
    } else {
        Err(format!(
            "rustup added {TARGET}, but {} does not have it",
            sysroot.display()
        ))
    }
}

fn assemble(to: &Path, sysroot: &Path) -> Result {
    say(&format!(
        "the guest target {TARGET} is not installed; assembling it from Debian's packages \
         (150 MB to download, 2 minutes, 512 MB in {}, once)",
        to.display()
    ));
    let script = root().join("xtask/src/guests/assemble-toolchain.sh");
    let mut command = Command::new("bash");
    command.arg(script).arg(to).arg(NAME).arg(stamp(sysroot));
    // Cargo's settings for xtask itself must not reach the cargo that builds std.
    for variable in [
        "CARGO",
        "CARGO_TARGET_DIR",
        "RUSTFLAGS",
        "CARGO_ENCODED_RUSTFLAGS",
    ] {
        command.env_remove(variable);
    }
    run("assembling the guest toolchain", &mut command)?;
    // Cargo does not notice that std was built anew: what was linked with the old one must go.
    let stale = target_dir().join("guest-build");
    if stale.exists() {
        fs::remove_dir_all(&stale)
            .map_err(|error| format!("removing {}: {error}", stale.display()))?;
    }
    Ok(())
}

/// The last resort, and the usual way on a developer's machine.
fn add_target() -> Result {
    if env::var("RUSTUP_AUTO_INSTALL").is_ok_and(|value| value == "0") {
        return Err(format!(
            "the guest target {TARGET} is not installed, and RUSTUP_AUTO_INSTALL=0 forbids to \
             install it; run: rustup target add {TARGET}"
        ));
    }
    say(&format!(
        "the guest target {TARGET} is not installed; adding it to the active toolchain"
    ));
    run(
        "rustup target add",
        Command::new("rustup").args(["target", "add", TARGET]),
    )
}

/// The oldest rustc, as 1.MINOR, that compiles what the guests depend on.
const OLDEST_MINOR: u32 = 88;

/// Whether apt offers the source of a std that will do. Reads apt's lists anew only where there are
/// none, or where they are so old that they name an older one.
fn debian_has_the_source() -> Result<bool> {
    let release = fs::read_to_string("/etc/os-release").unwrap_or_default();
    if !release.lines().any(|line| line == "ID=debian") || !installed("apt-cache") {
        return Ok(false);
    }
    let why = match candidate() {
        Some(version) if is_recent(&version) => return Ok(true),
        Some(version) => format!("since apt knows of rustc {version} alone, which is too old"),
        None if no_lists() => "since apt knows no packages yet".to_owned(),
        None => return Ok(false),
    };
    let mut update = Command::new("apt-get");
    run(
        &format!("apt-get update, {why}"),
        update.args(["update", "-q"]),
    )?;
    Ok(candidate().is_some_and(|version| is_recent(&version)))
}

/// Whether a version of Debian's, such as `1.96.0+dfsg1-1`, is one that will do.
fn is_recent(version: &str) -> bool {
    let mut numbers = version.split('.').map_while(|part| part.parse().ok());
    (numbers.next(), numbers.next()) >= (Some(1), Some(OLDEST_MINOR))
}

fn candidate() -> Option<String> {
    let policy = output(Command::new("apt-cache").args(["policy", "rust-web-src"]))?;
    let line = policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate: "))?;
    (line != "(none)").then(|| line.to_string())
}

fn no_lists() -> bool {
    fs::read_dir("/var/lib/apt/lists").map_or(true, |files| {
        !files
            .flatten()
            .any(|file| file.path().to_string_lossy().contains("Packages"))
    })
}

/// An assembled toolchain borrows cargo and the linkers of the toolchain it was made with.
fn stamp(sysroot: &Path) -> String {
    format!("recipe {RECIPE} beside {}", sysroot.display())
}

fn is_ready(assembled: &Path, sysroot: &Path) -> bool {
    fs::read_to_string(assembled.join(".ok")).is_ok_and(|stamped| stamped == stamp(sysroot))
}

/// Tells rustup of a toolchain that a former run assembled, unless it knows.
fn link(assembled: &Path) -> Result {
    let rustup = env::var_os("RUSTUP_HOME").map_or_else(|| home().join(".rustup"), PathBuf::from);
    let known = rustup.join("toolchains").join(NAME);
    if fs::read_link(known).is_ok_and(|target| target == assembled) {
        return Ok(());
    }
    let mut command = Command::new("rustup");
    run(
        "linking the guest toolchain",
        command.args(["toolchain", "link", NAME]).arg(assembled),
    )
}

fn home() -> PathBuf {
    env::home_dir().unwrap_or_else(|| PathBuf::from("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_finished_or_foreign_toolchain_is_not_used() {
        let folder = env::temp_dir().join(format!("xtask-toolchain-{}", std::process::id()));
        let sysroot = Path::new("/some/toolchain");
        fs::create_dir_all(&folder).unwrap();
        assert!(!is_ready(&folder, sysroot));
        fs::write(folder.join(".ok"), stamp(Path::new("/another/toolchain"))).unwrap();
        assert!(!is_ready(&folder, sysroot));
        fs::write(folder.join(".ok"), stamp(sysroot)).unwrap();
        assert!(is_ready(&folder, sysroot));

        assert!(!sysroot_has_target(&folder));
        let libraries = folder.join("lib/rustlib").join(TARGET).join("lib");
        fs::create_dir_all(&libraries).unwrap();
        assert!(!sysroot_has_target(&folder));
        fs::write(libraries.join("libstd-0123456789abcdef.rlib"), "").unwrap();
        assert!(sysroot_has_target(&folder));
        fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn a_machine_with_old_package_lists_has_them_read_anew() {
        assert!(!is_recent("1.85.0+dfsg3-1~deb12u3"));
        assert!(!is_recent("0.99.0"));
        assert!(!is_recent("unknown"));
        assert!(is_recent("1.96.0+dfsg1-1~deb12u2"));
        assert!(is_recent("2.0.0"));
    }
}
