//! One reading of a directory: some entries at a time, so that its size is not what the host holds
//! or does for a guest, and on a thread for blocking work only while the guest waits for them.

use std::collections::VecDeque;
use std::fs::File;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rustix::fs::{AtFlags, Dir, FileType, Mode, OFlags, openat, statat};
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{Destination, FutureReader, StreamProducer, StreamReader, StreamResult};
use wasmtime_wasi::p2::bindings::filesystem::types as v02;
use wasmtime_wasi::p3::bindings::filesystem::types as v03;

use super::files::Room;
use crate::instance::GuestState;

/// Entries read at a time, and held for each listing that is under way: a name has up to 255 bytes.
const BATCH: usize = 32;

/// A directory as far as it has been read.
pub(super) struct Listing {
    source: Source,
    read: VecDeque<io::Result<Entry>>,
}

enum Source {
    /// Not read yet.
    Unread(Arc<File>, Room),
    Open(Dir, Room),
    /// All that there is has been read, or a reading was broken off.
    Over,
}

/// A name in a directory.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) kind: EntryKind,
    pub(super) name: String,
}

/// What a name stands for.
#[derive(Clone, Copy, Debug)]
pub(super) struct EntryKind(FileType);

impl Listing {
    /// `room` is held until the directory has been read or the listing is dropped.
    pub(super) fn new(directory: Arc<File>, room: Room) -> Listing {
        Listing {
            source: Source::Unread(directory, room),
            read: VecDeque::new(),
        }
    }

    /// The next entry; none at the end.
    pub(super) async fn next(&mut self) -> io::Result<Option<Entry>> {
        if self.read.is_empty() && !matches!(self.source, Source::Over) {
            let source = std::mem::replace(&mut self.source, Source::Over);
            let reading = tokio::task::spawn_blocking(move || batch(source));
            let (source, read) = reading.await.map_err(io::Error::other)?;
            self.source = source;
            self.read = read;
        }
        self.read.pop_front().transpose()
    }
}

/// Reads on. Blocks.
fn batch(source: Source) -> (Source, VecDeque<io::Result<Entry>>) {
    let mut read = VecDeque::new();
    let (mut directory, room) = match source {
        Source::Over => return (Source::Over, read),
        Source::Open(directory, room) => (directory, room),
        Source::Unread(file, room) => match open(&file) {
            Ok(directory) => (directory, room),
            Err(error) => {
                read.push_back(Err(error.into()));
                return (Source::Over, read);
            }
        },
    };
    while read.len() < BATCH {
        match directory.read() {
            None => return (Source::Over, read),
            Some(Err(error)) => {
                read.push_back(Err(error.into()));
                return (Source::Over, read);
            }
            Some(Ok(found)) => {
                let name = found.file_name();
                if name != c"." && name != c".." {
                    read.push_back(entry(&directory, &found));
                }
            }
        }
    }
    (Source::Open(directory, room), read)
}

/// The directory once more, with a position of its own; `file` may be open for its path alone.
fn open(file: &File) -> rustix::io::Result<Dir> {
    let how = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    Dir::new(openat(file, c".", how, Mode::empty())?)
}

fn entry(directory: &Dir, found: &rustix::fs::DirEntry) -> io::Result<Entry> {
    let kind = match found.file_type() {
        // Not every file system tells.
        FileType::Unknown => {
            let stat = statat(
                directory.fd()?,
                found.file_name(),
                AtFlags::SYMLINK_NOFOLLOW,
            )?;
            FileType::from_raw_mode(stat.st_mode)
        }
        known => known,
    };
    match found.file_name().to_str() {
        Ok(name) => Ok(Entry {
            kind: EntryKind(kind),
            name: name.to_owned(),
        }),
        // The errno that WASI's `illegal-byte-sequence` stands for.
        Err(_) => Err(rustix::io::Errno::ILSEQ.into()),
    }
}

