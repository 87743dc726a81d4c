//! What the host does at the walk's word, with parts that fail, take long, and say when they are asked for
//! what must not be.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skep_core::change::{
    self, Begun, Effects, Member as _, Members, Order, Pair, Prepared, Refusal, Roster, Shadowing,
    Told, Tried, Wanted,
};
use skep_core::generation::Reason;
use skep_core::lifecycle::Cause;
use skep_core::name::ServiceName;
use skep_core::probation::{self, Evidence};
use skep_core::shadow::Report;

use super::life::{Error, Hands, Holder, Memory as Host, Shown};
use super::parts::{App, Component, Generation, Latch, Phase, Revision};
use super::promises::{Breach, Promise};
use super::simulated::cause;

/// What figures say is not what is simulated.
const NONE: probation::Share = probation::Share { count: 0, calls: 0 };

/// What is written down of a change.
pub(crate) struct Entry {
    intent: u64,
    reason: Reason,
    pins: Vec<Component>,
}

impl Hands {
    fn pin(&self, component: Component) {
        *self.memory().pins.entry(component).or_default() += 1;
    }

    fn unpin(&self, components: &[Component]) {
        let mut host = self.memory();
        for component in components {
            if let Some(pins) = host.pins.get_mut(component) {
                *pins -= 1;
                if *pins == 0 {
                    host.pins.remove(component);
                }
            }
        }
    }

    /// The journal is this host's.
    fn has_journal(&self) -> bool {
        let mut world = self.world();
        let lent = world.disk.lent;
        world.expect(Promise::Closed, !lent, || {
            "something is to be written while another host has the journal".to_owned()
        });
        !lent
    }

    fn is_shown(host: &Host, revision: &Revision) -> bool {
        let Some(shown) = &host.shown else {
            return false;
        };
        let trial = shown.trial.as_ref();
        shown.stable.has(revision) || trial.is_some_and(|(trial, _)| trial.has(revision))
    }

    /// What a generation is must be what its application says, and the same as ever.
    fn sees(&self, generation: &Generation) {
        let mut world = self.world();
        let number = generation.number;
        for (service, wanted) in &generation.app.services {
            let member = generation.members.get(service);
            let has = member.map(|member| member.component);
            world.expect(Promise::NoMixture, has == Some(*wanted), || {
                format!("generation {number} has {has:?} for {service}, and not {wanted:?}")
            });
        }
        for member in generation.members.values() {
            let proved = member.now().proved || member.is_worker();
            world.expect(Promise::Proved, proved, || {
                format!("{member} is in generation {number} and was not proved")
            });
        }
        let placed = generation.placed();
        let known = world.past.shown.entry(number).or_insert(placed.clone());
        let same = *known == placed;
        world.expect(Promise::Numbers, same, || {
            format!("generation {number} was another before")
        });
    }
}

impl Effects for Hands {
    type Application = App;
    type Member = Revision;
    type Generation = Generation;
    type Held = Holder;
    type Bench = ();
    type Entry = Entry;
    type Draw = ();
    type Copies = u64;
    type Listener = ();
    type Error = Error;
    type LendError = ();

    fn number(generation: &Generation) -> u64 {
        generation.number
    }

    fn is_made_for(member: &Revision, application: &App) -> bool {
        application.services.get(&member.service) == Some(&member.component)
    }

