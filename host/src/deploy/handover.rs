//! What a service has in memory, when another revision takes its place: it is handed over where both can
//! (`wit/handover`), and is lost otherwise, which somebody has to want.
//!
//! Whoever calls the service meanwhile waits at its door; whoever comes to the old one afterwards, because
//! the request began with an earlier generation, is answered by the new one: there is one state.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use skep_core::name::ServiceName;
use wasmtime::component::Val;

use super::bench::Prepared;
use super::change_error::ChangeError;
use super::member::Member;
use super::progress::StepBegun;
use super::running::Roster;
use crate::instance::cargo::{Cargo, Signature, Values};
use crate::instance::errand::Errand;
use crate::service::{Function, Invocation, Wanted};
use crate::trace::Spent;

/// What a service exports that hands over its state.
pub(super) const INTERFACE: &str = "skep:handover/state@0.1.0";

/// The caller's name in reports of crashes. No service can have it: there is a space in it.
const CALLER: &str = "the host";

/// What those who wait see as the reason.
const PAUSED: &str = "its state is being handed over to another revision";

/// How long what is under way may take to end, where `restart.hold` says nothing.
const PATIENCE: Duration = Duration::from_secs(1);

/// Why a state was not handed over.
#[derive(Debug, thiserror::Error)]
pub enum HandoverError {
    /// Calls went on, or somebody has handles.
    #[error(
        "{in_flight} calls and {handles} instances with handles did not end within {patience:?}"
    )]
    Busy {
        /// Calls under way.
        in_flight: usize,
        /// Instances on whose resources somebody has handles.
        handles: usize,
        /// `restart.hold`
        patience: Duration,
    },
    /// One of the two functions was not answered.
    #[error("{function} of revision {revision} failed: {error}")]
    Call {
        /// `save` or `restore`
        function: &'static str,
        /// Whose.
        revision: u32,
        /// Why, with causes.
        error: String,
    },
    /// The new revision does not want it.
    #[error("revision {revision} refuses the state of revision {from}: {reason}")]
    Refused {
        /// The new one.
        revision: u32,
        /// The old one.
        from: u32,
        /// What it said.
        reason: String,
    },
}

/// A revision and what takes its place.
struct Pair {
    from: Arc<Member>,
    to: Arc<Member>,
}

/// States that have been handed over; until it is settled, whoever wants them waits.
#[derive(Default)]
pub(super) struct HandedOver(Vec<Pair>);

/// Services that keep their state in memory and cannot hand it over, where another revision is to take
/// their place.
pub(super) fn losses(before: &Roster, prepared: &Prepared) -> Vec<ServiceName> {
    let lost = pairs(before, prepared).filter(|pair| pair.from.keeps_state() && !pair.can());
    lost.map(|pair| pair.from.name().clone()).collect()
}

/// Services that keep their state in memory, of which another revision is to take the place.
pub(super) fn stateful(before: &Roster, prepared: &Prepared) -> Option<ServiceName> {
    let mut pairs = pairs(before, prepared);
    let kept = pairs.find(|pair| pair.from.keeps_state() || pair.can())?;
    Some(kept.from.name().clone())
}

fn pairs<'a>(before: &'a Roster, prepared: &'a Prepared) -> impl Iterator<Item = Pair> {
    before.members.iter().filter_map(|(name, from)| {
        let to = prepared.members.get(name)?;
        let is_new = !Arc::ptr_eq(from, to) && !from.is_worker() && !to.is_worker();
        is_new.then(|| Pair {
            from: from.clone(),
            to: to.clone(),
        })
    })
}

impl HandedOver {
    /// Hands over all that can be. `anyway`: what fails is told and lost.
    ///
    /// # Errors
    /// If one of them is not to be had; then all is as before.
    pub(super) async fn from(
        before: &Roster,
        prepared: &Prepared,
        anyway: bool,
    ) -> Result<HandedOver, ChangeError> {
        let mut done = HandedOver::default();
        for pair in pairs(before, prepared).filter(Pair::can) {
            prepared.progress.begins(StepBegun::HandOver {
                service: pair.from.name().clone(),
            });
            pair.from.service().pause(PAUSED);
            let began = Instant::now();
            let handed = pair.hand_over().await;
            let service = pair.from.name().clone();
            let (from, to) = (pair.from.number(), pair.to.number());
            match handed {
                Ok(bytes) => {
                    let ms = began.elapsed().as_secs_f64() * 1e3;
                    tracing::info!(%service, revision = to, from, bytes, ms, "took over the state");
                    done.0.push(pair);
                }
                Err(error) if anyway => {
                    tracing::error!(%service, revision = to, from, "the state is lost: {error}");
                    done.0.push(pair);
                }
                Err(error) => {
                    pair.keep();
                    done.undo();
                    return Err(ChangeError::Handover {
                        service,
                        revision: to,
                        error,
                    });
                }
            }
        }
        Ok(done)
    }

