//! Who is linked to whom, and what is said where nobody is.
use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::{Function, Named, Type};
use super::*;

/// A service, as far as linking sees it.
#[derive(Debug, Clone)]
struct Sketch {
    name: ServiceName,
    contract: Contract,
    links: BTreeMap<String, Spanned<ServiceName>>,
    given: Vec<String>,
}

fn name(name: &str) -> ServiceName {
    ServiceName::parse(name).unwrap()
}

fn interface(name: &str, result: Type) -> Interface {
    Interface {
        name: InterfaceName::new(name),
        functions: vec![Function {
            name: "find".into(),
            asynchronous: false,
            params: [Named {
                name: "id".into(),
                ty: Type::U32,
            }]
            .into(),
            result: Some(result),
        }],
        resources: vec![],
    }
}

fn service(of: &str, imports: &[&str], exports: &[&str], links: &[(&str, &str)]) -> Sketch {
    let all = |names: &[&str]| {
        names
            .iter()
            .map(|name| interface(name, Type::U32))
            .collect()
    };
    let link = |(key, callee): &(&str, &str)| ((*key).to_owned(), Spanned::new(name(callee), 0..0));
    let given = imports
        .iter()
        .filter(|import| import.starts_with("wasi:io/"));
    Sketch {
        name: name(of),
        contract: Contract {
            imports: all(imports),
            exports: all(exports),
        },
        links: links.iter().map(link).collect(),
        given: given.map(|import| (*import).to_owned()).collect(),
    }
}

fn resolved(services: &[Sketch]) -> Resolution {
    let parties: Vec<Party<'_>> = services.iter().map(party).collect();
    resolve(&parties)
}

fn party(sketch: &Sketch) -> Party<'_> {
    Party {
        name: &sketch.name,
        contract: &sketch.contract,
        links: &sketch.links,
        given: sketch.given.iter().map(String::as_str).collect(),
    }
}

fn check(services: &[Sketch], expected: &Expect) {
    let Resolution {
        links,
        problems,
        unused,
    } = resolved(services);
    let mut text = String::new();
    for link in links {
        text += &format!("{link}\n");
    }
    for problem in problems {
        text += &format!(
            "{}: {problem} — {} ({})\n",
            problem.code(),
            problem.label(),
            problem.help()
        );
    }
    for Unused { caller, interface } in unused {
        text += &format!("unused in {caller}: {interface}\n");
    }
    expected.assert_eq(&text);
}

const PRODUCTS: &str = "shop:catalog/products@0.2.0";

