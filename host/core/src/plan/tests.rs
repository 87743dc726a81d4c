//! Two manifests, and what leads from one to the other.
use expect_test::{Expect, expect};
use proptest::prelude::*;
use proptest::strategy::Strategy;

use super::*;

fn manifest(text: &str) -> Manifest {
    let text = format!("name = \"shop\"\n{text}");
    Manifest::parse(&text).unwrap_or_else(|mistakes| panic!("{mistakes:#?}"))
}

/// Each service's component has other bytes if its file has another name, and those of `rebuilt`.
fn components(manifest: &Manifest, rebuilt: &[&str]) -> BTreeMap<ServiceName, Digest> {
    let digest = |service: &Service| {
        let again = rebuilt.contains(&service.name.as_str());
        let bytes = format!("{} {again}", service.component.display());
        (service.name.value.clone(), Digest::of(bytes.as_bytes()))
    };
    manifest.services.values().map(digest).collect()
}

fn plan(old: &str, new: &str, rebuilt: &[&str]) -> Plan {
    let (old, new) = (manifest(old), manifest(new));
    let before = components(&old, &[]);
    let after = components(&new, rebuilt);
    let plan = Plan::between(
        Side {
            manifest: &old,
            components: &before,
        },
        Side {
            manifest: &new,
            components: &after,
        },
    );
    let json = serde_json::to_string(&plan).unwrap();
    assert_eq!(
        serde_json::from_str::<Plan>(&json).unwrap().to_string(),
        plan.to_string(),
        "{json}"
    );
    plan
}

fn check(old: &str, new: &str, expected: &Expect) {
    expected.assert_eq(&plan(old, new, &[]).to_string());
}

const CART: &str = "[service.cart]\ncomponent = \"cart.wasm\"\n";

#[test]
fn what_says_the_same_in_other_words_is_no_change() {
    let spelled_out = "\n\n[ service . cart ]\n# The default\nlimits = { memory = '64MiB', memory-total = \"4GiB\" }\n\
        component = \"cart.wasm\"\n[http]\nlisten = \"127.0.0.1:8080\"\n[link.cart.cart]";
    let plan = plan(CART, spelled_out, &[]);
    assert!(plan.is_empty(), "{plan}");
    assert_eq!(plan.to_string(), "Nothing to change.\n");
    let routes = |routes: &str| {
        format!("{CART}routes = {routes}\ngrants.http = [\"https://a\", \"https://b\"]")
    };
    let mut other = routes("[\"/b\", \"/a\"]");
    other = other.replace(
        "\"https://a\", \"https://b\"",
        "\"https://b\", \"https://a\"",
    );
    let moved = format!(
        "{CART}grants.http = [\"https://a\", \"https://b\"]\n[[route]]\npath = \"/a\"\nservice = \"cart\"\n[[route]]\npath = \"/b\"\nservice = \"cart\""
    );
    for same in [other, moved] {
        check(
            &routes("[\"/a\", \"/b\"]"),
            &same,
            &expect![["Nothing to change.\n"]],
        );
    }
}

