//! What is granted can be used, what is not cannot, and a component that needs more than it has
//! been granted is refused before it runs.

use std::os::unix::fs::symlink;

use crate::fixture::{Host, Plan, Reply, service};

#[tokio::test]
async fn configuration_comes_from_the_manifest_a_variable_or_a_file() {
    let host = Host::with(service("configured").everywhere().grants(
        "config = { greeting = \"hi\", name = { env = \"GREETED\" }, end = { file = \"end.txt\" } }",
    ))
    .env("GREETED", "world")
    .file("end.txt", "bye\n")
    .start()
    .await;
    assert_eq!(
        host.get("/config/greeting").await.expect(200).text(),
        "hi\n"
    );
    assert_eq!(host.get("/config/name").await.expect(200).text(), "world\n");
    assert_eq!(host.get("/config/end").await.expect(200).text(), "bye\n");
    host.get("/config/other").await.expect(404);
    assert_eq!(host.get("/config").await.text().lines().count(), 3);
}

#[tokio::test]
async fn configuration_is_told_by_all_drafts_that_guests_import() {
    let host = Host::with(
        service("drafts")
            .everywhere()
            .grants("config = { greeting = \"hi\", name = { env = \"GREETED\" } }"),
    )
    .env("GREETED", "world")
    .start()
    .await;
    let answer = host.get("/config/name").await.expect(200);
    let answer = answer.text();
    let value = "Ok(Some(\"world\"))";
    assert_eq!(answer, format!("{value}\n{value}\n{value}\nOk(2)"));
    let answer = host.get("/config/other").await.expect(200);
    let answer = answer.text();
    assert_eq!(answer, "Ok(None)\nOk(None)\nOk(None)\nOk(2)");
}

#[tokio::test]
async fn what_a_guest_logs_has_its_level_and_its_context() {
    let host = Host::with(
        service("drafts")
            .everywhere()
            .grants("config = { a = \"b\" }"),
    )
    .start()
    .await;
    for (asked, level) in [
        ("trace", "trace"),
        ("debug", "debug"),
        ("warn", "warn"),
        ("error", "error"),
        ("critical", "error"),
    ] {
        let path = format!("/log/{asked}?context=orders&message=number-{asked}");
        host.get(&path).await.expect(200);
        let line = host.message(&format!("number-{asked}")).await;
        assert_eq!(line["kind"], "guest", "{line:?}");
        assert_eq!(line["level"], level, "{line:?}");
        assert_eq!(line["stream"], "log", "{line:?}");
        assert_eq!(line["context"], "orders", "{line:?}");
        assert_eq!(line["service"], "drafts", "{line:?}");
    }
    // Without a context there is none; the limits of the output hold.
    let long = "x".repeat(20_000);
    host.get(&format!("/log/warn?message={long}")).await;
    let line = host.message("xxxx").await;
    assert!(line.get("context").is_none(), "{line:?}");
    assert!(line["message"].as_str().unwrap().len() < 20_000);
}

#[tokio::test]
async fn a_secret_is_told_to_the_guest_and_shown_to_nobody() {
    let secret = "tk-5f3c9d0e";
    let host = Host::with(service("drafts").everywhere().grants(
        "config = { token = { env = \"TOKEN\", secret = true }, plain = \"in the clear\" }, \
         environment = { KEY = { file = \"key.txt\", secret = true } }",
    ))
    .env("TOKEN", secret)
    .file("key.txt", "the key of all keys\n")
    .start()
    .await;
    let answer = host.get("/config/token").await.expect(200);
    let answer = answer.text();
    assert!(answer.contains(secret), "the guest has it: {answer}");

    host.get("/tell/plain").await.expect(502);
    host.message("plain is in the clear.").await;
    host.get("/tell/token").await.expect(502);
    host.message("token is [secret].").await;
    let line = host.message("token: [secret][secret]").await;
    assert_eq!(line["context"], "[secret]");
    host.message("no use for [secret]").await;

    // Not in the log, nor in what the commands and the control API tell of a crash and of settings.
    let crashes = host.control("GET /v1/services/drafts/crashes");
    assert!(crashes.contains("[secret]"), "{crashes}");
    let told = [
        host.log_text(),
        crashes,
        host.control("GET /v1/status"),
        host.control("GET /v1/crashes"),
        host.control("GET /v1/history"),
        host.control("GET /v1/events"),
    ];
    for text in told {
        for shown in [secret, "the key of all keys"] {
            assert!(!text.contains(shown), "{shown} in {text}");
        }
    }
}

#[tokio::test]
async fn a_guest_sees_the_variables_that_it_was_granted_and_no_others() {
    let host = Host::with(
        service("probe")
            .everywhere()
            .grants("environment = { A = \"1\", B = { env = \"HOSTS_B\" } }"),
    )
    .env("HOSTS_B", "2")
    .env("SECRET", "do not tell")
    .start()
    .await;
    let mut lines: Vec<_> = host
        .get("/env")
        .await
        .text()
        .lines()
        .map(str::to_owned)
        .collect();
    lines.sort();
    assert_eq!(lines, ["A=1", "B=2"]);
    assert_eq!(Host::probe().await.get("/env").await.expect(200).text(), "");
}

