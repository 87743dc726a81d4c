//! One host takes the place of another: clients do not notice, and nothing that was acknowledged is
//! lost.

mod failing;
mod secure;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use skep::control::Endpoint;
use tokio::net::TcpStream;

use super::clients::{Clients, Server};
use super::fixture::control::TOKEN;
use super::fixture::{Connection, Host, Output, eventually, get};
use super::{application, versioned, versions};

/// Asks the host how it stands, again and again: somebody always answers.
struct Onlooker {
    stop: Arc<AtomicBool>,
    looked: Arc<AtomicUsize>,
    thread: std::thread::JoinHandle<()>,
}

impl Onlooker {
    fn of(host: &Host) -> Onlooker {
        let (stop, looked) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let socket = Endpoint::socket(host.directory().join(".skep/control.sock"));
        let (over, count) = (stop.clone(), looked.clone());
        let thread = std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                skep::control::client::status(&socket).unwrap();
                count.fetch_add(1, Ordering::Relaxed);
            }
        });
        Onlooker {
            stop,
            looked,
            thread,
        }
    }

    fn end(self) -> usize {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.looked.load(Ordering::Relaxed)
    }
}

fn generation(host: &Host) -> u64 {
    host.status()["generation"].as_u64().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_is_refused_and_no_request_fails_while_hosts_take_over_from_hosts() {
    let mut host = application().start().await;
    host.deploy("leaf", 2, '0').expect(0);
    let address = host.address();
    let onlooker = Onlooker::of(&host);
    let clients = Clients::begin(Server::of(&host)).await;
    for round in 0_u32..4 {
        // A body that takes longer than the hand-over.
        let mut slow = Connection::http1(&host).await;
        let slow = slow.send(get("/stream/40/100")).await.unwrap();
        clients.ask_for_more(100).await;
        if round % 2 == 1 {
            // What was changed on disk is taken, as at any start.
            let file = host.directory().join("middle.wasm");
            std::fs::write(file, versioned("middle", 10 + round, '0')).unwrap();
        }
        let next = host.taken_over().await;
        assert_eq!(next.address(), address);
        let middle = match round {
            0 => 1,
            1 | 2 => 11,
            _ => 13,
        };
        assert_eq!(versions(&next).await, [1, middle, 2, 2]);
        assert_eq!(generation(&next), 2 + u64::from(round).div_ceil(2));
        clients.ask_for_more(100).await;
        assert!(host.is_running(), "it ended before what was under way");
        let slow = super::fixture::Reply::of(slow).await;
        assert_eq!(super::numbers(slow).len(), 160, "the body is whole");
        assert_eq!(host.exit_code().await, Some(0));
        host.assert_no_panic();
        host = next;
    }
    let asked = clients.end().await;
    println!("{asked:?}, and {} looks at its state", onlooker.end());
    // Numbers go on, and what was before can be gone back to.
    assert_eq!(generation(&host), 4);
    host.deploy("leaf", 3, '0').expect(0);
    assert_eq!(versions(&host).await, [1, 13, 3, 3]);
    assert_eq!(
        (generation(&host), &host.row("leaf")["revision"]),
        (5, &3.into())
    );
    host.command("rollback", &["leaf", "--to", "1"]).expect(0);
    assert_eq!(versions(&host).await, [1, 13, 1, 1]);
    // And what was acknowledged since is there after a crash.
    let host = host.killed_and_started().await;
    assert_eq!(versions(&host).await, [1, 13, 1, 1]);
    assert_eq!(generation(&host), 6);
}

#[tokio::test]
async fn a_connection_that_has_said_nothing_yet_is_answered_by_the_old_host() {
    let mut host = application().start().await;
    let mut idle = Connection::http1(&host).await;
    idle.ask(get("/versions")).await.expect(200);
    let mut silent = Connection::http1(&host).await;
    // It is accepted.
    eventually("the connection", async || {
        (host.status()["connections"] == 2).then_some(())
    })
    .await;
    let next = host.taken_over().await;
    host.message("another host serves in this one's place")
        .await;
    for connection in [&mut idle, &mut silent] {
        let reply = connection.ask(get("/versions")).await.expect(200);
        assert_eq!(reply.header("connection"), "close");
        connection.closed().await;
    }
    assert_eq!(host.exit_code().await, Some(0));
    let paths = host
        .log()
        .into_iter()
        .filter(|line| line["path"] == "/versions");
    assert_eq!(paths.count(), 3, "the old host answered");
    assert_eq!(versions(&next).await, [1; 4]);
}

#[tokio::test]
async fn a_connection_at_rest_does_not_keep_the_old_host() {
    let mut host = application().start().await;
    let mut connections = Connection::both(&host).await;
    for (_, connection) in &mut connections {
        connection.ask(get("/versions")).await.expect(200);
    }
    let silent = TcpStream::connect(host.address()).await.unwrap();
    let _next = host.taken_over().await;
    for (_, connection) in &mut connections {
        connection.closed().await;
    }
    assert_eq!(host.exit_code().await, Some(0));
    let log = host.log_text();
    assert!(!log.contains("drain deadline"), "{log}");
    drop(silent);
}

#[tokio::test]
async fn addresses_that_are_not_wanted_any_more_are_closed_and_others_are_bound() {
    let mut host = application().start().await;
    let before = host.address();
    // The same address is passed on; the other one is new.
    let mut command = host.take_over();
    command.args(["--listen", "[::1]:0"]);
    let emptied = tempfile::tempdir().unwrap();
    let next = Host::spawn(command, emptied).await;
    assert_eq!(next.address(), before);
    let second = next.stderr().iter().find_map(|line| {
        let address = line.strip_prefix("http://[::1]:")?;
        address.parse::<u16>().ok()
    });
    let second = second.unwrap();
    assert_eq!(host.exit_code().await, Some(0));

    let mut command = super::fixture::skep();
    command.arg("run").arg(host.manifest()).args([
        "--listen",
        &format!("[::1]:{second}"),
        "--take-over",
    ]);
    let mut middle = next;
    let last = Host::spawn(command, tempfile::tempdir().unwrap()).await;
    assert_eq!(last.address().port(), second, "taken by where it listens");
    assert_eq!(middle.exit_code().await, Some(0));
    TcpStream::connect(before).await.unwrap_err();
    assert_eq!(versions(&last).await, [1; 4]);
}

#[tokio::test]
async fn the_control_api_over_tcp_goes_with_the_host() {
    let mut host = application().controlled().start().await;
    let before = host.control_url().await;
    let next = host.taken_over().await;
    assert_eq!(next.control_url().await, before);
    assert_eq!(host.exit_code().await, Some(0));
    let address = before.strip_prefix("http://").unwrap().parse().unwrap();
    let request =
        http::Request::get("/v1/status").header("authorization", format!("Bearer {TOKEN}"));
    let request = request.body(super::fixture::empty()).unwrap();
    let mut connection = Connection::http1_at(address).await;
    connection.ask(request).await.expect(200);
}

#[tokio::test]
async fn where_nobody_runs_there_is_nothing_to_take_over() {
    let said = application().run("run", &["--take-over"]);
    said.expect(1)
        .says(&["no host answers", "takeover.sock", "without --take-over"]);
    // A socket that a host left behind that was killed is nobody.
    let mut host = application().start().await;
    host.signal(libc::SIGKILL);
    host.exit_code().await;
    Output::of(&mut host.take_over())
        .expect(1)
        .says(&["no host answers"]);
}

#[tokio::test]
async fn a_host_that_is_killed_once_it_has_left_its_sockets_is_succeeded() {
    let plan = application();
    let directory = tempfile::tempdir().unwrap();
    let manifest = plan.write(directory.path());
    let mut command = super::fixture::skep();
    let armed = format!("takeover::left:{}", manifest.display());
    command
        .arg("run")
        .arg(manifest)
        .args(["--listen", "127.0.0.1:0"])
        .env("SKEP_FAILPOINT", armed);
    let mut host = Host::spawn(command, directory).await;
    host.deploy("leaf", 2, '0').expect(0);
    let address = host.address();
    let next = host.taken_over().await;
    assert_eq!(host.exit_code().await, None, "it was killed");
    next.message("the host before has ended; this one serves")
        .await;
    assert_eq!(next.address(), address);
    assert_eq!(versions(&next).await, [1, 1, 2, 2]);
    next.deploy("leaf", 3, '0').expect(0);
    assert_eq!(versions(&next).await, [1, 1, 3, 3]);
}
