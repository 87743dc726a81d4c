//! The host from outside: the real binary, real components, real sockets. Each test says in its
//! name what Skep promises; each starts a host of its own and waits for what must become true.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail and then shows the log, and its tasks end with its runtime"
)]

#[allow(dead_code, reason = "the fixture serves other tests too")]
mod fixture;

mod bodies;
mod canary;
mod commands;
mod core_dumps;
mod crashes;
mod drain;
mod fairness;
mod grants;
mod headers;
mod health;
mod instances;
mod life;
mod limits;
mod many_crashes;
mod matrix;
mod memory;
mod mistakes;
mod routing;
mod serving;
mod statuses;
mod supervision;
mod tls;
mod usage;
