//! How what was deployed, or is on trial, does beside what served before it. `skep_core::probation`
//! judges; this reads the figures. What follows is decided in `skep_core::change`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::change::Pair;
use skep_core::probation::{Evidence, Judge, Verdict, Window};

use super::member::Member;
use crate::service::Reading;

/// Between two looks.
const WINDOW: Duration = Duration::from_secs(1);

/// A look before the first window is over: what crashes at once is not let to do so for a second.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A candidate beside its predecessor.
struct Comparison {
    candidate: Watched,
    predecessor: Watched,
    judge: Judge,
    length: Duration,
}

/// A revision with what was read of it last.
struct Watched {
    member: Arc<Member>,
    last: Reading,
}

impl Watched {
    /// Its first window is all that it has done so far.
    fn new(member: &Arc<Member>) -> Watched {
        Watched {
            member: member.clone(),
            last: Reading::default(),
        }
    }

    /// What it has done since the last time.
    fn window(&mut self) -> Window {
        let now = self.member.service().tally().read();
        let window = Window {
            calls: now.calls - self.last.calls,
            errors: now.errors - self.last.errors,
            crashes: now.crashes - self.last.crashes,
            latency: now.latency.since(&self.last.latency),
            memory: self.member.memory_of_one(),
        };
        self.last = now;
        window
    }

    fn crashes(&self) -> u64 {
        self.member.service().tally().read().crashes - self.last.crashes
    }
}

impl Comparison {
    /// None if the candidate is not to be watched.
    fn new(candidate: &Arc<Member>, predecessor: &Arc<Member>) -> Option<Comparison> {
        let settings = candidate.probation();
        if settings.length.is_zero() {
            return None;
        }
        let mut predecessor = Watched::new(predecessor);
        let baseline = predecessor.window();
        Some(Comparison {
            candidate: Watched::new(candidate),
            predecessor,
            judge: Judge::new(settings.clone(), &baseline),
            length: settings.length,
        })
    }

    fn judge(&mut self, age: Duration) -> Verdict {
        let (candidate, predecessor) = (self.candidate.window(), self.predecessor.window());
        self.judge.judge(age, &candidate, &predecessor)
    }
}

/// Waits until one is bad, which is answered; or all have been found good, which on trial none is, or are
/// not there any more.
pub(super) async fn judged(
    pairs: &[Pair<Member>],
    on_trial: bool,
    is_still_there: impl Fn(&Arc<Member>) -> bool,
) -> Option<(Arc<Member>, Evidence)> {
    let watched = pairs.iter();
    let mut watched: Vec<Comparison> = watched
        .filter_map(|pair| Comparison::new(&pair.to, &pair.from))
        .collect();
    let began = Instant::now();
    let mut next = WINDOW;
    loop {
        watched.retain(|one| is_still_there(&one.candidate.member));
        if watched.is_empty() {
            return None;
        }
        // A crash is looked at at once, everything else once in a window.
        let crashed = |one: &Comparison| one.candidate.crashes() > 0;
        let age = began.elapsed();
        if age >= next || watched.iter().any(crashed) {
            next = age + WINDOW;
            let bad = look(&mut watched, age, on_trial);
            if bad.is_some() {
                return bad;
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

fn look(
    watched: &mut Vec<Comparison>,
    age: Duration,
    on_trial: bool,
) -> Option<(Arc<Member>, Evidence)> {
    let mut bad = None;
    watched.retain_mut(|one| match one.judge(age) {
        Verdict::Bad(evidence) => {
            bad.get_or_insert((one.candidate.member.clone(), evidence));
            true
        }
        // As long as it is on trial it is watched.
        Verdict::Good => on_trial,
        Verdict::Wait => on_trial || age < one.length,
    });
    bad
}
