//! What holds of values whatever a guest passes, returns, or allots memory for them by: for the fuzz
//! target `copier`. What the copier makes of it is held against what wasmtime's `Val` does.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use wasmtime::component::{Component, Instance, Linker, Type, Val};
use wasmtime::{Engine, Result, Store, StoreContextMut};

use super::sample::{ENCODINGS, Hostile, Relay, SIMPLE, Ty};
use super::shape::OnCall;
use super::{Message, Shape};
use crate::engine::{self, Allocation, Kind};

/// What a store may move between guest and host in a call.
const FUEL: usize = 256 << 10;

/// Lists of parameters that are tried: it takes long to compile guests for each.
const LISTS: u16 = 512;

/// The first lists, as [`Bytes`] reads them; the others are drawn. An engine and two encodings, how many
/// more parameters there are than one, their types.
const WRITTEN: [&[u8]; 5] = [
    // A list of numbers, and a string.
    &[0, 1, 13, 6, 12],
    // Records of a string, a number and perhaps another.
    &[15, 0, 13, 16, 2, 12, 6, 14, 10],
    // Variants and flags.
    &[
        0, 2, 18, 3, 1, 8, 0, 1, 13, 2, 1, 12, 15, 1, 11, 1, 19, 2, 20, 8,
    ],
    // So many parameters that they are passed in memory.
    &[
        0, 19, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 12,
    ],
    // Lists of lists, which can lie upon each other.
    &[1, 0, 13, 13, 13, 2],
];

/// Types within types, and types in all.
const DEPTH: usize = 5;
const TYPES: usize = 40;

/// The first two bytes of the input are the number of a list of parameters, the rest is the memory of
/// the guest that breaks the rules.
///
/// # Panics
/// If a rule of the copier's does not hold.
pub fn check(input: &[u8]) {
    thread_local! {
        static KNOWN: RefCell<HashMap<u16, Rc<Guests>>> = RefCell::default();
        static RUNTIME: tokio::runtime::Runtime = match tokio::runtime::Builder::new_current_thread().build() {
            Ok(runtime) => runtime,
            Err(error) => panic!("{error}"),
        };
    }
    let [low, high, memory @ ..] = input else {
        return;
    };
    let number = u16::from_le_bytes([*low, *high]) % LISTS;
    let guests = KNOWN.with_borrow_mut(|known| {
        let made = known.entry(number);
        made.or_insert_with(|| Rc::new(Guests::of(number))).clone()
    });
    let memory = &memory[..memory.len().min(Hostile::MEMORY)];
    let checked = RUNTIME.with(|runtime| runtime.block_on(guests.checked(memory)));
    if let Err(error) = checked {
        panic!("{error:?}: list {number}");
    }
}

/// What a list of parameters is made of.
struct Bytes<I> {
    rest: I,
    /// How many types there may still be.
    types: usize,
}

impl<I: Iterator<Item = u8>> Bytes<I> {
    fn byte(&mut self) -> u8 {
        self.rest.next().unwrap_or(0)
    }

    fn ty(&mut self, depth: usize) -> Ty {
        let byte = usize::from(self.byte());
        self.types = self.types.saturating_sub(1);
        if depth == 0 || self.types == 0 {
            return Ty::Simple(SIMPLE[byte % SIMPLE.len()]);
        }
        match byte % 21 {
            13 => Ty::List(Box::new(self.ty(depth - 1))),
            14 => Ty::Option(Box::new(self.ty(depth - 1))),
            15 => Ty::Result(
                self.optional(depth).map(Box::new),
                self.optional(depth).map(Box::new),
            ),
            16 => Ty::Record(self.several(|bytes| bytes.ty(depth - 1))),
            17 => Ty::Tuple(self.several(|bytes| bytes.ty(depth - 1))),
            18 => Ty::Variant(self.several(|bytes| bytes.optional(depth))),
            19 => Ty::Enum(match self.byte() {
                0xff => 300,
                count => 1 + usize::from(count),
            }),
            20 => Ty::Flags(1 + usize::from(self.byte()) % 32),
            simple => Ty::Simple(SIMPLE[simple]),
        }
    }

    fn optional(&mut self, depth: usize) -> Option<Ty> {
        (self.byte() % 2 == 1).then(|| self.ty(depth - 1))
    }

    fn several<T>(&mut self, mut one: impl FnMut(&mut Self) -> T) -> Vec<T> {
        let count = 1 + self.byte() % 5;
        (0..count).map(|_| one(self)).collect()
    }

    fn guests(&mut self) -> Guests {
        let how = usize::from(self.byte());
        let kind = Kind::ALL[how % 2];
        let encodings = [how / 2 % 3, how / 6 % 3].map(|number| ENCODINGS[number]);
        let count = 1 + self.byte() % 20;
        let parameters: Vec<_> = (0..count).map(|_| self.ty(DEPTH)).collect();
        Guests::new(kind, encodings, &parameters)
    }
}

