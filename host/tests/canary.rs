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

/// Core instances of a canary: a module may have one memory and one table.
const PARTS: usize = TABLES;

/// A component that leaves `secret` wherever a guest can leave something, and that counts what it
/// finds there. `start_pages` and `image` make one differ from another in what its slots begin as.
fn canary(secret: u64, start_pages: u32, image: &str) -> String {
    let parts: String = (0..PARTS)
        .map(|n| {
            let memory = (n < MEMORIES).then_some((start_pages, image));
            let module = part(secret, memory);
            format!(
                r#"(core module $m{n} {module})
                   (core instance $i{n} (instantiate $m{n}))
                   (func (export "leave{n}") (canon lift (core func $i{n} "leave")))
                   (func (export "found{n}") (result u32) (canon lift (core func $i{n} "found")))"#
            )
        })
        .collect();
    format!("(component {parts})")
}

fn part(secret: u64, memory: Option<(u32, &str)>) -> String {
    let (mut declared, mut leave_in_memory, mut look_in_memory) = Default::default();
    if let Some((start_pages, image)) = memory {
        let each_word = |body: &str| {
            format!(
                "(drop (memory.grow (i32.sub (i32.const {MEMORY_PAGES}) (memory.size))))
                 (loop $next
                   {body}
                   (br_if $next (i32.lt_u
                     (local.tee $at (i32.add (local.get $at) (i32.const 8)))
                     (i32.mul (memory.size) (i32.const 65536)))))"
            )
        };
        declared = format!("(memory {start_pages} {MEMORY_PAGES}) {image}");
        leave_in_memory = each_word(&format!("(i64.store (local.get $at) (i64.const {secret}))"));
        look_in_memory = each_word(
            "(if (i64.ne (i64.load (local.get $at)) (i64.const 0))
               (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))",
        );
    }
    // Locals that are never set are zero, wherever on the stack they come to lie.
    let each_local = |text: &dyn Fn(usize) -> String| (0..64).map(text).collect::<String>();
    let locals = each_local(&|n| format!("(local $l{n} i64)"));
    let set = each_local(&|n| format!("(local.set $l{n} (i64.const {secret}))"));
    let sum = (0..64).fold("(i64.const 0)".to_owned(), |sum, n| {
        format!("(i64.or {sum} (local.get $l{n}))")
    });
    let recurse = |name: &str, set: &str| {
        format!(
            "(func ${name} (param $depth i32) (result i64)
               {locals}
               {set}
               (if (result i64) (local.get $depth)
                 (then (i64.or {sum} (call ${name} (i32.sub (local.get $depth) (i32.const 1)))))
                 (else {sum})))"
        )
    };
    format!(
        r#"{declared}
           (table $t {TABLE_ELEMENTS} funcref)
           (global $g (mut i64) (i64.const 0))
           (elem declare func $leave)
           {set_locals}
           {untouched_locals}
           (func $leave (export "leave")
             (local $at i32)
             {leave_in_memory}
             (table.fill $t (i32.const 0) (ref.func $leave) (i32.const {TABLE_ELEMENTS}))
             (global.set $g (call $set_locals (i32.const 100))))
           (func (export "found") (result i32)
             (local $at i32) (local $found i32)
             {look_in_memory}
             (local.set $at (i32.const 0))
             (loop $next
               (if (i32.eqz (ref.is_null (table.get $t (local.get $at))))
                 (then (local.set $found (i32.add (local.get $found) (i32.const 1)))))
               (br_if $next (i32.lt_u
                 (local.tee $at (i32.add (local.get $at) (i32.const 1)))
                 (i32.const {TABLE_ELEMENTS}))))
             (i32.add (local.get $found)
               (i64.ne (i64.const 0)
                 (i64.or (global.get $g) (call $untouched_locals (i32.const 100))))))"#,
        set_locals = recurse("set_locals", &set),
        untouched_locals = recurse("untouched_locals", ""),
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
        for part in 0..PARTS {
            let leave = self
                .instance
                .get_typed_func::<(), ()>(&mut self.store, format!("leave{part}"))
                .unwrap();
            leave.call_async(&mut self.store, ()).await.unwrap();
        }
    }

    /// Traces of a secret, of whomever.
    async fn found(&mut self) -> u32 {
        let mut sum = 0;
        for part in 0..PARTS {
            let found = self
                .instance
                .get_typed_func::<(), (u32,)>(&mut self.store, format!("found{part}"))
                .unwrap();
            sum += found.call_async(&mut self.store, ()).await.unwrap().0;
        }
        sum
    }
}

/// The words of all memories, the elements of all tables, and each part's global.
const EVERYTHING: u32 =
    MEMORIES as u32 * MEMORY_PAGES * (65536 / 8) + TABLES as u32 * TABLE_ELEMENTS + PARTS as u32;

#[tokio::test]
async fn nothing_of_an_instance_is_seen_by_the_next_in_its_slots() {
    for kind in Kind::ALL {
        let size = PoolSize {
            instances: 1,
            memory: u64::from(MEMORY_PAGES) << 16,
            table_elements: TABLE_ELEMENTS as usize,
            stack: 512 << 10,
        };
        let engine = engine::start(kind, size, false).unwrap().engine;
        let pool = engine
            .pooling_allocator_metrics()
            .expect("this machine has no address space for a pool of one instance");
        let image = r#"(data (i32.const 70000) "an image of its own")"#;
        let canaries = [
            canary(0x5ec2_e75e_c2e7_5ec2, 1, ""),
            canary(0x0dd5_ec2e_70dd_5ec2, MEMORY_PAGES, ""),
            canary(0x7e57_5ec2_e77e_575e, 2, image),
        ];
        let components = canaries.map(|text| {
            let bytes = wat::parse_str(text).unwrap();
            Component::new(&engine, bytes).unwrap()
        });
        // Words of the third one's image, which is its own and no secret.
        let own = [0, 0, 2 * 3];

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
