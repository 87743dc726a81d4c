//! The lives of all services of an application as one pure state machine: what starts before what,
//! and what goes down together.
//!
//! Each service is a member with a [`Lifecycle`] of its own, which decides everything that concerns
//! it alone. This machine feeds those lives, and adds what is between them:
//!
//! - **Order.** A member starts once all that it comes after have settled (are up, parked or
//!   stopped), and stops once all that come after it, and are to stop too, are at rest.
//! - **Groups.** When a member of a group fails, the others do as its strategy says; when the group
//!   fails too often, or a member has used up its own restarts, the group as a whole is parked, or
//!   started anew after a wait of its own.
//!
//! A member that is to move waits in `pending` until its gate is open (`moves`); what a failure
//! means for the others is decided in `group`. `tests/supervision.rs` simulates all of it.
//!
//! Members come and go while the application runs: a new revision of a service *joins* apart from
//! all others, is *arranged* in the place of the one before once that is decided, and the one before,
//! which is apart from then on, *leaves* when it is at rest.
use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Index, IndexMut};
use std::time::Duration;

use crate::lifecycle::{Action, Cause, CauseKind, Event, Lifecycle, Phase, Settings};

mod arrange;
mod group;
mod moves;

pub use group::{Escalate, GroupPolicy, GroupSettings, Strategy};
use group::{Group, GroupState};
use moves::Move;

/// One revision of a service, as [`Supervision`] knows it. Members are named by numbers, counted from
/// 0 in the order in which they came; none is ever used again.
#[derive(Debug, Clone)]
pub struct MemberSettings {
    pub life: Settings,
    /// What is under way gets this long when it stops.
    pub stop_timeout: Duration,
    /// Those that it starts after; without cycles, those of its group's order included.
    pub after: Vec<usize>,
}

/// Which members are the application's, and how they depend on one another. All others are apart:
/// they have no order and no group.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Arrangement {
    /// Each with those that it starts after; without cycles, those of its group's order included.
    pub members: Vec<(usize, Vec<usize>)>,
    /// A member is in one group at most.
    pub groups: Vec<GroupSettings>,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Input {
    /// The application is wanted.
    Start,
    /// The application is not wanted any more; nothing starts from now on.
    Stop,
    /// Somebody wants a new start of this member; also the way out of parked. Where its group is
    /// parked, the whole group starts.
    Restart(usize),
    /// This member alone is wanted: one that has joined.
    StartOne(usize),
    /// This member alone is not wanted any more: one that has been replaced.
    StopOne(usize, Cause),
    /// From now on these are the application's members. A group that goes on under its name, with
    /// the same strategy and policy, keeps its state; but one that was parked is tried again.
    Arrange(Arrangement),
    /// Something happened in this member's life. What comes from one that has left is dropped.
    Member(usize, Event),
    /// The timer of this [`Output::ArmGroup`] is due.
    GroupTimer { group: usize, token: u64 },
}

/// What the host is to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// For this member.
    Member(usize, Action),
    /// Answer [`Input::GroupTimer`] at this time. Each replaces the group's one before.
    ArmGroup {
        group: usize,
        at: Duration,
        token: u64,
    },
    /// Tell those who watch.
    Report { group: usize, report: GroupReport },
}

/// Something about a group that is worth a line in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GroupReport {
    /// A member failed, and so many others go down and come back with it.
    Together { member: usize, others: usize },
    /// It failed too often, and starts anew after this wait.
    BackingOff {
        delay: Duration,
        attempt: u32,
        cause: Cause,
    },
    /// It failed too often and stays down.
    Parked { cause: Cause },
}

struct Member {
    life: Lifecycle,
    stop_timeout: Duration,
    /// Those that it starts after: its own `after`, and those before it in its group.
    before: Vec<usize>,
    /// The same edges the other way.
    behind: Vec<usize>,
    group: Option<usize>,
    pending: Option<Move>,
}

/// Whether the application is to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    NotYet,
    Yes,
    NoMore,
}

/// All members by their numbers.
#[derive(Default)]
struct Members(BTreeMap<usize, Member>);

impl Index<usize> for Members {
    type Output = Member;

    fn index(&self, member: usize) -> &Member {
        &self.0[&member]
    }
}

impl IndexMut<usize> for Members {
    fn index_mut(&mut self, member: usize) -> &mut Member {
        match self.0.get_mut(&member) {
            Some(member) => member,
            None => panic!("member {member} has left"),
        }
    }
}

