//! What one service leaves in its memory is never seen by another, nor by its own next instance.
//! `tests/canary.rs` has the same with every slot of a pool accounted for.

use crate::fixture::{Host, eventually, get, service};

/// More than a freed slot keeps resident, so that both ways of clearing it are met.
const MIB: u32 = 6;
const ROUNDS: usize = 30;

/// An instance for each request.
const FRESH: &str = "reuse = 1, idle = \"200ms\"";

async fn found(host: &Host, service: &str) -> u64 {
    let mut look = get(&format!("/look/{MIB}"));
    look.headers_mut().insert("host", service.parse().unwrap());
    let found = host.ask(look).await.expect(200).number();
    rest(host, service).await;
    found
}

/// Its instance is gone, or kept, before the next is made: one that has computed is dropped after its
/// answer, which takes its time.
async fn rest(host: &Host, service: &str) {
    host.at_rest(service).await;
    if service != "same" {
        used_slots(host).await;
    }
}

async fn leave(host: &Host, service: &str) {
    let mut leave = get(&format!("/leave/{MIB}"));
    leave.headers_mut().insert("host", service.parse().unwrap());
    host.ask(leave).await.expect(200);
    rest(host, service).await;
}

/// Slots that have ever been used, once none is in use.
async fn used_slots(host: &Host) -> u64 {
    eventually("all instances gone", async || {
        let status = host.status();
        let pool = &status["host"]["pools"][0];
        (pool["memories"] == 0).then(|| pool["warm_memories"].as_u64().unwrap())
    })
    .await
}

#[tokio::test]
async fn a_secret_is_not_seen_by_the_next_instance_in_its_slot() {
    let one = |name: &str, instances: &str| {
        service(name)
            .component("canary")
            .limits("memory = \"32MiB\"")
            .instances(instances)
    };
    let route = |name: &str| {
        format!("[[route]]\nhost = \"{name}\"\npath = \"/{{*rest}}\"\nservice = \"{name}\"")
    };
    let host = Host::with(one("teller", FRESH))
        .and(one("listener", FRESH))
        .and(one("same", "reuse = 1000, idle = \"2s\", max = 1"))
        .tables(&["teller", "listener", "same"].map(route).join("\n"))
        .start()
        .await;
    // The canary can sing: an instance that is reused does see what it left.
    assert_eq!(found(&host, "same").await, 0);
    leave(&host, "same").await;
    let words = u64::from(MIB) << 17;
    assert_eq!(found(&host, "same").await, words);
    host.until("same", "its instance gone", |row| row["instances"] == 0)
        .await;

    for _ in 0..ROUNDS {
        leave(&host, "teller").await;
    }
    let used = used_slots(&host).await;
    for _ in 0..ROUNDS {
        leave(&host, "teller").await;
        assert_eq!(found(&host, "listener").await, 0, "another service");
        assert_eq!(
            found(&host, "teller").await,
            0,
            "another instance of its own"
        );
    }
    // Hardly a slot has been used that the teller had not used: the listener had one of those nearly
    // each time. Where one is still being cleared another is taken.
    let now = used_slots(&host).await;
    assert!(now <= used + ROUNDS as u64 / 5, "{now} after {used}");
}
