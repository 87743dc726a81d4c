//! Values on their way from one store to another: the arguments of a call, or its results.
//!
//! Two routes. Plain data, and handles beside it, cross as one message of the
//! [`copier`](crate::copier)'s. Everything else crosses as a [`Val`] for each value, which costs an
//! allocation or more for each.
//!
//! Handles do not cross, for what they are on does not: each becomes a [`Handle`] on the way, and
//! on the other side either what it was in the first place, if the resource is defined there, or a
//! place in the [`Holdings`](super::holdings::Holdings) of that side's instance. Streams and futures
//! do not cross either: what is written into them does, through a [`pipe`](super::pipe).

mod shape;

use std::sync::Arc;

use wasmtime::component::{ResourceAny, ResourceDynamic, Type, Val};
use wasmtime::{AsContextMut, StoreContextMut, format_err};

use self::shape::Leaf;
pub(crate) use self::shape::{Origin, Shape, Signature};
use super::GuestState;
use super::holdings::Handle;
use super::pipe::{self, AnyOutlet, Hold, OnCut, PipeKind};
use crate::copier::Message;
use crate::service::Lease;

/// See the module.
#[derive(Debug)]
pub(crate) enum Cargo {
    /// Plain data and handles.
    Message(Parcel),
    /// Everything else.
    Values(Values),
}

/// Cargo of the copier's.
#[derive(Debug, Default)]
pub(crate) struct Parcel {
    message: Message<Handle>,
    /// As in [`Values`].
    instance: Whose,
}

/// Cargo of what the copier cannot copy, or that the host itself makes.
#[derive(Debug, Default)]
pub(crate) struct Values {
    values: Vec<Val>,
    /// Where handles, streams and futures stand in the values, in order.
    leaves: Vec<Loaded>,
    /// Who defines the resources among them that are of the callee's own.
    instance: Whose,
}

/// What stands for a value that does not cross as it is.
#[derive(Debug)]
enum Loaded {
    Handle(Handle),
    Pipe(AnyOutlet),
}

/// The instance of the callee that a call is bound to by its arguments.
#[derive(Clone, Debug, Default)]
pub(crate) enum Whose {
    /// Any will do.
    #[default]
    Any,
    /// This one.
    One(Arc<Lease>),
    /// It would have to be two at once.
    Several,
}

/// What results are taken out of a callee with.
#[derive(Clone)]
pub(crate) struct Given<'a> {
    /// For the handles on its own resources.
    pub(crate) lease: Option<&'a Arc<Lease>>,
    /// For its streams and futures.
    pub(crate) hold: Option<&'a Hold>,
    pub(crate) on_cut: OnCut,
}

/// What was put into a store for one call.
#[derive(Debug, Default)]
pub(crate) struct Lent(Vec<ResourceAny>);

impl Default for Cargo {
    fn default() -> Cargo {
        Cargo::Values(Values::default())
    }
}

impl Cargo {
    /// The same once more; none if something in it cannot be there twice.
    pub(crate) fn copy(&self) -> Option<Cargo> {
        Some(match self {
            Cargo::Message(parcel) => Cargo::Message(Parcel {
                message: parcel.message.copy(Handle::lend)?,
                instance: parcel.instance.clone(),
            }),
            Cargo::Values(values) => Cargo::Values(Values {
                values: values.values.clone(),
                leaves: values
                    .leaves
                    .iter()
                    .map(Loaded::copy)
                    .collect::<Option<_>>()?,
                instance: values.instance.clone(),
            }),
        })
    }

    /// The same once more, if it is nothing but data.
    pub(crate) fn copy_plain(&self) -> Option<Cargo> {
        Some(match self {
            Cargo::Message(parcel) => Cargo::Message(Parcel {
                message: parcel.message.copy(|_| None)?,
                instance: Whose::Any,
            }),
            Cargo::Values(values) if values.leaves.is_empty() => {
                Cargo::Values(Values::plain(values.values.clone()))
            }
            Cargo::Values(_) => return None,
        })
    }

