//! The compiled cache: a component's machine code, from memory, from disk, or from the compiler.
//!
//! A component is compiled once for all services, hosts and starts on a machine. On disk an entry
//! is named by component and engine, is written beside its name and renamed, carries a MAC, and is
//! taken for code only after the MAC has been verified on the descriptor that is then mapped.
//! Whatever else lies there is deleted, reported and compiled anew.

mod directory;
mod entry;
mod functions;
#[cfg(any(test, fuzzing))]
pub mod fuzzing;
mod prune;

use std::collections::HashMap;
use std::fs::{File, OpenOptions, TryLockError};
use std::num::NonZeroUsize;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use wasmtime::Engine;
use wasmtime::component::Component;

use self::directory::Directory;
use self::entry::Stamp;
use self::functions::Kept;
use super::compile::Compiler;
use super::trusted::TrustedCode;
use super::{Artifact, CompileError, CompileIn, CompileLimits, Digest, EngineHash};

pub use self::directory::CacheError;
pub use self::prune::PruneReport;

/// Bytes that all entries together may have: a few hundred services, or fifty with a language
/// runtime inside.
pub const CACHE_BYTES: u64 = 2 << 30;

/// An entry that no host has loaded for so long belongs to a component that is gone.
pub const CACHE_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// An entry's time of last use is written no more often than this: starts must not write.
const TOUCH_EVERY: Duration = Duration::from_secs(3600);

/// How often a host asks whether another has finished compiling the same component.
const LOCK_POLL: Duration = Duration::from_millis(10);

/// How the cache is kept and how its gaps are filled.
#[derive(Clone, Debug)]
pub struct CacheSettings {
    /// Where; absent: `$SKEP_CACHE`, `$XDG_CACHE_HOME/skep`, or `~/.cache/skep`.
    pub directory: Option<PathBuf>,
    /// Bytes that all entries together may have.
    pub max_bytes: u64,
    /// How long an entry may go unused.
    pub max_age: Duration,
    /// Where compiling happens.
    pub compile_in: CompileIn,
    /// What one compilation may use.
    pub limits: CompileLimits,
    /// Compilations at once.
    pub parallel: NonZeroUsize,
}

impl CacheSettings {
    /// The user's directory and the default limits. Where to compile has no default: only an
    /// executable that answers to `compile` may take [`CompileIn::own_executable`].
    pub fn new(compile_in: CompileIn) -> CacheSettings {
        CacheSettings {
            directory: None,
            max_bytes: CACHE_BYTES,
            max_age: CACHE_AGE,
            compile_in,
            limits: CompileLimits::default(),
            parallel: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

/// Compiled components by digest. One per host; clones share it.
#[derive(Clone)]
pub struct Cache {
    inner: Arc<Inner>,
}

/// A component that is ready to be instantiated. As long as somebody holds it, everybody who asks
/// for the same digest gets the same.
pub struct Compiled {
    /// Cheap to clone. A clone keeps the code alive, but not the sharing.
    pub component: Component,
    /// The component's identity.
    pub digest: Digest,
    /// Where it came from when it was first asked for.
    pub origin: Origin,
}

/// Where compiled code came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// It lay on disk.
    Disk,
    /// It was compiled, which took so long.
    Compiler(Duration),
}

/// What the cache has done since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Answered with code that was in use already.
    pub shared: u64,
    /// Loaded from disk.
    pub loaded: u64,
    /// Compiled.
    pub compiled: u64,
    /// Functions of compiled components that an earlier compilation had left.
    pub functions_reused: u64,
    /// Entries that were damaged or foreign, deleted and compiled anew.
    pub discarded: u64,
}

struct Inner {
    engine: Engine,
    engine_hash: EngineHash,
    compiler: Compiler,
    directory: Directory,
    max_bytes: u64,
    max_age: Duration,
    lock_patience: Duration,
    slots: Mutex<HashMap<Digest, Arc<Slot>>>,
    counts: Counts,
}

/// Held while one digest is loaded or compiled, so that this happens once.
type Slot = Mutex<Weak<Compiled>>;

#[derive(Default)]
struct Counts {
    shared: AtomicU64,
    loaded: AtomicU64,
    compiled: AtomicU64,
    functions_reused: AtomicU64,
    discarded: AtomicU64,
}

impl Cache {
    /// Opens the cache directory, and makes it if need be. Where it cannot be written, the cache
    /// lives in a private temporary directory until the host ends, and a warning says so.
    ///
    /// # Errors
    /// If the directory that was named (in `settings` or `$SKEP_CACHE`) can be written by others,
    /// or no directory can be had at all.
    pub fn open(engine: &Engine, settings: CacheSettings) -> Result<Cache, CacheError> {
        let engine_hash = EngineHash::of(engine);
        let directory = Directory::open_or_private(settings.directory.as_deref())?;
        let compiler = Compiler::new(
            settings.compile_in,
            settings.limits,
            settings.parallel,
            engine_hash,
        );
        Ok(Cache {
            inner: Arc::new(Inner {
                engine: engine.clone(),
                engine_hash,
                compiler,
                directory,
                max_bytes: settings.max_bytes,
                max_age: settings.max_age,
                // Whoever holds a lock compiles: it is done, or stopped, within that time.
                lock_patience: settings.limits.wall,
                slots: Mutex::default(),
                counts: Counts::default(),
            }),
        })
    }

