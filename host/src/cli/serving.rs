//! From a host that serves to the end of its process: a signal, or another host in its place.

use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Exit;
use super::names::Answering;
use crate::host::{Host, StartError};

/// The signals that stop a host.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// From now on they end the process no more by themselves. Called on the runtime.
    pub(super) fn take() -> Result<Signals, StartError> {
        let take = || {
            Ok(Signals {
                terminate: signal(SignalKind::terminate())?,
                interrupt: signal(SignalKind::interrupt())?,
            })
        };
        take().map_err(|source| StartError::System {
            what: "signal handlers",
            source,
        })
    }

    /// Ready with the next one. May be cancelled.
    pub(super) async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Waits for a reason to end, and ends in good order; at once if there is a signal meanwhile.
pub(super) async fn to_its_end(
    host: Host,
    mut answering: Option<Answering>,
    mut signals: Signals,
) -> Exit {
    let taken = async {
        match &mut answering {
            Some(answering) => answering.taken().await,
            None => std::future::pending().await,
        }
    };
    let successor = tokio::select! {
        () = signals.next() => None,
        successor = taken => Some(successor),
    };
    match &mut answering {
        Some(answering) if successor.is_some() => answering.leave(),
        Some(answering) => answering.end(),
        None => {}
    }
    let ending = async {
        let Some(successor) = successor else {
            tracing::info!(
                "stopping: what is under way comes to its end; a second signal stops at once"
            );
            return host.drain().await;
        };
        tracing::info!(
            process = successor.process(),
            "another host serves in this one's place: what is under way comes to its end"
        );
        host.leave().await;
        successor.settled().await;
    };
    tokio::select! {
        () = ending => Exit::Ok,
        () = signals.next() => Exit::Interrupted,
    }
}
