//! What is written is read again, whatever happened in between.

mod crash;
mod trouble;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use serde_json::json;
use skep_core::generation::{Base, Placed, Reason};
use tempfile::TempDir;

use super::*;

/// Keeps little, so that forgetting happens.
const SHORT: Retention = Retention {
    events: 50,
    generations: 5,
    age: Duration::from_secs(3600),
};

fn open(state: &TempDir) -> Journal {
    let journal = Journal::open(state.path(), SHORT).unwrap();
    assert!(journal.trouble().is_none());
    journal
}

fn service(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

/// A generation in which `cart` runs a component at a revision.
fn generation(number: u64, revision: u32, component: Digest) -> Generation {
    let text = "name = \"shop\"\nservice.cart.component = \"cart.wasm\"";
    let manifest = Digest::of(text.as_bytes());
    let placed = Placed {
        revision,
        component,
        component_path: "cart.wasm".to_owned(),
        manifest,
    };
    Generation {
        number,
        made_ms: number * 1000,
        reason: Reason::Deploy {
            service: service("cart"),
        },
        path: "skep.toml".to_owned(),
        manifest,
        services: [(service("cart"), placed)].into(),
        base: Base {
            manifest,
            components: [(service("cart"), component)].into(),
        },
        manifests: [(manifest, text.to_owned())].into(),
    }
}

fn simple(number: u64) -> Generation {
    generation(number, number as u32, Digest::of(&number.to_le_bytes()))
}

fn event(text: &str) -> Event {
    Event {
        time_ms: 7,
        kind: "deployed".into(),
        service: Some(service("cart")),
        revision: Some(3),
        generation: None,
        text: text.to_owned(),
        evidence: json!({ "requests": 12 }),
    }
}

fn intent() -> Intent {
    Intent {
        time_ms: 5,
        what: "deploy of cart from cart-v2.wasm".to_owned(),
        services: vec![service("cart"), service("pay")],
        least: BTreeMap::new(),
    }
}

fn texts(events: &[Recorded]) -> Vec<String> {
    let show = |event: &Recorded| format!("{} {}", event.sequence, event.event.text);
    events.iter().map(show).collect()
}

#[test]
fn what_was_acknowledged_is_there_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let deep = state.path().join("a/.skep");
    {
        let journal = Journal::open(&deep, Retention::default()).unwrap();
        assert_eq!(journal.directory(), deep);
        assert_eq!(journal.active().unwrap(), None);
        assert_eq!(journal.history(10).unwrap(), []);
        journal.commit(&simple(1), &[event("one")], None).unwrap();
        journal
            .commit(&simple(2), &[event("two"), event("three")], None)
            .unwrap();
        journal.note(&event("four")).unwrap();
    }
    let journal = Journal::open(&deep, Retention::default()).unwrap();
    assert_eq!(journal.active().unwrap(), Some(simple(2)));
    assert_eq!(journal.generation(1).unwrap(), Some(simple(1)));
    assert_eq!(journal.generation(3).unwrap(), None);
    assert_eq!(journal.history(10).unwrap(), [simple(2), simple(1)]);
    assert_eq!(journal.history(1).unwrap(), [simple(2)]);
    let events = journal.events(0, 10).unwrap();
    assert_eq!(texts(&events), ["1 one", "2 two", "3 three", "4 four"]);
    assert_eq!(events[0].event, event("one"));
    assert_eq!(texts(&journal.events(1, 2).unwrap()), ["2 two", "3 three"]);
    assert_eq!(journal.events(u64::MAX, 2).unwrap(), []);
    let mode = |path: PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(deep.clone()), 0o700);
    for file in ["lock", "format", "journal.redb"] {
        assert_eq!(mode(deep.join(file)), 0o600, "{file}");
    }
}

