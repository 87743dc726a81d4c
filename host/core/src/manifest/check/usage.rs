//! `limits` of a service: ranges, defaults and what must fit together.
use std::ops::RangeInclusive;
use std::time::Duration;

use super::super::file::{OutgoingFile, ServiceLimitsFile};
use super::super::mistake::Mistake;
use super::super::read::{Entry, Field, good};
use super::Checker;
use super::service::TIME_MIN;
use crate::cpu;
use crate::instances::InstancePolicy;
use crate::limits::{self, OutgoingLimits, ServiceLimits};
use crate::size::ByteSize;

impl Checker {
    pub(super) fn limits(
        &mut self,
        field: &Field<ServiceLimitsFile>,
        instances: &InstancePolicy,
    ) -> ServiceLimits {
        let empty = ServiceLimitsFile::default();
        let file = good(field).map_or(&empty, |file| &file.value);
        let default = ServiceLimits::default();
        let (memory, memory_total) = self.memory(file, instances);
        let (cpu_time, deadline) = self.call_times(file);
        let mut count = |field, key, range: RangeInclusive<u32>, default| {
            self.count_between(field, key, range)
                .map_or(default, |count| count.value)
        };
        let table_elements = count(
            &file.table_elements,
            "table-elements",
            1..=limits::TABLE_ELEMENTS_MAX,
            default.table_elements,
        );
        let concurrency = count(
            &file.concurrency,
            "concurrency",
            1..=limits::CONCURRENCY_MAX,
            default.concurrency,
        );
        let queue = count(&file.queue, "queue", 0..=limits::QUEUE_MAX, default.queue);
        let handles = count(
            &file.handles,
            "handles",
            16..=limits::HANDLES_MAX,
            default.handles,
        );
        let cpu_weight = count(
            &file.cpu_weight,
            "cpu-weight",
            1..=cpu::WEIGHT_MAX,
            default.cpu_weight,
        );
        let files = count(&file.files, "files", 1..=limits::FILES_MAX, default.files);
        let mut limits = ServiceLimits {
            memory,
            memory_total,
            memory_policy: good(&file.memory_policy)
                .map_or(default.memory_policy, |policy| policy.value),
            table_elements,
            cpu: cpu_time,
            cpu_share: good(&file.cpu_share).map(|share| share.value),
            cpu_weight,
            deadline,
            concurrency,
            queue,
            handles,
            files,
            ..default
        };
        self.sizes(file, &mut limits);
        limits.outgoing = self.outgoing(&file.outgoing);
        limits
    }

    fn sizes(&mut self, file: &ServiceLimitsFile, limits: &mut ServiceLimits) {
        let body = ByteSize::bytes(0)..=limits::BODY_MAX;
        let headers = ByteSize::kib(1)..=limits::HEADERS_MAX;
        let buffers = limits::BUFFERS_MIN..=limits::BUFFERS_MAX;
        let fuel = ByteSize::kib(64)..=limits::HOSTCALL_FUEL_MAX;
        let rate = ByteSize::bytes(0)..=limits::LOG_RATE_MAX;
        // A shorter line says nothing.
        let line = ByteSize::bytes(80)..=limits::LOG_LINE_MAX;
        let sizes = [
            (
                &file.request_body,
                "request-body",
                body.clone(),
                &mut limits.request_body,
            ),
            (
                &file.response_body,
                "response-body",
                body,
                &mut limits.response_body,
            ),
            (&file.headers, "headers", headers, &mut limits.headers),
            (&file.buffers, "buffers", buffers, &mut limits.buffers),
            (
                &file.hostcall_fuel,
                "hostcall-fuel",
                fuel,
                &mut limits.hostcall_fuel,
            ),
            (&file.log_rate, "log-rate", rate, &mut limits.log_rate),
            (&file.log_line, "log-line", line, &mut limits.log_line),
        ];
        for (field, key, range, limit) in sizes {
            if let Some(size) = self.size_between(field, key, range) {
                *limit = size.value;
            }
        }
    }

    /// Of one instance and of all.
    fn memory(
        &mut self,
        file: &ServiceLimitsFile,
        instances: &InstancePolicy,
    ) -> (ByteSize, ByteSize) {
        let range = limits::MEMORY_MIN..=limits::MEMORY_MAX;
        let memory = self
            .size_between(&file.memory, "memory", range)
            .map_or(limits::MEMORY, |memory| memory.value);
        let all = limits::MEMORY_MIN..=limits::MEMORY_TOTAL_MAX;
        let total = self.size_between(&file.memory_total, "memory-total", all);
        let bad_memory = matches!(file.memory, Some(Entry::Bad));
        if let Some(total) = total.as_ref().filter(|total| total.value < memory)
            && !bad_memory
        {
            let message = format!(
                "all instances together may use {}, but each one {memory}",
                total.value
            );
            self.note(
                Mistake::new("memory-total-too-small", total.span.clone(), message)
                    .label("less than `memory`")
                    .help("raise `memory-total` or lower `memory`"),
            );
        }
        let total = total.map_or(memory.saturating_mul(u64::from(instances.max)), |t| t.value);
        (memory, total)
    }

    /// CPU time and deadline of a call.
    fn call_times(&mut self, file: &ServiceLimitsFile) -> (Duration, Duration) {
        let range = TIME_MIN..=limits::DEADLINE_MAX;
        let cpu = self.spanned_time(&file.cpu, "cpu", range.clone());
        let deadline = self
            .time_between(&file.deadline, "deadline", range)
            .unwrap_or(limits::DEADLINE);
        let bad_deadline = matches!(file.deadline, Some(Entry::Bad));
        if let Some(cpu) = cpu.as_ref().filter(|cpu| cpu.value > deadline)
            && !bad_deadline
        {
            let message = format!(
                "a call may compute for {}, but its deadline is after {}",
                crate::duration::show(cpu.value),
                crate::duration::show(deadline),
            );
            self.note(
                Mistake::new("cpu-over-deadline", cpu.span.clone(), message)
                    .label("more than `deadline`")
                    .help("raise `deadline` or lower `cpu`"),
            );
        }
        let cpu = cpu.map_or(limits::CPU.min(deadline), |cpu| cpu.value);
        (cpu, deadline)
    }

    fn outgoing(&mut self, field: &Field<OutgoingFile>) -> OutgoingLimits {
        let default = OutgoingLimits::default();
        let Some(file) = good(field) else {
            return default;
        };
        let most = limits::OUTGOING_CONCURRENCY_MAX;
        let concurrency = self.count_between(&file.concurrency, "concurrency", 1..=most);
        let idle = self.count_between(&file.idle, "idle", 0..=most);
        let headers = self.size_between(
            &file.headers,
            "headers",
            ByteSize::bytes(1024)..=limits::HEADERS_MAX,
        );
        let mut timeout = |field, key, default| {
            self.time_between(field, key, TIME_MIN..=limits::DEADLINE_MAX)
                .unwrap_or(default)
        };
        OutgoingLimits {
            concurrency: concurrency.map_or(default.concurrency, |count| count.value),
            idle: idle.map_or(default.idle, |count| count.value),
            connect_timeout: timeout(
                &file.connect_timeout,
                "connect-timeout",
                default.connect_timeout,
            ),
            first_byte_timeout: timeout(
                &file.first_byte_timeout,
                "first-byte-timeout",
                default.first_byte_timeout,
            ),
            between_bytes_timeout: timeout(
                &file.between_bytes_timeout,
                "between-bytes-timeout",
                default.between_bytes_timeout,
            ),
            headers: headers.map_or(default.headers, |headers| headers.value),
        }
    }
}
