//! Results as text: aligned Markdown tables for stdout and for docs/performance.md, where each
//! suite has a section of its own, so that measuring one suite leaves the others' figures alone.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::machine::{rustc, today};
use crate::plan::{Bench, repository};
use crate::process::run;
use crate::results::Results;
use crate::suite::Suite;

/// A table with a title.
#[derive(Debug, Default)]
pub(crate) struct Table {
    pub(crate) title: String,
    pub(crate) header: Vec<&'static str>,
    /// The first cell is a name, the others are figures.
    pub(crate) rows: Vec<Vec<String>>,
}

/// Something that Skep wants to reach, beside what was measured. It is said, never asserted.
#[derive(Debug)]
pub(crate) struct Goal {
    pub(crate) text: String,
    pub(crate) measured: Option<f64>,
    pub(crate) at_most: f64,
    pub(crate) unit: &'static str,
}

/// A figure with as many digits as it deserves.
pub(crate) fn figure(value: f64) -> String {
    match value.abs() {
        endless if endless.is_infinite() => "∞".into(),
        large if large >= 1000.0 => {
            let digits = format!("{value:.0}");
            let mut text = String::new();
            for (index, digit) in digits.chars().enumerate() {
                if index > 0 && (digits.len() - index).is_multiple_of(3) {
                    text.push(',');
                }
                text.push(digit);
            }
            text
        }
        large if large >= 100.0 => format!("{value:.0}"),
        large if large >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

/// The figure, or a dash where nothing was measured.
pub(crate) fn cell(value: Option<f64>) -> String {
    value.map_or_else(|| "–".into(), figure)
}

impl Table {
    fn render(&self) -> String {
        let widths: Vec<usize> = (self.header.iter().enumerate())
            .map(|(column, head)| {
                let cells = self.rows.iter().filter_map(|row| row.get(column));
                cells
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or(0)
                    .max(head.chars().count())
            })
            .collect();
        let mut text = format!("### {}\n\n", self.title);
        let header: Vec<String> = self.header.iter().map(ToString::to_string).collect();
        text.push_str(&line(&header, &widths));
        for (column, width) in widths.iter().enumerate() {
            let rule = "-".repeat(width + 1);
            text.push_str(&if column == 0 {
                format!("|-{rule}")
            } else {
                format!("|{rule}:")
            });
        }
        text.push_str("|\n");
        for row in &self.rows {
            text.push_str(&line(row, &widths));
        }
        text
    }
}

fn line(cells: &[String], widths: &[usize]) -> String {
    let mut text = String::new();
    for (column, (cell, width)) in cells.iter().zip(widths).enumerate() {
        let _ = if column == 0 {
            write!(text, "| {cell:<width$} ")
        } else {
            write!(text, "| {cell:>width$} ")
        };
    }
    text + "|\n"
}

fn render_goals(goals: &[Goal]) -> String {
    let rows = goals.iter().map(|goal| {
        let verdict = match goal.measured {
            Some(value) if value <= goal.at_most => "yes",
            Some(_) => "no",
            None => "not measured",
        };
        vec![
            goal.text.clone(),
            format!("{} {}", figure(goal.at_most), goal.unit)
                .trim_end()
                .to_owned(),
            cell(goal.measured),
            verdict.to_owned(),
        ]
    });
    let header = vec!["aim", "at most", "measured", "reached"];
    Table {
        title: "Aims".into(),
        header,
        rows: rows.collect(),
    }
    .render()
}

/// A suite's section: when, where, what, tables, aims, notes.
pub(crate) fn section(bench: &Bench, results: &Results, suite: Suite) -> String {
    let mut text = format!("## {}\n\n{}\n\n", suite.title(), suite.question());
    let how = if bench.quick {
        " **A quick run: not to judge by.**"
    } else {
        ""
    };
    let _ = writeln!(
        text,
        "Measured {} on {}.{how}\n",
        today(),
        bench.machine.describe()
    );
    text.push_str(suite.method(bench).trim());
    text.push_str("\n\n");
    for table in suite.tables(bench, results) {
        text.push_str(&table.render());
        text.push('\n');
    }
    let goals = suite.goals(bench, results);
    if goals.iter().any(|goal| goal.measured.is_some()) {
        text.push_str(&render_goals(&goals));
        text.push('\n');
    }
    let notes: Vec<&str> = results.notes(suite.name()).collect();
    if !notes.is_empty() {
        text.push_str("Notes:\n");
        for note in notes {
            // A note may carry a server's last words; the first lines say enough.
            let short: Vec<&str> = note.lines().take(3).collect();
            let _ = writeln!(text, "- {}", short.join(" / "));
        }
        text.push('\n');
    }
    let _ = writeln!(text, "Versions: {}.", versions(bench).join(", "));
    text
}

fn versions(bench: &Bench) -> Vec<String> {
    let mut skep = std::process::Command::new(&bench.programs.skep);
    skep.arg("--version");
    let skep = run(skep, Duration::from_secs(20)).unwrap_or_default();
    let lock = fs::read_to_string(repository().join("Cargo.lock")).unwrap_or_default();
    let crates = ["wasmtime", "tokio", "hyper", "axum"]
        .iter()
        .filter_map(|name| {
            let version = locked(&lock, name)?;
            Some(if *name == "wasmtime" {
                format!("wasmtime {version} within Skep")
            } else {
                format!("{name} {version}")
            })
        });
    let mut all = vec![skep.trim().to_owned()];
    all.extend(crates);
    all.extend(bench.tools.versions());
    all.push(rustc());
    all.retain(|version| !version.is_empty());
    all
}

/// The version of a crate in Cargo.lock.
fn locked<'a>(lock: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = lock.split_once(&format!("\nname = \"{name}\"\nversion = \""))?;
    rest.split('"').next()
}

const HEAD: &str = "# Performance

What a request to Skep costs, beside what it costs elsewhere. `cargo xtask bench` measures and
writes this page; each section says when and where. CPU time per request is the figure to trust:
it hardly moves when the machine is busy with other things, while rates and latencies do. A
ratio is the median of the rounds' ratios, as within a round all met the same machine; figures in
parentheses are the lowest and the highest round.
";

/// Writes the sections of `suites` to the page and keeps the others.
pub(crate) fn write(file: &Path, bench: &Bench, results: &Results, suites: &[Suite]) -> Result<()> {
    let old = fs::read_to_string(file).unwrap_or_default();
    let page = Suite::ALL.iter().fold(HEAD.to_owned(), |page, suite| {
        let kept = || kept_section(&old, suite.name()).map(ToOwned::to_owned);
        let fresh = suites
            .contains(suite)
            .then(|| section(bench, results, *suite));
        match fresh.or_else(kept) {
            Some(text) => {
                let (begin, end) = marks(suite.name());
                format!("{page}\n{begin}\n{}\n{end}\n", text.trim())
            }
            None => page,
        }
    });
    if let Some(directory) = file.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(file, page).with_context(|| format!("writing {}", file.display()))
}

fn marks(suite: &str) -> (String, String) {
    (
        format!("<!-- begin {suite} -->"),
        format!("<!-- end {suite} -->"),
    )
}

fn kept_section<'a>(page: &'a str, suite: &str) -> Option<&'a str> {
    let (begin, end) = marks(suite);
    let (_, rest) = page.split_once(&begin)?;
    Some(rest.split_once(&end)?.0.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_or_so() {
        for (value, text) in [
            (0.0, "0.00"),
            (9.456, "9.46"),
            (84.96, "85.0"),
            (123.4, "123"),
            (1234.5, "1,234"),
            (f64::INFINITY, "∞"),
            (1_234_567.0, "1,234,567"),
        ] {
            assert_eq!(figure(value), text);
        }
        assert_eq!(cell(None), "–");
    }

    #[test]
    fn tables_are_aligned() {
        let table = Table {
            title: "T".into(),
            header: vec!["name", "µs"],
            rows: vec![
                vec!["a".into(), "12.5".into()],
                vec!["longer".into(), "–".into()],
            ],
        };
        assert_eq!(
            table.render(),
            "### T\n\n\
             | name   |   µs |\n\
             |--------|-----:|\n\
             | a      | 12.5 |\n\
             | longer |    – |\n"
        );
    }

    #[test]
    fn a_section_is_found_again() {
        let page = "x\n<!-- begin http -->\none\ntwo\n<!-- end http -->\n<!-- begin slow -->\n";
        assert_eq!(kept_section(page, "http"), Some("one\ntwo"));
        assert_eq!(kept_section(page, "slow"), None);
        assert_eq!(kept_section(page, "start"), None);
    }

    #[test]
    fn versions_come_from_the_lock_file() {
        let lock = "[[package]]\nname = \"axum-core\"\nversion = \"0.5\"\n\n[[package]]\nname = \"axum\"\nversion = \"0.8.9\"\n";
        assert_eq!(locked(lock, "axum"), Some("0.8.9"));
        assert_eq!(locked(lock, "hyper"), None);
    }
}
