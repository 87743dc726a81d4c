//! A disk that is full, or read-only, through the whole host: what cannot be written down is refused with
//! what to do about it, and clients do not notice.
//!
//! Each test runs again in a process with mounts of its own, in which the state directory is a file system
//! of its own. A user who may have none of these has no such tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::clients::{Clients, Server};
use super::fixture::{Host, Output, Plan, skep};
use super::{application, asked_for, versioned, versions};

/// Set in the process that has mounts of its own.
const APART: &str = "SKEP_TEST_APART";

/// Runs a test of this file in a process with mounts of its own.
fn apart(test: &str) {
    // As root; or as a user who is root among himself.
    let ways: [&[&str]; 2] = [&["--mount"], &["--mount", "--map-root-user"]];
    let may = |way: &&[&str]| {
        let tried = Command::new("unshare").args(*way).arg("true").status();
        tried.is_ok_and(|status| status.success())
    };
    let Some(way) = ways.into_iter().find(may) else {
        return println!("this user may not mount anything: not tested");
    };
    // What is left below the mounts goes with it.
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new("unshare")
        .args(way)
        .arg(std::env::current_exe().unwrap())
        .args([&format!("disk::{test}"), "--exact", "--nocapture"])
        .env(APART, "1")
        .env("TMPDIR", directory.path())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn is_apart() -> bool {
    std::env::var_os(APART).is_some()
}

/// A state directory on a disk of its own.
struct Disk(PathBuf);

impl Disk {
    /// Beside a manifest.
    fn make(directory: &Path) -> Disk {
        let disk = Disk(directory.join(".skep"));
        fs::create_dir(&disk.0).unwrap();
        disk.mount(&["-t", "tmpfs", "-o", "size=16m", "tmpfs"]);
        disk
    }

    fn mount(&self, arguments: &[&str]) {
        let mounted = Command::new("mount").args(arguments).arg(&self.0).status();
        assert!(mounted.unwrap().success(), "mount {arguments:?}");
    }

    fn filler(&self) -> PathBuf {
        self.0.join("filler")
    }

    fn fill(&self) {
        let error = fs::write(self.filler(), vec![1; 17 << 20]).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull);
    }

    fn has_room_again(&self) {
        fs::remove_file(self.filler()).unwrap();
    }
}

/// The application with its state on a disk of its own, and the second version of the leaf deployed.
async fn host(plan: Plan) -> (Host, Disk) {
    let directory = tempfile::tempdir().unwrap();
    plan.write(directory.path());
    let disk = Disk::make(directory.path());
    let host = started(directory).await;
    host.deploy("leaf", 2, '0').expect(0);
    (host, disk)
}

async fn started(directory: TempDir) -> Host {
    let mut command = skep();
    command
        .arg("run")
        .arg(directory.path().join("skep.toml"))
        .args(["--listen", "127.0.0.1:0"]);
    Host::spawn(command, directory).await
}

/// Makes the manifest one that is not what serves, and longer than what the journal has room for.
fn rewrite(host: &Host) {
    let manifest = fs::read_to_string(host.manifest()).unwrap();
    let setting = "[service.leaf.limits]\ndeadline = \"7s\"\n";
    let long = "# a comment\n".repeat(40_000);
    fs::write(host.manifest(), format!("{manifest}{setting}{long}")).unwrap();
}

/// The problem document that is the answer.
#[track_caller]
fn problem(answer: &str, status: u16) -> Value {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let begins = format!("HTTP/1.0 {status} ");
    assert!(head.starts_with(&begins), "{answer}");
    assert!(head.contains("application/problem+json"), "{answer}");
    serde_json::from_str(body).unwrap()
}

/// A command was refused, with what could not be written and what to do.
#[track_caller]
fn refused(said: Output, texts: &[&str]) {
    let said = said.expect(1).says(texts);
    said.says(&["it cannot be written down", "What served before serves on."]);
}

