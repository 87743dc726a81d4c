//! Tricks with HTTP/2's flow control (RFC 9113, section 5.2).

use crate::fixture::soon;
use crate::frames::{
    DATA, END_STREAM, FLOW_CONTROL_ERROR, Flooded, Frame, Frames, INITIAL_WINDOW_SIZE,
    PROTOCOL_ERROR, RST_STREAM, frame, get, post, settings, window_update,
};
use crate::scene::{Scene, plan};

#[tokio::test]
async fn windows_that_overflow_end_the_connection() {
    let scene = Scene::usual().await;
    for (bytes, code) in [
        (window_update(0, 0x7fff_ffff), FLOW_CONTROL_ERROR),
        (window_update(0, 0), PROTOCOL_ERROR),
        (
            settings(&[(INITIAL_WINDOW_SIZE, u32::MAX)]),
            FLOW_CONTROL_ERROR,
        ),
    ] {
        let end = Frames::to(&scene.host, &[]).await.flood(&bytes).await;
        // An endpoint may say no more than that the protocol was broken.
        let codes = [code, PROTOCOL_ERROR].map(|code| Flooded::Closed(Some(code)));
        assert!(codes.contains(&end), "{bytes:?}: {end:?}");
    }
    scene.close().await;
}

#[tokio::test]
async fn who_sends_more_than_the_window_is_stopped() {
    let scene = Scene::of(plan("deadline = \"30s\"")).await;
    let before = scene.host.resident();
    let mut bytes = post(1, "/sleep/20000");
    for _ in 0..4000 {
        bytes.extend(frame(DATA, 0, 1, &[7; 16_000]));
    }
    let end = Frames::to(&scene.host, &[]).await.flood(&bytes).await;
    assert_eq!(end, Flooded::Closed(Some(FLOW_CONTROL_ERROR)));
    assert!(scene.host.resident().saturating_sub(before) < 16 << 20);
    scene.close().await;
}

#[tokio::test]
async fn a_window_that_opens_and_shuts_gives_the_answer_all_the_same() {
    let scene = Scene::of(plan("deadline = \"30s\"")).await;
    let mut frames = Frames::to(&scene.host, &[(INITIAL_WINDOW_SIZE, 0)]).await;
    frames.send(&get(1, "/body/20000")).await;
    let mut came = 0;
    let mut size = 0;
    while came < 20_000 {
        // Larger, then below what is in use already: the window becomes negative.
        size = if size < 1000 {
            size + 3000
        } else {
            size - 1000
        };
        frames.send(&settings(&[(INITIAL_WINDOW_SIZE, size)])).await;
        frames.send(&window_update(1, 500)).await;
        let piece = |f: &Frame| f.kind == DATA || f.kind == RST_STREAM;
        let piece = frames.reader.until("a piece", piece);
        match tokio::time::timeout(std::time::Duration::from_millis(50), piece).await {
            Ok(piece) if piece.kind == DATA => came += piece.payload.len(),
            Ok(piece) => panic!("reset: {piece:?}"),
            Err(_) => {}
        }
    }
    drop(frames);
    scene.close().await;
}

#[tokio::test]
async fn many_streams_with_shut_windows_hold_little() {
    let plan = plan("response-body = \"64MiB\"").http("limits = { write-timeout = \"700ms\" }");
    let scene = Scene::of(plan).await;
    let before = scene.host.resident();
    let mut all = Vec::new();
    for _ in 0..4 {
        let mut frames = Frames::to(&scene.host, &[(INITIAL_WINDOW_SIZE, 0)]).await;
        for n in 0..25 {
            frames.send(&get(2 * n + 1, "/body/50000000")).await;
        }
        all.push(frames);
    }
    let mut most = 0;
    for frames in &mut all {
        let mut resets = 0;
        while resets < 25 {
            let frame = soon("resets", frames.reader.next()).await;
            let frame = frame.expect("the connection goes on");
            resets += u32::from(frame.kind == RST_STREAM);
            assert!(frame.kind != DATA || frame.flags & END_STREAM == 0);
            most = most.max(scene.host.resident().saturating_sub(before));
        }
    }
    // A hundred guests, each with a MiB of memory and what it has written; not what they would write.
    assert!(most < 192 << 20, "grew by {} KiB", most >> 10);
    drop(all);
    scene.close().await;
}
