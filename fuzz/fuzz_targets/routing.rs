//! The route table against a plain restatement. The input is lines: routes `HOST METHODS PATH` (`-` for
//! any), then requests `? HOST METHOD PATH`.
#![no_main]

use std::borrow::Cow;
use std::cmp::Ordering;

use libfuzzer_sys::fuzz_target;
use skep_core::route::method::{Method, MethodSet};
use skep_core::route::{HostPattern, Lookup, Methods, RouteSpec, RouteTable, normalise};

fuzz_target!(|text: &str| {
    let mut specs: Vec<RouteSpec> = Vec::new();
    let mut table = RouteTable::build(Vec::new()).expect("nothing conflicts");
    for line in text.lines().take(60) {
        if let Some(request) = line.strip_prefix("? ") {
            let mut words = request.splitn(3, ' ');
            let (Some(host), Some(method), Some(path)) = (words.next(), words.next(), words.next())
            else {
                continue;
            };
            if let Ok(normal) = normalise(path) {
                let again = normalise(&normal).expect("a normal path is good");
                assert!(matches!(again, Cow::Borrowed(_)), "{normal} changes again");
                compare(&table, &specs, host, &normal, method);
            }
            // The table takes any text.
            compare(&table, &specs, host, path, method);
        } else if let Some(spec) = parse(line) {
            specs.push(spec);
            let all = specs
                .iter()
                .enumerate()
                .map(|(index, s)| (s.clone(), index));
            match RouteTable::build(all.collect()) {
                Ok(built) => table = built,
                Err(_) => {
                    specs.pop();
                }
            }
        }
    }
});

fn parse(line: &str) -> Option<RouteSpec> {
    let mut words = line.splitn(3, ' ');
    let host = match words.next()? {
        "-" => HostPattern::Any,
        host => host.parse().ok()?,
    };
    let methods = match words.next()? {
        "-" => Methods::Any,
        list => {
            let methods: Option<MethodSet> = list.split(',').map(|m| m.parse().ok()).collect();
            Methods::Only(methods?)
        }
    };
    let path = words.next()?.parse().ok()?;
    Some(RouteSpec {
        host,
        path,
        methods,
    })
}

fn compare(table: &RouteTable<usize>, specs: &[RouteSpec], host: &str, path: &str, method: &str) {
    // A host that is too long to be one is nobody's; the patterns alone do not know that.
    if host.len() > skep_core::route::host::HOST_BYTES_MAX {
        let _ = table.lookup(host, path, method);
        return;
    }
    let known = Method::find(method);
    let says = |spec: &RouteSpec, method: Method| match spec.methods {
        Methods::Any => true,
        Methods::Only(set) => set.contains(method),
    };
    let order = |a: &RouteSpec, b: &RouteSpec| {
        let host = a.host.specificity(&b.host);
        host.then_with(|| a.path.specificity(&b.path))
    };
    let here: Vec<usize> = (0..specs.len())
        .filter(|index| specs[*index].host.matches(host) && specs[*index].path.matches(path))
        .collect();
    let serves = |index: &&usize| {
        let spec = &specs[**index];
        let own_head = here.iter().any(|other| {
            order(&specs[*other], spec) == Ordering::Equal && says(&specs[*other], Method::HEAD)
        });
        match known {
            None => spec.methods == Methods::Any,
            Some(Method::HEAD) if !own_head => says(spec, Method::GET),
            Some(method) => says(spec, method),
        }
    };
    let best = here
        .iter()
        .filter(serves)
        .max_by(|a, b| order(&specs[**a], &specs[**b]));
    match table.lookup(host, path, method) {
        Lookup::Found(found) => assert_eq!(Some(found), best, "{host} {path} {method}"),
        Lookup::NotFound => assert!(here.is_empty(), "{host} {path} {method}"),
        Lookup::MethodNotAllowed { allow } => {
            assert!(best.is_none() && !here.is_empty(), "{host} {path} {method}");
            assert!(!allow.methods().is_empty());
        }
    }
}
