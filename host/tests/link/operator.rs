//! `skep call`: what the operator calls goes the way of services' calls.

use std::process::Command;

use serde_json::{Value, json};

use super::fixture::{Host, Output, service, skep};
use super::{all, caller, host, provider, relay};

/// `skep call ARGUMENTS…` against this host.
fn command(host: &Host, arguments: &[&str]) -> Command {
    let mut command = skep();
    command.arg("call").args(arguments);
    command.arg("--manifest").arg(host.manifest());
    command
}

fn call(host: &Host, arguments: &[&str]) -> Output {
    Output::of(&mut command(host, arguments))
}

/// Of the provider, which answers with that.
#[track_caller]
fn answers(host: &Host, arguments: &[&str], wanted: &str) {
    let output = call(host, &[&["provider"], arguments].concat()).expect(0);
    assert_eq!(output.stdout.trim_end(), wanted, "{arguments:?}");
}

#[tokio::test]
async fn every_type_goes_there_and_back() {
    let host = host().await;
    let person = r#"{name: "Ada", age: 36, home: some({x: 1, y: -2}), tags: ["a", "b"], rights: {r00, r31}}"#;
    let nested = r#"[[some((circle(0.5), ["a"])), none], []]"#;
    let pair = "pair((green, -9223372036854775808))";
    for (function, value) in [
        ("echo-bool", "true"),
        ("echo-u8", "255"),
        ("echo-s8", "-128"),
        ("echo-u16", "65535"),
        ("echo-s16", "-32768"),
        ("echo-u32", "4294967295"),
        ("echo-s32", "-2147483648"),
        ("echo-u64", "18446744073709551615"),
        ("echo-s64", "-9223372036854775808"),
        ("echo-f32", "-1.5"),
        ("echo-f64", "nan"),
        ("echo-char", "'☃'"),
        ("echo-string", r#""a \"b\" \\ \n ☃""#),
        ("echo-bytes", "[0, 1, 255]"),
        ("echo-many", "{r00, r08, r31}"),
        ("echo-colour", "blue"),
        ("echo-shape", "nothing"),
        ("echo-shape", "polygon([{x: 1, y: 2}])"),
        ("echo-shape", pair),
        ("echo-person", person),
        ("echo-people", &format!("[{person}, {person}]")),
        ("echo-option", "none"),
        ("echo-option", "some(none)"),
        ("echo-option", r#"some(some("deep"))"#),
        ("echo-result", "ok({x: 1, y: 2})"),
        ("echo-bare-result", "ok"),
        ("echo-tuple", r#"(1, "a", 0.5, 'x')"#),
        ("echo-nested", nested),
    ] {
        answers(&host, &["values", function, value], value);
    }
    answers(&host, &["values", "nothing"], "");
    answers(
        &host,
        &["values", "large-result", "2", "3"],
        r#"["aaa", "bbb"]"#,
    );
    let many = [
        "1",
        r#""b""#,
        "0.5",
        "[1, 2]",
        "3",
        "{x: 1, y: 2}",
        "red",
        "'c'",
        "-4",
        "true",
        r#""k""#,
        "5",
        "ok(6)",
        "{r01}",
        "-7",
        "nothing",
        "8",
        "0.25",
        r#""s""#,
        "(9, 10)",
    ];
    let said = r#""1 b 0.5 [1, 2] Some(3) 1/2 Colour::Red c -4 true k 5 Ok(6) 2 -7 Shape::Nothing 8 0.25 s (9, 10)""#;
    answers(
        &host,
        &[&["values", "many-parameters"], &many[..]].concat(),
        said,
    );
    host.assert_no_panic();
}

#[tokio::test]
async fn results_are_json_where_that_is_wanted() {
    let host = host().await;
    let json = |arguments: &[&str]| -> Value {
        let output = call(&host, &[&["provider"], arguments, &["--json"]].concat());
        serde_json::from_str(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
    };
    let person = r#"{name: "Ada", age: 36, tags: [], rights: {r00}}"#;
    assert_eq!(
        json(&["values", "echo-person", person]),
        json!({ "name": "Ada", "age": 36, "home": null, "tags": [], "rights": ["r00"] })
    );
    assert_eq!(
        json(&["values", "echo-shape", "circle(2)"]),
        json!({ "circle": 2.0 })
    );
    assert_eq!(
        json(&["values", "echo-option", "some(none)"]),
        json!({ "some": null })
    );
    assert_eq!(json(&["values", "echo-f64", "nan"]), json!("nan"));
    assert_eq!(json(&["values", "nothing"]), json!(null));
    assert_eq!(
        json(&["values", "echo-result", r#"err("no")"#]),
        json!({ "err": "no" })
    );
    let listed = json(&[]);
    let harm = listed.as_array().unwrap().iter();
    let harm = harm
        .clone()
        .find(|one| one["interface"] == "fixture:everything/harm@1.2.0");
    let count = json!({ "name": "count", "signature": "func() -> u32", "callable": true });
    assert!(
        harm.unwrap()["functions"]
            .as_array()
            .unwrap()
            .contains(&count)
    );
}

#[tokio::test]
async fn an_err_is_an_answer_and_an_exit_code_of_its_own() {
    let host = host().await;
    let output = call(
        &host,
        &["provider", "values", "echo-result", r#"err("no")"#],
    )
    .expect(4);
    assert_eq!(output.stdout.trim_end(), r#"err("no")"#);
    call(&host, &["provider", "values", "echo-bare-result", "err"]).expect(4);
}

#[tokio::test]
async fn names_may_be_short_and_wrong_ones_are_answered_with_those_there_are() {
    let host = host().await;
    for interface in [
        "fixture:everything/harm@1.2.0",
        "fixture:everything/harm",
        "everything/harm",
        "harm",
        "harm@1",
    ] {
        call(&host, &["provider", interface, "plain", r#""nothing""#]).expect(0);
    }
    call(&host, &["nobody", "harm", "count"])
        .expect(1)
        .says(&["no service `nobody`", "skep ps"]);
    call(&host, &["provider", "harms", "count"])
        .expect(2)
        .says(&["no interface `harms`", "`fixture:everything/harm@1.2.0`"]);
    call(&host, &["provider", "harms"])
        .expect(2)
        .says(&["no interface `harms`", "`fixture:everything/harm@1.2.0`"]);
    call(&host, &["provider", "harm", "cuont"])
        .expect(2)
        .says(&["no function `cuont`", "`count`", "`plain`"]);
    let listed = call(&host, &["provider", "harm"]).expect(0).stdout;
    assert!(
        listed.contains("  plain: func(what: string) -> u32\n"),
        "{listed}"
    );
    assert!(!listed.contains("echo-bool"), "{listed}");
    let gone = call(&host, &["caller"]).expect(0).stdout;
    assert!(gone.contains("fixture:everything/back@1.2.0"), "{gone}");
    assert!(!gone.contains("wasi:"), "{gone}");
}

#[tokio::test]
async fn wrong_arguments_are_told_with_what_is_expected() {
    let host = host().await;
    let wrong = |arguments: &[&str], says: &[&str]| {
        call(&host, &[&["provider"], arguments].concat())
            .expect(2)
            .says(says);
    };
    wrong(
        &["values", "echo-u8", "256"],
        &[
            "argument 1 (`v`)",
            "expected u8, found `256`",
            "func(v: u8) -> u8",
        ],
    );
    wrong(
        &["values", "echo-u8"],
        &["takes 1 argument, not 0", "func(v: u8) -> u8"],
    );
    wrong(
        &["values", "echo-u8", "1", "2"],
        &["takes 1 argument, not 2"],
    );
    wrong(&["values", "nothing", "1"], &["takes no arguments, not 1"]);
    wrong(&["values", "echo-string", "hello"], &["double quotes"]);
    wrong(
        &[
            "values",
            "echo-person",
            r#"{name: "A", age: "old", tags: [], rights: {}}"#,
        ],
        &["in .age: expected u8"],
    );
    wrong(
        &["values", "echo-colour", "mauve"],
        &["expected enum { red, green, blue }"],
    );
    let long = format!("\"{}\"", "x".repeat(120_000));
    wrong(
        &[&["values", "echo-string"], &[&*long; 9][..]].concat(),
        &["bytes"],
    );
    assert_eq!(host.row("provider")["calls"], 0, "nothing was called");
}

#[tokio::test]
async fn what_cannot_be_written_down_is_refused() {
    let host = host().await;
    for function in [
        "make",
        "counter.add",
        "[method]counter.add",
        "counter.merge",
        "counter",
    ] {
        call(&host, &["provider", "counters", function])
            .expect(2)
            .says(&["by services alone", "handles"]);
    }
    // A static function without handles is like any other.
    answers(&host, &["counters", "counter.alive"], "0");
    let listed = call(&host, &["provider", "counters"]).expect(0).stdout;
    assert!(listed.contains("(by services alone)"), "{listed}");
}

#[tokio::test]
async fn a_failure_is_told_and_is_the_services() {
    let provider = provider().limits("deadline = \"1s\", cpu = \"50ms\"");
    let host = all(caller(), provider, relay()).start().await;
    let failed = |what: &str| {
        let what = format!("{what:?}");
        call(&host, &["provider", "harm", "plain", &what]).expect(1)
    };
    failed("trap").says(&["service `provider`", "harm@1.2.0#plain", "it trapped"]);
    failed("spin").says(&["`limits.cpu`"]);
    failed("sleep").says(&["`limits.deadline`"]);
    host.until("provider", "two crashes", |row| row["crashes"] == 2)
        .await;
    let crashes = host.crashes("provider");
    let request = &crashes[0]["crashes"][0]["requests"][0];
    assert_eq!(request["method"], "call by the operator", "{crashes}");
    assert_eq!(request["path"], "fixture:everything/harm@1.2.0#plain");
    let line = host.message("called by the operator").await;
    assert_eq!(line["service"], "provider");
    assert_eq!(line["request_id"], request["id"], "{line}");
    assert!(
        line["outcome"].as_str().unwrap().contains("it trapped"),
        "{line}"
    );
    call(
        &host,
        &["provider", "values", "large-result", "9", "1000000"],
    )
    .expect(1)
    .says(&["bytes as text"]);
    answers(&host, &["harm", "plain", r#""nothing""#], "1");
    host.assert_no_panic();
}

#[tokio::test]
async fn the_caller_may_have_less_patience_than_the_service() {
    let provider = provider().limits("deadline = \"1h\"");
    let host = all(caller(), provider, relay()).start().await;
    call(
        &host,
        &[
            "provider",
            "harm",
            "plain",
            r#""sleep""#,
            "--timeout",
            "100ms",
        ],
    )
    .expect(1)
    .says(&["within the time-out of 100ms"]);
    host.at_rest("provider").await;
}

#[tokio::test]
async fn a_call_ends_with_the_command_that_wanted_it() {
    let provider = provider().limits("deadline = \"1h\"");
    let host = all(caller(), provider, relay()).start().await;
    let mut sleeps = command(&host, &["provider", "harm", "plain", r#""sleep""#]);
    let mut child = sleeps.spawn().unwrap();
    host.until("provider", "a call", |row| row["in_flight"] == 1)
        .await;
    child.kill().unwrap();
    child.wait().unwrap();
    let row = host.at_rest("provider").await;
    assert_eq!(row["crashes"], 0, "{row}");
}

#[tokio::test]
async fn a_parked_service_is_not_called_but_says_what_it_has() {
    let provider = provider().restart("max = 1, when = \"never\"");
    let host = all(caller(), provider, relay()).start().await;
    for _ in 0..2 {
        call(&host, &["provider", "harm", "plain", r#""trap""#]).expect(1);
    }
    host.phase("provider", "parked").await;
    call(&host, &["provider", "harm", "count"])
        .expect(1)
        .says(&["it is not available"]);
    call(&host, &["provider", "harm", "count", "1"]).expect(2);
    call(&host, &["provider"]).expect(0);
}

#[tokio::test]
async fn a_service_that_calls_others_is_called_like_any() {
    let host = host().await;
    let output = call(&host, &["relay", "relay", "harm", r#""nothing""#]).expect(0);
    assert_eq!(output.stdout.trim_end(), "1");
    call(&host, &["relay", "relay", "harm", r#""trap""#])
        .expect(1)
        .says(&["service `provider`", "it trapped"]);
    assert_eq!(host.row("relay")["crashes"], 0);
}

#[tokio::test]
async fn async_functions_are_called_also_where_no_service_calls_them() {
    let front = service("front")
        .component("everything-p3")
        .set("links", "{ \"fixture:everything/later\" = \"back\" }")
        .everywhere();
    let back = service("back").component("everything-p3");
    let host = Host::with(front).and(back).and(provider()).start().await;
    for service in ["front", "back"] {
        let output = call(&host, &[service, "later", "add", "1", "2"]).expect(0);
        assert_eq!(output.stdout.trim_end(), "3");
        let output = call(&host, &[service, "later", "fallible", r#""trap""#]).expect(1);
        output.says(&["it trapped"]);
    }
}

#[tokio::test]
async fn a_service_without_interfaces_and_a_host_that_is_not_there() {
    let host = Host::probe().await;
    call(&host, &["probe"])
        .expect(2)
        .says(&["no interface of its own"]);
    call(&host, &["probe", "products", "get"])
        .expect(2)
        .says(&["no interface of its own"]);
    let manifest = host.manifest();
    let directory = tempfile::tempdir().unwrap();
    let elsewhere = directory.path().join("skep.toml");
    std::fs::copy(manifest, &elsewhere).unwrap();
    let mut command = skep();
    command
        .args(["call", "probe", "a", "b", "--manifest"])
        .arg(elsewhere);
    Output::of(&mut command)
        .expect(1)
        .says(&["no host answers"]);
}