/// Compiled for one list of parameters.
struct Guests {
    engine: Engine,
    hostile: Component,
    honest: Component,
    /// Of a function that takes the parameters, and of one that returns the first.
    shapes: [Shape; 2],
    types: Vec<Type>,
}

/// What went through the host.
#[derive(Default)]
struct Data {
    message: Option<Message>,
    values: Option<Vec<Val>>,
}

/// How values cross.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route {
    Copier,
    Val,
}

impl Guests {
    fn of(list: u16) -> Guests {
        let types = TYPES;
        match WRITTEN.get(usize::from(list)) {
            Some(written) => {
                let rest = written.iter().copied();
                Bytes { rest, types }.guests()
            }
            None => {
                let mut random = fastrand::Rng::with_seed(list.into());
                let rest = std::iter::repeat_with(move || random.u8(..));
                Bytes { rest, types }.guests()
            }
        }
    }

    fn new(kind: Kind, encodings: [&str; 2], parameters: &[Ty]) -> Guests {
        let made = || {
            let engine = Engine::new(&engine::config(kind, Allocation::OnDemand))?;
            let component = |wat: &str| Component::new(&engine, wat::parse_str(wat)?);
            let hostile = component(
                &Hostile {
                    parameters,
                    encoding: encodings[0],
                }
                .wat(),
            )?;
            let honest = Relay {
                parameters,
                encoding: encodings[1],
                instead: None,
                instead_get: None,
            };
            let honest = component(&honest.wat())?;
            let function = |name| {
                use wasmtime::component::types::ComponentItem;
                let ty = honest.component_type();
                match ty.get_export(&engine, name).map(|export| export.ty) {
                    Some(ComponentItem::ComponentFunc(function)) => Ok(function),
                    other => Err(wasmtime::format_err!("{name} is {other:?}")),
                }
            };
            let shape = |name| {
                let shape = Shape::of(&function(name)?);
                shape.ok_or_else(|| wasmtime::format_err!("{name} has no shape"))
            };
            let shapes = [shape("in")?, shape("get")?];
            let types = function("in")?.params().map(|(_, ty)| ty).collect();
            Ok::<_, wasmtime::Error>(Guests {
                shapes,
                types,
                hostile,
                honest,
                engine,
            })
        };
        match made() {
            Ok(guests) => guests,
            Err(error) => panic!("{error:?}: {parameters:?}"),
        }
    }

    async fn checked(&self, memory: &[u8]) -> Result<()> {
        let message = self
            .passed(memory, Route::Copier)
            .await?
            .map(|data| data.message);
        let values = self
            .passed(memory, Route::Val)
            .await?
            .map(|data| data.values);
        if let Some((message, values)) = agree(message, values) {
            let (message, values) = (message.unwrap_or_default(), values.unwrap_or_default());
            self.same(&message, &values)?;
            self.lowered(&message, &values, memory).await?;
        }
        let message = self
            .given(memory, Route::Copier)
            .await?
            .map(|data| data.message);
        let values = self
            .given(memory, Route::Val)
            .await?
            .map(|data| data.values);
        if let Some((message, values)) = agree(message, values) {
            self.same(&message.unwrap_or_default(), &values.unwrap_or_default())?;
        }
        Ok(())
    }

    /// The message is that of the values.
    fn same(&self, message: &Message, values: &[Val]) -> Result<()> {
        // Latin 1 grows to twice its length in UTF-8.
        assert!(message.len() <= 2 * FUEL as u64, "{} bytes", message.len());
        let made = Message::of(values, &self.types[..values.len()]);
        let made = made.ok_or_else(|| wasmtime::format_err!("no message of {values:?}"))?;
        assert_eq!(message.bytes, made.bytes, "{values:?}");
        Ok(())
    }

    /// What the hostile guest passes.
    async fn passed(&self, memory: &[u8], route: Route) -> Result<Result<Data>> {
        let (mut store, instance) = self.hostile(memory, route).await?;
        let go = instance.get_typed_func::<(), ()>(&mut store, "go")?;
        let done = go.call_async(&mut store, ()).await;
        Ok(done.map(|()| store.into_data()))
    }

    /// What it returns.
    async fn given(&self, memory: &[u8], route: Route) -> Result<Result<Data>> {
        let (mut store, instance) = self.hostile(memory, route).await?;
        let done = self.got(&mut store, &instance, "give", route).await?;
        Ok(done.map(|()| store.into_data()))
    }

    /// Keeps what a function without parameters returns.
    async fn got(
        &self,
        store: &mut Store<Data>,
        instance: &Instance,
        name: &str,
        route: Route,
    ) -> Result<Result<()>> {
        let function = instance.get_func(&mut *store, name);
        let function = function.ok_or_else(|| wasmtime::format_err!("no {name}"))?;
        Ok(match route {
            Route::Copier => {
                let bound = self.shapes[1].bind(store, &function)?;
                let got = bound.call(store, Message::default()).await;
                got.map(|message| store.data_mut().message = Some(message))
            }
            Route::Val => {
                let mut results = [Val::Bool(false)];
                let got = function.call_async(&mut *store, &[], &mut results).await;
                got.map(|()| store.data_mut().values = Some(results.to_vec()))
            }
        })
    }

