//! A stream or a future on its way from one store to another.
//!
//! Nothing of wasmtime's crosses. In the writer's store an [`Inlet`] consumes what the guest writes,
//! in the reader's store an [`Outlet`] produces what the guest reads, and between them there is room
//! for one batch. So a writer is held up until its reader has taken what it wrote before, and either
//! learns at once that the other has gone.
//!
//! An end that the writer's guest has not made itself is a *cut*: its instance is gone. Wasmtime
//! closes a store's streams when the store is dropped as if their guest had; that is told apart by
//! whether the guest was [at work](super::GuestState::set_to_work).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use parking_lot::Mutex;
use tokio::sync::mpsc;
use wasmtime::component::{
    ComponentType, Destination, FutureConsumer, FutureProducer, FutureReader, Lift, Lower, Source,
    StreamConsumer, StreamProducer, StreamReader, StreamResult, Val, VecBuffer,
};
use wasmtime::{AsContextMut, Result, StoreContextMut, format_err};

use super::GuestState;
use crate::copier::{Item, Message};
use crate::service::CallError;

/// What the guests see of it.
#[derive(Clone)]
pub(crate) struct PipeType {
    pub(crate) kind: PipeKind,
    pub(crate) payload: Payload,
    /// How a future says that its writer's instance is gone, if its type can.
    pub(crate) tell: Option<Tell>,
    /// A future of the same call says so: a stream that is cut just ends.
    pub(crate) quiet: bool,
}

/// Whether there is one value or any number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PipeKind {
    Stream,
    Future,
}

/// What is in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    /// Nothing: `stream`, `future`.
    Nothing,
    Bytes,
    /// Plain data of any other type.
    Items,
}

/// The value that tells a reader of a failure.
pub(crate) type Tell = Arc<dyn Fn(&CallError) -> Option<Message> + Send + Sync>;

/// What becomes of a reader whose writer's instance is gone.
#[derive(Clone)]
pub(crate) enum OnCut {
    /// Nothing: it is on its own way out, since it worked for the one who is gone.
    Wait,
    /// It learns of it, with this error unless there is another way.
    Tell(Arc<CallError>),
}

/// Kept by all that a call has left in the callee's store: when none is left, neither is the call.
pub(crate) type Hold = mpsc::Sender<()>;

/// The end that is taken into the reader's store, of any payload.
pub(crate) enum AnyOutlet {
    Nothing(Outlet<()>),
    Bytes(Outlet<u8>),
    Items(Outlet<Item>),
}

/// What wasmtime calls for reading and writing a payload.
pub(crate) trait Carried: ComponentType + Lift + Lower + Send + Sync + 'static {
    /// Takes what the guest writes, or the beginning of it: at least one.
    fn read<D: 'static>(
        source: &mut Source<'_, Self>,
        store: StoreContextMut<'_, D>,
    ) -> Result<Vec<Self>>;

    /// The message is one of these.
    fn of(message: Message) -> Option<Self>;
}

/// Bytes that cross at once: what readers and writers of streams use as a rule.
const BYTES: usize = 64 << 10;

/// Other values that cross at once: what they take together is bounded by `limits.hostcall-fuel`.
const ITEMS: usize = 256;

impl Carried for u8 {
    fn read<D: 'static>(
        source: &mut Source<'_, u8>,
        mut store: StoreContextMut<'_, D>,
    ) -> Result<Vec<u8>> {
        let len = source.remaining(&mut store).min(BYTES);
        let mut bytes = Vec::with_capacity(len);
        source.read(store, &mut bytes)?;
        Ok(bytes)
    }

    fn of(_: Message) -> Option<u8> {
        None
    }
}

impl Carried for Item {
    fn read<D: 'static>(
        source: &mut Source<'_, Item>,
        mut store: StoreContextMut<'_, D>,
    ) -> Result<Vec<Item>> {
        let len = source.remaining(&mut store).min(ITEMS);
        let mut items = Vec::with_capacity(len);
        Item::begin();
        source.read(store, &mut items)?;
        Ok(items)
    }

    fn of(message: Message) -> Option<Item> {
        Some(Item::new(message))
    }
}

impl Carried for () {
    fn read<D: 'static>(
        source: &mut Source<'_, ()>,
        store: StoreContextMut<'_, D>,
    ) -> Result<Vec<()>> {
        // A list of nothings has room for all there are, however many that is.
        let mut one: Option<()> = None;
        source.read(store, &mut one)?;
        Ok(one.into_iter().collect())
    }

    fn of(_: Message) -> Option<()> {
        None
    }
}

/// What is between the two ends.
struct Pipe<T>(Mutex<State<T>>);

