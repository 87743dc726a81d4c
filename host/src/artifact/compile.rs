//! Compiles a component's bytes to machine code, off the request path and in a process of its own:
//! the compiler is a million lines that read what a stranger wrote, and may take minutes and a
//! GiB. The child gets the bytes on stdin and writes the code to the file that is its stdout.

pub mod child;
mod functions;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::num::NonZeroUsize;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use wasmtime::Engine;

use super::{Artifact, EngineHash};

/// Where compiling happens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CompileIn {
    /// In a child process with [`CompileLimits`]; the path of the `skep` executable.
    Process(PathBuf),
    /// In this process, without limits: for tests, and for users of the library that have no
    /// `skep` executable and trust their components.
    ThisProcess,
}

impl CompileIn {
    /// A child of the running executable, which has to be `skep` (or answer to `compile` with
    /// [`child::run`]).
    pub fn own_executable() -> CompileIn {
        // On Linux this name leads to the running file even when an update has replaced it.
        let own = if cfg!(target_os = "linux") {
            PathBuf::from("/proc/self/exe")
        } else {
            std::env::current_exe().unwrap_or_else(|_| PathBuf::from("skep"))
        };
        CompileIn::Process(own)
    }
}

/// What one compilation may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompileLimits {
    /// Bytes of address space (`RLIMIT_AS`).
    pub memory: u64,
    /// Processor time of all its threads together (`RLIMIT_CPU`), in whole seconds.
    pub cpu: Duration,
    /// From its start to its end.
    pub wall: Duration,
}

/// 12.6 MB of JavaScript engine took 310 MiB; a component of the largest size ten times that.
pub const COMPILE_MEMORY: u64 = 4 << 30;

/// 12.6 MB took 23 s on two busy cores; a component of the largest size some four minutes.
pub const COMPILE_CPU: Duration = Duration::from_secs(600);

/// As the processor time, for a machine that has other things to do.
pub const COMPILE_WALL: Duration = Duration::from_secs(900);

impl Default for CompileLimits {
    fn default() -> Self {
        CompileLimits {
            memory: COMPILE_MEMORY,
            cpu: COMPILE_CPU,
            wall: COMPILE_WALL,
        }
    }
}

/// A component was not compiled. The text says why and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CompileError {
    /// Its file is not there any more.
    #[error(transparent)]
    Unreadable(#[from] super::ArtifactError),
    /// The compiler refuses it: it is invalid or needs a proposal that is not enabled.
    #[error("the compiler refuses component `{path}`: {reason}", path = .path.display())]
    Refused {
        /// The component.
        path: PathBuf,
        /// In the compiler's words.
        reason: String,
    },
    /// Compiled, but larger than what the engine's pools hold.
    #[error("component `{path}` is compiled, but this host cannot hold it: {reason}", path = .path.display())]
    Unfit {
        /// The component.
        path: PathBuf,
        /// In the engine's words.
        reason: String,
    },
    /// It hit one of [`CompileLimits`].
    #[error("compiling component `{path}` was stopped: it needed more than {limit}; make the component smaller, or compile on a quieter machine and share the cache", path = .path.display())]
    OverLimit {
        /// The component.
        path: PathBuf,
        /// Which limit, with its value.
        limit: String,
    },
    /// The child died of something else: a signal from outside, or a bug in the compiler.
    #[error("the compiler died on component `{path}`: {how}", path = .path.display())]
    Died {
        /// The component.
        path: PathBuf,
        /// Exit code or signal, and the last it said.
        how: String,
    },
    /// The compiler process cannot be started or spoken to.
    #[error("cannot run the compiler `{exe}`: {error}; it must be the skep executable", exe = .exe.display())]
    Spawn {
        /// The executable.
        exe: PathBuf,
        /// The operating system's reason.
        error: std::io::Error,
    },
    /// The compiled code cannot be written or read back.
    #[error("cannot keep the compiled code of component `{path}`: {error}; check free space and permissions of the cache directory and the temporary directory", path = .path.display())]
    Store {
        /// The component.
        path: PathBuf,
        /// The operating system's reason.
        error: std::io::Error,
    },
}

/// Where functions are that an earlier compilation has left, and where this one leaves its own:
/// both are read and written by the child alone.
pub(super) struct FunctionFiles {
    /// Written by an earlier child, and not altered since.
    pub(super) known: Option<File>,
    /// Empty.
    pub(super) next: File,
}

