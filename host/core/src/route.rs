//! Host + path + method → service: what a route says, and the table that finds it.
//!
//! Three promises. The most specific route that matches host, path and method wins: an exact host
//! before the longest wildcard before any host; then, segment by segment from the left, a literal
//! before `{param}` before `{*rest}`. Two routes that would match with equal right are refused when
//! the table is built, so that no order matters. A look-up allocates nothing and its work is bounded
//! by the table, whatever a client sends.

pub mod host;
pub mod method;
pub mod normalise;
pub mod path;
pub mod table;

pub use host::{BadHost, HostPattern};
pub use method::{BadMethod, Methods};
pub use normalise::{BadPath, normalise};
pub use path::{BadPattern, PathPattern};
pub use table::{Allow, Lookup, RouteConflict, RouteTable};

/// What a route matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteSpec {
    pub host: HostPattern,
    pub path: PathPattern,
    pub methods: Methods,
}
