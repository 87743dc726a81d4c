//! What two hosts say to each other while one takes the place of the other: lines of JSON over a Unix
//! socket, with file descriptors beside one of them.
//!
//! The two may be of different versions. Keys that a host does not know are passed over, and the first
//! line says which way of talking its sender knows.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd as _, BorrowedFd, OwnedFd};

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

use crate::listener::{Bound, Left, Purpose};

/// The way of talking that this version knows. It changes with the meaning of what is below.
pub(super) const PROTOCOL: u32 = 1;

/// Bytes of a line. The longest has an address for each socket.
const LINE_BYTES: usize = 64 << 10;

/// Sockets that are left. The system passes no more than 253 at a time.
pub(super) const SOCKETS_MAX: usize = 128;

/// Room for them beside a line.
const BESIDE: usize = rustix::cmsg_space!(ScmRights(SOCKETS_MAX));

/// What the host says that comes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Coming {
    /// The first line: it wants to take over.
    TakeOver {
        /// How it talks.
        protocol: u32,
        /// Of Skep, to be told.
        version: String,
    },
    /// All is ready; it waits for the word.
    Ready,
    /// It lets clients in.
    Serving,
}

/// What the host says that goes.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Going {
    /// Its sockets are beside this line, in this order, and the state directory is free.
    Left {
        /// Of Skep, to be told.
        version: String,
        /// What each socket is.
        sockets: Vec<Told>,
    },
    /// From now on the other may let clients in.
    Serve,
    /// It stays, and the other has to go.
    Refused {
        /// For people.
        why: String,
    },
}

/// What is told of a socket.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Told {
    purpose: Purpose,
    asked: SocketAddr,
}

impl Told {
    pub(super) fn of(bound: &Bound) -> Told {
        Told {
            purpose: bound.purpose,
            asked: bound.asked,
        }
    }
}

/// One end of the line.
pub(super) struct Wire {
    stream: UnixStream,
    /// What has come of the next line, and what came beside it.
    heard: Vec<u8>,
    sockets: Vec<OwnedFd>,
}

impl Wire {
    pub(super) fn new(stream: UnixStream) -> Wire {
        Wire {
            stream,
            heard: Vec::new(),
            sockets: Vec::new(),
        }
    }

    /// The process at the other end, and whether its user may say anything here.
    pub(super) fn other(&self) -> io::Result<(i32, bool)> {
        let other = self.stream.peer_cred()?;
        let own = rustix::process::geteuid().as_raw();
        let may = other.uid() == own || other.uid() == 0;
        Ok((other.pid().unwrap_or_default(), may))
    }

    /// # Errors
    /// If the other is gone.
    pub(super) async fn say(&mut self, what: &impl Serialize) -> io::Result<()> {
        let line = line(what)?;
        self.stream.write_all(&line).await
    }

    /// The same with these sockets beside it, of which there are [`SOCKETS_MAX`] at most.
    ///
    /// # Errors
    /// If the other is gone.
    pub(super) async fn leave(&mut self, what: &Going, sockets: &[Bound]) -> io::Result<()> {
        let line = line(what)?;
        let handles: Vec<BorrowedFd<'_>> =
            sockets.iter().map(|bound| bound.socket.as_fd()).collect();
        let send = || {
            let mut space = [MaybeUninit::uninit(); BESIDE];
            let mut beside = SendAncillaryBuffer::new(&mut space);
            if !handles.is_empty() && !beside.push(SendAncillaryMessage::ScmRights(&handles)) {
                return Err(io::Error::other("too many sockets"));
            }
            let text = [IoSlice::new(&line)];
            let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
            Ok(sendmsg(&self.stream, &text, &mut beside, flags)?)
        };
        let sent = self.stream.async_io(Interest::WRITABLE, send).await?;
        self.stream.write_all(&line[sent..]).await
    }

