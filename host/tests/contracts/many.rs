//! An application of a hundred services, each of which may call any other.

use std::fmt::Write as _;
use std::time::Instant;

use skep::deploy;

use crate::fixture::Application;

const SERVICES: usize = 100;
/// Interfaces that a service imports, on average.
const CALLS: usize = 4;

/// A generator with one word of state, so that the graph is the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// The interface of service `n`: some types of each kind, not two alike.
fn interface(n: usize) -> String {
    format!(
        "interface i{n} {{
             record item {{ id: u{}, name: string, tags: list<tuple<string, option<f64>>> }}
             variant error {{ unknown(u32), because(string), unavailable, number{n} }}
             flags options {{ a, b, c{n} }}
             resource cursor {{ constructor(of: string); next: func() -> option<item>; }}
             find: func(id: u32, options: options) -> result<list<item>, error>;
             store: func(items: list<item>) -> result<_, error>;
         }}",
        [8, 16, 32, 64][n % 4]
    )
}

#[test]
fn a_hundred_services_in_a_random_graph_are_checked() {
    let mut random = Random(7);
    let interfaces: String = (0..SERVICES).map(interface).collect();
    let mut application = Application::new();
    let (mut manifest, mut links) = (String::new(), 0);
    for n in 0..SERVICES {
        let mut callees: Vec<usize> = (0..CALLS).map(|_| random.below(SERVICES)).collect();
        callees.sort_unstable();
        callees.dedup();
        callees.retain(|callee| *callee != n);
        links += callees.len();
        let imports: String = callees
            .iter()
            .map(|callee| format!("import i{callee};\n"))
            .collect();
        let wit = format!(
            "package many:services@1.0.0;\n{interfaces}\nworld it {{ {imports} export i{n}; }}"
        );
        application = application.component(&format!("s{n}"), &wit);
        let _ = write!(manifest, "[service.s{n}]\ncomponent = \"s{n}.wasm\"\n");
    }
    let path = application.manifest(&manifest);
    let read = || deploy::read(&path).unwrap_or_else(|error| panic!("{error}"));
    read();
    // With the files in the system's cache; the figure is for people and is not asserted.
    let begin = Instant::now();
    let checked = read();
    println!(
        "{SERVICES} services with {links} links are checked in {:?}",
        begin.elapsed()
    );
    assert_eq!(checked.links.iter().count(), links);
    let circles = checked
        .links
        .iter()
        .filter(|link| checked.links.are_mutual(link));
    assert!(circles.count() > 0, "a random graph has circles");
}
