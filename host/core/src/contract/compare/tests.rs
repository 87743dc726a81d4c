//! Every change of a random type is found and named.
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::arbitrary::{a_function, changes_of_function, interface, resource};
use super::*;

proptest! {
    #[test]
    fn what_is_the_same_fits(function in a_function()) {
        let one = interface(vec![function]);
        prop_assert_eq!(compare(&one, &one.clone()), vec![]);
    }

    #[test]
    fn an_export_may_have_more(function in a_function(), more in a_function()) {
        let import = interface(vec![function.clone()]);
        let more = Function { name: "more".into(), ..more };
        let mut export = interface(vec![more, function]);
        export.resources.push("another".into());
        prop_assert_eq!(compare(&import, &export), vec![]);
    }

    #[test]
    fn every_single_change_is_found_and_named(function in a_function()) {
        let import = interface(vec![function.clone()]);
        for (changed, place) in changes_of_function(&function) {
            let export = interface(vec![changed.clone()]);
            for found in [compare(&import, &export), compare(&export, &import)] {
                let named = |difference: &Difference| {
                    difference.subject == Subject::Function("find".into())
                        && difference.place == place
                        && difference.expected != difference.found
                };
                prop_assert!(found.iter().any(named), "{changed:?}: {place:?} not in {found:?}");
            }
        }
    }

    #[test]
    fn a_difference_is_said_in_a_line(function in a_function()) {
        let import = interface(vec![function.clone()]);
        for (changed, _) in changes_of_function(&function) {
            for difference in compare(&import, &interface(vec![changed.clone()])) {
                let text = difference.to_string();
                prop_assert!(!text.contains('\n') && difference.found.chars().count() <= 160, "{}", text);
            }
        }
    }
}

fn function(name: &str, params: &[(&str, Type)], result: Option<Type>) -> Function {
    Function {
        name: name.into(),
        asynchronous: false,
        params: fields(params),
        result,
    }
}

fn fields(fields: &[(&str, Type)]) -> Arc<[Named]> {
    let one = |(name, ty): &(&str, Type)| Named {
        name: (*name).into(),
        ty: ty.clone(),
    };
    fields.iter().map(one).collect()
}

fn check(import: Vec<Function>, export: Vec<Function>, expected: &Expect) {
    let found = compare(&interface(import), &interface(export));
    let lines: Vec<String> = found.iter().map(|found| format!("{found}\n")).collect();
    expected.assert_eq(&lines.concat());
}

#[test]
fn differences_are_readable() {
    let product = |price: Type| {
        let record = Type::Record(fields(&[("id", Type::U32), ("price", price)]));
        let error = Type::Enum(["unavailable".into(), "unknown".into()].into());
        Type::Result((Some(Type::List(record.into())), Some(error)).into())
    };
    let whole = |price| function("find", &[("id", Type::U32)], Some(product(price)));
    check(
        vec![
            whole(Type::U32),
            function("[method]cart.add", &[], None),
            function("[static]cart.open", &[("id", Type::U8)], None),
            function("[constructor]cart", &[], Some(Type::Own(resource("r")))),
            function("gone", &[("a", Type::Char)], Some(Type::Bool)),
        ],
        vec![
            whole(Type::F64),
            Function {
                asynchronous: true,
                ..function("[method]cart.add", &[], None)
            },
            function("[static]cart.open", &[("name", Type::String)], None),
            function("[constructor]cart", &[], Some(Type::Own(resource("s")))),
        ],
        &expect![[r#"
            function `find`, result, ok, element, `price`: expected u32, found f64
            method `add` of `cart`: expected a function that is not async, found an async function
            static function `open` of `cart`, parameter `id`: expected u8, found nothing
            static function `open` of `cart`, parameter `name`: expected nothing, found string
            constructor of `cart`, result: expected a handle of r of a:b/c@0.1.0, found a handle of s of a:b/c@0.1.0
            function `gone`: expected func(a: char) -> bool, found nothing
        "#]],
    );
}

#[test]
fn a_type_is_shown_in_the_words_of_wit() {
    let flat = Type::Record(fields(&[
        ("a", Type::Own(resource("r"))),
        ("b", Type::Char),
    ]));
    let rows = [
        (
            Type::Tuple([Type::U8, Type::Borrow(resource("r"))].into()),
            "tuple<u8, borrow<r>>",
        ),
        (flat, "record { a: r, b: char }"),
        (
            Type::Result((None, Some(Type::String)).into()),
            "result<_, string>",
        ),
        (Type::Result((None, None).into()), "result"),
        (Type::Stream(Some(Type::U8.into())), "stream<u8>"),
        (Type::FixedList(Type::U8.into(), 4), "list<u8, 4>"),
        (
            Type::Map((Type::String, Type::U8).into()),
            "map<string, u8>",
        ),
        (
            Type::Variant(
                [
                    Case {
                        name: "a".into(),
                        ty: None,
                    },
                    Case {
                        name: "b".into(),
                        ty: Some(Type::S8),
                    },
                ]
                .into(),
            ),
            "variant { a, b(s8) }",
        ),
        (
            Type::Flags(["a".into(), "b".into()].into()),
            "flags { a, b }",
        ),
    ];
    for (ty, text) in rows {
        assert_eq!(ty.to_string(), text);
    }
}

#[test]
fn a_type_of_a_million_parts_is_compared_and_shown_all_the_same() {
    let mut ty = Type::U8;
    for _ in 0..18 {
        ty = Type::Tuple([ty.clone(), ty].into());
    }
    let shown = ty.to_string();
    assert!(
        shown.ends_with('…') && shown.chars().count() < 120,
        "{shown}"
    );
    let other = |leaf: Type| {
        let mut ty = leaf;
        for _ in 0..18 {
            ty = Type::Tuple([ty.clone(), ty].into());
        }
        interface(vec![function("find", &[], Some(ty))])
    };
    assert_eq!(compare(&other(Type::U8), &other(Type::U8)), vec![]);
    let many = compare(&other(Type::U8), &other(Type::S8));
    assert_eq!(many.len(), DIFFERENCES_MAX);
}
