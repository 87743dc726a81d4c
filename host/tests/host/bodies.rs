//! Bodies in both directions: streamed, with back-pressure and trailers, and cut by either side.

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::BodyExt;

use crate::fixture::{
    Body, Connection, Host, Reply, Wire, eventually, full, get, request, service, soon, streamed,
};

const MIB: usize = 1 << 20;

/// A host for large bodies. The probe answers in WASI 0.2 and 0.3.
async fn large() -> Host {
    let limits = "request-body = \"64MiB\", response-body = \"64MiB\", cpu = \"30s\", \
                  deadline = \"30s\"";
    Host::with(service("p2").component("probe").limits(limits))
        .and(service("p3").component("probe-p3").limits(limits))
        .tables("[[route]]\nhost = \"p2\"\npath = \"/{*rest}\"\nservice = \"p2\"")
        .tables("[[route]]\nhost = \"p3\"\npath = \"/{*rest}\"\nservice = \"p3\"")
        .start()
        .await
}

/// Both versions of WASI over both protocols.
async fn each(host: &Host) -> Vec<(String, &'static str, Connection)> {
    let mut all = Vec::new();
    for wasi in ["p2", "p3"] {
        for (protocol, connection) in Connection::both(host).await {
            all.push((format!("{wasi} over {protocol}"), wasi, connection));
        }
    }
    all
}

fn at(wasi: &str, protocol: &str, mut asked: Request<Body>) -> Request<Body> {
    if protocol.ends_with("HTTP/2") {
        let target = asked.uri().path_and_query().unwrap().to_string();
        *asked.uri_mut() = format!("http://{wasi}{target}").parse().unwrap();
    } else {
        asked.headers_mut().insert("host", wasi.parse().unwrap());
    }
    asked
}

fn pattern(length: usize) -> Bytes {
    (0..length)
        .map(|n| (n % 251) as u8)
        .collect::<Vec<_>>()
        .into()
}

#[tokio::test]
async fn a_mebibyte_comes_back_as_it_was_sent() {
    let host = large().await;
    let sent = pattern(MIB);
    for (what, wasi, mut connection) in each(&host).await {
        let asked = at(wasi, &what, request("POST", "/echo", full(sent.clone())));
        let reply = connection.ask(asked).await.expect(200);
        assert!(
            reply.whole && reply.body == sent,
            "{what}: {} bytes",
            reply.body.len()
        );
    }
}

#[tokio::test]
async fn a_body_is_echoed_while_it_is_being_sent() {
    let host = large().await;
    for (what, wasi, mut connection) in each(&host).await {
        let (sender, body) = streamed();
        let asked = at(wasi, &what, request("POST", "/echo", body));
        let (sent, response) = tokio::join!(sender.send("first "), connection.send(asked));
        assert!(sent, "{what}");
        let mut answer = response.unwrap().into_body();
        let mut came = String::new();
        for word in ["first ", "second ", "third "] {
            if word != "first " {
                assert!(sender.send(word).await, "{what}");
            }
            // Each word comes back before the next is sent.
            while !came.ends_with(word) {
                let frame = soon(&format!("{what}: {word}"), answer.frame()).await;
                came += std::str::from_utf8(frame.unwrap().unwrap().data_ref().unwrap()).unwrap();
            }
        }
        drop(sender);
        let rest = soon("the end", answer.collect()).await.unwrap();
        assert!(rest.to_bytes().is_empty(), "{what}");
    }
}

#[tokio::test]
async fn trailers_travel_both_ways() {
    let host = large().await;
    for (what, wasi, mut connection) in each(&host).await {
        let mut asked = at(wasi, &what, get("/trailers"));
        asked
            .headers_mut()
            .insert("te", "trailers".parse().unwrap());
        let reply = connection.ask(asked).await.expect(200);
        // HTTP/1.1 sends those that the head has announced; only the 0.2 probe announces.
        if what != "p3 over HTTP/1.1" {
            let trailers = reply
                .trailers
                .unwrap_or_else(|| panic!("{what}: no trailers"));
            assert_eq!(trailers["x-checksum"], "42", "{what}");
        }
    }
}

#[tokio::test]
async fn a_requests_trailers_reach_the_guest_and_come_back() {
    let host = large().await;
    for wasi in ["p2", "p3"] {
        let mut connection = Connection::http2(&host).await;
        let (sender, body) = streamed();
        let asked = at(wasi, "HTTP/2", request("POST", "/echo", body));
        let sending = async {
            sender.send("data").await;
            let trailers = HeaderMap::from_iter([(
                http::HeaderName::from_static("x-sum"),
                http::HeaderValue::from_static("7"),
            )]);
            sender.finish_with(trailers).await;
        };
        let (reply, ()) = tokio::join!(connection.ask(asked), sending);
        assert_eq!(reply.text(), "data", "{wasi}");
        assert_eq!(reply.trailers.expect("trailers")["x-sum"], "7", "{wasi}");
    }
}

