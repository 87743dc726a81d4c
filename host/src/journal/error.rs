//! What can be wrong with a state directory and the journal in it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use skep_core::generation::BadGeneration;

use crate::durable;

/// The journal cannot be opened, read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum JournalError {
    /// Another host has the directory.
    #[error(
        "another skep ({holder}) uses `{}`; stop it, take its place with `skep run --take-over`, or name another \
         directory with host.state",
        .directory.display()
    )]
    InUse {
        /// The state directory.
        directory: PathBuf,
        /// Its process and when it started, as far as it has said so.
        holder: String,
    },
    /// It is with another host, which is about to take this one's place.
    #[error(
        "another host has the journal, and is about to take this one's place; try again in a moment"
    )]
    Lent,
    /// Written by a later version of Skep.
    #[error(
        "`{}` was written by a later version of Skep (format {found}; this one knows {known}); run that version, \
         or name another directory with host.state",
        .directory.display()
    )]
    Newer {
        /// The state directory.
        directory: PathBuf,
        /// What it says.
        found: u32,
        /// The latest that this version knows.
        known: u32,
    },
    /// It is not what Skep has written.
    #[error("the journal `{}` is damaged: {why}; move it away to begin anew", .path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refuses.
    #[error("cannot {doing} in `{}`: {}", .path.display(), durable::with_remedy(.error))]
    Io {
        /// What was being done: "commit a generation".
        doing: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Its reason.
        #[source]
        error: io::Error,
    },
    /// The journal could not be opened for writing, and cannot be yet.
    #[error("cannot {doing}: {why}")]
    Unwritable {
        /// What was being done.
        doing: &'static str,
        /// Why not.
        why: Arc<JournalError>,
    },
    /// The disk failed while a generation was committed, and cannot be asked whether it has it.
    #[error("generation {number} may be active after the next start, or the one before: {error}")]
    Uncertain {
        /// The generation's.
        number: u64,
        /// What happened.
        error: Box<JournalError>,
    },
    /// A generation came too late.
    #[error(
        "generation {number} comes after generation {active}, which is active already; try again on top of that"
    )]
    Superseded {
        /// The one that came.
        number: u64,
        /// The one that is active.
        active: u64,
    },
    /// One generation cannot be read.
    #[error("cannot read generation {number}: {error}")]
    Generation {
        /// Which.
        number: u64,
        /// Why not.
        #[source]
        error: BadGeneration,
    },
}

impl JournalError {
    /// True if it is certain that nothing was written.
    pub(super) fn is_decided(&self) -> bool {
        matches!(
            self,
            JournalError::Superseded { .. } | JournalError::Unwritable { .. } | JournalError::Lent
        )
    }

    pub(super) fn uncertain(number: u64, error: JournalError) -> JournalError {
        let error = Box::new(error);
        JournalError::Uncertain { number, error }
    }

    /// Of trouble with redb's file at `path`.
    pub(super) fn of_redb(doing: &'static str, path: &Path, error: redb::Error) -> JournalError {
        let path = path.to_owned();
        match error {
            redb::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                let why = error.to_string();
                JournalError::Damaged { path, why }
            }
            redb::Error::Io(error) => JournalError::Io { doing, path, error },
            redb::Error::PreviousIo => {
                let error = io::Error::other("an earlier write has failed");
                JournalError::Io { doing, path, error }
            }
            error => {
                let why = error.to_string();
                JournalError::Damaged { path, why }
            }
        }
    }
}

/// For operations on one file or directory.
pub(super) fn io_error(
    doing: &'static str,
    path: &Path,
) -> impl FnOnce(io::Error) -> JournalError + use<> {
    let path = path.to_owned();
    move |error| JournalError::Io { doing, path, error }
}
