use std::time::Instant;

use wasm_encoder::{
    CodeSection, ConstExpr, DataSection, ExportKind, ExportSection, Function, FunctionSection,
    ImportSection, MemArg, MemorySection, MemoryType, Module as Encoder, NameMap, NameSection,
    TypeSection,
};
use wasmtime::{Engine, Linker, Module, Store};

use super::*;

/// What the guest's innermost function does.
#[derive(Clone, Copy)]
enum Deed {
    Abort,
    CallItself,
    ReadBeyondMemory,
    CallHost,
}

/// A guest whose `run` (function 2) calls function 1, which does the deed. Function 0 is the
/// host's.
fn guest(name: &str, deed: Deed) -> Vec<u8> {
    let mut types = TypeSection::new();
    types.ty().function([], []);
    let mut imports = ImportSection::new();
    imports.import("host", "fail", wasm_encoder::EntityType::Function(0));
    let mut functions = FunctionSection::new();
    functions.function(0).function(0);
    let mut memories = MemorySection::new();
    memories.memory(MemoryType {
        minimum: 1,
        maximum: Some(1),
        memory64: false,
        shared: false,
        page_size_log2: None,
    });
    let mut exports = ExportSection::new();
    exports.export("run", ExportKind::Func, 2);
    let mut code = CodeSection::new();
    let mut inner = Function::new([]);
    match deed {
        Deed::Abort => {
            inner.instructions().unreachable();
        }
        Deed::CallItself => {
            inner.instructions().call(1);
        }
        Deed::CallHost => {
            inner.instructions().call(0);
        }
        Deed::ReadBeyondMemory => {
            let anywhere = MemArg {
                offset: 0,
                align: 0,
                memory_index: 0,
            };
            inner.instructions().i32_const(-5).i32_load(anywhere).drop();
        }
    }
    inner.instructions().end();
    code.function(&inner);
    let mut run = Function::new([]);
    run.instructions().call(1).end();
    code.function(&run);
    let mut data = DataSection::new();
    data.active(0, &ConstExpr::i32_const(0), *b"data");
    let mut function_names = NameMap::new();
    function_names.append(1, name);
    let mut names = NameSection::new();
    names.module("cart.wasm");
    names.functions(&function_names);

    let mut module = Encoder::new();
    module
        .section(&types)
        .section(&imports)
        .section(&functions)
        .section(&memories)
        .section(&exports);
    module.section(&code).section(&data).section(&names);
    module.finish()
}

fn failure(name: &str, deed: Deed) -> wasmtime::Error {
    let engine = Engine::default();
    let module = Module::new(&engine, guest(name, deed)).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker
        .func_wrap("host", "fail", || -> wasmtime::Result<()> {
            Err(wasmtime::Error::msg("connection refused").context("payments is unavailable"))
        })
        .unwrap();
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module).unwrap();
    instance
        .get_typed_func::<(), ()>(&mut store, "run")
        .unwrap()
        .call(&mut store, ())
        .unwrap_err()
}

fn names(report: &TrapReport) -> Vec<&str> {
    report
        .frames
        .iter()
        .map(|frame| frame.function.as_str())
        .collect()
}

#[test]
fn an_abort_has_words_label_and_the_guests_own_functions() {
    let report = trap_report(&failure(
        "_ZN4cart5items5total17h0123456789abcdefE",
        Deed::Abort,
    ));
    assert_eq!(report.code, Some("unreachable"));
    assert_eq!(
        report.message,
        "the guest aborted, as it does after a panic or a failed assertion"
    );
    assert_eq!(names(&report), ["cart::items::total", "function 2"]);
    assert_eq!(report.frames[0].module.as_deref(), Some("cart.wasm"));
    assert!(report.frames[0].offset.is_some());
    let text = report.to_string();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 3);
    assert!(
        lines[1].starts_with("  0: cart::items::total (cart.wasm+0x"),
        "{text}"
    );
    assert!(!text.contains("wasmtime"), "{text}");
}

