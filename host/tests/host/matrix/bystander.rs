//! A service beside the one that fails, asked all the time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::task::JoinHandle;

use crate::fixture::{Connection, Host, Plan, get, service};

/// Between two requests: often enough to meet every moment of a failure, without being a load.
const PAUSE: Duration = Duration::from_millis(2);

/// The service of that name.
pub(super) fn beside(plan: Plan) -> Plan {
    plan.and(
        service("bystander")
            .component("hello")
            .routes(&["/bystander"]),
    )
}

/// Whoever asks it.
pub(super) struct Bystander {
    enough: Arc<AtomicBool>,
    asking: JoinHandle<u64>,
}

impl Bystander {
    /// Asks from now on, over one connection; the first request that is not answered well fails
    /// the test.
    pub(super) async fn of(host: &Host) -> Bystander {
        let enough = Arc::new(AtomicBool::new(false));
        let mut connection = Connection::http1(host).await;
        let asking = tokio::spawn({
            let enough = enough.clone();
            async move {
                let mut answered = 0;
                while !enough.load(Ordering::Relaxed) {
                    connection.ask(get("/bystander")).await.expect(200);
                    answered += 1;
                    tokio::time::sleep(PAUSE).await;
                }
                answered
            }
        });
        Bystander { enough, asking }
    }

    /// Asks no more, and finds that it noticed nothing.
    pub(super) async fn untouched(self, host: &Host) {
        self.enough.store(true, Ordering::Relaxed);
        let answered = self.asking.await.unwrap();
        assert!(answered > 0, "nobody has asked the bystander");
        let row = host.row("bystander");
        assert_eq!(row["phase"]["name"], "ready", "{row}");
        assert_eq!(row["calls"], answered, "{row}");
        for count in ["crashes", "restarts", "shed"] {
            assert_eq!(row[count], 0, "{row}");
        }
    }
}
