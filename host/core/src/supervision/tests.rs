//! Stories of several services: what happens on the left, what the host is told on the right.
use expect_test::{Expect, expect};

use super::*;
use crate::duration::{DurationRange, show};
use crate::lifecycle::{Kind, Report};
use crate::name::GroupName;
use crate::restart::RestartPolicy;

/// Members are called a, b, c… Back-offs are always 100 ms, those of the group 1 s.
struct Stage {
    machine: Supervision,
    members: usize,
    /// The newest timer of each member and of the group, and the newest drains.
    timers: Vec<u64>,
    drains: Vec<u64>,
    group_timer: u64,
}

fn fixed(millis: u64) -> DurationRange {
    let pause = Duration::from_millis(millis);
    DurationRange::new(pause, pause).unwrap()
}

impl Stage {
    /// `after` has pairs: the first starts after the second.
    fn new(members: usize, after: &[(usize, usize)], groups: Vec<GroupSettings>) -> Self {
        let one = |number: usize| {
            let restart = RestartPolicy {
                max: 2,
                backoff: fixed(100),
                ..RestartPolicy::default()
            };
            MemberSettings {
                life: Settings::new(Kind::Worker, restart),
                stop_timeout: Duration::from_secs(number as u64 + 1),
                after: after
                    .iter()
                    .filter(|(later, _)| *later == number)
                    .map(|(_, before)| *before)
                    .collect(),
            }
        };
        Self {
            machine: Supervision::new((0..members).map(one).collect(), groups, 1),
            members,
            timers: vec![0; members],
            drains: vec![0; members],
            group_timer: 0,
        }
    }

    fn input(&self, text: &str) -> Input {
        let (who, what) = text.split_once(' ').unwrap_or((text, ""));
        let member = usize::from(who.as_bytes()[0] - b'a');
        let event = match (who, what) {
            ("start", _) => return Input::Start,
            ("stop", _) => return Input::Stop,
            ("group", "timer") => {
                let token = self.group_timer;
                return Input::GroupTimer { group: 0, token };
            }
            ("group", token) => {
                let token = token.parse().unwrap();
                return Input::GroupTimer { group: 0, token };
            }
            (_, "restart") => return Input::Restart(member),
            (_, "up") => Event::Started {
                epoch: self.machine.life(member).epoch(),
                unready: None,
            },
            (_, "fails") => Event::Crashed {
                epoch: self.machine.life(member).epoch(),
                cause: Cause::new(CauseKind::Trap, "it broke"),
                answered_since: 0,
            },
            (_, "ends") => Event::Exited {
                epoch: self.machine.life(member).epoch(),
                ok: true,
            },
            (_, "timer") => Event::TimerFired {
                token: self.timers[member],
            },
            (_, "drained") => Event::Drained {
                token: self.drains[member],
            },
            other => panic!("{other:?}"),
        };
        Input::Member(member, event)
    }

    fn render(&mut self, output: &Output) -> Option<String> {
        let name = |member: usize| char::from(b'a' + member as u8);
        let (member, action) = match output {
            Output::Member(member, action) => (*member, action),
            Output::ArmGroup { at, token, .. } => {
                self.group_timer = *token;
                return Some(format!("group wakes at {}", show(*at)));
            }
            Output::Report { report, .. } => {
                return Some(match report {
                    GroupReport::Together { member, others } => {
                        format!("\"{} takes {others} along\"", name(*member))
                    }
                    GroupReport::BackingOff {
                        delay,
                        attempt,
                        cause,
                    } => format!(
                        "\"group failed ({cause}), {attempt}, waits {}\"",
                        show(*delay)
                    ),
                    GroupReport::Parked { cause } => format!("\"group parked ({cause})\""),
                });
            }
        };
        let what = match action {
            Action::Begin { .. } => "begins".to_owned(),
            Action::Drain { deadline, token } => {
                self.drains[member] = *token;
                format!("drains until {}", show(*deadline))
            }
            Action::Cut => "cut".to_owned(),
            Action::ArmTimer { token, .. } => {
                self.timers[member] = *token;
                return None;
            }
            Action::Report(Report::BackingOff { .. }) => "waits".to_owned(),
            Action::Report(Report::Parked { cause, .. }) => format!("parked ({cause})"),
            Action::Report(Report::Stopped { cause }) => format!("stopped ({cause})"),
            _ => return None,
        };
        Some(format!("{} {what}", name(member)))
    }
}