    /// The switch has been made: whoever waits goes on with the new ones.
    pub(super) fn settle(self) {
        for Pair { from, to } in self.0 {
            // It may have been the other way round before.
            to.revision().handed_over.store(false, Ordering::Release);
            to.service().resume();
            from.revision().handed_over.store(true, Ordering::Release);
            from.service().move_to(to.service().clone());
        }
    }

    /// There is no switch: the old ones go on with what they have.
    pub(super) fn undo(self) {
        for pair in self.0 {
            pair.keep();
        }
    }
}

impl Pair {
    fn can(&self) -> bool {
        self.from.hands_over() && self.to.hands_over()
    }

    fn keep(&self) {
        self.from
            .revision()
            .handed_over
            .store(false, Ordering::Release);
        self.from.service().resume();
    }

    /// Answers how many bytes it was.
    async fn hand_over(&self) -> Result<usize, HandoverError> {
        let Pair { from, to } = self;
        let patience = from.hold().max(PATIENCE);
        let revision = from.revision();
        let emptied = async {
            let places = revision.emptied().await;
            // A handle's calls go by no door.
            while revision.leased() > 0 {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            // From here on nobody is served there, however early he came.
            revision.handed_over.store(true, Ordering::Release);
            places
        };
        let emptied = tokio::time::timeout(patience, emptied).await;
        let _places = emptied.map_err(|_| HandoverError::Busy {
            in_flight: revision.in_flight(),
            handles: revision.leased(),
            patience,
        })?;
        let state = ask(from, "save", Vec::new()).await?;
        let Some(Val::List(bytes)) = &state else {
            return Err(unexpected(from, "save"));
        };
        let bytes = bytes.len();
        let version = Val::Record(vec![
            ("revision".to_owned(), Val::U32(from.number())),
            (
                "component".to_owned(),
                Val::String(from.digest().to_string()),
            ),
        ]);
        let arguments = state.into_iter().chain([version]).collect();
        match ask(to, "restore", arguments).await? {
            Some(Val::Result(Ok(_))) => Ok(bytes),
            Some(Val::Result(Err(Some(reason)))) => Err(HandoverError::Refused {
                revision: to.number(),
                from: from.number(),
                reason: match *reason {
                    Val::String(reason) => reason,
                    _ => "it does not say why".to_owned(),
                },
            }),
            _ => Err(unexpected(to, "restore")),
        }
    }
}

/// Calls a function with one result, of a revision that nobody else is served by.
async fn ask(
    member: &Arc<Member>,
    function: &'static str,
    arguments: Vec<Val>,
) -> Result<Option<Val>, HandoverError> {
    let mut invocation = Invocation {
        caller: CALLER.into(),
        function: Function {
            interface: INTERFACE.into(),
            name: function.into(),
        },
        errand: Errand::default(),
        signature: Arc::new(Signature::plain(arguments.len(), 1)),
        arguments: Cargo::Values(Values::plain(arguments)),
        wanted: Wanted::Inside(member.revision().clone()),
        mutual: true,
        presence: None,
        spent: Spent::default(),
        repeatable: None,
    };
    let answered = member
        .service()
        .invoke(&mut invocation, Instant::now())
        .await;
    match answered {
        Ok(Cargo::Values(values)) => Ok(values.into_plain().pop()),
        Ok(Cargo::Message(_)) => Err(unexpected(member, function)),
        Err(unanswered) => {
            let error = member
                .service()
                .call_error(&invocation.function, unanswered.cause);
            Err(HandoverError::Call {
                function,
                revision: member.number(),
                error: crate::log::chain(&error).to_string(),
            })
        }
    }
}

fn unexpected(member: &Arc<Member>, function: &'static str) -> HandoverError {
    HandoverError::Call {
        function,
        revision: member.number(),
        error: format!("its type is not that of {INTERFACE}"),
    }
}
