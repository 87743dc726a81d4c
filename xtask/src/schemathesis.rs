//! Schemathesis, which tests the control API against its document: a Python program, in an environment
//! of its own below the target directory.
use std::process::Command;

use crate::Result;
use crate::run::{installed, run, target_dir};

/// What the tests were written with.
const VERSION: &str = "4.32.5";

/// Installs it where it is missing or of another version.
pub(crate) fn prepare() -> Result {
    let home = target_dir().join("schemathesis");
    let mark = home.join("version");
    if std::fs::read_to_string(&mark).is_ok_and(|found| found == VERSION) {
        return Ok(());
    }
    if !installed("python3") {
        return Err("python3 is missing: the control API is tested with schemathesis".to_string());
    }
    run(
        &format!("making a Python environment in {}", home.display()),
        Command::new("python3").args(["-m", "venv"]).arg(&home),
    )?;
    run(
        &format!("installing schemathesis {VERSION} into it"),
        Command::new(home.join("bin/pip"))
            .args(["install", "--quiet", "--disable-pip-version-check"])
            .arg(format!("schemathesis=={VERSION}")),
    )?;
    std::fs::write(&mark, VERSION).map_err(|error| format!("{}: {error}", mark.display()))
}
