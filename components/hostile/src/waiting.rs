//! Timers of no length and of all lengths.
use std::hint::black_box;

use wasip2::clocks::monotonic_clock::{now, subscribe_duration, subscribe_instant};
use wasip2::io::poll::poll;

/// In the host, where no epoch interrupts.
pub(crate) fn sleep() -> ! {
    loop {
        subscribe_duration(u64::MAX).block();
    }
}

/// Wakes as soon as it sleeps.
pub(crate) fn sleep_zero() -> ! {
    loop {
        subscribe_duration(0).block();
    }
}

/// Durations and instants at the ends of what can be said.
pub(crate) fn timers() -> String {
    let timers = [
        subscribe_duration(0),
        subscribe_duration(u64::MAX),
        subscribe_duration(i64::MAX as u64),
        subscribe_duration(i64::MAX as u64 + 1),
        subscribe_instant(0),
        subscribe_instant(u64::MAX),
        subscribe_instant(now().wrapping_sub(1)),
    ];
    let all: Vec<_> = timers.iter().collect();
    let mut ready = Vec::new();
    while ready.len() < 3 {
        ready = poll(black_box(&all));
    }
    format!("{ready:?}\n")
}

/// Waits for what has been, many times.
pub(crate) fn past() -> String {
    for n in 0..1000 {
        subscribe_instant(n).block();
    }
    "waited\n".to_string()
}
