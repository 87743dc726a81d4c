//! Runs a build command to its end, and keeps what it says until it is known whether that matters.

use std::collections::VecDeque;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::process::{Child, Command};

use crate::language::tools;

/// Of what a build says the last is kept: a compiler's errors come at the end.
const KEPT_BYTES: usize = 256 << 10;

/// How long what is still in the pipe is waited for once the command has ended: something that it has
/// left behind may hold the pipe.
const REST: Duration = Duration::from_millis(200);

/// Why nothing came of a build.
#[derive(Debug, thiserror::Error)]
pub(super) enum BuildError {
    /// It was not begun.
    #[error("the shell cannot be started")]
    Shell(#[source] std::io::Error),
    /// It failed.
    #[error("{status}")]
    Failed {
        /// How.
        status: ExitStatus,
        /// What it said.
        said: Said,
    },
}

/// The end of what a command printed.
#[derive(Debug, Default)]
pub(super) struct Said {
    bytes: VecDeque<u8>,
    /// Bytes before those that are kept.
    pub(super) left_out: u64,
}

impl Said {
    /// As it was printed, from the beginning of a line on.
    pub(super) fn bytes(&mut self) -> &[u8] {
        let bytes = self.bytes.make_contiguous();
        match bytes.iter().position(|byte| *byte == b'\n') {
            Some(end) if self.left_out > 0 => &bytes[end + 1..],
            _ => bytes,
        }
    }

    fn add(&mut self, piece: &[u8]) {
        self.bytes.extend(piece);
        let over = self.bytes.len().saturating_sub(KEPT_BYTES);
        self.bytes.drain(..over);
        self.left_out += over as u64;
    }

    async fn hear(&mut self, from: &mut Receiver) {
        let mut piece = [0; 8 << 10];
        while let Ok(read @ 1..) = from.read(&mut piece).await {
            self.add(&piece[..read]);
        }
    }
}

/// Shows what a build has said, that it failed, and what to install if a tool is missing.
pub(super) fn show(names: &str, command: &str, error: BuildError) {
    let mut text = format!("{command}\n");
    let mut stderr = std::io::stderr().lock();
    let why = error.to_string();
    let why = match error {
        BuildError::Shell(source) => format!("{why}: {source}"),
        BuildError::Failed { mut said, .. } => {
            if said.left_out > 0 {
                let _ = writeln!(
                    stderr,
                    "[{} bytes before this are not shown]",
                    said.left_out
                );
            }
            let said = said.bytes();
            text += &String::from_utf8_lossy(said);
            let _ = stderr.write_all(said);
            if !said.ends_with(b"\n") && !said.is_empty() {
                let _ = writeln!(stderr);
            }
            why
        }
    };
    let _ = writeln!(stderr, "error: the build of {names} failed: {why}");
    for remedy in tools::missing_in(&text) {
        let _ = writeln!(stderr, "  help: {remedy}");
    }
}

/// The processes of a build; killed unless it has ended.
struct Group(Option<Pid>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            // It may just have ended.
            let _ = kill_process_group(group, Signal::KILL);
        }
    }
}

/// Runs a command in a directory, with this program as `SKEP`, and answers how long it took. If the future is dropped it is killed, with
/// all that it has started.
///
/// # Errors
/// If it does not end well.
pub(super) async fn build(
    command: &str,
    directory: &Path,
    colours: bool,
) -> Result<Duration, BuildError> {
    let began = Instant::now();
    let (child, mut pipe) = start(command, directory, colours).map_err(BuildError::Shell)?;
    let mut child = child;
    let id = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
    let mut group = Group(id);
    let mut said = Said::default();
    let ended = tokio::select! {
        ended = child.wait() => ended,
        () = said.hear(&mut pipe) => child.wait().await,
    };
    // Its number may be another's from now on.
    group.0 = None;
    let status = ended.map_err(BuildError::Shell)?;
    let _ = tokio::time::timeout(REST, said.hear(&mut pipe)).await;
    match status.success() {
        true => Ok(began.elapsed()),
        false => Err(BuildError::Failed { status, said }),
    }
}

fn start(command: &str, directory: &Path, colours: bool) -> std::io::Result<(Child, Receiver)> {
    // One pipe for both, so that what it says stays in order.
    let (reader, writer) = std::io::pipe()?;
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(directory)
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer)
        .process_group(0)
        .envs(std::env::current_exe().map(|skep| ("SKEP", skep)))
        .kill_on_drop(true);
    if colours {
        // Tools that look for a terminal find a pipe.
        shell.envs([
            ("CARGO_TERM_COLOR", "always"),
            ("CLICOLOR_FORCE", "1"),
            ("FORCE_COLOR", "1"),
        ]);
    }
    let child = shell.spawn()?;
    // The shell's own ends of the pipe close here, or it would never end.
    drop(shell);
    Ok((child, Receiver::from_owned_fd(OwnedFd::from(reader))?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_failed_command_has_said_is_kept_in_order_and_how_it_ended() {
        let directory = tempfile::tempdir().unwrap();
        let command = "echo one; echo two >&2; pwd; exit 7";
        let failed = build(command, directory.path(), false).await.unwrap_err();
        assert_eq!(failed.to_string(), "exit status: 7");
        let BuildError::Failed { mut said, .. } = failed else {
            panic!("{failed:?}");
        };
        let here = directory.path().canonicalize().unwrap();
        let expected = format!("one\ntwo\n{}\n", here.display());
        assert_eq!(String::from_utf8_lossy(said.bytes()), expected);
        build("true", directory.path(), false).await.unwrap();
    }

    #[tokio::test]
    async fn of_a_long_output_the_last_whole_lines_are_kept() {
        let command = "seq 1 100000; false";
        let failed = build(command, Path::new("/"), false).await.unwrap_err();
        let BuildError::Failed { mut said, .. } = failed else {
            panic!("{failed:?}");
        };
        let left_out = said.left_out;
        let kept = String::from_utf8(said.bytes().to_vec()).unwrap();
        assert!(kept.ends_with("\n99999\n100000\n"));
        assert!(kept.len() <= KEPT_BYTES && left_out > 0);
        let first: u32 = kept.lines().next().unwrap().parse().unwrap();
        let lines = u32::try_from(kept.lines().count()).unwrap();
        assert_eq!(first + lines - 1, 100_000, "no line is broken");
    }

    #[tokio::test]
    async fn what_a_command_leaves_behind_does_not_hold_it_up() {
        // It has the pipe, and goes with the test's own patience at the latest.
        let command = "sleep 100 & echo $! > left; echo failed; false";
        let directory = tempfile::tempdir().unwrap();
        let failed = build(command, directory.path(), false).await.unwrap_err();
        let BuildError::Failed { mut said, .. } = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(said.bytes(), b"failed\n");
        let left = std::fs::read_to_string(directory.path().join("left")).unwrap();
        let left = Pid::from_raw(left.trim().parse().unwrap()).unwrap();
        rustix::process::kill_process(left, Signal::KILL).unwrap();
    }
}
