//! Answers calls of each kind with as little work as there is: what is measured is the way to it.
use std::cell::Cell;

wit_bindgen::generate!({
    path: "wit",
    world: "callee",
});

use exports::bench::calls::api::{Guest, GuestCounter, Item, Point};

struct Callee;
export!(Callee);

impl Guest for Callee {
    type Counter = Counter;

    fn add_one(number: u32) -> u32 {
        number.wrapping_add(1)
    }

    fn echo(text: String) -> String {
        text
    }

    fn bytes(data: Vec<u8>) -> u32 {
        data.len() as u32
    }

    fn points(points: Vec<Point>) -> u32 {
        points.len() as u32
    }

    fn items(items: Vec<Item>) -> u32 {
        items.len() as u32
    }
}

#[derive(Default)]
struct Counter(Cell<u32>);

impl GuestCounter for Counter {
    fn new() -> Counter {
        Counter::default()
    }

    fn next(&self) -> u32 {
        self.0.set(self.0.get().wrapping_add(1));
        self.0.get()
    }
}
