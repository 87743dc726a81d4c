//! Directories that are in use, of another time, damaged, full or read-only.

use std::process::{Command, Stdio};

use super::*;
use crate::artifact::Store;

/// A child test does what it is for only if this names its directory.
const DIRECTORY: &str = "SKEP_TEST_STATE";

fn error(state: &TempDir) -> JournalError {
    match Journal::open(state.path(), SHORT) {
        Ok(_) => panic!("this directory cannot be used"),
        Err(error) => error,
    }
}

#[test]
fn a_second_host_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    let other = journal.clone();
    drop(journal);
    let refused = error(&state).to_string();
    let pid = std::process::id();
    let begins = format!("another skep (process {pid}, started 20");
    assert!(refused.starts_with(&begins), "{refused}");
    let ends = format!(
        "`{}`; stop it, take its place with `skep run --take-over`, or name another directory with \
         host.state",
        state.path().display()
    );
    assert!(refused.ends_with(&ends), "{refused}");
    other.commit(&simple(1), &[], None).unwrap();
    drop(other);
    assert_eq!(open(&state).active().unwrap(), Some(simple(1)));
}

#[test]
fn a_directory_of_a_later_version_is_left_alone() {
    let state = tempfile::tempdir().unwrap();
    open(&state).commit(&simple(1), &[], None).unwrap();
    std::fs::write(state.path().join("format"), "2\n").unwrap();
    let refused = error(&state).to_string();
    assert!(
        refused.contains("written by a later version of Skep (format 2; this one knows 1)"),
        "{refused}"
    );
    std::fs::write(state.path().join("format"), "one").unwrap();
    assert!(matches!(error(&state), JournalError::Damaged { .. }));
    std::fs::write(state.path().join("format"), "1").unwrap();
    assert_eq!(open(&state).active().unwrap(), Some(simple(1)));
}

#[test]
fn a_generation_of_a_later_version_is_named() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    let later = simple(1).to_json().replace("\"format\":1", "\"format\":9");
    let put = |write: &redb::WriteTransaction| {
        let table = redb::TableDefinition::<u64, &str>::new("generations");
        write.open_table(table)?.insert(2, later.as_str())?;
        Ok(())
    };
    journal.commit(&simple(1), &[], None).unwrap();
    journal.inner.database.write("test", put).unwrap();
    let refused = journal.generation(2).unwrap_err().to_string();
    assert!(
        refused.starts_with("cannot read generation 2: this generation was recorded by a later"),
        "{refused}"
    );
    assert_eq!(
        journal.active().unwrap(),
        Some(simple(1)),
        "the others can be read"
    );
    journal.note(&event("and written")).unwrap();
}

#[test]
fn a_damaged_journal_is_an_error_and_no_panic() {
    let state = tempfile::tempdir().unwrap();
    {
        let journal = open(&state);
        for number in 1..=30 {
            journal
                .commit(&simple(number), &[event("x")], None)
                .unwrap();
        }
    }
    let path = state.path().join("journal.redb");
    let sound = std::fs::read(&path).unwrap();
    let mut refused = 0;
    // Every part of the file once.
    for part in 0..64 {
        let mut bytes = sound.clone();
        let length = bytes.len() / 64;
        bytes[part * length..(part + 1) * length]
            .iter_mut()
            .for_each(|byte| *byte ^= 0x55);
        std::fs::write(&path, &bytes).unwrap();
        let read = Journal::open(state.path(), SHORT).and_then(|journal| {
            journal.history(100)?;
            journal.events(0, 100)?;
            journal.active()
        });
        match read {
            // Pages that nothing refers to, or one of the two that a commit takes turns with.
            Ok(active) => assert!(
                active.is_some_and(|active| active.number >= 29),
                "part {part}"
            ),
            Err(JournalError::Damaged { .. }) => refused += 1,
            Err(error) => panic!("part {part}: {error}"),
        }
    }
    assert!(refused > 0);
    for bytes in [&b"no database at all"[..], &sound[..sound.len() / 2]] {
        std::fs::write(&path, bytes).unwrap();
        let refused = error(&state);
        assert!(matches!(refused, JournalError::Damaged { .. }), "{refused}");
        assert!(refused.to_string().ends_with("move it away to begin anew"));
    }
}

/// Runs a test of this file in a process of its own, after a line of shell that prepares `$DIR`.
fn in_child(test: &str, directory: &Path, prepare: &str) {
    let script = format!("{prepare} && exec \"$0\" \"$@\"");
    let output = Command::new("unshare")
        .args(["-m", "sh", "-c", &script])
        .arg(std::env::current_exe().unwrap())
        .args([
            &format!("journal::tests::trouble::{test}"),
            "--exact",
            "--nocapture",
        ])
        .env(DIRECTORY, directory)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

fn directory_of_child() -> Option<PathBuf> {
    std::env::var_os(DIRECTORY).map(PathBuf::from)
}

/// Whether this user may have mounts of his own.
fn may_mount() -> bool {
    let tried = Command::new("unshare").args(["-m", "true"]).status();
    tried.is_ok_and(|status| status.success())
}

#[test]
fn a_full_disk_refuses_deploys_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let prepare = if may_mount() {
        "mount -t tmpfs -o size=8m tmpfs \"$SKEP_TEST_STATE\""
    } else {
        "ulimit -f 8192 && trap '' XFSZ"
    };
    in_child("on_a_full_disk", directory.path(), prepare);
}

