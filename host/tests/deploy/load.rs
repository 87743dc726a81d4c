//! Hundreds of changes while requests come without a pause: none fails, each is answered by exactly one
//! generation, and no connection goes back to an earlier one.
//!
//! `SKEP_SWAPS` says how many changes there are of each kind; as many as are promised take minutes.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use super::fixture::{Connection, Host, Reply, get};
use super::{application, versioned};

/// Versions of each component; each comes again after the others, and is built anew then.
const VERSIONS: u32 = 4;

/// Front, middle, the leaf by way of the middle, the leaf.
type Tuple = [u32; 4];

/// A generation that served: what it answers, and when it began to, as seen from outside: not before
/// the one instant, and from the other on.
struct Served {
    tuple: Tuple,
    asked: Instant,
    acknowledged: Instant,
}

/// An answer: when it was asked for, when it was there, what it said.
struct Answer {
    asked: Instant,
    answered: Instant,
    tuple: Tuple,
}

fn changes(usually: usize) -> usize {
    match std::env::var("SKEP_SWAPS") {
        Ok(count) => count.parse().expect("SKEP_SWAPS is a number"),
        Err(_) => usually,
    }
}

/// Asks the host for a change; panics with what it says unless that was made.
fn change(socket: &Path, request: &str, body: &[u8]) {
    let answer = super::asked_for(socket, request, body);
    assert!(answer.starts_with("HTTP/1.0 200"), "{request}: {answer}");
}

fn versions(reply: Reply) -> Option<Tuple> {
    Some(super::numbers(reply).try_into().unwrap())
}

/// A body that takes its time: every line of it is of the same generation.
fn stream(reply: Reply) -> Option<Tuple> {
    let numbers = super::numbers(reply);
    assert_eq!(numbers.len(), 32);
    let tuple: Tuple = numbers[..4].try_into().unwrap();
    for line in numbers.chunks(4) {
        assert_eq!(line, tuple, "two generations in one answer: {numbers:?}");
    }
    Some(tuple)
}

/// A megabyte, which comes whole and from one revision.
fn large(reply: Reply) -> Option<Tuple> {
    let reply = reply.expect(200);
    assert!(reply.whole, "{} bytes came", reply.body.len());
    assert_eq!(reply.body.len(), 1 << 20);
    let first = reply.body[0];
    assert!(reply.body.iter().all(|byte| *byte == first));
    None
}

/// A handle on a resource of the leaf's.
fn ticket(reply: Reply) -> Option<Tuple> {
    reply.expect(200);
    None
}

/// Requests that come without a pause until they are told to stop.
struct Load {
    stop: Arc<AtomicBool>,
    histories: Arc<Mutex<Vec<Vec<Answer>>>>,
    asked: Arc<AtomicUsize>,
    tasks: Vec<tokio::task::JoinHandle<()>>,
}

impl Load {
    async fn begin(host: &Host) -> Load {
        let mut load = Load {
            stop: Arc::default(),
            histories: Arc::default(),
            asked: Arc::default(),
            tasks: Vec::new(),
        };
        let shared = Connection::http2(host).await;
        for _ in 0..3 {
            load.repeat(Connection::http1(host).await, "/versions", versions);
            load.repeat(shared.stream(), "/versions", versions);
        }
        for connection in [Connection::http1(host).await, shared.stream()] {
            load.repeat(connection, "/stream/8/5", stream);
        }
        for connection in [Connection::http1(host).await, shared.stream()] {
            load.repeat(connection, "/large/1024", large);
        }
        load.repeat(Connection::http1(host).await, "/hold", ticket);
        let stop = load.stop.clone();
        // The connection that the streams share.
        load.tasks.push(tokio::spawn(async move {
            while !stop.load(Ordering::Relaxed) {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
            drop(shared);
        }));
        load
    }

    /// Asks for it on one connection, or on one of its streams, again and again. `seen` looks at each
    /// answer, and says which generation it is of if one can tell.
    fn repeat(
        &mut self,
        mut connection: Connection,
        path: &'static str,
        seen: fn(Reply) -> Option<Tuple>,
    ) {
        let (stop, histories) = (self.stop.clone(), self.histories.clone());
        let count = self.asked.clone();
        self.tasks.push(tokio::spawn(async move {
            let mut history = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                let asked = Instant::now();
                let tuple = seen(connection.ask(get(path)).await);
                count.fetch_add(1, Ordering::Relaxed);
                history.extend(tuple.map(|tuple| Answer {
                    asked,
                    answered: Instant::now(),
                    tuple,
                }));
            }
            histories.lock().unwrap().push(history);
        }));
    }

