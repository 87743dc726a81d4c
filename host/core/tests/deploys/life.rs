//! One life of a host, from its start to its end: what it has in memory, and what clients see of it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard};

use skep_core::change::{Refusal, Turn, Walk};
use skep_core::rollout::Share;

use super::disk::{Disk, Past};
use super::parts::{Component, Generation, Revision};
use super::promises::{Breach, Broken, Promise};
use super::simulated::Random;
use super::tasks::{Begun, Turns};

/// What there is beyond a host's life.
pub(crate) struct World {
    pub(crate) disk: Disk,
    pub(crate) past: Past,
    pub(crate) random: Random,
    pub(crate) broken: Option<Broken>,
    pub(crate) breach: Option<Breach>,
    /// Whether anything may fail, and take its time.
    pub(crate) faults: bool,
    /// Tell the story.
    pub(crate) told: bool,
    /// Components so far.
    pub(crate) components: u32,
    pub(crate) counts: Counts,
}

/// How often something was tried: a simulation that never gets anywhere proves nothing.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Counts {
    pub(crate) changes: u64,
    pub(crate) switched: u64,
    pub(crate) refused: u64,
    pub(crate) conflicts: u64,
    pub(crate) trials: u64,
    pub(crate) promoted: u64,
    pub(crate) aborted: u64,
    pub(crate) taken_back: u64,
    pub(crate) handed_over: u64,
    pub(crate) handovers_undone: u64,
    pub(crate) cut: u64,
    pub(crate) uncertain: u64,
    pub(crate) kills: u64,
    pub(crate) lent: u64,
    pub(crate) taken_over: u64,
    pub(crate) stopped: u64,
    pub(crate) at_rest: u64,
    pub(crate) requests: u64,
    pub(crate) waited: u64,
    pub(crate) workers: u64,
    pub(crate) unwritten: u64,
    pub(crate) steps: u64,
}

impl Counts {
    pub(crate) fn each(&self) -> [(&'static str, u64); 22] {
        [
            ("changes", self.changes),
            ("switched", self.switched),
            ("refused", self.refused),
            ("conflicts", self.conflicts),
            ("trials", self.trials),
            ("promoted", self.promoted),
            ("aborted", self.aborted),
            ("taken back", self.taken_back),
            ("handed over", self.handed_over),
            ("handovers undone", self.handovers_undone),
            ("cut at the deadline", self.cut),
            ("uncertain commits", self.uncertain),
            ("kills", self.kills),
            ("lent", self.lent),
            ("taken over", self.taken_over),
            ("stopped", self.stopped),
            ("came to rest", self.at_rest),
            ("requests", self.requests),
            ("waited at a door", self.waited),
            ("workers", self.workers),
            ("starts that could not be written down", self.unwritten),
            ("steps", self.steps),
        ]
    }

    pub(crate) fn add(&mut self, other: &Counts) {
        let Counts {
            changes,
            switched,
            refused,
            conflicts,
            trials,
            promoted,
            aborted,
            taken_back,
            handed_over,
            handovers_undone,
            cut,
            uncertain,
            kills,
            lent,
            taken_over,
            stopped,
            at_rest,
            requests,
            waited,
            workers,
            unwritten,
            steps,
        } = other;
        self.changes += changes;
        self.switched += switched;
        self.refused += refused;
        self.conflicts += conflicts;
        self.trials += trials;
        self.promoted += promoted;
        self.aborted += aborted;
        self.taken_back += taken_back;
        self.handed_over += handed_over;
        self.handovers_undone += handovers_undone;
        self.cut += cut;
        self.uncertain += uncertain;
        self.kills += kills;
        self.lent += lent;
        self.taken_over += taken_over;
        self.stopped += stopped;
        self.at_rest += at_rest;
        self.requests += requests;
        self.waited += waited;
        self.workers += workers;
        self.unwritten += unwritten;
        self.steps += steps;
    }
}

impl World {
    pub(crate) fn chance(&mut self, one_in: u64) -> bool {
        self.random.below(one_in) == 0
    }

