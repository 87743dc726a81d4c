//! Functions that one compilation leaves to the next.

use std::path::{Path, PathBuf};

use skep::artifact::{Artifact, CompileLimits};

use crate::{Bench, answering, big_component, entries, files};

/// As a language's runtime is: large, with functions of which one differs from version to version.
fn runtime(version: u32) -> Artifact {
    use std::fmt::Write as _;
    let functions = (0..FUNCTIONS).fold(String::new(), |mut text, i| {
        let number = if i == 7 { version } else { i };
        write!(
            text,
            r#"(func (param i32) (result i32)
                 (i32.add (i32.mul (local.get 0) (i32.const {number})) (i32.load (i32.const {i}))))"#
        )
        .unwrap();
        text
    });
    let wat = format!(
        r#"(component
             (core module $m
               (memory 20)
               (data (i32.const 1024) "{data}")
               {functions}
               (func (export "answer") (result i32) (call 7 (i32.const 1))))
             (core instance $i (instantiate $m))
             (func (export "answer") (result u32) (canon lift (core func $i "answer"))))"#,
        data = "x".repeat(1 << 20)
    );
    let bytes = wat::parse_str(wat).unwrap();
    Artifact::from_bytes(format!("runtime-{version}.wasm"), bytes).unwrap()
}

const FUNCTIONS: u32 = 100;

/// Of these so many are found again at least. Cranelift asks for some by another name than it gave
/// them before: up to 13 of 101 here, other ones each time, which costs their compilation alone.
const MOST: u64 = 50;

/// A file of the cache without what it is sealed with.
fn unsealed(path: &Path) -> Vec<u8> {
    let mut bytes = std::fs::read(path).unwrap();
    let footer = bytes.windows(4).rposition(|at| at == b"skep").unwrap();
    bytes.truncate(footer);
    bytes
}

#[test]
fn a_new_version_is_compiled_as_far_as_it_differs() {
    let bench = Bench::new();
    let directory = bench.root.path().join("cache/compiled-1");
    let kept = || -> Vec<PathBuf> {
        let files = files(&directory).into_iter();
        files
            .filter(|path| path.extension().is_some_and(|found| found == "functions"))
            .collect()
    };
    let first = bench.compiling_in_child(CompileLimits::default());
    assert_eq!(
        bench.answer(&first.component(&runtime(1000)).unwrap()),
        1000
    );
    assert_eq!(kept().len(), 1);

    // Another host, which knows of the first one's work by what lies on disk.
    let second = bench.compiling_in_child(CompileLimits::default());
    let before = second.stats();
    assert_eq!(
        bench.answer(&second.component(&runtime(2000)).unwrap()),
        2000
    );
    let reused = second.stats().functions_reused - before.functions_reused;
    assert!(reused >= MOST, "{reused}");
    assert_eq!(kept().len(), 1);

    // What was put together is what a compiler that knows nothing makes, to the last bit.
    let alone = Bench::new();
    let cache = alone.compiling_in_child(CompileLimits::default());
    drop(cache.component(&runtime(2000)).unwrap());
    assert_eq!(cache.stats().functions_reused, 0);
    let newest = entries(&directory)
        .into_iter()
        .max_by_key(|path| path.metadata().unwrap().modified().unwrap())
        .unwrap();
    assert!(unsealed(&newest) == unsealed(&alone.entry()));

    // Damaged, they are not used, and soon replaced.
    let path = &kept()[0];
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
    let third = bench.compiling_in_child(CompileLimits::default());
    assert_eq!(
        bench.answer(&third.component(&runtime(3000)).unwrap()),
        3000
    );
    assert_eq!(third.stats().functions_reused, 0);
    assert_eq!(
        bench.answer(&third.component(&runtime(4000)).unwrap()),
        4000
    );
    let reused = third.stats().functions_reused;
    assert!(reused >= MOST, "{reused}");

    // A small component leaves none, another world its own.
    drop(third.component(&answering(1, 0)).unwrap());
    assert_eq!(kept().len(), 1);
    drop(third.component(&big_component()).unwrap());
    assert_eq!(kept().len(), 2);
}
