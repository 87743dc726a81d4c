//! Calls between services, from outside: a caller that is driven over HTTP, a provider, and a relay
//! between the two. The guests are `everything-caller`, `everything-provider` and
//! `everything-relay` in `components/`.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail and then shows the log, and its tasks end with its runtime"
)]

#[path = "../host/fixture/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the fixture serves other tests too"
)]
mod fixture;

mod circles;
mod concurrent;
mod failures;
mod flows;
mod handles;
mod middleware;
mod mistakes;
mod operator;
mod policies;
mod traces;
mod values;
mod wit_bindgen;

use fixture::{Connection, Host, Plan, Reply, Service, get, service};

fn caller() -> Service {
    service("caller")
        .component("everything-caller")
        .everywhere()
}

fn provider() -> Service {
    service("provider").component("everything-provider")
}

fn relay() -> Service {
    service("relay").component("everything-relay")
}

/// The three of them.
fn all(caller: Service, provider: Service, relay: Service) -> Plan {
    Host::with(caller).and(provider).and(relay)
}

/// The three of them as they are.
async fn host() -> Host {
    all(caller(), provider(), relay()).start().await
}

/// Asks the caller.
async fn ask(host: &Host, path: &str) -> Reply {
    Connection::http1(host).await.ask(get(path)).await
}

/// Asks the caller, whose answer is that text.
#[track_caller]
fn says(reply: Reply, text: &str) {
    assert_eq!(reply.expect(200).text(), text);
}
