//! Look-ups as data rows, and against a reference that tries every route.
use std::cmp::Ordering;

use proptest::prelude::*;

use super::*;

/// "HOST METHODS PATH", with `-` for any.
fn spec(text: &str) -> RouteSpec {
    let [host, methods, path] = text.split(' ').collect::<Vec<_>>()[..] else {
        panic!("{text}")
    };
    RouteSpec {
        host: match host {
            "-" => HostPattern::Any,
            host => host.parse().unwrap(),
        },
        path: path.parse().unwrap(),
        methods: match methods {
            "-" => Methods::Any,
            list => Methods::Only(list.split(',').map(|m| m.parse().unwrap()).collect()),
        },
    }
}

fn table<'a>(routes: &[&'a str]) -> RouteTable<&'a str> {
    RouteTable::build(routes.iter().map(|route| (spec(route), *route)).collect()).unwrap()
}

fn check(routes: &[&str], rows: &[(&str, &str)]) {
    let table = table(routes);
    for (request, expected) in rows {
        let [host, method, path] = request.split(' ').collect::<Vec<_>>()[..] else {
            panic!("{request}")
        };
        let found = match table.lookup(host, path, method) {
            Lookup::Found(route) => (*route).to_owned(),
            Lookup::NotFound => "404".to_owned(),
            Lookup::MethodNotAllowed { allow } => format!("405 {allow}"),
        };
        assert_eq!(found, *expected, "{request}");
    }
}

#[test]
fn the_most_specific_path_wins() {
    check(
        &[
            "- - /a/b",
            "- - /a/{x}",
            "- - /a/{*r}",
            "- - /{x}/b",
            "- - /",
        ],
        &[
            ("h GET /a/b", "- - /a/b"),
            ("h GET /a/c", "- - /a/{x}"),
            ("h GET /a/c/d", "- - /a/{*r}"),
            ("h GET /a/", "- - /a/{*r}"),
            ("h GET /a", "404"),
            ("h GET /z/b", "- - /{x}/b"),
            ("h GET /z/c", "404"),
            ("h GET /", "- - /"),
            ("h GET //", "404"),
            ("h GET *", "404"),
        ],
    );
}

#[test]
fn a_dead_end_leads_back_to_the_next_best() {
    check(
        &["- - /a/{x}/c", "- - /{x}/b/d", "- - /{*r}"],
        &[
            ("h GET /a/b/d", "- - /{x}/b/d"),
            ("h GET /a/b/c", "- - /a/{x}/c"),
            ("h GET /a/b/e", "- - /{*r}"),
            ("h GET /a/b/c/d", "- - /{*r}"),
        ],
    );
}

#[test]
fn the_most_specific_host_wins_and_falls_back_to_wider_ones() {
    check(
        &[
            "shop.example - /",
            "*.shop.example - /",
            "*.example - /",
            "*.example - /wide",
            "- - /{*r}",
            "[::1] - /",
        ],
        &[
            ("shop.example GET /", "shop.example - /"),
            ("SHOP.Example:8080 GET /", "shop.example - /"),
            ("shop.example. GET /", "shop.example - /"),
            ("shop.example GET /wide", "*.example - /wide"),
            ("a.shop.example GET /", "*.shop.example - /"),
            ("a.b.shop.example GET /", "*.shop.example - /"),
            ("a.shop.example GET /wide", "*.example - /wide"),
            ("other.example GET /", "*.example - /"),
            (".example GET /", "- - /{*r}"),
            ("example GET /", "- - /{*r}"),
            ("[::1]:80 GET /", "[::1] - /"),
            ("\u{e9}.example GET /", "*.example - /"),
        ],
    );
    let long = format!("{}.example", "a".repeat(300));
    check(&["*.example - /"], &[(&format!("{long} GET /"), "404")]);
}

#[test]
fn methods_tell_routes_apart() {
    check(
        &[
            "- GET /a",
            "- POST,PUT /a",
            "- - /any",
            "- GET /h",
            "- HEAD /h",
        ],
        &[
            ("h GET /a", "- GET /a"),
            ("h HEAD /a", "- GET /a"),
            ("h POST /a", "- POST,PUT /a"),
            ("h DELETE /a", "405 GET, HEAD, POST, PUT"),
            ("h BREW /a", "405 GET, HEAD, POST, PUT"),
            ("h get /a", "405 GET, HEAD, POST, PUT"),
            ("h BREW /any", "- - /any"),
            ("h HEAD /h", "- HEAD /h"),
        ],
    );
}

#[test]
fn a_route_without_the_method_gives_way_to_a_wider_one() {
    check(
        &["- GET /a/b", "- POST /a/{*r}", "a.example PUT /a/b"],
        &[
            ("h GET /a/b", "- GET /a/b"),
            ("h POST /a/b", "- POST /a/{*r}"),
            ("h DELETE /a/b", "405 GET, HEAD, POST"),
            ("a.example DELETE /a/b", "405 GET, HEAD, POST, PUT"),
            ("a.example GET /a/b", "- GET /a/b"),
        ],
    );
}

