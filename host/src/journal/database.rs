//! The journal's file: opened again after trouble, and a copy in memory where it cannot be written.
//!
//! redb lets nothing be read from a database on which a write has failed. So it is closed then and
//! opened anew, which finds whole transactions alone; and if even that cannot be done (a full disk, a
//! read-only one), what the file has is read into memory, so that the host still knows what it is
//! to serve.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use redb::backends::InMemoryBackend;
use redb::{
    Builder, ReadTransaction, ReadableDatabase as _, StorageBackend as _, WriteTransaction,
};

use super::directory::Directory;
use super::error::{JournalError, io_error};
use super::tables::{self, Fault};
use crate::durable;

/// redb's default of 1 GiB is for databases.
const CACHE_BYTES: usize = 4 << 20;

/// Which is read into memory at worst.
const COPY_BYTES_MAX: u64 = 1 << 30;

/// The file, or what stands for it.
pub(super) struct Database {
    path: PathBuf,
    /// False where the directory could not be locked: then nothing may be written, whatever changes.
    may_write: bool,
    state: Mutex<State>,
}

enum State {
    Open(redb::Database),
    /// In memory, since the file cannot be written.
    Copy(redb::Database, Arc<JournalError>),
    /// Nothing could be opened when it was last tried.
    Closed,
    /// Another host has the file.
    Lent,
}

impl Database {
    /// # Errors
    /// If it is damaged, or of another form. That it cannot be written is none.
    pub(super) fn open(directory: &mut Directory) -> Result<Database, JournalError> {
        let path = directory.journal();
        let trouble = directory.take_trouble();
        let may_write = trouble.is_none();
        let state = match trouble {
            Some(trouble) => State::copy(&path, trouble)?,
            None => State::open(&path)?,
        };
        Ok(Database {
            path,
            may_write,
            state: Mutex::new(state),
        })
    }

    pub(super) fn trouble(&self) -> Option<Arc<JournalError>> {
        match &*self.state.lock() {
            State::Copy(_, why) => Some(why.clone()),
            State::Open(_) | State::Closed | State::Lent => None,
        }
    }

    /// Closes the file, so that another host can open it. Until [`Database::take_back`] nothing is read
    /// or written. What is only a copy stays: it is in nobody's way.
    pub(super) fn lend(&self) {
        if self.may_write {
            *self.state.lock() = State::Lent;
        }
    }

    pub(super) fn is_lent(&self) -> bool {
        matches!(*self.state.lock(), State::Lent)
    }

    /// The file is this host's again. The next who comes opens it.
    pub(super) fn take_back(&self) {
        let mut state = self.state.lock();
        if matches!(*state, State::Lent) {
            *state = State::Closed;
        }
    }

    pub(super) fn read<T>(
        &self,
        read: impl FnOnce(&ReadTransaction) -> Result<T, Fault>,
    ) -> Result<T, JournalError> {
        let mut state = self.state.lock();
        match *state {
            State::Closed => *state = State::open(&self.path)?,
            State::Lent => return Err(JournalError::Lent),
            State::Open(_) | State::Copy(..) => {}
        }
        let (State::Open(database) | State::Copy(database, _)) = &*state else {
            unreachable!("just opened")
        };
        let read = database
            .begin_read()
            .map_err(Fault::from)
            .and_then(|transaction| read(&transaction));
        read.map_err(|fault| {
            if matches!(fault, Fault::Redb(_)) {
                *state = State::Closed;
            }
            fault.into_error("read", &self.path)
        })
    }

    /// One durable transaction.
    ///
    /// # Errors
    /// Whatever the error, all of it was written or nothing; only if redb's own commit failed can it
    /// be all.
    pub(super) fn write<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
    ) -> Result<T, JournalError> {
        let mut state = self.state.lock();
        if matches!(*state, State::Lent) {
            return Err(JournalError::Lent);
        }
        if self.may_write && !matches!(*state, State::Open(_)) {
            // What was in the way may be gone.
            *state = State::Closed;
            *state = State::open(&self.path)?;
        }
        let database = match &*state {
            State::Open(database) => database,
            State::Copy(_, why) => {
                let why = why.clone();
                return Err(JournalError::Unwritable { doing, why });
            }
            State::Closed | State::Lent => unreachable!("just opened"),
        };
        let written = transact(database, write);
        written.map_err(|fault| {
            if matches!(fault, Fault::Redb(_)) {
                // The next who comes opens it anew.
                *state = State::Closed;
            }
            fault.into_error(doing, &self.path)
        })
    }
}

fn transact<T>(
    database: &redb::Database,
    write: impl FnOnce(&WriteTransaction) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut transaction = database.begin_write()?;
    // So that what a crash leaves behind is opened at once, not after a walk over all of it.
    transaction.set_quick_repair(true);
    let result = write(&transaction)?;
    failpoint!("journal::written");
    transaction.commit()?;
    failpoint!("journal::durable");
    Ok(result)
}

impl State {
    /// The file, or a copy if it cannot be opened for writing.
    fn open(path: &Path) -> Result<State, JournalError> {
        let opened = make(path).and_then(|()| {
            builder()
                .open(path)
                .map_err(|error| JournalError::of_redb("open the journal", path, error.into()))
        });
        match opened {
            Ok(database) => Ok(State::Open(database)),
            Err(error @ JournalError::Io { .. }) => State::copy(path, error),
            Err(error) => Err(error),
        }
    }

    /// What is in the file, if there is one, in memory.
    fn copy(path: &Path, why: JournalError) -> Result<State, JournalError> {
        let bytes = match std::fs::metadata(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Ok(metadata) if metadata.len() > COPY_BYTES_MAX => {
                Err(io::Error::from(io::ErrorKind::FileTooLarge))
            }
            _ => std::fs::read(path),
        };
        let bytes = bytes.map_err(io_error("read", path))?;
        let backend = InMemoryBackend::new();
        let copy = |backend: &InMemoryBackend| {
            backend.set_len(bytes.len() as u64)?;
            backend.write(0, &bytes)
        };
        if !bytes.is_empty() {
            copy(&backend).map_err(|error| JournalError::of_redb("read", path, error.into()))?;
        }
        let database = builder()
            .create_with_backend(backend)
            .map_err(|error| JournalError::of_redb("read", path, error.into()))?;
        transact(&database, tables::make).map_err(|fault| fault.into_error("read", path))?;
        Ok(State::Copy(database, Arc::new(why)))
    }
}

/// An empty journal, unless there is one. It is made aside: a name stands for a whole one.
fn make(path: &Path) -> Result<(), JournalError> {
    if path.exists() {
        return Ok(());
    }
    let doing = "make the journal";
    let aside = path.with_extension("new");
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&aside)
        .map_err(io_error(doing, &aside))?;
    let of_redb = |error: redb::Error| JournalError::of_redb(doing, &aside, error);
    let database = builder()
        .create(&aside)
        .map_err(|error| of_redb(error.into()))?;
    transact(&database, tables::make).map_err(|fault| fault.into_error(doing, &aside))?;
    database.close().map_err(|error| of_redb(error.into()))?;
    failpoint!("journal::made");
    std::fs::rename(&aside, path).map_err(io_error(doing, path))?;
    let directory = path.parent().unwrap_or(Path::new("."));
    durable::sync_directory(directory).map_err(io_error(doing, directory))
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    // Without it, redb may panic on a file that somebody else has altered.
    builder.set_check_integrity_on_open(true);
    builder
}
