//! The rules one by one; how often they are wrong is simulated in `tests/probation.rs`.
use expect_test::{Expect, expect};

use super::*;

fn window(calls: u64, errors: u64, crashes: u64, latency: Duration) -> Window {
    let mut window = Window {
        calls,
        errors,
        crashes,
        ..Window::default()
    };
    (0..calls).for_each(|_| window.latency.record(latency));
    window
}

const MS: Duration = Duration::from_millis(1);

fn judge(baseline: &Window) -> Judge {
    Judge::new(Probation::default(), baseline)
}

fn usual() -> Judge {
    judge(&window(1000, 1, 0, MS))
}

/// The verdict after `windows` like this one.
fn after(mut judge: Judge, windows: u32, candidate: &Window) -> Verdict {
    let mut verdict = Verdict::Wait;
    for second in 0..windows {
        let age = Duration::from_secs(u64::from(second));
        verdict = judge.judge(age, candidate, &Window::default());
        if verdict != Verdict::Wait {
            break;
        }
    }
    verdict
}

fn bad(verdict: Verdict, expected: &Expect) {
    let Verdict::Bad(evidence) = verdict else {
        panic!("{verdict:?}");
    };
    let json = serde_json::to_string(&evidence).unwrap();
    let read: Evidence = serde_json::from_str(&json).unwrap();
    assert_eq!(read.to_string(), evidence.to_string());
    expected.assert_eq(&format!("{evidence}\n{json}"));
}

#[test]
fn what_is_as_good_as_before_is_good_once_its_time_is_over() {
    let same = window(50, 0, 0, MS);
    assert_eq!(after(usual(), 60, &same), Verdict::Wait);
    assert_eq!(after(usual(), 61, &same), Verdict::Good);
    assert_eq!(
        after(usual(), 61, &Window::default()),
        Verdict::Good,
        "nobody called it"
    );
    let mut none = Judge::new(
        Probation {
            length: Duration::ZERO,
            ..Probation::default()
        },
        &same,
    );
    assert_eq!(none.judge(Duration::ZERO, &same, &same), Verdict::Good);
}

