//! `skep graph` and `skep inspect --app`.

use expect_test::expect;

use crate::fixture::Application;

const SERVICES: &str = "[service.front]\ncomponent = \"front.wasm\"\nroutes = [\"/shop/{*rest}\"]\n\
    [service.stock]\ncomponent = \"stock.wasm\"\n\
    [[route]]\nhost = \"api.example\"\npath = \"/stock\"\nmethods = [\"GET\"]\nservice = \"front\"\n";

fn application() -> Application {
    let wit = |world: &str| {
        format!(
            "package shop:stock@1.2.0;
             interface items {{ left: func(id: u32) -> u32; }}
             world it {{ {world} }}"
        )
    };
    Application::new()
        .component(
            "front",
            &wit("import items; export wasi:http/incoming-handler@0.2.12;"),
        )
        .component("stock", &wit("export items;"))
}

#[test]
fn an_application_is_shown_without_a_running_host() {
    let shown = application().run(SERVICES, &["graph"]);
    assert_eq!(shown.code, Some(0), "{}", shown.stderr);
    expect![[r#"
        application shop

        services
          front  HTTP handler (WASI 0.2)                     front.wasm
          stock  provider (answers calls of other services)  stock.wasm

        routes
          /shop/{*rest} → front
          GET api.example/stock → front

        links
          front → stock: shop:stock/items@1.2.0
    "#]]
    .assert_eq(&shown.stdout);
    let inspected = application().run(SERVICES, &["inspect", "--app", "skep.toml"]);
    assert_eq!(inspected.stdout, shown.stdout);
}

#[test]
fn a_graph_is_drawn_by_others() {
    let dot = application().run(SERVICES, &["graph", "--format", "dot"]);
    expect![[r#"
        digraph "shop" {
          rankdir=LR;
          node [shape=box];
          clients [shape=plaintext];
          s0 [label="front"];
          s1 [label="stock"];
          clients -> s0 [label="/shop/{*rest}"];
          clients -> s0 [label="GET api.example/stock"];
          s0 -> s1 [label="shop:stock/items@1.2.0"];
        }
    "#]]
    .assert_eq(&dot.stdout);
    let mermaid = application().run(SERVICES, &["graph", "skep.toml", "--format", "mermaid"]);
    expect![[r#"
        flowchart LR
          clients([clients])
          s0["front"]
          s1["stock"]
          clients -->|"/shop/{*rest}"| s0
          clients -->|"GET api.example/stock"| s0
          s0 -->|"shop:stock/items@1.2.0"| s1
    "#]]
    .assert_eq(&mermaid.stdout);
}

#[test]
fn a_graph_is_data() {
    let json = application().run(SERVICES, &["graph", "--format", "json"]);
    let graph: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
    let link = serde_json::json!({
        "caller": "front",
        "import": "shop:stock/items@1.2.0",
        "callee": "stock",
        "export": "shop:stock/items@1.2.0",
    });
    assert_eq!(graph["links"], serde_json::json!([link]));
    assert_eq!(graph["services"][0]["role"], "http-0.2");
    assert_eq!(graph["routes"][1]["host"], "api.example");
    let inspected = application().run(SERVICES, &["inspect", "--app", "skep.toml", "--json"]);
    assert_eq!(inspected.stdout, json.stdout);
}

#[test]
fn a_manifest_with_mistakes_has_no_graph() {
    let output = application().run("[service.front]\ncomponent = \"front.wasm\"\n", &["graph"]);
    assert_eq!((output.code, output.stdout.as_str()), (Some(3), ""));
    assert!(
        output.stderr.contains("shop:stock/items@1.2.0"),
        "{}",
        output.stderr
    );
}
