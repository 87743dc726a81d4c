//! Stands between everything-caller and everything-provider: handles go through it, and calls
//! back.
wit_bindgen::generate!({
    path: "../everything-provider/wit",
    world: "between",
});

use fixture::everything::{back, counters::Counter, harm};

struct Relay;
export!(Relay);

impl exports::fixture::everything::relay::Guest for Relay {
    fn add_through(counter: &Counter, n: u32) -> u32 {
        counter.add(n)
    }

    fn pass(counter: Counter) -> Counter {
        counter.add(1000);
        counter
    }

    fn swallow(counter: Counter) {
        drop(counter);
    }

    fn make(start: u32) -> Counter {
        Counter::new(start)
    }

    fn harm(what: String) -> u32 {
        harm::plain(&what)
    }

    fn bounce(n: u32) -> u32 {
        match n {
            0 => 0,
            n => 1 + back::bounce(n - 1),
        }
    }
}
