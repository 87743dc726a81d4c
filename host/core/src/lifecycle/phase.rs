//! Where a service stands. Each phase holds what is true only then, and all of it can be shown.
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Where a service stands. Times are since the origin that the host chose; in JSON they are whole
/// milliseconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Phase {
    /// An instance is being made and asked for its health; or a worker is being started.
    Starting {
        /// 1 for the first try since the service was last healthy.
        attempt: u32,
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        since: Duration,
    },
    /// Requests are admitted; or a worker runs.
    Ready {
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        since: Duration,
        /// Counted crashes within the window, as of the latest crash.
        crashes: u32,
    },
    /// It lives, but its readiness checks say that it can take no requests for now.
    Unready {
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        since: Duration,
        /// Counted crashes within the window, as of the latest crash.
        crashes: u32,
        cause: Cause,
    },
    /// Waits before the next try; requests are answered 503.
    BackingOff {
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        since: Duration,
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        until: Duration,
        /// Failures since the service was last healthy.
        attempt: u32,
        cause: Cause,
    },
    /// Given up until somebody asks for a restart; requests are answered 503.
    Parked {
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        since: Duration,
        cause: Cause,
        /// Failures since the service was last healthy.
        crashes: u32,
    },
    /// Nothing new is admitted; what is under way may end until the deadline.
    Draining {
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        since: Duration,
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        deadline: Duration,
        then: Then,
        cause: Cause,
    },
    /// Nothing runs.
    Stopped {
        #[serde(with = "crate::duration::millis")]
        #[cfg_attr(feature = "openapi", schema(value_type = u64))]
        since: Duration,
        cause: Cause,
    },
}

impl Phase {
    /// One word for listings and metrics.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Starting { .. } => "starting",
            Self::Ready { .. } => "ready",
            Self::Unready { .. } => "unready",
            Self::BackingOff { .. } => "backing-off",
            Self::Parked { .. } => "parked",
            Self::Draining { .. } => "draining",
            Self::Stopped { .. } => "stopped",
        }
    }

    /// Since when, from the origin of times.
    pub fn since(&self) -> Duration {
        match self {
            Self::Starting { since, .. }
            | Self::Ready { since, .. }
            | Self::Unready { since, .. }
            | Self::BackingOff { since, .. }
            | Self::Parked { since, .. }
            | Self::Draining { since, .. }
            | Self::Stopped { since, .. } => *since,
        }
    }

    /// Why the service is not ready, where there is a reason.
    pub fn cause(&self) -> Option<&Cause> {
        match self {
            Self::Unready { cause, .. }
            | Self::BackingOff { cause, .. }
            | Self::Parked { cause, .. }
            | Self::Draining { cause, .. }
            | Self::Stopped { cause, .. } => Some(cause),
            Self::Starting { .. } | Self::Ready { .. } => None,
        }
    }

    /// Requests are admitted, or a worker runs.
    pub fn is_ready(&self) -> bool {
        matches!(self, Self::Ready { .. })
    }

    /// It has started and not failed since, whether it takes requests or not.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Ready { .. } | Self::Unready { .. })
    }

    /// Nothing runs, and nothing will by itself.
    pub fn is_at_rest(&self) -> bool {
        matches!(self, Self::Parked { .. } | Self::Stopped { .. })
    }

    /// It has had its try at starting: those that start after it need not wait for it any more.
    pub fn is_settled(&self) -> bool {
        self.is_up() || self.is_at_rest()
    }
}

/// What follows a drain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum Then {
    Stopped,
    Starting,
    Parked,
}

/// Why a service failed or stopped.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Cause {
    pub kind: CauseKind,
    /// One line for people who operate the host; never for a client.
    pub message: String,
}

impl Cause {
    pub fn new(kind: CauseKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// The kind of a [`Cause`], for metrics and machines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum CauseKind {
    /// Nobody has asked for it yet.
    NotStarted,
    /// The component could not be instantiated.
    Instantiation,
    /// The guest trapped.
    Trap,
    /// The guest wanted more memory than it may have.
    Memory,
    /// The guest used more CPU time than it may.
    Cpu,
    /// The guest did not answer in time.
    Deadline,
    /// A health check failed.
    Health,
    /// It goes with its group.
    Group,
    /// The start took too long.
    StartTimeout,
    /// A worker ended with an error.
    Exited,
    /// A worker ended well.
    Finished,
    /// Somebody asked for it.
    Requested,
    /// Somebody asked for it, and what was under way did not end in time.
    Cut,
    /// The host could not do its part.
    Host,
}
