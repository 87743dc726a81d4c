//! What the host's process holds: memory, mappings, threads, files, instances, tasks, pool slots.
//! Read when somebody asks (`skep ps --json`), so that a leak can be seen from outside.

use skep_core::status::{HostUsage, PoolUsage};
use wasmtime::Engine;

use crate::engine::{Engines, Kind};
use crate::{instance, task};

/// Reads it all. Blocking: some files of `/proc`, a millisecond or two.
pub fn read(engines: &Engines) -> HostUsage {
    let mut pools = Vec::new();
    engines.each(|kind, engine| pools.extend(pool(kind, engine)));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    HostUsage {
        resident_bytes: field(&status, "VmRSS:").saturating_mul(1024),
        mappings: count(lines("/proc/self/maps")),
        threads: count(field(&status, "Threads:")),
        // One of them is that of the listing itself.
        files: count(entries("/proc/self/fd").saturating_sub(1)),
        stores: count(instance::live()),
        tasks: task::running()
            .map(|(kind, running)| (kind.name().to_owned(), running))
            .collect(),
        pools,
    }
}

fn pool(kind: Kind, engine: &Engine) -> Option<PoolUsage> {
    let metrics = engine.pooling_allocator_metrics()?;
    let resident = [
        Some(metrics.unused_memory_bytes_resident()),
        Some(metrics.unused_table_bytes_resident()),
        metrics.unused_stack_bytes_resident(),
    ];
    Some(PoolUsage {
        engine: kind.name().to_owned(),
        instances: count(metrics.component_instances()),
        memories: count(metrics.memories()),
        tables: count(metrics.tables()),
        stacks: count(metrics.stacks()),
        warm_memories: metrics.unused_warm_memories(),
        resident_bytes: resident
            .into_iter()
            .flatten()
            .map(|bytes| bytes as u64)
            .sum(),
    })
}

/// A number of `/proc/self/status`, 0 if it is not there.
fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let number = line.and_then(|rest| rest.split_whitespace().next());
    number.and_then(|number| number.parse().ok()).unwrap_or(0)
}

fn lines(file: &str) -> usize {
    let bytes = std::fs::read(file).unwrap_or_default();
    memchr::memchr_iter(b'\n', &bytes).count()
}

fn entries(directory: &str) -> usize {
    std::fs::read_dir(directory).map_or(0, Iterator::count)
}

fn count(n: impl TryInto<u32>) -> u32 {
    n.try_into().unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_sees_its_own_threads_files_and_mappings() {
        let before = read(&Engines::default());
        assert!(before.resident_bytes > 1 << 20, "{before:?}");
        assert!(before.mappings > 10, "{before:?}");
        // Other tests of this process may open and close files and threads meanwhile, so many not.
        let files: Vec<_> = (0..500)
            .map(|_| std::fs::File::open("/proc/self/status").unwrap())
            .collect();
        let after = read(&Engines::default());
        assert!(after.files >= before.files + 400, "{before:?} {after:?}");
        assert!(after.threads > 0);
        drop(files);
    }

    #[test]
    fn what_is_not_there_counts_nothing() {
        assert_eq!(field("Threads:\t7\nVmRSS:\t  12 kB\n", "VmRSS:"), 12);
        assert_eq!(field("Threads:\tmany", "Threads:"), 0);
        assert_eq!(entries("/proc/self/no such directory"), 0);
    }
}
