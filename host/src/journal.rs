//! What survives the host: generations, and what happened to them.
//!
//! Before it: `deploy` has stored the components (`artifact::Store`) and proved the candidates. What
//! is committed here is acknowledged; when the host starts again, by whatever way it ended, that is
//! what serves. After it: `skep history` and `skep events` read it.
//!
//! - [`directory`]: the state directory, which one host has at a time
//! - [`event`]: what is worth telling, and what was begun
//! - [`database`]: the file, opened again after trouble; a copy in memory where it cannot be written
//! - [`tables`]: what lies where in it
//!
//! All methods block: for a write some milliseconds, while the disk confirms. Never call them on a
//! thread that serves requests.

mod database;
mod directory;
mod error;
mod event;
mod tables;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use skep_core::generation::Generation;
use skep_core::name::ServiceName;
use tokio::sync::watch;

use self::database::Database;
use self::directory::Directory;
use crate::artifact::Digest;

pub use self::error::JournalError;
pub use self::event::{Begun, Event, Intent, IntentId, Recorded, Unfinished};

/// Events that are kept: some months of an application that is deployed daily and crashes now and then.
pub const EVENTS: u64 = 10_000;

/// Generations that are kept beside the active one.
pub const GENERATIONS: usize = 50;

/// The age up to which they are kept.
pub const GENERATION_AGE: Duration = Duration::from_secs(30 * 24 * 3600);

/// Generations that are kept whatever their age: to the one before the active one one goes back.
pub const GENERATIONS_MIN: usize = 2;

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Retention {
    /// Events; at least one. Kept to with every write.
    pub events: u64,
    /// Generations, the active one among them; at least [`GENERATIONS_MIN`].
    pub generations: usize,
    /// The age beyond which a generation goes, unless it is one of the newest [`GENERATIONS_MIN`].
    pub age: Duration,
}

impl Default for Retention {
    fn default() -> Self {
        Retention {
            events: EVENTS,
            generations: GENERATIONS,
            age: GENERATION_AGE,
        }
    }
}

/// The journal of one application. Clones share it; the directory is released with the last.
#[derive(Clone)]
pub struct Journal {
    inner: Arc<Inner>,
}

struct Inner {
    database: Database,
    retention: Retention,
    /// The newest event's sequence number.
    newest: watch::Sender<u64>,
    /// Released last.
    directory: Directory,
}

impl Journal {
    /// Opens the journal in this state directory, and makes both if need be.
    ///
    /// Where the directory cannot be written, what is there can be read nevertheless, and everything
    /// that writes is refused: see [`Journal::trouble`].
    ///
    /// # Errors
    /// If another host uses the directory, it was written by a later version of Skep, or the journal
    /// is damaged.
    pub fn open(directory: &Path, retention: Retention) -> Result<Journal, JournalError> {
        let mut directory = Directory::open(directory)?;
        let database = Database::open(&mut directory)?;
        let newest = database.read(tables::newest_event)?;
        Ok(Journal {
            inner: Arc::new(Inner {
                database,
                retention,
                newest: watch::Sender::new(newest),
                directory,
            }),
        })
    }

    /// Why nothing can be written, if that is so: the host can serve what it has, and refuses deploys
    /// with this reason. Whatever writes tries anew whether it still is so, unless the directory itself
    /// could not be used: then the host has to be started again.
    pub fn trouble(&self) -> Option<Arc<JournalError>> {
        self.inner.database.trouble()
    }

    /// Closes it and lets another host have the directory. Until [`Journal::take_back`] all that reads
    /// or writes is answered [`JournalError::Lent`].
    ///
    /// # Errors
    /// If the directory cannot be unlocked; then it is closed all the same.
    pub fn lend(&self) -> Result<(), JournalError> {
        self.inner.database.lend();
        self.inner.directory.release()
    }

    /// Whether another host has it.
    pub fn is_lent(&self) -> bool {
        self.inner.database.is_lent()
    }

    /// The other host has not taken this one's place: the journal is what it was, and what that host
    /// may have written since.
    ///
    /// # Errors
    /// If the other still has it, or has left what this version of Skep does not know.
    pub fn take_back(&self) -> Result<(), JournalError> {
        self.inner.directory.take()?;
        self.inner.database.take_back();
        self.tell(self.inner.database.read(tables::newest_event)?);
        Ok(())
    }

    /// The state directory.
    pub fn directory(&self) -> &Path {
        self.inner.directory.path()
    }

    /// Notes that something is about to happen, and reserves a revision number for each service that
    /// it concerns. Until it is settled, it is told as unfinished at the next start.
    ///
    /// # Errors
    /// If it cannot be written; then it is not begun, and must not be done.
    pub fn begin(&self, intent: &Intent) -> Result<Begun, JournalError> {
        let begun = self.write("begin a change", |write| tables::begin(write, intent))?;
        failpoint!("journal::begun");
        Ok(begun)
    }

