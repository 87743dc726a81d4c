//! How much memory the machine has and has left, as the kernel tells it: the control groups around
//! this process count as much as the machine itself, since the kernel kills at their limits too.
//!
//! Reading costs some tens of microseconds, so it is done some times a second by a thread that serves
//! nobody ([`super::watch`]), from files that stay open.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Taken for the machine's memory where it cannot be read.
const UNKNOWN_MACHINE: u64 = 1 << 30;

/// A limit that is no limit: the first version of control groups writes one near the largest number.
const NO_LIMIT: u64 = 1 << 60;

/// Where to look. Found once; the numbers are read anew each time.
#[derive(Debug)]
pub struct Machine {
    meminfo: Told,
    statm: Told,
    /// Those around this process that can have a limit, the innermost first.
    groups: Vec<Group>,
}

/// One control group's files.
#[derive(Debug)]
struct Group {
    limit: Told,
    usage: Told,
    stat: Told,
    /// In `stat`: what the kernel would drop before it kills.
    inactive: &'static str,
}

/// A file that the kernel writes anew whenever it is read; none if there is no such file.
#[derive(Debug)]
struct Told(Option<File>);

impl Told {
    fn at(path: &Path) -> Told {
        Told(File::open(path).ok())
    }

    fn read(&self) -> Option<String> {
        let file = self.0.as_ref()?;
        let (mut text, mut piece) = (Vec::new(), [0; 4096]);
        loop {
            match file.read_at(&mut piece, text.len() as u64).ok()? {
                0 => return String::from_utf8(text).ok(),
                len => text.extend_from_slice(&piece[..len]),
            }
        }
    }

    /// The number that is all of it; "max" is none.
    fn number(&self) -> Option<u64> {
        self.read()?.trim().parse().ok()
    }
}

impl Machine {
    /// This machine.
    pub fn find() -> Machine {
        Machine::below(Path::new("/"))
    }

    fn below(root: &Path) -> Machine {
        let own = std::fs::read_to_string(root.join("proc/self/cgroup")).unwrap_or_default();
        Machine {
            meminfo: Told::at(&root.join("proc/meminfo")),
            statm: Told::at(&root.join("proc/self/statm")),
            groups: groups(&root.join("sys/fs/cgroup"), &own),
        }
    }

    /// All there is, in bytes.
    pub fn total(&self) -> u64 {
        let machine = self.meminfo("MemTotal:").unwrap_or(UNKNOWN_MACHINE);
        let groups = self.groups.iter().filter_map(Group::limit);
        groups.fold(machine, u64::min)
    }

    /// What could still be had without swapping, in bytes, the tightest control group's or the
    /// machine's; `None` if nobody tells.
    pub fn available(&self) -> Option<u64> {
        let machine = self.meminfo("MemAvailable:");
        let groups = self.groups.iter().filter_map(Group::available);
        groups.chain(machine).min()
    }

    /// This process's resident memory, in bytes.
    pub fn resident(&self) -> Option<u64> {
        let text = self.statm.read()?;
        let pages: u64 = text.split_ascii_whitespace().nth(1)?.parse().ok()?;
        Some(pages.saturating_mul(page()))
    }

    fn meminfo(&self, field: &str) -> Option<u64> {
        let text = self.meminfo.read()?;
        let line = text.lines().find_map(|line| line.strip_prefix(field))?;
        let kilobytes = line.trim().strip_suffix("kB")?.trim_end();
        Some(kilobytes.parse::<u64>().ok()?.saturating_mul(1024))
    }
}

impl Group {
    fn limit(&self) -> Option<u64> {
        self.limit.number().filter(|limit| *limit < NO_LIMIT)
    }

    fn available(&self) -> Option<u64> {
        let limit = self.limit()?;
        let used = self.usage.number()?;
        let stat = self.stat.read().unwrap_or_default();
        let inactive = stat
            .lines()
            .find_map(|line| line.strip_prefix(self.inactive)?.trim().parse().ok())
            .unwrap_or(0);
        Some(limit.saturating_sub(used.saturating_sub(inactive)))
    }
}

