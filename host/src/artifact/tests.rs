//! Files that are no components, and what is said of those that are.

use std::io::Write;

use proptest::prelude::*;

use super::*;

/// Answers HTTP and needs most kinds of import that there are.
const HANDLER: &str = r#"
(component $shop
  (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64)))))
  (import "wasi:http/outgoing-handler@0.2.99" (instance))
  (import "wasi:config/store@0.2.0-rc.1" (instance))
  (import "wasi:sockets/tcp@0.2.3" (instance))
  (import "wasi:filesystem/types@0.2.3" (instance))
  (core module $m
    (memory (export "memory") 17)
    (table 5 funcref)
    (func (export "f"))
    (@producers (language "Rust" "") (processed-by "rustc" "1.91.0")))
  (core instance $i (instantiate $m))
  (func $f (canon lift (core func $i "f")))
  (instance $h (export "handle" (func $f)))
  (export "wasi:http/incoming-handler@0.2.3" (instance $h)))
"#;

fn assemble(wat: &str) -> Vec<u8> {
    wat::parse_str(wat).unwrap()
}

fn describe(wat: &str) -> Description {
    let artifact = Artifact::from_bytes("test.wasm", assemble(wat)).unwrap();
    artifact.validate().unwrap();
    artifact.description().clone()
}

/// A component with nothing but an export of a function in an instance.
fn exporting(name: &str, function: &str) -> String {
    format!(
        r#"(component
             (core module $m (func (export "f")))
             (core instance $i (instantiate $m))
             (func $f (canon lift (core func $i "f")))
             (instance $h (export "{function}" (func $f)))
             (export "{name}" (instance $h)))"#
    )
}

/// The whole message for a file with these bytes.
fn message(bytes: &[u8]) -> String {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let error = Artifact::load(file.path()).unwrap_err();
    error
        .to_string()
        .replace(&file.path().display().to_string(), "F")
}