/// See the module.
pub struct Supervision {
    members: Members,
    /// The number of the next to join.
    next: usize,
    seed: u64,
    groups: Vec<Group>,
    /// Members with a pending move.
    waiting: BTreeSet<usize>,
    now: Duration,
    wanted: Wanted,
    token: u64,
    /// Group timers that came too late or twice.
    stale: u64,
}

impl Supervision {
    /// Nothing is started yet. The same seed gives the same waits. A member is in one group at most,
    /// and `after` together with the groups' order has no cycle; the manifest has been checked.
    pub fn new(members: Vec<MemberSettings>, groups: Vec<GroupSettings>, seed: u64) -> Self {
        let mut machine = Self {
            members: Members::default(),
            next: 0,
            seed,
            groups: Vec::new(),
            waiting: BTreeSet::new(),
            now: Duration::ZERO,
            wanted: Wanted::NotYet,
            token: 0,
            stale: 0,
        };
        let mut arranged = Vec::new();
        for member in members {
            let after = member.after.clone();
            arranged.push((machine.join(member), after));
        }
        let arrangement = Arrangement {
            members: arranged,
            groups,
        };
        // Nothing has happened in any group yet, so that there is nothing to do.
        machine.arrange(arrangement, &mut Vec::new());
        machine
    }

    /// A member comes, apart from all others until it is arranged, and starts when that is asked for.
    /// Answers its number.
    pub fn join(&mut self, settings: MemberSettings) -> usize {
        let number = self.next;
        self.next += 1;
        let seed = self.seed.wrapping_add(number as u64);
        let member = Member {
            life: Lifecycle::new(settings.life, seed),
            stop_timeout: settings.stop_timeout,
            before: Vec::new(),
            behind: Vec::new(),
            group: None,
            pending: None,
        };
        self.members.0.insert(number, member);
        number
    }

    /// A member goes for good; false if it is not apart or not at rest, and stays.
    pub fn leave(&mut self, member: usize) -> bool {
        let Some(found) = self.members.0.get(&member) else {
            return true;
        };
        let apart = found.group.is_none() && found.before.is_empty() && found.behind.is_empty();
        let leaves = apart && found.life.phase().is_at_rest() && found.pending.is_none();
        if leaves {
            self.members.0.remove(&member);
        }
        leaves
    }

    /// The members that there are.
    pub fn members(&self) -> impl Iterator<Item = usize> {
        self.members.0.keys().copied()
    }

    /// Where a member stands.
    pub fn phase(&self, member: usize) -> &Phase {
        self.members[member].life.phase()
    }

    /// The life of a member, to be looked at.
    pub fn life(&self, member: usize) -> &Lifecycle {
        &self.members[member].life
    }

    /// When a member that is not ready will be tried again, where that is known.
    pub fn due(&self, member: usize) -> Option<Duration> {
        let member = &self.members[member];
        match (
            member.life.phase(),
            member.group.map(|g| &self.groups[g].state),
        ) {
            (_, Some(GroupState::BackingOff { until, .. })) => Some(*until),
            (Phase::BackingOff { until, .. }, _) => Some(*until),
            _ => None,
        }
    }

    /// Whether a member that is not ready is on its way to be: starting, backing off, not ready for
    /// now, or about to be started by its group or after others.
    pub fn is_coming(&self, member: usize) -> bool {
        let member = &self.members[member];
        match member.life.phase() {
            _ if self.wanted == Wanted::NoMore => false,
            Phase::Starting { .. } | Phase::BackingOff { .. } | Phase::Unready { .. } => true,
            Phase::Ready { .. } => true,
            Phase::Draining {
                then: crate::lifecycle::Then::Starting,
                ..
            } => true,
            Phase::Draining { .. } | Phase::Stopped { .. } | Phase::Parked { .. } => {
                member.pending.as_ref().is_some_and(Move::leads_to_a_start)
            }
        }
    }

    /// Whether a group is parked.
    pub fn is_group_parked(&self, group: usize) -> bool {
        matches!(self.groups[group].state, GroupState::Parked)
    }

