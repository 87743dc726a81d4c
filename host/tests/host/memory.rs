//! What guests may hold, and what the host may be made to hold for them: each bound hit by a guest
//! that goes beyond it, and nobody else the worse for it.

use crate::fixture::{Connection, Host, Plan, Reply, Service, full, get, request, service};

const MIB: u64 = 1 << 20;

/// A hoarder whose instances stay, so that what they hold can be seen.
fn hoarder(limits: &str) -> Service {
    service("hoarder")
        .everywhere()
        .instances("reuse = 1000, idle = \"1h\"")
        .limits(limits)
        .restart("max = 1000, within = \"1s\"")
}

/// With somebody beside it who must not notice.
fn beside(service_: Service) -> Plan {
    Host::with(service_)
        .and(service("hello"))
        .tables("[[route]]\nhost = \"hello\"\npath = \"/\"\nservice = \"hello\"")
}

async fn hello(host: &Host) {
    let mut asked = get("/");
    asked.headers_mut().insert("host", "hello".parse().unwrap());
    host.ask(asked).await.expect(200);
}

/// Soon after its last request: an instance that has computed may be dropped after its answer.
fn holds_nothing(row: &serde_json::Value) -> bool {
    bytes(row, "memory_bytes") == 0 && bytes(row, "buffer_bytes") == 0
}

fn bytes(row: &serde_json::Value, key: &str) -> u64 {
    row[key]
        .as_u64()
        .unwrap_or_else(|| panic!("no {key}: {row}"))
}

/// What a path makes the host hold is ended by `limits.buffers`, and the host grows by little more.
async fn bounded(component: &str, within: &str, beyond: &str) {
    let hoards = hoarder("buffers = \"2MiB\", handles = 10000, headers = \"64KiB\"");
    let host = beside(hoards.component(component)).start().await;
    host.get("/").await.expect(200);
    let before = host.resident();
    host.get(within).await.expect(200);
    // Nothing kept: the instance that goes beyond is lost, and with it what was held.
    for _ in 0..3 {
        host.get(beyond).await.expect_problem(502);
        let line = host.access(beyond).await;
        assert_eq!(line["outcome"], "memory-limit", "{line}");
        assert!(
            line["error"].as_str().unwrap().contains("limits.buffers"),
            "{line}"
        );
        hello(&host).await;
    }
    let row = host.at_rest("hoarder").await;
    assert!(bytes(&row, "buffer_bytes") < 4 * MIB, "{row}");
    let peak = host.peak_resident().saturating_sub(before);
    assert!(peak < 64 * MIB, "{beyond}: the host grew by {peak} bytes");
    host.assert_no_panic();
}

#[tokio::test]
async fn header_lists_behind_handles_are_bounded_together() {
    bounded("hoarder", "/fields/20/50000", "/fields/9000/50000").await;
}

#[tokio::test]
async fn header_lists_of_wasi_0_3_are_bounded_too() {
    bounded("probe-p3", "/fields/20/50000", "/fields/9000/50000").await;
}

#[tokio::test]
async fn what_is_written_into_bodies_that_nobody_reads_is_bounded() {
    bounded("hoarder", "/bodies/4", "/bodies/3000").await;
}

#[tokio::test]
async fn the_words_of_requests_that_are_never_sent_are_bounded() {
    bounded("hoarder", "/methods/2/100000", "/methods/9000/100000").await;
    bounded("hoarder", "/targets/5/60000", "/targets/9000/60000").await;
}

#[tokio::test]
async fn streams_of_wasi_0_3_are_bounded_by_the_number_of_handles() {
    let hoards = hoarder("handles = 100").component("probe-p3");
    let host = beside(hoards).start().await;
    host.get("/streams/50").await.expect(200);
    host.get("/streams/1000").await.expect_problem(502);
    hello(&host).await;
    host.assert_no_panic();
}

#[tokio::test]
async fn what_an_instance_piles_up_over_its_requests_is_found() {
    let host = beside(hoarder("buffers = \"2MiB\", handles = 100000"))
        .start()
        .await;
    // Each of these is far from any limit, and quick; together they are not.
    let mut connection = Connection::http1(&host).await;
    let mut lost = 0;
    for _ in 0..60 {
        let reply = connection.ask(get("/fields/500/200")).await;
        assert!([200, 502].contains(&reply.status.as_u16()), "{reply:?}");
        lost += u64::from(!reply.text().starts_with("500 ") && reply.status == 502);
        let row = host.row("hoarder");
        // Of two at most: one may still be coming to its end when the next is asked.
        assert!(bytes(&row, "buffer_bytes") < 6 * MIB, "{row}");
    }
    // 60 requests that hold 200 KiB each can only have been served by several instances.
    let line = host.access("/fields/500/200").await;
    let last = host
        .log()
        .iter()
        .filter_map(|line| line["instance"].as_u64())
        .max();
    assert!(last > Some(3), "{last:?} instances, {lost} lost: {line}");
    hello(&host).await;
}

