//! The clients: decent, impatient, slow, rude.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::fixture::{Body, Connection, Host, Reply, full, get, request};
use crate::members::MEMBERS;

/// Of each kind at the same time.
const CALLERS: usize = 6;
const LEAVERS: usize = 2;
const SLOW: usize = 8;
const RESETTERS: usize = 2;
/// Streams that are opened and reset at once.
const STREAMS: usize = 12;
/// The others are to have their turn too.
const RESET_PAUSE_MS: u64 = 20;

/// Between two restarts of some service.
const RESTART_EVERY: Duration = Duration::from_millis(500);

/// The bystander's client: as often as a decent one asks.
const BYSTANDER_PAUSE: Duration = Duration::from_millis(2);

#[derive(Default)]
struct Counters {
    bystander: AtomicU64,
    answered: AtomicU64,
    cut: AtomicU64,
    left: AtomicU64,
    slow: AtomicU64,
    reset: AtomicU64,
    restarted: AtomicU64,
}

/// What has happened.
pub(crate) struct Counts {
    pub(crate) bystander: u64,
    text: String,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// All clients, until a time.
pub(crate) struct Traffic {
    counters: Arc<Counters>,
    clients: JoinSet<()>,
}

#[derive(Clone)]
struct Client {
    host: Arc<Host>,
    until: Instant,
    counters: Arc<Counters>,
    random: fastrand::Rng,
}

impl Traffic {
    pub(crate) fn start(host: Arc<Host>, until: Instant) -> Traffic {
        let counters = Arc::new(Counters::default());
        let client = |seed| Client {
            host: host.clone(),
            until,
            counters: counters.clone(),
            random: fastrand::Rng::with_seed(seed),
        };
        let mut clients = JoinSet::new();
        // On a thread of its own: the others keep those of the runtime busy.
        let bystander = client(0).ask_the_bystander();
        clients.spawn_blocking(|| {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(bystander);
        });
        clients.spawn(client(1).restart_services());
        for seed in 0..CALLERS as u64 {
            clients.spawn(client(100 + seed).call());
        }
        for seed in 0..LEAVERS as u64 {
            clients.spawn(client(200 + seed).leave());
        }
        for seed in 0..SLOW as u64 {
            clients.spawn(client(300 + seed).dawdle());
        }
        for seed in 0..RESETTERS as u64 {
            clients.spawn(client(400 + seed).reset());
        }
        Traffic { counters, clients }
    }

