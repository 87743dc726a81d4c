//! Core dumps: the memories and the stack of an instance that crashed, as files for a debugger.
//!
//! Before it: `instance` hands over a store that has failed and that nobody will use again. One
//! thread of low priority makes a file of it; nothing of a request waits for that. After it:
//! `crash` tells where the file is.
//!
//! The format is WebAssembly's own (tool-conventions, Coredump.md), as wasmtime writes it: each core
//! module of the component, its instances, all memories and globals, and the stack as functions and
//! offsets. Locals and operands of the stack's frames are not in it, nor is anything of the host's.

use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use skep_core::core_dump::CoreDumps as Settings;
use skep_core::size::ByteSize;
use tokio::runtime::Handle;
use wasmtime::{Store, WasmCoreDump};

use crate::instance::{Failure, GuestState};
use crate::log::rfc3339;
use crate::scheduler::give_way;

/// The least time between two dumps of a service: one that crashes all the time would keep the disk
/// busy, and the first of its crashes, which tells most, would soon be gone.
const PAUSE: Duration = Duration::from_secs(1);

/// How wasmtime cuts memories: of each piece, zeroes at both ends are left out.
const CHUNK: usize = 4096;

/// Ends a file's name.
const SUFFIX: &str = ".wasm";

/// The thread that writes dumps, one at a time. It ends when the last handle is gone.
#[derive(Clone)]
pub struct Writer(SyncSender<Job>);

/// A store that has failed, and what is to be made of it.
struct Job {
    store: Store<GuestState>,
    failure: Arc<wasmtime::Error>,
    dumps: Arc<CoreDumps>,
    instance: u64,
    dump: Dump,
}

/// A dump that may not be written yet, or never be.
#[derive(Clone, Debug, Default)]
pub(crate) struct Dump(Arc<OnceLock<PathBuf>>);

impl Dump {
    /// Its file, once it is there and as long as no newer one has taken its place. Blocking.
    pub(crate) fn path(&self) -> Option<&Path> {
        let path = self.0.get()?;
        path.exists().then_some(path)
    }
}

/// Why there is no dump.
#[derive(Debug, thiserror::Error)]
enum DumpError {
    #[error("it would have {found} or more, and `core-dumps.size` is {limit}")]
    TooLarge { found: ByteSize, limit: ByteSize },
    #[error("wasmtime cannot write down what this component has")]
    Unwritable,
    #[error("cannot write into {}", directory.display())]
    Write {
        directory: PathBuf,
        #[source]
        source: std::io::Error,
    },
}

/// Where the dumps of one revision go, and how many there may be.
pub struct CoreDumps {
    writer: Writer,
    directory: PathBuf,
    service: Arc<str>,
    revision: u32,
    settings: Settings,
    /// When the latest was begun.
    latest: Mutex<Option<Instant>>,
}

impl Writer {
    /// Starts the thread. What guests held is dropped within `runtime`.
    ///
    /// # Errors
    /// If the system refuses a thread.
    pub fn start(runtime: Handle) -> std::io::Result<Writer> {
        // No queue: a store that waits for its dump is memory that its service cannot use.
        let (sender, jobs) = sync_channel(0);
        std::thread::Builder::new()
            .name("skep-dump".into())
            .spawn(move || {
                give_way();
                let _context = runtime.enter();
                work(&jobs);
            })?;
        Ok(Writer(sender))
    }
}

fn work(jobs: &Receiver<Job>) {
    for job in jobs {
        let dumps = job.dumps.clone();
        let (service, revision, instance) = (&dumps.service, dumps.revision, job.instance);
        match write(job) {
            Ok((path, bytes)) => tracing::info!(
                %service, revision, instance, bytes, "core dump: {}", path.display()
            ),
            Err(error) => tracing::warn!(
                %service, revision, instance, "no core dump: {}", crate::log::chain(&error)
            ),
        }
    }
}

impl CoreDumps {
    /// For the instances of one revision.
    pub(crate) fn new(
        writer: Writer,
        directory: PathBuf,
        service: Arc<str>,
        revision: u32,
        settings: Settings,
    ) -> Arc<CoreDumps> {
        Arc::new(CoreDumps {
            writer,
            directory,
            service,
            revision,
            settings,
            latest: Mutex::default(),
        })
    }