fn files(directories: &str) -> Plan {
    Host::with(
        service("files")
            .everywhere()
            .grants(&format!("directories = [{directories}]")),
    )
    .file("data/a.txt", "alpha")
    .file("data/sub/b.txt", "beta")
    .file("secret.txt", "secret")
}

fn refused(reply: Reply) {
    let reply = reply.expect(403);
    assert!(!reply.text().contains("secret"), "{}", reply.text());
}

#[tokio::test]
async fn a_read_only_directory_can_be_read_only() {
    let host = files("{ host = \"data\", guest = \"/data\" }")
        .start()
        .await;
    assert_eq!(
        host.get("/read?path=/data/a.txt").await.expect(200).text(),
        "alpha"
    );
    assert_eq!(
        host.get("/list?path=/data").await.expect(200).text(),
        "a.txt\nsub\n"
    );
    for change in [
        "/write?path=/data/a.txt&text=x",
        "/write?path=/data/new.txt&text=x",
        "/append?path=/data/a.txt&text=x",
        "/mkdir?path=/data/new",
        "/remove?path=/data/a.txt",
        "/rename?path=/data/a.txt&to=/data/b.txt",
        "/link?path=a.txt&to=/data/link",
    ] {
        refused(host.get(change).await);
    }
    let left = std::fs::read_to_string(host.directory().join("data/a.txt")).unwrap();
    assert_eq!(left, "alpha");
    assert_eq!(
        std::fs::read_dir(host.directory().join("data"))
            .unwrap()
            .count(),
        2
    );
}

#[tokio::test]
async fn a_read_write_directory_can_be_changed() {
    let host = files("{ host = \"data\", guest = \"/d\", mode = \"read-write\" }")
        .start()
        .await;
    host.get("/write?path=/d/new.txt&text=gamma")
        .await
        .expect(200);
    host.get("/append?path=/d/new.txt&text=delta")
        .await
        .expect(200);
    host.get("/mkdir?path=/d/dir").await.expect(200);
    host.get("/rename?path=/d/new.txt&to=/d/dir/moved.txt")
        .await
        .expect(200);
    host.get("/remove?path=/d/a.txt").await.expect(200);
    let data = host.directory().join("data");
    assert_eq!(
        std::fs::read_to_string(data.join("dir/moved.txt")).unwrap(),
        "gammadelta"
    );
    assert!(!data.join("a.txt").exists());
}

#[tokio::test]
async fn nothing_outside_a_granted_directory_can_be_reached() {
    let plan = files("{ host = \"data\", guest = \"/data\", mode = \"read-write\" }");
    let host = plan.start().await;
    symlink("../secret.txt", host.directory().join("data/way-out")).unwrap();
    let absolute = host.directory().join("secret.txt");
    symlink(&absolute, host.directory().join("data/absolute")).unwrap();
    symlink("..", host.directory().join("data/up")).unwrap();
    for path in [
        "/data/../secret.txt",
        "/data/sub/../../secret.txt",
        "/data/way-out",
        "/data/absolute",
        "/data/up/secret.txt",
        "/secret.txt",
        "/etc/passwd",
        "secret.txt",
        absolute.to_str().unwrap(),
    ] {
        refused(host.get(&format!("/read?path={path}")).await);
    }
    // A link that the guest makes itself leads nowhere either.
    host.get("/link?path=../secret.txt&to=/data/mine").await;
    refused(host.get("/read?path=/data/mine").await);
    refused(host.get("/list?path=/data/up").await);
}

#[tokio::test]
async fn without_a_grant_there_are_no_files() {
    let host = Host::with(service("files").everywhere())
        .file("a.txt", "secret")
        .start()
        .await;
    for path in [
        "/",
        "/a.txt",
        "a.txt",
        ".",
        "/etc/passwd",
        "/proc/self/environ",
    ] {
        refused(host.get(&format!("/read?path={path}")).await);
        refused(host.get(&format!("/list?path={path}")).await);
    }
}

async fn fetching(component: &str, origins: &str) -> Host {
    Host::with(
        service("fetcher")
            .component(component)
            .everywhere()
            .grants(&format!("http = [{origins}]")),
    )
    .start()
    .await
}

#[tokio::test]
async fn outgoing_requests_reach_the_origins_that_are_granted() {
    let peer = Host::probe().await;
    let url = format!("http://{}", peer.address());
    for component in ["fetcher", "fetcher-p3"] {
        let host = fetching(component, &format!("{url:?}")).await;
        let reply = host
            .get(&format!("/fetch?url={url}/headers"))
            .await
            .expect(200);
        assert!(
            reply.text().starts_with("status: 200\n"),
            "{component}: {}",
            reply.text()
        );
        assert!(
            reply
                .text()
                .contains(&format!("authority: {}\n", peer.address()))
        );
        // The peer's problems are the peer's; they are not hidden.
        let reply = host
            .get(&format!("/fetch?url={url}/trap"))
            .await
            .expect(200);
        assert!(
            reply.text().starts_with("status: 502\n"),
            "{component}: {}",
            reply.text()
        );
    }
}

