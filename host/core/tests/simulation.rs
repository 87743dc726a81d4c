//! Millions of lifecycle events with faults: late, doubled and stale results, timers out of order, a clock
//! that stutters. After each event the promises of `skep_core::lifecycle` are checked against a plain
//! restatement of them.
//!
//! A failing seed prints itself; `SIM_SEED=N cargo test -p skep-core --test simulation` replays it.
mod simulated;

use std::time::Duration;

use skep_core::duration::DurationRange;
use skep_core::lifecycle::{Action, Event, FORGIVEN_AFTER, Kind, Lifecycle, Phase, Settings};
use skep_core::restart::{RestartPolicy, RestartWhen};

use self::simulated::{Random, cause};

/// Under Miri a few events have to do, and without optimisation some more.
const EVENTS: u64 = if cfg!(miri) {
    2_000
} else if cfg!(debug_assertions) {
    200_000
} else {
    4_000_000
};
const EVENTS_PER_LIFE: u64 = 1_000;

#[test]
fn a_life_keeps_every_promise() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let seed = seed.parse().expect("SIM_SEED is a number");
        Life::new(seed).live();
        return;
    }
    let mut seen = Seen::default();
    for seed in 0..EVENTS / EVENTS_PER_LIFE {
        match std::panic::catch_unwind(|| Life::new(seed).live()) {
            Ok(life) => seen.add(&life),
            Err(panic) => {
                eprintln!("the failing seed: SIM_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
    }
    eprintln!("{seen:?}");
    if cfg!(any(miri, debug_assertions)) {
        return;
    }
    assert!(seen.events >= EVENTS, "{seen:?}");
    for (what, count) in [
        ("ready", seen.ready),
        ("backing off", seen.backing_off),
        ("parked", seen.parked),
        ("draining", seen.draining),
        ("stopped", seen.stopped),
        ("stale", seen.stale),
        ("cut", seen.cut),
        ("abandoned", seen.abandoned),
        ("forgiven", seen.forgiven),
        ("outlived its failures", seen.healthy),
        ("not ready for a while", seen.unready),
    ] {
        assert!(count > 1_000, "{what} was hardly tried: {seen:?}");
    }
}

/// How often something was tried: a simulation that never gets anywhere proves nothing.
#[derive(Debug, Default)]
struct Seen {
    events: u64,
    ready: u64,
    backing_off: u64,
    parked: u64,
    draining: u64,
    stopped: u64,
    stale: u64,
    cut: u64,
    abandoned: u64,
    forgiven: u64,
    healthy: u64,
    unready: u64,
}

impl Seen {
    fn add(&mut self, life: &Life) {
        let other = &life.seen;
        self.events += other.events;
        self.ready += other.ready;
        self.backing_off += other.backing_off;
        self.parked += other.parked;
        self.draining += other.draining;
        self.stopped += other.stopped;
        self.stale += life.machine.stale();
        self.cut += other.cut;
        self.abandoned += other.abandoned;
        self.forgiven += other.forgiven;
        self.healthy += other.healthy;
        self.unready += other.unready;
    }
}

/// One service, the world around it, and what is known of it without asking it.
struct Life {
    random: Random,
    settings: Settings,
    machine: Lifecycle,
    /// The latest time that the machine was told.
    now: Duration,
    seen: Seen,

    // What the host holds because it was told so.
    open: bool,
    /// The `Begin` that has not ended; for a worker, also while it runs.
    outstanding: Option<u64>,
    /// The newest last.
    timers: Vec<(Duration, u64)>,
    /// The newest last.
    drains: Vec<u64>,

    // The restatement.
    /// Counted crashes since the service became ready.
    crashes: Vec<Duration>,
    quiet_since: Duration,
    strikes: u32,
    failures: u64,
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let floor = Duration::from_millis(1 + random.below(300));
        let ceiling = floor + Duration::from_millis(random.below(20_000));
        let restart = RestartPolicy {
            when: match random.below(6) {
                0 => RestartWhen::Never,
                1 | 2 => RestartWhen::Always,
                _ => RestartWhen::OnFailure,
            },
            max: random.below(7) as u32,
            within: Duration::from_millis(1 + random.below(15_000)),
            backoff: DurationRange::new(floor, ceiling).expect("in order"),
            ..RestartPolicy::default()
        };
        let kind = match random.below(2) {
            0 => Kind::Http,
            _ => Kind::Worker,
        };
        let mut settings = Settings::new(kind, restart);
        settings.start_timeout = Duration::from_millis(1 + random.below(20_000));
        Self {
            machine: Lifecycle::new(settings.clone(), seed),
            settings,
            random,
            now: Duration::ZERO,
            seen: Seen::default(),
            open: false,
            outstanding: None,
            timers: Vec::new(),
            drains: Vec::new(),
            crashes: Vec::new(),
            quiet_since: Duration::ZERO,
            strikes: 0,
            failures: 0,
        }
    }

    fn live(mut self) -> Self {
        self.step(Event::Start);
        while self.seen.events < EVENTS_PER_LIFE {
            let event = match self.random.below(2) {
                0 => self.fitting_event(),
                _ => self.any_event(),
            };
            self.step(event);
        }
        self.end();
        self
    }

    /// Whatever the phase, a stop ends in `Stopped`: by an answer, or by the deadline.
    fn end(&mut self) {
        let deadline = self.now + Duration::from_millis(self.random.below(5_000));
        self.step(Event::StopRequested {
            deadline,
            cause: cause(),
        });
        if self.random.below(2) == 0
            && let Some(token) = self.drains.last().copied()
        {
            self.step(Event::Drained { token });
        }
        self.now = self.now.max(deadline);
        for (_, token) in self.timers.clone() {
            self.step(Event::TimerFired { token });
        }
        let phase = self.machine.phase();
        assert!(matches!(phase, Phase::Stopped { .. }), "{phase:?}");
        assert!(!self.open && self.outstanding.is_none());
    }

    /// What an orderly host would tell in this phase.
    fn fitting_event(&mut self) -> Event {
        self.now += Duration::from_millis(self.random.below(2_000));
        let epoch = self.machine.epoch();
        match self.machine.phase() {
            Phase::Starting { .. } => match self.random.below(4) {
                0 => Event::StartFailed {
                    epoch,
                    cause: cause(),
                },
                _ => self.started(epoch),
            },
            Phase::Ready { .. } | Phase::Unready { .. } => match self.random.below(6) {
                0 => Event::Exited { epoch, ok: true },
                1 => Event::ReadinessLost {
                    epoch,
                    cause: cause(),
                },
                2 => Event::ReadinessBack { epoch },
                _ => Event::Crashed {
                    epoch,
                    cause: cause(),
                    answered_since: self.random.below(12),
                },
            },
            Phase::BackingOff { .. } => self.any_timer(),
            Phase::Draining { .. } => match self.random.below(3) {
                0 => self.any_timer(),
                _ => Event::Drained {
                    token: self.any_drain(),
                },
            },
            Phase::Parked { .. } | Phase::Stopped { .. } => Event::RestartRequested {
                deadline: self.now + Duration::from_secs(1),
            },
        }
    }

    fn started(&mut self, epoch: u64) -> Event {
        let unready = (self.random.below(4) == 0).then(cause);
        Event::Started { epoch, unready }
    }

    fn any_event(&mut self) -> Event {
        // Mostly small steps, at times a long one, at times none.
        self.now += Duration::from_millis(match self.random.below(10) {
            0 => 0,
            1 => self.random.below(30_000),
            _ => self.random.below(400),
        });
        let epoch = match self.random.below(8) {
            0 => self.random.below(self.machine.epoch() + 2),
            _ => self.machine.epoch(),
        };
        let deadline = self.now + Duration::from_millis(self.random.below(8_000));
        match self.random.below(100) {
            0..25 => self.any_timer(),
            25..45 => self.started(epoch),
            45..57 => Event::StartFailed {
                epoch,
                cause: cause(),
            },
            57..77 => Event::Crashed {
                epoch,
                cause: cause(),
                answered_since: self.random.below(14),
            },
            77..83 => Event::Exited {
                epoch,
                ok: self.random.below(3) == 0,
            },
            83..86 => Event::HealthFailed {
                epoch,
                cause: cause(),
            },
            86..88 => Event::ReadinessLost {
                epoch,
                cause: cause(),
            },
            88..90 => Event::ReadinessBack { epoch },
            90..94 => Event::Drained {
                token: self.any_drain(),
            },
            94..96 => Event::Start,
            96 => Event::StopRequested {
                deadline,
                cause: cause(),
            },
            97 => Event::ParkRequested {
                deadline,
                cause: cause(),
            },
            _ => Event::RestartRequested { deadline },
        }
    }

    /// Mostly the newest timer when it is due; at times one that is early, stale or was never armed.
    fn any_timer(&mut self) -> Event {
        let token = match (self.random.below(8), self.timers.last().copied()) {
            (0, _) | (_, None) => self.random.below(50_000),
            (1, Some(_)) => self.random.pick(&self.timers).1,
            (2, Some((_, newest))) => newest,
            (_, Some((at, newest))) => {
                self.now = self.now.max(at);
                newest
            }
        };
        Event::TimerFired { token }
    }

    fn any_drain(&mut self) -> u64 {
        match (self.random.below(5), self.drains.last().copied()) {
            (_, None) => 7,
            (0, Some(_)) => *self.random.pick(&self.drains),
            (_, Some(newest)) => newest,
        }
    }

    fn step(&mut self, event: Event) {
        // At times the host's clock seems to go back: the machine keeps to the latest time.
        let back = match self.random.below(20) {
            0 => Duration::from_millis(self.random.below(500)),
            _ => Duration::ZERO,
        };
        let before = self.machine.phase().clone();
        let epoch = self.machine.epoch();
        let stale = self.machine.stale();
        if back.is_zero() {
            self.seen.events += 1;
        } else {
            // The machine learns of the present by an event that means nothing.
            self.machine.step(self.now, Event::Drained { token: 0 });
            self.seen.events += 2;
        }
        let newest = self.timers.last().copied();
        let told = self.now.saturating_sub(back);
        let actions = self.machine.step(told, event.clone());

        self.settle(&event, epoch, &before);
        for action in &actions {
            self.obey(action, &before);
        }
        self.restate(&event, epoch, &before);
        if let Event::TimerFired { token } = event
            && *self.machine.phase() != before
        {
            let (at, newest) = newest.expect("some timer was armed");
            assert_eq!(token, newest, "only the newest timer counts");
            assert!(at <= self.now, "and only when it is due");
        }
        self.check(&event, &before);
        if self.machine.stale() > stale + u64::from(!back.is_zero()) {
            assert_eq!(
                *self.machine.phase(),
                before,
                "a stale event changes nothing"
            );
            assert!(
                actions.is_empty(),
                "nor does it ask for anything: {actions:?}"
            );
        }
        self.count(&before);
    }

    /// A `Begin` ends with its answer; for a worker, with its end.
    fn settle(&mut self, event: &Event, epoch: u64, before: &Phase) {
        let starting = matches!(before, Phase::Starting { .. });
        let alive = starting || before.is_up();
        let http = self.settings.kind != Kind::Worker;
        let ended = match event {
            Event::Started { epoch: of, .. } => *of == epoch && starting && http,
            Event::StartFailed { epoch: of, .. } => *of == epoch && starting,
            Event::Exited { epoch: of, .. } | Event::Crashed { epoch: of, .. } => {
                *of == epoch && alive && !http
            }
            Event::Drained { token } => {
                matches!(before, Phase::Draining { .. }) && self.drains.last() == Some(token)
            }
            _ => false,
        };
        if ended {
            self.outstanding = None;
        }
    }

    fn obey(&mut self, action: &Action, before: &Phase) {
        match action {
            Action::Begin { epoch, attempt } => {
                assert_eq!(self.outstanding, None, "one Begin at a time");
                assert_eq!(*epoch, self.machine.epoch());
                assert!(*attempt >= 1);
                self.outstanding = Some(*epoch);
            }
            Action::Abandon { epoch } => {
                assert_eq!(self.outstanding, Some(*epoch));
                self.outstanding = None;
                self.seen.abandoned += 1;
            }
            Action::Open => {
                assert!(!self.open && self.settings.kind != Kind::Worker);
                self.open = true;
            }
            Action::Close => {
                assert!(self.open && before.is_ready(), "{before:?}");
                self.open = false;
            }
            Action::ArmTimer { at, token } => {
                assert!(self.timers.iter().all(|(_, other)| other != token));
                self.timers.push((*at, *token));
                if self.timers.len() > 20 {
                    self.timers.remove(0);
                }
            }
            Action::Drain { token, .. } => {
                self.drains.push(*token);
                if self.drains.len() > 8 {
                    self.drains.remove(0);
                }
            }
            Action::Cut => {
                self.outstanding = None;
                self.seen.cut += 1;
            }
            Action::Report(_) => {}
        }
    }

    /// The rules for crashes and failures, said plainly: all crashes are kept, windows are counted
    /// anew each time.
    fn restate(&mut self, event: &Event, epoch: u64, before: &Phase) {
        let phase = self.machine.phase().clone();
        let http = self.settings.kind != Kind::Worker;
        let restart = self.settings.restart.clone();
        let starting = matches!(before, Phase::Starting { .. });
        let ready = before.is_up();
        let failed = match event {
            Event::Started { epoch: of, .. } if *of == epoch && starting => {
                self.crashes.clear();
                self.quiet_since = self.now;
                false
            }
            Event::StartFailed { epoch: of, .. } => *of == epoch && starting,
            Event::TimerFired { .. } => starting && phase != *before,
            Event::Crashed {
                epoch: of,
                answered_since,
                ..
            } if *of == epoch && http && ready => {
                if *answered_since >= FORGIVEN_AFTER {
                    self.seen.forgiven += 1;
                    assert_eq!(phase, *before, "a forgiven crash changes nothing");
                    false
                } else {
                    self.fault();
                    self.crashes.push(self.now);
                    let inside = |at: &&Duration| self.now - **at < restart.within;
                    let recent = self.crashes.iter().filter(inside).count();
                    if let Phase::Ready { crashes, .. } | Phase::Unready { crashes, .. } = &phase {
                        assert_eq!(*crashes as usize, recent);
                    }
                    recent > restart.max as usize
                }
            }
            Event::Crashed { epoch: of, .. }
            | Event::Exited {
                epoch: of,
                ok: false,
            } if *of == epoch && !http && (starting || ready) => {
                if ready {
                    self.fault();
                }
                true
            }
            Event::Exited {
                epoch: of,
                ok: true,
            } if *of == epoch && !http && (starting || ready) => {
                self.strikes = 0;
                let again = matches!(phase, Phase::BackingOff { .. });
                assert_eq!(again, restart.when == RestartWhen::Always);
                false
            }
            Event::HealthFailed { epoch: of, .. } if *of == epoch && http && ready => {
                self.fault();
                true
            }
            Event::RestartRequested { .. } => {
                self.strikes = 0;
                false
            }
            Event::Start if matches!(before, Phase::Stopped { .. }) => {
                self.strikes = 0;
                false
            }
            _ => false,
        };
        if failed {
            self.strikes += 1;
            self.failures += 1;
            let parked = restart.when == RestartWhen::Never || self.strikes > restart.max;
            assert_eq!(matches!(phase, Phase::Parked { .. }), parked, "{phase:?}");
            let waits = matches!(phase, Phase::BackingOff { .. });
            assert_eq!(waits, !parked, "{phase:?}");
        } else if ready && http {
            let asked = matches!(
                event,
                Event::StopRequested { .. }
                    | Event::RestartRequested { .. }
                    | Event::ParkRequested { .. }
            );
            assert_eq!(phase.is_up(), !asked, "it stays up: {event:?}");
        }
        self.readiness(event, epoch, before);
    }

    /// Readiness opens and closes, and never starts anything.
    fn readiness(&mut self, event: &Event, epoch: u64, before: &Phase) {
        let phase = self.machine.phase();
        let http = self.settings.kind != Kind::Worker;
        match event {
            Event::Started { epoch: of, unready } if *of == epoch && phase != before => {
                assert_eq!(phase.is_ready(), unready.is_none() || !http);
            }
            Event::ReadinessLost { epoch: of, .. } if *of == epoch && before.is_ready() => {
                assert_eq!(phase.is_ready(), !http);
                self.seen.unready += u64::from(http);
            }
            Event::ReadinessBack { epoch: of }
                if *of == epoch && matches!(before, Phase::Unready { .. }) =>
            {
                assert!(phase.is_ready());
            }
            Event::ReadinessLost { .. } | Event::ReadinessBack { .. } => {
                assert_eq!(phase, before);
            }
            _ => {}
        }
        assert_eq!(self.machine.failures(), self.failures);
    }

    /// Something failed while ready; long enough after the last time, all is forgiven first.
    fn fault(&mut self) {
        if self.now - self.quiet_since >= self.settings.restart.within {
            self.seen.healthy += u64::from(self.strikes > 0);
            self.strikes = 0;
        }
        self.quiet_since = self.now;
    }

    fn check(&mut self, event: &Event, before: &Phase) {
        let phase = self.machine.phase();
        let http = self.settings.kind != Kind::Worker;
        let restart = &self.settings.restart;
        let changed = phase != before;
        assert_eq!(self.open, http && phase.is_ready(), "{phase:?}");
        assert_eq!(self.machine.strikes(), self.strikes, "{event:?} {phase:?}");
        if changed && matches!(before, Phase::Parked { .. }) {
            let asked = matches!(
                event,
                Event::RestartRequested { .. } | Event::StopRequested { .. }
            );
            assert!(asked, "parked is left on purpose only: {event:?}");
        }
        match phase {
            Phase::Starting { .. } => {
                assert_eq!(self.outstanding, Some(self.machine.epoch()));
            }
            Phase::Ready { crashes, .. } | Phase::Unready { crashes, .. } => {
                assert_eq!(self.outstanding.is_some(), !http, "a worker runs");
                assert!(*crashes <= restart.max, "{phase:?}");
            }
            Phase::BackingOff { since, until, .. } => {
                let wait = *until - *since;
                let range = restart.backoff;
                assert!((range.floor()..=range.ceiling()).contains(&wait));
                assert!(self.outstanding.is_none());
                if changed && matches!(event, Event::Exited { ok: true, .. }) {
                    assert_eq!(wait, range.floor());
                }
                assert!(restart.when != RestartWhen::Never || !changed);
                assert!(self.strikes <= restart.max);
                let armed = self.timers.last().map(|(at, _)| *at);
                assert_eq!(armed, Some(*until), "its end is armed");
            }
            Phase::Parked { .. } => assert!(self.outstanding.is_none()),
            Phase::Draining { deadline, .. } => {
                let armed = self.timers.last().map(|(at, _)| *at);
                assert_eq!(armed, Some(*deadline), "the deadline is armed");
            }
            Phase::Stopped { .. } => assert!(self.outstanding.is_none()),
        }
    }

    fn count(&mut self, before: &Phase) {
        let phase = self.machine.phase();
        if phase.name() == before.name() {
            return;
        }
        match phase {
            Phase::Starting { .. } | Phase::Unready { .. } => {}
            Phase::Ready { .. } => self.seen.ready += 1,
            Phase::BackingOff { .. } => self.seen.backing_off += 1,
            Phase::Parked { .. } => self.seen.parked += 1,
            Phase::Draining { .. } => self.seen.draining += 1,
            Phase::Stopped { .. } => self.seen.stopped += 1,
        }
    }
}
