//! Good and hostile traffic together, for as long as `SKEP_SOAK_SECONDS` says, with restarts; and
//! afterwards the host holds no more than it held before. `cargo xtask soak` runs it.
//!
//! Half of the traffic's first quarter is a warm-up: it fills caches, buffers and pools. What is
//! held at rest after it is what the host must come back to.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail and then shows the log, and its tasks end with its runtime"
)]

#[allow(
    dead_code,
    unused_imports,
    unreachable_pub,
    reason = "shared with the tests in `host`, which use all of it"
)]
#[path = "../host/fixture/mod.rs"]
mod fixture;

mod members;
mod traffic;
mod usage;

use std::time::{Duration, Instant};

use self::fixture::get;
use self::traffic::Traffic;
use self::usage::Held;

/// Without `SKEP_SOAK_SECONDS`: enough to see that it works.
const SECONDS: u64 = 20;

/// Of the whole time, as much comes first and is not judged.
const WARM_UP_SHARE: u32 = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes a minute: `cargo xtask soak`"]
async fn a_host_holds_no_more_after_hostile_traffic_than_before() {
    let seconds = std::env::var("SKEP_SOAK_SECONDS")
        .ok()
        .map_or(SECONDS, |text| text.parse().unwrap());
    let whole = Duration::from_secs(seconds);
    let warm_up = whole / WARM_UP_SHARE;

    let host = std::sync::Arc::new(members::plan().start().await);
    let first = traffic(&host, warm_up).await;
    let before = Held::at_rest(&host).await;
    println!("after the warm-up: {first}\n  {before}");

    let second = traffic(&host, whole - warm_up).await;
    let after = Held::settled(&host, &before).await;
    println!("at the end: {second}\n  {after}");

    after.assert_no_more_than(&before, &host.log_text());
    host.get("/bystander").await.expect(200);
    let text = host.stderr().join("\n") + &host.log_text();
    assert!(
        !text.contains("a task of the host panicked"),
        "a task of the host panicked"
    );
    for service in members::services() {
        let row = host.row(&service);
        println!(
            "  {service}: {} answered, {} crashes, {} restarts, {}",
            row["calls"], row["crashes"], row["restarts"], row["phase"]["name"]
        );
    }
}

/// All kinds of clients at once, then none.
async fn traffic(host: &std::sync::Arc<fixture::Host>, time: Duration) -> traffic::Counts {
    let traffic = Traffic::start(host.clone(), Instant::now() + time);
    let counts = traffic.end().await;
    // Whatever was done to the others, the bystander has answered every request.
    assert!(counts.bystander > 0, "nobody has asked the bystander");
    host.ask(get("/bystander")).await.expect(200);
    counts
}
