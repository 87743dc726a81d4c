//! The commands as people meet them: what they print, where, and with what exit code.

use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use crate::fixture::{Host, Output, Plan, get, guest, service, skep};

/// Runs `skep` with these arguments in a directory that has this manifest.
fn with_manifest(text: &str, arguments: &[&str]) -> Output {
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

/// Manifests with one mistake each: the text, where it is, and what has to be said.
const BAD: &[(&str, &str, &str)] = &[
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\nroute = [\"/\"]\n",
        "4:1",
        "route",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = 7\n",
        "3:13",
        "must be a path",
    ),
    ("name = \"shop\"\n[service.a\n", "2:", "]"),
    ("[service.a]\ncomponent = \"HELLO\"\n", "", "name"),
    (
        "name = \"Shop!\"\n[service.a]\ncomponent = \"HELLO\"\n",
        "1:8",
        "Shop!",
    ),
    (
        "name = \"shop\"\n[service.\"A b\"]\ncomponent = \"HELLO\"\n",
        "2:",
        "A b",
    ),
    (
        "name = \"shop\"\n[service.a]\nroutes = [\"/\"]\n",
        "2:",
        "component",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\nroutes = [\"cart\"]\n",
        "4:11",
        "cart",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\nroutes = [\"/{*rest}/x\"]\n",
        "4:11",
        "rest",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\nroutes = [\"/x\", \"/x\"]\n",
        "4:",
        "/x",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\nlimits = { memory = \"lots\" }\n",
        "4:21",
        "lots",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\nlimits = { cpu = \"5 minuets\" }\n",
        "4:18",
        "minuets",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\nlimits = { memory = \"64KiB\" }\n",
        "4:",
        "memory",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\ngrants = { http = [\"ftp://x\"] }\n",
        "4:20",
        "ftp",
    ),
    (
        "name = \"shop\"\n[http]\nlisten = \"nowhere\"\n[service.a]\ncomponent = \"HELLO\"\n",
        "3:10",
        "nowhere",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\n[[route]]\npath = \"/x\"\nservice = \"b\"\n",
        "6:11",
        "b",
    ),
    (
        "name = \"shop\"\n[service.w]\ncomponent = \"WORKER\"\nroutes = [\"/\"]\n",
        "4:11",
        "worker",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\nlinks = { \"a:b/c\" = \"a\" }\n",
        "4:",
        "a:b/c",
    ),
    (
        "name = \"shop\"\n[service.a]\ncomponent = \"missing.wasm\"\n",
        "3:13",
        "missing.wasm",
    ),
    (
        "name = \"shop\"\n[http]\ntls = { cert = \"no.pem\", key = \"no.pem\" }\n\
         [service.a]\ncomponent = \"HELLO\"\n",
        "3:",
        "no.pem",
    ),
];

#[test]
fn a_mistake_is_shown_with_its_place_and_starts_nothing() {
    let mut wrong = String::new();
    for (text, place, said) in BAD {
        let output = with_manifest(text, &["check"]);
        let place = format!("skep.toml:{place}");
        let shown = [&place, *said, "1 mistake"]
            .iter()
            .all(|part| output.stderr.contains(part));
        if output.code != Some(3) || !shown {
            wrong += &format!("{place} {said:?}, {:?}:\n{}\n", output.code, output.stderr);
        }
        let run = with_manifest(text, &["run", "--listen", "127.0.0.1:0"]).expect(3);
        assert_eq!(
            run.stderr, output.stderr,
            "run says what check says, and no URL"
        );
        assert_eq!(run.stdout, "");
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[test]
fn mistakes_are_told_to_programs_too() {
    for (text, place, said) in BAD {
        let output = with_manifest(text, &["check", "--json"]).expect(3);
        let rows: serde_json::Value = serde_json::from_str(&output.stdout).unwrap();
        let row = &rows[0];
        assert_eq!(row["severity"], "error", "{text}: {rows}");
        assert!(
            format!("{}:{}", row["line"], row["column"]).starts_with(place),
            "{rows}"
        );
        assert!(row.to_string().contains(said), "{rows}");
    }
}

#[test]
fn all_mistakes_are_found_at_once() {
    let text = "nmae = \"shop\"\nname = \"shop\"\n[service.a]\ncomponent = \"HELLO\"\n\
                routes = [\"a\"]\nlimits = { memory = \"x\", cpu = \"y\" }\n\
                [service.b]\ncomponent = \"HELLO\"\nbild = 1\n";
    let output = with_manifest(text, &["check"]).expect(3);
    output.says(&[
        "skep.toml:1:1",
        ":5:11",
        ":6:21",
        ":6:",
        ":9:1",
        "5 mistakes",
        "Help: ",
    ]);
}

#[test]
fn a_manifest_that_cannot_be_read_is_said_so() {
    let directory = tempfile::tempdir().unwrap();
    let check = |path: &Path| Output::of(skep().arg("check").arg(path)).expect(3);
    check(&directory.path().join("none.toml")).says(&["none.toml", "error: "]);
    check(directory.path()).says(&["error: "]);
    let binary = directory.path().join("binary.toml");
    std::fs::write(&binary, [0xff, 0xfe, 0, 1]).unwrap();
    check(&binary).says(&["error: "]);
    let huge = directory.path().join("huge.toml");
    std::fs::File::create(&huge)
        .unwrap()
        .set_len(20 << 30)
        .unwrap();
    check(&huge).says(&["bytes"]);
}

/// Files that are no component, by name.
fn unfit_files(directory: &Path) -> Vec<(&'static str, std::path::PathBuf)> {
    let hello = std::fs::read(guest("hello")).unwrap();
    let write = |name: &str, bytes: &[u8]| {
        let path = directory.join(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let mut flipped = hello.clone();
    for byte in flipped.iter_mut().skip(200).take(64) {
        *byte ^= 0x55;
    }
    let module = wat::parse_str("(module (func (export \"run\")))").unwrap();
    let library = wat::parse_str("(component)").unwrap();
    let sparse = directory.join("sparse.wasm");
    let file = std::fs::File::create(&sparse).unwrap();
    file.set_len(100 << 30).unwrap();
    std::os::unix::fs::FileExt::write_at(&file, &hello[..8], 0).unwrap();
    let folder = directory.join("folder.wasm");
    std::fs::create_dir(&folder).unwrap();
    let pipe = directory.join("pipe.wasm");
    assert!(
        Command::new("mkfifo")
            .arg(&pipe)
            .status()
            .unwrap()
            .success()
    );
    let secret = write("locked.wasm", b"");
    std::os::unix::fs::symlink("nowhere", directory.join("dangling.wasm")).unwrap();
    vec![
        (
            "truncated",
            write("truncated.wasm", &hello[..hello.len() / 2]),
        ),
        ("cut in its head", write("head.wasm", &hello[..6])),
        ("corrupt", write("corrupt.wasm", &flipped)),
        ("core module", write("module.wasm", &module)),
        ("nothing to run", write("library.wasm", &library)),
        ("empty", secret),
        ("text", write("text.wasm", b"#!/bin/sh\necho hello\n")),
        ("enormous", sparse),
        ("directory", folder),
        ("pipe", pipe),
        ("dangling", directory.join("dangling.wasm")),
        ("missing", directory.join("missing.wasm")),
        ("device", "/dev/zero".into()),
    ]
}

#[test]
fn a_file_that_is_no_component_is_refused_by_every_command() {
    let directory = tempfile::tempdir().unwrap();
    for (what, path) in unfit_files(directory.path()) {
        let name = path.file_name().unwrap().to_str().unwrap();
        let component = format!("./{name}");
        let component = if path.starts_with("/dev") {
            "/dev/zero"
        } else {
            &component
        };
        let plan = Host::with(service("it").component(component).everywhere());
        let manifest = plan.write(directory.path());
        for command in ["check", "run"] {
            let output = Output::of(skep().arg(command).arg(&manifest));
            assert_eq!(output.code, Some(3), "{what} {command}: {}", output.stderr);
            let output = output.says(&["skep.toml:5:13", "1 mistake"]);
            assert!(
                !output.stderr.contains("http://127"),
                "{what}: {}",
                output.stderr
            );
        }
        let output = Output::of(
            skep()
                .arg("serve")
                .arg(&path)
                .args(["--listen", "127.0.0.1:0"]),
        );
        assert_eq!(output.code, Some(3), "{what} serve: {}", output.stderr);
        output.says(&["error: "]);
        if what != "nothing to run" {
            let output = Output::of(skep().arg("inspect").arg(&path));
            assert_eq!(output.code, Some(3), "{what} inspect: {}", output.stderr);
            output.says(&["error: "]);
        }
    }
}

#[test]
fn a_service_beside_a_bad_one_is_not_started_either() {
    let plan = Host::with(service("good").component("hello").everywhere())
        .and(service("bad").component("./none.wasm"));
    let output = plan.run("run", &["--listen", "127.0.0.1:0"]).expect(3);
    assert!(!output.stderr.contains("http://127"), "{}", output.stderr);
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
    for word in ["run", "serve", "check", "inspect", "ps", "Exit codes"] {
        assert!(output.stdout.contains(word), "{}", output.stdout);
    }
    assert!(!output.stdout.contains("compile"), "{}", output.stdout);
    Output::of(skep().arg("--version")).expect(0);
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
