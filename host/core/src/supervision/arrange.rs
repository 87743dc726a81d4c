//! How members depend on one another, and what becomes of groups when that changes.
use super::group::{Group, GroupState};
use super::moves::Move;
use super::{Arrangement, GroupSettings, Output, Supervision, Wanted};
use crate::restart::{Backoff, Intensity};

impl Supervision {
    pub(super) fn arrange(&mut self, arrangement: Arrangement, out: &mut Vec<Output>) {
        for member in self.members.0.values_mut() {
            member.before.clear();
            member.behind.clear();
            member.group = None;
        }
        for (member, after) in &arrangement.members {
            self.members[*member].before.clone_from(after);
        }
        for (number, group) in arrangement.groups.iter().enumerate() {
            for (place, &member) in group.members.iter().enumerate() {
                self.members[member].group = Some(number);
                // After all before it, not only the last of them: that may be one that has just come,
                // and did not go down with the others.
                let earlier = &group.members[..place];
                self.members[member].before.extend(earlier);
            }
        }
        let edges: Vec<(usize, usize)> = self
            .members
            .0
            .iter()
            .flat_map(|(later, member)| member.before.iter().map(|earlier| (*earlier, *later)))
            .collect();
        for (earlier, later) in edges {
            self.members[earlier].behind.push(later);
        }
        self.regroup(arrangement.groups, out);
    }

    fn regroup(&mut self, wanted: Vec<GroupSettings>, out: &mut Vec<Output>) {
        let mut before = std::mem::take(&mut self.groups);
        for (number, settings) in wanted.into_iter().enumerate() {
            let goes_on = |group: &Group| {
                let was = &group.settings;
                was.name == settings.name
                    && was.strategy == settings.strategy
                    && was.policy == settings.policy
            };
            let group = match before.iter().position(goes_on) {
                Some(at) => Group {
                    settings,
                    ..before.swap_remove(at)
                },
                None => self.new_group(settings, number),
            };
            self.groups.push(group);
            self.go_on(number, out);
        }
    }

    fn new_group(&self, settings: GroupSettings, number: usize) -> Group {
        let seed = self.seed.wrapping_add(number as u64);
        Group {
            intensity: Intensity::new(settings.policy.max, settings.policy.within),
            backoff: Backoff::new(settings.policy.backoff, !seed),
            settings,
            state: GroupState::Live,
            strikes: 0,
            quiet_since: self.now,
        }
    }

    /// A group has another place now, or other members.
    fn go_on(&mut self, number: usize, out: &mut Vec<Output>) {
        match self.groups[number].state {
            GroupState::Live => {}
            // Whoever rings knows it by its place.
            GroupState::BackingOff { until, token } => out.push(Output::ArmGroup {
                group: number,
                at: until,
                token,
            }),
            GroupState::Parked => {
                self.groups[number].unpark();
                if self.wanted != Wanted::Yes {
                    return;
                }
                for mate in self.groups[number].settings.members.clone() {
                    self.plan(mate, Move::Start);
                }
            }
        }
    }
}
