//! Guests that compute do not hold up those that do not, and share what is left.

use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::fixture::{Connection, Host, get, service};

/// As many hogs as the largest of our benchmarks has.
const HOGS: usize = 64;

/// What a guest gets that loops until its deadline.
const HOG: &str = "cpu = \"2s\", deadline = \"2s\"";

/// Sends so many requests at once and leaves them under way.
async fn send(host: &Host, path: &'static str, count: usize) -> JoinSet<u16> {
    let mut under_way = JoinSet::new();
    for _ in 0..count {
        let mut connection = Connection::http1(host).await;
        under_way.spawn(async move { connection.ask(get(path)).await.status.as_u16() });
    }
    under_way
}

/// The sum of the CPU time that the log says of these requests.
fn cpu_ms(lines: &[Value], path: &str) -> f64 {
    let of_path = lines.iter().filter(|line| line["path"] == path);
    of_path.filter_map(|line| line["cpu_ms"].as_f64()).sum()
}

/// Waits until every hog is answered, and for its line in the log.
async fn ended(host: &Host, hogs: JoinSet<u16>, path: &str, count: usize) {
    let statuses = hogs.join_all().await;
    assert!(statuses.iter().all(|status| *status == 504), "{statuses:?}");
    let lines = || {
        host.log()
            .iter()
            .filter(|line| line["path"] == path)
            .count()
    };
    while lines() < count {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn short_requests_are_answered_while_another_services_guests_compute() {
    let host = Host::with(
        service("hog")
            .component("probe")
            .routes(&["/spin"])
            .limits("cpu = \"60s\", deadline = \"60s\""),
    )
    .and(service("hello").routes(&["/hello"]))
    .start()
    .await;
    let mut hogs = send(&host, "/spin", HOGS).await;
    host.until("hog", "busy", |row| row["in_flight"] == HOGS)
        .await;
    let mut client = Connection::http1(&host).await;
    for _ in 0..500 {
        client.ask(get("/hello")).await.expect(200);
    }
    // By turns with such hogs on the serving threads, that would have taken them half a minute of
    // CPU time each.
    assert!(hogs.try_join_next().is_none(), "no hog has ended");
    let line = host.access("/hello").await;
    assert_eq!(line["status"], 200);
    drop(hogs);
    host.at_rest("hog").await;
    host.assert_no_panic();
}

#[tokio::test]
async fn many_computing_guests_of_one_service_weigh_no_more_than_one_of_another() {
    let host = Host::with(
        service("many")
            .component("probe")
            .routes(&["/spin"])
            .limits(HOG),
    )
    .and(
        service("one")
            .component("probe-p3")
            .routes(&["/spin-for/{n}"])
            .limits(HOG),
    )
    .tables("[host]\nthreads = 1")
    .start()
    .await;
    let many = send(&host, "/spin", 20).await;
    let one = send(&host, "/spin-for/60000", 1).await;
    ended(&host, many, "/spin", 20).await;
    ended(&host, one, "/spin-for/60000", 1).await;
    let log = host.log();
    let (many, one) = (cpu_ms(&log, "/spin"), cpu_ms(&log, "/spin-for/60000"));
    assert!(one > many / 3.0, "one {one} ms, twenty {many} ms");
    assert!(many > one / 3.0, "one {one} ms, twenty {many} ms");
}

#[tokio::test]
async fn a_weight_of_four_gets_more_than_a_weight_of_one() {
    let weighing = |name: &str, weight: &str, route: &'static str| {
        service(name)
            .component("probe")
            .routes(&[route])
            .limits(&format!("{HOG}, cpu-weight = {weight}"))
    };
    let host = Host::with(weighing("heavy", "400", "/spin"))
        .and(weighing("light", "100", "/spin-for/{n}"))
        .tables("[host]\nthreads = 1")
        .start()
        .await;
    let heavy = send(&host, "/spin", 3).await;
    let light = send(&host, "/spin-for/60000", 3).await;
    ended(&host, heavy, "/spin", 3).await;
    ended(&host, light, "/spin-for/60000", 3).await;
    let log = host.log();
    let (heavy, light) = (cpu_ms(&log, "/spin"), cpu_ms(&log, "/spin-for/60000"));
    assert!(heavy > 2.0 * light, "heavy {heavy} ms, light {light} ms");
    assert!(light > heavy / 12.0, "heavy {heavy} ms, light {light} ms");
}

#[tokio::test]
async fn a_share_of_a_core_holds_all_calls_of_a_service_together() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .limits(&format!("{HOG}, cpu-share = \"10%\"")),
    )
    .start()
    .await;
    let hogs = send(&host, "/spin", 4).await;
    ended(&host, hogs, "/spin", 4).await;
    let used = cpu_ms(&host.log(), "/spin");
    // 200 ms of the two seconds, the burst, and for each call the tick at which it began.
    assert!(used > 20.0, "{used} ms");
    assert!(used < 500.0, "{used} ms");
    host.get("/").await.expect(200);
}

