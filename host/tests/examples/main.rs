//! The applications in `examples/` and the page that leads through one of them, as their readers meet
//! them.

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

#[path = "../dummy/mod.rs"]
mod dummy;

mod application;
mod browser;
mod guide;
mod page;
mod shop;
mod shop_failing;
