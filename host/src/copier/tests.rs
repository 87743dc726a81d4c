//! The copier beside `Val`: what a guest passes by one, another gets, as the other tells.

use std::convert::Infallible;
use std::sync::Arc;

use proptest::prelude::*;
use tokio::sync::Mutex;
use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{
    Component, Instance, Linker, ResourceAny, ResourceDynamic, ResourceType, Type, Val,
};
use wasmtime::{AsContextMut, Engine, Result, Store, StoreContextMut};

use super::sample::{ENCODINGS, Relay, SIMPLE, Ty};
use super::shape::OnCall;
use super::{Bound, Calling, Message, Shape, fuzzing, is_plain};
use crate::engine::{self, Allocation, Kind};

impl Ty {
    /// Its values.
    fn values(&self) -> BoxedStrategy<Val> {
        let boxed = |ty: &Option<Box<Ty>>| -> BoxedStrategy<Option<Box<Val>>> {
            match ty {
                None => Just(None).boxed(),
                Some(ty) => ty.values().prop_map(|value| Some(Box::new(value))).boxed(),
            }
        };
        match self {
            // Its number, which becomes a handle in a store.
            Ty::Handle => any::<u32>().prop_map(Val::U32).boxed(),
            Ty::Simple("bool") => any::<bool>().prop_map(Val::Bool).boxed(),
            Ty::Simple("s8") => any::<i8>().prop_map(Val::S8).boxed(),
            Ty::Simple("u8") => any::<u8>().prop_map(Val::U8).boxed(),
            Ty::Simple("s16") => any::<i16>().prop_map(Val::S16).boxed(),
            Ty::Simple("u16") => any::<u16>().prop_map(Val::U16).boxed(),
            Ty::Simple("s32") => any::<i32>().prop_map(Val::S32).boxed(),
            Ty::Simple("u32") => any::<u32>().prop_map(Val::U32).boxed(),
            Ty::Simple("s64") => any::<i64>().prop_map(Val::S64).boxed(),
            Ty::Simple("u64") => any::<u64>().prop_map(Val::U64).boxed(),
            Ty::Simple("f32") => any::<f32>().prop_map(Val::Float32).boxed(),
            Ty::Simple("f64") => any::<f64>().prop_map(Val::Float64).boxed(),
            Ty::Simple("char") => any::<char>().prop_map(Val::Char).boxed(),
            Ty::Simple(_) => prop_oneof!["[a-z]{0,20}", "[a-zß-ÿ]{0,20}", any::<String>()]
                .prop_map(Val::String)
                .boxed(),
            Ty::List(element) => prop::collection::vec(element.values(), 0..4)
                .prop_map(Val::List)
                .boxed(),
            Ty::Tuple(types) => all_values(types).prop_map(Val::Tuple).boxed(),
            Ty::Record(types) => all_values(types)
                .prop_map(|values| {
                    let named = |(n, value)| (format!("f{n}"), value);
                    Val::Record(values.into_iter().enumerate().map(named).collect())
                })
                .boxed(),
            Ty::Variant(cases) => {
                let cases: Vec<_> = cases
                    .iter()
                    .enumerate()
                    .map(|(n, ty)| {
                        boxed(&ty.clone().map(Box::new))
                            .prop_map(move |payload| Val::Variant(format!("c{n}"), payload))
                    })
                    .collect();
                prop::strategy::Union::new(cases).boxed()
            }
            Ty::Enum(count) => (0..*count).prop_map(|n| Val::Enum(format!("n{n}"))).boxed(),
            Ty::Flags(count) => prop::collection::vec(any::<bool>(), *count)
                .prop_map(|set| {
                    let set = set.into_iter().enumerate().filter(|(_, set)| *set);
                    Val::Flags(set.map(|(n, _)| format!("n{n}")).collect())
                })
                .boxed(),
            Ty::Option(some) => prop_oneof![
                Just(Val::Option(None)),
                some.values()
                    .prop_map(|value| Val::Option(Some(Box::new(value)))),
            ]
            .boxed(),
            Ty::Result(ok, err) => prop_oneof![
                boxed(ok).prop_map(|ok| Val::Result(Ok(ok))),
                boxed(err).prop_map(|err| Val::Result(Err(err))),
            ]
            .boxed(),
        }
    }
}

