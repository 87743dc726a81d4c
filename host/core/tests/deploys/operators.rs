//! What operators ask for, all at once, with what they knew when they began; and other hosts that want
//! to take over.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use skep_core::change::{Canary, First, Refusal, Shadowing, Switched, Tried, Walk, Wanted};
use skep_core::generation::Reason;
use skep_core::name::ServiceName;
use skep_core::rollout::{Share, Steps};

use super::life::{Error, Hands};
use super::parts::{App, Component, Kind, NAMES, Placed};
use super::promises::Breach;
use super::tasks::Own;

type Running = Arc<Walk<Hands>>;

impl Hands {
    /// One that has never been.
    fn component(&self, like: Option<Component>) -> Component {
        let mut world = self.world();
        world.components += 1;
        let id = world.components;
        let kind = match (like, world.random.below(12)) {
            (Some(like), 1..) => like.kind,
            (_, 0..5) => Kind::Plain,
            (_, 5) => Kind::Keeps,
            (_, 6..9) => Kind::HandsOver,
            _ => Kind::Worker,
        };
        Component { id, kind }
    }

    /// Of one to five services, with some of those that there are.
    fn application(&self, present: &App) -> App {
        let mut app = present.clone();
        for _ in 0..1 + self.below(3) {
            let service = &NAMES[self.below(NAMES.len() as u64) as usize];
            if app.services.len() > 1 && self.chance(4) {
                app.services.remove(service);
            } else {
                let like = app.services.get(service).copied();
                app.services.insert(service.clone(), self.component(like));
            }
        }
        app
    }

    fn some_service(&self, app: &App) -> ServiceName {
        let at = self.below(app.services.len() as u64) as usize;
        app.services.keys().nth(at).unwrap().clone()
    }

    /// What a host finds when it starts, and its start. It is over if it cannot start.
    pub(crate) async fn starts(self) {
        self.undo_unfinished().await;
        self.collect();
        self.takes_its_time().await;
        let last = self.world().disk.active;
        let recorded = self.world().disk.generations.get(&last).cloned();
        let recorded: Placed = recorded.unwrap_or_default();
        let components = recorded.iter().map(|(name, (_, c))| (name.clone(), *c));
        let app = App {
            services: components.collect(),
        };
        let touched = last == 0 || self.fails(5);
        let found = match touched {
            true => self.application(&app),
            false => app.clone(),
        };
        let goes_on = |(name, (number, component)): (&ServiceName, &(u32, Component))| {
            let same = found.services.get(name) == Some(component);
            same.then(|| (name.clone(), *number))
        };
        let is_as_recorded = last > 0 && found == app;
        self.memory().unwritten = !is_as_recorded;
        let first = First {
            revisions: recorded.iter().filter_map(goes_on).collect(),
            next: self.world().disk.next.clone(),
            last: (last > 0).then_some(last),
            application: Arc::new(found),
            is_as_recorded,
        };
        match Walk::start(self.clone(), first).await {
            Ok((walk, unwritten)) => {
                self.takes_its_time().await;
                walk.write_down(unwritten).await;
                self.memory().walk = Some(walk);
            }
            Err(_) => self.memory().is_over = true,
        }
    }

    /// Somebody asks for something. Whoever asked may be gone before it is done.
    pub(crate) fn somebody_asks(&self, walk: &Running) -> Option<Own> {
        let (hands, walk) = (self.clone(), walk.clone());
        let on_trial = walk.roster().trial.is_some();
        let kind = match on_trial && self.chance(2) {
            true => 246 + self.below(49),
            false => self.below(300),
        };
        let asks = self.begun().spawn(async move {
            match kind {
                0..110 => hands.deploys(walk).await,
                110..130 => hands.deploys_together(walk).await,
                130..160 => hands.applies(walk).await,
                160..210 => hands.rolls_back(walk).await,
                210..234 => hands.tries_out(walk).await,
                234..246 => hands.shadows(walk).await,
                246..256 => hands.sets_share(walk).await,
                256..278 => hands.promotes(walk).await,
                278..295 => hands.aborts(walk).await,
                295..299 => hands.takes_over(walk).await,
                _ => hands.stops(walk).await,
            }
        });
        if kind < 295 {
            return Some(asks);
        }
        asks.detach();
        None
    }

    /// What was made from what serves must say so.
    fn based(&self, walk: &Running, app: App, reason: Reason) -> Wanted<Hands> {
        let roster = walk.roster();
        let basis = (!self.breaks(Breach::ForgetsTheBasis)).then(|| roster.number());
        Wanted {
            basis,
            state_may_be_lost: self.chance(3),
            ..Wanted::new(app, reason)
        }
    }

    async fn changes(&self, walk: &Running, wanted: Wanted<Hands>) {
        let expected = match self.below(8) {
            0 => Some(walk.roster().number()),
            1 if self.chance(4) => Some(self.below(10)),
            _ => None,
        };
        self.takes_its_time().await;
        self.hears(walk.change(wanted, expected).await);
    }

    fn hears(&self, answer: Result<Switched, Error>) {
        self.world().say(|| format!("answer: {answer:?}"));
        self.world().counts.changes += 1;
        match answer {
            Ok(switched) => {
                self.world().counts.switched += 1;
                if !switched.services.is_empty() {
                    self.is_acknowledged(switched.generation);
                }
            }
            Err(Error::Refused(Refusal::Conflict { .. })) => self.world().counts.conflicts += 1,
            Err(_) => self.world().counts.refused += 1,
        }
    }

