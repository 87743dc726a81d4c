//! Files that survive a crash: written aside, brought to the disk, renamed.
//!
//! After a crash at any instant a name stands for the whole of the old file or the whole of the new
//! one; a file that was written aside may be left, and is known by its name. Blocking.

use std::fs::{DirBuilder, File, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

/// What files that are being written begin with.
const TEMPORARY_PREFIX: &str = ".new-";

/// Makes `bytes` the file at `path`, for this user alone. Whatever was there is replaced.
///
/// # Errors
/// As the operating system says; the old file is untouched then, unless its directory could not be
/// brought to the disk: then either may be there after a crash.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new()
        .prefix(TEMPORARY_PREFIX)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)?;
    failpoint!("durable::created");
    temporary.write_all(bytes)?;
    failpoint!("durable::written");
    temporary.as_file().sync_all()?;
    failpoint!("durable::synced");
    temporary.persist(path)?;
    failpoint!("durable::renamed");
    sync_directory(directory)
}

/// Brings the names in a directory to the disk: that files are there, or are not any more.
///
/// # Errors
/// As the operating system says.
pub(crate) fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes a directory, and those above it, for this user alone. One that is there stays as it is.
///
/// # Errors
/// As the operating system says.
pub(crate) fn create_directory(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    let above = path.parent().filter(|above| !above.as_os_str().is_empty());
    if let Some(above) = above {
        create_directory(above)?;
    }
    match DirBuilder::new().mode(0o700).create(path) {
        // Somebody else was quicker.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        made => made?,
    }
    sync_directory(above.unwrap_or(Path::new(".")))
}

/// True of a name that [`write()`] gives to what it has not finished.
pub(crate) fn is_temporary(name: &str) -> bool {
    name.starts_with(TEMPORARY_PREFIX)
}

/// An error of the operating system with what to do about it, where that is known.
pub(crate) fn with_remedy(error: &io::Error) -> String {
    use io::ErrorKind::{
        FileTooLarge, PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    let remedy = match error.kind() {
        StorageFull | QuotaExceeded => "free some space there and try again",
        FileTooLarge => "raise the limit of the size of files (ulimit -f) and try again",
        PermissionDenied | ReadOnlyFilesystem => {
            "name a directory that this user can write with host.state"
        }
        _ => return error.to_string(),
    };
    format!("{error}; {remedy}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_whole_and_for_this_user_alone() {
        let directory = tempfile::tempdir().unwrap();
        let deep = directory.path().join("a/b");
        create_directory(&deep).unwrap();
        create_directory(&deep).unwrap();
        let path = deep.join("file");
        write(&path, b"one").unwrap();
        write(&path, b"two").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
        assert_eq!((mode(&path), mode(&deep)), (0o600, 0o700));
        assert_eq!(
            std::fs::read_dir(&deep).unwrap().count(),
            1,
            "nothing is left aside"
        );
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing_and_says_what_to_do() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("taken");
        std::fs::create_dir(&path).unwrap();
        write(&path, b"one").unwrap_err();
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
        create_directory(&path.join("x")).unwrap();
        write(&path.join("y"), b"a file").unwrap();
        create_directory(&path.join("y/z")).unwrap_err();
        let full = io::Error::from(io::ErrorKind::StorageFull);
        assert!(with_remedy(&full).ends_with("; free some space there and try again"));
        let other = io::Error::from(io::ErrorKind::NotFound);
        assert_eq!(with_remedy(&other), other.to_string());
    }
}