#[tokio::test]
async fn trailers_of_a_chunked_request_reach_the_guest() {
    let host = large().await;
    let mut wire = Wire::to(&host).await;
    wire.send(
        "POST /echo HTTP/1.1\r\nhost: p2\r\nte: trailers\r\ntrailer: x-sum\r\n\
         transfer-encoding: chunked\r\n\r\n4\r\ndata\r\n0\r\nx-sum: 7\r\n\r\n",
    )
    .await;
    let head = wire.head().await;
    assert!(head.starts_with("HTTP/1.1 200 "), "{head}");
    let body = wire.until("0\r\n").await;
    assert!(body.contains("data"), "{body}");
}

#[tokio::test]
async fn fifty_mebibytes_pass_in_little_memory() {
    const BYTES: usize = 50 * MIB;
    let host = large().await;
    host.get("/").await;
    for (what, wasi, mut connection) in each(&host).await {
        let before = host.peak_resident();
        let path = format!("/body/{BYTES}");
        let mut answer = connection
            .send(at(wasi, &what, get(&path)))
            .await
            .unwrap()
            .into_body();
        let mut came = 0;
        while let Some(frame) = soon("a piece", answer.frame()).await {
            came += frame.unwrap().into_data().unwrap().len();
        }
        assert_eq!(came, BYTES, "{what}");

        let (sender, body) = streamed();
        let asked = at(wasi, &what, request("POST", "/count-body", body));
        let sending = async {
            let piece = Bytes::from(vec![7; 64 << 10]);
            for _ in 0..BYTES / piece.len() {
                assert!(sender.send(piece.clone()).await);
            }
            drop(sender);
        };
        let (reply, ()) = tokio::join!(connection.ask(asked), sending);
        assert_eq!(reply.text(), format!("{BYTES} bytes, whole\n"), "{what}");
        let grown = host.peak_resident().saturating_sub(before);
        assert!(
            grown < 24 * MIB as u64,
            "{what}: grew by {} KiB",
            grown >> 10
        );
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_guest_that_writes() {
    let host = large().await;
    for (what, wasi, mut connection) in each(&host).await {
        let before = host.resident();
        let path = format!("/body/{}", 40 * MIB);
        let answer = connection.send(at(wasi, &what, get(&path))).await.unwrap();
        // The guest writes until every buffer on the way is full; its CPU time then stands still.
        let stands_still = eventually("the guest to wait", async || {
            let look = || host.row(wasi)["memory_bytes"].clone();
            let one = (look(), host.resident());
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            (one == (look(), host.resident())).then_some(one.1)
        })
        .await;
        assert_eq!(host.row(wasi)["in_flight"], 1, "{what}: it has not ended");
        let grown = stands_still.saturating_sub(before);
        assert!(
            grown < 16 * MIB as u64,
            "{what}: grew by {} KiB",
            grown >> 10
        );
        // And goes on when the client reads.
        let whole = soon("the rest", answer.into_body().collect())
            .await
            .unwrap();
        assert_eq!(whole.to_bytes().len(), 40 * MIB, "{what}");
    }
}

#[tokio::test]
async fn a_guest_that_does_not_read_stops_the_client_that_writes() {
    let host = large().await;
    for (protocol, mut connection) in Connection::both(&host).await {
        let before = host.resident();
        let (sender, body) = streamed();
        let asked = at(
            "p2",
            protocol,
            request("POST", "/read-slowly/1024/1000", body),
        );
        let sending = async {
            let piece = Bytes::from(vec![7; 64 << 10]);
            let mut taken = 0;
            // Full means that no buffer on the way has taken anything for a while.
            while let Ok(true) = tokio::time::timeout(
                std::time::Duration::from_millis(700),
                sender.send(piece.clone()),
            )
            .await
            {
                taken += piece.len();
                assert!(taken < 32 * MIB, "{protocol}: nobody stops the client");
            }
            taken
        };
        let taken = tokio::select! {
            taken = sending => taken,
            answer = connection.ask(asked) => panic!("answered early: {answer:?}"),
        };
        let grown = host.resident().saturating_sub(before);
        assert!(
            grown < 16 * MIB as u64,
            "{protocol}: {taken} bytes taken, grew by {grown}"
        );
    }
}

#[tokio::test]
async fn a_client_that_leaves_cancels_its_guest() {
    let host = large().await;
    for (what, wasi, mut connection) in each(&host).await {
        let path = format!("/sleep/{}", 20_000);
        let asked = at(wasi, &what, get(&path));
        tokio::select! {
            answer = connection.ask(asked) => panic!("{what}: answered {answer:?}"),
            _ = host.until(wasi, "a request in flight", |row| row["in_flight"] == 1) => {}
        }
        drop(connection);
        let row = host.at_rest(wasi).await;
        assert_eq!(row["phase"]["name"], "ready", "{what}");
        assert_eq!(row["crashes"], 0, "{what}: leaving is no crash");
    }
    let line = host.access("/sleep/20000").await;
    assert_eq!(line["outcome"], "cancelled");
    assert!(line.get("status").is_none(), "{line}");
}

#[tokio::test]
async fn a_client_that_leaves_within_the_body_cancels_its_guest() {
    let host = large().await;
    for (what, wasi, mut connection) in each(&host).await {
        let asked = at(wasi, &what, get("/trickle/1000/50"));
        let mut answer = connection.send(asked).await.unwrap().into_body();
        soon("the first piece", answer.frame())
            .await
            .unwrap()
            .unwrap();
        drop(answer);
        drop(connection);
        host.at_rest(wasi).await;
        assert_eq!(host.row(wasi)["crashes"], 0, "{what}");
    }
    assert_eq!(
        host.access("/trickle/1000/50").await["outcome"],
        "client-gone"
    );
}

#[tokio::test]
async fn a_reset_stream_cancels_its_guest_and_no_other() {
    let host = large().await;
    let connection = Connection::http2(&host).await;
    let (mut one, mut two) = (connection.stream(), connection.stream());
    let other = tokio::spawn(async move { two.ask(at("p2", "HTTP/2", get("/sleep/600"))).await });
    let asked = one.send(at("p2", "HTTP/2", get("/sleep/20000")));
    tokio::select! {
        _ = asked => panic!("answered"),
        _ = host.until("p2", "both in flight", |row| row["in_flight"] == 2) => {}
    }
    host.until("p2", "one in flight", |row| row["in_flight"] == 1)
        .await;
    other.await.unwrap().expect(200);
}

#[tokio::test]
async fn a_body_that_nobody_reads_harms_nobody() {
    let host = large().await;
    for (what, mut connection) in Connection::both(&host).await {
        let asked = request("POST", "/drop-request-body", full(pattern(4 * MIB)));
        let reply = connection.send(at("p2", what, asked)).await;
        // The host may answer and close before it has read all of it.
        if let Ok(response) = reply {
            assert_eq!(response.status(), 200, "{what}");
        }
        host.at_rest("p2").await;
    }
}

#[tokio::test]
async fn a_guest_that_lies_about_its_length_is_cut() {
    let host = large().await;
    for path in ["/content-length-lie/100/10", "/content-length-lie/10/100"] {
        for (what, mut connection) in Connection::both(&host).await {
            match connection.send(at("p2", what, get(path))).await {
                Ok(response) => {
                    let reply = Reply::of(response).await;
                    let cut = !reply.whole || reply.status == 502;
                    // Of too much, the client may get as much as was declared.
                    let fits = path.ends_with("/100") && reply.body.len() == 10;
                    assert!(cut || fits, "{what} {path}: {reply:?}");
                }
                Err(error) => assert!(!error.is_timeout(), "{what} {path}"),
            }
        }
    }
    host.assert_no_panic();
}

#[tokio::test]
async fn a_body_that_fails_does_not_look_whole() {
    let host = large().await;
    for (wasi, path) in [
        ("p2", "/trap-after-head"),
        ("p2", "/spin-after-head"),
        ("p2", "/unfinished"),
        ("p3", "/body-error"),
        ("p3", "/unfinished"),
    ] {
        let host = if path.starts_with("/spin") {
            // Thirty seconds of CPU are too many to wait for.
            &Host::with(service("p2").component("probe").everywhere())
                .start()
                .await
        } else {
            &host
        };
        for (what, mut connection) in Connection::both(host).await {
            let Ok(response) = connection.send(at(wasi, what, get(path))).await else {
                continue;
            };
            let reply = Reply::of(response).await;
            assert!(
                !reply.whole || reply.status == 502,
                "{what} {wasi} {path}: {reply:?}"
            );
            assert!(!String::from_utf8_lossy(&reply.body).contains("own words"));
        }
    }
}

#[tokio::test]
async fn forbidden_trailers_do_not_reach_the_client() {
    let host = large().await;
    let mut connection = Connection::http2(&host).await;
    let reply = connection
        .ask(at("p2", "HTTP/2", get("/bad-trailers")))
        .await;
    if let Some(trailers) = reply.trailers {
        for name in ["content-length", "host"] {
            assert!(!trailers.contains_key(name), "{trailers:?}");
        }
    }
}

#[tokio::test]
async fn a_guest_may_not_set_what_belongs_to_the_connection() {
    let host = large().await;
    let mut connection = Connection::http1(&host).await;
    let reply = connection
        .ask(at("p2", "HTTP/1.1", get("/bad-header")))
        .await
        .expect(200);
    assert!(!reply.text().contains("accepted"), "{}", reply.text());
}

#[tokio::test]
async fn a_connection_is_kept_after_an_answer_that_was_streamed() {
    let host = Host::with(service("probe").everywhere())
        .http("limits = { write-timeout = \"100ms\" }")
        .start()
        .await;
    for (protocol, mut connection) in Connection::both(&host).await {
        for _ in 0..3 {
            let reply = connection
                .ask(at(
                    "probe",
                    protocol,
                    get("/content-length-lie/300000/300000"),
                ))
                .await;
            assert_eq!(reply.body.len(), 300_000, "{protocol}");
            tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        }
    }
}
