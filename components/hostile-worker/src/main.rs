//! Misbehaves in the background, in the way that its argument says. No request provokes it and no
//! deadline ends it: what bounds it is what bounds any instance, and its supervisor.
use std::hint::black_box;

fn main() {
    let how = std::env::args().nth(1).unwrap_or_default();
    match how.as_str() {
        "spin" => loop {
            black_box(());
        },
        "grow" => loop {
            std::mem::forget(black_box(vec![1u8; 1 << 20]));
        },
        // Asks for more for ever, and takes no for an answer.
        "grow-and-stay" => {
            let mut held: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut more = Vec::new();
                if more.try_reserve_exact(1 << 20).is_ok() {
                    more.resize(1 << 20, 1u8);
                    held.push(black_box(more));
                }
            }
        }
        "log" => loop {
            println!("a line that nobody wants to read");
            eprint!("and one that does not end ");
        },
        "exit" => std::process::exit(7),
        "panic" => panic!("{}", "w".repeat(1 << 20)),
        "recurse" => {
            black_box(recurse(0));
        }
        other => panic!("no such misdeed: {other:?}"),
    }
}

#[expect(unconditional_recursion, reason = "the stack overflow is the point")]
fn recurse(depth: u64) -> u64 {
    black_box(recurse(black_box(depth) + 1)) + 1
}
