//! Components that nobody here wrote: wit-bindgen's runtime tests. In each a runner calls what others
//! export, here a service each, and looks at what comes back.

use super::fixture::{Host, Plan, Service, guest, service};
use super::{ask, says};

/// A service made of the component of that test and world.
fn of(test: &str, world: &str) -> Service {
    let component = guest(&format!("wit-bindgen/{test}-{world}"));
    service(world).component(component.to_str().unwrap())
}

/// The same, with who is called for an interface that several export.
fn calling(service: Service, interface: &str, callee: &str) -> Service {
    service.set("links", &format!("{{ \"{interface}\" = \"{callee}\" }}"))
}

/// The runner, asked so often: the others' instances are new and then used.
async fn passes(plan: Plan, times: usize) {
    let host = plan.start().await;
    for _ in 0..times {
        says(ask(&host, "/").await, "passed");
    }
    host.assert_no_panic();
}

/// A test of two components.
fn pair(test: &str) -> Plan {
    let runner = of(test, "runner").everywhere();
    let callee = of(test, "test").instances("reuse = 100");
    Host::with(runner).and(callee)
}

macro_rules! pairs {
    ($($name:ident $test:literal),* $(,)?) => {
        $(
            #[tokio::test]
            async fn $name() {
                passes(pair($test), 2).await;
            }
        )*
    };
}

pairs! {
    list_in_variant "list-in-variant",
    lists "lists",
    lists_alias "lists-alias",
    many_arguments "many-arguments",
    numbers "numbers",
    options "options",
    package_with_version "package-with-version",
    records "records",
    resource_borrow "resource-borrow",
    resource_aggregates "resource-aggregates",
    resource_alias "resource-alias",
    resource_alias_redux "resource-alias-redux",
    resource_borrow_in_record "resource-borrow-in-record",
    strings "strings",
    strings_alias "strings-alias",
    variants "variants",
}

/// Its callee answers the first call otherwise than the second, and never so again.
#[tokio::test]
async fn flavorful() {
    passes(pair("flavorful"), 1).await;
}

#[tokio::test]
async fn results() {
    let interface = "test:results/test";
    let runner = of("results", "runner").everywhere();
    let between = of("results", "intermediate");
    let plan = Host::with(calling(runner, interface, "intermediate"))
        .and(calling(between, interface, "leaf"))
        .and(of("results", "leaf"));
    passes(plan, 2).await;
}

#[tokio::test]
async fn resource_with_lists() {
    let (test, between) = ("resource-with-lists", "resource-with-lists");
    let interface = "test:resource-with-lists/test";
    let runner = of(test, "runner").everywhere();
    let plan = Host::with(calling(runner, interface, between))
        .and(calling(of(test, between), interface, "leaf"))
        .and(of(test, "leaf"));
    passes(plan, 2).await;
}

#[tokio::test]
async fn resources() {
    let plan = Host::with(of("resources", "runner").everywhere())
        .and(of("resources", "resources"))
        .and(of("resources", "leaf"));
    passes(plan, 2).await;
}

/// A component that passes the strings of test `strings` on, in an encoding of its own.
fn relay(encoding: &str) -> Vec<u8> {
    let options = format!(
        "(memory $libc \"memory\") (realloc (func $libc \"realloc\")) string-encoding={encoding}"
    );
    let text = format!(
        r#"(component
            (import "test:strings/to-test" (instance $in
                (export "take-basic" (func (param "s" string)))
                (export "return-unicode" (func (result string)))
                (export "return-empty" (func (result string)))
                (export "roundtrip" (func (param "s" string) (result string)))))
            (core module $libc
                (memory (export "memory") 1)
                (global $next (mut i32) (i32.const 1024))
                (func (export "realloc") (param i32 i32 i32 i32) (result i32)
                    (local $at i32)
                    (local.set $at (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                    (global.set $next (i32.add (local.get $at) (local.get 3)))
                    (memory.copy (local.get $at) (local.get 0)
                        (select (local.get 1) (local.get 3) (i32.lt_u (local.get 1) (local.get 3))))
                    (local.get $at)))
            (core instance $libc (instantiate $libc))
            (alias export $in "take-basic" (func $take-basic))
            (alias export $in "return-unicode" (func $return-unicode))
            (alias export $in "return-empty" (func $return-empty))
            (alias export $in "roundtrip" (func $roundtrip))
            (core func $take-basic (canon lower (func $take-basic) {options}))
            (core func $return-unicode (canon lower (func $return-unicode) {options}))
            (core func $return-empty (canon lower (func $return-empty) {options}))
            (core func $roundtrip (canon lower (func $roundtrip) {options}))
            (core module $main
                (import "" "return-unicode" (func $return-unicode (param i32)))
                (import "" "return-empty" (func $return-empty (param i32)))
                (import "" "roundtrip" (func $roundtrip (param i32 i32 i32)))
                (func (export "return-unicode") (result i32)
                    (call $return-unicode (i32.const 16)) (i32.const 16))
                (func (export "return-empty") (result i32)
                    (call $return-empty (i32.const 16)) (i32.const 16))
                (func (export "roundtrip") (param i32 i32) (result i32)
                    (call $roundtrip (local.get 0) (local.get 1) (i32.const 16)) (i32.const 16)))
            (core instance $main (instantiate $main (with "" (instance
                (export "return-unicode" (func $return-unicode))
                (export "return-empty" (func $return-empty))
                (export "roundtrip" (func $roundtrip))))))
            (func $out-take-basic (param "s" string)
                (canon lift (core func $take-basic) {options}))
            (func $out-return-unicode (result string)
                (canon lift (core func $main "return-unicode") {options}))
            (func $out-return-empty (result string)
                (canon lift (core func $main "return-empty") {options}))
            (func $out-roundtrip (param "s" string) (result string)
                (canon lift (core func $main "roundtrip") {options}))
            (instance $out
                (export "take-basic" (func $out-take-basic))
                (export "return-unicode" (func $out-return-unicode))
                (export "return-empty" (func $out-return-empty))
                (export "roundtrip" (func $out-roundtrip)))
            (export "test:strings/to-test" (instance $out)))"#
    );
    wat::parse_str(text).unwrap()
}

#[tokio::test]
async fn strings_through_services_of_other_encodings() {
    let interface = "test:strings/to-test";
    let relayed = |name: &str, callee: &str| {
        let file = format!("./{name}.wasm");
        calling(service(name).component(&file), interface, callee)
    };
    let runner = of("strings", "runner").everywhere();
    let plan = Host::with(calling(runner, interface, "wide"))
        .and(relayed("wide", "compact"))
        .and(relayed("compact", "test"))
        .and(of("strings", "test"))
        .bytes("wide.wasm", relay("utf16"))
        .bytes("compact.wasm", relay("latin1+utf16"));
    passes(plan, 2).await;
}
