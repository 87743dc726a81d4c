//! `skep new`, `skep build` and `skep doctor`: what a person meets in the first hour, in each language,
//! with that language's own tools.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "a test may fail and then shows the log, and its tasks end with its runtime"
)]

mod bench;
mod pages;

#[path = "../host/fixture/mod.rs"]
#[allow(
    dead_code,
    unused_imports,
    reason = "the fixture serves other tests too"
)]
mod fixture;

use std::fs;

use bench::Bench;
use fixture::{Connection, get};

async fn says(host: &fixture::Host, path: &str, text: &str) {
    let reply = Connection::http1(host).await.ask(get(path)).await;
    assert_eq!(reply.expect(200).text(), text);
}

/// A worker runs and writes to the log.
async fn worker(language: &str) {
    let bench = Bench::new();
    bench.new_service(language, "worker", "beats");
    let folder = bench.folder("beats");
    folder.build();
    folder.test();
    let host = folder.run().await;
    host.message("beat 1").await;
}

/// An application of two services, the one calling the other.
async fn app(languages: &str) {
    let bench = Bench::new();
    let said = bench.skep(&["new", "--app", "--lang", languages, "hive"]);
    assert!(said.stdout.contains("cd hive"), "{said:?}");
    for service in ["front", "greeter"] {
        bench.link_packages(&format!("hive/{service}"));
    }
    let folder = bench.folder("hive");
    folder.build();
    for service in ["front", "greeter"] {
        bench.folder(&format!("hive/{service}")).test();
    }
    let host = folder.run().await;
    says(&host, "/Ada", "Hello, Ada!\n").await;
    let nobody = Connection::http1(&host).await.ask(get("/")).await;
    assert_eq!(nobody.expect(400).text(), "Hello whom?\n");
}

macro_rules! each {
    ($($name:ident: $what:ident($language:literal);)*) => {
        $(
            #[tokio::test]
            async fn $name() {
                $what($language).await;
            }
        )*
    };
}

each! {
    a_new_worker_in_rust_builds_and_runs: worker("rust");
    a_new_worker_in_javascript_builds_and_runs: worker("js");
    a_new_worker_in_typescript_builds_and_runs: worker("ts");
    a_new_worker_in_python_builds_and_runs: worker("python");
    a_new_worker_in_c_builds_and_runs: worker("c");
    a_new_worker_in_go_builds_and_runs: worker("go");
    a_new_application_calls_from_rust_into_go: app("rust,go");
    a_new_application_calls_from_go_into_c: app("go,c");
    a_new_application_calls_from_c_into_rust: app("c,rust");
    a_new_application_calls_from_javascript_into_python: app("js,python");
    a_new_application_calls_from_python_into_typescript: app("python,ts");
    a_new_application_calls_from_typescript_into_javascript: app("ts,js");
}

#[tokio::test]
async fn a_service_is_added_to_the_application_that_is_there() {
    let bench = Bench::new();
    bench.skep(&["new", "--app", "--lang", "c", "hive"]);
    let folder = bench.folder("hive");
    let manifest = folder.path.join("skep.toml");
    let before = fs::read_to_string(&manifest).unwrap() + "# a remark at the end";
    fs::write(&manifest, &before).unwrap();
    folder.skep(&["new", "--lang", "c", "third"]);
    assert!(fs::read_to_string(&manifest).unwrap().starts_with(&before));
    assert!(!folder.path.join("third/skep.toml").exists());

    folder.skep(&["build", "third", "--json"]);
    assert!(
        !folder.path.join("front/front.wasm").exists(),
        "it was not asked for"
    );
    folder.build();
    let host = folder.run().await;
    says(&host, "/third/Ada", "Hello, Ada!\n").await;
    says(&host, "/Ada", "Hello, Ada!\n").await;

    let twice = folder.fails(&["new", "--lang", "c", "front"], 1);
    assert!(twice.stderr.contains("front is there already"), "{twice:?}");
    fs::rename(folder.path.join("third"), folder.path.join("gone")).unwrap();
    let twice = folder.fails(&["new", "--lang", "c", "third"], 1);
    assert!(
        twice.stderr.contains("cannot be added to skep.toml"),
        "{twice:?}"
    );
    assert!(!folder.path.join("third").exists(), "nothing was written");
}

