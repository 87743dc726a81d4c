//! What a client is told when no guest answers: the right status, a problem, and nothing of the
//! guest's own words, which the log has.

use bytes::Bytes;

use crate::fixture::{Connection, Host, Reply, Wire, empty, full, get, request, service, streamed};

#[tokio::test]
async fn where_no_route_leads_is_404() {
    let host = Host::with(service("probe").routes(&["/a/{*rest}"]))
        .start()
        .await;
    for (_, mut connection) in Connection::both(&host).await {
        connection.ask(get("/b")).await.expect_problem(404);
        connection.ask(get("/a")).await.expect_problem(404);
        // The probe has no such page either, but that is the guest's own 404.
        let reply = connection.ask(get("/a/")).await.expect(404);
        assert_eq!(reply.text(), "probe has no /a\n");
    }
    let line = host.access("/b").await;
    assert_eq!(
        (&line["status"], &line["outcome"]),
        (&404.into(), &"no-route".into())
    );
    assert!(line.get("service").is_none(), "{line}");
}

#[tokio::test]
async fn another_method_is_405_and_allow_says_which() {
    let host = Host::with(service("probe"))
        .tables("[[route]]\npath = \"/\"\nmethods = [\"GET\", \"POST\"]\nservice = \"probe\"")
        .start()
        .await;
    for (_, mut connection) in Connection::both(&host).await {
        let reply = connection
            .ask(request("PUT", "/", empty()))
            .await
            .expect_problem(405);
        let mut allowed: Vec<_> = reply.header("allow").split(", ").collect();
        allowed.sort_unstable();
        assert_eq!(allowed, ["GET", "HEAD", "POST"]);
        connection.ask(get("/")).await.expect(200);
    }
}

#[tokio::test]
async fn a_declared_body_that_is_too_large_is_413_before_it_is_sent() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .limits("request-body = \"1KiB\""),
    )
    .start()
    .await;
    let mut wire = Wire::to(&host).await;
    wire.send("POST /count-body HTTP/1.1\r\nhost: a\r\ncontent-length: 1025\r\n\r\n")
        .await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
    let mut connection = Connection::http2(&host).await;
    let asked = request("POST", "/count-body", full(vec![b'x'; 1025]));
    connection.ask(asked).await.expect_problem(413);
    let asked = request("POST", "/count-body", full(vec![b'x'; 1024]));
    assert_eq!(connection.ask(asked).await.text(), "1024 bytes, whole\n");
    assert_eq!(host.row("probe")["calls"], 1, "the guest saw one of three");
}

#[tokio::test]
async fn an_undeclared_body_that_is_too_large_is_413_whatever_the_guest_makes_of_it() {
    let limits = "request-body = \"100KiB\"";
    let host = Host::with(
        service("p2")
            .component("probe")
            .routes(&["/count-body"])
            .limits(limits),
    )
    .and(
        service("p3")
            .component("probe-p3")
            .set("routes", "[]")
            .limits(limits),
    )
    .tables("[[route]]\nhost = \"p3\"\npath = \"/{*rest}\"\nservice = \"p3\"")
    .start()
    .await;
    for authority in ["p2", "p3"] {
        for (protocol, mut connection) in Connection::both(&host).await {
            let (sender, body) = streamed();
            let mut asked = request("POST", "/count-body", body);
            if protocol == "HTTP/2" {
                *asked.uri_mut() = format!("http://{authority}/count-body").parse().unwrap();
            } else {
                asked
                    .headers_mut()
                    .insert("host", authority.parse().unwrap());
            }
            let sending = async {
                let piece = Bytes::from(vec![1; 64 << 10]);
                for _ in 0..4 {
                    if !sender.send(piece.clone()).await {
                        break;
                    }
                }
                drop(sender);
            };
            let (reply, ()) = tokio::join!(connection.ask(asked), sending);
            reply.expect_problem(413);
        }
    }
    host.assert_no_panic();
}

