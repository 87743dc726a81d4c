//! What the walk of a change (`skep_core::change`) acts with: each step that it asks for is done here, or
//! in the file that is named after it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex as ShortMutex;
use skep_core::change::{
    Begun, Effects, Order, Pair, Prepared, Refusal, Roster, Shadowing, Shown, Tasks, Told, Tried,
    Turn, Wanted,
};
use skep_core::lifecycle::Cause;
use skep_core::name::ServiceName;
use skep_core::probation::Evidence;
use skep_core::shadow::Report;
use tokio::sync::{Mutex, OwnedMutexGuard};

use super::aside::{self, LendError};
use super::bench::Bench;
use super::change::{arrangement, settle};
use super::change_error::ChangeError;
use super::entry::Entry;
use super::http::needs_new_start;
use super::ledger::Ledger;
use super::member::{Member, Members};
use super::progress::{Progress, StepBegun};
use super::recipe::Recipe;
use super::shadow::{self, Copies};
use super::{Application, chain, handover, probation};
use crate::generation::{Generation, Serving, Trial};
use crate::sticky::Sticky;
use crate::supervisor::Desk;
use crate::task;

/// How long a candidate that has started may take to say that it is ready, beyond its own
/// `start-timeout`.
const READY_PATIENCE: Duration = Duration::from_secs(60);

/// See the module.
pub struct Hands {
    pub(super) desk: Arc<Desk>,
    pub(super) serving: Arc<Serving>,
    /// One change at a time.
    turn: Arc<Mutex<Turn<Hands>>>,
    /// None: nothing is written down.
    pub(super) ledger: Option<Ledger>,
    /// Who waits for the change that is being made.
    listener: ShortMutex<Progress>,
    origin: Instant,
}

impl Hands {
    /// Nothing serves yet.
    pub(super) fn new(bench: Bench, origin: Instant) -> Hands {
        let books = bench.books.as_ref();
        Hands {
            desk: Desk::new(origin),
            serving: Arc::default(),
            ledger: books.map(|books| books.ledger.clone()),
            turn: Arc::new(Mutex::new(Turn::new(bench))),
            listener: ShortMutex::default(),
            origin,
        }
    }
}

impl Hands {
    fn begins(&self, step: StepBegun) {
        self.listener.lock().begins(step);
    }
}

impl Tasks for Hands {
    type Sleep = tokio::time::Sleep;
    type Task = task::Own<()>;

    fn now(&self) -> Duration {
        self.origin.elapsed()
    }

    fn sleep(&self, pause: Duration) -> Self::Sleep {
        tokio::time::sleep(pause)
    }

    async fn within<T: Send>(
        &self,
        patience: Duration,
        task: impl Future<Output = T> + Send,
    ) -> Option<T> {
        tokio::time::timeout(patience, task).await.ok()
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        task::spawn(task::Kind::Deploy, task);
    }

    fn own(&self, task: impl Future<Output = ()> + Send + 'static) -> Self::Task {
        task::own(task::Kind::Deploy, task)
    }

    async fn to_its_end<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> Option<T> {
        task::spawn(task::Kind::Deploy, task).await.ok().flatten()
    }
}

impl Effects for Hands {
    type Application = Application;
    type Member = Member;
    type Generation = Generation;
    type Held = OwnedMutexGuard<Turn<Hands>>;
    type Bench = Bench;
    type Entry = Entry;
    type Draw = Option<Sticky>;
    type Copies = Copies;
    type Listener = Progress;
    type Error = ChangeError;
    type LendError = LendError;

    fn number(generation: &Generation) -> u64 {
        generation.number()
    }

    fn is_made_for(member: &Member, application: &Application) -> bool {
        Recipe::of(application, member.name()).is_some_and(|recipe| recipe == *member.recipe())
    }

    fn refusal(error: &ChangeError) -> Option<&Refusal> {
        match error {
            ChangeError::Refused(refusal) => Some(refusal),
            _ => None,
        }
    }

