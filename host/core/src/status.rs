//! The rows that listings show: what `skep ps` prints and what its `--json` carries.
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::lifecycle::{Kind, Phase};
use crate::name::{AppName, ServiceName};
use crate::rollout::Exposure;

/// One host and its application, as the host sees them at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostStatus {
    pub application: AppName,
    /// The number of the generation that serves.
    pub generation: u64,
    /// The time of this status, in milliseconds since the origin of the phases' times.
    pub now_ms: u64,
    /// Open connections.
    pub connections: u32,
    /// What all guests hold together, in bytes: memories, tables, and what the host holds for them.
    pub memory_bytes: u64,
    /// What they may hold: `host.memory`.
    pub memory_limit_bytes: u64,
    /// Whether, and why, new requests are turned away for want of memory.
    pub memory_pressure: MemoryPressure,
    /// Memory that the machine, or the control group, has left, in bytes.
    pub available_bytes: u64,
    /// What the process holds.
    pub host: HostUsage,
    /// By name.
    pub services: Vec<ServiceStatus>,
}

/// What the host's process holds at one moment: whatever a leak would make grow. At rest it comes
/// back to where it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct HostUsage {
    /// Resident memory of the process, in bytes. 0 where the system does not tell, as below.
    pub resident_bytes: u64,
    /// Memory mappings of the process.
    pub mappings: u32,
    pub threads: u32,
    /// Open file descriptors.
    pub files: u32,
    /// Instances of all services that exist now, idle or busy, with those that are being made or
    /// dropped.
    pub stores: u32,
    /// Tasks by kind.
    pub tasks: BTreeMap<String, u32>,
    /// The instance pools, one for each engine that the application needs; none where instances
    /// are made on demand.
    pub pools: Vec<PoolUsage>,
}

/// What is in use of one instance pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct PoolUsage {
    /// `serial` or `concurrent`.
    pub engine: String,
    /// Slots in use.
    pub instances: u32,
    pub memories: u32,
    pub tables: u32,
    pub stacks: u32,
    /// Slots for memories that have been used, and are free.
    pub warm_memories: u32,
    /// Bytes that free slots keep resident for the next instance.
    pub resident_bytes: u64,
}

/// Whether there is memory for new requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub enum MemoryPressure {
    /// There is.
    #[default]
    None,
    /// The guests hold nearly all of `host.memory`: services that hold more than their share of it
    /// take no new requests.
    Guests,
    /// The machine, or the control group, has less than `host.memory-reserve` left: no service takes
    /// new requests.
    Machine,
}

/// A revision that serves a share of the requests.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Candidate {
    pub revision: u32,
    /// What it gets.
    #[serde(flatten)]
    pub exposure: Exposure,
}

/// One service at one moment. Counts are since the host started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct ServiceStatus {
    pub service: ServiceName,
    pub kind: Kind,
    pub revision: u32,
    /// The revision that is on trial beside it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub candidate: Option<Candidate>,
    /// The component's sha-256, in hexadecimal.
    pub digest: String,
    pub phase: Phase,
    /// Instances that exist now.
    pub instances: u32,
    /// Of them, those that serve a call.
    pub busy: u32,
    /// Calls under way.
    pub in_flight: u32,
    /// Calls that wait for their turn.
    pub queued: u32,
    /// What its instances hold, in bytes: memories, tables, and `buffer_bytes`.
    pub memory_bytes: u64,
    /// The most that `memory_bytes` has been.
    pub memory_peak_bytes: u64,
    /// Of `memory_bytes`, what the host holds for the guests: bodies, header fields, handles, stacks.
    pub buffer_bytes: u64,
    /// Calls that were admitted.
    pub calls: u64,
    /// Calls that were refused because the queue was full or the service not ready.
    pub shed: u64,
    /// Instances that were lost by their own fault.
    pub crashes: u64,
    /// Starts after the first.
    pub restarts: u64,
}

impl ServiceStatus {
    /// Why the service is not ready, where there is a reason; in one line.
    pub fn cause(&self) -> Option<&str> {
        self.phase.cause().map(|cause| cause.message.as_str())
    }
}

/// The latest crashes of a service, as far as they are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct Crashes {
    pub service: ServiceName,
    /// Since the host started; only the newest are kept.
    pub total: u64,
    /// The oldest first.
    pub crashes: Vec<CrashReport>,
}

/// All that is known of one crash. It has what the guest printed, and no header, query or body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrashReport {
    /// Counted from 1 since the host started.
    pub number: u64,
    /// RFC 3339, in UTC.
    pub time: String,
    pub revision: u32,
    /// None if there was no instance yet, or none was concerned.
    pub instance: Option<u64>,
    /// One word, as in the log: `trap`, `cpu-limit`, `health`…
    pub failure: String,
    /// The kind of trap, where it was one.
    pub trap: Option<String>,
    pub message: String,
    /// The guest's stack, the innermost first.
    pub frames: Vec<String>,
    /// Frames that are not kept.
    pub omitted_frames: u32,
    /// What the instance was serving.
    pub requests: Vec<CrashedRequest>,
    /// Linear memory and tables of the instance, where that could be asked.
    pub memory_bytes: Option<u64>,
    /// CPU time of the call, or of the worker, in microseconds.
    pub cpu_us: u64,
    /// The last lines that the instance printed.
    pub log: Vec<CrashLine>,
    /// The file of its core dump, where there is one.
    pub core_dump: Option<String>,
}

/// A request that a crash ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrashedRequest {
    pub id: String,
    pub method: String,
    /// Without the query: queries carry secrets.
    pub path: String,
    /// As the manifest writes it; none for a health check.
    pub route: Option<String>,
}

/// A line that a guest printed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "openapi", derive(utoipa::ToSchema))]
pub struct CrashLine {
    /// RFC 3339, in UTC.
    pub time: String,
    /// `stdout`, `stderr`, or `log` of `wasi:logging`.
    pub stream: String,
    pub text: String,
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::lifecycle::{Cause, CauseKind};

    #[test]
    fn a_row_reads_back_from_its_json() {
        let row = ServiceStatus {
            service: ServiceName::parse("cart").unwrap(),
            kind: Kind::Http,
            candidate: None,
            revision: 3,
            digest: "00ff".into(),
            phase: Phase::Parked {
                since: Duration::from_millis(1500),
                cause: Cause::new(CauseKind::Trap, "unreachable executed"),
                crashes: 6,
            },
            instances: 0,
            busy: 0,
            in_flight: 0,
            queued: 0,
            memory_bytes: 0,
            memory_peak_bytes: 4096,
            buffer_bytes: 0,
            calls: 12,
            shed: 4,
            crashes: 6,
            restarts: 5,
        };
        let json = serde_json::to_value(&row).unwrap();
        assert_eq!(json["phase"]["name"], "parked");
        assert_eq!(json["phase"]["since"], 1500);
        assert_eq!(json["phase"]["cause"]["kind"], "trap");
        assert_eq!(serde_json::from_value::<ServiceStatus>(json).unwrap(), row);
        assert_eq!(row.cause(), Some("unreachable executed"));
    }
}
