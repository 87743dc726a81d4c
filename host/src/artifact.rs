//! Where components come from: a file is read once, named by its digest, and described.
//!
//! Before it: `deploy` (or `cli`) has a path. After it: [`Cache`] turns the artifact into compiled
//! code for the `engine`. Nothing in here trusts the file: whatever its bytes are, the answer is
//! an artifact or an [`ArtifactError`] that says what the file is instead.

mod cache;
#[cfg(any(test, fuzzing))]
pub use self::cache::fuzzing;
mod compile;
mod contract;
mod description;
mod digest;
mod error;
mod looks;
mod needs;
mod store;
mod trusted;
mod wit;

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

pub use cache::{
    CACHE_AGE, CACHE_BYTES, Cache, CacheError, CacheSettings, CacheStats, Compiled, Origin,
    PruneReport,
};
pub use compile::{
    COMPILE_CPU, COMPILE_MEMORY, COMPILE_WALL, CompileError, CompileIn, CompileLimits, child,
};
pub use description::{Description, Item, ItemKind, Producer, Role, Sizes};
pub use digest::{Digest, EngineHash};
pub use error::{ArtifactError, Fault};
pub use looks::Looks;
pub use needs::{GrantNeeded, Need, required_grants};
pub use store::{Collected, Pin, Store, StoreError};

/// Bytes a component file may have. The largest in use (Python with its libraries) have some
/// 40 MiB; beyond this a file is more likely a mistake, and would take minutes to compile.
pub const MAX_COMPONENT_BYTES: u64 = 128 << 20;

/// The bytes of one component, with what can be said of them without compiling.
///
/// Clones share the bytes. Once the component is compiled they can be forgotten
/// ([`Artifact::forget_bytes`]): the compiled code does not need them.
#[derive(Clone, Debug)]
pub struct Artifact {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    path: PathBuf,
    size: u64,
    bytes: Mutex<Option<Arc<Vec<u8>>>>,
    digest: Digest,
    description: Description,
}

impl Artifact {
    /// Reads the file at `path` whole and describes it. Blocking; called once per deploy.
    ///
    /// Function bodies are not checked here (compiling does that, or [`Artifact::validate`]), so
    /// that a start with a warm cache does not pay for it.
    ///
    /// # Errors
    /// If there is no such regular file, it is too large, or it is not a component; the error
    /// says what it is instead and what to do about it.
    pub fn load(path: impl AsRef<Path>) -> Result<Artifact, ArtifactError> {
        let path = path.as_ref();
        read(path)
            .and_then(|bytes| Artifact::describe(path, bytes))
            .map_err(|fault| ArtifactError::new(path, fault))
    }

    /// Describes bytes that are already in memory; `name` stands for the path in errors.
    ///
    /// # Errors
    /// As [`Artifact::load`], but for those of reading.
    pub fn from_bytes(name: impl AsRef<Path>, bytes: Vec<u8>) -> Result<Artifact, ArtifactError> {
        let name = name.as_ref();
        Artifact::describe(name, bytes).map_err(|fault| ArtifactError::new(name, fault))
    }

    fn describe(path: &Path, bytes: Vec<u8>) -> Result<Artifact, Fault> {
        let size = bytes.len() as u64;
        if size > MAX_COMPONENT_BYTES {
            return Err(Fault::TooLarge { size });
        }
        looks::component_binary(&bytes)?;
        let description = Description::of(&bytes)?;
        let digest = Digest::of(&bytes);
        let path = path.to_owned();
        Ok(Artifact {
            inner: Arc::new(Inner {
                path,
                size,
                bytes: Mutex::new(Some(Arc::new(bytes))),
                digest,
                description,
            }),
        })
    }

    /// The same from another place, where the same bytes are.
    #[must_use]
    pub(crate) fn at(&self, path: PathBuf) -> Artifact {
        Artifact {
            inner: Arc::new(Inner {
                path,
                size: self.inner.size,
                bytes: Mutex::new(self.inner.bytes.lock().clone()),
                digest: self.inner.digest,
                description: self.inner.description.clone(),
            }),
        }
    }

    /// Checks everything that compiling would, function bodies included; some 10 ms per MiB.
    ///
    /// # Errors
    /// If the component is corrupt, or uses a WebAssembly proposal that Skep does not enable.
    pub fn validate(&self) -> Result<(), ArtifactError> {
        description::validate(&self.bytes()?)
            .map_err(|fault| ArtifactError::new(self.path(), fault))
    }

    /// The world, and the packages it names, as WIT text. `all` also prints the definitions of
    /// the standard `wasi:` packages, which are long and known.
    ///
    /// # Errors
    /// If the component has something that WIT cannot say; such a component may still run.
    pub fn wit(&self, all: bool) -> Result<String, String> {
        let bytes = self.bytes().map_err(|error| error.to_string())?;
        wit::print(&bytes, all)
    }

    /// What the component is, imports, exports and was made by.
    pub fn description(&self) -> &Description {
        &self.inner.description
    }

    /// The SHA-256 of the bytes: the component's identity everywhere in Skep.
    pub fn digest(&self) -> Digest {
        self.inner.digest
    }

    /// Where it was read from, or the name given to [`Artifact::from_bytes`].
    pub fn path(&self) -> &Path {
        &self.inner.path
    }

    /// The component as it was read. Read again if that has been forgotten.
    ///
    /// # Errors
    /// If it has to be read, and the file is gone or is not the same any more.
    pub fn bytes(&self) -> Result<Arc<Vec<u8>>, ArtifactError> {
        if let Some(bytes) = &*self.inner.bytes.lock() {
            return Ok(bytes.clone());
        }
        let fault = |fault| ArtifactError::new(self.path(), fault);
        let bytes = read(self.path()).map_err(fault)?;
        if Digest::of(&bytes) != self.digest() {
            return Err(fault(Fault::Changed));
        }
        Ok(Arc::new(bytes))
    }

    /// Gives the bytes back, for all clones; what is known of them stays.
    pub fn forget_bytes(&self) {
        *self.inner.bytes.lock() = None;
    }

    /// Bytes, at most [`MAX_COMPONENT_BYTES`].
    pub fn size(&self) -> u64 {
        self.inner.size
    }
}

/// Reads a regular file within the size limit; never blocks on a pipe or a device, never reads
/// more than the limit, however large or growing the file is.
fn read(path: &Path) -> Result<Vec<u8>, Fault> {
    // Asked by name first: opening a FIFO or a device may block or have effects.
    let metadata = std::fs::metadata(path).map_err(|error| Fault::from_io(error, path))?;
    check_kind_and_size(&metadata)?;
    let file = File::open(path).map_err(|error| Fault::from_io(error, path))?;
    // And again of what was opened: the name may have changed hands in between.
    let metadata = file
        .metadata()
        .map_err(|error| Fault::from_io(error, path))?;
    check_kind_and_size(&metadata)?;

    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).unwrap_or_default());
    file.take(MAX_COMPONENT_BYTES + 1)
        .read_to_end(&mut bytes)
        .map_err(|error| Fault::from_io(error, path))?;
    Ok(bytes)
}

fn check_kind_and_size(metadata: &std::fs::Metadata) -> Result<(), Fault> {
    let size = metadata.len();
    if metadata.is_dir() {
        Err(Fault::Directory)
    } else if !metadata.is_file() {
        Err(Fault::NotAFile)
    } else if size > MAX_COMPONENT_BYTES {
        Err(Fault::TooLarge { size })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
