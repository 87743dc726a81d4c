//! Waits until something that is watched has changed.
//!
//! What the system tells is only taken as a word to look: it may tell twice, or too late of a directory
//! that is new, or nothing any more when too much happens at once. What has changed is seen by a look.

use std::collections::{BTreeSet, HashSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::inotify::{self, CreateFlags, WatchFlags};
use rustix::io::Errno;
use tokio::net::unix::pipe;

use super::super::files::{FILES_MAX, Files, TooMany};
use super::super::project::Project;
use super::super::report;

/// Editors and version control write several files at a time: a change is over when nothing has
/// happened for this long.
const QUIET: Duration = Duration::from_millis(100);

/// Or, where something always happens, after this.
const PATIENCE: Duration = Duration::from_secs(1);

/// See the module.
pub(super) struct Watching {
    /// It is read as a pipe is: each read takes what there is.
    inotify: pipe::Receiver,
    roots: BTreeSet<PathBuf>,
    seen: Files,
    /// What cannot be watched has been told of.
    told: bool,
}

/// Why a change may go unnoticed.
#[derive(Debug, thiserror::Error)]
pub(super) enum WatchError {
    /// Nothing can be watched at all.
    #[error("the operating system refuses to watch files")]
    System(#[source] std::io::Error),
    /// One directory cannot.
    #[error(
        "cannot watch {}; if too many are watched, raise fs.inotify.max_user_watches",
        path.display()
    )]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// See [`FILES_MAX`].
    #[error(
        "there are more than {FILES_MAX} files below {}, and not all are watched; \
         name narrower paths in `build.watch`",
        path.display()
    )]
    TooMany {
        /// The watched path.
        path: PathBuf,
    },
}

impl Watching {
    /// Watches nothing yet. Called on the runtime.
    ///
    /// # Errors
    /// If the system refuses.
    pub(super) fn start() -> Result<Watching, WatchError> {
        let flags = CreateFlags::NONBLOCK | CreateFlags::CLOEXEC;
        let inotify = inotify::init(flags).map_err(std::io::Error::from);
        let inotify = inotify.and_then(pipe::Receiver::from_owned_fd_unchecked);
        let inotify = inotify.map_err(WatchError::System)?;
        Ok(Watching {
            inotify,
            roots: BTreeSet::new(),
            seen: Files::default(),
            told: false,
        })
    }

    /// From now on what this project names counts. A change since the last look is still one.
    pub(super) fn look_at(&mut self, project: &Project) {
        let roots: BTreeSet<PathBuf> = project.roots().into_iter().map(Path::to_owned).collect();
        if roots == self.roots {
            return;
        }
        let looked_at = std::mem::replace(&mut self.roots, roots);
        let before = std::mem::take(&mut self.seen);
        self.seen = self.look(project, &before);
        let was_looked_at = |path: &Path| looked_at.iter().any(|root| path.starts_with(root));
        self.seen.remember(before, was_looked_at);
    }

    /// Waits for a change, and until it is over; answers the files that are new, gone or another.
    pub(super) async fn changed(&mut self, project: &Project) -> BTreeSet<PathBuf> {
        loop {
            self.heard().await;
            let until = tokio::time::Instant::now() + PATIENCE;
            while tokio::time::Instant::now() < until
                && tokio::time::timeout(QUIET, self.heard()).await.is_ok()
            {}
            let before = std::mem::take(&mut self.seen);
            self.seen = self.look(project, &before);
            let changed = self.seen.differences(&before);
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    /// Waits for the system's word.
    async fn heard(&self) {
        let mut events = [0; 16 << 10];
        loop {
            if self.inotify.readable().await.is_err() {
                // The runtime ends, and everything with it.
                return std::future::pending().await;
            }
            match self.inotify.try_read(&mut events) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Ok(_) | Err(_) => return,
            }
        }
    }

    /// Directories are watched before they are read, so that nothing comes in between.
    fn look(&mut self, project: &Project, before: &Files) -> Files {
        let (mut watched, mut trouble) = (HashSet::new(), None);
        let (files, outcome) = Files::look(project, before, |directory| {
            if !watched.insert(directory.to_owned()) {
                return;
            }
            let (inotify, flags) = (&self.inotify, flags());
            match inotify::add_watch(inotify, directory, flags) {
                // One that is gone is told of where it was.
                Ok(_) | Err(Errno::NOENT | Errno::NOTDIR) => {}
                Err(error) => {
                    trouble.get_or_insert(WatchError::Directory {
                        path: directory.to_owned(),
                        source: error.into(),
                    });
                }
            }
        });
        let too_many = outcome
            .err()
            .map(|TooMany(path)| WatchError::TooMany { path });
        let trouble = trouble.or(too_many);
        if let Some(trouble) = trouble.as_ref().filter(|_| !self.told) {
            report::failure(trouble);
        }
        self.told = trouble.is_some();
        files
    }
}

/// Files are told of when they have been written, not while.
fn flags() -> WatchFlags {
    WatchFlags::ONLYDIR
        | WatchFlags::CLOSE_WRITE
        | WatchFlags::CREATE
        | WatchFlags::DELETE
        | WatchFlags::MOVED_FROM
        | WatchFlags::MOVED_TO
}
