//! A process that commits and is killed, again and again: what it acknowledged is there.

use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use super::*;
use crate::artifact::Store;

/// The child works only if this names its directory.
const DIRECTORY: &str = "SKEP_TEST_CRASH";
/// `NAME`, a space and how many times it is passed before it kills.
const POINT: &str = "SKEP_TEST_POINT";

/// Kills at random instants.
const KILLS: u32 = 220;
/// What they may take; a machine that is busy makes fewer.
const TIME: Duration = Duration::from_secs(40);
/// However busy.
const KILLS_MIN: u32 = 50;

/// All places at which a process may die on its way through a change.
const POINTS: [&str; 13] = [
    "durable::created",
    "durable::written",
    "durable::synced",
    "durable::renamed",
    "store::put",
    "store::collect",
    "journal::made",
    "journal::written",
    "journal::durable",
    "journal::begun",
    "journal::committed",
    "journal::settled",
    "journal::forgot",
];

/// What the child does until it is killed: deploys, some of which are refused, and collecting.
#[test]
fn child() {
    let Some(directory) = std::env::var_os(DIRECTORY).map(PathBuf::from) else {
        return;
    };
    if let Ok(point) = std::env::var(POINT) {
        let (name, times) = point.split_once(' ').unwrap();
        let left = std::sync::atomic::AtomicU32::new(times.parse().unwrap());
        let kill = move || {
            if left.fetch_sub(1, std::sync::atomic::Ordering::Relaxed) == 1 {
                kill_self();
            }
        };
        crate::failpoint::on(name, kill);
    }
    let journal = Journal::open(&directory, SHORT).unwrap();
    let store = Store::in_state(&directory);
    let active = journal.active().unwrap().map_or(0, |active| active.number);
    for unfinished in journal.unfinished().unwrap() {
        journal.settle(unfinished.id, &[event("undone")]).unwrap();
    }
    println!("\nactive {active}");
    for number in active + 1.. {
        let begun = journal.begin(&intent()).unwrap();
        let bytes = vec![number as u8; fastrand::usize(1..200_000)];
        let component = store
            .put(&[&number.to_le_bytes()[..], &bytes].concat())
            .unwrap();
        if number % 5 == 3 {
            let refused = journal.begin(&intent()).unwrap();
            journal.settle(refused.intent, &[event("refused")]).unwrap();
        }
        let revision = begun.revisions[&service("cart")];
        let made = generation(number, revision, component.digest());
        journal
            .commit(&made, &[event("committed")], Some(begun.intent))
            .unwrap();
        println!("acknowledged {number} {revision}");
        drop(component);
        if number % 3 == 0 {
            store.collect(&journal.forget(0).unwrap()).unwrap();
        }
    }
}

/// In memory where that can be had: a kill loses nothing that the system has taken, so that waiting
/// for a disk would only make the kills fewer.
fn state_directory() -> TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn kill_self() {
    // SAFETY: a system call on this very process.
    unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    unreachable!("killed");
}

fn start(state: &Path, point: Option<&str>) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["journal::tests::crash::child", "--exact", "--nocapture"])
        .env(DIRECTORY, state)
        .stdout(Stdio::piped());
    if let Some(point) = point {
        command.env(POINT, point);
    }
    command.spawn().unwrap()
}

/// The greatest number that follows `word` in what the child has said.
fn last(lines: &[String], word: &str) -> Option<u64> {
    let of = |line: &String| line.strip_prefix(word)?.split(' ').nth(1)?.parse().ok();
    lines.iter().filter_map(of).max()
}

