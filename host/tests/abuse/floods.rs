//! HTTP/2 floods: frames that cost the client little and the host something. Each either ends the
//! connection or is taken without harm; which of the two is part of the promise.

use crate::fixture::{eventually, soon};
use crate::frames::{
    ACK, CANCEL, COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM,
    FRAME_SIZE_ERROR, Flooded, Frames, GOAWAY, HEADERS, PING, PRIORITY, PROTOCOL_ERROR,
    PUSH_PROMISE, RST_STREAM, block, field, frame, get, post, reset, settings, window_update,
};
use crate::scene::{Scene, plan};

/// Frames of a flood.
const MANY: u32 = 20_000;

/// What a connection may make the host hold on to while it floods.
const GROWTH: u64 = 24 << 20;

/// Plays a flood; how it ended, and by how much the host grew meanwhile at most.
async fn flood(scene: &Scene, bytes: &[u8]) -> Flooded {
    let before = scene.host.resident();
    std::fs::write(format!("/proc/{}/clear_refs", scene.host.id()), "5").unwrap();
    let frames = Frames::to(&scene.host, &[]).await;
    let end = frames.flood(bytes).await;
    let grown = scene.host.peak_resident().saturating_sub(before);
    assert!(grown < GROWTH, "{end:?}, grew by {} KiB", grown >> 10);
    end
}

/// A client's streams: 1, 3, 5 and so on.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|n| 2 * n + 1)
}

fn many(count: u32, one: impl Fn(u32) -> Vec<u8>) -> Vec<u8> {
    (0..count).flat_map(one).collect()
}

#[tokio::test]
async fn rapid_resets_end_the_connection() {
    // CVE-2023-44487.
    let scene = Scene::usual().await;
    let mut bytes = Vec::new();
    for stream in streams(MANY) {
        bytes.extend(get(stream, "/sleep/30000"));
        bytes.extend(reset(stream));
    }
    let end = flood(&scene, &bytes).await;
    assert_eq!(end, Flooded::Closed(Some(ENHANCE_YOUR_CALM)));
    scene.close().await;
}

#[tokio::test]
async fn resets_that_wait_for_their_guests_end_the_connection() {
    // Slow enough for each request to begin: nothing is pending when it is reset.
    let scene = Scene::usual().await;
    let mut frames = Frames::to(&scene.host, &[]).await;
    let mut resets = 0;
    for stream in streams(2000) {
        if !frames.send(&get(stream, "/sleep/30000")).await {
            break;
        }
        let begun = |row: &serde_json::Value| row["in_flight"] == 1;
        let seen = tokio::select! {
            _ = scene.host.until("probe", "it to begin", begun) => true,
            _ = frames.reader.end() => false,
        };
        if !seen || !frames.send(&reset(stream)).await {
            break;
        }
        scene.host.at_rest("probe").await;
        resets += 1;
    }
    assert!(
        resets < 1000,
        "{resets} requests were begun and thrown away"
    );
    scene.close().await;
}

#[tokio::test]
async fn streams_that_we_have_to_reset_end_the_connection() {
    // CVE-2025-8671, MadeYouReset: the client breaks the rules so that the host resets the stream
    // and forgets it, while its guest works on.
    for offence in [
        |stream| window_update(stream, 0),
        |stream| {
            let mut twice = window_update(stream, 0x7fff_ffff);
            twice.extend(window_update(stream, 0x7fff_ffff));
            twice
        },
        |stream| frame(PRIORITY, 0, stream, &[0; 4]),
        |stream| frame(DATA, 0, stream, b"after the end"),
    ] {
        let scene = Scene::usual().await;
        let mut bytes = Vec::new();
        for stream in streams(2000) {
            bytes.extend(get(stream, "/sleep/30000"));
            bytes.extend(offence(stream));
        }
        let end = flood(&scene, &bytes).await;
        assert!(matches!(end, Flooded::Closed(_)), "{end:?}");
        scene.close().await;
    }
}

#[tokio::test]
async fn endless_header_blocks_end_the_connection() {
    let scene = Scene::usual().await;
    let begin = frame(HEADERS, END_STREAM, 1, &block("GET", "/"));
    let mut large = Vec::new();
    field(&mut large, "x-endless", &"e".repeat(8000));
    for more in [Vec::new(), large[..100].to_vec(), large] {
        let mut bytes = begin.clone();
        bytes.extend(many(MANY / 10, |_| frame(CONTINUATION, 0, 1, &more)));
        let end = flood(&scene, &bytes).await;
        assert!(
            matches!(
                end,
                Flooded::Closed(Some(ENHANCE_YOUR_CALM | COMPRESSION_ERROR))
            ),
            "{end:?}"
        );
    }
    scene.close().await;
}

#[tokio::test]
async fn empty_data_frames_are_no_burden() {
    let scene = Scene::of(plan("deadline = \"30s\"")).await;
    // Of a guest that reads, and of one that does not.
    for path in ["/count-body", "/sleep/20000"] {
        let mut bytes = post(1, path);
        bytes.extend(many(10 * MANY, |_| frame(DATA, 0, 1, b"")));
        flood(&scene, &bytes).await;
    }
    scene.close().await;
}

#[tokio::test]
async fn padding_alone_is_no_burden() {
    const PADDED: u8 = 8;
    let scene = Scene::of(plan("deadline = \"30s\"")).await;
    let mut padding = vec![255];
    padding.resize(256, 0);
    let mut bytes = post(1, "/sleep/20000");
    bytes.extend(many(MANY, |_| frame(DATA, PADDED, 1, &padding)));
    flood(&scene, &bytes).await;
    scene.close().await;
}