#[test]
fn what_is_not_a_component_is_named() {
    let core = assemble("(module)");
    let preview1 = assemble(r#"(module (import "wasi_snapshot_preview1" "fd_write" (func)))"#);
    let with_wit = assemble(r#"(module (@custom "component-type:x" "wit"))"#);
    let package = wit_package();
    let rows: &[(&[u8], &str)] = &[
        (
            b"",
            "it is empty; the build that writes it has failed or still runs",
        ),
        (
            b"(module)",
            "it looks like WebAssembly text (WAT); assemble it with `wasm-tools parse",
        ),
        (b";; a comment\n\n(component)", "WebAssembly text (WAT)"),
        (b"// docs\npackage a:b;\n", "WIT text"),
        (
            b"hello there\n",
            "it looks like text; name a WebAssembly component",
        ),
        ("grüße".as_bytes(), "it looks like text"),
        (b"{\"a\": 1}", "it looks like JSON"),
        (b"[package]\nname = 1", "it looks like text"),
        (b"#!/bin/sh\n", "it looks like a script"),
        (
            b"<!DOCTYPE html><html>",
            "an HTML page; the download answered with a page",
        ),
        (
            b"version https://git-lfs.github.com/spec/v1\n",
            "a Git LFS pointer; fetch the file",
        ),
        (
            b"\x1f\x8b\x08\0\0\0",
            "a gzip file (`gunzip` unpacks it); unpack it first",
        ),
        (b"PK\x03\x04....", "a zip file"),
        (b"\x28\xb5\x2f\xfd....", "a zstd file"),
        (
            b"\x7fELF\x02\x01\x01\0\0\0",
            "native code (ELF); build it for wasm32-wasip2",
        ),
        (
            b"\x7fELF\x02\x01\x01\xc8\0\0",
            "code that wasmtime has compiled (.cwasm)",
        ),
        (b"MZ\x90\0", "native code (Windows)"),
        (&[0; 100], "nothing but zero bytes"),
        (
            b"\x01\x02\x03\x04\x05",
            "binary data that begins with [01, 02, 03, 04]",
        ),
        (b"\0as", "it is cut off: it has 3 bytes"),
        (b"\0asm\x0d\0", "it is cut off: it has 6 bytes"),
        (b"\0asm\x0c\0\x01\0", "unknown version ([0c, 00, 01, 00])"),
        (
            &core,
            "it is a core WebAssembly module, not a component; build it for wasm32-wasip2; a core module has no WIT",
        ),
        (
            &preview1,
            "make a component of it with `wasm-tools component new MODULE --adapt",
        ),
        (
            &with_wit,
            "it carries its WIT: `wasm-tools component new MODULE -o COMPONENT`",
        ),
        (
            &package,
            "it is a WIT package (interface types without code)",
        ),
        (
            b"\0asm\x0d\0\x01\0\x63\x00",
            "it is corrupt or was made by a faulty tool: at byte",
        ),
    ];
    for (bytes, expected) in rows {
        let message = message(bytes);
        assert!(
            message.starts_with("cannot load component `F`: "),
            "{message}"
        );
        assert!(message.contains(expected), "{message}\nlacks: {expected}");
    }
}

fn wit_package() -> Vec<u8> {
    assemble(
        r#"(component
             (type (component
               (type (instance (type (func)) (export "f" (func (type 0)))))
               (export "a:b/i" (instance (type 0)))))
             (export "i" (type 0)))"#,
    )
}

#[test]
fn what_cannot_be_read_is_named() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("cart.wasm"), b"x").unwrap();
    let fault = |path: &Path| Artifact::load(path).unwrap_err().to_string();

    let message = fault(dir.path());
    assert!(
        message.contains("it is a directory; name the .wasm file in it"),
        "{message}"
    );
    let message = fault(&dir.path().join("cart.wsm"));
    assert!(
        message.contains("no such file; did you mean `cart.wasm`?"),
        "{message}"
    );
    let message = fault(&dir.path().join("catalog.wasm"));
    assert!(
        message.contains("no such file; build it first"),
        "{message}"
    );
    let message = fault(&dir.path().join("cart.wasm/x"));
    assert!(message.contains("it cannot be read"), "{message}");
    let message = fault(Path::new("/dev/zero"));
    assert!(message.contains("it is not a regular file"), "{message}");
    let fault = Fault::from_io(std::io::ErrorKind::PermissionDenied.into(), dir.path());
    assert!(matches!(fault, Fault::Denied));

    // A pipe without a writer would block whoever opens it.
    let pipe = dir.path().join("pipe");
    let name = std::ffi::CString::new(pipe.as_os_str().as_encoded_bytes()).unwrap();
    // SAFETY: a valid C string.
    assert_eq!(unsafe { libc::mkfifo(name.as_ptr(), 0o600) }, 0);
    let error = Artifact::load(&pipe).unwrap_err();
    assert!(matches!(error.fault(), Fault::NotAFile));
}

#[test]
fn an_enormous_file_is_refused_unread() {
    let file = tempfile::NamedTempFile::new().unwrap();
    file.as_file().set_len(10 << 30).unwrap();
    let began = std::time::Instant::now();
    let error = Artifact::load(file.path()).unwrap_err();
    assert!(matches!(error.fault(), Fault::TooLarge { size } if *size == 10 << 30));
    assert!(
        error
            .to_string()
            .contains("it has 10737418240 bytes, and a component may have 134217728")
    );
    assert!(began.elapsed().as_secs() < 1);
}

