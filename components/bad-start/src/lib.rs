//! Goes wrong in its constructors, which wit-bindgen runs at the first call of an export: the
//! environment's `BAD_START` is `trap` (default), `panic`, `spin`, `sleep` (a minute in the host),
//! `grow` (256 MiB) or `none`, which serves.
use answer::text;
use wasip2::http::types::{IncomingRequest, ResponseOutparam};

struct BadStart;
wasip2::http::proxy::export!(BadStart);

/// The linker collects what lies here, and libc calls it when the instance starts.
#[used]
#[unsafe(link_section = ".init_array")]
static CONSTRUCTOR: extern "C" fn() = start;

extern "C" fn start() {
    let how = std::env::var("BAD_START");
    eprintln!("bad-start: starting with {how:?}");
    match how.as_deref() {
        Ok("none") => {}
        Ok("panic") => panic!("on purpose: told to panic at start"),
        Ok("spin") => loop {
            std::hint::black_box(());
        },
        Ok("sleep") => std::thread::sleep(std::time::Duration::from_secs(60)),
        Ok("grow") => drop(std::hint::black_box(vec![1u8; 256 * 1024 * 1024])),
        _ => core::arch::wasm32::unreachable(),
    }
}

impl wasip2::exports::http::incoming_handler::Guest for BadStart {
    fn handle(_: IncomingRequest, out: ResponseOutparam) {
        text(out, 200, "started after all\n");
    }
}
