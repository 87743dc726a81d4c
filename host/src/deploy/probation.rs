//! Watches what was deployed, or is on trial, and takes it back by itself when it is worse than what
//! served before it. `skep_core::probation` judges; this reads the figures and acts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use skep_core::generation::Reason;
use skep_core::probation::{Evidence, Judge, Verdict, Window};

use super::Application;
use super::change_error::ChangeError;
use super::member::Member;
use super::running::{Roster, Running, Wanted};
use crate::service::Reading;
use crate::task;

/// Between two looks.
const WINDOW: Duration = Duration::from_secs(1);

/// A look before the first window is over: what crashes at once is not let to do so for a second.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// A candidate beside its predecessor.
struct Pair {
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

impl Pair {
    /// None if the candidate is not to be watched.
    fn new(candidate: &Arc<Member>, predecessor: &Arc<Member>) -> Option<Pair> {
        let settings = candidate.probation();
        if settings.length.is_zero() || candidate.is_worker() || predecessor.is_worker() {
            return None;
        }
        let mut predecessor = Watched::new(predecessor);
        let baseline = predecessor.window();
        Some(Pair {
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

/// What is watched, and what it is taken back to.
pub(super) struct Watch {
    pairs: Vec<Pair>,
    /// The generation that it serves in; none while it is on trial.
    generation: Option<u64>,
    before: Arc<Application>,
    before_number: u64,
}

impl Watch {
    /// Of candidates beside what they replace, or are on trial beside, if they serve in no generation
    /// of their own yet. None if there is nothing to watch.
    pub(super) fn new(
        candidates: &[Arc<Member>],
        before: &Roster,
        generation: Option<u64>,
    ) -> Option<Watch> {
        let pair =
            |candidate: &Arc<Member>| Pair::new(candidate, before.members.get(candidate.name())?);
        let pairs: Vec<Pair> = candidates.iter().filter_map(pair).collect();
        (!pairs.is_empty()).then(|| Watch {
            pairs,
            generation,
            before: before.application.clone(),
            before_number: before.generation.number(),
        })
    }

    /// Until all have been found good, one is bad, or something else has taken their place.
    pub(super) fn begin(mut self, running: &Arc<Running>) {
        let running = running.clone();
        task::spawn(task::Kind::Deploy, async move {
            let began = Instant::now();
            let mut next = WINDOW;
            loop {
                tokio::time::sleep(LOOK_EVERY).await;
                self.pairs
                    .retain(|pair| running.still_has(&pair.candidate.member));
                if self.pairs.is_empty() {
                    return;
                }
                // A crash is looked at at once, everything else once in a window.
                let crashed = |pair: &Pair| pair.candidate.crashes() > 0;
                let age = began.elapsed();
                if age < next && !self.pairs.iter().any(crashed) {
                    continue;
                }
                next = age + WINDOW;
                if let Some((member, evidence)) = self.look(age) {
                    return self.take_back(&running, &member, &evidence).await;
                }
            }
        });
    }

    fn look(&mut self, age: Duration) -> Option<(Arc<Member>, Evidence)> {
        let mut bad = None;
        let trial = self.generation.is_none();
        self.pairs.retain_mut(|pair| match pair.judge(age) {
            Verdict::Bad(evidence) => {
                bad.get_or_insert((pair.candidate.member.clone(), evidence));
                true
            }
            // As long as it is on trial it is watched.
            Verdict::Good => trial,
            Verdict::Wait => trial || age < pair.length,
        });
        bad
    }

    async fn take_back(self, running: &Arc<Running>, member: &Arc<Member>, evidence: &Evidence) {
        let service = member.name().clone();
        tracing::error!(
            %service,
            revision = member.number(),
            evidence = %serde_json::json!(evidence),
            "taken back: {evidence}"
        );
        let because = evidence.to_string();
        let done = match self.generation {
            None => running.abort_for(member, &because).await.map(|_| ()),
            Some(generation) => loop {
                let wanted = self.wanted(running, member, generation, because.clone());
                let Some((mut wanted, expected)) = wanted else {
                    return;
                };
                wanted.evidence = serde_json::json!(evidence);
                wanted.state_may_be_lost = true;
                match running.change(wanted, Some(expected)).await {
                    // Somebody else has changed something meanwhile.
                    Err(ChangeError::Conflict { .. }) if running.still_has(member) => {}
                    // What is on trial can be tried again; what is bad serves all.
                    Err(ChangeError::OnTrial { .. }) => {
                        if running.abort().await.is_ok() {
                            tracing::warn!(%service, "the trial of another is over because of that");
                        }
                    }
                    // The other host may yet fail, and this one go on.
                    Err(ChangeError::BeingReplaced) => tokio::time::sleep(LOOK_EVERY).await,
                    Err(ChangeError::Conflict { .. }) => return,
                    changed => break changed.map(|_| ()),
                }
            },
        };
        if let Err(error) = done {
            tracing::error!(
                %service,
                revision = member.number(),
                "it could not be taken back: {}",
                crate::log::chain(&error)
            );
        }
    }

    /// All that came with it goes with it; if something else has changed since, it alone.
    fn wanted(
        &self,
        running: &Running,
        member: &Arc<Member>,
        generation: u64,
        because: String,
    ) -> Option<(Wanted, u64)> {
        let roster = running.roster();
        let now = roster.generation.number();
        let service = member.name().clone();
        let alone = Reason::Rollback {
            service: service.clone(),
            because: because.clone(),
        };
        if now == generation {
            let reason = match self.pairs.len() {
                1 => alone,
                _ => Reason::Restore {
                    generation: self.before_number,
                    because,
                },
            };
            let application = Application::clone(&self.before);
            return Some((Wanted::new(application, reason), now));
        }
        match roster.application.with_service_of(&self.before, &service) {
            Ok(application) => Some((Wanted::new(application, alone), now)),
            Err(error) => {
                tracing::error!(%service, "it cannot be taken back alone: {error}");
                None
            }
        }
    }
}
