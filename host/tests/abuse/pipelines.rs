//! Requests sent without waiting for answers: each is answered, in order, and none in excess.

use crate::fixture::Wire;
use crate::raw::answers;
use crate::scene::{Scene, plan};

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let scene = Scene::usual().await;
    let mut wire = Wire::to(&scene.host).await;
    let mut sent = String::new();
    for n in 0..200 {
        sent += &match n % 3 {
            0 => format!("GET /report/{n} HTTP/1.1\r\nhost: victim\r\n\r\n"),
            1 => format!(
                "POST /report/{n} HTTP/1.1\r\nhost: victim\r\ncontent-length: 5\r\n\r\nGET /"
            ),
            _ => format!(
                "POST /report/{n} HTTP/1.1\r\nhost: victim\r\ntransfer-encoding: chunked\r\n\r\n\
                 5\r\nGET /\r\n0\r\n\r\n"
            ),
        };
    }
    sent += "GET /report/last HTTP/1.1\r\nhost: victim\r\nconnection: close\r\n\r\n";
    sent += "GET /report/beyond HTTP/1.1\r\nhost: victim\r\n\r\n";
    wire.send(&sent).await;
    let said = answers(&wire.rest_bytes().await);
    assert_eq!(said.len(), 201, "nothing after `connection: close`");
    for (n, answer) in said.iter().enumerate().take(200) {
        let text = answer.text();
        assert_eq!(answer.status, 200, "{n}: {text}");
        assert!(
            text.contains(&format!("path: /report/{n}\n")),
            "{n}: {text}"
        );
        let body = if n % 3 == 0 { 0 } else { 5 };
        assert!(
            text.contains(&format!("body: {body} bytes, whole\n")),
            "{text}"
        );
    }
    assert!(!scene.host.log_text().contains("/report/beyond"));
    scene.close().await;
}

#[tokio::test]
async fn who_sends_many_requests_and_reads_nothing_is_stopped() {
    let plan = plan("").http("limits = { write-timeout = \"500ms\" }");
    let scene = Scene::of(plan).await;
    let before = scene.host.resident();
    let mut wire = Wire::to(&scene.host).await;
    let one = "GET /report/flood HTTP/1.1\r\nhost: victim\r\n\r\n".repeat(1000);
    let mut taken = 0;
    // The host stops reading when its answers are not taken, and closes some time later.
    while wire.try_send(one.as_bytes()).await {
        taken += 1000;
        assert!(taken < 10_000_000, "nobody stops the client");
    }
    let grown = scene.host.resident().saturating_sub(before);
    assert!(grown < 16 << 20, "{taken} requests made it grow by {grown}");
    drop(wire);
    scene.close().await;
}

#[tokio::test]
async fn nothing_is_read_behind_what_was_refused() {
    let scene = Scene::usual().await;
    for refused in [
        "nonsense\r\n\r\n",
        "POST /count-body HTTP/1.1\r\nhost: victim\r\ntransfer-encoding: chunked\r\n\r\nz\r\n",
        "POST /count-body HTTP/1.1\r\nhost: victim\r\ncontent-length: 99999999\r\n\r\n",
    ] {
        let mut wire = Wire::to(&scene.host).await;
        let good = "GET /report/before HTTP/1.1\r\nhost: victim\r\n\r\n";
        let after = "GET /report/behind HTTP/1.1\r\nhost: victim\r\n\r\n";
        wire.send(format!("{good}{refused}{after}{after}")).await;
        let said = answers(&wire.rest_bytes().await);
        let statuses: Vec<_> = said.iter().map(|answer| answer.status / 100).collect();
        assert_eq!(statuses, [2, 4], "{refused:?}");
        said[1].expect_closing_refusal(refused);
    }
    assert!(!scene.host.log_text().contains("/report/behind"));
    scene.close().await;
}
