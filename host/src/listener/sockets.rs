//! Listening sockets, bound anew or left by the host whose place this one takes.

use std::net::{SocketAddr, TcpListener};

use serde::{Deserialize, Serialize};

/// What a listening socket is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Purpose {
    /// The application's clients.
    Http,
    /// The control API.
    Control,
}

/// A listening socket.
#[derive(Debug)]
pub struct Bound {
    /// What for.
    pub purpose: Purpose,
    /// Where it was asked to listen; its port may be 0 where the system was to choose.
    pub asked: SocketAddr,
    /// The socket itself, which does not block.
    pub socket: TcpListener,
}

impl Bound {
    /// Another handle on the same socket: it is open as long as one of them is, in whatever process.
    ///
    /// # Errors
    /// If there are no file descriptors left.
    pub fn try_clone(&self) -> std::io::Result<Bound> {
        let (purpose, asked) = (self.purpose, self.asked);
        let socket = self.socket.try_clone()?;
        Ok(Bound {
            purpose,
            asked,
            socket,
        })
    }

    /// Whether it listens where somebody asks to now.
    fn is_at(&self, address: SocketAddr) -> bool {
        self.asked == address || self.socket.local_addr().is_ok_and(|local| local == address)
    }
}

/// The sockets that another host has left. What nobody binds is closed with it.
#[derive(Debug, Default)]
pub struct Left(pub Vec<Bound>);

impl Left {
    /// The socket that was left for this purpose at this address, or a new one. Each is given once.
    ///
    /// # Errors
    /// What the operating system says of a new one.
    pub fn bind(&mut self, purpose: Purpose, address: SocketAddr) -> std::io::Result<Bound> {
        let fits = |bound: &Bound| bound.purpose == purpose && bound.is_at(address);
        if let Some(at) = self.0.iter().position(fits) {
            return Ok(Bound {
                asked: address,
                ..self.0.swap_remove(at)
            });
        }
        Ok(Bound {
            purpose,
            asked: address,
            socket: super::bind(address)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_taken_once_and_the_rest_is_bound() {
        let any: SocketAddr = "127.0.0.1:0".parse().unwrap();
        let mut none = Left::default();
        let first = none.bind(Purpose::Http, any).unwrap();
        let control = none.bind(Purpose::Control, any).unwrap();
        let at = |bound: &Bound| bound.socket.local_addr().unwrap();
        let (first_at, control_at) = (at(&first), at(&control));
        let mut left = Left(vec![first.try_clone().unwrap(), control]);
        // By where it listens, as by where it was asked to.
        let second = left.bind(Purpose::Http, first_at).unwrap();
        assert_eq!((at(&second), second.asked), (first_at, first_at));
        let third = left.bind(Purpose::Http, any).unwrap();
        assert_ne!(at(&third), first_at, "it was given already");
        assert_ne!(at(&third), control_at, "it is for something else");
        assert_eq!(at(&left.bind(Purpose::Control, any).unwrap()), control_at);
        assert!(left.0.is_empty());
        // Somebody else has it.
        left.bind(Purpose::Http, first_at).unwrap_err();
    }
}
