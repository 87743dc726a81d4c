//! Heads and bodies made to be misunderstood: each is refused, or understood in the one way in which
//! nothing is hidden in it. A request that hides in another never reaches a guest.

use crate::fixture::{Host, Wire};
use crate::raw::{Answer, answers};
use crate::scene::{Scene, plan};

/// What must come of a payload.
#[derive(Clone, Copy, Debug)]
enum Verdict {
    /// One refusal, and the connection closes.
    Refused,
    /// One answer from the guest, which has read this much; the connection closes at once.
    Once(usize),
    /// The same, but the connection serves on.
    On(usize),
}
use Verdict::{On, Once, Refused};

/// A request that must never be seen.
const HIDDEN: &str = "GET /report/hidden HTTP/1.1\r\nhost: victim\r\n\r\n";

/// The request behind, which is seen only if the connection serves on.
const BEHIND: &str = "GET /report/behind HTTP/1.1\r\nhost: victim\r\nconnection: close\r\n\r\n";

async fn answered(host: &Host, bytes: &[u8]) -> Vec<Answer> {
    let mut wire = Wire::to(host).await;
    wire.try_send(bytes).await;
    answers(&wire.rest_bytes().await)
}

async fn check(scene: &Scene, what: &str, bytes: &[u8], verdict: Verdict) {
    let said = answered(&scene.host, bytes).await;
    let read = |length: usize| format!("body: {length} bytes, whole\n");
    match verdict {
        Refused => {
            assert_eq!(said.len(), 1, "{what}: {said:#?}");
            said[0].expect_closing_refusal(what);
        }
        Once(length) | On(length) => {
            let first = said.first().unwrap_or_else(|| panic!("{what}: no answer"));
            assert_eq!(first.status, 200, "{what}: {said:#?}");
            assert!(first.text().contains(&read(length)), "{what}: {said:#?}");
            let more = usize::from(matches!(verdict, On(_)));
            assert_eq!(said.len(), 1 + more, "{what}: {said:#?}");
            if more > 0 {
                let behind = said[1].text();
                assert!(
                    behind.contains("path: /report/behind\n"),
                    "{what}: {behind}"
                );
            }
        }
    }
}

/// Plays rows of fields and body; the request line and the host are those of every request.
async fn play(rows: &[(&str, String, Verdict)]) {
    let scene =
        Scene::of(plan("").http("limits = { header-timeout = \"4s\", body-timeout = \"3s\" }"))
            .await;
    for (fields, body, verdict) in rows {
        let sent =
            format!("POST /report/outer HTTP/1.1\r\nhost: victim\r\n{fields}\r\n{body}{BEHIND}");
        let what = format!("{fields:?} {body:?}");
        check(&scene, &what, sent.as_bytes(), *verdict).await;
    }
    scene.host.at_rest("probe").await;
    let log = scene.host.log_text();
    assert!(!log.contains("/report/hidden"), "{log}");
    scene.close().await;
}

fn chunk(data: &str) -> String {
    format!("{:x}\r\n{data}\r\n", data.len())
}

#[tokio::test]
async fn a_length_and_chunks_together_are_read_as_chunks_once() {
    let hidden = HIDDEN.len();
    let cl_te = format!("0\r\n\r\n{HIDDEN}");
    let te_cl = format!("{}0\r\n\r\n", chunk(HIDDEN));
    let length = cl_te.len();
    play(&[
        (
            &format!("content-length: {length}\r\ntransfer-encoding: chunked\r\n"),
            cl_te.clone(),
            Once(0),
        ),
        (
            &format!("transfer-encoding: chunked\r\ncontent-length: {length}\r\n"),
            cl_te.clone(),
            Once(0),
        ),
        (
            "content-length: 4\r\ntransfer-encoding: chunked\r\n",
            te_cl.clone(),
            Once(hidden),
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 4\r\n",
            te_cl.clone(),
            Once(hidden),
        ),
        (
            "content-length: x\r\ntransfer-encoding: chunked\r\n",
            te_cl.clone(),
            Refused,
        ),
        (
            "transfer-encoding: chunked\r\ncontent-length: 4\r\ncontent-length: 5\r\n",
            te_cl,
            Once(hidden),
        ),
    ])
    .await;
}

