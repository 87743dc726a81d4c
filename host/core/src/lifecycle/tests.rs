//! Life stories: events on the left, what the service does on the right.
use expect_test::{Expect, expect};

use super::*;
use crate::duration::{DurationRange, show};

/// A story of lines `MILLISECONDS EVENT`; the rendering has a line for each event with the phase and
/// the actions that it led to. The back-off is always 100 ms, which leaves nothing to chance.
fn story(kind: Kind, when: RestartWhen, max: u32, events: &str, expected: &Expect) {
    let pause = Duration::from_millis(100);
    let restart = RestartPolicy {
        when,
        max,
        within: Duration::from_secs(10),
        backoff: DurationRange::new(pause, pause).unwrap(),
        ..RestartPolicy::default()
    };
    let mut life = Lifecycle::new(Settings::new(kind, restart), 1);
    let mut told = String::new();
    for line in events
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (at, event) = line.split_once(' ').unwrap();
        let now = Duration::from_millis(at.parse().unwrap());
        let stale = life.stale();
        let actions = life.step(now, parse(event, &life));
        let actions: Vec<String> = actions.iter().map(render).collect();
        let mark = if life.stale() > stale { " (stale)" } else { "" };
        told += &format!(
            "{line}{mark} => {}: {}\n",
            life.phase().name(),
            actions.join(", ")
        );
    }
    expected.assert_eq(&told);
}

fn parse(event: &str, life: &Lifecycle) -> Event {
    let (name, rest) = event.split_once(' ').unwrap_or((event, ""));
    let epoch = match rest.strip_prefix('#') {
        Some(epoch) => epoch.parse().unwrap(),
        None => life.epoch(),
    };
    let cause = Cause::new(CauseKind::Trap, "it broke");
    let deadline = life.now.saturating_add(Duration::from_secs(5));
    match name {
        "start" => Event::Start,
        "started" => Event::Started {
            epoch,
            unready: (rest == "unready").then(|| Cause::new(CauseKind::Health, "not yet")),
        },
        "unready" => Event::ReadinessLost { epoch, cause },
        "well" => Event::ReadinessBack { epoch },
        "failed" => Event::StartFailed { epoch, cause },
        "crash" => Event::Crashed {
            epoch,
            cause,
            answered_since: rest.parse().unwrap_or(0),
        },
        "exit" => Event::Exited {
            epoch,
            ok: rest == "ok",
        },
        "unhealthy" => Event::HealthFailed { epoch, cause },
        "timer" => Event::TimerFired {
            token: rest.parse().unwrap_or(life.timer.unwrap_or(0)),
        },
        "stop" => Event::StopRequested {
            deadline: match rest.parse() {
                Ok(millis) => Duration::from_millis(millis),
                Err(_) => deadline,
            },
            cause: Cause::new(CauseKind::Requested, "stopped on request"),
        },
        "park" => Event::ParkRequested {
            deadline: match rest.parse() {
                Ok(millis) => Duration::from_millis(millis),
                Err(_) => deadline,
            },
            cause: Cause::new(CauseKind::Group, "parked with its group"),
        },
        "restart" => Event::RestartRequested { deadline },
        "drained" => Event::Drained {
            token: rest.parse().unwrap_or(life.drain.unwrap_or(0)),
        },
        other => panic!("{other}"),
    }
}

fn render(action: &Action) -> String {
    match action {
        Action::Begin { epoch, attempt } => format!("begin #{epoch} (attempt {attempt})"),
        Action::Abandon { epoch } => format!("abandon #{epoch}"),
        Action::Open => "open".to_owned(),
        Action::Close => "close".to_owned(),
        Action::ArmTimer { at, .. } => format!("wake at {}", show(*at)),
        Action::Drain { deadline, .. } => format!("drain until {}", show(*deadline)),
        Action::Cut => "cut".to_owned(),
        Action::Report(report) => match report {
            Report::Ready { took } => format!("\"ready after {}\"", show(*took)),
            Report::StartFailed { attempt, .. } => format!("\"start {attempt} failed\""),
            Report::Crashed {
                counted, crashes, ..
            } => match counted {
                true => format!("\"crash {crashes}\""),
                false => "\"crash forgiven\"".to_owned(),
            },
            Report::HealthFailed { .. } => "\"unhealthy\"".to_owned(),
            Report::ReadinessLost { cause } => format!("\"unready: {cause}\""),
            Report::ReadinessBack => "\"well again\"".to_owned(),
            Report::BackingOff { delay, attempt, .. } => {
                format!("\"failure {attempt}, waits {}\"", show(*delay))
            }
            Report::Parked { crashes, .. } => format!("\"parked after {crashes}\""),
            Report::Draining { .. } => "\"draining\"".to_owned(),
            Report::Cut => "\"cut\"".to_owned(),
            Report::Stopped { cause } => format!("\"{cause}\""),
        },
    }
}

