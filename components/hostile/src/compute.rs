//! Traps, loops, recursion, and memory without end.
use std::hint::black_box;
use std::mem;

use answer::Sending;
use wasip2::http::types::ResponseOutparam;

const MIB: usize = 1024 * 1024;

#[inline(never)]
pub(crate) fn trap() -> ! {
    core::arch::wasm32::unreachable()
}

/// A panic whose message has so many bytes.
pub(crate) fn panic_at_length(bytes: u64) -> ! {
    let message = "no! ".repeat(bytes as usize / 4);
    panic!("{message}")
}

#[inline(never)]
pub(crate) fn spin() -> ! {
    let mut turns = 0u64;
    loop {
        turns = black_box(turns.wrapping_add(1));
    }
}

pub(crate) fn spin_after_head(out: ResponseOutparam) {
    let mut sending = Sending::start(out, 200, &[]);
    sending.write(b"so far, so good\n");
    spin()
}

/// Bulk memory instructions, each of which runs long without looking at the epoch.
pub(crate) fn fill() -> ! {
    let mut block = vec![0u8; 16 * MIB];
    let mut byte = 0u8;
    loop {
        byte = byte.wrapping_add(1);
        black_box(&mut block).fill(byte);
    }
}

/// Overflows the stack that the guest keeps in its memory.
#[inline(never)]
#[expect(unconditional_recursion, reason = "the stack overflow is the point")]
pub(crate) fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 16]);
    recurse(depth + 1) + frame[3]
}

/// Ends in the allocator's abort, once the host refuses to grow the memory.
pub(crate) fn grow() -> ! {
    loop {
        mem::forget(black_box(vec![1u8; MIB]));
    }
}

/// Grows by ever smaller steps until there is nothing left to have, and says how large it is now.
pub(crate) fn grow_pages() -> String {
    let mut step = 1 << 14;
    while step > 0 {
        if core::arch::wasm32::memory_grow(0, step) == usize::MAX {
            step /= 2;
        }
    }
    format!("{} bytes\n", core::arch::wasm32::memory_size(0) * 64 * 1024)
}
