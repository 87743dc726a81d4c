//! What lies below the watched paths: two looks at it tell what has changed, whatever was heard of it
//! meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::project::Project;
use crate::artifact::Digest;

/// Files up to this are known by what they contain, so that one that is written anew as it was has not
/// changed; larger ones by length and time.
const READ_MAX: u64 = 1 << 20;

/// What is watched is written by hand: more files are a sign of a path that was not meant.
pub(super) const FILES_MAX: usize = 50_000;

/// The files below the watched paths at one moment.
#[derive(Debug, Default)]
pub(super) struct Files(BTreeMap<PathBuf, Stamp>);

/// What one of them was.
#[derive(Clone, Debug)]
struct Stamp {
    /// Device, inode, length, and the times of its last changes: what a file has as long as nobody
    /// writes it.
    identity: [i64; 7],
    content: Option<Digest>,
}

impl PartialEq for Stamp {
    fn eq(&self, other: &Stamp) -> bool {
        match (&self.content, &other.content) {
            (Some(one), Some(other)) => one == other,
            _ => self.identity == other.identity,
        }
    }
}

/// There are more files than [`FILES_MAX`] below this path.
#[derive(Debug)]
pub(super) struct TooMany(pub(super) PathBuf);

impl Files {
    /// Looks at all there is. Each directory is told to `entering` before it is read. What has not been
    /// written since `before` is not read again.
    ///
    /// # Errors
    /// If there is too much; what is below the other paths has been looked at.
    pub(super) fn look(
        project: &Project,
        before: &Files,
        mut entering: impl FnMut(&Path),
    ) -> (Files, Result<(), TooMany>) {
        let (mut files, mut outcome) = (Files::default(), Ok(()));
        for root in project.roots() {
            // The one that is to come, or to be replaced, is told of in the directory that it is in.
            let around = root.ancestors().skip(1).find(|path| path.is_dir());
            around.into_iter().for_each(&mut entering);
            if files.add(root, project, before, &mut entering).is_err() {
                outcome = Err(TooMany(root.to_owned()));
            }
        }
        (files, outcome)
    }

    fn add(
        &mut self,
        root: &Path,
        project: &Project,
        before: &Files,
        entering: &mut impl FnMut(&Path),
    ) -> Result<(), ()> {
        let mut count = 0;
        let mut open = Vec::new();
        match fs::metadata(root) {
            Ok(it) if it.is_dir() => open.push(root.to_owned()),
            Ok(it) => self.note(root, &it, before),
            Err(_) => {}
        }
        while let Some(directory) = open.pop() {
            entering(&directory);
            // What is gone by now will be told of.
            for entry in fs::read_dir(&directory).into_iter().flatten().flatten() {
                let path = entry.path();
                if is_passed_over(&entry.file_name()) || project.is_output(&path) {
                    continue;
                }
                match entry.file_type() {
                    Ok(kind) if kind.is_dir() => open.push(path),
                    // Links to directories are not followed: they may lead in circles.
                    Ok(_) if project.counts(&path) => {
                        if let Some(it) = fs::metadata(&path).ok().filter(|it| !it.is_dir()) {
                            self.note(&path, &it, before);
                        }
                    }
                    Ok(_) | Err(_) => {}
                }
                count += 1;
                if count > FILES_MAX {
                    return Err(());
                }
            }
        }
        Ok(())
    }

    fn note(&mut self, path: &Path, metadata: &Metadata, before: &Files) {
        let identity = identity(metadata);
        let known = before.0.get(path).filter(|it| it.identity == identity);
        let stamp = known.cloned().unwrap_or_else(|| {
            let small = metadata.is_file() && metadata.len() <= READ_MAX;
            let content = small.then(|| fs::read(path).ok()).flatten();
            Stamp {
                identity,
                content: content.map(|bytes| Digest::of(&bytes)),
            }
        });
        self.0.insert(path.to_owned(), stamp);
    }

    /// What is there and was not, was there and is not, or is not what it was.
    pub(super) fn differences(&self, before: &Files) -> BTreeSet<PathBuf> {
        let all = self.0.keys().chain(before.0.keys());
        let differs = |path: &&PathBuf| self.0.get(*path) != before.0.get(*path);
        all.filter(differs).cloned().collect()
    }

    /// What those files are that count, as one digest.
    pub(super) fn digest(&self, counts: impl Fn(&Path) -> bool) -> Digest {
        let mut text = Vec::new();
        for (path, stamp) in self.0.iter().filter(|(path, _)| counts(path)) {
            text.extend_from_slice(path.as_os_str().as_bytes());
            let line = match &stamp.content {
                Some(content) => format!("\0{content}\n"),
                None => format!("\0{:?}\n", stamp.identity),
            };
            text.extend_from_slice(line.as_bytes());
        }
        Digest::of(&text)
    }

    /// Goes by an earlier look where that looked, too.
    pub(super) fn remember(&mut self, before: Files, was_looked_at: impl Fn(&Path) -> bool) {
        self.0.retain(|path, _| !was_looked_at(path));
        self.0.extend(before.0);
    }
}

/// Below a watched directory: what tools and editors keep there for themselves.
fn is_passed_over(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(b".") || bytes.ends_with(b"~") || name == "target" || name == "node_modules"
}

fn identity(metadata: &Metadata) -> [i64; 7] {
    [
        metadata.dev().cast_signed(),
        metadata.ino().cast_signed(),
        metadata.len().cast_signed(),
        metadata.mtime(),
        metadata.mtime_nsec(),
        metadata.ctime(),
        metadata.ctime_nsec(),
    ]
}

#[cfg(test)]
mod tests;
