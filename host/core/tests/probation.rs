//! Thousands of probations of versions that are as good as their predecessors, and of such that are
//! not: how often the judge is wrong, and how many calls it needs to be right.
#![allow(clippy::print_stdout, reason = "how many calls it takes is told")]
#[allow(dead_code, reason = "the other simulations need more of it")]
mod simulated;

use std::time::Duration;

use skep_core::probation::{Judge, Probation, Verdict, Window};

use self::simulated::Random;

/// Under Miri a few runs have to do.
const RUNS: u64 = if cfg!(miri) { 2 } else { 4_000 };
const SECONDS: u64 = 60;

/// What one version does.
#[derive(Clone, Copy)]
struct Version {
    /// Calls of a million that fail.
    errors: u64,
    /// Calls after which an instance crashes; zero: never.
    crash_after: u64,
    /// Added to each call.
    slower: Duration,
    /// Bytes that an instance grows by with each call.
    leak: u64,
}

const GOOD: Version = Version {
    errors: 1_000,
    crash_after: 0,
    slower: Duration::ZERO,
    leak: 0,
};

/// What a version lives in.
struct World {
    random: Random,
    calls: u64,
    memory: u64,
}

impl World {
    fn new(seed: u64) -> World {
        World {
            random: Random::new(seed),
            calls: 0,
            memory: 4 << 20,
        }
    }

    /// A service of about a millisecond with a long tail; one call of a hundred takes ten times as
    /// long, and in one second of fifty the machine stands still for a while.
    fn latency(&mut self, stalled: bool) -> Duration {
        let halves: u64 = (0..4).map(|_| self.random.below(500)).sum();
        let tail = if self.random.below(100) == 0 { 10 } else { 1 };
        let stall = if stalled && self.random.below(3) == 0 {
            100_000
        } else {
            0
        };
        Duration::from_micros((300 + halves) * tail + stall)
    }

    /// What the predecessor did in a minute.
    fn baseline(&mut self, version: Version, calls: u64) -> Window {
        let mut all = Window::default();
        for second in 0..SECONDS {
            let calls = (second + 1) * calls / SECONDS - second * calls / SECONDS;
            let window = self.window(version, calls);
            all.calls += window.calls;
            all.errors += window.errors;
            all.crashes += window.crashes;
            all.latency.add(&window.latency);
            all.memory = all.memory.max(window.memory);
        }
        self.calls = 0;
        all
    }

    fn window(&mut self, version: Version, calls: u64) -> Window {
        let mut window = Window {
            calls,
            ..Window::default()
        };
        let stalled = self.random.below(50) == 0;
        for _ in 0..calls {
            self.calls += 1;
            self.memory += version.leak;
            let crashes = version.crash_after > 0 && self.calls.is_multiple_of(version.crash_after);
            let fails = crashes || self.random.below(1_000_000) < version.errors;
            window.crashes += u64::from(crashes);
            window.errors += u64::from(fails);
            window
                .latency
                .record(self.latency(stalled) + version.slower);
        }
        window.memory = self.memory + self.random.below(1 << 20);
        window
    }
}

/// A probation: what the verdict was, and after how many calls of the candidate.
fn run(
    seed: u64,
    before: Version,
    after: Version,
    per_second: u64,
    baseline: u64,
) -> (Verdict, u64) {
    let mut world = World::new(seed);
    let mut judge = Judge::new(Probation::default(), &world.baseline(before, baseline));
    for second in 1..=SECONDS {
        // Traffic comes and goes.
        let calls = world.random.below(2 * per_second + 1);
        let window = world.window(after, calls);
        let verdict = judge.judge(Duration::from_secs(second), &window, &Window::default());
        if verdict != Verdict::Wait {
            return (verdict, world.calls);
        }
    }
    panic!("no verdict after its time");
}

/// Versions that are as good as before: fewer than one of a thousand may be taken back.
fn good(name: &str, version: Version) {
    let mut taken_back = Vec::new();
    for seed in 0..RUNS {
        let mut random = Random::new(seed);
        let (per_second, baseline) = (1 + random.below(200), random.below(5_000));
        if let (Verdict::Bad(evidence), calls) = run(seed, version, version, per_second, baseline) {
            taken_back.push(format!("seed {seed}, after {calls} calls: {evidence}"));
        }
    }
    println!("{name}: {} of {RUNS} taken back", taken_back.len());
    assert!(
        taken_back.len() as u64 * 1000 <= RUNS,
        "{name}: {taken_back:#?}"
    );
}

/// Versions that are worse: each of them is taken back.
fn bad(name: &str, version: Version) {
    let mut needed = Vec::new();
    for seed in 0..RUNS {
        let mut random = Random::new(seed);
        let (per_second, baseline) = (100 + random.below(200), 500 + random.below(5_000));
        match run(seed, GOOD, version, per_second, baseline) {
            (Verdict::Bad(_), calls) => needed.push(calls),
            (verdict, _) => panic!("{name}: seed {seed}: {verdict:?}"),
        }
    }
    needed.sort_unstable();
    let (middle, last) = (needed[needed.len() / 2], needed[needed.len() - 1]);
    println!("{name}: taken back after {middle} calls at the median, {last} at most");
}

#[test]
fn a_good_version_is_not_taken_back() {
    good("0.1 % of errors", GOOD);
    good(
        "5 % of errors",
        Version {
            errors: 50_000,
            ..GOOD
        },
    );
    good(
        "half of all calls fail",
        Version {
            errors: 500_000,
            ..GOOD
        },
    );
    good(
        "a crash in 2,000 calls, as before",
        Version {
            crash_after: 2_000,
            ..GOOD
        },
    );
}

#[test]
fn a_good_version_is_not_taken_back_however_often_one_looks() {
    let mut taken_back = 0;
    for seed in 0..RUNS {
        let mut world = World::new(seed);
        let baseline = world.random.below(2_000);
        let mut judge = Judge::new(Probation::default(), &world.baseline(GOOD, baseline));
        for _ in 0..1_000 {
            let window = world.window(GOOD, 1);
            if let Verdict::Bad(_) = judge.judge(Duration::ZERO, &window, &Window::default()) {
                taken_back += 1;
                break;
            }
        }
    }
    println!("judged after every call: {taken_back} of {RUNS} taken back");
    assert!(taken_back * 1000 <= RUNS);
}

#[test]
fn a_bad_version_is_always_taken_back() {
    bad(
        "crashes at once",
        Version {
            crash_after: 1,
            ..GOOD
        },
    );
    bad(
        "crashes after 1,000 calls",
        Version {
            crash_after: 1_000,
            ..GOOD
        },
    );
    bad(
        "answers 10 % with errors",
        Version {
            errors: 100_000,
            ..GOOD
        },
    );
    bad(
        "is 50 ms slower",
        Version {
            slower: Duration::from_millis(50),
            ..GOOD
        },
    );
    bad(
        "leaks 8 KiB with each call",
        Version {
            leak: 8 << 10,
            ..GOOD
        },
    );
}
