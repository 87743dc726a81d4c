//! The names under which others find a host that runs: commands, and a host that wants to take over.

use std::path::PathBuf;

use crate::control::{Control, Remote};
use crate::deploy::Application;
use crate::host::{self, Host};
use crate::log::chain;
use crate::takeover::{Giving, Succession, Successor};

/// Where the sockets of an application's host are.
pub(super) struct Names {
    control: PathBuf,
    takeover: PathBuf,
}

/// What answers there. A host whose sockets cannot be made serves nevertheless, and says so.
pub(super) struct Answering {
    control: Option<Control>,
    giving: Option<Giving>,
}

impl Names {
    pub(super) fn of(application: &Application) -> Names {
        Names {
            control: host::control_socket(application),
            takeover: host::takeover_socket(application),
        }
    }

    /// Answers for a host that serves: from now on, and in the place of another if it has succeeded one,
    /// which is told when it may end.
    pub(super) fn answer(
        self,
        remote: Option<Remote>,
        host: &Host,
        succession: Option<Succession>,
    ) -> Answering {
        let sockets = host.sockets().iter();
        let sockets = sockets.chain(remote.as_ref().map(Remote::bound));
        // Without a handle on it, a successor binds a socket itself, or cannot.
        let sockets = sockets.filter_map(|bound| bound.try_clone().ok()).collect();
        let control = match succession {
            Some(_) => Control::replace(&self.control, remote, host),
            None => Control::start(&self.control, remote, host),
        };
        let control = control.map_err(|error| {
            tracing::warn!("{}: `skep ps` will not find this host", chain(&error));
        });
        let giving = Giving::start(&self.takeover, sockets, host.running().clone());
        let giving = giving.map_err(|error| tracing::warn!("{}", chain(&error)));
        Answering {
            control: control.ok(),
            giving: giving.ok(),
        }
    }
}

impl Answering {
    /// Nobody takes its place: its socket for that is gone.
    pub(super) fn stay(&mut self) {
        self.giving = None;
    }

    /// Ready when another host has taken this one's place. May be cancelled.
    pub(super) async fn taken(&mut self) -> Successor {
        match &mut self.giving {
            Some(giving) => giving.taken().await,
            None => std::future::pending().await,
        }
    }

    /// The host ends: nobody takes its place any more, and its sockets close when it closes them.
    pub(super) fn end(&mut self) {
        if let Some(giving) = &mut self.giving {
            giving.close();
        }
    }

    /// The same, where another host has taken its place, and has new commands.
    pub(super) fn leave(&mut self) {
        self.end();
        if let Some(control) = &self.control {
            control.leave();
        }
    }
}
