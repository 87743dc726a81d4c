//! How many core values a function's parameters and results are, and what is made for each number:
//! an import to be called by one guest, a handle to call the other's export by.

use std::pin::Pin;
use std::sync::Arc;

use wasmtime::component::types::{ComponentFunc, Type};
use wasmtime::component::{Func, LinkerInstance, TypedFunc};
use wasmtime::{Result, Store, StoreContextMut, format_err};

use super::Message;
use super::abi::{Flat, PARAMETERS, RESULTS};
use super::types::FLAGS;

/// A call in progress.
pub(crate) type Calling<'a> = Pin<Box<dyn Future<Output = Result<Message>> + Send + 'a>>;

/// What is done when a guest calls: it is given the parameters, and returns the results.
pub(crate) type OnCall<T> =
    Arc<dyn for<'a> Fn(StoreContextMut<'a, T>, Message) -> Calling<'a> + Send + Sync>;

/// An instance's export that is called with messages.
pub(crate) trait Bound<T: Send + 'static>: Send + Sync {
    /// Calls it.
    fn call<'a>(&'a self, store: &'a mut Store<T>, parameters: Message) -> Calling<'a>;
}

/// The core values of a function whose values can cross as messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    parameters: usize,
    results: usize,
}

/// Writes out what is done for a shape, once for each number of core values that there can be.
macro_rules! for_shape {
    ($shape:expr, $P:ident, $R:ident => $body:expr) => {
        for_shape!(@parameters $shape, $P, $R => $body;
            0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16)
    };
    (@parameters $shape:expr, $P:ident, $R:ident => $body:expr; $($number:literal)*) => {
        match ($shape.parameters, $shape.results) {
            $(
                ($number, 0) => {
                    const $P: usize = $number;
                    const $R: usize = 0;
                    $body
                }
                ($number, _) => {
                    const $P: usize = $number;
                    const $R: usize = 1;
                    $body
                }
            )*
            // `Shape::of` makes no such shape: more are passed in memory, as one.
            (count, _) => Err(format_err!("{count} core values are more than a call passes")),
        }
    };
}

impl Shape {
    /// The shape of a function; `None` if its values cannot cross as messages.
    ///
    /// The function on the other side must have the same type. None whose type is async has a shape:
    /// its results are passed in one of two ways, and nothing that is public says in which.
    pub(crate) fn of(function: &ComponentFunc) -> Option<Shape> {
        if function.async_() {
            return None;
        }
        let parameters = sum(function.params().map(|(_, ty)| ty))?;
        let results = sum(function.results())?;
        let passed = |count: usize, most| if count <= most { count } else { 1 };
        Some(Shape {
            parameters: passed(parameters, PARAMETERS),
            results: passed(results, RESULTS),
        })
    }

    /// Defines a function for guests to import.
    ///
    /// # Errors
    /// If the linker has one of that name.
    pub(crate) fn define<T: Send + 'static>(
        self,
        linker: &mut LinkerInstance<'_, T>,
        name: &str,
        on_call: OnCall<T>,
    ) -> Result<()> {
        for_shape!(self, P, R => define::<T, P, R>(linker, name, on_call))
    }

    /// A handle to an export.
    ///
    /// # Errors
    /// If it is of another shape.
    pub(crate) fn bind<T: Send + 'static>(
        self,
        store: &mut Store<T>,
        export: &Func,
    ) -> Result<Box<dyn Bound<T>>> {
        for_shape!(self, P, R => bind::<T, P, R>(store, export))
    }
}

fn define<T: Send + 'static, const P: usize, const R: usize>(
    linker: &mut LinkerInstance<'_, T>,
    name: &str,
    on_call: OnCall<T>,
) -> Result<()> {
    linker.func_wrap_async(
        name,
        move |store: StoreContextMut<'_, T>, Flat(parameters): Flat<P, PARAMETERS>| {
            let calling = on_call(store, parameters);
            Box::new(async move { calling.await.map(Flat::<R, RESULTS>) })
        },
    )
}

fn bind<T: Send + 'static, const P: usize, const R: usize>(
    store: &mut Store<T>,
    export: &Func,
) -> Result<Box<dyn Bound<T>>> {
    let typed = export.typed::<Flat<P, PARAMETERS>, Flat<R, RESULTS>>(store)?;
    Ok(Box::new(typed))
}

impl<T: Send + 'static, const P: usize, const R: usize> Bound<T>
    for TypedFunc<Flat<P, PARAMETERS>, Flat<R, RESULTS>>
{
    fn call<'a>(&'a self, store: &'a mut Store<T>, parameters: Message) -> Calling<'a> {
        Box::pin(async move {
            let Flat(results) = self.call_async(store, Flat(parameters)).await?;
            Ok(results)
        })
    }
}

/// Whether values of this type are plain data that can cross as messages.
pub(crate) fn is_plain(ty: &Type) -> bool {
    core_values(ty).is_some() && !has_handles(ty)
}

/// Of a type that can cross as a message.
fn has_handles(ty: &Type) -> bool {
    let within = |ty: Option<Type>| ty.is_some_and(|ty| has_handles(&ty));
    match ty {
        Type::Own(_) | Type::Borrow(_) => true,
        Type::List(list) => has_handles(&list.ty()),
        Type::Record(record) => record.fields().any(|field| has_handles(&field.ty)),
        Type::Tuple(tuple) => tuple.types().any(|ty| has_handles(&ty)),
        Type::Variant(variant) => variant.cases().any(|case| within(case.ty)),
        Type::Option(option) => has_handles(&option.ty()),
        Type::Result(result) => within(result.ok()) || within(result.err()),
        _ => false,
    }
}

/// The core values of a value; `None` if it cannot cross as a message.
fn core_values(ty: &Type) -> Option<usize> {
    match ty {
        Type::Bool
        | Type::S8
        | Type::U8
        | Type::S16
        | Type::U16
        | Type::S32
        | Type::U32
        | Type::S64
        | Type::U64
        | Type::Float32
        | Type::Float64
        | Type::Char
        | Type::Own(_)
        | Type::Borrow(_)
        | Type::Enum(_) => Some(1),
        Type::Flags(flags) => (flags.names().count() <= FLAGS).then_some(1),
        Type::String => Some(2),
        Type::List(list) => core_values(&list.ty()).map(|_| 2),
        Type::Record(record) => sum(record.fields().map(|field| field.ty)),
        Type::Tuple(tuple) => sum(tuple.types()),
        Type::Variant(variant) => widest(variant.cases().map(|case| case.ty)),
        Type::Option(option) => widest([None, Some(option.ty())]),
        Type::Result(result) => widest([result.ok(), result.err()]),
        Type::FixedLengthList(_)
        | Type::Map(_)
        | Type::Future(_)
        | Type::Stream(_)
        | Type::ErrorContext => None,
    }
}

fn sum(types: impl IntoIterator<Item = Type>) -> Option<usize> {
    let mut types = types.into_iter();
    types.try_fold(0_usize, |sum, ty| {
        Some(sum.saturating_add(core_values(&ty)?))
    })
}

/// Of a variant with these payloads: its discriminant, and its widest payload.
fn widest(payloads: impl IntoIterator<Item = Option<Type>>) -> Option<usize> {
    let mut payloads = payloads.into_iter();
    let widest = payloads.try_fold(0, |widest: usize, payload| {
        let count = payload.map_or(Some(0), |ty| core_values(&ty))?;
        Some(widest.max(count))
    });
    widest.map(|count| count.saturating_add(1))
}
