//! Clients as they are: some connect for each request, some keep their connection until they are told to
//! close it. None accepts a failure.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::task::JoinHandle;

use super::fixture::{Connection, Host, Reply, eventually, get};

/// Where clients connect to.
#[derive(Clone, Copy)]
pub(super) struct Server {
    address: SocketAddr,
    secure: bool,
}

impl Server {
    pub(super) fn of(host: &Host) -> Server {
        Server {
            address: host.address(),
            secure: false,
        }
    }

    /// The same with TLS.
    pub(super) fn secure(host: &Host) -> Server {
        Server {
            secure: true,
            ..Server::of(host)
        }
    }

    pub(super) async fn http1(self) -> Connection {
        match self.secure {
            true => Connection::https1_at(self.address).await,
            false => Connection::http1_at(self.address).await,
        }
    }

    async fn http2(self) -> Connection {
        match self.secure {
            true => Connection::https2_at(self.address).await,
            false => Connection::http2_at(self.address).await,
        }
    }
}

/// Clients that ask without a pause until they are told to stop.
pub(super) struct Clients {
    stop: Arc<AtomicBool>,
    counts: Arc<Counts>,
    tasks: Vec<JoinHandle<()>>,
}

/// What was answered, and how often somebody had to connect.
#[derive(Debug, Default)]
pub(super) struct Counts {
    at_once: AtomicUsize,
    kept: AtomicUsize,
    kept_connections: AtomicUsize,
    streams: AtomicUsize,
    streams_connections: AtomicUsize,
}

impl Clients {
    pub(super) async fn begin(server: Server) -> Clients {
        let (stop, counts) = (Arc::<AtomicBool>::default(), Arc::<Counts>::default());
        let mut tasks = Vec::new();
        for _ in 0..2 {
            let (stop, counts) = (stop.clone(), counts.clone());
            tasks.push(tokio::spawn(at_once(server, stop, counts)));
        }
        for _ in 0..3 {
            let (stop, counts) = (stop.clone(), counts.clone());
            tasks.push(tokio::spawn(keeping(server, stop, counts)));
        }
        for _ in 0..2 {
            let (stop, counts) = (stop.clone(), counts.clone());
            tasks.push(tokio::spawn(streaming(server, stop, counts)));
        }
        Clients {
            stop,
            counts,
            tasks,
        }
    }

    /// Waits until each kind has so many more answers.
    pub(super) async fn ask_for_more(&self, answers: usize) {
        let kinds = || {
            let counts = &self.counts;
            [&counts.at_once, &counts.kept, &counts.streams].map(|n| n.load(Ordering::Relaxed))
        };
        let wanted = kinds().map(|count| count + answers);
        eventually("answers to clients of all kinds", async || {
            // One that has failed shows why.
            assert!(
                !self.tasks.iter().any(JoinHandle::is_finished),
                "a client failed"
            );
            let all = kinds().into_iter().zip(wanted);
            all.into_iter()
                .all(|(count, wanted)| count >= wanted)
                .then_some(())
        })
        .await;
    }

    pub(super) async fn end(self) -> Arc<Counts> {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        self.counts
    }
}

fn good(reply: Reply) -> Reply {
    let reply = reply.expect(200);
    assert!(reply.whole, "{reply:?}");
    reply
}

/// A connection for each request.
async fn at_once(server: Server, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    while !stop.load(Ordering::Relaxed) {
        let mut connection = server.http1().await;
        good(connection.ask(get("/versions")).await);
        counts.at_once.fetch_add(1, Ordering::Relaxed);
    }
}

/// One connection until an answer says that it closes.
async fn keeping(server: Server, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    while !stop.load(Ordering::Relaxed) {
        let mut connection = server.http1().await;
        counts.kept_connections.fetch_add(1, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) {
            let reply = good(connection.ask(get("/stream/3/2")).await);
            counts.kept.fetch_add(1, Ordering::Relaxed);
            if reply
                .headers
                .get("connection")
                .is_some_and(|value| value == "close")
            {
                break;
            }
        }
    }
}

/// HTTP/2, until the host says that it goes away. What it had been sent by then it answers.
async fn streaming(server: Server, stop: Arc<AtomicBool>, counts: Arc<Counts>) {
    while !stop.load(Ordering::Relaxed) {
        let mut connection = server.http2().await;
        counts.streams_connections.fetch_add(1, Ordering::Relaxed);
        while !stop.load(Ordering::Relaxed) {
            let answer = match connection.send(get("/stream/3/2")).await {
                Ok(answer) => answer,
                // It was not sent: the host had said that it takes no more.
                Err(error) if error.is_canceled() || error.is_closed() => break,
                Err(error) => panic!("{error:?}"),
            };
            good(Reply::of(answer).await);
            counts.streams.fetch_add(1, Ordering::Relaxed);
        }
    }
}
