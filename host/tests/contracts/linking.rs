//! Imports and exports matched, and what is said where they do not match.

use expect_test::{Expect, expect};

use crate::fixture::Application;

/// An interface of products, in a version and with a price of a type.
fn products(version: &str, price: &str, world: &str) -> String {
    format!(
        "package shop:catalog@{version};
         interface products {{
             record product {{ id: u32, name: string, price: {price} }}
             variant error {{ unknown(u32), unavailable }}
             resource cursor {{ next: func() -> option<product>; }}
             find: func(id: u32) -> result<product, error>;
             browse: func() -> cursor;
         }}
         world it {{ {world} }}"
    )
}

fn exporter(version: &str) -> String {
    products(version, "u32", "export products;")
}

/// One that answers requests, and calls the catalog to do so.
fn front(version: &str) -> String {
    products(
        version,
        "u32",
        "import products; export wasi:http/incoming-handler@0.2.12;",
    )
}

fn shop() -> Application {
    Application::new()
        .component("front", &front("0.2.0"))
        .component("catalog", &exporter("0.2.3"))
        .component("old", &exporter("0.1.0"))
        .component("new", &exporter("0.3.0"))
        .component("float", &products("0.2.0", "f64", "export products;"))
}

const FRONT: &str = "[service.front]\ncomponent = \"front.wasm\"\nroutes = [\"/\"]\n";
const CATALOG: &str = "[service.catalog]\ncomponent = \"catalog.wasm\"\n";

fn check(services: &str, expected: &Expect) {
    expected.assert_eq(&shop().check(services));
}

#[test]
fn an_import_that_a_service_exports_needs_no_word_in_the_manifest() {
    let services = format!("{FRONT}{CATALOG}");
    check(&services, &expect![[""]]);
    let output = shop().run(&services, &["check", "--no-compile"]);
    let fine = "skep.toml is fine: 2 services (0 of them workers), 1 routes, 1 links, 0 warnings\n";
    assert_eq!(output.stdout, fine);
}

