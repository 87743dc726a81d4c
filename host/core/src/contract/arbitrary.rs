//! Random types, and every small change of one, for tests.
use std::sync::Arc;

use proptest::collection::vec;
use proptest::prelude::*;

use super::{Case, Function, Interface, InterfaceName, Named, Resource, Side, Step, Type};

pub(super) fn resource(name: &str) -> Resource {
    Resource {
        interface: Some(InterfaceName::new("a:b/c@0.1.0")),
        name: name.into(),
        side: Side::Import,
    }
}

fn name(place: usize) -> Arc<str> {
    format!("n{place}").into()
}

fn named(types: Vec<Type>) -> Arc<[Named]> {
    let one = |(place, ty)| Named {
        name: name(place),
        ty,
    };
    types.into_iter().enumerate().map(one).collect()
}

fn names(many: usize) -> Arc<[Arc<str>]> {
    (0..many).map(name).collect()
}

pub(super) fn a_type() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::Bool),
        Just(Type::S8),
        Just(Type::U8),
        Just(Type::S16),
        Just(Type::U16),
        Just(Type::S32),
        Just(Type::U32),
        Just(Type::S64),
        Just(Type::U64),
        Just(Type::F32),
        Just(Type::F64),
        Just(Type::Char),
        Just(Type::String),
        Just(Type::ErrorContext),
        Just(Type::Own(resource("r"))),
        Just(Type::Borrow(resource("r"))),
        Just(Type::Stream(None)),
        Just(Type::Future(None)),
        (1..5_usize).prop_map(|many| Type::Enum(names(many))),
        (1..40_usize).prop_map(|many| Type::Flags(names(many))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let maybe = || proptest::option::of(inner.clone());
        prop_oneof![
            inner.clone().prop_map(|ty| Type::List(ty.into())),
            (inner.clone(), 1..9_u32).prop_map(|(ty, many)| Type::FixedList(ty.into(), many)),
            (inner.clone(), inner.clone()).prop_map(|entry| Type::Map(entry.into())),
            inner.clone().prop_map(|ty| Type::Option(ty.into())),
            inner.clone().prop_map(|ty| Type::Stream(Some(ty.into()))),
            inner.clone().prop_map(|ty| Type::Future(Some(ty.into()))),
            (maybe(), maybe()).prop_map(|both| Type::Result(both.into())),
            vec(inner.clone(), 1..4).prop_map(|types| Type::Tuple(types.into())),
            vec(inner.clone(), 1..4).prop_map(|types| Type::Record(named(types))),
            vec(maybe(), 1..4).prop_map(|types| {
                let one = |(place, ty)| Case {
                    name: name(place),
                    ty,
                };
                Type::Variant(types.into_iter().enumerate().map(one).collect())
            }),
        ]
    })
}

pub(super) fn a_function() -> impl Strategy<Value = Function> {
    let result = proptest::option::of(a_type());
    (any::<bool>(), vec(a_type(), 0..4), result).prop_map(|(asynchronous, params, result)| {
        Function {
            name: "find".into(),
            asynchronous,
            params: named(params),
            result,
        }
    })
}

pub(super) fn interface(functions: Vec<Function>) -> Interface {
    Interface {
        name: InterfaceName::new("a:b/c@0.1.0"),
        functions,
        resources: vec!["r".into()],
    }
}

type Names = Arc<[Arc<str>]>;

/// Every change of one thing, each with the place that has to be named.
pub(super) fn changes_of_function(function: &Function) -> Vec<(Function, Vec<Step>)> {
    let mut all = Vec::new();
    let mut put = |change: &dyn Fn(&mut Function), place| {
        let mut changed = function.clone();
        change(&mut changed);
        all.push((changed, place));
    };
    put(&|f| f.asynchronous = !f.asynchronous, vec![]);
    let param = |named: &Named| Step::Param(named.name.clone());
    for (params, place) in changes_of_named(&function.params, param) {
        put(&move |f| f.params = params.clone(), place);
    }
    for (result, place) in changes_of_option(function.result.as_ref(), Step::Result) {
        put(&move |f| f.result.clone_from(&result), place);
    }
    all
}

