//! Core dumps: whole files of a known format, no more and no larger than wanted, and nothing where
//! nobody asked for them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;
use wasmparser::{KnownCustom, Parser, Payload};

use crate::fixture::{Host, Output, Service, eventually, service, skep};

/// Crashes enough not to be backed off.
const STURDY: &str = "max = 1000, within = \"10s\"";

fn probe(core_dumps: &str) -> Service {
    service("probe")
        .everywhere()
        .restart(STURDY)
        .set("core-dumps", core_dumps)
}

fn directory(host: &Host) -> PathBuf {
    host.directory().join(".skep/core-dumps")
}

/// The files that are there, with those that are being written.
fn files(host: &Host) -> Vec<PathBuf> {
    let mut files: Vec<_> = match std::fs::read_dir(directory(host)) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    files.sort_unstable();
    files
}

/// The crash of that number, once its dump is there.
async fn dumped(host: &Host, service: &str, number: u64) -> (Value, PathBuf) {
    eventually("the core dump", async || {
        let found = host.crashes(service);
        let crashes = found[0]["crashes"].as_array().unwrap().clone();
        let crash = crashes
            .into_iter()
            .find(|crash| crash["number"] == number)?;
        let path = PathBuf::from(crash["core_dump"].as_str()?);
        Some((crash, path))
    })
    .await
}

fn mode(path: &Path) -> u32 {
    path.metadata().unwrap().permissions().mode() & 0o777
}

/// What a debugger finds in a core dump.
#[derive(Debug, Default)]
struct Contents {
    name: String,
    modules: usize,
    /// Of each instance, how many memories it has.
    instances: Vec<usize>,
    memories: u32,
    data: Vec<u8>,
    /// Of each frame, the innermost first: which instance, function and offset.
    frames: Vec<(u32, u32, u32)>,
}

/// Reads the file as any reader of modules would, down to its last byte.
fn read(path: &Path) -> Contents {
    let bytes = std::fs::read(path).unwrap();
    let mut contents = Contents::default();
    let mut ended = false;
    for payload in Parser::new(0).parse_all(&bytes) {
        match payload.unwrap() {
            Payload::MemorySection(memories) => contents.memories = memories.count(),
            Payload::DataSection(segments) => {
                for segment in segments {
                    contents.data.extend_from_slice(segment.unwrap().data);
                }
            }
            Payload::CustomSection(custom) => match custom.as_known() {
                KnownCustom::CoreDump(core) => core.name.clone_into(&mut contents.name),
                KnownCustom::CoreDumpModules(modules) => contents.modules = modules.modules.len(),
                KnownCustom::CoreDumpInstances(instances) => {
                    let memories = instances.instances.iter().map(|i| i.memories.len());
                    contents.instances = memories.collect();
                }
                KnownCustom::CoreDumpStack(stack) => {
                    let frames = stack.frames.iter();
                    let frames = frames.map(|f| (f.instanceidx, f.funcidx, f.codeoffset));
                    contents.frames = frames.collect();
                }
                _ => {}
            },
            Payload::End(_) => ended = true,
            _ => {}
        }
    }
    assert!(ended);
    contents
}

fn has(data: &[u8], text: &str) -> bool {
    data.windows(text.len())
        .any(|window| window == text.as_bytes())
}

