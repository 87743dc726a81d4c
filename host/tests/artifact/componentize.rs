//! `skep componentize`: what it makes can be run, and what it refuses is told.

use std::process::Command;

use skep::artifact::Artifact;

use crate::{Bench, SKEP};

#[test]
fn a_core_module_is_made_a_component() {
    let bench = Bench::new();
    let path = |name: &str| bench.root.path().join(name);
    let core = r#"(module (memory (export "memory") 1)
        (func (export "answer") (result i32) (i32.const 42)))"#;
    std::fs::write(path("core.wasm"), wat::parse_str(core).unwrap()).unwrap();
    // A program as compilers write it for WASI 0.1: it asks the adapter for random bytes.
    let program = r#"(module
        (import "wasi_snapshot_preview1" "random_get" (func $random (param i32 i32) (result i32)))
        (memory (export "memory") 1)
        (func (export "_start") (drop (call $random (i32.const 0) (i32.const 8)))))"#;
    std::fs::write(path("program.wasm"), wat::parse_str(program).unwrap()).unwrap();
    std::fs::write(
        path("world.wit"),
        "package a:b; world answers { export answer: func() -> u32; }",
    )
    .unwrap();
    std::fs::write(path("text.wasm"), "no module").unwrap();
    let componentize = |arguments: &[&str]| {
        let output = Command::new(SKEP)
            .current_dir(bench.root.path())
            .arg("componentize")
            .args(arguments)
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(said).unwrap())
    };

    let (code, said) = componentize(&["core.wasm", "--wit", "world.wit", "-o", "answer.wasm"]);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with("answer.wasm: "), "{said}");
    let made = Artifact::load(path("answer.wasm")).unwrap();
    assert_eq!(bench.answer(&bench.cache().component(&made).unwrap()), 42);

    let (code, said) = componentize(&["program.wasm"]);
    assert_eq!(code, Some(0), "{said}");
    let made = Artifact::load(path("program.component.wasm")).unwrap();
    let exports = &made.description().exports;
    assert!(
        exports
            .iter()
            .any(|item| item.name.starts_with("wasi:cli/run@0.2"))
    );

    let refused: [(&[&str], &str); 5] = [
        (&["answer.wasm"], "answer.wasm is a component already"),
        (&["text.wasm"], "text.wasm is no WebAssembly module"),
        (&["none.wasm"], "cannot read none.wasm"),
        (
            &["core.wasm", "--wit", "world.wit", "--world", "other"],
            "world.wit has no world to make a component for",
        ),
        (
            &["program.wasm", "--wit", "world.wit"],
            "cannot make a component of program.wasm",
        ),
    ];
    for (arguments, why) in refused {
        let (code, said) = componentize(arguments);
        assert_eq!(code, Some(3), "{said}");
        assert!(said.contains(why), "{arguments:?}: {said}");
    }
    let (code, said) = componentize(&["program.wasm", "-o", "none/out.wasm"]);
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("cannot write none/out.wasm"), "{said}");
}
