//! Every kind of value, there and back.
use crate::Provider;
use crate::exports::fixture::everything::values::*;

impl Guest for Provider {
    fn nothing() {}
    fn echo_bool(v: bool) -> bool {
        v
    }
    fn echo_u8(v: u8) -> u8 {
        v
    }
    fn echo_s8(v: i8) -> i8 {
        v
    }
    fn echo_u16(v: u16) -> u16 {
        v
    }
    fn echo_s16(v: i16) -> i16 {
        v
    }
    fn echo_u32(v: u32) -> u32 {
        v
    }
    fn echo_s32(v: i32) -> i32 {
        v
    }
    fn echo_u64(v: u64) -> u64 {
        v
    }
    fn echo_s64(v: i64) -> i64 {
        v
    }
    fn echo_f32(v: f32) -> f32 {
        v
    }
    fn echo_f64(v: f64) -> f64 {
        v
    }
    fn echo_char(v: char) -> char {
        v
    }
    fn echo_string(v: String) -> String {
        v
    }
    fn echo_bytes(v: Vec<u8>) -> Vec<u8> {
        v
    }
    fn echo_many(v: Many) -> Many {
        v
    }
    fn echo_colour(v: Colour) -> Colour {
        v
    }
    fn echo_shape(v: Shape) -> Shape {
        v
    }
    fn echo_person(v: Person) -> Person {
        v
    }
    fn echo_people(v: Vec<Person>) -> Vec<Person> {
        v
    }
    fn echo_option(v: Option<Option<String>>) -> Option<Option<String>> {
        v
    }
    fn echo_result(v: Result<Point, String>) -> Result<Point, String> {
        v
    }
    fn echo_bare_result(v: Result<(), ()>) -> Result<(), ()> {
        v
    }
    fn echo_tuple(v: (u8, String, f64, char)) -> (u8, String, f64, char) {
        v
    }
    fn echo_nested(
        v: Vec<Vec<Option<(Shape, Vec<String>)>>>,
    ) -> Vec<Vec<Option<(Shape, Vec<String>)>>> {
        v
    }

    fn many_parameters(
        a: u8,
        b: String,
        c: f64,
        d: Vec<u16>,
        e: Option<u32>,
        f: Point,
        g: Colour,
        h: char,
        i: i64,
        j: bool,
        k: String,
        l: u64,
        m: Result<u8, String>,
        n: Many,
        o: i8,
        p: Shape,
        q: u32,
        r: f32,
        s: String,
        t: (u8, u16),
    ) -> String {
        format!(
            "{a} {b} {c} {d:?} {e:?} {}/{} {g:?} {h} {i} {j} {k} {l} {m:?} {:x} {o} {p:?} {q} {r} {s} {t:?}",
            f.x,
            f.y,
            n.bits(),
        )
    }

    fn large_result(count: u32, bytes: u32) -> Vec<String> {
        let text = |n: u32| char::from(b'a' + (n % 26) as u8).to_string();
        (0..count).map(|n| text(n).repeat(bytes as usize)).collect()
    }
}