#[tokio::test]
async fn a_guests_words_are_cut_before_they_are_kept() {
    for component in ["hoarder", "probe-p3"] {
        let host = beside(hoarder("").component(component)).start().await;
        host.get("/").await.expect(200);
        let before = host.peak_resident();
        for _ in 0..5 {
            host.get("/say/8000000").await.expect_problem(502);
        }
        let line = host.access("/say/8000000").await;
        let said = line["error"].as_str().unwrap();
        assert!(
            said.contains("wwww") && said.len() < 4096,
            "{} bytes",
            said.len()
        );
        let grown = host.peak_resident().saturating_sub(before);
        assert!(grown < 80 * MIB, "{component}: {grown} bytes");
        host.assert_no_panic();
    }
}

#[tokio::test]
async fn trailers_are_held_to_the_limit_of_headers() {
    let host = Host::with(hoarder("headers = \"4KiB\"")).start().await;
    host.get("/trailers/1000").await.expect(200);
    let line = host.access("/trailers/1000").await;
    assert_eq!(line["outcome"], "ok", "{line}");
    // Beyond it the call is ended, and the client sees that the body is not whole, if it has seen
    // any of it.
    let reply = host.get("/trailers/100000").await;
    assert!(!reply.whole || reply.status == 502, "{reply:?}");
    assert!(reply.trailers.is_none(), "{reply:?}");
    let line = host.access("/trailers/100000").await;
    assert_eq!(line["outcome"], "trap", "{line}");
}

#[tokio::test]
async fn a_policy_of_failing_tells_the_guest_and_one_of_trapping_ends_its_call() {
    let host = beside(hoarder("memory = \"8MiB\"")).start().await;
    let reply = host.get("/memory/20").await.expect(200);
    assert!(reply.text().starts_with("refused after "), "{reply:?}");

    let host = beside(hoarder("memory = \"8MiB\", memory-policy = \"trap\""))
        .start()
        .await;
    // On the one instance that there is.
    host.get("/memory/20").await.expect_problem(502);
    let line = host.access("/memory/20").await;
    assert_eq!(line["outcome"], "memory-limit", "{line}");
    hello(&host).await;
    let row = host.until("hoarder", "nothing held", holds_nothing).await;
    assert!(bytes(&row, "memory_peak_bytes") > 2 * MIB, "{row}");
    host.get("/memory/2").await.expect(200);
}

#[tokio::test]
async fn bodies_on_their_way_are_counted_and_given_back() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .limits("request-body = \"1MiB\", deadline = \"30s\""),
    )
    .start()
    .await;
    host.get("/").await.expect(200);
    // An answer that nobody takes: what the host has in hand of it is the service's.
    let mut slow = Connection::http1(&host).await;
    let unread = slow.send(get("/body/60000000")).await.unwrap();
    let row = host
        .until("probe", "bytes of a body", |row| {
            row["buffer_bytes"].as_u64() > Some(600 << 10)
        })
        .await;
    assert!(
        bytes(&row, "memory_bytes") > bytes(&row, "buffer_bytes"),
        "{row}"
    );
    drop((unread, slow));
    let row = host
        .until("probe", "nothing held", |row| row["memory_bytes"] == 0)
        .await;
    assert_eq!(row["buffer_bytes"], 0, "{row}");
    // A request that is gathered while it comes, and whose client leaves in the middle.
    let mut wire = crate::fixture::Wire::to(&host).await;
    wire.send("POST /count-body HTTP/1.1\r\nhost: a\r\ncontent-length: 60000\r\n\r\n")
        .await;
    wire.send(vec![b'x'; 20_000]).await;
    host.until("probe", "a gathered body", |row| {
        row["buffer_bytes"].as_u64() >= Some(60_000)
    })
    .await;
    drop(wire);
    host.until("probe", "nothing held", |row| row["memory_bytes"] == 0)
        .await;
    // And one that comes whole.
    let whole = request("POST", "/count-body", full(vec![b'x'; 60_000]));
    assert_eq!(host.ask(whole).await.text(), "60000 bytes, whole\n");
    host.until("probe", "nothing held", holds_nothing).await;
}

/// A request to `path` that goes on in the background until its answer is asked for.
async fn under_way(host: &Host, to: &str, path: &str) -> tokio::task::JoinHandle<Reply> {
    let mut connection = Connection::http1(host).await;
    let mut asked = get(path);
    asked.headers_mut().insert("host", to.parse().unwrap());
    tokio::spawn(async move { connection.ask(asked).await })
}

