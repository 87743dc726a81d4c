//! The cache's directory and key: private to one user, shared by that user's hosts.

use std::fs::{DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::entry::{KEY_BYTES, Key};
use crate::artifact::Digest;

/// No directory for the compiled cache.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CacheError {
    /// Others could put code there that this host would run.
    #[error("the compiled cache `{path}` is not safe: {why}; {remedy}", path = .path.display())]
    Unsafe {
        /// The directory.
        path: PathBuf,
        /// Who could write there.
        why: String,
        /// What to do about it.
        remedy: &'static str,
    },
    /// The operating system refuses.
    #[error("cannot {doing} `{path}` for the compiled cache: {error}", path = .path.display())]
    Io {
        /// A verb: "create", "read".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Its reason.
        error: io::Error,
    },
}

/// The form of what lies in the directory: a later form takes another name, and both can live.
const ENTRIES: &str = "compiled-1";
const KEY: &str = "key";
const LOCKS: &str = "locks";

/// Components whose digests begin alike share a lock: a fixed number of files needs no sweeping.
const LOCK_NAMES: usize = 256;

pub(super) struct Directory {
    entries: PathBuf,
    key: Key,
    /// Deleted with the cache, if it is only a stand-in.
    _private: Option<TempDir>,
}

impl Directory {
    /// The named directory, else the user's; a temporary one if that cannot be used. Only a
    /// directory that somebody has named and that is unsafe is an error: it must not go unseen.
    pub(super) fn open_or_private(named: Option<&Path>) -> Result<Directory, CacheError> {
        let named = named
            .map(Path::to_owned)
            .or_else(|| environment_path("SKEP_CACHE"));
        let was_named = named.is_some();
        let why = match named.or_else(user_cache) {
            None => "neither $SKEP_CACHE nor $HOME is set".to_owned(),
            Some(root) => match Directory::open(&root, None) {
                Ok(directory) => return Ok(directory),
                Err(error @ CacheError::Unsafe { .. }) if was_named => return Err(error),
                Err(error) => error.to_string(),
            },
        };
        tracing::warn!(
            why,
            "no compiled cache: components are compiled at every start; set SKEP_CACHE to a \
             directory that only this user can write"
        );
        Directory::private()
    }

    fn private() -> Result<Directory, CacheError> {
        let directory = tempfile::Builder::new()
            .prefix("skep-cache-")
            .permissions(Permissions::from_mode(0o700))
            .tempdir()
            .map_err(io_error("create a directory in", &std::env::temp_dir()))?;
        let root = directory.path().to_owned();
        Directory::open(&root, Some(directory))
    }

    fn open(root: &Path, private: Option<TempDir>) -> Result<Directory, CacheError> {
        create_private(root)?;
        check_root(root)?;
        let entries = root.join(ENTRIES);
        create_private(&entries)?;
        check_entries(&entries)?;
        create_private(&entries.join(LOCKS))?;
        let key = key(&entries)?;
        Ok(Directory {
            entries,
            key,
            _private: private,
        })
    }

    pub(super) fn entries(&self) -> &Path {
        &self.entries
    }

    pub(super) fn key(&self) -> &Key {
        &self.key
    }

    pub(super) fn lock_file(&self, digest: Digest) -> io::Result<File> {
        let number = usize::from(digest.as_bytes()[0]) % LOCK_NAMES;
        OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(self.entries.join(LOCKS).join(format!("{number:02x}")))
    }
}

fn user_cache() -> Option<PathBuf> {
    let base = environment_path("XDG_CACHE_HOME")
        .filter(|path| path.is_absolute())
        .or_else(|| environment_path("HOME").map(|home| home.join(".cache")))?;
    Some(base.join("skep"))
}

fn environment_path(name: &str) -> Option<PathBuf> {
    std::env::var_os(name)
        .filter(|value| !value.is_empty())
        .map(PathBuf::from)
}

fn create_private(path: &Path) -> Result<(), CacheError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(io_error("create", path))
}

