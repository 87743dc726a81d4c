//! The manifest's routes as clients meet them.

use crate::fixture::{Host, get, service};

/// Which service answered, by the access log; or what became of the request.
async fn answered_by(host: &Host, authority: &str, path: &str, method: &str, id: &str) -> String {
    let mut asked = get(path);
    *asked.method_mut() = method.parse().unwrap();
    asked
        .headers_mut()
        .insert("host", authority.parse().unwrap());
    asked
        .headers_mut()
        .insert("x-request-id", id.parse().unwrap());
    host.ask(asked).await;
    let line = host
        .logged(id, |line| line["kind"] == "request" && line["id"] == id)
        .await;
    let text = |key: &str| line[key].as_str().map(str::to_owned);
    text("service").or_else(|| text("outcome")).unwrap()
}

#[tokio::test]
async fn the_most_specific_route_wins() {
    let route = |rest: &str| format!("[[route]]\n{rest}\n");
    let mut plan = Host::with(service("any").component("probe").everywhere());
    for name in [
        "shop", "wild", "deep", "item", "literal", "items", "reader", "writer",
    ] {
        plan = plan.and(service(name).component("probe"));
    }
    let host = plan
        .tables(&route(
            "host = \"shop.example\"\npath = \"/{*rest}\"\nservice = \"shop\"",
        ))
        .tables(&route(
            "host = \"*.example\"\npath = \"/{*rest}\"\nservice = \"wild\"",
        ))
        .tables(&route(
            "host = \"*.deep.example\"\npath = \"/{*rest}\"\nservice = \"deep\"",
        ))
        .tables(&route("path = \"/items/{id}\"\nservice = \"item\""))
        .tables(&route("path = \"/items/special\"\nservice = \"literal\""))
        .tables(&route("path = \"/items/{*rest}\"\nservice = \"items\""))
        .tables(&route(
            "path = \"/m\"\nmethods = [\"GET\"]\nservice = \"reader\"",
        ))
        .tables(&route(
            "path = \"/m\"\nmethods = [\"POST\", \"PUT\"]\nservice = \"writer\"",
        ))
        .start()
        .await;
    for (n, (authority, path, method, expected)) in [
        ("x", "/", "GET", "any"),
        ("x", "/else/where", "GET", "any"),
        ("shop.example", "/", "GET", "shop"),
        ("SHOP.example:8080", "/", "GET", "shop"),
        ("shop.example.", "/a", "GET", "shop"),
        ("a.example", "/", "GET", "wild"),
        ("a.b.example", "/", "GET", "wild"),
        ("a.deep.example", "/", "GET", "deep"),
        ("example", "/", "GET", "any"),
        ("x", "/items/7", "GET", "item"),
        ("x", "/items/special", "GET", "literal"),
        ("x", "/items/%73pecial", "GET", "literal"),
        ("x", "/items/", "GET", "items"),
        ("x", "/items/7/parts", "GET", "items"),
        ("x", "/items", "GET", "any"),
        ("x", "/items/a%2Fb", "GET", "item"),
        ("x", "/m", "GET", "reader"),
        ("x", "/m", "HEAD", "reader"),
        ("x", "/m", "PUT", "writer"),
        ("shop.example", "/items/7", "GET", "shop"),
    ]
    .into_iter()
    .enumerate()
    {
        let id = format!("row-{n}");
        let answered = answered_by(&host, authority, path, method, &id).await;
        assert_eq!(answered, expected, "{method} {authority}{path}");
    }
}

#[tokio::test]
async fn the_guest_sees_the_path_as_the_router_read_it() {
    let host = Host::probe().await;
    let reply = host.get("/%68eaders?a=%20&b").await.expect(200);
    assert!(
        reply.text().contains("path: /headers?a=%20&b\n"),
        "{}",
        reply.text()
    );
}
