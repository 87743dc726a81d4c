//! Directories, files and paths in quantities that nobody granted. The directory is `/data`.
use std::mem::forget;

use wasip2::filesystem::preopens::get_directories;
use wasip2::filesystem::types::{Descriptor, DescriptorFlags, ErrorCode, OpenFlags, PathFlags};

fn data() -> Descriptor {
    let (directory, _) = get_directories()
        .into_iter()
        .next()
        .expect("/data is granted");
    directory
}

fn open_in(directory: &Descriptor, path: &str) -> Result<Descriptor, ErrorCode> {
    let (follow, flags) = (PathFlags::SYMLINK_FOLLOW, DescriptorFlags::READ);
    directory.open_at(follow, path, OpenFlags::empty(), flags)
}

/// Reads the same directory so many times and keeps each listing open after its first entry.
pub(crate) fn list(times: u64) -> String {
    let directory = data();
    for n in 0..times {
        match directory.read_directory() {
            Ok(listing) => match listing.read_directory_entry() {
                Ok(Some(_)) => forget(listing),
                other => return format!("there is nothing: {other:?}\n"),
            },
            Err(error) => return format!("refused after {n}: {error:?}\n"),
        }
    }
    format!("{times} listings\n")
}

/// Opens the same file so many times and closes none.
pub(crate) fn open(times: u64) -> String {
    let directory = data();
    for n in 0..times {
        match open_in(&directory, "file") {
            Ok(file) => forget(file),
            Err(error) => return format!("refused after {n}: {error:?}\n"),
        }
    }
    format!("{times} files\n")
}

/// Paths of so many bytes: of as many steps, up and down, and in one piece.
pub(crate) fn paths(bytes: u64) -> String {
    let directory = data();
    let half = bytes as usize / 2;
    let outcomes: Vec<_> = [
        "a/".repeat(half),
        "./".repeat(half),
        "a/../".repeat(half / 2),
        "p".repeat(2 * half),
    ]
    .iter()
    .map(|path| open_in(&directory, path).map(forget))
    .collect();
    format!("{outcomes:?}\n")
}

/// Offsets and lengths at the ends of what can be said.
pub(crate) fn read_at() -> String {
    let file = open_in(&data(), "file").expect("there is a file");
    let read = |length, offset| file.read(length, offset).map(|(bytes, _)| bytes.len());
    let outcomes = [
        read(u64::MAX, 0),
        read(u64::MAX, u64::MAX),
        read(1, u64::MAX / 2 + 1),
    ];
    format!("{outcomes:?}\n")
}

/// Symbolic links in a circle, and one that leads out.
pub(crate) fn links() -> String {
    let directory = data();
    let _ = directory.symlink_at("there", "here");
    let _ = directory.symlink_at("here", "there");
    let _ = directory.symlink_at("/etc/passwd", "out");
    let _ = directory.symlink_at("../../../../../etc/passwd", "up");
    let outcomes: Vec<_> = ["here", "out", "up"]
        .map(|path| open_in(&directory, path).map(forget))
        .to_vec();
    format!("{outcomes:?}\n")
}

/// Opens a pipe that nobody writes to, which would keep a thread of the host's for ever.
pub(crate) fn fifo() -> String {
    match open_in(&data(), "pipe").and_then(|pipe| pipe.read(1, 0)) {
        Ok((bytes, ended)) => format!("{} bytes, {ended}\n", bytes.len()),
        Err(error) => format!("{error:?}\n"),
    }
}