#[test]
fn what_nobody_exports_is_drawn_at_the_component() {
    check(
        FRONT,
        &expect![[r#"
        3:13 error import-missing «"front.wasm"» `front` imports `shop:catalog/products@0.2.0`, which neither Skep nor a service of the application has (add a service whose component exports `shop:catalog/products@0.2.0`)
    "#]],
    );
    check(
        &format!(
            "{FRONT}[service.old]\ncomponent = \"old.wasm\"\n[service.new]\ncomponent = \"new.wasm\"\n"
        ),
        &expect![[r#"
            3:13 error import-missing «"front.wasm"» `front` imports `shop:catalog/products@0.2.0`, but `new` exports shop:catalog/products@0.3.0, `old` exports shop:catalog/products@0.1.0; `front` wants ^0.2 (build `front` for shop:catalog/products@0.3.0, or `new` for shop:catalog/products@0.2.0)
        "#]],
    );
}

#[test]
fn where_several_export_it_links_decide() {
    let two = format!("{CATALOG}[service.other]\ncomponent = \"catalog.wasm\"\n");
    check(
        &format!("{two}{FRONT}"),
        &expect![[r#"
        7:13 error link-ambiguous «"front.wasm"» `front` imports `shop:catalog/products@0.2.0`, which several services export: `catalog` and `other` (write links = { "shop:catalog/products" = "catalog" })
    "#]],
    );
    let named = |link: &str| format!("{two}{FRONT}links = {{ {link} }}\n");
    // Nothing calls the other, which is said.
    check(
        &named("\"shop:catalog/products\" = \"catalog\""),
        &expect![[r#"
            4:10 warning no-route «other» no route and no link leads to service `other` (write routes = ["/path"])
        "#]],
    );
    check(
        &named("\"shop:catalog/products\" = \"other\", \"shop:catalog/prices\" = \"other\""),
        &expect![[r#"
            2:10 warning no-route «catalog» no route and no link leads to service `catalog` (write routes = ["/path"])
            9:70 warning link-unused «"other"» `front` links `shop:catalog/prices`, which its component does not import (remove it; `skep inspect` shows what the component imports)
        "#]],
    );
    check(
        &named("\"shop:catalog/products\" = \"front\""),
        &expect![[r#"
            9:37 error link-not-exported «"front"» `front` links `shop:catalog/products@0.2.0` to `front`, which does not export it (`catalog` exports it: name that)
        "#]],
    );
    check(
        &named("\"shop:catalog/products\" = \"catalog\", \"wasi:http/types\" = \"other\""),
        &expect![[r#"
            9:68 error link-to-host «"other"» `front` links `wasi:http/types@0.2.12`, which the host provides to every service (remove the entry)
        "#]],
    );
}

#[test]
fn an_export_of_another_type_is_shown_where_it_differs() {
    let services = format!("{FRONT}[service.float]\ncomponent = \"float.wasm\"\n");
    check(
        &services,
        &expect![[r#"
        3:13 error link-mismatch «"front.wasm"» `front` imports `shop:catalog/products@0.2.0`, and what `float` exports does not fit: method `next` of `cursor`, result, some, `price`: expected u32, found f64 (function `find`, result, ok, `price`: expected u32, found f64; build `front` and `float` from one WIT package)
    "#]],
    );
    let output = shop().run(&services, &["check", "--no-compile"]);
    assert_eq!(output.code, Some(3));
    for text in [
        "skep.toml:3:13",
        "component = \"front.wasm\"",
        "expected u32, found f64",
    ] {
        assert!(output.stderr.contains(text), "{text}: {}", output.stderr);
    }
}

#[test]
fn services_may_call_each_other() {
    let world = |imports: &str, exports: &str| {
        format!(
            "package a:b;
             interface x {{ ask: func(depth: u32) -> u32; }}
             interface y {{ ask: func(depth: u32) -> u32; }}
             world it {{ import {imports}; export {exports}; }}"
        )
    };
    let application = Application::new()
        .component("x", &world("y", "x"))
        .component("y", &world("x", "y"));
    let services = "[service.x]\ncomponent = \"x.wasm\"\n[service.y]\ncomponent = \"y.wasm\"\n";
    expect![[""]].assert_eq(&application.check(services));
}

#[test]
fn a_provider_has_no_route_and_no_health_check() {
    check(
        &format!("{FRONT}{CATALOG}routes = [\"/products\"]\nhealth = \"/healthz\"\n"),
        &expect![[r#"
            7:11 error route-to-provider «"/products"» this route leads to `catalog`, which answers calls of other services and no requests (remove the route, or let the component export an HTTP handler)
            8:10 error health-of-provider «"/healthz"» `catalog` answers calls of other services and no health checks over HTTP (leave `health` out, or let the component export an HTTP handler)
        "#]],
    );
    check(
        CATALOG,
        &expect![[r#"
        2:10 warning no-route «catalog» no route and no link leads to service `catalog` (write routes = ["/path"])
    "#]],
    );
}

#[test]
fn middleware_names_the_handler_that_it_calls() {
    let chain = "package a:b; world it {
        import wasi:http/incoming-handler@0.2.12;
        export wasi:http/incoming-handler@0.2.12;
    }";
    let application = shop().component("auth", chain);
    let auth = |links: &str| {
        format!(
            "{FRONT}{CATALOG}[service.auth]\ncomponent = \"auth.wasm\"\nroutes = [\"/in\"]\n{links}"
        )
    };
    expect![[r#"
        8:13 error import-missing «"auth.wasm"» `auth` imports `wasi:http/incoming-handler@0.2.12`, which has to name a service in `links`: `front` (write links = { "wasi:http/incoming-handler" = "front" })
    "#]].assert_eq(&application.check(&auth("")));
    let named = auth("links = { \"wasi:http/incoming-handler\" = \"front\" }\n");
    expect![[""]].assert_eq(&application.check(&named));
}

#[test]
fn a_policy_is_of_a_link_that_there_is() {
    let shop = |policy: &str| format!("{FRONT}{CATALOG}{policy}");
    check(
        &shop("[link.front.catalog]\ntimeout = \"1s\"\nidempotent = [\"find\", \"cursor.next\"]\n"),
        &expect![[""]],
    );
    check(
        &shop("[link.catalog.front]\ntimeout = \"1s\"\n"),
        &expect![[r#"
            7:15 warning link-unused «front» `catalog` does not call `front`: it imports nothing from it (remove it; `skep graph` shows all links)
        "#]],
    );
    check(
        &format!(
            "{FRONT}[service.float]\ncomponent = \"float.wasm\"\n[link.front.float]\ntimeout = \"1s\"\n"
        ),
        &expect![[r#"
            3:13 error link-mismatch «"front.wasm"» `front` imports `shop:catalog/products@0.2.0`, and what `float` exports does not fit: method `next` of `cursor`, result, some, `price`: expected u32, found f64 (function `find`, result, ok, `price`: expected u32, found f64; build `front` and `float` from one WIT package)
        "#]],
    );
    check(
        &shop("[link.front.catalog]\nidempotent = [\"find\", \"fetch\"]\n"),
        &expect![[r#"
            8:23 error unknown-function «"fetch"» `front` imports no function `fetch` from `catalog` (it imports: cursor.next, find, browse)
        "#]],
    );
}

#[test]
fn where_a_component_cannot_be_read_its_callers_are_not_blamed() {
    let services = format!("{FRONT}[service.catalog]\ncomponent = \"missing.wasm\"\n");
    let found = shop().check(&services);
    let mistakes = found.lines().filter(|line| line.contains(" error "));
    assert_eq!(mistakes.count(), 1, "{found}");
    assert!(found.contains("missing.wasm"), "{found}");
}

#[test]
fn what_no_call_can_carry_is_refused_before_anything_starts() {
    let wit = |world: &str| {
        format!(
            "package shop:stock@0.1.0;
             interface deliveries {{
                 resource crate-of-honey {{ weight: func() -> u32; }}
                 weights: async func() -> stream<u32>;
                 arrive: async func() -> stream<crate-of-honey>;
             }}
             world it {{ {world} }}"
        )
    };
    let application = Application::new()
        .component(
            "desk",
            &wit("import deliveries; export wasi:http/incoming-handler@0.2.12;"),
        )
        .component("stock", &wit("export deliveries;"));
    let services = "[service.desk]\ncomponent = \"desk.wasm\"\nroutes = [\"/\"]\n\
                    [service.stock]\ncomponent = \"stock.wasm\"\n";
    expect![[r#"
        3:13 error link-uncrossable «"desk.wasm"» `desk` imports `shop:stock/deliveries@0.1.0` from `stock`, whose function `arrive` has a stream or a future of something else than plain data, which cannot cross from one service to another (let the stream carry numbers, strings, lists, records or variants of them, and pass handles in calls)
    "#]].assert_eq(&application.check(services));
}
