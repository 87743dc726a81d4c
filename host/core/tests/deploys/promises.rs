//! What is promised, in the words of the design, and how one is told that it was not kept.

/// See each one's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Promise {
    Acknowledged,
    Refused,
    OneGeneration,
    Lives,
    Proved,
    NoMixture,
    Numbers,
    Revisions,
    NothingLeaks,
    OneState,
    NobodyWaits,
    OneWorker,
    Intents,
    Store,
    Trial,
    Closed,
    Reason,
    Rest,
}

impl Promise {
    pub(crate) fn words(self) -> &'static str {
        match self {
            Promise::Acknowledged => {
                "what was acknowledged is what serves, also after a restart; what serves is written down"
            }
            Promise::Refused => "a refused change leaves what served exactly as it was",
            Promise::OneGeneration => {
                "a request goes by one generation, which is one of those shown"
            }
            Promise::Lives => {
                "the members of a request's generation live until it ends or the drain deadline cuts it"
            }
            Promise::Proved => "a generation that serves has only members that were proved",
            Promise::NoMixture => "all services of a change switch together",
            Promise::Numbers => {
                "generation numbers only grow, and none means two states of the application"
            }
            Promise::Revisions => "a revision's number never means two components",
            Promise::NothingLeaks => {
                "each candidate ends as serving, standing by or dismissed, and no other is touched"
            }
            Promise::OneState => {
                "of a service that hands over there is one state: nobody is served by an older one"
            }
            Promise::NobodyWaits => "nobody waits for ever at a door",
            Promise::OneWorker => {
                "a worker starts when those before it have ended, and then it does"
            }
            Promise::Intents => {
                "what was begun is finished or undone; after a recovery nothing is open"
            }
            Promise::Store => "the store has what a kept generation or a candidate names",
            Promise::Trial => "a trial is not durable, and shown as long as it lasts",
            Promise::Closed => {
                "nothing changes after a stop, or while another host has the journal"
            }
            Promise::Reason => "a change does what its reason says, and nothing else",
            Promise::Rest => "all that was begun comes to its end",
        }
    }
}

/// A promise that was not kept.
#[derive(Clone, Debug)]
pub(crate) struct Broken {
    pub(crate) promise: Promise,
    pub(crate) how: String,
}

impl std::fmt::Display for Broken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.promise.words();
        write!(f, "{:?} ({words}): {}", self.promise, self.how)
    }
}

/// How a world breaks its word on purpose, so that the simulation is seen to notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breach {
    /// What is committed is not written.
    AcknowledgesBeforeItWrites,
    /// A door stays shut when a handover has come to nothing.
    SkipsUndo,
    /// What is dismissed stays.
    DismissesNobody,
    /// Nobody waits until what was replaced is at rest.
    DoesNotWait,
    /// Whatever has started is said to be ready.
    ProvesNothing,
    /// Several have the turn at the same time.
    GivesTheTurnToAll,
    /// The journal forgets which numbers it has given.
    GivesNumbersTwice,
    /// A state is copied while somebody still changes it.
    HandsOverWhileOthersAreInside,
    /// What was refused stays noted.
    SettlesNothing,
    /// What somebody still needs is collected.
    CollectsTooMuch,
    /// Operators do not say what their wishes are based on.
    ForgetsTheBasis,
    /// A crash leaves a commit half-written.
    CommitsByHalves,
    /// What is on trial is shown to requests after its end.
    ShowsWhatIsOver,
    /// A worker's end is told before it has ended.
    EndsNoWorker,
    /// At a start what was begun before is left as it is.
    RecoversNothing,
}

impl Breach {
    /// All of them, with what has to be noticed.
    pub(crate) const ALL: [(Breach, &'static [Promise]); 15] = [
        (Breach::AcknowledgesBeforeItWrites, &[Promise::Acknowledged]),
        (Breach::SkipsUndo, &[Promise::Refused, Promise::NobodyWaits]),
        (
            Breach::DismissesNobody,
            &[Promise::NothingLeaks, Promise::OneWorker],
        ),
        (Breach::DoesNotWait, &[Promise::Lives]),
        (Breach::ProvesNothing, &[Promise::Proved]),
        (
            Breach::GivesTheTurnToAll,
            &[
                Promise::Numbers,
                Promise::Acknowledged,
                Promise::Refused,
                Promise::Closed,
            ],
        ),
        (Breach::GivesNumbersTwice, &[Promise::Revisions]),
        (Breach::HandsOverWhileOthersAreInside, &[Promise::OneState]),
        (Breach::SettlesNothing, &[Promise::Intents]),
        (Breach::CollectsTooMuch, &[Promise::Store]),
        (Breach::ForgetsTheBasis, &[Promise::Reason]),
        (Breach::CommitsByHalves, &[Promise::NoMixture]),
        (Breach::ShowsWhatIsOver, &[Promise::Trial]),
        (Breach::EndsNoWorker, &[Promise::OneWorker]),
        (Breach::RecoversNothing, &[Promise::Intents]),
    ];
}