struct State<T> {
    batch: Option<Vec<T>>,
    end: Option<End>,
    /// The reader wants no more.
    unread: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// How the writer came to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// Its guest closed it.
    Closed,
    /// Its instance is gone.
    Cut,
}

/// The writer's end.
pub(crate) struct Inlet<T> {
    pipe: Arc<Pipe<T>>,
    at_work: Arc<AtomicBool>,
    _hold: Option<Hold>,
}

/// The reader's end.
pub(crate) struct Outlet<T> {
    pipe: Arc<Pipe<T>>,
    on_cut: OnCut,
    tell: Option<Tell>,
    quiet: bool,
    hold: Option<Hold>,
}

/// Takes a guest's stream or future out of its store.
///
/// # Errors
/// If the value is of another type, or a stream that the host itself writes in the other store and
/// whose items have a type of the host's.
pub(super) fn take(
    store: StoreContextMut<'_, GuestState>,
    value: &Val,
    ty: &PipeType,
    on_cut: OnCut,
    hold: Option<&Hold>,
) -> Result<AnyOutlet> {
    Ok(match ty.payload {
        Payload::Nothing => AnyOutlet::Nothing(take_of(store, value, ty, on_cut, hold)?),
        Payload::Bytes => AnyOutlet::Bytes(take_of(store, value, ty, on_cut, hold)?),
        Payload::Items => AnyOutlet::Items(take_of(store, value, ty, on_cut, hold)?),
    })
}

fn take_of<T: Carried>(
    store: StoreContextMut<'_, GuestState>,
    value: &Val,
    ty: &PipeType,
    on_cut: OnCut,
    hold: Option<&Hold>,
) -> Result<Outlet<T>> {
    let pipe = Arc::new(Pipe(Mutex::new(State {
        batch: None,
        end: None,
        unread: false,
        reader: None,
        writer: None,
    })));
    let inlet = Inlet {
        pipe: pipe.clone(),
        at_work: store.data().at_work.clone(),
        _hold: hold.cloned(),
    };
    match value {
        Val::Stream(any) => {
            let reader = any.clone().try_into_stream_reader::<T>()?;
            reader.pipe(store, inlet)?;
        }
        Val::Future(any) => {
            let reader = any.clone().try_into_future_reader::<T>()?;
            reader.pipe(store, inlet)?;
        }
        other => return Err(format_err!("a stream or a future is a {other:?}")),
    }
    Ok(Outlet {
        pipe,
        on_cut,
        tell: ty.tell.clone(),
        quiet: ty.quiet,
        hold: None,
    })
}

impl AnyOutlet {
    /// Gives it to a guest of this store.
    ///
    /// # Errors
    /// If the store's tables are full.
    pub(super) fn give(
        self,
        store: StoreContextMut<'_, GuestState>,
        kind: PipeKind,
        hold: Option<&Hold>,
    ) -> Result<Val> {
        match self {
            AnyOutlet::Nothing(outlet) => outlet.give(store, kind, hold),
            AnyOutlet::Bytes(outlet) => outlet.give(store, kind, hold),
            AnyOutlet::Items(outlet) => outlet.give(store, kind, hold),
        }
    }
}

impl std::fmt::Debug for AnyOutlet {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AnyOutlet")
    }
}

impl std::fmt::Debug for PipeType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} of {:?}", self.kind, self.payload)
    }
}

impl<T: Carried> Outlet<T> {
    fn give(
        mut self,
        mut store: StoreContextMut<'_, GuestState>,
        kind: PipeKind,
        hold: Option<&Hold>,
    ) -> Result<Val> {
        self.hold = hold.cloned();
        Ok(match kind {
            PipeKind::Stream => {
                let reader = StreamReader::new(store.as_context_mut(), self)?;
                Val::Stream(reader.try_into_stream_any(store)?)
            }
            PipeKind::Future => {
                let reader = FutureReader::new(store.as_context_mut(), self)?;
                Val::Future(reader.try_into_future_any(store)?)
            }
        })
    }
}