#[tokio::test]
async fn obfuscated_transfer_encodings_are_refused() {
    let cl_te = format!("0\r\n\r\n{HIDDEN}");
    let length = cl_te.len();
    let refused = [
        "transfer-encoding: xchunked",
        "transfer-encoding: chunked, identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding: chunked\r\ntransfer-encoding: x",
        "transfer-encoding: identity",
        "transfer-encoding: gzip",
        "transfer-encoding:",
        "transfer-encoding: \"chunked\"",
        "transfer-encoding: chunked;q=1",
        "transfer-encoding: chunked\u{b}",
        "transfer-encoding: chunk\0ed",
        "transfer-encoding: chunked\0",
        "transfer-encoding : chunked",
        "transfer-encoding\t: chunked",
        " transfer-encoding: chunked",
        "\ttransfer-encoding: chunked",
        "x: y\r\n transfer-encoding: chunked",
        "transfer-encoding:\r\n chunked",
        "transfer-encoding:\r\n\tchunked",
        "x: y\rtransfer-encoding: chunked",
        "x: y\r\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r",
        "\u{85}transfer-encoding: chunked",
        "transfer\u{200b}-encoding: chunked",
        "[transfer-encoding]: chunked",
        "transfer-encoding; chunked",
    ];
    let rows: Vec<_> = refused
        .iter()
        .map(|te| {
            let fields = format!("content-length: {length}\r\n{te}\r\n");
            (fields, cl_te.clone(), Refused)
        })
        .collect();
    let mut rows: Vec<_> = rows
        .iter()
        .map(|(fields, body, verdict)| (fields.as_str(), body.clone(), *verdict))
        .collect();
    // These are spellings of the same; the length does not count.
    let spellings = [
        "transfer-encoding:chunked",
        "transfer-encoding: \tchunked \t",
        "Transfer-Encoding: ChUnKeD",
        "TRANSFER-ENCODING: CHUNKED",
    ]
    .map(|te| format!("content-length: {length}\r\n{te}\r\n"));
    for fields in &spellings {
        rows.push((fields, cl_te.clone(), Once(0)));
    }
    // And these are other fields: the length counts.
    let others = [
        "transfer_encoding: chunked",
        "x-transfer-encoding: chunked",
        "te: chunked",
    ]
    .map(|te| format!("content-length: {length}\r\n{te}\r\n"));
    for fields in &others {
        rows.push((fields, cl_te.clone(), On(length)));
    }
    play(&rows).await;
}

#[tokio::test]
async fn lengths_that_are_none_are_refused() {
    let refused = [
        "content-length: 4\r\ncontent-length: 5\r\n",
        "content-length: 5\r\ncontent-length: 4\r\n",
        "content-length: 4, 5\r\n",
        "content-length: 4,4\r\n",
        "content-length: 4, 4\r\n",
        "content-length: +4\r\n",
        "content-length: -4\r\n",
        "content-length: -0\r\n",
        "content-length: 0x4\r\n",
        "content-length: 4.0\r\n",
        "content-length: 4e0\r\n",
        "content-length: 4 4\r\n",
        "content-length: 4;\r\n",
        "content-length: \"4\"\r\n",
        "content-length: four\r\n",
        "content-length: \u{664}\r\n",
        "content-length: 4\0\r\n",
        "content-length: 4_0\r\n",
        "content-length:\r\n",
        "content-length: ,\r\n",
        "content-length: 99999999999999999999\r\n",
        "content-length: 18446744073709551615\r\n",
        "content-length: 18446744073709551620\r\n",
        "content-length : 4\r\n",
        "content-length\t: 4\r\n",
        "content-length:\r\n 4\r\n",
        " content-length: 4\r\n",
    ];
    let mut rows: Vec<_> = refused
        .iter()
        .map(|fields| (*fields, HIDDEN.to_owned(), Refused))
        .collect();
    let data = "d".repeat(4);
    for fields in [
        "content-length: 4\r\n",
        "content-length:4\r\n",
        "content-length: \t 4 \t\r\n",
        "content-length: 4\r\ncontent-length: 4\r\n",
        "content-length: 004\r\n",
        "CONTENT-LENGTH: 4\r\n",
    ] {
        rows.push((fields, data.clone(), On(4)));
    }
    let whole = format!("content-length: {}\r\n", HIDDEN.len());
    rows.push((&whole, HIDDEN.to_owned(), On(HIDDEN.len())));
    play(&rows).await;
}

