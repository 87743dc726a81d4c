//! A service that keeps state in memory hands it over to the revision that takes its place; or it says what
//! would be lost.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::fixture::{Connection, Host, Plan, get, service};
use super::{Output, front, versioned, versioned_service};

const ONE: &str = "max = 1, warm = 1, reuse = 1000000000, idle = \"24h\"";

fn marked(version: u32, mode: char) -> Vec<u8> {
    super::marked("keeper", version, mode)
}

fn keeping() -> Plan {
    keeping_for("10s")
}

/// Whoever calls may be let wait for so long.
fn keeping_for(hold: &str) -> Plan {
    let hold = format!("hold = \"{hold}\"");
    let keeper = service("keeper").component("./keeper.wasm").instances(ONE);
    Host::with(keeper.routes(&["/next", "/next/{ms}"]).restart(&hold))
        .and(
            service("asker")
                .component("asker")
                .routes(&["/ask/{*rest}"]),
        )
        .bytes("keeper.wasm", marked(1, '0'))
}

fn deploy(host: &Host, version: u32, mode: char, more: &[&str]) -> Output {
    let file = host.directory().join(format!("keeper-{version}-{mode}"));
    std::fs::write(&file, marked(version, mode)).unwrap();
    let mut arguments = vec!["keeper", file.to_str().unwrap()];
    arguments.extend(more);
    host.command("deploy", &arguments)
}

/// The version that answered, and its count.
async fn next(connection: &mut Connection) -> (u32, u32) {
    let reply = connection.ask(get("/next")).await.expect(200);
    let (version, count) = reply.text().trim().split_once(' ').unwrap();
    (version.parse().unwrap(), count.parse().unwrap())
}

#[tokio::test]
async fn a_count_goes_on_from_revision_to_revision_and_back() {
    let host = keeping().start().await;
    let mut connection = Connection::http1(&host).await;
    assert_eq!(next(&mut connection).await, (1, 1));
    assert_eq!(next(&mut connection).await, (1, 2));
    deploy(&host, 2, '0', &[]).expect(0);
    assert_eq!(next(&mut connection).await, (2, 3));
    host.command("rollback", &["keeper"]).expect(0);
    assert_eq!(
        next(&mut connection).await,
        (1, 4),
        "not what it had before"
    );
    deploy(&host, 3, '0', &[]).expect(0);
    deploy(&host, 4, '0', &[]).expect(0);
    assert_eq!(next(&mut connection).await, (4, 5));
    let line = host.message("took over the state").await;
    assert_eq!(
        (&line["revision"], &line["bytes"]),
        (&2.into(), &4.into()),
        "{line}"
    );
}