    async fn end(self) -> (Vec<Vec<Answer>>, usize) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            task.await.unwrap();
        }
        let histories = std::mem::take(&mut *self.histories.lock().unwrap());
        (histories, self.asked.load(Ordering::Relaxed))
    }
}

/// Each answer is that of a generation that may have served while it was asked for, and none of one
/// that is older than that of an answer before it.
fn check(history: &[Answer], served: &[Served]) {
    let mut earliest = 0;
    for answer in history {
        let may_be = |at: &usize| {
            let over = served.get(at + 1).map(|next| next.acknowledged);
            served[*at].tuple == answer.tuple
                && served[*at].asked <= answer.answered
                && over.is_none_or(|over| over >= answer.asked)
        };
        let Some(found) = (earliest..served.len()).find(may_be) else {
            let since = served[0].asked;
            let at = |instant: Instant| instant.duration_since(since);
            let told: Vec<_> = served
                .iter()
                .map(|one| (one.tuple, at(one.asked), at(one.acknowledged)))
                .collect();
            panic!(
                "{:?}, asked for at {:?} and answered at {:?}, is of no generation from number {} \
                 on: {told:?}",
                answer.tuple,
                at(answer.asked),
                at(answer.answered),
                earliest + 1
            );
        };
        earliest = found;
    }
}

async fn under_load(
    changes: usize,
    mut next: impl FnMut(&Host, usize, &mut Tuple) -> (String, Vec<u8>),
) {
    let host = application().start().await;
    let began = Instant::now();
    let load = Load::begin(&host).await;
    let socket = host.directory().join(".skep/control.sock");
    let mut tuple = [1; 4];
    let mut served = vec![Served {
        tuple,
        asked: began,
        acknowledged: began,
    }];
    let mut resident = Vec::new();
    for number in 0..changes {
        let (request, body) = next(&host, number, &mut tuple);
        let asked = Instant::now();
        let socket = socket.clone();
        let changed = tokio::task::spawn_blocking(move || change(&socket, &request, &body));
        changed.await.unwrap();
        served.push(Served {
            tuple,
            asked,
            acknowledged: Instant::now(),
        });
        resident.push(host.resident());
        // So that answers of each are seen.
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let (histories, asked) = load.end().await;
    for history in &histories {
        check(history, &served);
    }
    let seen = histories.iter().flatten().count();
    println!(
        "{changes} changes in {:?}, {asked} requests answered, {seen} of them checked",
        began.elapsed()
    );
    assert!(seen > 2 * changes, "{seen} answers for {changes} changes");
    for name in ["front", "middle", "leaf"] {
        let row = host.row(name);
        assert_eq!(
            (&row["crashes"], &row["shed"]),
            (&0.into(), &0.into()),
            "{row}"
        );
    }
    // Handles that nobody lets go of are, in the end; requests are not.
    let cut = host.log().into_iter().find(|line| {
        let message = line["message"].as_str().unwrap_or_default();
        message.contains("is cut") && line["in_flight"] != 0
    });
    assert!(cut.is_none(), "{cut:?}");
    if let (Some(early), Some(late)) = (resident.get(9), resident.last()) {
        println!("resident: {early} after ten changes, {late} at the end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_service_is_replaced_again_and_again_and_no_request_fails() {
    under_load(changes(60), |_, number, tuple| {
        let version = number as u32 % VERSIONS + 2;
        (tuple[2], tuple[3]) = (version, version);
        let path = "/v1/services/leaf/deploy".to_owned();
        (path, versioned("leaf", version, '0'))
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_services_are_replaced_together_and_no_request_sees_a_mixture() {
    under_load(changes(100) / 5, |host, number, tuple| {
        let version = number as u32 % VERSIONS + 2;
        for name in ["front", "middle", "leaf"] {
            let file = host.directory().join(format!("{name}.wasm"));
            std::fs::write(file, versioned(name, version, '0')).unwrap();
        }
        *tuple = [version; 4];
        let manifest = host.manifest();
        let body = format!("{{\"manifest\": {manifest:?}}}");
        ("/v1/apply".to_owned(), body.into_bytes())
    })
    .await;
}