#[test]
fn an_import_is_linked_to_the_one_that_exports_it() {
    check(
        &[
            service(
                "cart",
                &[PRODUCTS, "wasi:io/poll@0.2.0"],
                &["shop:cart/carts"],
                &[],
            ),
            service("catalog", &[], &["shop:catalog/products@0.2.7"], &[]),
            service(
                "front",
                &["shop:cart/carts", "shop:catalog/products@0.2.9"],
                &[],
                &[],
            ),
        ],
        &expect![[r#"
            cart → catalog: shop:catalog/products@0.2.0 (as shop:catalog/products@0.2.7)
            front → cart: shop:cart/carts
            front → catalog: shop:catalog/products@0.2.9 (as shop:catalog/products@0.2.7)
        "#]],
    );
}

#[test]
fn of_several_versions_in_one_service_the_exact_one_is_taken_else_the_newest() {
    let versions = [
        "shop:catalog/products@0.2.9",
        PRODUCTS,
        "shop:catalog/products@0.3.0",
    ];
    check(
        &[
            service("a", &[PRODUCTS], &[], &[]),
            service("b", &["shop:catalog/products@0.2.1"], &[], &[]),
            service("catalog", &[], &versions, &[]),
        ],
        &expect![[r#"
            a → catalog: shop:catalog/products@0.2.0
            b → catalog: shop:catalog/products@0.2.1 (as shop:catalog/products@0.2.9)
        "#]],
    );
}

#[test]
fn links_decide_where_several_export_it() {
    let exporters = |links: &[(&str, &str)]| {
        vec![
            service("cart", &[PRODUCTS], &[], links),
            service("catalog", &[], &[PRODUCTS], &[]),
            service("mock", &[], &["shop:catalog/products@0.2.1"], &[]),
        ]
    };
    check(
        &exporters(&[]),
        &expect![[r#"
        link-ambiguous: `cart` imports `shop:catalog/products@0.2.0`, which several services export: `catalog` and `mock` — `links` has to say which (write links = { "shop:catalog/products" = "catalog" })
    "#]],
    );
    check(
        &exporters(&[("shop:catalog/products", "mock")]),
        &expect![[r#"
            cart → mock: shop:catalog/products@0.2.0 (as shop:catalog/products@0.2.1)
        "#]],
    );
    // The whole name comes before the name without a version; what decides nothing is said.
    check(
        &exporters(&[
            ("shop:catalog/products", "mock"),
            (PRODUCTS, "catalog"),
            ("shop:catalog/prices", "catalog"),
            ("shop:catalog/products@0.1.0", "catalog"),
        ]),
        &expect![[r#"
            cart → catalog: shop:catalog/products@0.2.0
            unused in cart: shop:catalog/prices
            unused in cart: shop:catalog/products
            unused in cart: shop:catalog/products@0.1.0
        "#]],
    );
}

#[test]
fn what_nobody_exports_names_what_there_is() {
    check(
        &[
            service("cart", &[PRODUCTS, "shop:mail/letters"], &[], &[]),
            service("catalog", &[], &["shop:catalog/products@0.3.0"], &[]),
            service("old", &[], &["shop:catalog/products@0.2.0-rc.1"], &[]),
            service("pre", &["shop:catalog/products@0.2.0-rc.2"], &[], &[]),
        ],
        &expect![[r#"
            import-missing: `cart` imports `shop:catalog/products@0.2.0`, but `catalog` exports shop:catalog/products@0.3.0, `old` exports shop:catalog/products@0.2.0-rc.1; `cart` wants ^0.2 — nobody provides what it imports (build `cart` for shop:catalog/products@0.3.0, or `catalog` for shop:catalog/products@0.2.0)
            import-missing: `cart` imports `shop:mail/letters`, which neither Skep nor a service of the application has — nobody provides what it imports (add a service whose component exports `shop:mail/letters`)
            import-missing: `pre` imports `shop:catalog/products@0.2.0-rc.2`, but `catalog` exports shop:catalog/products@0.3.0, `old` exports shop:catalog/products@0.2.0-rc.1; `pre` wants exactly 0.2.0-rc.2 — nobody provides what it imports (build `pre` for shop:catalog/products@0.3.0, or `catalog` for shop:catalog/products@0.2.0-rc.2)
        "#]],
    );
}

#[test]
fn a_link_to_one_that_does_not_export_it_is_a_mistake() {
    check(
        &[
            service("a", &[PRODUCTS], &[], &[("shop:catalog/products", "b")]),
            service("b", &[], &["shop:catalog/products@0.3.0"], &[]),
            service("c", &[PRODUCTS], &[], &[("shop:catalog/products", "a")]),
            service("d", &[], &[PRODUCTS], &[]),
            // Not one of the application: the manifest's own mistake.
            service(
                "e",
                &[PRODUCTS],
                &[],
                &[("shop:catalog/products", "nobody")],
            ),
        ],
        &expect![[r#"
            link-not-exported: `a` links `shop:catalog/products@0.2.0` to `b`, which exports shop:catalog/products@0.3.0; `a` wants ^0.2 — `b` does not export it (`d` exports it: name that)
            link-not-exported: `c` links `shop:catalog/products@0.2.0` to `a`, which does not export it — `a` does not export it (`d` exports it: name that)
        "#]],
    );
}

#[test]
fn a_service_is_linked_to_itself_only_by_name() {
    check(
        &[service("proxy", &[PRODUCTS], &[PRODUCTS], &[])],
        &expect![[r#"
            import-missing: `proxy` imports `shop:catalog/products@0.2.0`, which no other service exports — nobody provides what it imports (if it is meant to call itself, write links = { "shop:catalog/products" = "proxy" })
        "#]],
    );
    check(
        &[
            service("catalog", &[], &[PRODUCTS], &[]),
            service("proxy", &[PRODUCTS], &[PRODUCTS], &[]),
        ],
        &expect![[r#"
            proxy → catalog: shop:catalog/products@0.2.0
        "#]],
    );
    check(
        &[service(
            "proxy",
            &[PRODUCTS],
            &[PRODUCTS],
            &[("shop:catalog/products", "proxy")],
        )],
        &expect![[r#"
            proxy → proxy: shop:catalog/products@0.2.0
        "#]],
    );
}

#[test]
fn what_the_host_has_stays_the_hosts() {
    check(
        &[
            service("a", &["wasi:io/poll@0.2.0"], &[], &[("wasi:io/poll", "b")]),
            service("b", &["wasi:io/poll@0.2.0"], &["wasi:io/poll@0.2.0"], &[]),
        ],
        &expect![[r#"
            link-to-host: `a` links `wasi:io/poll@0.2.0`, which the host provides to every service — the host has it (remove the entry)
        "#]],
    );
}

#[test]
fn a_handler_is_linked_by_name_alone() {
    let handler = "wasi:http/handler@0.3.0";
    let chain = |links: &[(&str, &str)]| {
        vec![
            service("auth", &[handler], &[handler], links),
            service("shop", &[], &["wasi:http/handler@0.3.1"], &[]),
            service("old", &[], &["wasi:http/incoming-handler@0.2.3"], &[]),
        ]
    };
    check(
        &chain(&[]),
        &expect![[r#"
        import-missing: `auth` imports `wasi:http/handler@0.3.0`, which has to name a service in `links`: `shop` — nobody provides what it imports (write links = { "wasi:http/handler" = "shop" })
    "#]],
    );
    check(
        &chain(&[("wasi:http/handler", "shop")]),
        &expect![[r#"
        auth → shop: wasi:http/handler@0.3.0 (as wasi:http/handler@0.3.1)
    "#]],
    );
    check(
        &chain(&[])[..1],
        &expect![[r#"
            import-missing: `auth` imports `wasi:http/handler@0.3.0`, which no other service exports — nobody provides what it imports (add a service that handles requests, and name it in `links`)
        "#]],
    );
}

#[test]
fn types_are_compared() {
    let mut catalog = service("catalog", &[], &[], &[]);
    catalog
        .contract
        .exports
        .push(interface(PRODUCTS, Type::String));
    check(
        &[service("cart", &[PRODUCTS], &[], &[]), catalog],
        &expect![[r#"
            link-mismatch: `cart` imports `shop:catalog/products@0.2.0`, and what `catalog` exports does not fit: function `find`, result: expected u32, found string — does not fit `catalog` (build `cart` and `catalog` from one WIT package)
        "#]],
    );
}

/// An interface whose function gives a handle of a resource of another.
fn mentions(name: &str, side: Side, of: &str) -> Interface {
    interface(
        name,
        Type::Own(Resource {
            interface: Some(InterfaceName::new(of)),
            name: "item".into(),
            side,
        }),
    )
}

fn defines(name: &str) -> Interface {
    Interface {
        resources: vec!["item".into()],
        ..interface(name, Type::Bool)
    }
}

#[test]
fn a_resource_that_two_interfaces_share_comes_from_one_service() {
    let (items, baskets) = ("a:b/items@0.1.0", "a:b/baskets@0.1.0");
    let services = |links: &[(&str, &str)], caller_links: &[(&str, &str)]| {
        let mut caller = service("caller", &[], &[], caller_links);
        caller.contract.imports = vec![defines(items), mentions(baskets, Side::Import, items)];
        let mut basket = service("basket", &[], &[], links);
        basket.contract.imports = vec![defines(items)];
        basket.contract.exports = vec![mentions(baskets, Side::Import, items)];
        let mut one = service("one", &[], &[], &[]);
        one.contract.exports = vec![defines(items)];
        let mut two = service("two", &[], &[], &[]);
        two.contract.exports = vec![defines(items)];
        vec![caller, basket, one, two]
    };
    check(
        &services(&[("a:b/items", "one")], &[("a:b/items", "one")]),
        &expect![[r#"
            basket → one: a:b/items@0.1.0
            caller → basket: a:b/baskets@0.1.0
            caller → one: a:b/items@0.1.0
        "#]],
    );
    check(
        &services(&[("a:b/items", "one")], &[("a:b/items", "two")]),
        &expect![[r#"
            basket → one: a:b/items@0.1.0
            caller → basket: a:b/baskets@0.1.0
            caller → two: a:b/items@0.1.0
            link-resources: `caller` imports `a:b/baskets@0.1.0` from `basket`, with handles of `item` of `a:b/items@0.1.0`, which `caller` has from `two` and `basket` from `one` — its handles cannot cross (let both get `item` of `a:b/items@0.1.0` from one service, with `links`)
        "#]],
    );
    // The exporter may define it itself, beside.
    let mut all = services(&[("a:b/items", "one")], &[("a:b/items", "basket")]);
    all[1].contract.exports = vec![defines(items), mentions(baskets, Side::Export, items)];
    check(
        &all,
        &expect![[r#"
        basket → one: a:b/items@0.1.0
        caller → basket: a:b/baskets@0.1.0
        caller → basket: a:b/items@0.1.0
    "#]],
    );
}

#[test]
fn handles_of_the_hosts_resources_stay_in_one_service() {
    let (streams, files) = ("wasi:io/streams@0.2.0", "a:b/files");
    let mut caller = service("caller", &[], &[], &[]);
    caller.contract.imports = vec![defines(streams), mentions(files, Side::Import, streams)];
    caller.given.push(streams.to_owned());
    let mut callee = service("callee", &[], &[], &[]);
    callee.contract.imports = vec![defines("wasi:io/streams@0.2.6")];
    callee.contract.exports = vec![mentions(files, Side::Import, "wasi:io/streams@0.2.6")];
    callee.given.push("wasi:io/streams@0.2.6".to_owned());
    check(
        &[caller, callee],
        &expect![[r#"
        caller → callee: a:b/files
        link-resources: `caller` imports `a:b/files` from `callee`, with handles of `item` of `wasi:io/streams@0.2.0`, which belong to the host and stay in one service — its handles cannot cross (pass bytes or another value instead)
    "#]],
    );
}

fn a_service(of: usize) -> impl Strategy<Value = Sketch> {
    let interface = prop::sample::select(vec![
        "a:b/c@0.1.0",
        "a:b/c@0.1.1",
        "a:b/c@0.2.0",
        "a:b/d@1.0.0",
        "a:b/d@1.1.0",
        "a:b/e",
        "wasi:io/poll@0.2.0",
        "wasi:http/handler@0.3.0",
    ]);
    let some = || prop::collection::btree_set(interface.clone(), 0..4);
    let callee = prop::sample::select(vec!["s0", "s1", "s2", "s3", "s9"]);
    let key = prop::sample::select(vec![
        "a:b/c",
        "a:b/c@0.1.0",
        "a:b/d",
        "a:b/e",
        "wasi:http/handler",
    ]);
    let links = prop::collection::btree_map(key, callee, 0..3);
    (some(), some(), links).prop_map(move |(imports, exports, links)| {
        let imports: Vec<_> = imports.into_iter().collect();
        let exports: Vec<_> = exports.into_iter().collect();
        let links: Vec<_> = links.into_iter().collect();
        service(&format!("s{of}"), &imports, &exports, &links)
    })
}

proptest! {
    #[test]
    fn the_order_of_services_and_of_their_imports_does_not_matter(
        (services, shuffled) in (a_service(0), a_service(1), a_service(2), a_service(3))
            .prop_map(|(a, b, c, d)| vec![a, b, c, d])
            .prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
        reversed in any::<bool>(),
    ) {
        let mut shuffled = shuffled;
        if reversed {
            for service in &mut shuffled {
                service.contract.imports.reverse();
                service.contract.exports.reverse();
            }
        }
        prop_assert_eq!(resolved(&services), resolved(&shuffled));
    }

    #[test]
    fn every_import_is_linked_or_given_or_explained(
        services in (a_service(0), a_service(1), a_service(2), a_service(3))
            .prop_map(|(a, b, c, d)| vec![a, b, c, d]),
    ) {
        let resolution = resolved(&services);
        for service in &services {
            for import in &service.contract.imports {
                let import = import.name.text();
                let given = service.given.iter().any(|given| given == import);
                let links = resolution.links.iter();
                let links = links.filter(|l| l.caller == service.name && l.import == import);
                let problems = resolution.problems.iter();
                let problems = problems.filter(|p| *p.caller() == service.name && p.import() == import);
                let nobody = service.links.iter().any(|(key, to)| {
                    to.as_str() == "s9" && InterfaceName::new(import).path() == InterfaceName::new(key).path()
                });
                let told = links.count() + problems.count();
                prop_assert!(told == 1 || (told == 0 && (given || nobody)), "{import}: {told}");
            }
        }
        for link in &resolution.links {
            let callee = services.iter().find(|service| service.name == link.callee).unwrap();
            prop_assert!(callee.contract.export(&link.export).is_some());
            prop_assert!(InterfaceName::new(&link.import).fits(&InterfaceName::new(&link.export)));
        }
    }
}