#[test]
fn routes_with_equal_right_are_refused() {
    let conflict = |first, second, overlap: &str| (first, second, overlap.to_owned());
    let rows: [(&[&str], &[_]); 7] = [
        (&["- - /a", "- - /a"], &[conflict(0, 1, "all methods")]),
        (&["- - /a/{x}", "- GET /a/{y}"], &[conflict(0, 1, "GET")]),
        (
            &["- GET,POST /a", "- PUT /a", "- PUT,POST /a", "- PUT /a"],
            &[conflict(0, 2, "POST"), conflict(1, 3, "PUT")],
        ),
        (
            &["A.example - /", "a.example - /"],
            &[conflict(0, 1, "all methods")],
        ),
        (&["- - /%7ea", "- - /~a"], &[conflict(0, 1, "all methods")]),
        (&["- GET /a", "- HEAD /a"], &[]),
        (&["a.b - /", "*.b - /", "- - /"], &[]),
    ];
    for (routes, expected) in rows {
        let specs = routes.iter().map(|route| (spec(route), ())).collect();
        let conflicts = match RouteTable::build(specs) {
            Ok(_) => Vec::new(),
            Err(conflicts) => conflicts,
        };
        let conflicts: Vec<_> = conflicts
            .iter()
            .map(|c| conflict(c.first, c.second, &c.overlap.to_string()))
            .collect();
        assert_eq!(conflicts, expected, "{routes:?}");
    }
}

/// What the table promises, said plainly: of the routes that match, the most specific.
fn reference<'a>(
    routes: &'a [RouteSpec],
    host: &str,
    path: &str,
    method: &str,
) -> Result<&'a RouteSpec, MethodSet> {
    let mut here: Vec<&RouteSpec> = routes
        .iter()
        .filter(|route| route.host.matches(host) && route.path.matches(path))
        .collect();
    let order = |a: &&RouteSpec, b: &&RouteSpec| {
        let host = a.host.specificity(&b.host);
        host.then_with(|| a.path.specificity(&b.path)).reverse()
    };
    here.sort_by(order);
    let known = Method::find(method);
    let says = |route: &RouteSpec, method: Method| match route.methods {
        Methods::Any => true,
        Methods::Only(methods) => methods.contains(method),
    };
    let mut allow = MethodSet::EMPTY;
    for (index, route) in here.iter().enumerate() {
        let siblings = || here.iter().filter(|r| order(r, route) == Ordering::Equal);
        let head_by_get = known == Some(Method::HEAD)
            && says(route, Method::GET)
            && siblings().all(|r| !says(r, Method::HEAD));
        let serves = match known {
            Some(method) => says(route, method) || head_by_get,
            None => route.methods == Methods::Any,
        };
        if serves {
            return Ok(here[index]);
        }
        if let Methods::Only(methods) = route.methods {
            allow = allow.union(methods);
            if methods.contains(Method::GET) {
                allow = allow.with(Method::HEAD);
            }
        }
    }
    Err(allow)
}

fn any_spec() -> impl Strategy<Value = String> {
    let host = "-|a|b\\.a|\\*\\.a|\\*\\.b\\.a";
    let methods = "-|GET|HEAD|POST|GET,POST|HEAD,PUT";
    let path = "/([ab]|\\{x\\}|)(/([ab]|\\{y\\}|))?(/([ab]|\\{z\\}|\\{\\*r\\}|))?|/\\{\\*r\\}";
    (host, methods, path).prop_map(|(host, methods, path)| format!("{host} {methods} {path}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 4 } else { 1500 }))]

    #[test]
    fn the_table_finds_what_the_reference_finds(
        routes in proptest::collection::vec(any_spec(), 0..14),
        requests in proptest::collection::vec(
            ("(a|b\\.a|c\\.b\\.a|A|d)(:80)?", "/[ab]?(/[abc]?){0,3}", "GET|HEAD|POST|PUT|BREW"),
            1..20,
        ),
    ) {
        // Leave out what conflicts with an earlier route.
        let mut specs: Vec<RouteSpec> = Vec::new();
        for route in &routes {
            specs.push(spec(route));
            let all = specs.iter().map(|s| (s.clone(), ())).collect();
            if RouteTable::build(all).is_err() {
                specs.pop();
            }
        }
        let all = specs.iter().map(|s| (s.clone(), s.clone())).collect();
        let table = RouteTable::build(all).unwrap();
        for (host, path, method) in &requests {
            let expected = reference(&specs, host, path, method);
            match table.lookup(host, path, method) {
                Lookup::Found(found) => prop_assert_eq!(Ok(found), expected),
                Lookup::NotFound => prop_assert_eq!(Err(MethodSet::EMPTY), expected),
                Lookup::MethodNotAllowed { allow } => {
                    prop_assert!(!allow.methods().is_empty());
                    prop_assert_eq!(Err(allow.methods()), expected);
                }
            }
        }
    }

    #[test]
    fn no_text_panics(host in "\\PC*", path in "\\PC*", method in "\\PC*") {
        let table = table(&["*.a - /{x}", "a GET /{*r}", "- PUT /a/{b}/c"]);
        let _ = table.lookup(&host, &path, &method);
        let _ = path.parse::<PathPattern>();
        let _ = host.parse::<HostPattern>();
    }
}
