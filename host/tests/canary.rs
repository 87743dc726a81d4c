//! A secret that an instance leaves in its memory, tables, globals and stack is never seen by the
//! next instance in the same slots of the pool. `host/canary.rs` has the same over HTTP.
//!
//! The pool has room for one instance, and a canary takes every slot of it: whatever runs next has
//! exactly those. That each canary finds its own secret as long as it lives is what shows that it
//! would find another's.

#![expect(
    clippy::unwrap_used,
    reason = "a test ends where it finds something wrong"
)]

use skep::engine::{self, Kind, PoolSize};
use wasmtime::component::{Component, Instance, Linker};
use wasmtime::{Engine, Store};

/// Instances one after the other in the same slots.
const ROUNDS: usize = 40;

/// Of each memory, once it has grown: beyond what a freed slot keeps resident, and within.
const MEMORY_PAGES: u32 = 64;
const TABLE_ELEMENTS: u32 = 5_000;

/// Slots of a pool for one instance: see `engine.rs`.
const MEMORIES: usize = 2;
const TABLES: usize = 4;

/// A component that leaves `secret` wherever a guest can leave something, and that counts what it
/// finds there. `start_pages` and `image` make one differ from another in what its slots begin as.
fn canary(secret: u64, start_pages: u32, image: &str) -> String {
    let tables: String = (0..TABLES)
        .map(|n| format!("(table $t{n} {TABLE_ELEMENTS} funcref)\n"))
        .collect();
    let fill_tables: String = (0..TABLES)
        .map(|n| {
            format!(
                "(table.fill $t{n} (i32.const 0) (ref.func $leave) (i32.const {TABLE_ELEMENTS}))\n"
            )
        })
        .collect();
    let count_tables: String = (0..TABLES)
        .map(|n| {
            format!(
                "(local.set $at (i32.const 0))
                 (loop $next
                   (if (i32.eqz (ref.is_null (table.get $t{n} (local.get $at))))
                     (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
                   (br_if $next (i32.lt_u
                     (local.tee $at (i32.add (local.get $at) (i32.const 1)))
                     (i32.const {TABLE_ELEMENTS}))))\n"
            )
        })
        .collect();
    let grow = |memory: &str| {
        format!(
            "(drop (memory.grow {memory}
               (i32.sub (i32.const {MEMORY_PAGES}) (memory.size {memory}))))\n"
        )
    };
    let each_word = |memory: &str, body: &str| {
        format!(
            "(local.set $at (i32.const 0))
             (loop $next
               {body}
               (br_if $next (i32.lt_u
                 (local.tee $at (i32.add (local.get $at) (i32.const 8)))
                 (i32.mul (memory.size {memory}) (i32.const 65536)))))\n"
        )
    };
    let store = |memory: &str| {
        let store = format!("(i64.store {memory} (local.get $at) (i64.const {secret}))");
        grow(memory) + &each_word(memory, &store)
    };
    // The image is the canary's own: all else has to be zero.
    let load = |memory: &str| {
        let count = format!(
            "(if (i64.ne (i64.load {memory} (local.get $at)) (i64.const 0))
               (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))"
        );
        grow(memory) + &each_word(memory, &count)
    };
    // Locals that are never set are zero, wherever on the stack they come to lie.
    let locals = 64;
    let set_locals: String = (0..locals)
        .map(|n| format!("(local.set $l{n} (i64.const {secret}))\n"))
        .collect();
    let declared: String = (0..locals).map(|n| format!("(local $l{n} i64)")).collect();
    let sum = (0..locals).fold("(i64.const 0)".to_owned(), |sum, n| {
        format!("(i64.or {sum} (local.get $l{n}))")
    });
    format!(
        r#"(component
          (core module $m
            (memory $a {start_pages} {MEMORY_PAGES})
            (memory $b {start_pages} {MEMORY_PAGES})
            {tables}
            {image}
            (global $g (mut i64) (i64.const 0))
            (elem declare func $leave)

            (func $deeply (param $depth i32) (result i64)
              {declared}
              {set_locals}
              (if (result i64) (local.get $depth)
                (then (i64.or {sum} (call $deeply (i32.sub (local.get $depth) (i32.const 1)))))
                (else {sum})))
            (func $untouched (param $depth i32) (result i64)
              {declared}
              (if (result i64) (local.get $depth)
                (then (i64.or {sum} (call $untouched (i32.sub (local.get $depth) (i32.const 1)))))
                (else {sum})))

            (func $leave (export "leave")
              (local $at i32)
              {store_a} {store_b}
              {fill_tables}
              (global.set $g (call $deeply (i32.const 100))))

            (func (export "found") (result i32)
              (local $at i32) (local $found i32)
              {load_a} {load_b}
              {count_tables}
              (i32.add (local.get $found)
                (i64.ne (i64.const 0)
                  (i64.or (global.get $g) (call $untouched (i32.const 100)))))))
          (core instance $i (instantiate $m))
          (func (export "leave") (canon lift (core func $i "leave")))
          (func (export "found") (result u32) (canon lift (core func $i "found"))))"#,
        store_a = store("$a"),
        store_b = store("$b"),
        load_a = load("$a"),
        load_b = load("$b"),
    )
}

