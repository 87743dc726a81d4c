//! How many files a service has open, and how much of a directory the host reads ahead for it.
//!
//! wasmtime-wasi opens what a guest asks for, reads a whole directory into memory for WASI 0.2, and
//! keeps a thread for each unread listing of WASI 0.3. Descriptors, memory and threads are all
//! services' to share, so these few functions are the host's own, put over wasmtime-wasi's.

use std::any::Any;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use wasmtime::component::{Accessor, Linker, Resource, ResourceType};
use wasmtime::{AsContextMut as _, StoreContextMut};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::filesystem::types as v02;
use wasmtime_wasi::p3::bindings::filesystem::types as v03;

use super::listing::{Entry, Listing};
use crate::engine::Kind;
use crate::instance::GuestState;

/// What all instances of a revision have open, and may have open at most: `limits.files`.
pub(crate) struct OpenFiles {
    most: usize,
    /// Never longer than `most`. What has been closed is taken out when room is needed.
    open: Mutex<Vec<Weak<dyn Any + Send + Sync>>>,
}

/// Room for one more, until it is dropped.
pub(crate) struct Room(Arc<()>);

impl OpenFiles {
    pub(crate) fn new(most: usize) -> Arc<OpenFiles> {
        Arc::new(OpenFiles {
            most,
            open: Mutex::default(),
        })
    }

    /// Room for one more, or none.
    pub(crate) fn room(&self) -> Option<Room> {
        let mut open = self.open.lock();
        if open.len() >= self.most {
            open.retain(|file| file.strong_count() > 0);
        }
        if open.len() >= self.most {
            return None;
        }
        let room = Arc::new(());
        open.push(Arc::downgrade(&room) as Weak<dyn Any + Send + Sync>);
        Some(Room(room))
    }

    /// The room is taken by `descriptor` for as long as anything holds it: the guest's handle, a
    /// stream that it made of it, an operation under way.
    fn fill(&self, room: Room, descriptor: &Descriptor) {
        match descriptor {
            Descriptor::File(file) => self.hold(room, &file.file),
            Descriptor::Dir(directory) => self.hold(room, &directory.dir),
        }
    }

    fn hold(&self, room: Room, file: &Arc<std::fs::File>) {
        let mut open = self.open.lock();
        // The place is there: none is taken out while its room is held.
        let place = open
            .iter_mut()
            .find(|place| std::ptr::addr_eq(place.as_ptr(), Arc::as_ptr(&room.0)));
        if let Some(place) = place {
            *place = Arc::downgrade(file) as Weak<dyn Any + Send + Sync>;
        }
    }
}

/// The interfaces as wasmtime-wasi names them; components with other versions of them match.
const TYPES_0_2: &str = "wasi:filesystem/types@0.2.12";
const TYPES_0_3: &str = "wasi:filesystem/types@0.3.0";

/// Puts these functions over those of `wasi:filesystem/types`.
pub(super) fn link(kind: Kind, linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let linked = match kind {
        Kind::Serial => link_0_2(linker),
        Kind::Concurrent => link_0_2(linker).and_then(|()| link_0_3(linker)),
    };
    linker.allow_shadowing(false);
    linked
}

fn link_0_2(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use v02::{DescriptorFlags, DescriptorType, DirectoryEntry, ErrorCode, OpenFlags, PathFlags};
    type Store<'a> = StoreContextMut<'a, GuestState>;

    let mut types = linker.instance(TYPES_0_2)?;
    type Open = (
        Resource<Descriptor>,
        PathFlags,
        String,
        OpenFlags,
        DescriptorFlags,
    );
    types.func_wrap_async(
        "[method]descriptor.open-at",
        |mut store: Store<'_>, (directory, follow, path, how, flags): Open| {
            Box::new(async move {
                let state = store.data_mut();
                let files = state.granted().files.clone();
                let Some(room) = files.room() else {
                    return Ok((Err(ErrorCode::Quota),));
                };
                let mut view = state.filesystem();
                // Opening a named pipe waits for somebody at its other end, on a thread for blocking
                // work that nothing can call back. What must be a directory, or new, is none.
                if !how.intersects(OpenFlags::DIRECTORY | OpenFlags::EXCLUSIVE) {
                    let directory = Resource::new_borrow(directory.rep());
                    // A pipe's type is not told in so many words.
                    let fifo = |stat: v02::DescriptorStat| {
                        matches!(stat.type_, DescriptorType::Fifo | DescriptorType::Unknown)
                    };
                    let stat =
                        v02::HostDescriptor::stat_at(&mut view, directory, follow, path.clone());
                    if stat.await.is_ok_and(fifo) {
                        return Ok((Err(ErrorCode::NotPermitted),));
                    }
                }
                let opened =
                    v02::HostDescriptor::open_at(&mut view, directory, follow, path, how, flags);
                match opened.await {
                    Ok(opened) => {
                        files.fill(room, view.table.get(&opened)?);
                        Ok((Ok(opened),))
                    }
                    Err(error) => Ok((Err(error.downcast()?),)),
                }
            })
        },
    )?;
    types.func_wrap_async(
        "[method]descriptor.read-directory",
        |mut store: Store<'_>, (directory,): (Resource<Descriptor>,)| {
            Box::new(async move {
                let state = store.data_mut();
                let Some(room) = state.granted().files.room() else {
                    return Ok((Err(ErrorCode::Quota),));
                };
                let Descriptor::Dir(directory) = state.table().get(&directory)? else {
                    return Ok((Err(ErrorCode::NotDirectory),));
                };
                let listing = Listing::new(directory.dir.clone(), room);
                Ok((Ok::<_, ErrorCode>(state.table().push(listing)?),))
            })
        },
    )?;
    types.resource(
        "directory-entry-stream",
        ResourceType::host::<Listing>(),
        |mut store, number| {
            let listing = Resource::<Listing>::new_own(number);
            store.data_mut().table().delete(listing)?;
            Ok(())
        },
    )?;
    types.func_wrap_async(
        "[method]directory-entry-stream.read-directory-entry",
        |mut store: Store<'_>, (listing,): (Resource<Listing>,)| {
            Box::new(async move {
                let listing = store.data_mut().table().get_mut(&listing)?;
                let read = match listing.next().await {
                    Ok(entry) => Ok(entry.map(|Entry { kind, name }| DirectoryEntry {
                        type_: kind.into(),
                        name,
                    })),
                    Err(error) => Err(ErrorCode::from(error)),
                };
                Ok((read,))
            })
        },
    )
}

