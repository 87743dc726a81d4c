//! What works in which language: services made by that language's own tools, of languages/features,
//! each linked to the provider of the next one, driven over HTTP. What is found is the table in
//! docs/languages/README.md.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail and then shows the log, and its tasks end with its runtime"
)]

#[path = "../host/fixture/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the fixture serves other tests too"
)]
mod fixture;
mod table;

use std::io::{Read, Write};
use std::net::TcpListener;
use std::time::{Duration, Instant};

use fixture::{Connection, Host, Plan, Reply, get, guest, request, service, skep, soon, streamed};
use http_body_util::BodyExt;
use table::Table;

/// Each and what it is called in the table.
const LANGUAGES: [(&str, &str); 6] = [
    ("rust", "Rust"),
    ("js", "JavaScript"),
    ("ts", "TypeScript"),
    ("python", "Python"),
    ("c", "C"),
    ("go", "Go"),
];

/// Compiling the components of six languages takes a minute of a quiet machine.
const COMPILED_WITHIN: Duration = Duration::from_secs(240);

const LIBRARY: &str = "\
Bees 240 cloth nature,honey 12.5
Combs 90 paper - -
sold out
unknown 978-0
1650000000000
";
const SHELF: &str = "summer 1 2 Bees\nwinter none\n";

#[tokio::test]
async fn the_table_is_what_works() {
    let elsewhere = Elsewhere::start();
    let plan = everything(&elsewhere);
    warm(&plan);
    let host = plan.start().await;

    let mut table = Table::new(LANGUAGES.map(|(_, title)| title));
    let asked = async |path: &str| {
        let mut replies = Vec::new();
        for (language, _) in LANGUAGES {
            replies.push(ask(&host, language, path).await);
        }
        replies
    };
    let says = |replies: &[Reply], text: &str| -> Vec<bool> {
        let right = |reply: &Reply| reply.status == 200 && reply.body == text.as_bytes();
        replies.iter().map(right).collect()
    };

    table.row(
        "HTTP service (WASI 0.2)",
        &says(&asked("/hello").await, "hello\n"),
    );
    let called = says(&asked("/library").await, LIBRARY);
    table.row("calls another service: records, variants, lists", &called);
    // Each is called by the one before it.
    let by_callee = |by_caller: &[bool]| {
        let mut by_callee = by_caller.to_vec();
        by_callee.rotate_right(1);
        by_callee
    };
    table.row("is called by another service", &by_callee(&called));
    let shelved = says(&asked("/shelf").await, SHELF);
    table.row("uses resources of another service", &shelved);
    table.row("exports resources", &by_callee(&shelved));
    let url = format!("/fetch?{}", elsewhere.url());
    table.row(
        "outgoing HTTP",
        &says(&asked(&url).await, "from elsewhere\n"),
    );
    let told = says(&asked("/config/greeting").await, "good morning\n");
    let untold = asked("/config/none").await;
    let both = told.iter().zip(&untold);
    let config: Vec<bool> = both
        .map(|(told, none)| *told && none.status == 404)
        .collect();
    table.row("configuration and secrets", &config);

    let (mut streamed, mut reused, mut concurrent) = (Vec::new(), Vec::new(), Vec::new());
    for (language, _) in LANGUAGES {
        streamed.push(echoes(&host, &[language]).await);
        reused.push(is_reused(&host, language).await);
        let three = format!("{language}-concurrent");
        concurrent.push(has_concurrent(language) && echoes(&host, &[&three, &three]).await);
    }
    table.row("request and response bodies as streams", &streamed);
    table.row("one instance for many requests", &reused);
    table.row(
        "WASI 0.3: many requests at once in one instance",
        &concurrent,
    );

    host.assert_no_panic();
    assert_eq!(host.stop().await, Some(0));
    table.is_documented();
}

/// Six services, each with the provider of the next language; and by other hosts' names the same
/// services with one instance that is kept, and those of WASI 0.3.
fn everything(elsewhere: &Elsewhere) -> Plan {
    let mut plan = Plan::default();
    let mut routes = String::new();
    let mut route = |name: &str| {
        routes += &format!(
            "[[route]]\nhost = \"{name}.example\"\npath = \"/{{*rest}}\"\nservice = \"{name}\"\n"
        );
    };
    for (at, (language, _)) in LANGUAGES.into_iter().enumerate() {
        let (next, _) = LANGUAGES[(at + 1) % LANGUAGES.len()];
        let links = format!("{{ \"features:library/books\" = \"{next}-provider\" }}");
        let grants = format!(
            "http = [{:?}], config = {{ greeting = {{ env = \"GREETING\", secret = true }} }}",
            elsewhere.origin
        );
        let answering = |name: &str| {
            service(name)
                .component(&format!("{language}-service"))
                .set("links", &links)
                .grants(&grants)
        };
        let kept = format!("{language}-kept");
        plan = plan
            .and(service(&format!("{language}-provider")))
            .and(answering(language))
            .and(
                answering(&kept)
                    .instances("reuse = 100, max = 1, warm = 1")
                    .limits("deadline = \"3s\""),
            );
        route(language);
        route(&kept);
        if has_concurrent(language) {
            let name = format!("{language}-concurrent");
            let component = if language == "rust" {
                "hello-p3"
            } else {
                &name
            };
            plan = plan.and(
                service(&name)
                    .component(component)
                    .instances("max = 1, concurrent = 8"),
            );
            route(&name);
        }
    }
    plan.tables(&routes).env("GREETING", "good morning")
}

