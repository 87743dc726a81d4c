//! Clients that take their time: with the head, with the body, with the answer, or that close half.

use std::time::Duration;

use http_body_util::BodyExt;

use crate::fixture::{Connection, Wire, eventually, get, request, soon, streamed};
use crate::frames::{
    CONTINUATION, DATA, END_STREAM, Flooded, Frames, HEADERS, INITIAL_WINDOW_SIZE, frame, post,
    window_update,
};
use crate::raw::answers;
use crate::scene::{Scene, plan};

/// Slow clients at the same time.
const MANY: usize = 50;

/// A rather impatient host.
const IMPATIENT: &str = "limits = { header-timeout = \"500ms\", idle-timeout = \"500ms\", \
                         body-timeout = \"600ms\", write-timeout = \"600ms\" }";

#[tokio::test]
async fn slow_heads_end_with_408_and_hold_nothing() {
    let scene = Scene::of(plan("").http(IMPATIENT)).await;
    let mut wires = Vec::new();
    for n in 0..MANY {
        let mut wire = Wire::to(&scene.host).await;
        // Some stop within the request line, some after a field.
        let begun = [
            "G",
            "GET /slow",
            "GET / HTTP/1.1\r\nhost: victim\r\nx-slow: ",
        ][n % 3];
        wire.send(begun).await;
        wires.push(wire);
    }
    for wire in &mut wires {
        let said = answers(&wire.rest_bytes().await);
        assert_eq!(said.len(), 1, "{said:?}");
        assert_eq!(said[0].expect_closing_refusal("a slow head").status, 408);
    }
    let late = |line: &serde_json::Value| line["outcome"] == "header-timeout";
    let lines = eventually("a line for each", async || {
        let lines: Vec<_> = scene.host.log().into_iter().filter(late).collect();
        (lines.len() == MANY).then_some(lines)
    })
    .await;
    assert_eq!(lines[0]["kind"], "request");
    assert_eq!(lines[0]["status"], 408);
    assert!(lines[0]["duration_ms"].as_f64().unwrap() >= 400.0);
    scene.close().await;
}

#[tokio::test]
async fn slow_heads_of_http2_end_with_the_connection() {
    let scene = Scene::of(plan("").http(IMPATIENT)).await;
    // A block that is never complete, on a new connection and on one that has served.
    for served in [false, true] {
        let mut frames = Frames::to(&scene.host, &[]).await;
        let mut stream = 1;
        if served {
            frames.send(&crate::frames::get(1, "/")).await;
            let done = |f: &crate::frames::Frame| f.kind == DATA && f.flags & END_STREAM != 0;
            frames.reader.until("the first answer", done).await;
            stream = 3;
        }
        frames.send(&frame(HEADERS, 0, stream, b"\x82")).await;
        frames.send(&frame(CONTINUATION, 0, stream, b"")).await;
        soon("the close", frames.reader.end()).await;
    }
    scene.close().await;
}

#[tokio::test]
async fn an_idle_http2_connection_is_told_before_it_is_closed() {
    let scene = Scene::of(plan("").http(IMPATIENT)).await;
    let mut frames = Frames::to(&scene.host, &[]).await;
    frames.send(&crate::frames::get(1, "/")).await;
    let code = soon("the close", frames.reader.end()).await;
    assert_eq!(code, Some(crate::frames::NO_ERROR));
    scene.close().await;
}