#[tokio::test]
async fn a_crash_leaves_a_core_dump_where_that_is_wanted() {
    let other = service("other")
        .component("probe")
        .routes(&["/trap"])
        .restart(STURDY);
    let granted = probe("{}").grants("environment = { KEY = \"hush\" }");
    let host = Host::with(granted).and(other).start().await;
    host.get("/trap").await.expect_problem(502);
    assert!(!directory(&host).exists());
    host.get("/panic").await.expect_problem(502);

    let (crash, path) = dumped(&host, "probe", 1).await;
    assert_eq!(files(&host), [path.as_path()]);
    assert_eq!((mode(&path), mode(&directory(&host))), (0o600, 0o700));
    let name = path.file_name().unwrap().to_str().unwrap();
    let instance = &crash["instance"];
    assert!(name.starts_with("probe_20"), "{name}");
    let of = format!("Z_revision-1_instance-{instance}.wasm");
    assert!(name.ends_with(&of), "{name}");
    let told = host.message("core dump: ").await;
    assert_eq!(
        (&told["service"], &told["instance"]),
        (&"probe".into(), instance)
    );
    assert!(told["message"].as_str().unwrap().ends_with(name), "{told}");

    let contents = read(&path);
    assert_eq!(contents.name, "probe");
    assert!(contents.modules >= 1, "{contents:?}");
    assert_eq!(contents.memories, 1);
    assert!(contents.instances.contains(&1), "{:?}", contents.instances);
    let known = crash["frames"].as_array().unwrap().len();
    assert!(contents.frames.len() >= known.min(20), "{contents:?}");
    let instances = contents.instances.len() as u32;
    let inside = |(instance, ..): &(u32, u32, u32)| *instance < instances;
    assert!(contents.frames.iter().all(inside), "{:?}", contents.frames);
    // What the documentation warns of.
    assert!(has(&contents.data, "on purpose: /panic was asked for"));
    assert!(has(&contents.data, "KEY=hush"));

    // What is told of the crash is what is told of any.
    let plain = &host.crashes("other")[0]["crashes"][0];
    assert_eq!(plain["core_dump"], Value::Null);
    assert_eq!(plain["message"], crash["message"]);
    assert_eq!(plain["trap"], crash["trap"]);
    assert!(!crash["message"].as_str().unwrap().contains("coredump"));
    let mut command = skep();
    command
        .args(["crashes", "probe", "--manifest"])
        .arg(host.manifest());
    let shown = Output::of(&mut command).expect(0).stdout;
    assert!(
        shown.contains(&format!("core dump {}", path.display())),
        "{shown}"
    );
    host.assert_no_panic();
}

#[tokio::test]
async fn every_end_with_a_stack_leaves_one() {
    let worker = service("worker").grants("args = [\"panic\", \"2\", \"10\"]");
    let never = "when = \"never\"";
    let rows = [
        (probe("{}").limits("cpu = \"50ms\""), "/spin", "cpu-limit"),
        (probe("{}").component("probe-p3"), "/trap", "trap"),
        (
            probe("{}").limits("memory = \"4MiB\", memory-policy = \"trap\""),
            "/grow/16",
            "memory-limit",
        ),
        (worker.restart(never).set("core-dumps", "{}"), "", "trap"),
    ];
    for (service, path, failure) in rows {
        let host = Host::with(service).start().await;
        let name = if path.is_empty() { "worker" } else { "probe" };
        if !path.is_empty() {
            host.get(path).await.expect_problem(502);
        }
        let (crash, file) = dumped(&host, name, 1).await;
        assert_eq!(crash["failure"], failure);
        let contents = read(&file);
        assert!(contents.memories >= 1, "{failure}: {contents:?}");
        assert!(!contents.frames.is_empty(), "{failure}");
        host.assert_no_panic();
    }
}

#[tokio::test]
async fn a_start_that_fails_leaves_one() {
    let text = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../components/hostile/wat/trap-in-start.wat"
    );
    let bad = probe("{}").component("./bad.wasm");
    let host = Host::with(bad)
        .bytes("bad.wasm", wat::parse_file(text).unwrap())
        .start()
        .await;
    let told = host.message("core dump: ").await;
    assert_eq!(told["service"], "probe");
    let contents = read(&files(&host)[0]);
    assert!(!contents.frames.is_empty(), "{contents:?}");
}

#[tokio::test]
async fn an_exit_leaves_none() {
    let worker = service("worker")
        .grants("args = [\"exit\", \"2\", \"10\"]")
        .restart("when = \"never\"")
        .set("core-dumps", "{}");
    let host = Host::with(worker).start().await;
    host.phase("worker", "parked").await;
    assert_eq!(
        host.crashes("worker")[0]["crashes"][0]["core_dump"],
        Value::Null
    );
    assert!(!directory(&host).exists());
}

