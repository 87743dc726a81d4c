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
use skep_core::lifecycle::{Action, Event, Phase, Report};
use skep_core::name::ServiceName;
use skep_core::supervision::{GroupReport, GroupSettings, Input, Output, Supervision};
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
    posts: Vec<Post>,
}

/// See the module.
pub struct Desk {
    state: Mutex<State>,
    groups: Vec<GroupSettings>,
    timers: mpsc::UnboundedSender<(usize, Duration, u64)>,
    origin: Instant,
}

impl Desk {
    /// The desk of an application; nothing is started yet. Members are named by their place
    /// in `services`, which has the revision of each. `origin` is what phases count their time from.
    pub(super) fn new(
        machine: Supervision,
        services: Vec<(ServiceName, u32)>,
        groups: Vec<GroupSettings>,
        origin: Instant,
    ) -> (Arc<Desk>, Vec<mpsc::UnboundedReceiver<Notice>>) {
        let (timers, timers_out) = mpsc::unbounded_channel();
        let mut notices = Vec::new();
        let posts = services
            .into_iter()
            .enumerate()
            .map(|(member, (name, revision))| {
                let (notices_in, notices_out) = mpsc::unbounded_channel();
                notices.push(notices_out);
                Post {
                    name,
                    revision,
                    notices: notices_in,
                    stands: standing(&machine, member),
                }
            });
        let posts = posts.collect();
        let desk = Arc::new(Desk {
            state: Mutex::new(State { machine, posts }),
            groups,
            timers,
            origin,
        });
        let weak = Arc::downgrade(&desk);
        task::spawn(task::Kind::Supervisor, ring(weak, timers_out, origin));
        (desk, notices)
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
        (0..state.posts.len()).find(starting)
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
        let State { machine, posts } = &mut *state;
        let all = matches!(input, Input::Start | Input::Stop | Input::Restart(_));
        let mut touched: Vec<usize> = match &input {
            _ if all => (0..posts.len()).collect(),
            Input::GroupTimer { group, .. } => self.groups[*group].members.clone(),
            _ => Vec::new(),
        };
        for output in machine.step(self.origin.elapsed(), input) {
            match output {
                Output::Member(member, action) => {
                    // Here, so that the log has it in the order in which it was decided.
                    if let Action::Report(report) = &action {
                        tell_of(&posts[member], report);
                    }
                    // It fails only if the supervisor is gone, and the host with it.
                    let _ = posts[member].notices.send(Notice::Do(action));
                    touched.push(member);
                }
                Output::ArmGroup { group, at, token } => {
                    let _ = self.timers.send((group, at, token));
                }
                Output::Report { group, report } => {
                    tell_of_group(&self.groups[group], &report, posts);
                    touched.extend(&self.groups[group].members);
                }
            }
        }
        touched.sort_unstable();
        touched.dedup();
        for member in touched {
            let stands = standing(machine, member);
            let post = &mut posts[member];
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

fn tell_of_group(group: &GroupSettings, report: &GroupReport, posts: &[Post]) {
    let group = &group.name;
    match report {
        GroupReport::Together { member, others } => {
            let service = &posts[*member].name;
            tracing::warn!(%group, %service, others, "a member failed; others restart with it");
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
