//! Millions of events in the lives of several services at once, with their order and their groups,
//! and with faults: late, doubled and stale answers, timers out of order, a clock that stutters.
//! Members are replaced by others all the while, and leave.
//! After each event the promises of `skep_core::supervision` are checked against a plain restatement
//! of them; each round ends with a host that answers everything, and then with a stop.
//!
//! A failing seed prints itself; `SIM_SEED=N cargo test -p skep-core --test supervision` replays it.
#![allow(clippy::print_stderr, reason = "a replayed seed tells its story")]

mod simulated;

use std::time::Duration;

use skep_core::duration::DurationRange;
use skep_core::lifecycle::{Action, Event, Kind, Phase, Report, Settings};
use skep_core::name::GroupName;
use skep_core::restart::{RestartPolicy, RestartWhen};
use skep_core::supervision::{
    Arrangement, Escalate, GroupPolicy, GroupReport, GroupSettings, Input, MemberSettings, Output,
    Strategy, Supervision,
};

use self::simulated::{Random, cause};

/// Under Miri a few events have to do, and without optimisation some more.
const EVENTS: u64 = if cfg!(miri) {
    2_000
} else if cfg!(debug_assertions) {
    200_000
} else {
    8_000_000
};
const EVENTS_PER_ROUND: u64 = 1_000;
/// In a fair world everything comes to rest long before.
const FAIR_STEPS: usize = 2_000;

#[test]
fn order_and_groups_keep_every_promise() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let seed = seed.parse().expect("SIM_SEED is a number");
        let mut world = World::new(seed);
        world.told = true;
        world.live();
        return;
    }
    let mut seen = Seen::default();
    let mut seed = 0;
    while seen.events < EVENTS {
        match std::panic::catch_unwind(|| World::new(seed).live()) {
            Ok(round) => seen.add(&round),
            Err(panic) => {
                eprintln!("the failing seed: SIM_SEED={seed}");
                std::panic::resume_unwind(panic);
            }
        }
        seed += 1;
    }
    eprintln!("{seen:?}");
    if cfg!(any(miri, debug_assertions)) {
        return;
    }
    for (what, count) in [
        ("begins", seen.begins),
        ("failures in groups", seen.failures),
        ("others taken along", seen.taken_along),
        ("groups started anew", seen.anew),
        ("groups parked", seen.parked),
        ("parked groups asked for", seen.unparked),
        ("stops in order", seen.stops_in_order),
        ("starts in order", seen.starts_in_order),
        ("not ready for a while", seen.unready),
        ("joined", seen.joined),
        ("took another's place", seen.replaced),
        ("left", seen.left),
        ("groups found parked by a replacement", seen.revived),
        ("groups found waiting by a replacement", seen.moved),
    ] {
        assert!(count > 1_000, "{what} was hardly tried: {seen:?}");
    }
}

/// How often something was tried: a simulation that never gets anywhere proves nothing.
#[derive(Debug, Default, Clone)]
struct Seen {
    events: u64,
    begins: u64,
    failures: u64,
    taken_along: u64,
    anew: u64,
    parked: u64,
    unparked: u64,
    stops_in_order: u64,
    starts_in_order: u64,
    unready: u64,
    joined: u64,
    replaced: u64,
    left: u64,
    revived: u64,
    moved: u64,
}

impl Seen {
    fn add(&mut self, other: &Seen) {
        self.events += other.events;
        self.begins += other.begins;
        self.failures += other.failures;
        self.taken_along += other.taken_along;
        self.anew += other.anew;
        self.parked += other.parked;
        self.unparked += other.unparked;
        self.stops_in_order += other.stops_in_order;
        self.starts_in_order += other.starts_in_order;
        self.unready += other.unready;
        self.joined += other.joined;
        self.replaced += other.replaced;
        self.left += other.left;
        self.revived += other.revived;
        self.moved += other.moved;
    }
}

/// A service and what the host holds for it, because it was told so.
struct Service {
    kind: Kind,
    after: Vec<usize>,
    group: Option<usize>,
    open: bool,
    /// The `Begin` that has not ended; for a worker, also while it runs.
    outstanding: Option<u64>,
    timers: Vec<(Duration, u64)>,
    drains: Vec<u64>,
    failures: u64,
    begun: bool,
    /// Its group takes it along, and it has not come to rest since.
    must_fall: bool,
    /// It failed, or was taken along, and has not come up since.
    fallen: bool,
    /// The timer that the fair host has fired.
    fired: Option<u64>,
    stands: Stands,
}