fn story(mut stage: Stage, events: &str, expected: &Expect) {
    let mut told = String::new();
    for line in events
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (at, event) = line.split_once(' ').unwrap();
        let now = Duration::from_millis(at.parse().unwrap());
        let outputs = stage.machine.step(now, stage.input(event));
        let outputs: Vec<String> = outputs.iter().filter_map(|o| stage.render(o)).collect();
        let phases = (0..stage.members).map(|member| stage.machine.phase(member).name());
        let phases: Vec<&str> = phases.collect();
        told += &format!("{line} => {} [{}]\n", outputs.join(", "), phases.join(" "));
    }
    expected.assert_eq(&told);
}

fn group(members: &[usize], strategy: Strategy, max: u32, escalate: Escalate) -> GroupSettings {
    GroupSettings {
        name: GroupName::parse("g").unwrap(),
        members: members.to_vec(),
        strategy,
        policy: GroupPolicy {
            max,
            within: Duration::from_secs(10),
            backoff: fixed(1000),
            escalate,
        },
    }
}

#[test]
fn services_start_after_what_they_come_after_and_stop_before_it() {
    // c after b after a, d by itself.
    story(
        Stage::new(4, &[(1, 0), (2, 1)], vec![]),
        "0 start
         1 b up
         2 a up
         3 b fails
         4 c up
         103 b timer
         104 b ends
         105 d up
         200 stop
         201 d drained
         202 c drained
         203 a drained
         204 a restart
         205 start",
        &expect![[r#"
            0 start => a begins, d begins [starting stopped stopped starting]
            1 b up =>  [starting stopped stopped starting]
            2 a up => b begins [ready starting stopped starting]
            3 b fails => b waits [ready backing-off stopped starting]
            4 c up =>  [ready backing-off stopped starting]
            103 b timer => b begins [ready starting stopped starting]
            104 b ends => b stopped (the worker ended well), c begins [ready stopped starting starting]
            105 d up =>  [ready stopped starting ready]
            200 stop => c drains until 3200ms, d drains until 4200ms [ready stopped draining draining]
            201 d drained => d stopped (stopped on request) [ready stopped draining stopped]
            202 c drained => c stopped (stopped on request), a drains until 1202ms [draining stopped stopped stopped]
            203 a drained => a stopped (stopped on request) [stopped stopped stopped stopped]
            204 a restart =>  [stopped stopped stopped stopped]
            205 start => a begins, d begins [starting stopped stopped starting]
        "#]],
    );
}

#[test]
fn whatever_comes_after_a_service_that_is_given_up_starts() {
    story(
        Stage::new(2, &[(1, 0)], vec![]),
        "0 start
         1 a fails
         101 a timer
         102 a fails
         202 a timer
         203 a fails
         204 b up
         300 a restart
         301 stop
         302 b drained
         303 a drained",
        &expect![[r#"
            0 start => a begins [starting stopped]
            1 a fails => a waits [backing-off stopped]
            101 a timer => a begins [starting stopped]
            102 a fails => a waits [backing-off stopped]
            202 a timer => a begins [starting stopped]
            203 a fails => a parked (it broke), b begins [parked starting]
            204 b up =>  [parked ready]
            300 a restart => a begins [starting ready]
            301 stop => b drains until 2301ms [starting draining]
            302 b drained => b stopped (stopped on request), a drains until 1302ms [draining stopped]
            303 a drained => a stopped (stopped on request) [stopped stopped]
        "#]],
    );
}

#[test]
fn one_for_one_restarts_the_one_that_failed() {
    story(
        Stage::new(
            2,
            &[],
            vec![group(&[0, 1], Strategy::OneForOne, 5, Escalate::Park)],
        ),
        "0 start
         1 a up
         2 b up
         10 a fails
         11 b fails
         111 b timer
         112 b up
         113 a timer
         114 a up",
        &expect![[r#"
            0 start => a begins [starting stopped]
            1 a up => b begins [ready starting]
            2 b up =>  [ready ready]
            10 a fails => a waits [backing-off ready]
            11 b fails => b waits [backing-off backing-off]
            111 b timer => b begins [backing-off starting]
            112 b up =>  [backing-off ready]
            113 a timer => a begins [starting ready]
            114 a up =>  [ready ready]
        "#]],
    );
}

#[test]
fn one_for_all_takes_all_down_backwards_and_brings_them_up_in_order() {
    story(
        Stage::new(
            3,
            &[],
            vec![group(&[0, 1, 2], Strategy::OneForAll, 5, Escalate::Park)],
        ),
        "0 start
         1 a up
         2 b up
         3 c up
         10 b fails
         110 b timer
         111 c drained
         112 a drained
         113 a up
         114 b up
         115 c up
         20000 c fails
         20001 a fails
         20002 b drained
         20003 a drained
         20004 a up
         20005 b fails
         20006 a drained
         20007 a up
         20110 b timer
         20111 b up
         20112 c up",
        &expect![[r#"
            0 start => a begins [starting stopped stopped]
            1 a up => b begins [ready starting stopped]
            2 b up => c begins [ready ready starting]
            3 c up =>  [ready ready ready]
            10 b fails => b waits, "b takes 2 along", c drains until 3010ms [ready backing-off draining]
            110 b timer =>  [ready backing-off draining]
            111 c drained => c stopped (restarts with its group `g`), a drains until 1111ms [draining backing-off stopped]
            112 a drained => a stopped (restarts with its group `g`), a begins [starting backing-off stopped]
            113 a up => b begins [ready starting stopped]
            114 b up => c begins [ready ready starting]
            115 c up =>  [ready ready ready]
            20000 c fails => c waits, "c takes 2 along", b drains until 22s [ready draining backing-off]
            20001 a fails => a waits, "a takes 2 along", c drains until 23001ms [backing-off draining draining]
            20002 b drained => b stopped (restarts with its group `g`) [backing-off stopped draining]
            20003 a drained =>  [backing-off stopped draining]
            20004 a up =>  [backing-off stopped draining]
            20005 b fails =>  [backing-off stopped draining]
            20006 a drained =>  [backing-off stopped draining]
            20007 a up =>  [backing-off stopped draining]
            20110 b timer =>  [backing-off stopped draining]
            20111 b up =>  [backing-off stopped draining]
            20112 c up =>  [backing-off stopped draining]
        "#]],
    );
}

#[test]
fn rest_for_one_takes_along_those_listed_after() {
    story(
        Stage::new(
            3,
            &[],
            vec![group(&[0, 1, 2], Strategy::RestForOne, 5, Escalate::Park)],
        ),
        "0 start
         1 a up
         2 b up
         3 c up
         10 b fails
         20 c drained
         110 b timer
         111 b up
         112 c up
         200 c fails
         300 c timer
         301 c up
         400 a fails
         401 c drained
         402 b drained
         500 a timer
         501 a up
         502 b up
         503 c ends
         600 a fails
         601 b drained
         700 a timer
         701 a up
         702 b up
         703 c up",
        &expect![[r#"
            0 start => a begins [starting stopped stopped]
            1 a up => b begins [ready starting stopped]
            2 b up => c begins [ready ready starting]
            3 c up =>  [ready ready ready]
            10 b fails => b waits, "b takes 1 along", c drains until 3010ms [ready backing-off draining]
            20 c drained => c stopped (restarts with its group `g`) [ready backing-off stopped]
            110 b timer => b begins [ready starting stopped]
            111 b up => c begins [ready ready starting]
            112 c up =>  [ready ready ready]
            200 c fails => c waits, "c takes 0 along" [ready ready backing-off]
            300 c timer => c begins [ready ready starting]
            301 c up =>  [ready ready ready]
            400 a fails => a waits, "a takes 2 along", c drains until 3400ms [backing-off ready draining]
            401 c drained => c stopped (restarts with its group `g`), b drains until 2401ms [backing-off draining stopped]
            402 b drained => b stopped (restarts with its group `g`) [backing-off stopped stopped]
            500 a timer => a begins [starting stopped stopped]
            501 a up => b begins [ready starting stopped]
            502 b up => c begins [ready ready starting]
            503 c ends => c stopped (the worker ended well) [ready ready stopped]
            600 a fails => a waits, "a takes 2 along", b drains until 2600ms [backing-off draining stopped]
            601 b drained => b stopped (restarts with its group `g`) [backing-off stopped stopped]
            700 a timer => a begins [starting stopped stopped]
            701 a up => b begins [ready starting stopped]
            702 b up => c begins [ready ready starting]
            703 c up =>  [ready ready ready]
        "#]],
    );
}

#[test]
fn a_group_that_fails_too_often_is_parked_until_somebody_asks_for_a_member() {
    story(
        Stage::new(
            2,
            &[],
            vec![group(&[0, 1], Strategy::OneForAll, 1, Escalate::Park)],
        ),
        "0 start
         1 a up
         2 b up
         10 a fails
         11 b drained
         110 a timer
         111 a up
         112 b up
         120 b fails
         121 a drained
         220 b timer
         300 b restart
         301 a up
         302 b up
         303 b fails
         304 a drained
         403 b timer
         404 a up
         503 b timer
         504 b up",
        &expect![[r#"
            0 start => a begins [starting stopped]
            1 a up => b begins [ready starting]
            2 b up =>  [ready ready]
            10 a fails => a waits, "a takes 1 along", b drains until 2010ms [backing-off draining]
            11 b drained => b stopped (restarts with its group `g`) [backing-off stopped]
            110 a timer => a begins [starting stopped]
            111 a up => b begins [ready starting]
            112 b up =>  [ready ready]
            120 b fails => b waits, "group parked (it broke)", b parked (it broke), a drains until 1120ms [draining parked]
            121 a drained => a parked (parked with its group `g`) [parked parked]
            220 b timer =>  [parked parked]
            300 b restart => a begins [starting parked]
            301 a up => b begins [ready starting]
            302 b up =>  [ready ready]
            303 b fails => b waits, "b takes 1 along", a drains until 1303ms [draining backing-off]
            304 a drained => a stopped (restarts with its group `g`), a begins [starting backing-off]
            403 b timer =>  [starting backing-off]
            404 a up => b begins [ready starting]
            503 b timer =>  [ready starting]
            504 b up =>  [ready ready]
        "#]],
    );
}

#[test]
fn a_group_may_be_started_anew_before_it_is_parked() {
    story(
        Stage::new(
            2,
            &[],
            vec![group(&[0, 1], Strategy::OneForOne, 1, Escalate::Restart)],
        ),
        "0 start
         1 a up
         2 b up
         10 a fails
         20 b fails
         21 b drained
         22 a drained
         900 group timer
         901 group 77
         1020 group timer
         1021 a up
         1022 b up
         1030 a fails
         1031 b fails
         1032 b drained
         1033 a drained
         1034 a restart
         1100 group timer
         1101 stop
         1102 b drained
         1103 a drained",
        &expect![[r#"
            0 start => a begins [starting stopped]
            1 a up => b begins [ready starting]
            2 b up =>  [ready ready]
            10 a fails => a waits [backing-off ready]
            20 b fails => b waits, group wakes at 1020ms, "group failed (it broke), 1, waits 1s", b drains until 2020ms [backing-off draining]
            21 b drained => b stopped (it broke), a drains until 1021ms [draining stopped]
            22 a drained => a stopped (restarts with its group `g`) [stopped stopped]
            900 group timer => group wakes at 1020ms [stopped stopped]
            901 group 77 =>  [stopped stopped]
            1020 group timer => a begins [starting stopped]
            1021 a up => b begins [ready starting]
            1022 b up =>  [ready ready]
            1030 a fails => a waits [backing-off ready]
            1031 b fails => b waits, "group parked (it broke)", b parked (it broke), a parked (parked with its group `g`) [parked parked]
            1032 b drained =>  [parked parked]
            1033 a drained =>  [parked parked]
            1034 a restart => a begins [starting parked]
            1100 group timer =>  [starting parked]
            1101 stop => b drains until 3101ms [starting draining]
            1102 b drained => b stopped (stopped on request), a drains until 2102ms [draining stopped]
            1103 a drained => a stopped (stopped on request) [stopped stopped]
        "#]],
    );
}

#[test]
fn a_group_whose_member_has_used_up_its_restarts_escalates() {
    for escalate in [Escalate::Park, Escalate::Restart] {
        let groups = vec![group(&[0, 1], Strategy::OneForOne, 5, escalate)];
        let mut stage = Stage::new(2, &[], groups);
        let _ = stage.machine.step(Duration::ZERO, Input::Start);
        for (second, event) in (0..).zip(["a fails", "a timer", "a fails", "a timer", "a fails"]) {
            let input = stage.input(event);
            for output in stage.machine.step(Duration::from_secs(second), input) {
                stage.render(&output);
            }
        }
        assert_eq!(stage.machine.is_group_parked(0), escalate == Escalate::Park);
        let is_coming = escalate == Escalate::Restart;
        assert_eq!(stage.machine.is_coming(0), is_coming);
        assert_eq!(stage.machine.is_coming(1), is_coming);
    }
}

#[test]
fn a_healthy_period_forgives_a_group() {
    let groups = vec![group(&[0], Strategy::OneForOne, 1, Escalate::Restart)];
    // Each round exceeds the group's intensity once; the rounds are far apart.
    let mut stage = Stage::new(1, &[], groups);
    let mut now = Duration::ZERO;
    let _ = stage.machine.step(now, Input::Start);
    for _ in 0..5 {
        now += Duration::from_secs(10);
        for event in [
            "a up",
            "a fails",
            "a timer",
            "a up",
            "a fails",
            "a drained",
            "group timer",
        ] {
            now += Duration::from_millis(if event.ends_with("timer") { 1000 } else { 1 });
            let input = stage.input(event);
            for output in stage.machine.step(now, input) {
                stage.render(&output);
            }
        }
        assert!(!stage.machine.is_group_parked(0));
        assert_eq!(stage.machine.phase(0).name(), "starting");
    }
}

#[test]
fn stopping_everything_takes_as_long_as_the_longest_chain() {
    let patience = |members, after: &[(usize, usize)]| {
        Stage::new(members, after, vec![]).machine.stop_patience()
    };
    // Member n has n + 1 seconds.
    assert_eq!(patience(0, &[]), Duration::ZERO);
    assert_eq!(patience(3, &[]), Duration::from_secs(3));
    assert_eq!(patience(3, &[(1, 0), (2, 1)]), Duration::from_secs(6));
    assert_eq!(
        patience(4, &[(1, 0), (2, 0), (3, 2)]),
        Duration::from_secs(8)
    );
    let groups = vec![group(&[1, 0], Strategy::OneForAll, 1, Escalate::Park)];
    let grouped = Stage::new(2, &[], groups);
    assert_eq!(grouped.machine.stop_patience(), Duration::from_secs(3));
}

#[test]
fn who_waits_is_known_with_the_time_of_the_next_try() {
    let groups = vec![group(&[0, 1], Strategy::OneForOne, 1, Escalate::Restart)];
    let mut stage = Stage::new(3, &[(2, 0)], groups);
    let mut step = |millis, event: &str| {
        let input = stage.input(event);
        for output in stage.machine.step(Duration::from_millis(millis), input) {
            stage.render(&output);
        }
        let about = |member| {
            let machine = &stage.machine;
            let due = machine.due(member).map(|due| due.as_millis());
            (machine.is_coming(member), due)
        };
        (about(0), about(1), about(2), stage.machine.is_quiet())
    };
    let (no, yes) = ((false, None), (true, None));
    assert_eq!(step(0, "start"), (yes, yes, yes, false));
    assert_eq!(step(1, "a up"), (yes, yes, yes, true));
    assert_eq!(step(2, "b up"), (yes, yes, yes, true));
    assert_eq!(step(3, "c up"), (yes, yes, yes, true));
    assert_eq!(step(4, "c fails").2, (true, Some(104)));
    assert_eq!(step(5, "a fails").0, (true, Some(105)));
    let group_waits = (true, Some(1006));
    assert_eq!(step(6, "b fails").1, group_waits);
    let down = step(7, "b drained");
    assert_eq!((down.0, down.1, down.3), (group_waits, group_waits, false));
    step(8, "a drained");
    assert_eq!(step(1006, "group timer").0, yes);
    step(1007, "a restart");
    assert_eq!(step(1008, "stop"), (no, no, no, false));
}

/// Lets all happen in a millisecond each, beginning with `now`; returns the time after it.
fn play(stage: &mut Stage, mut now: u64, events: &[&str]) -> u64 {
    for event in events {
        let input = stage.input(event);
        for output in stage.machine.step(Duration::from_millis(now), input) {
            stage.render(&output);
        }
        now += 1;
    }
    now
}

#[test]
fn what_drains_to_start_anew_is_coming() {
    let mut stage = Stage::new(1, &[], vec![]);
    play(&mut stage, 0, &["start", "a up", "a restart"]);
    assert_eq!(stage.machine.phase(0).name(), "draining");
    assert!(stage.machine.is_coming(0));
    play(&mut stage, 3, &["stop"]);
    assert!(!stage.machine.is_coming(0));
}

#[test]
fn a_late_timer_of_a_group_does_not_end_its_next_wait() {
    let groups = vec![group(&[0, 1, 2], Strategy::OneForOne, 2, Escalate::Restart)];
    let mut stage = Stage::new(3, &[], groups);
    let all_fail = [
        "a up",
        "b up",
        "c up",
        "a fails",
        "b fails",
        "c fails",
        "c drained",
        "b drained",
        "a drained",
    ];
    let now = play(&mut stage, 0, &["start"]);
    let now = play(&mut stage, now, &all_fail);
    let first = stage.group_timer;
    let now = play(&mut stage, now + 1000, &["group timer"]);
    assert_eq!(stage.machine.phase(0).name(), "starting");
    assert_eq!(stage.machine.stale(), 0);
    let now = play(&mut stage, now, &all_fail);
    assert_ne!(stage.group_timer, first);
    let late = [format!("group {first}"), format!("group {first}")];
    let late = late.each_ref().map(String::as_str);
    let now = play(&mut stage, now + 2000, &late);
    assert_eq!(stage.machine.stale(), 2);
    assert!(matches!(
        stage.machine.phase(0).name(),
        "stopped" | "backing-off"
    ));
    play(&mut stage, now, &["group timer"]);
    assert_eq!(stage.machine.phase(0).name(), "starting");
}

#[test]
fn who_has_not_stopped_yet_is_not_disturbed_by_a_start() {
    let mut stage = Stage::new(2, &[(1, 0)], vec![]);
    // The first waits for the second to stop when both are to start again.
    let stopping = ["start", "a up", "b up", "stop"];
    let now = play(&mut stage, 0, &stopping);
    let phases = |stage: &Stage| [0, 1].map(|member| stage.machine.phase(member).name());
    assert_eq!(phases(&stage), ["ready", "draining"]);
    let now = play(&mut stage, now, &["start"]);
    assert_eq!(phases(&stage), ["ready", "draining"]);
    play(&mut stage, now, &["b drained"]);
    assert_eq!(phases(&stage), ["ready", "starting"]);
}