fn changes(ty: &Type) -> Vec<(Type, Vec<Step>)> {
    let other = if *ty == Type::U8 { Type::S8 } else { Type::U8 };
    let mut all = vec![(other, vec![])];
    let inner = |ty: &Type, step: Step, whole: &dyn Fn(Type) -> Type| -> Vec<_> {
        let deeper = |(changed, place)| (whole(changed), deeper(step.clone(), place));
        changes(ty).into_iter().map(deeper).collect()
    };
    match ty {
        Type::List(e) => all.extend(inner(e, Step::Element, &|ty| Type::List(ty.into()))),
        Type::FixedList(e, many) => {
            all.push((Type::FixedList(e.clone(), many + 1), vec![]));
            let whole = |ty: Type| Type::FixedList(ty.into(), *many);
            all.extend(inner(e, Step::Element, &whole));
        }
        Type::Map(entry) => {
            let (key, value) = (entry.0.clone(), entry.1.clone());
            let with_key = |ty| Type::Map((ty, value.clone()).into());
            let with_value = |ty| Type::Map((key.clone(), ty).into());
            all.extend(inner(&key, Step::Key, &with_key));
            all.extend(inner(&value, Step::Value, &with_value));
        }
        Type::Option(e) => all.extend(inner(e, Step::Some, &|ty| Type::Option(ty.into()))),
        Type::Stream(e) => {
            let changed = changes_of_option(e.as_deref(), Step::Element);
            let whole = |(ty, place): (Option<Type>, _)| (Type::Stream(ty.map(Arc::new)), place);
            all.extend(changed.into_iter().map(whole));
        }
        Type::Future(e) => {
            let changed = changes_of_option(e.as_deref(), Step::Element);
            let whole = |(ty, place): (Option<Type>, _)| (Type::Future(ty.map(Arc::new)), place);
            all.extend(changed.into_iter().map(whole));
        }
        Type::Result(both) => {
            for (ok, place) in changes_of_option(both.0.as_ref(), Step::Ok) {
                all.push((Type::Result((ok, both.1.clone()).into()), place));
            }
            for (err, place) in changes_of_option(both.1.as_ref(), Step::Err) {
                all.push((Type::Result((both.0.clone(), err).into()), place));
            }
        }
        Type::Tuple(items) => {
            all.push((Type::Tuple(longer(items, Type::Bool)), vec![]));
            for place in 0..items.len() {
                let whole = |ty| Type::Tuple(with(items, place, ty));
                all.extend(inner(&items[place], Step::Item(place), &whole));
            }
        }
        Type::Record(fields) => {
            let field = |named: &Named| Step::Field(named.name.clone());
            let changed = changes_of_named(fields, field).into_iter();
            all.extend(changed.map(|(fields, place)| (Type::Record(fields), place)));
        }
        Type::Variant(cases) => {
            all.extend(changes_of_cases(cases));
        }
        Type::Enum(names) => {
            let changed = changes_of_names(names, Step::Case).into_iter();
            all.extend(changed.map(|(names, place)| (Type::Enum(names), place)));
        }
        Type::Flags(names) => {
            let changed = changes_of_names(names, Step::Field).into_iter();
            all.extend(changed.map(|(names, place)| (Type::Flags(names), place)));
        }
        Type::Own(_) => {
            all.push((Type::Own(resource("other")), vec![]));
            all.push((Type::Borrow(resource("r")), vec![]));
        }
        Type::Borrow(_) => all.push((Type::Borrow(resource("other")), vec![])),
        _ => {}
    }
    all
}

fn changes_of_cases(cases: &Arc<[Case]>) -> Vec<(Type, Vec<Step>)> {
    let step = |case: &Case| Step::Case(case.name.clone());
    let more = Case {
        name: "more".into(),
        ty: None,
    };
    let mut all = vec![(longer(cases, more.clone()), vec![step(&more)])];
    if cases.len() > 1 {
        all.push((cases[1..].into(), vec![step(&cases[0])]));
        all.push((turned(cases), vec![]));
    }
    for (place, case) in cases.iter().enumerate() {
        for (ty, way) in changes_of_option(case.ty.as_ref(), step(case)) {
            let name = case.name.clone();
            all.push((with(cases, place, Case { name, ty }), way));
        }
    }
    let whole = |(cases, place)| (Type::Variant(cases), place);
    all.into_iter().map(whole).collect()
}

fn changes_of_named(
    fields: &Arc<[Named]>,
    step: impl Fn(&Named) -> Step,
) -> Vec<(Arc<[Named]>, Vec<Step>)> {
    let more = Named {
        name: "more".into(),
        ty: Type::Bool,
    };
    let mut all = vec![(longer(fields, more.clone()), vec![step(&more)])];
    if let [first, rest @ ..] = &**fields {
        all.push((rest.into(), vec![step(first)]));
        if !rest.is_empty() {
            all.push((turned(fields), vec![]));
        }
    }
    for (place, field) in fields.iter().enumerate() {
        for (ty, way) in changes(&field.ty) {
            let name = field.name.clone();
            let changed = with(fields, place, Named { name, ty });
            all.push((changed, deeper(step(field), way)));
        }
        let renamed = Named {
            name: "renamed".into(),
            ty: field.ty.clone(),
        };
        all.push((with(fields, place, renamed), vec![step(field)]));
    }
    all
}

fn changes_of_names(names: &Names, step: impl Fn(Arc<str>) -> Step) -> Vec<(Names, Vec<Step>)> {
    let mut all = vec![(longer(names, "more".into()), vec![step("more".into())])];
    if names.len() > 1 {
        all.push((names[1..].into(), vec![step(names[0].clone())]));
        all.push((turned(names), vec![]));
    }
    all
}

fn changes_of_option(ty: Option<&Type>, step: Step) -> Vec<(Option<Type>, Vec<Step>)> {
    match ty {
        None => vec![(Some(Type::Bool), vec![step])],
        Some(ty) => {
            let some = |(ty, place)| (Some(ty), deeper(step.clone(), place));
            let mut all: Vec<_> = changes(ty).into_iter().map(some).collect();
            all.push((None, vec![step]));
            all
        }
    }
}

fn deeper(step: Step, mut place: Vec<Step>) -> Vec<Step> {
    place.insert(0, step);
    place
}

fn with<T: Clone>(items: &[T], place: usize, item: T) -> Arc<[T]> {
    let mut items = items.to_vec();
    items[place] = item;
    items.into()
}

fn longer<T: Clone>(items: &[T], item: T) -> Arc<[T]> {
    items.iter().cloned().chain([item]).collect()
}

fn turned<T: Clone>(items: &[T]) -> Arc<[T]> {
    items[1..].iter().chain(&items[..1]).cloned().collect()
}
