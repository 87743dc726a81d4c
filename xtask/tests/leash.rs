//! What `cargo xtask demo --swap` starts ends with it, however it ends.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::io::Read;
use std::process::{Child, Command, Stdio};

/// A shell on a leash.
fn leashed(signal: &str, script: &str) -> Child {
    Command::new(env!("CARGO_BIN_EXE_xtask"))
        .args(["leash", signal, "sh", "-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Waits until the script has said `ready`, so that what it does about signals is settled.
fn ready(leash: &mut Child) {
    let mut said = [0; 6];
    let stdout = leash.stdout.as_mut().unwrap();
    stdout.read_exact(&mut said).unwrap();
    assert_eq!(&said, b"ready\n");
}

#[test]
fn a_child_is_told_to_stop_when_its_holder_lets_go() {
    for (signal, other) in [("INT", "TERM"), ("TERM", "INT")] {
        let script = format!(
            "trap 'echo told; exit 0' {signal}; trap 'exit 9' {other}; \
             echo ready; while :; do sleep 0.02; done"
        );
        let mut leash = leashed(signal, &script);
        ready(&mut leash);
        let output = leash.wait_with_output().unwrap();
        assert!(output.status.success(), "{output:?}");
        assert_eq!(output.stdout, b"told\n");
    }
}

#[test]
fn a_child_that_ends_by_itself_ends_its_leash_with_its_failure() {
    for (script, good) in [("exit 0", true), ("exit 3", false)] {
        let mut leash = leashed("TERM", script);
        assert_eq!(leash.wait().unwrap().success(), good, "{script}");
    }
}