#[test]
fn a_component_is_described() {
    let description = describe(HANDLER);
    assert_eq!(description.role, Role::HttpHandler02);
    assert_eq!(description.name.as_deref(), Some("shop"));
    assert_eq!(description.languages().collect::<Vec<_>>(), ["Rust"]);
    assert_eq!(description.producers[1].version, "1.91.0");
    let clock = description.import("wasi:clocks/wall-clock").unwrap();
    assert_eq!(
        (clock.version(), clock.kind),
        (Some("0.2.0"), ItemKind::Interface)
    );
    assert_eq!(clock.functions, ["now"]);
    assert_eq!(description.exports[0].functions, ["handle"]);
    let sizes = description.sizes;
    assert_eq!(sizes.memory_min_bytes, 17 << 16);
    assert_eq!(
        (sizes.memories, sizes.tables, sizes.table_min_elements),
        (1, 1, 5)
    );
    assert_eq!((sizes.core_modules, sizes.functions), (1, 1));
    assert_eq!(sizes.component_bytes, assemble(HANDLER).len() as u64);
}

#[test]
fn roles_follow_released_exports() {
    let rows = [
        (
            "wasi:http/incoming-handler@0.2.0",
            "handle",
            Role::HttpHandler02,
        ),
        (
            "wasi:http/incoming-handler@0.2.12",
            "handle",
            Role::HttpHandler02,
        ),
        (
            "wasi:http/incoming-handler@0.2.0-rc-2023-11-10",
            "handle",
            Role::Library,
        ),
        ("wasi:http/handler@0.3.0", "handle", Role::HttpHandler03),
        ("wasi:http/handler@0.3.2", "handle", Role::HttpHandler03),
        (
            "wasi:http/handler@0.3.0-rc-2026-01-06",
            "handle",
            Role::Library,
        ),
        ("wasi:http/handler@0.4.0", "handle", Role::Library),
        ("wasi:http/incoming-handler", "handle", Role::Library),
        ("wasi:cli/run@0.2.3", "run", Role::Worker),
        ("wasi:cli/run@0.2.3", "walk", Role::Library),
        ("wasi:cli/run@0.3.0", "run", Role::Worker),
        ("wasi:cli/run@0.4.0", "run", Role::Library),
        ("shop:catalog/products", "find", Role::Library),
    ];
    for (name, function, role) in rows {
        let description = describe(&exporting(name, function));
        assert_eq!(description.role, role, "{name}");
    }
}