impl FunctionFiles {
    /// Copies that a child inherits, under the same numbers.
    fn inheritable(&self) -> std::io::Result<FunctionFiles> {
        let copy = |file: &File| -> std::io::Result<File> {
            let copy = file.try_clone()?;
            rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty())?;
            Ok(copy)
        };
        Ok(FunctionFiles {
            known: self.known.as_ref().map(copy).transpose()?,
            next: copy(&self.next)?,
        })
    }
}

/// How many functions of a component an earlier compilation had left, and how many were compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FunctionCounts {
    pub(super) reused: u64,
    pub(super) compiled: u64,
}

impl FunctionCounts {
    /// As the child says it, if it has left functions to the next one.
    fn told(said: &str) -> Option<FunctionCounts> {
        let (reused, compiled) = said.strip_prefix(child::FUNCTIONS)?.split_once(' ')?;
        Some(FunctionCounts {
            reused: reused.parse().ok()?,
            compiled: compiled.parse().ok()?,
        })
    }
}

/// Compiles for one engine, at most so many at once.
pub(super) struct Compiler {
    place: CompileIn,
    limits: CompileLimits,
    engine_hash: EngineHash,
    gate: Gate,
}

impl Compiler {
    pub(super) fn new(
        place: CompileIn,
        limits: CompileLimits,
        parallel: NonZeroUsize,
        engine_hash: EngineHash,
    ) -> Compiler {
        Compiler {
            place,
            limits,
            engine_hash,
            gate: Gate::new(parallel),
        }
    }

    /// Writes the compiled code of `artifact` to the beginning of `out`, which is empty, and tells of
    /// its functions if they have been left in `functions`. Blocking.
    pub(super) fn compile(
        &self,
        engine: &Engine,
        artifact: &Artifact,
        out: &File,
        functions: Option<&FunctionFiles>,
    ) -> Result<Option<FunctionCounts>, CompileError> {
        let _permit = self.gate.enter();
        match &self.place {
            CompileIn::ThisProcess => compile_here(engine, artifact, out).map(|()| None),
            CompileIn::Process(exe) => self.compile_in_child(exe.clone(), artifact, out, functions),
        }
    }

    fn compile_in_child(
        &self,
        exe: PathBuf,
        artifact: &Artifact,
        out: &File,
        functions: Option<&FunctionFiles>,
    ) -> Result<Option<FunctionCounts>, CompileError> {
        let spawn = |error| CompileError::Spawn {
            exe: exe.clone(),
            error,
        };
        let bytes = artifact.bytes()?;
        let began = Instant::now();
        // Open until the child has them.
        let inherited = functions.map(FunctionFiles::inheritable).transpose();
        let inherited = inherited.map_err(spawn)?;
        let mut child = Command::new(&exe)
            .arg("compile")
            .args(child::arguments(self.engine_hash, self.limits))
            .args(child::function_arguments(inherited.as_ref()))
            .env_clear()
            .envs([child::threads()])
            .stdin(Stdio::piped())
            .stdout(out.try_clone().map_err(spawn)?)
            .stderr(Stdio::piped())
            .spawn()
            .map_err(spawn)?;
        drop(inherited);
        let (status, said) = self.attend(&mut child, &bytes, began).map_err(spawn)?;
        match status {
            Some(status) if status.success() && !holds_code(out) => Err(CompileError::Died {
                path: artifact.path().to_owned(),
                how: format!("`{}` is not the skep executable", exe.display()),
            }),
            Some(status) => self
                .judge(artifact, status, &said)
                .map(|()| FunctionCounts::told(&said)),
            None => Err(CompileError::OverLimit {
                path: artifact.path().to_owned(),
                limit: format!("{} s", self.limits.wall.as_secs()),
            }),
        }
    }

    /// Feeds the child, listens to it, and waits for its end; kills it at the deadline, and then
    /// there is no status. The child never outlives this call.
    fn attend(
        &self,
        child: &mut Child,
        bytes: &[u8],
        began: Instant,
    ) -> std::io::Result<(Option<ExitStatus>, String)> {
        let stdin = child.stdin.take();
        let stderr = child.stderr.take();
        std::thread::scope(|scope| {
            // A child that ends early leaves the pipe broken: its exit status tells more.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(bytes)));
            let (tell, told) = channel();
            scope.spawn(move || {
                // The receiver is gone only when the deadline has passed.
                let _ = tell.send(stderr.map_or_else(String::new, last_words));
            });
            let left = self.limits.wall.saturating_sub(began.elapsed());
            // Its stderr closes when it ends: waiting for that needs no polling.
            match told.recv_timeout(left) {
                Ok(said) => Ok((Some(child.wait()?), said)),
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => {
                    child.kill()?;
                    child.wait()?;
                    Ok((None, String::new()))
                }
            }
        })
    }

