//! `wasi:io/streams`: bodies are read and written here; other streams (files, standard output) are
//! wasmtime-wasi's, and asked as it would ask them.
//!
//! What need not wait is done before any future is made, and a future that is ready has no size,
//! so that boxing it allocates nothing.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use wasmtime::Result;
use wasmtime::component::{LinkerInstance, Resource, ResourceTable, ResourceType};
use wasmtime_wasi_io::bindings::wasi::io::streams::{
    Host as _, HostInputStream, HostOutputStream, StreamError as Told,
};
use wasmtime_wasi_io::poll::{DynPollable, Pollable, subscribe};
use wasmtime_wasi_io::streams::{DynInputStream, DynOutputStream, StreamError};

use super::Cx;
use super::inbound::{Inbound, Reader};
use super::pipe::{RoomInPipe, Writer};
use super::table::is_ours;
use crate::instance::GuestState;

type Input = Resource<DynInputStream>;
type Output = Resource<DynOutputStream>;
type Boxed<'a, T> = Box<dyn Future<Output = Result<T>> + Send + 'a>;

/// The most that the blocking writes take at once, says wasi:io.
const BLOCKING_WRITE: usize = 4096;

/// Bytes that one splice moves.
const SPLICE: u64 = 64 << 10;

/// What a stream function returns to the guest.
type Outcome<T> = Result<(Result<T, Told>,)>;

fn told<T>(table: &mut ResourceTable, outcome: Result<T, StreamError>) -> Outcome<T> {
    match outcome {
        Ok(value) => Ok((Ok(value),)),
        Err(error) => Ok((Err(table.convert_stream_error(error)?),)),
    }
}

fn reader<'a>(cx: &'a mut Cx<'_>, stream: &Input) -> Result<&'a mut Reader> {
    cx.data_mut().http_table().get_raw::<Reader>(stream.rep())
}

fn writer<'a>(cx: &'a mut Cx<'_>, stream: &Output) -> Result<&'a mut Writer> {
    cx.data_mut().http_table().get_raw::<Writer>(stream.rep())
}

fn size(len: u64) -> usize {
    usize::try_from(len).unwrap_or(usize::MAX)
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for Inbound {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_readable(cx)).await;
    }
}

#[wasmtime_wasi_io::async_trait]
impl Pollable for RoomInPipe {
    async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

/// A pollable of something that the pollable then owns.
pub(super) fn pollable<T: Pollable>(
    table: &mut ResourceTable,
    waiting: T,
) -> Result<Resource<DynPollable>> {
    let waiting = table.push(waiting)?;
    subscribe(table, waiting)
}

/// A future that was done before it was made: `Ok`.
struct Done;

impl Future for Done {
    type Output = Result<()>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// The same for a write.
struct Written;

impl Future for Written {
    type Output = Outcome<()>;
    fn poll(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Outcome<()>> {
        Poll::Ready(Ok((Ok(()),)))
    }
}

pub(super) fn link(streams: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    link_input(streams)?;
    link_output(streams)?;
    link_blocking_output(streams)?;
    link_splices(streams)
}

fn link_input(streams: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<DynInputStream>();
    streams.resource_async("input-stream", resource, |mut cx: Cx<'_>, rep| {
        if is_ours(rep) {
            return match cx.data_mut().http_table().take_raw::<Reader>(rep) {
                Ok(_) => Box::new(Done),
                Err(error) => Box::new(std::future::ready(Err(error))),
            };
        }
        Box::new(async move {
            let table = cx.data_mut().table();
            HostInputStream::drop(table, Resource::new_own(rep)).await
        })
    })?;
    streams.func_wrap(
        "[method]input-stream.read",
        |mut cx: Cx<'_>, (stream, len): (Input, u64)| {
            let read = if is_ours(stream.rep()) {
                reader(&mut cx, &stream)?.read(size(len))
            } else {
                HostInputStream::read(cx.data_mut().table(), stream, len).map(Bytes::from)
            };
            told(cx.data_mut().table(), read)
        },
    )?;
    streams.func_wrap_async(
        "[method]input-stream.blocking-read",
        |cx: Cx<'_>, (stream, len): (Input, u64)| -> Boxed<'_, _> {
            Box::new(async move {
                let mut cx = cx;
                let read = blocking_read(&mut cx, stream, len).await?;
                told(cx.data_mut().table(), read)
            })
        },
    )?;
    streams.func_wrap(
        "[method]input-stream.skip",
        |mut cx: Cx<'_>, (stream, len): (Input, u64)| {
            let skipped = if is_ours(stream.rep()) {
                let read = reader(&mut cx, &stream)?.read(size(len));
                read.map(|bytes| bytes.len() as u64)
            } else {
                HostInputStream::skip(cx.data_mut().table(), stream, len)
            };
            told(cx.data_mut().table(), skipped)
        },
    )?;
    streams.func_wrap_async(
        "[method]input-stream.blocking-skip",
        |cx: Cx<'_>, (stream, len): (Input, u64)| -> Boxed<'_, _> {
            Box::new(async move {
                let mut cx = cx;
                let read = blocking_read(&mut cx, stream, len).await?;
                let skipped = read.map(|bytes| bytes.len() as u64);
                told(cx.data_mut().table(), skipped)
            })
        },
    )?;
    streams.func_wrap(
        "[method]input-stream.subscribe",
        |mut cx: Cx<'_>, (stream,): (Input,)| {
            if !is_ours(stream.rep()) {
                let table = cx.data_mut().table();
                return Ok((HostInputStream::subscribe(table, stream)?,));
            }
            let waiting = reader(&mut cx, &stream)?.waiting();
            Ok((pollable(cx.data_mut().table(), waiting)?,))
        },
    )
}

