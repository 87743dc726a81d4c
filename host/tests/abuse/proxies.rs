//! Skep behind the front proxies that people use: whatever comes, proxy and host agree on where each
//! request ends. Otherwise one client could put words into another's mouth (request smuggling).
//!
//! Each payload carries ids of its own. What a proxy says that it forwarded is compared with what
//! Skep says that it got, and every answer with the client that got it.

mod corpus;
mod program;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use self::corpus::Payload;
use self::program::{Kind, Proxy};
use crate::fixture::{Host, eventually, service, soon};

/// Clients at the same time: enough that upstream connections go from one to the next.
const CLIENTS: usize = 16;

/// Proxies and host may wait for more of a body that never comes; nobody waits longer than this.
const LAST_WORD: Duration = Duration::from_millis(1500);

#[tokio::test]
async fn nginx_and_skep_agree_on_where_requests_end() {
    agree(Kind::Nginx).await;
}

#[tokio::test]
async fn nginx_that_lets_through_what_it_can_and_skep_agree_on_where_requests_end() {
    agree(Kind::LaxNginx).await;
}

#[tokio::test]
async fn haproxy_and_skep_agree_on_where_requests_end() {
    agree(Kind::Haproxy).await;
}

#[tokio::test]
async fn haproxy_that_lets_through_what_it_can_and_skep_agree_on_where_requests_end() {
    agree(Kind::LaxHaproxy).await;
}

#[tokio::test]
#[should_panic(expected = "the proxy sent it 0 times")]
async fn what_no_proxy_has_sent_would_be_found() {
    let host = Host::with(service("probe").everywhere()).start().await;
    let Some(proxy) = Proxy::start(Kind::Nginx, host.address()).await else {
        panic!("not tested: the proxy sent it 0 times");
    };
    for n in 0..3 {
        exchange(proxy.address(), &corpus::good(&format!("good{n}"))).await;
    }
    // As if smuggled.
    host.get("/report/good2/hidden").await.expect(200);
    host.access("/report/good2/hidden").await;
    compare(&host, &proxy).await;
}

async fn agree(kind: Kind) {
    let host = Host::with(service("probe").everywhere())
        .http("limits = { body-timeout = \"1s\", header-timeout = \"1s\" }")
        .start()
        .await;
    let Some(proxy) = Proxy::start(kind, host.address()).await else {
        return;
    };
    // The way through the proxy works at all, and keeps its connection for the next.
    for n in 0..3 {
        let came = exchange(proxy.address(), &corpus::good(&format!("good{n}"))).await;
        let came = String::from_utf8_lossy(&came).into_owned();
        assert!(
            came.contains(&format!("path: /report/good{n}/outer\n")),
            "{came}"
        );
    }
    let payloads = corpus::payloads();
    let count = payloads.len();
    assert!(count > 500, "{count} payloads");
    let mut strangers = Vec::new();
    let mut waiting = payloads.into_iter();
    let mut playing = JoinSet::new();
    loop {
        while playing.len() < CLIENTS
            && let Some(payload) = waiting.next()
        {
            playing.spawn(play(proxy.address(), payload));
        }
        match playing.join_next().await {
            Some(played) => strangers.extend(played.unwrap()),
            None => break,
        }
    }
    assert!(strangers.is_empty(), "answers to others: {strangers:#?}");
    host.at_rest("probe").await;
    host.get("/report/last/outer").await.expect(200);
    host.access("/report/last/outer").await;
    compare(&host, &proxy).await;
    host.assert_no_panic();
}

/// Sends a payload and an honest client's request behind it; what either got that was not its own.
async fn play(proxy: SocketAddr, payload: Payload) -> Vec<String> {
    let came = exchange(proxy, &payload.bytes).await;
    let mut strangers = foreign(&came, &payload.id, &payload.shown());
    let honest = format!("h{}", payload.id);
    let came = exchange(proxy, &corpus::good(&honest)).await;
    strangers.extend(foreign(&came, &honest, "an honest request"));
    strangers
}

/// Reports of requests that are not this client's.
fn foreign(came: &[u8], id: &str, what: &str) -> Vec<String> {
    let text = String::from_utf8_lossy(came);
    let paths = text.lines().filter_map(|line| line.strip_prefix("path: "));
    paths
        .filter(|path| path.split('/').nth(2) != Some(id))
        .map(|path| format!("{path} as an answer to {id}: {what}"))
        .collect()
}

/// Sends, and reads until the other side closes or has nothing more to say.
async fn exchange(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = soon("to connect", TcpStream::connect(address))
        .await
        .unwrap();
    let mut came = Vec::new();
    // A proxy may answer and close before it has read all.
    let _ = stream.write_all(bytes).await;
    let _ = tokio::time::timeout(LAST_WORD, stream.read_to_end(&mut came)).await;
    came
}

/// What the host's log has of each request, and what the proxy's has.
async fn compare(host: &Host, proxy: &Proxy) {
    let mut got: BTreeMap<String, usize> = BTreeMap::new();
    let mut refused = Vec::new();
    for line in host.log() {
        if line["kind"] != "request" || line["path"] == "/report/last/outer" {
            continue;
        }
        match line["path"].as_str() {
            Some(path) if path.starts_with('/') => {
                let method = line["method"].as_str().unwrap();
                *got.entry(format!("{method} {path}")).or_default() += 1;
            }
            _ => refused.push(line.to_string()),
        }
    }
    let forwarded = eventually("the proxy's log", async || {
        let forwarded = proxy.forwarded();
        let sent = |request: &str| forwarded.get(request).map_or(0, |it| it.count);
        let all = got.iter().all(|(request, count)| sent(request) >= *count);
        all.then_some(forwarded)
    });
    let forwarded = tokio::time::timeout(Duration::from_secs(10), forwarded).await;
    let forwarded = forwarded.unwrap_or_else(|_| proxy.forwarded());
    // Whatever the host saw, the proxy has sent, and no oftener.
    for (request, count) in &got {
        let sent = forwarded.get(request).map_or(0, |it| it.count);
        assert!(
            *count <= sent,
            "the host saw {request} {count} times, the proxy sent it {sent} times"
        );
    }
    // What the host could not read as a request is one that the proxy sent, as a whole: its answer
    // was the refusal.
    let blamed: usize = forwarded.values().map(|it| it.refused).sum();
    let seen: usize = got.len();
    assert!(
        refused.len() <= blamed,
        "{} refusals, {blamed} of which the proxy knows: {refused:#?}",
        refused.len()
    );
    let hidden: Vec<_> = got.keys().filter(|it| it.ends_with("/hidden")).collect();
    let all: usize = got.values().sum();
    println!(
        "{all} requests of {seen} kinds seen, {} refused, {} served that a payload may have meant to \
         hide and the proxy saw too",
        refused.len(),
        hidden.len()
    );
    assert!(all > 200, "only {all} requests came through the proxy");
}
