//! Components that are hostile as files: to whoever reads, checks and compiles them. They are
//! refused before anything starts, and what refuses them lives.

use std::fmt::Write as _;

use crate::fixture::{Host, service};

/// `skep run` and `skep check` say these words, and end as they do for mistakes.
fn is_refused(text: &str, words: &[&str]) {
    let bytes = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    are_refused(bytes, words);
}

fn are_refused(bytes: Vec<u8>, words: &[&str]) {
    let hostile = service("hostile").component("./hostile.wasm").everywhere();
    let plan = Host::with(hostile.limits("memory = \"32MiB\"")).bytes("hostile.wasm", bytes);
    let run = plan.run("run", &["--listen", "127.0.0.1:0"]);
    run.expect(MISTAKES).says(words).says(&["hostile"]);
}

/// The exit code for mistakes in a manifest and its components.
const MISTAKES: i32 = 3;

fn file(name: &str) -> String {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../components/hostile/wat");
    std::fs::read_to_string(format!("{folder}/{name}.wat")).unwrap()
}

#[test]
fn half_a_gigabyte_of_memory_to_begin_with() {
    is_refused(&file("initial-memory"), &["memory-too-small"]);
}

#[test]
fn a_table_of_fifty_million_elements_to_begin_with() {
    is_refused(&file("initial-table"), &["table"]);
}

/// Each instance would take so many out of the pools that all services share.
#[test]
fn many_memories_tables_and_modules() {
    is_refused(&modules("(memory 1)", 40), &["memor"]);
    is_refused(&modules("(table 10 funcref)", 40), &["table"]);
    is_refused(&modules("", 100), &["core module instances"]);
}

#[test]
fn a_hundred_thousand_modules() {
    is_refused(&modules("", 100_000), &["limit"]);
}

/// What walks a type step by step must not do so on its own stack.
#[test]
fn types_nested_without_reason() {
    for depth in [90, 1000, 100_000] {
        let mut types = "(type $t0 u8)".to_owned();
        for n in 1..=depth {
            write!(types, "(type $t{n} (list $t{}))", n - 1).unwrap();
        }
        let text = format!(
            r#"(component {types}
              (core module $code
                (memory (export "memory") 1)
                (func (export "take") (param i32 i32))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable))
              (core instance $main (instantiate $code))
              (func (export "take") (param "it" $t{depth})
                (canon lift (core func $main "take")
                  (memory $main "memory") (realloc (func $main "realloc")))))"#
        );
        is_refused(&text, &[]);
    }
}

#[test]
fn components_nested_without_reason() {
    for depth in [50, 5000] {
        let mut component = wasm_encoder::Component::new();
        for _ in 0..depth {
            let mut outer = wasm_encoder::Component::new();
            outer.section(&wasm_encoder::NestedComponentSection(&component));
            component = outer;
        }
        are_refused(component.finish(), &[]);
    }
}

/// A handler in a component of so many core instances, each with `content`: what an instance takes
/// from the pools that all services share.
fn modules(content: &str, count: usize) -> String {
    let instances = "(core instance (instantiate $more))\n".repeat(count);
    format!(
        r#"(component
          (import "wasi:http/types@0.2.0" (instance $types
            (export "incoming-request" (type (sub resource)))
            (export "response-outparam" (type (sub resource)))))
          (alias export $types "incoming-request" (type $request))
          (alias export $types "response-outparam" (type $out))
          (core module $more {content})
          {instances}
          (core module $code (func (export "handle") (param i32 i32)))
          (core instance $main (instantiate $code))
          (func $handle (param "request" (own $request)) (param "response-out" (own $out))
            (canon lift (core func $main "handle")))
          (instance $handler (export "handle" (func $handle)))
          (export "wasi:http/incoming-handler@0.2.0" (instance $handler)))"#
    )
}
