//! What is stored stays, what is not wanted goes, and damage is seen.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn store() -> (tempfile::TempDir, Store) {
    let state = tempfile::tempdir().unwrap();
    let store = Store::in_state(state.path());
    (state, store)
}

fn files(store: &Store) -> usize {
    let entries = std::fs::read_dir(&store.inner.directory);
    entries.map_or(0, Iterator::count)
}

#[test]
fn a_component_comes_back_as_it_was_stored() {
    let (state, store) = store();
    let pin = store.put(b"one").unwrap();
    assert_eq!(pin.digest(), Digest::of(b"one"));
    assert_eq!(store.read(pin.digest()).unwrap(), b"one");
    // Of another host that is started later in the same directory.
    let again = Store::in_state(state.path());
    assert_eq!(again.read(pin.digest()).unwrap(), b"one");
    again.put(b"one").unwrap();
    assert_eq!(files(&store), 1);
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    let path = store.path(pin.digest());
    assert_eq!((mode(&path), mode(&store.inner.directory)), (0o600, 0o700));
}

#[test]
fn what_is_not_as_it_was_is_not_given_out() {
    let (_state, store) = store();
    let digest = store.put(b"one").unwrap().digest();
    for damage in [&b"two"[..], b"", b"one and more"] {
        std::fs::write(store.path(digest), damage).unwrap();
        let error = store.read(digest).unwrap_err();
        assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
        assert!(error.to_string().ends_with("deploy the component again"));
    }
    store.put(b"one").unwrap();
    assert_eq!(store.read(digest).unwrap(), b"one", "storing it mends it");
    std::fs::remove_file(store.path(digest)).unwrap();
    let error = store.read(digest).unwrap_err();
    assert!(matches!(error, StoreError::Missing { .. }), "{error}");
    std::fs::create_dir(store.path(digest)).unwrap();
    let error = store.read(digest).unwrap_err();
    assert!(
        matches!(error, StoreError::Io { doing: "read", .. }),
        "{error}"
    );
}

#[test]
fn what_nobody_wants_is_collected_and_nothing_else() {
    let (_state, store) = store();
    assert_eq!(
        store.collect(&BTreeSet::new()).unwrap(),
        Collected::default()
    );
    let kept = store.put(b"named by a generation").unwrap().digest();
    let pinned = store.put(b"in use").unwrap();
    let unwanted = store.put(b"unwanted").unwrap().digest();
    let directory = &store.inner.directory;
    for name in [".new-abcdef", "notes.txt", "0123.wasm"] {
        std::fs::write(directory.join(name), "12345").unwrap();
    }
    let keep = BTreeSet::from([kept]);
    let collected = store.collect(&keep).unwrap();
    let expected = Collected {
        deleted: 2,
        deleted_bytes: 8 + 5,
        kept: 2,
        kept_bytes: 21 + 6,
    };
    assert_eq!(collected, expected);
    store.read(unwanted).unwrap_err();
    store.read(kept).unwrap();
    store.read(pinned.digest()).unwrap();
    assert_eq!(files(&store), 4, "what is not the store's stays");
    let second = store.pin(pinned.digest());
    drop(pinned);
    assert_eq!(store.collect(&keep).unwrap().deleted, 0, "pinned twice");
    let digest = second.digest();
    drop(second);
    assert_eq!(store.collect(&keep).unwrap().deleted, 1);
    store.read(digest).unwrap_err();
}

#[test]
fn what_is_stored_while_others_collect_is_there() {
    let (_state, store) = store();
    let keep = BTreeSet::new();
    std::thread::scope(|scope| {
        let collector = scope.spawn(|| {
            for _ in 0..300 {
                store.collect(&keep).unwrap();
            }
        });
        let mut number = 0;
        while !collector.is_finished() {
            // The same few again and again, so that storing meets collecting.
            let bytes = format!("component {}", number % 3);
            let pin = store.put(bytes.as_bytes()).unwrap();
            assert_eq!(store.read(pin.digest()).unwrap(), bytes.as_bytes());
            number += 1;
        }
    });
    store.collect(&keep).unwrap();
    assert_eq!(files(&store), 0);
}
