//! Bad manifests and files that are no component: each mistake is shown in its place, all at once,
//! with exit code 3, and nothing is started.

use std::path::Path;
use std::process::Command;

use crate::commands::with_manifest;
use crate::fixture::{Host, Output, guest, service, skep};

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