    async fn turn(&self) -> Self::Held {
        self.turn.clone().lock_owned().await
    }

    fn fit(
        &self,
        bench: &mut Bench,
        before: &Application,
        wanted: &Application,
    ) -> Result<(), ChangeError> {
        let keys = needs_new_start(&before.manifest, &wanted.manifest);
        if !keys.is_empty() {
            return Err(ChangeError::NeedsNewStart { keys });
        }
        bench.machinery = bench.machinery.fit(wanted)?;
        Ok(())
    }

    async fn begin(
        &self,
        bench: &Bench,
        wanted: &Wanted<Hands>,
        services: BTreeMap<ServiceName, u32>,
    ) -> Result<Begun<Hands>, ChangeError> {
        let books = bench.books.as_ref().ok_or(ChangeError::NoLedger)?;
        *self.listener.lock() = wanted.listener.clone();
        let entry = Entry::begin(&books.ledger, wanted, services).await?;
        failpoint!("change::noted");
        let revisions = entry.revisions().clone();
        Ok((entry, revisions))
    }

    async fn prepare(
        &self,
        bench: &mut Bench,
        order: Order<'_, Hands>,
    ) -> Result<Prepared<Hands>, ChangeError> {
        let application = order.application;
        let progress = self.listener.lock().clone();
        let prepared = bench.prepare(&self.desk, order, &progress).await;
        failpoint!("change::built");
        prepared.map_err(|mistakes| ChangeError::Mistakes {
            source_text: application.source.clone(),
            mistakes,
        })
    }

    fn stand_beside(&self, before: &Roster<Hands>, prepared: &Prepared<Hands>) {
        let mut beside = arrangement(&before.application, &before.members);
        let places: Vec<usize> = prepared.candidates.iter().map(|c| c.place()).collect();
        let whole = arrangement(&prepared.application, &prepared.members);
        let mut new = whole.members;
        new.retain(|(member, _)| places.contains(member));
        for (_, after) in &mut new {
            after.retain(|member| places.contains(member));
        }
        beside.members.extend(new);
        self.desk.arrange(beside);
    }

    fn start(&self, member: &Member) {
        self.desk.start_one(member.place());
    }

    async fn ready(&self, member: &Member) -> Result<(), Cause> {
        self.begins(StepBegun::Prove {
            service: member.name().clone(),
            revision: member.number(),
        });
        member.ready(READY_PATIENCE).await
    }

    fn pause(&self, member: &Member) {
        member.service().pause(handover::PAUSED);
    }

    async fn hand_over(&self, pair: &Pair<Member>) -> Result<(), ChangeError> {
        self.begins(StepBegun::HandOver {
            service: pair.from.name().clone(),
        });
        handover::hand_over(pair).await
    }

    fn resume(&self, member: &Member) {
        handover::keep(member);
    }

    fn move_on(&self, pair: &Pair<Member>) {
        handover::settle(pair);
    }

    async fn commit(
        &self,
        bench: &mut Bench,
        entry: &mut Entry,
        prepared: &Prepared<Hands>,
    ) -> Result<(), ChangeError> {
        failpoint!("change::proved");
        self.begins(StepBegun::WriteDown);
        entry.commit(bench, prepared).await?;
        failpoint!("change::written-down");
        self.begins(StepBegun::Switch);
        Ok(())
    }

    async fn refuse(&self, entry: Entry, why: &ChangeError) {
        *self.listener.lock() = Progress::default();
        entry.refuse(chain(why)).await;
    }

    fn found(entry: &mut Entry, found: &[Report]) {
        entry.found(found);
    }

    async fn note_trial(&self, entry: &Entry, tried: &Tried) {
        entry.note(tried).await;
    }

    fn tidy(&self, entry: Entry) {
        failpoint!("change::switched");
        *self.listener.lock() = Progress::default();
        entry.tidy();
    }