#[test]
fn a_generation_that_comes_too_late_changes_nothing() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    let begun = journal.begin(&intent()).unwrap();
    journal.commit(&simple(2), &[], None).unwrap();
    for late in [1, 2] {
        let error = journal
            .commit(&simple(late), &[event("late")], Some(begun.intent))
            .unwrap_err();
        let expected = format!(
            "generation {late} comes after generation 2, which is active already; try again on top of that"
        );
        assert_eq!(error.to_string(), expected);
    }
    assert_eq!(journal.active().unwrap(), Some(simple(2)));
    assert_eq!(journal.events(0, 10).unwrap(), []);
    assert_eq!(journal.unfinished().unwrap().len(), 1);
}

#[test]
fn what_was_begun_and_not_ended_is_told_at_the_next_start() {
    let state = tempfile::tempdir().unwrap();
    let (lost, refused);
    {
        let journal = open(&state);
        let done = journal.begin(&intent()).unwrap();
        refused = journal.begin(&intent()).unwrap();
        lost = journal.begin(&intent()).unwrap();
        let numbers = [&done, &refused, &lost].map(|begun| begun.revisions[&service("pay")]);
        assert_eq!(numbers, [1, 2, 3], "a number is given out once");
        journal.commit(&simple(1), &[], Some(done.intent)).unwrap();
        journal.settle(refused.intent, &[event("refused")]).unwrap();
    }
    let journal = open(&state);
    let unfinished = Unfinished {
        id: lost.intent,
        intent: intent(),
        revisions: lost.revisions,
    };
    assert_eq!(journal.unfinished().unwrap(), [unfinished]);
    assert_eq!(texts(&journal.events(0, 9).unwrap()), ["1 refused"]);
    journal.settle(lost.intent, &[event("undone")]).unwrap();
    assert_eq!(journal.unfinished().unwrap(), []);
    let again = journal.begin(&intent()).unwrap();
    assert!(again.intent > lost.intent && again.intent > refused.intent);
    assert_eq!(again.revisions[&service("cart")], 4);
}

#[test]
fn a_revision_that_was_numbered_elsewhere_is_not_given_out_again() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    assert_eq!(journal.next_revision(&service("cart")).unwrap(), 1);
    journal
        .commit(&generation(1, 41, Digest::of(b"")), &[], None)
        .unwrap();
    journal
        .commit(&generation(2, 7, Digest::of(b"")), &[], None)
        .unwrap();
    assert_eq!(journal.next_revision(&service("cart")).unwrap(), 42);
    assert_eq!(
        journal.begin(&intent()).unwrap().revisions[&service("cart")],
        42
    );
    assert_eq!(journal.next_revision(&service("cart")).unwrap(), 43);
}

#[test]
fn old_generations_are_forgotten_and_never_the_active_one_and_the_one_before() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    assert_eq!(journal.forget(0).unwrap(), BTreeSet::new());
    for number in 1..=8 {
        journal.commit(&simple(number), &[], None).unwrap();
    }
    let components = |range: std::ops::RangeInclusive<u64>| {
        let one = |number: u64| Digest::of(&number.to_le_bytes());
        range.map(one).collect::<BTreeSet<_>>()
    };
    // The eighth was made at 8 s, and five are kept.
    assert_eq!(journal.forget(8_000).unwrap(), components(4..=8));
    assert_eq!(journal.generation(3).unwrap(), None);
    let hour = 3_600_000;
    assert_eq!(journal.forget(hour + 5_000).unwrap(), components(5..=8));
    assert_eq!(journal.forget(u64::MAX).unwrap(), components(7..=8));
    assert_eq!(
        journal.forget(0).unwrap(),
        components(7..=8),
        "of the future, by this clock"
    );
    assert_eq!(journal.active().unwrap(), Some(simple(8)));
}

#[test]
fn events_are_kept_up_to_their_number_and_never_renumbered() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    for number in 1..=120 {
        journal.note(&event(&number.to_string())).unwrap();
    }
    let many: Vec<Event> = (121..=200)
        .map(|number| event(&number.to_string()))
        .collect();
    journal.commit(&simple(1), &many, None).unwrap();
    let events = journal.events(0, 1000).unwrap();
    assert_eq!(events.len(), 50);
    assert!(
        events
            .iter()
            .zip(151..)
            .all(|(event, number)| event.sequence == number)
    );
    assert_eq!(events[0].event.text, "151");
}

