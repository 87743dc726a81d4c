//! Charges a guest for the CPU time it uses, and only for that: waiting is free.
//!
//! Between the start and the end of a poll of a call's future, the guest (or a host function on its
//! behalf) runs on this thread. A short poll is charged by the
//! monotonic clock, which costs 20 ns; once a call has used more than [`EXACT_ABOVE`] its polls are
//! charged by the thread's CPU clock, which costs 170 ns and leaves out the time that the operating
//! system gave to somebody else.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Use above which a call is charged exactly.
const EXACT_ABOVE: Duration = Duration::from_millis(1);

/// The most that one poll without a CPU reading is charged. An epoch tick ends a computing poll
/// after one or two milliseconds, so what is longer was spent off the processor.
const INEXACT_POLL_MAX: Duration = Duration::from_millis(2);

/// The CPU account of one instance, shared between the code that polls a call and the epoch
/// callback inside its store. Only one thread uses it at a time; atomics make that safe to say.
#[derive(Debug)]
pub struct Meter {
    origin: Instant,
    limit_ns: u64,
    /// Charged to the call in progress, before the poll in progress.
    used_ns: AtomicU64,
    /// When the poll in progress began, on the monotonic clock. 0: none.
    poll_began_ns: AtomicU64,
    /// The thread's CPU clock at that time. 0: not read.
    poll_cpu_ns: AtomicU64,
    /// How much of the poll in progress was for others, by the monotonic clock.
    poll_paused_ns: AtomicU64,
    /// The guest was made to yield since somebody asked last.
    yielded: AtomicBool,
}

/// On what kind of thread a poll happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polling {
    /// On a serving thread: what is short is charged by the monotonic clock.
    First,
    /// On a thread of low priority, from which the system takes the processor at any time: always
    /// charged exactly.
    Second,
}

/// What the epoch callback does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The tick came while the guest waited; it has just gone on.
    Continue,
    /// It has computed through a tick: others first.
    Yield,
    /// It has used up its CPU limit.
    Stop,
}

impl Meter {
    /// An account for calls of at most `limit` CPU time each.
    pub fn new(limit: Duration) -> Arc<Meter> {
        Arc::new(Meter {
            origin: Instant::now(),
            limit_ns: nanoseconds(limit),
            used_ns: AtomicU64::new(0),
            poll_began_ns: AtomicU64::new(0),
            poll_cpu_ns: AtomicU64::new(0),
            poll_paused_ns: AtomicU64::new(0),
            yielded: AtomicBool::new(false),
        })
    }

    /// A new call begins with nothing charged.
    pub fn reset(&self) {
        self.used_ns.store(0, Ordering::Relaxed);
    }

    /// CPU time charged to the call so far, finished polls only.
    pub fn used(&self) -> Duration {
        Duration::from_nanos(self.used_ns.load(Ordering::Relaxed))
    }

    /// Runs one poll of the guest and charges it.
    pub fn charge<T>(&self, polling: Polling, poll: impl FnOnce() -> T) -> T {
        let began = self.now_ns();
        self.poll_began_ns.store(began, Ordering::Relaxed);
        let exact = polling == Polling::Second
            || self.used_ns.load(Ordering::Relaxed) > nanoseconds(EXACT_ABOVE);
        let cpu = if exact { nanoseconds(thread_cpu()) } else { 0 };
        self.poll_cpu_ns.store(cpu, Ordering::Relaxed);
        self.poll_paused_ns.store(0, Ordering::Relaxed);
        let output = poll();
        self.used_ns
            .fetch_add(self.poll_so_far(), Ordering::Relaxed);
        self.poll_began_ns.store(0, Ordering::Relaxed);
        output
    }

    /// Runs something within a poll that is charged to somebody else: a call of another instance.
    ///
    /// The CPU clock is not read for that, which would cost more than many a call. What others had
    /// of the poll's time by the monotonic clock they are taken to have had of its CPU time: time
    /// that the operating system gave to somebody else falls on both alike.
    pub fn pause<T>(&self, run: impl FnOnce() -> T) -> T {
        let began = self.now_ns();
        let output = run();
        let passed = self.now_ns() - began;
        self.poll_paused_ns.fetch_add(passed, Ordering::Relaxed);
        output
    }

    /// Called by the epoch callback: the guest runs, on this thread, at this moment.
    pub fn tick(&self) -> Verdict {
        let poll = self.poll_so_far();
        if self.used_ns.load(Ordering::Relaxed).saturating_add(poll) > self.limit_ns {
            return Verdict::Stop;
        }
        if poll >= nanoseconds(crate::engine::EPOCH_TICK) / 2 {
            self.yielded.store(true, Ordering::Relaxed);
            Verdict::Yield
        } else {
            Verdict::Continue
        }
    }

