//! Whatever is refused is told in a problem document, also what no handler has seen.

use super::{Host, ask};

#[tokio::test]
async fn every_refusal_is_a_problem_document() {
    let host = Host::probe().await;
    let json = "content-type: application/json\r\n";
    let call = "POST /v1/services/probe/call";
    let rows = [
        ("GET /", "", "", 404, "no /"),
        ("GET /v1/nothing", "", "", 404, "/v1/nothing"),
        ("DELETE /v1/status", "", "", 405, "DELETE"),
        ("POST /v1/services/cart/restart", "", "", 404, "`cart`"),
        ("POST /v1/services/NO%2f/restart", "", "", 404, "`NO/`"),
        ("GET /v1/services/%ff/crashes", "", "", 400, "UTF-8"),
        (call, "", "{}", 415, "Content-Type"),
        (call, json, "{", 400, "JSON"),
        (call, json, "{}", 400, "interface"),
        ("POST /v1/apply", json, "{\"manifest\": 1}", 400, "manifest"),
        ("POST /v1/apply", json, "{\"x\": 1}", 400, "unknown field"),
        ("POST /v1/services/probe/deploy", json, "", 415, "wasm"),
        (
            "POST /v1/apply",
            "content-type: application/json\r\nif-match: \"one\"\r\n",
            "{\"manifest\": \"skep.toml\"}",
            400,
            "If-Match",
        ),
    ];
    for (request, fields, body, status, text) in rows {
        let detail = ask(&host, request, fields, body).problem(status);
        assert!(detail.contains(text), "{request}: {detail}");
    }
    let allow = ask(&host, "DELETE /v1/status", "", "").head;
    assert!(allow.contains("allow: get,head"), "{allow}");
}

#[tokio::test]
async fn what_is_too_large_is_a_problem_document() {
    let host = Host::probe().await;
    let json = "content-type: application/json\r\n";
    let long = format!("{{\"manifest\": \"{}\"}}", "x".repeat(1 << 20));
    ask(&host, "POST /v1/apply", json, &long).problem(413);
}
