//! Keeps the compiled cache within its size: what was used longest ago goes first.

use std::fs::{DirEntry, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What entries end with.
pub(super) const EXTENSION: &str = "cwasm";

/// What files with single functions end with. They count as entries do.
pub(super) const FUNCTIONS_EXTENSION: &str = "functions";

/// What half-written files begin with.
pub(super) const TEMPORARY_PREFIX: &str = "tmp-";

/// A half-written file of that age was left by a host that was killed: no compilation lasts so long.
const TEMPORARY_AGE: Duration = Duration::from_secs(3600);

/// What pruning has done and left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PruneReport {
    /// Entries deleted.
    pub deleted: u64,
    /// Their bytes.
    pub deleted_bytes: u64,
    /// Entries left.
    pub kept: u64,
    /// Their bytes.
    pub kept_bytes: u64,
}

struct Found {
    used: SystemTime,
    bytes: u64,
    path: PathBuf,
}

/// Deletes entries unused for `max_age`, then the least recently used until the rest has at most
/// `max_bytes`; never `keep`, and never one that some host is just loading.
///
/// What cannot be read or deleted is left alone: another host may have been there first.
pub(super) fn prune(
    entries: &Path,
    max_bytes: u64,
    max_age: Duration,
    keep: Option<&Path>,
) -> PruneReport {
    let now = SystemTime::now();
    let age = |used: SystemTime| now.duration_since(used).unwrap_or_default();
    let mut found = Vec::new();
    for entry in std::fs::read_dir(entries).into_iter().flatten().flatten() {
        let Some(file) = look_at(&entry) else {
            continue;
        };
        if file
            .path
            .extension()
            .is_some_and(|found| found == EXTENSION || found == FUNCTIONS_EXTENSION)
        {
            found.push(file);
        } else if is_temporary(&file.path) && age(file.used) > TEMPORARY_AGE {
            let _ = std::fs::remove_file(&file.path);
        }
    }

    found.sort_by_key(|file| file.used);
    let mut left: u64 = found.iter().map(|file| file.bytes).sum();
    let mut report = PruneReport::default();
    for file in &found {
        let unwanted = age(file.used) > max_age || left > max_bytes;
        if unwanted && keep != Some(&*file.path) && delete_unless_loading(&file.path) {
            left -= file.bytes;
            report.deleted += 1;
            report.deleted_bytes += file.bytes;
        } else {
            report.kept += 1;
            report.kept_bytes += file.bytes;
        }
    }
    report
}

fn look_at(entry: &DirEntry) -> Option<Found> {
    let metadata = entry.metadata().ok()?;
    metadata.is_file().then_some(())?;
    Some(Found {
        used: metadata.modified().ok()?,
        bytes: metadata.len(),
        path: entry.path(),
    })
}

fn is_temporary(path: &Path) -> bool {
    path.file_name().is_some_and(|name| {
        name.as_encoded_bytes()
            .starts_with(TEMPORARY_PREFIX.as_bytes())
    })
}

/// A loading host holds a shared lock; deleting under it would do no harm, but waste its work.
fn delete_unless_loading(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| file.try_lock().is_ok()) && std::fs::remove_file(path).is_ok()
}
