//! How names become addresses. What they become is checked by whoever asked.

use std::io;
use std::net::{IpAddr, ToSocketAddrs};
use std::pin::Pin;

use tokio::sync::Semaphore;

/// The addresses of a name, to come.
pub type Resolving = Pin<Box<dyn Future<Output = io::Result<Vec<IpAddr>>> + Send>>;

/// A source of addresses. Called once per new connection to a name, never for literal addresses.
pub trait Resolve: Send + Sync {
    /// Resolves `host`, a lower-case name without a trailing dot.
    fn resolve(&self, host: String) -> Resolving;
}

/// The system's own resolution: hosts file, resolv.conf and what else libc is told to ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemResolver;

/// Lookups at a time in the whole process. Each blocks a thread of tokio's pool of 512, some for
/// the 10 to 30 s that libc waits for a dead server; the rest of the host needs that pool too.
const MAX_LOOKUPS: usize = 64;

static LOOKUPS: Semaphore = Semaphore::const_new(MAX_LOOKUPS);

impl Resolve for SystemResolver {
    fn resolve(&self, host: String) -> Resolving {
        Box::pin(async move {
            let permit = LOOKUPS.acquire().await.map_err(io::Error::other)?;
            let lookup = tokio::task::spawn_blocking(move || {
                // Held until libc is done, also when nobody waits any more.
                let _permit = permit;
                let addresses = (host.as_str(), 0).to_socket_addrs()?;
                Ok(addresses.map(|address| address.ip()).collect())
            });
            lookup.await.map_err(io::Error::other)?
        })
    }
}