async fn blocking_read(
    cx: &mut Cx<'_>,
    stream: Input,
    len: u64,
) -> Result<Result<Bytes, StreamError>> {
    if !is_ours(stream.rep()) {
        let table = cx.data_mut().table();
        let read = HostInputStream::blocking_read(table, stream, len).await;
        return Ok(read.map(Bytes::from));
    }
    let waiting = reader(cx, &stream)?.waiting();
    std::future::poll_fn(|cx| waiting.poll_readable(cx)).await;
    Ok(reader(cx, &stream)?.read(size(len)))
}

fn link_output(streams: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    let resource = ResourceType::host::<DynOutputStream>();
    streams.resource_async("output-stream", resource, |mut cx: Cx<'_>, rep| {
        if is_ours(rep) {
            return match cx.data_mut().http_table().take_raw::<Writer>(rep) {
                Ok(_) => Box::new(Done),
                Err(error) => Box::new(std::future::ready(Err(error))),
            };
        }
        Box::new(async move {
            let table = cx.data_mut().table();
            HostOutputStream::drop(table, Resource::new_own(rep)).await
        })
    })?;
    streams.func_wrap(
        "[method]output-stream.check-write",
        |mut cx: Cx<'_>, (stream,): (Output,)| {
            let room = if is_ours(stream.rep()) {
                writer(&mut cx, &stream)?.room().map(|room| room as u64)
            } else {
                HostOutputStream::check_write(cx.data_mut().table(), stream)
            };
            told(cx.data_mut().table(), room)
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.write",
        |mut cx: Cx<'_>, (stream, bytes): (Output, Vec<u8>)| {
            let written = if is_ours(stream.rep()) {
                writer(&mut cx, &stream)?.write(bytes.into())
            } else {
                HostOutputStream::write(cx.data_mut().table(), stream, bytes)
            };
            told(cx.data_mut().table(), written)
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.write-zeroes",
        |mut cx: Cx<'_>, (stream, len): (Output, u64)| {
            let written = if is_ours(stream.rep()) {
                write_zeroes(writer(&mut cx, &stream)?, size(len))
            } else {
                HostOutputStream::write_zeroes(cx.data_mut().table(), stream, len)
            };
            told(cx.data_mut().table(), written)
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.flush",
        |mut cx: Cx<'_>, (stream,): (Output,)| {
            let flushed = if is_ours(stream.rep()) {
                writer(&mut cx, &stream)?.flush()
            } else {
                HostOutputStream::flush(cx.data_mut().table(), stream)
            };
            told(cx.data_mut().table(), flushed)
        },
    )?;
    streams.func_wrap(
        "[method]output-stream.subscribe",
        |mut cx: Cx<'_>, (stream,): (Output,)| {
            if !is_ours(stream.rep()) {
                let table = cx.data_mut().table();
                return Ok((HostOutputStream::subscribe(table, stream)?,));
            }
            let waiting = writer(&mut cx, &stream)?.waiting();
            Ok((pollable(cx.data_mut().table(), waiting)?,))
        },
    )
}

/// Asked before so much is allocated.
fn write_zeroes(writer: &Writer, len: usize) -> Result<(), StreamError> {
    if len > writer.room()? {
        return Err(StreamError::trap(
            "cannot write more zeroes than `check-write` allows",
        ));
    }
    writer.write(vec![0; len].into())
}