#[tokio::test]
async fn pings_settings_priorities_and_window_updates_are_no_burden() {
    let scene = Scene::usual().await;
    let priority = [0, 0, 0, 1, 255];
    let floods = [
        many(10 * MANY, |_| frame(PING, 0, 0, b"floodood")),
        many(10 * MANY, |_| frame(PING, ACK, 0, b"unasked!")),
        many(10 * MANY, |n| settings(&[(4, n % 65_536)])),
        many(10 * MANY, |_| settings(&[(0x7777, 1)])),
        many(10 * MANY, |n| frame(PRIORITY, 0, 2 * n + 3, &priority)),
        many(10 * MANY, |_| window_update(0, 1)),
        many(10 * MANY, |_| frame(0x77, 0, 0, b"unknown kind")),
    ];
    for bytes in floods {
        flood(&scene, &bytes).await;
    }
    scene.close().await;
}

#[tokio::test]
async fn pings_whose_answers_nobody_reads_are_no_burden() {
    let plan = plan("").http("limits = { write-timeout = \"500ms\" }");
    let scene = Scene::of(plan).await;
    let before = scene.host.resident();
    let mut frames = Frames::to(&scene.host, &[]).await;
    let pings = many(10_000, |_| frame(PING, 0, 0, b"floodood"));
    let mut sent = 0;
    while frames.send(&pings).await {
        sent += 10_000;
        assert!(sent < 20_000_000, "nobody stops the client");
    }
    let grown = scene.host.resident().saturating_sub(before);
    assert!(grown < GROWTH, "{sent} pings made it grow by {grown}");
    drop(frames);
    scene.close().await;
}

#[tokio::test]
async fn a_small_block_that_unpacks_to_a_large_one_is_refused() {
    // One field goes into the table, and is then meant a thousand times by a byte each.
    let scene = Scene::usual().await;
    let mut bomb = block("GET", "/");
    let mut value = vec![0x40];
    let mut plain = Vec::new();
    field(&mut plain, "x-bomb", &"b".repeat(3000));
    value.extend_from_slice(&plain[1..]);
    bomb.extend(value);
    bomb.extend(vec![0x80 | 62; 10_000]);
    let mut bytes = Vec::new();
    for stream in streams(20) {
        bytes.extend(frame(HEADERS, END_HEADERS | END_STREAM, stream, &bomb));
    }
    flood(&scene, &bytes).await;
    assert_eq!(scene.host.row("probe")["in_flight"], 0);
    scene.close().await;
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection() {
    let scene = Scene::usual().await;
    let rows: [(&str, Vec<u8>, u32); 9] = [
        ("data on stream 0", frame(DATA, 0, 0, b"x"), PROTOCOL_ERROR),
        ("head on stream 0", get(0, "/"), PROTOCOL_ERROR),
        ("an even stream", get(2, "/"), PROTOCOL_ERROR),
        (
            "a push from a client",
            frame(PUSH_PROMISE, END_HEADERS, 1, &[0, 0, 0, 2]),
            PROTOCOL_ERROR,
        ),
        (
            "a continuation of nothing",
            frame(CONTINUATION, END_HEADERS, 1, b""),
            PROTOCOL_ERROR,
        ),
        (
            "a ping of five bytes",
            frame(PING, 0, 0, b"short"),
            FRAME_SIZE_ERROR,
        ),
        (
            "a frame larger than allowed",
            frame(DATA, 0, 1, &vec![0; 20_000]),
            FRAME_SIZE_ERROR,
        ),
        (
            "a block that is none",
            frame(HEADERS, END_HEADERS | END_STREAM, 1, &[0xff; 20]),
            COMPRESSION_ERROR,
        ),
        (
            "a reset of what never was",
            frame(RST_STREAM, 0, 99, &CANCEL.to_be_bytes()),
            PROTOCOL_ERROR,
        ),
    ];
    for (what, bytes, code) in rows {
        let end = flood(&scene, &bytes).await;
        // An endpoint may say no more than that the protocol was broken.
        let codes = [code, PROTOCOL_ERROR].map(|code| Flooded::Closed(Some(code)));
        assert!(codes.contains(&end), "{what}: {end:?}");
    }
    // Nothing is answered behind a GOAWAY of the client's.
    let mut frames = Frames::to(&scene.host, &[]).await;
    frames.send(&frame(GOAWAY, 0, 0, &[0; 8])).await;
    soon("the close", frames.reader.end()).await;
    scene.close().await;
}

#[tokio::test]
async fn more_streams_than_allowed_are_refused_and_the_others_served() {
    let scene = Scene::of(plan("").http("limits = { streams = 10 }")).await;
    let mut frames = Frames::to(&scene.host, &[]).await;
    let mut bytes = Vec::new();
    for stream in streams(50) {
        bytes.extend(get(stream, "/sleep/300"));
    }
    frames.send(&bytes).await;
    let (mut served, mut refused) = (0, 0);
    while served + refused < 50 {
        let frame = soon("50 ends", frames.reader.next()).await;
        let Some(frame) = frame else { break };
        served += u32::from(frame.kind == DATA && frame.flags & END_STREAM != 0);
        refused += u32::from(frame.kind == RST_STREAM);
    }
    assert!(served >= 10, "{served} served, {refused} refused");
    eventually("no more than allowed", async || {
        let shown = scene.host.log();
        let asked = shown.iter().filter(|line| line["path"] == "/sleep/300");
        (asked.count() == served as usize).then_some(())
    })
    .await;
    drop(frames);
    scene.close().await;
}