    /// Waits for the time; fails if a client has found something that must not be.
    pub(crate) async fn end(mut self) -> Counts {
        while let Some(ended) = self.clients.join_next().await {
            ended.unwrap();
        }
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let counters = &self.counters;
        Counts {
            bystander: of(&counters.bystander),
            text: format!(
                "the bystander answered {}; others answered {}, {} were cut, {} clients left, {} \
                 were slow, {} streams were reset, {} restarts",
                of(&counters.bystander),
                of(&counters.answered),
                of(&counters.cut),
                of(&counters.left),
                of(&counters.slow),
                of(&counters.reset),
                of(&counters.restarted),
            ),
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

impl Client {
    fn goes_on(&self) -> bool {
        Instant::now() < self.until
    }

    async fn ask_the_bystander(self) {
        let mut connection = Connection::http1(&self.host).await;
        while self.goes_on() {
            connection.ask(get("/bystander")).await.expect(200);
            count(&self.counters.bystander);
            tokio::time::sleep(BYSTANDER_PAUSE).await;
        }
    }

    async fn restart_services(mut self) {
        while self.goes_on() {
            let member = &MEMBERS[self.random.usize(..MEMBERS.len())];
            // Blocking, as `skep restart` is.
            let host = self.host.clone();
            let answer = tokio::task::spawn_blocking(move || host.restart(member.service));
            assert!(answer.await.unwrap().contains("202"), "{}", member.service);
            count(&self.counters.restarted);
            tokio::time::sleep(RESTART_EVERY).await;
        }
    }

    /// A request to some member, with a body now and then.
    fn request(&mut self) -> http::Request<Body> {
        loop {
            let member = &MEMBERS[self.random.usize(..MEMBERS.len())];
            if member.paths.is_empty() {
                continue;
            }
            let path = member.paths[self.random.usize(..member.paths.len())];
            let mut made = if self.random.u8(..) < 32 {
                let bytes = self.random.usize(..200_000);
                request("POST", path, full(vec![b'r'; bytes]))
            } else {
                get(path)
            };
            // HTTP/2 takes the name from the target.
            made.headers_mut()
                .insert("host", member.service.parse().unwrap());
            return made;
        }
    }

    /// Asks for anything, takes what comes, over connections that serve for some requests.
    async fn call(mut self) {
        while self.goes_on() {
            let mut connection = Connection::http1(&self.host).await;
            while self.goes_on() {
                let request = self.request();
                let Ok(response) = connection.send(request).await else {
                    count(&self.counters.cut);
                    break;
                };
                let reply = Reply::of(response).await;
                let status = reply.status.as_u16();
                let expected = [200, 404, 413, 500, 502, 503, 504];
                assert!(expected.contains(&status), "{reply:?}");
                if reply.whole {
                    count(&self.counters.answered);
                } else {
                    count(&self.counters.cut);
                    break;
                }
            }
        }
    }

    /// Asks, and leaves at some moment before the answer is there.
    async fn leave(mut self) {
        while self.goes_on() {
            let mut connection = Connection::http1(&self.host).await;
            let patience = Duration::from_micros(self.random.u64(..20_000));
            let asked = async {
                if let Ok(response) = connection.send(self.request()).await {
                    let _ = Reply::of(response).await;
                }
            };
            let _ = tokio::time::timeout(patience, asked).await;
            count(&self.counters.left);
        }
    }

    /// Sends a head or a body byte by byte, or never reads what it asked for.
    async fn dawdle(mut self) {
        while self.goes_on() {
            let Ok(mut stream) = TcpStream::connect(self.host.address()).await else {
                continue;
            };
            let text = match self.random.u8(..3) {
                0 => {
                    "GET /headers HTTP/1.1\r\nhost: good\r\nx-slow: xxxxxxxxxxxxxxxxxxxxxxxxx\r\n\r\n"
                }
                1 => {
                    "POST / HTTP/1.1\r\nhost: good\r\ncontent-length: 1000\r\n\r\nxxxxxxxxxxxxxxxxx"
                }
                _ => "GET /body/5000000 HTTP/1.1\r\nhost: good-p3\r\n\r\n",
            };
            for byte in text.as_bytes() {
                if !self.goes_on() || stream.write_all(&[*byte]).await.is_err() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(self.random.u64(..10))).await;
            }
            let mut some = [0; 100];
            let _ = tokio::time::timeout(Duration::from_millis(100), stream.read(&mut some)).await;
            count(&self.counters.slow);
        }
    }

    /// Opens streams and resets them, in HTTP/2.
    async fn reset(mut self) {
        while self.goes_on() {
            let connection = Connection::http2(&self.host).await;
            // The host closes a connection that resets too many; then there is another.
            for _ in 0..20 {
                let mut opened = JoinSet::new();
                for _ in 0..STREAMS {
                    let mut stream = connection.stream();
                    let mut asked = self.request();
                    let name = asked.headers_mut().remove("host").unwrap();
                    let target = format!("http://{}{}", name.to_str().unwrap(), asked.uri());
                    *asked.uri_mut() = target.parse().unwrap();
                    opened.spawn(async move {
                        if let Ok(response) = stream.send(asked).await {
                            let _ = Reply::of(response).await;
                        }
                    });
                }
                tokio::time::sleep(Duration::from_millis(self.random.u64(..RESET_PAUSE_MS))).await;
                opened.shutdown().await;
                self.counters
                    .reset
                    .fetch_add(STREAMS as u64, Ordering::Relaxed);
                if !self.goes_on() {
                    break;
                }
            }
        }
    }
}