    /// The artifact's compiled code. Blocking: microseconds if it is in use, a millisecond or so
    /// per MiB from disk, seconds per MiB from the compiler; never call it on a thread that serves
    /// requests.
    ///
    /// # Errors
    /// If it cannot be compiled, or the engine cannot hold it. Trouble with the cache itself is
    /// logged and costs time alone.
    pub fn component(&self, artifact: &Artifact) -> Result<Arc<Compiled>, CompileError> {
        let inner = &*self.inner;
        let slot = inner.slot(artifact.digest());
        let mut slot = slot.lock();
        if let Some(compiled) = slot.upgrade() {
            inner.counts.shared.fetch_add(1, Ordering::Relaxed);
            return Ok(compiled);
        }
        let (component, origin) = inner.load_or_compile(artifact)?;
        let compiled = Arc::new(Compiled {
            component,
            digest: artifact.digest(),
            origin,
        });
        *slot = Arc::downgrade(&compiled);
        Ok(compiled)
    }

    /// Deletes entries that are old or too many, least recently used first. Blocking. It happens
    /// by itself whenever an entry is added.
    pub fn prune(&self) -> PruneReport {
        self.inner.prune(None)
    }

    /// Where the entries lie.
    pub fn directory(&self) -> &Path {
        self.inner.directory.entries()
    }

    /// What the cache has done so far.
    pub fn stats(&self) -> CacheStats {
        let counts = &self.inner.counts;
        let read = |count: &AtomicU64| count.load(Ordering::Relaxed);
        CacheStats {
            shared: read(&counts.shared),
            loaded: read(&counts.loaded),
            compiled: read(&counts.compiled),
            functions_reused: read(&counts.functions_reused),
            discarded: read(&counts.discarded),
        }
    }
}

impl Inner {
    fn slot(&self, digest: Digest) -> Arc<Slot> {
        let mut slots = self.slots.lock();
        // Components come and go with deploys: the map keeps those in use, or in the making.
        slots.retain(|_, slot| {
            Arc::strong_count(slot) > 1
                || slot.try_lock().is_none_or(|slot| slot.strong_count() > 0)
        });
        slots.entry(digest).or_default().clone()
    }

    fn load_or_compile(&self, artifact: &Artifact) -> Result<(Component, Origin), CompileError> {
        if let Some(component) = self.load(artifact)? {
            return Ok((component, Origin::Disk));
        }
        let lock = self.lock(artifact.digest());
        // Another host may have compiled it while this one waited.
        if let Some(component) = self.load(artifact)? {
            return Ok((component, Origin::Disk));
        }
        let began = Instant::now();
        let code = self.compile(artifact)?;
        drop(lock);
        let component = self.map(artifact, code)?;
        let took = began.elapsed();
        self.counts.compiled.fetch_add(1, Ordering::Relaxed);
        tracing::info!(
            component = %artifact.path().display(),
            digest = artifact.digest().short(),
            took_ms = u64::try_from(took.as_millis()).unwrap_or(u64::MAX),
            "compiled"
        );
        Ok((component, Origin::Compiler(took)))
    }

    /// What lies on disk, if it is sound; deletes it if it is not.
    fn load(&self, artifact: &Artifact) -> Result<Option<Component>, CompileError> {
        let path = self.entry_path(artifact.digest());
        let file = match open_entry(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => {
                self.discard(&path, &error.to_string());
                return Ok(None);
            }
        };
        // Keeps the pruner of any host away until the code is mapped. After that the entry may
        // go: the mapping keeps the file's contents.
        let _ = file.lock_shared();
        if let Err(damage) = entry::verify(&file, self.directory.key(), &self.stamp(artifact)) {
            self.discard(&path, &damage.to_string());
            return Ok(None);
        }
        touch(&file);
        // SAFETY: the MAC has just been verified on this descriptor, for this component and this
        // engine, under a key that only this user's hosts have; entries are never written in place.
        let code = unsafe { TrustedCode::new(file) };
        let component = self.map(artifact, code)?;
        self.counts.loaded.fetch_add(1, Ordering::Relaxed);
        Ok(Some(component))
    }

    fn map(&self, artifact: &Artifact, code: TrustedCode) -> Result<Component, CompileError> {
        // The code is sound and made for this engine: what is left is that the pools are too small.
        code.load(&self.engine)
            .map_err(|error| CompileError::Unfit {
                path: artifact.path().to_owned(),
                reason: format!("{error:#}"),
            })
    }