    /// Makes this the active generation, tells these events of it, and settles what led to it: all of
    /// it, or nothing. When this returns, it is acknowledged and survives any crash.
    ///
    /// # Errors
    /// If it cannot be written, the generation before stays active, also after a crash; but for
    /// [`JournalError::Uncertain`]. If its number is not greater than the active one's, somebody else
    /// was quicker.
    pub fn commit(
        &self,
        generation: &Generation,
        events: &[Event],
        settles: Option<IntentId>,
    ) -> Result<(), JournalError> {
        let committed = self.write("commit a generation", |write| {
            tables::put_generation(write, generation)?;
            tables::put_events(write, events, self.inner.retention.events)?;
            tables::settle(write, settles)
        });
        match committed {
            Ok(()) => {}
            Err(error) if error.is_decided() => return Err(error),
            Err(error) => self.find_out(generation, error)?,
        }
        failpoint!("journal::committed");
        Ok(())
    }

    /// Settles what was begun and came to nothing, and tells why.
    ///
    /// # Errors
    /// If it cannot be written; then it is told as unfinished at the next start.
    pub fn settle(&self, intent: IntentId, events: &[Event]) -> Result<(), JournalError> {
        self.write("settle a change", |write| {
            tables::put_events(write, events, self.inner.retention.events)?;
            tables::settle(write, Some(intent))
        })?;
        failpoint!("journal::settled");
        Ok(())
    }

    /// What was begun and not settled: right after a start, what the host before did not come to the
    /// end of. The active generation is without it.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn unfinished(&self) -> Result<Vec<Unfinished>, JournalError> {
        self.inner.database.read(tables::unfinished)
    }

    /// Tells of something that happened.
    ///
    /// # Errors
    /// If it cannot be written.
    pub fn note(&self, event: &Event) -> Result<(), JournalError> {
        self.write("note an event", |write| {
            tables::put_events(
                write,
                std::slice::from_ref(event),
                self.inner.retention.events,
            )
        })
    }

    /// The generation that was acknowledged last; none if none ever was.
    ///
    /// # Errors
    /// If the journal cannot be read, or the generation is of a later version of Skep.
    pub fn active(&self) -> Result<Option<Generation>, JournalError> {
        self.inner.database.read(tables::active)
    }

    /// The generation of this number, if it is kept.
    ///
    /// # Errors
    /// As [`Journal::active`].
    pub fn generation(&self, number: u64) -> Result<Option<Generation>, JournalError> {
        self.inner
            .database
            .read(|read| tables::generation(read, number))
    }

    /// At most `limit` generations, the newest first.
    ///
    /// # Errors
    /// As [`Journal::active`].
    pub fn history(&self, limit: usize) -> Result<Vec<Generation>, JournalError> {
        self.inner
            .database
            .read(|read| tables::history(read, limit))
    }

    /// The number that the service's next revision gets, if [`Journal::begin`] is asked for it.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn next_revision(&self, service: &ServiceName) -> Result<u32, JournalError> {
        self.inner
            .database
            .read(|read| tables::next_revision(read, service))
    }

    /// At most `limit` events whose sequence number is greater than `after`, the oldest first.
    ///
    /// # Errors
    /// If the journal cannot be read.
    pub fn events(&self, after: u64, limit: usize) -> Result<Vec<Recorded>, JournalError> {
        self.inner
            .database
            .read(|read| tables::events(read, after, limit))
    }

    /// The newest event's sequence number, as it changes. Whoever follows events waits for this to
    /// pass what he has seen, and reads on with [`Journal::events`]: however slow he is, nothing that
    /// is kept passes him by, and nobody waits for him.
    pub fn newest(&self) -> watch::Receiver<u64> {
        self.inner.newest.subscribe()
    }

    /// Forgets generations that are too many or too old at `now_ms` (milliseconds since 1970), and
    /// says which components those name that are kept. What else is stored can go then.
    ///
    /// # Errors
    /// If it cannot be written; then everything is still there.
    pub fn forget(&self, now_ms: u64) -> Result<BTreeSet<Digest>, JournalError> {
        let retention = self.inner.retention;
        let kept = self.write("forget old generations", |write| {
            tables::forget(write, retention, now_ms)
        })?;
        failpoint!("journal::forgot");
        Ok(kept)
    }

    /// After a commit that failed on its way: which of the two generations there are is active. What
    /// is there was written whole; once more is written on top of it, it is as if it had succeeded.
    fn find_out(&self, generation: &Generation, error: JournalError) -> Result<(), JournalError> {
        let number = generation.number;
        let active = self.inner.database.read(tables::active_number);
        match active {
            Ok(Some(active)) if active == number => {}
            Ok(_) => return Err(error),
            Err(_) => return Err(JournalError::uncertain(number, error)),
        }
        self.write("confirm a generation", tables::confirm)
            .map_err(|_| JournalError::uncertain(number, error))
    }

    fn write<T>(
        &self,
        doing: &'static str,
        write: impl FnOnce(&redb::WriteTransaction) -> Result<T, tables::Fault>,
    ) -> Result<T, JournalError> {
        let database = &self.inner.database;
        let (result, newest) = database.write(doing, |transaction| {
            let result = write(transaction)?;
            Ok((result, tables::newest_event_in(transaction)?))
        })?;
        self.tell(newest);
        Ok(result)
    }

    /// Those who follow events.
    fn tell(&self, newest: u64) {
        self.inner.newest.send_if_modified(|known| {
            let grown = newest > *known;
            *known = newest.max(*known);
            grown
        });
    }
}

#[cfg(test)]
mod tests;