#[test]
fn an_http_service_starts_serves_and_stops() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        2,
        "0 start
         5 started
         7 start
         100 stop
         150 drained
         160 drained
         170 stop",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            5 started => ready: "ready after 5ms", open
            7 start => ready: 
            100 stop => draining: close, "draining", drain until 5007ms, wake at 5007ms
            150 drained => stopped: "stopped on request"
            160 drained (stale) => stopped: 
            170 stop => stopped: 
        "#]],
    );
}

#[test]
fn a_crash_loses_the_instance_and_not_the_service() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        2,
        "0 start
         1 started
         1000 crash
         2000 crash
         11500 crash
         11600 crash 10",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started => ready: "ready after 1ms", open
            1000 crash => ready: "crash 1"
            2000 crash => ready: "crash 2"
            11500 crash => ready: "crash 2"
            11600 crash 10 => ready: "crash forgiven"
        "#]],
    );
}

#[test]
fn too_many_crashes_back_off_and_then_park() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 started
         10 crash
         20 crash
         21 crash
         120 timer
         121 started
         130 crash
         140 crash
         141 start
         150 crash
         200 restart
         201 started",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started => ready: "ready after 1ms", open
            10 crash => ready: "crash 1"
            20 crash => backing-off: "crash 2", close, "failure 1, waits 100ms", wake at 120ms
            21 crash (stale) => backing-off: 
            120 timer => starting: begin #2 (attempt 2), wake at 60120ms
            121 started => ready: "ready after 1ms", open
            130 crash => ready: "crash 1"
            140 crash => parked: "crash 2", close, "parked after 2"
            141 start => parked: 
            150 crash (stale) => parked: 
            200 restart => starting: begin #3 (attempt 1), wake at 60200ms
            201 started => ready: "ready after 1ms", open
        "#]],
    );
}

#[test]
fn a_healthy_period_forgives() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 failed
         101 timer
         102 started
         10102 unhealthy
         10202 timer
         10203 failed",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 failed => backing-off: "start 1 failed", "failure 1, waits 100ms", wake at 101ms
            101 timer => starting: begin #2 (attempt 2), wake at 60101ms
            102 started => ready: "ready after 1ms", open
            10102 unhealthy => backing-off: "unhealthy", close, "failure 1, waits 100ms", wake at 10202ms
            10202 timer => starting: begin #3 (attempt 2), wake at 70202ms
            10203 failed => parked: "start 2 failed", "parked after 2"
        "#]],
    );
}

#[test]
fn a_service_that_never_restarts_parks_at_its_first_failure() {
    story(
        Kind::Http,
        RestartWhen::Never,
        1,
        "0 start
         1 started
         2 crash
         3 crash
         4 restart
         5 failed",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started => ready: "ready after 1ms", open
            2 crash => ready: "crash 1"
            3 crash => parked: "crash 2", close, "parked after 1"
            4 restart => starting: begin #2 (attempt 1), wake at 60004ms
            5 failed => parked: "start 1 failed", "parked after 1"
        "#]],
    );
}

