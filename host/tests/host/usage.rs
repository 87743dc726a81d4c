//! What the host's process holds can be seen while it is in use, and is seen to be given back.

use serde_json::Value;

use crate::fixture::{Connection, Host, eventually, get, service};

const CLIENTS: u64 = 3;

async fn usage(host: &Host, what: &str, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually(what, async || {
        let status = host.status();
        wanted(&status).then_some(status)
    })
    .await
}

fn of(status: &Value, pointer: &str) -> u64 {
    let value = status.pointer(pointer);
    value
        .and_then(Value::as_u64)
        .unwrap_or_else(|| panic!("no {pointer} in {status}"))
}

#[tokio::test]
async fn what_is_in_use_is_seen_and_given_back() {
    for (component, engine) in [("probe", "serial"), ("probe-p3", "concurrent")] {
        let plan = service("probe")
            .component(component)
            .everywhere()
            .instances("concurrent = 1, idle = \"200ms\"");
        let host = Host::with(plan).start().await;
        let at_rest = |status: &Value| {
            of(status, "/connections") == 0
                && of(status, "/host/stores") == 0
                && of(status, "/host/tasks/connection") == 0
                && of(status, "/host/tasks/instance") == 0
                && of(status, "/host/pools/0/instances") == 0
                && of(status, "/host/pools/0/stacks") == 0
        };
        let before = usage(&host, "rest before", at_rest).await;
        assert_eq!(before["host"]["pools"][0]["engine"], engine);
        assert!(of(&before, "/host/tasks/supervisor") > 0, "{before}");
        for there in ["resident_bytes", "mappings", "threads"] {
            assert!(of(&before, &format!("/host/{there}")) > 0, "{before}");
        }

        let mut clients = Vec::new();
        for _ in 0..CLIENTS {
            let mut connection = Connection::http1(&host).await;
            clients.push(tokio::spawn(async move {
                connection.ask(get("/sleep/20000")).await
            }));
        }
        let during = usage(&host, "all clients served", |status| {
            of(status, "/services/0/in_flight") == CLIENTS && of(status, "/host/stores") == CLIENTS
        })
        .await;
        assert_eq!(of(&during, "/connections"), CLIENTS, "{during}");
        assert_eq!(of(&during, "/host/tasks/connection"), CLIENTS, "{during}");
        for slots in ["instances", "memories", "stacks"] {
            let used = of(&during, &format!("/host/pools/0/{slots}"));
            assert!(used >= CLIENTS, "{slots}: {during}");
        }
        let files = of(&during, "/host/files") - of(&before, "/host/files");
        assert_eq!(files, CLIENTS, "a socket each: {before}\n{during}");

        for client in clients {
            client.abort();
        }
        let after = usage(&host, "rest afterwards", at_rest).await;
        assert_eq!(of(&after, "/host/files"), of(&before, "/host/files"));
        assert!(
            of(&after, "/host/pools/0/warm_memories") >= CLIENTS,
            "{after}"
        );
    }
}