    /// The values, which are of these types and nothing but data; none if they are not.
    pub(crate) fn into_values(self, types: &[Type]) -> Option<Vec<Val>> {
        match self {
            Cargo::Message(parcel) => parcel.message.values(types),
            Cargo::Values(values) => Some(values.into_plain()),
        }
    }

    /// How many bytes it is; none where values cross one by one.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Cargo::Message(parcel) => Some(parcel.message.len()),
            Cargo::Values(_) => None,
        }
    }

    /// Which instance of the callee its handles want.
    pub(crate) fn instance(&self) -> &Whose {
        match self {
            Cargo::Message(parcel) => &parcel.instance,
            Cargo::Values(values) => &values.instance,
        }
    }
}

impl Parcel {
    /// As [`Values::of_caller`]; `origins` are those of the parameters.
    pub(crate) fn of_caller(
        mut store: StoreContextMut<'_, GuestState>,
        message: Message,
        origins: &[Origin],
    ) -> wasmtime::Result<Parcel> {
        let mut instance = Whose::Any;
        let message = message.map(|leaf, any| {
            let handle = taken(store.as_context_mut(), any)?;
            if origin(origins, leaf)?.of_callee {
                instance.must_be(&handle.lease);
            }
            Ok::<_, wasmtime::Error>(handle)
        })?;
        Ok(Parcel { message, instance })
    }

    /// As [`Values::of_callee`]; `origins` are those of the results.
    pub(crate) fn of_callee(
        mut store: StoreContextMut<'_, GuestState>,
        message: Message,
        origins: &[Origin],
        lease: Option<&Arc<Lease>>,
    ) -> wasmtime::Result<Parcel> {
        let message = message.map(|leaf, any| match origin(origins, leaf)? {
            origin if origin.of_callee => given(lease, any, origin),
            _ => taken(store.as_context_mut(), any),
        })?;
        let instance = Whose::Any;
        Ok(Parcel { message, instance })
    }

    /// As [`Values::into_callee`]; `origins` are those of the parameters.
    pub(crate) fn into_callee(
        self,
        mut store: StoreContextMut<'_, GuestState>,
        origins: &[Origin],
    ) -> wasmtime::Result<(Message, Lent)> {
        let mut lent = Lent::default();
        let message = self.message.map(|leaf, handle| {
            let origin = origin(origins, leaf)?;
            at_callee(store.as_context_mut(), origin, handle, &mut lent)
        })?;
        Ok((message, lent))
    }

    /// As [`Values::into_caller`].
    pub(crate) fn into_caller(
        self,
        mut store: StoreContextMut<'_, GuestState>,
    ) -> wasmtime::Result<Message> {
        self.message
            .map(|_, handle| held(store.as_context_mut(), handle))
    }
}

impl Values {
    /// Takes arguments out of the caller.
    ///
    /// # Errors
    /// If the caller's guest passes a handle that it does not have, which wasmtime would have
    /// noticed.
    pub(crate) fn of_caller(
        mut store: StoreContextMut<'_, GuestState>,
        values: Vec<Val>,
        shapes: &[Shape],
    ) -> wasmtime::Result<Values> {
        let mut cargo = Values::new(values);
        cargo.load(shapes, |leaf, value, instance| {
            let store = store.as_context_mut();
            Ok(match leaf {
                Leaf::Handle(origin) => {
                    let handle = taken(store, resource(value)?)?;
                    if origin.of_callee {
                        instance.must_be(&handle.lease);
                    }
                    Loaded::Handle(handle)
                }
                // If the caller's instance goes, so does the call.
                Leaf::Pipe(ty) => Loaded::Pipe(pipe::take(store, value, ty, OnCut::Wait, None)?),
            })
        })?;
        Ok(cargo)
    }

