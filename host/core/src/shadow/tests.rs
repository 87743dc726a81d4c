use proptest::prelude::*;

use super::*;

fn response(status: u16, fields: &[(&str, &str)], body: &str) -> Outcome {
    let mut all: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (name, value) in fields {
        let values = all.entry((*name).to_owned()).or_default();
        values.push((*value).to_owned());
    }
    Outcome::Response(Response {
        status,
        fields: all,
        body: Content::of(body.as_bytes()),
    })
}

fn body(body: &str) -> Outcome {
    response(200, &[], body)
}

/// Each difference as `what: active | candidate`.
#[track_caller]
fn check(active: &Outcome, candidate: &Outcome, expected: &[&str]) {
    let line = |difference: &Difference| {
        let what = serde_json::to_string(&difference.what).unwrap();
        format!("{what}: {} | {}", difference.active, difference.candidate)
    };
    let found = differences(active, candidate);
    let found: Vec<String> = found.iter().map(line).collect();
    assert_eq!(found, expected);
    let alike = differences(active, active);
    assert_eq!(alike, []);
}

#[test]
fn a_status_hides_what_comes_with_it() {
    check(
        &response(200, &[("content-type", "text/plain")], "yes"),
        &response(500, &[], ""),
        &[r#"{"what":"status","active":200,"candidate":500}: 200 | 500"#],
    );
}

#[test]
fn fields_are_compared_but_for_the_date_and_secrets_are_not_shown() {
    check(
        &response(
            200,
            &[
                ("date", "now"),
                ("vary", "a"),
                ("vary", "b"),
                ("set-cookie", "id=1"),
            ],
            "",
        ),
        &response(
            200,
            &[
                ("date", "then"),
                ("vary", "a"),
                ("set-cookie", "id=2"),
                ("etag", "x"),
            ],
            "",
        ),
        &[
            r#"{"what":"field","name":"etag"}: nothing | x"#,
            r#"{"what":"field","name":"set-cookie"}: not shown | not shown"#,
            r#"{"what":"field","name":"vary"}: a, b | a"#,
        ],
    );
}

#[test]
fn a_length_is_the_bodys() {
    let (one, other) = ([("content-length", "1")], [("content-length", "2")]);
    let expected = [r#"{"what":"body","at":null}: 1 bytes | ab"#];
    check(
        &response(200, &one, "a"),
        &response(200, &other, "ab"),
        &expected,
    );
    // The answers to two HEADs.
    let expected = [r#"{"what":"field","name":"content-length"}: 1 | 2"#];
    check(
        &response(200, &one, ""),
        &response(200, &other, ""),
        &expected,
    );
}

#[test]
fn json_is_compared_by_its_values() {
    let one = r#"{"items":[{"id":1,"price":3},{"id":2,"price":4}],"n":2}"#;
    for (other, expected) in [
        (
            r#"{"items":[{"id":1,"price":3},{"id":2,"price":5}],"n":2}"#,
            Some(r#"{"what":"body","at":"/items/*/price"}: 4 | 5"#),
        ),
        (
            r#"{"items":[],"n":2}"#,
            Some(r#"{"what":"body","at":"/items"}: [{"id":1,"price":3},{"id":2,"price":4}] | []"#),
        ),
        (
            r#"{"items":[{"id":1,"price":3},{"id":2}],"n":2}"#,
            Some(r#"{"what":"body","at":"/items/*/price"}: 4 | nothing"#),
        ),
        (
            "7",
            Some(
                r#"{"what":"body","at":"/"}: {"items":[{"id":1,"price":3},{"id":2,"price":4}],"n":2} | 7"#,
            ),
        ),
        // The same, written in another way, is another body.
        (
            r#"{"n":2,"items":[{"id":1,"price":3},{"id":2,"price":4}]}"#,
            Some(
                r#"{"what":"body","at":null}: {"items":[{"id":1,"price":3},{"id":2,"price":4}],"n":2} | {"n":2,"items":[{"id":1,"price":3},{"id":2,"price":4}]}"#,
            ),
        ),
    ] {
        let expected: Vec<&str> = expected.into_iter().collect();
        check(&body(one), &body(other), &expected);
    }
}

#[test]
fn a_text_is_shown_from_a_little_before_where_it_differs() {
    let long = "x".repeat(100);
    check(
        &body(&format!("{long}one\n")),
        &body(&format!("{long}other\n")),
        &[r#"{"what":"body","at":null}: …xxxxxxxxxxxone\n | …xxxxxxxxxxxother\n"#],
    );
}

#[test]
fn what_is_not_kept_is_compared_all_the_same() {
    let long = "x".repeat(100_000);
    let what = r#"{"what":"body","at":null}"#;
    check(
        &body(&format!("{long}1")),
        &body(&format!("{long}2")),
        &[&format!("{what}: 100001 bytes | 100001 bytes")],
    );
    check(
        &body(&long),
        &body(&format!("{long}2")),
        &[&format!("{what}: 100000 bytes | 100001 bytes")],
    );
}

#[test]
fn who_does_not_answer_differs_from_who_does() {
    let failed = |why: &str| Outcome::Failed(why.to_owned());
    check(
        &body("well"),
        &failed("trap"),
        &[r#"{"what":"failure","active":null,"candidate":"trap"}: 200 | trap"#],
    );
    check(&failed("trap"), &failed("trap"), &[]);
    check(
        &failed("deadline"),
        &Outcome::Results(Content::of(b"(1, 2)")),
        &[
            r#"{"what":"failure","active":"deadline","candidate":null}: deadline | 6 bytes of results"#,
        ],
    );
    check(
        &Outcome::Results(Content::of(b"ok(3)")),
        &Outcome::Results(Content::of(b"ok(4)")),
        &[r#"{"what":"results"}: ok(3) | ok(4)"#],
    );
}

fn report(comparison: &Comparison) -> Report {
    let service = ServiceName::parse("cart").unwrap();
    comparison.report(service, (1, 2), Share::ALL)
}

fn answer(outcome: Outcome) -> Answer {
    Answer {
        outcome,
        took: Duration::from_millis(3),
    }
}

#[test]
fn a_report_counts_the_kinds_and_keeps_the_first_of_each() {
    let mut comparison = Comparison::default();
    for (n, id) in ["a", "b", "c", "d"].iter().enumerate() {
        let same = answer(body("same"));
        let other = match n {
            0 => same.clone(),
            1 => answer(response(404, &[], "")),
            _ => answer(body(&format!("other {n}"))),
        };
        comparison.compare("GET /", Some(id), &same, &other);
    }
    comparison.not_compared();
    comparison.not_copied(NotCopied::Busy);
    comparison.not_copied(NotCopied::NotIdempotent);
    comparison.not_copied(NotCopied::NotToBeHad);
    let report = report(&comparison);
    let counts = Counts {
        compared: 4,
        same: 1,
        different: 3,
        not_compared: 1,
        not_idempotent: 1,
        not_to_be_had: 1,
        busy: 1,
    };
    assert_eq!(report.counts, counts);
    let [bodies, statuses] = &report.differences[..] else {
        panic!("{report:?}");
    };
    assert_eq!(
        (bodies.count, bodies.example.request.as_deref()),
        (2, Some("c"))
    );
    assert_eq!(
        (statuses.count, statuses.example.request.as_deref()),
        (1, Some("b"))
    );
    assert!(report.active_took.is_some_and(|took| took.p99_ms >= 3.0));
    let json = serde_json::to_value(&report).unwrap();
    assert_eq!(json["differences"][1]["what"], "status", "{json}");
    assert_eq!(json["differences"][1]["place"], "GET /", "{json}");
    let again: Report = serde_json::from_value(json).unwrap();
    assert_eq!(again, report);
}

#[test]
fn a_report_does_not_grow_beyond_its_bound() {
    let mut comparison = Comparison::default();
    let one = answer(body("one"));
    let other = answer(body("other"));
    for n in 0..10_000 {
        comparison.compare(&format!("GET /{n}"), None, &one, &other);
    }
    let report = report(&comparison);
    assert_eq!(report.differences.len(), KINDS_MAX);
    assert_eq!(report.others, 10_000 - KINDS_MAX as u64);
    let brief = report.brief();
    assert_eq!(
        (brief.differences.len(), brief.others),
        (BRIEF, 10_000 - BRIEF as u64)
    );
}

proptest! {
    #[test]
    fn contents_are_alike_if_their_bytes_are(
        one in proptest::collection::vec(0_u8..3, 0..40),
        other in proptest::collection::vec(0_u8..3, 0..40),
        scale in prop_oneof![Just(1_usize), Just(4000)],
        cut in 0_usize..160_000,
    ) {
        let stretch = |bytes: &[u8]| -> Vec<u8> {
            bytes.iter().flat_map(|byte| std::iter::repeat_n(*byte, scale)).collect()
        };
        let (one, other) = (stretch(&one), stretch(&other));
        prop_assert_eq!(Content::of(&one) == Content::of(&other), one == other);
        // However it came.
        let (first, second) = one.split_at(cut.min(one.len()));
        let mut pieces = Content::of(first);
        pieces.add(second);
        prop_assert_eq!(&pieces, &Content::of(&one));
        let found = differences(
            &Outcome::Results(pieces),
            &Outcome::Results(Content::of(&other)),
        );
        prop_assert_eq!(found.is_empty(), one == other);
        for difference in found {
            let shown = difference.active.chars().count().max(difference.candidate.chars().count());
            // Each control character may be an escape of some characters.
            prop_assert!(shown <= 10 * 82, "{shown}");
        }
    }
}
