//! A child process that cannot outlive the bench: pinned to a core, in a session of its
//! own, killed when dropped, with what it printed kept for the error text.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Read};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Where a process may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cores {
    One(usize),
    /// Every core the bench itself was given.
    All,
}

#[derive(Clone, Copy)]
enum Priority {
    /// Ahead of the machine's other processes where that is allowed: subjects stay comparable
    /// with each other, and neighbours disturb less.
    High,
    /// As any process.
    Normal,
}

impl Priority {
    fn niceness(self) -> libc::c_int {
        match self {
            Self::High => -15,
            Self::Normal => 0,
        }
    }
}

/// A running child.
#[derive(Debug)]
pub(crate) struct Process {
    child: Child,
    name: String,
    output: Output,
}

/// What a process tree has used so far.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Usage {
    /// User and system time of all threads, dead ones too.
    pub(crate) cpu: Duration,
    /// Resident now, bytes.
    pub(crate) resident: u64,
    /// The most that was resident since [`Process::reset_peak`], bytes.
    pub(crate) peak: u64,
}

impl Process {
    pub(crate) fn spawn(command: Command, cores: Cores) -> Result<Self> {
        Self::spawn_at(command, cores, Priority::High)
    }

    /// Spawns it behind the others of the bench, which come first on its cores.
    pub(crate) fn spawn_behind(command: Command, cores: Cores) -> Result<Self> {
        Self::spawn_at(command, cores, Priority::Normal)
    }

    fn spawn_at(mut command: Command, cores: Cores, priority: Priority) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let set = cores.set();
        let bench = std::process::id();
        // SAFETY: between fork and exec only system calls are made, which are async-signal-safe,
        // on values that were made before the fork.
        unsafe {
            command.pre_exec(move || {
                if libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) != 0 {
                    return Err(io::Error::last_os_error());
                }
                // A session, and with it a process group and a scheduling group, of its own.
                if libc::setsid() < 0 {
                    return Err(io::Error::last_os_error());
                }
                // Only root may go ahead of others; without, everything runs as others do.
                libc::setpriority(libc::PRIO_PROCESS, 0, priority.niceness());
                // Dies with the bench even when that is killed and runs no destructor.
                if libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) != 0 {
                    return Err(io::Error::last_os_error());
                }
                if libc::getppid().cast_unsigned() != bench {
                    return Err(io::Error::other("the bench is gone"));
                }
                Ok(())
            });
        }
        let mut child = command
            .spawn()
            .with_context(|| format!("starting {name}"))?;
        // Where sessions are scheduled as groups, niceness counts only within one.
        let niceness = priority.niceness().to_string();
        let _ = fs::write(format!("/proc/{}/autogroup", child.id()), niceness);
        let output = Output::default();
        // The reading threads end with the pipe, that is with the process.
        if let Some(pipe) = child.stdout.take() {
            output.drain(pipe);
        }
        if let Some(pipe) = child.stderr.take() {
            output.drain(pipe);
        }
        Ok(Self {
            child,
            name,
            output,
        })
    }

    /// Whether it still runs.
    pub(crate) fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Waits for its end, at most `limit`; then it is killed and that is an error.
    pub(crate) fn wait(&mut self, limit: Duration) -> Result<ExitStatus> {
        let end = Instant::now() + limit;
        loop {
            if let Some(status) = self.child.try_wait()? {
                self.output.settle();
                return Ok(status);
            }
            stop_if_interrupted()?;
            if Instant::now() > end {
                self.kill();
                bail!("{} did not end within {limit:?}", self.name);
            }
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// The end of what it printed on stdout and stderr, at most [`OUTPUT_BYTES`].
    pub(crate) fn output(&self) -> String {
        self.output.text()
    }

    /// What it and its children have used.
    pub(crate) fn usage(&self) -> Usage {
        let mut sum = Usage::default();
        for pid in tree(self.child.id()) {
            sum.cpu += cpu_time(pid);
            let (resident, peak) = memory(pid);
            sum.resident += resident;
            sum.peak += peak;
        }
        sum
    }

    /// What would be free without it: resident bytes that no other process shares.
    pub(crate) fn private_bytes(&self) -> Result<u64> {
        let mut sum = 0;
        for pid in tree(self.child.id()) {
            let rollup = fs::read_to_string(format!("/proc/{pid}/smaps_rollup"))
                .with_context(|| format!("reading the memory of {}", self.name))?;
            sum += field_kib(&rollup, "Private_Clean:") + field_kib(&rollup, "Private_Dirty:");
        }
        Ok(sum)
    }

    /// Starts a new [`Usage::peak`]. Where the kernel refuses, the peak is that of its life.
    pub(crate) fn reset_peak(&self) {
        for pid in tree(self.child.id()) {
            let _ = fs::write(format!("/proc/{pid}/clear_refs"), "5");
        }
    }

    fn kill(&mut self) {
        let group = self.child.id().cast_signed();
        // SAFETY: kill(2) touches no memory of ours. The group was made by us at spawn, and as
        // its leader is not yet waited for, the number cannot have been given to another one.
        unsafe { libc::kill(-group, libc::SIGKILL) };
        let _ = self.child.wait();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // After `wait` has reaped the leader its number may belong to somebody else.
        if self.is_running() {
            self.kill();
        }
    }
}

impl Cores {
    fn set(self) -> libc::cpu_set_t {
        // SAFETY: cpu_set_t is an array of integers, for which all zeros is the empty set.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        let cores = match self {
            Self::One(core) => vec![core],
            Self::All => all_cores(),
        };
        for core in cores {
            // SAFETY: CPU_SET checks its index against the set's size.
            unsafe { libc::CPU_SET(core, &mut set) };
        }
        set
    }

    /// Moves the bench itself there: its reading threads and clients are part of the load.
    pub(crate) fn enter(self) -> Result<()> {
        all_cores();
        let set = self.set();
        // SAFETY: the set is a valid cpu_set_t of the size given.
        let code = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) };
        if code != 0 {
            return Err(io::Error::last_os_error()).context("pinning the load to its core");
        }
        Ok(())
    }
}

