//! The compiler process's side: takes limits on itself, then reads a component and writes code.
//!
//! `skep compile` is hidden from users: the host runs it, see [`super::CompileIn::Process`].

use std::ffi::OsString;
use std::fmt::Display;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Write};
use std::num::NonZeroUsize;
use std::os::fd::AsRawFd;
use std::process::ExitCode;
use std::sync::Arc;

use wasmtime::Engine;

use super::functions::Functions;
use super::{CompileLimits, EngineHash, FunctionFiles};
use crate::artifact::MAX_COMPONENT_BYTES;
use crate::engine;

/// The code has been written.
pub(super) const DONE: i32 = 0;
/// The component is invalid: sysexits' `EX_DATAERR`.
pub(super) const REFUSED: i32 = 65;
/// Not this engine, or an argument that no host of this version passes: `EX_SOFTWARE`.
const MISMATCH: i32 = 70;
/// Standard output does not take the code: `EX_IOERR`.
pub(super) const NOT_WRITTEN: i32 = 74;

/// How much lower than the host's the child's priority is: requests come first.
const NICENESS: i32 = 10;

/// Threads that compile one component: more cost address space and gain little.
const MOST_THREADS: usize = 8;

/// How many threads the child may start: the compiler's thread pool reads it from there.
pub(super) fn threads() -> (&'static str, String) {
    let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    ("RAYON_NUM_THREADS", cores.min(MOST_THREADS).to_string())
}

/// The arguments after `compile`.
pub(super) fn arguments(engine: EngineHash, limits: CompileLimits) -> [OsString; 4] {
    [
        engine.to_string().into(),
        limits.memory.to_string().into(),
        limits.cpu.as_secs().to_string().into(),
        std::process::id().to_string().into(),
    ]
}

/// What the child's stderr begins with when it has left functions to the next one; then come two
/// numbers, of those that it has reused and of those that it has compiled.
pub(super) const FUNCTIONS: &str = "functions ";

/// The arguments after that: the descriptors of what an earlier compilation has left, and of where
/// this one is to leave its own.
pub(super) fn function_arguments(files: Option<&FunctionFiles>) -> [OsString; 2] {
    let number = |file: Option<&File>| match file {
        Some(file) => file.as_raw_fd().to_string().into(),
        None => NO_FILE.into(),
    };
    [
        number(files.and_then(|files| files.known.as_ref())),
        number(files.map(|files| &files.next)),
    ]
}

const NO_FILE: &str = "-";

/// What `skep compile ARGUMENTS…` does, start to end. Speaks to the host that started it through
/// the exit code and stderr, and never prints the component's bytes.
pub fn run(arguments: &[String]) -> ExitCode {
    let (code, text) = match compile(arguments) {
        Ok(text) => (DONE, text),
        Err(Ended { code, text }) => (code, text),
    };
    // Nobody may be listening any more.
    let _ = writeln!(io::stderr(), "{text}");
    ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX))
}

struct Ended {
    code: i32,
    text: String,
}

fn ended(code: i32, text: impl Display) -> Ended {
    Ended {
        code,
        text: text.to_string(),
    }
}

/// Says what it has to tell the host.
fn compile(arguments: &[String]) -> Result<String, Ended> {
    let [hash, memory, cpu, parent, known, next] = arguments else {
        let text = "this command is for the host alone: use `skep run`, `serve` or `check`";
        return Err(ended(MISMATCH, text));
    };
    let number = |text: &str| text.parse::<u64>().map_err(|error| ended(MISMATCH, error));
    limit_self(number(memory)?, number(cpu)?);
    end_with_parent(number(parent)?)?;
    let expected: EngineHash = hash.parse().map_err(|error| ended(MISMATCH, error))?;

    let functions = (next != NO_FILE).then(|| Arc::new(known_functions(known)));
    let engine = engine_of(expected, functions.as_ref())?;

    let mut bytes = Vec::new();
    io::stdin()
        .take(MAX_COMPONENT_BYTES)
        .read_to_end(&mut bytes)
        .map_err(|error| ended(NOT_WRITTEN, format!("cannot read the component: {error}")))?;
    let code = engine
        .precompile_component(&bytes)
        .map_err(|error| ended(REFUSED, format!("{error:#}")))?;
    let mut out = io::stdout().lock();
    out.write_all(&code)
        .and_then(|()| out.flush())
        .map_err(|error| ended(NOT_WRITTEN, error))?;
    Ok(functions.map_or_else(String::new, |functions| leave(&functions, next)))
}

