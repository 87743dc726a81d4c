//! Bad manifests as data rows: every kind of mistake with its place, its text and its remedy.
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::*;
use crate::core_dump::{self, CoreDumps};
use crate::health::HealthCheck;
use crate::percent::Percent;
use crate::probation::Probation;
use crate::size::ByteSize;
use crate::supervision::{Escalate, GroupPolicy, Strategy};

/// Each mistake as `LINE:COLUMN code «text» message — label (help)`.
fn render(text: &str, mistakes: &[Mistake]) -> String {
    let mut lines = String::new();
    for mistake in mistakes {
        let span = mistake.span.clone();
        let line = Lines::new(text).of(span.start);
        let start = text[..span.start].rfind('\n').map_or(0, |at| at + 1);
        let column = text[start..span.start].chars().count() + 1;
        lines += &format!(
            "{line}:{column} {} «{}» {} — {}",
            mistake.code,
            text[span].replace('\0', "\u{2400}"),
            mistake.message,
            mistake.label
        );
        if let Some(help) = &mistake.help {
            lines += &format!(" ({help})");
        }
        lines.push('\n');
    }
    lines
}

fn check(text: &str, expected: &Expect) {
    let mistakes = Manifest::parse(text).expect_err("this manifest has mistakes");
    expected.assert_eq(&render(text, &mistakes));
}

/// The rest of a manifest in which only `keys` of the service are bad.
fn service(keys: &str, expected: &Expect) {
    let text = format!(
        "name = \"shop\"\n[service.cart]\ncomponent = \"c.wasm\"\nroutes = [\"/\"]\n{keys}"
    );
    check(&text, expected);
}

/// The rest of a manifest in which only what comes after the service is bad.
fn tables(tables: &str, expected: &Expect) {
    let text = format!("name = \"shop\"\nservice.cart.component = \"c.wasm\"\n{tables}");
    check(&text, expected);
}

#[test]
fn the_design_example_is_read() {
    let text = include_str!("example.toml");
    let manifest = match Manifest::parse(text) {
        Ok(manifest) => manifest,
        Err(mistakes) => panic!("{}", render(text, &mistakes)),
    };
    assert_eq!(render(text, manifest.warnings()), "");
    let cart = &manifest.services["cart"];
    assert_eq!(cart.limits.memory, ByteSize::mib(64));
    assert_eq!(cart.limits.memory_total, ByteSize::gib(4));
    let host = &manifest.host;
    let paths = [&host.cache, &host.state].map(|path| path.as_ref().unwrap().to_str().unwrap());
    assert_eq!(paths, ["cache", "state"]);
    let dumps = cart.core_dumps.unwrap();
    assert_eq!((dumps.count, dumps.size), (8, ByteSize::mib(16)));
    let health = cart.health.as_ref().unwrap();
    let (startup, liveness) = (health.startup.as_ref(), health.liveness.as_ref());
    assert_eq!(startup.unwrap().path, "/healthz");
    assert_eq!(liveness.unwrap().interval, Duration::from_secs(5));
    assert_eq!(health.readiness, None);
    assert_eq!(cart.links["shop:catalog/products"].as_str(), "catalog");
    assert_eq!(manifest.routes.len(), 3);
    let at = |key: &str| &text[cart.span_of(key)];
    assert_eq!(at("limits.memory"), "\"64MiB\"");
    assert_eq!(at("grants.http"), "[\"https://api.example.com\"]");
    assert_eq!(at("limits.handles"), at("limits"), "the table around it");
    assert_eq!(at("build"), "cart", "the service's name");
    assert!(cart.says("restart.max") && !cart.says("restart.after"));
}

