//! Where all supervisors meet: the machine that decides, and the way to each of them.
//!
//! The lives of services depend on one another, so one machine (`skep_core::supervision`) holds
//! them all, behind a lock that is held for a step: microseconds, at starts, stops and crashes only.
//! What a step asks for goes to the supervisors through their channels, under the lock, so that each
//! gets it in the order in which it was decided.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use skep_core::lifecycle::{Action, Cause, Event, Phase, Report};
use skep_core::name::ServiceName;
use skep_core::supervision::{
    Arrangement, GroupReport, GroupSettings, Input, MemberSettings, Output, Supervision,
};
use tokio::sync::mpsc;

use crate::task;

/// What a supervisor is told.
#[derive(Debug)]
pub(super) enum Notice {
    /// Do this.
    Do(Action),
    /// This is where the service stands now.
    Stands(Standing),
}

/// Where a service stands, for its door and for those who watch.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Standing {
    pub(super) phase: Phase,
    /// It will be open again without anybody's doing.
    pub(super) coming: bool,
    /// When its next start is due, since the host's origin.
    pub(super) due: Option<Duration>,
}

/// The way to one supervisor.
struct Post {
    name: ServiceName,
    /// The number of what it runs.
    revision: u32,
    notices: mpsc::UnboundedSender<Notice>,
    /// What it was told last.
    stands: Standing,
}

struct State {
    machine: Supervision,
    /// By member.
    posts: BTreeMap<usize, Post>,
    /// As they were arranged last.
    groups: Vec<GroupSettings>,
}

/// See the module.
pub struct Desk {
    state: Mutex<State>,
    timers: mpsc::UnboundedSender<(usize, Duration, u64)>,
    origin: Instant,
}

impl Desk {
    /// The desk of an application; nobody has joined yet. `origin` is what phases count their time
    /// from.
    pub(crate) fn new(origin: Instant) -> Arc<Desk> {
        let (timers, timers_out) = mpsc::unbounded_channel();
        let desk = Arc::new(Desk {
            state: Mutex::new(State {
                machine: Supervision::new(Vec::new(), Vec::new(), fastrand::u64(..)),
                posts: BTreeMap::new(),
                groups: Vec::new(),
            }),
            timers,
            origin,
        });
        let weak = Arc::downgrade(&desk);
        task::spawn(task::Kind::Supervisor, ring(weak, timers_out, origin));
        desk
    }

    /// A revision of a service comes, apart from all others. Answers its number here, and what its
    /// supervisor is told.
    pub(super) fn join(
        &self,
        name: ServiceName,
        revision: u32,
        settings: MemberSettings,
    ) -> (usize, mpsc::UnboundedReceiver<Notice>) {
        let (notices, notices_out) = mpsc::unbounded_channel();
        let mut state = self.state.lock();
        let member = state.machine.join(settings);
        let post = Post {
            name,
            revision,
            notices,
            stands: standing(&state.machine, member),
        };
        state.posts.insert(member, post);
        (member, notices_out)
    }

    /// From now on these are the application's members.
    pub(crate) fn arrange(&self, arrangement: Arrangement) {
        self.tell(Input::Arrange(arrangement));
    }

    /// Starts one that has joined, once those that it comes after have settled.
    pub(crate) fn start_one(&self, member: usize) {
        self.tell(Input::StartOne(member));
    }

    /// Stops one that is not wanted any more.
    pub(crate) fn stop_one(&self, member: usize, cause: Cause) {
        self.tell(Input::StopOne(member, cause));
    }

    /// One that has stopped, and is apart from all others, goes for good; false if it is neither.
    pub(crate) fn leave(&self, member: usize) -> bool {
        let mut state = self.state.lock();
        let leaves = state.machine.leave(member);
        if leaves {
            state.posts.remove(&member);
        }
        leaves
    }

    /// Starts all services, in their order.
    pub(crate) fn start(&self) {
        self.tell(Input::Start);
    }

    /// Stops all services, in the reverse order. Answers how long that may take at most.
    pub(crate) fn stop(&self) -> Duration {
        self.tell(Input::Stop);
        self.state.lock().machine.stop_patience()
    }

    /// Starts a service anew; also the way out of parked, for its whole group.
    pub(crate) fn restart(&self, member: usize) {
        self.tell(Input::Restart(member));
    }

    /// A service that is starting now.
    pub(crate) fn starting(&self) -> Option<usize> {
        let state = self.state.lock();
        let starting =
            |place: &usize| matches!(state.machine.phase(*place), Phase::Starting { .. });
        state.machine.members().find(starting)
    }

    pub(super) fn happened(&self, member: usize, event: Event) {
        self.tell(Input::Member(member, event));
    }

    /// The number of what a service runs now; events that come from it carry it.
    pub(super) fn epoch(&self, member: usize) -> u64 {
        self.state.lock().machine.life(member).epoch()
    }

    pub(super) fn origin(&self) -> Instant {
        self.origin
    }

