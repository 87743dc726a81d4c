//! Members that are to start or to stop, and when it is their turn.
use super::group::GroupState;
use super::{Output, Supervision};
use crate::lifecycle::{Cause, Event, Phase};

/// What a member is to do when its turn comes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Move {
    /// Start, from stopped or parked.
    Start,
    /// End its own back-off with a start.
    Again { token: u64 },
    /// Start anew, on request.
    Restart,
    /// Stop, and stay down.
    Stop { cause: Cause },
    /// Stop, and then start with its group.
    Bounce { cause: Cause },
    /// Stop, and be parked with its group.
    Park { cause: Cause },
}

impl Move {
    pub(super) fn leads_to_a_start(&self) -> bool {
        match self {
            Self::Start | Self::Again { .. } | Self::Restart | Self::Bounce { .. } => true,
            Self::Stop { .. } | Self::Park { .. } => false,
        }
    }

    fn is_down(&self) -> bool {
        match self {
            Self::Stop { .. } | Self::Bounce { .. } | Self::Park { .. } => true,
            Self::Start | Self::Again { .. } | Self::Restart => false,
        }
    }
}

impl Supervision {
    /// From now on the member waits for its turn to do this, whatever it waited for before.
    pub(super) fn plan(&mut self, member: usize, to: Move) {
        self.members[member].pending = Some(to);
        self.waiting.insert(member);
    }

    fn done(&mut self, member: usize) {
        self.members[member].pending = None;
        self.waiting.remove(&member);
    }

    /// Makes all moves whose turn has come; each may open the gate of another.
    pub(super) fn pump(&mut self, out: &mut Vec<Output>) {
        loop {
            let mut moved = false;
            for member in self.waiting.clone() {
                moved |= self.try_move(member, out);
            }
            if !moved {
                return;
            }
        }
    }

    fn try_move(&mut self, member: usize, out: &mut Vec<Output>) -> bool {
        let Some(to) = self.members[member].pending.clone() else {
            return false;
        };
        let open = match &to {
            down if down.is_down() => self.may_stop(member),
            Move::Start => self.may_start(member),
            _ => self.may_start_again(member),
        };
        if !open {
            return false;
        }
        self.done(member);
        let deadline = self.now.saturating_add(self.members[member].stop_timeout);
        let at_rest = self.phase(member).is_at_rest();
        match to {
            Move::Start if matches!(self.phase(member), Phase::Parked { .. }) => {
                self.feed(member, Event::RestartRequested { deadline }, out);
            }
            Move::Start => self.feed(member, Event::Start, out),
            Move::Again { token } => self.feed(member, Event::TimerFired { token }, out),
            Move::Restart => self.feed(member, Event::RestartRequested { deadline }, out),
            Move::Stop { cause } => {
                self.feed(member, Event::StopRequested { deadline, cause }, out);
            }
            Move::Park { cause } => {
                self.feed(member, Event::ParkRequested { deadline, cause }, out);
            }
            Move::Bounce { cause } => {
                if !at_rest {
                    self.feed(member, Event::StopRequested { deadline, cause }, out);
                }
                self.plan(member, Move::Start);
            }
        }
        true
    }

    /// Once all that come after it, and are to stop too, are at rest; so are all that its group
    /// lists after it. What is draining for a start of its own is only told that there will be none.
    fn may_stop(&self, member: usize) -> bool {
        let group = self.members[member].group.map(|group| &self.groups[group]);
        let mates = group.map_or(&[][..], |group| &group.settings.members);
        let later = mates.iter().skip_while(|&&mate| mate != member).skip(1);
        let mut behind = self.members[member].behind.iter().chain(later);
        let draining = matches!(self.phase(member), Phase::Draining { .. });
        draining || behind.all(|&next| !self.is_going_down(next))
    }

    /// Once it is at rest itself, all that it comes after have settled, and its group has come to
    /// rest and waited.
    fn may_start(&self, member: usize) -> bool {
        let draining = matches!(self.phase(member), Phase::Draining { .. });
        !draining
            && self.is_group_free(member)
            && self.members[member]
                .before
                .iter()
                .all(|&before| self.is_settled(before))
    }

    /// A start of its own waits for its group where that waits as a whole, and where the members of it
    /// go down together.
    fn may_start_again(&self, member: usize) -> bool {
        let Some(group) = self.members[member].group.map(|group| &self.groups[group]) else {
            return true;
        };
        if !group.settings.strategy.binds() {
            return matches!(group.state, GroupState::Live);
        }
        let mates = &group.settings.members;
        let earlier = mates.iter().take_while(|&&mate| mate != member);
        let mut earlier = earlier.copied();
        self.is_group_free(member) && earlier.all(|mate| self.is_settled(mate))
    }

    fn is_group_free(&self, member: usize) -> bool {
        let Some(group) = self.members[member].group.map(|group| &self.groups[group]) else {
            return true;
        };
        let mut mates = group
            .settings
            .members
            .iter()
            .filter(|&&mate| mate != member);
        matches!(group.state, GroupState::Live) && mates.all(|&mate| !self.is_going_down(mate))
    }

    /// It is to stop, or is about to have stopped.
    fn is_going_down(&self, member: usize) -> bool {
        let planned = self.members[member]
            .pending
            .as_ref()
            .is_some_and(Move::is_down);
        planned || matches!(self.phase(member), Phase::Draining { .. })
    }

    /// Whoever comes after it need not wait for it any more.
    fn is_settled(&self, member: usize) -> bool {
        self.members[member].pending.is_none() && self.phase(member).is_settled()
    }
}