/// Where the language's tools can make one.
fn has_concurrent(language: &str) -> bool {
    language == "rust" || guest_is_there(&format!("{language}-concurrent"))
}

fn guest_is_there(name: &str) -> bool {
    let beside = guest("hello");
    beside.with_file_name(format!("{name}.wasm")).is_file()
}

/// Has everything compiled, which takes longer than a host of a test is otherwise waited for.
fn warm(plan: &Plan) {
    let directory = tempfile::tempdir().unwrap();
    let manifest = plan.write(directory.path());
    let mut command = skep();
    command.arg("run").arg(manifest).env("GREETING", "x");
    let mut host = command.args(["--listen", "127.0.0.1:0"]).spawn().unwrap();
    let mut said = host.stderr.take().unwrap();
    let until = Instant::now() + COMPILED_WITHIN;
    let mut text = String::new();
    let mut piece = [0; 4096];
    while !text.contains("http://127.0.0.1") {
        let read = said.read(&mut piece).unwrap();
        text.push_str(&String::from_utf8_lossy(&piece[..read]));
        assert!(read > 0, "the host ended: {text}");
        assert!(Instant::now() < until, "not compiled in time: {text}");
    }
    host.kill().unwrap();
    host.wait().unwrap();
}

async fn ask(host: &Host, service: &str, path: &str) -> Reply {
    let reply = Connection::http1(host)
        .await
        .ask(to(service, get(path)))
        .await;
    println!("{service} {path}: {} {:?}", reply.status, reply.body);
    reply
}

fn to<T>(service: &str, mut request: http::Request<T>) -> http::Request<T> {
    let host = format!("{service}.example").parse().unwrap();
    request.headers_mut().insert("host", host);
    request
}

/// Whether each piece comes back before the next is sent, on connections that take turns.
async fn echoes(host: &Host, services: &[&str]) -> bool {
    let mut exchanges = Vec::new();
    for service in services {
        let (sender, body) = streamed();
        let asked = to(service, request("POST", "/echo", body));
        let mut connection = Connection::http1(host).await;
        assert!(sender.send("first").await);
        let response = connection.send(asked).await.unwrap();
        if response.status() != 200 {
            return false;
        }
        exchanges.push((connection, sender, response.into_body()));
    }
    for word in ["first", "second", "third"] {
        for (_, sender, body) in &mut exchanges {
            if word != "first" {
                assert!(sender.send(word).await);
            }
            let mut back = Vec::new();
            while back.len() < word.len() {
                let piece = soon("a piece that was sent", body.frame()).await;
                let Some(Ok(frame)) = piece else {
                    return false;
                };
                back.extend_from_slice(&frame.into_data().unwrap_or_default());
            }
            assert_eq!(back, word.as_bytes());
        }
    }
    for (_, sender, mut body) in exchanges {
        drop(sender);
        let ended = soon("the end", body.frame()).await;
        assert!(
            ended.is_none_or(|frame| frame.unwrap().into_data().unwrap_or_default().is_empty())
        );
    }
    true
}

/// Whether the service's only instance answers one request after the other.
async fn is_reused(host: &Host, language: &str) -> bool {
    let kept = format!("{language}-kept");
    for _ in 0..3 {
        let reply = ask(host, &kept, "/library").await;
        if reply.status != 200 || reply.body != LIBRARY.as_bytes() {
            return false;
        }
    }
    let row = host.row(&kept);
    row["instances"] == 1 && row["crashes"] == 0
}

/// A server of another application.
struct Elsewhere {
    origin: String,
}

impl Elsewhere {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let origin = format!("http://{}", listener.local_addr().unwrap());
        // It ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                    head.push(byte[0]);
                }
                let page = head.starts_with(b"GET /page HTTP/1.1\r\n");
                let body = if page { "from elsewhere\n" } else { "what?\n" };
                let length = body.len();
                let _ = write!(
                    stream,
                    "HTTP/1.1 200 OK\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
                );
            }
        });
        Self { origin }
    }

    fn url(&self) -> String {
        format!("{}/page", self.origin)
    }
}