#[test]
fn the_smallest_manifest_has_the_documented_defaults() {
    let manifest = Manifest::parse("name='a'\nservice.b.component='b.wasm'").unwrap();
    assert_eq!(manifest.http.listen[0].to_string(), "127.0.0.1:8080");
    assert!(manifest.http.access_log);
    assert!(!manifest.http.log_calls);
    assert_eq!(manifest.http.limits, limits::HttpLimits::default());
    let service = &manifest.services["b"];
    assert_eq!(service.limits, limits::ServiceLimits::default());
    assert_eq!(service.restart, crate::restart::RestartPolicy::default());
    assert_eq!(service.instances, instances::InstancePolicy::default());
    assert_eq!(service.grants, crate::grant::Grants::default());
    assert_eq!(service.core_dumps, None);
    expect![[r#"
        2:9 no-route «b» no route and no link leads to service `b` — never called, unless it is a worker (write routes = ["/path"])
    "#]]
    .assert_eq(&render(
        "name='a'\nservice.b.component='b.wasm'",
        manifest.warnings(),
    ));
}

#[test]
fn a_token_that_others_may_see_is_warned_of() {
    let warned = |control: &str| {
        let text = format!("name='a'\nhost.control = {{ token-file='t', {control} }}\n{SERVED}");
        let manifest = Manifest::parse(&text).unwrap();
        render(&text, manifest.warnings())
    };
    assert_eq!(warned("listen='127.0.0.1:7070'"), "");
    assert_eq!(warned("listen='[::1]:7070'"), "");
    assert_eq!(warned("listen='0.0.0.0:7070', tls={cert='c',key='k'}"), "");
    expect![[r#"
        2:41 open-control «'0.0.0.0:7070'» the control API is served over the network without TLS — whoever sees a request on its way has the token (add tls = { cert = …, key = … }, or listen on 127.0.0.1)
    "#]]
    .assert_eq(&warned("listen='0.0.0.0:7070'"));
}

const SERVED: &str = "service.b.component='b.wasm'\nservice.b.routes=['/']";

#[test]
fn the_same_settings_elsewhere_in_the_text_are_equal() {
    let one = Manifest::parse("name='a'\n[service.b]\ncomponent='b.wasm'\nroutes=['/']").unwrap();
    let other = Manifest::parse("# moved\nname='a'\n[service.b]\nroutes=['/']\ncomponent='b.wasm'")
        .unwrap();
    assert_eq!(one, other);
}

#[test]
fn all_mistakes_come_at_once_in_the_order_of_the_text() {
    check(
        r#"
nmae = "shop"
[http]
listen = "localhost:80"
limits = { streams = 0, idle-timeout = 5, nonsense = 1 }
[service.cart]
limits = { memory = "5GiB", cpu = "x", queue = -1, memroy = 3 }
routes = ["cart", "/a", "/{x", "/a"]
[[route]]
path = "/b"
service = "crat"
methods = ["GET", "gte"]
"#,
        &expect![[r#"
            1:1 missing-key «» the manifest has no `name` — `name` is missing (write name = "shop")
            2:1 unknown-key «nmae» the manifest has no key `nmae` — unknown key (did you mean `name`?)
            4:10 bad-address «"localhost:80"» an address is an IP address and a port, like "127.0.0.1:8080" — value of `listen` (write "127.0.0.1:80")
            5:22 out-of-range «0» `streams` must be at least 1, not 0 — out of range (from 1 to 10000)
            5:40 wrong-type «5» `idle-timeout` must be a duration with its unit, such as "5s", not a whole number — is a whole number
            5:43 unknown-key «nonsense» `http.limits` has no key `nonsense` — unknown key (known keys: connections, header-bytes, header-count, header-timeout, idle-timeout, body-timeout, body-rate, write-timeout, write-rate, streams)
            6:10 missing-key «cart» service `cart` has no `component` — `component` is missing (write component = "cart.wasm")
            7:21 out-of-range «"5GiB"» `memory` must be at most 4GiB, not 5GiB — out of range (from 64KiB to 4GiB)
            7:35 bad-duration «"x"» a duration is a whole number and a unit, like "500ms" or "5s" — value of `cpu`
            7:48 out-of-range «-1» `queue` must be from 0 to 4294967295 — out of range
            7:52 unknown-key «memroy» `service.cart.limits` has no key `memroy` — unknown key (did you mean `memory`?)
            8:11 bad-path «"cart"» a path begins with `/` — value of `routes` (write "/cart")
            8:25 bad-path «"/{x"» `{` and `}` enclose a whole segment, as in `/cart/{id}` — value of `routes`
            8:32 route-conflict «"/a"» this route and the one of service `cart` in line 8 both serve all methods of `/a` — serves the same as `/a` (change path, host or methods of one of them, or remove it)
            11:11 unknown-service «"crat"» there is no service `crat` — unknown service (did you mean `cart`?)
            12:19 bad-method «"gte"» `gte` is not a method that a route can name — value of `methods` (did you mean `GET`?)
        "#]],
    );
}

#[test]
fn what_is_not_toml() {
    let rows: [(&str, Expect); 7] = [
        (
            "name = ",
            expect![[r#"
            1:8 syntax «» this is not TOML: string values must be quoted, expected literal string — here
        "#]],
        ),
        (
            "name = \"a\"\nname = \"b\"\n[x]\n[x]\n",
            expect![[r#"
            2:1 syntax «name» `name` is written twice — here
            4:2 syntax «x» `x` is written twice — here
        "#]],
        ),
        (
            "[service.cart\ncomponent = \"c.wasm\"",
            expect![[r#"
            1:14 syntax «» this is not TOML: unclosed table, expected `]` — here
        "#]],
        ),
        (
            "name = shop\nx = [1,\n",
            expect![[r#"
            1:8 syntax «shop» this is not TOML: string values must be quoted, expected literal string — here
            2:8 syntax «» this is not TOML: unclosed array, expected `]` — here
        "#]],
        ),
        (
            "name = \"a\nb = 1",
            expect![[r#"
            1:10 syntax «» this is not TOML: invalid basic string, expected `"` — here
        "#]],
        ),
        (
            "\u{0}",
            expect![[r#"
            1:1 syntax «␀» this is not TOML: invalid unquoted key, expected letters, numbers, `-`, `_` — here
        "#]],
        ),
        (
            "name = 'a'\n= 3\nx y = 2\n",
            expect![[r#"
            2:1 syntax «» this is not TOML: unquoted keys cannot be empty, expected letters, numbers, `-`, `_` — here
            3:3 syntax «» this is not TOML: key with no value, expected `=` — here
        "#]],
        ),
    ];
    for (text, expected) in rows {
        check(text, &expected);
    }
}

#[test]
fn names_and_what_is_missing() {
    let rows: [(&str, Expect); 9] = [
        (
            "",
            expect![[r#"
            1:1 missing-key «» the manifest has no `name` — `name` is missing (write name = "shop")
            1:1 no-service «» the manifest has no service — no `[service.NAME]` in this file (write [service.NAME] and below it component = "NAME.wasm")
        "#]],
        ),
        (
            "name = 3\nservice = 3",
            expect![[r#"
            1:8 wrong-type «3» `name` must be a name such as "shop", not a whole number — is a whole number
            2:11 wrong-type «3» `service` must be a table, not a whole number — is a whole number
        "#]],
        ),
        (
            "name = \"My Shop\"\nservice.cart.component = \"c\"",
            expect![[r#"
                1:8 bad-name «"My Shop"» a name starts with a lower-case letter, not with `M` — value of `name` (write "my-shop")
            "#]],
        ),
        (
            "name = \"\"\nservice.cart.component = \"c\"",
            expect![[r#"
            1:8 bad-name «""» a name cannot be empty — value of `name`
        "#]],
        ),
        (
            "name = \"a\"\n[service]",
            expect![[r#"
            1:1 no-service «» the manifest has no service — no `[service.NAME]` in this file (write [service.NAME] and below it component = "NAME.wasm")
        "#]],
        ),
        (
            "name = \"a\"\n[service.Cart]\ncomponent = \"c\"",
            expect![[r#"
                2:10 bad-name «Cart» a name starts with a lower-case letter, not with `C` — name of a service (write [service.cart])
            "#]],
        ),
        (
            "name = \"a\"\n[service.cart]\nroutes = [\"/\"]",
            expect![[r#"
                2:10 missing-key «cart» service `cart` has no `component` — `component` is missing (write component = "cart.wasm")
            "#]],
        ),
        (
            "name = \"a\"\nservice.cart = \"c.wasm\"",
            expect![[r#"
            2:16 wrong-type «"c.wasm"» `cart` must be a table, not a string — is a string
        "#]],
        ),
        (
            "name = \"a\"\nservice.cart.component = \"\"\n",
            expect![[r#"
                2:26 bad-file «""» `component` is not the path of a file — not a path (write a path relative to the manifest)
            "#]],
        ),
    ];
    for (text, expected) in rows {
        check(text, &expected);
    }
}

#[test]
fn keys_that_are_not_known() {
    let rows: [(&str, Expect); 7] = [
        (
            "[http]\nlisten-on = \"127.0.0.1:1\"",
            expect![[r#"
            4:1 unknown-key «listen-on» `http` has no key `listen-on` — unknown key (did you mean `listen`?)
        "#]],
        ),
        (
            "[services.cart]\n",
            expect![[r#"
            3:2 unknown-key «services» the manifest has no key `services` — unknown key (did you mean `service`?)
        "#]],
        ),
        (
            "service.cart.memory = \"1MiB\"",
            expect![[r#"
                3:14 unknown-key «memory» `service.cart` has no key `memory` — unknown key (`memory` is a key of [host] or of the service's limits or of the service's probation)
            "#]],
        ),
        (
            "service.cart.limits.memory_total = \"1GiB\"",
            expect![[r#"
            3:21 unknown-key «memory_total» `service.cart.limits` has no key `memory_total` — unknown key (did you mean `memory-total`?)
        "#]],
        ),
        (
            "service.cart.frobnicate = 1",
            expect![[r#"
                3:14 unknown-key «frobnicate» `service.cart` has no key `frobnicate` — unknown key (known keys: component, build, routes, links, after, instances, limits, restart, core-dumps, probation, health, stop-timeout, grants)
            "#]],
        ),
        (
            "[[route]]\npath = \"/\"\nservice = \"cart\"\nmethod = \"GET\"",
            expect![[r#"
                6:1 unknown-key «method» `route` has no key `method` — unknown key (did you mean `methods`?)
            "#]],
        ),
        (
            "service.cart.kind = \"worker\"",
            expect![[r#"
                3:14 unknown-key «kind» `service.cart` has no key `kind` — unknown key (known keys: component, build, routes, links, after, instances, limits, restart, core-dumps, probation, health, stop-timeout, grants)
            "#]],
        ),
    ];
    for (text, expected) in rows {
        tables(text, &expected);
    }
}

#[test]
fn the_listener() {
    let rows: [(&str, Expect); 15] = [
        (
            "http.listen = 8080",
            expect![[r#"
            3:15 wrong-type «8080» `listen` must be an address such as "127.0.0.1:8080", not a whole number — is a whole number
        "#]],
        ),
        (
            "http.listen = \"8080\"",
            expect![[r#"
            3:15 bad-address «"8080"» an address is an IP address and a port, like "127.0.0.1:8080" — value of `listen` (write "127.0.0.1:8080")
        "#]],
        ),
        (
            "http.listen = \":8080\"",
            expect![[r#"
            3:15 bad-address «":8080"» an address is an IP address and a port, like "127.0.0.1:8080" — value of `listen` (write "0.0.0.0:8080")
        "#]],
        ),
        (
            "http.listen = \"http://localhost:8080\"",
            expect![[r#"
            3:15 bad-address «"http://localhost:8080"» an address is an IP address and a port, like "127.0.0.1:8080" — value of `listen` (write "127.0.0.1:8080")
        "#]],
        ),
        (
            "http.listen = []",
            expect![[r#"
            3:15 no-listen «[]» the application listens nowhere — empty (write listen = "127.0.0.1:8080")
        "#]],
        ),
        (
            "http.listen = [\"[::1]:80\", \"0.0.0.0:0\", \"[0::1]:80\", \"0.0.0.0:0\"]",
            expect![[r#"
                3:41 duplicate-listen «"[0::1]:80"» the address [::1]:80 is listed twice, first in line 3 — again (remove one of them)
            "#]],
        ),
        (
            "http.tls = { cert = \"c.pem\" }",
            expect![[r#"
            3:12 missing-key «{ cert = "c.pem" }» `tls` has no `key` — `key` is missing (write key = "key.pem")
        "#]],
        ),
        (
            "host.control = { listen = \"127.0.0.1:7070\" }",
            expect![[r#"
            3:16 missing-key «{ listen = "127.0.0.1:7070" }» `control` has no `token-file` — `token-file` is missing (write token-file = "control.token")
        "#]],
        ),
        (
            "host.control = { listen = \":7070\", token-file = \"\" }",
            expect![[r#"
            3:27 bad-address «":7070"» an address is an IP address and a port, like "127.0.0.1:8080" — value of `listen` (write "0.0.0.0:7070")
            3:49 bad-file «""» `token-file` is not the path of a file — not a path (write a path relative to the manifest)
        "#]],
        ),
        (
            "http.trusted-proxies = [\"10.0.0.1/8\", \"10.0.0.0/33\", \"proxy\"]",
            expect![[r#"
                3:25 bad-network «"10.0.0.1/8"» this address has bits set after its prefix: the network is `10.0.0.0/8` — value of `trusted-proxies`
                3:39 bad-network «"10.0.0.0/33"» the prefix length of this address is at most 32 — value of `trusted-proxies`
                3:54 bad-network «"proxy"» a network is an IP address and a prefix length, like "10.0.0.0/8" or "::1" — value of `trusted-proxies`
            "#]],
        ),
        (
            "http.access-log = \"yes\"",
            expect![[r#"
            3:19 wrong-type «"yes"» `access-log` must be true or false, not a string — is a string
        "#]],
        ),
        (
            "http.limits = { connections = 0, header-bytes = \"1KiB\", header-count = 4294967296 }",
            expect![[r#"
                3:31 out-of-range «0» `connections` must be at least 1, not 0 — out of range (from 1 to 1000000)
                3:49 out-of-range «"1KiB"» `header-bytes` must be at least 8KiB, not 1KiB — out of range (from 8KiB to 1MiB)
                3:72 out-of-range «4294967296» `header-count` must be from 0 to 4294967295 — out of range
            "#]],
        ),
        (
            "http.limits = { header-timeout = \"0s\", write-timeout = \"2h\" }",
            expect![[r#"
                3:34 out-of-range «"0s"» `header-timeout` must be at least 10ms, not 0ms — out of range (from 10ms to 1h)
                3:56 out-of-range «"2h"» `write-timeout` must be at most 1h, not 2h — out of range (from 10ms to 1h)
            "#]],
        ),
        (
            "http.drain-timeout = \"2h\"",
            expect![[r#"
            3:22 out-of-range «"2h"» `drain-timeout` must be at most 1h, not 2h — out of range (from 0ms to 1h)
        "#]],
        ),
        (
            "http.limits.streams = 1.5",
            expect![[r#"
            3:23 wrong-type «1.5» `streams` must be a whole number, not a fraction — is a fraction
        "#]],
        ),
    ];
    for (text, expected) in rows {
        tables(text, &expected);
    }
}

#[test]
fn the_host() {
    let rows: [(&str, Expect); 4] = [
        (
            "host.memory = \"1KiB\"",
            expect![[r#"
                3:15 out-of-range «"1KiB"» `memory` must be at least 64KiB, not 1KiB — out of range (from 64KiB to 1024TiB)
            "#]],
        ),
        (
            "host.memory = \"32MiB\"",
            expect![[r#"
            2:9 memory-over-host «cart» an instance of `cart` may use 64MiB, but all guests together only 32MiB — more than `host.memory` (raise `host.memory` or lower the service's `limits.memory`)
        "#]],
        ),
        (
            "host = { threads = 0, instances = 0, stack = \"1GiB\" }",
            expect![[r#"
                3:20 out-of-range «0» `threads` must be at least 1, not 0 — out of range (from 1 to 1024)
                3:35 out-of-range «0» `instances` must be at least 1, not 0 — out of range (from 1 to 100000)
                3:46 out-of-range «"1GiB"» `stack` must be at most 16MiB, not 1GiB — out of range (from 64KiB to 16MiB)
            "#]],
        ),
        (
            "host.cache = \"\"\nhost.state = 1979-05-27",
            expect![[r#"
            3:14 bad-file «""» `cache` is not the path of a file — not a path (write a path relative to the manifest)
            4:14 wrong-type «1979-05-27» `state` must be a path, not a date — is a date
        "#]],
        ),
    ];
    for (text, expected) in rows {
        tables(text, &expected);
    }
}

#[test]
fn limits_of_a_service() {
    let rows: [(&str, Expect); 17] = [
        (
            "limits.memory = \"64\"",
            expect![[r#"
            5:17 out-of-range «"64"» `memory` must be at least 64KiB, not 64B — out of range (from 64KiB to 4GiB)
        "#]],
        ),
        (
            "limits.memory = \"64M\"",
            expect![[r#"
            5:17 bad-size «"64M"» `M` is not a unit of size: use B, KiB, MiB, GiB or TiB (or kB, MB, GB, TB) — value of `memory` (write "64MiB")
        "#]],
        ),
        (
            "limits.memory = \"1.5GiB\"",
            expect![[r#"
            5:17 bad-size «"1.5GiB"» a size is a whole number: use a smaller unit instead of a fraction — value of `memory`
        "#]],
        ),
        (
            "limits.memory = \"5GiB\"",
            expect![[r#"
            5:17 out-of-range «"5GiB"» `memory` must be at most 4GiB, not 5GiB — out of range (from 64KiB to 4GiB)
        "#]],
        ),
        (
            "limits.memory = \"99999999999GiB\"",
            expect![[r#"
            5:17 bad-size «"99999999999GiB"» this size does not fit into 64 bits — value of `memory`
        "#]],
        ),
        (
            "limits = { memory-policy = \"trip\", buffers = \"1KiB\" }",
            expect![[r#"
                5:28 bad-choice «"trip"» `memory-policy` must be "fail" or "trap", not "trip" — not one of them (did you mean `trap`?)
                5:46 out-of-range «"1KiB"» `buffers` must be at least 256KiB, not 1KiB — out of range (from 256KiB to 4GiB)
            "#]],
        ),
        (
            "limits.memory-total = \"32MiB\"",
            expect![[r#"
            5:23 memory-total-too-small «"32MiB"» all instances together may use 32MiB, but each one 64MiB — less than `memory` (raise `memory-total` or lower `memory`)
        "#]],
        ),
        (
            "limits = { cpu = \"2s\", deadline = \"1s\" }",
            expect![[r#"
                5:18 cpu-over-deadline «"2s"» a call may compute for 2s, but its deadline is after 1s — more than `deadline` (raise `deadline` or lower `cpu`)
            "#]],
        ),
        (
            "limits.cpu = \"0ms\"",
            expect![[r#"
            5:14 out-of-range «"0ms"» `cpu` must be at least 1ms, not 0ms — out of range (from 1ms to 1h)
        "#]],
        ),
        (
            "limits.deadline = \"5\"",
            expect![[r#"
            5:19 bad-duration «"5"» a duration needs a unit: ms, s, m, h or d — value of `deadline` (write "5s")
        "#]],
        ),
        (
            "limits.deadline = \"5 sec\"",
            expect![[r#"
            5:19 bad-duration «"5 sec"» `sec` is not a unit of time: use ms, s, m, h or d — value of `deadline` (write "5s")
        "#]],
        ),
        (
            "limits.deadline = \"2h\"",
            expect![[r#"
            5:19 out-of-range «"2h"» `deadline` must be at most 1h, not 2h — out of range (from 1ms to 1h)
        "#]],
        ),
        (
            "limits = { cpu-share = \"0.5\", cpu-weight = 0 }",
            expect![[r#"
                5:24 bad-share «"0.5"» a share of a core is a whole number of per cent, like "50%"; "200%" are two cores — value of `cpu-share`
                5:44 out-of-range «0» `cpu-weight` must be at least 1, not 0 — out of range (from 1 to 10000)
            "#]],
        ),
        (
            "limits = { cpu-share = \"50\" }",
            expect![[r#"
            5:24 bad-share «"50"» a share of a core is a whole number of per cent, like "50%"; "200%" are two cores — value of `cpu-share` (write "50%")
        "#]],
        ),
        (
            "limits = { cpu-share = \"0%\" }",
            expect![[r#"
            5:24 bad-share «"0%"» a share of a core is from 1% to 102400% — value of `cpu-share`
        "#]],
        ),
        (
            "limits = { concurrency = 0, queue = 1000000, handles = 0, table-elements = 0 }",
            expect![[r#"
                5:26 out-of-range «0» `concurrency` must be at least 1, not 0 — out of range (from 1 to 100000)
                5:37 out-of-range «1000000» `queue` must be at most 100000, not 1000000 — out of range (from 0 to 100000)
                5:56 out-of-range «0» `handles` must be at least 16, not 0 — out of range (from 16 to 1000000)
                5:76 out-of-range «0» `table-elements` must be at least 1, not 0 — out of range (from 1 to 10000000)
            "#]],
        ),
        (
            "limits = { headers = 1, hostcall-fuel = 1, log-line = 0, outgoing = { concurrency = 0, connect-timeout = \"0s\" } }",
            expect![[r#"
                5:22 out-of-range «1» `headers` must be at least 1KiB, not 1B — out of range (from 1KiB to 1MiB)
                5:41 out-of-range «1» `hostcall-fuel` must be at least 64KiB, not 1B — out of range (from 64KiB to 4GiB)
                5:55 out-of-range «0» `log-line` must be at least 80B, not 0B — out of range (from 80B to 1MiB)
                5:85 out-of-range «0» `concurrency` must be at least 1, not 0 — out of range (from 1 to 100000)
                5:106 out-of-range «"0s"» `connect-timeout` must be at least 1ms, not 0ms — out of range (from 1ms to 1h)
            "#]],
        ),
    ];
    for (text, expected) in rows {
        service(text, &expected);
    }
}

#[test]
fn life_of_a_service() {
    let rows: [(&str, Expect); 19] = [
        (
            "instances = { max = 4, warm = 8 }",
            expect![[r#"
            5:31 warm-over-max «8» `warm` is 8, but `max` only 4 — more than `max` (write warm = 4 or raise `max`)
        "#]],
        ),
        (
            "instances = { reuse = 0, concurrent = 0, max = 0 }",
            expect![[r#"
                5:23 out-of-range «0» `reuse` must be at least 1, not 0 — out of range (from 1 to 4294967295)
                5:39 out-of-range «0» `concurrent` must be at least 1, not 0 — out of range (from 1 to 10000)
                5:48 out-of-range «0» `max` must be at least 1, not 0 — out of range (from 1 to 100000)
            "#]],
        ),
        (
            "instances = { reuse = 5, concurrent = 6 }",
            expect![[r#"
            5:39 concurrent-over-reuse «6» an instance that serves 5 requests in its life never serves 6 at the same time — more than `reuse` (raise `reuse` or lower `concurrent`)
        "#]],
        ),
        (
            "instances.idle = \"2d\"",
            expect![[r#"
            5:18 out-of-range «"2d"» `idle` must be at most 1d, not 2d — out of range (from 0ms to 1d)
        "#]],
        ),
        (
            "restart.when = \"allways\"",
            expect![[r#"
            5:16 bad-choice «"allways"» `when` must be "on-failure", "always" or "never", not "allways" — not one of them (did you mean `always`?)
        "#]],
        ),
        (
            "restart.when = \"sometimes\"",
            expect![[r#"
            5:16 bad-choice «"sometimes"» `when` must be "on-failure", "always" or "never", not "sometimes" — not one of them (write "on-failure", "always" or "never")
        "#]],
        ),
        (
            "restart.backoff = \"30s..100ms\"",
            expect![[r#"
            5:19 bad-duration «"30s..100ms"» the floor of this range is above its ceiling — value of `backoff`
        "#]],
        ),
        (
            "restart.backoff = \"1s\"",
            expect![[r#"
            5:19 bad-duration «"1s"» a range is two durations with two dots between them, like "100ms..30s" — value of `backoff`
        "#]],
        ),
        (
            "restart.backoff = \"0ms..1s\"",
            expect![[r#"
            5:19 out-of-range «"0ms..1s"» `backoff` must be from 1ms to 1h, not 0ms..1s — out of range (for example "100ms..30s")
        "#]],
        ),
        (
            "restart = { max = 1001, within = \"0s\" }",
            expect![[r#"
            5:19 out-of-range «1001» `max` must be at most 1000, not 1001 — out of range (from 0 to 1000)
            5:34 out-of-range «"0s"» `within` must be at least 1ms, not 0ms — out of range (from 1ms to 1d)
        "#]],
        ),
        (
            "health = \"healthz\"",
            expect![[r#"
            5:10 bad-path «"healthz"» the path does not begin with `/` — path of the health check (write "/healthz")
        "#]],
        ),
        (
            "health = { timeout = \"5m\", interval = \"1ms\" }",
            expect![[r#"
                5:10 missing-key «{ timeout = "5m", interval = "1ms" }» `health` has no `path` — `path` is missing (write path = "/healthz")
                5:22 out-of-range «"5m"» `timeout` must be at most 1m, not 5m — out of range (from 1ms to 1m)
                5:39 out-of-range «"1ms"» `interval` must be at least 100ms, not 1ms — out of range (from 100ms to 1h)
            "#]],
        ),
        (
            "health = 3",
            expect![[r#"
            5:10 wrong-type «3» `health` must be a path such as "/healthz" or a table, not a whole number — is a whole number
        "#]],
        ),
        (
            "core-dumps = { count = 0, size = \"5GiB\", path = \"/tmp\" }",
            expect![[r#"
                5:24 out-of-range «0» `count` must be at least 1, not 0 — out of range (from 1 to 1000)
                5:34 out-of-range «"5GiB"» `size` must be at most 4GiB, not 5GiB — out of range (from 64KiB to 4GiB)
                5:42 unknown-key «path» `service.cart.core-dumps` has no key `path` — unknown key (`path` is a key of the service's health or of a check of the service's health or of [[route]])
            "#]],
        ),
        (
            "core-dumps = true",
            expect![[r#"
                5:14 wrong-type «true» `core-dumps` must be a table, not true or false — is true or false
            "#]],
        ),
        (
            "probation = { for = \"2d\", errors = \"0.5%\", crashes = 0, latency = \"99%\", memory = 2, latency-floor = \"1s\" }",
            expect![[r#"
                5:21 out-of-range «"2d"» `for` must be at most 1d, not 2d — out of range (from 0ms to 1d)
                5:36 bad-percentage «"0.5%"» a percentage is a whole number and its sign, like "5%"; at most 10000% — value of `errors`
                5:54 out-of-range «0» `crashes` must be at least 1, not 0 — out of range (from 1 to 1000)
                5:67 out-of-range «"99%"» `latency` must be at least 100%, not 99% — out of range (from 100% to 10000%)
                5:83 wrong-type «2» `memory` must be a percentage such as "5%", not a whole number — is a whole number
                5:86 unknown-key «latency-floor» `service.cart.probation` has no key `latency-floor` — unknown key (known keys: for, errors, crashes, latency, latency-more, memory)
            "#]],
        ),
        (
            "probation = { errors = \"5\", memory = \"twice\" }",
            expect![[r#"
                5:24 bad-percentage «"5"» a percentage is a whole number and its sign, like "5%"; at most 10000% — value of `errors` (write "5%")
                5:38 bad-percentage «"twice"» a percentage is a whole number and its sign, like "5%"; at most 10000% — value of `memory`
            "#]],
        ),
        (
            "stop-timeout = \"1d\"\nbuild = { command = \" \", watch = \"src\" }",
            expect![[r#"
                5:16 out-of-range «"1d"» `stop-timeout` must be at most 1h, not 1d — out of range (from 0ms to 1h)
                6:21 empty «" "» `command` is empty — empty (write command = "cargo build --release --target wasm32-wasip2")
                6:34 wrong-type «"src"» `watch` must be a list, each item a path, or a pattern such as "src/**/*.rs", not a string — is a string (write watch = [ … ])
            "#]],
        ),
        (
            "build = { command = \"make\", watch = [\"src\", \"\", \"wit/[a\", \"{a\"] }",
            expect![[r#"
                5:45 bad-pattern «""» a path has from 1 to 4096 bytes, and no NUL among them — value of `watch`
                5:49 bad-pattern «"wit/[a"» this is not a pattern: unclosed character class; missing ']' — value of `watch`
                5:59 bad-pattern «"{a"» this is not a pattern: unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?) — value of `watch`
            "#]],
        ),
    ];
    for (text, expected) in rows {
        service(text, &expected);
    }
}

#[test]
fn core_dumps_are_switched_on_by_their_table() {
    let read = |table: &str| {
        let text = format!(
            "name = \"shop\"\n[service.cart]\ncomponent = \"c.wasm\"\nroutes = [\"/\"]\ncore-dumps = {table}"
        );
        Manifest::parse(&text).unwrap().services["cart"].core_dumps
    };
    let (count, size) = (core_dump::COUNT, core_dump::SIZE);
    assert_eq!(read("{}"), Some(CoreDumps { count, size }));
    assert_eq!(read("{ count = 1 }"), Some(CoreDumps { count: 1, size }));
    let size = core_dump::SIZE_MAX;
    assert_eq!(read("{ size = \"4GiB\" }"), Some(CoreDumps { count, size }));
}

#[test]
fn a_probation_is_read_with_its_defaults() {
    let read = |keys: &str| {
        let text = format!(
            "name = \"shop\"\n[service.cart]\ncomponent = \"c.wasm\"\nroutes = [\"/\"]\n{keys}"
        );
        Manifest::parse(&text).unwrap().services["cart"]
            .probation
            .clone()
    };
    assert_eq!(read(""), Probation::default());
    assert_eq!(read("probation = {}"), Probation::default());
    let expected = Probation {
        length: Duration::ZERO,
        errors: Percent::new(5),
        crashes: 1,
        latency: Percent::new(150),
        latency_more: Duration::from_millis(1),
        memory: Percent::new(100),
    };
    let keys = "probation = { for = \"0s\", errors = \"5 %\", crashes = 1, latency = \"150%\", latency-more = \"1ms\", memory = \"100%\" }";
    assert_eq!(read(keys), expected);
}

#[test]
fn health_checks_are_read_each_with_its_defaults() {
    let read = |health: &str| {
        let text = format!(
            "name = \"shop\"\n[service.cart]\ncomponent = \"c.wasm\"\nroutes = [\"/\"]\nhealth = {health}"
        );
        let mut manifest =
            Manifest::parse(&text).unwrap_or_else(|m| panic!("{}", render(&text, &m)));
        manifest
            .services
            .remove("cart")
            .unwrap()
            .health
            .unwrap()
            .value
    };
    let short = read("\"/healthz\"");
    assert_eq!(short.startup, Some(HealthCheck::startup("/healthz")));
    assert_eq!((&short.readiness, &short.liveness), (&None, &None));
    assert_eq!(short, read("{ path = \"/healthz\" }"));

    let full = read(
        "{ path = \"/a\", timeout = \"2s\", readiness = \"/b\", liveness = { interval = \"1s\", unhealthy-after = 5, healthy-after = 2, timeout = \"3s\" } }",
    );
    let timeout = Duration::from_secs(2);
    let startup = HealthCheck {
        timeout,
        ..HealthCheck::startup("/a")
    };
    let readiness = HealthCheck {
        timeout,
        ..HealthCheck::running("/b")
    };
    let liveness = HealthCheck {
        path: "/a".into(),
        timeout: Duration::from_secs(3),
        interval: Duration::from_secs(1),
        healthy_after: 2,
        unhealthy_after: 5,
    };
    assert_eq!(full.startup, Some(startup));
    assert_eq!(full.readiness, Some(readiness));
    assert_eq!(full.liveness, Some(liveness));

    let only = read("{ readiness = { path = \"/b\" } }");
    assert_eq!((&only.startup, &only.liveness), (&None, &None));
    assert_eq!(only.readiness, Some(HealthCheck::running("/b")));

    let interval = read("{ path = \"/a\", interval = \"1s\", timeout = \"2s\" }");
    let liveness = interval.liveness.unwrap();
    assert_eq!(
        (liveness.interval, liveness.timeout),
        (Duration::from_secs(1), timeout)
    );
    assert_eq!((liveness.unhealthy_after, liveness.healthy_after), (3, 1));
}

#[test]
fn bad_health_checks() {
    for (health, expected) in [
        (
            "{ liveness = { interval = \"1s\" } }",
            expect![[r#"
            5:23 missing-key «{ interval = "1s" }» `liveness` has no `path` — `path` is missing (write path = "/healthz")
        "#]],
        ),
        (
            "{ interval = \"1s\", readiness = \"/b\" }",
            expect![[r#"
                5:10 missing-key «{ interval = "1s", readiness = "/b" }» `health` has no `path` — `path` is missing (write path = "/healthz")
            "#]],
        ),
        (
            "{ path = \"/a\", interval = \"1s\", liveness = \"/b\" }",
            expect![[r#"
                5:36 interval-twice «"1s"» `interval` is short for a liveness check, and there is one — says it twice (write it as liveness.interval)
            "#]],
        ),
        (
            "{ path = \"/a\", startup = { healthy-after = 0, unhealthy-after = 1001, interval = \"1ms\", timeout = \"61s\" } }",
            expect![[r#"
                5:53 out-of-range «0» `healthy-after` must be at least 1, not 0 — out of range (from 1 to 1000)
                5:74 out-of-range «1001» `unhealthy-after` must be at most 1000, not 1001 — out of range (from 1 to 1000)
                5:91 out-of-range «"1ms"» `interval` must be at least 100ms, not 1ms — out of range (from 100ms to 1h)
                5:108 out-of-range «"61s"» `timeout` must be at most 1m, not 61s — out of range (from 1ms to 1m)
            "#]],
        ),
        (
            "{ path = \"/a\", readiness = \"b\" }",
            expect![[r#"
            5:37 bad-path «"b"» the path does not begin with `/` — path of the health check (write "/b")
        "#]],
        ),
        (
            "{ path = \"/a\", readiness = 3 }",
            expect![[r#"
            5:37 wrong-type «3» `readiness` must be a path such as "/healthz" or a table, not a whole number — is a whole number
        "#]],
        ),
        (
            "{ path = \"/a\", readiness = { pth = \"/b\" } }",
            expect![[r#"
                5:39 unknown-key «pth» `service.cart.health.readiness` has no key `pth` — unknown key (did you mean `path`?)
            "#]],
        ),
        (
            "{}",
            expect![[r#"
            5:10 missing-key «{}» `health` has no `path` — `path` is missing (write path = "/healthz")
        "#]],
        ),
    ] {
        service(&format!("health = {health}"), &expected);
    }
}

#[test]
fn groups_and_order_are_read() {
    let text = "name = \"shop\"\n[group.back]\nservices = [\"db\", \"api\"]\nstrategy = \"rest-for-one\"\nescalate = \"restart\"\nrestart = { max = 2, within = \"1m\", backoff = \"1s..2s\" }\n\
        [group.front]\nservices = [\"web\"]\n\
        [service]\ndb.component = \"d.wasm\"\napi.component = \"a.wasm\"\nweb = { component = \"w.wasm\", after = [\"api\"], restart = { hold = \"2s\" } }";
    let manifest = Manifest::parse(text).unwrap_or_else(|m| panic!("{}", render(text, &m)));
    let back = &manifest.groups["back"];
    let names: Vec<&str> = back.services.iter().map(|name| name.as_str()).collect();
    assert_eq!(names, ["db", "api"]);
    assert_eq!(back.strategy, Strategy::RestForOne);
    assert_eq!(
        (back.policy.max, back.policy.escalate),
        (2, Escalate::Restart)
    );
    assert_eq!(back.policy.within, Duration::from_secs(60));
    assert_eq!(back.policy.backoff.to_string(), "1s..2s");
    let front = &manifest.groups["front"];
    assert_eq!(front.policy, GroupPolicy::default());
    assert_eq!(front.strategy, Strategy::OneForOne);
    let web = &manifest.services["web"];
    assert_eq!(web.after[0].as_str(), "api");
    assert_eq!(web.restart.hold, Duration::from_secs(2));
    assert_eq!(manifest.services["db"].restart.hold, Duration::ZERO);
}

#[test]
fn bad_groups() {
    for (written, expected) in [
        (
            "[group.g]",
            expect![[r#"
            3:8 missing-key «g» group `g` has no `services` — `services` is missing (write services = ["a", "b"])
        "#]],
        ),
        (
            "[group.g]\nservices = []",
            expect![[r#"
            4:12 empty-group «[]» group `g` has no services — empty (write services = ["a", "b"], or remove the group)
        "#]],
        ),
        (
            "[group.G]\nservices = [\"cart\"]",
            expect![[r#"
            3:8 bad-name «G» a name starts with a lower-case letter, not with `G` — name of a group (write [group.g])
        "#]],
        ),
        (
            "[group.g]\nservices = [\"crt\", \"cart\", \"cart\"]",
            expect![[r#"
                4:13 unknown-service «"crt"» there is no service `crt` — unknown service (did you mean `cart`?)
                4:28 duplicate-service «"cart"» `cart` is listed twice, first in line 4 — again (remove one of them)
            "#]],
        ),
        (
            "[group.g]\nservices = [\"cart\"]\n[group.h]\nservices = [\"cart\"]",
            expect![[r#"
                6:13 two-groups «"cart"» service `cart` is in group `g` already, in line 4 — in two groups (a service is in one group at most: remove it from one of them)
            "#]],
        ),
        (
            "[group.g]\nservices = [\"cart\"]\nstrategy = \"all-for-one\"\nescalate = \"panic\"\nrestart = { max = 1001, within = \"0s\", backoff = \"0s..1s\", when = \"never\" }",
            expect![[r#"
                5:12 bad-choice «"all-for-one"» `strategy` must be "one-for-one", "one-for-all" or "rest-for-one", not "all-for-one" — not one of them (did you mean `one-for-one`?)
                6:12 bad-choice «"panic"» `escalate` must be "park" or "restart", not "panic" — not one of them (write "park" or "restart")
                7:19 out-of-range «1001» `max` must be at most 1000, not 1001 — out of range (from 0 to 1000)
                7:34 out-of-range «"0s"» `within` must be at least 1ms, not 0ms — out of range (from 1ms to 1d)
                7:50 out-of-range «"0s..1s"» `backoff` must be from 1ms to 1h, not 0ms..1s — out of range (for example "100ms..30s")
                7:60 unknown-key «when» `group.g.restart` has no key `when` — unknown key (`when` is a key of the service's restart)
            "#]],
        ),
    ] {
        tables(written, &expected);
    }
}

#[test]
fn services_that_wait_for_one_another() {
    let services = "name = \"shop\"\n[service]\na = { component = \"a.wasm\", after = [\"b\"] }\nb = { component = \"b.wasm\", after = [\"c\"] }\n";
    for (more, expected) in [
        (
            "c = { component = \"c.wasm\", after = [\"a\"] }",
            expect![[r#"
                5:38 start-cycle «"a"» these services wait for one another: `a`, `b`, `c`, `a`, each starts after the next — closes the cycle (remove one `after`, or list the services of a group in another order)
            "#]],
        ),
        (
            "c = { component = \"c.wasm\", after = [\"c\", \"d\", \"d\", \"zzz\"] }\nd.component = \"d.wasm\"",
            expect![[r#"
                5:38 after-itself «"c"» `c` cannot start after itself — itself (remove it)
                5:48 duplicate-service «"d"» `d` is listed twice, first in line 5 — again (remove one of them)
                5:53 unknown-service «"zzz"» there is no service `zzz` — unknown service (write [service.zzz] or name another service)
            "#]],
        ),
        (
            "c.component = \"c.wasm\"\n[group.g]\nservices = [\"a\", \"c\"]",
            expect![[r#"
                7:13 start-cycle «"a"» these services wait for one another: `a`, `b`, `c`, `a`, each starts after the next — closes the cycle (remove one `after`, or list the services of a group in another order)
            "#]],
        ),
        (
            "c.component = \"c.wasm\"\nd = { component = \"d.wasm\", after = [\"e\"] }\ne = { component = \"e.wasm\", after = [\"d\", \"a\"] }",
            expect![[r#"
                7:38 start-cycle «"d"» these services wait for one another: `d`, `e`, `d`, each starts after the next — closes the cycle (remove one `after`, or list the services of a group in another order)
            "#]],
        ),
    ] {
        check(&format!("{services}{more}"), &expected);
    }
    let long: String = (0..12)
        .map(|n| {
            format!(
                "s{n} = {{ component = \"s.wasm\", after = [\"s{}\"] }}\n",
                (n + 1) % 12
            )
        })
        .collect();
    check(
        &format!("name = \"shop\"\n[service]\n{long}"),
        &expect![[r#"
            14:40 start-cycle «"s0"» these services wait for one another: `s0`, `s1`, `s2`, `s3`, `s4`, `s5`, `s6`, `s7`, …, `s0`, each starts after the next — closes the cycle (remove one `after`, or list the services of a group in another order)
        "#]],
    );
}

#[test]
fn links_are_read_each_with_its_defaults() {
    let text = "name = \"shop\"\n[service]\ncart.component = \"c.wasm\"\nweb.component = \"w.wasm\"\n\
        [link.web.cart]\ntimeout = \"200ms\"\nretries = 0\nconcurrency = 8\nidempotent = [\"find\", \"cart.total\"]\n\
        retry-budget = { percent = 50, per-second = 0 }\nbreaker = { failures = 3, open = \"2s..1m\" }\n\
        [link.cart.cart]\nbreaker = {}";
    let manifest = Manifest::parse(text).unwrap_or_else(|m| panic!("{}", render(text, &m)));
    let service = |name: &str| ServiceName::parse(name).unwrap();
    let web = manifest.link_policy(&service("web"), &service("cart"));
    assert_eq!(web.timeout, Some(Duration::from_millis(200)));
    assert_eq!((web.retries, web.concurrency), (0, Some(8)));
    assert_eq!((web.budget.percent, web.budget.per_second), (50, 0));
    assert_eq!(web.budget.within, Duration::from_secs(10));
    let breaker = web.breaker.unwrap();
    assert_eq!(
        (breaker.failures, breaker.within),
        (3, Duration::from_secs(10))
    );
    assert_eq!(breaker.open.to_string(), "2s..1m");
    assert!(web.is_idempotent("find") && web.is_idempotent("[method]cart.total"));
    assert!(!web.is_idempotent("buy"));
    assert_eq!(&text[web.idempotent[1].span.clone()], "\"cart.total\"");
    let own = manifest.link_policy(&service("cart"), &service("cart"));
    assert_eq!(own.breaker, Some(crate::link::BreakerPolicy::default()));
    let unwritten = manifest.link_policy(&service("cart"), &service("web"));
    assert_eq!(unwritten, crate::link::LinkPolicy::default());
    let written = &manifest.links[&(service("web"), service("cart"))];
    assert_eq!(
        &text[written.span.clone()],
        "cart",
        "where a mistake points to"
    );
}

#[test]
fn bad_links() {
    for (written, expected) in [
        (
            "[link.crt.cart]\n[link.cart.web]\n[link.cart.\"C d\"]",
            expect![[r#"
                3:7 unknown-service «crt» there is no service `crt` — unknown service (did you mean `cart`?)
                4:12 unknown-service «web» there is no service `web` — unknown service (write [service.web] or name another service)
                5:12 bad-name «"C d"» a name starts with a lower-case letter, not with `C` — name of a service (write [link.CALLER.CALLEE], with the names of two services)
            "#]],
        ),
        (
            "[link.cart]\ntimeout = \"1s\"",
            expect![[r#"
            4:11 wrong-type «"1s"» `timeout` must be a table, not a string — is a string
        "#]],
        ),
        (
            "[link.cart.cart]\nretry = 3\nfailures = 2",
            expect![[r#"
            4:1 unknown-key «retry» `link.cart.cart` has no key `retry` — unknown key (known keys: timeout, retries, retry-budget, concurrency, breaker, idempotent)
            5:1 unknown-key «failures» `link.cart.cart` has no key `failures` — unknown key (`failures` is a key of the link's breaker)
        "#]],
        ),
        (
            "[link.cart.cart]\ntimeout = \"2h\"\nretries = 11\nconcurrency = 0\n\
             retry-budget = { percent = 201, per-second = 10001, within = \"100ms\" }\n\
             breaker = { failures = 0, within = \"2h\", open = \"1ms..1s\" }",
            expect![[r#"
                4:11 out-of-range «"2h"» `timeout` must be at most 1h, not 2h — out of range (from 1ms to 1h)
                5:11 out-of-range «11» `retries` must be at most 10, not 11 — out of range (from 0 to 10)
                6:15 out-of-range «0» `concurrency` must be at least 1, not 0 — out of range (from 1 to 100000)
                7:28 out-of-range «201» `percent` must be at most 200, not 201 — out of range (from 0 to 200)
                7:46 out-of-range «10001» `per-second` must be at most 10000, not 10001 — out of range (from 0 to 10000)
                7:62 out-of-range «"100ms"» `within` must be at least 1s, not 100ms — out of range (from 1s to 1m)
                8:24 out-of-range «0» `failures` must be at least 1, not 0 — out of range (from 1 to 1000)
                8:36 out-of-range «"2h"» `within` must be at most 1h, not 2h — out of range (from 1ms to 1h)
                8:49 out-of-range «"1ms..1s"» `open` must be from 10ms to 1h, not 1ms..1s — out of range (for example "1s..30s")
            "#]],
        ),
        (
            "[link.cart.cart]\nbreaker = true\nretry-budget = \"20%\"\nidempotent = [\"find\", 3, \"find\"]",
            expect![[r#"
                4:11 wrong-type «true» `breaker` must be a table, not true or false — is true or false
                5:16 wrong-type «"20%"» `retry-budget` must be a table, not a string — is a string
                6:23 wrong-type «3» `idempotent` must be a string, not a whole number — is a whole number
                6:26 duplicate-function «"find"» `find` is listed twice, first in line 6 — again (remove one of them)
            "#]],
        ),
    ] {
        tables(written, &expected);
    }
}

#[test]
fn how_long_callers_may_be_held_has_bounds() {
    service(
        "restart = { hold = \"61s\" }",
        &expect![[r#"
            5:20 out-of-range «"61s"» `hold` must be at most 1m, not 61s — out of range (from 0ms to 1m)
        "#]],
    );
}

#[test]
fn grants_of_a_service() {
    let rows: [(&str, Expect); 11] = [
        (
            "grants.http = \"https://a.example\"",
            expect![[r#"
                5:15 wrong-type «"https://a.example"» `http` must be a list, each item an origin such as "https://api.example.com", not a string — is a string (write http = [ … ])
            "#]],
        ),
        (
            "grants.http = [\"a.example\", \"https://a.example/v1\", \"https://u:p@a.example\", \"ftp://a.example\", \"https://127.1\"]",
            expect![[r#"
                5:16 bad-origin «"a.example"» an origin begins with `https://` or `http://` — value of `http` (write "https://a.example")
                5:29 bad-origin «"https://a.example/v1"» an origin ends after host and port: `/v1` does not belong to it — value of `http` (write "https://a.example")
                5:53 bad-origin «"https://u:p@a.example"» an origin has no user name and no password — value of `http` (write "https://a.example")
                5:78 bad-origin «"ftp://a.example"» `ftp` is not a scheme that can be granted: only `https` and `http` are — value of `http`
                5:97 bad-origin «"https://127.1"» `127.1` reads as a number: write an IPv4 address as four decimal numbers — value of `http`
            "#]],
        ),
        (
            "grants.http = [\"https://a.example\", \"https://A.example:443\"]",
            expect![[r#"
                5:37 duplicate-origin «"https://A.example:443"» the origin https://a.example is listed twice, first in line 5 — again (remove one of them)
            "#]],
        ),
        (
            "grants.config = { port = 8080 }",
            expect![[r#"
            5:26 wrong-type «8080» `port` must be a string, { env = "NAME" } or { file = "path" }, not a whole number — is a whole number
        "#]],
        ),
        (
            "grants.config = { a = { env = \"A\", file = \"a\" }, b = {}, c = { envy = \"C\" } }",
            expect![[r#"
                5:23 one-source «{ env = "A", file = "a" }» `a` needs one source — `env` or `file`, and only one of them (write { env = "NAME" } or { file = "path" })
                5:54 one-source «{}» `b` needs one source — `env` or `file`, and only one of them (write { env = "NAME" } or { file = "path" })
                5:64 unknown-key «envy» `service.cart.grants.config.c` has no key `envy` — unknown key (did you mean `env`?)
            "#]],
        ),
        (
            "grants.environment = { \"A=B\" = \"1\", \"\" = \"2\" }",
            expect![[r#"
                5:24 bad-variable «"A=B"» `A=B` cannot be the name of a value — name in `environment` (a name is not empty and has no `=`)
                5:37 bad-variable «""» `` cannot be the name of a value — name in `environment` (a name is not empty and has no `=`)
            "#]],
        ),
        (
            "grants.directories = [{ host = \"d\", guest = \"data\" }, { guest = \"/a/../b\" }]",
            expect![[r#"
                5:45 bad-guest-path «"data"» `guest` is an absolute path without empty, `.` and `..` segments — where the guest sees the directory (write for example "/data")
                5:55 missing-key «{ guest = "/a/../b" }» this directory has no `host` — `host` is missing (write host = "data")
                5:65 bad-guest-path «"/a/../b"» `guest` is an absolute path without empty, `.` and `..` segments — where the guest sees the directory (write for example "/data")
            "#]],
        ),
        (
            "grants.directories = [{ host = \"d\", guest = \"/d\" }, { host = \"e\", guest = \"/d\", mode = \"write\" }]",
            expect![[r#"
                5:75 duplicate-directory «"/d"» the guest's directory `/d` is listed twice, first in line 5 — again (remove one of them)
                5:88 bad-choice «"write"» `mode` must be "read-only" or "read-write", not "write" — not one of them (write "read-only" or "read-write")
            "#]],
        ),
        (
            "grants.keyvalue = [\"default\"]",
            expect![[r#"
            5:20 not-available «"default"» key-value buckets are not available yet — cannot be granted (remove `keyvalue`; keep data in the instance or in files for now)
        "#]],
        ),
        (
            "grants.args = \"-v\"",
            expect![[r#"
                5:15 wrong-type «"-v"» `args` must be a list, each item a string, not a string — is a string (write args = [ … ])
            "#]],
        ),
        (
            "grants.sockets = true",
            expect![[r#"
            5:8 unknown-key «sockets» `service.cart.grants` has no key `sockets` — unknown key (known keys: http, config, environment, directories, args, keyvalue)
        "#]],
        ),
    ];
    for (text, expected) in rows {
        service(text, &expected);
    }
}

#[test]
fn routes_and_links() {
    let rows: [(&str, Expect); 17] = [
        (
            "[[route]]\npath = \"/a\"",
            expect![[r#"
            3:1 missing-key «[[route]]» this route has no `service` — `service` is missing (write service = "NAME")
        "#]],
        ),
        (
            "[[route]]\nservice = \"cart\"",
            expect![[r#"
            3:1 missing-key «[[route]]» this route has no `path` — `path` is missing (write path = "/")
        "#]],
        ),
        (
            "[route]\npath = \"/a\"\nservice = \"cart\"",
            expect![[r#"
                3:1 wrong-type «[route]» `route` must be a list, each item a table, not a table — is a table (write [[route]])
            "#]],
        ),
        (
            "[[route]]\npath = \"/a\"\nservice = \"card\"",
            expect![[r#"
                5:11 unknown-service «"card"» there is no service `card` — unknown service (did you mean `cart`?)
            "#]],
        ),
        (
            "[[route]]\npath = \"/a\"\nservice = \"warehouse\"",
            expect![[r#"
                5:11 unknown-service «"warehouse"» there is no service `warehouse` — unknown service (write [service.warehouse] or name another service)
            "#]],
        ),
        (
            "[[route]]\npath = \"/a\"\nservice = \"cart\"\nhost = \"http://shop.example/\"",
            expect![[r#"
                6:8 bad-host «"http://shop.example/"» a route's host has no scheme and no path, only the name — value of `host` (write "shop.example")
            "#]],
        ),
        (
            "[[route]]\npath = \"/a\"\nservice = \"cart\"\nhost = \"*\"",
            expect![[r#"
                6:8 bad-host «"*"» `*` stands only for the first labels of a host, as in `*.example.com` — value of `host` (leave `host` out to serve any host)
            "#]],
        ),
        (
            "[[route]]\npath = \"/a\"\nservice = \"cart\"\nmethods = []",
            expect![[r#"
                6:11 no-method «[]» this route serves no method — empty (leave `methods` out to serve all)
            "#]],
        ),
        (
            "[[route]]\npath = \"/a\"\nservice = \"cart\"\nmethods = [\"get\", \"GET\", \"GET\", \"FETCH\"]",
            expect![[r#"
                6:12 bad-method «"get"» methods are written in upper case: `GET` — value of `methods` (did you mean `GET`?)
                6:26 duplicate-method «"GET"» `GET` is listed twice — again (remove it)
                6:33 bad-method «"FETCH"» `FETCH` is not a method that a route can name — value of `methods` (one of GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS, TRACE, QUERY, SEARCH, PROPFIND, PROPPATCH, MKCOL, COPY, MOVE, LOCK, UNLOCK, REPORT, ACL, BIND, UNBIND, REBIND, CHECKIN, CHECKOUT, VERSION-CONTROL, MKCALENDAR, LINK, UNLINK, PURGE)
            "#]],
        ),
        (
            "[[route]]\npath = \"/a\"\nservice = \"cart\"\ntimeout = \"2h\"",
            expect![[r#"
                6:11 out-of-range «"2h"» `timeout` must be at most 1h, not 2h — out of range (from 1ms to 1h)
            "#]],
        ),
        (
            "[[route]]\npath = \"/a/{x}\"\nservice = \"cart\"\n[[route]]\npath = \"/a/{y}\"\nservice = \"cart\"\nmethods = [\"GET\"]",
            expect![[r#"
                6:1 route-conflict «[[route]]» this route and the one of service `cart` in line 3 both serve GET of `/a/{y}` — serves the same as `/a/{x}` (change path, host or methods of one of them, or remove it)
            "#]],
        ),
        (
            "[[route]]\npath = \"/a/*\"\nservice = \"cart\"",
            expect![[r#"
                4:8 bad-path «"/a/*"» `*` alone has no meaning here: write `{*rest}` for the rest of the path — value of `path` (write "/a/{*rest}")
            "#]],
        ),
        (
            "[[route]]\npath = \"/{a}/{a}\"\nservice = \"cart\"",
            expect![[r#"
                4:8 bad-path «"/{a}/{a}"» the parameter `a` occurs twice — value of `path`
            "#]],
        ),
        (
            "[[route]]\npath = \"/a/../b?c\"\nservice = \"cart\"",
            expect![[r#"
                4:8 bad-path «"/a/../b?c"» a route's path has no query: `?` and `#` do not belong to it — value of `path`
            "#]],
        ),
        (
            "service.cart.routes = [\"/{*all}\"]\n[[route]]\npath = \"/{*rest}\"\nservice = \"cart\"\nhost = \"a.b\"\n[[route]]\npath = \"/{*rest}\"\nservice = \"cart\"\nmethods = [\"PUT\"]",
            expect![[r#"
                8:1 route-conflict «[[route]]» this route and the one of service `cart` in line 3 both serve PUT of `/{*rest}` — serves the same as `/{*all}` (change path, host or methods of one of them, or remove it)
            "#]],
        ),
        (
            "service.cart.routes = \"/\"",
            expect![[r#"
                3:23 wrong-type «"/"» `routes` must be a list, each item a path such as "/cart/{id}", not a string — is a string (write routes = [ … ])
            "#]],
        ),
        (
            "service.cart.links = { products = \"cart\", \"a:b/c\" = \"crat\", \"a:b/d@1\" = \"cart\" }",
            expect![[r#"
                3:24 bad-interface «products» `products` is not the name of an interface — not an interface (write it as in WIT, like "shop:catalog/products")
                3:53 unknown-service «"crat"» there is no service `crat` — unknown service (did you mean `cart`?)
                3:61 bad-interface «"a:b/d@1"» `a:b/d@1` is not the name of an interface — not an interface (write it as in WIT, like "shop:catalog/products")
            "#]],
        ),
    ];
    for (text, expected) in rows {
        tables(text, &expected);
    }
}

#[test]
fn an_enormous_manifest_is_refused_unread() {
    let text = "#".repeat(MANIFEST_BYTES_MAX + 1);
    check(
        &text,
        &expect![[r#"
        1:1 too-large «» the manifest has 4194305 bytes, the limit is 4194304 — too large (a manifest is written by hand: is this the right file?)
    "#]],
    );
    let text: String = (0..1000).map(|n| format!("k{n} = 1\n")).collect();
    let mistakes = Manifest::parse(&text).unwrap_err();
    assert_eq!(mistakes.len(), MISTAKES_MAX + 1);
    assert_eq!(mistakes[MISTAKES_MAX].code, "too-many");
}

#[test]
#[cfg_attr(miri, ignore = "slow")]
fn a_large_manifest_is_read_in_good_time() {
    use std::fmt::Write as _;
    let mut shapes = vec!["name = \"a\"\n".to_owned(); 5];
    for n in 0..9_000 {
        let [good, conflicts, unknown, dead, keys] = &mut shapes[..] else {
            unreachable!("five shapes")
        };
        let _ = writeln!(
            good,
            "[service.s{n}]\ncomponent = \"c\"\nroutes = [\"/{n}\"]"
        );
        let _ = writeln!(conflicts, "[[route]]\npath = \"/\"\nservice = \"a\"");
        let _ = writeln!(unknown, "[[route]]\npath = \"/{n}\"\nservice = \"x{n}\"");
        let _ = writeln!(
            dead,
            "[service.s{n}]\ncomponent = \"c\"\nlinks.\"a:b/c\" = \"t{n}\""
        );
        let _ = writeln!(keys, "service.s{n}.grants.config.c = {{ envy = 1 }}");
    }
    for (index, text) in shapes.iter().enumerate() {
        let started = std::time::Instant::now();
        assert_eq!(Manifest::parse(text).is_ok(), index == 0);
        let took = started.elapsed();
        assert!(
            took < Duration::from_secs(10),
            "shape {index} took {took:?}"
        );
    }
}

/// Whatever is changed in a good manifest, reading it ends well and every mistake has a place.
fn sane(text: &str) -> Result<(), TestCaseError> {
    if let Err(mistakes) = Manifest::parse(text) {
        prop_assert!(!mistakes.is_empty());
        for mistake in mistakes {
            prop_assert!(text.get(mistake.span.clone()).is_some(), "{:?}", mistake);
            prop_assert!(!mistake.message.is_empty() && !mistake.label.is_empty());
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 1000 }))]

    #[test]
    fn no_text_panics(text in "\\PC*") {
        sane(&text)?;
    }

    #[test]
    fn no_toml_panics(text in "([a-z\\[\\]{}=\",. \n0-9]|name|service|route|limits|=|\"){0,60}") {
        sane(&text)?;
    }

    #[test]
    fn no_change_of_a_good_manifest_panics(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), 0_usize..12, "\\PC{0,3}"), 1..6),
    ) {
        let mut text: Vec<char> = include_str!("example.toml").chars().collect();
        for (at, remove, insert) in changes {
            let at = at.index(text.len());
            let end = (at + remove).min(text.len());
            text.splice(at..end, insert.chars());
        }
        sane(&text.into_iter().collect::<String>())?;
    }

    /// Lines swapped and left out keep the TOML valid more often than changed characters.
    #[test]
    fn no_shuffled_manifest_panics(
        order in proptest::collection::vec(any::<prop::sample::Index>(), 1..60),
    ) {
        let lines: Vec<&str> = include_str!("example.toml").lines().collect();
        let text: Vec<&str> = order.iter().map(|at| lines[at.index(lines.len())]).collect();
        sane(&text.join("\n"))?;
    }
}

#[test]
fn a_manifest_as_long_as_it_may_be_is_read() {
    let mut text = "name='a'\nservice.b.component='b.wasm'\n#".to_owned();
    text.push_str(&" ".repeat(MANIFEST_BYTES_MAX - text.len()));
    assert!(Manifest::parse(&text).is_ok());
    text.push(' ');
    assert_eq!(Manifest::parse(&text).unwrap_err()[0].code, "too-large");
}

#[test]
fn no_remedy_is_better_than_one_that_is_wrong_too() {
    let help = |key: &str, value: &str| {
        let text = format!(
            "name = \"shop\"\n[service.cart]\ncomponent = \"c.wasm\"\nlimits = {{ {key} = \"{value}\" }}"
        );
        Manifest::parse(&text).unwrap_err()[0].help.clone()
    };
    let write = |text: &str| Some(format!("write \"{text}\""));
    assert_eq!(help("deadline", "5"), write("5s"));
    assert_eq!(help("deadline", "123456789"), write("123456789s"));
    assert_eq!(help("deadline", "1234567890"), None);
    assert_eq!(help("deadline", "sec"), None);
    assert_eq!(help("cpu-share", "50"), write("50%"));
    assert_eq!(help("cpu-share", "0"), None);
}
