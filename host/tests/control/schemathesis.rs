//! What the document says holds: schemathesis makes requests of it, right ones and wrong ones, and
//! checks every answer against it.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::fixture::Host;
use super::fixture::control::TOKEN;
use super::remote;

/// `cargo xtask schemathesis` puts it there.
fn program() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let program = target.join("schemathesis/bin/schemathesis");
    assert!(
        program.exists(),
        "{} is missing: run `cargo xtask schemathesis` first",
        program.display()
    );
    program
}

/// What may be answered to what.
const CHECKS: &str = include_str!("schemathesis.toml");

/// Requests of each operation in each phase.
const EXAMPLES: &str = "40";

#[tokio::test]
async fn the_document_holds_for_whatever_is_asked() {
    let (host, address) = remote().await;
    // Any name of a service, and one that there is.
    for parameters in ["", "\"path.service\" = \"cart\"\n"] {
        asked_about(&host, address, parameters).await;
    }
    host.assert_no_panic();
    assert_eq!(host.status()["application"], "app");
}

async fn asked_about(host: &Host, address: SocketAddr, parameters: &str) {
    let program = program();
    let directory = host.directory().to_owned();
    let config = directory.join("schemathesis.toml");
    std::fs::write(&config, format!("{CHECKS}{parameters}")).unwrap();
    let output = tokio::task::spawn_blocking(move || {
        let mut command = Command::new(program);
        command
            .arg("--config-file")
            .arg(config)
            .arg("run")
            .arg(format!("http://{address}/v1/openapi.json"))
            .args(["--header", &format!("Authorization: Bearer {TOKEN}")])
            .args(["--max-examples", EXAMPLES, "--continue-on-failure"])
            // The same every time: what it finds can be found again.
            .args(["--seed", "1", "--generation-deterministic", "--no-color"])
            .current_dir(directory);
        command.output().unwrap()
    });
    let output = output.await.unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{errors}");
}
