//! The control API: how others see and steer the host. HTTP over a Unix socket that only its owner may
//! use, and over TCP with a token if the manifest says so.

mod api;
mod call;
mod canary;
mod change;
pub mod client;
mod endpoint;
mod exchange;
mod history;
mod life;
mod precondition;
mod problem;
mod refused;
mod remote;
mod shadow;
mod steps;
mod token;

use std::net::SocketAddr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use tokio::sync::watch;

use self::api::Api;
pub use self::api::document;
pub use self::call::{Outcome, Returned};
pub use self::canary::{PAUSE, Pause, SetShare, Trial};
pub use self::change::{Apply, Planned, Rollback};
pub use self::endpoint::{BadHostUrl, Endpoint, HostUrl};
pub use self::history::{Past, PastService};
pub use self::life::{Order, Ordered};
pub use self::problem::Problem;
pub use self::refused::{Refused, Step};
pub use self::remote::Remote;
pub use self::shadow::Copies;
pub use self::steps::Line;
pub use self::token::{TOKEN_MAX, TOKEN_MIN, TokenError};
use crate::host::Host;
use crate::listener::TlsError;
use crate::log::chain;
use crate::private_socket::{self, Name};
use crate::task;

/// Why the control API cannot be had, from either side.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// Another host has it.
    #[error("another host is running on {}; stop it first", path.display())]
    Taken {
        /// The socket.
        path: PathBuf,
    },
    /// The socket cannot be made.
    #[error("cannot listen on the control socket {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The address of `host.control` cannot be had.
    #[error("cannot listen on {address}; choose another with `host.control`")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Its token cannot be used.
    #[error("cannot use the token of `host.control`")]
    Token(#[from] TokenError),
    /// Its certificate cannot be used.
    #[error("cannot use the certificate of `host.control`")]
    Tls(#[from] TlsError),
    /// The authorities that a certificate is to be verified by cannot be read.
    #[error("cannot use the certificates in {}", path.display())]
    Authorities {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Nobody answers there.
    #[error("no host answers on {}; is `skep run` running with this manifest?", path.display())]
    NoHost {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// The same over TCP.
    #[error("no host answers at {url}; does `host.control` of its manifest have that address?")]
    NoHostAt {
        /// The address.
        url: HostUrl,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// Whoever answers there is not known to be that host.
    #[error(
        "no trust in whoever answers at {url}; name the authority of its certificate with --ca-file"
    )]
    Untrusted {
        /// The address.
        url: HostUrl,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It answers only to others.
    #[error("the host at {endpoint} does not answer: {why}")]
    Denied {
        /// Where it is.
        endpoint: String,
        /// What it says.
        why: String,
    },
    /// The answer is not one.
    #[error("the host on {endpoint} answered something unexpected; is it of another version?")]
    Answer {
        /// Where it is.
        endpoint: String,
    },
}

/// A running control server; its socket goes with it.
pub struct Control {
    _local: Option<(Name, task::Own<()>)>,
    _remote: Option<task::Own<()>>,
    closed: watch::Sender<bool>,
}

impl Control {
    /// Serves the control API of `host` at `path`, and over TCP if that is asked for: then also where
    /// there can be no socket, which is told of in the log. Called once, on the runtime.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn start(
        path: &Path,
        remote: Option<Remote>,
        host: &Host,
    ) -> Result<Control, ControlError> {
        if UnixStream::connect(path).is_ok() {
            return Err(ControlError::Taken {
                path: path.to_owned(),
            });
        }
        Control::replace(path, remote, host)
    }

    /// The same where another host answers at `path`, whose place this one has taken.
    ///
    /// # Errors
    /// See [`ControlError`].
    pub fn replace(
        path: &Path,
        remote: Option<Remote>,
        host: &Host,
    ) -> Result<Control, ControlError> {
        // One that was left behind by a host that was killed is replaced as well.
        let bound = private_socket::bind(path).map_err(|source| ControlError::Listen {
            path: path.to_owned(),
            source,
        });
        let router = Api::of(host).router();
        let local = match bound {
            Ok((socket, name)) => {
                let serving = axum::serve(socket, router.clone()).into_future();
                Some((name, served(serving)))
            }
            Err(error) if remote.is_some() => {
                tracing::warn!("{}: commands need --host", chain(&error));
                None
            }
            Err(error) => return Err(error),
        };
        let (closed, closed_out) = watch::channel(false);
        let remote = remote.map(|remote| served(remote.serve(router, closed_out)));
        Ok(Control {
            _local: local,
            _remote: remote,
            closed,
        })
    }

    /// Leaves new connections over TCP to the host that has taken this one's place.
    pub fn leave(&self) {
        self.closed.send_replace(true);
    }
}

fn served(serving: impl Future<Output = std::io::Result<()>> + Send + 'static) -> task::Own<()> {
    task::own(task::Kind::Server, async move {
        if let Err(error) = serving.await {
            tracing::error!("the control server ended: {error}");
        }
    })
}