    fn refusal(error: &Error) -> Option<&Refusal> {
        match error {
            Error::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    async fn turn(&self) -> Holder {
        self.has_turn().await
    }

    fn fit(&self, (): &mut (), _: &App, _: &App) -> Result<(), Error> {
        match self.fails(40) {
            true => Err(Error::Unfit),
            false => Ok(()),
        }
    }

    async fn begin(
        &self,
        (): &(),
        wanted: &Wanted<Self>,
        services: BTreeMap<ServiceName, u32>,
    ) -> Result<Begun<Self>, Error> {
        let pins: Vec<Component> = wanted.application.services.values().copied().collect();
        for component in &pins {
            self.pin(*component);
        }
        for component in &pins {
            if !self.world().disk.store.contains(component) {
                self.takes_its_time().await;
                self.world().disk.store.insert(*component);
            }
        }
        self.takes_its_time().await;
        if !self.has_journal() || self.fails(40) {
            self.unpin(&pins);
            return Err(Error::Unwritten);
        }
        let forgets = self.breaks(Breach::GivesNumbersTwice);
        let (intent, mut numbers) = self.world().disk.begin(&services);
        if forgets {
            numbers.values_mut().for_each(|number| *number = 2);
        }
        self.memory().open.insert(intent);
        self.takes_its_time().await;
        let reason = wanted.reason.clone();
        self.world()
            .say(|| format!("intent {intent}: {reason:?}, new {numbers:?}"));
        let entry = Entry {
            intent,
            reason,
            pins,
        };
        Ok((entry, numbers))
    }

    async fn prepare(&self, (): &mut (), order: Order<'_, Self>) -> Result<Prepared<Self>, Error> {
        self.takes_its_time().await;
        if order.before.is_some() && self.fails(12) || self.fails(200) {
            return Err(Error::Unbuilt);
        }
        let mut members = order.kept;
        let mut candidates = Vec::new();
        for (service, component) in &order.application.services {
            if members.contains_key(service) {
                continue;
            }
            let number = order.revisions.get(service).copied().unwrap_or_default();
            let id = {
                let mut host = self.memory();
                host.last_revision += 1;
                host.last_revision
            };
            let mut world = self.world();
            let key = (service.clone(), number);
            let known = *world.past.revisions.entry(key).or_insert(*component);
            world.expect(
                Promise::Revisions,
                known == *component && number > 0,
                || format!("{service}#{number} is {component:?}, and was {known:?}"),
            );
            let revision = Revision::new(id, service, number, *component);
            world.say(|| format!("built {revision}"));
            drop(world);
            self.memory().revisions.insert(id, revision.clone());
            candidates.push(revision.clone());
            members.insert(service.clone(), revision);
        }
        Ok(Prepared {
            generation: Generation::new(order.number, order.application, &members),
            application: order.application.clone(),
            members,
            candidates,
        })
    }

    fn stand_beside(&self, before: &Roster<Self>, prepared: &Prepared<Self>) {
        let before = before.members.values();
        let all = before.chain(&prepared.candidates);
        self.memory().arranged = all.map(|member| member.id).collect();
    }

    fn start(&self, member: &Revision) {
        let others = || {
            let host = self.memory();
            let busy = |other: &&Arc<Revision>| {
                other.service == member.service
                    && other.id != member.id
                    && other.is_worker()
                    && other.now().is_at_work()
            };
            host.revisions.values().find(busy).cloned()
        };
        if member.is_worker() {
            let other = others();
            let mut world = self.world();
            world.counts.workers += 1;
            world.expect(Promise::OneWorker, other.is_none(), || {
                format!("{member} starts while {} is at work", other.unwrap())
            });
        }
        let mut now = member.now();
        match now.phase {
            Phase::New if member.is_worker() => {
                now.phase = Phase::Up;
                now.proved = true;
            }
            Phase::New => now.phase = Phase::Starting,
            phase => {
                drop(now);
                let how = format!("{member} is to start and is {phase:?}");
                self.world().report(Promise::NothingLeaks, how);
            }
        }
    }

    async fn ready(&self, member: &Revision) -> Result<(), Cause> {
        self.takes_its_time().await;
        if self.breaks(Breach::ProvesNothing) {
            return Ok(());
        }
        let fails = self.fails(10);
        let mut now = member.now();
        if fails {
            now.phase = Phase::Failed;
            return Err(cause());
        }
        now.phase = Phase::Up;
        now.proved = true;
        Ok(())
    }

    fn pause(&self, member: &Revision) {
        member.now().latch = Latch::Paused;
    }

    async fn hand_over(&self, pair: &Pair<Revision>) -> Result<(), Error> {
        let careless = self.breaks(Breach::HandsOverWhileOthersAreInside);
        loop {
            self.takes_its_time().await;
            // What is kept to come back to may still be at something, too.
            if careless || pair.from.now().inside + pair.to.now().inside == 0 {
                break;
            }
            if self.fails(6) {
                return Err(Error::NotHandedOver);
            }
        }
        if !careless {
            pair.from.now().handed_over = true;
        }
        self.takes_its_time().await;
        let saved = pair.from.now().memory;
        self.takes_its_time().await;
        if self.fails(8) {
            return Err(Error::NotHandedOver);
        }
        pair.to.now().memory = saved;
        self.takes_its_time().await;
        if self.fails(8) {
            return Err(Error::NotHandedOver);
        }
        let mut world = self.world();
        world.counts.handed_over += 1;
        world.say(|| format!("{} hands over to {}: {saved:?}", pair.from, pair.to));
        Ok(())
    }

    fn resume(&self, member: &Revision) {
        self.world().counts.handovers_undone += 1;
        if self.breaks(Breach::SkipsUndo) {
            return;
        }
        let mut now = member.now();
        now.handed_over = false;
        now.latch = Latch::None;
    }

    fn move_on(&self, pair: &Pair<Revision>) {
        let mut to = pair.to.now();
        to.handed_over = false;
        to.latch = Latch::None;
        drop(to);
        let mut from = pair.from.now();
        from.handed_over = true;
        from.latch = Latch::Moved(pair.to.clone());
    }

    async fn commit(
        &self,
        (): &mut (),
        entry: &mut Entry,
        prepared: &Prepared<Self>,
    ) -> Result<(), Error> {
        self.takes_its_time().await;
        let number = prepared.generation.number;
        if !self.has_journal() || self.fails(16) {
            return Err(Error::Unwritten);
        }
        self.keeps_to(&entry.reason, prepared);
        if self.breaks(Breach::AcknowledgesBeforeItWrites) && entry.reason != Reason::Start {
            return Ok(());
        }
        let uncertain = self.fails(20);
        if uncertain {
            self.memory().unwritten = true;
            self.world().counts.uncertain += 1;
            if self.chance(2) {
                return Err(Error::Uncertain);
            }
        }
        let mut placed = prepared.generation.placed();
        if self.breaks(Breach::CommitsByHalves) && placed.len() > 1 {
            let first = placed.keys().next().cloned();
            if let Some((first, old)) = first.and_then(|first| {
                let host = self.memory();
                let shown = host.shown.as_ref()?;
                let old = shown.stable.placed().get(&first).copied()?;
                Some((first, old))
            }) {
                placed.insert(first, old);
            }
        }
        let done = self.world().disk.commit(number, placed, entry.intent);
        self.world()
            .say(|| format!("commit of {number}: {done}, uncertain {uncertain}"));
        if !done {
            // Only what was uncertain can have been quicker, and a start that comes late.
            let unsure = self.memory().unwritten;
            self.world().expect(Promise::Numbers, unsure, || {
                format!("generation {number} is committed after a later one")
            });
            return Err(Error::Unwritten);
        }
        self.memory().open.remove(&entry.intent);
        if uncertain {
            return Err(Error::Uncertain);
        }
        self.memory().unwritten = false;
        self.takes_its_time().await;
        Ok(())
    }

    async fn refuse(&self, entry: Entry, why: &Error) {
        self.world()
            .say(|| format!("intent {} is refused: {why:?}", entry.intent));
        self.takes_its_time().await;
        let fails = self.fails(12) || self.breaks(Breach::SettlesNothing) || !self.has_journal();
        let broken = self.breaks(Breach::SettlesNothing);
        if fails && !broken {
            self.memory().left_open.insert(entry.intent);
        } else if !fails {
            self.world().disk.intents.remove(&entry.intent);
        }
        self.memory().open.remove(&entry.intent);
        self.unpin(&entry.pins);
    }

    fn found(_: &mut Entry, _: &[Report]) {}

    async fn note_trial(&self, _: &Entry, tried: &Tried) {
        self.world()
            .say(|| format!("on trial with {}: {:?}", tried.exposure, tried.services));
        self.takes_its_time().await;
    }

    fn tidy(&self, entry: Entry) {
        let hands = self.clone();
        self.begun()
            .spawn(async move {
                hands.takes_its_time().await;
                hands.unpin(&entry.pins);
                hands.takes_its_time().await;
                hands.collect();
            })
            .detach();
    }

    fn arrange(&self, application: &App, members: &Members<Revision>) {
        let arranged = members.values().map(|member| member.id).collect();
        self.memory().arranged = arranged;
        let gone = |member: &&Arc<Revision>| member.now().phase == Phase::Gone;
        let gone = members.values().find(gone);
        let mut world = self.world();
        world.expect(Promise::NothingLeaks, gone.is_none(), || {
            format!("{} is arranged and has gone", gone.unwrap())
        });
        let whole = members.keys().eq(application.services.keys());
        world.expect(Promise::NoMixture, whole, || {
            "what is arranged is not the application".to_owned()
        });
    }

    async fn start_all(&self, members: &Members<Revision>) {
        for member in members.values() {
            self.takes_its_time().await;
            let fails = self.fails(20) && !member.is_worker();
            let mut now = member.now();
            now.proved = true;
            now.phase = if fails { Phase::Failed } else { Phase::Up };
        }
    }

    fn enter(&self, member: &Revision, generation: &Arc<Generation>) {
        let inside = generation.has(member);
        self.world().expect(Promise::OneGeneration, inside, || {
            format!("{member} enters generation {}", generation.number)
        });
    }

    fn show(&self, generation: &Arc<Generation>, trial: Option<change::Shown<'_, Self>>) {
        self.sees(generation);
        if let Some(trial) = &trial {
            self.sees(trial.generation);
        }
        let mut host = self.memory();
        let is_over = self.breaks(Breach::ShowsWhatIsOver);
        let kept = host.shown.take().and_then(|shown| shown.trial);
        let closed = host.closed;
        let unsure = host.unwritten;
        let trial = trial.map(|trial| (trial.generation.clone(), trial.share));
        host.shown = Some(Shown {
            stable: generation.clone(),
            trial: trial.or(kept.filter(|_| is_over)),
        });
        drop(host);
        let mut world = self.world();
        let (active, number) = (world.disk.active, generation.number);
        world.say(|| format!("generation {number} is shown"));
        world.expect(Promise::Acknowledged, unsure || active == number, || {
            format!("generation {number} is shown and {active} is written down")
        });
        world.expect(Promise::Closed, closed.is_none(), || {
            format!("generation {number} is shown after the end of all changes")
        });
    }

    fn copy(&self, _: &Roster<Self>, prepared: &Prepared<Self>, _: Shadowing) -> u64 {
        let number = prepared.generation.number;
        let earlier = self.memory().copied.replace(number);
        self.world().expect(Promise::Trial, earlier.is_none(), || {
            format!("generations {earlier:?} and {number} get copies")
        });
        number
    }

    fn end_copies(&self, copies: u64) -> Vec<Report> {
        let ended = self.memory().copied.take();
        self.world()
            .expect(Promise::Trial, ended == Some(copies), || {
                format!("generation {copies} gets no copies any more, and {ended:?} got some")
            });
        Vec::new()
    }

    async fn rests_within(&self, member: &Revision, _: Duration) -> bool {
        if member.is_worker() || self.breaks(Breach::DoesNotWait) {
            return true;
        }
        loop {
            self.takes_its_time().await;
            if member.is_at_rest() {
                return true;
            }
            // Deadlines pass also where nothing fails, but not before all else has come to an end.
            if self.fails(16) || self.chance(400) {
                return false;
            }
        }
    }

    fn cut(&self, member: &Revision) {
        let shown = Self::is_shown(&self.memory(), member);
        member.now().cut = true;
        let mut world = self.world();
        world.counts.cut += 1;
        world.say(|| format!("{member} is cut"));
        world.expect(Promise::Lives, !shown, || {
            format!("{member} is cut, and new requests come to it")
        });
    }

    async fn dismiss(&self, member: Arc<Revision>, why: String) {
        self.world().say(|| format!("{member} is dismissed: {why}"));
        if self.breaks(Breach::DismissesNobody) {
            return;
        }
        self.may_go(&member);
        if self.breaks(Breach::EndsNoWorker) && member.is_worker() {
            return;
        }
        member.now().phase = Phase::Stopping;
        self.takes_its_time().await;
        member.now().phase = Phase::Gone;
        self.memory().revisions.remove(&member.id);
    }

    async fn judged(
        &self,
        mut pairs: Vec<Pair<Revision>>,
        on_trial: bool,
        is_still_there: impl Fn(&Arc<Revision>) -> bool + Send + Sync,
    ) -> Option<(Arc<Revision>, Evidence)> {
        loop {
            self.takes_its_time().await;
            pairs.retain(|pair| is_still_there(&pair.to));
            if pairs.is_empty() {
                return None;
            }
            let mut world = self.world();
            let at = world.random.below(pairs.len() as u64) as usize;
            let faults = world.faults;
            match world.random.below(24) {
                0 if faults => {
                    let bad = pairs.swap_remove(at).to;
                    world.say(|| format!("{bad} is bad"));
                    let evidence = Evidence::Errors {
                        candidate: NONE,
                        predecessor: NONE,
                    };
                    return Some((bad, evidence));
                }
                1 | 2 if !on_trial => drop(pairs.swap_remove(at)),
                _ => {}
            }
        }
    }

    fn alone(&self, now: &App, before: &App, service: &ServiceName) -> Result<Arc<App>, Error> {
        let component = before.services.get(service);
        let component = component.ok_or(Error::Unfit)?;
        Ok(Arc::new(now.with(service, *component)))
    }

    async fn lend(&self) -> Result<(), ()> {
        self.takes_its_time().await;
        let mut world = self.world();
        world.disk.lent = true;
        match world.fails(6) {
            true => Err(()),
            false => Ok(()),
        }
    }

    async fn take_back(&self) {
        while self.world().disk.other {
            self.takes_its_time().await;
        }
        self.takes_its_time().await;
        self.world().disk.lent = false;
        self.undo_unfinished().await;
    }

    fn tell(&self, told: Told<'_, Self>) {
        match told {
            Told::StateLost { pair, .. } => {
                // Where it begins anew it has a history of its own.
                let mut host = self.memory();
                host.last_revision += 1;
                let history = host.last_revision;
                drop(host);
                let mut to = pair.to.now();
                to.memory.history = history;
                to.memory.calls = 0;
            }
            Told::Promoted { .. } => self.world().counts.promoted += 1,
            Told::Bad { .. } => self.world().counts.taken_back += 1,
            Told::NotPromoted { error } | Told::NotTakenBack { error, .. } => {
                self.world().say(|| format!("not done: {error:?}"));
            }
            Told::Unwritten { .. } => {
                self.memory().unwritten = true;
                self.world().counts.unwritten += 1;
            }
        }
    }
}
