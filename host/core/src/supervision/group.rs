//! What a member's failure means for its group.
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::moves::Move;
use super::{GroupReport, Output, Supervision, Wanted};
use crate::duration::DurationRange;
use crate::lifecycle::{Cause, CauseKind, Phase};
use crate::name::GroupName;
use crate::restart::{self, Backoff, Intensity};

/// Who goes down and comes back with a member that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Nobody.
    #[default]
    OneForOne,
    /// All others.
    OneForAll,
    /// Those listed after it.
    RestForOne,
}

impl Strategy {
    /// Whether a failure of one concerns others.
    pub(super) fn binds(self) -> bool {
        self != Self::OneForOne
    }
}

/// What becomes of a group that failed too often.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Escalate {
    /// All its members are stopped and parked.
    #[default]
    Park,
    /// All its members are stopped and, after a wait, started; too often without a healthy period
    /// between, and it is parked.
    Restart,
}

/// How often a group may fail, and what then.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupPolicy {
    /// Failures of members `within` the window that the group bears.
    pub max: u32,
    #[serde(with = "crate::duration::millis")]
    pub within: Duration,
    /// The waits before the group as a whole starts again.
    pub backoff: DurationRange,
    pub escalate: Escalate,
}

impl Default for GroupPolicy {
    fn default() -> Self {
        Self {
            max: restart::MAX,
            within: restart::WITHIN,
            backoff: restart::default_backoff(),
            escalate: Escalate::default(),
        }
    }
}

/// One group, as [`Supervision`] knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GroupSettings {
    pub name: GroupName,
    /// In the order in which they start.
    pub members: Vec<usize>,
    pub strategy: Strategy,
    pub policy: GroupPolicy,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum GroupState {
    /// Its members live by their own rules and its strategy.
    Live,
    /// It starts as a whole when the wait is over.
    BackingOff { until: Duration, token: u64 },
    /// It stays down until somebody asks for a member.
    Parked,
}

pub(super) struct Group {
    pub(super) settings: GroupSettings,
    pub(super) state: GroupState,
    /// Failures of members.
    pub(super) intensity: Intensity,
    pub(super) backoff: Backoff,
    /// Starts as a whole without a healthy period between them.
    pub(super) strikes: u32,
    /// Since when no member has failed.
    pub(super) quiet_since: Duration,
}

impl Group {
    /// Out of parked; false if it is not.
    pub(super) fn unpark(&mut self) -> bool {
        let parked = self.state == GroupState::Parked;
        if parked {
            self.state = GroupState::Live;
            self.strikes = 0;
            self.backoff.reset();
            self.intensity.clear();
        }
        parked
    }

    /// Notes a failure at `now`; true if that is one too many.
    fn has_failed(&mut self, now: Duration) -> bool {
        if now.saturating_sub(self.quiet_since) >= self.settings.policy.within {
            self.strikes = 0;
            self.backoff.reset();
        }
        self.quiet_since = now;
        self.intensity.record(now)
    }
}

impl Supervision {
    /// A member has failed, not just one of its instances.
    pub(super) fn failed(&mut self, member: usize, out: &mut Vec<Output>) {
        let Some(number) = self.members[member].group else {
            return;
        };
        let group = &mut self.groups[number];
        if self.wanted != Wanted::Yes || group.state != GroupState::Live {
            return;
        }
        let exceeded = group.has_failed(self.now);
        let given_up = matches!(self.members[member].life.phase(), Phase::Parked { .. });
        if exceeded || given_up {
            self.escalate(number, member, out);
            return;
        }
        let mates = &group.settings.members;
        let others: Vec<usize> = match group.settings.strategy {
            Strategy::OneForOne => return,
            Strategy::OneForAll => mates
                .iter()
                .copied()
                .filter(|mate| *mate != member)
                .collect(),
            Strategy::RestForOne => mates
                .iter()
                .copied()
                .skip_while(|mate| *mate != member)
                .skip(1)
                .collect(),
        };
        let report = GroupReport::Together {
            member,
            others: others.len(),
        };
        out.push(Output::Report {
            group: number,
            report,
        });
        for mate in others {
            let cause = self.with_group(number, "restarts");
            self.plan(mate, Move::Bounce { cause });
        }
    }

    /// The group has failed as a whole.
    fn escalate(&mut self, number: usize, member: usize, out: &mut Vec<Output>) {
        let failure = self.members[member].life.phase().cause();
        let failure = failure
            .cloned()
            .unwrap_or_else(|| self.with_group(number, "failed"));
        let cause = failure.clone();
        let group = &mut self.groups[number];
        group.intensity.clear();
        group.strikes = group.strikes.saturating_add(1);
        let again = group.settings.policy.escalate == Escalate::Restart
            && group.strikes <= group.settings.policy.max;
        let report = if again {
            let delay = group.backoff.next_delay();
            let until = self.now.saturating_add(delay);
            self.token += 1;
            let token = self.token;
            group.state = GroupState::BackingOff { until, token };
            out.push(Output::ArmGroup {
                group: number,
                at: until,
                token,
            });
            GroupReport::BackingOff {
                delay,
                attempt: group.strikes,
                cause,
            }
        } else {
            group.state = GroupState::Parked;
            GroupReport::Parked { cause }
        };
        out.push(Output::Report {
            group: number,
            report,
        });
        for mate in self.groups[number].settings.members.clone() {
            let what = if again { "restarts" } else { "parked" };
            let cause = if mate == member {
                failure.clone()
            } else {
                self.with_group(number, what)
            };
            let to = if again {
                Move::Bounce { cause }
            } else {
                Move::Park { cause }
            };
            self.plan(mate, to);
        }
    }

    pub(super) fn group_timer(&mut self, number: usize, token: u64, out: &mut Vec<Output>) {
        let Some(group) = self.groups.get_mut(number) else {
            self.stale += 1;
            return;
        };
        match group.state {
            GroupState::BackingOff { until, token: of } if of == token => {
                if self.now >= until {
                    group.state = GroupState::Live;
                } else {
                    out.push(Output::ArmGroup {
                        group: number,
                        at: until,
                        token,
                    });
                }
            }
            _ => self.stale += 1,
        }
    }

    fn with_group(&self, group: usize, what: &str) -> Cause {
        let name = &self.groups[group].settings.name;
        Cause::new(CauseKind::Group, format!("{what} with its group `{name}`"))
    }
}
