//! What a host holds when nobody asks anything of it, and how much more is a leak.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::fixture::{Host, eventually_or};

/// The allocator keeps pages of threads that were busy, and gives them back when it likes: some MiB
/// up and down (13 in ten minutes, 14 in one, of a busy machine; 25 for a moment where others kept both of its
/// cores busy). What traffic of a minute leaks, at a page for each request, would be hundreds.
const GROWTH_BYTES: i64 = 24 << 20;

const SETTLED_WITHIN: Duration = Duration::from_secs(20);

/// The allocator's segments and the stacks of threads come and go; each leaked slot of a pool or
/// file would be one, for each of tens of thousands of requests.
const GROWTH_MAPPINGS: i64 = 128;

/// Tokio's threads for blocking calls (a host that reads files for its guests) end when idle.
const GROWTH_THREADS: i64 = 4;

/// What the host's process holds, at rest.
pub(crate) struct Held(Value);

impl Held {
    /// Waits until everything is gone that should go: connections, instances, their slots, tasks.
    /// That it does go is half of the test.
    pub(crate) async fn at_rest(host: &Host) -> Held {
        let looked = Cell::new(Value::Null);
        let rest = eventually_or(
            "the host at rest",
            || looked.take().to_string(),
            async || {
                let status = host.status();
                let usage = &status["host"];
                let at_rest = status["connections"] == 0 && is_at_rest(usage);
                let usage = usage.clone();
                looked.set(status);
                at_rest.then_some(usage)
            },
        );
        Held(rest.await)
    }

    /// The same, after some patience with an allocator that has not given back yet what it no longer needs.
    /// A leak stays, however long it is waited for.
    pub(crate) async fn settled(host: &Host, before: &Held) -> Held {
        let until = Instant::now() + SETTLED_WITHIN;
        loop {
            let held = Held::at_rest(host).await;
            if held.growth_since(before) <= GROWTH_BYTES || Instant::now() > until {
                return held;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// What the pools keep for the next instance is bounded by their size, and is not a leak.
    fn growth_since(&self, before: &Held) -> i64 {
        let resident = |held: &Held| held.0["resident_bytes"].as_i64().unwrap();
        resident(self) - resident(before) - (self.pooled() - before.pooled()).max(0)
    }

    /// # Panics
    /// If there is a leak.
    pub(crate) fn assert_no_more_than(&self, before: &Held, log: &str) {
        let tail: Vec<_> = log.lines().rev().take(20).collect();
        let report = format!("before: {before}\nafter: {self}\nlog, latest first: {tail:#?}");
        let of = |held: &Held, what: &str| {
            held.0
                .pointer(&format!("/{what}"))
                .unwrap()
                .as_i64()
                .unwrap()
        };
        let grown = |what: &str| of(self, what) - of(before, what);
        let growth = self.growth_since(before);
        assert!(
            growth <= GROWTH_BYTES,
            "memory: {growth} bytes more; {report}"
        );
        assert!(grown("mappings") <= GROWTH_MAPPINGS, "mappings; {report}");
        assert!(grown("threads") <= GROWTH_THREADS, "threads; {report}");
        assert!(grown("files") <= 0, "files; {report}");
        // A worker that runs is a task of its supervisor's.
        let supervisors = grown("tasks/supervisor").abs();
        assert!(supervisors <= WORKERS as i64, "supervisors; {report}");
        assert_eq!(grown("tasks/server"), 0, "servers; {report}");
    }

    /// Bytes that free slots keep resident.
    fn pooled(&self) -> i64 {
        let pools = self.0["pools"].as_array().unwrap();
        pools
            .iter()
            .map(|pool| pool["resident_bytes"].as_i64().unwrap())
            .sum()
    }
}

fn is_at_rest(usage: &Value) -> bool {
    let no_tasks = ["connection", "after-response", "instance"]
        .iter()
        .all(|kind| usage["tasks"][kind] == 0);
    let few = |value: &Value| value.as_u64() <= Some(WORKERS);
    let pools = usage["pools"].as_array().unwrap();
    let mut slots = pools
        .iter()
        .flat_map(|pool| [&pool["instances"], &pool["stacks"]]);
    no_tasks && few(&usage["stores"]) && slots.all(few)
}

/// Workers run on at rest: so many instances are no leak.
const WORKERS: u64 = 2;

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}