#[tokio::test]
async fn the_oldest_core_dump_gives_way() {
    let host = Host::with(probe("{ count = 2 }")).start().await;
    let mut seen: Vec<PathBuf> = Vec::new();
    while seen.len() < 4 {
        // A service has one a second at most.
        let newest = eventually("another core dump", async || {
            host.get("/trap").await.expect_problem(502);
            assert!(
                files(&host).len() <= 3,
                "two, and one that is being written"
            );
            let crashes = host.crashes("probe");
            let crashes = crashes[0]["crashes"].as_array().unwrap();
            let mut paths = crashes.iter().rev().filter_map(|c| c["core_dump"].as_str());
            let newest = PathBuf::from(paths.next()?);
            (seen.last() != Some(&newest)).then_some(newest)
        })
        .await;
        seen.push(newest);
    }
    let kept = eventually("no more than two", async || {
        let files = files(&host);
        (files.len() == 2).then_some(files)
    })
    .await;
    assert_eq!(kept, seen[2..]);
    let told = host.crashes("probe").to_string();
    for gone in &seen[..2] {
        assert!(!told.contains(gone.to_str().unwrap()), "{told}");
    }
}

#[tokio::test]
async fn what_an_earlier_host_left_counts_too_and_what_is_another_services_does_not() {
    let host = Host::with(probe("{ count = 2 }"))
        .file(
            ".skep/core-dumps/probe_2020-01-01T00-00-00.000000Z_revision-1_instance-1.wasm",
            "",
        )
        .file(
            ".skep/core-dumps/probe_2020-01-02T00-00-00.000000Z_revision-1_instance-1.wasm",
            "",
        )
        .file(
            ".skep/core-dumps/probe-2_2020-01-01T00-00-00.000000Z_revision-1_instance-1.wasm",
            "",
        )
        .file(".skep/core-dumps/probe_notes.txt", "")
        .start()
        .await;
    host.get("/trap").await.expect_problem(502);
    let (_, path) = dumped(&host, "probe", 1).await;
    let names = files(&host);
    let names: Vec<_> = names
        .iter()
        .map(|path| path.file_name().unwrap().to_str().unwrap())
        .collect();
    assert_eq!(
        names,
        [
            "probe-2_2020-01-01T00-00-00.000000Z_revision-1_instance-1.wasm",
            "probe_2020-01-02T00-00-00.000000Z_revision-1_instance-1.wasm",
            path.file_name().unwrap().to_str().unwrap(),
            "probe_notes.txt",
        ]
    );
}

#[tokio::test]
async fn what_would_be_too_large_is_not_written() {
    let host = Host::with(probe("{ size = \"64KiB\" }").limits("cpu = \"200ms\""))
        .start()
        .await;
    host.get("/grow-forever").await.expect_problem(502);
    let told = host.message("no core dump: ").await;
    assert_eq!(told["level"], "warn");
    let message = told["message"].as_str().unwrap();
    assert!(message.contains("core-dumps.size` is 64KiB"), "{message}");
    assert_eq!(files(&host), [] as [PathBuf; 0]);
    assert_eq!(
        host.crashes("probe")[0]["crashes"][0]["core_dump"],
        Value::Null
    );
}

#[tokio::test]
async fn a_directory_that_cannot_be_written_costs_a_warning_and_nothing_else() {
    let host = Host::with(probe("{}"))
        .file(".skep/core-dumps", "not a directory")
        .start()
        .await;
    host.get("/trap").await.expect_problem(502);
    let told = host.message("no core dump: cannot write into").await;
    assert_eq!(
        (&told["level"], &told["service"]),
        (&"warn".into(), &"probe".into())
    );
    host.get("/").await.expect(200);
    let crashes = host.crashes("probe");
    assert_eq!(crashes[0]["crashes"][0]["trap"], "unreachable");
    assert_eq!(crashes[0]["crashes"][0]["core_dump"], Value::Null);
    assert_eq!(host.row("probe")["phase"]["name"], "ready");
    host.assert_no_panic();
}
