//! The benchmark's component: it answers with as few host calls as WASI 0.2 allows, so that what
//! is measured is the host. `GET /` a short text, `/blob` 64 KiB, `/echo` the request's body.
#![no_std]
extern crate alloc;

use alloc::alloc::{Layout, alloc, realloc};
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use wasip2::http::types::{
    Fields, IncomingBody, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam,
};
use wasip2::io::streams::{OutputStream, StreamError};

/// What one blocking write may carry (wasi:io says 4096 bytes).
const WRITE_MAX: usize = 4096;
const BLOB_BYTES: usize = 64 * 1024;

#[global_allocator]
static ALLOCATOR: dlmalloc::GlobalDlmalloc = dlmalloc::GlobalDlmalloc;

/// std's panic machinery would import standard error and the environment.
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    core::arch::wasm32::unreachable()
}

/// How the host asks for room for what it returns; without std it is ours to export.
///
/// # Safety
/// As the canonical ABI says: `old` is null, or came from here with `old_size` and `align`.
#[unsafe(no_mangle)]
unsafe extern "C" fn cabi_realloc(
    old: *mut u8,
    old_size: usize,
    align: usize,
    size: usize,
) -> *mut u8 {
    let layout = |size| Layout::from_size_align(size, align);
    let (Ok(before), Ok(after)) = (layout(old_size), layout(size)) else {
        core::arch::wasm32::unreachable()
    };
    // SAFETY: the layouts are those of the allocation and sizes of 0 are not passed on.
    let new = unsafe {
        match (old_size, size) {
            (_, 0) => return align as *mut u8,
            (0, _) => alloc(after),
            _ => realloc(old, before, size),
        }
    };
    if new.is_null() {
        core::arch::wasm32::unreachable()
    } else {
        new
    }
}

struct Hello;
wasip2::http::proxy::export!(Hello);

impl wasip2::exports::http::incoming_handler::Guest for Hello {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match request.path_with_query().as_deref() {
            Some("/blob") => whole(out, b"65536", &vec![b'x'; BLOB_BYTES]),
            Some("/echo") => echo(&request, out),
            _ => whole(out, b"16", b"hello from skep\n"),
        }
    }
}

fn whole(out: ResponseOutparam, length: &[u8], body: &[u8]) {
    let (outgoing, stream) = start(out, Some(length));
    // An error means that the client is gone; nobody is left to tell.
    let _ = write_all(&stream, body);
    drop(stream);
    let _ = OutgoingBody::finish(outgoing, None);
}

fn echo(request: &IncomingRequest, out: ResponseOutparam) {
    let (outgoing, to) = start(out, None);
    if let Ok(incoming) = request.consume() {
        if let Ok(from) = incoming.stream() {
            while let Ok(chunk) = from.blocking_read(64 * 1024) {
                if write_all(&to, &chunk).is_err() {
                    return;
                }
            }
        }
        drop(IncomingBody::finish(incoming));
    }
    drop(to);
    let _ = OutgoingBody::finish(outgoing, None);
}

fn start(out: ResponseOutparam, length: Option<&[u8]>) -> (OutgoingBody, OutputStream) {
    let mut fields = Vec::with_capacity(2);
    fields.push((String::from("content-type"), b"text/plain".to_vec()));
    if let Some(length) = length {
        fields.push((String::from("content-length"), length.to_vec()));
    }
    let headers = Fields::from_list(&fields).unwrap_or_else(|_| Fields::new());
    let response = OutgoingResponse::new(headers);
    let Ok(outgoing) = response.body() else {
        core::arch::wasm32::unreachable()
    };
    ResponseOutparam::set(out, Ok(response));
    let Ok(stream) = outgoing.write() else {
        core::arch::wasm32::unreachable()
    };
    (outgoing, stream)
}

/// One host call for a short body; a long one takes what the host says it may write at once.
fn write_all(stream: &OutputStream, mut body: &[u8]) -> Result<(), StreamError> {
    while body.len() > WRITE_MAX {
        let room = stream.check_write()? as usize;
        if room == 0 {
            stream.subscribe().block();
            continue;
        }
        let (now, rest) = body.split_at(room.min(body.len()));
        stream.write(now)?;
        body = rest;
    }
    if body.is_empty() {
        stream.blocking_flush()
    } else {
        stream.blocking_write_and_flush(body)
    }
}