    /// Whether something that may fail does.
    pub(crate) fn fails(&mut self, one_in: u64) -> bool {
        self.faults && self.chance(one_in)
    }

    pub(crate) fn breaks(&self, breach: Breach) -> bool {
        self.breach == Some(breach)
    }

    /// The first one counts: what follows may follow from it.
    pub(crate) fn report(&mut self, promise: Promise, how: String) {
        self.say(|| format!("BROKEN {promise:?}: {how}"));
        self.broken.get_or_insert(Broken { promise, how });
    }

    pub(crate) fn expect(&mut self, promise: Promise, kept: bool, how: impl FnOnce() -> String) {
        if !kept {
            let how = how();
            self.report(promise, how);
        }
    }

    #[expect(clippy::print_stderr, reason = "a replayed seed tells its story")]
    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.told {
            eprintln!("{:6} {}", self.counts.steps, what());
        }
    }
}

/// What is gone when the host is.
#[derive(Default)]
pub(crate) struct Memory {
    pub(crate) revisions: BTreeMap<u64, Arc<Revision>>,
    pub(crate) last_revision: u64,
    /// What new requests get.
    pub(crate) shown: Option<Shown>,
    /// The generation that gets copies of calls.
    pub(crate) copied: Option<u64>,
    /// Supervised together.
    pub(crate) arranged: BTreeSet<u64>,
    pub(crate) pins: BTreeMap<Component, usize>,
    pub(crate) requests: Vec<Request>,
    /// How many calls of each history of a state there were.
    pub(crate) calls: BTreeMap<u64, u64>,
    /// Intents that could not be settled.
    pub(crate) left_open: BTreeSet<u64>,
    /// Those of changes that are under way.
    pub(crate) open: BTreeSet<u64>,
    /// What serves may differ from what is written down: it could not be, or one cannot tell.
    pub(crate) unwritten: bool,
    pub(crate) turn: Queue,
    pub(crate) walk: Option<Arc<Walk<Hands>>>,
    /// What served when it was said that nothing changes any more.
    pub(crate) closed: Option<u64>,
    pub(crate) lent: bool,
    pub(crate) is_over: bool,
}

pub(crate) struct Shown {
    pub(crate) stable: Arc<Generation>,
    pub(crate) trial: Option<(Arc<Generation>, Share)>,
}

/// A request, and the revision that it is inside of.
pub(crate) struct Request {
    pub(crate) generation: Arc<Generation>,
    pub(crate) inside: Option<Arc<Revision>>,
    pub(crate) wants: Option<Arc<Revision>>,
}

/// Who has the turn, and who waits for it.
#[derive(Default)]
pub(crate) struct Queue {
    pub(crate) holders: u32,
    waiting: VecDeque<u64>,
    last: u64,
    /// Somebody has given it back.
    pub(crate) given_back: bool,
    pub(crate) before: Before,
}

/// What there was when somebody got the turn.
#[derive(Default, PartialEq, Eq, Debug)]
pub(crate) struct Before {
    pub(crate) number: u64,
    pub(crate) members: Vec<u64>,
    pub(crate) standby: Vec<u64>,
}

impl Before {
    pub(crate) fn of(walk: &Walk<Hands>) -> Before {
        let roster = walk.roster();
        Before {
            number: roster.number(),
            members: roster.members.values().map(|member| member.id).collect(),
            standby: roster.standby.values().map(|member| member.id).collect(),
        }
    }
}

struct Life {
    world: Arc<Mutex<World>>,
    memory: Mutex<Memory>,
    turns: Mutex<Option<Turn<Hands>>>,
    begun: Arc<Begun>,
}

/// What the walk acts with.
#[derive(Clone)]
pub(crate) struct Hands(Arc<Life>);

