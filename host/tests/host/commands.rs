//! The commands as people meet them: what they print, where, and with what exit code.

use std::net::TcpListener;

use crate::fixture::{Host, Output, Plan, get, guest, service, skep};

/// Runs `skep` with these arguments in a directory that has this manifest.
pub(crate) fn with_manifest(text: &str, arguments: &[&str]) -> Output {
    let directory = tempfile::tempdir().unwrap();
    let text = text
        .replace("HELLO", guest("hello").to_str().unwrap())
        .replace("WORKER", guest("worker").to_str().unwrap());
    std::fs::write(directory.path().join("skep.toml"), text).unwrap();
    Output::of(skep().args(arguments).current_dir(directory.path()))
}

const GOOD: &str = "name = \"shop\"\n[service.hello]\ncomponent = \"HELLO\"\nroutes = [\"/\"]\n";

#[test]
fn a_good_manifest_is_fine() {
    let output = with_manifest(GOOD, &["check"]).expect(0);
    assert!(
        output.stdout.contains("is fine: 1 services"),
        "{}",
        output.stdout
    );
    with_manifest(GOOD, &["check", "--json"]).expect(0);
    with_manifest(GOOD, &["check", "--no-compile"]).expect(0);
}

async fn serve(arguments: &[&str]) -> Host {
    let mut command = skep();
    command
        .arg("serve")
        .args(arguments)
        .args(["--listen", "127.0.0.1:0"]);
    Host::spawn(command, tempfile::tempdir().unwrap()).await
}

#[tokio::test]
async fn serve_prints_its_url_first_and_needs_no_manifest() {
    let host = serve(&[guest("hello").to_str().unwrap()]).await;
    let first = host.stderr().swap_remove(0);
    assert_eq!(first, format!("http://{}", host.address()));
    assert_ne!(host.address().port(), 0);
    assert_eq!(
        host.get("/any/path").await.expect(200).text(),
        "hello from skep\n"
    );
    assert_eq!(host.access("/any/path").await["service"], "hello");
    assert_eq!(host.stop().await, Some(0));
}

#[tokio::test]
async fn serve_reuses_shares_and_grants_as_told() {
    let probe = guest("probe");
    let host = serve(&[probe.to_str().unwrap(), "--reuse", "2", "--env", "A=b c"]).await;
    for count in [1, 2, 1] {
        assert_eq!(host.get("/count").await.number(), count);
    }
    assert_eq!(host.get("/env").await.text(), "A=b c\n");

    let configured = guest("configured");
    let host = serve(&[configured.to_str().unwrap(), "--config", "greeting=hi"]).await;
    assert_eq!(host.get("/config/greeting").await.text(), "hi\n");

    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("a"), "alpha").unwrap();
    let grant = format!("{}:/d:rw", directory.path().display());
    let host = serve(&[guest("files").to_str().unwrap(), "--dir", &grant]).await;
    assert_eq!(host.get("/read?path=/d/a").await.text(), "alpha");
    host.get("/write?path=/d/b&text=x").await.expect(200);

    let peer = Host::probe().await;
    let url = format!("http://{}", peer.address());
    let host = serve(&[guest("fetcher").to_str().unwrap(), "--http", &url]).await;
    host.get(&format!("/fetch?url={url}/")).await.expect(200);
}

#[test]
fn serve_says_what_is_missing() {
    let output = Output::of(skep().arg("serve").arg(guest("fetcher")));
    output
        .expect(3)
        .says(&["wasi:http/outgoing-handler", "not granted"]);
}

#[tokio::test]
async fn an_address_in_use_is_said_so() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let hello = guest("hello");
    let output = Output::of(skep().arg("serve").arg(&hello).args(["--listen", &address]));
    output.expect(1).says(&[&address, "in use", "--listen"]);
    let plan = Host::with(service("hello").everywhere()).http(&format!("listen = {address:?}"));
    plan.run("run", &[]).expect(1).says(&[&address, "in use"]);
}

#[tokio::test]
async fn a_host_listens_on_all_addresses_of_its_manifest() {
    let plan: Plan =
        Host::with(service("hello").everywhere()).http("listen = [\"127.0.0.1:0\", \"[::1]:0\"]");
    let directory = tempfile::tempdir().unwrap();
    let manifest = plan.write(directory.path());
    let mut command = skep();
    command.arg("run").arg(manifest);
    let host = Host::spawn(command, directory).await;
    host.get("/").await.expect(200);
    let urls: Vec<_> = host.stderr();
    assert!(
        urls.iter().any(|line| line.starts_with("http://[::1]:")),
        "{urls:?}"
    );
}

#[test]
fn the_command_line_is_checked() {
    for arguments in [
        &["fly"][..],
        &["serve"],
        &["run", "--listen", "nowhere"],
        &["check", "--x"],
    ] {
        Output::of(skep().args(arguments)).expect(2);
    }
    let output = Output::of(skep().arg("--help")).expect(0);
    for word in [
        "run",
        "dev",
        "serve",
        "check",
        "inspect",
        "ps",
        "Exit codes",
    ] {
        assert!(output.stdout.contains(word), "{}", output.stdout);
    }
    assert!(!output.stdout.contains("compile"), "{}", output.stdout);
    Output::of(skep().arg("--version")).expect(0);
}