    /// Whether the guest was made to yield since this was asked last.
    pub fn take_yielded(&self) -> bool {
        self.yielded.load(Ordering::Relaxed) && self.yielded.swap(false, Ordering::Relaxed)
    }

    fn poll_so_far(&self) -> u64 {
        let began = self.poll_began_ns.load(Ordering::Relaxed);
        if began == 0 {
            return 0;
        }
        let passed = self.now_ns() - began;
        let paused = self.poll_paused_ns.load(Ordering::Relaxed);
        let own = passed.saturating_sub(paused);
        match self.poll_cpu_ns.load(Ordering::Relaxed) {
            0 => own.min(nanoseconds(INEXACT_POLL_MAX)),
            cpu_began => {
                let cpu = nanoseconds(thread_cpu()).saturating_sub(cpu_began);
                share(cpu, own, passed)
            }
        }
    }

    /// Nanoseconds since this account was opened, never 0.
    fn now_ns(&self) -> u64 {
        nanoseconds(self.origin.elapsed()).max(1)
    }
}

/// `part` of `whole`, of `all`; of nothing it is everything.
fn share(all: u64, part: u64, whole: u64) -> u64 {
    let share = u128::from(all) * u128::from(part.min(whole)) / u128::from(whole.max(1));
    match whole {
        0 => all,
        // At most `all`.
        _ => share as u64,
    }
}

fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// This thread's CPU time since it began.
pub(crate) fn thread_cpu() -> Duration {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` is a valid timespec that outlives the call, which writes to it and keeps nothing.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    // Linux counts thread CPU time from zero upwards: neither part is negative.
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(for_: Duration) {
        let began = thread_cpu();
        while thread_cpu() - began < for_ {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn computing_is_charged_and_waiting_between_polls_is_not() {
        let meter = Meter::new(Duration::from_secs(1));
        meter.charge(Polling::First, || compute(Duration::from_millis(2)));
        std::thread::sleep(Duration::from_millis(30));
        meter.charge(Polling::First, || compute(Duration::from_millis(2)));
        let used = meter.used();
        assert!(used >= Duration::from_millis(3), "{used:?}");
        assert!(used < Duration::from_millis(30), "{used:?}");
    }

    #[test]
    fn a_long_call_is_not_charged_for_sleeping_inside_a_poll() {
        let meter = Meter::new(Duration::from_secs(1));
        meter.charge(Polling::First, || compute(Duration::from_millis(3)));
        let before = meter.used();
        meter.charge(Polling::First, || {
            std::thread::sleep(Duration::from_millis(50))
        });
        assert!(meter.used() - before < Duration::from_millis(25));
    }

    #[test]
    fn what_others_compute_within_a_poll_is_not_charged() {
        let ms = Duration::from_millis;
        for polling in [Polling::First, Polling::Second] {
            let meter = Meter::new(Duration::from_secs(1));
            meter.charge(polling, || {
                compute(ms(1));
                meter.pause(|| compute(ms(20)));
                // The operating system may take its time in the midst of either.
                meter.pause(|| std::thread::sleep(ms(10)));
            });
            assert!(meter.used() < ms(8), "{:?}", meter.used());
        }
        let meter = Meter::new(Duration::from_secs(1));
        meter.charge(Polling::Second, || {
            compute(ms(10));
            meter.pause(|| compute(ms(10)));
        });
        let used = meter.used();
        assert!(used > ms(5) && used < ms(16), "{used:?}");
    }

    #[test]
    fn a_share_is_never_more_than_all() {
        assert_eq!(share(100, 1, 4), 25);
        assert_eq!(share(100, 5, 4), 100);
        assert_eq!(share(100, 0, 0), 100);
        assert_eq!(share(u64::MAX, u64::MAX, u64::MAX), u64::MAX);
    }

    #[test]
    fn who_was_made_to_yield_says_so_once() {
        let meter = Meter::new(Duration::from_secs(1));
        assert!(!meter.take_yielded());
        meter.charge(Polling::Second, || {
            compute(Duration::from_millis(1));
            meter.tick()
        });
        assert!(meter.take_yielded());
        assert!(!meter.take_yielded());
    }

    #[test]
    fn the_limit_stops_the_poll_that_exceeds_it() {
        let meter = Meter::new(Duration::from_millis(4));
        let verdicts: Vec<_> = (0..8)
            .map(|_| {
                meter.charge(Polling::First, || {
                    compute(Duration::from_millis(1));
                    meter.tick()
                })
            })
            .collect();
        assert_eq!(verdicts[0], Verdict::Yield);
        assert_eq!(*verdicts.last().unwrap(), Verdict::Stop);
    }

    #[test]
    fn a_tick_right_after_a_wait_neither_yields_nor_stops() {
        let meter = Meter::new(Duration::from_millis(4));
        assert_eq!(
            meter.charge(Polling::First, || meter.tick()),
            Verdict::Continue
        );
    }
}
