//! A place in a service that a client holds up is given to those who wait for one.

use std::time::Duration;

use crate::fixture::{Connection, Wire, eventually, get, request, streamed};
use crate::frames::{Frames, INITIAL_WINDOW_SIZE, post};
use crate::raw::answers;
use crate::scene::{Scene, plan};

/// Places of the victim.
const PLACES: usize = 4;

/// Slow clients: enough to fill all places three times.
const SLOW: usize = 12;

/// Deadline and time-outs that nobody lives to see: only those who wait can end the slow ones.
async fn scene() -> Scene {
    let limits = format!(
        "concurrency = {PLACES}, queue = 100, deadline = \"120s\", response-body = \"64MiB\""
    );
    let patient = "limits = { body-timeout = \"120s\", write-timeout = \"120s\" }";
    Scene::of(plan(&limits).http(patient)).await
}

/// Waits for the slow ones.
async fn all_places_are_taken(scene: &Scene) {
    let full = |row: &serde_json::Value| row["in_flight"] == PLACES;
    scene.host.until("probe", "all places taken", full).await;
}

/// Others get their turn.
async fn all_are_served(scene: &Scene) {
    for _ in 0..5 {
        scene.host.get("/").await.expect(200);
    }
}

#[tokio::test]
async fn slow_senders_do_not_take_every_place() {
    let scene = scene().await;
    let mut wires = Vec::new();
    for _ in 0..SLOW {
        let mut wire = Wire::to(&scene.host).await;
        wire.send(
            "POST /count-body HTTP/1.1\r\nhost: victim\r\ntransfer-encoding: chunked\r\n\r\n\
             1\r\nx\r\n",
        )
        .await;
        wires.push(wire);
    }
    all_places_are_taken(&scene).await;
    all_are_served(&scene).await;
    // The last ones may stay, as nobody waits any more; the others have been told.
    let told = wires.len() - PLACES;
    eventually("the log to say so", async || {
        let log = scene.host.log();
        let late = log.iter().filter(|line| line["outcome"] == "body-timeout");
        (late.count() >= told).then_some(())
    })
    .await;
    let said = answers(&wires[0].rest_bytes().await);
    assert_eq!(said[0].expect_closing_refusal("a slow body").status, 408);
    drop(wires);
    scene.close().await;
}

#[tokio::test]
async fn slow_senders_of_http2_do_not_take_every_place() {
    let scene = scene().await;
    let mut frames = Frames::to(&scene.host, &[]).await;
    for n in 0..SLOW {
        let stream = u32::try_from(2 * n + 1).unwrap();
        frames.send(&post(stream, "/count-body")).await;
    }
    all_places_are_taken(&scene).await;
    all_are_served(&scene).await;
    drop(frames);
    scene.close().await;
}

#[tokio::test]
async fn slow_readers_do_not_take_every_place() {
    let scene = scene().await;
    let mut wires = Vec::new();
    for _ in 0..SLOW {
        let mut wire = Wire::to(&scene.host).await;
        wire.send("GET /body/50000000 HTTP/1.1\r\nhost: victim\r\n\r\n")
            .await;
        wires.push(wire);
    }
    all_places_are_taken(&scene).await;
    all_are_served(&scene).await;
    drop(wires);
    scene.close().await;
}

#[tokio::test]
async fn slow_readers_of_http2_do_not_take_every_place() {
    let scene = scene().await;
    let mut frames = Frames::to(&scene.host, &[(INITIAL_WINDOW_SIZE, 10)]).await;
    for n in 0..SLOW {
        let stream = u32::try_from(2 * n + 1).unwrap();
        let asked = crate::frames::get(stream, "/body/50000000");
        frames.send(&asked).await;
    }
    all_places_are_taken(&scene).await;
    all_are_served(&scene).await;
    drop(frames);
    scene.close().await;
}

#[tokio::test]
async fn a_slow_client_keeps_a_place_that_nobody_wants() {
    let scene = scene().await;
    let mut connection = Connection::http1(&scene.host).await;
    let (sender, body) = streamed();
    let sending = async {
        sender.send("early").await;
        // Longer than it could lag behind if somebody waited.
        tokio::time::sleep(Duration::from_millis(3500)).await;
        sender.send("late").await;
        drop(sender);
    };
    let others = async {
        for _ in 0..30 {
            scene.host.get("/").await.expect(200);
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    let asked = request("POST", "/count-body", body);
    let (reply, (), ()) = tokio::join!(connection.ask(asked), sending, others);
    assert_eq!(reply.text(), "9 bytes, whole\n");
    scene.host.ask(get("/")).await.expect(200);
    drop(connection);
    scene.close().await;
}

#[tokio::test]
async fn a_guest_that_is_slow_itself_keeps_its_place() {
    let scene = scene().await;
    let mut asleep = tokio::task::JoinSet::new();
    for _ in 0..PLACES {
        let mut connection = Connection::http1(&scene.host).await;
        asleep.spawn(async move { connection.ask(get("/sleep/4000")).await });
    }
    all_places_are_taken(&scene).await;
    // Waits for four seconds, as nobody's client is to blame.
    scene.host.get("/").await.expect(200);
    for reply in asleep.join_all().await {
        reply.expect(200);
    }
    scene.close().await;
}