#[test]
fn on_a_full_disk() {
    let Some(directory) = directory_of_child() else {
        return;
    };
    let state = directory.join("state");
    let journal = Journal::open(&state, SHORT).unwrap();
    let store = Store::in_state(&state);
    let kept = store.put(b"kept").unwrap();
    let large = |number: u64| {
        let mut generation = generation(number, 1, kept.digest());
        generation.keep_manifest(&format!("# {}", "x".repeat(100_000 + number as usize)));
        generation
    };
    let mut acknowledged = 0;
    let error = loop {
        // Events too, and what is begun: whichever of them finds no room first.
        let result = journal.begin(&intent()).and_then(|begun| {
            journal.commit(&large(acknowledged + 1), &[event("x")], Some(begun.intent))
        });
        match result {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 10_000, "this disk is never full");
    };
    assert!(acknowledged > 0);
    assert!(matches!(error, JournalError::Io { .. }), "{error}");
    assert!(error.to_string().contains(" and try again"), "{error}");
    for _ in 0..2 {
        assert_eq!(journal.active().unwrap(), Some(large(acknowledged)));
        journal
            .commit(&large(acknowledged + 1), &[], None)
            .unwrap_err();
    }
    let components = state.join("components");
    let files = || std::fs::read_dir(&components).unwrap().count();
    let error = store.put(&vec![7; 9 << 20]).unwrap_err();
    assert!(error.to_string().contains(" and try again"), "{error}");
    assert_eq!(files(), 1, "nothing is left of it");
    assert_eq!(store.read(kept.digest()).unwrap(), b"kept");
    drop(journal);
    let journal = Journal::open(&state, SHORT).unwrap();
    assert_eq!(journal.active().unwrap(), Some(large(acknowledged)));
    println!(
        "acknowledged {acknowledged}, trouble {:?}",
        journal.trouble()
    );
}

#[test]
fn a_disk_that_has_room_again_is_written_again() {
    if may_mount() {
        let directory = tempfile::tempdir().unwrap();
        let prepare = "mount -t tmpfs -o size=8m tmpfs \"$SKEP_TEST_STATE\"";
        in_child(
            "on_a_disk_that_is_full_for_a_while",
            directory.path(),
            prepare,
        );
    }
}

#[test]
fn on_a_disk_that_is_full_for_a_while() {
    let Some(directory) = directory_of_child() else {
        return;
    };
    let state = directory.join("state");
    let journal = Journal::open(&state, SHORT).unwrap();
    let filler = directory.join("filler");
    for number in 1..=5 {
        journal.commit(&simple(number), &[], None).unwrap();
        std::fs::write(&filler, vec![0; 16 << 20]).unwrap_err();
        let large = Generation {
            path: "x".repeat(3 << 20),
            ..simple(number + 1)
        };
        let error = journal.commit(&large, &[], None).unwrap_err();
        assert!(matches!(error, JournalError::Io { .. }), "{error}");
        assert_eq!(journal.active().unwrap(), Some(simple(number)));
        std::fs::remove_file(&filler).unwrap();
    }
    assert!(journal.trouble().is_none());
}

/// Makes `$SKEP_TEST_STATE` read-only, as this user may.
fn read_only() -> &'static str {
    if may_mount() {
        "mount --bind \"$SKEP_TEST_STATE\" \"$SKEP_TEST_STATE\" && mount -o remount,ro,bind \"$SKEP_TEST_STATE\""
    } else {
        "chmod -R a-w \"$SKEP_TEST_STATE\""
    }
}

#[test]
fn a_read_only_directory_is_read() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    let component = Store::in_state(state.path()).put(b"kept").unwrap().digest();
    journal
        .commit(&generation(1, 1, component), &[event("one")], None)
        .unwrap();
    // While it is open, and so as a crash would leave it behind; and closed.
    in_child("on_a_read_only_disk", state.path(), read_only());
    drop(journal);
    in_child("on_a_read_only_disk", state.path(), read_only());
}

#[test]
fn on_a_read_only_disk() {
    let Some(directory) = directory_of_child() else {
        return;
    };
    let journal = Journal::open(&directory, SHORT).unwrap();
    let trouble = journal.trouble().unwrap().to_string();
    assert!(
        trouble.ends_with("name a directory that this user can write with host.state"),
        "{trouble}"
    );
    let active = journal.active().unwrap().unwrap();
    assert_eq!(active.number, 1);
    assert_eq!(texts(&journal.events(0, 9).unwrap()), ["1 one"]);
    let store = Store::in_state(&directory);
    let component = active.components().next().unwrap();
    assert_eq!(store.read(component).unwrap(), b"kept");
    let refused = [
        journal.commit(&simple(2), &[], None).unwrap_err(),
        journal.note(&event("two")).unwrap_err(),
        journal.begin(&intent()).unwrap_err(),
        journal.forget(0).unwrap_err(),
    ];
    for error in refused {
        assert!(matches!(error, JournalError::Unwritable { .. }), "{error}");
        assert!(error.to_string().ends_with(&trouble), "{error}");
    }
    store.put(b"new").unwrap_err();
    assert_eq!(journal.active().unwrap(), Some(active));
}

#[test]
fn an_empty_read_only_directory_serves_as_one_without_a_past() {
    let state = tempfile::tempdir().unwrap();
    in_child("in_an_empty_read_only_directory", state.path(), read_only());
}

#[test]
fn in_an_empty_read_only_directory() {
    let Some(directory) = directory_of_child() else {
        return;
    };
    for directory in [directory.clone(), directory.join("deeper/still")] {
        let journal = Journal::open(&directory, SHORT).unwrap();
        assert!(journal.trouble().is_some());
        assert_eq!(journal.active().unwrap(), None);
        journal.commit(&simple(1), &[], None).unwrap_err();
    }
}
