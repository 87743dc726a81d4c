//! Handlers that one service imports and another exports: chains of middleware.

use super::fixture::{Body, Connection, Host, Reply, Service, full, get, request, service};
use super::says;

/// Passes on to the service of this name, of WASI 0.2.
fn guard(to: &str) -> Service {
    let links = format!("{{ \"wasi:http/incoming-handler\" = \"{to}\" }}");
    let guard = service("guard").component("middleware");
    guard.set("links", &links).everywhere()
}

/// The same of WASI 0.3.
fn mark(to: &str) -> Service {
    let links = format!("{{ \"wasi:http/handler\" = \"{to}\" }}");
    let mark = service("mark").component("middleware-p3");
    mark.set("links", &links).everywhere()
}

/// The request with the key that the guard wants.
fn with_key(mut request: http::Request<Body>) -> http::Request<Body> {
    let open = http::HeaderValue::from_static("open");
    request.headers_mut().insert("x-key", open);
    request
}

async fn ask(host: &Host, path: &str) -> Reply {
    let request = with_key(get(path));
    Connection::http1(host).await.ask(request).await
}

#[tokio::test]
async fn requests_go_through_and_answers_come_back() {
    let host = Host::with(guard("probe"))
        .and(service("probe"))
        .start()
        .await;
    let refused = Connection::http1(&host).await.ask(get("/headers")).await;
    assert_eq!(refused.status, 401);
    let seen = ask(&host, "/headers?a=b").await.expect(200);
    assert!(seen.text().contains("/headers?a=b"), "{}", seen.text());
    assert!(seen.text().contains("x-key: open"), "{}", seen.text());
    assert_eq!(ask(&host, "/status/418").await.status, 418);
    // More than any buffer on the way.
    let body = ask(&host, "/body/3000000").await.expect(200);
    assert_eq!(body.body.len(), 3_000_000);
    let said = with_key(request("POST", "/echo", full("said")));
    let echoed = Connection::http1(&host).await.ask(said).await;
    says(echoed, "said");
    for service in ["guard", "probe"] {
        assert_eq!(host.at_rest(service).await["crashes"], 0);
    }
    host.assert_no_panic();
}

#[tokio::test]
async fn handlers_of_wasi_0_3_form_chains_too() {
    let host = Host::with(mark("probe-p3"))
        .and(service("probe-p3"))
        .start()
        .await;
    let reply = ask(&host, "/headers").await.expect(200);
    assert_eq!(reply.header("x-passed"), "through");
    let body = ask(&host, "/body/3000000").await.expect(200);
    assert_eq!(body.body.len(), 3_000_000);
    for service in ["mark", "probe-p3"] {
        assert_eq!(host.at_rest(service).await["crashes"], 0);
    }
    host.assert_no_panic();
}

#[tokio::test]
async fn who_fails_is_blamed_and_who_passed_on_is_not() {
    let probe = service("probe").limits("deadline = \"300ms\"");
    let host = Host::with(guard("probe")).and(probe).start().await;
    ask(&host, "/trap").await.expect_problem(502);
    let line = host.access("/trap").await;
    assert_eq!(line["outcome"], "callee-failed", "{line}");
    ask(&host, "/sleep/60000").await.expect_problem(504);
    host.until("probe", "a crash", |row| row["crashes"] == 1)
        .await;
    let row = host.at_rest("guard").await;
    assert_eq!((&row["crashes"], &row["restarts"]), (&0.into(), &0.into()));
    says(ask(&host, "/status/200").await, "");
}

#[tokio::test]
async fn a_guest_of_wasi_0_3_is_told_why_it_got_no_answer() {
    let probe = service("probe-p3").limits("deadline = \"300ms\"");
    let host = Host::with(mark("probe-p3")).and(probe).start().await;
    for (path, code) in [
        ("/trap", "ErrorCode::ConnectionTerminated"),
        ("/sleep/60000", "ErrorCode::HttpResponseTimeout"),
    ] {
        let reply = ask(&host, path).await;
        assert_eq!(reply.status, 503);
        assert_eq!(reply.header("x-refused"), code);
    }
    let row = host.at_rest("mark").await;
    assert_eq!(row["crashes"], 0, "{row}");
}

#[tokio::test]
async fn a_client_that_goes_away_cancels_the_whole_chain() {
    let limits = "deadline = \"1h\"";
    let probe = service("probe").limits(limits);
    let host = Host::with(guard("probe").limits(limits))
        .and(probe)
        .start()
        .await;
    let mut connection = Connection::http1(&host).await;
    let request = with_key(get("/sleep/3600000"));
    let asking = tokio::spawn(async move { connection.send(request).await.map(drop) });
    host.until("probe", "a request", |row| row["in_flight"] == 1)
        .await;
    asking.abort();
    for service in ["guard", "probe"] {
        host.at_rest(service).await;
    }
}

#[tokio::test]
async fn a_circle_of_handlers_comes_to_an_end() {
    let host = Host::with(guard("guard")).start().await;
    ask(&host, "/").await.expect_problem(502);
    host.at_rest("guard").await;
    host.assert_no_panic();
}

#[tokio::test]
async fn a_hundred_services_in_a_random_graph_start_and_serve() {
    const SERVICES: usize = 100;
    // Each passes on to one of those after it, and the last answers.
    let mut random = 7_u64;
    let mut after = |n: usize| {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        // Steps long enough that no chain is deeper than calls may be.
        (n + 8 + (random >> 33) as usize % 16).min(SERVICES - 1)
    };
    let name = |n: usize| match n {
        n if n == SERVICES - 1 => "probe".to_owned(),
        n => format!("s{n}"),
    };
    let mut plan = Host::with(service("probe"));
    let mut routes = String::new();
    for n in 0..SERVICES - 1 {
        let links = format!(
            "{{ \"wasi:http/incoming-handler\" = \"{}\" }}",
            name(after(n))
        );
        let one = service(&name(n)).component("middleware");
        plan = plan.and(one.set("links", &links));
        routes +=
            &format!("[[route]]\nhost = \"s{n}\"\npath = \"/{{*rest}}\"\nservice = \"s{n}\"\n");
    }
    let host = plan.tables(&routes).start().await;
    let mut connection = Connection::http1(&host).await;
    for n in 0..SERVICES - 1 {
        let mut asked = with_key(get("/headers"));
        asked.headers_mut().insert("host", name(n).parse().unwrap());
        let reply = connection.ask(asked).await.expect(200);
        assert!(reply.text().contains("x-key: open"), "{}", reply.text());
    }
    assert_eq!(host.at_rest("probe").await["crashes"], 0);
    host.assert_no_panic();
}
