//! An instance that serves one at a time, between two calls, and the code that it is made of.
//!
//! Beside it: [`super::once`] has it answer a request, [`super::call`] a call of a function.

use std::collections::HashMap;
use std::sync::Arc;

use skep_core::contract::InterfaceName;
use wasmtime::component::types::ComponentItem;
use wasmtime::component::{
    Component, ComponentExportIndex, Instance, InstancePre, Resource, ResourceAny, TypedFunc,
};
use wasmtime::{Store, format_err};

use super::errand::Errand;
use super::meter::Meter;
use super::{Failure, GuestState, Mould};
use crate::copier::Bound;
use crate::scheduler::Computation;
use crate::wasi::{AnswerSlot, INCOMING_HANDLER, IncomingRequest, ResponseOutparam};

/// An instance between two calls.
pub(crate) struct Live {
    pub(super) store: Store<GuestState>,
    pub(super) instance: Instance,
    /// None if its component handles no requests.
    pub(super) handle: Option<Handle>,
    pub(super) meter: Arc<Meter>,
    pub(super) slot: AnswerSlot,
    /// What its exports are called with messages by, by their numbers.
    pub(super) copied: Vec<Option<Box<dyn Bound<GuestState>>>>,
    /// Requests and calls that it has served.
    pub(crate) served: u64,
}

/// A guest's `handle`.
pub(super) type Handle = TypedFunc<(Resource<IncomingRequest>, Resource<ResponseOutparam>), ()>;

impl Live {
    /// It is at work for nobody any more.
    pub(crate) fn rest(&mut self) {
        self.store.data_mut().rest();
    }

    /// Makes an instance that nobody waits for. Guest code (start functions, initialisers) may
    /// run.
    pub(crate) async fn make(code: Arc<Code>) -> Result<Live, Failure> {
        let meter = Meter::new(code.mould.limits.cpu);
        let share = code.mould.share.clone();
        let making = {
            let meter = meter.clone();
            async move {
                let store = code.mould.store(code.mould.number(), meter.clone());
                Live::on(store, &code, meter, AnswerSlot::default()).await
            }
        };
        let made = Computation::background(&share, &meter, making).await;
        made.unwrap_or_else(|panicked| Err(Failure::of_panic(panicked)))
    }

    async fn on(
        mut store: Store<GuestState>,
        code: &Code,
        meter: Arc<Meter>,
        slot: AnswerSlot,
    ) -> Result<Live, Failure> {
        let made = code.pre.instantiate_async(&mut store).await;
        let made = made.and_then(|instance| {
            let handle = code.handle.map(|handle| {
                // Its type was seen when the code was made.
                instance.get_typed_func(&mut store, handle)
            });
            Ok((instance, handle.transpose()?))
        });
        let (instance, handle) = match made {
            Ok(made) => made,
            Err(error) => {
                let failure = Failure::of_instantiation(error, store.data());
                code.mould.bury(store, Some(&failure));
                return Err(failure);
            }
        };
        Ok(Live {
            store,
            instance,
            handle,
            meter,
            slot,
            copied: Vec::new(),
            served: 0,
        })
    }

    /// Its number.
    pub(crate) fn instance(&self) -> u64 {
        self.store.data().instance()
    }

    /// The instance after a call that ended well, if it may serve again.
    pub(super) fn rested(mut self) -> Option<Live> {
        self.served += 1;
        self.store.data_mut().hooks().release();
        // What it has piled up in the host is not carried into its next call.
        let light = self.store.data_mut().appraise_at_rest().is_ok();
        light.then_some(self)
    }
}

/// Drops resources that the instance defines, which nobody holds any more. Dropping the future ends
/// the instance.
pub(crate) async fn drop_resources(
    code: Arc<Code>,
    mut live: Live,
    resources: Vec<ResourceAny>,
) -> Result<Live, Failure> {
    let (share, meter) = (code.mould.share.clone(), live.meter.clone());
    meter.reset();
    let dropping = async move {
        live.store.set_epoch_deadline(1);
        live.store.data_mut().begin(Errand::default());
        for resource in resources {
            if let Err(error) = resource.resource_drop_async(&mut live.store).await {
                let failure = Failure::of_call(error, live.store.data());
                code.mould.bury(live.store, Some(&failure));
                return Err(failure);
            }
        }
        Ok(live)
    };
    let dropped = Computation::background(&share, &meter, dropping).await;
    dropped.unwrap_or_else(|panicked| Err(Failure::of_panic(panicked)))
}

/// The compiled and linked code of a revision, with the mould of its instances.
pub struct Code {
    pre: InstancePre<GuestState>,
    handle: Option<ComponentExportIndex>,
    exports: Exports,
    /// Its engine has concurrency: see [`Code::is_concurrent`].
    concurrent: bool,
    pub(crate) mould: Mould,
}

