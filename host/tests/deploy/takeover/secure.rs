//! The same where clients speak TLS.

use super::super::application;
use super::super::clients::{Clients, Server};
use super::super::fixture::{Reply, get};
use super::generation;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_who_speaks_tls_is_refused_and_no_request_of_theirs_fails() {
    let mut host = application().secure().start().await;
    let server = Server::secure(&host);
    let clients = Clients::begin(server).await;
    for round in 0..3 {
        // A body that takes longer than the hand-over, over a connection of the old host.
        let mut slow = server.http1().await;
        let slow = slow.send(get("/stream/40/100")).await.unwrap();
        clients.ask_for_more(50).await;
        let next = host.taken_over().await;
        assert!(
            next.stderr()
                .iter()
                .any(|line| line.starts_with("https://")),
            "{:?}",
            next.stderr()
        );
        clients.ask_for_more(50).await;
        assert!(host.is_running(), "it ended before what was under way");
        let slow = super::super::numbers(Reply::of(slow).await);
        assert_eq!(slow, [1; 160], "round {round}");
        assert_eq!(host.exit_code().await, Some(0));
        host.assert_no_panic();
        host = next;
    }
    println!("{:?}", clients.end().await);
    assert_eq!(generation(&host), 1);
}
