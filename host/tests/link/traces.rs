//! What the log tells of a request's calls, and what others are told of its trace.

use std::sync::Arc;

use http::{HeaderValue, Request};
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::fixture::{Body, Connection, Host, Plan, Service, get, service};
use super::{all, ask, caller, provider, relay, says};

const TRACE: &str = "0af7651916cd43dd8448eb211c80319c";
const PARENT: &str = "b7ad6b7169203331";

/// A server on loopback that keeps the heads of the requests that it answers.
struct Peer {
    address: String,
    heads: Arc<Mutex<Vec<String>>>,
    serving: JoinHandle<()>,
}

impl Peer {
    async fn new() -> Peer {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let heads: Arc<Mutex<Vec<String>>> = Arc::default();
        let kept = heads.clone();
        let serving = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    head.push(stream.read_u8().await.unwrap());
                }
                kept.lock().push(String::from_utf8(head).unwrap());
                let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
                stream.write_all(answer).await.unwrap();
            }
        });
        Peer {
            address,
            heads,
            serving,
        }
    }

    /// Listens no more.
    async fn stop(self) {
        self.serving.abort();
        let _ = self.serving.await;
    }

    /// A field of the latest request.
    fn heard(&self, field: &str) -> Option<String> {
        let heads = self.heads.lock();
        let mut lines = heads.last().unwrap().lines();
        let value = lines.find_map(|line| line.strip_prefix(&format!("{field}: ")));
        value.map(str::to_owned)
    }
}

/// From the caller to the relay, from there to a service that asks the peer.
fn to(peer: &Peer) -> Plan {
    let harm = |callee: &str| format!("{{ \"fixture:everything/harm\" = \"{callee}\" }}");
    let fetcher = service("fetcher")
        .component("everything-fetcher")
        .grants(&format!(
            "http = [\"http://{0}\"], environment = {{ PEER = \"{0}\" }}",
            peer.address
        ));
    all(
        caller().set("links", &harm("provider")),
        provider(),
        relay().set("links", &harm("fetcher")),
    )
    .and(fetcher)
}

fn traced(path: &str) -> Request<Body> {
    let mut request = get(path);
    let parent = HeaderValue::from_str(&format!("00-{TRACE}-{PARENT}-01")).unwrap();
    request.headers_mut().insert("traceparent", parent);
    request
        .headers_mut()
        .insert("tracestate", HeaderValue::from_static("a=1"));
    request
}

fn calls(line: &Value) -> &[Value] {
    let calls = line["calls"].as_array();
    calls.unwrap_or_else(|| panic!("no calls in {line}"))
}

#[tokio::test]
async fn a_trace_goes_from_service_to_service_and_out_of_the_host() {
    let peer = Peer::new().await;
    let host = to(&peer).http("log-calls = true").start().await;
    says(host.ask(traced("/through/x")).await, "200");
    let line = host.access("/through/x").await;
    assert_eq!(line["traceparent"], format!("00-{TRACE}-{PARENT}-01"));
    assert_eq!(line["trace"], TRACE);
    let [through, fetch, sent] = calls(&line) else {
        panic!("two calls and a request: {line}")
    };
    assert_eq!(through["service"], "relay");
    assert_eq!(through["function"], "fixture:everything/relay@1.2.0#harm");
    assert_eq!(fetch["service"], "fetcher");
    assert_eq!(fetch["function"], "fixture:everything/harm@1.2.0#plain");
    for call in [through, fetch] {
        assert_eq!(call["outcome"], "ok", "{line}");
        assert_eq!(call["revision"], 1, "{line}");
        assert!(call["cpu_ms"].as_f64().unwrap() > 0.0, "{line}");
        assert!(call["argument_bytes"].as_u64().unwrap() > 0, "{line}");
    }
    // Each is the child of the one before.
    assert_ne!(line["span"], PARENT);
    assert_eq!(through["parent"], line["span"]);
    assert_eq!(fetch["parent"], through["span"]);
    assert_ne!(fetch["span"], through["span"]);
    assert_eq!(sent["parent"], fetch["span"]);
    assert_eq!(sent["service"], "fetcher");
    let target = format!("GET http://{}/", peer.address);
    assert_eq!(sent["request"], target.as_str(), "{line}");
    assert_eq!(sent["status"], 200, "{line}");
    assert_eq!(sent["outcome"], "ok", "{line}");
    let told = format!("00-{TRACE}-{}-01", sent["span"].as_str().unwrap());
    assert_eq!(peer.heard("traceparent"), Some(told));
    assert_eq!(peer.heard("tracestate").as_deref(), Some("a=1"));

    // A request without one begins a trace.
    says(host.get("/through/y").await, "200");
    let line = host.access("/through/y").await;
    assert_ne!(line["trace"], TRACE);
    let told = peer.heard("traceparent").unwrap();
    let wanted = (
        line["trace"].as_str().unwrap(),
        calls(&line)[2]["span"].as_str().unwrap(),
    );
    assert_eq!(told, format!("00-{}-{}-01", wanted.0, wanted.1));
    assert_eq!(peer.heard("tracestate"), None);
}