    /// Takes the store of an instance that ended with `failure`, if that has a stack to show, the
    /// writer is free and the service's latest dump is not too recent. Does not wait.
    pub(crate) fn take(
        self: &Arc<CoreDumps>,
        store: Store<GuestState>,
        failure: &Failure,
    ) -> Option<Dump> {
        let error = failure.source_error()?;
        error.downcast_ref::<WasmCoreDump>()?;
        let mut latest = self.latest.lock();
        if latest.is_some_and(|latest| latest.elapsed() < PAUSE) {
            return None;
        }
        let dump = Dump::default();
        let job = Job {
            instance: store.data().instance(),
            store,
            failure: error.clone(),
            dumps: self.clone(),
            dump: dump.clone(),
        };
        match self.writer.0.try_send(job) {
            Ok(()) => {
                *latest = Some(Instant::now());
                Some(dump)
            }
            // Another service's dump is being written.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => None,
        }
    }

    /// The files of the service that are there, the oldest first.
    fn files(&self) -> std::io::Result<Vec<PathBuf>> {
        let prefix = self.prefix();
        let mut files = Vec::new();
        for entry in std::fs::read_dir(&self.directory)? {
            let name = entry?.file_name();
            if let Some(name) = name.to_str()
                && name.starts_with(&prefix)
                && name.ends_with(SUFFIX)
            {
                files.push(self.directory.join(name));
            }
        }
        // The time comes first after the prefix.
        files.sort_unstable();
        Ok(files)
    }

    /// No service's name has a `_` in it, so that no file is taken for another service's.
    fn prefix(&self) -> String {
        format!("{}_", self.service)
    }

    /// Writes a whole file or none, and removes the oldest beyond `count`.
    fn keep(&self, content: &[u8], instance: u64) -> std::io::Result<PathBuf> {
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.directory)?;
        let mut file = tempfile::Builder::new()
            .prefix(".core-dump-")
            .permissions(std::fs::Permissions::from_mode(0o600))
            .tempfile_in(&self.directory)?;
        file.write_all(content)?;
        let files = self.files()?;
        let others = self.settings.count.saturating_sub(1) as usize;
        for old in &files[..files.len().saturating_sub(others)] {
            std::fs::remove_file(old)?;
        }
        let time = rfc3339(SystemTime::now()).replace(':', "-");
        let (prefix, revision) = (self.prefix(), self.revision);
        let name = format!("{prefix}{time}_revision-{revision}_instance-{instance}{SUFFIX}");
        let path = self.directory.join(name);
        file.persist(&path).map_err(|error| error.error)?;
        Ok(path)
    }
}

fn write(job: Job) -> Result<(PathBuf, u64), DumpError> {
    let Job {
        mut store,
        failure,
        dumps,
        instance,
        dump,
    } = job;
    // Whoever handed it over has looked.
    let core = failure
        .downcast_ref::<WasmCoreDump>()
        .ok_or(DumpError::Unwritable)?;
    let limit = dumps.settings.size;
    let fits = |found: u64| match found <= limit.as_u64() {
        true => Ok(found),
        false => Err(DumpError::TooLarge {
            found: ByteSize::bytes(found),
            limit,
        }),
    };
    // Before wasmtime makes one piece of it in memory.
    fits(content(core, &store))?;
    // It panics at what it does not know, such as globals of types that are still proposals.
    let bytes = catch_unwind(AssertUnwindSafe(|| {
        core.serialize(&mut store, &dumps.service)
    }))
    .map_err(|_| DumpError::Unwritable)?;
    // The guest's memory is free before the disk is waited for.
    drop(store);
    let size = fits(bytes.len() as u64)?;
    let path = dumps
        .keep(&bytes, instance)
        .map_err(|source| DumpError::Write {
            directory: dumps.directory.clone(),
            source,
        })?;
    // It is set here alone.
    let _ = dump.0.set(path.clone());
    Ok((path, size))
}

/// Bytes of memory that the dump will carry.
fn content(core: &WasmCoreDump, store: &Store<GuestState>) -> u64 {
    let memories = core.memories().iter().map(|memory| memory.data(store));
    let chunks = memories.flat_map(|memory| memory.chunks_exact(CHUNK));
    chunks.map(|chunk| trimmed(chunk) as u64).sum()
}

/// The length of a chunk without zeroes at both ends.
fn trimmed(chunk: &[u8]) -> usize {
    let first = chunk.iter().position(|byte| *byte != 0);
    let last = chunk.iter().rposition(|byte| *byte != 0);
    match (first, last) {
        (Some(first), Some(last)) => last + 1 - first,
        _ => 0,
    }
}