    fn tell(&self, input: Input) {
        let mut state = self.state.lock();
        let State {
            machine,
            posts,
            groups,
        } = &mut *state;
        let mut touched: Vec<usize> = match &input {
            Input::GroupTimer { group, .. } => {
                let group = groups.get(*group);
                group.map_or_else(Vec::new, |group| group.members.clone())
            }
            Input::Member(..) => Vec::new(),
            _ => posts.keys().copied().collect(),
        };
        if let Input::Arrange(arrangement) = &input {
            groups.clone_from(&arrangement.groups);
        }
        for output in machine.step(self.origin.elapsed(), input) {
            match output {
                Output::Member(member, action) => {
                    // Here, so that the log has it in the order in which it was decided.
                    let Some(post) = posts.get(&member) else {
                        continue;
                    };
                    if let Action::Report(report) = &action {
                        tell_of(post, report);
                    }
                    // It fails only if the supervisor is gone, and the host with it.
                    let _ = post.notices.send(Notice::Do(action));
                    touched.push(member);
                }
                Output::ArmGroup { group, at, token } => {
                    let _ = self.timers.send((group, at, token));
                }
                Output::Report { group, report } => {
                    let group = &groups[group];
                    tell_of_group(group, &report, posts);
                    touched.extend(&group.members);
                }
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for member in touched {
            let Some(post) = posts.get_mut(&member) else {
                continue;
            };
            let stands = standing(machine, member);
            if post.stands != stands {
                post.stands = stands.clone();
                let _ = post.notices.send(Notice::Stands(stands));
            }
        }
    }
}

fn standing(machine: &Supervision, member: usize) -> Standing {
    Standing {
        phase: machine.phase(member).clone(),
        coming: machine.is_coming(member),
        due: machine.due(member),
    }
}

fn tell_of(post: &Post, report: &Report) {
    let (service, revision) = (&post.name, post.revision);
    match report {
        Report::Ready { took } => {
            tracing::info!(%service, revision, "ready after {took:.1?}");
        }
        Report::StartFailed { attempt, cause } => {
            tracing::error!(%service, revision, attempt, "start failed: {cause}");
        }
        Report::Crashed {
            counted, crashes, ..
        } => {
            tracing::debug!(%service, revision, counted, crashes, "crash");
        }
        Report::HealthFailed { cause } => {
            tracing::error!(%service, revision, "not healthy, restarting: {cause}");
        }
        Report::ReadinessLost { cause } => {
            tracing::warn!(%service, revision, "takes no requests for now: {cause}");
        }
        Report::ReadinessBack => tracing::info!(%service, revision, "takes requests again"),
        Report::BackingOff {
            delay,
            attempt,
            cause,
        } => tracing::warn!(
            %service, revision, attempt, "backing off for {delay:.1?}: {cause}"
        ),
        Report::Parked { cause, crashes } => tracing::error!(
            %service, revision, crashes,
            "parked: {cause}. It stays down until `skep restart` or a new start of the host"
        ),
        Report::Draining { cause, .. } => {
            tracing::info!(%service, revision, "draining: {cause}");
        }
        Report::Cut => tracing::warn!(
            %service, revision, "what was still under way at the stop deadline has been cut"
        ),
        Report::Stopped { cause } => {
            tracing::info!(%service, revision, "stopped: {cause}");
        }
    }
}

fn tell_of_group(group: &GroupSettings, report: &GroupReport, posts: &BTreeMap<usize, Post>) {
    let group = &group.name;
    match report {
        GroupReport::Together { member, others } => {
            let service = posts.get(member).map_or("-", |post| post.name.as_str());
            tracing::warn!(%group, service, others, "a member failed; others restart with it");
        }
        GroupReport::BackingOff {
            delay,
            attempt,
            cause,
        } => tracing::warn!(
            %group, attempt, "the group failed, and starts anew in {delay:.1?}: {cause}"
        ),
        GroupReport::Parked { cause } => tracing::error!(
            %group,
            "the group is parked: {cause}. It stays down until `skep restart` for one of its \
             services or a new start of the host"
        ),
    }
}

/// The task that rings when a group's timer is due; it ends with the desk.
async fn ring(
    desk: std::sync::Weak<Desk>,
    mut timers: mpsc::UnboundedReceiver<(usize, Duration, u64)>,
    origin: Instant,
) {
    let mut armed: BTreeMap<usize, (Duration, u64)> = BTreeMap::new();
    loop {
        let next = armed.values().map(|(at, _)| *at).min();
        tokio::select! {
            timer = timers.recv() => match timer {
                Some((group, at, token)) => {
                    armed.insert(group, (at, token));
                }
                None => return,
            },
            () = super::sleep_until(next.map(|at| origin + at)) => {
                let Some(desk) = desk.upgrade() else { return };
                let now = origin.elapsed();
                let due: Vec<_> = armed.iter().filter(|(_, (at, _))| *at <= now).collect();
                let due: Vec<_> = due.into_iter().map(|(group, (_, token))| (*group, *token)).collect();
                for (group, token) in due {
                    armed.remove(&group);
                    desk.tell(Input::GroupTimer { group, token });
                }
            }
        }
    }
}
