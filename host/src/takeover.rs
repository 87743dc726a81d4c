//! How one host takes the place of another while clients are served: the other gives it its listening
//! sockets and its state directory, and drains when the new one serves. Nobody is refused.
//!
//! Before it: `cli` has been asked to take over. After it: `deploy::open` finds the state directory
//! free, `host` binds what was left, and clients never notice.
//!
//! - [`wire`]: what the two say to each other, over a socket beside the control socket
//! - [`giving`]: the host that goes
//! - [`taking`]: the host that comes
//!
//! ```text
//! new                                       old
//! connects, says its version                stops changing, closes the journal
//!                                           leaves its sockets
//! opens the journal, starts, is ready       serves on
//! says so                                   says that the new one may serve
//! serves, and says so                       lets nobody in any more
//! writes the start down, answers commands   drains
//! hangs up                                  ends
//! ```
//!
//! If the new one ends before it has said that it serves, the old one takes all back. If the old one
//! ends before that, the new one serves in its place all the same: it has the sockets.

mod giving;
mod taking;
mod wire;

use std::path::PathBuf;

pub use self::giving::{Giving, Successor};
pub use self::taking::{Predecessor, Succession, ask};

/// Why one host does not take the place of another.
#[derive(Debug, thiserror::Error)]
pub enum TakeoverError {
    /// There is none.
    #[error(
        "no host answers on {}: there is nothing to take over; start this one without --take-over",
        path.display()
    )]
    NoHost {
        /// Its socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// It does not want to.
    #[error("the host that runs (process {process}) does not give way: {why}")]
    Refused {
        /// The other.
        process: i32,
        /// As it says itself.
        why: String,
    },
    /// It says nothing.
    #[error("the host that runs (process {process}) does not answer; it goes on, if it can")]
    Silent {
        /// The other.
        process: i32,
    },
    /// It says something else.
    #[error(
        "the host that runs (process {process}) cannot be understood; stop it, and start this one"
    )]
    Talk {
        /// The other.
        process: i32,
        /// How not.
        #[source]
        source: std::io::Error,
    },
    /// The socket for a successor cannot be made.
    #[error("no other host will be able to take over: cannot listen on {}", path.display())]
    Listen {
        /// The socket.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}