#[tokio::test]
async fn a_guest_is_cancelled_while_it_computes() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .limits("cpu = \"60s\", deadline = \"60s\""),
    )
    .start()
    .await;
    let hogs = send(&host, "/spin", 8).await;
    host.until("probe", "busy", |row| row["in_flight"] == 8)
        .await;
    drop(hogs);
    host.at_rest("probe").await;
    host.until("probe", "given back", |row| row["memory_bytes"] == 0)
        .await;
    host.get("/").await.expect(200);
    host.assert_no_panic();
}

#[tokio::test]
async fn a_body_streams_while_its_guest_computes() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .limits("cpu = \"60s\", deadline = \"60s\""),
    )
    .start()
    .await;
    let reply = host.get("/compute-and-write/8/4").await.expect(200);
    assert_eq!(reply.text().lines().count(), 8, "{}", reply.text());
    host.at_rest("probe").await;
}

#[tokio::test]
async fn a_shared_instance_comes_back_from_computing() {
    let host = Host::with(
        service("probe")
            .component("probe-p3")
            .everywhere()
            .instances("reuse = 100, concurrent = 8, max = 1")
            .limits("cpu = \"60s\", deadline = \"60s\""),
    )
    .start()
    .await;
    for _ in 0..5 {
        host.get("/spin-for/20").await.expect(200);
        host.get("/").await.expect(200);
        host.get("/sleep/5").await.expect(200);
    }
    assert_eq!(host.row("probe")["crashes"], 0);
}

#[tokio::test]
async fn a_shared_instance_that_has_computed_ends_when_it_is_idle() {
    let host = Host::with(
        service("probe")
            .component("probe-p3")
            .everywhere()
            .instances("reuse = 100, concurrent = 8, idle = \"200ms\"")
            .limits("cpu = \"60s\", deadline = \"60s\""),
    )
    .start()
    .await;
    // More than a service may compute in the first class: it stays in the second when it waits.
    for mut requests in [
        send(&host, "/spin-for/40", 4).await,
        send(&host, "/spin-for/40", 1).await,
    ] {
        while let Some(status) = requests.join_next().await {
            assert_eq!(status.unwrap(), 200);
        }
    }
    host.until("probe", "without instances", |row| row["instances"] == 0)
        .await;
    host.get("/").await.expect(200);
}

#[tokio::test]
async fn a_worker_that_computes_leaves_requests_their_time() {
    let spinning =
        service("worker").grants("environment = { WORKER_END = \"spin\", WORKER_LINES = \"0\" }");
    let host = Host::with(spinning)
        .and(service("hello").everywhere())
        .tables("[host]\nthreads = 1")
        .start()
        .await;
    let mut client = Connection::http1(&host).await;
    for _ in 0..500 {
        client.ask(get("/")).await.expect(200);
    }
    assert_eq!(host.row("worker")["phase"]["name"], "ready");
}
