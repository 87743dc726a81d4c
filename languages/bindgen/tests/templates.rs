//! The bindings that new services begin with are what is generated of their WIT. With `UPDATE_EXPECT=1` they
//! are written anew.

#![allow(clippy::unwrap_used, reason = "a test may fail")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Of each kind the packages of WASI that `skep new` puts beside its world.
const KINDS: [(&str, &[&str]); 3] = [
    ("http", &["cli", "clocks", "http", "io", "random"]),
    ("provider", &[]),
    ("consumer", &["cli", "clocks", "http", "io", "random"]),
];

#[test]
fn the_bindings_of_templates_are_those_of_their_wit() {
    let languages = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut different = Vec::new();
    let mut compared = 0;
    for (kind, packages) in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let wit = wit(&languages, kind, packages, folder.path());
        for language in ["c", "go"] {
            let generated = folder.path().join(language);
            let mut bindgen = Command::new(env!("CARGO_BIN_EXE_skep-bindgen"));
            bindgen
                .arg(language)
                .arg(&wit)
                .arg("service")
                .arg(&generated);
            assert!(bindgen.status().unwrap().success(), "{bindgen:?}");
            let committed = languages.join("bindings").join(language).join(kind);
            for file in files(&committed) {
                let fresh = generated.join(file.strip_prefix(&committed).unwrap());
                let fresh = fs::read(&fresh).unwrap_or_else(|error| panic!("{fresh:?}: {error}"));
                compared += 1;
                if fs::read(&file).unwrap() == fresh {
                    continue;
                }
                if std::env::var_os("UPDATE_EXPECT").is_some() {
                    fs::write(&file, fresh).unwrap();
                } else {
                    different.push(file);
                }
            }
        }
    }
    assert!(compared > 20, "only {compared} files were found");
    assert!(different.is_empty(), "not as generated: {different:#?}");
}

fn wit(languages: &Path, kind: &str, packages: &[&str], to: &Path) -> PathBuf {
    let from = languages.join("wit");
    let wit = to.join("wit");
    let copy = |from: PathBuf, to: PathBuf| {
        fs::copy(&from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
    };
    fs::create_dir_all(wit.join("deps")).unwrap();
    copy(
        from.join("worlds").join(format!("{kind}.wit")),
        wit.join("world.wit"),
    );
    for package in packages {
        let file = format!("{package}.wit");
        copy(from.join("wasi").join(&file), wit.join("deps").join(&file));
    }
    if kind != "http" {
        copy(from.join("greetings.wit"), wit.join("deps/greetings.wit"));
    }
    wit
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.append(&mut files(&path)),
            false => found.push(path),
        }
    }
    found
}