#[test]
fn what_a_guest_says_cannot_make_an_event_long() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    let long = Event {
        evidence: json!({ "output": "\u{0}".repeat(100_000) }),
        ..event(&"é".repeat(100_000))
    };
    journal.note(&long).unwrap();
    let kept = journal.events(0, 1).unwrap().remove(0).event;
    assert_eq!(kept.text, "é".repeat(2048));
    assert_eq!(kept.evidence, json!("left out: more than 16384 bytes"));
    let text_alone = Event {
        evidence: json!(1),
        ..long
    };
    journal.note(&text_alone).unwrap();
    let kept = journal.events(1, 1).unwrap().remove(0).event;
    assert_eq!((kept.text.len(), kept.evidence), (4096, json!(1)));
}

#[tokio::test]
async fn whoever_follows_events_misses_none() {
    let state = tempfile::tempdir().unwrap();
    let journal = open(&state);
    journal.note(&event("before")).unwrap();
    let writer = journal.clone();
    let writing = std::thread::spawn(move || {
        for number in 0..40 {
            writer.note(&event(&number.to_string())).unwrap();
            let committed = simple(number + 1);
            writer
                .commit(&committed, &[event("committed")], None)
                .unwrap();
        }
    });
    let mut newest = journal.newest();
    let mut seen = Vec::new();
    let mut after = 0;
    while seen.len() < 81 {
        newest.wait_for(|newest| *newest > after).await.unwrap();
        let events = journal.events(after, 3).unwrap();
        after = events.last().unwrap().sequence;
        seen.extend(events);
    }
    writing.join().unwrap();
    assert!(
        seen.iter()
            .zip(1..)
            .all(|(event, number)| event.sequence == number)
    );
    assert_eq!(seen[1].event.text, "0");
}

#[test]
fn another_host_may_have_it_for_a_while() {
    let state = tempfile::tempdir().unwrap();
    let ours = open(&state);
    ours.commit(&simple(1), &[event("ours")], None).unwrap();
    ours.lend().unwrap();
    assert!(matches!(ours.active(), Err(JournalError::Lent)));
    let refused = ours.commit(&simple(2), &[], None);
    assert!(matches!(refused, Err(JournalError::Lent)), "{refused:?}");
    assert!(ours.trouble().is_none());

    let theirs = open(&state);
    assert_eq!(theirs.active().unwrap().unwrap().number, 1);
    theirs.commit(&simple(5), &[event("theirs")], None).unwrap();
    let early = ours.take_back();
    assert!(
        matches!(early, Err(JournalError::InUse { .. })),
        "{early:?}"
    );
    assert!(matches!(ours.active(), Err(JournalError::Lent)));
    drop(theirs);

    let newest = ours.newest();
    ours.take_back().unwrap();
    assert_eq!(ours.active().unwrap().unwrap().number, 5);
    assert_eq!(texts(&ours.events(0, 10).unwrap()), ["1 ours", "2 theirs"]);
    assert!(newest.has_changed().unwrap(), "who follows events is told");
    ours.commit(&simple(6), &[], None).unwrap();
    let second = Journal::open(state.path(), SHORT);
    let Err(JournalError::InUse { holder, .. }) = second else {
        panic!("two have it");
    };
    let process = format!("process {},", std::process::id());
    assert!(holder.starts_with(&process), "{holder:?}");
}

#[test]
fn what_a_later_version_has_left_is_not_taken_back() {
    let state = tempfile::tempdir().unwrap();
    let ours = open(&state);
    ours.lend().unwrap();
    std::fs::write(state.path().join("format"), "7\n").unwrap();
    let back = ours.take_back();
    assert!(
        matches!(back, Err(JournalError::Newer { found: 7, .. })),
        "{back:?}"
    );
}
