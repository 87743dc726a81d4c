//! Services that import what others export: what `skep check` and `skep graph` say of them before
//! anything runs.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where it finds something wrong"
)]

#[path = "../dummy/mod.rs"]
mod dummy;
mod fixture;
mod graph;
mod linking;
mod many;
