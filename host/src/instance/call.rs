//! One call of an exported function on an instance that serves one at a time.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::task::JoinHandle;
use wasmtime::component::{Instance, Val};
use wasmtime::{AsContextMut, Store};

use super::cargo::{Cargo, Signature, Values};
use super::errand::Errand;
use super::live::{Code, Export, Live, Start};
use super::meter::Meter;
use super::{Failure, GuestState};
use crate::copier::{self, Bound};
use crate::scheduler::{Computation, Panicked};
use crate::service::Lease;
use crate::task;

/// What is to be called, for what, with what.
pub(crate) struct Order {
    pub(crate) function: Export,
    pub(crate) errand: Errand,
    pub(crate) arguments: Cargo,
    pub(crate) signature: Arc<Signature>,
    /// For the handles that are out on the instance's resources, and those that will be.
    pub(crate) lease: Option<Arc<Lease>>,
}

/// A call that has come to its end.
pub(crate) struct Ended {
    /// The instance, if it may serve again.
    pub(crate) live: Option<Live>,
    pub(crate) result: Result<Cargo, NotDone>,
}

/// Why there are no results.
pub(crate) struct NotDone {
    pub(crate) failure: Failure,
    /// The arguments, if the call never began.
    pub(crate) unbegun: Option<Cargo>,
}

/// A call in progress. Dropping it ends the guest.
pub(crate) struct Calling {
    call: Computation<Ended>,
    apart: bool,
    meter: Arc<Meter>,
    instance: u64,
    identity: u64,
}

impl Calling {
    /// Prepares a call on `idle`, or on a new instance; no guest runs before it is awaited.
    pub(crate) fn new(code: Arc<Code>, idle: Option<Live>, order: Order) -> Calling {
        let share = code.mould.share.clone();
        let apart = code.is_concurrent();
        let mut start = Start::with(&code, idle);
        let state = start.store().data();
        let (instance, identity) = (state.instance(), state.identity());
        let meter = start.meter().clone();
        meter.reset();
        Calling {
            call: Computation::call(&share, &meter, run(code, start, order)),
            apart,
            meter,
            instance,
            identity,
        }
    }

    /// What charges it.
    pub(crate) fn meter(&self) -> &Arc<Meter> {
        &self.meter
    }

    /// The instance's number.
    pub(crate) fn instance(&self) -> u64 {
        self.instance
    }

    /// The instance's number among all.
    pub(crate) fn identity(&self) -> u64 {
        self.identity
    }

    /// Its end.
    pub(crate) async fn ended(self) -> Ended {
        let ended = match self.apart {
            false => self.call.await,
            // The caller may be in an event loop, at some remove.
            true => Own(task::spawn(task::Kind::Call, self.call)).await,
        };
        ended.unwrap_or_else(|panicked| Ended {
            live: None,
            result: Err(NotDone {
                failure: Failure::of_panic(panicked),
                unbegun: None,
            }),
        })
    }
}

/// A task that ends with whoever waits for it.
struct Own<T>(JoinHandle<Option<Result<T, Panicked>>>);

impl<T> Future for Own<T> {
    type Output = Result<T, Panicked>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let joined = ready!(Pin::new(&mut self.0).poll(cx));
        let lost = || Err(Panicked("the task of a call was lost".to_owned()));
        Poll::Ready(joined.ok().flatten().unwrap_or_else(lost))
    }
}

impl<T> Drop for Own<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn run(code: Arc<Code>, start: Start, order: Order) -> Ended {
    let failed = |failure, unbegun| Ended {
        live: None,
        result: Err(NotDone { failure, unbegun }),
    };
    let mut live = match start.live(&code).await {
        Ok(live) => live,
        Err(failure) => return failed(failure, Some(order.arguments)),
    };
    match on(&mut live, order).await {
        Ok(results) => Ended {
            live: live.rested(),
            result: Ok(results),
        },
        Err(error) => {
            let failure = Failure::of_call(error, live.store.data());
            code.mould.bury(live.store, Some(&failure));
            failed(failure, None)
        }
    }
}

async fn on(live: &mut Live, order: Order) -> wasmtime::Result<Cargo> {
    let store = &mut live.store;
    store.set_epoch_deadline(1);
    store.data_mut().begin(order.errand);
    if let Some(lease) = &order.lease {
        for resource in lease.dropped() {
            resource.resource_drop_async(&mut *store).await?;
        }
    }
    let arguments = match order.arguments {
        Cargo::Values(values) => values,
        Cargo::Message(parameters) => {
            let copied = copied(&mut live.copied, live.instance, store, order.function)?;
            let results = copied.call(store, parameters).await?;
            return Ok(Cargo::Message(results));
        }
    };
    let Signature {
        parameters,
        results,
    } = &*order.signature;
    let (arguments, lent) = arguments.into_callee(store.as_context_mut(), parameters)?;
    let function = live.instance.get_func(&mut *store, order.function.index);
    let function = function.ok_or_else(|| wasmtime::format_err!("the export is no function"))?;
    let mut answer = vec![Val::Bool(false); results.len()];
    function
        .call_async(&mut *store, &arguments, &mut answer)
        .await?;
    lent.take_back(store.as_context_mut())?;
    Values::of_callee(
        store.as_context_mut(),
        answer,
        results,
        order.lease.as_ref(),
    )
    .map(Cargo::Values)
}

/// The handle by which the instance's export is called with messages, made at its first call.
fn copied<'a>(
    known: &'a mut Vec<Option<Box<dyn Bound<GuestState>>>>,
    instance: Instance,
    store: &mut Store<GuestState>,
    function: Export,
) -> wasmtime::Result<&'a dyn Bound<GuestState>> {
    if known.len() <= function.number {
        known.resize_with(function.number + 1, || None);
    }
    let place = &mut known[function.number];
    let bound = match place.take() {
        Some(bound) => bound,
        None => {
            let export = instance.get_func(&mut *store, function.index);
            let export =
                export.ok_or_else(|| wasmtime::format_err!("the export is no function"))?;
            copier::Shape::of(&export.ty(&*store))
                .ok_or_else(|| wasmtime::format_err!("the export is not of plain data"))?
                .bind(store, &export)?
        }
    };
    Ok(&**place.insert(bound))
}
