//! How a service is asked whether it is well.
use std::time::Duration;

use serde::Serialize;

/// A health check answers within this, or it has failed.
pub const TIMEOUT: Duration = Duration::from_secs(1);
/// A longer health check says nothing about health.
pub const TIMEOUT_MAX: Duration = Duration::from_secs(60);
/// More frequent checks would be load.
pub const INTERVAL_MIN: Duration = Duration::from_millis(100);
/// Rarer checks find nothing in time.
pub const INTERVAL_MAX: Duration = Duration::from_secs(3600);

/// `health = "/path"` or `{ path, timeout, interval }` in the manifest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct HealthCheck {
    /// The path of a GET request; any answer from 200 to 399 is good.
    pub path: String,
    pub timeout: Duration,
    /// How often a ready service is asked; `None`: only before it becomes ready.
    pub interval: Option<Duration>,
}

/// Checks that fail in a row before a ready service is judged unhealthy: one may be bad luck.
pub const FAILURES: u32 = 3;
