//! The grant "outgoing HTTP" against real peers on loopback: what is reached, what is refused, and
//! what a peer sees when a guest lets go.

#![allow(
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "a test may fail, and its tasks end with its runtime"
)]

mod bodies;
mod fixture;
mod grants;
mod letting_go;
mod limits;
mod pool;
mod secure;
