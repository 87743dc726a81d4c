//! A version and a mode that tests write into the built component: `SKEP-MARK:v00000001:m0:` lies in
//! its data, once, and its digits may be others.
use std::hint::black_box;
use std::sync::atomic::{AtomicU32, Ordering};

/// Found by tests in the component's bytes.
static MARK: [u8; 23] = *b"SKEP-MARK:v00000001:m0:";

/// Requests and calls that this instance has answered.
static ANSWERED: AtomicU32 = AtomicU32::new(0);

/// The number after `v`.
pub fn version() -> u32 {
    // Not worked out when it is compiled: the bytes may be others by then.
    let mark = black_box(&MARK);
    let digits = mark[11..19].iter();
    digits.fold(0, |number, digit| number * 10 + u32::from(digit - b'0'))
}

/// The digit after `m`.
pub fn mode() -> u8 {
    black_box(&MARK)[21]
}

/// What it does to whoever asks it, by the digit after `m`.
pub enum Mood {
    /// Answers.
    Well,
    /// Answers one in ten with an error.
    Wrong,
}

/// To be asked once for each request or call. It may trap, take its time or pile up memory.
///
/// 0: well; 1: traps at once; 2: traps after a thousand answers of an instance; 3: keeps 64 KiB each
/// time; 4: computes for 50 ms; 5: one in ten is wrong.
pub fn behave() -> Mood {
    let answered = ANSWERED.fetch_add(1, Ordering::Relaxed);
    match mode() {
        b'1' => std::process::abort(),
        b'2' if answered >= 1000 => std::process::abort(),
        b'3' => {
            std::mem::forget(black_box(vec![1_u8; 64 << 10]));
            Mood::Well
        }
        b'4' => {
            let began = std::time::Instant::now();
            while began.elapsed().as_millis() < 50 {
                black_box(answered);
            }
            Mood::Well
        }
        b'5' if answered % 10 == 9 => Mood::Wrong,
        _ => Mood::Well,
    }
}
