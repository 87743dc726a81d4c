//! What an instance holds of other services' instances: handles on their resources.
//!
//! The guest sees numbers; what is behind them is here. A handle keeps the instance that it is on
//! (`service::Lease`), and when it is dropped, by its guest or with it, its resource is.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use wasmtime::component::ResourceAny;

use crate::service::Lease;

/// A handle on a resource of another instance.
#[derive(Debug)]
pub(crate) struct Handle {
    pub(crate) lease: Arc<Lease>,
    /// In the store of that instance, which owns it there for whoever has this.
    any: ResourceAny,
    /// The resource's type.
    pub(crate) tag: u32,
    owned: bool,
}

/// The guest holds as many handles on other services' resources as it may.
#[derive(Debug, thiserror::Error)]
#[error("it holds as many handles on resources of other services as `limits.handles` allows")]
pub(crate) struct HoldsTooMany;

impl Handle {
    /// The instance that the lease is for gives out a handle on a resource of its own.
    ///
    /// # Errors
    /// If it has given out as many as it may.
    pub(crate) fn give(lease: &Arc<Lease>, any: ResourceAny, tag: u32) -> wasmtime::Result<Handle> {
        lease.give()?;
        Ok(Handle {
            lease: lease.clone(),
            any,
            tag,
            owned: true,
        })
    }

    /// The same for another attempt of the call that it is lent for; none if it is not lent but
    /// given.
    pub(super) fn lend(&self) -> Option<Handle> {
        (!self.owned).then(|| Handle {
            lease: self.lease.clone(),
            any: self.any,
            tag: self.tag,
            owned: false,
        })
    }

    /// Whether whoever has it may keep it.
    pub(super) fn is_owned(&self) -> bool {
        self.owned
    }

    /// It is back where its resource is: what it is there.
    pub(super) fn come_home(mut self) -> ResourceAny {
        if std::mem::take(&mut self.owned) {
            self.lease.take_back();
        }
        self.any
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        if self.owned {
            self.lease.let_go(self.any);
        }
    }
}

/// All handles of one instance.
#[derive(Debug)]
pub(crate) struct Holdings {
    places: HashMap<u32, Handle>,
    latest: u32,
    limit: usize,
    /// The instances that the handles are on, each with their number.
    leases: Vec<(Arc<Lease>, usize)>,
    /// Closed when the instance is gone; made when somebody wants to know.
    presence: Option<watch::Sender<()>>,
}

/// Tells when an instance is gone.
#[derive(Clone)]
pub(crate) struct Presence(watch::Receiver<()>);

impl Presence {
    /// Waits until it is.
    pub(crate) async fn lost(mut self) {
        // Nothing is ever sent.
        while self.0.changed().await.is_ok() {}
    }
}

impl Holdings {
    /// For an instance that may hold so many.
    pub(super) fn new(limit: usize) -> Holdings {
        Holdings {
            places: HashMap::new(),
            latest: 0,
            limit,
            leases: Vec::new(),
            presence: None,
        }
    }

    /// Tells when the instance is gone.
    pub(crate) fn presence(&mut self) -> Presence {
        let presence = self.presence.get_or_insert_with(|| watch::Sender::new(()));
        Presence(presence.subscribe())
    }

    /// Holds it, under the number that is returned.
    pub(super) fn insert(&mut self, handle: Handle) -> Result<u32, HoldsTooMany> {
        if self.places.len() >= self.limit {
            return Err(HoldsTooMany);
        }
        // There are fewer places than numbers, so that one is free.
        loop {
            self.latest = self.latest.wrapping_add(1);
            if !self.places.contains_key(&self.latest) {
                break;
            }
        }
        let lease = &handle.lease;
        match self
            .leases
            .iter_mut()
            .find(|(of, _)| Arc::ptr_eq(of, lease))
        {
            Some((_, count)) => *count += 1,
            None => self.leases.push((lease.clone(), 1)),
        }
        self.places.insert(self.latest, handle);
        Ok(self.latest)
    }

    /// Holds it no more.
    pub(crate) fn remove(&mut self, place: u32) -> Option<Handle> {
        let handle = self.places.remove(&place)?;
        let lease = &handle.lease;
        if let Some(at) = self
            .leases
            .iter()
            .position(|(of, _)| Arc::ptr_eq(of, lease))
        {
            let count = &mut self.leases[at].1;
            *count -= 1;
            if *count == 0 {
                self.leases.swap_remove(at);
            }
        }
        Some(handle)
    }

    /// The same handle for the time of a call.
    pub(super) fn lend(&self, place: u32) -> Option<Handle> {
        let handle = self.places.get(&place)?;
        Some(Handle {
            lease: handle.lease.clone(),
            any: handle.any,
            tag: handle.tag,
            owned: false,
        })
    }

    /// The instance of that service on whose resources it has handles. Its other calls go there
    /// too, as if the two had been built into one.
    pub(crate) fn lease_on(&self, service: &Arc<str>) -> Option<Arc<Lease>> {
        let mut leases = self.leases.iter();
        let (lease, _) = leases.find(|(lease, _)| lease.is_of(service))?;
        Some(lease.clone())
    }
}