fn all_values(types: &[Ty]) -> BoxedStrategy<Vec<Val>> {
    types.iter().map(Ty::values).collect::<Vec<_>>().boxed()
}

/// The resource's type, in all stores.
const TAG: u32 = 5;

/// Visits the handles in a value of the type, each with the number of its place. Returns how many places
/// there are; the first one is `leaf`.
fn handles(
    ty: &Ty,
    value: Option<&mut Val>,
    leaf: usize,
    visit: &mut dyn FnMut(usize, &mut Val),
) -> usize {
    let mut next = leaf;
    let mut each = |ty: &Ty, value: Option<&mut Val>| next += handles(ty, value, next, visit);
    match (ty, value) {
        (Ty::Handle, value) => {
            if let Some(value) = value {
                visit(leaf, value);
            }
            return 1;
        }
        (Ty::List(element), Some(Val::List(values))) => {
            for value in values {
                handles(element, Some(value), leaf, visit);
            }
            return handles(element, None, leaf, visit);
        }
        (Ty::List(element), _) => each(element, None),
        (Ty::Option(some), Some(Val::Option(Some(value)))) => each(some, Some(value)),
        (Ty::Option(some), _) => each(some, None),
        (Ty::Record(types), Some(Val::Record(values))) => {
            let mut values = values.iter_mut().map(|(_, value)| value);
            types.iter().for_each(|ty| each(ty, values.next()));
        }
        (Ty::Tuple(types), Some(Val::Tuple(values))) => {
            let mut values = values.iter_mut();
            types.iter().for_each(|ty| each(ty, values.next()));
        }
        (Ty::Record(types) | Ty::Tuple(types), _) => types.iter().for_each(|ty| each(ty, None)),
        (Ty::Variant(cases), value) => {
            let mut payload = match value {
                Some(Val::Variant(name, payload)) => payload.as_deref_mut().map(|it| (name, it)),
                _ => None,
            };
            for (number, ty) in cases.iter().enumerate() {
                let this = payload.take_if(|(name, _)| **name == format!("c{number}"));
                if let Some(ty) = ty {
                    each(ty, this.map(|(_, value)| value));
                }
            }
        }
        (Ty::Result(ok, err), value) => {
            let (of_ok, of_err) = match value {
                Some(Val::Result(Ok(value))) => (value.as_deref_mut(), None),
                Some(Val::Result(Err(value))) => (None, value.as_deref_mut()),
                _ => (None, None),
            };
            if let Some(ok) = ok {
                each(ok, of_ok);
            }
            if let Some(err) = err {
                each(err, of_err);
            }
        }
        (Ty::Simple(_) | Ty::Enum(_) | Ty::Flags(_), _) => {}
    }
    next - leaf
}

/// The numbers of the places that the handles in the values stand in.
fn places(types: &[Ty], values: &[Val]) -> Vec<usize> {
    let (mut places, mut next) = (Vec::new(), 0);
    for (ty, value) in types.iter().zip(values) {
        let mut value = value.clone();
        next += handles(ty, Some(&mut value), next, &mut |place, _| {
            places.push(place)
        });
    }
    places
}

/// The values with their handles in this store.
fn held(mut store: impl AsContextMut, types: &[Ty], values: &[Val]) -> Vec<Val> {
    let mut values = values.to_vec();
    for (ty, value) in types.iter().zip(&mut values) {
        handles(ty, Some(value), 0, &mut |_, value| {
            let Val::U32(number) = *value else {
                panic!("{value:?}")
            };
            *value = Val::Resource(resource(&mut store, number));
        });
    }
    values
}

/// The values with the numbers of their handles.
fn numbered(mut store: impl AsContextMut, types: &[Ty], values: &[Val]) -> Vec<Val> {
    let mut values = values.to_vec();
    for (ty, value) in types.iter().zip(&mut values) {
        handles(ty, Some(value), 0, &mut |_, value| {
            let Val::Resource(any) = *value else {
                panic!("{value:?}")
            };
            *value = Val::U32(number(&mut store, any));
        });
    }
    values
}