#[test]
fn needs_follow_the_table() {
    let need = |import: &str| {
        let description = describe(&format!(
            r#"(component (import "{import}" (instance (export "f" (func)))))"#
        ));
        required_grants(&description).remove(0)
    };
    let word = |import: &str| match need(import).need {
        Need::Given => "given".to_owned(),
        Need::Denied => "denied".to_owned(),
        Need::Optional { grant, .. } => format!("optional {grant}"),
        Need::Required { grant, .. } => format!("required {grant}"),
        Need::Missing { nearest } => format!("missing {}", nearest.join(" ")),
    };
    let rows = [
        ("wasi:http/types@0.2.0", "given"),
        ("wasi:http/types@0.3.1", "given"),
        (
            "wasi:http/types@0.1.0",
            "missing wasi:http/types@0.2.12 wasi:http/types@0.3.0",
        ),
        (
            "wasi:http/types@0.3.0-rc-2025-09-16",
            "missing wasi:http/types@0.2.12 wasi:http/types@0.3.0",
        ),
        ("wasi:http/client@0.3.0", "required http"),
        ("wasi:http/outgoing-handler@0.2.4", "required http"),
        (
            "wasi:http/outgoing-handlr@0.2.4",
            "missing wasi:http/outgoing-handler@0.2.12",
        ),
        ("wasi:config/store@0.2.0-rc.1", "required config"),
        ("wasi:config/store@0.2.0-draft", "required config"),
        (
            "wasi:config/store@0.2.0-draft-2024-09-27",
            "required config",
        ),
        ("wasi:config/runtime@0.2.0-draft", "required config"),
        (
            "wasi:config/runtime@0.2.0-rc.1",
            "missing wasi:config/runtime@0.2.0-draft",
        ),
        ("wasi:logging/logging@0.1.0-draft", "given"),
        ("wasi:logging/logging", "given"),
        (
            "wasi:logging/logging@0.1.0",
            "missing wasi:logging/logging@0.1.0-draft wasi:logging/logging",
        ),
        ("wasi:cli/environment@0.2.6", "optional environment"),
        ("wasi:filesystem/preopens@0.2.6", "optional directories"),
        ("wasi:sockets/udp@0.2.0", "denied"),
        ("wasi:sockets/types@0.3.0", "denied"),
        ("wasi:keyvalue/store@0.2.0-draft", "missing "),
        ("shop:catalog/products@1.0.0", "missing "),
        (
            "wasi:clocks/wall-clock",
            "missing wasi:clocks/wall-clock@0.2.12",
        ),
    ];
    for (import, expected) in rows {
        assert_eq!(word(import), expected, "{import}");
    }
    assert_eq!(need("wasi:io/poll@0.2.12").note, "");
    assert_eq!(need("wasi:io/poll@0.2.13").note, "newer than Skep's 0.2.12");
    let note = need("shop:catalog/products@1.0.0").note;
    assert!(note.contains("another service"), "{note}");
    let types = r#"(component
        (import "shop:catalog/types@1.0.0" (instance
          (type $price (record (field "cents" u32)))
          (export "price" (type (eq $price))))))"#;
    let grant = required_grants(&describe(types)).remove(0);
    assert_eq!((grant.need, &*grant.note), (Need::Given, "types only"));
    let resource = r#"(component
        (import "shop:catalog/items@1.0.0" (instance $i (export "item" (type (sub resource)))))
        (alias export $i "item" (type $item))
        (import "shop:catalog/names@1.0.0" (instance (export "thing" (type (eq $item))))))"#;
    let description = describe(resource);
    assert_eq!(description.imports[0].resources, ["item"]);
    let grants = required_grants(&description);
    assert!(matches!(grants[0].need, Need::Missing { .. }), "{grants:?}");
    assert_eq!(grants[1].need, Need::Given);
    let function = describe(r#"(component (import "f" (func)))"#);
    let grant = required_grants(&function).remove(0);
    assert!(matches!(grant.need, Need::Missing { .. }), "{grant:?}");
}

#[test]
fn unsupported_is_not_corrupt() {
    let gc = assemble("(component (core module (type (struct)) (func (drop (struct.new 0)))))");
    let artifact = Artifact::from_bytes("gc.wasm", gc).unwrap();
    let error = artifact.validate().unwrap_err();
    assert!(
        matches!(error.fault(), Fault::Unsupported { .. }),
        "{error}"
    );

    // Returns nothing where a number is promised: only bodies are wrong.
    let mut module = wasm_encoder::Module::new();
    let mut types = wasm_encoder::TypeSection::new();
    types.ty().function([], [wasm_encoder::ValType::I32]);
    let mut functions = wasm_encoder::FunctionSection::new();
    functions.function(0);
    let mut code = wasm_encoder::CodeSection::new();
    let mut body = wasm_encoder::Function::new([]);
    body.instruction(&wasm_encoder::Instruction::End);
    code.function(&body);
    module.section(&types).section(&functions).section(&code);
    let mut component = wasm_encoder::Component::new();
    component.section(&wasm_encoder::ModuleSection(&module));
    let artifact = Artifact::from_bytes("bad.wasm", component.finish()).unwrap();
    let error = artifact.validate().unwrap_err();
    assert!(matches!(error.fault(), Fault::Corrupt { .. }), "{error}");
}

#[test]
fn a_broken_producers_section_costs_nothing() {
    let bytes = assemble(
        r#"(component (@custom "producers" "\ff\ff\ff") (@custom "component-name" "\ff"))"#,
    );
    let artifact = Artifact::from_bytes("x", bytes).unwrap();
    assert!(artifact.description().producers.is_empty());
}