#[tokio::test]
async fn outgoing_requests_to_other_origins_are_denied() {
    let peer = Host::probe().await;
    let other = Host::probe().await;
    for component in ["fetcher", "fetcher-p3"] {
        let host = fetching(component, &format!("\"http://{}\"", other.address())).await;
        let port = other.address().port();
        for url in [
            format!("http://{}/", peer.address()),
            format!("https://{}/", other.address()),
            format!("http://localhost:{port}/"),
            "http://169.254.169.254/latest/meta-data/".to_owned(),
        ] {
            let reply = host.get(&format!("/fetch?url={url}")).await.expect(502);
            assert!(
                reply.text().contains("Denied"),
                "{component} {url}: {}",
                reply.text()
            );
        }
    }
    assert_eq!(peer.row("probe")["calls"], 0);
}

#[tokio::test]
async fn a_grant_for_any_host_does_not_open_private_addresses() {
    let peer = Host::probe().await;
    for component in ["fetcher", "fetcher-p3"] {
        let host = fetching(component, "\"http://*:*\"").await;
        let port = peer.address().port();
        for name in [
            "127.0.0.1",
            "localhost",
            "[::1]",
            "10.0.0.1",
            "169.254.169.254",
            "0.0.0.0",
        ] {
            let path = format!("/fetch?url=http://{name}:{port}/&connect-ms=2000");
            let reply = host.get(&path).await.expect(502);
            assert!(
                reply.text().starts_with("error: "),
                "{component} {name}: {}",
                reply.text()
            );
        }
    }
    assert_eq!(peer.row("probe")["calls"], 0);
}

#[tokio::test]
async fn services_reach_each_other_through_routes() {
    // The port is not known before the host runs, so a second host stands between.
    let peer = Host::probe().await;
    let url = format!("http://{}", peer.address());
    let host = fetching("fetcher", &format!("{url:?}")).await;
    let reply = host
        .get(&format!("/fetch?url={url}/echo&method=POST&body=hello"))
        .await;
    assert!(reply.text().ends_with("\n\nhello"), "{}", reply.text());
    let reply = host
        .get(&format!("/many?url={url}/&n=20"))
        .await
        .expect(200);
    assert_eq!(
        reply.text().matches("status: 200").count(),
        20,
        "{}",
        reply.text()
    );
    let reply = host
        .get(&format!("/proxy?url={url}/body/1000000"))
        .await
        .expect(200);
    assert_eq!(reply.body.len(), 1_000_000);
}

#[tokio::test]
async fn a_guest_that_waits_for_a_peer_is_ended_by_its_deadline() {
    let peer = Host::probe().await;
    let url = format!("http://{}", peer.address());
    let host = Host::with(
        service("fetcher")
            .everywhere()
            .grants(&format!("http = [{url:?}]"))
            .limits("deadline = \"300ms\""),
    )
    .start()
    .await;
    host.get(&format!("/fetch?url={url}/sleep/20000"))
        .await
        .expect_problem(504);
    // And the peer sees that nobody waits any more.
    peer.at_rest("probe").await;
}

#[tokio::test]
async fn an_import_that_is_not_granted_is_refused_with_the_line_that_grants_it() {
    for (component, import, line) in [
        ("fetcher", "wasi:http/outgoing-handler", "grants.http = ["),
        ("fetcher-p3", "wasi:http/client", "grants.http = ["),
        ("configured", "wasi:config/store", "grants.config = {"),
    ] {
        let plan = Host::with(service("it").component(component).everywhere());
        for command in ["check", "run"] {
            plan.run(command, &[]).expect(3).says(&[
                import,
                "not granted",
                "[service.it]",
                line,
                "skep.toml:",
            ]);
        }
    }
}

#[tokio::test]
async fn values_and_directories_that_are_not_there_are_found_by_check() {
    let plan =
        Host::with(service("probe").everywhere().grants(
            "environment = { A = { env = \"SURELY_NOT_SET\" }, B = { file = \"none.txt\" } }",
        ))
        .and(service("files").grants("directories = [{ host = \"none\", guest = \"/d\" }]"));
    plan.run("check", &[])
        .expect(3)
        .says(&["SURELY_NOT_SET", "none.txt", "none", "3 mistakes"]);
}

#[tokio::test]
async fn a_grant_that_is_not_used_is_warned_of() {
    let plan = Host::with(
        service("hello")
            .everywhere()
            .grants("http = [\"https://api.example.com\"]"),
    );
    plan.run("check", &[])
        .expect(0)
        .says(&["makes no outgoing requests"]);
    plan.run("check", &["--strict"]).expect(3);
}
