//! What is no request is refused like everything else: a problem, a request id, a line in the log,
//! whatever refused it. And nothing else is taken for such a refusal.

use crate::fixture::{Host, Wire, eventually, service};
use crate::raw::{Answer, answers};
use crate::scene::{Scene, plan};

/// What came last on a connection that sent this, and how many answers came before.
async fn last(host: &Host, bytes: &[u8]) -> (usize, Answer) {
    let mut wire = Wire::to(host).await;
    wire.try_send(bytes).await;
    let mut said = answers(&wire.rest_bytes().await);
    let last = said.pop().expect("an answer");
    (said.len(), last)
}

#[tokio::test]
async fn every_refusal_is_a_problem_with_an_id_and_a_line_in_the_log() {
    let scene = Scene::of(plan("").http("limits = { header-timeout = \"400ms\" }")).await;
    let long = "x".repeat(200_000);
    let fields: String = (0..200).map(|n| format!("x-{n}: 1\r\n")).collect();
    let rows = [
        ("nonsense\r\n\r\n".to_owned(), 400, "not-http"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n".into(), 400, "not-http"),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\nx-large: {long}\r\n\r\n"),
            431,
            "headers-too-large",
        ),
        (
            format!("GET / HTTP/1.1\r\nhost: a\r\n{fields}\r\n"),
            431,
            "headers-too-large",
        ),
        ("GET / HT".into(), 408, "header-timeout"),
    ];
    let good = "GET /status/204 HTTP/1.1\r\nhost: victim\r\n\r\n";
    for (bytes, status, outcome) in rows {
        for before in [0, 1, 3] {
            if status == 408 && before > 0 {
                // Of what is read together with a request nobody knows when it came; see `slow`.
                continue;
            }
            let what = format!("{before} before {:?}", bytes.get(..60).unwrap_or(&bytes));
            let sent = format!("{}{bytes}", good.repeat(before));
            let (others, refusal) = last(&scene.host, sent.as_bytes()).await;
            assert_eq!(others, before, "{what}");
            refusal.expect_closing_refusal(&what);
            assert_eq!(refusal.status, status, "{what}");
            assert!(refusal.field("date").is_some(), "{what}");
            let id = refusal.field("x-request-id").unwrap();
            let line = eventually("its line", async || {
                let log = scene.host.log();
                log.into_iter()
                    .find(|line| line["kind"] == "request" && line["id"] == id)
            })
            .await;
            assert_eq!(line["status"], status, "{line}");
            assert_eq!(line["outcome"], outcome, "{line}");
            assert_eq!(line["client"], "127.0.0.1", "{line}");
            assert_eq!(line["response_bytes"], refusal.body.len(), "{line}");
        }
    }
    scene.close().await;
}

#[tokio::test]
async fn a_target_longer_than_any_is_414() {
    let plan = plan("").http("limits = { header-bytes = \"256KiB\" }");
    let scene = Scene::of(plan).await;
    let target = "t".repeat(70_000);
    let head = format!("GET /{target} HTTP/1.1\r\nhost: a\r\n\r\n");
    let (_, refusal) = last(&scene.host, head.as_bytes()).await;
    assert_eq!(refusal.expect_closing_refusal("414").status, 414);
    scene.close().await;
}

#[tokio::test]
async fn refusals_leave_no_line_where_there_is_no_access_log() {
    let host = Host::with(service("probe").everywhere())
        .http("access-log = false")
        .start()
        .await;
    let (_, refusal) = last(&host, b"nonsense\r\n\r\n").await;
    refusal.expect_closing_refusal("nonsense");
    host.get("/").await.expect(200);
    assert!(!host.log_text().contains("not-http"), "{}", host.log_text());
}

#[tokio::test]
async fn a_guest_may_say_what_a_refusal_says() {
    let scene = Scene::usual().await;
    // Word for word what hyper writes; and a text that ends with it.
    let refusal = "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-length: 0\r\n\
                   date: Mon, 23 Nov 2026 02:22:31 GMT\r\n\r\n";
    for text in [refusal.to_owned(), format!("before {refusal}")] {
        for version in ["1.0", "1.1"] {
            let mut wire = Wire::to(&scene.host).await;
            let length = text.len();
            wire.send(format!(
                "POST /echo HTTP/{version}\r\nhost: victim\r\nconnection: close\r\n\
                 content-length: {length}\r\n\r\n{text}"
            ))
            .await;
            let came = wire.rest_bytes().await;
            // An HTTP/1.0 body lasts until the close.
            let (head, body) = came.split_at(crate::raw::find(&came, b"\r\n\r\n").unwrap() + 4);
            assert!(head.starts_with(b"HTTP/1."), "{head:?}");
            let body = String::from_utf8_lossy(body).into_owned();
            if version == "1.0" {
                assert_eq!(body, text);
            } else {
                assert_eq!(answers(&came)[0].text(), text);
            }
            assert!(!body.contains("problem+json"), "{body}");
        }
    }
    // The same while its connection goes on: what is held back is let through.
    let mut wire = Wire::to(&scene.host).await;
    for _ in 0..3 {
        let length = refusal.len();
        wire.send(format!(
            "POST /echo-declared HTTP/1.1\r\nhost: victim\r\ncontent-length: {length}\r\n\r\n{refusal}"
        ))
        .await;
        wire.head().await;
        let came = wire.until("GMT\r\n\r\n").await;
        assert_eq!(came, refusal);
    }
    drop(wire);
    scene.close().await;
}

#[tokio::test]
async fn a_large_refused_body_does_not_take_the_refusal_with_it() {
    let scene = Scene::of(plan("request-body = \"1KiB\"")).await;
    for framing in ["content-length: 500000", "transfer-encoding: chunked"] {
        for _ in 0..10 {
            let mut wire = Wire::to(&scene.host).await;
            let chunk = if framing.starts_with("transfer") {
                "7a120\r\n"
            } else {
                ""
            };
            let head = format!("POST /count-body HTTP/1.1\r\nhost: victim\r\n{framing}\r\n\r\n");
            wire.try_send(format!("{head}{chunk}{}", "b".repeat(500_000)).as_bytes())
                .await;
            let said = answers(&wire.rest_bytes().await);
            assert_eq!(said.len(), 1, "{framing}: {said:?}");
            assert_eq!(said[0].expect_closing_refusal(framing).status, 413);
        }
    }
    scene.close().await;
}
