//! What went wrong inside a guest, in words and with the guest's own function names.
//!
//! wasmtime attaches the guest's stack to the error of a trap as a `WasmBacktrace`; this module
//! renders it without the host's frames and within limits, because names in a component are the
//! guest author's to choose.
//!
//! It needs no environment variable, and must not: with `RUST_BACKTRACE` set, each wasmtime error
//! captures a *native* backtrace too, which takes hundreds of milliseconds the first time.
//! [`disable_native`] switches that off.

#[cfg(any(test, fuzzing))]
pub mod fuzzing;

use std::fmt::{self, Write as _};

use wasmtime::{FrameInfo, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::events::links;
use super::text::Bounded;

/// Frames shown, from the innermost. wasmtime itself keeps 20 at most by default.
const FRAMES_SHOWN: usize = 20;

/// Bytes shown of a function's, a file's or a module's name. C++ and Rust reach hundreds in
/// earnest; with this, a report stays under 20 KiB.
const NAME_SHOWN: usize = 256;

/// Mangled names longer than this are shown as they are: demangling is not linear in their length.
const MANGLED_LIMIT: usize = 4 << 10;

/// Bytes shown of the message.
const MESSAGE_SHOWN: usize = 4 << 10;

/// How wasmtime begins the text of a `WasmBacktrace`.
const BACKTRACE_HEADING: &str = "error while executing at wasm backtrace:";

/// How wasmtime begins the text of a `WasmCoreDump`.
const CORE_DUMP_HEADING: &str = "wasm coredump generated while executing";

/// Why a guest's call ended, for the log. Its `Display` is the message and one line per frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrapReport {
    /// A label for metrics: `unreachable`, `stack-overflow`, …; none if it was not a trap but an
    /// error of a host function.
    pub code: Option<&'static str>,
    /// What happened, in plain words.
    pub message: String,
    /// Where, the innermost first.
    pub frames: Vec<Frame>,
    /// Frames that are not shown.
    pub omitted_frames: usize,
}

/// One function of the guest that was active.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The function's name, demangled; `function 12` if it has none.
    pub function: String,
    /// The core module's name, if it has one.
    pub module: Option<String>,
    /// Where in the component's file the instruction is.
    pub offset: Option<usize>,
    /// `file:line` if the component carries debug information and the engine reads it.
    pub source: Option<String>,
}

/// Has errors of wasmtime capture no native backtraces, whatever `RUST_BACKTRACE` and
/// `RUST_LIB_BACKTRACE` say. Guests' backtraces are not affected. Called once, first thing.
pub fn disable_native() {
    wasmtime::error::disable_backtrace();
}

/// Describes the error of a guest's call. Takes some microseconds per frame; called for calls
/// that failed, when they are logged.
pub fn trap_report(error: &wasmtime::Error) -> TrapReport {
    let frames = error
        .downcast_ref::<WasmBacktrace>()
        .map_or(&[][..], WasmBacktrace::frames);
    let (code, message) = describe(error);
    TrapReport {
        code,
        message,
        frames: frames.iter().take(FRAMES_SHOWN).map(frame).collect(),
        omitted_frames: frames.len().saturating_sub(FRAMES_SHOWN),
    }
}

/// The label of a trap, as in [`TrapReport::code`]. Cheap.
pub fn trap_label(trap: Trap) -> &'static str {
    trap_words(trap).0
}

/// Whether a text is what wasmtime makes of a guest's backtrace, or of its core dump.
pub(super) fn is_wasm_backtrace(text: &str) -> bool {
    text.starts_with(BACKTRACE_HEADING) || text.starts_with(CORE_DUMP_HEADING)
}

impl fmt::Display for TrapReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)?;
        for (number, frame) in self.frames.iter().enumerate() {
            write!(f, "\n{number:>3}: {frame}")?;
        }
        if self.omitted_frames > 0 {
            write!(f, "\n     … and {} more", self.omitted_frames)?;
        }
        Ok(())
    }
}

impl fmt::Display for Frame {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.function)?;
        if let Some(source) = &self.source {
            write!(f, " at {source}")?;
        }
        match (&self.module, self.offset) {
            (Some(module), Some(offset)) => write!(f, " ({module}+{offset:#x})"),
            (Some(module), None) => write!(f, " ({module})"),
            (None, Some(offset)) => write!(f, " (+{offset:#x})"),
            (None, None) => Ok(()),
        }
    }
}