fn link_blocking_output(streams: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    streams.func_wrap_async(
        "[method]output-stream.blocking-write-and-flush",
        |mut cx: Cx<'_>, (stream, bytes): (Output, Vec<u8>)| -> Boxed<'_, _> {
            if !is_ours(stream.rep()) {
                return Box::new(async move {
                    let table = cx.data_mut().table();
                    let written =
                        HostOutputStream::blocking_write_and_flush(table, stream, bytes).await;
                    told(table, written)
                });
            }
            write_now_or_wait(cx, stream, bytes)
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-write-zeroes-and-flush",
        |mut cx: Cx<'_>, (stream, len): (Output, u64)| -> Boxed<'_, _> {
            if !is_ours(stream.rep()) {
                return Box::new(async move {
                    let table = cx.data_mut().table();
                    let written =
                        HostOutputStream::blocking_write_zeroes_and_flush(table, stream, len).await;
                    told(table, written)
                });
            }
            // One more than is allowed is refused as all others are.
            write_now_or_wait(cx, stream, vec![0; size(len).min(BLOCKING_WRITE + 1)])
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-flush",
        |cx: Cx<'_>, (stream,): (Output,)| -> Boxed<'_, _> {
            Box::new(async move {
                let mut cx = cx;
                if !is_ours(stream.rep()) {
                    let table = cx.data_mut().table();
                    let flushed = HostOutputStream::blocking_flush(table, stream).await;
                    return told(table, flushed);
                }
                // The connection sends what it takes; there is nothing here to push.
                let flushed = writer(&mut cx, &stream)?.flush();
                told(cx.data_mut().table(), flushed)
            })
        },
    )
}

/// Writes to a body at once if there is room, which there nearly always is.
fn write_now_or_wait(
    mut cx: Cx<'_>,
    stream: Output,
    bytes: Vec<u8>,
) -> Boxed<'_, (Result<(), Told>,)> {
    let bytes = Bytes::from(bytes);
    let now = if bytes.len() > BLOCKING_WRITE {
        Err(StreamError::trap(
            "Buffer too large for blocking-write-and-flush (expected at most 4096)",
        ))
    } else {
        match writer(&mut cx, &stream) {
            Ok(writer) => writer.write_if_room(bytes),
            Err(error) => Err(StreamError::Trap(error)),
        }
    };
    match now {
        Ok(None) => Box::new(Written),
        Ok(Some(bytes)) => Box::new(async move {
            let written = write_all(&mut cx, &stream, bytes).await?;
            told(cx.data_mut().table(), written)
        }),
        Err(error) => Box::new(std::future::ready(told(cx.data_mut().table(), Err(error)))),
    }
}

/// Writes `bytes` to a body, piece by piece as there is room.
async fn write_all(
    cx: &mut Cx<'_>,
    stream: &Output,
    mut bytes: Bytes,
) -> Result<Result<(), StreamError>> {
    while !bytes.is_empty() {
        let waiting = writer(cx, stream)?.waiting();
        std::future::poll_fn(|cx| waiting.poll(cx)).await;
        let writer = writer(cx, stream)?;
        let written = writer
            .room()
            .and_then(|room| writer.write(bytes.split_to(room.min(bytes.len()))));
        if let Err(error) = written {
            return Ok(Err(error));
        }
    }
    Ok(Ok(()))
}

fn link_splices(streams: &mut LinkerInstance<'_, GuestState>) -> Result<()> {
    streams.func_wrap(
        "[method]output-stream.splice",
        |mut cx: Cx<'_>, (to, from, len): (Output, Input, u64)| {
            let moved = splice(&mut cx, to, from, len)?;
            told(cx.data_mut().table(), moved)
        },
    )?;
    streams.func_wrap_async(
        "[method]output-stream.blocking-splice",
        |cx: Cx<'_>, (to, from, len): (Output, Input, u64)| -> Boxed<'_, _> {
            Box::new(async move {
                let mut cx = cx;
                let moved = blocking_splice(&mut cx, to, from, len).await?;
                told(cx.data_mut().table(), moved)
            })
        },
    )
}

/// How much may be written to a stream of either kind.
fn room(cx: &mut Cx<'_>, to: &Output) -> Result<Result<u64, StreamError>> {
    if is_ours(to.rep()) {
        return Ok(writer(cx, to)?.room().map(|room| room as u64));
    }
    let table = cx.data_mut().table();
    Ok(HostOutputStream::check_write(
        table,
        Resource::new_borrow(to.rep()),
    ))
}

fn splice(cx: &mut Cx<'_>, to: Output, from: Input, len: u64) -> Result<Result<u64, StreamError>> {
    let len = match room(cx, &to)? {
        Ok(room) => len.min(room).min(SPLICE),
        Err(error) => return Ok(Err(error)),
    };
    if len == 0 {
        return Ok(Ok(0));
    }
    let read = if is_ours(from.rep()) {
        reader(cx, &from)?.read(size(len))
    } else {
        HostInputStream::read(cx.data_mut().table(), from, len).map(Bytes::from)
    };
    let bytes = match read {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error)),
    };
    let moved = bytes.len() as u64;
    let written = if is_ours(to.rep()) {
        writer(cx, &to)?.write(bytes)
    } else {
        cx.data_mut().table().get_mut(&to)?.write(bytes)
    };
    Ok(written.map(|()| moved))
}

async fn blocking_splice(
    cx: &mut Cx<'_>,
    to: Output,
    from: Input,
    len: u64,
) -> Result<Result<u64, StreamError>> {
    if len == 0 {
        return Ok(room(cx, &to)?.map(|_| 0));
    }
    let len = len.min(SPLICE);
    let bytes = match blocking_read(cx, from, len).await? {
        Ok(bytes) => bytes,
        Err(error) => return Ok(Err(error)),
    };
    let moved = bytes.len() as u64;
    let written = if is_ours(to.rep()) {
        write_all(cx, &to, bytes).await?
    } else {
        let to = cx.data_mut().table().get_mut(&to)?;
        to.blocking_write_and_flush(bytes).await
    };
    Ok(written.map(|()| moved))
}