#[test]
fn services_come_change_and_go() {
    check(
        "[service.cart]\ncomponent = \"cart.wasm\"\nlimits.memory = \"64MiB\"\n[service.old]\ncomponent = \"old.wasm\"",
        "[service.cart]\ncomponent = \"cart-2.wasm\"\nlimits = { memory = \"128MiB\", cpu = \"300ms\" }\n\
         [service.pay]\ncomponent = \"pay.wasm\"\ngrants = { http = [\"https://api.example.com\"], environment = { KEY = \"s\" } }",
        &expect![[r#"
            ~ service cart
                component      cart.wasm → cart-2.wasm
                digest         d2df1f3def1b → e3f430f57220
                limits.cpu     unset → 300ms
                limits.memory  64MiB → 128MiB
            - service old
            + service pay
                component               pay.wasm
                digest                  8aea278de40c
                grants.environment.KEY  (not shown)
                grants.http             + https://api.example.com

            1 to add, 1 to change, 1 to remove
        "#]],
    );
}

#[test]
fn a_file_that_was_built_again_is_a_change() {
    let rebuilt = plan(CART, CART, &["cart"]);
    expect![[r#"
        ~ service cart
            digest  d2df1f3def1b → 6c322ba9be14

        0 to add, 1 to change, 0 to remove
    "#]]
    .assert_eq(&rebuilt.to_string());
    let [
        Change {
            difference:
                Difference::Value {
                    new: Some(Setting::Text(new)),
                    ..
                },
            ..
        },
    ] = &rebuilt.steps[0].changes[..]
    else {
        panic!("{rebuilt:?}");
    };
    assert!(new.parse::<Digest>().is_ok(), "whole, for programs: {new}");
}

#[test]
fn every_kind_of_setting_is_compared() {
    check(
        "[service.cart]\ncomponent = \"cart.wasm\"\nhealth = \"/healthz\"\nlinks = { \"shop:a/b\" = \"pay\" }\n\
         grants = { http = [\"https://a.example\", \"https://b.example\"], args = [\"-v\", \"-x\"], \
         config = { greeting = \"hi\", motd = { file = \"motd\" } }, directories = [{ host = \"data\", guest = \"/data\" }] }\n\
         [service.pay]\ncomponent = \"pay.wasm\"\nstop-timeout = \"1s\"",
        "[service.cart]\ncomponent = \"cart.wasm\"\nhealth = { path = \"/healthz\", timeout = \"2s\" }\nlinks = { \"shop:c/d\" = \"pay\" }\n\
         after = [\"pay\"]\ninstances = { warm = 2, reuse = 5 }\nrestart = { when = \"never\", backoff = \"1s..2s\" }\ncore-dumps = {}\n\
         grants = { http = [\"https://b.example\", \"https://c.example\"], args = [\"-x\", \"-v\"], \
         config = { greeting = \"ho\", motd = { env = \"MOTD\" } }, directories = [{ host = \"data\", guest = \"/data\", mode = \"read-write\" }] }\n\
         [service.pay]\ncomponent = \"pay.wasm\"",
        &expect![[r#"
            ~ service cart
                after                   + pay
                core-dumps.count        unset → 4
                core-dumps.size         unset → 68MiB
                grants.args             [-v, -x] → [-x, -v]
                grants.config.greeting  another value (not shown)
                grants.config.motd      { file = "motd" } → { env = "MOTD" }
                grants.directories      - data as /data (read-only)
                grants.directories      + data as /data (read-write)
                grants.http             - https://a.example
                grants.http             + https://c.example
                health.startup.timeout  1s → 2s
                instances.reuse         unset → 5
                instances.warm          0 → 2
                links."shop:a/b"        pay → unset
                links."shop:c/d"        unset → pay
                restart.backoff         100ms..30s → 1s..2s
                restart.when            on-failure → never
            ~ service pay
                stop-timeout  1s → unset

            0 to add, 2 to change, 0 to remove
        "#]],
    );
}

#[test]
fn routes_are_known_by_what_they_match() {
    check(
        "[service.cart]\ncomponent = \"cart.wasm\"\nroutes = [\"/cart/{id}\", \"/old\"]\n[service.pay]\ncomponent = \"pay.wasm\"\n\
         [[route]]\npath = \"/pay\"\nmethods = [\"POST\"]\nservice = \"pay\"",
        "[service.cart]\ncomponent = \"cart.wasm\"\n[service.pay]\ncomponent = \"pay.wasm\"\nroutes = [\"/cart/{id}\"]\n\
         [[route]]\npath = \"/pay\"\nmethods = [\"POST\"]\nservice = \"pay\"\ntimeout = \"1s\"\n\
         [[route]]\npath = \"/pay\"\nhost = \"*.example.com\"\nmethods = [\"GET\", \"PUT\"]\nservice = \"pay\"",
        &expect![[r#"
            ~ route /cart/{id}
                service  cart → pay
            - route /old
            + route GET, PUT *.example.com/pay
                service  pay
            ~ route POST /pay
                timeout  unset → 1s

            1 to add, 2 to change, 1 to remove
        "#]],
    );
}

#[test]
fn links_and_groups_are_compared_with_their_defaults() {
    let services =
        "[service.cart]\ncomponent = \"cart.wasm\"\n[service.pay]\ncomponent = \"pay.wasm\"\n";
    let with = |rest: &str| format!("{services}{rest}");
    check(
        &with(
            "[link.cart.pay]\nretries = 1\n[link.pay.cart]\nbreaker = {}\n[group.old]\nservices = [\"cart\"]",
        ),
        &with(
            "[link.cart.pay]\nretries = 2\nidempotent = [\"find\"]\n[link.cart.cart]\ntimeout = \"1s\"\n[group.all]\nservices = [\"pay\", \"cart\"]\nstrategy = \"one-for-all\"",
        ),
        &expect![[r#"
            + group all
                services  [pay, cart]
                strategy  one-for-all
            - group old
            + link cart → cart
                timeout  1s
            ~ link cart → pay
                idempotent  + find
                retries     1 → 2
            - link pay → cart

            2 to add, 1 to change, 2 to remove
        "#]],
    );
    check(
        &with("[group.all]\nservices = [\"pay\", \"cart\"]"),
        &with("[group.all]\nservices = [\"cart\", \"pay\"]"),
        &expect![[r#"
            ~ group all
                services  [pay, cart] → [cart, pay]

            0 to add, 1 to change, 0 to remove
        "#]],
    );
}

#[test]
fn what_needs_a_restart_of_the_host_says_so() {
    let plan = plan(
        &format!(
            "{CART}[http]\nlisten = [\"127.0.0.1:8080\", \"127.0.0.1:8081\"]\n[host]\nthreads = 2"
        ),
        &format!(
            "{CART}[http]\nlisten = [\"127.0.0.1:8081\", \"127.0.0.1:8082\"]\naccess-log = false\n\
        tls = {{ cert = \"a.pem\", key = \"b.pem\" }}\nlimits.connections = 10\n[host]\nmemory = \"1GiB\""
        ),
        &[],
    );
    expect![[r#"
        ~ http
            access-log          true → false
            limits.connections  16384 → 10
            listen              - 127.0.0.1:8080  (when the host is started again)
            listen              + 127.0.0.1:8082  (when the host is started again)
            tls.cert            unset → a.pem  (when the host is started again)
            tls.key             unset → b.pem  (when the host is started again)
        ~ host
            memory   unset → 1GiB  (when the host is started again)
            threads  2 → unset  (when the host is started again)

        0 to add, 2 to change, 0 to remove
        Takes effect when the host is started again: http.listen, http.tls.cert, http.tls.key, host.memory, host.threads
    "#]].assert_eq(&plan.to_string());
    assert_eq!(
        plan.waiting(),
        [
            "http.listen",
            "http.tls.cert",
            "http.tls.key",
            "host.memory",
            "host.threads"
        ]
    );
}

#[test]
fn an_application_that_is_renamed_says_so() {
    let (old, mut new) = (manifest(CART), manifest(CART));
    new.name = AppName::parse("store").unwrap();
    let nothing = BTreeMap::new();
    let side = |manifest| Side {
        manifest,
        components: &nothing,
    };
    let plan = Plan::between(side(&old), side(&new));
    expect![[r#"
        ~ application store
            name  shop → store  (when the host is started again)

        0 to add, 1 to change, 0 to remove
        Takes effect when the host is started again: name
    "#]]
    .assert_eq(&plan.to_string());
}

#[test]
fn programs_get_the_same_as_people() {
    let plan = plan(
        CART,
        "[service.cart]\ncomponent = \"cart.wasm\"\nroutes = [\"/\"]\nlimits.memory = \"1MiB\"\ngrants = { http = [\"https://a.example\"], config = { k = \"secret\" } }",
        &[],
    );
    expect![[r#"
        {
          "steps": [
            {
              "subject": "service",
              "name": "cart",
              "action": "change",
              "changes": [
                {
                  "key": "grants.config.k",
                  "old": null,
                  "new": {
                    "hidden": true
                  },
                  "effect": "live"
                },
                {
                  "key": "grants.http",
                  "added": [
                    "https://a.example"
                  ],
                  "removed": [],
                  "effect": "live"
                },
                {
                  "key": "limits.memory",
                  "old": "64MiB",
                  "new": "1MiB",
                  "effect": "live"
                }
              ]
            },
            {
              "subject": "route",
              "name": "/",
              "action": "add",
              "changes": [
                {
                  "key": "service",
                  "old": null,
                  "new": "cart",
                  "effect": "live"
                }
              ]
            }
          ]
        }"#]]
    .assert_eq(&serde_json::to_string_pretty(&plan).unwrap());
}

#[test]
fn each_line_has_a_tone() {
    let plan = plan(
        "[service.a]\ncomponent = \"a\"\n[service.b]\ncomponent = \"b\"\ngrants.http = [\"https://x\"]",
        "[service.c]\ncomponent = \"c\"\n[service.b]\ncomponent = \"b\"\nlimits.queue = 1",
        &[],
    );
    let tones: Vec<String> = plan
        .lines()
        .iter()
        .map(|line| format!("{:?}", line.tone))
        .collect();
    assert_eq!(
        tones.join(" "),
        "Remove Change Remove Change Add Add Add Plain Plain"
    );
}

proptest! {
    /// A plan is empty exactly if both sides say the same, and leads nowhere else if turned around.
    #[test]
    fn plans_are_symmetric(old in arbitrary(), new in arbitrary()) {
        let (forth, back) = (plan(&old, &new, &[]), plan(&new, &old, &[]));
        prop_assert_eq!(forth.is_empty(), manifest(&old) == manifest(&new));
        prop_assert_eq!(forth.steps.len(), back.steps.len());
        prop_assert_eq!(forth.summary().add, back.summary().remove);
        prop_assert!(plan(&old, &old, &[]).is_empty());
    }
}

fn arbitrary() -> impl Strategy<Value = String> {
    let service = (0..3_u32, 0..3_u32, any::<bool>(), any::<bool>());
    proptest::collection::btree_map(0..3_u32, service, 1..4).prop_map(|services| {
        let mut text = String::new();
        for (name, (queue, warm, routed, checked)) in services {
            text += &format!("[service.s{name}]\ncomponent = \"{name}.wasm\"\nlimits.queue = {queue}\ninstances.warm = {warm}\n");
            if routed {
                text += &format!("routes = [\"/{name}\"]\n");
            }
            if checked {
                text += "health = \"/\"\n";
            }
        }
        text
    })
}