#[tokio::test]
async fn chunks_that_are_none_are_refused() {
    let te = "transfer-encoding: chunked\r\n";
    let hidden = HIDDEN.len();
    let size = format!("{hidden:x}");
    let refused = [
        format!("0x{size}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("+{size}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("-{size}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!(" {size}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("{size} 0\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("{size}\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("{size}\r{HIDDEN}\r\n0\r\n\r\n"),
        format!("{size}\r\n{HIDDEN}0\r\n\r\n"),
        format!("{size}\r\n{HIDDEN}\n0\r\n\r\n"),
        format!("{size}\r\n{HIDDEN}XX0\r\n\r\n"),
        format!("\r\n{size}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("{size};a=b\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("{size};a\nb\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("10000000000000000{size}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("ffffffffffffffffff\r\n{HIDDEN}"),
        format!("fffffffffffffffe\r\n{HIDDEN}"),
        format!(";a=b\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("g\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("{};{}\r\n{HIDDEN}\r\n0\r\n\r\n", size, "e".repeat(20_000)),
        format!("0\r\nno colon\r\n{HIDDEN}"),
        format!("0\r\nx-large: {}\r\n\r\n", "t".repeat(40_000)),
        format!("0\r\n{}\r\n", "x: y\r\n".repeat(200)),
    ];
    let mut rows: Vec<_> = refused
        .iter()
        .map(|body| (te, body.clone(), Refused))
        .collect();
    for body in [
        format!("{size}\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("{}\r\n{HIDDEN}\r\n0\r\n\r\n", size.to_uppercase()),
        format!("0000{size}\r\n{HIDDEN}\r\n000\r\n\r\n"),
        format!("{size};a=b;c=\"d\"\r\n{HIDDEN}\r\n0;e\r\n\r\n"),
        format!("{size} ;a=b\r\n{HIDDEN}\r\n0\r\n\r\n"),
        format!("{size}\r\n{HIDDEN}\r\n0\r\nx-trailer: 1\r\n\r\n"),
        // A trailer changes nothing any more.
        format!("{size}\r\n{HIDDEN}\r\n0\r\ncontent-length: 0\r\ntransfer-encoding: x\r\n\r\n"),
    ] {
        rows.push((te, body, On(hidden)));
    }
    play(&rows).await;
}

#[tokio::test]
async fn chunks_of_http_1_0_are_refused() {
    let scene = Scene::usual().await;
    for fields in [
        "transfer-encoding: chunked\r\n",
        "content-length: 5\r\ntransfer-encoding: chunked\r\n",
        "connection: keep-alive\r\ntransfer-encoding: chunked\r\n",
        "transfer-encoding: identity\r\n",
    ] {
        let sent =
            format!("POST /report/outer HTTP/1.0\r\nhost: victim\r\n{fields}\r\n0\r\n\r\n{HIDDEN}");
        check(&scene, fields, sent.as_bytes(), Refused).await;
    }
    assert!(!scene.host.log_text().contains("/report/hidden"));
    scene.close().await;
}

#[tokio::test]
async fn hosts_that_disagree_are_refused_or_settled() {
    let scene = Scene::usual().await;
    for head in [
        "GET /report HTTP/1.1\r\nhost: victim\r\nhost: other\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\r\nhost: victim\r\n",
        "GET /report HTTP/1.1\r\n",
        "GET /report HTTP/1.1\r\nhost:\r\n",
        "GET /report HTTP/1.1\r\nhost: victim, other\r\n",
        "GET /report HTTP/1.1\r\nhost: victim other\r\n",
        "GET /report HTTP/1.1\r\nhost: victim/other\r\n",
        "GET /report HTTP/1.1\r\nhost: victim?other\r\n",
        "GET /report HTTP/1.1\r\nhost: victim#other\r\n",
        "GET /report HTTP/1.1\r\nhost: victim@other\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\\other\r\n",
        "GET /report HTTP/1.1\r\nhost: victim:port\r\n",
        "GET /report HTTP/1.1\r\nhost: victim:99999999\r\n",
        "GET /report HTTP/1.1\r\nhost : victim\r\n",
        "GET /report HTTP/1.1\r\n host: victim\r\n",
        "GET http://victim@other/report HTTP/1.1\r\nhost: victim\r\n",
        "GET http://victim:80@other/report HTTP/1.1\r\nhost: victim\r\n",
        "GET http:///report HTTP/1.1\r\nhost: victim\r\n",
        "GET victim HTTP/1.1\r\nhost: victim\r\n",
        "GET victim:80 HTTP/1.1\r\nhost: victim\r\n",
        "CONNECT victim:80 HTTP/1.1\r\nhost: victim\r\n",
    ] {
        let sent = format!("{head}connection: close\r\n\r\n");
        let said = answered(&scene.host, sent.as_bytes()).await;
        assert_eq!(said.len(), 1, "{head:?}: {said:?}");
        assert_eq!(said[0].expect_refusal(head).status, 400, "{head:?}");
    }
    // RFC 9112, section 3.2.2: the target's host counts, and the field's is thrown away.
    let sent = "GET http://other:81/report HTTP/1.1\r\nhost: victim\r\nconnection: close\r\n\r\n";
    let said = answered(&scene.host, sent.as_bytes()).await;
    let text = said[0].text();
    assert!(text.contains("authority: other:81\n"), "{text}");
    assert!(!text.contains("victim"), "{text}");
    scene.close().await;
}

#[tokio::test]
async fn lines_that_are_none_are_refused() {
    let scene = Scene::usual().await;
    for head in [
        "GET /report\r\n",
        "GET  /report HTTP/1.1\r\nhost: victim\r\n",
        "GET /report  HTTP/1.1\r\nhost: victim\r\n",
        "GET /report HTTP/1.1 \r\nhost: victim\r\n",
        "GET\t/report\tHTTP/1.1\r\nhost: victim\r\n",
        " GET /report HTTP/1.1\r\nhost: victim\r\n",
        "GET /re port HTTP/1.1\r\nhost: victim\r\n",
        "GET /report\0 HTTP/1.1\r\nhost: victim\r\n",
        "GET /report\u{b} HTTP/1.1\r\nhost: victim\r\n",
        "G\u{ff}T /report HTTP/1.1\r\nhost: victim\r\n",
        "G(T /report HTTP/1.1\r\nhost: victim\r\n",
        "GET /report HTTP/1.2\r\nhost: victim\r\n",
        "GET /report HTTP/2.0\r\nhost: victim\r\n",
        "GET /report HTTP/01.1\r\nhost: victim\r\n",
        "GET /report http/1.1\r\nhost: victim\r\n",
        "GET /report HTTP/1.1\rhost: victim\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\r\nx y: z\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\r\n: z\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\r\nx\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\r\nx: \u{1}\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\r\nx: a\0b\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\r\nx: a\rb\r\n",
        "GET /report HTTP/1.1\r\nhost: victim\r\nx: a\r\n b\r\n",
        "\u{16}\u{3}\u{1}\u{2}\0\u{1}\0\u{1}\u{fc}\u{3}\u{3}",
        "PRI * HTTP/2.0\r\nhost: victim\r\n",
        "*1\r\n$4\r\nPING\r\n",
    ] {
        let sent = format!("{head}\r\n{HIDDEN}");
        let said = answered(&scene.host, sent.as_bytes()).await;
        assert_eq!(said.len(), 1, "{head:?}: {said:?}");
        said[0].expect_closing_refusal(head);
    }
    let log = scene.host.log_text();
    assert!(!log.contains("/report"), "{log}");
    scene.close().await;
}
