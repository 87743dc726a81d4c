//! Files and listings in quantities that nobody granted. The directory is `/data`.
use std::mem::forget;

use wasip3::filesystem::preopens::get_directories;
use wasip3::filesystem::types::{Descriptor, DescriptorFlags, OpenFlags, PathFlags};

fn data() -> Option<Descriptor> {
    get_directories()
        .into_iter()
        .next()
        .map(|(directory, _)| directory)
}

/// Opens the same file so many times and closes none.
pub(crate) async fn open(times: u64) -> String {
    let Some(directory) = data() else {
        return "nothing is granted\n".to_string();
    };
    for n in 0..times {
        let (follow, flags) = (PathFlags::SYMLINK_FOLLOW, DescriptorFlags::READ);
        let file = "file".to_string();
        match directory
            .open_at(follow, file, OpenFlags::empty(), flags)
            .await
        {
            Ok(file) => forget(file),
            Err(error) => return format!("refused after {n}: {error:?}\n"),
        }
    }
    format!("{times} files\n")
}

/// Opens a pipe that nobody writes to.
pub(crate) async fn fifo() -> String {
    let Some(directory) = data() else {
        return "nothing is granted\n".to_string();
    };
    let (follow, flags) = (PathFlags::SYMLINK_FOLLOW, DescriptorFlags::READ);
    let opened = directory.open_at(follow, "pipe".to_string(), OpenFlags::empty(), flags);
    format!("{:?}\n", opened.await.map(forget))
}

/// Begins to list the same directory so many times and reads nothing.
pub(crate) fn list(times: u64) -> String {
    let Some(directory) = data() else {
        return "nothing is granted\n".to_string();
    };
    (0..times).for_each(|_| forget(directory.read_directory()));
    format!("{times} listings\n")
}