#[tokio::test]
async fn bodies_that_trickle_end_with_408() {
    let scene = Scene::of(plan("deadline = \"30s\"").http(IMPATIENT)).await;
    // Declared: waited for outside of the service. Chunked: within.
    for framing in ["content-length: 1000", "transfer-encoding: chunked"] {
        let chunked = framing.starts_with("transfer");
        let mut wire = Wire::to(&scene.host).await;
        wire.send(format!(
            "POST /count-body HTTP/1.1\r\nhost: victim\r\n{framing}\r\n\r\n"
        ))
        .await;
        // Each byte comes in time; all together they lag ever further behind.
        for _ in 0..100 {
            let piece = if chunked { "1\r\nx\r\n" } else { "x" };
            if !wire.try_send(piece.as_bytes()).await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let said = answers(&wire.rest_bytes().await);
        assert_eq!(said.len(), 1, "{framing}: {said:?}");
        assert_eq!(said[0].expect_closing_refusal(framing).status, 408);
    }
    scene.close().await;
}

#[tokio::test]
async fn bodies_that_trickle_over_http2_end_with_408() {
    let scene = Scene::of(plan("deadline = \"30s\"").http(IMPATIENT)).await;
    let mut frames = Frames::to(&scene.host, &[]).await;
    frames.send(&post(1, "/count-body")).await;
    let trickling = async {
        loop {
            frames.writer.writable().await.unwrap();
            let _ = frames.writer.try_write(&frame(DATA, 0, 1, b"x"));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let answered = frames.reader.until("408", |f| f.kind == HEADERS);
    tokio::select! {
        _ = answered => {}
        () = trickling => {}
    }
    let line = scene.host.access("/count-body").await;
    assert_eq!(line["status"], 408, "{line}");
    assert_eq!(line["outcome"], "body-timeout", "{line}");
    drop(frames);
    scene.close().await;
}

#[tokio::test]
async fn client_and_guest_may_talk_as_slowly_as_they_like() {
    let scene = Scene::of(plan("deadline = \"30s\"").http(IMPATIENT)).await;
    for protocol in ["HTTP/1.1", "HTTP/2"] {
        let mut connection = match protocol {
            "HTTP/1.1" => Connection::http1(&scene.host).await,
            _ => Connection::http2(&scene.host).await,
        };
        let (sender, body) = streamed();
        let asked = request("POST", "/echo", body);
        let (_, response) = tokio::join!(sender.send("0"), connection.send(asked));
        let mut answer = response.unwrap().into_body();
        let mut came = 0;
        for _ in 0..12 {
            // Altogether twice the time that it may lag behind before the answer begins.
            tokio::time::sleep(Duration::from_millis(100)).await;
            assert!(sender.send("x").await, "{protocol}");
        }
        drop(sender);
        while let Some(frame) = soon("a piece", answer.frame()).await {
            came += frame.unwrap().data_ref().map_or(0, bytes::Bytes::len);
        }
        assert_eq!(came, 13, "{protocol}");
    }
    scene.close().await;
}

#[tokio::test]
async fn answers_that_nobody_takes_are_cut() {
    let limits = "deadline = \"30s\", response-body = \"64MiB\"";
    let scene = Scene::of(plan(limits).http(IMPATIENT)).await;
    let mut wires = Vec::new();
    for _ in 0..8 {
        let mut wire = Wire::to(&scene.host).await;
        wire.send("GET /body/50000000 HTTP/1.1\r\nhost: victim\r\n\r\n")
            .await;
        wires.push(wire);
    }
    // HTTP/2: the socket is read, but the stream's window stays shut.
    let mut frames = Frames::to(&scene.host, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    frames.send(&crate::frames::get(1, "/body/50000000")).await;
    let reset = |f: &crate::frames::Frame| f.kind == crate::frames::RST_STREAM;
    let reset = frames.reader.until("the stream's reset", reset).await;
    assert_eq!(reset.stream, 1);
    // The connection itself has done nothing wrong.
    frames.send(&window_update(0, 1 << 20)).await;
    frames.send(&crate::frames::get(3, "/status/204")).await;
    let answered = |f: &crate::frames::Frame| f.kind == HEADERS && f.stream == 3;
    frames.reader.until("another answer", answered).await;
    for line in 0..9 {
        let slow = |line: &serde_json::Value| line["outcome"] == "client-slow";
        eventually("the log to say so", async || {
            (scene.host.log().iter().filter(|line| slow(line)).count() > line).then_some(())
        })
        .await;
    }
    drop((wires, frames));
    scene.close().await;
}

#[tokio::test]
async fn answers_that_are_taken_byte_by_byte_are_cut() {
    let limits = "deadline = \"30s\", response-body = \"64MiB\"";
    let scene = Scene::of(plan(limits).http(IMPATIENT)).await;
    let mut frames = Frames::to(&scene.host, &[(INITIAL_WINDOW_SIZE, 1)]).await;
    frames.send(&crate::frames::get(1, "/body/50000000")).await;
    let sipping = async {
        loop {
            tokio::time::sleep(Duration::from_millis(50)).await;
            frames.writer.writable().await.unwrap();
            let _ = frames.writer.try_write(&window_update(1, 1));
        }
    };
    let reset = |f: &crate::frames::Frame| f.kind == crate::frames::RST_STREAM;
    tokio::select! {
        _ = frames.reader.until("the stream's reset", reset) => {}
        () = sipping => {}
    }
    drop(frames);
    scene.close().await;
}

#[tokio::test]
async fn who_closes_half_has_left() {
    let scene = Scene::usual().await;
    let mut wires = Vec::new();
    for _ in 0..MANY {
        let mut wire = Wire::to(&scene.host).await;
        wire.send("GET /sleep/30000 HTTP/1.1\r\nhost: victim\r\n\r\n")
            .await;
        wires.push(wire);
    }
    let all = |row: &serde_json::Value| row["in_flight"] == MANY;
    scene.host.until("probe", "all of them", all).await;
    for wire in &mut wires {
        wire.half_close().await;
    }
    scene.host.at_rest("probe").await;
    for wire in &mut wires {
        assert_eq!(wire.rest().await, "");
    }
    scene.close().await;
}

#[tokio::test]
async fn who_closes_half_within_a_request_gets_no_guest() {
    let scene = Scene::usual().await;
    for (part, status) in [
        ("GET / HTTP/1.1\r\nhost: vic", None),
        (
            "POST /count-body HTTP/1.1\r\nhost: victim\r\ncontent-length: 9\r\n\r\nhalf",
            Some(400),
        ),
        (
            "POST /count-body HTTP/1.1\r\nhost: victim\r\ntransfer-encoding: chunked\r\n\r\n4\r\nha",
            Some(400),
        ),
    ] {
        let mut wire = Wire::to(&scene.host).await;
        wire.send(part).await;
        wire.half_close().await;
        let said = answers(&wire.rest_bytes().await);
        assert!(said.iter().all(|it| Some(it.status) == status), "{said:?}");
        assert!(said.len() <= 1, "{said:?}");
    }
    scene.close().await;
}

#[tokio::test]
async fn a_silent_connection_is_closed() {
    let scene = Scene::of(plan("").http(IMPATIENT)).await;
    let mut wires = Vec::new();
    for _ in 0..MANY {
        wires.push(Wire::to(&scene.host).await);
    }
    for wire in &mut wires {
        assert_eq!(wire.rest().await, "");
    }
    let frames = Frames::to(&scene.host, &[]).await;
    assert!(matches!(frames.flood(b"").await, Flooded::Closed(_)));
    // Not a word after the answer either.
    let mut connection = Connection::http1(&scene.host).await;
    connection.ask(get("/")).await.expect(200);
    connection.closed().await;
    scene.close().await;
}
