//! Everything that a change must pass: formatting, lints, licences and bans, and the tests.
use std::process::Command;

use crate::Result;
use crate::guests::{self, toolchain};
use crate::run::{cargo, installed, root, run, say};

/// All checks, then all tests; or with `--quick` the unit tests alone.
pub(crate) fn test(args: &[String]) -> Result {
    match args {
        [] => {
            check()?;
            guests::build()?;
            run(
                "building the host",
                cargo().args(["build", "--release", "--workspace"]),
            )?;
            all_tests()
        }
        [flag] if flag == "--quick" => unit_tests(),
        _ => Err("usage: cargo xtask test [--quick]".to_string()),
    }
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
    let format = |folder: &std::path::Path| {
        let mut command = cargo();
        command
            .current_dir(folder)
            .args(["fmt", "--all", "--check"]);
        run(
            &format!("checking the formatting of {}", folder.display()),
            &mut command,
        )
    };
    format(&root())?;
    guests::workspaces()?
        .iter()
        .try_for_each(|folder| format(folder))
}

fn licences() -> Result {
    if !installed("cargo-deny") {
        say("cargo-deny is not installed: bans, licences and sources are NOT checked");
        return Ok(());
    }
    let deny = ["--workspace", "check", "bans", "licenses", "sources"];
    run(
        "checking bans, licences and sources",
        Command::new("cargo-deny").current_dir(root()).args(deny),
    )
}

fn unit_tests() -> Result {
    runner("unit tests", &["--workspace", "--lib", "--bins"])
}

fn all_tests() -> Result {
    // nextest does not run documentation's examples.
    if installed("cargo-nextest") {
        run(
            "testing the examples in the documentation",
            cargo().args(["test", "--release", "--workspace", "--doc"]),
        )?;
    }
    // Last, so that the totals are what the reader sees.
    runner("all tests", &["--workspace"])
}

fn runner(what: &str, selection: &[&str]) -> Result {
    let mut command = cargo();
    if installed("cargo-nextest") {
        command.args(["nextest", "run", "--release"]);
    } else {
        command.args(["test", "--release"]);
    }
    run(what, command.args(selection))
}