#[tokio::test]
async fn a_shadow_counts_for_itself_until_it_serves() {
    let host = keeping().start().await;
    let mut connection = Connection::http1(&host).await;
    for count in 1..=5 {
        assert_eq!(next(&mut connection).await, (1, count));
    }
    deploy(&host, 2, '0', &["--shadow"]).expect(0);
    for count in 6..=8 {
        assert_eq!(next(&mut connection).await, (1, count));
    }
    // Beside what serves it cannot.
    let beside = host.command("promote", &["--to", "50%"]).expect(1);
    beside.says(&["two revisions of it cannot serve side by side"]);
    host.command("promote", &[]).expect(0);
    assert_eq!(next(&mut connection).await, (2, 9));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_count_is_lost_or_given_twice() {
    let host = keeping().start().await;
    let stop = Arc::new(AtomicBool::new(false));
    let mut clients = Vec::new();
    for n in 0..6 {
        let stop = stop.clone();
        let mut connection = Connection::http1(&host).await;
        clients.push(tokio::spawn(async move {
            let mut counts = Vec::new();
            while !stop.load(Ordering::Relaxed) {
                // Half of them through a service whose requests call again and again.
                let path = if n % 2 == 0 { "/next" } else { "/ask/3/2" };
                let reply = connection.ask(get(path)).await.expect(200);
                let lines = reply.text().lines();
                let count = |line: &str| line.rsplit(' ').next().unwrap().parse::<u32>().unwrap();
                counts.extend(lines.map(count));
            }
            counts
        }));
    }
    for version in 2..12 {
        deploy(&host, version, '0', &[]).expect(0);
        if version % 3 == 0 {
            host.command("rollback", &["keeper"]).expect(0);
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    stop.store(true, Ordering::Relaxed);
    let mut all = Vec::new();
    for client in clients {
        all.extend(client.await.unwrap());
    }
    all.sort_unstable();
    let expected: Vec<u32> = (1..=u32::try_from(all.len()).unwrap()).collect();
    assert_eq!(all, expected, "each count once");
    println!("{} counts over 11 revisions", all.len());
    host.assert_no_panic();
}

#[tokio::test]
async fn a_request_that_began_before_goes_on_with_the_one_state() {
    let host = keeping().start().await;
    let mut connection = Connection::http1(&host).await;
    let asking = tokio::spawn(async move { connection.ask(get("/ask/3/300")).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    deploy(&host, 2, '0', &[]).expect(0);
    let mut other = Connection::http1(&host).await;
    assert_eq!(next(&mut other).await, (2, 2));
    let reply = asking.await.unwrap().expect(200);
    assert_eq!(reply.text(), "1\n3\n4\n");
}

#[tokio::test]
async fn whoever_does_not_take_the_state_does_not_come_to_serve() {
    let host = keeping().start().await;
    let mut connection = Connection::http1(&host).await;
    assert_eq!(next(&mut connection).await, (1, 1));
    let refused = deploy(&host, 2, '6', &[]).expect(5);
    refused.says(&[
        "does not take over the state",
        "what revision 1 had is too old",
    ]);
    assert_eq!(next(&mut connection).await, (1, 2));
    deploy(&host, 2, '7', &[])
        .expect(5)
        .says(&["restore of revision 3 failed"]);
    assert_eq!(next(&mut connection).await, (1, 3));
    // If it may be lost, it is.
    deploy(&host, 2, '6', &["--yes"]).expect(0);
    assert_eq!(next(&mut connection).await, (2, 1));
    assert_eq!(host.status()["generation"], 2);
    // One that cannot give it keeps its place as well, and can be left.
    deploy(&host, 3, '8', &[]).expect(0);
    assert_eq!(next(&mut connection).await, (3, 2));
    deploy(&host, 4, '0', &[])
        .expect(5)
        .says(&["save of revision 5 failed"]);
    deploy(&host, 4, '0', &["--yes"]).expect(0);
    assert_eq!(next(&mut connection).await.0, 4);
}

#[tokio::test]
async fn calls_that_do_not_end_in_time_keep_the_old_one_in_place() {
    let host = keeping_for("1s").start().await;
    let mut connection = Connection::http1(&host).await;
    let waiting = tokio::spawn(async move { connection.ask(get("/next/3000")).await });
    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    let refused = deploy(&host, 2, '0', &[]).expect(5);
    refused.says(&["1 calls and 0 instances with handles did not end within 1s"]);
    waiting.await.unwrap().expect(200);
    let mut connection = Connection::http1(&host).await;
    assert_eq!(next(&mut connection).await, (1, 2));
}

#[tokio::test]
async fn what_would_be_lost_is_said_and_has_to_be_wanted() {
    let plan = super::chain(
        front().instances(ONE),
        versioned_service("middle"),
        versioned_service("leaf"),
    );
    let host = plan.start().await;
    let refused = host.deploy("front", 2, '0').expect(1);
    refused.says(&[
        "what `front` keeps in memory would be lost",
        "--yes",
        "skep:handover/state",
    ]);
    assert_eq!(host.row("front")["revision"], 1);
    let file = host.file("front", 2, '0');
    let file = file.to_str().unwrap();
    host.command("deploy", &["front", file, "--canary", "5%"])
        .expect(1)
        .says(&["keeps its state in one instance"]);
    host.command("deploy", &["front", file, "--yes"]).expect(0);
    assert_eq!(super::versions(&host).await, [2, 1, 1, 1]);
    host.command("rollback", &["front"])
        .expect(1)
        .says(&["would be lost"]);
    host.command("rollback", &["front", "--yes"]).expect(0);
    std::fs::write(
        host.directory().join("front.wasm"),
        versioned("front", 3, '0'),
    )
    .unwrap();
    host.command("apply", &[])
        .expect(1)
        .says(&["would be lost"]);
    host.command("apply", &["--yes"]).expect(0);
    assert_eq!(super::versions(&host).await, [3, 1, 1, 1]);
}

#[tokio::test]
async fn state_in_several_instances_is_a_mistake() {
    let directory = tempfile::tempdir().unwrap();
    let keeper = service("keeper").component("./keeper.wasm").everywhere();
    let manifest = Host::with(keeper)
        .bytes("keeper.wasm", marked(1, '0'))
        .write(directory.path());
    let mut check = super::skep();
    let said = Output::of(check.arg("check").arg(manifest)).expect(3);
    said.says(&["handover-of-many", "has to be in one instance", "max = 1"]);
}