#[tokio::test]
async fn where_nothing_is_recorded_a_trace_is_passed_on_as_it_came() {
    let peer = Peer::new().await;
    let host = to(&peer).start().await;
    says(host.ask(traced("/through/x")).await, "200");
    let told = format!("00-{TRACE}-{PARENT}-01");
    assert_eq!(peer.heard("traceparent"), Some(told));
    assert_eq!(peer.heard("tracestate").as_deref(), Some("a=1"));
    let line = host.access("/through/x").await;
    assert!(line.get("calls").is_none(), "{line}");
    assert!(line.get("span").is_none(), "{line}");
    says(host.get("/through/y").await, "200");
    assert_eq!(peer.heard("traceparent"), None);
}

#[tokio::test]
async fn a_guest_sees_the_span_of_its_request() {
    let host = Host::with(service("probe").everywhere())
        .argument("--log-calls")
        .start()
        .await;
    let reply = host.ask(traced("/headers")).await.expect(200);
    let line = host.access("/headers").await;
    let span = line["span"].as_str().unwrap();
    let seen = format!("00-{TRACE}-{span}-01");
    assert!(reply.text().contains(&seen), "{}", reply.text());
    assert_eq!(line["calls"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_request_that_is_sent_out_is_told_with_how_it_ended() {
    let peer = Peer::new().await;
    let host = to(&peer).http("log-calls = true").start().await;
    says(ask(&host, "/through/x").await, "200");
    // Its server is gone.
    peer.stop().await;
    ask(&host, "/through/y").await;
    let line = host.access("/through/y").await;
    let sent = &calls(&line)[2];
    assert_eq!(sent["outcome"], "unreachable", "{line}");
    assert_eq!(sent["status"], Value::Null, "{line}");
}

/// A guard, and the service that it lets requests through to.
async fn guarded(middleware: &str, interface: &str, probe: Service) -> Host {
    let links = format!("{{ \"{interface}\" = \"probe\" }}");
    let guard = service("guard").component(middleware).everywhere();
    Host::with(guard.set("links", &links))
        .and(probe)
        .http("log-calls = true")
        .start()
        .await
}

fn with_key(mut request: Request<Body>) -> Request<Body> {
    let open = HeaderValue::from_static("open");
    request.headers_mut().insert("x-key", open);
    request
}

#[tokio::test]
async fn a_request_that_is_passed_on_is_a_span_of_its_own() {
    for (middleware, interface, handler) in [
        ("middleware", "wasi:http/incoming-handler", "probe"),
        ("middleware-p3", "wasi:http/handler", "probe-p3"),
    ] {
        let probe = service("probe").component(handler);
        let host = guarded(middleware, interface, probe).await;
        let reply = host.ask(with_key(traced("/headers"))).await.expect(200);
        let line = host.access("/headers").await;
        assert_eq!(line["service"], "guard", "{line}");
        let [passed] = calls(&line) else {
            panic!("one request that was passed on: {line}")
        };
        assert_eq!(passed["service"], "probe", "{line}");
        assert_eq!(passed["revision"], 1, "{line}");
        assert_eq!(passed["request"], "GET /headers", "{line}");
        assert_eq!(passed["status"], 200, "{line}");
        assert_eq!(passed["outcome"], "ok", "{line}");
        assert_eq!(passed["parent"], line["span"], "{line}");
        assert!(passed["cpu_ms"].as_f64().unwrap() > 0.0, "{line}");
        // Whoever answers sees the span that it is.
        let span = passed["span"].as_str().unwrap();
        let seen = format!("00-{TRACE}-{span}-01");
        assert!(reply.text().contains(&seen), "{}", reply.text());
    }
}

#[tokio::test]
async fn a_request_that_is_passed_on_is_told_with_how_it_ended() {
    let probe = service("probe").limits("deadline = \"300ms\"");
    let host = guarded("middleware", "wasi:http/incoming-handler", probe).await;
    let outcome = async |path: &str| {
        let line = host.access(path).await;
        calls(&line)[0]["outcome"].as_str().unwrap().to_owned()
    };
    host.ask(with_key(get("/status/418"))).await;
    assert_eq!(outcome("/status/418").await, "ok");
    host.ask(with_key(get("/trap"))).await.expect_problem(502);
    assert_eq!(outcome("/trap").await, "trap");
    host.ask(with_key(get("/sleep/60000")))
        .await
        .expect_problem(504);
    assert_eq!(outcome("/sleep/60000").await, "deadline");
}

#[tokio::test]
async fn calls_are_told_with_how_they_ended() {
    let log = "log-calls = true";
    let provider = provider().limits("concurrency = 1, queue = 0, deadline = \"300ms\"");
    let host = all(caller(), provider, relay()).http(log).start().await;
    let outcomes = async |path: &str| {
        let line = host.access(path).await;
        let outcomes = calls(&line).iter().map(|call| {
            let service = call["service"].as_str().unwrap();
            format!("{service} {}", call["outcome"].as_str().unwrap())
        });
        outcomes.collect::<Vec<_>>()
    };
    ask(&host, "/plain/trap").await.expect_problem(502);
    assert_eq!(outcomes("/plain/trap").await, ["provider trap"]);
    ask(&host, "/plain/sleep").await.expect_problem(504);
    assert_eq!(outcomes("/plain/sleep").await, ["provider deadline"]);
    // In the order of their beginnings, the failure of the one being that of the other.
    ask(&host, "/through/trap").await.expect_problem(502);
    assert_eq!(
        outcomes("/through/trap").await,
        ["relay callee-failed", "provider trap"]
    );
}

#[tokio::test]
async fn a_call_that_finds_no_room_has_a_span_for_each_attempt() {
    let provider = provider().limits("concurrency = 1, queue = 0, deadline = \"1h\"");
    let caller = caller().limits("deadline = \"1h\"");
    let host = all(caller, provider, relay())
        .http("log-calls = true")
        .start()
        .await;
    let mut first = Connection::http1(&host).await;
    let busy = tokio::spawn(async move { first.send(get("/plain/sleep")).await.map(drop) });
    host.until("provider", "a call", |row| row["in_flight"] == 1)
        .await;
    ask(&host, "/plain/nothing").await.expect_problem(503);
    let line = host.access("/plain/nothing").await;
    assert!(calls(&line).len() > 1, "{line}");
    for call in calls(&line) {
        assert_eq!(call["outcome"], "queue-full", "{line}");
        assert_eq!(call["parent"], line["span"], "{line}");
    }
    // Its client goes away.
    busy.abort();
    let line = host.access("/plain/sleep").await;
    assert_eq!(line["outcome"], "cancelled");
    assert_eq!(calls(&line)[0]["outcome"], "cancelled");
}

#[tokio::test]
async fn so_many_calls_are_told_of_and_the_rest_is_counted() {
    let host = all(caller(), provider(), relay())
        .http("log-calls = true")
        .start()
        .await;
    ask(&host, "/calls/100").await.expect(200);
    let line = host.access("/calls/100").await;
    assert_eq!(calls(&line).len(), 64);
    assert_eq!(line["calls_omitted"], 36);
}

#[tokio::test]
async fn calls_are_readable_where_the_log_is() {
    let host = all(caller(), provider(), relay())
        .http("log-calls = true")
        .argument("--log-format")
        .argument("pretty")
        .start()
        .await;
    says(ask(&host, "/plain/nothing").await, "1");
    let line = super::fixture::eventually("a line", async || {
        let log = host.log_text();
        log.lines()
            .find(|line| line.contains("/plain/nothing"))
            .map(str::to_owned)
    })
    .await;
    let calls = " calls provider fixture:everything/harm@1.2.0#plain ok ";
    assert!(line.contains(calls), "{line}");
}
