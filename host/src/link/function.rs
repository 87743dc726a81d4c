//! One imported function: takes the arguments out of the caller, has the callee called, puts the
//! results back in.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use wasmtime::component::types::ComponentFunc;
use wasmtime::component::{Accessor, LinkerInstance, Type, Val};
use wasmtime::{AsContextMut, StoreContextMut, format_err};

use super::Wire;
use super::crossing::{Resources, Uncrossable, signature};
use super::mercy::Mercy;
use super::policy::Policy;
use crate::copier::{self, Calling, Message};
use crate::instance::GuestState;
use crate::instance::cargo::{Cargo, Parcel, Signature, Values, Whose};
use crate::instance::meter::Meter;
use crate::instance::tasks;
use crate::service::{CallCause, CallError, Function, Invocation, Wanted};
use crate::trace::Spent;

/// See the module. Shared by all instances of the caller.
pub(super) struct Link {
    caller: Arc<str>,
    policy: Arc<Policy>,
    /// If it may be made twice: the types of its results.
    repeatable: Option<Arc<[Type]>>,
    function: Function,
    mutual: bool,
    is_async: bool,
    signature: Arc<Signature>,
    /// Its values cross as messages.
    copied: Option<copier::Shape>,
    results: Vec<Type>,
    mercy: Mercy,
}

impl Link {
    pub(super) fn new(
        caller: &Arc<str>,
        wire: &Wire,
        name: &str,
        ty: &ComponentFunc,
        resources: &Resources,
    ) -> Result<Arc<Link>, Uncrossable> {
        let results: Vec<Type> = ty.results().collect();
        let signature = signature(ty, resources, wire.policy.callee().name())?;
        let repeatable = wire.policy.is_idempotent(name);
        Ok(Arc::new(Link {
            caller: caller.clone(),
            policy: wire.policy.clone(),
            repeatable: repeatable.then(|| results.as_slice().into()),
            function: Function {
                interface: wire.export.clone(),
                name: name.into(),
            },
            mutual: wire.mutual,
            is_async: ty.async_(),
            signature: Arc::new(signature),
            copied: copier::Shape::of(ty),
            mercy: Mercy::of(&results),
            results,
        }))
    }

    pub(super) fn define(
        self: Arc<Link>,
        instance: &mut LinkerInstance<'_, GuestState>,
    ) -> wasmtime::Result<()> {
        let name = self.function.name.clone();
        if self.is_async {
            return instance.func_new_concurrent(&name, move |accessor, _, arguments, results| {
                let link = self.clone();
                Box::pin(async move { link.call_beside(accessor, arguments, results).await })
            });
        }
        if let Some(shape) = self.copied {
            let on_call = any_store(move |store, parameters| {
                let link = self.clone();
                Box::pin(async move { link.call_copied(store, parameters).await })
            });
            return shape.define(instance, &name, Arc::new(on_call));
        }
        instance.func_new_async(&name, move |store, _, arguments, results| {
            let link = self.clone();
            Box::new(async move { link.call(store, arguments, results).await })
        })
    }

    /// For a function that is not async: nothing else runs in the caller meanwhile.
    async fn call(
        &self,
        mut store: StoreContextMut<'_, GuestState>,
        arguments: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let meter = store.data().meter().clone();
        let called = self.prepare(store.as_context_mut(), arguments)?;
        let answered = self.answer(meter, called).await;
        self.settle(store, answered, results)
    }

    /// The same with values that cross as messages.
    async fn call_copied(
        &self,
        mut store: StoreContextMut<'_, GuestState>,
        parameters: Message,
    ) -> wasmtime::Result<Message> {
        let meter = store.data().meter().clone();
        let origins = &self.signature.taken;
        let parameters = Parcel::of_caller(store.as_context_mut(), parameters, origins)?;
        let called = self.invocation(store.as_context_mut(), Cargo::Message(parameters))?;
        let error = match self.answer(meter, called).await {
            Ok(Cargo::Message(results)) => return results.into_caller(store),
            Ok(Cargo::Values(_)) => return Err(format_err!("the results are no message")),
            Err(error) => error,
        };
        let told = self.mercy.value(&error);
        let told = told.and_then(|told| Message::of(&[told], &self.results));
        told.ok_or_else(|| error.into())
    }

