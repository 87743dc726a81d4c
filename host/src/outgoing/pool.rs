//! Connections kept for the next request of the same service to the same destination.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, sleep_until};

use super::connection::Connection;
use super::destination::Destination;
use crate::task;

/// A bounded store of connections, oldest first. Of HTTP/1 connections it holds those that nobody
/// uses, of HTTP/2 connections, which many use at a time, all.
pub(super) struct Pool {
    kept: Mutex<Kept>,
    max: usize,
    timeout: Duration,
}

#[derive(Default)]
struct Kept {
    connections: VecDeque<Idle>,
    /// A task waits to close what gets too old.
    sweeping: bool,
}

struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(super) fn new(max: usize, timeout: Duration) -> Arc<Self> {
        Arc::new(Self {
            kept: Mutex::default(),
            max,
            timeout,
        })
    }

    /// The connection to `destination` that was used last, if it looks alive. The caller asks the
    /// connection itself.
    pub(super) fn take(&self, destination: &Destination) -> Option<Connection> {
        let mut kept = self.kept.lock();
        kept.connections
            .retain(|idle| !idle.connection.is_closed() && !self.is_old(idle));
        let fits = |idle: &Idle| idle.connection.destination() == destination;
        let index = kept.connections.iter().rposition(fits)?;
        let mut idle = kept.connections.remove(index)?;
        match idle.connection.share() {
            Some(shared) => {
                idle.since = Instant::now();
                kept.connections.push_back(idle);
                Some(shared)
            }
            None => Some(idle.connection),
        }
    }

    /// Keeps a new connection that more than one request can use; others are left alone.
    pub(super) fn share(self: &Arc<Self>, connection: &Connection) {
        if let Some(shared) = connection.share() {
            self.keep(shared);
        }
    }

    /// Takes back a connection whose exchange has ended well.
    pub(super) fn put(self: &Arc<Self>, connection: Connection) {
        // A shared one has been here all the time.
        if !connection.is_shared() && !connection.is_closed() {
            self.keep(connection);
        }
    }

    /// Gives up a shared connection: it closes when its last request ends.
    pub(super) fn forget(&self, connection: &Connection) {
        self.kept
            .lock()
            .connections
            .retain(|idle| !idle.connection.is_same(connection));
    }

    fn keep(self: &Arc<Self>, connection: Connection) {
        if self.max == 0 {
            return;
        }
        let mut kept = self.kept.lock();
        if kept.connections.len() >= self.max {
            kept.connections.pop_front();
        }
        kept.connections.push_back(Idle {
            connection,
            since: Instant::now(),
        });
        if !kept.sweeping {
            kept.sweeping = true;
            task::spawn(task::Kind::Server, sweep(Arc::downgrade(self)));
        }
    }

    fn is_old(&self, idle: &Idle) -> bool {
        idle.since.elapsed() >= self.timeout && !idle.connection.is_in_use()
    }
}

/// Closes connections when they get too old. Ends with the last of them, or with the pool; the next
/// one kept starts it again.
async fn sweep(pool: Weak<Pool>) {
    loop {
        let due = {
            let Some(pool) = pool.upgrade() else { return };
            let mut kept = pool.kept.lock();
            kept.connections
                .retain(|idle| !idle.connection.is_closed() && !pool.is_old(idle));
            let Some(oldest) = kept.connections.front() else {
                kept.sweeping = false;
                return;
            };
            // A shared one in use may be older than the time-out: look again after another.
            (oldest.since + pool.timeout).max(Instant::now() + SWEEP_PAUSE)
        };
        sleep_until(due).await;
    }
}

/// The least time between two sweeps.
const SWEEP_PAUSE: Duration = Duration::from_millis(100);
