//! A service that does its work in the same host while another misbehaves, and clients who time it.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two requests of one client: a load that two cores hardly feel.
const PAUSE: Duration = Duration::from_millis(2);

const CLIENTS: usize = 2;

/// A client connects anew after so many requests, to see that this still goes.
const REQUESTS_PER_CONNECTION: u32 = 20;

/// Longer than this and the request has failed, whatever comes then. Far more than anybody should
/// wait, since the machine that runs the tests may be busy with others.
const LOST_AFTER: Duration = Duration::from_secs(10);

/// The clients of a bystander, each on a thread of its own.
pub(crate) struct Clients {
    clients: Vec<JoinHandle<Times>>,
    disturbed: Arc<AtomicBool>,
    over: Arc<AtomicBool>,
    /// Of the part that is running now, all clients together.
    answered: Arc<AtomicU32>,
}

/// How long a bystander's answers took, and what went wrong.
#[derive(Default)]
pub(crate) struct Times {
    undisturbed: Vec<Duration>,
    disturbed: Vec<Duration>,
    pub(crate) failures: Vec<String>,
}

impl Clients {
    pub(crate) fn of(address: SocketAddr) -> Clients {
        let disturbed = Arc::new(AtomicBool::new(false));
        let over = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicU32::new(0));
        let clients = (0..CLIENTS).map(|_| {
            let (disturbed, over) = (disturbed.clone(), over.clone());
            let answered = answered.clone();
            std::thread::spawn(move || {
                let mut times = Times::default();
                let mut connection = None;
                for n in 0.. {
                    if over.load(Ordering::Relaxed) {
                        break;
                    }
                    if n % REQUESTS_PER_CONNECTION == 0 {
                        connection = None;
                    }
                    let began = Instant::now();
                    let asked = ask(&mut connection, address);
                    let took = began.elapsed();
                    match asked {
                        Ok(()) if disturbed.load(Ordering::Relaxed) => times.disturbed.push(took),
                        Ok(()) => times.undisturbed.push(took),
                        Err(error) => {
                            connection = None;
                            times.failures.push(format!("after {took:?}: {error}"));
                        }
                    }
                    answered.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(PAUSE);
                }
                times
            })
        });
        Clients {
            clients: clients.collect(),
            disturbed: disturbed.clone(),
            over: over.clone(),
            answered: answered.clone(),
        }
    }

    /// From now on a misdeed is under way.
    pub(crate) fn disturb(&self) {
        self.disturbed.store(true, Ordering::Relaxed);
        self.answered.store(0, Ordering::Relaxed);
    }

    /// Waits until this many requests have been made in the part that is running.
    pub(crate) async fn have_made(&self, requests: u32) {
        crate::fixture::eventually("the bystander's requests", async || {
            (self.answered.load(Ordering::Relaxed) >= requests).then_some(())
        })
        .await;
    }

    pub(crate) fn stop(self) -> Times {
        self.over.store(true, Ordering::Relaxed);
        let mut all = Times::default();
        for client in self.clients {
            let mut times = client.join().unwrap();
            all.undisturbed.append(&mut times.undisturbed);
            all.disturbed.append(&mut times.disturbed);
            all.failures.append(&mut times.failures);
        }
        all.undisturbed.sort();
        all.disturbed.sort();
        all
    }
}

impl Times {
    /// Median and 99th percentile without and with the misdeed beside it.
    pub(crate) fn show(&self) -> String {
        format!(
            "{} / {} | {} / {}",
            milliseconds(percentile(&self.undisturbed, 50)),
            milliseconds(percentile(&self.undisturbed, 99)),
            milliseconds(percentile(&self.disturbed, 50)),
            milliseconds(percentile(&self.disturbed, 99)),
        )
    }

    pub(crate) fn worst_percent(&self) -> Duration {
        percentile(&self.disturbed, 99)
    }
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    let at = (sorted.len() * percent / 100).min(sorted.len().saturating_sub(1));
    sorted.get(at).copied().unwrap_or_default()
}

fn milliseconds(duration: Duration) -> String {
    format!("{:.2}", duration.as_secs_f64() * 1000.0)
}

/// One request on the connection, or on a new one.
fn ask(connection: &mut Option<TcpStream>, address: SocketAddr) -> std::io::Result<()> {
    let stream = match connection {
        Some(stream) => stream,
        None => {
            let stream = TcpStream::connect_timeout(&address, LOST_AFTER)?;
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(LOST_AFTER))?;
            connection.insert(stream)
        }
    };
    stream.write_all(b"GET /bystander HTTP/1.1\r\nhost: bystander\r\n\r\n")?;
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    while !is_whole(&answer) {
        let read = stream.read(&mut piece)?;
        if read == 0 {
            let so_far = String::from_utf8_lossy(&answer).into_owned();
            return Err(std::io::Error::other(format!("closed after {so_far:?}")));
        }
        answer.extend_from_slice(&piece[..read]);
    }
    if answer.starts_with(b"HTTP/1.1 200 ") {
        return Ok(());
    }
    let answer = String::from_utf8_lossy(&answer).into_owned();
    Err(std::io::Error::other(answer))
}

/// Whether head and body are there: by Content-Length, or by the last of the chunks.
fn is_whole(answer: &[u8]) -> bool {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else {
        return false;
    };
    let head = head.to_ascii_lowercase();
    match head.split_once("content-length: ") {
        Some((_, length)) => {
            let length = length.split("\r\n").next().unwrap_or_default();
            length.parse().is_ok_and(|length| body.len() >= length)
        }
        None => body.ends_with("0\r\n\r\n"),
    }
}