#[tokio::test]
async fn a_head_with_too_many_fields_is_431() {
    let host = Host::probe().await;
    let fields: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let answer = host
        .wire(format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"))
        .await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");

    let mut asked = get("/");
    for n in 0..200 {
        let name: http::HeaderName = format!("x-{n}").parse().unwrap();
        asked.headers_mut().insert(name, "1".parse().unwrap());
    }
    Connection::http2(&host)
        .await
        .ask(asked)
        .await
        .expect_problem(431);
    host.get("/").await.expect(200);
}

#[tokio::test]
async fn a_head_that_is_too_large_is_431() {
    let host = Host::probe().await;
    for bytes in [40_000, 200_000] {
        let value = "v".repeat(bytes);
        let answer = {
            let mut wire = Wire::to(&host).await;
            let head = format!("GET / HTTP/1.1\r\nhost: a\r\nx-large: {value}\r\n\r\n");
            wire.try_send(head.as_bytes()).await;
            wire.head().await
        };
        assert!(answer.starts_with("HTTP/1.1 431 "), "{bytes}: {answer}");
    }
    let mut asked = get("/");
    asked
        .headers_mut()
        .insert("x-large", "v".repeat(33_000).parse().unwrap());
    let mut connection = Connection::http2(&host).await;
    // Told by status, or by a reset from the protocol's own limit.
    if let Ok(response) = connection.send(asked).await {
        assert_eq!(response.status(), 431);
    }
    host.get("/").await.expect(200);
}

#[tokio::test]
async fn a_long_target_counts_as_part_of_the_head() {
    let host = Host::probe().await;
    let path = format!("/{}", "p".repeat(40_000));
    host.ask(get(&path)).await.expect(431);
}

#[tokio::test]
async fn a_head_that_does_not_come_to_its_end_is_408() {
    let host = Host::with(service("probe").everywhere())
        .http("limits = { header-timeout = \"300ms\" }")
        .start()
        .await;
    for begun in ["GET / HTTP/1.1\r\nhost: a\r\n", "G"] {
        let answer = host.wire(begun).await;
        assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
        assert!(
            answer.to_lowercase().contains("connection: close"),
            "{answer}"
        );
    }
    // The same after a request went well: the next head has a time of its own.
    let mut wire = Wire::to(&host).await;
    wire.send("GET /status/204 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert!(wire.head().await.starts_with("HTTP/1.1 204 "));
    wire.send("GET / HT").await;
    let answer = wire.rest().await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_trickles_its_head_is_not_waited_for() {
    let host = Host::with(service("probe").everywhere())
        .http("limits = { header-timeout = \"300ms\" }")
        .start()
        .await;
    let mut wire = Wire::to(&host).await;
    // Each byte comes in time; the head as a whole does not.
    for byte in "GET / HTTP/1.1\r\nhost: a\r\nx-slow: loris\r\n".bytes() {
        if !wire.try_send(&[byte]).await {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(wire.rest().await.contains("HTTP/1.1 408"));
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed() {
    let host = Host::with(service("probe").everywhere())
        .http("limits = { idle-timeout = \"200ms\", header-timeout = \"400ms\" }")
        .start()
        .await;
    let answer = host
        .wire("GET /status/204 HTTP/1.1\r\nhost: a\r\n\r\n")
        .await;
    assert!(
        answer.starts_with("HTTP/1.1 204 ") && !answer.contains("HTTP/1.1 408"),
        "{answer}"
    );
    let mut connection = Connection::http2(&host).await;
    connection.ask(get("/")).await.expect(200);
    connection.closed().await;
}

#[tokio::test]
async fn a_body_that_pauses_for_too_long_is_408() {
    let host = Host::with(service("probe").everywhere())
        .http("limits = { body-timeout = \"300ms\" }")
        .start()
        .await;
    for (_, mut connection) in Connection::both(&host).await {
        let (sender, body) = streamed();
        sender.send("not all").await;
        connection
            .ask(request("POST", "/count-body", body))
            .await
            .expect_problem(408);
        drop(sender);
    }
    assert_eq!(host.access("/count-body").await["outcome"], "body-timeout");
    host.get("/").await.expect(200);
}

#[tokio::test]
async fn a_body_that_pauses_for_less_is_waited_for() {
    let host = Host::with(service("probe").everywhere())
        .http("limits = { body-timeout = \"20s\" }")
        .start()
        .await;
    let mut connection = Connection::http1(&host).await;
    let (sender, body) = streamed();
    let sending = async {
        for _ in 0..5 {
            sender.send("piece").await;
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
        drop(sender);
    };
    let (reply, ()) = tokio::join!(
        connection.ask(request("POST", "/count-body", body)),
        sending
    );
    assert_eq!(reply.text(), "25 bytes, whole\n");
}

#[tokio::test]
async fn what_cannot_be_understood_is_400() {
    let host = Host::probe().await;
    for head in [
        "GET /a/../b HTTP/1.1\r\nhost: a\r\n",
        "GET /a/%2e%2e/b HTTP/1.1\r\nhost: a\r\n",
        "GET /a%zz HTTP/1.1\r\nhost: a\r\n",
        "GET /a%00 HTTP/1.1\r\nhost: a\r\n",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\nhost: b\r\n",
        "GET / HTTP/1.1\r\nhost: a b\r\n",
        "GET / HTTP/1.1\r\nhost: a/b\r\n",
        "GET / HTTP/1.1\r\nhost: user@a\r\n",
        "GET http://user@a/ HTTP/1.1\r\nhost: a\r\n",
        "CONNECT a:80 HTTP/1.1\r\nhost: a:80\r\n",
    ] {
        let answer = host.wire(format!("{head}connection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert!(
            answer.contains("application/problem+json"),
            "{head:?}: {answer}"
        );
        assert!(answer.contains("x-request-id: "), "{head:?}: {answer}");
    }
    assert_eq!(host.row("probe")["calls"], 0);
}

#[tokio::test]
async fn what_is_not_http_is_400_and_closed() {
    let host = Host::probe().await;
    for bytes in [
        "\r\n\r\n\r\nnonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        "GET / HTTP/1.1\r\nhost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nhost: a\r\n folded: b\r\n\r\n",
        "GET / HTTP/9.9\r\nhost: a\r\n\r\n",
    ] {
        let answer = host.wire(bytes).await;
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 400 "),
            "{bytes:?}: {answer}"
        );
    }
    host.get("/").await.expect(200);
    host.assert_no_panic();
}

#[tokio::test]
async fn requests_cannot_be_smuggled() {
    let host = Host::probe().await;
    for head in [
        "content-length: 4\r\ncontent-length: 5\r\n",
        "content-length: 4, 5\r\n",
        "content-length: +4\r\n",
        "content-length: -4\r\n",
        "transfer-encoding: identity\r\n",
        "transfer-encoding: chunked, identity\r\n",
        "transfer-encoding: xchunked\r\n",
    ] {
        let answer = host
            .wire(format!(
                "POST /count-body HTTP/1.1\r\nhost: a\r\n{head}\r\n0\r\n\r\nGET /x"
            ))
            .await;
        assert!(answer.starts_with("HTTP/1.1 400 "), "{head:?}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn a_full_queue_is_503_with_retry_after() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .limits("concurrency = 1, queue = 0"),
    )
    .start()
    .await;
    let mut busy = Connection::http1(&host).await;
    let first = tokio::spawn(async move { busy.ask(get("/sleep/1500")).await });
    host.until("probe", "a request in flight", |row| row["in_flight"] == 1)
        .await;
    let reply = host.get("/").await.expect_problem(503);
    assert!(reply.header("retry-after").parse::<u64>().unwrap() >= 1);
    assert_eq!(host.access("/").await["outcome"], "queue-full");
    first.await.unwrap().expect(200);
    assert_eq!(host.row("probe")["shed"], 1);
    host.get("/").await.expect(200);
}

#[tokio::test]
async fn a_queue_that_does_not_move_is_503() {
    let limits = "concurrency = 1, queue = 1, deadline = \"400ms\"";
    let host = Host::with(service("probe").everywhere().limits(limits))
        .start()
        .await;
    let mut busy = Connection::http1(&host).await;
    // Each piece comes in time, so that the call as a whole may take long.
    let mut first = busy.send(get("/trickle/50/100")).await.unwrap().into_body();
    let reply = host.get("/").await.expect_problem(503);
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(host.access("/").await["outcome"], "queue-timeout");
    http_body_util::BodyExt::frame(&mut first)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_guest_that_does_not_answer_in_time_is_504() {
    let limits = "deadline = \"300ms\"";
    let host = Host::with(
        service("p2")
            .component("probe")
            .routes(&["/hang", "/"])
            .limits(limits),
    )
    .and(
        service("p3")
            .component("probe-p3")
            .routes(&["/sleep/9999"])
            .limits(limits),
    )
    .start()
    .await;
    for (_, mut connection) in Connection::both(&host).await {
        for path in ["/hang", "/sleep/9999"] {
            connection.ask(get(path)).await.expect_problem(504);
        }
        connection.ask(get("/")).await.expect(200);
    }
    assert_eq!(host.access("/hang").await["outcome"], "deadline");
    host.at_rest("p2").await;
    host.at_rest("p3").await;
}

#[tokio::test]
async fn a_guest_that_never_reads_a_body_that_never_comes_is_504() {
    let host = Host::with(service("probe").everywhere().limits("deadline = \"300ms\""))
        .start()
        .await;
    let mut connection = Connection::http1(&host).await;
    let (sender, body) = streamed();
    // The guest is inside a blocking read when its time is over.
    connection
        .ask(request("POST", "/count-body", body))
        .await
        .expect_problem(504);
    drop(sender);
}

#[tokio::test]
async fn a_routes_own_timeout_goes_before_the_services() {
    let host = Host::with(service("probe").everywhere().limits("deadline = \"20s\""))
        .tables("[[route]]\npath = \"/sleep/{ms}\"\nservice = \"probe\"\ntimeout = \"200ms\"")
        .start()
        .await;
    host.get("/sleep/15000").await.expect_problem(504);
    host.get("/sleep/1").await.expect(200);
}

#[tokio::test]
async fn a_guest_that_fails_is_502_and_the_log_says_how() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .limits("cpu = \"1s\", deadline = \"30s\"")
            .restart("max = 1000, within = \"1s\""),
    )
    .start()
    .await;
    for (path, outcome, said) in [
        ("/trap", "trap", "unreachable"),
        ("/panic", "trap", "unreachable"),
        ("/set-twice", "trap", ""),
        ("/never", "no-response", "without a response"),
        ("/error", "error-code", "own words"),
        ("/spin", "cpu-limit", "limits.cpu"),
        ("/recurse", "trap", "out of bounds"),
        ("/grow-forever", "trap", ""),
        ("/exit/1", "trap", ""),
    ] {
        let reply = host.get(path).await;
        assert_eq!(reply.status, 502, "{path}: {reply:?}");
        reply.expect_problem(502);
        let line = host.access(path).await;
        assert_eq!(line["outcome"], outcome, "{path}: {line}");
        assert!(
            line["error"].as_str().unwrap().contains(said),
            "{path}: {line}"
        );
        assert_eq!(line["level"], "error", "{path}");
        host.get("/").await.expect(200);
    }
    host.assert_no_panic();
}

#[tokio::test]
async fn a_trap_is_logged_with_the_names_of_functions() {
    let host = Host::probe().await;
    let mut asked = get("/trap");
    asked
        .headers_mut()
        .insert("x-request-id", "the-one".parse().unwrap());
    host.ask(asked).await.expect_problem(502);
    let line = host
        .logged("the trap's report", |line| {
            line["request"] == "the-one" && line["kind"] != "request"
        })
        .await;
    let text = line.to_string();
    for word in ["probe", "harm::trap", "aborted"] {
        assert!(text.contains(word), "no {word:?} in {text}");
    }
    assert!(
        !text.contains("/rustc/") || !text.contains("wasmtime::"),
        "{text}"
    );
}

#[tokio::test]
async fn a_panics_words_are_in_the_log_and_nowhere_else() {
    let host = Host::probe().await;
    host.get("/panic").await.expect_problem(502);
    host.logged("the panic's message", |line| {
        line["service"] == "probe"
            && line
                .to_string()
                .contains("on purpose: /panic was asked for")
    })
    .await;
}

#[tokio::test]
async fn a_trap_after_the_head_breaks_the_body_off_and_is_logged() {
    let host = Host::probe().await;
    let mut connection = Connection::http1(&host).await;
    if let Ok(response) = connection.send(get("/trap-after-head")).await {
        let reply = Reply::of(response).await;
        assert!(!reply.whole || reply.status == 502, "{reply:?}");
    }
    let line = host.access("/trap-after-head").await;
    assert_eq!(line["outcome"], "trap", "{line}");
    host.get("/").await.expect(200);
    assert_eq!(host.row("probe")["crashes"], 1);
}

#[tokio::test]
async fn senders_who_dawdle_take_nobodys_place() {
    let alone = service("probe").limits("concurrency = 1, queue = 0");
    let host = Host::with(alone.everywhere()).start().await;
    let mut dawdlers = Vec::new();
    for _ in 0..8 {
        let mut wire = Wire::to(&host).await;
        wire.send("POST /count-body HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nab")
            .await;
        dawdlers.push(wire);
    }
    // There is one place and no queue: it must be free for whoever has sent a whole request.
    for _ in 0..3 {
        host.get("/").await.expect(200);
    }
    for mut wire in dawdlers {
        wire.send("cde").await;
        let head = wire.head().await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    }
}
