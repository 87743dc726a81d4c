//! Ctrl-C ends all of it.

use std::path::Path;

use super::fixture::eventually;
use super::{application, lines, skep};

/// A build that never ends by itself; it writes down its processes.
const ENDLESS: &str = "sleep 1000 & echo $! $$ > processes; wait";

async fn processes(directory: &Path) -> Vec<u32> {
    eventually("a build", async || {
        let written = lines(&directory.join("processes"));
        let ids = written.first()?.split(' ');
        Some(ids.map(|id| id.parse().unwrap()).collect())
    })
    .await
}

async fn are_gone(processes: Vec<u32>) {
    for process in processes {
        eventually("the end of a build", async || {
            let status = std::fs::read_to_string(format!("/proc/{process}/status"));
            // Nobody may be there to bury it.
            status
                .map_or(true, |it| it.contains("State:\tZ"))
                .then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_interrupt_ends_the_host_in_good_order_with_the_build_that_is_under_way() {
    let mut host = application().develop().await;
    host.save("leaf/make", ENDLESS);
    let building = processes(host.directory()).await;
    host.signal(libc::SIGINT);
    assert_eq!(host.exit_code().await, Some(0));
    are_gone(building).await;
    host.assert_no_panic();
}

#[tokio::test]
async fn an_interrupt_ends_the_first_build() {
    let directory = tempfile::tempdir().unwrap();
    let plan = application().file("front/make", ENDLESS);
    let manifest = plan.write(directory.path());
    let mut dev = skep();
    dev.arg("dev").arg(manifest);
    let mut dev = dev.spawn().unwrap();
    let building = processes(directory.path()).await;
    let id = libc::pid_t::try_from(dev.id()).unwrap();
    // SAFETY: kill has no memory effects, and the process has not been waited for.
    unsafe { libc::kill(id, libc::SIGINT) };
    let status = eventually("the host's end", async || dev.try_wait().unwrap()).await;
    assert_eq!(status.code(), Some(130));
    are_gone(building).await;
}