    /// Whether nothing waits for anything between members.
    pub fn is_quiet(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Group timers that came too late or twice and were dropped.
    pub fn stale(&self) -> u64 {
        self.stale
    }

    /// The longest that stopping everything may take: the stop time-outs along the longest chain of
    /// members that wait for one another.
    pub fn stop_patience(&self) -> Duration {
        let members = || self.members.0.iter();
        let mut sums: BTreeMap<usize, Duration> = members()
            .map(|(n, member)| (*n, member.stop_timeout))
            .collect();
        let mut left: BTreeMap<usize, usize> = members()
            .map(|(n, member)| (*n, member.behind.len()))
            .collect();
        let last = |(n, left): (&usize, &usize)| (*left == 0).then_some(*n);
        let mut ready: Vec<usize> = left.iter().filter_map(last).collect();
        let mut longest = Duration::ZERO;
        while let Some(member) = ready.pop() {
            let sum = sums[&member];
            longest = longest.max(sum);
            for &before in &self.members[member].before {
                let own = self.members[before].stop_timeout;
                let both = own.saturating_add(sum);
                sums.entry(before)
                    .and_modify(|longer| *longer = both.max(*longer));
                if let Some(left) = left.get_mut(&before) {
                    *left -= 1;
                    if *left == 0 {
                        ready.push(before);
                    }
                }
            }
        }
        longest
    }

    /// Takes in what happened at `now` and answers what to do, in this order. A time before that of
    /// an earlier call counts as that time.
    pub fn step(&mut self, now: Duration, input: Input) -> Vec<Output> {
        self.now = self.now.max(now);
        let mut out = Vec::new();
        match input {
            Input::Start => self.start(),
            Input::Stop => self.stop(),
            Input::Restart(member) | Input::StartOne(member) | Input::StopOne(member, _)
                if !self.members.0.contains_key(&member) => {}
            Input::Member(member, _) if !self.members.0.contains_key(&member) => self.stale += 1,
            Input::Restart(member) => self.restart(member),
            Input::StartOne(member) if self.wanted == Wanted::Yes => {
                self.plan(member, Move::Start);
            }
            Input::StartOne(_) => {}
            Input::StopOne(member, cause) => self.plan(member, Move::Stop { cause }),
            Input::Arrange(arrangement) => self.arrange(arrangement, &mut out),
            Input::Member(member, event) => self.member(member, event, &mut out),
            Input::GroupTimer { group, token } => self.group_timer(group, token, &mut out),
        }
        self.pump(&mut out);
        out
    }

    fn start(&mut self) {
        if self.wanted == Wanted::Yes {
            return;
        }
        self.wanted = Wanted::Yes;
        for member in self.members().collect::<Vec<_>>() {
            self.plan(member, Move::Start);
        }
    }

    fn stop(&mut self) {
        self.wanted = Wanted::NoMore;
        for group in &mut self.groups {
            group.state = GroupState::Live;
        }
        for member in self.members().collect::<Vec<_>>() {
            let cause = Cause::new(CauseKind::Requested, "stopped on request");
            self.plan(member, Move::Stop { cause });
        }
    }

    fn restart(&mut self, member: usize) {
        if self.wanted != Wanted::Yes {
            return;
        }
        if let Some(group) = self.members[member].group
            && self.groups[group].unpark()
        {
            for mate in self.groups[group].settings.members.clone() {
                self.plan(mate, Move::Start);
            }
            return;
        }
        // A member that is about to be started anyway keeps its turn.
        if self.members[member].pending.is_none() {
            self.plan(member, Move::Restart);
        }
    }

    fn member(&mut self, member: usize, event: Event, out: &mut Vec<Output>) {
        if let Event::TimerFired { token } = event
            && self.members[member].life.would_begin(self.now, token)
        {
            // Its turn to begin: but not in between what its group does, nor if it is to stop.
            if matches!(self.members[member].pending, None | Some(Move::Start)) {
                self.plan(member, Move::Again { token });
            }
            return;
        }
        self.feed(member, event, out);
    }

    /// Hands an event to a life, and looks at what it means for the others.
    fn feed(&mut self, member: usize, event: Event, out: &mut Vec<Output>) {
        let life = &mut self.members[member].life;
        let failures = life.failures();
        let actions = life.step(self.now, event);
        let failed = life.failures() > failures;
        out.extend(
            actions
                .into_iter()
                .map(|action| Output::Member(member, action)),
        );
        if failed {
            self.failed(member, out);
        }
    }
}

#[cfg(test)]
mod tests;