    fn deploy(&self, walk: &Running) -> Wanted<Hands> {
        let app = &walk.roster().application;
        let service = self.some_service(app);
        let like = app.services.get(&service).copied();
        // At times one that has been before.
        let standby = walk.roster().standby.get(&service).map(|m| m.component);
        let component = match standby.filter(|_| self.chance(6)) {
            Some(component) => component,
            None => self.component(like),
        };
        self.based(
            walk,
            app.with(&service, component),
            Reason::Deploy { service },
        )
    }

    async fn deploys(self, walk: Running) {
        let wanted = self.deploy(&walk);
        self.changes(&walk, wanted).await;
    }

    async fn deploys_together(self, walk: Running) {
        let mut app = App::clone(&walk.roster().application);
        let mut services = Vec::new();
        for _ in 0..2 {
            let service = self.some_service(&app);
            let like = app.services.get(&service).copied();
            app = app.with(&service, self.component(like));
            services.push(service);
        }
        let wanted = self.based(&walk, app, Reason::DeployTogether { services });
        self.changes(&walk, wanted).await;
    }

    async fn applies(self, walk: Running) {
        let app = self.application(&walk.roster().application);
        let mut wanted = Wanted::new(app, Reason::Apply);
        wanted.state_may_be_lost = self.chance(2);
        self.changes(&walk, wanted).await;
    }

    async fn rolls_back(self, walk: Running) {
        let roster = walk.roster();
        let service = self.some_service(&roster.application);
        let standby = roster.standby.get(&service);
        let standby = standby.map(|standby| (standby.number, standby.component));
        let earlier = standby.or_else(|| {
            let world = self.world();
            let mut generations = world.disk.generations.values().rev();
            let present = roster.members.get(&service)?.number;
            generations.find_map(|placed| {
                let placed = placed.get(&service)?;
                (placed.0 != present).then_some(*placed)
            })
        });
        let Some((number, component)) = earlier else {
            return;
        };
        let app = roster.application.with(&service, component);
        let because = "asked for".to_owned();
        let reason = Reason::Rollback {
            service: service.clone(),
            because,
        };
        let wanted = Wanted {
            revisions: BTreeMap::from([(service, number)]),
            ..self.based(&walk, app, reason)
        };
        self.changes(&walk, wanted).await;
    }

    async fn shadows(self, walk: Running) {
        let wanted = self.deploy(&walk);
        let shadowing = Shadowing {
            share: Share::ALL,
            writes: false,
        };
        self.takes_its_time().await;
        self.hears_of_trial(walk.shadow(wanted, None, shadowing, ()).await);
    }

    async fn tries_out(self, walk: Running) {
        let wanted = match self.chance(5) {
            true => {
                let app = self.application(&walk.roster().application);
                Wanted::new(app, Reason::Apply)
            }
            false => self.deploy(&walk),
        };
        let all = [500, 2500, 10_000].map(|hundredths| {
            let text = format!("{}%", hundredths / 100);
            text.parse::<Share>().unwrap()
        });
        let from = self.below(3) as usize;
        let to = from + 1 + self.below(3 - from as u64) as usize;
        let canary = Canary {
            steps: Steps::new(all[from..to].to_vec()).unwrap(),
            pause: Duration::from_secs(1),
            draw: (),
        };
        self.takes_its_time().await;
        self.hears_of_trial(walk.try_out(wanted, None, canary).await);
    }

    fn hears_of_trial(&self, tried: Result<Tried, Error>) {
        self.world().say(|| format!("answer: {tried:?}"));
        self.world().counts.changes += 1;
        match tried {
            Ok(_) => self.world().counts.trials += 1,
            Err(_) => self.world().counts.refused += 1,
        }
    }

    async fn sets_share(self, walk: Running) {
        let share: Share = "40%".parse().unwrap();
        let set = walk.set_share(share).await;
        self.world().say(|| format!("answer: {set:?}"));
    }

    async fn promotes(self, walk: Running) {
        let answer = walk.promote().await;
        let promoted = answer.is_ok();
        self.hears(answer);
        self.world().counts.promoted += u64::from(promoted);
    }

    pub(crate) async fn aborts(self, walk: Running) {
        let aborted = walk.abort().await;
        self.world().say(|| format!("answer: {aborted:?}"));
        self.world().counts.aborted += u64::from(aborted.is_ok());
    }

    async fn stops(self, walk: Running) {
        walk.stop_changing().await;
        let number = walk.roster().number();
        self.memory().closed = Some(number);
        self.world().say(|| "nothing changes any more".to_owned());
        self.world().counts.stopped += 1;
    }

    /// Another host begins to start in this one's place; it may never come to serve.
    async fn takes_over(self, walk: Running) {
        let stood = walk.stand_aside().await;
        self.world().say(|| format!("stands aside: {stood:?}"));
        if stood.is_err() {
            return;
        }
        self.world().counts.lent += 1;
        self.memory().lent = true;
        self.world().disk.other = true;
        self.takes_its_time().await;
        let services = BTreeMap::from([(NAMES[0].clone(), 1)]);
        if self.chance(2) {
            self.world().disk.begin(&services);
        }
        self.takes_its_time().await;
        if self.fails(2) {
            self.world().counts.taken_over += 1;
            self.memory().is_over = true;
            return;
        }
        self.world().disk.other = false;
        walk.go_on().await;
        self.memory().lent = false;
    }
}