#[test]
fn the_world_prints_as_wit() {
    let bytes = assemble(&exporting("shop:catalog/products@1.0.0", "find"));
    let artifact = Artifact::from_bytes("x", bytes).unwrap();
    let wit = artifact.wit(false).unwrap();
    assert!(wit.contains("export shop:catalog/products@1.0.0;"), "{wit}");
    assert!(wit.contains("find: func();"), "{wit}");
    // Valid, but nothing that WIT could say; the decoder panics on it.
    let odd = assemble(r#"(component (type $f (func)) (export "f" (type $f)))"#);
    let artifact = Artifact::from_bytes("x", odd).unwrap();
    artifact.validate().unwrap();
    assert!(artifact.wit(false).is_err());
    let clock = r#"(component (import "wasi:clocks/wall-clock@0.2.0" (instance (export "now" (func (result u64))))))"#;
    let artifact = Artifact::from_bytes("x", assemble(clock)).unwrap();
    assert!(!artifact.wit(false).unwrap().contains("now"));
    assert!(artifact.wit(true).unwrap().contains("now: func() -> u64;"));
}

/// Whatever the bytes: an answer, and the same work for all three questions.
fn ask_all(bytes: Vec<u8>) -> Result<(), ArtifactError> {
    let artifact = Artifact::from_bytes("x", bytes)?;
    required_grants(artifact.description());
    let _ = artifact.wit(true);
    artifact.validate()
}

/// Components as compilers make them, if the guests have been built; else the small one alone.
fn samples() -> Vec<Vec<u8>> {
    let guests = concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests");
    let built = ["hello.wasm", "hello-p3.wasm"]
        .iter()
        .filter_map(|name| std::fs::read(Path::new(guests).join(name)).ok());
    built.chain([assemble(HANDLER)]).collect()
}

#[test]
fn every_truncation_gets_an_answer() {
    for sample in samples() {
        // All lengths of the small one, some 300 of each large one.
        let step = (sample.len() / 300).max(1);
        let mut told = 0;
        for length in (0..sample.len()).step_by(step) {
            match ask_all(sample[..length].to_vec()) {
                Err(error) => told += usize::from(!matches!(error.fault(), Fault::Corrupt { .. })),
                // Cut between two sections, what is left may be a whole (smaller) component.
                Ok(()) => told += 1,
            }
        }
        let asked = sample.len().div_ceil(step);
        assert!(
            told * 10 >= asked * 9,
            "only {told} of {asked} were called cut off"
        );
    }
}

#[test]
fn every_flipped_bit_gets_an_answer() {
    for sample in samples() {
        let bits = sample.len() * 8;
        let step = (bits / 2000).max(1);
        for bit in (0..bits).step_by(step) {
            let mut bytes = sample.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            let _ = ask_all(bytes);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_get_an_answer(bytes in prop::collection::vec(any::<u8>(), 0..2000)) {
        let _ = ask_all(bytes);
    }

    #[test]
    fn arbitrary_bytes_after_the_magic_get_an_answer(
        tail in prop::collection::vec(prop_oneof![0_u8..16, any::<u8>()], 0..300),
    ) {
        let _ = ask_all([b"\0asm\x0d\0\x01\0".as_slice(), &tail].concat());
    }

    #[test]
    fn mangled_components_get_an_answer(
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0_u8..3), 1..8),
    ) {
        let mut bytes = assemble(HANDLER);
        for (at, byte, kind) in edits {
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => drop(bytes.remove(at)),
            }
        }
        let _ = ask_all(bytes);
    }

    #[test]
    fn edit_distance_is_a_distance(a in "[a-c]{0,6}", b in "[a-c]{0,6}") {
        let distance = needs::edit_distance(&a, &b);
        prop_assert_eq!(distance, needs::edit_distance(&b, &a));
        prop_assert_eq!(distance == 0, a == b);
        prop_assert!(distance <= a.len().max(b.len()));
    }
}