#[tokio::test]
async fn only_what_has_changed_is_built() {
    let bench = Bench::new();
    bench.skep(&["new", "--app", "--lang", "c", "hive"]);
    let folder = bench.folder("hive");
    let outcomes = |arguments: &[&str]| {
        let said = folder.skep(&[&["build", "--json"], arguments].concat());
        let rows: serde_json::Value = serde_json::from_str(&said.stdout).unwrap();
        let mut outcomes: Vec<String> = rows
            .as_array()
            .unwrap()
            .iter()
            .map(|row| {
                format!(
                    "{}: {}",
                    row["service"].as_str().unwrap(),
                    row["outcome"].as_str().unwrap()
                )
            })
            .collect();
        outcomes.sort();
        outcomes
    };
    assert_eq!(outcomes(&[]), ["front: built", "greeter: built"]);
    assert_eq!(outcomes(&[]), ["front: unchanged", "greeter: unchanged"]);
    assert_eq!(outcomes(&["--force", "front"]), ["front: built"]);

    // A change of what is watched, of the component, and of the command.
    let source = folder.path.join("greeter/src/greeting.c");
    let text = fs::read_to_string(&source).unwrap();
    fs::write(&source, text.replace("Hello", "Good day")).unwrap();
    assert_eq!(outcomes(&[]), ["front: unchanged", "greeter: built"]);
    fs::remove_file(folder.path.join("front/front.wasm")).unwrap();
    assert_eq!(outcomes(&[]), ["front: built", "greeter: unchanged"]);
    let manifest = folder.path.join("skep.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replace("cd front && make", "cd front && make -s"),
    )
    .unwrap();
    assert_eq!(outcomes(&[]), ["front: built", "greeter: unchanged"]);

    let host = folder.run().await;
    says(&host, "/Ada", "Good day, Ada!\n").await;
}

#[test]
fn a_build_that_fails_shows_what_was_said_and_the_others_are_built() {
    let bench = Bench::new();
    bench.skep(&["new", "--app", "--lang", "c", "hive"]);
    let folder = bench.folder("hive");
    let source = folder.path.join("front/src/service.c");
    fs::write(&source, "int broken(void) { return no_such_thing; }\n").unwrap();
    let said = folder.fails(&["build"], 1);
    assert!(said.stderr.contains("no_such_thing"), "{said:?}");
    assert!(
        said.stderr.contains("the build of front failed"),
        "{said:?}"
    );
    assert!(said.stdout.contains("greeter: "), "{said:?}");

    let unknown = folder.fails(&["build", "nobody"], 2);
    assert!(
        unknown
            .stderr
            .contains("`nobody`: the manifest has no such service"),
        "{unknown:?}"
    );
}

#[test]
fn a_missing_tool_is_named_with_how_it_is_had() {
    let bench = Bench::new();
    bench.new_service("python", "http", "hello");
    let folder = bench.folder("hello");
    let said = folder.fails_without_tools(&["build"], 1);
    let remedy = "`componentize-py` makes components of Python and is not there: \
                  pip install componentize-py==";
    assert!(said.stderr.contains(remedy), "{said:?}");
}

#[test]
fn a_build_that_makes_something_else_is_not_taken_for_done() {
    let bench = Bench::new();
    bench.new_service("c", "http", "hello");
    let folder = bench.folder("hello");
    let manifest = folder.path.join("skep.toml");
    let text = fs::read_to_string(&manifest).unwrap();
    fs::write(
        &manifest,
        text.replace("component = \"hello.wasm\"", "component = \"other.wasm\""),
    )
    .unwrap();
    let said = folder.fails(&["build"], 1);
    assert!(said.stderr.contains("other.wasm is not there"), "{said:?}");
}

#[test]
fn what_cannot_be_written_is_refused_before_anything_is() {
    let bench = Bench::new();
    for (arguments, code, why) in [
        (
            &["new", "Bees"][..],
            2,
            "a name starts with a lower-case letter",
        ),
        (&["new", "a/b"], 2, "a name consists of lower-case letters"),
        (&["new", "fn"], 1, "it is a word of Rust's"),
        (&["new", "--lang", "cobol", "a"], 2, "invalid value 'cobol'"),
        (
            &["new", "--lang", "c,go", "a"],
            2,
            "2 languages are named, for one service",
        ),
        (
            &["new", "--app", "--lang", "c,go,js", "a"],
            2,
            "for two services",
        ),
    ] {
        let said = bench.fails(arguments, code);
        assert!(said.stderr.contains(why), "{said:?}");
    }
    fs::create_dir(bench.path().join("empty")).unwrap();
    bench.new_service("c", "http", "empty");
    let there = bench.fails(&["new", "empty"], 1);
    assert!(
        there
            .stderr
            .contains("empty is there already, and not empty"),
        "{there:?}"
    );
    let names: Vec<_> = fs::read_dir(bench.path())
        .unwrap()
        .map(|it| it.unwrap().file_name())
        .collect();
    assert_eq!(names, ["empty"]);
}

#[test]
fn the_doctor_says_what_is_there_and_what_to_install() {
    let bench = Bench::new();
    let said = bench.skep(&["doctor", "python", "c", "go", "js"]);
    for line in [
        "Python: ready",
        "C: ready",
        "Go: ready",
        "JavaScript: ready",
        "✓ zig 0.",
    ] {
        assert!(said.stdout.contains(line), "{line}: {said:?}");
    }
    let none = bench.without_tools(&["doctor"]).expect(0);
    for line in [
        "Rust: not ready",
        "Go: not ready",
        "install Go",
        "pip install componentize-py==",
    ] {
        assert!(none.stdout.contains(line), "{line}: {none:?}");
    }
    let json = bench.without_tools(&["doctor", "--json", "c"]).expect(1);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    assert_eq!(json[0]["language"], "c");
    assert_eq!(json[0]["ready"], false);
    assert_eq!(json[0]["tools"][0]["name"], "zig");
    assert_eq!(json[0]["tools"][0]["found"], serde_json::Value::Null);
}
