//! Files with the machine code of single functions, one for each family of components: those of one
//! world, made by the same tools, of which most are versions of each other.
//!
//! They lie among the entries, sealed as those are, and only the compiler's process reads them.

use std::io;
use std::path::{Path, PathBuf};

use tempfile::TempPath;

use super::entry::{self, Key, Stamp};
use super::{open_entry, prune, touch};
use crate::artifact::compile::FunctionFiles;
use crate::artifact::{Description, Digest};

/// Bytes of a component from which on its functions are kept. A smaller one is compiled in less
/// than half a second, and the files of all of them would only fill the directory.
pub(super) const WORTH_KEEPING_FROM: u64 = 1 << 20;

/// Which components have functions in common: where a function's code refers to the instance's
/// state, it depends on how many imports there are and of which types.
pub(super) fn family(description: &Description) -> Digest {
    let imports = description
        .imports
        .iter()
        .map(|item| ("import", &item.name));
    let exports = description
        .exports
        .iter()
        .map(|item| ("export", &item.name));
    let makers = description.producers.iter().map(|made| ("by", &made.name));
    let text: String = imports
        .chain(exports)
        .chain(makers)
        .map(|(what, name)| format!("{what} {name}\n"))
        .collect();
    Digest::of(text.as_bytes())
}

/// What a family's last compilation has left, and the file for what the next one leaves.
pub(super) struct Kept {
    files: FunctionFiles,
    next: TempPath,
    path: PathBuf,
    stamp: Stamp,
}

impl Kept {
    /// # Errors
    /// If nothing can be written to the directory.
    pub(super) fn open(entries: &Path, key: &Key, stamp: Stamp) -> io::Result<Kept> {
        let engine = stamp.engine.to_string();
        let name = format!("{}-{}", stamp.component, &engine[..16]);
        let path = entries
            .join(name)
            .with_extension(prune::FUNCTIONS_EXTENSION);
        let next = tempfile::Builder::new()
            .prefix(prune::TEMPORARY_PREFIX)
            .tempfile_in(entries)?;
        let (next_file, next) = next.into_parts();
        let known = open_entry(&path)
            .ok()
            .filter(|file| match entry::verify(file, key, &stamp) {
                Ok(()) => true,
                Err(damage) => {
                    tracing::warn!(file = %path.display(), why = %damage, "compiled functions are not used");
                    false
                }
            });
        if let Some(known) = &known {
            touch(known);
        }
        Ok(Kept {
            files: FunctionFiles {
                known,
                next: next_file,
            },
            next,
            path,
            stamp,
        })
    }

    /// For the compiler.
    pub(super) fn files(&self) -> &FunctionFiles {
        &self.files
    }

    /// Puts what the compiler has written in the place of what it had read. Of two hosts that do so
    /// at once, one's remains.
    pub(super) fn seal(self, key: &Key) {
        let sealed = entry::seal(&self.files.next, key, &self.stamp);
        let kept = sealed.and_then(|()| {
            let persisted = self.next.persist(&self.path);
            persisted.map(drop).map_err(|error| error.error)
        });
        if let Err(error) = kept {
            tracing::debug!(file = %self.path.display(), %error, "cannot keep compiled functions");
        }
    }
}
