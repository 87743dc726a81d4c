//! Values on their way from one store to another: the arguments of a call, or its results.
//!
//! Two routes. Plain data crosses as one message of the [`copier`](crate::copier)'s. Everything else
//! crosses as a [`Val`] for each value, which costs an allocation or more for each.
//!
//! Handles do not cross, for what they are on does not: each becomes a [`Handle`] on the way, and
//! on the other side either what it was in the first place, if the resource is defined there, or a
//! place in the [`Holdings`](super::holdings::Holdings) of that side's instance.

mod shape;

use std::sync::Arc;

use wasmtime::component::{ResourceAny, ResourceDynamic, Val};
use wasmtime::{AsContextMut, StoreContextMut, format_err};

pub(crate) use self::shape::{Origin, Shape, Signature};
use super::GuestState;
use super::holdings::Handle;
use crate::copier::Message;
use crate::service::Lease;

/// See the module.
#[derive(Debug)]
pub(crate) enum Cargo {
    /// Plain data.
    Message(Message),
    /// Everything else.
    Values(Values),
}

/// Cargo with handles in it, or of what the copier cannot copy.
#[derive(Debug, Default)]
pub(crate) struct Values {
    values: Vec<Val>,
    /// What stands in the values as its number here.
    handles: Vec<Handle>,
    /// Who defines the resources among them that are of the callee's own.
    instance: Whose,
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
            Cargo::Message(message) => Cargo::Message(message.clone()),
            Cargo::Values(values) => Cargo::Values(Values {
                values: values.values.clone(),
                handles: values
                    .handles
                    .iter()
                    .map(Handle::lend)
                    .collect::<Option<_>>()?,
                instance: values.instance.clone(),
            }),
        })
    }

    /// Which instance of the callee its handles want.
    pub(crate) fn instance(&self) -> &Whose {
        match self {
            Cargo::Message(_) => &Whose::Any,
            Cargo::Values(values) => &values.instance,
        }
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
        cargo.each(shapes, |origin, value, handles, instance| {
            let handle = taken(store.as_context_mut(), value)?;
            if origin.of_callee {
                instance.must_be(&handle.lease);
            }
            put(handle, value, handles);
            Ok(())
        })?;
        Ok(cargo)
    }

    /// Takes results out of the callee, whose own resources `lease` is for.
    ///
    /// # Errors
    /// If the callee gives out more handles than it may.
    pub(crate) fn of_callee(
        mut store: StoreContextMut<'_, GuestState>,
        values: Vec<Val>,
        shapes: &[Shape],
        lease: Option<&Arc<Lease>>,
    ) -> wasmtime::Result<Values> {
        let mut cargo = Values::new(values);
        cargo.each(shapes, |origin, value, handles, _| {
            let handle = match (origin.of_callee, &*value) {
                (true, Val::Resource(any)) => {
                    let lease = lease.ok_or_else(|| format_err!("a handle without a lease"))?;
                    Handle::give(lease, *any, origin.tag)?
                }
                _ => taken(store.as_context_mut(), value)?,
            };
            put(handle, value, handles);
            Ok(())
        })?;
        Ok(cargo)
    }

    fn new(values: Vec<Val>) -> Values {
        Values {
            values,
            ..Values::default()
        }
    }

    fn each(
        &mut self,
        shapes: &[Shape],
        mut visit: impl FnMut(Origin, &mut Val, &mut Vec<Handle>, &mut Whose) -> wasmtime::Result<()>,
    ) -> wasmtime::Result<()> {
        for (shape, value) in shapes.iter().zip(&mut self.values) {
            shape.visit(value, &mut |origin, value| {
                visit(origin, value, &mut self.handles, &mut self.instance)
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
    ) -> wasmtime::Result<(Vec<Val>, Lent)> {
        let mut lent = Lent::default();
        let values = self.unload(shapes, |origin, handle| {
            if origin.of_callee {
                return Ok(handle.come_home());
            }
            let owned = handle.is_owned();
            let any = held(store.as_context_mut(), handle)?;
            if !owned {
                lent.0.push(any);
            }
            Ok(any)
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
        self.unload(shapes, |_, handle| held(store.as_context_mut(), handle))
    }

    fn unload(
        self,
        shapes: &[Shape],
        mut put: impl FnMut(Origin, Handle) -> wasmtime::Result<ResourceAny>,
    ) -> wasmtime::Result<Vec<Val>> {
        let mut values = self.values;
        let mut handles = self.handles.into_iter();
        for (shape, value) in shapes.iter().zip(&mut values) {
            shape.visit(value, &mut |origin, value| {
                let handle = handles.next();
                let handle = handle.ok_or_else(|| format_err!("a handle is missing"))?;
                *value = Val::Resource(put(origin, handle)?);
                Ok::<(), wasmtime::Error>(())
            })?;
        }
        Ok(values)
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

/// The handle behind a value of an instance that holds it.
fn taken(mut store: StoreContextMut<'_, GuestState>, value: &Val) -> wasmtime::Result<Handle> {
    let Val::Resource(any) = value else {
        return Err(format_err!("a handle is a {value:?}"));
    };
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

fn put(handle: Handle, value: &mut Val, handles: &mut Vec<Handle>) {
    // What stands there is never looked at: handles are unloaded in the order of their loading.
    *value = Val::Bool(false);
    handles.push(handle);
}