/// What an earlier compilation has left; nothing if that cannot be had, which costs time alone.
fn known_functions(descriptor: &str) -> Functions {
    if descriptor == NO_FILE {
        return Functions::default();
    }
    open(descriptor, File::options().read(true))
        .and_then(|file| Functions::read(BufReader::new(file)))
        .unwrap_or_default()
}

/// Leaves them to the next compilation, if it can.
fn leave(functions: &Functions, descriptor: &str) -> String {
    let written = open(descriptor, File::options().write(true))
        .and_then(|file| functions.write(BufWriter::new(file)));
    match written {
        Ok(()) => {
            let (reused, compiled) = functions.counts();
            format!("{FUNCTIONS}{reused} {compiled}")
        }
        Err(error) => format!("functions cannot be kept: {error}"),
    }
}

/// Opens anew what the host has left open under that number.
fn open(descriptor: &str, how: &std::fs::OpenOptions) -> io::Result<File> {
    let number: u32 = descriptor.parse().map_err(io::Error::other)?;
    how.open(format!("/dev/fd/{number}"))
}

/// The engine that the host compiles for: the hash says of which kind it is.
fn engine_of(expected: EngineHash, functions: Option<&Arc<Functions>>) -> Result<Engine, Ended> {
    for kind in engine::Kind::ALL {
        let mut config = engine::config(kind, engine::Allocation::OnDemand);
        if let Some(functions) = functions {
            config
                .enable_incremental_compilation(functions.clone())
                .map_err(|error| ended(MISMATCH, format!("{error:#}")))?;
        }
        let engine = Engine::new(&config).map_err(|error| ended(MISMATCH, format!("{error:#}")))?;
        if EngineHash::of(&engine) == expected {
            return Ok(engine);
        }
    }
    let text = "the host and its compiler are of different versions: restart the host";
    Err(ended(MISMATCH, text))
}

/// A limit that cannot be set (a container may forbid it) leaves a child that is bounded by the
/// host's time-out alone, which is no reason not to compile.
fn limit_self(memory: u64, cpu_seconds: u64) {
    // The hard limit a little later: SIGXCPU tells the host what happened, SIGKILL would not.
    let grace = 5;
    set_limit(libc::RLIMIT_AS, memory, memory);
    set_limit(libc::RLIMIT_CPU, cpu_seconds, cpu_seconds + grace);
    set_limit(libc::RLIMIT_CORE, 0, 0);
    // SAFETY: changes this process's priority, touches no memory.
    unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICENESS) };
}

#[cfg(target_env = "gnu")]
type Resource = libc::__rlimit_resource_t;
#[cfg(not(target_env = "gnu"))]
type Resource = libc::c_int;

fn set_limit(resource: Resource, soft: u64, hard: u64) {
    let limit = libc::rlimit {
        rlim_cur: soft,
        rlim_max: hard,
    };
    // SAFETY: `limit` is a valid rlimit for the time of the call.
    unsafe { libc::setrlimit(resource, &raw const limit) };
}

/// A host that is killed must not leave compilers behind.
#[cfg(target_os = "linux")]
fn end_with_parent(parent: u64) -> Result<(), Ended> {
    // SAFETY: both calls take and return plain numbers.
    let now = unsafe {
        libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
        libc::getppid()
    };
    // It may have died before the line above.
    if u64::try_from(now).ok() == Some(parent) {
        Ok(())
    } else {
        Err(ended(MISMATCH, "the host that asked has ended"))
    }
}

#[cfg(not(target_os = "linux"))]
fn end_with_parent(_parent: u64) -> Result<(), Ended> {
    Ok(())
}
