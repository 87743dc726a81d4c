//! What becomes of a revision that another has replaced.

use std::sync::Arc;
use std::time::Duration;

use super::member::Member;
use super::running::Running;
use crate::task;

impl Running {
    /// Lets a revision that was replaced end what it is at, and cuts what has not ended in time. It
    /// goes for good unless it stays to be come back to.
    pub(super) fn retire(
        self: &Arc<Self>,
        member: Arc<Member>,
        patience: Duration,
        stays: bool,
        successor: Option<Arc<Member>>,
    ) {
        let running = self.clone();
        task::spawn(task::Kind::Deploy, async move {
            if !member.rests_within(patience).await {
                running.cut(&member).await;
            }
            if stays {
                return;
            }
            let why = match &successor {
                Some(successor) => format!("replaced by revision {}", successor.number()),
                None => "replaced".to_owned(),
            };
            member.dismiss(why).await;
            if let Some(successor) = successor {
                running.desk.start_one(successor.place());
            }
        });
    }

    /// Ends what a replaced revision is still at, unless it serves again.
    async fn cut(&self, member: &Arc<Member>) {
        let _bench = self.bench.lock().await;
        let roster = self.roster();
        if roster.members.values().any(|now| Arc::ptr_eq(now, member)) {
            return;
        }
        let in_flight = member.revision().in_flight();
        let handles = member.revision().leased();
        member.revision().cut();
        if in_flight + handles > 0 {
            tracing::warn!(
                service = %member.name(),
                revision = member.number(),
                in_flight,
                instances_with_handles = handles,
                "replaced, and not done within the drain time-out: what was under way is cut"
            );
        }
    }
}
