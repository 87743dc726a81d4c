//! What the walk asks of whoever acts: the host with real parts, the simulation with faults.
//!
//! Whatever is async here may take long and may be the last that ever happens; the rest is done at once
//! and cannot fail.

use std::collections::BTreeMap;
use std::ops::DerefMut;
use std::sync::Arc;
use std::time::Duration;

use super::refusal::Refusal;
use super::roster::{Members, Order, Prepared, Roster, Turn, Wanted};
use super::shadow::Shadowing;
use super::trial::Tried;
use crate::digest::Digest;
use crate::lifecycle::Cause;
use crate::name::ServiceName;
use crate::probation::Evidence;
use crate::rollout::Share;
use crate::shadow::Report;

/// An application that has been read and checked.
pub trait Application: Send + Sync + 'static {
    /// The names of its services.
    fn services(&self) -> impl Iterator<Item = ServiceName>;
    /// What a service's component is; none if there is no such service.
    fn component(&self, service: &ServiceName) -> Option<Digest>;
    /// How long what was replaced has to end what it is at.
    fn drain_timeout(&self) -> Duration;
}

/// A revision of a service as it runs.
pub trait Member: Send + Sync + 'static {
    fn service(&self) -> &ServiceName;
    /// Counted from 1 within the service.
    fn number(&self) -> u32;
    fn component(&self) -> Digest;
    fn is_worker(&self) -> bool;
    /// Whether what it keeps in memory is the service's state: it is there once, and lives on.
    fn keeps_state(&self) -> bool;
    /// Whether it can hand its state over.
    fn hands_over(&self) -> bool;
    /// Whether it takes requests.
    fn is_ready(&self) -> bool;
}

/// A revision, and what takes its place or is on trial beside it.
pub struct Pair<M> {
    pub from: Arc<M>,
    pub to: Arc<M>,
}

/// What somebody who reads the log wants to know, and no answer says.
pub enum Told<'t, E: Effects> {
    /// A handover has failed where what is in memory may be lost.
    StateLost {
        pair: &'t Pair<E::Member>,
        error: &'t E::Error,
    },
    /// The last step of a trial has been made.
    Promoted { generation: u64 },
    /// The last step of a trial could not be made.
    NotPromoted { error: &'t E::Error },
    /// It has been found bad, and is about to be taken back.
    Bad {
        member: &'t E::Member,
        evidence: &'t Evidence,
    },
    /// It has been found bad, and serves on.
    NotTakenBack {
        member: &'t E::Member,
        error: &'t E::Error,
    },
    /// What starts is not written down.
    Unwritten { error: &'t E::Error },
}

/// What is written down of a change so far, and the numbers of its new revisions.
pub type Begun<E> = (<E as Effects>::Entry, BTreeMap<ServiceName, u32>);

/// A generation that gets a share of the requests.
pub struct Shown<'t, E: Effects> {
    pub generation: &'t Arc<E::Generation>,
    pub share: Share,
    pub draw: &'t E::Draw,
}

/// Tasks and time.
pub trait Tasks: Send + Sync + Sized + 'static {
    type Sleep: Future<Output = ()> + Send + 'static;
    /// A task that is cancelled when this is dropped.
    type Task: Send + 'static;

    /// Since whenever it began to count.
    fn now(&self) -> Duration;
    fn sleep(&self, pause: Duration) -> Self::Sleep;
    /// None if it is not done by then; it is dropped.
    fn within<T: Send>(
        &self,
        patience: Duration,
        task: impl Future<Output = T> + Send,
    ) -> impl Future<Output = Option<T>> + Send;
    /// Begins what nobody waits for.
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static);
    /// Begins what somebody may cancel.
    fn own(&self, task: impl Future<Output = ()> + Send + 'static) -> Self::Task;
    /// Does it, also if what waits for it is dropped. None if it has panicked, which has been reported.
    fn to_its_end<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> impl Future<Output = Option<T>> + Send;
}

/// See the module.
pub trait Effects: Tasks {
    type Application: Application;
    type Member: Member;
    /// Everything that serves together, numbered.
    type Generation: Send + Sync + 'static;
    /// The turn to change something; the next has it when this is dropped.
    type Held: DerefMut<Target = Turn<Self>> + Send + 'static;
    /// What revisions are made with.
    type Bench: Send + 'static;
    /// What is written down of one change. It keeps the components from being collected.
    type Entry: Send + 'static;
    /// Which requests a trial gets, beside how many of them.
    type Draw: Clone + Send + Sync + 'static;
    /// Candidates that get copies of calls.
    type Copies: Clone + Send + Sync + 'static;
    /// Who is told of each step of a change.
    type Listener: Default + Send + Sync + 'static;
    type Error: From<Refusal> + Send + 'static;
    /// Why the state directory cannot be lent.
    type LendError: Send + 'static;

    fn number(generation: &Self::Generation) -> u64;
    /// Whether it is what the application wants of its service, so that a new one would be the same.
    fn is_made_for(member: &Self::Member, application: &Self::Application) -> bool;
    /// None if it is not the walk that has said no.
    fn refusal(error: &Self::Error) -> Option<&Refusal>;

    /// Waits until nobody else has the turn to change something, and has it then. Whoever asks first has
    /// it first.
    fn turn(&self) -> impl Future<Output = Self::Held> + Send;

    /// Makes room for what is wanted.
    ///
    /// # Errors
    /// If only a new start of the host can do that, or it cannot be had.
    fn fit(
        &self,
        bench: &mut Self::Bench,
        before: &Self::Application,
        wanted: &Self::Application,
    ) -> Result<(), Self::Error>;

