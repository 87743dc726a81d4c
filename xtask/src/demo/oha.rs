//! oha, which makes the load of the demo, and what it counts. Where it is not installed it is built once,
//! below the target directory.
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use super::leash::{Leashed, Signal};
use crate::Result;
use crate::run::{cargo, output, run, target_dir};

/// What the demo was written with.
const VERSION: &str = "1.16.0";

/// Requests in a second: what two cores bear beside the compiler's child processes.
const RATE: &str = "300";
const CONNECTIONS: &str = "16";
/// It is ended when the demo is through; this is for when the demo is stuck.
const LONGEST: &str = "5m";

/// Finds oha or builds it, and returns where it is.
pub(super) fn prepare() -> Result<PathBuf> {
    let right = |program: &Path| {
        let said = output(Command::new(program).arg("--version"));
        said.is_some_and(|said| said == format!("oha {VERSION}"))
    };
    let anywhere = PathBuf::from("oha");
    if right(&anywhere) {
        return Ok(anywhere);
    }
    let home = target_dir().join("oha");
    let own = home.join("bin/oha");
    if right(&own) {
        return Ok(own);
    }
    let mut install = cargo();
    install
        .args(["install", "oha", "--locked", "--version", VERSION])
        .args(["--quiet", "--root"])
        .arg(&home)
        .env("CARGO_TARGET_DIR", home.join("build"));
    run(
        &format!(
            "building oha {VERSION}, which makes the load, into {} (some minutes, once)",
            home.display()
        ),
        &mut install,
    )?;
    // Half a gigabyte that nobody needs any more.
    let _ = std::fs::remove_dir_all(home.join("build"));
    Ok(own)
}

/// A constant load on one address, from its start until it is ended.
pub(super) struct Load(Leashed);

impl Load {
    pub(super) fn start(oha: &Path, address: SocketAddr, path: &str) -> Result<Load> {
        let url = format!("http://{address}{path}");
        let arguments = [
            "-q",
            RATE,
            "-c",
            CONNECTIONS,
            "-z",
            LONGEST,
            // A request that had to wait for its turn waited, as a customer would have.
            "--latency-correction",
            "--no-tui",
            "--output-format",
            "json",
            &url,
        ];
        let (stdout, stderr) = (Stdio::piped(), Stdio::inherit());
        // Interrupted, it prints what it has counted.
        Leashed::start("oha", Signal::Interrupt, oha, &arguments, stdout, stderr).map(Load)
    }

    /// An error if it has ended by itself: what was done since was done without load.
    pub(super) fn end(mut self) -> Result<Report> {
        if !self.0.runs() {
            self.0.end()?;
            return Err("oha ended before the demo did".to_string());
        }
        let printed = String::from_utf8_lossy(&self.0.end()?).into_owned();
        Report::of(&printed)
    }
}

/// What oha counted. Times are in milliseconds.
#[derive(Debug, PartialEq)]
pub(super) struct Report {
    pub(super) requests: u64,
    /// By what came instead of a page: a status, or oha's words for a connection that failed.
    pub(super) failures: BTreeMap<String, u64>,
    pub(super) p50: f64,
    pub(super) p99: f64,
    pub(super) slowest: f64,
}

impl Report {
    pub(super) fn failed(&self) -> u64 {
        self.failures.values().sum()
    }

    /// Every status but 200 is a failure, and so is every request without an answer.
    fn of(json: &str) -> Result<Report> {
        let strange = |what: &str| format!("oha {VERSION} printed no {what}:\n{json}");
        let report: Value = serde_json::from_str(json).map_err(|_| strange("JSON"))?;
        let counts = |field: &str| -> Result<BTreeMap<String, u64>> {
            let found = report[field].as_object().ok_or_else(|| strange(field))?;
            let count = |(what, count): (&String, &Value)| Some((what.clone(), count.as_u64()?));
            let counted = found.iter().map(count).collect::<Option<_>>();
            counted.ok_or_else(|| strange(field))
        };
        // oha's times are in seconds.
        let time = |found: &Value, what: &str| {
            let seconds = found.as_f64().ok_or_else(|| strange(what))?;
            Ok::<f64, String>(seconds * 1000.0)
        };
        let statuses = counts("statusCodeDistribution")?;
        let errors = counts("errorDistribution")?;
        let requests = statuses.values().sum::<u64>() + errors.values().sum::<u64>();
        let refused = statuses
            .into_iter()
            .filter(|(status, _)| status != "200")
            .map(|(status, count)| (format!("status {status}"), count));
        let percentiles = &report["latencyPercentiles"];
        Ok(Report {
            requests,
            failures: refused.chain(errors).collect(),
            p50: time(&percentiles["p50"], "p50")?,
            p99: time(&percentiles["p99"], "p99")?,
            slowest: time(&report["summary"]["slowest"], "slowest")?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What oha 1.16.0 has printed of sixty requests to a server that answers some with 503 and closes the
    /// connection on others.
    const PRINTED: &str = include_str!("oha.json");

    #[test]
    fn what_oha_prints_is_read() {
        let failures = [
            ("connection closed before message completed", 6),
            ("status 503", 6),
        ];
        let expected = Report {
            requests: 60,
            failures: failures
                .map(|(what, count)| (what.to_owned(), count))
                .into(),
            p50: 0.247_709_239 * 1000.0,
            p99: 0.474_823_349 * 1000.0,
            slowest: 0.474823349 * 1000.0,
        };
        let report = Report::of(PRINTED).unwrap();
        assert_eq!(report, expected);
        assert_eq!(report.failed(), 12);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let version = format!("oha {VERSION} printed no ");
        for (printed, what) in [
            (String::new(), "JSON"),
            (
                PRINTED.replace("statusCodeDistribution", "x"),
                "statusCodeDistribution",
            ),
            (
                PRINTED.replace("\"503\": 6", "\"503\": -6"),
                "statusCodeDistribution",
            ),
            (
                PRINTED.replace("errorDistribution", "x"),
                "errorDistribution",
            ),
            (PRINTED.replace("\"p99\"", "\"x\""), "p99"),
            (PRINTED.replace("\"slowest\"", "\"x\""), "slowest"),
        ] {
            let error = Report::of(&printed).unwrap_err();
            assert!(error.starts_with(&format!("{version}{what}")), "{error}");
        }
    }
}