    /// For an async function: the caller goes on meanwhile.
    async fn call_beside(
        &self,
        accessor: &Accessor<GuestState>,
        arguments: &[Val],
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        let (meter, called) = accessor.with(|mut access| {
            let store = access.as_context_mut();
            let meter = store.data().meter().clone();
            self.prepare(store, arguments).map(|called| (meter, called))
        })?;
        let answered = self.answer(meter, called).await;
        accessor.with(|mut access| self.settle(access.as_context_mut(), answered, results))
    }

    /// Takes the arguments out of the caller.
    fn prepare(
        &self,
        mut store: StoreContextMut<'_, GuestState>,
        arguments: &[Val],
    ) -> wasmtime::Result<Result<Invocation, CallCause>> {
        let arguments = Values::of_caller(
            store.as_context_mut(),
            arguments.to_vec(),
            &self.signature.parameters,
        )?;
        self.invocation(store, Cargo::Values(arguments))
    }

    async fn answer(
        &self,
        meter: Arc<Meter>,
        called: Result<Invocation, CallCause>,
    ) -> Result<Cargo, CallError> {
        match called {
            Ok(invocation) => {
                let call = pin!(self.policy.call(invocation));
                Apart { meter, call }.await
            }
            Err(cause) => Err(self.policy.callee().call_error(&self.function, cause)),
        }
    }

    /// Puts the results into the caller, or what it is told instead.
    fn settle(
        &self,
        store: StoreContextMut<'_, GuestState>,
        answered: Result<Cargo, CallError>,
        results: &mut [Val],
    ) -> wasmtime::Result<()> {
        match answered {
            Ok(Cargo::Message(_)) => Err(format_err!("the results are a message")),
            Ok(Cargo::Values(answered)) => {
                let answered = answered.into_caller(store, &self.signature.results)?;
                for (result, answered) in results.iter_mut().zip(answered) {
                    *result = answered;
                }
                Ok(())
            }
            Err(error) => match (self.mercy.value(&error), results) {
                (Some(told), [result]) => {
                    *result = told;
                    Ok(())
                }
                _ => Err(error.into()),
            },
        }
    }

    fn invocation(
        &self,
        mut store: StoreContextMut<'_, GuestState>,
        arguments: Cargo,
    ) -> wasmtime::Result<Result<Invocation, CallCause>> {
        let errand = tasks::errand(store.as_context_mut())?;
        let state = store.data_mut();
        let wanted = match arguments.instance() {
            Whose::One(lease) => Wanted::Only(lease.clone()),
            Whose::Several => return Ok(Err(CallCause::TwoInstances)),
            Whose::Any => match state.holdings().lease_on(self.policy.callee().name()) {
                Some(lease) => Wanted::Rather(lease),
                None => Wanted::Any,
            },
        };
        Ok(Ok(Invocation {
            caller: self.caller.clone(),
            function: self.function.clone(),
            errand,
            arguments,
            signature: self.signature.clone(),
            wanted,
            mutual: self.mutual,
            presence: self
                .signature
                .has_pipes()
                .then(|| state.holdings().presence()),
            spent: Spent::default(),
            repeatable: self.repeatable.clone(),
        }))
    }
}

/// Says of a closure that it takes a store of any lifetime, which the compiler does not infer.
fn any_store<F>(on_call: F) -> F
where
    F: for<'a> Fn(StoreContextMut<'a, GuestState>, Message) -> Calling<'a>,
{
    on_call
}

/// A call that is polled in the midst of its caller's poll, and not charged to it.
struct Apart<'a, F> {
    meter: Arc<Meter>,
    call: Pin<&'a mut F>,
}

impl<F: Future> Future for Apart<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Apart { meter, call } = &mut *self;
        meter.pause(|| call.as_mut().poll(cx))
    }
}