    /// Keeps the components of what is wanted, and notes that something is about to be done to these
    /// services. Answers the numbers of their new revisions, each no less than is said here.
    ///
    /// # Errors
    /// If it cannot be noted; then it must not be done.
    fn begin(
        &self,
        bench: &Self::Bench,
        wanted: &Wanted<Self>,
        services: BTreeMap<ServiceName, u32>,
    ) -> impl Future<Output = Result<Begun<Self>, Self::Error>> + Send;

    /// Builds what is ordered. Nothing of it runs yet.
    ///
    /// # Errors
    /// All mistakes at once; then nothing is left of it.
    fn prepare(
        &self,
        bench: &mut Self::Bench,
        order: Order<'_, Self>,
    ) -> impl Future<Output = Result<Prepared<Self>, Self::Error>> + Send;

    /// The candidates join supervision beside what serves.
    fn stand_beside(&self, before: &Roster<Self>, prepared: &Prepared<Self>);

    /// Starts one that has joined, once those that it comes after have settled.
    fn start(&self, member: &Self::Member);

    /// Waits until it takes requests.
    ///
    /// # Errors
    /// Why it does not, once its first try has failed or its patience is over.
    fn ready(&self, member: &Self::Member) -> impl Future<Output = Result<(), Cause>> + Send;

    /// Shuts a door: whoever comes waits, until [`Effects::resume`] or [`Effects::move_on`].
    fn pause(&self, member: &Self::Member);

    /// Waits until nobody is inside either, and hands what is in memory over. From some moment in it on nobody is
    /// served by the old one any more.
    ///
    /// # Errors
    /// If they do not come to be empty, or one of the two does not do its part. Who has it then is the old
    /// one, once it is resumed.
    fn hand_over(
        &self,
        pair: &Pair<Self::Member>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// The old one goes on with what it has, and so does whoever waits.
    fn resume(&self, member: &Self::Member);

    /// Whoever waits, or comes to the old one, goes on with the new one.
    fn move_on(&self, pair: &Pair<Self::Member>);

    /// Makes it what serves after the next start, whatever ends this host.
    ///
    /// # Errors
    /// If it cannot be written. It may be uncertain whether it has been; then a later generation may
    /// nevertheless be committed.
    fn commit(
        &self,
        bench: &mut Self::Bench,
        entry: &mut Self::Entry,
        prepared: &Prepared<Self>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// It has come to nothing.
    fn refuse(&self, entry: Self::Entry, why: &Self::Error) -> impl Future<Output = ()> + Send;

    /// What the copies have shown is to be written down with it.
    fn found(entry: &mut Self::Entry, found: &[Report]);

    /// Tells of a trial.
    fn note_trial(&self, entry: &Self::Entry, tried: &Tried) -> impl Future<Output = ()> + Send;

    /// It serves: what is not needed any more goes, by and by.
    fn tidy(&self, entry: Self::Entry);

    /// From now on these are the application's members, and all others are apart.
    fn arrange(&self, application: &Self::Application, members: &Members<Self::Member>);

    /// Starts all that have been arranged, and waits until none is starting any more, or for as long as
    /// clients can be let wait.
    fn start_all(&self, members: &Members<Self::Member>) -> impl Future<Output = ()> + Send;

    /// It is in this generation: that is what its own calls go by.
    fn enter(&self, member: &Self::Member, generation: &Arc<Self::Generation>);

    /// From now on new requests get this generation; but for those that get another on trial.
    fn show(&self, generation: &Arc<Self::Generation>, trial: Option<Shown<'_, Self>>);

    /// From now on the candidates get copies of what those that serve in their places are asked.
    fn copy(
        &self,
        before: &Roster<Self>,
        prepared: &Prepared<Self>,
        shadowing: Shadowing,
    ) -> Self::Copies;

    /// They get none any more. Answers what has been found.
    fn end_copies(&self, copies: Self::Copies) -> Vec<Report>;

    /// Waits until no request can come to it any more, nothing is under way in it, and nobody has a handle
    /// on its resources; false if that is not so when so much time has passed. A worker is not waited
    /// for: nothing tells it to end.
    fn rests_within(
        &self,
        member: &Self::Member,
        patience: Duration,
    ) -> impl Future<Output = bool> + Send;

    /// Ends whatever is under way in it.
    fn cut(&self, member: &Self::Member);

    /// Stops it for good and lets it go.
    fn dismiss(&self, member: Arc<Self::Member>, why: String) -> impl Future<Output = ()> + Send;

    /// Watches how new revisions do beside those before them, as long as they are still there. Answers one
    /// that is bad; none once all have been found good or are not there any more. On trial nothing is
    /// found good.
    fn judged(
        &self,
        pairs: Vec<Pair<Self::Member>>,
        on_trial: bool,
        is_still_there: impl Fn(&Arc<Self::Member>) -> bool + Send + Sync,
    ) -> impl Future<Output = Option<(Arc<Self::Member>, Evidence)>> + Send;

    /// What is `now`, but for one service, which is as it was before.
    ///
    /// # Errors
    /// If that does not fit the others any more.
    fn alone(
        &self,
        now: &Self::Application,
        before: &Self::Application,
        service: &ServiceName,
    ) -> Result<Arc<Self::Application>, Self::Error>;

    /// Another host may have all that is written down, until [`Effects::take_back`].
    ///
    /// # Errors
    /// If it cannot be let go of.
    fn lend(&self) -> impl Future<Output = Result<(), Self::LendError>> + Send;

    /// Waits until the other host has let go of it, and undoes what that one has begun.
    fn take_back(&self) -> impl Future<Output = ()> + Send;

    /// Writes a line of the log.
    fn tell(&self, told: Told<'_, Self>);
}