    /// Compiles into the cache directory; where that cannot take the code, into a file without
    /// a name that lasts as long as the mapping.
    fn compile(&self, artifact: &Artifact) -> Result<TrustedCode, CompileError> {
        let store = |error| CompileError::Store {
            path: artifact.path().to_owned(),
            error,
        };
        let file = match self.compile_and_keep(artifact) {
            Ok(file) => file,
            Err(CompileError::Store { error, .. }) => {
                tracing::warn!(
                    directory = %self.directory.entries().display(),
                    %error,
                    "the compiled cache takes nothing; components are compiled at every start"
                );
                let file = tempfile::tempfile().map_err(store)?;
                self.compiler.compile(&self.engine, artifact, &file, None)?;
                file
            }
            Err(error) => return Err(error),
        };
        // SAFETY: our own compiler has written this file; nobody else has had its name yet, or
        // (once it is renamed) writes in place.
        Ok(unsafe { TrustedCode::new(file) })
    }

    fn compile_and_keep(&self, artifact: &Artifact) -> Result<File, CompileError> {
        let store = |error| CompileError::Store {
            path: artifact.path().to_owned(),
            error,
        };
        let temporary = tempfile::Builder::new()
            .prefix(prune::TEMPORARY_PREFIX)
            .tempfile_in(self.directory.entries())
            .map_err(store)?;
        let kept = self.kept_functions(artifact);
        let counts = self.compiler.compile(
            &self.engine,
            artifact,
            temporary.as_file(),
            kept.as_ref().map(Kept::files),
        )?;
        if let (Some(kept), Some(counts)) = (kept, counts) {
            kept.seal(self.directory.key());
            let reused = &self.counts.functions_reused;
            reused.fetch_add(counts.reused, Ordering::Relaxed);
            tracing::debug!(
                component = %artifact.path().display(),
                reused = counts.reused,
                compiled = counts.compiled,
                "compiled functions"
            );
        }
        entry::seal(
            temporary.as_file(),
            self.directory.key(),
            &self.stamp(artifact),
        )
        // Not for safety (the MAC finds a torn file), but so that a crash costs no compilation.
        .and_then(|()| temporary.as_file().sync_data())
        .map_err(store)?;
        let path = self.entry_path(artifact.digest());
        let file = match temporary.persist(&path) {
            Ok(file) => file,
            // Compiled it is: only the next start has to do it again.
            Err(error) => {
                tracing::warn!(entry = %path.display(), error = %error.error, "cannot keep compiled code");
                error.file.into_file()
            }
        };
        self.prune(Some(&path));
        Ok(file)
    }

    /// Functions for a component that is large enough; without a place for them it only takes longer.
    fn kept_functions(&self, artifact: &Artifact) -> Option<Kept> {
        if artifact.size() < functions::WORTH_KEEPING_FROM {
            return None;
        }
        let stamp = Stamp {
            component: functions::family(artifact.description()),
            engine: self.engine_hash,
        };
        Kept::open(self.directory.entries(), self.directory.key(), stamp)
            .inspect_err(|error| tracing::debug!(%error, "compiled functions are not kept"))
            .ok()
    }

    /// So that two hosts that start together compile a component once. The lock saves work and
    /// guards nothing: without it (a file system may not have locks) all is well but slower.
    fn lock(&self, digest: Digest) -> Option<File> {
        let file = self.directory.lock_file(digest).ok()?;
        let began = Instant::now();
        loop {
            match file.try_lock() {
                Ok(()) => return Some(file),
                Err(TryLockError::WouldBlock) if began.elapsed() < self.lock_patience => {
                    std::thread::sleep(LOCK_POLL);
                }
                Err(_) => return None,
            }
        }
    }

    fn discard(&self, path: &Path, why: &str) {
        self.counts.discarded.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(entry = %path.display(), why, "deleted from the compiled cache; compiling anew");
        if let Err(error) = std::fs::remove_file(path) {
            // It is not loaded in any case; renaming over it mends it.
            tracing::debug!(entry = %path.display(), %error, "cannot delete");
        }
    }

    fn prune(&self, keep: Option<&Path>) -> PruneReport {
        prune::prune(self.directory.entries(), self.max_bytes, self.max_age, keep)
    }

    fn stamp(&self, artifact: &Artifact) -> Stamp {
        Stamp {
            component: artifact.digest(),
            engine: self.engine_hash,
        }
    }

    fn entry_path(&self, digest: Digest) -> PathBuf {
        let engine = self.engine_hash.to_string();
        let name = format!("{digest}-{}.{}", &engine[..16], prune::EXTENSION);
        self.directory.entries().join(name)
    }
}

/// Opens without following a symbolic link, and without waiting should it be a pipe.
fn open_entry(path: &Path) -> std::io::Result<File> {
    OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path)
}

/// Notes the use, for the pruner. If it cannot, the entry only looks older than it is.
fn touch(file: &File) {
    let now = SystemTime::now();
    let last = file.metadata().and_then(|metadata| metadata.modified());
    let fresh = last.is_ok_and(|last| {
        now.duration_since(last)
            .is_ok_and(|passed| passed < TOUCH_EVERY)
    });
    if !fresh {
        let _ = file.set_modified(now);
    }
}