    fn judge(
        &self,
        artifact: &Artifact,
        status: ExitStatus,
        said: &str,
    ) -> Result<(), CompileError> {
        let path = artifact.path().to_owned();
        let over = |limit| CompileError::OverLimit {
            path: path.clone(),
            limit,
        };
        let signal = std::os::unix::process::ExitStatusExt::signal(&status);
        Err(match (status.code(), signal) {
            (Some(child::DONE), _) => return Ok(()),
            (Some(child::REFUSED), _) if !out_of_memory(said) => CompileError::Refused {
                path,
                reason: said.to_owned(),
            },
            (Some(child::NOT_WRITTEN), _) => CompileError::Store {
                path,
                error: std::io::Error::other(said.to_owned()),
            },
            (_, Some(libc::SIGXCPU)) => {
                over(format!("{} s of processor time", self.limits.cpu.as_secs()))
            }
            _ if out_of_memory(said) => over(format!("{} MiB of memory", self.limits.memory >> 20)),
            (_, Some(libc::SIGKILL)) => CompileError::Died {
                path,
                how: "it was killed, perhaps by the system for want of memory; free some, or give \
                      the host more"
                    .to_owned(),
            },
            (Some(code), _) => CompileError::Died {
                path,
                how: format!("it ended with code {code}: {said}"),
            },
            (None, signal) => CompileError::Died {
                path,
                how: format!("it ended by signal {}: {said}", signal.unwrap_or_default()),
            },
        })
    }
}

fn compile_here(engine: &Engine, artifact: &Artifact, mut out: &File) -> Result<(), CompileError> {
    let path = || artifact.path().to_owned();
    let bytes = artifact.bytes()?;
    // A panic in the compiler is a bug there; it must not take the host's deploy task with it.
    let code = catch_unwind(AssertUnwindSafe(|| engine.precompile_component(&bytes)))
        .map_err(|_| CompileError::Died {
            path: path(),
            how: "it panicked".to_owned(),
        })?
        .map_err(|error| CompileError::Refused {
            path: path(),
            reason: format!("{error:#}"),
        })?;
    out.rewind()
        .and_then(|()| out.write_all(&code))
        .map_err(|error| CompileError::Store {
            path: path(),
            error,
        })
}

/// Whether wasmtime has written there: its code comes as an ELF file. What is no `skep` (a test
/// binary, say) may well end without complaint.
fn holds_code(out: &File) -> bool {
    let mut magic = [0; 4];
    std::os::unix::fs::FileExt::read_exact_at(out, &mut magic, 0).is_ok() && magic == *b"\x7fELF"
}

/// Rust aborts when memory cannot be had, mapping it fails with ENOMEM, a thread with EAGAIN: all
/// say so, and none in a way that the exit status would show.
fn out_of_memory(said: &str) -> bool {
    [
        "memory allocation of",
        "os error 12",
        "os error 11",
        // As the compiler's thread pool says it, in debug form.
        "code: 12,",
        "code: 11,",
    ]
    .iter()
    .any(|text| said.contains(text))
}

/// Bytes of a child's stderr that are kept; the first error is what matters.
const LAST_WORDS: u64 = 4 << 10;

/// Reads to the end, so that the child never waits for a reader, and keeps the beginning.
fn last_words(mut stderr: impl Read) -> String {
    let mut kept = Vec::new();
    // What cannot be read is lost; the exit status still tells.
    let _ = (&mut stderr).take(LAST_WORDS).read_to_end(&mut kept);
    let _ = std::io::copy(&mut stderr, &mut std::io::sink());
    String::from_utf8_lossy(&kept).trim().to_owned()
}

/// Lets a number of threads in, others wait.
struct Gate {
    free: Mutex<usize>,
    changed: Condvar,
}

struct Permit<'a>(&'a Gate);

impl Gate {
    fn new(places: NonZeroUsize) -> Gate {
        Gate {
            free: Mutex::new(places.get()),
            changed: Condvar::new(),
        }
    }

    fn enter(&self) -> Permit<'_> {
        let mut free = self.free.lock();
        while *free == 0 {
            self.changed.wait(&mut free);
        }
        *free -= 1;
        Permit(self)
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        *self.0.free.lock() += 1;
        self.0.changed.notify_one();
    }
}