#[test]
fn a_worker_runs_once_unless_told_otherwise() {
    let events = "0 start
         1 started
         50 exit ok
         150 timer
         160 exit ok";
    story(
        Kind::Worker,
        RestartWhen::OnFailure,
        2,
        events,
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started => ready: "ready after 1ms"
            50 exit ok => stopped: "the worker ended well"
            150 timer (stale) => stopped: 
            160 exit ok (stale) => stopped: 
        "#]],
    );
    story(
        Kind::Worker,
        RestartWhen::Always,
        2,
        events,
        &expect![[r#"
        0 start => starting: begin #1 (attempt 1), wake at 1m
        1 started => ready: "ready after 1ms"
        50 exit ok => backing-off: "failure 0, waits 100ms", wake at 150ms
        150 timer => starting: begin #2 (attempt 1), wake at 60150ms
        160 exit ok => backing-off: "failure 0, waits 100ms", wake at 260ms
    "#]],
    );
    story(
        Kind::Worker,
        RestartWhen::Never,
        2,
        events,
        &expect![[r#"
        0 start => starting: begin #1 (attempt 1), wake at 1m
        1 started => ready: "ready after 1ms"
        50 exit ok => stopped: "the worker ended well"
        150 timer (stale) => stopped: 
        160 exit ok (stale) => stopped: 
    "#]],
    );
}

#[test]
fn a_worker_that_fails_is_restarted_then_parked() {
    story(
        Kind::Worker,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 started
         2 exit failed
         102 timer
         103 started
         10200 crash
         10300 timer
         10301 exit failed
         10400 stop
         10401 drained",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started => ready: "ready after 1ms"
            2 exit failed => backing-off: "crash 1", "failure 1, waits 100ms", wake at 102ms
            102 timer => starting: begin #2 (attempt 2), wake at 60102ms
            103 started => ready: "ready after 1ms"
            10200 crash => backing-off: "crash 1", "failure 1, waits 100ms", wake at 10300ms
            10300 timer => starting: begin #3 (attempt 2), wake at 70300ms
            10301 exit failed => parked: "crash 2", "parked after 2"
            10400 stop => draining: "draining", drain until 15301ms, wake at 15301ms
            10401 drained => stopped: "stopped on request"
        "#]],
    );
}

#[test]
fn a_start_that_hangs_is_abandoned() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 start
         59999 timer
         60000 timer
         60001 started
         60100 timer
         60200 started",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            59999 timer => starting: wake at 1m
            60000 timer => backing-off: abandon #1, "start 1 failed", "failure 1, waits 100ms", wake at 60100ms
            60001 started (stale) => backing-off: 
            60100 timer => starting: begin #2 (attempt 2), wake at 120100ms
            60200 started => ready: "ready after 100ms", open
        "#]],
    );
}

#[test]
fn a_stop_is_kept_to_its_deadline_and_a_restart_follows_its_drain() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 started
         10 restart
         20 drained
         21 started
         30 stop
         4000 timer
         5030 timer
         5031 drained",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started => ready: "ready after 1ms", open
            10 restart => draining: close, "draining", drain until 5001ms, wake at 5001ms
            20 drained => starting: begin #2 (attempt 1), wake at 60020ms
            21 started => ready: "ready after 1ms", open
            30 stop => draining: close, "draining", drain until 5021ms, wake at 5021ms
            4000 timer => draining: wake at 5021ms
            5030 timer => stopped: "cut", cut, "stopped on request; what did not end in time was cut"
            5031 drained (stale) => stopped: 
        "#]],
    );
    story(
        Kind::Worker,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 stop
         2 start
         3 drained
         4 started
         5 stop
         6 restart
         7 stop
         8 exit ok
         9 drained",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 stop => draining: "draining", drain until 5s, wake at 5s
            2 start => draining: 
            3 drained => starting: begin #2 (attempt 1), wake at 60003ms
            4 started => ready: "ready after 1ms"
            5 stop => draining: "draining", drain until 5004ms, wake at 5004ms
            6 restart => draining: 
            7 stop => draining: 
            8 exit ok (stale) => draining: 
            9 drained => stopped: "stopped on request"
        "#]],
    );
}

#[test]
fn stale_answers_are_dropped_and_counted() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        3,
        "0 start
         1 started #7
         2 failed
         3 started
         102 timer
         103 started #1
         104 started
         105 started
         106 timer 1
         107 crash #1
         108 drained 99
         109 exit ok",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started #7 (stale) => starting: 
            2 failed => backing-off: "start 1 failed", "failure 1, waits 100ms", wake at 102ms
            3 started (stale) => backing-off: 
            102 timer => starting: begin #2 (attempt 2), wake at 60102ms
            103 started #1 (stale) => starting: 
            104 started => ready: "ready after 2ms", open
            105 started (stale) => ready: 
            106 timer 1 (stale) => ready: 
            107 crash #1 (stale) => ready: 
            108 drained 99 (stale) => ready: 
            109 exit ok (stale) => ready: 
        "#]],
    );
}