/// The cores that the bench may use, as they were before it pinned itself.
pub(crate) fn all_cores() -> Vec<usize> {
    static CORES: std::sync::OnceLock<Vec<usize>> = std::sync::OnceLock::new();
    CORES
        .get_or_init(|| {
            // SAFETY: cpu_set_t is an array of integers, for which all zeros is the empty set.
            let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
            // SAFETY: the set is valid for writes of the size given.
            unsafe { libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set) };
            (0..libc::CPU_SETSIZE as usize)
                // SAFETY: CPU_ISSET checks its index against the set's size.
                .filter(|&core| unsafe { libc::CPU_ISSET(core, &set) })
                .collect()
        })
        .clone()
}

/// How much of a process's output is kept: the last lines are what an error needs.
const OUTPUT_BYTES: usize = 256 * 1024;

/// The output's end, read on threads so that a talkative server is never blocked by its pipe.
#[derive(Clone, Debug, Default)]
struct Output(Arc<Pipes>);

#[derive(Debug, Default)]
struct Pipes {
    text: Mutex<Vec<u8>>,
    open: std::sync::atomic::AtomicUsize,
}

impl Output {
    fn drain(&self, mut pipe: impl Read + Send + 'static) {
        self.0.open.fetch_add(1, Ordering::SeqCst);
        let pipes = Arc::clone(&self.0);
        thread::spawn(move || {
            let mut buffer = vec![0; 64 * 1024];
            while let Ok(count @ 1..) = pipe.read(&mut buffer) {
                let mut text = pipes.text.lock().unwrap_or_else(PoisonError::into_inner);
                let excess = (text.len() + count)
                    .saturating_sub(OUTPUT_BYTES)
                    .min(text.len());
                text.drain(..excess);
                text.extend_from_slice(&buffer[..count]);
            }
            pipes.open.fetch_sub(1, Ordering::SeqCst);
        });
    }