    /// Takes results out of the callee.
    ///
    /// # Errors
    /// If the callee gives out more handles than it may.
    pub(crate) fn of_callee(
        mut store: StoreContextMut<'_, GuestState>,
        values: Vec<Val>,
        shapes: &[Shape],
        given: Given<'_>,
    ) -> wasmtime::Result<Values> {
        let mut cargo = Values::new(values);
        cargo.load(shapes, |leaf, value, _| {
            let store = store.as_context_mut();
            Ok(match leaf {
                Leaf::Handle(origin) if origin.of_callee => {
                    Loaded::Handle(self::given(given.lease, resource(value)?, origin)?)
                }
                Leaf::Handle(_) => Loaded::Handle(taken(store, resource(value)?)?),
                Leaf::Pipe(ty) => {
                    let on_cut = given.on_cut.clone();
                    Loaded::Pipe(pipe::take(store, value, ty, on_cut, given.hold)?)
                }
            })
        })?;
        Ok(cargo)
    }

    /// Values that are nothing but data, whoever made them.
    pub(crate) fn plain(values: Vec<Val>) -> Values {
        Values::new(values)
    }

    /// The values themselves, if they are nothing but data.
    pub(crate) fn into_plain(self) -> Vec<Val> {
        self.values
    }

    fn new(values: Vec<Val>) -> Values {
        Values {
            values,
            ..Values::default()
        }
    }