impl<T> Pipe<T> {
    fn changed(&self, change: impl FnOnce(&mut State<T>) -> Option<Waker>) {
        let waker = change(&mut self.0.lock());
        // Not under the lock: what is woken may look at once.
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl<T: Carried> Inlet<T> {
    /// Takes what the guest writes, once there is room.
    fn poll(
        &self,
        cx: &Context<'_>,
        mut store: StoreContextMut<'_, GuestState>,
        source: &mut Source<'_, T>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        {
            let mut state = self.pipe.0.lock();
            if state.unread {
                return Poll::Ready(Ok(StreamResult::Dropped));
            }
            if state.batch.is_some() {
                if finish {
                    return Poll::Ready(Ok(StreamResult::Cancelled));
                }
                state.writer = Some(cx.waker().clone());
                return Poll::Pending;
            }
        }
        if source.remaining(&mut store) == 0 {
            // It only asks whether there is room.
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        let batch = T::read(source, store)?;
        self.pipe.changed(|state| {
            state.batch = Some(batch);
            state.reader.take()
        });
        Poll::Ready(Ok(StreamResult::Completed))
    }
}

impl<T: Carried> StreamConsumer<GuestState> for Inlet<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, GuestState>,
        mut source: Source<'_, T>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        self.poll(cx, store, &mut source, finish)
    }
}

impl<T: Carried> FutureConsumer<GuestState> for Inlet<T> {
    type Item = T;

    fn poll_consume(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'_, GuestState>,
        mut source: Source<'_, T>,
        finish: bool,
    ) -> Poll<Result<()>> {
        self.poll(cx, store, &mut source, finish)
            .map(|polled| polled.map(drop))
    }
}

impl<T> Drop for Inlet<T> {
    fn drop(&mut self) {
        let end = match self.at_work.load(Ordering::Acquire) {
            true => End::Closed,
            false => End::Cut,
        };
        self.pipe.changed(|state| {
            state.end = Some(end);
            state.reader.take()
        });
    }
}

/// What a reader finds.
enum Found<T> {
    Batch(Vec<T>),
    Ended,
    Failed(Arc<CallError>),
    /// Nothing yet.
    Nothing,
}

impl<T> Outlet<T> {
    /// Takes what is there, unless the guest only asks whether there is something.
    fn find(&self, cx: &Context<'_>, asks: bool) -> Found<T> {
        let mut state = self.pipe.0.lock();
        if state.batch.is_some() {
            let batch = match asks {
                true => Vec::new(),
                false => state.batch.take().unwrap_or_default(),
            };
            let writer = (!asks).then(|| state.writer.take()).flatten();
            drop(state);
            if let Some(writer) = writer {
                writer.wake();
            }
            return Found::Batch(batch);
        }
        match (state.end, &self.on_cut) {
            (Some(End::Closed), _) => return Found::Ended,
            (Some(End::Cut), OnCut::Tell(error)) => return Found::Failed(error.clone()),
            (Some(End::Cut), OnCut::Wait) | (None, _) => {}
        }
        state.reader = Some(cx.waker().clone());
        Found::Nothing
    }
}

impl<T: Carried> StreamProducer<GuestState> for Outlet<T> {
    type Item = T;
    type Buffer = VecBuffer<T>;

    fn poll_produce<'a>(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut store: StoreContextMut<'a, GuestState>,
        mut destination: Destination<'a, T, VecBuffer<T>>,
        finish: bool,
    ) -> Poll<Result<StreamResult>> {
        let asks = destination.remaining(&mut store) == Some(0);
        match self.find(cx, asks) {
            Found::Batch(batch) => {
                if !asks {
                    destination.set_buffer(batch.into());
                }
                Poll::Ready(Ok(StreamResult::Completed))
            }
            Found::Ended => Poll::Ready(Ok(StreamResult::Dropped)),
            Found::Failed(_) if self.quiet => Poll::Ready(Ok(StreamResult::Dropped)),
            Found::Failed(error) => Poll::Ready(Err(CallError::clone(&error).into())),
            Found::Nothing if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Found::Nothing => Poll::Pending,
        }
    }
}

impl<T: Carried> FutureProducer<GuestState> for Outlet<T> {
    type Item = T;

    fn poll_produce(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'_, GuestState>,
        finish: bool,
    ) -> Poll<Result<Option<T>>> {
        match self.find(cx, false) {
            Found::Batch(batch) => Poll::Ready(Ok(batch.into_iter().next())),
            Found::Failed(error) => {
                let told = self.tell.as_ref().and_then(|tell| tell(&error));
                Poll::Ready(match told.and_then(T::of) {
                    Some(value) => Ok(Some(value)),
                    None => Err(CallError::clone(&error).into()),
                })
            }
            // A guest cannot close a future without a value.
            Found::Ended => Poll::Ready(Err(format_err!("a future was closed without a value"))),
            Found::Nothing if finish => Poll::Ready(Ok(None)),
            Found::Nothing => Poll::Pending,
        }
    }
}

impl<T> Drop for Outlet<T> {
    fn drop(&mut self) {
        self.pipe.changed(|state| {
            state.unread = true;
            state.batch = None;
            state.writer.take()
        });
    }
}
