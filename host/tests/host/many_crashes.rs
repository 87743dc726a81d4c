//! A service that crashes ten thousand times in a row leaves nothing behind: the second half of
//! them costs the host no memory, no mapping, no file and no thread.

use serde_json::Value;

use crate::fixture::{Connection, Host, eventually, get, service};

/// In all. The first half fills caches, buffers and pools.
const CRASHES: usize = 10_000;

/// Resident memory goes up and down by some MiB as the allocator takes pages and gives them back.
/// A leak of one page for each crash would be twenty times as much.
const GROWTH_BYTES: i64 = 4 << 20;

/// The allocator maps memory in larger pieces; a leaked stack or memory per crash would be
/// thousands.
const GROWTH_MAPPINGS: i64 = 16;

/// Tokio's threads for blocking calls come when somebody asks for the status, and go when idle.
const GROWTH_THREADS: i64 = 2;

async fn crash(host: &Host, connection: &mut Connection, times: usize) {
    for _ in 0..times {
        connection.ask(get("/trap")).await.expect_problem(502);
    }
    host.at_rest("probe").await;
}

/// What the host holds when nothing but the test's own connection is left.
async fn usage(host: &Host) -> Value {
    eventually("the host at rest", async || {
        let usage = host.status()["host"].clone();
        let tasks = &usage["tasks"];
        (usage["stores"] == 0 && tasks["instance"] == 0 && tasks["connection"] == 1)
            .then_some(usage)
    })
    .await
}

async fn ten_thousand_crashes(component: &str) {
    let plan = Host::with(
        service("probe")
            .component(component)
            .everywhere()
            .instances("idle = \"200ms\"")
            // So many crashes in so short a time that there can never be too many.
            .restart("max = 1000, within = \"1ms\""),
    );
    let host = plan.start().await;
    let mut connection = Connection::http1(&host).await;
    crash(&host, &mut connection, CRASHES / 2).await;
    let half = usage(&host).await;
    crash(&host, &mut connection, CRASHES / 2).await;
    // The connection of whoever asked before may still be open when the next one asks.
    let files = |usage: &Value| usage["files"].as_i64();
    let whole = eventually("no more files than before", async || {
        let whole = usage(&host).await;
        (files(&whole) <= files(&half)).then_some(whole)
    })
    .await;

    let grown = |what: &str| whole[what].as_i64().unwrap() - half[what].as_i64().unwrap();
    let report = format!("{component}, after half of it: {half}\nafter all: {whole}");
    println!("{report}");
    assert!(grown("resident_bytes") <= GROWTH_BYTES, "{report}");
    assert!(grown("mappings") <= GROWTH_MAPPINGS, "{report}");
    assert!(grown("threads") <= GROWTH_THREADS, "{report}");
    for slots in ["instances", "memories", "tables", "stacks"] {
        assert_eq!(whole["pools"][0][slots], 0, "{report}");
    }

    let row = host.row("probe");
    assert_eq!(row["crashes"], CRASHES, "{row}");
    assert_eq!(row["phase"]["name"], "ready", "{row}");
    host.get("/").await.expect(200);
    host.assert_no_panic();
}

#[tokio::test]
async fn ten_thousand_crashes_in_a_row_leave_nothing_behind() {
    ten_thousand_crashes("probe").await;
}

#[tokio::test]
async fn ten_thousand_crashes_of_shared_instances_leave_nothing_behind() {
    ten_thousand_crashes("probe-p3").await;
}