#[test]
fn a_full_disk_refuses_changes_and_clients_do_not_notice() {
    apart("on_a_full_disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk() {
    if !is_apart() {
        return;
    }
    let (host, disk) = host(application()).await;
    let clients = Clients::begin(Server::of(&host)).await;
    clients.ask_for_more(20).await;
    disk.fill();
    let no_room = [
        "cannot write `",
        "/.skep/components/",
        "free some space there",
    ];
    refused(host.deploy("leaf", 3, '0'), &no_room);
    let socket = disk.0.join("control.sock");
    let leaf = versioned("leaf", 3, '0');
    let answer = asked_for(&socket, "/v1/services/leaf/deploy", &leaf);
    let document = problem(&answer, 507);
    assert_eq!(document["step"], "switch", "{document}");
    let detail = document["detail"].as_str().unwrap();
    assert!(no_room.iter().all(|text| detail.contains(text)), "{detail}");
    let written = fs::read_to_string(host.manifest()).unwrap();
    rewrite(&host);
    let in_journal = ["journal.redb", "free some space there"];
    refused(host.command("apply", &["--yes"]), &in_journal);
    clients.ask_for_more(20).await;
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    // What needs no more room than there is may be done; and if not it is said as clearly.
    let said = host.command("rollback", &["leaf"]);
    let leaf = match said.code {
        Some(0) => 1,
        _ => {
            refused(said, &in_journal);
            2
        }
    };
    assert_eq!(versions(&host).await, [1, 1, leaf, leaf]);
    clients.ask_for_more(20).await;

    disk.has_room_again();
    host.deploy("leaf", 4, '0').expect(0);
    assert_eq!(versions(&host).await, [1, 1, 4, 4]);
    clients.ask_for_more(20).await;
    println!("{:?}", clients.end().await);
    host.assert_no_panic();

    // What was acknowledged serves after a crash, also where there is no room to write down even that.
    fs::write(host.manifest(), written).unwrap();
    disk.fill();
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 1, 4, 4]);
    refused(host.deploy("leaf", 5, '0'), &no_room);
    assert_eq!(versions(&host).await, [1, 1, 4, 4]);
    disk.has_room_again();
    host.deploy("leaf", 5, '0').expect(0);
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 1, 5, 5]);
    host.assert_no_panic();
}

#[test]
fn a_read_only_disk_refuses_changes_and_clients_do_not_notice() {
    apart("on_a_read_only_disk");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_read_only_disk() {
    if !is_apart() {
        return;
    }
    let (host, disk) = host(application().controlled()).await;
    let directory = host.killed();
    disk.mount(&["-o", "remount,ro"]);
    let host = started(directory).await;
    host.message("nothing can be deployed, and nothing is written down")
        .await;
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    let clients = Clients::begin(Server::of(&host)).await;
    clients.ask_for_more(20).await;
    // There can be no socket in such a directory; whoever has the token finds the host.
    let url = host.control_url().await;
    let token = host.directory().join("token");
    let remotely = ["--host", &url, "--token-file", token.to_str().unwrap()];
    let command = |arguments: &[&str]| Output::of(skep().args(arguments).args(remotely));
    let read_only = [
        "Read-only file system",
        "name a directory that this user can write",
    ];
    let leaf = host.file("leaf", 3, '0');
    refused(
        command(&["deploy", "leaf", leaf.to_str().unwrap()]),
        &read_only,
    );
    let written = fs::read_to_string(host.manifest()).unwrap();
    rewrite(&host);
    let manifest = host.manifest();
    refused(
        command(&["apply", "--yes", manifest.to_str().unwrap()]),
        &read_only,
    );
    refused(command(&["rollback", "leaf"]), &read_only);
    clients.ask_for_more(20).await;
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    println!("{:?}", clients.end().await);
    host.assert_no_panic();

    fs::write(manifest, written).unwrap();
    let directory = host.killed();
    disk.mount(&["-o", "remount,rw"]);
    let host = started(directory).await;
    assert_eq!(versions(&host).await, [1, 1, 2, 2]);
    host.deploy("leaf", 4, '0').expect(0);
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 1, 4, 4]);
}
