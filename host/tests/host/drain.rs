//! How a host stops: in good order, in time, or at once.

use tokio::net::TcpStream;

use crate::fixture::{Connection, Host, eventually, get, service};

async fn with_request_under_way(
    host: &Host,
    connection: Connection,
    path: &'static str,
) -> tokio::task::JoinHandle<(hyper::Result<crate::fixture::Reply>, Connection)> {
    let mut connection = connection;
    let asked = tokio::spawn(async move {
        let reply = match connection.send(get(path)).await {
            Ok(response) => Ok(crate::fixture::Reply::of(response).await),
            Err(error) => Err(error),
        };
        (reply, connection)
    });
    host.until("probe", "a request in flight", |row| row["in_flight"] != 0)
        .await;
    asked
}

async fn refuses_connections(host: &Host) {
    let address = host.address();
    eventually("new connections to be refused", async || {
        TcpStream::connect(address).await.is_err().then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_host_without_requests_stops_at_once() {
    for signal in [libc::SIGTERM, libc::SIGINT] {
        let mut host = Host::probe().await;
        host.get("/").await.expect(200);
        host.signal(signal);
        assert_eq!(host.exit_code().await, Some(0));
        assert!(
            !host.directory().join(".skep/control.sock").exists(),
            "the socket goes with it"
        );
    }
}

#[tokio::test]
async fn an_idle_connection_does_not_keep_a_host() {
    let mut host = Host::probe().await;
    let mut connections = Connection::both(&host).await;
    for (_, connection) in &mut connections {
        connection.ask(get("/")).await.expect(200);
    }
    // One that never said anything.
    let silent = TcpStream::connect(host.address()).await.unwrap();
    host.terminate();
    for (_, connection) in &mut connections {
        connection.closed().await;
    }
    assert_eq!(host.exit_code().await, Some(0));
    let log = host.log_text();
    assert!(!log.contains("drain deadline"), "{log}");
    drop(silent);
}

#[tokio::test]
async fn a_request_under_way_comes_to_its_end_in_http_1() {
    for component in ["probe", "probe-p3"] {
        let mut host = Host::with(service("probe").component(component).everywhere())
            .start()
            .await;
        let connection = Connection::http1(&host).await;
        let asked = with_request_under_way(&host, connection, "/sleep/1000").await;
        host.terminate();
        refuses_connections(&host).await;
        let (reply, mut connection) = asked.await.unwrap();
        let reply = reply.unwrap().expect(200);
        assert_eq!(reply.text(), "slept\n");
        assert_eq!(reply.header("connection"), "close");
        connection.closed().await;
        assert_eq!(host.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn requests_under_way_come_to_their_end_in_http_2() {
    for component in ["probe", "probe-p3"] {
        let mut host = Host::with(service("probe").component(component).everywhere())
            .start()
            .await;
        let mut connection = Connection::http2(&host).await;
        let asked = with_request_under_way(&host, connection.stream(), "/sleep/1000").await;
        host.terminate();
        refuses_connections(&host).await;
        // GOAWAY has been sent: no new stream on this connection.
        eventually("new streams to be refused", async || {
            connection
                .stream()
                .send(get("/"))
                .await
                .is_err()
                .then_some(())
        })
        .await;
        let reply = asked.await.unwrap().0.unwrap().expect(200);
        assert_eq!(reply.text(), "slept\n");
        connection.closed().await;
        assert_eq!(host.exit_code().await, Some(0));
    }
}

#[tokio::test]
async fn a_body_under_way_comes_to_its_end() {
    let mut host = Host::probe().await;
    let connection = Connection::http1(&host).await;
    let asked = with_request_under_way(&host, connection, "/trickle/10/100").await;
    host.terminate();
    let reply = asked.await.unwrap().0.unwrap().expect(200);
    assert!(reply.whole);
    assert_eq!(reply.text().lines().count(), 10);
    assert_eq!(host.exit_code().await, Some(0));
}

#[tokio::test]
async fn what_has_not_ended_by_the_drain_deadline_is_cut() {
    for component in ["probe", "probe-p3"] {
        let mut host = Host::with(
            service("probe")
                .component(component)
                .everywhere()
                .limits("deadline = \"60s\""),
        )
        .http("drain-timeout = \"300ms\"")
        .start()
        .await;
        let connection = Connection::http1(&host).await;
        let asked = with_request_under_way(&host, connection, "/sleep/50000").await;
        host.terminate();
        asked.await.unwrap().0.unwrap_err();
        assert_eq!(host.exit_code().await, Some(0));
        assert!(
            host.log_text().contains("drain deadline"),
            "{}",
            host.log_text()
        );
    }
}

#[tokio::test]
async fn a_second_signal_stops_at_once() {
    for second in [libc::SIGTERM, libc::SIGINT] {
        let mut host = Host::with(service("probe").everywhere().limits("deadline = \"60s\""))
            .http("drain-timeout = \"50s\"")
            .start()
            .await;
        let connection = Connection::http1(&host).await;
        let asked = with_request_under_way(&host, connection, "/sleep/55000").await;
        host.terminate();
        host.message("stopping").await;
        assert!(host.is_running());
        host.signal(second);
        assert_eq!(host.exit_code().await, Some(130));
        asked.await.unwrap().0.unwrap_err();
    }
}

#[tokio::test]
async fn a_guest_that_computes_does_not_keep_a_host() {
    let mut host = Host::with(
        service("probe")
            .everywhere()
            .limits("deadline = \"60s\", cpu = \"60s\""),
    )
    .http("drain-timeout = \"300ms\"")
    .start()
    .await;
    let connection = Connection::http1(&host).await;
    let asked = with_request_under_way(&host, connection, "/spin").await;
    host.terminate();
    asked.await.unwrap().0.unwrap_err();
    assert_eq!(host.exit_code().await, Some(0));
}

#[tokio::test]
async fn the_log_is_written_to_its_end() {
    let mut host = Host::probe().await;
    for _ in 0..50 {
        host.get("/log/5").await.expect(200);
    }
    host.terminate();
    assert_eq!(host.exit_code().await, Some(0));
    let requests = eventually("all lines", async || {
        let count = host
            .log()
            .iter()
            .filter(|line| line["path"] == "/log/5")
            .count();
        (count == 50).then_some(count)
    })
    .await;
    assert_eq!(requests, 50);
}

#[tokio::test]
async fn a_host_that_was_killed_leaves_nothing_in_the_way_of_the_next() {
    let plan = Host::with(service("probe").everywhere());
    let directory = tempfile::tempdir().unwrap();
    let manifest = plan.write(directory.path());
    let start = |directory| {
        let mut command = crate::fixture::skep();
        command
            .arg("run")
            .arg(&manifest)
            .args(["--listen", "127.0.0.1:0"]);
        Host::spawn(command, directory)
    };
    let mut first = start(directory).await;
    first.signal(libc::SIGKILL);
    assert_eq!(first.exit_code().await, None);
    assert!(first.directory().join(".skep/control.sock").exists());
    let second = start(tempfile::tempdir().unwrap()).await;
    second.get("/").await.expect(200);
    let ps = crate::fixture::Output::of(
        crate::fixture::skep()
            .arg("ps")
            .arg(first.manifest())
            .arg("--json"),
    );
    let ps = ps.expect(0);
    assert!(ps.stdout.contains("\"ready\""), "{}", ps.stdout);
}