#[test]
fn other_errors() {
    let report = trap_report(&failure("peek", Deed::ReadBeyondMemory));
    assert_eq!(report.code, Some("memory-out-of-bounds"));
    assert!(
        report
            .message
            .starts_with("the guest read or wrote outside of its memory (memory fault at "),
        "{}",
        report.message
    );
    assert!(report.message.ends_with(')'));

    let report = trap_report(&failure("caller", Deed::CallHost));
    assert_eq!(report.code, None);
    assert_eq!(
        report.message,
        "payments is unavailable, caused by: connection refused"
    );
    assert_eq!(names(&report), ["caller", "function 2"]);

    let report = trap_report(&wasmtime::Error::from(I32Exit(3)).context("calling run"));
    assert_eq!(report.code, Some("exit"));
    assert_eq!(
        report.message,
        "the guest ended itself with exit status 3 (calling run)"
    );

    let report = trap_report(&wasmtime::Error::msg("nothing of a guest"));
    assert_eq!(
        (report.code, report.message.as_str(), report.frames.len()),
        (None, "nothing of a guest", 0)
    );
}

#[test]
fn deep_stacks_and_long_names_are_cut() {
    let report = trap_report(&failure(&"n".repeat(20_000), Deed::CallItself));
    assert_eq!(report.code, Some("stack-overflow"));
    assert!(report.frames.len() <= FRAMES_SHOWN);
    assert!(
        report
            .frames
            .iter()
            .all(|frame| frame.function.len() <= NAME_SHOWN)
    );
    assert!(report.to_string().len() < 20 << 10);
}

#[test]
fn an_error_chain_leaves_the_backtrace_out() {
    let error = failure("inner", Deed::CallHost);
    let text = super::super::chain(error.as_ref()).to_string();
    assert_eq!(
        text,
        "payments is unavailable, caused by: connection refused"
    );
}

#[test]
fn names_are_made_readable() {
    let rows = [
        (
            "_ZN4core9panicking5panic17h0123456789abcdefE",
            "core::panicking::panic",
        ),
        (
            "core::panicking::panic::h0123456789abcdef",
            "core::panicking::panic",
        ),
        ("_RNvCs1234_7mycrate3foo", "mycrate::foo"),
        ("_ZN3foo3barEi", "foo::bar(int)"),
        ("plain_c_name", "plain_c_name"),
        ("shop::h", "shop::h"),
        ("_ZN", "_ZN"),
        ("", ""),
    ];
    for (name, want) in rows {
        assert_eq!(demangled(name), want);
    }
}

/// Names made to blow up a demangler end at the bound, soon.
#[test]
fn hostile_names_are_harmless() {
    let back_references = format!("_Z1f{}", "NS_S_E".repeat(400));
    let nested = format!("_R{}C1a", "NvNvNv".repeat(600));
    let pointers = format!("_Z1f{}i", "P".repeat(4000));
    let templates = format!("_Z1fI{}E", "St4pairIS_S_E".repeat(300));
    let generics = format!("_RI{}Cs_1aTB2_B2_EE", "INvCs_1a1b".repeat(300));
    for name in [back_references, nested, pointers, templates, generics] {
        let start = Instant::now();
        assert!(demangled(&name).len() <= NAME_SHOWN);
        assert!(
            start.elapsed().as_secs() < 2,
            "{:?} for {}…",
            start.elapsed(),
            &name[..20]
        );
    }
}

/// Prints what traps cost with `RUST_BACKTRACE=1` once native backtraces are off:
/// `RUST_BACKTRACE=1 cargo test -p skep --release -- --nocapture native_backtraces`.
#[test]
fn native_backtraces_can_be_switched_off() {
    disable_native();
    let engine = Engine::default();
    let module = Module::new(&engine, guest("inner", Deed::Abort)).unwrap();
    let mut linker = Linker::<()>::new(&engine);
    linker.func_wrap("host", "fail", || ()).unwrap();
    for round in 0..3 {
        let mut store = Store::new(&engine, ());
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let run = instance
            .get_typed_func::<(), ()>(&mut store, "run")
            .unwrap();
        let start = Instant::now();
        let error = run.call(&mut store, ()).unwrap_err();
        let trapped = start.elapsed();
        let report = trap_report(&error);
        println!(
            "trap {round}: {trapped:?}, its report {:?}",
            start.elapsed() - trapped
        );
        assert_eq!(
            error.backtrace().status(),
            std::backtrace::BacktraceStatus::Disabled
        );
        assert_eq!(report.frames.len(), 2);
    }
}