    /// Gives the reading threads a moment to see the end of the pipes.
    fn settle(&self) {
        let end = Instant::now() + Duration::from_secs(1);
        while self.0.open.load(Ordering::SeqCst) > 0 && Instant::now() < end {
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn text(&self) -> String {
        let text = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        String::from_utf8_lossy(&text).into_owned()
    }
}

/// The process and all its descendants.
fn tree(root: u32) -> Vec<u32> {
    let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter_map(|pid| Some((pid, parent(pid)?)))
        .collect();
    let mut tree = vec![root];
    let mut next = 0;
    while let Some(&pid) = tree.get(next) {
        tree.extend(
            parents
                .iter()
                .filter(|(_, parent)| *parent == pid)
                .map(|(child, _)| child),
        );
        next += 1;
    }
    tree
}

fn parent(pid: u32) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may itself hold blanks and parentheses.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(1)?.parse().ok()
}

/// CPU time of this process: a client's, where it is measured too.
pub(crate) fn own_cpu() -> Duration {
    cpu_time(std::process::id())
}

/// CPU time of all threads that the process has or had, to the nanosecond. `/proc/PID/stat` has
/// the same in ticks of 10 ms, `/proc/PID/schedstat` only the main thread.
fn cpu_time(pid: u32) -> Duration {
    let mut clock: libc::clockid_t = 0;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: both are valid for writes; a process that has ended is an error code.
    let known = unsafe {
        libc::clock_getcpuclockid(pid.cast_signed(), &mut clock) == 0
            && libc::clock_gettime(clock, &mut time) == 0
    };
    if !known {
        return Duration::ZERO;
    }
    Duration::new(
        time.tv_sec.cast_unsigned(),
        time.tv_nsec.cast_unsigned() as u32,
    )
}

/// Resident and peak resident bytes.
fn memory(pid: u32) -> (u64, u64) {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    (field_kib(&status, "VmRSS:"), field_kib(&status, "VmHWM:"))
}

/// A line `NAME 123 kB` of a file in /proc, as bytes; 0 where it is missing.
fn field_kib(text: &str, name: &str) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

static INTERRUPTED: AtomicBool = AtomicBool::new(false);

extern "C" fn note_interrupt(_signal: libc::c_int) {
    INTERRUPTED.store(true, Ordering::SeqCst);
}

/// From now on Ctrl-C and SIGTERM end the bench through [`stop_if_interrupted`], so that every
/// child is stopped by its destructor.
pub(crate) fn catch_signals() {
    let handler = note_interrupt as extern "C" fn(libc::c_int) as libc::sighandler_t;
    for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
        // SAFETY: the handler only stores to an atomic, which is async-signal-safe.
        unsafe { libc::signal(signal, handler) };
    }
}

/// Every loop that waits asks this.
pub(crate) fn stop_if_interrupted() -> Result<()> {
    if INTERRUPTED.load(Ordering::SeqCst) {
        bail!("interrupted; all servers are stopped, nothing was written");
    }
    Ok(())
}

/// Raises the soft limit of open files to the hard one: ten thousand connections need it.
pub(crate) fn raise_file_limit() -> u64 {
    let mut limit = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: the struct is valid for writes, then for reads.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
    limit.rlim_cur
}

/// Runs a short command to its end and gives its output; a failure carries what it said.
pub(crate) fn run(command: Command, limit: Duration) -> Result<String> {
    let words: Vec<OsString> = std::iter::once(command.get_program().to_owned())
        .chain(command.get_args().map(ToOwned::to_owned))
        .collect();
    let text = words.join(" ".as_ref()).to_string_lossy().into_owned();
    let mut process = Process::spawn(command, Cores::All)?;
    let status = process.wait(limit)?;
    if !status.success() {
        bail!(
            "`{text}` failed ({status}):\n{}",
            process.output().trim_end()
        );
    }
    Ok(process.output())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_child_is_measured_with_its_children_and_dies_when_dropped() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo up; (while :; do :; done) & wait"]);
        let process = Process::spawn(command, Cores::All).expect("sh");
        let end = Instant::now() + Duration::from_secs(10);
        while process.usage().cpu < Duration::from_millis(20) {
            assert!(Instant::now() < end, "the child's child is not counted");
            thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(process.output(), "up\n");
        let pids = tree(process.child.id());
        assert_eq!(pids.len(), 2);
        assert!(process.usage().resident > 0);
        drop(process);
        let end = Instant::now() + Duration::from_secs(10);
        while pids
            .iter()
            .any(|pid| parent(*pid) == Some(std::process::id()))
        {
            assert!(Instant::now() < end, "a child is left over");
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_failure_says_what_the_command_said() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo because >&2; exit 3"]);
        let error = run(command, Duration::from_secs(10))
            .expect_err("exit 3")
            .to_string();
        assert!(
            error.contains("because") && error.contains("exit status: 3"),
            "{error}"
        );
    }
}
