//! A Unix socket that this user alone may use, put in place whole: its name always leads to a host
//! that answers, also while one host takes the place of another.

use std::io;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use tokio::net::UnixListener;

/// The name of a bound socket. Dropped, it is removed, unless it leads to another's by then.
pub(crate) struct Name {
    path: PathBuf,
    file: (u64, u64),
}

/// Binds a socket at `path`, in the place of whatever was there. Called on the runtime.
///
/// # Errors
/// As the operating system says; then what was there still is.
pub(crate) fn bind(path: &Path) -> io::Result<(UnixListener, Name)> {
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory)?;
    }
    let aside = path.with_extension("new");
    match std::fs::remove_file(&aside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let socket = UnixListener::bind(&aside)?;
    std::fs::set_permissions(&aside, std::fs::Permissions::from_mode(0o600))?;
    let file = identity(&aside)?;
    std::fs::rename(&aside, path)?;
    let path = path.to_owned();
    Ok((socket, Name { path, file }))
}

fn identity(path: &Path) -> io::Result<(u64, u64)> {
    let metadata = std::fs::symlink_metadata(path)?;
    Ok((metadata.dev(), metadata.ino()))
}

impl Drop for Name {
    fn drop(&mut self) {
        if identity(&self.path).is_ok_and(|file| file == self.file) {
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixStream;

    use super::*;

    #[tokio::test]
    async fn the_name_leads_to_the_newest_and_goes_with_it_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("state/some.sock");
        let (first, name_of_first) = bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (second, name_of_second) = bind(&path).unwrap();
        let _client = UnixStream::connect(&path).unwrap();
        second.accept().await.unwrap();
        drop((first, name_of_first));
        assert!(path.exists(), "it is the other's");
        drop((second, name_of_second));
        let left: Vec<_> = std::fs::read_dir(path.parent().unwrap()).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
}
