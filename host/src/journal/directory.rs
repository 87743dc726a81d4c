//! The state directory: this user's alone, one host's at a time, and of a known form.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::error::{JournalError, io_error};
use crate::durable;
use crate::log::rfc3339;

/// The form of what lies in the directory. A host takes over older forms, never newer ones.
const FORMAT: u32 = 1;

const FORMAT_FILE: &str = "format";
const LOCK_FILE: &str = "lock";
const JOURNAL_FILE: &str = "journal.redb";

/// What a lock file says is longer only if somebody else has written it.
const LOCK_TEXT_MAX: u64 = 200;

/// The state directory, held as long as this lives.
pub(super) struct Directory {
    path: PathBuf,
    /// None where nothing can be written: then there is nothing to keep others from.
    lock: Option<File>,
    /// Why nothing can be written, if that showed already.
    trouble: Option<JournalError>,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Directory, JournalError> {
        let path = path.to_owned();
        let made =
            durable::create_directory(&path).map_err(io_error("create the state directory", &path));
        let (lock, trouble) = match made.and_then(|()| open_lock(&path)) {
            Ok(lock) => (Some(lock), None),
            Err(error) => (None, Some(error)),
        };
        let mut directory = Directory {
            path,
            lock,
            trouble,
        };
        if directory.take()?.is_none() {
            directory.write_format();
        }
        Ok(directory)
    }

    /// Lets another host have it, until [`Directory::take`].
    pub(super) fn release(&self) -> Result<(), JournalError> {
        match &self.lock {
            Some(file) => file
                .unlock()
                .map_err(io_error("unlock", &self.path.join(LOCK_FILE))),
            None => Ok(()),
        }
    }

    /// Locks it, and answers its form, which is a known one; none if that is still to be written.
    pub(super) fn take(&self) -> Result<Option<u32>, JournalError> {
        self.take_lock()?;
        match self.read_format()? {
            Some(found) if found > FORMAT => Err(JournalError::Newer {
                directory: self.path.clone(),
                found,
                known: FORMAT,
            }),
            format => Ok(format),
        }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn journal(&self) -> PathBuf {
        self.path.join(JOURNAL_FILE)
    }

    /// Why nothing can be written here, for whoever opens what is in here.
    pub(super) fn take_trouble(&mut self) -> Option<JournalError> {
        self.trouble.take()
    }

    fn take_lock(&self) -> Result<(), JournalError> {
        let Some(mut file) = self.lock.as_ref() else {
            return Ok(());
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(JournalError::InUse {
                    directory: self.path.clone(),
                    holder: holder(file),
                });
            }
            Err(TryLockError::Error(error)) => {
                return Err(io_error("lock", &self.path.join(LOCK_FILE))(error));
            }
        }
        // For whoever comes next. Should it not fit on the disk, the lock holds all the same.
        let now = rfc3339(SystemTime::now());
        let _ = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "process {}, started {now}", std::process::id()));
        Ok(())
    }

    fn read_format(&self) -> Result<Option<u32>, JournalError> {
        let path = self.path.join(FORMAT_FILE);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            text => text.map_err(io_error("read the format", &path))?,
        };
        match text.trim().parse() {
            Ok(format) => Ok(Some(format)),
            Err(_) => Err(JournalError::Damaged {
                path,
                why: "it is no number".to_owned(),
            }),
        }
    }

    fn write_format(&mut self) {
        let path = self.path.join(FORMAT_FILE);
        if self.trouble.is_none()
            && let Err(error) = durable::write(&path, format!("{FORMAT}\n").as_bytes())
        {
            self.trouble = Some(io_error("write the format", &path)(error));
        }
    }
}

fn open_lock(directory: &Path) -> Result<File, JournalError> {
    let path = directory.join(LOCK_FILE);
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io_error("open the lock", &path))
}

fn holder(mut file: &File) -> String {
    let mut text = String::new();
    let read = file
        .rewind()
        .and_then(|()| file.take(LOCK_TEXT_MAX).read_to_string(&mut text));
    match read {
        Ok(_) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => "which has not said its process".to_owned(),
    }
}