impl From<EntryKind> for v02::DescriptorType {
    fn from(EntryKind(kind): EntryKind) -> Self {
        match kind {
            FileType::RegularFile => v02::DescriptorType::RegularFile,
            FileType::Directory => v02::DescriptorType::Directory,
            FileType::Symlink => v02::DescriptorType::SymbolicLink,
            FileType::Fifo => v02::DescriptorType::Fifo,
            FileType::Socket => v02::DescriptorType::Socket,
            FileType::CharacterDevice => v02::DescriptorType::CharacterDevice,
            FileType::BlockDevice => v02::DescriptorType::BlockDevice,
            FileType::Unknown => v02::DescriptorType::Unknown,
        }
    }
}

impl From<EntryKind> for v03::DescriptorType {
    fn from(EntryKind(kind): EntryKind) -> Self {
        match kind {
            FileType::RegularFile => v03::DescriptorType::RegularFile,
            FileType::Directory => v03::DescriptorType::Directory,
            FileType::Symlink => v03::DescriptorType::SymbolicLink,
            FileType::Fifo => v03::DescriptorType::Fifo,
            FileType::Socket => v03::DescriptorType::Socket,
            FileType::CharacterDevice => v03::DescriptorType::CharacterDevice,
            FileType::BlockDevice => v03::DescriptorType::BlockDevice,
            FileType::Unknown => v03::DescriptorType::Other(None),
        }
    }
}

/// What WASI 0.3 gives for a listing: its entries, and how it ended.
pub(super) type Streamed = (
    StreamReader<v03::DirectoryEntry>,
    FutureReader<Result<(), v03::ErrorCode>>,
);

/// A listing, or why there is none, as a stream of WASI 0.3.
pub(super) fn stream(
    mut store: StoreContextMut<'_, GuestState>,
    listing: Result<Listing, v03::ErrorCode>,
) -> wasmtime::Result<Streamed> {
    let (ended, end) = oneshot::channel();
    let entries = match listing {
        Ok(listing) => StreamReader::new(&mut store, Producer::new(listing, ended))?,
        Err(code) => {
            // The other half is held right here.
            let _ = ended.send(Err(code));
            StreamReader::new(&mut store, Vec::new())?
        }
    };
    Ok((entries, FutureReader::new(&mut store, end)?))
}

/// Reads when the guest does.
struct Producer {
    reading: Reading,
    ended: Option<oneshot::Sender<Result<(), v03::ErrorCode>>>,
}

type Reading = Pin<Box<dyn Future<Output = (Listing, io::Result<Option<Entry>>)> + Send>>;

impl Producer {
    fn new(listing: Listing, ended: oneshot::Sender<Result<(), v03::ErrorCode>>) -> Producer {
        Producer {
            reading: reading(listing),
            ended: Some(ended),
        }
    }

    fn end(&mut self, end: Result<(), v03::ErrorCode>) {
        if let Some(ended) = self.ended.take() {
            // A guest that does not ask how it ended has dropped the other half.
            let _ = ended.send(end);
        }
    }
}

fn reading(mut listing: Listing) -> Reading {
    Box::pin(async move {
        let read = listing.next().await;
        (listing, read)
    })
}

impl StreamProducer<GuestState> for Producer {
    type Item = v03::DirectoryEntry;
    type Buffer = Option<v03::DirectoryEntry>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, GuestState>,
        mut destination: Destination<'a, Self::Item, Self::Buffer>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // A read of nothing asks whether there is something; the next one will see.
        if destination.remaining(&mut store) == Some(0) {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let result = match self.reading.as_mut().poll(cx) {
            Poll::Pending if finish => StreamResult::Cancelled,
            Poll::Pending => return Poll::Pending,
            Poll::Ready((listing, Ok(Some(Entry { kind, name })))) => {
                self.reading = reading(listing);
                let type_ = kind.into();
                destination.set_buffer(Some(v03::DirectoryEntry { type_, name }));
                StreamResult::Completed
            }
            Poll::Ready((listing, Ok(None))) => {
                self.reading = reading(listing);
                self.end(Ok(()));
                StreamResult::Dropped
            }
            Poll::Ready((listing, Err(error))) => {
                self.reading = reading(listing);
                self.end(Err(error.into()));
                StreamResult::Dropped
            }
        };
        Poll::Ready(Ok(result))
    }
}

impl Drop for Producer {
    /// A guest that has read enough is told that all is well.
    fn drop(&mut self) {
        self.end(Ok(()));
    }
}
