//! Leaves a secret all over its memory, and looks for secrets that others left: `/leave/MIB` grows
//! its memory by so many MiB and fills them, `/look/MIB` grows it as much and answers how often it
//! finds the secret anywhere in its memory.
use answer::{Target, text};
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

const PAGE: usize = 64 * 1024;
const PAGES_PER_MIB: usize = 16;

struct Canary;
wasip2::http::proxy::export!(Canary);

impl wasip2::exports::http::incoming_handler::Guest for Canary {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let target = Target::of(&request);
        let pages = target.number(1) as usize * PAGES_PER_MIB;
        match target.segment(0) {
            "leave" => {
                let from = grow(pages);
                for word in words(from, pages * PAGE) {
                    // SAFETY: see `words`.
                    unsafe { word.write_volatile(secret()) };
                }
                text(out, 200, "left\n");
            }
            "look" => {
                grow(pages);
                let all = core::arch::wasm32::memory_size(0) * PAGE;
                let secret = secret();
                let found = words(0, all)
                    // SAFETY: see `words`.
                    .filter(|word| unsafe { word.read_volatile() } == secret)
                    .count();
                text(out, 200, &format!("{found}\n"));
            }
            _ => text(out, 404, "leave or look\n"),
        }
    }
}

/// The address of so many new pages, which the allocator knows nothing of.
fn grow(pages: usize) -> usize {
    let before = core::arch::wasm32::memory_grow(0, pages);
    assert_ne!(before, usize::MAX, "the host refuses {pages} pages");
    before * PAGE
}

/// The words of a range of memory that exists: any address below `memory_size` may be read, and
/// the new pages may be written since nobody else knows of them. Address 0 is left out.
fn words(from: usize, bytes: usize) -> impl Iterator<Item = *mut u64> {
    (from.max(8)..from + bytes)
        .step_by(8)
        .map(|address| address as *mut u64)
}

/// Computed, so that it lies nowhere in the component's own data.
#[inline(never)]
fn secret() -> u64 {
    core::hint::black_box(0x5ec2_e700_u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
