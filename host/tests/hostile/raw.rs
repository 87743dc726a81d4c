//! Guests of WASI 0.3 that speak the canonical ABI by hand, and wrongly: what no language's bindings
//! would let them say.

use std::path::Path;

use wit_parser::Resolve;

use crate::member::{Member, Wasi, made};

members! {
    // An answer (of the error code DNS-timeout), and then another.
    response_set_twice_p3: raw("(call $error) (call $error) (i32.const 0)", UNUSED)
        .traps("")
        .fails(502, "error-code", "");
    response_never_set_p3: raw("(i32.const 0)", UNUSED).traps("");
    response_that_is_none_p3: raw("(call $response (i32.const 12345)) (i32.const 0)", UNUSED).traps("");
    // 0 is the end, 1 a yield, 2 a wait for the set in the upper bits.
    a_callback_code_that_is_none: raw("(i32.const 99)", UNUSED).traps("");
    a_wait_for_what_is_not: raw("(i32.const 0x72)", UNUSED).traps("");
    a_wait_for_nothing: raw(
        "(i32.or (i32.const 2) (i32.shl (call $new-set) (i32.const 4)))",
        UNUSED,
    )
    .impatient()
    .misses_its_deadline()
    .traps("");
    yields_for_ever_by_code: raw("(i32.const 1)", "(i32.const 1)").computes_too_long();
    loop_in_a_callback: raw("(i32.const 1)", "(loop $for-ever (br $for-ever)) (i32.const 0)")
        .computes_too_long();
    trap_in_a_callback: raw("(i32.const 1)", "unreachable").traps("unreachable");
    sets_without_end: raw(
        "(loop $for-ever (drop (call $new-set)) (br $for-ever)) (i32.const 0)",
        UNUSED,
    )
    .traps("handle")
    .traps("free keys");
}

/// The callback of a guest that never waits.
const UNUSED: &str = "unreachable";

/// A handler whose function and callback are these instructions; each leaves a callback code.
fn raw(handle: &str, callback: &str) -> Member {
    // The parameters are those of `result<response, error-code>`, flattened.
    let text = format!(
        r#"(module
          (import "[export]wasi:http/handler@0.3.0" "[task-return]handle"
            (func $return (param i32 i32 i32 i64 i32 i32 i32 i32)))
          (import "$root" "[waitable-set-new]" (func $new-set (result i32)))
          (memory (export "memory") 1)
          (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
          (func $response (param $handle i32)
            (call $return (i32.const 0) (local.get $handle) (i32.const 0) (i64.const 0)
              (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
          (func $error
            (call $return (i32.const 1) (i32.const 0) (i32.const 0) (i64.const 0)
              (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
          (func (export "[async-lift]wasi:http/handler@0.3.0#handle") (param i32) (result i32)
            {handle})
          (func (export "[callback][async-lift]wasi:http/handler@0.3.0#handle")
            (param i32 i32 i32) (result i32)
            {callback}))"#
    );
    let mut module = wat::parse_str(text).unwrap_or_else(|error| panic!("{error}"));
    let mut resolve = Resolve::default();
    let wit = Path::new(env!("CARGO_MANIFEST_DIR")).join("../wit/wasi-0.3");
    let (package, _) = resolve.push_dir(&wit).unwrap();
    let world = resolve.select_world(&[package], Some("handler")).unwrap();
    let utf8 = wit_component::StringEncoding::UTF8;
    wit_component::embed_component_metadata(&mut module, &resolve, world, utf8).unwrap();
    let encoder = wit_component::ComponentEncoder::default().module(&module);
    let component = encoder.and_then(|mut encoder| encoder.encode());
    made(
        component.unwrap_or_else(|error| panic!("{error:#}")),
        Wasi::V03,
    )
}
