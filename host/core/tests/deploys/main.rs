//! Millions of changes of what serves, by several operators at once, with faults at every step: whatever
//! can fail does, takes long, or is the last thing that the host ever did; and then it starts again.
//!
//! What is walked is `skep_core::change` itself, with the parts that the host would have replaced by
//! ones that fail. After each turn, each call and each end the promises of `promises.rs` are checked:
//!
//! - what was acknowledged is what serves, also after a restart
//! - a refused change leaves what served exactly as it was
//! - a request goes by one generation, whose members live until it ends or the drain deadline cuts it
//! - a generation that serves has only members that were proved, in it or before
//! - all services of a change switch together
//! - generation numbers only grow; no number of a generation or a revision means two things
//! - each candidate ends as serving, standing by or dismissed
//! - of a service that hands over there is one state, and nobody waits for ever
//! - of a worker there is never more than one
//! - what was begun is finished or undone
//! - the store has what a kept generation or a candidate names
//! - a trial is not durable
//! - nothing changes after a stop, or while another host has the journal
//!
//! A failing seed prints itself; `SIM_SEED=N cargo test -p skep-core --test deploys` tells its story.
#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "what is not there is a fault of the simulation, and how much it has seen is told"
)]

mod checks;
mod clients;
mod disk;
mod effects;
mod life;
mod operators;
mod parts;
mod promises;
#[allow(dead_code, reason = "the other simulations need more of it")]
#[path = "../simulated/mod.rs"]
mod simulated;
mod tasks;

use std::sync::{Arc, Mutex};

use self::disk::{Disk, Past};
use self::life::{Counts, Hands, World};
use self::parts::Latch;
use self::promises::{Breach, Broken, Promise};
use self::simulated::Random;
use self::tasks::Executor;

/// Under Miri a few changes have to do, and without optimisation some more.
const CHANGES: u64 = if cfg!(miri) {
    20
} else if cfg!(debug_assertions) {
    20_000
} else {
    1_000_000
};

/// Seeds after which a world that breaks its word must have been found out.
const SEEDS: u64 = if cfg!(miri) { 0 } else { 3_000 };

/// Nobody asks for more while so much is under way.
const UNDER_WAY: usize = 8;

/// Within so many steps everything comes to rest, once nothing fails any more.
const REST: u64 = 20_000;

#[test]
fn every_promise_is_kept_whatever_fails() {
    if let Ok(seed) = std::env::var("SIM_SEED") {
        let seed = seed.parse().expect("SIM_SEED is a number");
        let (_, broken) = lives(seed, None, true);
        if let Some(broken) = broken {
            panic!("{broken}");
        }
        return;
    }
    let threads: Vec<_> = (0..2)
        .map(|thread| std::thread::spawn(move || many(thread, CHANGES / 2)))
        .collect();
    let mut counts = Counts::default();
    for thread in threads {
        counts.add(&thread.join().expect("no panic"));
    }
    println!("{counts:?}");
    if cfg!(any(miri, debug_assertions)) {
        return;
    }
    for (what, count) in counts.each() {
        assert!(count > 1_000, "{what}: hardly tried: {counts:?}");
    }
}

fn many(first: u64, changes: u64) -> Counts {
    let mut counts = Counts::default();
    for seed in (first..).step_by(2) {
        let (seen, broken) = lives(seed, None, false);
        if let Some(broken) = broken {
            panic!("SIM_SEED={seed}: {broken}");
        }
        counts.add(&seen);
        if counts.changes >= changes {
            break;
        }
    }
    counts
}

#[test]
fn a_world_that_breaks_its_word_is_found_out() {
    for (breach, expected) in Breach::ALL {
        let found = (0..SEEDS).find_map(|seed| {
            let (_, broken) = lives(seed, Some(breach), false);
            broken.map(|broken| (seed, broken))
        });
        if SEEDS == 0 {
            continue;
        }
        let (seed, broken) = found.unwrap_or_else(|| panic!("{breach:?} is never noticed"));
        println!("{breach:?}, SIM_SEED={seed}: {broken}");
        assert!(expected.contains(&broken.promise), "{breach:?}: {broken}");
    }
}

