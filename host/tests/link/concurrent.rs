//! Services of WASI 0.3: async functions, and handlers that export functions.

use super::fixture::{Connection, Host, Plan, Service, get, service};
use super::{ask, provider, says};

fn front() -> Service {
    service("front")
        .component("everything-p3")
        .set("links", "{ \"fixture:everything/later\" = \"back\" }")
        .everywhere()
}

fn back() -> Service {
    service("back").component("everything-p3")
}

fn both(front: Service, back: Service) -> Plan {
    Host::with(front).and(back).and(provider())
}

#[tokio::test]
async fn async_functions_are_called_and_awaited() {
    let host = both(front(), back()).start().await;
    says(ask(&host, "/echo").await, "said");
    says(ask(&host, "/both").await, "one two");
    says(ask(&host, "/calls/100").await, "4950");
    assert_eq!(host.at_rest("back").await["crashes"], 0);
    host.assert_no_panic();
}

#[tokio::test]
async fn a_caller_of_wasi_0_3_calls_functions_of_0_2() {
    let host = both(front(), back()).start().await;
    says(ask(&host, "/stringly/nothing").await, "Ok(1)");
    says(ask(&host, "/handles").await, "3 1");
    let reply = ask(&host, "/stringly/trap").await.expect(200);
    assert!(reply.text().contains("it trapped"), "{}", reply.text());
    let row = host.at_rest("front").await;
    assert_eq!(row["crashes"], 0, "{row}");
    host.assert_no_panic();
}

#[tokio::test]
async fn a_failure_of_an_async_function_is_told() {
    let back = back().limits("deadline = \"2s\", cpu = \"20ms\"");
    let host = both(front(), back).start().await;
    for (what, cause) in [
        ("trap", "it trapped"),
        ("sleep", "`limits.deadline`"),
        ("spin", "`limits.cpu`"),
    ] {
        let reply = ask(&host, &format!("/fallible/{what}")).await.expect(200);
        assert!(reply.text().contains(cause), "{}", reply.text());
    }
    says(ask(&host, "/fallible/nothing").await, "Ok(1)");
    let row = host.at_rest("front").await;
    assert_eq!(row["crashes"], 0, "{row}");
    host.until("back", "two crashes", |row| row["crashes"] == 2)
        .await;
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_async_calls_too() {
    let limits = "deadline = \"1h\"";
    let host = both(front().limits(limits), back().limits(limits))
        .start()
        .await;
    let mut connection = Connection::http1(&host).await;
    let asking =
        tokio::spawn(async move { connection.send(get("/fallible/sleep")).await.map(drop) });
    host.until("back", "a call", |row| row["in_flight"] == 1)
        .await;
    asking.abort();
    for service in ["front", "back"] {
        host.at_rest(service).await;
    }
}