/// The groups of memory that this process is in, by `/proc/self/cgroup`: of either version.
fn groups(mounted: &Path, own: &str) -> Vec<Group> {
    let mut groups = Vec::new();
    for line in own.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (top, names): (_, fn(&Path) -> Group) = match controllers {
            "" => (mounted.to_owned(), second_version),
            many if many.split(',').any(|one| one == "memory") => {
                (mounted.join("memory"), first_version)
            }
            _ => continue,
        };
        let path = Path::new(path.trim_start_matches('/'));
        for ancestor in path.ancestors() {
            let group = names(&top.join(ancestor));
            if group.limit.0.is_some() {
                groups.push(group);
            }
        }
    }
    groups
}

fn first_version(group: &Path) -> Group {
    Group {
        limit: Told::at(&group.join("memory.limit_in_bytes")),
        usage: Told::at(&group.join("memory.usage_in_bytes")),
        stat: Told::at(&group.join("memory.stat")),
        inactive: "total_inactive_file ",
    }
}

fn second_version(group: &Path) -> Group {
    Group {
        limit: Told::at(&group.join("memory.max")),
        usage: Told::at(&group.join("memory.current")),
        stat: Told::at(&group.join("memory.stat")),
        inactive: "inactive_file ",
    }
}

/// Bytes of a page.
fn page() -> u64 {
    // SAFETY: sysconf takes a number and returns one.
    let bytes = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    u64::try_from(bytes).unwrap_or(4096)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A root directory with these files.
    fn root(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        let machine = Machine::below(root.path());
        (root, machine)
    }

    const MEMINFO: (&str, &str) = (
        "proc/meminfo",
        "MemTotal:       2048 kB\nMemFree:  1 kB\nMemAvailable:   1024 kB\n",
    );

    #[test]
    fn this_machine_tells() {
        let machine = Machine::find();
        let (total, available) = (machine.total(), machine.available().unwrap());
        assert!(
            total > 64 << 20 && available <= total,
            "{available} of {total}"
        );
        let resident = machine.resident().unwrap();
        assert!(resident > 1 << 20 && resident < total, "{resident}");
    }

    #[test]
    fn a_machine_without_groups_is_all_there_is() {
        let (_root, machine) = root(&[MEMINFO]);
        assert_eq!(machine.total(), 2 << 20);
        assert_eq!(machine.available(), Some(1 << 20));
        assert_eq!(machine.resident(), None);
    }

    #[test]
    fn a_machine_that_tells_nothing_is_small() {
        let (_root, machine) = root(&[]);
        assert_eq!(machine.total(), UNKNOWN_MACHINE);
        assert_eq!(machine.available(), None);
    }

    #[test]
    fn the_tightest_group_counts_and_what_the_kernel_would_drop_is_free() {
        let (_root, machine) = root(&[
            MEMINFO,
            ("proc/self/cgroup", "0::/outer/inner\n"),
            ("sys/fs/cgroup/outer/memory.max", "1000000\n"),
            ("sys/fs/cgroup/outer/memory.current", "900000\n"),
            (
                "sys/fs/cgroup/outer/memory.stat",
                "anon 5\ninactive_file 300000\nactive_file 7\n",
            ),
            ("sys/fs/cgroup/outer/inner/memory.max", "max\n"),
            ("sys/fs/cgroup/outer/inner/memory.current", "900000\n"),
        ]);
        assert_eq!(machine.total(), 1_000_000);
        assert_eq!(machine.available(), Some(400_000));
    }

    #[test]
    fn the_first_version_of_groups_is_read_too() {
        let (_root, machine) = root(&[
            MEMINFO,
            (
                "proc/self/cgroup",
                "9:name=systemd:/\n4:cpu,memory:/one\n1:cpuset:/one\n0::/\n",
            ),
            (
                "sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("sys/fs/cgroup/memory/memory.usage_in_bytes", "5\n"),
            ("sys/fs/cgroup/memory/one/memory.limit_in_bytes", "500000\n"),
            ("sys/fs/cgroup/memory/one/memory.usage_in_bytes", "600000\n"),
        ]);
        assert_eq!(machine.total(), 500_000);
        assert_eq!(machine.available(), Some(0));
    }
}