/// Some lives of a host, one after the other, with one state directory.
fn lives(seed: u64, breach: Option<Breach>, told: bool) -> (Counts, Option<Broken>) {
    let world = Arc::new(Mutex::new(World {
        disk: Disk::default(),
        past: Past::default(),
        random: Random::new(seed),
        broken: None,
        breach,
        faults: true,
        told,
        components: 0,
        counts: Counts::default(),
    }));
    for _ in 0..4 {
        life(&world);
        if world.lock().unwrap().broken.is_some() {
            break;
        }
    }
    let world = world.lock().unwrap();
    (world.counts, world.broken.clone())
}

/// From a start to whatever ends it.
fn life(world: &Arc<Mutex<World>>) {
    let mut executor = Executor::default();
    let hands = Hands::new(world, executor.begun());
    let steps = {
        let mut world = world.lock().unwrap();
        world.say(|| "a host starts".to_owned());
        100 + world.random.below(1_500)
    };
    executor.begun().spawn(hands.clone().starts()).detach();
    let mut asking = Vec::new();
    for _ in 0..steps {
        let walk = hands.memory().walk.clone();
        if let Some(walk) = walk {
            hands.clients(false);
            if executor.left() < UNDER_WAY && hands.chance(4) {
                asking.extend(hands.somebody_asks(&walk));
            }
            if hands.chance(600) {
                // Whoever has asked is gone.
                asking.clear();
            }
            if hands.memory().closed.is_some() && hands.chance(20) {
                break;
            }
        }
        if !goes_on(&hands, &mut executor) {
            break;
        }
    }
    let (closed, over) = {
        let memory = hands.memory();
        (memory.closed.is_some(), memory.is_over)
    };
    let ends_well = !closed && !over && hands.chance(3);
    if ends_well && world.lock().unwrap().broken.is_none() {
        comes_to_rest(&hands, &mut executor);
    }
    asking.into_iter().for_each(tasks::Own::detach);
    ends(&hands, executor);
}

/// One step; false if there is nothing more to see.
fn goes_on(hands: &Hands, executor: &mut Executor) -> bool {
    let mut random = Random::new(hands.below(u64::MAX));
    hands.world().counts.steps += 1;
    executor.step(&mut random);
    let given_back = std::mem::take(&mut hands.memory().turn.given_back);
    if given_back && hands.memory().turn.holders == 0 {
        hands.at_the_turns_end();
    }
    hands.world().broken.is_none() && !hands.memory().is_over
}

/// Nothing fails any more, and nobody asks for anything: what is under way ends.
fn comes_to_rest(hands: &Hands, executor: &mut Executor) {
    hands.world().faults = false;
    hands.world().say(|| "nothing fails any more".to_owned());
    for step in 0..REST {
        let walk = hands.memory().walk.clone();
        let closed = hands.memory().closed.is_some();
        let Some(walk) = walk.filter(|_| !closed) else {
            return;
        };
        let on_trial = walk.roster().trial.is_some();
        if on_trial && (executor.is_idle() || step % 500 == 0) {
            let aborts = hands.clone().aborts(walk);
            hands.begun().spawn(aborts).detach();
        }
        hands.clients(true);
        if !goes_on(hands, executor) {
            return;
        }
        let asked = !hands.memory().requests.is_empty();
        if executor.is_idle() && !asked && !on_trial {
            return hands.at_rest();
        }
    }
    let (tasks, requests) = (executor.left(), hands.memory().requests.len());
    let promise = match requests {
        0 => Promise::Rest,
        _ => Promise::NobodyWaits,
    };
    let left = format!("{tasks} tasks and {requests} requests are left");
    hands.world().report(promise, left);
}

/// `kill -9`.
fn ends(hands: &Hands, executor: Executor) {
    hands.world().say(|| "the host ends".to_owned());
    drop(executor);
    let memory = std::mem::take(&mut *hands.memory());
    for revision in memory.revisions.values() {
        revision.now().latch = Latch::None;
    }
    hands.ends();
    drop(memory);
    let mut world = hands.world();
    world.faults = true;
    world.counts.kills += 1;
    world.disk.lent = false;
    world.disk.other = false;
    let (active, acknowledged) = (world.disk.active, world.past.acknowledged);
    world.expect(Promise::Acknowledged, active >= acknowledged, || {
        format!("generation {acknowledged} was acknowledged, and {active} is left")
    });
    let disk = std::mem::take(&mut world.disk);
    world.past.forget(&disk);
    world.disk = disk;
}
