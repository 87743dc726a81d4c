//! Resources of several types.
use std::cell::Cell;

use crate::Provider;
use crate::exports::fixture::everything::counters as wit;
use wit::{Counter, CounterBorrow, Guest, GuestCounter, GuestLabel, Pair};

thread_local! {
    static ALIVE: Cell<u32> = const { Cell::new(0) };
}

pub struct Count(Cell<u32>);

impl Count {
    fn begin(start: u32) -> Count {
        ALIVE.set(ALIVE.get() + 1);
        Count(Cell::new(start))
    }
}

impl Drop for Count {
    fn drop(&mut self) {
        ALIVE.set(ALIVE.get() - 1);
    }
}

impl GuestCounter for Count {
    fn new(start: u32) -> Count {
        Count::begin(start)
    }

    fn add(&self, n: u32) -> u32 {
        self.0.set(self.0.get() + n);
        self.0.get()
    }

    fn perish(&self) {
        panic!("the counter's instance perishes on purpose");
    }

    fn merge(a: Counter, b: Counter) -> Counter {
        let sum = a.get::<Count>().0.get() + b.get::<Count>().0.get();
        Counter::new(Count::begin(sum))
    }

    fn alive() -> u32 {
        ALIVE.get()
    }
}

pub struct Text(String);

impl GuestLabel for Text {
    fn new(text: String) -> Text {
        Text(text)
    }

    fn of(&self, counter: CounterBorrow<'_>) -> String {
        format!("{}: {}", self.0, counter.get::<Count>().0.get())
    }
}

impl Guest for Provider {
    type Counter = Count;
    type Label = Text;

    fn make(starts: Vec<u32>) -> Vec<Counter> {
        let one = |start| Counter::new(Count::begin(start));
        starts.into_iter().map(one).collect()
    }

    fn sum(counters: Vec<CounterBorrow<'_>>) -> u32 {
        counters.iter().map(|c| c.get::<Count>().0.get()).sum()
    }

    fn swap(pair: Pair) -> Pair {
        match pair.right {
            Some(right) => Pair {
                name: pair.name,
                left: right,
                right: Some(pair.left),
            },
            None => pair,
        }
    }

    fn look((name, counter): (String, CounterBorrow<'_>)) -> String {
        format!("{name} is {}", counter.get::<Count>().0.get())
    }

    fn refuse(counter: Counter) -> Result<Counter, Counter> {
        Err(counter)
    }
}
