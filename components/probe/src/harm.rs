//! What a broken or hostile guest does: traps, loops, floods. Nothing here needs a grant.
use std::cell::RefCell;
use std::hint::black_box;
use std::mem;

use wasip2::clocks::monotonic_clock;
use wasip2::http::types::{Fields, OutgoingResponse, ResponseOutparam};
use wasip2::io::poll::Pollable;

const MIB: usize = 1024 * 1024;

thread_local! {
    /// What `/grow`, `/handles` and `/pollables` took stays taken for the instance's life.
    static HELD: RefCell<Held> = const { RefCell::new(Held { memory: Vec::new(), fields: Vec::new(), pollables: Vec::new() }) };
}

struct Held {
    memory: Vec<Vec<u8>>,
    fields: Vec<Fields>,
    pollables: Vec<Pollable>,
}

#[inline(never)]
pub(crate) fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

#[inline(never)]
pub(crate) fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

/// The same work each time, about a millisecond of CPU time for each of `amount`.
pub(crate) fn compute(amount: u64) {
    let mut mixed = black_box(amount);
    for turn in 0..amount * 400_000 {
        mixed = (mixed ^ (mixed >> 29)).wrapping_mul(6_364_136_223_846_793_005) ^ turn;
    }
    black_box(mixed);
}

/// Keeps the CPU busy for so many milliseconds of wall-clock time.
pub(crate) fn spin_for(milliseconds: u64) {
    let end = monotonic_clock::now() + milliseconds * 1_000_000;
    while monotonic_clock::now() < end {
        for turn in 0..1000u64 {
            black_box(turn);
        }
    }
}

/// Allocates and touches so many MiB, keeps them, and says how many it holds now.
pub(crate) fn grow(mebibytes: u64) -> String {
    HELD.with_borrow_mut(|held| {
        for _ in 0..mebibytes {
            let mut block = Vec::new();
            if block.try_reserve_exact(MIB).is_err() {
                return format!("refused after {} MiB\n", held.memory.len());
            }
            block.resize(MIB, 1);
            held.memory.push(black_box(block));
        }
        format!("holding {} MiB\n", held.memory.len())
    })
}

/// Ends in the allocator's abort, once the host refuses to grow the memory.
pub(crate) fn grow_forever() -> ! {
    loop {
        mem::forget(black_box(vec![1u8; MIB]));
    }
}

#[inline(never)]
#[expect(unconditional_recursion, reason = "the stack overflow is the point")]
pub(crate) fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + frame[3]
}

/// Puts so many fields in one header list.
pub(crate) fn fields(count: u64) -> String {
    let fields = Fields::new();
    for n in 0..count {
        if let Err(error) = fields.append(&format!("x-flood-{n}"), b"a value of some length") {
            return format!("refused after {n} fields: {error:?}\n");
        }
    }
    format!("{count} fields\n")
}

pub(crate) fn handles(count: u64) -> String {
    HELD.with_borrow_mut(|held| {
        held.fields.extend((0..count).map(|_| Fields::new()));
        format!("holding {} handles\n", held.fields.len())
    })
}

/// Timers that never fire, each of them state in the host.
pub(crate) fn pollables(count: u64) -> String {
    HELD.with_borrow_mut(|held| {
        let never = u64::MAX / 2;
        held.pollables
            .extend((0..count).map(|_| monotonic_clock::subscribe_duration(never)));
        format!("holding {} pollables\n", held.pollables.len())
    })
}

/// Uses the response handle after it was given away, which the host answers with a trap.
pub(crate) fn set_twice(out: ResponseOutparam) {
    let handle = out.take_handle();
    for _ in 0..2 {
        // SAFETY: on purpose not so the second time: a stale handle traps, and memory is not at
        // stake, since handles are indices that the host checks.
        let out = unsafe { ResponseOutparam::from_handle(handle) };
        ResponseOutparam::set(out, Ok(OutgoingResponse::new(Fields::new())));
    }
}
