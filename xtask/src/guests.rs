//! Builds the guests: the components in `components/`, which tests and benchmarks run, and the
//! examples. Only what changed is compiled; cargo knows.
pub(crate) mod toolchain;
mod wit_bindgen;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::Result;
use crate::run::{root, run, say, target_dir};
use toolchain::Toolchain;

pub(crate) use skep_pins::RUST_TARGET as TARGET;

/// Builds every guest, the toolchain first where it is missing.
pub(crate) fn build() -> Result {
    let toolchain = toolchain::prepare()?;
    fixtures(&toolchain)?;
    wit_bindgen::build(&toolchain)?;
    for example in examples()? {
        build_example(&toolchain, &example)?;
    }
    Ok(())
}

/// Builds one example application in its own folder, where its manifest looks for components.
pub(crate) fn build_example(toolchain: &Toolchain, folder: &Path) -> Result {
    let what = format!(
        "building {}",
        folder.strip_prefix(root()).unwrap_or(folder).display()
    );
    run(
        &what,
        cargo_in(toolchain, folder, "build").env_remove("CARGO_TARGET_DIR"),
    )
}

/// Builds one package of an example, or of a copy of one, with its artifacts in `artifacts`.
pub(crate) fn build_package(
    toolchain: &Toolchain,
    folder: &Path,
    package: &str,
    artifacts: &Path,
) -> Result {
    let what = format!(
        "building {package} of {}",
        folder.strip_prefix(root()).unwrap_or(folder).display()
    );
    run(
        &what,
        cargo_in(toolchain, folder, "build")
            .env("CARGO_TARGET_DIR", artifacts)
            .args(["--quiet", "--package", package]),
    )
}

/// Lints every guest; warnings are errors.
pub(crate) fn clippy(toolchain: &Toolchain) -> Result {
    let lint = |folder: &Path| {
        let mut cargo = cargo_in(toolchain, folder, "clippy");
        cargo
            .env("CARGO_TARGET_DIR", build_dir())
            .args(["--", "-D", "warnings"]);
        run(&format!("linting {}", folder.display()), &mut cargo)
    };
    workspaces()?.iter().try_for_each(|folder| lint(folder))
}

/// Every cargo workspace that is built for the guest target.
pub(crate) fn workspaces() -> Result<Vec<PathBuf>> {
    let mut folders = vec![root().join("components")];
    folders.append(&mut examples()?);
    Ok(folders)
}

fn fixtures(toolchain: &Toolchain) -> Result {
    let components = root().join("components");
    let mut cargo = cargo_in(toolchain, &components, "build");
    run(
        "building components",
        cargo.env("CARGO_TARGET_DIR", build_dir()),
    )?;

    let to = target_dir().join("guests");
    fs::create_dir_all(&to).map_err(|error| format!("creating {}: {error}", to.display()))?;
    let mut count = 0;
    for folder in subfolders(&components)? {
        let name = folder
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let built = build_dir().join(TARGET).join("release");
        // A library's artifact has underscores, a program's has its name as it is.
        let found = [name.replace('-', "_"), name.clone()]
            .map(|stem| built.join(stem).with_extension("wasm"))
            .into_iter()
            .find(|path| path.is_file());
        if let Some(from) = found {
            copy_if_different(&from, &to.join(&name).with_extension("wasm"))?;
            count += 1;
        }
    }
    say(&format!("{count} components in {}", to.display()));
    Ok(())
}

/// Every application in `examples/`.
pub(crate) fn examples() -> Result<Vec<PathBuf>> {
    let folders = subfolders(&root().join("examples"))?;
    Ok(folders
        .into_iter()
        .filter(|folder| folder.join("Cargo.toml").is_file())
        .collect())
}

fn cargo_in(toolchain: &Toolchain, folder: &Path, subcommand: &str) -> Command {
    let mut cargo = toolchain.cargo();
    cargo
        .current_dir(folder)
        .args([subcommand, "--release", "--locked", "--target", TARGET]);
    cargo
}

/// Where cargo builds the fixtures, apart from the host's artifacts.
fn build_dir() -> PathBuf {
    target_dir().join("guest-build")
}

/// An unchanged file keeps its time stamp, so that what depends on it stays fresh.
pub(crate) fn copy_if_different(from: &Path, to: &Path) -> Result {
    let failed = |error| format!("copying {} to {}: {error}", from.display(), to.display());
    let new = fs::read(from).map_err(failed)?;
    if fs::read(to).is_ok_and(|old| old == new) {
        return Ok(());
    }
    // Through a rename: a test that runs meanwhile sees the old file or the new one.
    let partial = to.with_extension("wasm.partial");
    fs::write(&partial, new)
        .and_then(|()| fs::rename(&partial, to))
        .map_err(failed)
}

fn subfolders(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        return Ok(Vec::new());
    };
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.is_dir())
        .collect();
    folders.sort();
    Ok(folders)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unchanged_file_keeps_its_time_stamp() {
        let folder = std::env::temp_dir().join(format!("xtask-copy-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let (from, to) = (folder.join("from.wasm"), folder.join("to.wasm"));
        fs::write(&from, "one").unwrap();
        copy_if_different(&from, &to).unwrap();
        let long_ago = std::time::SystemTime::UNIX_EPOCH;
        fs::File::options()
            .write(true)
            .open(&to)
            .unwrap()
            .set_modified(long_ago)
            .unwrap();

        copy_if_different(&from, &to).unwrap();
        assert_eq!(fs::metadata(&to).unwrap().modified().unwrap(), long_ago);

        fs::write(&from, "two").unwrap();
        copy_if_different(&from, &to).unwrap();
        assert_eq!(fs::read(&to).unwrap(), b"two");
        fs::remove_dir_all(&folder).unwrap();
    }
}
