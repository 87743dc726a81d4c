//! What becomes of a service: each step enters a phase and says what the host is to do.
use std::time::Duration;

use super::{Action, Cause, Kind, Lifecycle, Phase, Report, Then};
use crate::restart::RestartWhen;

impl Lifecycle {
    pub(super) fn begin(&mut self, actions: &mut Vec<Action>) {
        self.epoch += 1;
        self.drain = None;
        let attempt = self.strikes.saturating_add(1);
        self.phase = Phase::Starting {
            attempt,
            since: self.now,
        };
        actions.push(Action::Begin {
            epoch: self.epoch,
            attempt,
        });
        self.arm(
            self.now.saturating_add(self.settings.start_timeout),
            actions,
        );
    }

    /// The service has failed, not just one of its instances.
    pub(super) fn fail(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        self.failures += 1;
        self.strikes = self.strikes.saturating_add(1);
        let restart = &self.settings.restart;
        if restart.when == RestartWhen::Never || self.strikes > restart.max {
            self.park(cause, actions);
        } else {
            let delay = self.backoff.next_delay();
            self.back_off(delay, cause, actions);
        }
    }

    pub(super) fn back_off(&mut self, delay: Duration, cause: Cause, actions: &mut Vec<Action>) {
        self.close(actions);
        let until = self.now.saturating_add(delay);
        self.phase = Phase::BackingOff {
            since: self.now,
            until,
            attempt: self.strikes,
            cause: cause.clone(),
        };
        actions.push(Action::Report(Report::BackingOff {
            delay,
            attempt: self.strikes,
            cause,
        }));
        self.arm(until, actions);
    }

    pub(super) fn park(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        self.close(actions);
        self.timer = None;
        self.drain = None;
        self.phase = Phase::Parked {
            since: self.now,
            cause: cause.clone(),
            crashes: self.strikes,
        };
        actions.push(Action::Report(Report::Parked {
            cause,
            crashes: self.strikes,
        }));
    }

    pub(super) fn drain(
        &mut self,
        deadline: Duration,
        then: Then,
        cause: Cause,
        actions: &mut Vec<Action>,
    ) {
        self.close(actions);
        let token = self.next_token();
        self.drain = Some(token);
        self.phase = Phase::Draining {
            since: self.now,
            deadline,
            then,
            cause: cause.clone(),
        };
        actions.push(Action::Report(Report::Draining { deadline, cause }));
        actions.push(Action::Drain { deadline, token });
        self.arm(deadline, actions);
    }

    /// A drain that is under way leads elsewhere, and may be shortened, never lengthened.
    pub(super) fn drain_on(
        &mut self,
        by: Duration,
        leads_to: Then,
        why: Cause,
        actions: &mut Vec<Action>,
    ) {
        let Phase::Draining {
            deadline,
            then,
            cause,
            ..
        } = &mut self.phase
        else {
            return;
        };
        *then = leads_to;
        *cause = why;
        if by < *deadline {
            *deadline = by;
            self.arm(by, actions);
        }
    }

    pub(super) fn become_unready(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        let crashes = match self.phase {
            Phase::Ready { crashes, .. } => crashes,
            _ => 0,
        };
        self.phase = Phase::Unready {
            since: self.now,
            crashes,
            cause: cause.clone(),
        };
        actions.push(Action::Report(Report::ReadinessLost { cause }));
    }

    pub(super) fn become_stopped(&mut self, cause: Cause, actions: &mut Vec<Action>) {
        self.close(actions);
        self.timer = None;
        self.drain = None;
        self.phase = Phase::Stopped {
            since: self.now,
            cause: cause.clone(),
        };
        actions.push(Action::Report(Report::Stopped { cause }));
    }

    /// Admission is open only while a service that answers is ready.
    pub(super) fn close(&self, actions: &mut Vec<Action>) {
        if self.settings.kind != Kind::Worker && matches!(self.phase, Phase::Ready { .. }) {
            actions.push(Action::Close);
        }
    }

    /// The latest timer is the only one that counts.
    pub(super) fn arm(&mut self, at: Duration, actions: &mut Vec<Action>) {
        let token = self.next_token();
        self.timer = Some(token);
        actions.push(Action::ArmTimer { at, token });
    }

    pub(super) fn next_token(&mut self) -> u64 {
        self.token += 1;
        self.token
    }

    /// A ready service in which nothing failed for as long as crashes are remembered is healthy.
    pub(super) fn end_quiet_period(&mut self) {
        if self.now.saturating_sub(self.quiet_since) >= self.settings.restart.within {
            self.forgive();
        }
        self.quiet_since = self.now;
    }

    pub(super) fn forgive(&mut self) {
        self.strikes = 0;
        self.backoff.reset();
    }
}