    /// The next line; none when the other is gone.
    ///
    /// # Errors
    /// If it cannot be understood.
    pub(super) async fn hear<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let rest = self.heard.split_off(end + 1);
                let line = std::mem::replace(&mut self.heard, rest);
                return Ok(Some(serde_json::from_slice(&line)?));
            }
            if self.heard.len() > LINE_BYTES {
                return Err(io::Error::other("a line is too long"));
            }
            match self.receive().await {
                Ok(0) => return Ok(None),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The bytes that come next, with what is beside them.
    async fn receive(&mut self) -> io::Result<usize> {
        let mut bytes = [0; 4096];
        let mut beside = Vec::new();
        let receive = || {
            let mut space = [MaybeUninit::uninit(); BESIDE];
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let mut text = [IoSliceMut::new(&mut bytes)];
            let flags = RecvFlags::CMSG_CLOEXEC | RecvFlags::DONTWAIT;
            let received = recvmsg(&self.stream, &mut text, &mut ancillary, flags)?;
            for message in ancillary.drain() {
                if let RecvAncillaryMessage::ScmRights(handles) = message {
                    beside.extend(handles);
                }
            }
            Ok(received.bytes)
        };
        let received = self.stream.async_io(Interest::READABLE, receive).await?;
        self.heard.extend_from_slice(&bytes[..received]);
        self.sockets.append(&mut beside);
        self.sockets.truncate(SOCKETS_MAX);
        Ok(received)
    }

    /// The sockets that have come, which are what is told of them.
    ///
    /// # Errors
    /// If they are others.
    pub(super) fn take(&mut self, told: Vec<Told>) -> io::Result<Left> {
        let sockets = std::mem::take(&mut self.sockets);
        if sockets.len() != told.len() {
            let (came, told) = (sockets.len(), told.len());
            let few = format!("{came} sockets came, and {told} were announced");
            return Err(io::Error::other(few));
        }
        let bound = |(told, socket): (Told, OwnedFd)| {
            let socket = TcpListener::from(socket);
            // It listens, and tokio may have it.
            socket.local_addr()?;
            socket.set_nonblocking(true)?;
            Ok(Bound {
                purpose: told.purpose,
                asked: told.asked,
                socket,
            })
        };
        let bound: io::Result<Vec<Bound>> = told.into_iter().zip(sockets).map(bound).collect();
        Ok(Left(bound?))
    }

    /// To be used on another runtime.
    pub(super) fn into_stream(self) -> io::Result<std::os::unix::net::UnixStream> {
        self.stream.into_std()
    }
}

fn line(what: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(what)?;
    line.push(b'\n');
    Ok(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Wire, Wire) {
        let (one, other) = UnixStream::pair().unwrap();
        (Wire::new(one), Wire::new(other))
    }

    fn left(purposes: &[Purpose]) -> Going {
        let asked = "127.0.0.1:0".parse().unwrap();
        let told = |purpose: &Purpose| Told {
            purpose: *purpose,
            asked,
        };
        Going::Left {
            version: "1".to_owned(),
            sockets: purposes.iter().map(told).collect(),
        }
    }

    #[tokio::test]
    async fn sockets_cross_and_still_listen() {
        let (mut old, mut new) = pair();
        let mut none = Left::default();
        let any = "127.0.0.1:0".parse().unwrap();
        let purposes = [Purpose::Http, Purpose::Control, Purpose::Http];
        let sockets = purposes.map(|purpose| none.bind(purpose, any).unwrap());
        let at = |bound: &Bound| bound.socket.local_addr().unwrap();
        let before = sockets.each_ref().map(at);
        old.leave(&left(&purposes), &sockets).await.unwrap();
        old.say(&Going::Serve).await.unwrap();
        drop((old, sockets));
        let Some(Going::Left { sockets, .. }) = new.hear().await.unwrap() else {
            panic!("nothing was left");
        };
        let taken = new.take(sockets).unwrap();
        assert_eq!(taken.0.iter().map(at).collect::<Vec<_>>(), before);
        for bound in &taken.0 {
            let client = std::net::TcpStream::connect(at(bound)).unwrap();
            let (_, from) = bound.socket.accept().unwrap();
            assert_eq!(from, client.local_addr().unwrap());
        }
        assert!(matches!(new.hear().await.unwrap(), Some(Going::Serve)));
        assert!(new.hear::<Going>().await.unwrap().is_none(), "it hung up");
    }

    #[tokio::test]
    async fn what_was_not_announced_is_not_taken() {
        let (mut old, mut new) = pair();
        let socket = Left::default()
            .bind(Purpose::Http, "127.0.0.1:0".parse().unwrap())
            .unwrap();
        let told = left(&[Purpose::Http, Purpose::Control]);
        old.leave(&told, &[socket]).await.unwrap();
        let Some(Going::Left { sockets, .. }) = new.hear().await.unwrap() else {
            panic!("nothing was left");
        };
        let error = new.take(sockets).unwrap_err().to_string();
        assert_eq!(error, "1 sockets came, and 2 were announced");
    }

    #[tokio::test]
    async fn what_cannot_be_understood_is_refused_and_bounded() {
        let (mut old, mut new) = pair();
        old.stream.write_all(b"GET / HTTP/1.1\r\n").await.unwrap();
        new.hear::<Coming>().await.unwrap_err();
        let (mut old, mut new) = pair();
        let endless = vec![b'x'; LINE_BYTES + 5000];
        let writing = async { old.stream.write_all(&endless).await };
        let (_, heard) = tokio::join!(writing, new.hear::<Coming>());
        assert_eq!(heard.unwrap_err().to_string(), "a line is too long");
        // A later version says more.
        let (mut old, mut new) = pair();
        let later = b"{\"take-over\":{\"protocol\":7,\"version\":\"9\",\"mood\":\"good\"}}\n";
        old.stream.write_all(later).await.unwrap();
        let heard = new.hear().await.unwrap();
        assert!(matches!(heard, Some(Coming::TakeOver { protocol: 7, .. })));
    }
}