/// The directory that was named may be readable, and /tmp may even be written by all (its sticky
/// bit keeps others from renaming what is ours): all that matters lies one level deeper.
fn check_root(root: &Path) -> Result<(), CacheError> {
    let metadata = std::fs::metadata(root).map_err(io_error("read", root))?;
    let sticky = metadata.mode() & 0o1000 != 0;
    let why = if metadata.uid() != user() && metadata.uid() != 0 {
        format!("it belongs to user {}", metadata.uid())
    } else if metadata.mode() & 0o022 != 0 && !sticky {
        format!(
            "others can write in it (mode {:o})",
            metadata.mode() & 0o7777
        )
    } else {
        return Ok(());
    };
    Err(CacheError::Unsafe {
        path: root.to_owned(),
        why,
        remedy: "name a directory that only this user can write",
    })
}

fn check_entries(entries: &Path) -> Result<(), CacheError> {
    let metadata = std::fs::symlink_metadata(entries).map_err(io_error("read", entries))?;
    let mode = metadata.mode() & 0o7777;
    let why = if !metadata.is_dir() {
        "it is not a directory".to_owned()
    } else if metadata.uid() != user() {
        format!("it belongs to user {}", metadata.uid())
    } else if mode & 0o022 != 0 {
        format!("others could write in it (mode {mode:o})")
    } else if mode & 0o077 != 0 {
        // Others could only read: no harm done yet, and none from now on.
        return std::fs::set_permissions(entries, Permissions::from_mode(0o700))
            .map_err(io_error("make private", entries));
    } else {
        return Ok(());
    };
    Err(CacheError::Unsafe {
        path: entries.to_owned(),
        why,
        remedy: "delete it, and Skep makes a new one",
    })
}

/// Reads the key, or makes one. Two hosts that do so together end up with the same: linking a
/// complete file to the name succeeds for one of them.
fn key(entries: &Path) -> Result<Key, CacheError> {
    let path = entries.join(KEY);
    for _ in 0..2 {
        match read_key(&path) {
            Ok(Some(key)) => return Ok(key),
            Ok(None) => {
                tracing::warn!(key = %path.display(), "the cache's key is damaged or not private: making a new one");
                // Whoever deletes it first does the work; the other finds it gone.
                let _ = std::fs::remove_file(&path);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(io_error("read", &path)(error)),
        }
        match make_key(entries, &path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(io_error("create", &path)(error)),
        }
    }
    match read_key(&path) {
        Ok(Some(key)) => Ok(key),
        Ok(None) => Err(io_error("trust", &path)(io::ErrorKind::InvalidData.into())),
        Err(error) => Err(io_error("read", &path)(error)),
    }
}

/// `None` if it is not a key, or one that others could read.
fn read_key(path: &Path) -> io::Result<Option<Key>> {
    let opened = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
        .open(path);
    let mut file = match opened {
        // A symbolic link: nothing of ours.
        Err(error) if error.raw_os_error() == Some(libc::ELOOP) => return Ok(None),
        opened => opened?,
    };
    let metadata = file.metadata()?;
    let private = metadata.uid() == user() && metadata.mode() & 0o077 == 0;
    if !metadata.is_file() || !private || metadata.len() != KEY_BYTES as u64 {
        return Ok(None);
    }
    let mut key = [0; KEY_BYTES];
    file.read_exact(&mut key)?;
    Ok(Some(key))
}

fn make_key(entries: &Path, path: &Path) -> io::Result<()> {
    let mut key = [0; KEY_BYTES];
    File::open("/dev/urandom")?.read_exact(&mut key)?;
    let mut temporary = tempfile::Builder::new()
        .prefix(super::prune::TEMPORARY_PREFIX)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(entries)?;
    temporary.write_all(&key)?;
    temporary.as_file().sync_data()?;
    std::fs::hard_link(temporary.path(), path)
}

fn io_error(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CacheError + use<> {
    let path = path.to_owned();
    move |error| CacheError::Io { doing, path, error }
}

fn user() -> u32 {
    // SAFETY: returns a number and cannot fail.
    unsafe { libc::geteuid() }
}
