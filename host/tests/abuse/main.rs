//! Clients that abuse the host, byte by byte: what they get, that their connection ends where it
//! must, that the host then holds what it held before, and that a bystander's requests all succeed
//! meanwhile.

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

#[path = "../toll/mod.rs"]
mod toll;

mod frames;
mod raw;
mod scene;

mod floods;
mod heads;
mod pipelines;
mod places;
mod proxies;
mod refusals;
mod slow;
mod windows;