    /// Puts them into guests.
    async fn lowered(&self, message: &Message, values: &[Val], memory: &[u8]) -> Result<()> {
        let (mut store, instance) = self.honest(message, values).await?;
        let given = self.give(&mut store, &instance, "in", Ok(message)).await?;
        given?;
        let seen = store.data_mut().values.take().unwrap_or_default();
        assert_eq!(format!("{seen:?}"), format!("{values:?}"));
        for route in [Route::Copier, Route::Val] {
            self.got(&mut store, &instance, "get", route).await??;
        }
        let Data {
            message: first,
            values: seen,
        } = store.into_data();
        let seen = seen.unwrap_or_default();
        assert_eq!(format!("{seen:?}"), format!("{:?}", &values[..1]));
        self.same(&first.unwrap_or_default(), &seen)?;

        // How it ends depends on how memory is allotted, but not on the route.
        let mut taken = Vec::new();
        for (route, arguments) in [(Route::Copier, Ok(message)), (Route::Val, Err(values))] {
            let (mut store, instance) = self.hostile(memory, route).await?;
            taken.push(self.give(&mut store, &instance, "take", arguments).await?);
        }
        let by_val = taken.pop().unwrap_or(Ok(()));
        agree(taken.pop().unwrap_or(Ok(())), by_val);
        Ok(())
    }

    /// Calls a function without results.
    async fn give(
        &self,
        store: &mut Store<Data>,
        instance: &Instance,
        name: &str,
        arguments: std::result::Result<&Message, &[Val]>,
    ) -> Result<Result<()>> {
        let function = instance.get_func(&mut *store, name);
        let function = function.ok_or_else(|| wasmtime::format_err!("no {name}"))?;
        Ok(match arguments {
            Ok(message) => {
                let bound = self.shapes[0].bind(store, &function)?;
                bound.call(store, message.clone()).await.map(|_| ())
            }
            Err(values) => function.call_async(store, values, &mut []).await,
        })
    }

    /// A guest with that memory, what it passes being taken by the route.
    async fn hostile(&self, memory: &[u8], route: Route) -> Result<(Store<Data>, Instance)> {
        let mut linker = Linker::<Data>::new(&self.engine);
        match route {
            Route::Copier => {
                let keep: OnCall<Data> =
                    Arc::new(|mut store: StoreContextMut<'_, Data>, message| {
                        store.data_mut().message = Some(message);
                        Box::pin(async { Ok(Message::default()) })
                    });
                self.shapes[0].define(&mut linker.root(), "out", keep)?;
            }
            Route::Val => keep_values(&mut linker)?,
        }
        let mut store = self.store();
        let instance = linker.instantiate_async(&mut store, &self.hostile).await?;
        let poke = instance.get_typed_func::<(&[u8],), ()>(&mut store, "poke")?;
        poke.call_async(&mut store, (memory,)).await?;
        Ok((store, instance))
    }

    /// A guest that passes what it gets to the host, by `Val`, and returns what it gets of the copier.
    async fn honest(&self, message: &Message, values: &[Val]) -> Result<(Store<Data>, Instance)> {
        let mut linker = Linker::<Data>::new(&self.engine);
        keep_values(&mut linker)?;
        let first = match values.len() {
            1 => Some(message.clone()),
            _ => Message::of(&values[..1], &self.types[..1]),
        };
        let source: OnCall<Data> = Arc::new(move |_: StoreContextMut<'_, Data>, _| {
            let first = first.clone();
            Box::pin(async move { first.ok_or_else(|| wasmtime::format_err!("no message")) })
        });
        self.shapes[1].define(&mut linker.root(), "source", source)?;
        let mut store = self.store();
        let instance = linker.instantiate_async(&mut store, &self.honest).await?;
        Ok((store, instance))
    }

    fn store(&self) -> Store<Data> {
        let mut store = Store::new(&self.engine, Data::default());
        store.set_epoch_deadline(u64::MAX / 2);
        store.set_hostcall_fuel(FUEL);
        store
    }
}

fn keep_values(linker: &mut Linker<Data>) -> Result<()> {
    linker.root().func_new("out", |mut store, _, values, _| {
        store.data_mut().values = Some(values.to_vec());
        Ok(())
    })
}

/// Both accept or both refuse: what they made of it. The two weigh values differently, so that one may
/// run out of fuel where the other does not.
fn agree<A, B>(copier: Result<A>, val: Result<B>) -> Option<(A, B)> {
    match (copier, val) {
        (Ok(copier), Ok(val)) => Some((copier, val)),
        (Err(_), Err(_)) => None,
        (Err(error), Ok(_)) | (Ok(_), Err(error)) => {
            let error = format!("{error:#}");
            assert!(error.contains("fuel"), "one of the two refuses: {error}");
            None
        }
    }
}
