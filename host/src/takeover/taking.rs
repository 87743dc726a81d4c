//! The host that comes: it asks the one that runs for its place, and serves when that one says so.

use std::io;
use std::os::unix::net::UnixStream as PlainStream;
use std::path::Path;
use std::time::Duration;

use tokio::net::UnixStream;

use super::TakeoverError;
use super::wire::{Coming, Going, PROTOCOL, Wire};
use crate::listener::Left;

/// For what the other says: it may have to wait for a change to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// The host whose place this one is about to take. If this is dropped before
/// [`Predecessor::give_way`], that one goes on as if nothing had been asked.
pub struct Predecessor {
    stream: PlainStream,
    process: i32,
    version: String,
    left: Left,
}

/// Asks the host at `path` for its place. When this returns, the state directory is free, and that host
/// waits for this one to be ready. Blocking; not to be called on a runtime.
///
/// # Errors
/// If there is none, or it does not want to: then it goes on.
pub fn ask(path: &Path) -> Result<Predecessor, TakeoverError> {
    let no_host = |source| TakeoverError::NoHost {
        path: path.to_owned(),
        source,
    };
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.enable_all().build().map_err(no_host)?;
    runtime.block_on(async {
        let stream = UnixStream::connect(path).await.map_err(no_host)?;
        let mut wire = Wire::new(stream);
        let (process, _) = wire.other().map_err(no_host)?;
        let talk = |source| TakeoverError::Talk { process, source };
        let asked = Coming::TakeOver {
            protocol: PROTOCOL,
            version: env!("CARGO_PKG_VERSION").to_owned(),
        };
        wire.say(&asked).await.map_err(talk)?;
        match hear(&mut wire, process).await? {
            Some(Going::Left { version, sockets }) => {
                let left = wire.take(sockets).map_err(talk)?;
                let stream = wire.into_stream().map_err(talk)?;
                failpoint!("takeover::asked");
                Ok(Predecessor {
                    stream,
                    process,
                    version,
                    left,
                })
            }
            Some(Going::Serve) => Err(talk(io::Error::other("it has left nothing"))),
            None => Err(talk(io::ErrorKind::UnexpectedEof.into())),
            Some(Going::Refused { why }) => Err(TakeoverError::Refused { process, why }),
        }
    })
}

impl Predecessor {
    /// Its process.
    pub fn process(&self) -> i32 {
        self.process
    }

    /// Its version of Skep.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// The sockets that it listens on. Those that nobody binds are closed when it ends.
    pub fn take_sockets(&mut self) -> Left {
        std::mem::take(&mut self.left)
    }

    /// Says that this host is ready. When this returns, it is to let clients in. Should the other have
    /// ended, whatever its end was, this one is to serve in its place.
    ///
    /// # Errors
    /// If the other goes on: then this one has to end.
    pub async fn give_way(self) -> Result<Succession, TakeoverError> {
        let process = self.process;
        let talk = |source| TakeoverError::Talk { process, source };
        let mut wire = Wire::new(UnixStream::from_std(self.stream).map_err(talk)?);
        // Whether it is still there shows in what it says.
        let _ = wire.say(&Coming::Ready).await;
        match hear(&mut wire, process).await? {
            Some(Going::Serve) => {}
            None => tracing::warn!(process, "the host before has ended; this one serves"),
            Some(Going::Refused { why }) => return Err(TakeoverError::Refused { process, why }),
            Some(Going::Left { .. }) => {
                return Err(talk(io::Error::other("it has said so before")));
            }
        }
        failpoint!("takeover::may-serve");
        Ok(Succession { wire })
    }
}

/// The place of another host, from when this one may serve until all that was the other's is its own.
/// Dropping it says that it is.
pub struct Succession {
    wire: Wire,
}

impl Succession {
    /// Clients are let in: the other may drain.
    pub async fn serving(&mut self) {
        // If it has ended there is nobody to tell.
        let _ = self.wire.say(&Coming::Serving).await;
    }
}

/// What the other says next; none if it is gone.
async fn hear(wire: &mut Wire, process: i32) -> Result<Option<Going>, TakeoverError> {
    match tokio::time::timeout(PATIENCE, wire.hear()).await {
        Ok(heard) => heard.map_err(|source| TakeoverError::Talk { process, source }),
        Err(_) => Err(TakeoverError::Silent { process }),
    }
}