/// Why something is not done.
#[derive(Debug)]
pub(crate) enum Error {
    Refused(Refusal),
    Unfit,
    Unbuilt,
    Unwritten,
    Uncertain,
    NotHandedOver,
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Error {
        Error::Refused(refusal)
    }
}

impl Hands {
    pub(crate) fn new(world: &Arc<Mutex<World>>, begun: Arc<Begun>) -> Hands {
        Hands(Arc::new(Life {
            world: world.clone(),
            memory: Mutex::default(),
            turns: Mutex::new(Some(Turn::new(()))),
            begun,
        }))
    }

    pub(crate) fn world(&self) -> MutexGuard<'_, World> {
        self.0.world.lock().unwrap()
    }

    /// Never asked for by who has the world's.
    pub(crate) fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.memory.lock().unwrap()
    }

    pub(crate) fn begun(&self) -> &Begun {
        &self.0.begun
    }

    pub(crate) fn below(&self, bound: u64) -> u64 {
        self.world().random.below(bound)
    }

    pub(crate) fn chance(&self, one_in: u64) -> bool {
        self.world().chance(one_in)
    }

    pub(crate) fn fails(&self, one_in: u64) -> bool {
        self.world().fails(one_in)
    }

    pub(crate) fn breaks(&self, breach: Breach) -> bool {
        self.world().breaks(breach)
    }

    /// Lets go of what leads to itself.
    pub(crate) fn ends(&self) {
        let turn = self.0.turns.lock().unwrap().take();
        drop(turn);
    }

    /// Something takes its time: mostly a moment, at times long.
    pub(crate) async fn takes_its_time(&self) {
        let turns = {
            let mut world = self.world();
            match world.faults && world.chance(24) {
                true => 2 + world.random.below(30),
                false => 1,
            }
        };
        Turns(turns).await;
    }

    pub(crate) async fn has_turn(&self) -> Holder {
        let ticket = {
            let mut memory = self.memory();
            let queue = &mut memory.turn;
            queue.last += 1;
            let ticket = queue.last;
            queue.waiting.push_back(ticket);
            Ticket {
                hands: self.clone(),
                number: ticket,
            }
        };
        loop {
            if let Some(holder) = self.gets_turn(ticket.number) {
                return holder;
            }
            Turns(1).await;
        }
    }

    fn gets_turn(&self, ticket: u64) -> Option<Holder> {
        let all = self.breaks(Breach::GivesTheTurnToAll);
        let mut memory = self.memory();
        let is_next = memory.turn.waiting.front() == Some(&ticket);
        if !(all || is_next && memory.turn.holders == 0) {
            return None;
        }
        let mut turns = self.0.turns.lock().unwrap();
        let turn = match turns.take() {
            Some(turn) => turn,
            None => Turn::new(()),
        };
        memory.turn.holders += 1;
        if let Some(walk) = memory.walk.clone() {
            memory.turn.before = Before::of(&walk);
        }
        Some(Holder {
            hands: self.clone(),
            turn: Some(turn),
        })
    }
}

/// A place in the queue for the turn.
struct Ticket {
    hands: Hands,
    number: u64,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut memory = self.hands.memory();
        memory.turn.waiting.retain(|other| *other != self.number);
    }
}

/// Who has the turn.
pub(crate) struct Holder {
    hands: Hands,
    turn: Option<Turn<Hands>>,
}

impl Deref for Holder {
    type Target = Turn<Hands>;

    fn deref(&self) -> &Turn<Hands> {
        self.turn.as_ref().unwrap()
    }
}

impl DerefMut for Holder {
    fn deref_mut(&mut self) -> &mut Turn<Hands> {
        self.turn.as_mut().unwrap()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        let turn = self.turn.take();
        let mut memory = self.hands.memory();
        memory.turn.holders -= 1;
        memory.turn.given_back = true;
        let before = std::mem::replace(&mut *self.hands.0.turns.lock().unwrap(), turn);
        drop(memory);
        drop(before);
    }
}
