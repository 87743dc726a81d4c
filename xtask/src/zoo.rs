//! Shows what hostile guests cost a bystander: runs the zoo (host/tests/hostile), one member after the
//! other so that they do not disturb each other's figures, and prints its lines as a table.
use std::process::Stdio;

use crate::Result;
use crate::run::{cargo, say};
use crate::{guests, run};

/// What a line of the zoo's begins with, in the tests' output.
const LINE: &str = "zoo | ";

const HEAD: &str = "\
| member | undisturbed p50 / p99, ms | disturbed p50 / p99, ms | p99, times | host before, MiB | peak | after |
|---|---|---|---|---|---|---|";

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
        println!("| {}", with_ratio(line.1));
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

/// The line with a column more, after those that it is made of: the bystander's 99th percentile
/// beside the misdeed in terms of the undisturbed one.
fn with_ratio(line: &str) -> String {
    let columns: Vec<&str> = line.split(" | ").collect();
    let p99 = |column: Option<&&str>| column?.split_once(" / ")?.1.parse::<f64>().ok();
    match (p99(columns.get(1)), p99(columns.get(2))) {
        (Some(undisturbed), Some(disturbed)) => {
            let ratio = format!("{:.1}", disturbed / undisturbed);
            let mut columns = columns;
            columns.insert(3, &ratio);
            columns.join(" | ")
        }
        _ => line.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_says_how_much_slower_the_bystander_was() {
        let line = "spin | 0.20 / 0.50 | 0.40 / 1.25 | 30 | 42 | 31 |";
        let row = "spin | 0.20 / 0.50 | 0.40 / 1.25 | 2.5 | 30 | 42 | 31 |";
        assert_eq!(with_ratio(line), row);
        assert_eq!(with_ratio("spin | no figures |"), "spin | no figures |");
    }
}