fn resource(store: impl AsContextMut, number: u32) -> ResourceAny {
    let resource = ResourceDynamic::new_own(number, TAG);
    resource.try_into_resource_any(store).unwrap()
}

fn number(store: impl AsContextMut, any: ResourceAny) -> u32 {
    any.try_into_resource_dynamic(store).unwrap().rep()
}

/// The message with the numbers of its handles.
fn taken(mut store: impl AsContextMut, message: Message) -> Message<u32> {
    let taken = message.map(|_, any| Ok::<_, Infallible>(number(&mut store, any)));
    taken.unwrap_or_else(|never| match never {})
}

/// The message with its handles in this store.
fn given(mut store: impl AsContextMut, message: Message<u32>) -> Message {
    let given = message.map(|_, number| Ok::<_, Infallible>(resource(&mut store, number)));
    given.unwrap_or_else(|never| match never {})
}

fn types() -> impl Strategy<Value = Ty> {
    let leaf = prop_oneof![
        8 => prop::sample::select(&SIMPLE[..]).prop_map(Ty::Simple),
        2 => Just(Ty::Handle),
        1 => prop_oneof![1..5_usize, Just(300)].prop_map(Ty::Enum),
        1 => (1..=32_usize).prop_map(Ty::Flags),
    ];
    leaf.prop_recursive(4, 24, 6, |inner| {
        let maybe = prop::option::of(inner.clone());
        let maybe_boxed = || prop::option::of(inner.clone().prop_map(Box::new));
        let several = || prop::collection::vec(inner.clone(), 1..6);
        prop_oneof![
            inner.clone().prop_map(|ty| Ty::List(Box::new(ty))),
            inner.clone().prop_map(|ty| Ty::Option(Box::new(ty))),
            several().prop_map(Ty::Record),
            several().prop_map(Ty::Tuple),
            prop::collection::vec(maybe, 1..5).prop_map(Ty::Variant),
            (maybe_boxed(), maybe_boxed()).prop_map(|(ok, err)| Ty::Result(ok, err)),
        ]
    })
}

#[derive(Default)]
struct Data {
    /// What was passed to the host.
    seen: Vec<Val>,
    /// What the host returns.
    answer: Option<Val>,
}

fn engine() -> Engine {
    engine_of(Kind::Serial)
}

fn engine_of(kind: Kind) -> Engine {
    Engine::new(&engine::config(kind, Allocation::OnDemand)).unwrap()
}

fn component(engine: &Engine, wat: &str) -> Component {
    let binary = wat::parse_str(wat).unwrap_or_else(|error| panic!("{error}: {wat}"));
    Component::new(engine, binary).unwrap_or_else(|error| panic!("{error:?}: {wat}"))
}

fn store(engine: &Engine) -> Store<Data> {
    let mut store = Store::new(engine, Data::default());
    store.set_epoch_deadline(u64::MAX / 2);
    store
}

/// The last guest: what it passes on goes to the host, as `Val`s.
struct Last {
    store: Store<Data>,
    given: Box<dyn Bound<Data>>,
    get: Box<dyn Bound<Data>>,
}

fn function(component: &Component, name: &str) -> ComponentFunc {
    let ty = component.component_type();
    match ty.get_export(component.engine(), name).unwrap().ty {
        ComponentItem::ComponentFunc(function) => function,
        other => panic!("{other:?}"),
    }
}

impl Last {
    async fn new(engine: &Engine, wat: &str) -> Result<(Last, [Shape; 2])> {
        let component = component(engine, wat);
        let mut linker = linker(engine)?;
        linker.root().func_new("out", |mut store, _, values, _| {
            store.data_mut().seen = values.to_vec();
            Ok(())
        })?;
        linker.root().func_new("source", |store, _, _, results| {
            results[0] = store.data().answer.clone().unwrap();
            Ok(())
        })?;
        let mut store = store(engine);
        let instance = linker.instantiate_async(&mut store, &component).await?;
        let shapes = ["in", "get"].map(|name| Shape::of(&function(&component, name)).unwrap());
        let mut bind = |name, shape: Shape| {
            let export = instance.get_func(&mut store, name).unwrap();
            shape.bind(&mut store, &export)
        };
        let (given, get) = (bind("in", shapes[0])?, bind("get", shapes[1])?);
        let last = Last { store, given, get };
        Ok((last, shapes))
    }
}