/// What a member is to the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stands {
    In,
    /// It may take this one's place.
    Candidate(usize),
    /// Another has taken its place, or it is a candidate no more.
    Apart,
    Left,
}

/// A group, restated plainly: all failures are kept, windows are counted anew each time.
struct Group {
    settings: GroupSettings,
    failures: Vec<Duration>,
    quiet_since: Duration,
    strikes: u32,
    parked: bool,
    /// Until when it waits as a whole, and the timer of that.
    waits: Option<(Duration, u64)>,
    timers: Vec<(Duration, u64)>,
}

struct World {
    random: Random,
    machine: Supervision,
    now: Duration,
    services: Vec<Service>,
    groups: Vec<Group>,
    stopping: bool,
    seen: Seen,
    /// Each step is printed.
    told: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random::new(seed);
        let count = 2 + random.below(5) as usize;
        // Whoever stands later in this order may start after whoever stands earlier.
        let mut order: Vec<usize> = (0..count).collect();
        for place in (1..count).rev() {
            order.swap(place, random.below(place as u64 + 1) as usize);
        }
        let mut after = vec![Vec::new(); count];
        for later in 0..count {
            for earlier in 0..later {
                if random.below(5) == 0 {
                    after[order[later]].push(order[earlier]);
                }
            }
        }
        let mut groups: Vec<GroupSettings> = Vec::new();
        for number in 0..random.below(3) {
            let member = |service: &usize| (service + number as usize).is_multiple_of(2);
            let taken =
                |service: &usize| groups.iter().any(|group| group.members.contains(service));
            let members: Vec<usize> = order
                .iter()
                .copied()
                .filter(|service| member(service) && !taken(service))
                .collect();
            if !members.is_empty() {
                groups.push(group(number, members, &mut random));
            }
        }
        let members: Vec<MemberSettings> = after
            .iter()
            .map(|after| MemberSettings {
                life: settings(&mut random),
                stop_timeout: Duration::from_millis(random.below(3_000)),
                after: after.clone(),
            })
            .collect();
        let services = members.iter().enumerate().map(|(number, member)| Service {
            kind: member.life.kind,
            after: member.after.clone(),
            group: groups
                .iter()
                .position(|group| group.members.contains(&number)),
            open: false,
            outstanding: None,
            timers: Vec::new(),
            drains: Vec::new(),
            failures: 0,
            begun: false,
            must_fall: false,
            fallen: false,
            fired: None,
            stands: Stands::In,
        });
        Self {
            services: services.collect(),
            groups: groups
                .iter()
                .map(|settings| Group {
                    settings: settings.clone(),
                    failures: Vec::new(),
                    quiet_since: Duration::ZERO,
                    strikes: 0,
                    parked: false,
                    waits: None,
                    timers: Vec::new(),
                })
                .collect(),
            machine: Supervision::new(members, groups, seed),
            random,
            now: Duration::ZERO,
            stopping: false,
            seen: Seen::default(),
            told: false,
        }
    }

    fn live(mut self) -> Seen {
        self.step(Input::Start);
        while self.seen.events < EVENTS_PER_ROUND {
            let input = self.any_input();
            self.step(input);
        }
        self.come_to_rest();
        for service in self.present() {
            let phase = self.machine.phase(service);
            assert!(
                phase.is_settled(),
                "it neither runs nor has stopped: {phase:?}"
            );
            assert!(!self.services[service].must_fall);
        }
        assert!(self.machine.is_quiet(), "nobody waits for anybody");
        self.step(Input::Stop);
        self.come_to_rest();
        for service in self.present() {
            let phase = self.machine.phase(service);
            assert!(matches!(phase, Phase::Stopped { .. }), "{phase:?}");
        }
        self.seen
    }

    /// A host that answers whatever it was asked, until there is nothing left to answer.
    fn come_to_rest(&mut self) {
        for _ in 0..FAIR_STEPS {
            let Some(input) = self.fair_input() else {
                return;
            };
            self.step(input);
        }
        panic!("it does not come to rest");
    }

    fn fair_input(&mut self) -> Option<Input> {
        for group in 0..self.groups.len() {
            if let Some((at, token)) = self.groups[group].waits {
                self.now = self.now.max(at);
                return Some(Input::GroupTimer { group, token });
            }
        }
        for service in self.present() {
            let epoch = self.machine.life(service).epoch();
            let event = match self.machine.phase(service) {
                Phase::Starting { .. } => Event::Started {
                    epoch,
                    unready: None,
                },
                Phase::BackingOff { until, .. } => {
                    let (_, token) = *self.services[service].timers.last()?;
                    if self.services[service].fired == Some(token) {
                        // It waits for its group.
                        continue;
                    }
                    self.services[service].fired = Some(token);
                    self.now = self.now.max(*until);
                    Event::TimerFired { token }
                }
                Phase::Draining { .. } => Event::Drained {
                    token: *self.services[service].drains.last()?,
                },
                _ => continue,
            };
            return Some(Input::Member(service, event));
        }
        None
    }

    fn any_input(&mut self) -> Input {
        // Mostly small steps, at times a long one, at times none.
        self.now += Duration::from_millis(match self.random.below(12) {
            0 => 0,
            1 => self.random.below(30_000),
            _ => self.random.below(300),
        });
        let service = self.random.below(self.services.len() as u64) as usize;
        if self.services[service].stands == Stands::Left {
            let event = match self.random.below(3) {
                0 => Event::Drained { token: 1 },
                1 => Event::TimerFired { token: 1 },
                _ => self.started(1),
            };
            return Input::Member(service, event);
        }
        match self.random.below(100) {
            0 => return Input::Start,
            1 => return Input::Restart(service),
            2..8 if !self.groups.is_empty() => return self.any_group_timer(),
            9..14 => {
                if let Some(input) = self.any_replacement(service) {
                    return input;
                }
            }
            8 if self.random.below(20) == 0 => return Input::Stop,
            _ => {}
        }
        let fitting = self.random.below(3) > 0;
        let event = if fitting {
            self.fitting_event(service)
        } else {
            self.any_event(service)
        };
        Input::Member(service, event)
    }

    fn present(&self) -> Vec<usize> {
        let there = |service: &usize| self.services[*service].stands != Stands::Left;
        (0..self.services.len()).filter(there).collect()
    }

    /// The next step of a replacement that this one is part of.
    fn any_replacement(&mut self, number: usize) -> Option<Input> {
        match self.services[number].stands {
            Stands::In => {
                let others = self.services.iter();
                if others.clone().count() > 40
                    || others
                        .map(|other| other.stands)
                        .any(|stands| stands == Stands::Candidate(number))
                {
                    return None;
                }
                let candidate = self.join(number);
                Some(Input::StartOne(candidate))
            }
            Stands::Candidate(of) => match self.random.below(4) {
                0 => {
                    self.services[number].stands = Stands::Apart;
                    Some(Input::StopOne(number, cause()))
                }
                _ if !self.machine.phase(number).is_up() => None,
                _ => Some(Input::Arrange(self.replace(of, number))),
            },
            Stands::Apart => {
                let left = self.machine.leave(number);
                if left {
                    self.seen.left += 1;
                    self.services[number].stands = Stands::Left;
                    let late = Event::Drained { token: 1 };
                    return Some(Input::Member(number, late));
                }
                Some(Input::StopOne(number, cause()))
            }
            Stands::Left => None,
        }
    }

    fn join(&mut self, like: usize) -> usize {
        let mut life = settings(&mut self.random);
        life.kind = self.services[like].kind;
        let number = self.machine.join(MemberSettings {
            life,
            stop_timeout: Duration::from_millis(self.random.below(3_000)),
            after: Vec::new(),
        });
        assert_eq!(number, self.services.len(), "no number is used again");
        self.services.push(Service {
            kind: self.services[like].kind,
            after: Vec::new(),
            group: None,
            open: false,
            outstanding: None,
            timers: Vec::new(),
            drains: Vec::new(),
            failures: 0,
            begun: false,
            must_fall: false,
            fallen: false,
            fired: None,
            stands: Stands::Candidate(like),
        });
        self.seen.joined += 1;
        number
    }

    /// The one takes the other's place; at times the groups change theirs.
    fn replace(&mut self, old: usize, new: usize) -> Arrangement {
        self.seen.replaced += 1;
        let exchange = |member: &mut usize| {
            if *member == old {
                *member = new;
            }
        };
        for service in &mut self.services {
            service.after.iter_mut().for_each(exchange);
        }
        for group in &mut self.groups {
            group.settings.members.iter_mut().for_each(exchange);
        }
        let after = std::mem::take(&mut self.services[old].after);
        self.services[new].after = after;
        self.services[new].group = self.services[old].group.take();
        self.services[old].stands = Stands::Apart;
        // What its group wanted of it does not bind it any more.
        self.services[old].must_fall = false;
        self.services[new].stands = Stands::In;
        for service in &mut self.services {
            if service.stands == Stands::Candidate(old) {
                service.stands = Stands::Candidate(new);
            }
        }
        if self.random.below(3) == 0 {
            self.groups.reverse();
            let last = self.groups.len().saturating_sub(1);
            for service in &mut self.services {
                service.group = service.group.map(|group| last - group);
            }
        }
        let within = self.services.iter().enumerate();
        let within = within.filter(|(_, service)| service.stands == Stands::In);
        Arrangement {
            members: within
                .map(|(n, service)| (n, service.after.clone()))
                .collect(),
            groups: self
                .groups
                .iter()
                .map(|group| group.settings.clone())
                .collect(),
        }
    }

    /// What a parked group comes to when somebody asks for it.
    fn unpark(&mut self, number: usize) {
        let group = &mut self.groups[number];
        if !std::mem::take(&mut group.parked) {
            return;
        }
        group.strikes = 0;
        group.failures.clear();
        for &member in &group.settings.members {
            self.services[member].must_fall = false;
        }
    }

    fn any_group_timer(&mut self) -> Input {
        let group = self.random.below(self.groups.len() as u64) as usize;
        let token = match (
            self.random.below(8),
            self.groups[group].timers.last().copied(),
        ) {
            (0, _) | (_, None) => self.random.below(50),
            (1, Some(_)) => self.random.pick(&self.groups[group].timers).1,
            (2, Some((_, newest))) => newest,
            (_, Some((at, newest))) => {
                self.now = self.now.max(at);
                newest
            }
        };
        Input::GroupTimer { group, token }
    }

    /// What an orderly host would tell in this phase.
    fn fitting_event(&mut self, service: usize) -> Event {
        let epoch = self.machine.life(service).epoch();
        match self.machine.phase(service) {
            Phase::Starting { .. } => match self.random.below(5) {
                0 => Event::StartFailed {
                    epoch,
                    cause: cause(),
                },
                _ => self.started(epoch),
            },
            Phase::Ready { .. } | Phase::Unready { .. } => match self.random.below(12) {
                0 => Event::Exited { epoch, ok: true },
                1 => Event::Exited { epoch, ok: false },
                2 => Event::HealthFailed {
                    epoch,
                    cause: cause(),
                },
                3 => Event::Crashed {
                    epoch,
                    cause: cause(),
                    answered_since: self.random.below(12),
                },
                4 => Event::ReadinessLost {
                    epoch,
                    cause: cause(),
                },
                _ => Event::ReadinessBack { epoch },
            },
            Phase::BackingOff { .. } => self.any_timer(service),
            Phase::Draining { .. } => match self.random.below(4) {
                0 => self.any_timer(service),
                _ => self.any_drain(service),
            },
            Phase::Parked { .. } | Phase::Stopped { .. } => self.any_timer(service),
        }
    }

    fn any_event(&mut self, service: usize) -> Event {
        let epoch = self.machine.life(service).epoch();
        let epoch = match self.random.below(8) {
            0 => self.random.below(epoch + 2),
            _ => epoch,
        };
        match self.random.below(8) {
            0 => self.any_timer(service),
            1 => self.any_drain(service),
            2 => self.started(epoch),
            3 => Event::StartFailed {
                epoch,
                cause: cause(),
            },
            4 => Event::Crashed {
                epoch,
                cause: cause(),
                answered_since: 0,
            },
            5 => Event::Exited { epoch, ok: false },
            6 => Event::ReadinessBack { epoch },
            _ => Event::ReadinessLost {
                epoch,
                cause: cause(),
            },
        }
    }

    fn started(&mut self, epoch: u64) -> Event {
        let unready = (self.random.below(6) == 0).then(cause);
        Event::Started { epoch, unready }
    }

    /// Mostly the newest timer when it is due; at times one that is early, stale or was never armed.
    fn any_timer(&mut self, service: usize) -> Event {
        let timers = &self.services[service].timers;
        let token = match (self.random.below(8), timers.last().copied()) {
            (0, _) | (_, None) => self.random.below(50_000),
            (1, Some(_)) => self.random.pick(timers).1,
            (2, Some((_, newest))) => newest,
            (_, Some((at, newest))) => {
                self.now = self.now.max(at);
                newest
            }
        };
        Event::TimerFired { token }
    }

    fn any_drain(&mut self, service: usize) -> Event {
        let drains = &self.services[service].drains;
        let token = match (self.random.below(5), drains.last().copied()) {
            (_, None) => 7,
            (0, Some(_)) => *self.random.pick(drains),
            (_, Some(newest)) => newest,
        };
        Event::Drained { token }
    }

    fn step(&mut self, input: Input) {
        self.seen.events += 1;
        self.foresee(&input);
        // At times the host's clock seems to go back: the machine keeps to the latest time.
        let back = Duration::from_millis(match self.random.below(20) {
            0 => self.random.below(500),
            _ => 0,
        });
        if !back.is_zero() {
            let nothing = Event::Drained { token: u64::MAX };
            let outputs = self.machine.step(self.now, Input::Member(0, nothing));
            assert_eq!(outputs, [], "an event that means nothing");
        }
        if let Input::Member(service, event) = &input
            && self.services[*service].stands != Stands::Left
        {
            self.settle(*service, event);
        }
        let resting: Vec<bool> = (0..self.services.len())
            .map(|s| self.services[s].stands == Stands::Left || self.is_at_rest(s))
            .collect();
        let outputs = self
            .machine
            .step(self.now.saturating_sub(back), input.clone());
        let expected = match &input {
            Input::Member(service, _) if self.services[*service].stands != Stands::Left => {
                self.failure(*service, &resting, &outputs)
            }
            _ => None,
        };
        let reports = outputs.iter().filter_map(|output| match output {
            Output::Report { group, report } => Some((*group, Told::of(report))),
            _ => None,
        });
        assert_eq!(
            reports.collect::<Vec<_>>(),
            Vec::from_iter(expected),
            "{input:?}"
        );
        if self.told {
            let present = self.present().into_iter();
            let phases = present.map(|service| self.machine.phase(service).name());
            let phases: Vec<&str> = phases.collect();
            eprintln!("{:?} {input:?} => {outputs:?} {phases:?}", self.now);
        }
        for output in &outputs {
            self.obey(output, &input);
        }
        self.check();
    }

    /// The rules for failures in a group, said plainly; answers what the group is to report.
    fn failure(
        &mut self,
        number: usize,
        resting: &[bool],
        outputs: &[Output],
    ) -> Option<(usize, Told)> {
        let failures = self.machine.life(number).failures();
        let before = std::mem::replace(&mut self.services[number].failures, failures);
        if failures == before {
            return None;
        }
        assert_eq!(failures, before + 1);
        let place = self.services[number].group?;
        let group = &mut self.groups[place];
        if self.stopping || group.parked || group.waits.is_some() {
            return None;
        }
        self.seen.failures += 1;
        let policy = &group.settings.policy;
        if self.now - group.quiet_since >= policy.within {
            group.strikes = 0;
        }
        group.quiet_since = self.now;
        group.failures.push(self.now);
        let inside = |at: &&Duration| self.now - **at < policy.within;
        let recent = group.failures.iter().filter(inside).count();
        let members = group.settings.members.clone();
        let given_up = outputs.iter().find_map(|output| match output {
            Output::Member(of, Action::Report(Report::Parked { .. })) if *of == number => {
                Some(true)
            }
            Output::Member(of, Action::Report(Report::BackingOff { .. })) if *of == number => {
                Some(false)
            }
            _ => None,
        });
        let (fall, told) = if recent > policy.max as usize || given_up == Some(true) {
            group.failures.clear();
            group.strikes += 1;
            let again = policy.escalate == Escalate::Restart && group.strikes <= policy.max;
            let told = if again {
                Told::BackingOff
            } else {
                Told::Parked
            };
            (members, Some(told))
        } else {
            let place = members.iter().position(|member| *member == number)?;
            let others: Vec<usize> = match group.settings.strategy {
                Strategy::OneForOne => Vec::new(),
                Strategy::OneForAll => members.iter().copied().filter(|m| *m != number).collect(),
                Strategy::RestForOne => members[place + 1..].to_vec(),
            };
            let told = match group.settings.strategy {
                Strategy::OneForOne => None,
                _ => Some(Told::Together(number, others.len())),
            };
            (others, told)
        };
        // One that fails alone comes back alone.
        let alone = self.groups[place].settings.strategy == Strategy::OneForOne && told.is_none();
        self.services[number].fallen |= !alone;
        for member in fall {
            self.services[member].fallen = true;
            if !resting[member] {
                self.services[member].must_fall = true;
                self.seen.taken_along += 1;
            }
        }
        told.map(|told| (place, told))
    }

    /// What an order means for the restatement.
    fn foresee(&mut self, input: &Input) {
        match input {
            Input::Start => self.stopping = false,
            Input::Stop => {
                self.stopping = true;
                for group in &mut self.groups {
                    (group.parked, group.waits) = (false, None);
                }
                for service in &mut self.services {
                    service.must_fall = false;
                }
            }
            Input::Restart(service) if !self.stopping => {
                let Some(number) = self.services[*service].group else {
                    return;
                };
                self.seen.unparked += u64::from(self.groups[number].parked);
                self.unpark(number);
            }
            Input::Arrange(_) => {
                for group in 0..self.groups.len() {
                    self.seen.revived += u64::from(self.groups[group].parked);
                    self.seen.moved += u64::from(self.groups[group].waits.is_some());
                    self.unpark(group);
                }
            }
            Input::GroupTimer { group, token } => {
                let group = &mut self.groups[*group];
                if group
                    .waits
                    .is_some_and(|(at, of)| of == *token && at <= self.now)
                {
                    group.waits = None;
                }
            }
            Input::Restart(_) | Input::Member(..) => {}
            Input::StartOne(_) | Input::StopOne(..) => {}
        }
    }

    fn obey(&mut self, output: &Output, input: &Input) {
        match output {
            Output::Member(service, action) => self.act(*service, action, input),
            Output::ArmGroup { group, at, token } => {
                let timers = &mut self.groups[*group].timers;
                timers.push((*at, *token));
                if timers.len() > 8 {
                    timers.remove(0);
                }
            }
            Output::Report { group, report } => self.group_report(*group, report),
        }
    }

    fn act(&mut self, number: usize, action: &Action, input: &Input) {
        match action {
            Action::Begin { epoch, .. } => {
                let service = &self.services[number];
                assert_eq!(service.outstanding, None, "one start at a time");
                assert!(!self.stopping, "nothing starts while all stop");
                self.begins(number, *input == Input::Restart(number));
                self.services[number].outstanding = Some(*epoch);
                self.services[number].begun = true;
                self.seen.begins += 1;
            }
            Action::Abandon { .. } | Action::Cut => self.services[number].outstanding = None,
            Action::Open => {
                assert!(!self.services[number].open);
                self.services[number].open = true;
            }
            Action::Close => {
                assert!(self.services[number].open);
                self.services[number].open = false;
            }
            Action::ArmTimer { at, token } => {
                let timers = &mut self.services[number].timers;
                timers.push((*at, *token));
                if timers.len() > 20 {
                    timers.remove(0);
                }
            }
            Action::Drain { token, .. } => {
                self.drains(number);
                let drains = &mut self.services[number].drains;
                drains.push(*token);
                if drains.len() > 8 {
                    drains.remove(0);
                }
            }
            Action::Report(Report::Parked { .. } | Report::Stopped { .. }) => {
                self.services[number].must_fall = false;
                self.services[number].begun = false;
            }
            Action::Report(_) => {}
        }
    }

    /// Who may start, and when.
    fn begins(&mut self, number: usize, asked: bool) {
        let service = &self.services[number];
        // Somebody who asks for a start gets it at once; a later start has had its order.
        let in_order = !service.begun && !asked;
        if in_order {
            for &before in &service.after {
                assert!(self.is_settled(before), "{before} comes before {number}");
                self.seen.starts_in_order += 1;
            }
        }
        assert!(!service.must_fall, "it comes to rest first");
        let Some(group) = service.group.map(|group| &self.groups[group]) else {
            return;
        };
        assert!(!group.parked, "a parked group stays down");
        assert_eq!(group.waits, None, "a group that waits stays down");
        for &mate in &group.settings.members {
            assert!(
                !(service.fallen && self.services[mate].must_fall),
                "{mate} comes to rest before {number} starts"
            );
        }
        let earlier = group.settings.members.iter();
        let earlier: Vec<usize> = earlier
            .copied()
            .take_while(|mate| *mate != number)
            .collect();
        if let (true, Some(&previous)) = (in_order, earlier.last()) {
            assert!(
                self.is_settled(previous),
                "{previous} is listed before {number}"
            );
            self.seen.starts_in_order += 1;
        }
        for mate in earlier {
            let phase = self.machine.phase(mate);
            if group.settings.strategy != Strategy::OneForOne && self.services[mate].fallen {
                let down_for_good = phase.is_at_rest() && !self.machine.is_coming(mate);
                assert!(
                    phase.is_up() || down_for_good,
                    "{mate} comes up before {number}"
                );
                self.seen.starts_in_order += 1;
            }
        }
    }

    /// Who stops, and that those behind it have.
    fn drains(&mut self, number: usize) {
        let service = &self.services[number];
        if self.stopping {
            for (other, behind) in self.services.iter().enumerate() {
                if behind.after.contains(&number) {
                    assert!(self.is_at_rest(other), "{other} stops before {number}");
                    self.seen.stops_in_order += 1;
                }
            }
        }
        let Some(group) = service.group.map(|group| &self.groups[group]) else {
            return;
        };
        let later = group
            .settings
            .members
            .iter()
            .skip_while(|mate| **mate != number)
            .skip(1);
        for &mate in later {
            if self.stopping || (service.must_fall && self.services[mate].must_fall) {
                assert!(self.is_at_rest(mate), "{mate} stops before {number}");
                self.seen.stops_in_order += 1;
            }
        }
    }

    fn is_at_rest(&self, service: usize) -> bool {
        self.machine.phase(service).is_at_rest()
    }

    fn is_settled(&self, service: usize) -> bool {
        // In the step in which it settled, the next one may begin.
        self.machine.phase(service).is_settled()
    }

    fn group_report(&mut self, number: usize, report: &GroupReport) {
        let policy = self.groups[number].settings.policy.clone();
        match report {
            GroupReport::BackingOff { delay, attempt, .. } => {
                assert!((policy.backoff.floor()..=policy.backoff.ceiling()).contains(delay));
                assert_eq!(policy.escalate, Escalate::Restart);
                assert!(*attempt <= policy.max);
                let timer = self.groups[number].timers.last().copied();
                assert_eq!(
                    timer.map(|(at, _)| at),
                    Some(self.now + *delay),
                    "its end is armed"
                );
                self.groups[number].waits = timer;
                self.seen.anew += 1;
            }
            GroupReport::Parked { .. } => {
                self.groups[number].parked = true;
                self.seen.parked += 1;
            }
            GroupReport::Together { .. } => {}
        }
    }

    /// The promises, after each event.
    fn check(&mut self) {
        for number in self.present() {
            let phase = self.machine.phase(number);
            let service = &mut self.services[number];
            let down_for_good = phase.is_at_rest() && !self.machine.is_coming(number);
            service.fallen &= !phase.is_up() && !down_for_good;
            let open = service.kind != Kind::Worker && phase.is_ready();
            assert_eq!(service.open, open, "{phase:?}");
            match phase {
                Phase::Starting { .. } => assert!(service.outstanding.is_some()),
                Phase::Ready { .. } | Phase::Unready { .. } => {
                    assert_eq!(service.outstanding.is_some(), service.kind == Kind::Worker);
                }
                Phase::Draining { .. } => {}
                Phase::BackingOff { .. } | Phase::Parked { .. } | Phase::Stopped { .. } => {
                    assert_eq!(service.outstanding, None, "{phase:?}");
                }
            }
            self.seen.unready += u64::from(matches!(phase, Phase::Unready { .. }));
            let waits = service.group.and_then(|group| self.groups[group].waits);
            match (waits, phase) {
                (Some((until, _)), _) => assert_eq!(self.machine.due(number), Some(until)),
                (None, Phase::BackingOff { until, .. }) => {
                    assert_eq!(self.machine.due(number), Some(*until));
                }
                (None, _) => assert_eq!(self.machine.due(number), None),
            }
            if self.stopping {
                assert!(!self.machine.is_coming(number));
            }
        }
        for (number, group) in self.groups.iter().enumerate() {
            assert_eq!(self.machine.is_group_parked(number), group.parked);
            for &member in group.settings.members.iter().filter(|_| group.parked) {
                if self.is_at_rest(member) {
                    assert!(!self.machine.is_coming(member), "it is parked for good");
                }
            }
        }
    }

    /// A `Begin` ends with its answer; for a worker, with its end.
    fn settle(&mut self, number: usize, event: &Event) {
        let life = self.machine.life(number);
        let (phase, epoch) = (life.phase(), life.epoch());
        let service = &mut self.services[number];
        let starting = matches!(phase, Phase::Starting { .. });
        let alive = starting || phase.is_up();
        let http = service.kind != Kind::Worker;
        let ended = match event {
            Event::Started { epoch: of, .. } => *of == epoch && starting && http,
            Event::StartFailed { epoch: of, .. } => *of == epoch && starting,
            Event::Exited { epoch: of, .. } | Event::Crashed { epoch: of, .. } => {
                *of == epoch && alive && !http
            }
            Event::Drained { token } => {
                matches!(phase, Phase::Draining { .. }) && service.drains.last() == Some(token)
            }
            _ => false,
        };
        if ended {
            service.outstanding = None;
        }
    }
}

