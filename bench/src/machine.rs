//! The machine that was measured on, and how busy others kept it meanwhile.

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::process::{all_cores, run};

/// What a reader needs to judge figures; nothing that names the machine.
#[derive(Clone, Debug)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cores: usize,
    pub(crate) memory_gib: f64,
    pub(crate) kernel: String,
}

impl Machine {
    pub(crate) fn look() -> Self {
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let value = |text: &str, name: &str| {
            let line = text.lines().find(|line| line.starts_with(name));
            line.and_then(|line| Some(line.split_once(':')?.1.trim().to_owned()))
                .unwrap_or_default()
        };
        let memory = value(&read("/proc/meminfo"), "MemTotal");
        let kib: f64 = memory
            .split(' ')
            .next()
            .and_then(|kib| kib.parse().ok())
            .unwrap_or(0.0);
        Self {
            cpu: value(&read("/proc/cpuinfo"), "model name"),
            cores: all_cores().len(),
            memory_gib: kib / 1024.0 / 1024.0,
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
        }
    }

    /// One sentence.
    pub(crate) fn describe(&self) -> String {
        format!(
            "{} ({} cores, {:.0} GiB), Linux {}",
            self.cpu, self.cores, self.memory_gib, self.kernel
        )
    }
}

/// Today in UTC, `2026-01-31`.
pub(crate) fn today() -> String {
    let seconds = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    date(seconds / 86_400)
}

/// Howard Hinnant's civil-from-days, for days since 1970.
fn date(days: u64) -> String {
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

/// The compiler's version, or nothing where there is none.
pub(crate) fn rustc() -> String {
    let mut command = Command::new("rustc");
    command.arg("--version");
    let version = run(command, Duration::from_secs(20)).unwrap_or_default();
    version
        .split(" (")
        .next()
        .unwrap_or_default()
        .trim()
        .to_owned()
}

/// Watches one core, to say how much of it went to neither the subject nor idleness.
#[derive(Debug)]
pub(crate) struct CoreWatch {
    core: usize,
    busy: Duration,
    since: Instant,
}

impl CoreWatch {
    pub(crate) fn start(core: usize) -> Self {
        Self {
            core,
            busy: busy(core),
            since: Instant::now(),
        }
    }

    /// The share of the core, 0 to 1, that others used while `own` CPU time was ours.
    pub(crate) fn others(&self, own: Duration) -> f64 {
        let wall = self.since.elapsed().as_secs_f64().max(1e-9);
        let busy = busy(self.core).saturating_sub(self.busy);
        (busy.saturating_sub(own).as_secs_f64() / wall).clamp(0.0, 1.0)
    }
}

/// Time the core was not idle, stolen time included. `/proc/stat` counts in ticks of 10 ms.
fn busy(core: usize) -> Duration {
    const TICK: Duration = Duration::from_millis(10);
    let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
    let name = format!("cpu{core} ");
    let line = stat
        .lines()
        .find_map(|line| line.strip_prefix(&name))
        .unwrap_or_default();
    let ticks: Vec<u32> = line
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    // user nice system idle iowait irq softirq steal; guest time is part of user time.
    let busy: u32 = [0, 1, 2, 5, 6, 7]
        .iter()
        .filter_map(|field| ticks.get(*field))
        .sum();
    TICK * busy
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_become_dates() {
        for (days, text) in [
            (0, "1970-01-01"),
            (58, "1970-02-28"),
            (59, "1970-03-01"),
            (11_016, "2000-02-29"),
            (20_819, "2027-01-01"),
        ] {
            assert_eq!(date(days), text);
        }
    }
}
