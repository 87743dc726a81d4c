//! Skep's own host functions for `wasi:http` and the streams of `wasi:io`, both of WASI 0.2: what
//! nearly every request of a 0.2 guest calls. wasmtime-wasi-http's do the same for a third of a
//! microsecond each (spans, boxed futures, a box and a set per resource, channels for bodies).
//!
//! Before it: `capability` links them. What they keep for a guest is in its [`HttpTable`]; what
//! they share with the connection is a [`pipe`]. The types of errors, methods and schemes are
//! wasmtime-wasi-http's, and so are the pollables: see [`streams`].

mod client;
mod codes;
mod fields;
mod forward;
mod inbound;
mod incoming;
mod outgoing;
mod pipe;
mod streams;
mod table;

use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

pub(crate) use self::forward::{Forward, Forwarded, link_forward};
pub(crate) use self::incoming::IncomingRequest;
pub(crate) use self::outgoing::{AnswerSlot, ResponseOutparam};
pub(crate) use self::pipe::Outlet;
pub(crate) use self::table::HttpTable;
use crate::instance::GuestState;

/// What a host function is called with.
type Cx<'a> = StoreContextMut<'a, GuestState>;

/// The version that is linked; wasmtime lets components import it by any 0.2 that is compatible.
const TYPES: &str = "wasi:http/types@0.2.12";
const OUTGOING_HANDLER: &str = "wasi:http/outgoing-handler@0.2.12";
const STREAMS: &str = "wasi:io/streams@0.2.12";
/// What a component that answers requests exports.
pub(crate) const INCOMING_HANDLER: &str = "wasi:http/incoming-handler@0.2.12";

/// Links `wasi:http/types` and `wasi:io/streams`.
pub(crate) fn link(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    streams::link(&mut linker.instance(STREAMS)?)?;
    let types = &mut linker.instance(TYPES)?;
    fields::link(types)?;
    incoming::link(types)?;
    outgoing::link(types)?;
    client::link(types)
}

/// Links `wasi:http/outgoing-handler`.
pub(crate) fn link_client(linker: &mut Linker<GuestState>) -> wasmtime::Result<()> {
    client::link_handler(&mut linker.instance(OUTGOING_HANDLER)?)
}
