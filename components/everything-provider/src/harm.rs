//! What can go wrong on the other side.
use std::cell::Cell;
use std::time::Duration;

use crate::Provider;
use crate::exports::fixture::everything::harm::*;

/// Longer than any deadline of a test.
const LONG: Duration = Duration::from_secs(60);

thread_local! {
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Does the harm, or answers with the number of this call on the instance.
fn done(what: &str) -> u32 {
    let calls = CALLS.get() + 1;
    CALLS.set(calls);
    match what {
        "trap" => panic!("the provider traps on purpose"),
        "spin" => loop {
            std::hint::black_box(0);
        },
        "hoard" => {
            let mut hoard: Vec<Vec<u8>> = Vec::new();
            loop {
                hoard.push(vec![1; 1 << 20]);
            }
        }
        "sleep" => std::thread::sleep(LONG),
        "nap" => std::thread::sleep(Duration::from_millis(50)),
        _ => {}
    }
    calls
}

impl Guest for Provider {
    fn count() -> u32 {
        done("")
    }
    fn plain(what: String) -> u32 {
        done(&what)
    }
    fn stringly(what: String) -> Result<u32, String> {
        Ok(done(&what))
    }
    fn variantly(what: String) -> Result<u32, Trouble> {
        Ok(done(&what))
    }
    fn mutely(what: String) -> Result<u32, MuteTrouble> {
        Ok(done(&what))
    }
    fn enumly(what: String) -> Result<u32, Outcome> {
        Ok(done(&what))
    }
    fn unfitly(what: String) -> Result<u32, Unfit> {
        Ok(done(&what))
    }
}