fn link_0_3(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    use v03::{DescriptorFlags, DescriptorType, ErrorCode, OpenFlags, PathFlags};
    type Guest<'a> = &'a Accessor<GuestState>;

    let mut types = linker.instance(TYPES_0_3)?;
    type Open = (
        Resource<Descriptor>,
        PathFlags,
        String,
        OpenFlags,
        DescriptorFlags,
    );
    types.func_wrap_concurrent(
        "[method]descriptor.open-at",
        |guest: Guest<'_>, (directory, follow, path, how, flags): Open| {
            Box::pin(async move {
                let files = guest.with(|mut store| store.get().granted().files.clone());
                let Some(room) = files.room() else {
                    return Ok((Err(ErrorCode::Quota),));
                };
                let view = guest.with_getter::<WasiFilesystem>(GuestState::filesystem);
                // As above.
                if !how.intersects(OpenFlags::DIRECTORY | OpenFlags::EXCLUSIVE) {
                    let directory = Resource::new_borrow(directory.rep());
                    let stat =
                        <WasiFilesystem as v03::HostDescriptorWithStore<GuestState>>::stat_at(
                            &view,
                            directory,
                            follow,
                            path.clone(),
                        );
                    // A pipe's type is not told in so many words.
                    let fifo = |stat: v03::DescriptorStat| {
                        matches!(stat.type_, DescriptorType::Fifo | DescriptorType::Other(_))
                    };
                    if stat.await.is_ok_and(fifo) {
                        return Ok((Err(ErrorCode::NotPermitted),));
                    }
                }
                let opened = <WasiFilesystem as v03::HostDescriptorWithStore<GuestState>>::open_at(
                    &view, directory, follow, path, how, flags,
                );
                match opened.await {
                    Ok(opened) => guest.with(|mut store| {
                        files.fill(room, store.get().table().get(&opened)?);
                        Ok((Ok(opened),))
                    }),
                    Err(error) => Ok((Err(error.downcast()?),)),
                }
            })
        },
    )?;
    types.func_wrap(
        "[method]descriptor.read-directory",
        |mut store: StoreContextMut<'_, GuestState>, (directory,): (Resource<Descriptor>,)| {
            let state = store.data_mut();
            let room = state.granted().files.room();
            let listing = match (state.table().get(&directory)?, room) {
                (Descriptor::File(_), _) => Err(ErrorCode::NotDirectory),
                (Descriptor::Dir(_), None) => Err(ErrorCode::Quota),
                (Descriptor::Dir(directory), Some(room)) => {
                    Ok(Listing::new(directory.dir.clone(), room))
                }
            };
            Ok((super::listing::stream(store.as_context_mut(), listing)?,))
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_given_back_when_it_is_dropped() {
        let files = OpenFiles::new(2);
        let first = files.room().unwrap();
        let second = files.room().unwrap();
        assert!(files.room().is_none());
        drop(first);
        let third = files.room().unwrap();
        assert!(files.room().is_none());
        drop((second, third));
        assert!(files.room().is_some());
        assert!(files.open.lock().len() <= 2, "what is closed is forgotten");
    }

    #[test]
    fn a_file_keeps_its_room_for_as_long_as_anybody_holds_it() {
        let files = OpenFiles::new(1);
        let file = Arc::new(std::fs::File::open("/dev/null").unwrap());
        let room = files.room().unwrap();
        files.hold(room, &file);
        let stream = file.clone();
        drop(file);
        assert!(files.room().is_none());
        drop(stream);
        assert!(files.room().is_some());
    }
}
