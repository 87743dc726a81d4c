//! A bound on the listing of a directory: wasmtime-wasi reads all of it into memory at once, and
//! what it has is for a guest with a grant to write, or for anybody else, to decide. (In WASI 0.3 a
//! listing is a stream.)

use std::fs::File;
use std::os::fd::AsRawFd;
use std::sync::Arc;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};
use wasmtime_wasi::filesystem::{Descriptor, WasiFilesystemView as _};
use wasmtime_wasi::p2::ReaddirIterator;
use wasmtime_wasi::p2::bindings::filesystem::types::{ErrorCode, HostDescriptor};

use crate::instance::GuestState;

/// Entries of a directory that can be listed. Each takes some hundred bytes; a program that keeps
/// more in one directory would be slow anywhere.
const ENTRIES: usize = 16 << 10;

/// As wasmtime-wasi calls it.
const INTERFACE: &str = "wasi:filesystem/types@0.2.12";

/// Puts the bound before wasmtime-wasi's own function. Called once it is linked.
pub(super) fn bound(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    linker.instance(INTERFACE)?.func_wrap_async(
        "[method]descriptor.read-directory",
        |store, (directory,)| Box::new(read_directory(store, directory)),
    )?;
    linker.allow_shadowing(false);
    Ok(())
}

type Listing = Result<Resource<ReaddirIterator>, ErrorCode>;

async fn read_directory(
    mut store: StoreContextMut<'_, GuestState>,
    directory: Resource<Descriptor>,
) -> wasmtime::Result<(Listing,)> {
    let opened = match store.data_mut().filesystem().table.get(&directory)? {
        Descriptor::Dir(opened) => Some(opened.dir.clone()),
        // What that is worth, wasmtime-wasi says.
        Descriptor::File(_) => None,
    };
    if let Some(opened) = opened
        && is_too_long(opened).await
    {
        return Ok((Err(ErrorCode::InsufficientMemory),));
    }
    let mut filesystem = store.data_mut().filesystem();
    match HostDescriptor::read_directory(&mut filesystem, directory).await {
        Ok(listing) => Ok((Ok(listing),)),
        Err(error) => Ok((Err(error.downcast()?),)),
    }
}

async fn is_too_long(directory: Arc<File>) -> bool {
    let counting = tokio::task::spawn_blocking(move || {
        // This name leads to the open directory itself, not to what its path may mean by now.
        let path = format!("/proc/self/fd/{}", directory.as_raw_fd());
        std::fs::read_dir(path).map_or(0, |entries| entries.take(ENTRIES + 1).count())
    });
    // A runtime that is going away counts nothing any more.
    counting.await.is_ok_and(|entries| entries > ENTRIES)
}
