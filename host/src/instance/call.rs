//! One call of an exported function on an instance that serves one at a time.

use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{mpsc, oneshot};
use wasmtime::component::{Accessor, Func, Instance, ResourceAny, Val};
use wasmtime::{AsContextMut, Store};

use super::cargo::{Cargo, Given, Parcel, Signature, Values};
use super::errand::Errand;
use super::live::{Code, Export, Live, Start};
use super::meter::Meter;
use super::pipe::OnCut;
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
    /// What whoever reads a stream of the call's learns if the instance is lost.
    pub(crate) on_cut: OnCut,
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
    call: Running,
    meter: Arc<Meter>,
    instance: u64,
    identity: u64,
    /// The results of a call that goes on afterwards, for its streams and futures.
    results: Option<oneshot::Receiver<Cargo>>,
}

/// Who polls a call.
enum Running {
    /// Whoever waits for it.
    Here(Computation<Ended>),
    /// A task of its own: the caller may be in an event loop, at some remove.
    Apart(task::Own<Result<Ended, Panicked>>),
}

impl Calling {
    /// Begins a call on `idle`, or on a new instance.
    pub(crate) fn new(code: Arc<Code>, idle: Option<Live>, order: Order) -> Calling {
        let share = code.mould.share.clone();
        let apart = code.is_concurrent();
        let mut start = Start::with(&code, idle);
        let state = start.store().data();
        let (instance, identity) = (state.instance(), state.identity());
        let meter = start.meter().clone();
        meter.reset();
        let (early, results) = match order.signature.has_pipes() {
            true => {
                let (early, results) = oneshot::channel();
                (Some(early), Some(results))
            }
            false => (None, None),
        };
        let call = Computation::call(&share, &meter, run(code, start, order, early));
        Calling {
            call: match apart {
                false => Running::Here(call),
                true => Running::Apart(task::own(task::Kind::Call, call)),
            },
            meter,
            instance,
            identity,
            results,
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

    /// The results of a call that goes on when they are there; none if it is not of that kind, or
    /// has come to its end without them.
    pub(crate) async fn early_results(&mut self) -> Option<Cargo> {
        self.results.take()?.await.ok()
    }

    /// Its end.
    pub(crate) async fn ended(self) -> Ended {
        let ended = match self.call {
            Running::Here(call) => call.await,
            Running::Apart(call) => {
                let lost = || Err(Panicked("the task of a call was lost".to_owned()));
                call.await.unwrap_or_else(lost)
            }
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

async fn run(
    code: Arc<Code>,
    start: Start,
    order: Order,
    early: Option<oneshot::Sender<Cargo>>,
) -> Ended {
    let failed = |failure, unbegun| Ended {
        live: None,
        result: Err(NotDone { failure, unbegun }),
    };
    let mut live = match start.live(&code).await {
        Ok(live) => live,
        Err(failure) => return failed(failure, Some(order.arguments)),
    };
    let at_work = code
        .is_concurrent()
        .then(|| live.store.data().set_to_work());
    let called = match early {
        None => on(&mut live, order).await,
        Some(early) => Box::pin(beyond(&mut live, order, early)).await,
    };
    drop(at_work);
    match called {
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

/// The instance is given the call.
async fn begin(
    live: &mut Live,
    errand: Errand,
    lease: Option<&Arc<Lease>>,
) -> wasmtime::Result<()> {
    live.store.set_epoch_deadline(1);
    live.store.data_mut().begin(errand);
    match lease {
        Some(lease) => Box::pin(drop_in(&mut live.store, lease.dropped())).await,
        None => Ok(()),
    }
}

async fn drop_in(
    store: &mut Store<GuestState>,
    resources: Vec<ResourceAny>,
) -> wasmtime::Result<()> {
    for resource in resources {
        resource.resource_drop_async(&mut *store).await?;
    }
    Ok(())
}

async fn on(live: &mut Live, order: Order) -> wasmtime::Result<Cargo> {
    begin(live, order.errand, order.lease.as_ref()).await?;
    match order.arguments {
        Cargo::Message(parcel) => {
            let Signature { taken, given, .. } = &*order.signature;
            let (parameters, lent) = parcel.into_callee(live.store.as_context_mut(), taken)?;
            let copied = copied(
                &mut live.copied,
                live.instance,
                &mut live.store,
                order.function,
            )?;
            let results = copied.call(&mut live.store, parameters).await?;
            lent.take_back(live.store.as_context_mut())?;
            let store = live.store.as_context_mut();
            let results = Parcel::of_callee(store, results, given, order.lease.as_ref())?;
            Ok(Cargo::Message(results))
        }
        Cargo::Values(arguments) => {
            let given = Given {
                lease: order.lease.as_ref(),
                hold: None,
                on_cut: order.on_cut,
            };
            Box::pin(with_values(
                live,
                order.function,
                &order.signature,
                arguments,
                given,
            ))
            .await
        }
    }
}

async fn with_values(
    live: &mut Live,
    export: Export,
    signature: &Signature,
    arguments: Values,
    given: Given<'_>,
) -> wasmtime::Result<Cargo> {
    let store = &mut live.store;
    let arguments = arguments.into_callee(store.as_context_mut(), &signature.parameters, None);
    let (arguments, lent) = arguments?;
    let function = function(live.instance, store, export)?;
    let mut answer = vec![Val::Bool(false); signature.results.len()];
    function
        .call_async(&mut *store, &arguments, &mut answer)
        .await?;
    lent.take_back(store.as_context_mut())?;
    let results = Values::of_callee(store.as_context_mut(), answer, &signature.results, given);
    results.map(Cargo::Values)
}

/// A call that goes on after its results, until all streams and futures of it have come to their
/// end. The results go to `early`.
async fn beyond(
    live: &mut Live,
    order: Order,
    early: oneshot::Sender<Cargo>,
) -> wasmtime::Result<Cargo> {
    begin(live, order.errand, order.lease.as_ref()).await?;
    let store = &mut live.store;
    let Cargo::Values(arguments) = order.arguments else {
        return Err(wasmtime::format_err!("a stream in a message"));
    };
    let (parameters, results) = (&order.signature.parameters, &order.signature.results);
    let (hold, mut held) = mpsc::channel(1);
    let (arguments, lent) =
        arguments.into_callee(store.as_context_mut(), parameters, Some(&hold))?;
    let function = function(live.instance, store, order.function)?;
    let calling = async |accessor: &Accessor<GuestState>| {
        let mut answer = vec![Val::Bool(false); results.len()];
        function
            .call_concurrent(accessor, &arguments, &mut answer)
            .await?;
        let answered = accessor.with(|mut access| {
            lent.take_back(access.as_context_mut())?;
            let given = Given {
                lease: order.lease.as_ref(),
                hold: Some(&hold),
                on_cut: order.on_cut,
            };
            Values::of_callee(access.as_context_mut(), answer, results, given)
        })?;
        drop(hold);
        // Who waits no more has ended this, too.
        let _ = early.send(Cargo::Values(answered));
        std::future::poll_fn(|cx| {
            let none_left = held.poll_recv(cx).is_ready();
            let none_at_work = accessor.poll_no_interesting_tasks(cx).is_ready();
            match none_left && none_at_work {
                true => Poll::Ready(()),
                false => Poll::Pending,
            }
        })
        .await;
        Ok(())
    };
    let called: wasmtime::Result<()> = store.run_concurrent(calling).await?;
    called?;
    Ok(Cargo::default())
}

fn function(
    instance: Instance,
    store: &mut Store<GuestState>,
    export: Export,
) -> wasmtime::Result<Func> {
    let function = instance.get_func(store, export.index);
    function.ok_or_else(|| wasmtime::format_err!("the export is no function"))
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
            let export = self::function(instance, store, function)?;
            copier::Shape::of(&export.ty(&*store))
                .ok_or_else(|| {
                    wasmtime::format_err!("the export is not of what the copier copies")
                })?
                .bind(store, &export)?
        }
    };
    Ok(&**place.insert(bound))
}
