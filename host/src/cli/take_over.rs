//! `skep run --take-over`: what comes before and after an ordinary start where another host serves.

use std::path::Path;

use super::{Exit, check, report};
use crate::deploy;
use crate::host::{self, Host, Ready, StartError};
use crate::log::Sink;
use crate::takeover::{self, Predecessor, Succession, TakeoverError};

/// Finds out all that can be wrong while the other host still has everything, compiles what the cache
/// lacks, and then asks for that host's place. What is wrong has been told.
pub(super) fn predecessor(manifest: &Path, sink: &Sink) -> Result<Predecessor, Exit> {
    let application = deploy::read(manifest).map_err(|error| report::deploy_error(&error, true))?;
    match host::try_build(&application, check::cache(&application), sink) {
        Ok(()) => {}
        Err(StartError::Mistakes(found)) => {
            report::mistakes(&application.source, &found, &application.warnings);
            return Err(Exit::Mistakes);
        }
        Err(error) => return Err(failed(&error)),
    }
    let socket = host::takeover_socket(&application);
    let predecessor = takeover::ask(&socket).map_err(|error| failed(&error))?;
    tracing::info!(
        process = predecessor.process(),
        "taking over from Skep {}",
        predecessor.version()
    );
    Ok(predecessor)
}

fn failed(error: &(dyn std::error::Error + 'static)) -> Exit {
    report::failure(error);
    Exit::Failed
}

/// Serves in its place. From then on it drains.
pub(super) async fn take_place(
    predecessor: Predecessor,
    ready: Ready,
) -> Result<(Host, Succession), TakeoverError> {
    failpoint!("takeover::started");
    let mut succession = predecessor.give_way().await?;
    let (host, start) = ready.let_in();
    succession.serving().await;
    // Not before: should this host have ended by here, the other goes on, with a journal that has
    // nothing of this one.
    host.running().write_down(start).await;
    Ok((host, succession))
}
