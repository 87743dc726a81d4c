//! What a service has in memory goes to the revision that takes its place (`wit/handover`). When that is
//! done, and that the state is lost otherwise, is decided in `skep_core::change`.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use skep_core::change::Pair;
use wasmtime::component::Val;

use super::change_error::ChangeError;
use super::member::Member;
use crate::instance::cargo::{Cargo, Signature, Values};
use crate::instance::errand::Errand;
use crate::service::{Function, Invocation, Wanted};
use crate::trace::Spent;

pub(super) use skep_core::change::HANDOVER as INTERFACE;

/// The caller's name in reports of crashes. No service can have it: there is a space in it.
const CALLER: &str = "the host";

/// What those who wait see as the reason.
pub(super) const PAUSED: &str = "its state is being handed over to another revision";

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

/// Empties the old one, and hands what it has in memory to the new one.
pub(super) async fn hand_over(pair: &Pair<Member>) -> Result<(), ChangeError> {
    let began = Instant::now();
    let (service, from) = (pair.from.name().clone(), pair.from.number());
    let revision = pair.to.number();
    match bytes_handed_over(pair).await {
        Ok(bytes) => {
            let ms = began.elapsed().as_secs_f64() * 1e3;
            tracing::info!(%service, revision, from, bytes, ms, "took over the state");
            Ok(())
        }
        Err(error) => Err(ChangeError::Handover {
            service,
            revision,
            error,
        }),
    }
}

/// The old one goes on with what it has.
pub(super) fn keep(member: &Member) {
    let revision = member.revision();
    revision.handed_over.store(false, Ordering::Release);
    member.service().resume();
}

/// The switch has been made: whoever waits goes on with the new one.
pub(super) fn settle(Pair { from, to }: &Pair<Member>) {
    // It may have been the other way round before.
    to.revision().handed_over.store(false, Ordering::Release);
    to.service().resume();
    from.revision().handed_over.store(true, Ordering::Release);
    from.service().move_to(to.service().clone());
}

/// Answers how many it was.
async fn bytes_handed_over(Pair { from, to }: &Pair<Member>) -> Result<usize, HandoverError> {
    let patience = from.hold().max(PATIENCE);
    let revision = from.revision();
    let emptied = async {
        let places = revision.emptied().await;
        // A handle's calls go by no door; and what has been kept to come back to may be at something.
        while revision.leased() + to.revision().in_flight() > 0 {
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