#[test]
fn completions_know_the_commands() {
    for shell in ["bash", "zsh", "fish"] {
        let script = Output::of(skep().args(["completions", shell]))
            .expect(0)
            .stdout;
        for word in ["rollback", "if-generation", "completions"] {
            assert!(script.contains(word), "{shell}: no {word:?}");
        }
    }
    Output::of(skep().args(["completions", "tcsh"])).expect(2);
}

#[test]
fn inspect_shows_what_a_component_is() {
    let output = Output::of(skep().arg("inspect").arg(guest("fetcher"))).expect(0);
    for text in [
        "import wasi:http/outgoing-handler@0.2",
        "export wasi:http/incoming-handler@0.2",
        "sha256",
        "grants.http",
    ] {
        assert!(
            output.stdout.contains(text),
            "no {text:?} in {}",
            output.stdout
        );
    }
    let output = Output::of(skep().arg("inspect").arg(guest("worker"))).expect(0);
    assert!(output.stdout.contains("wasi:cli/run"), "{}", output.stdout);
}

#[tokio::test]
async fn ps_shows_the_services_of_the_running_host() {
    let host = Host::with(service("probe").routes(&["/"]))
        .and(service("work").component("worker"))
        .start()
        .await;
    host.get("/").await.expect(200);
    let ps = |arguments: &[&str]| {
        let output = Output::of(skep().arg("ps").arg(host.manifest()).args(arguments));
        output.expect(0).stdout
    };
    let table = ps(&[]);
    for word in ["SERVICE", "probe", "work", "ready"] {
        assert!(table.contains(word), "{table}");
    }
    let status: serde_json::Value = serde_json::from_str(&ps(&["--json"])).unwrap();
    assert_eq!(status["application"], "app");
    assert_eq!(status["services"][0]["phase"]["name"], "ready");
    assert_eq!(status["services"][1]["kind"], "worker");
    assert_eq!(status["services"][0]["calls"], 1);
    assert!(status["host"]["resident_bytes"].as_u64() > Some(1 << 20));
    // Only the owner may ask.
    use std::os::unix::fs::PermissionsExt as _;
    let socket = host.directory().join(".skep/control.sock");
    assert_eq!(
        std::fs::metadata(socket).unwrap().permissions().mode() & 0o777,
        0o600
    );
}

#[test]
fn ps_without_a_host_says_so() {
    with_manifest(GOOD, &["ps"])
        .expect(1)
        .says(&["no host answers", "skep run"]);
}

#[tokio::test]
async fn the_log_is_json_or_readable_and_goes_where_it_is_told() {
    let host = Host::probe().await;
    host.get("/").await;
    host.access("/").await;
    assert_eq!(
        host.log().len(),
        host.log_text().lines().count(),
        "every line is JSON"
    );

    let plan = || Host::with(service("probe").everywhere());
    let host = plan()
        .argument("--log-format")
        .argument("pretty")
        .start()
        .await;
    host.get("/status/201").await;
    crate::fixture::eventually("a readable line", async || {
        let text = host.log_text();
        (text.contains("GET ") && text.contains("/status/201 201 ")).then_some(())
    })
    .await;
    assert!(!host.log_text().contains('{'), "{}", host.log_text());
    assert!(
        !host.log_text().contains('\x1b'),
        "no colours but on a terminal"
    );

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("log");
    let host = plan()
        .argument("--log-to")
        .argument(file.to_str().unwrap())
        .start()
        .await;
    host.get("/status/202").await;
    crate::fixture::eventually("a line in the file", async || {
        std::fs::read_to_string(&file)
            .ok()
            .filter(|text| text.contains("/status/202"))
    })
    .await;
    assert_eq!(host.log_text(), "");

    let host = plan().http("access-log = false").start().await;
    host.ask(get("/log/1")).await.expect(200);
    host.message("stdout line 0").await;
    assert!(host.log().iter().all(|line| line["kind"] != "request"));
}

#[tokio::test]
async fn a_log_that_nobody_reads_does_not_stop_the_host() {
    use std::process::Stdio;
    let mut command = skep();
    command
        .arg("serve")
        .arg(guest("probe"))
        .args(["--listen", "127.0.0.1:0"]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // The pipe is held open and never read.
    let _unread = child.stdout.take().unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let url = lines.next().unwrap().unwrap();
    let address: std::net::SocketAddr = url.strip_prefix("http://").unwrap().parse().unwrap();
    let ask = |path: String| async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        crate::fixture::soon("an answer", stream.read_to_string(&mut answer))
            .await
            .unwrap();
        answer
    };
    for _ in 0..30 {
        assert!(
            ask("/log/500".to_owned())
                .await
                .starts_with("HTTP/1.1 200 ")
        );
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[tokio::test]
async fn restart_starts_a_service_anew() {
    let host = Host::with(service("probe").everywhere().instances("reuse = 100"))
        .start()
        .await;
    assert_eq!(host.get("/count").await.number(), 1);
    assert_eq!(host.get("/count").await.number(), 2);
    let restart = |name: &str| Output::of(skep().arg("restart").arg(name).arg(host.manifest()));
    restart("probe").expect(0);
    host.until("probe", "restarted", |row| {
        row["restarts"] == 1 && row["phase"]["name"] == "ready"
    })
    .await;
    assert_eq!(
        host.get("/count").await.number(),
        1,
        "no instance of before is used"
    );
    restart("nobody").expect(1).says(&["nobody"]);
    with_manifest(GOOD, &["restart", "hello"])
        .expect(1)
        .says(&["no host answers"]);
}
