//! Prepares the tools of languages/tools.toml in a cache of their own: `NAME-VERSION/bin/NAME` below
//! `~/.cache/skep/tools`. A new pin is a new folder; nothing is installed system-wide.
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use skep_pins::{Pin, pins};

use super::table::{folder_size, megabytes, seconds};
use crate::Result;
use crate::run::{cache, lock, output, run, say};

/// A tool that can be run.
#[derive(Debug)]
pub(crate) struct Tool {
    pub(crate) name: String,
    pub(crate) version: String,
    /// The folder that was made for it; none if it was on the PATH already.
    pub(crate) folder: Option<PathBuf>,
}

/// Milliseconds when everything is in place. Languages are named as in languages/tools.toml.
pub(crate) fn prepare(languages: &[&str]) -> Result<Vec<Tool>> {
    let home = cache("SKEP_TOOLS", "tools")?;
    let mut tools = Vec::new();
    let needed = pins().needed(languages).map_err(|language| {
        format!("no tools are known for {language:?}: there are js, ts, python, c and go")
    })?;
    for (name, pin) in needed {
        let tool = home.join(format!("{name}-{}", pin.version));
        let mut ready = tool.join("bin").join(name).exists();
        if !ready && !pin.found().is_some_and(|found| pin.suits(&found)) {
            if !pin.is_packaged() {
                return Err(format!(
                    "`{name}` {} {}, and is missing or too old: {} ({})",
                    pin.version,
                    pin.does,
                    pin.install(),
                    pin.see
                ));
            }
            install(name, pin, &tool)?;
            ready = true;
        }
        tools.push(Tool {
            name: name.to_owned(),
            version: pin.version.clone(),
            folder: ready.then_some(tool),
        });
    }
    Ok(tools)
}

/// The PATH with these before what is there.
pub(super) fn path_with(tools: &[Tool]) -> Result<std::ffi::OsString> {
    let folders = tools.iter().filter_map(|tool| tool.folder.as_ref());
    let mut folders: Vec<PathBuf> = folders.map(|folder| folder.join("bin")).collect();
    folders.extend(std::env::split_paths(
        &std::env::var_os("PATH").unwrap_or_default(),
    ));
    std::env::join_paths(folders).map_err(|error| format!("PATH: {error}"))
}

/// Into a folder beside, which then gets its name: who looks sees a whole tool or none.
fn install(name: &str, pin: &Pin, to: &Path) -> Result {
    let home = to.parent().unwrap_or(to);
    fs::create_dir_all(home).map_err(|error| format!("creating {}: {error}", home.display()))?;
    let _lock = lock(&home.join(format!("{name}.lock")))?;
    if to.exists() {
        return Ok(());
    }
    let partial = home.join(format!("{name}-{}.partial", pin.version));
    // What a run left that was stopped; nobody else is here.
    let _ = fs::remove_dir_all(&partial);
    say(&format!(
        "`{name}` {} {}: installing it into {} ({} MB)",
        pin.version,
        pin.does,
        to.display(),
        pin.size
    ));
    let begun = Instant::now();
    let installed = fill(name, pin, &partial).and_then(|()| {
        fs::rename(&partial, to).map_err(|error| format!("renaming {}: {error}", partial.display()))
    });
    if let Err(error) = installed {
        let _ = fs::remove_dir_all(&partial);
        return Err(format!(
            "{error}\n  `{name}` could not be installed; do it by hand: {} ({})",
            pin.install(),
            pin.see
        ));
    }
    say(&format!(
        "`{name}` {} is there: {} in {}",
        pin.version,
        megabytes(folder_size(to)),
        seconds(begun.elapsed())
    ));
    Ok(())
}

fn fill(name: &str, pin: &Pin, folder: &Path) -> Result {
    fs::create_dir_all(folder)
        .map_err(|error| format!("creating {}: {error}", folder.display()))?;
    if let Some(package) = &pin.npm {
        npm(name, package, pin, folder)?;
    } else if let Some(package) = &pin.pypi {
        pip(package, &pin.version, folder)?;
    }
    // pip's own scripts are in a folder of this name: they know one interpreter, and no packages.
    let bin = folder.join("bin");
    let _ = fs::remove_dir_all(&bin);
    fs::create_dir(&bin).map_err(|error| format!("creating {}: {error}", bin.display()))?;
    let program = bin.join(name);
    if let Some(path) = &pin.program {
        executable(&folder.join(path))?;
        symlink(Path::new("..").join(path), &program)
            .map_err(|error| format!("linking {}: {error}", program.display()))?;
    }
    if let Some(module) = &pin.module {
        let script = format!(
            "#!/bin/sh\nhere=$(dirname \"$(readlink -f \"$0\")\")\n\
             PYTHONPATH=\"$here/..\" PYTHONDONTWRITEBYTECODE=1 \\\n\
             exec python3 -c 'import sys; from {module} import script; sys.argv[0] = \"{name}\"; sys.exit(script())' \"$@\"\n"
        );
        fs::write(&program, script)
            .map_err(|error| format!("writing {}: {error}", program.display()))?;
        executable(&program)?;
    }
    Ok(())
}

fn npm(name: &str, package: &str, pin: &Pin, folder: &Path) -> Result {
    let manifest = serde_json::json!({
        "name": format!("skep-{name}"),
        "private": true,
        "dependencies": { package: pin.version },
        "overrides": pin.overrides,
    });
    let file = folder.join("package.json");
    fs::write(&file, format!("{manifest:#}\n"))
        .map_err(|error| format!("writing {}: {error}", file.display()))?;
    let mut npm = Command::new("npm");
    npm.current_dir(folder)
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error"]);
    run(&format!("npm install {package}@{}", pin.version), &mut npm)
}

fn pip(package: &str, version: &str, folder: &Path) -> Result {
    let mut pip = Command::new("python3");
    if output(Command::new("python3").args(["-m", "pip", "--version"])).is_none() {
        // Debian's Python has none, but can make an environment that has.
        let own = folder.join("pip");
        run(
            "making a Python environment for pip",
            Command::new("python3").args(["-m", "venv"]).arg(&own),
        )?;
        pip = Command::new(own.join("bin/python3"));
    }
    pip.args([
        "-m",
        "pip",
        "install",
        "--quiet",
        "--disable-pip-version-check",
        "--no-deps",
        "--no-compile",
    ])
    .arg("--target")
    .arg(folder)
    .arg(format!("{package}=={version}"));
    run(&format!("pip install {package}=={version}"), &mut pip)?;
    let _ = fs::remove_dir_all(folder.join("pip"));
    Ok(())
}

fn executable(program: &Path) -> Result {
    let failed = |error| format!("{}: {error}", program.display());
    let mut permissions = fs::metadata(program).map_err(failed)?.permissions();
    permissions.set_mode(permissions.mode() | 0o111);
    fs::set_permissions(program, permissions).map_err(failed)
}
