//! The ways to fail, with what each is told, called and counted as, wherever it happens.

use serde_json::Value;

use crate::fixture::Host;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    Trap,
    Cpu,
    Deadline,
    /// Growing is refused, and the guest's allocator aborts.
    Memory,
    HostPanic,
}

impl Failure {
    /// As the guests called `failing` know it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Failure::Trap => "trap",
            Failure::Cpu => "cpu",
            Failure::Deadline => "deadline",
            Failure::Memory => "memory",
            Failure::HostPanic => "host-panic",
        }
    }

    /// What a client is told that has been told nothing yet.
    pub(super) fn status(self) -> u16 {
        match self {
            Failure::Trap | Failure::Cpu | Failure::Memory => 502,
            Failure::Deadline => 504,
            Failure::HostPanic => 500,
        }
    }

    /// In the log.
    pub(super) fn label(self) -> &'static str {
        match self {
            Failure::Trap | Failure::Memory => "trap",
            Failure::Cpu => "cpu-limit",
            Failure::Deadline => "deadline",
            Failure::HostPanic => "host-panic",
        }
    }

    /// The kind of a phase's cause.
    pub(super) fn kind(self) -> &'static str {
        match self {
            Failure::Trap | Failure::Memory => "trap",
            Failure::Cpu => "cpu",
            Failure::Deadline => "deadline",
            Failure::HostPanic => "host",
        }
    }

    /// A word that its description has, for the operator.
    pub(super) fn word(self) -> &'static str {
        match self {
            Failure::Trap | Failure::Memory => "trap",
            Failure::Cpu => "CPU time",
            Failure::Deadline => "health check",
            Failure::HostPanic => "host code panicked",
        }
    }

    /// Instances lost by their own fault; a deadline says nothing about whose fault it is.
    pub(super) fn crashes(self, times: u64) -> u64 {
        if self == Failure::Deadline { 0 } else { times }
    }

    /// The service called `failing` is blamed for so many crashes, and is as ready as before.
    pub(super) async fn is_blamed_on_the_instance(self, host: &Host, times: u64) {
        let crashes = self.crashes(times);
        let row = host
            .until("failing", "its crashes", |row| row["crashes"] == crashes)
            .await;
        assert_eq!(row["phase"]["name"], "ready", "{row}");
        assert_eq!(row["restarts"], 0, "{row}");
        if crashes > 0 {
            self.is_logged(host, "instance lost").await;
        }
    }

    /// A line of the log says whose instance was lost, and how.
    pub(super) async fn is_logged(self, host: &Host, begin: &str) -> Value {
        let line = host.message(begin).await;
        assert_eq!(line["service"], "failing", "{line}");
        assert_eq!(line["failure"], self.label(), "{line}");
        line
    }

    /// Nothing but a panic on purpose has panicked.
    pub(super) fn is_the_only_panic(self, host: &Host) {
        if self == Failure::HostPanic {
            let text = host.stderr().join("\n") + &host.log_text();
            assert!(!text.contains("a task of the host panicked"), "{text}");
        } else {
            host.assert_no_panic();
        }
    }
}