/// Two guests, the first of which calls the second by messages.
struct Pair {
    first: Store<Data>,
    instance: Instance,
    last: Arc<Mutex<Last>>,
    /// The message that was passed last.
    passed: Arc<Mutex<Message<u32>>>,
    /// The types of `in`.
    types: Vec<Type>,
}

impl Pair {
    async fn new(first: &Relay<'_>, last: &Relay<'_>) -> Result<Pair> {
        Pair::of([Kind::Serial; 2], first, last).await
    }

    /// On engines of these kinds.
    async fn of(kinds: [Kind; 2], first: &Relay<'_>, last: &Relay<'_>) -> Result<Pair> {
        let [engine, other] = kinds.map(engine_of);
        let (last, [out, source]) = Last::new(&other, &last.wat()).await?;
        let last = Arc::new(Mutex::new(last));
        let component = component(&engine, &first.wat());
        assert_eq!(Shape::of(&function(&component, "in")), Some(out));
        let mut linker = linker(&engine)?;
        let types = function(&component, "in")
            .params()
            .map(|(_, ty)| ty)
            .collect();
        let passed = Arc::<Mutex<Message<u32>>>::default();
        let (callee, passing) = (last.clone(), passed.clone());
        let on_out = on_call(move |store, parameters| {
            let (callee, passing) = (callee.clone(), passing.clone());
            let parameters = taken(store, parameters);
            Box::pin(async move {
                passing.lock().await.clone_from(&parameters);
                apart(async move {
                    let Last { store, given, .. } = &mut *callee.lock().await;
                    let parameters = self::given(&mut *store, parameters);
                    given.call(store, parameters).await
                })
                .await
            })
        });
        out.define(&mut linker.root(), "out", on_out)?;
        let callee = last.clone();
        let on_source = on_call(move |store, _| {
            let callee = callee.clone();
            Box::pin(async move {
                let results = apart(async move {
                    let Last { store, get, .. } = &mut *callee.lock().await;
                    let results = get.call(store, Message::default()).await?;
                    Ok::<_, wasmtime::Error>(taken(store, results))
                });
                Ok(given(store, results.await?))
            })
        });
        source.define(&mut linker.root(), "source", on_source)?;
        let mut first = store(&engine);
        let instance = linker.instantiate_async(&mut first, &component).await?;
        Ok(Pair {
            first,
            instance,
            last,
            passed,
            types,
        })
    }

    async fn call(&mut self, name: &str, parameters: &[Val], results: &mut [Val]) -> Result<()> {
        let function = self.instance.get_func(&mut self.first, name).unwrap();
        function
            .call_async(&mut self.first, parameters, results)
            .await
    }
}

/// In a task of its own: an event loop must not run within another's.
#[expect(clippy::disallowed_methods, reason = "whoever begins it waits for it")]
async fn apart<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    tokio::spawn(future).await.unwrap()
}

fn on_call<F>(call: F) -> OnCall<Data>
where
    F: for<'a> Fn(StoreContextMut<'a, Data>, Message) -> Calling<'a> + Send + Sync + 'static,
{
    Arc::new(call)
}

/// With the resource.
fn linker(engine: &Engine) -> Result<Linker<Data>> {
    let mut linker = Linker::new(engine);
    let ty = ResourceType::host_dynamic(TAG);
    linker.root().resource("r", ty, |_, _| Ok(()))?;
    Ok(linker)
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap()
        .block_on(future)
}