/// Label and words. What the error chain says beyond the trap itself (an address, a host
/// function's complaint) follows in brackets.
fn describe(error: &wasmtime::Error) -> (Option<&'static str>, String) {
    let (code, words, own_text) = if let Some(trap) = error.downcast_ref::<Trap>() {
        let (label, words) = trap_words(*trap);
        (Some(label), words.to_owned(), trap.to_string())
    } else if let Some(exit) = error.downcast_ref::<I32Exit>() {
        (
            Some("exit"),
            format!("the guest ended itself with exit status {}", exit.0),
            exit.to_string(),
        )
    } else {
        (None, String::new(), String::new())
    };
    let mut message = Bounded::new(MESSAGE_SHOWN);
    message.render(&words);
    let details = links(error.as_ref()).filter(|link| *link != own_text);
    let mut separator = if words.is_empty() { "" } else { " (" };
    for detail in details {
        message.render(separator);
        message.render(detail);
        separator = ", caused by: ";
    }
    if !words.is_empty() && separator != " (" {
        message.render(")");
    }
    (code, message.text)
}

fn trap_words(trap: Trap) -> (&'static str, &'static str) {
    match trap {
        Trap::StackOverflow => ("stack-overflow", "the guest exhausted its call stack"),
        Trap::MemoryOutOfBounds => (
            "memory-out-of-bounds",
            "the guest read or wrote outside of its memory",
        ),
        Trap::HeapMisaligned => (
            "misaligned-atomic",
            "the guest used an atomic operation on an unaligned address",
        ),
        Trap::TableOutOfBounds => (
            "table-out-of-bounds",
            "the guest called through a table entry that does not exist",
        ),
        Trap::IndirectCallToNull => (
            "null-call",
            "the guest called through an empty function pointer",
        ),
        Trap::BadSignature => (
            "bad-signature",
            "the guest called a function pointer of another type",
        ),
        Trap::IntegerOverflow => (
            "integer-overflow",
            "an integer operation of the guest overflowed",
        ),
        Trap::IntegerDivisionByZero => ("division-by-zero", "the guest divided by zero"),
        Trap::BadConversionToInteger => (
            "bad-conversion",
            "the guest converted a float to an integer that cannot hold it",
        ),
        Trap::UnreachableCodeReached => (
            "unreachable",
            "the guest aborted, as it does after a panic or a failed assertion",
        ),
        Trap::Interrupt => (
            "interrupt",
            "the guest was interrupted because it ran for too long",
        ),
        Trap::OutOfFuel => ("out-of-fuel", "the guest has used up its fuel"),
        Trap::AllocationTooLarge => (
            "allocation-too-large",
            "the guest asked for too much memory at once",
        ),
        Trap::CannotEnterComponent => (
            "cannot-enter",
            "the guest's component cannot be called any more, or not from within itself",
        ),
        Trap::CannotLeaveComponent => (
            "cannot-leave",
            "the guest called an import where it may not",
        ),
        Trap::NoAsyncResult => ("no-result", "the guest's function ended without a result"),
        Trap::AsyncDeadlock => (
            "async-deadlock",
            "the guest waits for something that can never happen",
        ),
        Trap::CannotBlockSyncTask => (
            "cannot-block",
            "the guest blocked in a function that must not",
        ),
        Trap::UncaughtException => (
            "uncaught-exception",
            "an exception of the guest was not caught",
        ),
        Trap::NullReference => ("null-reference", "the guest used a null reference"),
        Trap::StringOutOfBounds
        | Trap::ListOutOfBounds
        | Trap::InvalidChar
        | Trap::InvalidDiscriminant
        | Trap::UnalignedPointer => ("bad-value", "the guest passed a malformed value"),
        _ => ("trap", "the guest trapped"),
    }
}

fn frame(info: &FrameInfo) -> Frame {
    let symbol = info.symbols().first();
    let name = symbol.and_then(|symbol| symbol.name()).or(info.func_name());
    Frame {
        function: name.map_or_else(|| format!("function {}", info.func_index()), demangled),
        module: info.module().name().map(shortened),
        offset: info.module_offset(),
        source: symbol.and_then(|symbol| {
            let file = shortened(symbol.file()?);
            Some(match symbol.line() {
                Some(line) => format!("{file}:{line}"),
                None => file,
            })
        }),
    }
}

/// A Rust or C++ name in its readable form, without the hash that Rust appends.
fn demangled(name: &str) -> String {
    let mut readable = Bounded::new(NAME_SHOWN);
    if name.len() <= MANGLED_LIMIT {
        if let Ok(symbol) = rustc_demangle::try_demangle(name) {
            // Too long a name ends at the bound, which is what is wanted.
            let _ = write!(readable, "{symbol:#}");
        } else if let Ok(symbol) = cpp_demangle::Symbol::new(name) {
            let _ = symbol
                .structured_demangle(&mut readable, &cpp_demangle::DemangleOptions::default());
        }
    }
    if readable.text.is_empty() {
        return shortened(without_hash(name));
    }
    readable.text
}

/// Linkers may have demangled a Rust name but left its hash: `core::panicking::panic::h0123456789abcdef`.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once("::h") {
        Some((path, hash))
            if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) =>
        {
            path
        }
        _ => name,
    }
}

fn shortened(name: &str) -> String {
    let mut kept = Bounded::new(NAME_SHOWN);
    kept.render(name);
    kept.text
}

#[cfg(test)]
mod tests;
