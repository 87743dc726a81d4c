//! The host that goes: it leaves its sockets and its state directory to whoever asks, takes them back
//! if nothing comes of it, and tells its own process when the other serves.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use super::TakeoverError;
use super::wire::{Coming, Going, PROTOCOL, SOCKETS_MAX, Told, Wire};
use crate::deploy::Running;
use crate::listener::Bound;
use crate::log::chain;
use crate::private_socket::{self, Name};
use crate::task;

/// For what the other says at once.
const WORD_PATIENCE: Duration = Duration::from_secs(10);

/// For the other's start: it may have to compile everything anew.
const START_PATIENCE: Duration = Duration::from_secs(600);

/// Who asks at the same time; all but one are refused.
const CALLERS: usize = 8;

/// Pause after the system refused a connection for want of file descriptors or memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Waits for a host that wants to take this one's place. Its socket goes with it.
pub struct Giving {
    _name: Name,
    waiting: Option<task::Own<()>>,
    taken: mpsc::Receiver<Successor>,
}

/// What is left to another host.
struct Estate {
    sockets: Vec<Bound>,
    running: Arc<Running>,
    /// One successor.
    turn: Arc<Semaphore>,
    taken: mpsc::Sender<Successor>,
}

impl Giving {
    /// Waits at `path`, in the place of whoever did before; called on the runtime, once this host
    /// serves.
    ///
    /// # Errors
    /// If the socket cannot be made.
    pub fn start(
        path: &Path,
        mut sockets: Vec<Bound>,
        running: Arc<Running>,
    ) -> Result<Giving, TakeoverError> {
        let (socket, name) =
            private_socket::bind(path).map_err(|source| TakeoverError::Listen {
                path: path.to_owned(),
                source,
            })?;
        // What is beyond it the other has to bind itself.
        sockets.truncate(SOCKETS_MAX);
        let (taken, taken_out) = mpsc::channel(1);
        let estate = Estate {
            sockets,
            running,
            turn: Arc::new(Semaphore::new(1)),
            taken,
        };
        Ok(Giving {
            _name: name,
            waiting: Some(task::own(
                task::Kind::Server,
                wait(socket, Arc::new(estate)),
            )),
            taken: taken_out,
        })
    }

    /// Ready when another host serves in this one's place, which has nothing to do any more but to end.
    /// May be cancelled.
    pub async fn taken(&mut self) -> Successor {
        match self.taken.recv().await {
            Some(successor) => successor,
            // Its task has panicked, which has been reported: nobody will come.
            None => std::future::pending().await,
        }
    }

    /// Waits for nobody any more, and lets go of the sockets. The name stays until this is dropped: a
    /// successor may be putting its own in its place at this moment.
    pub fn close(&mut self) {
        self.waiting = None;
    }
}

/// The host that serves in this one's place.
pub struct Successor {
    wire: Wire,
    process: i32,
    _turn: OwnedSemaphorePermit,
}

impl Successor {
    /// Its process.
    pub fn process(&self) -> i32 {
        self.process
    }

    /// Waits until it answers commands under this host's names, at most some seconds.
    pub async fn settled(mut self) {
        let _ = tokio::time::timeout(WORD_PATIENCE, self.wire.hear::<Coming>()).await;
    }
}

async fn wait(socket: UnixListener, estate: Arc<Estate>) {
    let mut callers = JoinSet::new();
    loop {
        match socket.accept().await {
            Ok((stream, _)) => {
                callers.spawn(answer(stream, estate.clone()));
            }
            Err(error) => {
                tracing::debug!("cannot accept a host that wants to take over: {error}");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
        while callers.try_join_next().is_some() {}
        if callers.len() >= CALLERS {
            callers.join_next().await;
        }
    }
}

async fn answer(stream: UnixStream, estate: Arc<Estate>) {
    let mut wire = Wire::new(stream);
    let Ok((process, true)) = wire.other() else {
        return;
    };
    let asked = tokio::time::timeout(WORD_PATIENCE, wire.hear()).await;
    let Ok(Ok(Some(Coming::TakeOver { protocol, version }))) = asked else {
        return;
    };
    let why = match estate.turn.clone().try_acquire_owned() {
        _ if protocol != PROTOCOL => format!(
            "Skep {version} hands over in another way than this one does; stop this one, and start that"
        ),
        Err(_) => "another process is taking over already".to_owned(),
        Ok(turn) => match estate.running.stand_aside().await {
            Ok(()) => return hand_over(wire, process, &version, turn, &estate).await,
            Err(error) => chain(&error).to_string(),
        },
    };
    tracing::info!(process, "a host that wants to take over is refused: {why}");
    let _ = wire.say(&Going::Refused { why }).await;
}

/// From here on the other has the state directory.
async fn hand_over(
    mut wire: Wire,
    process: i32,
    version: &str,
    turn: OwnedSemaphorePermit,
    estate: &Estate,
) {
    tracing::info!(
        process,
        "another host (Skep {version}) is about to take over; until then nothing can be deployed"
    );
    match converse(&mut wire, estate).await {
        Ok(()) => {
            let successor = Successor {
                wire,
                process,
                _turn: turn,
            };
            // This process is there to be told, or ends anyway.
            let _ = estate.taken.send(successor).await;
        }
        Err(error) => {
            tracing::warn!(
                process,
                "the other host does not take over: {error}; this one goes on"
            );
            let why = error.to_string();
            let _ = wire.say(&Going::Refused { why }).await;
            drop(wire);
            estate.running.go_on().await;
            tracing::info!("changes are taken again");
        }
    }
}

async fn converse(wire: &mut Wire, estate: &Estate) -> io::Result<()> {
    let left = Going::Left {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        sockets: estate.sockets.iter().map(Told::of).collect(),
    };
    wire.leave(&left, &estate.sockets).await?;
    failpoint!("takeover::left");
    match next(wire).await? {
        Coming::Ready => {}
        other => return Err(unexpected(&other)),
    }
    wire.say(&Going::Serve).await?;
    match next(wire).await? {
        Coming::Serving => Ok(()),
        other => Err(unexpected(&other)),
    }
}

async fn next(wire: &mut Wire) -> io::Result<Coming> {
    match tokio::time::timeout(START_PATIENCE, wire.hear()).await {
        Ok(heard) => heard?.ok_or_else(|| io::Error::other("it has ended")),
        Err(_) => Err(io::Error::other("it takes too long")),
    }
}

fn unexpected(said: &Coming) -> io::Error {
    io::Error::other(format!("it said {said:?} out of turn"))
}