    fn load(
        &mut self,
        shapes: &[Shape],
        mut load: impl FnMut(Leaf<'_>, &mut Val, &mut Whose) -> wasmtime::Result<Loaded>,
    ) -> wasmtime::Result<()> {
        for (shape, value) in shapes.iter().zip(&mut self.values) {
            shape.visit(value, &mut |leaf, value| {
                let loaded = load(leaf, value, &mut self.instance)?;
                // What stands there is never looked at: all is unloaded in the order of its loading.
                *value = Val::Bool(false);
                self.leaves.push(loaded);
                Ok::<(), wasmtime::Error>(())
            })?;
        }
        Ok(())
    }

    /// Puts arguments into the callee. What they lend it is to be taken back when the call is over.
    ///
    /// # Errors
    /// If the callee holds more handles than it may.
    pub(crate) fn into_callee(
        self,
        mut store: StoreContextMut<'_, GuestState>,
        shapes: &[Shape],
        hold: Option<&Hold>,
    ) -> wasmtime::Result<(Vec<Val>, Lent)> {
        let mut lent = Lent::default();
        let values = self.unload(shapes, |unloaded| {
            let store = store.as_context_mut();
            match unloaded {
                Unloaded::Handle(origin, handle) => {
                    at_callee(store, origin, handle, &mut lent).map(Val::Resource)
                }
                Unloaded::Pipe(kind, outlet) => outlet.give(store, kind, hold),
            }
        })?;
        Ok((values, lent))
    }

    /// Puts results into the caller.
    ///
    /// # Errors
    /// If the caller holds more handles than it may.
    pub(crate) fn into_caller(
        self,
        mut store: StoreContextMut<'_, GuestState>,
        shapes: &[Shape],
    ) -> wasmtime::Result<Vec<Val>> {
        self.unload(shapes, |unloaded| {
            let store = store.as_context_mut();
            match unloaded {
                Unloaded::Handle(_, handle) => held(store, handle).map(Val::Resource),
                Unloaded::Pipe(kind, outlet) => outlet.give(store, kind, None),
            }
        })
    }

    fn unload(
        self,
        shapes: &[Shape],
        mut put: impl FnMut(Unloaded) -> wasmtime::Result<Val>,
    ) -> wasmtime::Result<Vec<Val>> {
        let mut values = self.values;
        let mut leaves = self.leaves.into_iter();
        for (shape, value) in shapes.iter().zip(&mut values) {
            shape.visit(value, &mut |leaf, value| {
                let unloaded = match (leaf, leaves.next()) {
                    (Leaf::Handle(origin), Some(Loaded::Handle(handle))) => {
                        Unloaded::Handle(origin, handle)
                    }
                    (Leaf::Pipe(ty), Some(Loaded::Pipe(outlet))) => Unloaded::Pipe(ty.kind, outlet),
                    (expected, found) => {
                        return Err(format_err!("{found:?} where {expected:?} should be"));
                    }
                };
                *value = put(unloaded)?;
                Ok(())
            })?;
        }
        Ok(values)
    }
}

/// A value on its way into a store.
enum Unloaded {
    Handle(Origin, Handle),
    Pipe(PipeKind, AnyOutlet),
}

impl Loaded {
    fn copy(&self) -> Option<Loaded> {
        match self {
            Loaded::Handle(handle) => handle.lend().map(Loaded::Handle),
            Loaded::Pipe(_) => None,
        }
    }
}

impl Lent {
    /// The call is over.
    ///
    /// # Errors
    /// Only if the callee still has what it was lent, which wasmtime does not allow.
    pub(crate) fn take_back(
        self,
        mut store: StoreContextMut<'_, GuestState>,
    ) -> wasmtime::Result<()> {
        for any in self.0 {
            let place = any.try_into_resource_dynamic(&mut store)?.rep();
            store.data_mut().holdings().remove(place);
        }
        Ok(())
    }
}

impl Whose {
    fn must_be(&mut self, lease: &Arc<Lease>) {
        *self = match self {
            Whose::Any => Whose::One(lease.clone()),
            Whose::One(other) if Arc::ptr_eq(other, lease) => return,
            Whose::One(_) | Whose::Several => Whose::Several,
        }
    }
}

/// Whose resource the handles in a place are on.
fn origin(origins: &[Origin], leaf: usize) -> wasmtime::Result<Origin> {
    let origin = origins.get(leaf).copied();
    origin.ok_or_else(|| format_err!("a handle where none should be"))
}

fn resource(value: &Val) -> wasmtime::Result<ResourceAny> {
    match value {
        Val::Resource(any) => Ok(*any),
        value => Err(format_err!("a handle is a {value:?}")),
    }
}

/// A handle that the callee gives out on a resource of its own.
fn given(lease: Option<&Arc<Lease>>, any: ResourceAny, origin: Origin) -> wasmtime::Result<Handle> {
    let lease = lease.ok_or_else(|| format_err!("a handle without a lease"))?;
    Handle::give(lease, any, origin.tag)
}

/// What an argument is in the callee's store.
fn at_callee(
    store: StoreContextMut<'_, GuestState>,
    origin: Origin,
    handle: Handle,
    lent: &mut Lent,
) -> wasmtime::Result<ResourceAny> {
    if origin.of_callee {
        return Ok(handle.come_home());
    }
    let owned = handle.is_owned();
    let any = held(store, handle)?;
    if !owned {
        lent.0.push(any);
    }
    Ok(any)
}

/// The handle behind what an instance holds.
fn taken(mut store: StoreContextMut<'_, GuestState>, any: ResourceAny) -> wasmtime::Result<Handle> {
    let resource = any.try_into_resource_dynamic(&mut store)?;
    let holdings = store.data_mut().holdings();
    let handle = match resource.owned() {
        true => holdings.remove(resource.rep()),
        false => holdings.lend(resource.rep()),
    };
    handle.ok_or_else(|| format_err!("the handle is on nothing"))
}

/// A value for a handle that the instance holds from now on.
fn held(
    mut store: StoreContextMut<'_, GuestState>,
    handle: Handle,
) -> wasmtime::Result<ResourceAny> {
    let tag = handle.tag;
    let place = store.data_mut().holdings().insert(handle)?;
    ResourceDynamic::new_own(place, tag).try_into_resource_any(&mut store)
}
