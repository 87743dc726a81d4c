//! Sends every kind of value and compares what comes back.
use std::fmt::Write as _;

use crate::fixture::everything::values::{self, Colour, Many, Person, Point, Shape};

/// Every function of the interface, on values at the edges; a line for each that differs.
pub fn all() -> String {
    let mut wrong = String::new();
    macro_rules! same {
        ($function:ident: $($value:expr),+ $(,)?) => {
            $(
                let (sent, got) = ($value, values::$function($value));
                if format!("{sent:?}") != format!("{got:?}") {
                    let _ = writeln!(wrong, "{}: {sent:?} came back as {got:?}", stringify!($function));
                }
            )+
        };
    }
    values::nothing();
    same!(echo_bool: true, false);
    same!(echo_u8: 0, u8::MAX);
    same!(echo_s8: i8::MIN, i8::MAX);
    same!(echo_u16: 0, u16::MAX);
    same!(echo_s16: i16::MIN, i16::MAX);
    same!(echo_u32: 0, u32::MAX);
    same!(echo_s32: i32::MIN, i32::MAX);
    same!(echo_u64: 0, u64::MAX);
    same!(echo_s64: i64::MIN, i64::MAX);
    same!(echo_f32: 0.0, -0.0, f32::MIN, f32::INFINITY, f32::NAN);
    same!(echo_f64: 0.0, -0.0, f64::MAX, f64::NEG_INFINITY, f64::NAN);
    same!(echo_char: '\0', 'ß', '\u{10FFFF}');
    same!(echo_string: "", "grüße 🐝", &"x".repeat(100_000));
    same!(echo_bytes: &[0_u8; 0], &[0, 255], &[7; 5000]);
    same!(echo_many: Many::empty(), Many::all(), Many::R00 | Many::R15 | Many::R31);
    same!(echo_colour: Colour::Red, Colour::Blue);
    let points = vec![Point { x: i32::MIN, y: 1 }, Point { x: 0, y: i32::MAX }];
    let person = |name: &str| Person {
        name: name.to_string(),
        age: 200,
        home: Some(Point { x: -1, y: 2 }),
        tags: vec![String::new(), "tag".to_string()],
        rights: Many::R31,
    };
    same!(echo_person: &person("Ada"));
    same!(echo_people: &[] as &[Person], &[person("a"), person("b"), person("c")]);
    let shapes = || {
        [
            Shape::Nothing,
            Shape::Circle(1.5),
            Shape::Polygon(points.clone()),
            Shape::Portrait(person("inside")),
            Shape::Pair((Colour::Green, i64::MIN)),
        ]
    };
    for shape in shapes() {
        same!(echo_shape: &shape);
    }
    same!(echo_option: None::<Option<&str>>, Some(None::<&str>), Some(Some("deep")));
    same!(echo_result: Ok::<_, &str>(&Point { x: 1, y: 2 }), Err::<&Point, _>("no"));
    same!(echo_bare_result: Ok::<(), ()>(()), Err::<(), ()>(()));
    same!(echo_tuple: (1, "two", 3.0, '4'));
    let nested: Vec<Vec<_>> = shapes()
        .into_iter()
        .map(|shape| vec![None, Some((shape, vec!["x".to_string(), String::new()]))])
        .collect();
    same!(echo_nested: &nested);
    let got = values::many_parameters(
        1,
        "b",
        2.5,
        &[3, 4],
        Some(5),
        Point { x: 6, y: -7 },
        Colour::Green,
        'h',
        -8,
        true,
        "k",
        9,
        Err("m"),
        Many::R30,
        -10,
        &Shape::Circle(0.5),
        11,
        1.25,
        "s",
        (12, 13),
    );
    let expected = "1 b 2.5 [3, 4] Some(5) 6/-7 Colour::Green h -8 true k 9 Err(\"m\") 40000000 \
                    -10 Shape::Circle(0.5) 11 1.25 s (12, 13)";
    if got != expected {
        let _ = writeln!(wrong, "many_parameters: {got}");
    }
    if wrong.is_empty() {
        wrong.push_str("all as sent");
    }
    wrong
}

/// Bytes received.
pub fn large(count: u32, bytes: u32) -> String {
    let texts = values::large_result(count, bytes);
    texts.iter().map(String::len).sum::<usize>().to_string()
}

/// Bytes that came back.
pub fn bytes(count: usize) -> String {
    values::echo_bytes(&vec![7; count]).len().to_string()
}

/// So many small calls; the sum of what came back.
pub fn calls(count: u64) -> String {
    let sum = (0..count).map(|n| u64::from(values::echo_u32(n as u32)));
    sum.sum::<u64>().to_string()
}
