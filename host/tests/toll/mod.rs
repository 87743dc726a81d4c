//! What a host's process holds, as the operating system sees it.

use std::time::Duration;

use crate::fixture::{Host, eventually};

/// Memory, descriptors and threads of a process at one moment.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Toll {
    /// Bytes.
    pub(crate) resident: u64,
    pub(crate) descriptors: usize,
    pub(crate) threads: usize,
}

/// What a host may hold more than before once all is over.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excess {
    /// Bytes. Each pooled slot that has been used keeps a MiB of memory resident, the allocator
    /// keeps pages for its next user, and the first trap of a component has its names read.
    pub(crate) resident: u64,
    /// Connections that the bystander's clients have opened or not at the moment of counting.
    pub(crate) descriptors: usize,
    /// A thread for blocking work that symbolises a trap's frames, or looks after connections.
    pub(crate) threads: usize,
    /// How long the allocator may take to give back what it has been given, and tokio to end a
    /// thread for blocking work that has none (10 s).
    pub(crate) within: Duration,
}

impl Toll {
    pub(crate) fn of(host: &Host) -> Toll {
        let list = |what: &str| {
            let entries = std::fs::read_dir(format!("/proc/{}/{what}", host.id())).unwrap();
            entries.count()
        };
        Toll {
            resident: host.resident(),
            descriptors: list("fd"),
            threads: list("task"),
        }
    }

    /// Waits until the host holds no more than this and the excess; fails with what it holds.
    pub(crate) async fn is_reached_again(self, host: &Host, excess: Excess) -> Toll {
        let most = Toll {
            resident: self.resident + excess.resident,
            descriptors: self.descriptors + excess.descriptors,
            threads: self.threads + excess.threads,
        };
        let fits = |toll: &Toll| {
            toll.resident <= most.resident
                && toll.descriptors <= most.descriptors
                && toll.threads <= most.threads
        };
        let settled = tokio::time::timeout(
            excess.within,
            eventually("the host's former size", async || {
                Some(Toll::of(host)).filter(&fits)
            }),
        );
        match settled.await {
            Ok(toll) => toll,
            Err(_) => panic!("held {self:?} before and {:?} after", Toll::of(host)),
        }
    }
}