/// What a group reports, as far as it is foreseen.
#[derive(Debug, PartialEq)]
enum Told {
    Together(usize, usize),
    BackingOff,
    Parked,
}

impl Told {
    fn of(report: &GroupReport) -> Self {
        match report {
            GroupReport::Together { member, others } => Self::Together(*member, *others),
            GroupReport::BackingOff { .. } => Self::BackingOff,
            GroupReport::Parked { .. } => Self::Parked,
        }
    }
}

fn range(random: &mut Random) -> DurationRange {
    let floor = Duration::from_millis(1 + random.below(300));
    let ceiling = floor + Duration::from_millis(random.below(5_000));
    DurationRange::new(floor, ceiling).expect("in order")
}

fn settings(random: &mut Random) -> Settings {
    let restart = RestartPolicy {
        when: match random.below(8) {
            0 => RestartWhen::Never,
            1 => RestartWhen::Always,
            _ => RestartWhen::OnFailure,
        },
        max: random.below(9) as u32,
        within: Duration::from_millis(1 + random.below(15_000)),
        backoff: range(random),
        ..RestartPolicy::default()
    };
    let kind = match random.below(2) {
        0 => Kind::Http,
        _ => Kind::Worker,
    };
    let mut settings = Settings::new(kind, restart);
    settings.start_timeout = Duration::from_millis(1 + random.below(20_000));
    settings
}

fn group(number: u64, members: Vec<usize>, random: &mut Random) -> GroupSettings {
    GroupSettings {
        name: GroupName::parse(&format!("g{number}")).expect("a name"),
        members,
        strategy: match random.below(3) {
            0 => Strategy::OneForOne,
            1 => Strategy::OneForAll,
            _ => Strategy::RestForOne,
        },
        policy: GroupPolicy {
            max: random.below(6) as u32,
            within: Duration::from_millis(1 + random.below(15_000)),
            backoff: range(random),
            escalate: match random.below(2) {
                0 => Escalate::Park,
                _ => Escalate::Restart,
            },
        },
    }
}
