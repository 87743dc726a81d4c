//! A look-up in the route table allocates nothing, whatever the request: counted by the allocator.
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use skep_core::route::{HostPattern, Lookup, Methods, RouteSpec, RouteTable, normalise};

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: all calls go to the system's allocator unchanged; the counter is a plain cell of this
// thread, which needs no allocation itself.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_look_up_allocates_nothing() {
    let route = |host: &str, path: &str, methods| {
        let host = match host {
            "" => HostPattern::Any,
            host => host.parse().unwrap(),
        };
        let path = path.parse().unwrap();
        RouteSpec {
            host,
            path,
            methods,
        }
    };
    let get = Methods::Only(["GET".parse().unwrap()].into_iter().collect());
    let routes = vec![
        (route("shop.example", "/cart/{id}", get), 1),
        (route("*.example", "/{*rest}", get), 2),
        (route("", "/a/{x}/c", Methods::Any), 3),
        (route("", "/{x}/b/{*rest}", Methods::Any), 4),
    ];
    let table = RouteTable::build(routes).unwrap();
    let long = format!("/{}", "a/".repeat(5_000));
    let before = ALLOCATIONS.get();
    let found = [
        table.lookup("SHOP.example:8080", "/cart/7", "GET"),
        table.lookup("a.b.example", "/cart/7", "HEAD"),
        table.lookup("other", "/a/b/c/d", "PUT"),
        table.lookup("other", "/z", "PUT"),
        table.lookup("shop.example", "/cart/7", "DELETE"),
        table.lookup("other", &long, "GET"),
    ];
    assert!(normalise("/cart/7%20x").is_ok());
    assert_eq!(ALLOCATIONS.get(), before);

    let [
        Lookup::Found(1),
        Lookup::Found(2),
        Lookup::Found(4),
        Lookup::NotFound,
        ..,
    ] = found
    else {
        panic!("{found:?}")
    };
    let Lookup::MethodNotAllowed { allow } = found[4] else {
        panic!("{found:?}")
    };
    assert_eq!(allow.to_string(), "GET, HEAD");
}
