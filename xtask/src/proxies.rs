//! nginx and haproxy, which the tests put in front of the host: where they are not installed they are
//! unpacked from Debian's packages into a cache of our own. Nothing is installed system-wide.
use std::env;
use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::run::{installed, output, run, say};

/// Programs, and the packages that they need beyond a bare Debian.
const PROGRAMS: [(&str, &[&str]); 2] = [
    ("nginx", &["nginx"]),
    (
        "haproxy",
        &[
            "haproxy",
            "liblua5.3-0",
            "libopentracing-c-wrapper0",
            "libopentracing1",
        ],
    ),
];

/// Fetches what is missing. A machine without Debian's packages tests without them, which the tests
/// say; under CI that is a failure.
pub(crate) fn prepare() -> Result {
    for (program, packages) in PROGRAMS {
        if installed(program) || ["/usr/sbin", "/sbin"].iter().any(|dir| is_in(dir, program)) {
            continue;
        }
        let root = cache()?;
        if root.join("usr/sbin").join(program).is_file() {
            continue;
        }
        say(&format!(
            "fetching Debian's {} (the tests put {program} in front of the host) into {}; nothing \
             is installed system-wide",
            packages.join(", "),
            root.display()
        ));
        match unpack(packages, &root) {
            Ok(()) => {}
            Err(error) if env::var_os("CI").is_some() => return Err(error),
            Err(error) => say(&format!("{program} is NOT tested with: {error}")),
        }
    }
    Ok(())
}

fn is_in(folder: &str, program: &str) -> bool {
    PathBuf::from(folder).join(program).is_file()
}

/// Where the tests look: `host/tests/abuse/proxies/program.rs`.
fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let base = base.ok_or("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("skep/proxies"))
}

fn unpack(packages: &[&str], root: &PathBuf) -> Result {
    if !installed("apt-get") || !installed("dpkg-deb") {
        return Err("this is no Debian: install it yourself".to_string());
    }
    let downloads = root.join("downloads");
    let failed = |error: std::io::Error| format!("{}: {error}", downloads.display());
    fs::create_dir_all(&downloads).map_err(failed)?;
    let mut download = Command::new("apt-get");
    download
        .args(["download", "--quiet"])
        .args(packages)
        .current_dir(&downloads);
    if output(&mut download).is_none() {
        // A fresh machine has no package lists; only root can fetch them.
        let _ = output(Command::new("apt-get").args(["update", "--quiet"]));
        run("downloading packages", &mut download)?;
    }
    for entry in fs::read_dir(&downloads).map_err(failed)? {
        let package = entry.map_err(failed)?.path();
        let mut extract = Command::new("dpkg-deb");
        extract.arg("--extract").arg(package).arg(root);
        run("unpacking a package", &mut extract)?;
    }
    fs::remove_dir_all(&downloads).map_err(failed)
}