#[tokio::test]
async fn an_instance_that_others_leave_no_memory_is_nobodys_crash() {
    let big = |name: &str| {
        service(name)
            .component("hoarder")
            .instances("reuse = 1000, idle = \"1h\"")
            .limits("memory = \"31MiB\", deadline = \"60s\"")
    };
    let host = Host::with(big("one").everywhere())
        .and(big("two"))
        .tables("[[route]]\nhost = \"two\"\npath = \"/{*rest}\"\nservice = \"two\"")
        .tables("[host]\nmemory = \"32MiB\"")
        .start()
        .await;
    // All of it, to within less than an instance needs.
    let holding = under_way(&host, "one", "/hold/31/8000").await;
    host.until("one", "nearly all memory", |row| {
        row["memory_bytes"].as_u64() > Some(27 << 20)
    })
    .await;
    let waiting = under_way(&host, "two", "/wait/2000").await;
    host.until("two", "busy", |row| row["in_flight"] == 1).await;
    let reply = under_way(&host, "two", "/").await.await.unwrap();
    assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
    reply.expect_problem(503);
    let line = host.logged("what was missing", |line| line["outcome"] == "no-memory");
    assert_eq!(line.await["service"], "two");
    waiting.await.unwrap().expect(200);
    let row = host.at_rest("two").await;
    assert_eq!(row["crashes"], 0, "{row}");
    assert_eq!(row["phase"]["name"], "ready", "{row}");
    assert!(holding.await.unwrap().text().starts_with("refused after"));
}

#[tokio::test]
async fn all_services_together_hold_no_more_than_the_host_may() {
    let instances = "reuse = 1000, idle = \"1h\"";
    let one = service("one")
        .component("hoarder")
        .everywhere()
        .instances(instances)
        .limits("memory = \"22MiB\", deadline = \"60s\"");
    let two = service("two")
        .component("probe")
        .instances(instances)
        .limits("memory = \"22MiB\"");
    let host = Host::with(one)
        .and(two)
        .tables("[[route]]\nhost = \"two\"\npath = \"/{*rest}\"\nservice = \"two\"")
        .tables("[host]\nmemory = \"24MiB\"")
        .start()
        .await;
    // At work, since idle instances are given up where memory is short.
    let holding = under_way(&host, "one", "/hold/12/4000").await;
    host.until("one", "half of it", |row| {
        row["memory_bytes"].as_u64() > Some(12 << 20)
    })
    .await;
    let reply = under_way(&host, "two", "/grow/20").await.await.unwrap();
    let reply = reply.expect(200);
    let text = reply.text();
    assert!(text.starts_with("refused after "), "{text}");
    assert!(bytes(&host.status(), "memory_bytes") <= 24 * MIB);
    holding.await.unwrap().expect(200);
    // What is scarce now is held by instances that wait for work: nobody is turned away for them.
    for _ in 0..20 {
        let reply = under_way(&host, "two", "/grow/1").await.await.unwrap();
        reply.expect(200);
        host.get("/").await.expect(200);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_glutton_is_turned_away_and_the_others_are_served() {
    let plan = beside(hoarder("memory = \"60MiB\", deadline = \"60s\""));
    let host = plan.tables("[host]\nmemory = \"64MiB\"").start().await;
    assert_eq!(host.status()["memory_pressure"], "none");
    let holding = under_way(&host, "glutton", "/hold/58/4000").await;
    host.message("guests hold nearly all").await;
    assert_eq!(host.status()["memory_pressure"], "guests");
    let reply = host.get("/").await;
    assert!(reply.headers.contains_key("retry-after"), "{reply:?}");
    reply.expect_problem(503);
    let line = host.logged("the request that was turned away", |line| {
        line["outcome"] == "memory-pressure"
    });
    assert_eq!(line.await["service"], "hoarder");
    hello(&host).await;
    assert!(bytes(&host.row("hoarder"), "shed") >= 1);
    assert_eq!(host.row("hello")["shed"], 0);
    // What was under way is served; then its instance is not kept, although it might be.
    holding.await.unwrap().expect(200);
    host.message("there is enough again").await;
    host.get("/").await.expect(200);
    assert_eq!(host.status()["memory_pressure"], "none");
}

#[tokio::test]
async fn a_machine_without_memory_takes_no_new_requests() {
    // No machine has that much left: the real readings fall short of it.
    let plan = Host::with(service("hello").everywhere());
    let host = plan
        .tables("[host]\nmemory-reserve = \"1000TiB\"")
        .start()
        .await;
    host.message("less is free than").await;
    let status = host.status();
    assert_eq!(status["memory_pressure"], "machine");
    assert!(
        bytes(&status["host"], "resident_bytes") > 4 * MIB,
        "{status}"
    );
    assert!(bytes(&status, "available_bytes") > 0, "{status}");
    for (protocol, mut connection) in Connection::both(&host).await {
        let reply = connection.ask(get("/")).await;
        assert!(
            reply.headers.contains_key("retry-after"),
            "{protocol}: {reply:?}"
        );
        reply.expect_problem(503);
    }
    // What is not new goes on: the host lives, and says how it stands.
    host.phase("hello", "ready").await;
}