#[test]
fn more_errors_are_bad() {
    bad(
        after(usual(), 9, &window(20, 2, 0, MS)),
        &expect![[r#"
        6 of 60 calls failed, before 1 of 1000
        {"kind":"errors","candidate":{"count":6,"calls":60},"predecessor":{"count":1,"calls":1000}}"#]],
    );
    bad(
        after(usual(), 9, &window(20, 20, 0, MS)),
        &expect![[r#"
        20 of 20 calls failed, before 1 of 1000
        {"kind":"errors","candidate":{"count":20,"calls":20},"predecessor":{"count":1,"calls":1000}}"#]],
    );
    let few = window(19, 19, 0, MS);
    assert_eq!(after(usual(), 1, &few), Verdict::Wait, "too few calls");
    // One in a thousand is what the predecessor has, and half a per cent more is allowed.
    assert_eq!(after(usual(), 60, &window(1000, 6, 0, MS)), Verdict::Wait);
    let as_before = judge(&window(1000, 100, 0, MS));
    assert_eq!(after(as_before, 60, &window(100, 10, 0, MS)), Verdict::Wait);
}

#[test]
fn crashes_are_bad_if_the_predecessor_had_none() {
    bad(
        after(usual(), 9, &window(1, 1, 1, MS)),
        &expect![[r#"
        2 crashes in 2 calls, before 0 in 1000
        {"kind":"crashes","candidate":{"count":2,"calls":2},"predecessor":{"count":0,"calls":1000}}"#]],
    );
    bad(
        after(usual(), 9, &window(0, 0, 2, MS)),
        &expect![[r#"
        2 crashes in 2 calls, before 0 in 1000
        {"kind":"crashes","candidate":{"count":2,"calls":2},"predecessor":{"count":0,"calls":1000}}"#]],
    );
    assert_eq!(
        after(usual(), 1, &window(1000, 1, 1, MS)),
        Verdict::Wait,
        "one is none"
    );
    let patient = Probation {
        crashes: 4,
        ..Probation::default()
    };
    let verdict = after(
        Judge::new(patient, &window(1000, 0, 0, MS)),
        9,
        &window(1, 1, 1, MS),
    );
    bad(
        verdict,
        &expect![[r#"
        4 crashes in 4 calls, before 0 in 1000
        {"kind":"crashes","candidate":{"count":4,"calls":4},"predecessor":{"count":0,"calls":1000}}"#]],
    );
    // Twice in 100,000 calls: the predecessor was not called often enough to be better.
    let mut rare = usual();
    for calls in [(50_000, 1), (50_000, 1)] {
        let window = window(calls.0, 0, calls.1, MS);
        assert_eq!(
            rare.judge(Duration::ZERO, &window, &Window::default()),
            Verdict::Wait
        );
    }
    let as_before = judge(&window(10_000, 10, 10, MS));
    assert_eq!(after(as_before, 60, &window(1000, 1, 1, MS)), Verdict::Wait);
}

#[test]
fn slow_calls_are_bad_unless_they_come_all_at_once() {
    bad(
        after(usual(), 9, &window(10, 0, 0, 51 * MS)),
        &expect![[r#"
            30 of 30 calls took longer than 22.046ms, before 0 of 1000; p50 53.247ms instead of 1.023ms
            {"kind":"slow","percentile":50,"candidate":{"count":30,"calls":30},"predecessor":{"count":0,"calls":1000},"bound_us":22046,"candidate_us":53247,"predecessor_us":1023}"#]],
    );
    // 22 ms are allowed.
    assert_eq!(
        after(usual(), 60, &window(100, 0, 0, 20 * MS)),
        Verdict::Wait
    );
    assert_eq!(
        after(usual(), 4, &window(1000, 0, 0, 51 * MS)),
        Verdict::Wait,
        "a machine that stood still"
    );
    let unknown = judge(&window(99, 0, 0, MS));
    assert_eq!(
        after(unknown, 60, &window(100, 0, 0, 51 * MS)),
        Verdict::Wait,
        "too little to compare with"
    );
}

#[test]
fn what_both_suffer_is_nobodys_fault() {
    // What they depend on fails for both; before, all was well.
    let mut both = usual();
    let failing = window(50, 25, 1, 51 * MS);
    for second in 0..59 {
        let verdict = both.judge(Duration::from_secs(second), &failing, &failing);
        assert_eq!(verdict, Verdict::Wait, "{second}");
    }
    // It fails for the candidate alone, of which five in a hundred are.
    let mut canary = usual();
    let (few, many) = (window(5, 1, 0, MS), window(95, 0, 0, MS));
    let verdict = (0..59).find_map(|second| {
        let verdict = canary.judge(Duration::from_secs(second), &few, &many);
        (verdict != Verdict::Wait).then_some(verdict)
    });
    bad(
        verdict.unwrap(),
        &expect![[r#"
        5 of 25 calls failed, before 0 of 475
        {"kind":"errors","candidate":{"count":5,"calls":25},"predecessor":{"count":0,"calls":475}}"#]],
    );
}

#[test]
fn memory_that_goes_on_growing_is_bad() {
    let held = |memory| Window {
        memory,
        ..window(10, 0, 0, MS)
    };
    let before = held(2 << 20);
    let run = |grows: &dyn Fn(u64) -> u64| {
        let mut judge = judge(&before);
        for second in 0..59 {
            let verdict = judge.judge(
                Duration::from_secs(second),
                &held(grows(second)),
                &Window::default(),
            );
            if verdict != Verdict::Wait {
                return verdict;
            }
        }
        Verdict::Wait
    };
    bad(
        run(&|second| (second + 1) << 20),
        &expect![[r#"
        an instance holds 9MiB and goes on growing, before at most 2MiB
        {"kind":"memory","candidate":"9MiB","predecessor_peak":"2MiB"}"#]],
    );
    assert_eq!(run(&|_| 64 << 20), Verdict::Wait, "larger, and that is all");
    assert_eq!(
        run(&|second| (2 << 20) + second * 65_536),
        Verdict::Wait,
        "within twice as much"
    );
}

#[test]
fn nothing_known_of_the_predecessor_spares_only_what_works() {
    let unknown = || judge(&Window::default());
    bad(
        after(unknown(), 9, &window(20, 20, 0, MS)),
        &expect![[r#"
        20 of 20 calls failed, before 0 of 0
        {"kind":"errors","candidate":{"count":20,"calls":20},"predecessor":{"count":0,"calls":0}}"#]],
    );
    bad(
        after(unknown(), 9, &window(2, 2, 2, MS)),
        &expect![[r#"
        2 crashes in 2 calls, before 0 in 0
        {"kind":"crashes","candidate":{"count":2,"calls":2},"predecessor":{"count":0,"calls":0}}"#]],
    );
    assert_eq!(
        after(unknown(), 60, &window(20, 1, 0, 51 * MS)),
        Verdict::Wait
    );
}