    fn arrange(&self, application: &Application, members: &Members) {
        self.desk.arrange(arrangement(application, members));
    }

    async fn start_all(&self, members: &Members) {
        self.desk.start();
        settle(members, &self.desk).await;
    }

    fn enter(&self, member: &Member, generation: &Arc<Generation>) {
        member.home().is(generation);
    }

    fn show(&self, generation: &Arc<Generation>, trial: Option<Shown<'_, Hands>>) {
        let trial = trial.map(|trial| Trial {
            generation: trial.generation.clone(),
            share: trial.share,
            sticky: trial.draw.clone(),
        });
        self.serving.show(generation.clone(), trial);
    }

    fn copy(
        &self,
        before: &Roster<Hands>,
        prepared: &Prepared<Hands>,
        shadowing: Shadowing,
    ) -> Copies {
        shadow::copy(before, prepared, shadowing)
    }

    fn end_copies(&self, copies: Copies) -> Vec<Report> {
        shadow::end(&copies)
    }

    async fn rests_within(&self, member: &Member, patience: Duration) -> bool {
        member.rests_within(patience).await
    }

    fn cut(&self, member: &Member) {
        let in_flight = member.revision().in_flight();
        let handles = member.revision().leased();
        member.revision().cut();
        if in_flight + handles > 0 {
            tracing::warn!(
                service = %member.name(),
                revision = member.number(),
                in_flight,
                instances_with_handles = handles,
                "replaced, and not done within the drain time-out: what was under way is cut"
            );
        }
    }

    async fn dismiss(&self, member: Arc<Member>, why: String) {
        member.dismiss(why).await;
    }

    async fn judged(
        &self,
        pairs: Vec<Pair<Member>>,
        on_trial: bool,
        is_still_there: impl Fn(&Arc<Member>) -> bool + Send + Sync,
    ) -> Option<(Arc<Member>, Evidence)> {
        probation::judged(&pairs, on_trial, is_still_there).await
    }

    fn alone(
        &self,
        now: &Application,
        before: &Application,
        service: &ServiceName,
    ) -> Result<Arc<Application>, ChangeError> {
        let alone = now.with_service_of(before, service);
        alone.map(Arc::new).map_err(ChangeError::Apart)
    }

    async fn lend(&self) -> Result<(), LendError> {
        aside::lend(self.ledger.as_ref()).await
    }

    async fn take_back(&self) {
        if let Some(ledger) = &self.ledger {
            aside::take_back(ledger).await;
        }
    }

    fn tell(&self, told: Told<'_, Hands>) {
        match told {
            Told::StateLost { pair, error } => tracing::error!(
                service = %pair.from.name(),
                revision = pair.to.number(),
                from = pair.from.number(),
                "the state is lost: {}",
                crate::log::chain(error)
            ),
            Told::Promoted { generation } => {
                tracing::info!(generation, "what was on trial serves all requests");
            }
            Told::NotPromoted { error } => tracing::error!(
                "what was on trial cannot serve all requests: {}",
                crate::log::chain(error)
            ),
            Told::Bad { member, evidence } => tracing::error!(
                service = %member.name(),
                revision = member.number(),
                evidence = %serde_json::json!(evidence),
                "taken back: {evidence}"
            ),
            Told::NotTakenBack { member, error } => tracing::error!(
                service = %member.name(),
                revision = member.number(),
                "it could not be taken back: {}",
                crate::log::chain(error)
            ),
            // Without a manifest nothing ever is.
            Told::Unwritten {
                error: ChangeError::NoLedger,
            } => {}
            Told::Unwritten {
                error: ChangeError::Ledger(error),
            } => tracing::warn!("this start is not written down: {error}"),
            Told::Unwritten { error } => {
                tracing::warn!(
                    "this start is not written down: {}",
                    crate::log::chain(error)
                );
            }
        }
    }
}