#[test]
fn a_stop_while_waiting_or_parked_ends_in_stopped() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        0,
        "0 start
         1 failed
         2 stop
         3 drained
         4 start",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 failed => parked: "start 1 failed", "parked after 1"
            2 stop => draining: "draining", drain until 5001ms, wake at 5001ms
            3 drained => stopped: "stopped on request"
            4 start => starting: begin #2 (attempt 1), wake at 60004ms
        "#]],
    );
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 failed
         2 stop
         3 drained
         150 timer",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 failed => backing-off: "start 1 failed", "failure 1, waits 100ms", wake at 101ms
            2 stop => draining: "draining", drain until 5001ms, wake at 5001ms
            3 drained => stopped: "stopped on request"
            150 timer (stale) => stopped: 
        "#]],
    );
}

#[test]
fn readiness_closes_and_opens_the_door_without_a_start() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 started unready
         2 unready
         3 well
         4 well
         5 unready
         6 crash
         7 unready #0
         8 well
         9 unready
         10 timer
         11 crash
         20 unready
         21 well
         111 timer
         112 started
         113 unready
         114 unhealthy",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started unready => unready: "ready after 1ms", "unready: not yet"
            2 unready (stale) => unready: 
            3 well => ready: "well again", open
            4 well (stale) => ready: 
            5 unready => unready: close, "unready: it broke"
            6 crash => unready: "crash 1"
            7 unready #0 (stale) => unready: 
            8 well => ready: "well again", open
            9 unready => unready: close, "unready: it broke"
            10 timer (stale) => unready: 
            11 crash => backing-off: "crash 2", "failure 1, waits 100ms", wake at 111ms
            20 unready (stale) => backing-off: 
            21 well (stale) => backing-off: 
            111 timer => starting: begin #2 (attempt 2), wake at 60111ms
            112 started => ready: "ready after 1ms", open
            113 unready => unready: close, "unready: it broke"
            114 unhealthy => parked: "unhealthy", "parked after 2"
        "#]],
    );
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 started unready
         2 restart
         3 drained
         4 started unready
         5 stop
         6 well
         7 drained",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started unready => unready: "ready after 1ms", "unready: not yet"
            2 restart => draining: "draining", drain until 5001ms, wake at 5001ms
            3 drained => starting: begin #2 (attempt 1), wake at 60003ms
            4 started unready => unready: "ready after 1ms", "unready: not yet"
            5 stop => draining: "draining", drain until 5004ms, wake at 5004ms
            6 well (stale) => draining: 
            7 drained => stopped: "stopped on request"
        "#]],
    );
}

#[test]
fn a_worker_has_no_readiness() {
    story(
        Kind::Worker,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 started unready
         2 unready
         3 unhealthy",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started unready => ready: "ready after 1ms"
            2 unready (stale) => ready: 
            3 unhealthy (stale) => ready: 
        "#]],
    );
}

#[test]
fn what_is_parked_on_request_drains_first_and_is_left_by_a_restart() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 park
         1 restart
         2 started
         3 park
         4 park 100
         5 stop 200
         6 park 50
         7 timer
         50 timer
         51 park
         52 restart
         53 failed
         54 park
         55 restart
         56 started
         57 park
         58 stop
         59 drained",
        &expect![[r#"
            0 park => parked: "parked after 0"
            1 restart => starting: begin #1 (attempt 1), wake at 60001ms
            2 started => ready: "ready after 1ms", open
            3 park => draining: close, "draining", drain until 5002ms, wake at 5002ms
            4 park 100 => draining: wake at 100ms
            5 stop 200 => draining: 
            6 park 50 => draining: wake at 50ms
            7 timer => draining: wake at 50ms
            50 timer => parked: "cut", cut, "parked after 0"
            51 park => parked: 
            52 restart => starting: begin #2 (attempt 1), wake at 60052ms
            53 failed => backing-off: "start 1 failed", "failure 1, waits 100ms", wake at 153ms
            54 park => parked: "parked after 1"
            55 restart => starting: begin #3 (attempt 1), wake at 60055ms
            56 started => ready: "ready after 1ms", open
            57 park => draining: close, "draining", drain until 5056ms, wake at 5056ms
            58 stop => draining: 
            59 drained => stopped: "stopped on request"
        "#]],
    );
}