/// What must hold whenever the child is gone; the number of the active generation.
fn check(state: &Path, lines: &[String], before: u64) -> u64 {
    let acknowledged = last(lines, "acknowledged").unwrap_or(before);
    assert!(
        last(lines, "active").is_none_or(|active| active == before),
        "{lines:?}"
    );
    let journal = Journal::open(state, SHORT).unwrap();
    assert!(journal.trouble().is_none());
    let store = Store::in_state(state);

    // What was acknowledged is active, or what was just being acknowledged.
    let active = journal.active().unwrap();
    let number = active.as_ref().map_or(0, |active| active.number);
    assert!(
        (acknowledged..=acknowledged + 1).contains(&number),
        "{number} {lines:?}"
    );

    // Every generation can be served, and the newest came last.
    let history = journal.history(100).unwrap();
    assert_eq!(history.first(), active.as_ref());
    for generation in &history {
        for component in generation.components() {
            store.read(component).unwrap();
        }
    }

    // What is unfinished made no generation, and no revision number was given out twice.
    let unfinished = journal.unfinished().unwrap();
    assert!(unfinished.len() <= 2, "one, and one within it");
    let cart = service("cart");
    for lost in &unfinished {
        let revision = lost.revisions[&cart];
        assert!(
            history
                .iter()
                .all(|made| made.services[&cart].revision != revision)
        );
        assert!(revision < journal.next_revision(&cart).unwrap());
    }
    let mut revisions: Vec<u32> = history
        .iter()
        .map(|made| made.services[&cart].revision)
        .collect();
    assert!(
        revisions.is_sorted_by(|newer, older| newer > older),
        "{revisions:?}"
    );
    revisions.dedup();

    // Events have no gaps.
    let events = journal.events(0, 1000).unwrap();
    assert!(
        events
            .windows(2)
            .all(|pair| pair[1].sequence == pair[0].sequence + 1)
    );
    let newest = events.last().map_or(0, |event| event.sequence);
    assert_eq!(*journal.newest().borrow(), newest);

    // Nothing is left over once it has been collected.
    let keep = journal.forget(0).unwrap();
    store.collect(&keep).unwrap();
    let found = std::fs::read_dir(state.join("components"));
    let found: BTreeSet<String> = found.map_or_else(
        |_| BTreeSet::new(),
        |found| {
            found
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect()
        },
    );
    let wanted: BTreeSet<String> = keep.iter().map(|digest| format!("{digest}.wasm")).collect();
    assert_eq!(found, wanted);
    number
}

#[test]
fn what_was_acknowledged_survives_a_kill_at_any_instant() {
    let state = state_directory();
    let began = Instant::now();
    let (mut kills, mut active) = (0, 0);
    while kills < KILLS && (began.elapsed() < TIME || kills < KILLS_MIN) {
        let mut child = start(state.path(), None);
        let mut output = BufReader::new(child.stdout.take().unwrap()).lines();
        // Half of them early, also while the child is opening the journal; half in the midst of work.
        let mut lines: Vec<String> = Vec::new();
        if kills % 2 == 0 {
            let begun = |line: &String| line.starts_with("active");
            let until = output.by_ref().map(Result::unwrap);
            lines.extend(until.take_while(|line| !begun(line)));
        }
        std::thread::sleep(Duration::from_micros(fastrand::u64(0..40_000)));
        child.kill().unwrap();
        lines.extend(output.map(Result::unwrap));
        child.wait().unwrap();
        active = check(state.path(), &lines, active);
        kills += 1;
    }
    println!(
        "{kills} kills in {:?}, {active} generations",
        began.elapsed()
    );
    assert!(
        active > u64::from(kills / 4),
        "it was killed before it did anything"
    );
}

#[test]
fn what_was_acknowledged_survives_a_crash_at_every_step() {
    for point in POINTS {
        let state = state_directory();
        let mut active = 0;
        // The journal is made once; everything else happens all the time.
        let times: &[u32] = match point {
            "journal::made" => &[1],
            _ => &[1, 1, 2, 7],
        };
        for times in times {
            let mut child = start(state.path(), Some(&format!("{point} {times}")));
            let output = BufReader::new(child.stdout.take().unwrap());
            let lines: Vec<String> = output.lines().map(Result::unwrap).collect();
            let status = child.wait().unwrap();
            assert_eq!(
                status.signal(),
                Some(libc::SIGKILL),
                "{point} is never passed"
            );
            active = check(state.path(), &lines, active);
        }
    }
}
