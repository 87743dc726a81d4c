//! Holds handles on resources of other services.
use std::cell::RefCell;

use crate::fixture::everything::counters::{self, Counter, Label, Pair};
use crate::fixture::everything::relay;

/// Whatever one can do with handles of one service; a line for each thing that went wrong.
pub fn all() -> String {
    let counter = Counter::new(1);
    let mut seen = vec![counter.add(2), counter.add(3)];
    let label = Label::new("label");
    let told = label.of(&counter);
    let made = counters::make(&[10, 20, 30]);
    seen.push(counters::sum(&made.iter().collect::<Vec<_>>()));
    seen.push(Counter::alive());
    let merged = Counter::merge(counter, Counter::new(100));
    seen.push(merged.add(0));
    let mut made = made.into_iter();
    let pair = Pair {
        name: "pair".to_string(),
        left: merged,
        right: made.next(),
    };
    let swapped = counters::swap(pair);
    seen.push(swapped.left.add(0));
    seen.extend(swapped.right.as_ref().map(|right| right.add(0)));
    let looked = counters::look(("it", &swapped.left));
    let refused = counters::refuse(swapped.left);
    seen.extend(refused.err().map(|back| back.add(1)));
    drop(made);
    seen.push(Counter::alive());
    drop(swapped.right);
    seen.push(Counter::alive());
    format!("{seen:?} {told:?} {looked:?}")
}

/// How many counters there are in whatever instance answers.
pub fn alive() -> String {
    Counter::alive().to_string()
}

/// Makes so many handles.
pub fn gather(count: u32) -> String {
    let mut held = Vec::new();
    for n in 0..count {
        held.push(Counter::new(n));
    }
    held.len().to_string()
}

/// Two handles, from the provider and through the relay, are of one instance.
pub fn two() -> String {
    let mine = Counter::new(1);
    let theirs = relay::make(2);
    format!("{} {}", mine.add(1), theirs.add(1))
}

/// Uses a handle whose instance is gone.
pub fn stale() -> String {
    let counter = Counter::new(1);
    counter.perish();
    "still there".to_string()
}

thread_local! {
    static KEPT: RefCell<Vec<Counter>> = const { RefCell::new(Vec::new()) };
}

/// Keeps a handle from one request to the next, as an instance that is reused can.
pub fn kept(what: &str) -> String {
    KEPT.with_borrow_mut(|kept| match what {
        "make" => {
            kept.push(Counter::new(1));
            "made".to_string()
        }
        "drop" => {
            kept.clear();
            "dropped".to_string()
        }
        _ => kept
            .last()
            .map_or("none".to_string(), |c| c.add(1).to_string()),
    })
}

/// Holds a handle for so many milliseconds.
pub fn hold(ms: u64) -> String {
    let counter = Counter::new(1);
    std::thread::sleep(std::time::Duration::from_millis(ms));
    counter.add(1).to_string()
}

/// Handles on the provider's counters that go through the relay.
pub fn relayed() -> String {
    let counter = Counter::new(1);
    let lent = relay::add_through(&counter, 2);
    let passed = relay::pass(counter);
    let after = passed.add(0);
    let made = relay::make(50);
    let of_relay = made.add(1);
    let before = Counter::alive();
    relay::swallow(passed);
    format!("{lent} {after} {of_relay} {before}")
}