#[test]
fn a_drain_may_be_shortened_and_never_lengthened() {
    story(
        Kind::Http,
        RestartWhen::OnFailure,
        1,
        "0 start
         1 started
         2 stop 1000
         3 stop 2000
         4 stop 1000
         5 stop 999",
        &expect![[r#"
            0 start => starting: begin #1 (attempt 1), wake at 1m
            1 started => ready: "ready after 1ms", open
            2 stop 1000 => draining: close, "draining", drain until 1s, wake at 1s
            3 stop 2000 => draining: 
            4 stop 1000 => draining: 
            5 stop 999 => draining: wake at 999ms
        "#]],
    );
}

#[test]
fn failures_of_the_service_are_counted_and_crashes_of_instances_are_not() {
    let mut life = Lifecycle::new(Settings::new(Kind::Http, RestartPolicy::default()), 1);
    let now = Duration::from_secs(1);
    let _ = life.step(now, Event::Start);
    let crash = Event::Crashed {
        epoch: 1,
        cause: Cause::new(CauseKind::Trap, "it broke"),
        answered_since: 0,
    };
    let started = Event::Started {
        epoch: 1,
        unready: None,
    };
    let _ = life.step(now, started);
    for _ in 0..RestartPolicy::default().max {
        let _ = life.step(now, crash.clone());
        assert_eq!(life.failures(), 0);
    }
    let actions = life.step(now, crash);
    assert_eq!((life.failures(), life.strikes()), (1, 1));
    let armed = actions.iter().find_map(|action| match action {
        Action::ArmTimer { at, token } => Some((*at, *token)),
        _ => None,
    });
    let (at, token) = armed.unwrap();
    assert!(!life.would_begin(now, token), "it is not due");
    assert!(!life.would_begin(at, token + 1), "nor is that its timer");
    assert!(life.would_begin(at, token));
    let begun = life.step(at, Event::TimerFired { token });
    assert!(matches!(begun[0], Action::Begin { epoch: 2, .. }));
    assert!(!life.would_begin(at, token));
}

#[test]
fn phases_say_what_they_are() {
    let cause = || Cause::new(CauseKind::Trap, "it broke");
    let since = Duration::from_millis(7);
    let rows = [
        (
            Phase::Starting { attempt: 1, since },
            "starting",
            false,
            "----",
        ),
        (Phase::Ready { since, crashes: 0 }, "ready", false, "RU-S"),
        (
            Phase::Unready {
                since,
                crashes: 0,
                cause: cause(),
            },
            "unready",
            true,
            "-U-S",
        ),
        (
            Phase::BackingOff {
                since,
                until: since,
                attempt: 1,
                cause: cause(),
            },
            "backing-off",
            true,
            "----",
        ),
        (
            Phase::Parked {
                since,
                cause: cause(),
                crashes: 1,
            },
            "parked",
            true,
            "--AS",
        ),
        (
            Phase::Draining {
                since,
                deadline: since,
                then: Then::Stopped,
                cause: cause(),
            },
            "draining",
            true,
            "----",
        ),
        (
            Phase::Stopped {
                since,
                cause: cause(),
            },
            "stopped",
            true,
            "--AS",
        ),
    ];
    for (phase, name, has_cause, is) in rows {
        assert_eq!((phase.name(), phase.since()), (name, since));
        assert_eq!(phase.cause().is_some(), has_cause, "{name}");
        let mark = |yes, mark| if yes { mark } else { '-' };
        let seen: String = [
            mark(phase.is_ready(), 'R'),
            mark(phase.is_up(), 'U'),
            mark(phase.is_at_rest(), 'A'),
            mark(phase.is_settled(), 'S'),
        ]
        .iter()
        .collect();
        assert_eq!(seen, is, "{name}");
    }
}

#[test]
fn crashes_are_not_forgotten_while_a_service_is_not_ready() {
    let restart = RestartPolicy::default();
    let mut life = Lifecycle::new(Settings::new(Kind::Http, restart), 1);
    for (millis, event) in (0..).zip(["start", "started", "crash", "unready"]) {
        let event = parse(event, &life);
        life.step(Duration::from_millis(millis), event);
    }
    assert!(matches!(life.phase(), Phase::Unready { crashes: 1, .. }));
    let event = parse("well", &life);
    life.step(Duration::from_millis(4), event);
    assert!(matches!(life.phase(), Phase::Ready { crashes: 1, .. }));
}
