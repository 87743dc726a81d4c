//! The components that generations name, by their digests: so that what was acknowledged can be
//! served again, whatever has become of the files that it was deployed from.
//!
//! Before it: `deploy` has a component in memory. After it: `journal` records a generation that names
//! it. A component is kept as long as a generation that is kept names it, or somebody holds a
//! [`Pin`] on it; the rest is collected.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::{Digest, MAX_COMPONENT_BYTES};
use crate::durable;

/// Below the state directory.
const DIRECTORY: &str = "components";
const EXTENSION: &str = "wasm";

/// The components of one host. Clones share them. All methods block.
#[derive(Clone, Debug)]
pub struct Store {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    directory: PathBuf,
    used: Mutex<Used>,
}

/// What must not be collected, whether or not a generation names it.
#[derive(Debug, Default)]
struct Used {
    pins: BTreeMap<Digest, usize>,
    /// Files that are being written.
    writing: usize,
}

/// Keeps a component from being collected: held from before it is stored until a generation names it.
#[derive(Debug)]
pub struct Pin {
    digest: Digest,
    inner: Arc<Inner>,
}

/// What was collected, and what is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Components, and files that a crash had left half-written.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Components that are kept.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
}

/// A component cannot be stored, or is not as it was.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Somebody has deleted it.
    #[error("component {digest:?} is not in `{}` any more; deploy it again", .directory.display())]
    Missing {
        /// What was asked for.
        digest: Digest,
        /// Where it should be.
        directory: PathBuf,
    },
    /// Its bytes are others.
    #[error("`{}` is damaged: its bytes have another digest than its name says; deploy the component again", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// The operating system refuses.
    #[error("cannot {doing} `{}`: {}", .path.display(), durable::with_remedy(.error))]
    Io {
        /// A verb: "create", "read".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Its reason.
        #[source]
        error: io::Error,
    },
}

impl Store {
    /// The store in a state directory, of which the caller is the only user (`journal` sees to that).
    /// Nothing is made until something is stored.
    pub fn in_state(state: &Path) -> Store {
        Store {
            inner: Arc::new(Inner {
                directory: state.join(DIRECTORY),
                used: Mutex::default(),
            }),
        }
    }

    /// Stores a component, unless it is there already. When this returns, it will be there after a
    /// crash; until the pin is dropped, it is not collected.
    ///
    /// # Errors
    /// If it cannot be written; then nothing is left of it.
    pub fn put(&self, bytes: &[u8]) -> Result<Pin, StoreError> {
        let digest = Digest::of(bytes);
        let pin = self.pin(digest);
        let path = self.path(digest);
        match self.read(digest) {
            Ok(_) => return Ok(pin),
            Err(StoreError::Damaged { path }) => {
                tracing::warn!(file = %path.display(), "a stored component was damaged: writing it anew");
            }
            Err(_) => {}
        }
        let directory = &self.inner.directory;
        durable::create_directory(directory).map_err(io_error("create", directory))?;
        let _writing = Writing::begin(&self.inner);
        durable::write(&path, bytes).map_err(io_error("write", &path))?;
        failpoint!("store::put");
        Ok(pin)
    }

    /// Keeps a component from being collected, whether or not it is there yet.
    pub fn pin(&self, digest: Digest) -> Pin {
        *self.inner.used.lock().pins.entry(digest).or_default() += 1;
        Pin {
            digest,
            inner: self.inner.clone(),
        }
    }

    /// The bytes of a component: exactly those that were stored.
    ///
    /// # Errors
    /// If it is not there, is damaged or cannot be read.
    pub fn read(&self, digest: Digest) -> Result<Vec<u8>, StoreError> {
        let path = self.path(digest);
        let mut bytes = Vec::new();
        let read = File::open(&path)
            // Whatever has come to lie there, no more than a component is read.
            .and_then(|file| file.take(MAX_COMPONENT_BYTES + 1).read_to_end(&mut bytes));
        match read {
            Ok(_) if Digest::of(&bytes) == digest => Ok(bytes),
            Ok(_) => Err(StoreError::Damaged { path }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(StoreError::Missing {
                digest,
                directory: self.inner.directory.clone(),
            }),
            Err(error) => Err(io_error("read", &path)(error)),
        }
    }

    /// Deletes what is neither in `keep` nor pinned, and what crashes have left half-written. Files
    /// that are not the store's stay.
    ///
    /// # Errors
    /// If something cannot be deleted; the rest may have been.
    pub fn collect(&self, keep: &BTreeSet<Digest>) -> Result<Collected, StoreError> {
        let directory = &self.inner.directory;
        let entries = match std::fs::read_dir(directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(Collected::default());
            }
            entries => entries.map_err(io_error("read", directory))?,
        };
        let mut collected = Collected::default();
        for entry in entries {
            let entry = entry.map_err(io_error("read", directory))?;
            let bytes = entry.metadata().map_or(0, |metadata| metadata.len());
            match self.delete_unless_used(&entry.path(), keep)? {
                Fate::Foreign => {}
                Fate::Kept => {
                    collected.kept += 1;
                    collected.kept_bytes += bytes;
                }
                Fate::Deleted => {
                    collected.deleted += 1;
                    collected.deleted_bytes += bytes;
                    failpoint!("store::collect");
                }
            }
        }
        if collected.deleted > 0 {
            durable::sync_directory(directory).map_err(io_error("write", directory))?;
        }
        Ok(collected)
    }

    /// The lock is held until the file is gone: whoever pins it meanwhile finds it missing, and
    /// stores it anew.
    fn delete_unless_used(&self, path: &Path, keep: &BTreeSet<Digest>) -> Result<Fate, StoreError> {
        let used = self.inner.used.lock();
        let name = path.file_name().and_then(|name| name.to_str());
        let unwanted = match (name, name.and_then(digest_of)) {
            (_, Some(digest)) if keep.contains(&digest) => return Ok(Fate::Kept),
            (_, Some(digest)) if used.pins.contains_key(&digest) => return Ok(Fate::Kept),
            (_, Some(_)) => true,
            (Some(name), None) => durable::is_temporary(name) && used.writing == 0,
            (None, None) => false,
        };
        if !unwanted {
            return Ok(Fate::Foreign);
        }
        std::fs::remove_file(path).map_err(io_error("delete", path))?;
        Ok(Fate::Deleted)
    }

    /// Where a component lies, if it is there.
    pub fn path(&self, digest: Digest) -> PathBuf {
        self.inner.directory.join(format!("{digest}.{EXTENSION}"))
    }
}

enum Fate {
    Kept,
    Deleted,
    Foreign,
}

fn digest_of(name: &str) -> Option<Digest> {
    let (digest, extension) = name.split_once('.')?;
    digest.parse().ok().filter(|_| extension == EXTENSION)
}

impl Pin {
    /// What is pinned.
    pub fn digest(&self) -> Digest {
        self.digest
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut used = self.inner.used.lock();
        if let Some(pins) = used.pins.get_mut(&self.digest) {
            *pins -= 1;
            if *pins == 0 {
                used.pins.remove(&self.digest);
            }
        }
    }
}

/// Keeps half-written files of this process from being taken for those of a crashed one.
struct Writing<'s>(&'s Inner);

impl<'s> Writing<'s> {
    fn begin(inner: &'s Inner) -> Self {
        inner.used.lock().writing += 1;
        Writing(inner)
    }
}

impl Drop for Writing<'_> {
    fn drop(&mut self) {
        self.0.used.lock().writing -= 1;
    }
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> StoreError + use<> {
    let path = path.to_owned();
    move |error| StoreError::Io { doing, path, error }
}

#[cfg(test)]
mod tests;
