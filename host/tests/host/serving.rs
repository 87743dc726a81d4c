//! A request and its answer, in HTTP/1.0, 1.1 and 2.

use crate::fixture::{Connection, Host, Wire, empty, full, get, request, service};

async fn hello() -> Host {
    Host::with(service("hello").everywhere()).start().await
}

#[tokio::test]
async fn an_unmodified_component_answers_in_both_protocols() {
    let host = hello().await;
    for (protocol, mut connection) in Connection::both(&host).await {
        let reply = connection.ask(get("/")).await.expect(200);
        assert_eq!(reply.text(), "hello from skep\n", "{protocol}");
        assert_eq!(reply.header("content-length"), "16", "{protocol}");
        assert!(reply.headers.contains_key("date"), "{protocol}");
    }
}

#[tokio::test]
async fn a_wasi_0_3_component_answers_in_both_protocols() {
    let host = Host::with(service("hello").component("hello-p3").everywhere())
        .start()
        .await;
    for (protocol, mut connection) in Connection::both(&host).await {
        let reply = connection.ask(get("/")).await.expect(200);
        assert_eq!(reply.text(), "hello from skep\n", "{protocol}");
    }
}

#[tokio::test]
async fn a_connection_serves_many_requests() {
    let host = hello().await;
    for (protocol, mut connection) in Connection::both(&host).await {
        for n in 0..300 {
            let reply = connection.ask(get("/")).await.expect(200);
            assert_eq!(reply.body.len(), 16, "{protocol}, request {n}");
        }
    }
    assert_eq!(host.row("hello")["calls"], 600);
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let host = Host::probe().await;
    let mut wire = Wire::to(&host).await;
    let ask = |path| format!("GET {path} HTTP/1.1\r\nhost: a\r\n\r\n");
    wire.send(ask("/status/201") + &ask("/status/202") + &ask("/status/203"))
        .await;
    for status in ["201", "202", "203"] {
        let head = wire.head().await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{head}");
        // Empty, in chunks.
        if head.contains("transfer-encoding") {
            wire.until("0\r\n\r\n").await;
        }
    }
}

#[tokio::test]
async fn a_head_request_gets_the_head_alone() {
    let host = hello().await;
    for (protocol, mut connection) in Connection::both(&host).await {
        for _ in 0..3 {
            let reply = connection
                .ask(request("HEAD", "/", empty()))
                .await
                .expect(200);
            assert_eq!(reply.header("content-length"), "16", "{protocol}");
            assert_eq!(reply.body.len(), 0, "{protocol}");
        }
        // The guest's body went nowhere; the connection is as good as before.
        assert_eq!(connection.ask(get("/")).await.text(), "hello from skep\n");
    }
    host.at_rest("hello").await;
}

#[tokio::test]
async fn a_head_request_to_an_endless_answer_ends_it() {
    let host = Host::with(service("p3").component("probe-p3").everywhere())
        .start()
        .await;
    for (protocol, mut connection) in Connection::both(&host).await {
        let reply = connection
            .ask(request("HEAD", "/endless", empty()))
            .await
            .expect(200);
        assert_eq!(reply.body.len(), 0, "{protocol}");
    }
    host.at_rest("p3").await;
}

#[tokio::test]
async fn statuses_that_have_no_body_have_none() {
    let host = Host::probe().await;
    for (protocol, mut connection) in Connection::both(&host).await {
        for status in [204, 304] {
            let reply = connection
                .ask(get(&format!("/status/{status}")))
                .await
                .expect(status);
            assert!(reply.whole && reply.body.is_empty(), "{protocol}");
            assert!(
                !reply.headers.contains_key("transfer-encoding"),
                "{protocol}"
            );
        }
        connection.ask(get("/status/418")).await.expect(418);
    }
}

#[tokio::test]
async fn an_informational_status_is_no_answer() {
    let host = Host::probe().await;
    host.get("/status/100").await.expect_problem(502);
    host.get("/").await.expect(200);
}

#[tokio::test]
async fn an_empty_body_is_a_body() {
    let host = Host::probe().await;
    for (protocol, mut connection) in Connection::both(&host).await {
        let reply = connection
            .ask(request("POST", "/count-body", empty()))
            .await
            .expect(200);
        assert_eq!(reply.text(), "0 bytes, whole\n", "{protocol}");
        let reply = connection
            .ask(request("POST", "/echo", full("")))
            .await
            .expect(200);
        assert!(reply.whole && reply.body.is_empty(), "{protocol}");
    }
}

#[tokio::test]
async fn http_1_0_is_served_and_closed() {
    let host = Host::probe().await;
    let answer = host.wire("GET /headers HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(!answer.contains("transfer-encoding"), "{answer}");
    assert!(answer.contains("authority: localhost\n"), "{answer}");
    assert!(answer.contains("scheme: http\n"), "{answer}");
}

#[tokio::test]
async fn a_client_that_says_close_is_closed() {
    let host = hello().await;
    let answer = host
        .wire("GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("hello from skep\n"), "{answer}");
    assert!(
        answer.to_lowercase().contains("connection: close"),
        "{answer}"
    );
}

#[tokio::test]
async fn expect_100_continue_is_answered_when_the_guest_reads() {
    let host = Host::probe().await;
    let mut wire = Wire::to(&host).await;
    wire.send(
        "POST /count-body HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\n\
         expect: 100-continue\r\n\r\n",
    )
    .await;
    assert!(wire.head().await.starts_with("HTTP/1.1 100 "));
    wire.send("four").await;
    assert!(wire.head().await.starts_with("HTTP/1.1 200 "));
    wire.until("4 bytes, whole").await;
}

#[tokio::test]
async fn large_headers_pass_both_ways() {
    let host = Host::probe().await;
    let value = "v".repeat(20_000);
    for (protocol, mut connection) in Connection::both(&host).await {
        let mut asked = get("/headers");
        asked
            .headers_mut()
            .insert("x-large", value.parse().unwrap());
        let reply = connection.ask(asked).await.expect(200);
        assert!(
            reply.text().contains(&format!("header x-large: {value}\n")),
            "{protocol}"
        );
        // hyper's client takes 16 KiB by default in HTTP/2.
        let reply = connection.ask(get("/big-header/12000")).await.expect(200);
        assert_eq!(reply.header("x-big").len(), 12_000, "{protocol}");
    }
}

#[tokio::test]
async fn many_streams_of_one_http2_connection_run_side_by_side() {
    let host = Host::probe().await;
    let connection = Connection::http2(&host).await;
    let asked = (0..50).map(|_| {
        let mut stream = connection.stream();
        async move {
            stream
                .ask(get("/sleep/100"))
                .await
                .expect(200)
                .text()
                .to_owned()
        }
    });
    let answers = futures::future::join_all(asked).await;
    assert!(answers.iter().all(|answer| answer == "slept\n"));
    assert_eq!(host.row("probe")["calls"], 50);
}