/// `Val`'s own equality finds no NaN equal to another.
fn same(left: &[Val], right: &[Val]) -> bool {
    format!("{left:?}") == format!("{right:?}")
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]

    #[test]
    fn what_one_guest_passes_or_returns_the_other_gets(
        (types, values, others) in prop::collection::vec(types(), 1..5).prop_flat_map(|types| {
            let (values, others) = (all_values(&types), all_values(&types));
            (Just(types), values, others)
        }),
        encodings in prop::array::uniform2(prop::sample::select(&ENCODINGS[..])),
        kinds in prop::array::uniform2(prop::sample::select(&Kind::ALL[..])),
    ) {
        let relay = |encoding| Relay { encoding, ..relay(&types) };
        run(async {
            let (first, last) = (relay(encodings[0]), relay(encodings[1]));
            let mut pair = Pair::of(kinds, &first, &last).await.unwrap();
            for values in [&values, &others] {
                let arguments = held(&mut pair.first, &types, values);
                pair.call("in", &arguments, &mut []).await.unwrap();
                let passed = pair.passed.lock().await.clone();
                let found: Vec<_> = passed.handles.iter().map(|held| held.leaf).collect();
                assert_eq!(found, places(&types, values), "{values:?}");
                if found.is_empty() {
                    let made = Message::of(values, &pair.types).unwrap();
                    assert_eq!(made.bytes, passed.bytes, "{values:?}");
                    let read = passed.values(&pair.types).unwrap();
                    assert!(same(&read, values), "passed {values:?}, read {read:?}");
                }
                {
                    let Last { store, .. } = &mut *pair.last.lock().await;
                    let seen = std::mem::take(&mut store.data_mut().seen);
                    let seen = numbered(&mut *store, &types, &seen);
                    assert!(same(&seen, values), "passed {values:?}, seen {seen:?}");
                    let answer = held(&mut *store, &types, &values[..1]).pop();
                    store.data_mut().answer = answer;
                }
                let mut results = [Val::Bool(false)];
                pair.call("get", &[], &mut results).await.unwrap();
                let results = numbered(&mut pair.first, &types, &results);
                assert!(same(&results, &values[..1]), "returned {:?}, got {results:?}", values[0]);
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]

    #[test]
    fn whatever_is_in_a_guests_memory_both_routes_make_the_same_of_it(
        list in any::<[u8; 2]>(),
        memory in prop::collection::vec(prop_oneof![3 => Just(0), 2 => 0..32_u8, 1 => any::<u8>()], 0..200),
    ) {
        fuzzing::check(&[&list, &memory[..]].concat());
    }
}

fn simple(name: &'static str) -> Ty {
    Ty::Simple(name)
}

fn list_of(element: Ty) -> Ty {
    Ty::List(Box::new(element))
}

fn relay(parameters: &[Ty]) -> Relay<'_> {
    Relay {
        parameters,
        encoding: "utf8",
        instead: None,
        instead_get: None,
    }
}

#[test]
fn what_breaks_the_rules_ends_the_guest_that_passes_it_and_not_the_other() {
    let strings = "i32.const 64 i32.const 0x7fffffff i32.store i32.const 68 i32.const 4 i32.store";
    let rows: Vec<(Vec<Ty>, String, &str)> = vec![
        (
            vec![simple("string")],
            "i32.const 0x7fffffff i32.const 1".into(),
            "out of bounds",
        ),
        (
            vec![simple("string")],
            "i32.const 0 i32.const 4194305".into(),
            "out of bounds",
        ),
        (
            vec![simple("string")],
            "i32.const 0 i32.const -1".into(),
            "fuel",
        ),
        (
            vec![simple("string")],
            "i32.const 64 i32.const 0xff i32.store8 i32.const 64 i32.const 1".into(),
            "utf-8",
        ),
        (vec![simple("char")], "i32.const 0xd800".into(), "scalar"),
        (vec![simple("char")], "i32.const 0x110000".into(), "scalar"),
        (
            vec![list_of(simple("u32"))],
            "i32.const 2 i32.const 1".into(),
            "aligned",
        ),
        (
            vec![list_of(simple("u32"))],
            "i32.const 2 i32.const 0".into(),
            "aligned",
        ),
        (
            vec![list_of(simple("u64"))],
            "i32.const 0 i32.const 0x20000001".into(),
            "fuel",
        ),
        (
            vec![list_of(simple("u64"))],
            "i32.const 0 i32.const 0x80001".into(),
            "out of bounds",
        ),
        (
            vec![list_of(simple("string"))],
            format!("{strings} i32.const 64 i32.const 1"),
            "out of bounds",
        ),
        (
            vec![list_of(Ty::Tuple(vec![simple("bool")]))],
            "i32.const 0 i32.const -1".into(),
            "fuel",
        ),
        (vec![Ty::Enum(3)], "i32.const 3".into(), "no case 3"),
        (
            vec![Ty::Option(Box::new(simple("u8")))],
            "i32.const 2 i32.const 0".into(),
            "no case 2",
        ),
        (vec![Ty::Handle], "i32.const 77".into(), "handle index"),
        (
            // The same twice.
            vec![Ty::Handle, list_of(Ty::Handle)],
            "i32.const 64 local.get 0 i32.store local.get 0 i32.const 64 i32.const 1".into(),
            "handle index",
        ),
        (vec![simple("u32"); 17], "i32.const 2".into(), "aligned"),
        (
            vec![simple("u32"); 17],
            "i32.const 4194300".into(),
            "out of bounds",
        ),
    ];
    for (types, body, word) in rows {
        let first = Relay {
            instead: Some(&body),
            ..relay(&types)
        };
        run(async {
            let mut pair = Pair::new(&first, &relay(&types)).await.unwrap();
            let harmless: Vec<_> = types.iter().map(harmless).collect();
            let arguments = held(&mut pair.first, &types, &harmless);
            let error = pair.call("in", &arguments, &mut []).await.unwrap_err();
            let error = format!("{error:#}").to_lowercase();
            assert!(error.contains(word), "{types:?}: {body}: {error}");
            let last = &mut *pair.last.lock().await;
            assert!(last.store.data().seen.is_empty(), "{body}");
            let answer = held(&mut last.store, &types, &harmless[..1]).pop();
            last.store.data_mut().answer = answer;
            last.get
                .call(&mut last.store, Message::default())
                .await
                .unwrap();
        });
    }
}

#[test]
fn what_breaks_the_rules_is_not_returned() {
    let rows = [
        (simple("string"), "i32.const 0x7ffffffc", "out of bounds"),
        (simple("string"), "i32.const 2", "aligned"),
        (
            simple("string"),
            "i32.const 64 i32.const -1 i32.store i32.const 68 i32.const 1 i32.store i32.const 64",
            "out of bounds",
        ),
        (Ty::Enum(2), "i32.const 2", "no case 2"),
    ];
    for (ty, body, word) in rows {
        let types = [ty];
        let last = Relay {
            instead_get: Some(body),
            ..relay(&types)
        };
        run(async {
            let mut pair = Pair::new(&relay(&types), &last).await.unwrap();
            let mut results = [Val::Bool(false)];
            let error = pair.call("get", &[], &mut results).await.unwrap_err();
            let error = format!("{error:#}").to_lowercase();
            assert!(error.contains(word), "{body}: {error}");
        });
    }
}

/// Some value of the type.
fn harmless(ty: &Ty) -> Val {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    ty.values().new_tree(&mut runner).unwrap().current()
}

#[test]
fn bits_that_mean_nothing_do_not_cross() {
    let types = [Ty::Flags(3), simple("bool")];
    let first = Relay {
        instead: Some("i32.const 0xfd i32.const 0x100"),
        ..relay(&types)
    };
    run(async {
        let mut pair = Pair::new(&first, &relay(&types)).await.unwrap();
        let harmless: Vec<_> = types.iter().map(harmless).collect();
        pair.call("in", &harmless, &mut []).await.unwrap();
        let seen = std::mem::take(&mut pair.last.lock().await.store.data_mut().seen);
        let flags = Val::Flags(vec!["n0".to_owned(), "n2".to_owned()]);
        assert!(same(&seen, &[flags, Val::Bool(true)]), "{seen:?}");
    });
}

/// Bytes of a guest's memory that belong to no value stay with it.
#[test]
fn padding_and_unused_payloads_do_not_cross() {
    let padded = Ty::Record(vec![simple("u8"), simple("u32")]);
    let unused = Ty::Variant(vec![None, Some(simple("u64"))]);
    let types = [list_of(padded), list_of(unused)];
    // Memory is full of 0xAA where the lists are.
    let first = Relay {
        instead: Some(
            "i32.const 64 i32.const 0xAA i32.const 64 memory.fill
             i32.const 96 i32.const 0 i32.store8
             i32.const 64 i32.const 2 i32.const 96 i32.const 1",
        ),
        ..relay(&types)
    };
    run(async {
        let engine = engine();
        let (last, [out, source]) = Last::new(&engine, &relay(&types).wat()).await.unwrap();
        drop(last);
        let component = component(&engine, &first.wat());
        let crossed = Arc::new(std::sync::Mutex::new(Vec::new()));
        let mut linker = Linker::<Data>::new(&engine);
        let keep = crossed.clone();
        let on_out = on_call(move |_, parameters| {
            *keep.lock().unwrap() = parameters.bytes;
            Box::pin(async { Ok(Message::default()) })
        });
        out.define(&mut linker.root(), "out", on_out).unwrap();
        let on_source = on_call(|_, _| Box::pin(async { Ok(Message::default()) }));
        source
            .define(&mut linker.root(), "source", on_source)
            .unwrap();
        let mut store = store(&engine);
        let instance = linker
            .instantiate_async(&mut store, &component)
            .await
            .unwrap();
        let function = instance.get_func(&mut store, "in").unwrap();
        let harmless: Vec<_> = types.iter().map(harmless).collect();
        function
            .call_async(&mut store, &harmless, &mut [])
            .await
            .unwrap();
        let padded = [0xAA, 0, 0, 0, 0xAA, 0xAA, 0xAA, 0xAA];
        let mut expected = vec![0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
        expected.extend(padded.repeat(2));
        expected.extend([0; 16]);
        assert_eq!(*crossed.lock().unwrap(), expected);
    });
}

#[test]
fn what_is_async_or_holds_streams_has_no_shape() {
    let engine = engine_of(Kind::Concurrent);
    let wat = r#"(component
        (import "r" (type $r (sub resource)))
        (import "t" (instance $t
            (export "of-own" (func (param "p" (own $r))))
            (export "of-many" (func (param "p" (list (option (borrow $r))))))
            (export "of-none" (func (param "p" (list (option u8)))))
            (export "of-stream" (func (param "p" (option (stream u8)))))
            (export "of-async" (func async (param "p" u8))))))"#;
    let component = component(&engine, wat);
    let ty = component.component_type();
    let ComponentItem::ComponentInstance(t) = ty.get_import(&engine, "t").unwrap().ty else {
        panic!("an instance");
    };
    let function = |name: &str| match t.get_export(&engine, name).unwrap().ty {
        ComponentItem::ComponentFunc(function) => function,
        other => panic!("{other:?}"),
    };
    let has_shape = |name| Shape::of(&function(name)).is_some();
    let with = ["of-own", "of-many", "of-none"];
    assert_eq!(with.map(has_shape), [true; 3]);
    assert_eq!(["of-stream", "of-async"].map(has_shape), [false; 2]);
    // In streams there are none.
    let plain = |name| is_plain(&function(name).params().next().unwrap().1);
    assert_eq!(with.map(plain), [false, false, true]);
}

/// The version of wasmtime that [`super::abi`] was read against.
const READ_AGAINST: &str = "48.0.8";

/// The compiler sees when a signature of the hidden traits changes, but not when what they promise does.
#[test]
fn the_hidden_traits_are_those_that_were_read() {
    let lock = include_str!("../../../Cargo.lock");
    let (_, rest) = lock
        .split_once("\nname = \"wasmtime\"\nversion = \"")
        .unwrap();
    let locked = rest.split('"').next().unwrap();
    assert_eq!(
        locked, READ_AGAINST,
        "copier/abi.rs implements hidden traits of wasmtime {READ_AGAINST}. Read these of {locked} \
         before READ_AGAINST is changed: ComponentType, Lift, Lower and ComponentNamedList \
         (func/typed.rs) with all their methods that have a body of their own; WasmList and what \
         bounds its slices; how host functions and TypedFunc use ABI, typecheck and Lower; and how \
         items of streams are lifted and lowered (concurrent/futures_and_streams.rs)"
    );
}
