//! What is written reads the same, in the words that `wasm-wave` itself uses.

use std::sync::Arc;

use skep_core::contract::{Case, Named, Type};
use wasmtime::component::Val;

use super::*;

fn named(name: &str, ty: Type) -> Named {
    let name = name.into();
    Named { name, ty }
}

fn names(names: &[&str]) -> Arc<[Arc<str>]> {
    names.iter().map(|name| Arc::from(*name)).collect()
}

fn option(some: Type) -> Type {
    Type::Option(some.into())
}

fn result(ok: Option<Type>, err: Option<Type>) -> Type {
    Type::Result((ok, err).into())
}

fn person() -> Type {
    let fields = [
        named("name", Type::String),
        named("age", Type::U8),
        named("home", option(Type::Tuple([Type::S32, Type::S32].into()))),
        named("rights", Type::Flags(names(&["read", "write"]))),
    ];
    Type::Record(fields.into())
}

fn shape() -> Type {
    let case = |name: &str, ty| Case {
        name: name.into(),
        ty,
    };
    let cases = [
        case("nothing", None),
        case("circle", Some(Type::F32)),
        case("none", None),
    ];
    Type::Variant(cases.into())
}

fn read(text: &str, ty: &Type) -> Result<Val, String> {
    let read = Values::default().read(text, ty);
    read.map_err(|unreadable| unreadable.to_string())
}

#[test]
fn what_is_written_is_read_and_written_again() {
    let rows = [
        (Type::Bool, "true", "true"),
        (Type::S8, "-128", "-128"),
        (Type::U64, "18446744073709551615", "18446744073709551615"),
        (Type::F32, "1.5", "1.5"),
        (Type::F64, "nan", "\"nan\""),
        (Type::F64, "-inf", "\"-inf\""),
        (Type::Char, r"'\''", "\"'\""),
        (Type::Char, "'☃'", "\"☃\""),
        (Type::String, r#""a\tb\"\\\u{0}""#, r#""a\tb\"\\\u0000""#),
        (Type::List(Type::U8.into()), "[]", "[]"),
        (Type::List(Type::U8.into()), "[1, 2]", "[1,2]"),
        (Type::FixedList(Type::U8.into(), 2), "[1, 2]", "[1,2]"),
        (
            Type::Map((Type::String, Type::U8).into()),
            r#"[("a", 1), ("b", 2)]"#,
            r#"[["a",1],["b",2]]"#,
        ),
        (
            person(),
            r#"{name: "Ada", age: 36, home: some((1, -2)), rights: {read, write}}"#,
            r#"{"name":"Ada","age":36,"home":[1,-2],"rights":["read","write"]}"#,
        ),
        (Type::Record([].into()), "{:}", "{}"),
        (shape(), "nothing", "\"nothing\""),
        (shape(), "circle(0.5)", r#"{"circle":0.5}"#),
        (shape(), "%none", "\"none\""),
        (Type::Enum(names(&["red", "ok"])), "red", "\"red\""),
        (Type::Enum(names(&["red", "ok"])), "%ok", "\"ok\""),
        (Type::Flags(names(&["a", "b"])), "{}", "[]"),
        (option(option(Type::U8)), "none", "null"),
        (option(option(Type::U8)), "some(none)", r#"{"some":null}"#),
        (option(option(Type::U8)), "some(some(1))", r#"{"some":1}"#),
        (result(None, None), "ok", r#"{"ok":null}"#),
        (result(Some(Type::U8), None), "ok(1)", r#"{"ok":1}"#),
        (
            result(None, Some(Type::String)),
            r#"err("no")"#,
            r#"{"err":"no"}"#,
        ),
    ];
    for (ty, text, json) in rows {
        let value = read(text, &ty).unwrap();
        assert_eq!(Wave(&value).to_string(), text);
        assert_eq!(serde_json::to_string(&Json(&value)).unwrap(), json);
    }
}

#[test]
fn what_is_clear_may_be_left_out() {
    let rows = [
        (option(Type::U8), "1", "some(1)"),
        (result(Some(Type::U8), None), "1", "ok(1)"),
        (
            person(),
            r#"{rights: {}, age: 1, name: "A"}"#,
            r#"{name: "A", age: 1, home: none, rights: {}}"#,
        ),
    ];
    for (ty, text, whole) in rows {
        assert_eq!(Wave(&read(text, &ty).unwrap()).to_string(), whole);
    }
    assert!(read("1", &option(option(Type::U8))).is_err());
}

#[test]
fn a_text_that_does_not_fit_is_told_where_and_what_was_expected() {
    let people = Type::List(person().into());
    let one = |age: &str, rest: &str| {
        format!(r#"[{{name: "A", age: {age}, home: (1, 2), rights: {{}}{rest}}}]"#)
    };
    let said = |text: &str, ty: &Type| read(text, ty).unwrap_err();
    assert_eq!(
        said(&one("256", ""), &people),
        "in [0].age: expected u8, found `256`"
    );
    assert!(said(&one("1", ", shoe: 2"), &people).contains("in [0]: there is no field `shoe`"));
    assert!(said(r#"[{name: "A"}]"#, &people).contains("the field `age` is missing"));
    assert_eq!(
        said("(1, x)", &Type::Tuple([Type::U8, Type::U8].into())),
        "in .1: expected u8, found `x`"
    );
    assert!(said("hello", &Type::String).contains("double quotes"));
    assert!(said("square", &shape()).contains("expected variant { nothing, circle(f32), none }"));
    assert!(said("circle", &shape()).contains("found `circle`"));
    assert!(said("[1]", &Type::FixedList(Type::U8.into(), 2)).contains("expected list<u8, 2>"));
    assert!(said("[1", &people).contains("expected list<record"), "ends");
    assert!(said("", &Type::U8).contains("expected u8"));
    assert!(said("1 2", &Type::U8).contains("expected u8"));
    let deep = "[".repeat(1000);
    assert!(said(&deep, &people).len() < 1000);
}

#[test]
fn a_short_text_cannot_stand_for_any_number_of_values() {
    let field = |number| named(&format!("f{number}"), option(Type::U8));
    let wide = Type::Record((0..1000).map(field).collect());
    let many = format!("[{}]", "{:}, ".repeat(2000));
    let unread = read(&many, &Type::List(wide.into())).unwrap_err();
    assert!(unread.contains("values"), "{unread}");
}

#[test]
fn what_steers_a_terminal_is_written_as_its_number() {
    let text = Val::String("\u{1b}[31m\u{202e}\u{7f}".to_owned());
    assert_eq!(Wave(&text).to_string(), r#""\u{1b}[31m\u{202e}\u{7f}""#);
}
