//! Makes so many calls of a kind for each request: `GET /KIND/COUNT`. Answers with their number.
wit_bindgen::generate!({
    path: "../callee/wit",
    world: "caller",
});

use answer::{Target, text};
use bench::calls::api::{self, Counter, Item, Point};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct Caller;
wasip2::http::proxy::export!(Caller);

impl wasip2::exports::http::incoming_handler::Guest for Caller {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let count = target.number(1);
        match call(target.segment(0), count) {
            true => text(out, 200, &count.to_string()),
            false => text(out, 404, "there is no such kind of call"),
        }
    }
}

/// Makes the calls; false if there is no such kind. Each answer is looked at: a call that came back
/// with anything else is no call.
fn call(kind: &str, count: u64) -> bool {
    let times = |call: &dyn Fn(u64)| (0..count).for_each(call);
    match kind {
        "nothing" => {}
        "u32" => times(&|n| assert_eq!(api::add_one(n as u32), (n as u32).wrapping_add(1))),
        "string-100" => {
            let text = "0123456789".repeat(10);
            times(&|_| assert_eq!(api::echo(&text).len(), text.len()));
        }
        "bytes-16k" => bytes(16 << 10, count),
        "bytes-1m" => bytes(1 << 20, count),
        "points-100" => {
            let points: Vec<_> = (0..100)
                .map(|n| Point {
                    x: n,
                    y: -n,
                    weight: f64::from(n),
                })
                .collect();
            times(&|_| assert_eq!(api::points(&points), 100));
        }
        "items-100" => {
            let items: Vec<_> = (0..100)
                .map(|n| Item {
                    name: format!("item number {n}"),
                    note: "as good as new".to_string(),
                    price: n,
                })
                .collect();
            times(&|_| assert_eq!(api::items(&items), 100));
        }
        "method" => {
            let counter = Counter::new();
            times(&|n| assert_eq!(counter.next(), n as u32 + 1));
        }
        _ => return false,
    }
    true
}

fn bytes(size: usize, count: u64) {
    let data = vec![7; size];
    for _ in 0..count {
        assert_eq!(api::bytes(&data) as usize, size);
    }
}