impl Code {
    /// Of a component that handles requests. It may export functions as well.
    ///
    /// # Errors
    /// If the component exports no `incoming-handler`.
    pub(crate) fn handler(pre: InstancePre<GuestState>, mould: Mould) -> wasmtime::Result<Code> {
        let component = pre.component();
        let handler = component.get_export_index(None, INCOMING_HANDLER);
        let handle = handler
            .and_then(|handler| component.get_export_index(Some(&handler), "handle"))
            .ok_or_else(|| format_err!("the component exports no `{INCOMING_HANDLER}`"))?;
        Ok(Code {
            handle: Some(handle),
            ..Code::provider(pre, mould)
        })
    }

    /// Of a component whose functions other services call.
    pub(crate) fn provider(pre: InstancePre<GuestState>, mould: Mould) -> Code {
        Code {
            handle: None,
            exports: Exports::of(pre.component()),
            concurrent: pre.component().engine().get_concurrency_support(),
            pre,
            mould,
        }
    }

    /// Its engine has concurrency. A call runs an event loop then, which must not run within
    /// another's.
    pub(crate) fn is_concurrent(&self) -> bool {
        self.concurrent
    }

    /// What other services may call.
    pub(crate) fn exports(&self) -> &Exports {
        &self.exports
    }
}

/// The functions of a component's exported interfaces.
#[derive(Debug, Default)]
pub(crate) struct Exports(HashMap<Box<str>, HashMap<Box<str>, Export>>);

/// An exported function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Export {
    pub(super) index: ComponentExportIndex,
    /// Counted from 0 among all of the component's.
    pub(super) number: usize,
}

impl Exports {
    pub(super) fn of(component: &Component) -> Exports {
        let engine = component.engine();
        let mut interfaces = HashMap::new();
        let mut numbers = 0..;
        for (interface, item) in component.component_type().exports(engine) {
            let ComponentItem::ComponentInstance(exported) = item.ty else {
                continue;
            };
            let Some(at) = component.get_export_index(None, interface) else {
                continue;
            };
            let functions = exported
                .exports(engine)
                .filter(|(_, item)| matches!(item.ty, ComponentItem::ComponentFunc(_)))
                .filter_map(|(name, _)| {
                    let index = component.get_export_index(Some(&at), name)?;
                    let number = numbers.next()?;
                    Some((name.into(), Export { index, number }))
                });
            interfaces.insert(interface.into(), functions.collect());
        }
        Exports(interfaces)
    }

    /// A function of an interface, which may be named by another version that this one stands for:
    /// its caller was linked to the revision before.
    pub(crate) fn find(&self, interface: &str, function: &str) -> Option<Export> {
        let functions = self.0.get(interface).or_else(|| {
            let wanted = InterfaceName::new(interface);
            let mut others = self.0.iter();
            let fits = |name: &str| wanted.fits(&InterfaceName::new(name));
            let (_, functions) =
                others.find(|(name, functions)| fits(name) && functions.contains_key(function))?;
            Some(functions)
        });
        functions?.get(function).copied()
    }
}

/// Where a call begins.
pub(super) enum Start {
    /// On an instance that has served before.
    Again(Live),
    /// On a store that has no instance yet.
    New {
        store: Store<GuestState>,
        meter: Arc<Meter>,
        slot: AnswerSlot,
    },
}

impl Start {
    /// On this instance, or on a new one. No guest runs here.
    pub(super) fn with(code: &Code, idle: Option<Live>) -> Start {
        match idle {
            Some(live) => Start::Again(live),
            None => {
                let meter = Meter::new(code.mould.limits.cpu);
                let store = code.mould.store(code.mould.number(), meter.clone());
                let slot = AnswerSlot::default();
                Start::New { store, meter, slot }
            }
        }
    }

    /// The instance, made now if there is none yet.
    pub(super) async fn live(self, code: &Code) -> Result<Live, Failure> {
        match self {
            Start::Again(live) => Ok(live),
            // Boxed, so that calls on an instance that is there do not carry room for it about.
            Start::New { store, meter, slot } => Box::pin(Live::on(store, code, meter, slot)).await,
        }
    }

    pub(super) fn store(&mut self) -> &mut Store<GuestState> {
        match self {
            Start::Again(live) => &mut live.store,
            Start::New { store, .. } => store,
        }
    }

    pub(super) fn meter(&self) -> &Arc<Meter> {
        match self {
            Start::Again(live) => &live.meter,
            Start::New { meter, .. } => meter,
        }
    }

    pub(super) fn slot(&self) -> &AnswerSlot {
        match self {
            Start::Again(live) => &live.slot,
            Start::New { slot, .. } => slot,
        }
    }
}
