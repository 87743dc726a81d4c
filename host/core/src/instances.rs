//! How a service's instances are kept: fresh for each request, reused, shared, warm.
use std::time::Duration;

use serde::Serialize;

use crate::spanned::Spanned;

/// Instances of one service at the same time.
pub const MAX: u32 = 64;
/// More than this is not an isolation of services but a load test.
pub const MAX_MAX: u32 = 100_000;
/// Instances kept ready although nobody asks: instantiating takes microseconds.
pub const WARM: u32 = 0;
/// An instance that nobody has used for this long is dropped.
pub const IDLE: Duration = Duration::from_secs(10);
/// A longer idle time is what `warm` is for.
pub const IDLE_MAX: Duration = Duration::from_secs(86_400);
/// Requests that one instance of a synchronous handler serves: one, so that no request ever sees
/// what another left behind.
pub const REUSE_SYNC: u32 = 1;
/// Requests that one instance of an asynchronous handler serves before it is retired, which bounds
/// what a leak can gather.
pub const REUSE_ASYNC: u32 = 1000;
/// Requests that one instance of an asynchronous handler serves at the same time.
pub const CONCURRENT_ASYNC: u32 = 16;
/// What one instance can serve at the same time.
pub const CONCURRENT_MAX: u32 = 10_000;

/// How a component handles requests; the host finds it out from the component's exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HandlerKind {
    /// `wasi:http/incoming-handler@0.2`: one request at a time.
    Sync,
    /// `wasi:http/handler@0.3`: several requests at a time in one instance.
    Async,
}

/// The manifest's wishes. What is absent depends on the component: see [`Self::for_handler`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstancePolicy {
    /// Requests that one instance serves before it is retired; 1 means fresh for each request.
    pub reuse: Option<Spanned<u32>>,
    /// Requests that one instance serves at the same time; more than 1 needs an asynchronous handler.
    pub concurrent: Option<Spanned<u32>>,
    /// Instances at the same time.
    pub max: u32,
    /// Instances kept ready.
    pub warm: u32,
    /// An unused instance beyond `warm` is dropped after this.
    pub idle: Duration,
}

impl Default for InstancePolicy {
    fn default() -> Self {
        Self {
            reuse: None,
            concurrent: None,
            max: MAX,
            warm: WARM,
            idle: IDLE,
        }
    }
}

/// An [`InstancePolicy`] with nothing left to choose.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Instances {
    pub reuse: u32,
    pub concurrent: u32,
    pub max: u32,
    pub warm: u32,
    pub idle: Duration,
}

impl InstancePolicy {
    /// Fills in what the manifest left open. A synchronous handler always has `concurrent` 1; that a
    /// manifest asks for more is a mistake for the host to report.
    pub fn for_handler(&self, kind: HandlerKind) -> Instances {
        let (reuse, concurrent) = match kind {
            HandlerKind::Sync => (REUSE_SYNC, 1),
            HandlerKind::Async => (REUSE_ASYNC, CONCURRENT_ASYNC),
        };
        let reuse = self.reuse.as_ref().map_or(reuse, |reuse| reuse.value);
        let concurrent = match kind {
            HandlerKind::Sync => 1,
            HandlerKind::Async => self.concurrent.as_ref().map_or(concurrent, |c| c.value),
        };
        Instances {
            reuse,
            // An instance that serves five requests in its life never has six at the same time.
            concurrent: concurrent.min(reuse),
            max: self.max,
            warm: self.warm,
            idle: self.idle,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_synchronous_handler_is_fresh_for_each_request_unless_told_otherwise() {
        let policy = InstancePolicy::default();
        let fresh = policy.for_handler(HandlerKind::Sync);
        assert_eq!((fresh.reuse, fresh.concurrent), (1, 1));
        let shared = policy.for_handler(HandlerKind::Async);
        assert_eq!((shared.reuse, shared.concurrent), (1000, 16));

        let policy = InstancePolicy {
            reuse: Some(Spanned::new(5, 0..0)),
            concurrent: Some(Spanned::new(9, 0..0)),
            ..InstancePolicy::default()
        };
        let reused = policy.for_handler(HandlerKind::Sync);
        assert_eq!((reused.reuse, reused.concurrent), (5, 1));
        let shared = policy.for_handler(HandlerKind::Async);
        assert_eq!((shared.reuse, shared.concurrent), (5, 5));
    }
}
