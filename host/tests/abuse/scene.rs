//! What every abuse is played in: a host that serves its victim and a bystander, whose client goes
//! on asking, and the host's size before and after.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::fixture::{Connection, Host, Plan, eventually, get, service};
use crate::toll::{Excess, Toll};

/// Between two requests of the bystander's client: a load that two cores hardly feel.
const PAUSE: Duration = Duration::from_millis(5);

/// The bystander's client connects anew after so many, to see that this still goes.
const REQUESTS_PER_CONNECTION: usize = 20;

/// Requests of the bystander during an abuse, at least.
const REQUESTS: usize = 20;

/// What the allocator may keep for its next user, and tokio's threads for blocking work, which come
/// and go.
const LEFT_BEHIND: Excess = Excess {
    resident: 16 << 20,
    descriptors: 0,
    threads: 4,
    within: Duration::from_secs(30),
};

/// A host under abuse.
pub(crate) struct Scene {
    pub(crate) host: Host,
    before: Toll,
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
    client: JoinHandle<Vec<String>>,
}

/// The victim at every path but the bystander's; `limits` are the victim's.
pub(crate) fn plan(limits: &str) -> Plan {
    Host::with(service("probe").everywhere().limits(limits)).and(
        service("hello")
            .routes(&["/bystander"])
            // The machine that runs the tests may be busy with others.
            .limits("deadline = \"30s\""),
    )
}

impl Scene {
    /// A host with its defaults.
    pub(crate) async fn usual() -> Scene {
        Scene::of(plan("")).await
    }

    pub(crate) async fn of(plan: Plan) -> Scene {
        let host = plan.start().await;
        // What is made once is there before the first look.
        for _ in 0..20 {
            for (_, mut connection) in Connection::both(&host).await {
                connection.ask(get("/")).await.expect(200);
                connection.ask(get("/bystander")).await.expect(200);
            }
        }
        let before = eventually("all connections closed", async || {
            // The accept loop holds room for the next.
            (host.status()["connections"].as_u64() <= Some(1)).then(|| Toll::of(&host))
        })
        .await;
        let (over, asked) = (Arc::default(), Arc::default());
        let client = tokio::spawn(bystander(
            host.address(),
            Arc::clone(&over),
            Arc::clone(&asked),
        ));
        Scene {
            host,
            before,
            over,
            asked,
            client,
        }
    }

    /// The abuse is over, and its connections are closed: nobody noticed, and nothing is left of it.
    pub(crate) async fn close(self) {
        let enough = self.asked.load(Ordering::Relaxed) + REQUESTS;
        eventually("the bystander's requests", async || {
            let asked = self.asked.load(Ordering::Relaxed);
            (asked >= enough || self.client.is_finished()).then_some(())
        })
        .await;
        self.over.store(true, Ordering::Relaxed);
        let failures = self.client.await.unwrap();
        assert!(failures.is_empty(), "the bystander's client: {failures:#?}");
        self.host.at_rest("probe").await;
        self.host.assert_no_panic();
        self.before.is_reached_again(&self.host, LEFT_BEHIND).await;
    }
}

/// Asks until it is over; returns what went wrong.
async fn bystander(
    address: std::net::SocketAddr,
    over: Arc<AtomicBool>,
    asked: Arc<AtomicUsize>,
) -> Vec<String> {
    let mut failures = Vec::new();
    let mut connection = None;
    while !over.load(Ordering::Relaxed) && failures.len() < 5 {
        let count = asked.fetch_add(1, Ordering::Relaxed);
        if count.is_multiple_of(REQUESTS_PER_CONNECTION) {
            connection = None;
        }
        let reused = connection.is_some();
        let mut open = match connection.take() {
            Some(open) => open,
            None => Connection::http1_at(address).await,
        };
        match open.send(get("/bystander")).await {
            Ok(response) => {
                let reply = crate::fixture::Reply::of(response).await;
                if reply.status != 200 || !reply.whole {
                    failures.push(format!("{reply:?}"));
                }
                connection = Some(open);
            }
            // Closed for idleness before the request was sent: this client was slow itself.
            Err(error) if reused && (error.is_canceled() || error.is_closed()) => {}
            Err(error) => failures.push(format!("request {count}: {error:?}")),
        }
        tokio::time::sleep(PAUSE).await;
    }
    failures
}