/// A live canary.
struct Canary {
    store: Store<()>,
    instance: Instance,
}

impl Canary {
    async fn new(engine: &Engine, component: &Component) -> wasmtime::Result<Canary> {
        let mut store = Store::new(engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        let linker = Linker::new(engine);
        let instance = linker.instantiate_async(&mut store, component).await?;
        Ok(Canary { store, instance })
    }

    async fn leave(&mut self) {
        let leave = self
            .instance
            .get_typed_func::<(), ()>(&mut self.store, "leave");
        leave
            .unwrap()
            .call_async(&mut self.store, ())
            .await
            .unwrap();
    }

    async fn found(&mut self) -> u32 {
        let found = self
            .instance
            .get_typed_func::<(), (u32,)>(&mut self.store, "found");
        found
            .unwrap()
            .call_async(&mut self.store, ())
            .await
            .unwrap()
            .0
    }
}

/// The words of both memories, the elements of all tables, and what globals and stack come to.
const EVERYTHING: u32 = 2 * MEMORY_PAGES * (65536 / 8) + TABLES as u32 * TABLE_ELEMENTS + 1;

#[tokio::test]
async fn nothing_of_an_instance_is_seen_by_the_next_in_its_slots() {
    for kind in Kind::ALL {
        let size = PoolSize {
            instances: 1,
            memory: u64::from(MEMORY_PAGES) << 16,
            table_elements: TABLE_ELEMENTS as usize,
            stack: 512 << 10,
        };
        let engine = engine::start(kind, size).unwrap().engine;
        let pool = engine
            .pooling_allocator_metrics()
            .expect("this machine has no address space for a pool of one instance");
        let image = r#"(data (memory $a) (i32.const 70000) "an image of its own")"#;
        let canaries = [
            canary(0x5ec2_e75e_c2e7_5ec2, 1, ""),
            canary(0x0dd5_ec2e_70dd_5ec2, MEMORY_PAGES, ""),
            canary(0x7e57_5ec2_e77e_575e, 2, image),
        ];
        let components = canaries.map(|text| Component::new(&engine, text).unwrap());
        // Words of the third one's image, which is its own and no secret.
        let own = [0, 0, 3];

        for round in 0..ROUNDS {
            // In every order, each also after itself.
            let which = round % 3 + round / 3;
            let (component, own) = (&components[which % 3], own[which % 3]);
            let mut canary = Canary::new(&engine, component).await.unwrap();
            assert_eq!(
                (pool.memories(), pool.tables()),
                (MEMORIES, TABLES),
                "it must have every slot that there is"
            );
            assert!(
                Canary::new(&engine, component).await.is_err(),
                "there must be no room for another"
            );
            let found = canary.found().await;
            assert_eq!(found, own, "{kind:?}, round {round}: traces of another");
            canary.leave().await;
            assert_eq!(
                canary.found().await,
                EVERYTHING,
                "it must find its own secret"
            );
        }
    }
}
