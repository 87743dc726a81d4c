//! A new service is built, edited and built again, by the commands that a person types.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

use super::{BYTES, CLEAN, COMPILE, COMPILE_EDITED, EDITED, NAME};
use crate::measure::mib;
use crate::plan::Bench;
use crate::process::stop_if_interrupted;
use crate::results::{Key, Results};

/// Where the words of the new service are.
fn greeting(language: &str) -> &'static str {
    match language {
        "rust" => "src/greeting.rs",
        "js" => "src/greeting.js",
        "ts" => "src/greeting.ts",
        "python" => "greeting.py",
        "c" => "src/greeting.c",
        _ => "greeting/greeting.go",
    }
}

pub(super) fn measure(bench: &Bench, language: &str, results: &mut Results) -> Result<()> {
    let key = Key::new(NAME, language, "build");
    let folder = tempfile::Builder::new().prefix("skep-bench").tempdir()?;
    let cache = folder.path().join("cache");
    let skep = |arguments: &[&str], at: &Path| -> Result<String> {
        let mut command = Command::new(&bench.programs.skep);
        command
            .args(arguments)
            .current_dir(at)
            .env("SKEP_CACHE", &cache)
            .stdin(Stdio::null());
        if language == "rust" {
            command.envs(skep_pins::guest_toolchain());
        }
        let output = command.output().context("starting skep")?;
        stop_if_interrupted()?;
        if !output.status.success() {
            bail!(
                "`skep {}` failed ({}):\n{}",
                arguments.join(" "),
                output.status,
                String::from_utf8_lossy(&output.stderr).trim_end()
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    };
    skep(&["new", "--lang", language, "hello"], folder.path())?;
    let project = folder.path().join("hello");
    let build = || -> Result<(f64, u64)> {
        let rows: Value = serde_json::from_str(&skep(&["build", "--json"], &project)?)?;
        let row = rows.get(0).context("nothing was built")?;
        ensure!(row["outcome"] == "built", "{row}");
        let seconds = row["seconds"].as_f64().context("no time in it")?;
        Ok((seconds, row["bytes"].as_u64().context("no size in it")?))
    };
    // With what is in the cache already, then with all.
    let compile = || -> Result<f64> {
        let check = || -> Result<f64> {
            let begun = Instant::now();
            skep(&["check"], &project)?;
            Ok(begun.elapsed().as_secs_f64())
        };
        let (with, without) = (check()?, check()?);
        Ok((with - without).max(0.0))
    };

    let (seconds, bytes) = build()?;
    results.record(&key, CLEAN, 0, seconds);
    results.record(&key, BYTES, 0, mib(bytes));
    results.record(&key, COMPILE, 0, compile()?);
    let words = project.join(greeting(language));
    let text = fs::read_to_string(&words).with_context(|| words.display().to_string())?;
    ensure!(
        text.contains("Hello"),
        "{} has no greeting",
        words.display()
    );
    fs::write(&words, text.replace("Hello", "Good day"))?;
    results.record(&key, EDITED, 0, build()?.0);
    results.record(&key, COMPILE_EDITED, 0, compile()?);
    Ok(())
}
