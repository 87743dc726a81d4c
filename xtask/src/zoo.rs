//! Shows what hostile guests cost a bystander: runs the zoo (host/tests/hostile), one member after the
//! other so that they do not disturb each other's figures, and prints its lines as a table.
use std::process::Stdio;

use crate::Result;
use crate::run::{cargo, say};
use crate::{guests, run};

/// What a line of the zoo's begins with, in the tests' output.
const LINE: &str = "zoo | ";

const HEAD: &str = "\
| member | undisturbed p50 / p99, ms | disturbed p50 / p99, ms | host before, MiB | peak | after |
|---|---|---|---|---|---|";

/// All members, or those whose names contain `args[0]`.
pub(crate) fn zoo(args: &[String]) -> Result {
    guests::build()?;
    // Of the whole workspace, so that features are those of the other tests.
    let tests = ["test", "--release", "--workspace", "--test", "hostile"];
    run::run(
        "building the host and the zoo",
        cargo().args(tests).arg("--no-run"),
    )?;
    say("running the zoo, one member at a time (some minutes)");
    let mut zoo = cargo();
    zoo.args(tests)
        .args(["--", "--test-threads=1", "--nocapture"])
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit());
    let output = zoo
        .output()
        .map_err(|error| format!("running the zoo: {error}"))?;
    let text = String::from_utf8_lossy(&output.stdout);
    println!("{HEAD}");
    // The test's name stands before the first line that it prints.
    for line in text.lines().filter_map(|line| line.split_once(LINE)) {
        println!("| {}", line.1);
    }
    if output.status.success() {
        return Ok(());
    }
    let failed: Vec<&str> = text
        .lines()
        .filter(|line| line.ends_with("FAILED"))
        .collect();
    Err(format!("the zoo failed:\n{}", failed.join("\n")))
}
