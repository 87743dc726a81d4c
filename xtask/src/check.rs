//! Everything that a change must pass: formatting, lints, licences and bans, and the tests.
use std::path::PathBuf;
use std::process::Command;

use crate::Result;
use crate::guests::{self, toolchain};
use crate::languages;
use crate::proxies;
use crate::run::{cargo, installed, root, run, say};
use crate::{schemathesis, soak};

/// The tests switch this feature of the host on; whatever else is built to be run with them, or
/// beside them, has it too, so that the host is not compiled twice. What is shipped has not.
pub(crate) const TESTING: [&str; 2] = ["--features", "skep/testing"];

/// All checks, then all tests; or with `--quick` the unit tests alone.
pub(crate) fn test(args: &[String]) -> Result {
    match args {
        [] => {
            check()?;
            guests::build()?;
            proxies::prepare()?;
            schemathesis::prepare()?;
            build_host()?;
            languages::features::build()?;
            // All failures at once; the tests come last, so that their totals are what the reader
            // sees.
            let soaked = soak::run_for(soak::SECONDS_IN_TEST);
            all_tests()?;
            soaked
        }
        [flag] if flag == "--quick" => unit_tests(),
        _ => Err("usage: cargo xtask test [--quick]".to_string()),
    }
}

/// Everything of the workspace, as the tests run it.
pub(crate) fn build_host() -> Result {
    run(
        "building the host",
        cargo()
            .args(["build", "--release", "--workspace"])
            .args(TESTING),
    )
}

/// Everything but the tests.
pub(crate) fn check() -> Result {
    let toolchain = toolchain::prepare()?;
    formatting()?;
    guests::clippy(&toolchain)?;
    let lints = [
        "clippy",
        "--release",
        "--workspace",
        "--all-targets",
        "--",
        "-D",
        "warnings",
    ];
    run("linting the host", cargo().args(lints))?;
    licences()
}

fn formatting() -> Result {
    for folder in all_workspaces()? {
        let mut command = cargo();
        command
            .current_dir(&folder)
            .args(["fmt", "--all", "--check"]);
        run(
            &format!("checking the formatting of {}", folder.display()),
            &mut command,
        )?;
    }
    Ok(())
}

fn all_workspaces() -> Result<Vec<PathBuf>> {
    let mut folders = vec![root()];
    folders.append(&mut guests::workspaces()?);
    Ok(folders)
}

fn licences() -> Result {
    if !installed("cargo-deny") {
        say("cargo-deny is not installed: licences, bans and sources are NOT checked");
        return Ok(());
    }
    for folder in all_workspaces()? {
        let mut deny = Command::new("cargo-deny");
        deny.arg("--manifest-path").arg(folder.join("Cargo.toml"));
        deny.arg("--config").arg(root().join("deny.toml"));
        deny.args([
            "--locked",
            "--workspace",
            "check",
            "bans",
            "licenses",
            "sources",
        ]);
        run(
            &format!("checking the licences of {}", folder.display()),
            &mut deny,
        )?;
    }
    Ok(())
}

fn unit_tests() -> Result {
    runner("unit tests", &["--workspace", "--lib", "--bins"])
}

fn all_tests() -> Result {
    // The examples' services keep their logic apart from WASI: it is tested on this machine.
    for example in guests::examples()? {
        let mut command = cargo();
        command
            .current_dir(&example)
            .env_remove("CARGO_TARGET_DIR")
            .args(["test", "--locked"]);
        run(
            &format!("unit tests of {}", example.display()),
            &mut command,
        )?;
    }
    // nextest does not run the examples in the documentation.
    if installed("cargo-nextest") {
        let doc = ["test", "--release", "--workspace", "--doc"];
        run(
            "testing the examples in the documentation",
            cargo().args(doc),
        )?;
    }
    runner("all tests of the host", &["--workspace"])
}

fn runner(what: &str, selection: &[&str]) -> Result {
    let mut command = cargo();
    if installed("cargo-nextest") {
        command.args(["nextest", "run", "--release", "--no-fail-fast"]);
    } else {
        command.args(["test", "--release", "--no-fail-fast"]);
    }
    run(what, command.args(selection))
}
